"""Quality of samples: missing rate and heterozygosity, from counts added up over the blocks."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from genassoc.data.block import Block, GenotypeBlock
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.schema import HET, NOT_OBSERVED
from genassoc.kernels.genotypes import counts as counts_kernels
from genassoc.shapes import Float64Array, Int64Array


@dataclass(frozen=True)
class SampleCounts:
    """Counts of each sample's calls: whole numbers, so that they add up to the same in any order.

    Attributes
    ----------
    counts : int64 array (N, 4)
        Variants in which the sample has code 0, 1, 2, 3.
    """

    counts: Int64Array

    @classmethod
    def empty(cls, n_samples: int) -> "SampleCounts":
        """No variant seen yet."""
        return cls(np.zeros((n_samples, 4), dtype=np.int64))

    @property
    def n(self) -> Int64Array:
        """Variants observed in each sample, (N,)."""
        return np.asarray(self.counts[:, :NOT_OBSERVED].sum(axis=1))

    @property
    def missing_rate(self) -> Float64Array:
        """Variants not observed over all variants, (N,); NaN before the first."""
        return _rate(self.counts[:, NOT_OBSERVED], self.counts.sum(axis=1))

    @property
    def heterozygosity(self) -> Float64Array:
        """Heterozygous calls over observed calls, (N,); NaN where nothing is observed."""
        return _rate(self.counts[:, HET], self.n)


@dataclass(frozen=True)
class SampleQuality:
    """Counts the calls of every sample; the state is the number of samples in a block."""

    passes: ClassVar[tuple[str, ...]] = ("counting",)

    @property
    def sums(self) -> type[SampleCounts]:
        """`SampleCounts`."""
        return SampleCounts

    def prepare(self, cohort: Cohort, before: SampleCounts | None = None) -> int:
        """Samples in the blocks."""
        return cohort.block_width

    def block(self, state: int, block: Block) -> SampleCounts:
        """The counts of a block of hard calls."""
        if not isinstance(block, GenotypeBlock) or block.n_samples != state:
            raise ValueError(f"counting hard calls of {state} samples, but this block is of {block.n_samples}")
        found = SampleCounts.empty(state)
        counts_kernels.count_codes_by_sample(np.ascontiguousarray(block.packed), found.counts)
        return found

    def combine(self, one: SampleCounts, other: SampleCounts) -> SampleCounts:
        """Counts of both."""
        return SampleCounts(one.counts + other.counts)


def _rate(part: Int64Array, whole: Int64Array) -> Float64Array:
    rate = np.full(whole.shape, np.nan)
    np.divide(part, whole, out=rate, where=whole > 0)
    return rate
