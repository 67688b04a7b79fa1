"""The null of the samples observed: from a power series of the likelihood of all samples, and exactly where that is not good enough."""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.vector64 import FOUR, TILE, add_combination
from genassoc.kernels.likelihoods.bernoulli import exp_minus_abs
from genassoc.kernels.likelihoods.cholesky import cholesky
from genassoc.kernels.likelihoods.logistic_tiles import (
    SAFE_PIVOT,
    Tiles,
    Weights,
    add_tile,
    collect,
    sums_size,
    weights_of,
)
from genassoc.kernels.likelihoods.newton import newton_step
from genassoc.kernels.likelihoods.rows import Trait
from genassoc.shapes import Float64Array, Int64Array

MAX_STEPS = 12
# Squared length, in standard errors, of the last step of the null (the next is its square, and the information is that
# before the last) and of the penalised null (whose steps leave the penalty's curvature out: the next is a hundredth).
NULL_STEP, PENALISED_STEP = 1e-11, 1e-9
# Bound on any sample's change of log odds, m: what the series leaves out goes with m^3, and with the reach. Measured at 1 %
# of cases: scores within 4e-6 standard errors at 5.6e-3.
MAX_MOVE, MAX_REST = 0.2, 1e-3
# The penalty is a derivative and is known to one order less: what is left out goes with its size, which goes with the
# reach, times m^2. Measured: approximate Firth within 3e-6 standard errors at 1.5e-3.
MAX_BEND = 9e-4
# Beyond these bounds the series is corrected by sums over all samples. Up to these ones its information (which has an order more) is good
# as it is; up to the last the null is within 1e-4 standard errors.
MAX_NEAR = (0.03, 0.003)
MAX_ROUGH = 0.1
MAX_START = 1.0
FAILED, FAR, ROUGH, NEAR, HOLDS = 0, 1, 2, 3, 4


class NullSeries(NamedTuple):
    """Power series of the log likelihood of all samples in the coefficients of two nulls; C is 1 where there is no series.

    Pairs of covariates (j, k), k up to j, are numbered ``j (j + 1) / 2 + k``: there are Q.

    Attributes
    ----------
    start : float64 array (2, C)
        The coefficients that it is about: of the nulls without (0) and with (1) Firth's penalty.
    gradient : float64 array (2, C)
        Of the log likelihood, without any penalty.
    information : float64 array (2, C, C)
        Sums of ``w x x'``.
    third, fourth : float64 arrays (2, C, Q), (2, Q, Q)
        Sums of ``w (1 - 2 mu)`` and ``w (1 - 6 w)`` times products of three and four covariates.
    reach : float64 array (2,)
        No sample's log odds change by more than this times a step's length in standard errors; infinite where there is
        no series (many covariates, or samples without weight).
    """

    start: Float64Array
    gradient: Float64Array
    information: Float64Array
    third: Float64Array
    fourth: Float64Array
    reach: Float64Array


class Null(NamedTuple):
    """One null of a row, and room to find it.

    Attributes
    ----------
    move : float64 array (C,)
        From that of all samples.
    J, gradient : float64 arrays (C, C), (C,)
        Information, and gradient of the log likelihood, of all samples at the null.
    L : float64 array (C, C)
        Factor of the information of the samples observed.
    cubic, quartic, pairs, inverse : float64 arrays (Q,)
        Third order times the move, fourth times it twice; products of a direction's entries; ``(L L')^-1``, each entry as often as the
        symmetric matrix has it.
    wrong_at, wrong_gradient, wrong_J, wrong_pull : float64 arrays (C,), (C,), (C, C), (C,)
        What the series misses of all samples' gradient, information and penalty at a move, where that was summed (`correct`), else 0.
    """

    move: Float64Array
    J: Float64Array
    gradient: Float64Array
    L: Float64Array
    cubic: Float64Array
    quartic: Float64Array
    pairs: Float64Array
    inverse: Float64Array
    wrong_at: Float64Array
    wrong_gradient: Float64Array
    wrong_J: Float64Array
    wrong_pull: Float64Array


class Summed(NamedTuple):
    """Some samples in tiles, their weights, and sums over them: ``w x x'`` (P, P) and ``x (y - mu)`` (P,), g's the last."""

    tiles: Tiles
    weights: Weights
    J: Float64Array
    gradient: Float64Array
    lanes: Float64Array


@jit
def null_of(C: int) -> Null:
    """Room for the null of C covariates."""
    Q = C * (C + 1) // 2
    return Null(
        np.zeros(C), np.zeros((C, C)), np.zeros(C), np.zeros((C, C)), np.zeros(Q), np.zeros(Q), np.zeros(Q), np.zeros(Q), np.zeros(C),
        np.zeros(C), np.zeros((C, C)), np.zeros(C),
    )  # fmt: skip


@jit
def summed(tiles: Tiles, C: int) -> Summed:
    """Room for the sums of tiles."""
    width = tiles.T.size // max(tiles.keep.size, 1)
    return Summed(tiles, weights_of(tiles), np.zeros((C + 1, C + 1)), np.zeros(C + 1), np.zeros(sums_size(width)))


@jit
def pair_up(v: Float64Array, pairs: Float64Array) -> None:
    """Products of the entries of v, those off the diagonal twice: what a symmetric matrix is summed with."""
    q = 0
    for j in range(v.size):
        for k in range(j):
            pairs[q] = 2.0 * v[j] * v[k]
            q += 1
        pairs[q] = v[j] * v[j]
        q += 1


@jit
def fold(fourth: Float64Array, pairs: Float64Array, out: Float64Array) -> None:
    """``out_q = sum_p pairs_p fourth[p, q]``: the fourth order with two of its four directions given."""
    Q = out.size
    for q in range(Q):
        out[q] = 0.0
    whole = Q // FOUR * FOUR
    for p in range(0, whole, FOUR):
        a, b, c, d = pairs[p], pairs[p + 1], pairs[p + 2], pairs[p + 3]
        for q in range(Q):
            out[q] += (a * fourth[p, q] + b * fourth[p + 1, q]) + (c * fourth[p + 2, q] + d * fourth[p + 3, q])
    for p in range(whole, Q):
        a = pairs[p]
        for q in range(Q):
            out[q] += a * fourth[p, q]


@jit
def expand(series: NullSeries, p: int, null: Null) -> None:
    """Gradient and information of all samples at the null's move."""
    move, J, gradient, cubic, quartic = null.move, null.J, null.gradient, null.cubic, null.quartic
    H, third = series.information[p], series.third[p]
    C, Q = move.size, cubic.size
    size = 0.0
    for c in range(C):
        gradient[c] = series.gradient[p, c]
        size += abs(move[c])
    for q in range(Q):
        cubic[q] = quartic[q] = 0.0
    if size > 0.0:
        for c in range(C):
            x = move[c]
            for q in range(Q):
                cubic[q] += x * third[c, q]
        pair_up(move, null.pairs)
        fold(series.fourth[p], null.pairs, quartic)
    for j in range(C):
        gradient[j] += null.wrong_gradient[j]
        for k in range(C):
            gradient[j] -= null.wrong_J[j, k] * (move[k] - null.wrong_at[k])
    q = 0
    for j in range(C):
        for k in range(j + 1):
            J[j, k] = H[j, k] + cubic[q] + 0.5 * quartic[q] + null.wrong_J[j, k]
            J[k, j] = J[j, k]
            slope = H[j, k] + cubic[q] / 2.0 + quartic[q] / 6.0
            gradient[j] -= slope * move[k]
            if k < j:
                gradient[k] -= slope * move[j]
            q += 1


@jit
def _invert(L: Float64Array, inverse: Float64Array, V: Float64Array) -> None:
    """``(L L')^-1`` as `Null` has it; rows of V (C, width) are its lower triangle, entries off the diagonal doubled."""
    C = L.shape[0]
    N = np.zeros((C, C))
    for j in range(C):
        for i in range(j, C):
            total = 1.0 if i == j else 0.0
            for m in range(j, i):
                total -= L[i, m] * N[m, j]
            N[i, j] = total / L[i, i]
    for q in range(inverse.size):
        inverse[q] = 0.0
    for m in range(C):
        q = 0
        for j in range(m + 1):
            for k in range(j):
                inverse[q] += 2.0 * N[m, j] * N[m, k]
                q += 1
            inverse[q] += N[m, j] * N[m, j]
            q += 1
    q = 0
    for j in range(C):
        for k in range(j + 1):
            V[j, k] = inverse[q]
            q += 1


@jit
def _pull_of_all(series: NullSeries, p: int, null: Null, gradient: Float64Array) -> None:
    """Add Firth's ``sum h (1/2 - mu) x``, half of ``(L L')^-1 : sum w (1 - 2 mu) x x x``, of all samples, from the series."""
    third, inverse, W = series.third[p], null.inverse, null.quartic
    C = gradient.size
    fold(series.fourth[p], inverse, W)
    q = 0
    for j in range(C):
        total = 0.0
        for m in range(inverse.size):
            total += inverse[m] * third[j, m]
        gradient[j] += 0.5 * total + null.wrong_pull[j]
        for k in range(j + 1):
            gradient[j] += 0.5 * W[q] * null.move[k]
            if k < j:
                gradient[k] += 0.5 * W[q] * null.move[j]
            q += 1


@jit
def weigh(part: Summed, beta: Float64Array, with_gram: bool) -> None:
    """Weights and residuals of the tiles' samples at beta (P,), g's the last; the sums over them."""
    tiles, w, r = part.tiles, part.weights.w, part.weights.r
    T, y, keep, offset, lanes = tiles.T, tiles.y, tiles.keep, tiles.offset, part.lanes
    P = beta.size
    width = T.size // keep.size
    factors, eta, scaled, x = np.zeros(width), np.empty(TILE), np.empty(TILE), np.empty(TILE)
    for c in range(P - 1):
        factors[c] = beta[c]
    factors[width - 1] = beta[P - 1]
    for at in range(lanes.size):
        lanes[at] = 0.0
    for t in range(keep.size // TILE):
        at = t * TILE
        base = at * width
        for i in range(TILE):
            eta[i] = offset[at + i]
        for k in range(0, width, FOUR):
            add_combination(T, base + k * TILE, factors, k, eta, 0)
        exp_minus_abs(eta, scaled, x, TILE)
        for i in range(TILE):
            share = 1.0 / (1.0 + x[i])
            mu = share if eta[i] >= 0.0 else x[i] * share
            w[at + i] = keep[at + i] * x[i] * share * share
            r[at + i] = keep[at + i] * (y[at + i] - mu)
        # Above the last block no row of the gram is added: the residuals' sums alone.
        add_tile(T, base, width, 0 if with_gram else width, at, w, r, lanes)
    collect(lanes, width, 0 if with_gram else width, part.J, part.gradient)


@jit
def _pull(part: Summed, V: Float64Array, gradient: Float64Array, sign: float) -> None:
    """Add ``sign`` times Firth's ``sum h (1/2 - mu) x`` of the tiles' samples, weighed before; h = w x' V x, V lower as of `_invert`."""
    tiles, w, r = part.tiles, part.weights.w, part.weights.r
    T, y, keep, lanes = tiles.T, tiles.y, tiles.keep, part.lanes
    C, width = V.shape
    flat = V.ravel()
    value, size, pull, none = np.empty(TILE), np.empty(TILE), np.empty(TILE), np.zeros(TILE)
    for at in range(lanes.size):
        lanes[at] = 0.0
    for t in range(keep.size // TILE):
        at = t * TILE
        base = at * width
        for i in range(TILE):
            size[i] = 0.0
        for c in range(C):
            for i in range(TILE):
                value[i] = 0.0
            for k in range(0, c + 1, FOUR):
                add_combination(T, base + k * TILE, flat, c * width + k, value, 0)
            for i in range(TILE):
                size[i] += value[i] * T[base + c * TILE + i]
        for i in range(TILE):
            # mu = y - r; a sample left out has no weight
            pull[i] = w[at + i] * size[i] * (0.5 - (y[at + i] - r[at + i]))
        add_tile(T, base, width, width, 0, none, pull, lanes)
    collect(lanes, width, width, part.J, part.gradient)
    for c in range(C):
        gradient[c] += sign * part.gradient[c]


@jit
def gather(X: Float64Array, trait: Trait, samples: Int64Array, room: Tiles) -> Tiles:
    """Some samples in tiles of their own, the first of ``room``; what else stands there does not take part."""
    m, C = samples.size, X.shape[1]
    width = room.T.size // room.keep.size
    size = max((m + TILE - 1) // TILE, 1) * TILE
    tiles = Tiles(room.T[: size * width], room.y[:size], room.keep[:size], room.offset[:size])
    for s in range(m):
        i = samples[s]
        tiles.y[s], tiles.keep[s], tiles.offset[s] = trait.y[i], 1.0, trait.offset[i]
        base = (s // TILE) * width * TILE + s % TILE
        for c in range(C):
            tiles.T[base + c * TILE] = X[i, c]
    for s in range(m, size):
        tiles.keep[s] = 0.0
    return tiles


@jit
def _observed(J: Float64Array, missing: Summed, L: Float64Array) -> bool:
    """L from the information of all samples less that of the missing ones; whether no covariate is near a combination of others."""
    C = L.shape[0]
    A = np.empty((C, C))
    for j in range(C):
        for k in range(j + 1):
            A[j, k] = J[j, k] - missing.J[j, k]
    if math.isnan(cholesky(A, L, C)):
        return False
    for c in range(C):
        if not L[c, c] * L[c, c] > SAFE_PIVOT:
            return False
    return True


@jit
def move_null(series: NullSeries, p: int, missing: Summed, null: Null) -> int:
    """Move on to the null of the samples observed, by Newton's steps; L is of its information.

    p is 1 of the penalised null, else 0. How well the series does if it is not corrected: `HOLDS`, `NEAR`, `ROUGH` or `FAR`; or `FAILED`.
    """
    move, L = null.move, null.L
    C = move.size
    width = missing.tiles.T.size // missing.tiles.keep.size
    gradient, z, step, beta, V = np.zeros(C), np.zeros(C), np.zeros(C), np.zeros(C + 1), np.zeros((C, width))
    H, reach = series.information[p], series.reach[p]
    for _ in range(MAX_STEPS):
        expand(series, p, null)
        for c in range(C):
            beta[c] = series.start[p, c] + move[c]
        weigh(missing, beta, True)
        for c in range(C):
            gradient[c] = null.gradient[c] - missing.gradient[c]
        if not _observed(null.J, missing, L):
            return FAILED
        if p == 1:
            _invert(L, null.inverse, V)
            _pull_of_all(series, p, null, gradient)
            _pull(missing, V, gradient, -1.0)
        decrement = newton_step(L, gradient, step, z)
        for c in range(C):
            move[c] += step[c]
        largest = reach * math.sqrt(squared_length(H, move))
        if not largest <= MAX_START:
            return FAILED
        if decrement < (PENALISED_STEP if p == 1 else NULL_STEP):
            rest = largest**3 * reach
            if largest <= MAX_MOVE and rest <= MAX_REST and (p == 0 or largest * largest * reach <= MAX_BEND):
                return HOLDS
            return NEAR if rest <= MAX_NEAR[p] else (ROUGH if rest <= MAX_ROUGH else FAR)
    return FAILED


@jit
def start_null(null: Null, move: Float64Array) -> None:
    """Begin a row at a move, the series as it is."""
    for c in range(move.size):
        null.move[c] = move[c]
        null.wrong_at[c] = null.wrong_gradient[c] = null.wrong_pull[c] = 0.0
        for k in range(move.size):
            null.wrong_J[c, k] = 0.0


@jit
def correct(series: NullSeries, p: int, with_gram: bool, every: Summed, missing: Summed, null: Null) -> bool:
    """Correct the series by what all samples sum to at the null's move, of the information only ``with_gram``; whether that has full rank.

    Nearby the corrected series misses what the move from here to there makes of its own faults.
    """
    C, L = null.move.size, null.L
    width = every.tiles.T.size // every.tiles.keep.size
    pull, beta, V = np.zeros(C), np.zeros(C + 1), np.zeros((C, width))
    for c in range(C):
        beta[c] = series.start[p, c] + null.move[c]
    expand(series, p, null)
    weigh(every, beta, with_gram)
    for j in range(C):
        null.wrong_at[j] = null.move[j]
        null.wrong_gradient[j] = every.gradient[j] - null.gradient[j]
        for k in range(C if with_gram else 0):
            null.wrong_J[j, k] = every.J[j, k] - null.J[j, k]
            null.J[j, k] = every.J[j, k]
    if p == 1:
        weigh(missing, beta, True)
        if not _observed(null.J, missing, L):
            return False
        _invert(L, null.inverse, V)
        _pull(every, V, pull, 1.0)
        for c in range(C):
            null.gradient[c] = 0.0
        _pull_of_all(series, p, null, null.gradient)
        for c in range(C):
            null.wrong_pull[c] = pull[c] - null.gradient[c]
    return True


@jit
def reaches(series: NullSeries, p: int, null: Null) -> bool:
    """Whether the series, corrected at ``wrong_at``, holds at the move: what it leaves out there, less what it left out where it was summed."""
    C, reach = null.move.size, series.reach[p]
    away = np.empty(C)
    for c in range(C):
        away[c] = null.move[c] - null.wrong_at[c]
    whole = reach * math.sqrt(squared_length(series.information[p], null.move))
    part = reach * math.sqrt(squared_length(series.information[p], away))
    rest = (3.0 * whole * (whole + part) + part * part) * part
    return part <= MAX_MOVE and rest * reach <= MAX_REST


@jit
def squared_length(H: Float64Array, move: Float64Array) -> float:
    """``move' H move``."""
    total = 0.0
    for j in range(move.size):
        for k in range(move.size):
            total += move[j] * H[j, k] * move[k]
    return max(total, 0.0)
