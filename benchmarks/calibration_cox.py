"""Size of Cox regression's tests under the null, by minor allele count and share of events.

    python benchmarks/calibration_cox.py [--variants 20000] [--samples 10000] [--endpoints 4]

Genotypes without effect, in Hardy-Weinberg proportions; a covariate acts. Several endpoints are drawn, so that the
chance of one set of events does not stand for all. Prints the table of docs/models/cox.md: rejections over those
expected, and the standard error of that ratio.
"""

import argparse

import numpy as np
from cox_cost import endpoints

from genassoc.data.block import GenotypeBlock
from genassoc.models.cox.family import prepare
from genassoc.models.cox.model import Cox

BINS = ((5, 10), (10, 20), (20, 50), (50, 200), (200, 1000), (1000, 10_000))
LEVELS = (0.05, 0.01, 0.001)


def drawn(N: int, share: float, T: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A covariate, and T endpoints (N, T) with ``share`` of events."""
    x = rng.standard_normal((N, 1))
    failed = rng.exponential(np.exp(-0.3 * x), (N, T))
    end = np.quantile(failed, share, axis=0)
    return x, np.minimum(failed, end), failed <= end


def genotypes(N: int, V: int, low: float, high: float, rng: np.random.Generator) -> np.ndarray:
    """Codes (V, N) with expected minor allele counts log-uniform between two bounds."""
    frequency = np.minimum(np.exp(rng.uniform(np.log(low), np.log(high), V)) / (2 * N), 0.5)
    codes = np.zeros((V, N), np.uint8)
    for v in range(V):
        codes[v] = rng.binomial(2, frequency[v], N)
    return codes


def sizes(model: Cox, state, codes: np.ndarray, low: float) -> tuple[int, list[int]]:
    """Tests, and rejections at every level; rows without an estimate but with few alleles are no tests."""
    p = []
    for start in range(0, len(codes), 2000):
        rows = model.block(state, GenotypeBlock.from_codes(codes[start : start + 2000])).columns
        p.append(rows["neg_log_10_p_value"][rows["mac"] >= low])
    found = np.concatenate(p)
    found = found[np.isfinite(found)]
    return found.size, [int((found >= -np.log10(level)).sum()) for level in LEVELS]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--variants", type=int, default=20_000)
    parser.add_argument("--endpoints", type=int, default=4)
    chosen = parser.parse_args()
    rng = np.random.default_rng(1972)
    N, T = chosen.samples, chosen.endpoints
    columns = " | ".join(f"{level:g}" for level in LEVELS)
    print(f"| events | minor alleles | tests | method | {columns} |\n|---|---|---|---|{'---|' * len(LEVELS)}")
    for share in (0.01, 0.1, 0.5):
        x, time, event = drawn(N, share, T, rng)
        state = prepare(endpoints(time, event, x), np.arange(N), N)
        names = state.traits
        for low, high in BINS:
            codes = genotypes(N, chosen.variants, low, high, rng)
            for label, choices in (("score", {"correction": None}), ("default", {})):
                n, found = sizes(Cox("t", names, **choices), state, codes, low)
                shown = " | ".join(
                    f"{count / max(n * level, 1e-9):.2f} ({max(n * level, 1e-9) ** -0.5:.2f})"
                    for count, level in zip(found, LEVELS)
                )
                print(f"| {100 * share:g} % | {low}-{high} | {n:,} | {label} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
