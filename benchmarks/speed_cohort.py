"""The seeded cohort of the speed benchmark, as the files that every tool reads. Made once, kept under the work folder."""

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from measure import remove
from speed_drawn import MISSING_CALLS, DrawnCohort

from genassoc.data.block import GenotypeBlock
from genassoc.data.output import wip_path
from genassoc.formats.vcf.writer import write_vcf
from genassoc.simulate import (
    SimulatedCohort,
    SimulatedFamilies,
    SimulatedTrait,
    simulate_cohort,
    simulate_families,
)

SEED = 4
CHROMOSOMES = 5
MIN_FREQUENCY = 1e-4  # log-uniform up to 0.5: six variants in ten below 1 %, three in four below 5 %
AnyCohort = SimulatedCohort | SimulatedFamilies | DrawnCohort
TRAITS = 50
COVARIATES = ("age", "sex", "PC1", "PC2", "PC3", "PC4", *(f"z{k}" for k in range(1, 7)))
MOST_MISSING = 0.20  # of a trait's values; trait j of 50 misses 0.2 j / 49
SHARED_MISSING = 0.10
CASES = {"b1": 0.20, "b2": 0.01}
_FORMAT_VERSION = 4  # of these files: raise it when what they hold changes


@dataclass(frozen=True)
class Size:
    """A cohort of the benchmark, and the work that is measured on it.

    Attributes
    ----------
    name : str
    n_samples, n_variants : int
        Of the cohort that whole runs read; ``twice`` is the same with as many variants again.
    slices : tuple of int
        Variants of the two slices for slow tools, spread evenly over the cohort.
    rich_variants : int
        Of the file with GT:DP:AD:GQ:PL; 0 makes none.
    spectrum : str
        Of the allele frequencies. ``ld``: mosaics of founders, uniform in the logarithm; ``families``: these with
        families among the samples, common variants and polygenic traits; ``log``, ``beta``: variants drawn one by one,
        see `DrawnCohort`.
    rows : tuple of str
        What the command measures where it is not told.
    cold : bool
        Whether some rows are measured with an empty cache of kernels too.
    twice : bool
        Whether there is a file of as many variants again.
    """

    name: str
    n_samples: int
    n_variants: int
    slices: tuple[int, int]
    rich_variants: int
    spectrum: str = "ld"
    rows: tuple[str, ...] = ()
    cold: bool = False
    twice: bool = True

    @property
    def drawn(self) -> int:
        """Variants of the greatest file, of which the others are every second, tenth, ..."""
        return self.n_variants * (2 if self.twice else 1)

    @property
    def variants(self) -> dict[str, int]:
        """Variants of each GT-only file."""
        half, whole = self.slices
        counts = {"half": half, "slice": whole, "full": self.n_variants, "twice": self.drawn}
        return counts if self.twice else {name: count for name, count in counts.items() if name != "twice"}

    @property
    def words(self) -> str:
        """As the table names it."""
        return f"{self.n_samples:,} x {self.n_variants:,}" + ("" if self.spectrum == "ld" else f", {self.spectrum}")


_SCANS = ("linear1", "logistic-b1", "logistic-b2")
SIZES = (
    Size("small", 500, 10_000, (1000, 2000), 0, "ld", ("convert", *_SCANS, "genotypic-b1", "wald-b1", "qc", "straight"), cold=True),
    Size("import", 10_000, 20_000, (2000, 4000), 0, "ld", ("convert",)),
    Size(
        "middle", 10_000, 60_000, (2000, 4000), 10_000, "ld",
        ("convert", "convert-rich", *_SCANS, "logistic-both", "linear50-own", "qc", "straight"),
    ),
    Size("middle-beta", 10_000, 60_000, (2000, 4000), 0, "beta", ("convert", *_SCANS, "qc")),
    Size(
        "dosages", 10_000, 5000, (1250, 2500), 0, "ld",
        ("convert-ds", "convert-gp", "convert-bgen", "convert-bgen-ds", "linear1", "linear-dosages", "logistic-dosages", "cox-dosages"),
    ),
    Size("full", 10_000, 100_000, (2000, 4000), 10_000, "ld", ("convert",)),
    Size(
        "structure", 10_000, 100_000, (2500, 5000), 0, "families",
        ("prune", "pca", "kinship", "step1-1", "step1-50", "step1-mixture"), twice=False,
    ),
    Size("mixed", 2000, 10_000, (1000, 2000), 0, "families", ("mixed",), twice=False),
    Size("large", 400_000, 1000, (50, 100), 0, "log", ("convert", "linear1", "linear50-own", "logistic-b1")),
)  # fmt: skip
TOY = Size("toy", 120, 400, (100, 200), 100)
TOY_BETA = Size("toy-beta", 120, 400, (100, 200), 0, "beta")
TOY_FAMILIES = Size("toy-families", 200, 600, (150, 300), 0, "families", twice=False)


@dataclass(frozen=True)
class Files:
    """Where the cohort is.

    Attributes
    ----------
    folder : Path
        ``half.vcf.gz, slice.vcf.gz, full.vcf.gz, twice.vcf.gz`` (GT only), ``rich.vcf.gz``, ``pheno.tsv`` (all
        columns), ``pheno.plink.tsv`` and ``covar.plink.tsv`` (the same for PLINK and REGENIE: FID, IID).
    size : Size
    """

    folder: Path
    size: Size

    def vcf(self, name: str) -> Path:
        """One of the VCF files."""
        return self.folder / f"{name}.vcf.gz"

    @property
    def pheno(self) -> Path:
        """For genassoc."""
        return self.folder / "pheno.tsv"

    @property
    def plink_pheno(self) -> Path:
        """For PLINK and REGENIE."""
        return self.folder / "pheno.plink.tsv"

    @property
    def plink_covar(self) -> Path:
        """For PLINK and REGENIE."""
        return self.folder / "covar.plink.tsv"


def default_work() -> Path:
    """The folder for cohorts, environments and results when none is given: in the user's cache, never in the checkout."""
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "genassoc-benchmarks"


def make_files(size: Size, work: Path) -> Files:
    """The cohort's files, made if they are not there yet."""
    folder = work / f"cohort-{size.name}"
    stamp = folder / "made.json"
    described = json.dumps([_FORMAT_VERSION, SEED, size.n_samples, size.variants, size.rich_variants, size.spectrum])
    files = Files(folder, size)
    if stamp.exists() and stamp.read_text() == described:
        return files
    remove(folder)
    folder.mkdir(parents=True)
    cohort: AnyCohort
    if size.spectrum == "families":
        cohort = _families(size)
    elif size.spectrum == "ld":
        cohort = simulate_cohort(
            size.n_samples, size.drawn, CHROMOSOMES, seed=SEED, missing_rate=MISSING_CALLS,
            min_frequency=MIN_FREQUENCY,
        )  # fmt: skip
    else:
        cohort = DrawnCohort(size.n_samples, size.drawn, CHROMOSOMES, size.spectrum, SEED)
    for name, count in size.variants.items():
        _write(files.vcf(name), cohort, take_every(cohort, size.drawn // count))
    if size.rich_variants:
        from speed_cohort_rich import write_rich_vcf

        write_rich_vcf(files.vcf("rich"), cohort, take_every(cohort, size.drawn // size.rich_variants))
    write_phenotypes(files, cohort)
    stamp.write_text(described)
    return files


def _families(size: Size) -> SimulatedFamilies:
    """Half of the samples in families of ten, three populations; a polygenic trait for each of q1 ... s50, b1 and b2."""
    polygenic = {f"g{j}": SimulatedTrait(h2=0.3) for j in range(2 * TRAITS + len(CASES))}
    return simulate_families(
        size.n_samples, size.drawn, families={"three_generations": size.n_samples // 20}, fst=(0.005, 0.01, 0.03), admixed=0.2,
        traits=polygenic, seed=SEED, n_chromosomes=CHROMOSOMES, missing_rate=MISSING_CALLS,
    )  # fmt: skip


def take_every(cohort: AnyCohort, step: int) -> Iterator[tuple[pl.DataFrame, GenotypeBlock]]:
    """Every ``step``-th variant: all slices have the frequencies and chromosomes of the whole."""
    start = 0
    for variants, block in cohort.blocks():
        rows = np.arange(-start % step, variants.height, step)
        start += variants.height
        if rows.size:
            yield variants[rows], GenotypeBlock(np.ascontiguousarray(block.packed[rows]), block.n_samples)


def compress(source: Path, target: Path) -> None:
    """Compress again as users' files are: by ``bgzip`` at its own level where it is on PATH; else just rename."""
    if shutil.which("bgzip") is None:
        source.replace(target)
        return
    wip = wip_path(target)
    subprocess.run(["bash", "-o", "pipefail", "-c", f"bgzip -dc '{source}' | bgzip -@ 2 -c > '{wip}'"], check=True)
    wip.replace(target)
    if source != target:
        source.unlink()


def _write(path: Path, cohort: AnyCohort, batches: Iterator[tuple[pl.DataFrame, GenotypeBlock]]) -> None:
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        fast = Path(folder) / "fast.vcf.gz"
        write_vcf(fast, cohort.sample_ids, cohort.contigs, batches)
        compress(fast, path)


def write_phenotypes(files: Files, cohort: AnyCohort) -> None:
    """12 covariates; q1 ... q50, each with its own missing samples; s1 ... s50, all with the same; b1 and b2; the time of b1."""
    rng = np.random.default_rng([SEED, 1])
    N = cohort.n_samples
    people = _people(cohort)
    X = people.to_numpy().astype(float)
    Z = rng.standard_normal((N, 6)).round(4)
    background = np.column_stack([(X - X.mean(0)) / X.std(0), Z]) @ rng.normal(0, 0.15, (12, 2 * TRAITS + 2))
    if isinstance(cohort, SimulatedFamilies):
        y = background + cohort.phenotypes.select(f"g{j}" for j in range(background.shape[1])).to_numpy()
    else:
        loci = _common_variants(cohort, 20)
        genetic = loci.T @ rng.normal(0, 0.08, (len(loci), 2 * TRAITS + 2))
        y = background + genetic + rng.standard_normal(background.shape)
    columns: dict[str, object] = {"IID": list(cohort.sample_ids)}
    columns |= dict(zip(COVARIATES, (*people.get_columns(), *Z.T)))
    for j in range(TRAITS):
        own = rng.random(N) < MOST_MISSING * j / (TRAITS - 1)
        columns[f"q{j + 1}"] = np.where(own, np.nan, y[:, j].round(4))
    shared = rng.random(N) < SHARED_MISSING
    for j in range(TRAITS):
        columns[f"s{j + 1}"] = np.where(shared, np.nan, y[:, TRAITS + j].round(4))
    for k, (name, share) in enumerate(CASES.items()):
        liability = y[:, 2 * TRAITS + k]
        columns[name] = 1 + (liability > np.quantile(liability, 1 - share)).astype(np.int64)  # PLINK's 1 and 2
    hazard = np.exp(0.5 * y[:, 2 * TRAITS])
    columns["time"] = (np.random.default_rng([SEED, 2]).exponential(size=N) / hazard + 0.001).round(
        4
    )  # of b1, an event or its censoring
    table = pl.DataFrame(columns).with_columns(pl.selectors.float().fill_nan(None))
    table.write_csv(files.pheno, separator="\t", null_value="NA")
    named = table.select(pl.col("IID").alias("FID"), pl.all())
    named.select("FID", "IID", *COVARIATES).write_csv(files.plink_covar, separator="\t")
    named.drop(COVARIATES).write_csv(files.plink_pheno, separator="\t", null_value="NA")


def _people(cohort: AnyCohort) -> pl.DataFrame:
    """The first six of `COVARIATES`; of families, proportions of ancestry and noise stand for components."""
    if not isinstance(cohort, SimulatedFamilies):
        return cohort.phenotypes.select(COVARIATES[:6])
    rng = np.random.default_rng([SEED, 3])
    scores = cohort.samples.select("ancestry1", "ancestry2").to_numpy()
    scores = np.column_stack([scores, np.zeros((cohort.n_samples, 2))]) + 0.01 * rng.standard_normal(
        (cohort.n_samples, 4)
    )
    return cohort.phenotypes.select("age", "sex").hstack(
        pl.DataFrame({f"PC{k + 1}": column.round(4) for k, column in enumerate(scores.T)})
    )


def _common_variants(cohort: SimulatedCohort | DrawnCohort, count: int) -> np.ndarray:
    """Standardised genotypes (count or fewer, N) of common variants of the first run, in both slices."""
    variants, block = next(cohort.blocks())
    codes = block.codes()[:: max(1, variants.height // (20 * count))].astype(float)
    codes[codes == 3] = 0
    spread = codes.std(axis=1)
    chosen = np.flatnonzero(spread > 0.4)[:count]
    return (codes[chosen] - codes[chosen].mean(axis=1, keepdims=True)) / spread[chosen, None]
