"""Covariates and one genotype in tiles of samples: log likelihood, information and gradient, eight samples at a time.

Covariates are laid out once for many variants, in tiles of 128 samples whose columns lie one after another; samples
without a call keep their place with no weight, so that nothing is copied. Exponentials are plain arithmetic
(`genassoc.kernels.likelihoods.bernoulli`), and logarithms are taken of products of 512 factors, not of each.
"""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.vector64 import FOUR, LANES64, TILE, add_combination, add_dots, add_gram
from genassoc.kernels.likelihoods.bernoulli import exp_minus_abs
from genassoc.kernels.likelihoods.rows import Trait
from genassoc.shapes import Float64Array

# A covariate may be a combination of others among the samples observed (see `logistic_rows.LOST_DIRECTION`): its
# squared pivot among weights of at most 1/4 is at most a quarter of that without weights.
SAFE_PIVOT = 1e-8
# g may be a combination of covariates: three digits above what the rows' own test calls one.
SAFE_SHARE = 1e-9
FACTORS = 512  # each between 1 and 2: their product does not overflow


class Tiles(NamedTuple):
    """A trait's samples in tiles.

    Attributes
    ----------
    T : float64 array
        Covariates and g, as `lay_out` and `set_genotype` lay them out.
    y, keep, offset : float64 arrays (n padded to whole tiles,)
        Outcome, 1 where a sample takes part and 0 elsewhere, what of its log odds is given.
    """

    T: Float64Array
    y: Float64Array
    keep: Float64Array
    offset: Float64Array


class Weights(NamedTuple):
    """Samples in tiles at an estimate: ``mu (1 - mu)``, residuals, and of `penalise` the weights times ``1 + h``."""

    w: Float64Array
    r: Float64Array
    curved: Float64Array


@jit
def tiled(X: Float64Array, trait: Trait) -> Tiles:
    """Covariates (n, C) and a trait in tiles, without a genotype yet: nobody takes part."""
    n = X.shape[0]
    padded = (n + TILE - 1) // TILE * TILE
    tiles = Tiles(lay_out(X), np.zeros(padded), np.zeros(padded), np.zeros(padded))
    for i in range(n):
        tiles.y[i], tiles.offset[i] = trait.y[i], trait.offset[i]
    return tiles


@jit
def weights_of(tiles: Tiles) -> Weights:
    """Room for the weights of tiles."""
    n = tiles.keep.size
    return Weights(np.zeros(n), np.zeros(n), np.zeros(n))


@jit
def columns_of_tile(C: int) -> int:
    """Columns of a tile: covariates, zeros to a multiple of four, g the last."""
    return FOUR * ((C + FOUR) // FOUR)


@jit
def lay_out(X: Float64Array) -> Float64Array:
    """Covariates (n, C) in tiles: column c of tile t from ``(t * width + c) * TILE``."""
    n, C = X.shape
    width = columns_of_tile(C)
    T = np.zeros(((n + TILE - 1) // TILE) * width * TILE)
    for i in range(n):
        base = (i // TILE) * width * TILE + i % TILE
        for c in range(C):
            T[base + c * TILE] = X[i, c]
    return T


@jit
def set_genotype(calls: Float64Array, y: Float64Array, T: Float64Array, keep: Float64Array) -> bool:
    """g into its column of T and 1 into ``keep`` where observed, 0 and 0 elsewhere; whether both outcomes are left."""
    width = T.size // keep.size
    n, cases = 0, 0.0
    for i in range(calls.size):
        missing = math.isnan(calls[i])
        keep[i] = 0.0 if missing else 1.0
        at = ((i // TILE) * width + width - 1) * TILE + i % TILE
        T[at] = 0.0 if missing else calls[i]
        n += 0 if missing else 1
        cases += 0.0 if missing else y[i]
    return 0.0 < cases < n


class _Room(NamedTuple):
    """Room for a tile (TILE,): log odds, two steps of their exponentials, and the likelihood's sums."""

    eta: Float64Array
    scaled: Float64Array
    x: Float64Array
    linear: Float64Array
    factors: Float64Array


@jit
def _weigh(tiles: Tiles, at: int, weights: Weights, room: _Room) -> None:
    """Weights and residuals of a tile from its log odds; its share of the log likelihood ``linear - log(factors)``.

    mu = 1 / (1 + exp(-eta)), w = mu (1 - mu), r = y - mu, all with exp of minus the absolute value: nothing overflows,
    and mu and 1 - mu keep their digits.
    """
    y, keep, w, r = tiles.y, tiles.keep, weights.w, weights.r
    eta, x, linear, factors = room.eta, room.x, room.linear, room.factors
    exp_minus_abs(eta, room.scaled, x, TILE)
    for i in range(TILE):
        e, small, used = eta[i], x[i], keep[at + i]
        share = 1.0 / (1.0 + small)
        mu = share if e >= 0.0 else small * share
        w[at + i] = used * small * share * share
        r[at + i] = used * (y[at + i] - mu)
        linear[i] += used * (y[at + i] * e - max(e, 0.0))
        factors[i] *= 1.0 + used * small


@jit
def add_tile(
    T: Float64Array, base: int, width: int, first: int, at: int, w: Float64Array, r: Float64Array, sums: Float64Array
) -> None:
    """Add a tile's ``T'WT`` (blocks of the lower triangle from row ``first``) and ``T'r`` to the lanes' sums."""
    block = 0
    for j in range(0, width, FOUR):
        for k in range(0, j + 1, FOUR):
            if j >= first:
                add_gram(w, at, T, base + j * TILE, base + k * TILE, sums, block * FOUR * FOUR * LANES64)
            block += 1
    for k in range(0, width, FOUR):
        add_dots(r, at, T, base + k * TILE, sums, (block * FOUR * FOUR + k) * LANES64)


@jit
def _sum_lanes(sums: Float64Array, at: int) -> float:
    total = 0.0
    for lane in range(LANES64):
        total += sums[at + lane]
    return total


@jit
def collect(sums: Float64Array, width: int, first: int, J: Float64Array, gradient: Float64Array) -> None:
    """Sums of lanes into J (P, P), rows whose block starts at ``first`` or below it, and the gradient (P,)."""
    P = gradient.size
    for j in range(P):
        row = j if j < P - 1 else width - 1
        if row // FOUR * FOUR < first:
            continue
        for k in range(j + 1):
            column = k if k < P - 1 else width - 1
            block = (row // FOUR) * (row // FOUR + 1) // 2 + column // FOUR
            inner = (row % FOUR) * FOUR + column % FOUR
            J[j, k] = _sum_lanes(sums, (block * FOUR * FOUR + inner) * LANES64)
            J[k, j] = J[j, k]
    blocks = (width // FOUR) * (width // FOUR + 1) // 2
    for j in range(P):
        row = j if j < P - 1 else width - 1
        gradient[j] = _sum_lanes(sums, (blocks * FOUR * FOUR + row) * LANES64)


@jit
def sums_size(width: int) -> int:
    """Room for the lanes' sums of a tile of that many columns."""
    blocks = (width // FOUR) * (width // FOUR + 1) // 2
    return (blocks * FOUR * FOUR + width) * LANES64


@jit
def _factors_of_columns(beta: Float64Array, width: int) -> Float64Array:
    """Coefficients (P,), g's the last, as factors of a tile's columns."""
    P = beta.size
    padded = np.zeros(width)
    for c in range(P - 1):
        padded[c] = beta[c]
    padded[width - 1] = beta[P - 1]
    return padded


@jit
def _take_logarithms(factors: Float64Array) -> float:
    """Sum of the logarithms; the factors start anew at 1."""
    total = 0.0
    for i in range(TILE):
        total += math.log(factors[i])
        factors[i] = 1.0
    return total


@jit
def log_likelihood(
    tiles: Tiles, beta: Float64Array, with_gram: bool, weights: Weights, J: Float64Array, gradient: Float64Array
) -> float:
    """The log likelihood at beta (P,); fills w, r, and with the gram J = T'WT and the gradient T'r."""
    T = tiles.T
    width = T.size // tiles.keep.size
    padded = _factors_of_columns(beta, width)
    sums = np.zeros(sums_size(width))
    room = _Room(np.empty(TILE), np.empty(TILE), np.empty(TILE), np.zeros(TILE), np.ones(TILE))
    eta, factors = room.eta, room.factors
    log_factors = 0.0
    for t in range(tiles.keep.size // TILE):
        at = t * TILE
        base = at * width
        for i in range(TILE):
            eta[i] = tiles.offset[at + i]
        for k in range(0, width, FOUR):
            add_combination(T, base + k * TILE, padded, k, eta, 0)
        _weigh(tiles, at, weights, room)
        if (t + 1) % FACTORS == 0:
            log_factors += _take_logarithms(factors)
        if with_gram:
            add_tile(T, base, width, 0, at, weights.w, weights.r, sums)
    if with_gram:
        collect(sums, width, 0, J, gradient)
    total = -(log_factors + _take_logarithms(factors))
    for i in range(TILE):
        total += room.linear[i]
    return total


@jit
def longest_change(T: Float64Array, keep: Float64Array, step: Float64Array) -> float:
    """The largest change of any sample's log odds."""
    width = T.size // keep.size
    padded = _factors_of_columns(step, width)
    change, largest = np.empty(TILE), 0.0
    for t in range(keep.size // TILE):
        for i in range(TILE):
            change[i] = 0.0
        for k in range(0, width, FOUR):
            add_combination(T, (t * width + k) * TILE, padded, k, change, 0)
        for i in range(TILE):
            largest = max(largest, keep[t * TILE + i] * abs(change[i]))
    return largest


@jit
def sound(J: Float64Array, L: Float64Array) -> bool:
    """No covariate, nor g, near a combination of others: what the rows' own code decides is not in doubt."""
    P = J.shape[0]
    for c in range(P - 1):
        if not L[c, c] * L[c, c] > SAFE_PIVOT:
            return False
    # g about its mean: the first covariate is the constant
    plain = J[P - 1, P - 1] - J[P - 1, 0] * J[P - 1, 0] / J[0, 0]
    return bool(L[P - 1, P - 1] * L[P - 1, P - 1] > SAFE_SHARE * plain)


@jit
def _invert_lower(L: Float64Array, width: int, M: Float64Array) -> None:
    """Rows of ``L^-1`` (P, P) as factors of a tile's columns, (P * width,)."""
    P = L.shape[0]
    for at in range(M.size):
        M[at] = 0.0
    for j in range(P):
        for k in range(j, P):
            total = 1.0 if k == j else 0.0
            for m in range(j, k):
                total -= L[k, m] * M[m * width + j]
            M[k * width + j] = total / L[k, k]
    # Column P - 1 of the factor is g, the last of the tile.
    last = (P - 1) * width
    if width != P:
        M[last + width - 1] = M[last + P - 1]
        M[last + P - 1] = 0.0


@jit
def penalise(
    tiles: Tiles, L: Float64Array, rows: int, first: int, weights: Weights, F: Float64Array, gradient: Float64Array
) -> float:
    """Firth's score and ``F = T' diag((1 + h) w) T``, rows from block ``first``; the largest h / w.

    h are the leverages ``w d' (L L')^-1 d``, d the first ``rows`` columns (all, or all but g); r becomes ``y - mu + h (1/2 - mu)``.
    """
    P = gradient.size
    T, y, keep = tiles.T, tiles.y, tiles.keep
    w, r, curved = weights.w, weights.r, weights.curved
    width = T.size // keep.size
    M = np.empty(P * width)
    _invert_lower(L, width, M)
    sums = np.zeros(sums_size(width))
    value, size, largest = np.empty(TILE), np.empty(TILE), np.zeros(TILE)
    for t in range(keep.size // TILE):
        at = t * TILE
        base = at * width
        for i in range(TILE):
            size[i] = 0.0
        for j in range(rows):
            for i in range(TILE):
                value[i] = 0.0
            for k in range(0, width, FOUR):
                if k <= j or j == P - 1:
                    add_combination(T, base + k * TILE, M, j * width + k, value, 0)
            for i in range(TILE):
                size[i] += value[i] * value[i]
        for i in range(TILE):
            h = w[at + i] * size[i]
            # mu = y - r; a sample left out has no w and no r
            r[at + i] += h * (0.5 - (y[at + i] - r[at + i]))
            curved[at + i] = (1.0 + h) * w[at + i]
            largest[i] = max(largest[i], keep[at + i] * size[i])
        add_tile(T, base, width, first, at, curved, r, sums)
    collect(sums, width, first, F, gradient)
    most = 0.0
    for i in range(TILE):
        most = max(most, largest[i])
    return most
