"""What a whole-genome regression (ridge) costs: its pieces measured, a model of them, and what the model says of a biobank.

    python benchmarks/whole_genome_cost.py [--samples 4000,16000] [--block 1000] [--repeats 3] [--check]

Pieces, on one thread: a block's genotypes decoded and freed of the covariates; its Gram matrices, solutions and predictions for one trait and for
many; level 1 of a trait. Each is measured at two numbers of samples, so that what grows with samples and what does not are told apart. ``--check``
fits a whole cohort of the greater size and prints the model beside it.
"""

import argparse
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # this checkout's genassoc, installed or not

import numpy as np
import polars as pl
from speed_drawn import draw_codes
from threadpoolctl import threadpool_limits

import genassoc as ga
from genassoc.analyses.whole_genome.choices import H2_GRID
from genassoc.analyses.whole_genome.folds import Folds
from genassoc.analyses.whole_genome.frame import SampleGroup, TraitNull
from genassoc.analyses.whole_genome.genotypes import standardised
from genassoc.analyses.whole_genome.outcomes import OUTCOMES
from genassoc.analyses.whole_genome.ridge import penalties_of, predict_folds
from genassoc.data.block import GenotypeBlock
from genassoc.data.store.writer import write_store
from genassoc.verbs import whole_genome

SEED = 11
FOLDS, COVARIATES, CHROMOSOMES = 5, 12, 22
BIOBANK = (400_000, 500_000, 50)  # samples, variants, traits
MANY = 50
R = len(H2_GRID)


@dataclass(frozen=True)
class Model:
    """CPU seconds of each piece, of one thread.

    Attributes
    ----------
    decode : float
        A genotype.
    block_fixed, block_sample, block_trait : float
        A block whatever its samples (its solutions); a sample of a block, for Gram matrices; a trait and sample of a block, for predictions.
    solve_trait : float
        A trait of a block, whatever its samples.
    gram, solve : float
        Level 1 of a trait: a sample and pair of predictors; a penalty, fold and triple of predictors.
    block : int
        Variants of a block.
    """

    decode: float
    block_fixed: float
    block_sample: float
    block_trait: float
    solve_trait: float
    gram: float
    solve: float
    block: int

    def seconds(self, n_samples: int, n_variants: int, n_traits: int) -> dict[str, float]:
        """CPU seconds of each piece of a whole fit."""
        n_blocks, passes = -(-n_variants // self.block), passes_of(n_samples, n_variants, n_traits, self.block)
        P = R * n_blocks
        return {
            "decode and free of covariates": passes * self.decode * n_samples * n_variants,
            "Gram matrices of blocks": passes * self.block_sample * n_samples * n_blocks,
            "solutions of blocks": (passes * self.block_fixed + self.solve_trait * n_traits) * n_blocks,
            "predictions of blocks": self.block_trait * n_samples * n_blocks * n_traits,
            "level 1, products": self.gram * n_samples * P**2 * n_traits,
            "level 1, solutions": self.solve * R * FOLDS * P**3 * n_traits,
        }


def held(n_samples: int, n_variants: int, block: int) -> int:
    """Bytes of a trait's predictions of all blocks, which wait for level 1."""
    return 4 * R * n_samples * -(-n_variants // block)


def passes_of(n_samples: int, n_variants: int, n_traits: int, block: int) -> int:
    """Passes over the genotypes: traits whose predictions are more than what is held at once take another."""
    return -(-n_traits // max(1, whole_genome._MOST_PREDICTIONS // held(n_samples, n_variants, block)))


def group_of(rng: np.random.Generator, N: int, T: int) -> SampleGroup:
    """Samples in the order of the cohort, ``FOLDS`` folds, traits without an effect."""
    X = np.column_stack([np.ones(N), rng.standard_normal((N, COVARIATES))])
    Q = np.linalg.qr(X)[0].astype(np.float32)
    y = rng.standard_normal((N, T))
    observed = np.ones(N, dtype=bool)
    nulls = tuple(
        TraitNull(
            name=f"y{t}",
            observed=observed,
            response=y[:, [t]],
            eta=np.zeros(N),
            working=y[:, t],
            scale=1.0,
            strata=None,
            n_covariates=COVARIATES + 1,
        )
        for t in range(T)
    )
    folds = Folds(np.linspace(0, N, FOLDS + 1).astype(np.int64))
    samples = np.arange(N, dtype=np.int64)
    return SampleGroup(samples=samples, columns=samples, folds=folds, Q=Q, nulls=nulls, working=y.astype(np.float32))


def timed(work: Callable[[], object], repeats: int) -> float:
    """The least CPU seconds of some runs, after one that compiles and touches the memory."""
    work()
    found = []
    for _ in range(repeats):
        start = time.process_time()
        work()
        found.append(time.process_time() - start)
    return min(found)


@dataclass(frozen=True)
class Pieces:
    """CPU seconds of the pieces at one number of samples; of level 1 (work in products, work in solutions, seconds)."""

    decode: float
    one: float
    many: float
    level1: tuple[tuple[float, float, float], ...]


def pieces(N: int, block: int, repeats: int) -> Pieces:
    """One block of common variants and ``N`` samples."""
    rng = np.random.default_rng(SEED)
    codes = draw_codes(rng, N, rng.binomial(2 * N, rng.uniform(0.05, 0.5, block)))
    calls = GenotypeBlock.from_codes(codes)
    single, group = group_of(rng, N, 1), group_of(rng, N, MANY)
    G = standardised(calls, single).G
    penalties = penalties_of(BIOBANK[1])
    outcome = OUTCOMES["quantitative"]

    def predicted(samples: SampleGroup) -> None:
        predict_folds(G, samples, penalties, np.empty((len(samples.nulls), R, N), np.float32))

    def level1(P: int) -> tuple[float, float, float]:
        X = rng.standard_normal((N, P)).astype(np.float32)
        parts = [slice(0, P // 3), slice(P // 3, P)]
        seconds = timed(lambda: outcome.level1(single.nulls[0], X, single.folds, penalties_of(P), parts), repeats)
        return N * P**2, R * FOLDS * P**3, seconds

    return Pieces(
        decode=timed(lambda: standardised(calls, single), repeats),
        one=timed(lambda: predicted(single), repeats),
        many=timed(lambda: predicted(group), repeats),
        level1=(level1(max(10, block // 4)), level1(max(20, block // 2))),
    )


def measure(samples: tuple[int, int], block: int, repeats: int) -> Model:
    """The pieces at two numbers of samples, and the lines through them."""
    from scipy.optimize import nnls

    low, high = samples
    small, large = pieces(low, block, repeats), pieces(high, block, repeats)
    slope_one, slope_many = (large.one - small.one) / (high - low), (large.many - small.many) / (high - low)
    each = max(0.0, slope_many - slope_one) / (MANY - 1)
    rest_one, rest_many = small.one - slope_one * low, small.many - slope_many * low
    work = np.array([*small.level1, *large.level1])
    unit = work[:, :2].max(axis=0)
    gram, solve = nnls(work[:, :2] / unit, work[:, 2])[0] / unit
    return Model(
        decode=large.decode / (high * block),
        block_fixed=max(0.0, rest_one),
        block_sample=max(0.0, slope_one - each),
        block_trait=each,
        solve_trait=max(0.0, rest_many - rest_one) / (MANY - 1),
        gram=float(gram),
        solve=float(solve),
        block=block,
    )


def table(model: Model, n_samples: int, n_variants: int, traits: tuple[int, ...]) -> list[str]:
    """Markdown: CPU seconds of each piece for some numbers of traits."""
    costs = [model.seconds(n_samples, n_variants, T) for T in traits]
    lines = [
        f"| {n_samples:,} samples x {n_variants:,} variants, CPU s | "
        + " | ".join(f"{T} trait{'s' * (T > 1)}" for T in traits)
        + " |",
        "|---|" + "---|" * len(traits),
    ]
    lines += [f"| {name} | " + " | ".join(f"{cost[name]:,.1f}" for cost in costs) + " |" for name in costs[0]]
    lines.append(
        "| **together** | "
        + " | ".join(f"**{sum(cost.values()):,.0f}** ({sum(cost.values()) / 3600:,.2f} h)" for cost in costs)
        + " |"
    )
    return lines


def memory(n_samples: int, n_variants: int, n_traits: int, block: int) -> list[str]:
    """Bytes that a fit holds, in words: what grows with samples."""
    passes = passes_of(n_samples, n_variants, n_traits, block)
    return [
        f"- a block's genotypes in float32: {4 * block * n_samples / 1e9:.2f} GB a thread",
        f"- predictions of blocks: {held(n_samples, n_variants, block) / 1e9:.2f} GB a trait; {whole_genome._MOST_PREDICTIONS / 1e9:.2f} GB are held at once, or one trait's: "
        f"{passes} passes over the genotypes for {n_traits} traits, each of which decodes and multiplies blocks again (counted above)",
    ]


def check(model: Model, n_samples: int, n_variants: int, n_traits: int) -> list[str]:
    """A whole fit beside what the model says of it."""
    rng = np.random.default_rng(SEED)
    edges = np.linspace(0, n_variants, CHROMOSOMES + 1).astype(int)
    chromosome = np.searchsorted(edges, np.arange(n_variants), side="right")
    variants = pl.DataFrame(
        {
            "chromosome": [str(c) for c in chromosome], "base_pair_location": 1000 + 100 * np.arange(n_variants),
            "other_allele": ["A"] * n_variants, "effect_allele": ["G"] * n_variants,
        }
    )  # fmt: skip
    ids = [f"S{i}" for i in range(n_samples)]

    def blocks():
        for start in range(0, n_variants, 500):
            copies = rng.binomial(2 * n_samples, rng.uniform(0.05, 0.5, min(500, n_variants - start)))
            yield GenotypeBlock.from_codes(draw_codes(rng, n_samples, copies), start)

    traits = {f"y{t}": rng.standard_normal(n_samples) for t in range(n_traits)}
    people = pl.DataFrame(
        {"IID": ids, **{f"x{k}": rng.standard_normal(n_samples) for k in range(COVARIATES)}, **traits}
    )
    with tempfile.TemporaryDirectory() as folder:
        write_store(Path(folder) / "s.zarr", ids, blocks(), variants)
        cohort = ga.Cohort.align(Path(folder) / "s.zarr", people, sample_id="IID")
        choices = ga.WholeGenomeRegression(
            traits=list(traits), covariates=[f"x{k}" for k in range(COVARIATES)], block_size=model.block
        )
        ga.fit_whole_genome(
            cohort.keep_variants(np.arange(min(200, n_variants))), choices, executor=ga.Serial()
        )  # compiled
        start = time.process_time()
        ga.fit_whole_genome(cohort, choices, executor=ga.Serial())
        found = time.process_time() - start
    said = sum(model.seconds(n_samples, n_variants, n_traits).values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return [
        f"A whole fit of {n_samples:,} samples x {n_variants:,} variants x {n_traits} traits: {found:.1f} CPU s, the model says {said:.1f}; "
        f"most memory of the process {peak:.2f} GB."
    ]


def main() -> None:
    """Measure, and print what follows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", default="4000,16000")
    parser.add_argument("--block", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--variants", type=int, default=20_000, help="of the whole fit of --check")
    chosen = parser.parse_args()
    low, high = (int(n) for n in chosen.samples.split(","))
    with threadpool_limits(1):
        model = measure((low, high), chosen.block, chosen.repeats)
        lines = [*table(model, 10_000, 100_000, (1, MANY)), "", *table(model, *BIOBANK[:2], (1, BIOBANK[2])), ""]
        lines += memory(*BIOBANK, chosen.block)
        if chosen.check:
            lines += ["", *check(model, high, chosen.variants, MANY)]
    print("\n".join(lines))


if __name__ == "__main__":
    main()
