"""Observed and expected heterozygous calls of samples, from which F follows: sums of whole numbers over blocks.

The expected share of heterozygotes at a variant, ``h = 2 p (1 - p)``, is a fraction of ``2 ** 36``, so that sums are the same bits however
the variants are cut into blocks and whoever adds them up; it is rounded by at most 1.5e-11.
"""

from dataclasses import dataclass

import numpy as np

from genassoc.data.block import GenotypeBlock
from genassoc.data.schema import HET, NOT_OBSERVED
from genassoc.kernels.genotypes import counts as counts_kernels
from genassoc.kernels.genotypes.sample_gaps import sum_where_missing
from genassoc.shapes import Float64Array, Int64Array, UInt64Array

SCALE = 2.0**36


@dataclass(frozen=True)
class Homozygosity:
    """Sums over polymorphic variants, of the samples of a block or a store.

    Attributes
    ----------
    counts : int64 array (N, 4)
        Variants in which the sample has code 0, 1, 2, 3.
    gaps : int64 array (N, 1)
        Sum of h over those in which it is not observed, times `SCALE`.
    total : int64 array (2,)
        Sums of h and of h (1 - h) over all, times `SCALE`.
    """

    counts: Int64Array
    gaps: Int64Array
    total: Int64Array

    @classmethod
    def empty(cls, n_samples: int) -> "Homozygosity":
        """No variant seen yet."""
        return cls(np.zeros((n_samples, 4), np.int64), np.zeros((n_samples, 1), np.int64), np.zeros(2, np.int64))

    @classmethod
    def of(cls, block: GenotypeBlock, mask: UInt64Array) -> "Homozygosity":
        """Sums over the polymorphic variants of a block; p is that of the samples of the mask, two alleles a call.

        A haploid call counts as homozygous, so that sums depend on the calls alone and not on whose ploidy a file marks.
        """
        found = cls.empty(block.n_samples)
        packed = np.ascontiguousarray(block.packed)
        codes = np.zeros((len(packed), 4), np.int64)
        counts_kernels.count_codes(packed.view(np.uint64), mask, codes)
        h, rows = expected(codes)
        if rows.size:
            packed = packed if rows.size == len(packed) else packed[rows]
            counts_kernels.count_codes_by_sample(packed, found.counts)
            sum_where_missing(packed.view(np.uint64), h[rows, None], found.gaps)
            share = h[rows] / SCALE
            found.total[:] = h[rows].sum(), np.rint(share * (1.0 - share) * SCALE).astype(np.int64).sum()
        return found

    def __add__(self, other: "Homozygosity") -> "Homozygosity":
        return Homozygosity(self.counts + other.counts, self.gaps + other.gaps, self.total + other.total)

    @property
    def n(self) -> Int64Array:
        """Observed calls, (N,)."""
        return np.asarray(self.counts[:, :NOT_OBSERVED].sum(axis=1))

    @property
    def het(self) -> Int64Array:
        """Heterozygous calls, (N,)."""
        return self.counts[:, HET]

    @property
    def expected_het(self) -> Float64Array:
        """Heterozygous calls expected among those observed, under Hardy-Weinberg proportions, (N,)."""
        return np.asarray((self.total[0] - self.gaps[:, 0]) / SCALE)

    @property
    def f(self) -> Float64Array:
        """F by moments, ``1 - O(het) / E(het)``, (N,): PLINK's --het and --check-sex; NaN where nothing is expected."""
        wanted = self.expected_het
        share = np.full(wanted.size, np.nan)
        np.divide(self.het, wanted, out=share, where=(wanted > 0.0) & (self.n > 0))
        return 1.0 - share

    @property
    def error_of_f(self) -> float:
        """Standard error of F of a sample in Hardy-Weinberg proportions, observed everywhere, if variants were independent; NaN of none."""
        h, spread = self.total / SCALE
        return float(np.sqrt(spread) / h) if h > 0.0 else float("nan")

    @property
    def n_variants(self) -> int:
        """Polymorphic variants."""
        return int(self.counts[0].sum()) if len(self.counts) else 0


def expected(codes: Int64Array) -> tuple[Int64Array, Int64Array]:
    """2 p (1 - p) times `SCALE` of variants with code counts (V, 4), (V,), and the numbers of those that are polymorphic."""
    alleles = 2 * codes[:, :NOT_OBSERVED].sum(axis=1)
    alt = codes[:, HET] + 2 * codes[:, 2]
    rows = np.flatnonzero((alt > 0) & (alt < alleles))
    h = np.zeros(len(codes), np.int64)
    ours, both = alt[rows], alleles[rows]
    # 2 p (1 - p) of whole numbers: the same to the bit where REF and ALT change places
    h[rows] = np.rint(2.0 * (ours * (both - ours)) / (both * both) * SCALE).astype(np.int64)
    return h, rows
