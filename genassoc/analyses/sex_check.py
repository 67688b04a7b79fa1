"""Sex as the calls tell it: F on X outside the pseudo-autosomal regions, and calls on Y, whatever sex is stated."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from genassoc.data.block import Block, GenotypeBlock, places_of
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.contigs import X, Y
from genassoc.data.cohort.homozygosity import Homozygosity
from genassoc.data.cohort.ploidy import outside_par
from genassoc.kernels.genotypes import counts as counts_kernels
from genassoc.kernels.genotypes.counts import mask_words
from genassoc.shapes import BoolArray, Int64Array, UInt64Array

_POSITIONS = 65_536  # looked at together


@dataclass(frozen=True)
class SexSums:
    """Sums of each sample's calls on X and Y: whole numbers.

    Attributes
    ----------
    counts, gaps, total
        Of X: see `genassoc.data.cohort.homozygosity.Homozygosity`.
    on_y : int64 array (N, 4)
        Variants of Y in which the sample has code 0, 1, 2, 3.
    """

    counts: Int64Array
    gaps: Int64Array
    total: Int64Array
    on_y: Int64Array

    @property
    def on_x(self) -> Homozygosity:
        """Observed and expected calls over the polymorphic variants of X."""
        return Homozygosity(self.counts, self.gaps, self.total)


@dataclass(frozen=True)
class SexState:
    """Where to look.

    Attributes
    ----------
    width : int
        Samples in a block.
    mask : uint64 array (W,)
        The cohort's among them.
    on_x, on_y : int64 arrays
        Numbers of the variants outside the pseudo-autosomal regions, ascending.
    """

    width: int
    mask: UInt64Array
    on_x: Int64Array
    on_y: Int64Array


@dataclass(frozen=True)
class SexCalls:
    """Counts calls on X and Y of a cohort without stated sexes, so that they are as they were read."""

    passes: ClassVar[tuple[str, ...]] = ("sexes",)

    @property
    def sums(self) -> type[SexSums]:
        """`SexSums`."""
        return SexSums

    def prepare(self, cohort: Cohort, before: SexSums | None = None) -> SexState:
        """The variants outside the pseudo-autosomal regions: where the build is not known, of all builds."""
        numbers = {
            kind: [
                start + np.flatnonzero(outside_par(kind, _positions(cohort, start, stop), cohort.ploidy.build))
                for name, first, last in cohort.ploidy.runs
                if name == kind
                for start in range(first, last, _POSITIONS)
                for stop in (min(start + _POSITIONS, last),)
            ]
            for kind in (X, Y)
        }
        on_x, on_y = (np.concatenate([np.zeros(0, np.int64), *numbers[kind]]) for kind in (X, Y))
        return SexState(cohort.block_width, mask_words(cohort.block_columns, cohort.block_width), on_x, on_y)

    def block(self, state: SexState, block: Block) -> SexSums:
        """Sums of a block of calls, in which half calls are not observed."""
        if not isinstance(block, GenotypeBlock):
            raise TypeError("sexes are told from calls")
        numbers = places_of(block).numbers
        x = Homozygosity.of(block.take(_among(numbers, state.on_x)), state.mask)
        on_y = np.zeros((state.width, 4), np.int64)
        mine = _among(numbers, state.on_y)
        if mine.any():
            counts_kernels.count_codes_by_sample(np.ascontiguousarray(block.packed[mine]), on_y)
        return SexSums(x.counts, x.gaps, x.total, on_y)

    def combine(self, one: SexSums, other: SexSums) -> SexSums:
        """Sums of both."""
        return SexSums(*(a + b for a, b in zip(one.__dict__.values(), other.__dict__.values())))


def _among(numbers: Int64Array, chosen: Int64Array) -> BoolArray:
    """Which numbers are among some, ascending."""
    if chosen.size == 0:
        return np.zeros(numbers.size, dtype=bool)
    at = np.minimum(np.searchsorted(chosen, numbers), chosen.size - 1)
    return np.asarray(chosen[at] == numbers)


def _positions(cohort: Cohort, start: int, stop: int) -> Int64Array:
    return np.asarray(cohort.store.variants(start, stop)["base_pair_location"].to_numpy(), dtype=np.int64)
