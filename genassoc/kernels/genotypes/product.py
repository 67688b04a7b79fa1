"""Genotypes times a thin matrix: the product that everything is made of.

For codes G (V, N) and columns M (N, Z) it computes ``out[v, k] = sum_i values[G[v, i]] * M[i, k]``, where
``values`` says what each of the four codes counts: (0, 1, 2, 0) is the dosage of ALT with missing calls left
out, (0, 1, 4, 0) its square. Codes 0 and 3 always count nothing.

How: a byte holds four calls, and a call counts 0, 1 or 2 copies (a missing one 0), so the sum over four samples has only
81 values. They are tabulated once for the sixteen columns of a lane group, then every variant of the tile adds one table
row a byte: a quarter of the additions and no multiplication (the "method of four Russians": Arlazarov et al. 1970). Which
row a byte asks for is looked up once for all groups of columns.

The same bits, whatever the shape
---------------------------------
Every ``out[v, k]`` is summed in one order that depends on N alone: within a byte by the table; four bytes as
``(a + b) + (c + d)``; in float32 over a tile of `TILE_WORDS`; tiles in float64. Lanes do not mix, so Z, V, the
neighbouring variants and columns, block sizes, threads and the width of the vector registers do not enter.
"""

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.vector import LANES, add_four_rows, extend_row
from genassoc.shapes import BoolArray, Float32Array, Float64Array, Int64Array, UInt8Array, UInt64Array

FOUR = 4  # bytes tabulated at once: 4 x 81 rows x 64 B = 21 KB, in the first-level cache
ROWS = 81
TILE_WORDS = 8  # 256 samples in float32 before the sum moves to float64: sorted samples make large partial sums
TILE_VARIANTS = 1024  # variants that share a table: its cost is 80 rows of them; their sums take 64 KB
# numba turns uint64 with a signed integer into float64: every constant of the bit arithmetic is uint64.
_ONE, _TWO, _THREE, _FOUR, _NINE = np.uint64(1), np.uint64(2), np.uint64(3), np.uint64(4), np.uint64(9)
_LOW, _PAIRS, _NIBBLES = np.uint64(0x5555555555555555), np.uint64(0x3333333333333333), np.uint64(0x0F0F0F0F0F0F0F0F)


@jit
def _aligned(size: int) -> Float32Array:
    """Room for float32 from the beginning of a cache line: a vector that lies on two costs two."""
    room = np.empty(size + LANES, np.float32)
    before = -room.ctypes.data % (4 * LANES) // 4
    return room[before : before + size]


@jit
def _table_rows(word: np.uint64, flipped: bool) -> np.uint64:
    """The table row of each byte of a word: its calls in base 3, of ALT or of REF; a missing call counts nothing."""
    low, high = word & _LOW, (word >> _ONE) & _LOW
    missing = low & high
    low, high = low ^ missing, high ^ missing
    if flipped:
        high = ~(low | high | missing) & _LOW
    calls = low | (high << _ONE)
    pairs = (calls & _PAIRS) + _THREE * ((calls >> _TWO) & _PAIRS)
    return (pairs & _NIBBLES) + _NINE * ((pairs >> _FOUR) & _NIBBLES)


@jit
def _tabulate(table: Float32Array, start: int, M: Float32Array, at: int, width: int, values: Float32Array) -> None:
    """Fill the 81 rows from ``start``: a row is the sum over four calls, of samples whose columns are at ``at``, a ``width`` apart."""
    for k in range(LANES):
        table[start + k] = 0.0
    filled = 1
    for j in range(4):
        for c in range(1, 3):
            for e in range(filled):
                extend_row(
                    table, start + (c * filled + e) * LANES, start + e * LANES, M, at + j * width, values[c]
                )  # fmt: skip
        filled *= 3


@jit
def product(
    words: UInt64Array,
    flipped: BoolArray,
    variants: Int64Array,
    M: Float32Array,
    values: Float32Array,
    out: Float64Array,
) -> None:
    """Multiply packed genotypes (V, N) of some variants with columns.

    Parameters
    ----------
    words : uint64 array (V, W)
        Packed calls.
    flipped : bool array (V,)
        True where codes 0 and 2 change places (the minor allele is REF): rare alleles then have small sums, which
        float32 holds exactly enough.
    variants : int64 array (n,)
        Which.
    M : float32 array (32 * W * Z,)
        Columns, sample-major, Z a multiple of sixteen; zero for padding and for samples left out.
    values : float32 array (4,)
        What codes 0, 1, 2, 3 count: the first and the last nothing.
    out : float64 array (V, Z)
        Rows of these variants are overwritten.
    """
    W, Z = words.shape[1], out.shape[1]
    table, total = _aligned(FOUR * ROWS * LANES), _aligned(TILE_VARIANTS * LANES)
    looked_up = np.empty(TILE_WORDS * TILE_VARIANTS, np.uint64)
    rows = looked_up.view(np.uint8)
    for v in variants:
        for k in range(Z):
            out[v, k] = 0.0
    for first in range(0, variants.size, TILE_VARIANTS):
        tile = variants[first : first + TILE_VARIANTS]
        n = tile.size
        for w0 in range(0, W, TILE_WORDS):
            n_words = min(TILE_WORDS, W - w0)
            for j in range(n):
                v = tile[j]
                for w in range(n_words):
                    looked_up[w * n + j] = _table_rows(words[v, w0 + w], flipped[v])
            for k0 in range(0, Z, LANES):
                total[: n * LANES] = 0.0
                for half in range(2 * n_words):
                    for g in range(FOUR):
                        sample = 32 * w0 + 16 * half + 4 * g
                        _tabulate(table, g * ROWS * LANES, M, sample * Z + k0, Z, values)
                    _add_bytes(rows, half // 2 * n * 8 + half % 2 * FOUR, n, table, total)
                for j in range(n):
                    for k in range(LANES):
                        out[tile[j], k0 + k] += total[j * LANES + k]


@jit
def _add_bytes(rows: UInt8Array, at: int, n: int, table: Float32Array, total: Float32Array) -> None:
    """Add the table rows of four bytes to every variant of the tile; ``rows`` from ``at`` say which, eight a variant."""
    for j in range(n):
        a, b, c, d = rows[at + 8 * j], rows[at + 8 * j + 1], rows[at + 8 * j + 2], rows[at + 8 * j + 3]
        # total[j, :] += (T0[a] + T1[b]) + (T2[c] + T3[d])
        # int: a byte times sixteen does not fit a byte when this runs as plain Python
        row_a, row_b = int(a) * LANES, (ROWS + int(b)) * LANES
        row_c, row_d = (2 * ROWS + int(c)) * LANES, (3 * ROWS + int(d)) * LANES
        add_four_rows(total, j * LANES, table, row_a, row_b, row_c, row_d)
