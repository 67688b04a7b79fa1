"""Columns in tiles of 128 samples, one after another, for the vector loops of `genassoc.kernels.lanes.vector64`."""

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.vector64 import FOUR, LANES64, TILE, add_combination
from genassoc.shapes import Float64Array


@jit
def tile_width(P: int) -> int:
    """Columns of a tile."""
    return FOUR * ((P + FOUR - 1) // FOUR)


@jit
def tiles_of(D: Float64Array) -> Float64Array:
    """Column c of tile t of D (n, P) from ``(t * width + c) * TILE``, zeros to whole tiles of a multiple of four columns."""
    n, P = D.shape
    width = tile_width(P)
    tiles = np.zeros((n + TILE - 1) // TILE * width * TILE)
    for i in range(n):
        base = i // TILE * width * TILE + i % TILE
        for j in range(P):
            tiles[base + j * TILE] = D[i, j]
    return tiles


@jit
def combine(tiles: Float64Array, base: int, factors: Float64Array, at: int, width: int, out: Float64Array) -> None:
    """Add the columns of a tile, each times its factor, to out (TILE,)."""
    for c in range(0, width, FOUR):
        add_combination(tiles, base + c * TILE, factors, at + c, out, 0)


@jit
def collect(lanes: Float64Array, width: int, J: Float64Array, gradient: Float64Array) -> None:
    """Sums of the lanes of `logistic_tiles.add_tile` into J (P, P) and the gradient (P,)."""
    blocks = (width // FOUR) * (width // FOUR + 1) // 2
    for j in range(gradient.size):
        for k in range(j + 1):
            block = (j // FOUR) * (j // FOUR + 1) // 2 + k // FOUR
            at = (block * FOUR * FOUR + (j % FOUR) * FOUR + k % FOUR) * LANES64
            J[j, k] = lanes[at : at + LANES64].sum()
            J[k, j] = J[j, k]
        at = (blocks * FOUR * FOUR + j) * LANES64
        gradient[j] = lanes[at : at + LANES64].sum()
