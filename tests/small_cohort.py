"""A small simulated cohort on disk, for tests that walk the whole path, and a driver for a test to kill.

Run as a program: ``small_cohort.py STORE PHENOTYPES OUT THREADS SECONDS_PER_BLOCK TRAITS`` runs an association that
waits after every block, so that its parent can kill it in the middle.
"""

import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

import genassoc as ga
from genassoc.data.store.writer import write_store
from genassoc.formats.vcf.writer import write_vcf

TRAITS = ("ldl", "ldl_before", "ldl_change")
COVARIATES = ("age", "sex", "PC1:PC4")


@dataclass(frozen=True)
class Files:
    """Where the cohort lies."""

    vcf: Path
    phenotypes: Path
    store: Path


def make_files(folder: Path, n_samples: int = 300, n_variants: int = 2400, seed: int = 7) -> Files:
    """VCF.gz, phenotypes and store of a simulated cohort of three chromosomes, 2 % of calls missing."""
    made = ga.simulate_cohort(n_samples, n_variants, 3, seed=seed, missing_rate=0.02)
    files = Files(folder / "cohort.vcf.gz", folder / "phenotypes.tsv", folder / "cohort.zarr")
    write_vcf(files.vcf, made.sample_ids, made.contigs, made.blocks(), index=True)
    files.phenotypes.write_text(made.phenotypes.write_csv(separator="\t", null_value="NA"))
    ga.convert(files.vcf, files.store)
    return files


def rewrite_store(store: Path, out: Path, block_variants: int) -> ga.GenotypeStore:
    """The same store with blocks of another size."""
    old = ga.open_store(store)
    write_store(
        out,
        list(old.sample_ids),
        [old.read(0, old.n_variants)],
        old.variants(),
        block_variants=block_variants,
    )
    return ga.open_store(out)


def associate(store: ga.GenotypeStore, phenotypes: Path, out: Path, executor, traits=TRAITS, **choices) -> bytes:
    """The bytes of the results of a linear run."""
    cohort = ga.Cohort.align(store, phenotypes).keep_variants(ga.variants.maf_above(0.002))
    ga.associate(cohort, ga.Linear(traits, COVARIATES, **choices), out=out, executor=executor)
    return out.read_bytes()


def _main(store: str, phenotypes: str, out: str, threads: str, seconds: str, traits: str) -> None:
    from genassoc.models.linear import model as linear

    test_additive = linear.test_additive

    def slow(*arguments):
        time.sleep(float(seconds))
        return test_additive(*arguments)

    linear.test_additive = slow
    associate(ga.open_store(store), Path(phenotypes), Path(out), ga.Threads(int(threads)), tuple(traits.split(",")))


def trait_rows(path: Path, trait: str) -> pl.DataFrame:
    """Rows of one trait of a results file."""
    return pl.read_parquet(path).filter(pl.col("trait") == trait)


def bits(frame: pl.DataFrame) -> dict[str, bytes]:
    """The very bits of a table's numbers and the text of the rest."""
    return {
        name: np.ascontiguousarray(frame[name].to_numpy()).tobytes()
        if frame[name].dtype.is_numeric()
        else repr(frame[name].to_list()).encode()
        for name in frame.columns
    }


if __name__ == "__main__":
    _main(*sys.argv[1:])
