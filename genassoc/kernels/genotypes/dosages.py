"""Dosages in fixed point: sums over samples, the product with a thin matrix, and rows of them; no block becomes float64.

The product takes eight variants at a time, 256 samples of them laid side by side in float64: a vector holds one sample of
eight variants, and a column costs one multiplication and one addition. Lanes do not mix, and sums run over the samples in their
order: a variant's bits are those it has in any block.
"""

from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.vector import DOUBLES
from genassoc.kernels.lanes.vector_outer import add_outer
from genassoc.kernels.lanes.vector_turned import lay_turned
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array

TILE_SAMPLES = 256  # of eight variants 16 KB, in the first-level cache
# Columns of the sums of a variant.
OBSERVED, STEPS, SQUARES, LEAST, MOST = 0, 1, 2, 3, 4
N_SUMS = 5


class FixedPoint(NamedTuple):
    """Dosages of V variants x N samples.

    Attributes
    ----------
    values : uint8, uint16 or uint32 array (V, N)
        Steps.
    scale : int
        Steps of one copy.
    missing : int
        The value of a dosage that is not observed.
    """

    values: Array
    scale: int
    missing: int


@jit
def sum_dosages(dosages: FixedPoint, selected: BoolArray, sums: Int64Array) -> None:
    """Samples observed of those selected, and of their steps the sum, the sum of squares, the least and the largest.

    Parameters
    ----------
    dosages : FixedPoint
    selected : bool array (N,)
    sums : int64 array (V, N_SUMS)
        Filled; without a sample the least is ``missing`` and the largest -1.
    """
    V, N = dosages.values.shape
    missing = int(dosages.missing)
    for v in range(V):
        observed, steps, squares, least, most = 0, 0, 0, missing, -1
        row = dosages.values[v]
        for i in range(N):
            x = int(np.int64(row[i]))  # unsigned with signed would be float64
            there = selected[i] and x != missing
            observed += 1 if there else 0
            counted = x if there else 0
            steps += counted
            squares += counted * counted
            least = min(least, x if there else missing)
            most = max(most, x if there else -1)
        sums[v, OBSERVED], sums[v, STEPS], sums[v, SQUARES] = observed, steps, squares
        sums[v, LEAST], sums[v, MOST] = least, most


@jit
def _lay_out(
    dosages: FixedPoint,
    base: Float64Array,
    sign: Float64Array,
    v0: int,
    first: int,
    n: int,
    square: bool,
    tile: Float64Array,
) -> None:
    """Steps of the allele counted, or their squares, of n samples of eight variants, sample by sample; 0 where not observed."""
    values, missing = dosages.values, int(dosages.missing)
    turned = n // DOUBLES * DOUBLES if v0 + DOUBLES <= values.shape[0] else 0
    for i in range(0, turned, DOUBLES):
        lay_turned(values, v0, first + i, missing, base, sign, square, tile, i * DOUBLES)
    for i in range(turned, n):
        for lane in range(DOUBLES):
            g = 0.0
            if v0 + lane < values.shape[0]:
                x = int(np.int64(values[v0 + lane, first + i]))
                g = 0.0 if x == missing else base[lane] + sign[lane] * x
            tile[i * DOUBLES + lane] = g * g if square else g


@jit
def dosage_product(
    dosages: FixedPoint, flipped: BoolArray, columns: Float64Array, square: bool, out: Float64Array
) -> None:
    """Set ``out[v, k] = sum_i g[v, i] * columns[i, k]``, of g^2 where ``square``; four samples at a time.

    Parameters
    ----------
    dosages : FixedPoint
    flipped : bool array (V,)
        Where g is 2 - dosage.
    columns : float64 array (N, Z)
    out : float64 array (V, Z)
        Overwritten.
    """
    V, N = dosages.values.shape
    Z = columns.shape[1]
    # Steps are whole numbers: they are scaled once, at the end.
    unit = 1.0 / dosages.scale
    unit = unit * unit if square else unit
    tile, base, sign = np.zeros(TILE_SAMPLES * DOUBLES), np.zeros(DOUBLES), np.ones(DOUBLES)
    total = np.zeros((V + DOUBLES - 1) // DOUBLES * Z * DOUBLES)
    # Rows of zeros after the last sample: samples are taken by four.
    flat = np.zeros((N + 3) * Z)
    for i in range(N):
        for k in range(Z):
            flat[i * Z + k] = columns[i, k]
    for first in range(0, N, TILE_SAMPLES):
        n = min(TILE_SAMPLES, N - first)
        for v0 in range(0, V, DOUBLES):
            for lane in range(min(DOUBLES, V - v0)):
                base[lane] = 2.0 * dosages.scale if flipped[v0 + lane] else 0.0
                sign[lane] = -1.0 if flipped[v0 + lane] else 1.0
            _lay_out(dosages, base, sign, v0, first, n, square, tile)
            for i in range(0, n, 4):
                a, at = (first + i) * Z, i * DOUBLES
                add_outer(
                    total, v0 * Z, DOUBLES, 0, Z, flat, a, a + Z, a + 2 * Z, a + 3 * Z,
                    tile, at, at + DOUBLES, at + 2 * DOUBLES, at + 3 * DOUBLES,
                )  # fmt: skip
    for v in range(V):
        for k in range(Z):
            out[v, k] = total[(v // DOUBLES * Z + k) * DOUBLES + v % DOUBLES] * unit


@jit
def list_not_observed(dosages: FixedPoint, selected: BoolArray, pointers: Int64Array, indices: Int64Array) -> None:
    """List the selected samples whose dosage is missing, one run of ``indices`` a variant, from ``pointers`` (V + 1,)."""
    for v in range(pointers.size - 1):
        at = pointers[v]
        if pointers[v + 1] > at:
            row = dosages.values[v]
            for i in range(row.size):
                if selected[i] and np.int64(row[i]) == dosages.missing:
                    indices[at] = i
                    at += 1


@jit
def decode_dosages(
    dosages: FixedPoint, flipped: BoolArray, variants: Int64Array, samples: Int64Array, out: Float64Array
) -> None:
    """Dosages of the minor allele of some variants and samples, NaN where not observed: as `packed.decode_rows`."""
    for r in range(variants.size):
        row, swap = dosages.values[variants[r]], flipped[variants[r]]
        for i in range(samples.size):
            x = np.int64(row[samples[i]])
            dosage = x / dosages.scale
            out[r, i] = np.nan if x == dosages.missing else (2.0 - dosage if swap else dosage)
