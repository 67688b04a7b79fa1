"""What tests of genes cost: 10,000 samples, 100,000 rare variants in 5,000 genes, for 1 and 20 traits; and cost against carriers.

    python benchmarks/gene_cost.py [--samples 10000] [--genes 5000] [--traits 1,20] [--repeats 5] [--work DIR] [--curve] [--diseases]

Burden and SKAT of every gene by `genassoc sets`, beside the chain that people write themselves (`gene_cost_plain.py`: PLINK's BED,
dense genotypes of a gene, numpy, moments in place of Davies: less work than ours) and beside REGENIE where it is on PATH, in turn, as whole processes: CPU (user and system), wall and
memory of the process tree, medians. ``--curve``: as many variants and samples, with ten times fewer and more carriers. ``--diseases``: binary traits. Exit code 1
where a statistic disagrees.
"""

import argparse
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout's genassoc, installed or not

import measure
import numpy as np
import polars as pl

import genassoc as ga

SEED = 6
PER_GENE = 20
MAX_MAF = 0.01
COVARIATES = "age,sex,PC1,PC2"
HERE = Path(__file__).resolve().parent
CURVE = (0.0005, 0.002, 0.01, 0.04)  # the greatest frequency of rare variants
Q_AGREES = 1e-6  # relative, of the same sums in float64
P_AGREES = 0.1  # of -log10 p below 3: moments stand in for Davies in the plain chain


def make(
    folder: Path,
    n_samples: int,
    n_genes: int,
    n_traits: int,
    max_frequency: float = MAX_MAF,
    common_share: float = 0.01,
) -> int:
    """Write store, BED, phenotypes (quantitative ``q1``, ..., diseases ``d1``, ...) and sets once; the number of rare alleles."""
    counted = folder / "alleles"
    if counted.exists():
        return int(counted.read_text())
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    made = ga.simulate_genes(
        n_samples,
        n_genes,
        PER_GENE,
        max_frequency=max_frequency,
        common_share=common_share,
        n_chromosomes=min(22, n_genes),
        missing_rate=0.0005,
        seed=SEED,
    )
    store = made.write_store(folder / "cohort.zarr")
    ga.export(store, folder / "cohort.bed")
    made.write_sets(folder)
    (folder / "masks.txt").write_text("all pLoF,missense,synonymous\n")
    rng = np.random.default_rng(SEED)
    traits = {f"q{k}": rng.normal(size=n_samples) for k in range(2, n_traits + 1)}
    diseases = {f"d{k}": (rng.random(n_samples) < 0.05).astype(int) for k in range(1, n_traits + 1)}
    table = made.phenotypes.rename({"biomarker": "q1"}).with_columns(**traits, **diseases)
    table.write_csv(folder / "phenotypes.tsv", separator="\t")
    covariates = table.select(pl.lit(0).alias("FID"), "IID", *COVARIATES.split(","))
    covariates.write_csv(folder / "covariates.txt", separator="\t")
    table.select(pl.lit(0).alias("FID"), "IID", *[f"q{k}" for k in range(1, n_traits + 1)]).write_csv(
        folder / "quantitative.txt", separator="\t"
    )
    alleles = int(made.calls.carried.haplotypes.size)
    counted.write_text(str(alleles))
    return alleles


def ours(folder: Path, names: str, out: str, tests: str, family: str = "linear", tail: str = "") -> str:
    """The command of genassoc, on one thread."""
    sets = f"--sets {folder}/sets.txt --annotations {folder}/annotations.txt --masks {folder}/masks.txt"
    return (
        f"{sys.executable} -m genassoc sets {folder}/cohort.zarr {folder}/phenotypes.tsv {sets} --model {family} --trait {names} "
        f"--covar {COVARIATES} --tests {tests} --max-maf {MAX_MAF} --collapse-below 0 --out {folder}/{out} --force {tail}"
    )


def plain(folder: Path, names: str, out: str) -> str:
    """The command of the chain that people write."""
    return f"{sys.executable} {HERE}/gene_cost_plain.py {folder} {names} {COVARIATES} {MAX_MAF} {folder}/{out}"


def regenie(folder: Path, names: str, out: str) -> str:
    """REGENIE's step 2 without predictions: burden and SKAT of the same mask."""
    return (
        f"regenie --step 2 --bed {folder}/cohort --phenoFile {folder}/quantitative.txt --phenoColList {names} --covarFile {folder}/covariates.txt "
        f"--anno-file {folder}/annotations.txt --set-list {folder}/sets.txt --mask-def {folder}/masks.txt --aaf-bins {MAX_MAF} --vc-tests skat "
        f"--vc-maxAAF {MAX_MAF} --ignore-pred --qt --bsize 200 --threads 1 --out {folder}/{out}"
    )


def costs(commands: dict[str, str], repeats: int) -> dict[str, measure.Usage]:
    """Medians of the commands, run in turn, after one run of each that is not counted."""
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(HERE.parent), *filter(None, [os.environ.get("PYTHONPATH")])]),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    runs: dict[str, list[measure.Usage]] = {name: [] for name in commands}
    for repeat in range(repeats + 1):
        for name, command in commands.items():
            usage = measure.run(command, environment)
            if repeat or repeats == 0:
                runs[name].append(usage)
    return {
        name: measure.Usage(
            *(statistics.median(getattr(one, part) for one in found) for part in ("wall", "cpu", "peak"))
        )
        for name, found in runs.items()
    }


def disagreement(folder: Path, result: str, other: str) -> tuple[float, float, int]:
    """Greatest relative difference of SKAT's Q, greatest difference of -log10 p below 3, and how many genes were compared."""
    mine = pl.read_parquet(folder / result).filter(pl.col("test") == "skat")
    theirs = pl.read_csv(folder / other, separator="\t", schema_overrides={"trait": pl.String})
    both = mine.join(theirs, on=["set_id", "trait"], suffix="_plain", how="full").filter(pl.col("n_variants_plain") > 0)
    beside = both.drop_nulls(["statistic", "statistic_plain"])
    if beside.height < both.height:
        raise SystemExit(f"{both.height - beside.height} genes have no row in one of the two results")
    q = (beside["statistic"] / beside["statistic_plain"] - 1.0).abs().max()
    low = beside.filter(pl.col("neg_log_10_p_value_plain") < 3.0)
    p = (low["neg_log_10_p_value"] - low["neg_log_10_p_value_plain"]).abs().max()
    return float(q or 0.0), float(p or 0.0), beside.height


def compare(folder: Path, size: tuple[int, int], traits: list[int], repeats: int) -> bool:
    """Print a table for each number of traits; whether everything agreed."""
    alleles = make(folder, *size, max(traits))
    print(
        f"{size[0]:,} samples, {size[1] * PER_GENE:,} variants in {size[1]:,} genes, {alleles:,} rare alleles; one thread"
    )
    print(f"{'':34}{'CPU s':>8}{'wall s':>8}{'MB':>7}")
    agreed = True
    for T in traits:
        names = ",".join(f"q{k}" for k in range(1, T + 1))
        commands = {
            "genassoc, burden and SKAT": ours(folder, names, f"ours{T}.parquet", "burden,skat"),
            "numpy, burden and SKAT": plain(folder, names, f"plain{T}.tsv"),
            "genassoc, all five tests": ours(folder, names, f"all{T}.parquet", "burden,skat,skato,acatv,acato"),
        }
        if shutil.which("regenie"):
            commands["REGENIE, burden and SKAT"] = regenie(folder, names, f"regenie{T}")
        for name, usage in costs(commands, repeats).items():
            label = f"{name}, {T} trait{'s' if T > 1 else ''}"
            print(f"{label:34}{usage.cpu:8.1f}{usage.wall:8.1f}{usage.peak / 1e6:7.0f}")
        q, p, n = disagreement(folder, f"ours{T}.parquet", f"plain{T}.tsv")
        print(f"  Q of {n:,} genes x traits within {q:.0e}, -log10 p below 3 within {p:.2f}")
        agreed &= q < Q_AGREES and p < P_AGREES
    return agreed


def curve(work: Path, size: tuple[int, int], repeats: int) -> None:
    """Print what the same number of variants costs with few and with many carriers."""
    print(f"{'rare alleles':>14}{'CPU s':>8}{'plain CPU s':>13}")
    for bound in CURVE:
        folder = work / f"curve{bound}"
        alleles = make(folder, *size, 1, bound, 0.0)
        commands = {
            "ours": ours(folder, "q1", "ours.parquet", "burden,skat").replace(f"--max-maf {MAX_MAF}", "--max-maf 0.05"),
            "plain": plain(folder, "q1", "plain.tsv").replace(f" {MAX_MAF} ", " 0.05 "),
        }
        found = costs(commands, repeats)
        print(f"{alleles:14,}{found['ours'].cpu:8.1f}{found['plain'].cpu:13.1f}")


def diseases(folder: Path, size: tuple[int, int], traits: list[int], repeats: int) -> None:
    """Print what binary traits cost."""
    make(folder, *size, max(traits))
    for T in traits:
        names = ",".join(f"d{k}" for k in range(1, T + 1))
        command = ours(folder, names, f"d{T}.parquet", "burden,skat,skato,acatv,acato", "logistic")
        usage = costs({"ours": command}, repeats)["ours"]
        label = f"genassoc, {T} disease{'s' if T > 1 else ''}, all tests"
        print(f"{label:34}{usage.cpu:8.1f}{usage.wall:8.1f}{usage.peak / 1e6:7.0f}")


def main() -> int:
    """Measure what is asked for; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--genes", type=int, default=5000)
    parser.add_argument("--traits", default="1,20")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--curve", action="store_true")
    parser.add_argument("--diseases", action="store_true")
    chosen = parser.parse_args()
    size, traits = (chosen.samples, chosen.genes), [int(T) for T in chosen.traits.split(",")]
    with tempfile.TemporaryDirectory() as temporary:
        work = (chosen.work or Path(temporary)).resolve()
        folder = work / f"genes-{size[0]}-{size[1]}-{max(traits)}"
        if chosen.curve:
            curve(work, size, chosen.repeats)
            return 0
        if chosen.diseases:
            diseases(folder, size, traits, chosen.repeats)
            return 0
        return 0 if compare(folder, size, traits, chosen.repeats) else 1


if __name__ == "__main__":
    sys.exit(main())
