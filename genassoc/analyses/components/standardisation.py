"""Calls as centred and scaled numbers: ``(copies - 2p) / sqrt(2p(1 - p))``, 0 where not observed, in tiles that a cache holds.

The scale is that of EIGENSOFT (Patterson, Price and Reich 2006), but for a factor common to all, and PLINK 2: of samples in Hardy-Weinberg proportions each
variant has variance one. A call that is not observed takes the variant's mean.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from genassoc.data.block import Block, GenotypeBlock, places_of
from genassoc.data.schema import NOT_OBSERVED
from genassoc.kernels.genotypes.standardised import decode_by_table
from genassoc.shapes import BoolArray, Float32Array, Float64Array, Int64Array, UInt8Array

# Variants of a dense tile: what about fills the second level of cache, at least 64 so that adding up its sums costs little, and never more than
# 32 MB (docs/decisions/0070). They depend on the number of samples alone, so that sums have the same bits everywhere.
_CACHE_BYTES, _MOST_BYTES = 1_500_000, 32_000_000
_ENOUGH, _FEWEST = 64, 16


def tile_variants(width: int) -> int:
    """Variants of a tile of so many samples."""
    row = 4 * max(width, 1)
    return max(_CACHE_BYTES // row, min(_ENOUGH, _MOST_BYTES // row), _FEWEST)


@dataclass(frozen=True)
class Standardisation:
    """What the calls of the chosen variants become.

    Attributes
    ----------
    numbers : int64 array (M,)
        The variants' numbers in the store, ascending.
    mean : float64 array (M,)
        Mean copies of ALT, ``2p``.
    scale : float64 array (M,)
        ``1 / sqrt(2p(1 - p))``; negative where the copies of the other allele are meant.
    """

    numbers: Int64Array
    mean: Float64Array
    scale: Float64Array

    @classmethod
    def of_frequencies(cls, numbers: Int64Array, frequency: Float64Array, flipped: BoolArray) -> "Standardisation":
        """From frequencies (M,) of the effect alleles elsewhere; ``flipped`` (M,) says where ALT here is the other allele there."""
        scale = 1.0 / np.sqrt(2.0 * frequency * (1.0 - frequency))
        # copies there are 2 - copies here: (2 - c - 2p) / s = (c - 2(1 - p)) / -s
        return cls(numbers, 2.0 * np.where(flipped, 1.0 - frequency, frequency), np.where(flipped, -scale, scale))

    @classmethod
    def of_counts(cls, numbers: Int64Array, counts: Int64Array) -> "Standardisation":
        """From counts (M, 4) of codes among the samples of the fit; every variant is polymorphic there."""
        observed = counts[:, :NOT_OBSERVED].sum(axis=1)
        mean = (counts[:, 1] + 2.0 * counts[:, 2]) / observed
        return cls(numbers, mean, 1.0 / np.sqrt(mean * (1.0 - 0.5 * mean)))

    @property
    def n_variants(self) -> int:
        """M."""
        return int(self.numbers.size)

    def total_variance(self, counts: Int64Array) -> float:
        """Mean over the variants of the sum of squares of the samples counted (M, 4): the trace of the relationship matrix."""
        values = (np.arange(3.0) - self.mean[:, None]) * self.scale[:, None]
        return float((counts[:, :NOT_OBSERVED] * values**2).sum() / self.n_variants)

    def rows(self, block: Block) -> Int64Array:
        """Which of the M variants those of a block are, (V,).

        Raises
        ------
        ValueError
            One of them is none of the chosen ones.
        """
        numbers = places_of(block).numbers
        at = np.minimum(np.searchsorted(self.numbers, numbers), self.numbers.size - 1)
        if not np.array_equal(self.numbers[at], numbers):
            raise ValueError("a block holds variants that were not chosen for the components")
        return at

    def tables(self, rows: Int64Array) -> Float32Array:
        """What codes 0, 1, 2 and 3 of variants ``rows`` (V,) become, (V, 4)."""
        table = np.zeros((rows.size, 4), dtype=np.float32)
        table[:, :NOT_OBSERVED] = (np.arange(3.0) - self.mean[rows, None]) * self.scale[rows, None]
        return table


@dataclass(frozen=True)
class Tile:
    """Some variants of a block, dense.

    Attributes
    ----------
    rows : int64 array (V,)
        Which of the M variants they are.
    dense : float32 array (V, N)
        Valid until the next tile is asked for.
    packed : uint8 array (V, B)
    """

    rows: Int64Array
    dense: Float32Array
    packed: UInt8Array

    def missing(self, columns: Int64Array) -> Float32Array | None:
        """1 where a call of samples ``columns`` (n,) is not observed, else 0, (V, n); None where all are observed."""
        return _missing(self.packed, self.dense.shape[1], columns)


def tiles(standardisation: Standardisation, block: Block) -> Iterator[Tile]:
    """The variants of a block, standardised, a tile at a time.

    Raises
    ------
    ValueError
        The block is one of dosages.
    """
    if not isinstance(block, GenotypeBlock):
        raise ValueError("principal components are of calls, and this block is of dosages")
    rows, width = standardisation.rows(block), block.n_samples
    step = tile_variants(width)
    dense = np.empty((min(step, rows.size), width), dtype=np.float32)
    packed = np.ascontiguousarray(block.packed)
    for first in range(0, rows.size, step):
        chosen, calls = rows[first : first + step], packed[first : first + step]
        decode_by_table(calls, standardisation.tables(chosen), dense[: chosen.size])
        yield Tile(chosen, dense[: chosen.size], calls)


def _missing(packed: UInt8Array, width: int, columns: Int64Array) -> Float32Array | None:
    marks = np.empty((packed.shape[0], width), dtype=np.float32)
    table = np.zeros((packed.shape[0], 4), dtype=np.float32)
    table[:, NOT_OBSERVED] = 1.0
    decode_by_table(packed, table, marks)
    chosen = marks[:, columns]
    return chosen if chosen.any() else None


def is_all(columns: Int64Array, width: int) -> bool:
    """Whether ``columns`` are all of a block, in order."""
    return columns.size == width and bool(np.array_equal(columns, np.arange(width)))
