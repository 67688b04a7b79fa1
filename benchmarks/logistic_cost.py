"""What logistic regression costs: the null fits of many traits, and refinement as hits grow.

    python benchmarks/logistic_cost.py [--samples 10000] [--variants 2000]

One thread, CPU seconds; covariates: 12 and the constant.
"""

import argparse
import statistics
import time
from types import SimpleNamespace

import numpy as np
from threadpoolctl import threadpool_limits

from genassoc.data.block import GenotypeBlock
from genassoc.models.logistic.family import prepare
from genassoc.models.logistic.model import Logistic

SECTION = "## What logistic regression costs"
COVARIATES = 12


def design_of(y: np.ndarray, X: np.ndarray) -> SimpleNamespace:
    """What ``Cohort.design`` returns, from arrays."""
    N, T = y.shape
    return SimpleNamespace(
        y=y,
        X=np.column_stack([np.ones(N), X]),
        traits=tuple(f"trait_{j}" for j in range(T)),
        covariates=("intercept", *(f"x{c}" for c in range(X.shape[1]))),
        complete=np.ones(N, bool),
        dropped_covariates=(),
        offset=np.zeros(y.shape),
        offset_unit="trait",
        coding=("",) * T,
    )


def cpu_seconds(function, repeats: int = 5) -> float:
    """Median of several runs after one that compiles."""
    function()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return statistics.median(times)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--variants", type=int, default=2000)
    chosen = parser.parse_args()
    N, V = chosen.samples, chosen.variants
    rng = np.random.default_rng(0)
    X = rng.standard_normal((N, COVARIATES))
    y = (rng.random((N, 50)) < rng.uniform(0.01, 0.5, 50)).astype(float)
    y[rng.random(y.shape) < 0.1] = np.nan
    codes = rng.binomial(2, rng.uniform(0.01, 0.5, V)[:, None], (V, N)).astype(np.uint8)
    block = GenotypeBlock.from_codes(codes)
    with threadpool_limits(1):
        nulls = cpu_seconds(lambda: prepare(design_of(y, X), np.arange(N), N), 3)
        state = prepare(design_of(y[:, :1], X), np.arange(N), N)
        lines = [
            SECTION,
            "",
            f"`cd benchmarks && python logistic_cost.py --samples {N} --variants {V}`",
            "",
            f"{N:,} samples, {COVARIATES} covariates, one thread, medians. Null models of 50 traits, each with its own",
            f"missing samples: {nulls:.1f} CPU s. One trait, {V:,} variants, as more score tests are corrected by Firth:",
            "",
            "| correct_below | rows corrected | CPU s | ms a corrected row |",
            "|---|---|---|---|",
        ]
        base = 0.0
        for below in (0.0, 0.001, 0.01, 0.05, 0.2):
            model = Logistic("trait_0", correct_below=below)
            seconds = cpu_seconds(lambda model=model: model.block(state, block))
            base = base or seconds
            n = int(np.isin(model.block(state, block).columns["method"], (5, 6)).sum())
            each = f"{1e3 * (seconds - base) / n:.1f}" if n else "-"
            lines.append(f"| {below} | {n} | {seconds:.3f} | {each} |")
    text = "\n".join(lines) + "\n"
    print(text)


if __name__ == "__main__":
    main()
