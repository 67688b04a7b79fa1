"""Cohorts whose variants are drawn one by one: any law of frequencies, any number of samples, memory of one run of variants."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl

from genassoc.data.block import GenotypeBlock

MISSING_CALLS = 0.005
DENSE_ABOVE = 0.02  # frequency from which every call is drawn, rather than the carriers
RUN_BYTES = 64 * 2**20  # of codes, one byte each, drawn at a time
# Allele frequencies of a sequenced cohort: at 10,000 samples a fifth of the variants has no carrier or fewer than ten.
BETA = (0.25, 2.2)
LEAST = 1e-4  # of the law uniform in the logarithm


def draw_codes(rng: np.random.Generator, N: int, copies: np.ndarray) -> np.ndarray:
    """Codes (V, N) with about ``copies`` (V,) effect alleles each; 0.5 % of the calls are missing (3)."""
    codes = np.zeros((len(copies), N), np.uint8)
    for row, count in zip(codes, copies):
        frequency = count / (2 * N)
        if frequency > DENSE_ABOVE:
            row += rng.random(N, dtype=np.float32) < frequency
            row += rng.random(N, dtype=np.float32) < frequency
        else:
            carriers = rng.choice(2 * N, int(count), replace=False, shuffle=False)
            np.add.at(row, carriers >> 1, np.uint8(1))
        row[rng.integers(0, N, rng.binomial(N, MISSING_CALLS))] = 3
    return codes


@dataclass(frozen=True)
class DrawnCohort:
    """A cohort without linkage or structure; what it offers is what ``SimulatedCohort`` offers to the benchmark.

    Attributes
    ----------
    n_samples, n_variants, n_chromosomes : int
    spectrum : str
        ``log``: frequencies uniform in their logarithm from 1e-4 to 0.5; ``beta``: Beta(0.25, 2.2), with the
        variants that nobody carries.
    seed : int
    """

    n_samples: int
    n_variants: int
    n_chromosomes: int
    spectrum: str
    seed: int

    @property
    def sample_ids(self) -> tuple[str, ...]:
        """S0001, S0002, ..."""
        width = len(str(self.n_samples))
        return tuple(f"S{i:0{width}d}" for i in range(1, self.n_samples + 1))

    @property
    def contigs(self) -> dict[str, int]:
        """Chromosomes and lengths."""
        return {str(number): 100 * self.n_variants + 1000 for number in range(1, self.n_chromosomes + 1)}

    @property
    def phenotypes(self) -> pl.DataFrame:
        """Age, sex and four scores that say nothing."""
        rng = np.random.default_rng([self.seed, 3])
        scores = {f"PC{k}": rng.standard_normal(self.n_samples).round(4) for k in range(1, 5)}
        return pl.DataFrame(
            {"age": rng.integers(20, 80, self.n_samples), "sex": rng.integers(1, 3, self.n_samples), **scores}
        )

    def blocks(self) -> Iterator[tuple[pl.DataFrame, GenotypeBlock]]:
        """Runs of variants with their calls, the same each time; none crosses a chromosome."""
        size = max(1, RUN_BYTES // self.n_samples)
        edges = np.linspace(0, self.n_variants, self.n_chromosomes + 1).astype(int)
        for chromosome, (first, last) in enumerate(itertools.pairwise(edges), start=1):
            for start in range(first, last, size):
                yield self._run(chromosome, start, min(size, last - start))

    def _run(self, chromosome: int, start: int, V: int) -> tuple[pl.DataFrame, GenotypeBlock]:
        rng = np.random.default_rng([self.seed, 4, start])
        if self.spectrum == "beta":
            frequency = rng.beta(*BETA, V)
        else:
            frequency = np.exp(rng.uniform(np.log(LEAST), np.log(0.5), V))
        codes = draw_codes(rng, self.n_samples, rng.binomial(2 * self.n_samples, frequency))
        numbers = np.arange(start, start + V)
        variants = pl.DataFrame(
            {
                "chromosome": [str(chromosome)] * V,
                "base_pair_location": 1000 + 100 * numbers,
                "rsid": [f"rs{number + 1}" for number in numbers],
                "other_allele": ["A"] * V,
                "effect_allele": ["G"] * V,
            }
        )
        return variants, GenotypeBlock.from_codes(codes, start)
