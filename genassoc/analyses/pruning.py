"""Pruning by LD: of the variants of a contig, a set of which no two within a window have an r2 above a threshold, and which no other could join.

Variants are decided on one after another, first come first kept: each is kept unless one that is kept is in LD with it. Segments of the
length of the window, which begin at its multiples, follow one another; within a segment variants come by minor allele frequency, the most
frequent first, and of equals the one that stands first. So what is held at a time is one segment and what is kept of the one before it,
and the set depends on nothing but the variants and the samples.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import numpy as np

from genassoc.data.block import GenotypeBlock
from genassoc.errors import PlanError
from genassoc.kernels.genotypes.planes import to_planes
from genassoc.kernels.genotypes.pruning import PairPlanes, Stretch, keep_apart, sums_of_planes
from genassoc.shapes import BoolArray, Int64Array, UInt64Array

NOT_OBSERVED, NO_VARIATION, IN_LD = "no_call_observed", "no_variation", "in_ld"
_UNITS = {"": 0, "bp": 1, "kb": 1_000, "mb": 1_000_000}
_WINDOW = re.compile(r"(\d+(?:\.\d+)?)\s*(bp|kb|mb)?", re.IGNORECASE)
_MOST = 10**9  # longer than any chromosome


@dataclass(frozen=True)
class Window:
    """How near variants are to be compared.

    Attributes
    ----------
    size : int
        Bases, or variants.
    of_variants : bool
        Whether it counts variants: ``size`` of them that follow one another are compared.
    """

    size: int
    of_variants: bool = False

    @classmethod
    def parse(cls, text: "str | int | Window") -> "Window":
        """Read "1000kb", "1Mb", "50000bp", or "500" (variants).

        Raises
        ------
        PlanError
            It is none of these.
        """
        if isinstance(text, Window):
            return text
        match = _WINDOW.fullmatch(str(text).strip()) if isinstance(text, str | int) else None
        unit = (match[2] or "").lower() if match else ""
        size = float(match[1]) * (_UNITS[unit] or 1) if match else 0.0
        if not size.is_integer() or not (1 if unit else 2) <= size <= _MOST:
            raise PlanError(
                f'window={text!r}: a window is a distance such as "1000kb" or "1Mb", or a number of variants of at least 2 such as "500"'
            )
        return cls(int(size), not unit)

    @property
    def reach(self) -> int:
        """How far apart the places of two may be that are compared."""
        return self.size - 1 if self.of_variants else self.size

    def __str__(self) -> str:
        if self.of_variants:
            return f"{self.size:,} variants"
        for unit, bases in (("kb", 1_000), ("bp", 1)):
            if self.size % bases == 0:
                return f"{self.size // bases:,} {unit}"
        raise AssertionError


@dataclass(frozen=True)
class Pruning:
    """What is asked for.

    Attributes
    ----------
    r2 : float
        The squared correlation of dosages above which two variants are in LD, over the samples observed in both.
    window : Window
    """

    r2: float
    window: Window

    def __post_init__(self) -> None:
        if isinstance(self.r2, bool) or not isinstance(self.r2, int | float) or not 0 < self.r2 <= 1:
            raise PlanError(
                f"r2={self.r2!r}: the largest r2 of two variants that are kept is a number above 0 and up to 1, such as 0.1"
            )


@dataclass(frozen=True)
class Piece:
    """Variants of one contig, in store order.

    Attributes
    ----------
    block : GenotypeBlock
        Their calls (V, N).
    numbers : int64 array (V,)
        In the store.
    places : int64 array (V,)
        Positions, or, of a window of variants, their numbers among those of the contig.
    """

    block: GenotypeBlock
    numbers: Int64Array
    places: Int64Array


@dataclass
class PrunedContig:
    """What is kept of a contig, and how many are not, by reason."""

    kept: list[Int64Array] = field(default_factory=list)
    dropped: dict[str, int] = field(default_factory=lambda: dict.fromkeys((NOT_OBSERVED, NO_VARIATION, IN_LD), 0))

    @property
    def numbers(self) -> Int64Array:
        """Numbers in the store, ascending."""
        return np.concatenate(self.kept) if self.kept else np.zeros(0, np.int64)


def pair_planes(block: GenotypeBlock, mask: UInt64Array) -> PairPlanes:
    """The calls of a block as the kernels compare them, of the samples of a mask (P,)."""
    words = np.ascontiguousarray(block.packed).view(np.uint64)
    carrier, double, observed = (np.empty((words.shape[0], mask.size), np.uint64) for _ in range(3))
    to_planes(words, carrier, double, observed)
    for plane in (carrier, double, observed):
        plane &= mask
    extreme = (observed & ~carrier) | double
    sums = np.empty((words.shape[0], 3), np.int64)
    planes = PairPlanes(extreme, double, observed, np.zeros(words.shape[0], bool), sums)
    sums_of_planes(planes)
    return planes._replace(complete=sums[:, 0] == int(np.bitwise_count(mask).sum()))


def prune_contig(pieces: Iterable[Piece], mask: UInt64Array, asked: Pruning) -> PrunedContig:
    """The variants of a contig that are kept, from pieces in order of place; ``mask`` is `sample_mask`'s.

    Memory is that of a segment, whatever the contig's length.
    """
    found = PrunedContig()
    prior: tuple[PairPlanes, Int64Array] | None = None
    at = -2
    for segment, planes, numbers, places in _segments(pieces, mask, asked, found):
        if prior is not None and segment == at + 1:
            planes = _joined([prior[0], planes])
            places, n_prior = np.concatenate([prior[1], places]), prior[1].size
        else:
            n_prior = 0
        kept = np.empty(places.size, np.int64)
        kept[:n_prior] = np.arange(n_prior)
        order = n_prior + _by_frequency(planes.sums[n_prior:])
        stretch = Stretch(places, asked.window.reach, float(asked.r2))
        chosen = kept[n_prior : keep_apart(planes, stretch, order, kept, n_prior)]
        found.kept.append(numbers[chosen - n_prior])
        found.dropped[IN_LD] += numbers.size - chosen.size
        prior, at = (_taken(planes, chosen), places[chosen]), segment
    return found


def _segments(
    pieces: Iterable[Piece], mask: UInt64Array, asked: Pruning, found: PrunedContig
) -> Iterator[tuple[int, PairPlanes, Int64Array, Int64Array]]:
    """Segment after segment: its number, and the planes, numbers and places of its variants that vary; the others are counted."""
    held: list[tuple[PairPlanes, Int64Array, Int64Array]] = []
    at = -1

    def whole() -> tuple[int, PairPlanes, Int64Array, Int64Array]:
        planes, numbers, places = zip(*held, strict=True)
        return at, _joined(list(planes)), np.concatenate(numbers), np.concatenate(places)

    for piece in pieces:
        planes = pair_planes(piece.block, mask)
        n, y, yy = planes.sums.T
        varies = n * yy != y * y
        found.dropped[NOT_OBSERVED] += int(np.count_nonzero(n == 0))
        found.dropped[NO_VARIATION] += int(np.count_nonzero(~varies & (n > 0)))
        numbers, places = piece.numbers, piece.places
        if not varies.all():
            planes, numbers, places = _taken(planes, varies), numbers[varies], places[varies]
        segments = places // asked.window.size
        starts = np.flatnonzero(np.diff(segments, prepend=-1))  # places ascend: a segment is a run
        for first, last in zip(starts, np.append(starts[1:], segments.size)):
            if segments[first] != at and held:
                yield whole()
                held = []
            at, here = int(segments[first]), slice(first, last)
            held.append((_taken(planes, here), numbers[here], places[here]))
    if held:
        yield whole()


def _by_frequency(sums: Int64Array) -> Int64Array:
    """Variants by minor allele frequency, the most frequent first; of equals the first. A quotient of whole numbers is rounded once, so that equal ones are equal."""
    n, y, _ = sums.T
    return np.argsort(-((n - np.abs(y)) / n), kind="stable")


def _taken(planes: PairPlanes, which: BoolArray | Int64Array | slice) -> PairPlanes:
    extreme, double, observed, complete, sums = planes
    return PairPlanes(extreme[which], double[which], observed[which], complete[which], sums[which])


def _joined(parts: list[PairPlanes]) -> PairPlanes:
    if len(parts) == 1:
        return parts[0]
    extreme, double, observed, complete, sums = zip(*parts, strict=True)
    return PairPlanes(
        np.concatenate(extreme), np.concatenate(double), np.concatenate(observed), np.concatenate(complete), np.concatenate(sums)
    )  # fmt: skip
