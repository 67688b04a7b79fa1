"""What a scan of dosages costs beside one of calls, and beside ``plink2 --glm`` on a PGEN of dosages.

    python benchmarks/dosage_scan.py [--samples 10000] [--variants 4000] [--repeats 5] [--folder FOLDER]

One trait, 12 covariates, one thread, CPU seconds (user + system), calls and dosages in turn; medians. Ours is the work of a model on blocks in memory, without
reading genotypes or writing rows; PLINK 2's is a run of it less one that reads the same file for ``--freq``. PLINK 2 draws the PGEN (``--dummy``), in which
every dosage is between whole copies.
"""

import argparse
import resource
import shutil
import statistics
import subprocess
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from linear_scale import N_COVARIATES, calls
from threadpoolctl import threadpool_limits

import genassoc as ga
from genassoc.data.block import Block, DosageBlock
from genassoc.data.store.writer import write_store

STEPS, AT_ONCE = 16384, 512  # of a copy, as in a PGEN; variants a block


def phenotypes(n: int) -> pl.DataFrame:
    """Traits of all kinds that no variant influences, and covariates."""
    rng = np.random.default_rng(5)
    X = rng.standard_normal((n, N_COVARIATES)).round(5)
    return pl.DataFrame(
        {
            "IID": [f"per{i}" for i in range(n)],
            **{f"x{c}": X[:, c] for c in range(N_COVARIATES)},
            "q": (0.2 * X[:, 0] + rng.standard_normal(n)).round(5),
            "y": (rng.random(n) < 0.2).astype(np.int64),
            "T": rng.exponential(1.0, n),
            "E": (rng.random(n) < 0.2).astype(np.int64),
            "k": rng.poisson(1.0, n),
            "o": rng.integers(0, 3, n),
        }
    )


def models() -> dict[str, Any]:
    """What is measured."""
    covariates = [f"x{c}" for c in range(N_COVARIATES)]
    return {
        "linear": ga.Linear("q", covariates),
        "logistic, 20 % cases": ga.Logistic("y", covariates),
        "Cox, 20 % events": ga.Cox("T", "E", covariates),
        "Poisson": ga.Poisson("k", covariates),
        "ordinal, 3 levels": ga.Ordinal("o", covariates),
    }


def seconds(model: Any, state: Any, blocks: list[Block]) -> float:
    """CPU seconds of all blocks, each without what a block keeps of itself."""
    fresh = [replace(block) for block in blocks]
    start = time.process_time()
    for block in fresh:
        model.block(state, block)
    return time.process_time() - start


def ours(n: int, n_variants: int, repeats: int, folder: Path) -> dict[str, tuple[float, float]]:
    """CPU us a variant of calls, and of dosages near them, for each model."""
    table = phenotypes(n)
    rng = np.random.default_rng(4)
    hard: list[Block] = []
    soft: list[Block] = []
    for first in range(0, n_variants, AT_ONCE):
        block = calls(n, np.linspace(0.01, 0.5, n_variants)[first : first + AT_ONCE], 0.0, seed=first)
        noise = rng.normal(0, 0.05, (block.n_variants, n))
        hard.append(block)
        soft.append(DosageBlock.from_dosages(np.clip(block.codes() + noise, 0, 2), steps=STEPS))
    variants = pl.DataFrame(
        {"chromosome": ["1"], "base_pair_location": [1], "effect_allele": ["G"], "other_allele": ["A"], "rsid": ["rs1"],
         "record": [0], "alt_index": [1]}, schema_overrides={"record": pl.Int64, "alt_index": pl.Int32},
    )  # fmt: skip
    write_store(folder / "s.zarr", table["IID"].to_list(), [calls(n, np.array([0.3]), 0.0)], variants)
    cohort = ga.Cohort.align(ga.open_store(folder / "s.zarr"), table, sample_id="IID")
    found = {}
    for name, model in models().items():
        state = model.prepare(cohort)
        for blocks in (hard, soft):
            seconds(model, state, blocks[:1])  # kernels are compiled
        pairs = [(seconds(model, state, hard), seconds(model, state, soft)) for _ in range(repeats)]
        found[name] = tuple(1e6 * statistics.median(side) / n_variants for side in zip(*pairs, strict=True))
    return found


def spent(command: list[str], folder: Path) -> float:
    """CPU seconds of a command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def plink2(n: int, n_variants: int, repeats: int, folder: Path) -> dict[str, float]:
    """CPU us a variant of ``plink2 --glm``, linear and logistic."""
    one = ["--threads", "1", "--memory", "2000"]
    subprocess.run(
        ["plink2", "--dummy", str(n), str(n_variants), "0", "0", "acgt", "dosage-freq=1", "--seed", "1", *one, "--out", "d"],
        cwd=folder, check=True, capture_output=True,
    )  # fmt: skip
    table = phenotypes(n).with_columns(pl.col("y") + 1).rename({"IID": "#IID"})
    table.select("#IID", *(f"x{c}" for c in range(N_COVARIATES))).write_csv(folder / "covariates.txt", separator="\t")
    for trait in ("q", "y"):
        table.select("#IID", trait).write_csv(folder / f"{trait}.txt", separator="\t")
    read = ["plink2", "--pfile", "d", *one, "--out", "o"]
    base = statistics.median(spent([*read, "--freq"], folder) for _ in range(repeats))
    found = {}
    for name, trait in (("linear", "q"), ("logistic, 20 % cases", "y")):
        asked = [*read, "--pheno", f"{trait}.txt", "--covar", "covariates.txt", "--glm", "hide-covar"]
        found[name] = 1e6 * (statistics.median(spent(asked, folder) for _ in range(repeats)) - base) / n_variants
    return found


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--variants", type=int, default=4_000)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--folder", type=Path)
    chosen = parser.parse_args()
    folder = chosen.folder or Path(tempfile.mkdtemp(prefix="dosage-scan-"))
    folder.mkdir(parents=True, exist_ok=True)
    with threadpool_limits(1):
        found = ours(chosen.samples, chosen.variants, chosen.repeats, folder)
    peer = {}
    if shutil.which("plink2") is not None:
        peer = plink2(chosen.samples, chosen.variants, min(chosen.repeats, 3), folder)
    print(f"{chosen.samples:,} samples, {chosen.variants:,} variants, CPU us a variant\n")
    print("| | calls | dosages | ratio | `plink2 --glm` | times ours |\n|---|---|---|---|---|---|")
    for name, (hard, soft) in found.items():
        theirs = peer.get(name)
        beside = f"{theirs:,.0f} | {theirs / soft:.0f}" if theirs is not None else "| "
        print(f"| {name} | {hard:.1f} | {soft:.1f} | {soft / hard:.2f} | {beside} |")


if __name__ == "__main__":
    main()
