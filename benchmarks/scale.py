"""Linear regression at a biobank's size: core-milliseconds for each test, and how time follows MAC, N and V.

    python benchmarks/scale.py [--samples 400000] [--variants 2000] [--traits 50] [--patterns one|own]

Genotypes are drawn block by block outside of the measured time, so memory is that of one block, the null models and the
generator. CPU seconds of one thread around `Linear.block`: reading, decompression and writing are not in them (the speed
benchmark times whole processes, and prints this too).
"""

import argparse
import resource
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
from speed_drawn import draw_codes
from threadpoolctl import threadpool_limits

from genassoc.data.block import GenotypeBlock
from genassoc.data.schema import block_variants
from genassoc.models.linear.model import Linear
from genassoc.models.linear.null import LinearState, prepare

SEED = 4
COVARIATES = 12


@dataclass(frozen=True)
class Point:
    """One measurement: what was scanned, and the CPU seconds in `Linear.block`."""

    samples: int
    variants: int
    traits: int
    seconds: float

    @property
    def each(self) -> float:
        """Core-milliseconds a variant-trait test."""
        return 1e3 * self.seconds / (self.variants * self.traits)


def design(rng: np.random.Generator, N: int, T: int, own_patterns: bool) -> SimpleNamespace:
    """What ``Cohort.design`` returns: y (N, T) with a tenth missing, in all traits alike or in each apart; X (N, 13)."""
    y = rng.standard_normal((N, T))
    if own_patterns:
        for j in range(T):
            y[rng.random(N) < 0.2 * j / max(1, T - 1), j] = np.nan
    else:
        y[rng.random(N) < 0.1] = np.nan
    return SimpleNamespace(
        y=y,
        X=np.column_stack([np.ones(N), rng.standard_normal((N, COVARIATES))]),
        traits=tuple(f"trait_{j}" for j in range(T)),
        covariates=("intercept", *(f"x{c}" for c in range(COVARIATES))),
        complete=np.ones(N, bool),
        dropped_covariates=(),
        offset=np.zeros(y.shape),
        offset_unit="trait",
        coding=("",) * T,
    )


def draw_block(rng: np.random.Generator, N: int, mac: np.ndarray, start: int = 0) -> GenotypeBlock:
    """Calls of V variants with about ``mac`` minor alleles each, 0.5 % of them missing."""
    return GenotypeBlock.from_codes(draw_codes(rng, N, mac), start)


def spectrum(rng: np.random.Generator, N: int, V: int) -> np.ndarray:
    """Minor allele counts from 10 to N, uniform in their logarithm: most are rare, as in a sequenced cohort."""
    return np.rint(np.exp(rng.uniform(np.log(min(10, N)), np.log(N), V))).astype(np.int64)


def blocks(N: int, mac: np.ndarray) -> Iterator[GenotypeBlock]:
    """The variants in blocks of the store's size."""
    rng = np.random.default_rng([SEED, 1])
    size = block_variants(N)
    for start in range(0, len(mac), size):
        yield draw_block(rng, N, mac[start : start + size], start)


def scan(state: LinearState, N: int, mac: np.ndarray) -> Point:
    """CPU seconds of all blocks' tests."""
    model = Linear(state.traits)
    seconds = 0.0
    for block in blocks(N, mac):
        begin = time.process_time()
        model.block(state, block)
        seconds += time.process_time() - begin
    return Point(N, len(mac), len(state.traits), seconds)


def prepared(N: int, T: int, own_patterns: bool) -> LinearState:
    """Null models, and compiled kernels."""
    rng = np.random.default_rng([SEED, 2])
    state = prepare(design(rng, N, T, own_patterns), np.arange(N), N)
    Linear(state.traits).block(state, draw_block(rng, N, spectrum(rng, N, 4)))
    return state


@dataclass(frozen=True)
class Curves:
    """Everything measured: `whole`, its beginnings (by V), by MAC (count -> Point) and by N."""

    whole: Point
    by_variants: list[Point]
    by_mac: dict[int, Point]
    by_samples: list[Point]
    peak: float


def measure(N: int, V: int, T: int, own_patterns: bool, points: int | None = None) -> Curves:
    """Scan V variants; ``points`` variants (one block of the store by default) at each MAC from 10 to N / 2; parts of the samples."""
    points = points or block_variants(N)
    mac = spectrum(np.random.default_rng([SEED, 3]), N, V)
    with threadpool_limits(1):
        state = prepared(N, T, own_patterns)
        whole = scan(state, N, mac)
        by_variants = [scan(state, N, mac[: V // part]) for part in (4, 2)] + [whole]
        counts = np.unique(np.geomspace(min(10, N // 2), N // 2, 8).astype(int))
        by_mac = {int(count): scan(state, N, np.full(points, count)) for count in counts}
        peak = float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss) * (1 if sys.platform == "darwin" else 1024)
        del state
        by_samples = []
        for part in (8, 4, 2):
            n = N // part
            by_samples.append(scan(prepared(n, T, own_patterns), n, np.maximum(1, mac[: V // 2] // part)))
        by_samples.append(by_variants[1])
    return Curves(whole, by_variants, by_mac, by_samples, peak)


def lines(curves: Curves, own_patterns: bool) -> list[str]:
    """What was found, in words and in one list of points each."""
    whole = curves.whole
    pattern = "each trait with its own missing samples" if own_patterns else "one pattern of missing values"
    by_n = ", ".join(f"N {point.samples:,}: {point.each:.4f}" for point in curves.by_samples)
    by_mac = ", ".join(f"{count:,}: {point.each:.4f}" for count, point in curves.by_mac.items())
    return [
        f"- {whole.samples:,} samples x {whole.variants:,} variants x {whole.traits} traits, {pattern}: {whole.seconds:.1f} CPU s, "
        f"**{whole.each:.4f} core-ms a test**; peak memory {curves.peak / 1e9:.1f} GB, generator included.",
        f"  By N ({curves.by_samples[0].variants:,} variants): {by_n}. By minor allele count: {by_mac}.",
    ]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=400_000)
    parser.add_argument("--variants", type=int, default=2000)
    parser.add_argument("--traits", type=int, default=50)
    parser.add_argument("--patterns", choices=("one", "own"), default="one")
    chosen = parser.parse_args()
    own = chosen.patterns == "own"
    print("\n".join(lines(measure(chosen.samples, chosen.variants, chosen.traits, own), own)))


if __name__ == "__main__":
    main()
