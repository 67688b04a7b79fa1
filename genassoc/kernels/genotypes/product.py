"""Genotypes times a thin matrix: the product that everything is made of.

For codes G (V, N) and columns M (N, Z) it computes ``out[v, k] = sum_i values[G[v, i]] * M[i, k]``, where
``values`` says what each of the four codes counts: (0, 1, 2, 0) is the dosage of ALT with missing calls left
out, (2, 1, 0, 0) that of REF, (0, 1, 4, 0) its square, (0, 0, 0, 1) the missing calls.

How: a byte holds four calls, so the sum over four samples has only 256 values. They are tabulated once for the
sixteen columns of a lane group, then every variant of the tile adds one table row a byte: a quarter of the
additions, no decoding and no multiplication (the "method of four Russians": Arlazarov et al. 1970).

The same bits, whatever the shape
---------------------------------
Every ``out[v, k]`` is summed in one order that depends on N alone: within a byte by the table; four bytes as
``(a + b) + (c + d)``; in float32 over a tile of `TILE_BYTES`; tiles in float64. Lanes do not mix, so Z, V, the
neighbouring variants and columns, block sizes, threads and the width of the vector registers do not enter.
"""

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.vector import LANES, add_four_rows, extend_row
from genassoc.shapes import BoolArray, Float32Array, Float64Array, UInt8Array

TABLE_BYTES = 4  # bytes tabulated at once: 4 x 256 rows x 64 B = 64 KB, in the second-level cache
TILE_BYTES = 64  # 256 samples in float32 before the sum moves to float64: sorted samples make large partial sums
TILE_VARIANTS = 2048  # variants that share a table: its cost is 256 rows of them; their sums take 128 KB


@jit
def _tabulate(table: Float32Array, start: int, M: Float32Array, sample: int, values: Float32Array) -> None:
    """Fill the 256 rows from ``start``: row ``byte`` is the sum over its four calls (codes c0..c3 of samples +0..+3)."""
    for k in range(LANES):
        table[start + k] = 0.0
    filled = 1
    for j in range(4):
        at = (sample + j) * LANES
        # Codes from 3 down, so that code 0 overwrites its own source last.
        for c in range(3, -1, -1):
            for e in range(filled):
                extend_row(table, start + (c * filled + e) * LANES, start + e * LANES, M, at, values[c])
        filled *= 4


@jit
def product(packed: UInt8Array, flipped: BoolArray, M: Float32Array, values: Float32Array, out: Float64Array) -> None:
    """Multiply packed genotypes (V, B) with one lane group of columns.

    Parameters
    ----------
    packed : uint8 array (V, B)
        B a multiple of 8.
    flipped : bool array (V,)
        True where codes 0 and 2 change places (the minor allele is REF): rare alleles then have small sums, which
        float32 holds exactly enough.
    M : float32 array (4 * B * 16,)
        Columns, sample-major, sixteen lanes each; zero for padding and for samples left out.
    values : float32 array (4,)
        What codes 0, 1, 2, 3 count.
    out : float64 array (V, 16)
        Overwritten.
    """
    V, B = packed.shape
    swap = np.empty(256, np.uint8)
    for byte in range(256):
        swapped = 0
        for j in range(4):
            code = (byte >> (2 * j)) & 3
            if code == 0 or code == 2:
                code = 2 - code
            swapped |= code << (2 * j)
        swap[byte] = swapped
    table = np.empty(TABLE_BYTES * 256 * LANES, np.float32)
    total = np.empty(TILE_VARIANTS * LANES, np.float32)
    for v in range(V):
        for k in range(LANES):
            out[v, k] = 0.0
    for v0 in range(0, V, TILE_VARIANTS):
        n = min(TILE_VARIANTS, V - v0)
        for t0 in range(0, B, TILE_BYTES):
            total[: n * LANES] = 0.0
            for b0 in range(t0, min(B, t0 + TILE_BYTES), TABLE_BYTES):
                for g in range(TABLE_BYTES):
                    _tabulate(table, g * 256 * LANES, M, 4 * (b0 + g), values)
                _add_bytes(packed, flipped, swap, v0, n, b0, table, total)
            for v in range(n):
                for k in range(LANES):
                    out[v0 + v, k] += total[v * LANES + k]


@jit
def _add_bytes(
    packed: UInt8Array,
    flipped: BoolArray,
    swap: UInt8Array,
    v0: int,
    n: int,
    b0: int,
    table: Float32Array,
    total: Float32Array,
) -> None:
    """Add the table rows of four bytes to every variant of the tile."""
    for v in range(n):
        a, b = packed[v0 + v, b0], packed[v0 + v, b0 + 1]
        c, d = packed[v0 + v, b0 + 2], packed[v0 + v, b0 + 3]
        if flipped[v0 + v]:
            a, b, c, d = swap[a], swap[b], swap[c], swap[d]
        # total[v, :] += (T0[a] + T1[b]) + (T2[c] + T3[d])
        # int: a byte times sixteen does not fit a byte when this runs as plain Python
        row_a, row_b = int(a) * LANES, (256 + int(b)) * LANES
        row_c, row_d = (512 + int(c)) * LANES, (768 + int(d)) * LANES
        add_four_rows(total, v * LANES, table, row_a, row_b, row_c, row_d)
