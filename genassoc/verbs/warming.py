"""Kernels compiled ahead, by running what users run on a small simulated cohort: the first run of an image or a cluster need not wait."""

import os
import tempfile
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from genassoc.data.cohort.cohort import Cohort
from genassoc.engine.executors import Threads
from genassoc.errors import GenassocError
from genassoc.formats.vcf.writer import write_vcf
from genassoc.kernels import cache_files
from genassoc.models.registry import MODELS
from genassoc.simulate import simulate_cohort
from genassoc.verbs import association, stores

STRUCTURE = "relatives and ancestry"
SETS = "sets of variants"
_COVARIATES = ("age", "sex", "PC1", "PC2", "PC3", "PC4")
_OUTCOMES: dict[str, dict[str, Any]] = {
    "linear": {"traits": "ldl"},
    "logistic": {"traits": "t2d"},
    "cox": {"time": "years", "event": "cardiac_event"},
    "ordinal": {"traits": "grade"},
    "poisson": {"traits": "admissions", "exposure": "years"},
    "mixed": {"traits": "ldl"},
    "negative_binomial": {"traits": "admissions", "exposure": "years"},
}
# What is run of each model; what is chosen more rarely is compiled at its first use.
_CHOICES: tuple[dict[str, str], ...] = ({}, {"interaction": "statin"}, {"genetic_model": "genotypic"})


@dataclass(frozen=True)
class Warmed:
    """What was compiled for a family of models, or for conversions.

    Attributes
    ----------
    family : str
    compiled, found : int
        Kernels that were compiled and kept, and that were there already.
    seconds : float
    """

    family: str
    compiled: int
    found: int
    seconds: float

    def line(self) -> str:
        """In words."""
        return f"{self.family}: {self.compiled} kernels compiled, {self.found} there already ({self.seconds:.1f} s)"


def warm(
    models: Iterable[str] = (), *, into: str | Path | None = None, tell: Callable[[Warmed], None] | None = None
) -> tuple[Path, list[Warmed]]:
    """Compile what conversions and models need, and keep it.

    Parameters
    ----------
    models : iterable of str
        Names as in gwas.toml; by default all, what relatives and ancestry are found with, and the tests of sets of variants.
    into : path, optional
        A folder that other users read too (``GENASSOC_CACHE_DIR`` names it to them); by default the cache of this user.
    tell : callable, optional
        Hears of each family when it is done.

    Returns
    -------
    Path, list of Warmed
        Where the kernels are kept, and what was compiled.

    Raises
    ------
    GenassocError
        There is no such model, or nothing can be kept.
    """
    named = list(models)
    wanted = named or list(MODELS)
    for name in wanted:
        if name not in MODELS:
            raise GenassocError(f"there is no model {name!r}; there are {', '.join(MODELS)}")
    if into is not None:
        cache_files.share(Path(into))
    base = cache_files.base_folder()
    if base is None or (into is not None and cache_files.Cache.refused):
        raise GenassocError(f"kernels cannot be kept: {'; '.join(cache_files.Cache.refused)}")
    done: list[Warmed] = []
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the toy's rows
        cohort: Cohort | None = None
        for family in ("conversion", *wanted, *(() if named else (STRUCTURE, SETS))):
            with _counted(family, done):
                if cohort is None:
                    cohort = _cohort(Path(folder))
                elif family == STRUCTURE:
                    _run_structure(cohort)
                elif family == SETS:
                    _run_sets(cohort, Path(folder))
                else:
                    _run(family, cohort, Path(folder))
            if tell is not None:
                tell(done[-1])
    if cache_files.Cache.full:
        raise GenassocError(f"{base}: not everything could be written there; free some space, or name another folder")
    return base, done


@contextmanager
def _counted(family: str, done: list[Warmed]) -> Iterator[None]:
    kept, used, begin = len(cache_files.Cache.kept), len(cache_files.Cache.used), time.perf_counter()
    yield
    compiled, found = len(cache_files.Cache.kept) - kept, len(cache_files.Cache.used) - used
    done.append(Warmed(family, compiled, found, time.perf_counter() - begin))


def _cohort(folder: Path) -> Cohort:
    """A cohort converted from a VCF: rare and common variants, missing calls, an outcome for each model."""
    made = simulate_cohort(400, 1500, seed=1, missing_rate=0.005)
    vcf, table = folder / "cohort.vcf.gz", folder / "phenotypes.tsv"
    write_vcf(vcf, made.sample_ids, made.contigs, made.blocks(), index=True)
    grade = pl.col("admissions").clip(0, 2).alias("grade")
    made.phenotypes.with_columns(grade).write_csv(table, separator="\t", null_value="NA")
    return Cohort.align(stores.convert(vcf, folder / "cohort.zarr"), table, sample_id="IID", sex="sex")


def _run_structure(cohort: Cohort) -> None:
    """Pruning, kinship, components, and the whole-genome regression of a quantitative trait."""
    from genassoc.analyses.whole_genome.choices import WholeGenomeRegression
    from genassoc.verbs.components import pca
    from genassoc.verbs.kinship import kinship
    from genassoc.verbs.pruning import ld_prune
    from genassoc.verbs.whole_genome import fit_whole_genome

    pruned = cohort.keep_variants(ld_prune(cohort, 0.2))
    kinship(pruned)
    pca(pruned, 4)
    for prior in ("ridge", "mixture"):
        fit_whole_genome(
            cohort, WholeGenomeRegression(traits=("ldl",), covariates=("age",), block_size=200, prior=prior)
        )


def _run_sets(cohort: Cohort, folder: Path) -> None:
    """Every test of sets of neighbouring variants, for each family that has scores."""
    from genassoc.verbs.gene_sets import associate_sets
    from genassoc.verbs.sets import read_sets

    store = cohort.store
    place = ["chromosome", pl.col("base_pair_location").cast(pl.String), "other_allele", "effect_allele"]
    number = (pl.int_range(pl.len()) // 30).cast(pl.String)
    named = store.variants(0, store.n_variants).select(
        pl.concat_str("chromosome", number, separator=".").alias("set_id"),
        pl.concat_str(place, separator="_").alias("variant"),
    )
    sets = read_sets(named)
    for kind, outcome in _OUTCOMES.items():
        if kind == "mixed":
            continue  # it has no scores of sets
        for burden in ("sum", "max"):
            model = MODELS[kind](**outcome, covariates=_COVARIATES)
            associate_sets(cohort, model, sets, max_maf=(0.05,), burden=burden, out=folder / f"{kind}-{burden}.parquet")


def _run(kind: str, cohort: Cohort, folder: Path) -> None:
    for number, choices in enumerate(_CHOICES):
        covariates = (*_COVARIATES, "statin") if "interaction" in choices else _COVARIATES
        try:
            model = MODELS[kind](**_OUTCOMES[kind], covariates=covariates, **choices)
        except ValueError:
            if choices:
                continue  # the model does not have them
            raise
        association.associate(
            cohort, model, out=folder / f"{kind}-{number}.parquet", executor=Threads(os.cpu_count() or 1), audit=20
        )
