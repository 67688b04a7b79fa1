"""Columns of samples laid out twice: in rows, for running sums, and in tiles of 128 samples, for sums over all of them."""

from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.tiles import tile_width, tiles_of
from genassoc.kernels.lanes.vector import DOUBLES
from genassoc.kernels.lanes.vector64 import TILE
from genassoc.shapes import Float64Array


class Covariates(NamedTuple):
    """Covariates (n, P) laid out twice.

    Attributes
    ----------
    rows : float64 array (n * W,)
        A row for each sample, zeros to whole vectors.
    tiles : float64 array
        Column c of tile t from ``(t * width + c) * TILE``, zeros to a multiple of four columns and to whole tiles.
    P : int
    """

    rows: Float64Array
    tiles: Float64Array
    P: int


@jit
def vectors(P: int) -> int:
    """P values padded to whole vectors."""
    return DOUBLES * ((P + DOUBLES - 1) // DOUBLES)


@jit
def arranged(D: Float64Array) -> Covariates:
    """Lay out D (n, P)."""
    n, P = D.shape
    W = vectors(P)
    rows = np.zeros(n * W)
    for i in range(n):
        for j in range(P):
            rows[i * W + j] = D[i, j]
    return Covariates(rows, tiles_of(D), P)


@jit
def set_column(X: Covariates, j: int, values: Float64Array) -> None:
    """Put values (n,) into column j."""
    W, width = vectors(X.P), tile_width(X.P)
    for i in range(values.size):
        X.rows[i * W + j] = values[i]
        X.tiles[(i // TILE * width + j) * TILE + i % TILE] = values[i]
