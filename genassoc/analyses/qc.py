"""Quality of samples: missing rate, heterozygosity and F, from counts added up over the blocks."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from genassoc.data.block import Block, GenotypeBlock, places_of
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.contigs import NOT_AUTOSOMES, Y
from genassoc.data.cohort.homozygosity import Homozygosity
from genassoc.data.cohort.ploidy import kinds_of
from genassoc.data.schema import HET, NOT_OBSERVED
from genassoc.kernels.genotypes import counts as counts_kernels
from genassoc.kernels.genotypes.counts import mask_words
from genassoc.shapes import BoolArray, Float64Array, Int64Array, UInt64Array


@dataclass(frozen=True)
class SampleCounts:
    """Counts of each sample's calls: whole numbers, so that they add up to the same in any order.

    Attributes
    ----------
    counts : int64 array (N, 4)
        Variants in which the sample has code 0, 1, 2, 3.
    autosomal, on_y : int64 arrays (N, 4)
        Those on autosomes, and on Y.
    polymorphic, gaps, total
        Of those that are polymorphic: see `genassoc.data.cohort.homozygosity.Homozygosity`.
    """

    counts: Int64Array
    autosomal: Int64Array
    on_y: Int64Array
    polymorphic: Int64Array
    gaps: Int64Array
    total: Int64Array

    @classmethod
    def empty(cls, n_samples: int) -> "SampleCounts":
        """No variant seen yet."""
        none = Homozygosity.empty(n_samples)
        return cls(_zeros(n_samples), _zeros(n_samples), _zeros(n_samples), none.counts, none.gaps, none.total)

    def __add__(self, other: "SampleCounts") -> "SampleCounts":
        return SampleCounts(*(one + two for one, two in zip(self.__dict__.values(), other.__dict__.values())))

    @property
    def n(self) -> Int64Array:
        """Variants observed in each sample, (N,)."""
        return np.asarray(self.counts[:, :NOT_OBSERVED].sum(axis=1))

    @property
    def missing_rate(self) -> Float64Array:
        """Variants not observed over all variants, (N,); NaN before the first."""
        return _rate(self.counts[:, NOT_OBSERVED], self.counts.sum(axis=1))

    @property
    def missing_rate_without_y(self) -> Float64Array:
        """The same without Y, which a female has not, (N,)."""
        rest = self.counts - self.on_y
        return _rate(rest[:, NOT_OBSERVED], rest.sum(axis=1))

    @property
    def heterozygosity(self) -> Float64Array:
        """Heterozygous calls over observed calls on autosomes, (N,); NaN where nothing is observed."""
        return _rate(self.autosomal[:, HET], self.autosomal[:, :NOT_OBSERVED].sum(axis=1))

    @property
    def homozygosity(self) -> Homozygosity:
        """Observed and expected calls over the polymorphic autosomal variants."""
        return Homozygosity(self.polymorphic, self.gaps, self.total)


@dataclass(frozen=True)
class SamplesCounted:
    """The samples of a cohort in its blocks, and where its autosomes are not.

    Attributes
    ----------
    width : int
        Samples in a block.
    mask : uint64 array (W,)
        The cohort's among them, of whom p is.
    special : tuple of (first, last)
        Variants on X, Y and MT.
    on_y : tuple of (first, last)
        Those on Y.
    """

    width: int
    mask: UInt64Array
    special: tuple[tuple[int, int], ...] = ()
    on_y: tuple[tuple[int, int], ...] = ()

    @classmethod
    def all_of(cls, width: int) -> "SamplesCounted":
        """All samples of a block of autosomal variants."""
        return cls(width, mask_words(np.arange(width, dtype=np.int64), width))

    def autosomal(self, numbers: Int64Array) -> Int64Array:
        """Which of some variants, by number in the store, lie on autosomes: their places among them."""
        return np.flatnonzero(~_within(numbers, self.special))


@dataclass(frozen=True)
class SampleQuality:
    """Counts the calls of every sample; the state is who counts in a block."""

    passes: ClassVar[tuple[str, ...]] = ("counting",)

    @property
    def sums(self) -> type[SampleCounts]:
        """`SampleCounts`."""
        return SampleCounts

    def prepare(self, cohort: Cohort, before: SampleCounts | None = None) -> SamplesCounted:
        """The cohort's samples, and its runs on X, Y and MT; contigs of unknown names are taken for autosomes."""
        kinds = kinds_of(cohort.store.contig_runs(), cohort.contigs)
        special = tuple((first, last) for kind, first, last in kinds if kind in NOT_AUTOSOMES)
        on_y = tuple((first, last) for kind, first, last in kinds if kind == Y)
        return SamplesCounted(cohort.block_width, mask_words(cohort.block_columns, cohort.block_width), special, on_y)

    def block(self, state: SamplesCounted, block: Block) -> SampleCounts:
        """The counts of a block of hard calls."""
        if not isinstance(block, GenotypeBlock) or block.n_samples != state.width:
            raise ValueError(f"counting hard calls of {state.width} samples, but this block is of {block.n_samples}")
        numbers = places_of(block).numbers
        rows = state.autosomal(numbers)
        autosomes = block if rows.size == block.n_variants else block.take(rows)
        rates = Homozygosity.of(autosomes, state.mask)
        # where all are polymorphic, they are counted already
        whole = bool(state.width) and int(rates.counts[0].sum()) == rows.size
        ours = rates.counts.copy() if whole else _counted(autosomes)
        everything = ours.copy() if rows.size == block.n_variants else _counted(block)
        y = _within(numbers, state.on_y)
        on_y = _counted(block.take(y)) if y.any() else _zeros(state.width)
        return SampleCounts(everything, ours, on_y, rates.counts, rates.gaps, rates.total)

    def combine(self, one: SampleCounts, other: SampleCounts) -> SampleCounts:
        """Counts of both."""
        return one + other


def _zeros(n_samples: int) -> Int64Array:
    return np.zeros((n_samples, 4), dtype=np.int64)


def _counted(block: GenotypeBlock) -> Int64Array:
    counts = _zeros(block.n_samples)
    counts_kernels.count_codes_by_sample(np.ascontiguousarray(block.packed), counts)
    return counts


def _within(numbers: Int64Array, runs: tuple[tuple[int, int], ...]) -> BoolArray:
    """Which numbers lie in one of some runs (first, behind the last)."""
    inside = np.zeros(numbers.size, dtype=bool)
    for first, last in runs:
        inside |= (numbers >= first) & (numbers < last)
    return inside


def _rate(part: Int64Array, whole: Int64Array) -> Float64Array:
    rate = np.full(whole.shape, np.nan)
    np.divide(part, whole, out=rate, where=whole > 0)
    return rate
