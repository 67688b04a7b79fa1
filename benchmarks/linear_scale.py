"""What a linear test costs: many samples x traits with their own missingness, the curve over carriers, dosages beside calls.

    python benchmarks/linear_scale.py [--samples 400000] [--variants 500] [--traits 50]

One thread, CPU seconds of `Linear.block`: without reading genotypes and without writing rows.
"""

import argparse
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
from threadpoolctl import threadpool_limits

from genassoc.data.block import Block, DosageBlock, GenotypeBlock
from genassoc.models.linear.model import Linear
from genassoc.models.linear.null import LinearState, prepare

N_COVARIATES = 12


def null_models(n_samples: int, n_traits: int, most_missing: float, seed: int = 1) -> LinearState:
    """Traits of noise that lack 0 to ``most_missing`` of the samples, 12 covariates of noise."""
    rng = np.random.default_rng(seed)
    y = rng.standard_normal((n_samples, n_traits))
    for j in range(n_traits):
        y[rng.random(n_samples) < most_missing * (j + 1) / n_traits, j] = np.nan
    design = SimpleNamespace(
        y=y,
        X=np.column_stack([np.ones(n_samples), rng.standard_normal((n_samples, N_COVARIATES))]),
        traits=tuple(f"y{j}" for j in range(n_traits)),
        covariates=("intercept", *(f"x{c}" for c in range(N_COVARIATES))),
        complete=np.ones(n_samples, bool),
        dropped_covariates=(),
        offset=np.zeros(y.shape),
        offset_unit="trait",
    )
    return prepare(design, np.arange(n_samples), n_samples)


def calls(n_samples: int, frequencies: np.ndarray, missing: float, seed: int = 2) -> GenotypeBlock:
    """Calls of variants in Hardy-Weinberg proportions."""
    rng = np.random.default_rng(seed)
    codes = np.empty((len(frequencies), n_samples), np.uint8)
    for row, frequency in zip(codes, frequencies):
        u = rng.random(n_samples, np.float32)
        row[:] = (u < 2 * frequency - frequency**2).astype(np.uint8) + (u < frequency**2)
        row[rng.random(n_samples, np.float32) < missing] = 3
    return GenotypeBlock.from_codes(codes)


def seconds(model: Linear, state: LinearState, block: Block, repeats: int = 3) -> float:
    """Least CPU seconds of a block, kernels compiled."""
    found = []
    for _ in range(repeats + 1):
        fresh = replace(block)  # without the counts that a block keeps
        start = time.process_time()
        model.block(state, fresh)
        found.append(time.process_time() - start)
    return min(found[1:])


def scale(n_samples: int, n_variants: int, n_traits: int, missing: float = 0.005) -> str:
    """A line of the table: many samples, frequencies uniform in their logarithm from 1e-4 to 0.5."""
    frequencies = 10 ** np.random.default_rng(3).uniform(-4, np.log10(0.5), n_variants)
    block = calls(n_samples, frequencies, missing)
    lines = []
    for name, most in (("one pattern", 0.0), (f"{n_traits} patterns, 0 to 20 %", 0.2)):
        start = time.process_time()
        state = null_models(n_samples, n_traits, most)
        null = time.process_time() - start
        spent = seconds(Linear(state.traits), state, block, 2)
        lines.append(
            f"| {n_samples:,} | {n_variants:,} x {n_traits}, {name} | {null:.1f} | {spent:.2f} "
            f"| {1e3 * spent / (n_variants * n_traits):.4f} |"
        )
    return "\n".join(lines)


def curve(n_samples: int, n_variants: int = 500) -> str:
    """Cost of one trait against minor allele count, no call missing."""
    state = null_models(n_samples, 1, 0.0)
    lines = []
    mac = 10
    while mac <= n_samples:
        block = calls(n_samples, np.full(n_variants, mac / (2 * n_samples)), 0.0)
        spent = seconds(Linear(state.traits), state, block)
        lines.append(f"| {n_samples:,} | {mac:,} | {1e6 * spent / n_variants:.1f} |")
        mac *= 4
    return "\n".join(lines)


def dosages(n_samples: int, n_variants: int = 1000) -> str:
    """Cost of one trait of hard calls, of the same as 16-bit dosages with noise, and their ratio."""
    state = null_models(n_samples, 1, 0.0)
    hard = calls(n_samples, np.linspace(0.01, 0.5, n_variants), 0.0)
    noise = np.random.default_rng(4).normal(0, 0.05, (n_variants, n_samples))
    soft = DosageBlock.from_dosages(np.clip(hard.codes() + noise, 0, 2))
    spent = [1e6 * seconds(Linear(state.traits), state, block, 9) / n_variants for block in (hard, soft)]
    return f"| {n_samples:,} | {spent[0]:.1f} | {spent[1]:.1f} | {spent[1] / spent[0]:.2f} |"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=400_000)
    parser.add_argument("--variants", type=int, default=500)
    parser.add_argument("--traits", type=int, default=50)
    chosen = parser.parse_args()
    with threadpool_limits(1):
        print("| samples | tests | null models, CPU s | block, CPU s | core-ms a test |\n|---|---|---|---|---|")
        print(scale(chosen.samples, chosen.variants, chosen.traits))
        print("\n| samples | minor allele count | CPU us a variant |\n|---|---|---|")
        print(curve(min(chosen.samples, 100_000)))
        print("\n| samples | hard calls, CPU us a variant | dosages | ratio |\n|---|---|---|---|")
        for n_samples in (2504, 10_000):
            print(dosages(n_samples))


if __name__ == "__main__":
    main()
