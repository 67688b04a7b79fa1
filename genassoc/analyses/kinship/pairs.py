"""KING-robust kinship of pairs of samples (Manichaikul et al. 2010), by tiles of pairs: whole numbers, the same however they are cut."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields

import numpy as np

from genassoc.analyses.kinship.adjusted import IndividualFrequencies, adjusted_tile
from genassoc.analyses.kinship.tiles import Frequencies, TiledCalls, tiled, tiled_block
from genassoc.data.block import GenotypeBlock
from genassoc.kernels.genotypes import sample_pairs as kernels
from genassoc.kernels.genotypes.sample_pairs import TILE_SAMPLES, Planes, Shared
from genassoc.shapes import BoolArray, Float64Array, Int64Array, UInt8Array

# Least kinship of each degree: 2^-(d + 3/2), halfway between the degrees on a log scale (Manichaikul et al. 2010, table 1).
DUPLICATE, FIRST_DEGREE, SECOND_DEGREE, THIRD_DEGREE = (2.0 ** -(degree + 1.5) for degree in range(4))
RELATIONSHIPS = ("unrelated", "third_degree", "second_degree", "full_siblings", "parent_offspring", "duplicate")
UNRELATED, THIRD, SECOND, SIBLINGS, PARENT, TWIN = range(6)
# A parent and a child share an allele everywhere, full siblings share none in a quarter of the genome (standard deviation 0.04 or so).
_MOST_IBD0_OF_PARENTS = 0.1
_TILES_AT_ONCE = 4  # tiles on the right for each turn of the left one
_MOST_LISTED = (
    800  # calls not observed of two tiles, per 64 variants, beyond which planes are faster than lists (measured)
)


@dataclass(frozen=True)
class Pairs:
    """Pairs of samples, in the order of the samples.

    Attributes
    ----------
    left, right : int64 array (P,)
        Positions of the samples; left is the smaller one.
    n_variants : int64 array (P,)
        Variants observed in both.
    hethet, ibs0 : int64 array (P,)
        Of these: variants in which both are heterozygous; in which one has two REF and the other two ALT.
    kinship : float64 array (P,)
        KING-robust; NaN where one of the two has no heterozygous call.
    adjusted : float64 array (P,)
        PC-adjusted; NaN where it was not asked for, or no variant is left.
    """

    left: Int64Array
    right: Int64Array
    n_variants: Int64Array
    hethet: Int64Array
    ibs0: Int64Array
    kinship: Float64Array
    adjusted: Float64Array

    @property
    def n(self) -> int:
        """P."""
        return int(self.left.size)

    def take(self, which: BoolArray | Int64Array) -> "Pairs":
        """Some of the pairs."""
        return Pairs(*(getattr(self, field.name)[which] for field in fields(self)))

    def in_order(self) -> "Pairs":
        """Sorted by the left sample, then by the right one."""
        return self.take(np.lexsort((self.right, self.left)))

    def relationships(self, unrelated_ibs0: float) -> UInt8Array:
        """`RELATIONSHIPS` by number (P,), by the adjusted kinship where there is one; see `relationships_of`."""
        kinship = np.where(np.isnan(self.adjusted), self.kinship, self.adjusted)
        return relationships_of(kinship, self.ibs0 / np.maximum(self.n_variants, 1), unrelated_ibs0)


def joined(parts: Iterable[Pairs]) -> Pairs:
    """Pairs of several, one after another."""
    kept = [*parts]
    if not kept:
        none = np.empty(0, np.int64)
        return Pairs(none, none, none, none, none, np.empty(0), np.empty(0))
    return Pairs(*(np.concatenate([getattr(part, field.name) for part in kept]) for field in fields(Pairs)))


def relationships_of(kinship: Float64Array, ibs0: Float64Array, unrelated_ibs0: float) -> UInt8Array:
    """`RELATIONSHIPS` by number, from the kinship (P,) and the share of IBS0 (P,).

    Parents and children are told from full siblings by IBS0 over ``unrelated_ibs0``, its share in unrelated pairs (the mean of
    ``2 p^2 q^2``), which estimates the share of the genome where two share no allele by descent: 0 and 1/4.
    """
    bounds = [THIRD_DEGREE, SECOND_DEGREE, FIRST_DEGREE, DUPLICATE]
    degrees = np.array([UNRELATED, THIRD, SECOND, SIBLINGS, TWIN], dtype=np.uint8)
    at = np.searchsorted(bounds, np.nan_to_num(kinship, nan=-1.0), side="right")
    found = degrees[at]
    parents = (found == SIBLINGS) & (ibs0 < _MOST_IBD0_OF_PARENTS * unrelated_ibs0)
    return np.where(parents, np.uint8(PARENT), found).astype(np.uint8)


def pairs_of_tiles(
    calls: TiledCalls, row: int, least: float = THIRD_DEGREE, frequencies: IndividualFrequencies | None = None
) -> Pairs:
    """Pairs whose first sample is in tile ``row``, and one of whose kinships is at least ``least``.

    With -inf all pairs that have a variant in common. With ``frequencies`` PC-adjusted kinship too.
    """
    left, right = kernels.planes_of_chunk(), kernels.planes_of_chunk()
    counts = np.empty((5, TILE_SAMPLES, TILE_SAMPLES), np.int64)
    found, kinship = np.empty((TILE_SAMPLES**2, 2), np.int64), np.empty(TILE_SAMPLES**2)
    parts: list[Pairs] = []
    for first in range(row, calls.n_tiles, _TILES_AT_ONCE):
        columns = range(first, min(first + _TILES_AT_ONCE, calls.n_tiles))
        shared = [kernels.shared_of_tiles() for _ in columns]
        adjusted = None if frequencies is None else adjusted_tile(frequencies, calls, row, columns)
        for chunk in calls.chunks:
            kernels.to_sample_planes(chunk[row], left)
            for column, sums in zip(columns, shared):
                other = left
                if column != row:
                    other = right
                    kernels.to_sample_planes(chunk[column], right)
                _add(left, other, sums, chunk.shape[1])
        for k, (column, sums) in enumerate(zip(columns, shared)):
            totals = np.stack([calls.tile_totals(row), calls.tile_totals(column)])
            kernels.settle_counts(sums, totals, calls.n_variants, counts)
            all_pairs = adjusted is not None or least == -np.inf
            n = kernels.find_related(counts, -np.inf if all_pairs else least, row == column, found, kinship)
            i, j = found[:n, 0], found[:n, 1]
            at = counts[:3, i, j]
            by_components = np.full(n, np.nan) if adjusted is None else adjusted[k][i, j]
            pairs = Pairs(
                i + TILE_SAMPLES * row,
                j + TILE_SAMPLES * column,
                at[0],
                at[1],
                at[2],
                kinship[:n].copy(),
                by_components,
            )
            if adjusted is not None and least != -np.inf:
                pairs = pairs.take((pairs.kinship >= least) | (by_components >= least))
            parts.append(pairs)
    return joined(parts).in_order()


def _add(left: Planes, right: Planes, shared: Shared, n_variants: int) -> None:
    """Add a chunk of two tiles."""
    kernels.add_shared(left, right, shared)
    if int(left.n_listed.sum() + right.n_listed.sum()) > _MOST_LISTED * int(left.n_words[0]):
        kernels.add_missing_dense(left, right, shared)
        shared.n_behind[0] += -n_variants % 64
    else:
        kernels.add_missing_listed(left.flags, right.lists, right.n_listed, shared.of_left)
        kernels.add_missing_listed(right.flags, left.lists, left.n_listed, shared.of_right)


def related_pairs(
    block: GenotypeBlock,
    columns: Int64Array,
    least: float = SECOND_DEGREE,
    *,
    mapped: Callable[[Callable[[int], Pairs], Iterable[int]], Iterable[Pairs]] = map,
) -> tuple[Pairs, UInt8Array]:
    """Related pairs of samples by the variants of one block, a few thousand, in memory.

    Parameters
    ----------
    block : GenotypeBlock
        Of autosomes, best pruned.
    columns : int64 array (N,)
        The samples, as columns of the block; pairs are numbered by their order.
    least : float
        Least kinship; by default `SECOND_DEGREE`.
    mapped : callable
        As `map`, in any order: ``Threads().map`` does tiles side by side.

    Returns
    -------
    pairs : Pairs
    relationships : uint8 array (P,)
        `RELATIONSHIPS` by number.
    """
    calls = tiled([tiled_block(block, columns)], int(columns.size))
    parts = mapped(lambda row: pairs_of_tiles(calls, row, least), range(calls.n_tiles))
    pairs = joined(parts).in_order()
    return pairs, pairs.relationships(Frequencies.of(calls.variants).unrelated_ibs0)
