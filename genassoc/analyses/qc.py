"""Quality of samples: missing rates and heterozygosity. That of variants: `genassoc.data.cohort.variant_statistics`."""

from dataclasses import dataclass

import numpy as np

from genassoc.data.block import GenotypeBlock
from genassoc.data.schema import HET, NOT_OBSERVED
from genassoc.kernels.genotypes import counts as counts_kernels
from genassoc.shapes import Float64Array, Int64Array


@dataclass(frozen=True)
class SampleQuality:
    """Counts of each sample's calls, added up over blocks; whole numbers, so in any order.

    Attributes
    ----------
    counts : int64 array (N, 4)
        Variants in which the sample has code 0, 1, 2, 3. `add` and `merge` change it in place.
    """

    counts: Int64Array

    @classmethod
    def empty(cls, n_samples: int) -> "SampleQuality":
        """No variant seen yet."""
        return cls(np.zeros((n_samples, 4), dtype=np.int64))

    def add(self, block: GenotypeBlock) -> None:
        """Count one more block of the same samples."""
        self._check_samples(block.n_samples)
        counts_kernels.count_codes_by_sample(np.ascontiguousarray(block.packed), self.counts)

    def merge(self, other: "SampleQuality") -> None:
        """Add what was counted elsewhere, of other variants of the same samples."""
        self._check_samples(len(other.counts))
        self.counts[:] += other.counts

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

    def _check_samples(self, n_samples: int) -> None:
        if n_samples != len(self.counts):
            raise ValueError(f"counting {len(self.counts)} samples, but these calls are of {n_samples}")


def _rate(part: Int64Array, whole: Int64Array) -> Float64Array:
    rate = np.full(whole.shape, np.nan)
    np.divide(part, whole, out=rate, where=whole > 0)
    return rate
