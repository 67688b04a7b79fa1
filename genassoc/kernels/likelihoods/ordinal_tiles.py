"""Proportional odds (`genassoc.kernels.likelihoods.ordinal_terms`) of many samples at once, with weights, in tiles of 128.

Only the thresholds above and below a sample's level, u and l, are in its likelihood: with F and 1 - F there, which are exponentials of
a whole tile, every term is plain arithmetic on vectors of samples. Thresholds stand in slots 1 to M; the slots 0 and M + 1, below the
lowest level and above the highest, take what those samples would add, and are not looked at.
"""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.arranged import Covariates, arranged, vectors
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.lanes.tiles import collect, combine, tile_width
from genassoc.kernels.lanes.vector import DOUBLES, add_scaled
from genassoc.kernels.lanes.vector64 import FOUR, LANES64, TILE, add_dots
from genassoc.kernels.likelihoods.bernoulli import exp_minus_abs
from genassoc.kernels.likelihoods.logistic_tiles import add_tile, sums_size
from genassoc.kernels.likelihoods.newton import BEST, HALVINGS, UNDER_WAY, Climb, ascend
from genassoc.kernels.likelihoods.rows import MAX_ITERATIONS, NOT_CONVERGED, SAFELY_LEFT_OUT, independent_columns
from genassoc.shapes import Float64Array, Int64Array

LEAST_PRODUCT = 1e-150  # chances are multiplied before the logarithm is taken, as long as the product is above
LEAST_CHANCE = 1e-150  # the least that is divided by: its inverse has a square
BEYOND = 800.0  # thresholds below the lowest level and above the highest: no chance is left beyond them


class LevelTiles(NamedTuple):
    """Samples of a trait of ordered levels, laid out.

    Attributes
    ----------
    X : Covariates
        P columns without a constant.
    level : int64 array (n,)
        0 to M.
    offset, prior : float64 arrays (n,)
        What of the linear predictor is given, and weights; a sample of weight 0 takes no part.
    M : int
        Thresholds.
    """

    X: Covariates
    level: Int64Array
    offset: Float64Array
    prior: Float64Array
    M: int


@jit
def laid_out(
    D: Float64Array, level: Int64Array, offset: Float64Array, prior: Float64Array, M: int
) -> LevelTiles:  # fmt: skip
    """Samples with columns D (n, P)."""
    return LevelTiles(arranged(D), level, offset, prior, M)


@jit
def numbered_anew(level: Int64Array, prior: Float64Array, n_levels: int, own: Int64Array) -> int:
    """Fill own (n,) with the levels without those of no sample that takes part; the number of thresholds between the others."""
    new = np.zeros(n_levels, np.int64)
    for i in range(level.size):
        if prior[i] > 0.0:
            new[level[i]] = 1
    M = -1
    for k in range(n_levels):
        M += new[k]
        new[k] = max(M, 0)
    for i in range(level.size):
        own[i] = new[level[i]]
    return M


@jit
def without_combinations(
    X: Float64Array, prior: Float64Array, n_tested: int, tiles: LevelTiles
) -> tuple[LevelTiles, bool]:
    """The samples that take part, laid out with room for tested columns and without covariates that are combinations of others; whether any was.

    X (n, C) was orthonormal on all samples, the constant first; the tiles have C - 1 of its columns.
    """
    n, C = X.shape
    left_out, some = 0.0, 0
    for i in range(n):
        if prior[i] > 0.0:
            some += 1
            continue
        for c in range(C):
            left_out += X[i, c] * X[i, c]
    if left_out < SAFELY_LEFT_OUT:
        return tiles, False
    who, at = np.empty(some, np.int64), 0
    for i in range(n):
        if prior[i] > 0.0:
            who[at] = i
            at += 1
    kept, _, dropped = independent_columns(X[who], np.zeros(C))
    if not dropped:
        return tiles, False
    own = np.zeros((n, kept.shape[1] - 1 + n_tested))
    for j in range(some):
        put(own[who[j]], 0, kept[j, 1:])
    return laid_out(own, tiles.level, tiles.offset, prior, tiles.M), True


@jit
def linear_predictor(samples: LevelTiles, start: int, factors: Float64Array, eta: Float64Array) -> int:
    """Fill eta (TILE,) of the samples from ``start`` on, 0 behind the last; how many they are."""
    width = factors.size
    size = min(TILE, samples.level.size - start)
    put(eta, 0, samples.offset[start : start + size])
    eta[size:] = 0.0
    combine(samples.X.tiles, start * width, factors, 0, width, eta)
    return size


@jit
def shares(t: Float64Array, scaled: Float64Array, F: Float64Array, rest: Float64Array) -> None:
    """F(t) and 1 - F(t) of a tile, each with its digits."""
    exp_minus_abs(t, scaled, rest, TILE)
    for i in range(TILE):
        x = rest[i]
        large = 1.0 / (1.0 + x)
        small = x * large
        above = t[i] >= 0.0
        F[i] = large if above else small
        rest[i] = small if above else large


@jit
def likelihood(samples: LevelTiles, parameters: Float64Array, J: Float64Array, gradient: Float64Array) -> float:
    """The weighted log likelihood of (theta, beta) (M + P,); fills the observed information and the gradient."""
    X, level, prior, M = samples.X, samples.level, samples.prior, samples.M
    n, P = level.size, parameters.size - M
    W, width = vectors(P), tile_width(P)
    factors, theta = np.zeros(width), np.empty(M + 2)
    put(factors, 0, parameters[M:])
    put(theta, 1, parameters[:M])
    theta[0], theta[M + 1] = -BEYOND, BEYOND
    eta, v, t, scaled = np.empty(TILE), np.empty(TILE), np.empty(TILE), np.empty(TILE)
    Fu, Gu, Fl, Gl = np.empty(TILE), np.empty(TILE), np.empty(TILE), np.empty(TILE)
    chance, weight, residual = np.empty(TILE), np.empty(TILE), np.empty(TILE)
    cu, cl, du, dl, between = np.empty(TILE), np.empty(TILE), np.empty(TILE), np.empty(TILE), np.empty(TILE)
    su, sl = np.empty(TILE), np.empty(TILE)
    slope, diagonal, beside, across = np.zeros(M + 2), np.zeros(M + 2), np.zeros(M + 2), np.zeros((M + 2) * W)
    lanes = np.zeros(sums_size(width))
    total, product = 0.0, 1.0
    for start in range(0, n, TILE):
        size = linear_predictor(samples, start, factors, eta)
        for i in range(size):
            v[i] = prior[start + i]
            t[i] = theta[level[start + i] + 1] - eta[i]
        for i in range(size, TILE):
            v[i] = t[i] = 0.0
        shares(t, scaled, Fu, Gu)
        for i in range(size):
            t[i] = theta[level[start + i]] - eta[i]
        shares(t, scaled, Fl, Gl)
        for i in range(TILE):
            # The chance of the level, by the tail that keeps its digits.
            p = Gl[i] - Gu[i] if Fl[i] > 0.5 else Fu[i] - Fl[i]
            chance[i] = p
            inverse = 1.0 / max(p, LEAST_CHANCE)
            fu, fl = Fu[i] * Gu[i], Fl[i] * Gl[i]
            x, y = fu * inverse, fl * inverse
            residual[i] = v[i] * (Fl[i] - Gu[i])
            weight[i] = v[i] * (fu + fl)
            cu[i], cl[i] = v[i] * fu, v[i] * fl
            su[i], sl[i] = v[i] * x, v[i] * y
            du[i] = v[i] * (x * x - x * (Gu[i] - Fu[i]))
            dl[i] = v[i] * (y * y + y * (Gl[i] - Fl[i]))
            between[i] = v[i] * (x * y)
        for i in range(size):
            if v[i] == 0.0:
                continue
            if v[i] != 1.0:
                total += v[i] * math.log(chance[i]) if chance[i] > 0.0 else -np.inf
            else:
                if not (LEAST_PRODUCT < product and LEAST_PRODUCT < chance[i]):
                    total += math.log(product) if product > 0.0 else -np.inf
                    product = 1.0
                product *= chance[i]
            low = level[start + i]
            slope[low + 1] += su[i]
            slope[low] -= sl[i]
            diagonal[low + 1] += du[i]
            diagonal[low] += dl[i]
            beside[low] -= between[i]
            for c in range(0, W, DOUBLES):
                add_scaled(across, (low + 1) * W + c, X.rows, (start + i) * W + c, cu[i])
                add_scaled(across, low * W + c, X.rows, (start + i) * W + c, cl[i])
        add_tile(X.tiles, start * width, width, 0, 0, weight, residual, lanes)
    squares, slopes = np.empty((P, P)), np.empty(P)
    collect(lanes, width, squares, slopes)
    J[:, :] = 0.0
    for m in range(M):
        gradient[m], J[m, m] = slope[m + 1], diagonal[m + 1]
        if m < M - 1:
            J[m + 1, m] = beside[m + 1]
        for j in range(P):
            J[M + j, m] = -across[(m + 1) * W + j]
    _fill(squares, slopes, M, J, gradient)
    return total + (math.log(product) if product > 0.0 else -np.inf)


@jit
def _fill(squares: Float64Array, slopes: Float64Array, M: int, J: Float64Array, gradient: Float64Array) -> None:
    """The coefficients' part of the information and the gradient, and the mirror of the lower triangle."""
    P = slopes.size
    for j in range(P):
        gradient[M + j] = slopes[j]
        for k in range(P):
            J[M + j, M + k] = squares[j, k]
    for a in range(M + P):
        for b in range(a):
            J[b, a] = J[a, b]


class Expected(NamedTuple):
    """Expected information of a tile's samples, (M, TILE) each: of a threshold minus that with eta, with itself, and with the next."""

    c: Float64Array
    diagonal: Float64Array
    beside: Float64Array


@jit
def room_of_tile(M: int) -> Expected:
    """Room for one tile."""
    return Expected(np.empty((M, TILE)), np.empty((M, TILE)), np.zeros((M, TILE)))


@jit
def expect(theta: Float64Array, eta: Float64Array, room: Expected) -> None:
    """Fill what a tile's samples of linear predictor eta expect."""
    M = theta.size
    t, scaled = np.empty(TILE), np.empty(TILE)
    F, G = np.empty((M + 2, TILE)), np.empty((M + 2, TILE))
    for i in range(TILE):
        F[0, i], G[0, i], F[M + 1, i], G[M + 1, i] = 0.0, 1.0, 1.0, 0.0
    for m in range(M):
        for i in range(TILE):
            t[i] = theta[m] - eta[i]
        shares(t, scaled, F[m + 1], G[m + 1])
    for m in range(M):
        below, here, above, next_f = F[m], F[m + 1], F[m + 2], room.beside[m]
        no_below, not_here, not_above = G[m], G[m + 1], G[m + 2]
        c, diagonal = room.c[m], room.diagonal[m]
        for i in range(TILE):
            f = here[i] * not_here[i]
            p = no_below[i] - not_here[i] if below[i] > 0.5 else here[i] - below[i]
            q = not_here[i] - not_above[i] if here[i] > 0.5 else above[i] - here[i]
            inverse = 1.0 / max(q, LEAST_CHANCE)
            c[i] = f * (p + q)
            diagonal[i] = f * f * (1.0 / max(p, LEAST_CHANCE) + inverse)
            next_f[i] = -f * (above[i] * not_above[i]) * inverse


@jit
def expected_information(samples: LevelTiles, parameters: Float64Array, J: Float64Array, w: Float64Array) -> None:
    """Fill the weighted expected information of (theta, beta) (M + P,), and what every sample's eta adds to it (n,)."""
    X, prior, M = samples.X, samples.prior, samples.M
    n, P = samples.level.size, parameters.size - M
    width = tile_width(P)
    factors, eta = np.zeros(width), np.empty(TILE)
    put(factors, 0, parameters[M:])
    room, cross = room_of_tile(M), np.zeros(M * TILE)
    weight, none = np.zeros(TILE), np.zeros(TILE)
    lanes, across = np.zeros(sums_size(width)), np.zeros(M * width * LANES64)
    J[:, :] = 0.0
    for start in range(0, n, TILE):
        size = linear_predictor(samples, start, factors, eta)
        expect(parameters[:M], eta, room)
        weight[:] = 0.0
        cross[:] = 0.0
        for m in range(M):
            for i in range(size):
                v = prior[start + i]
                J[m, m] += v * room.diagonal[m, i]
                if m < M - 1:
                    J[m + 1, m] += v * room.beside[m, i]
                cross[m * TILE + i] = v * room.c[m, i]
                weight[i] += v * room.c[m, i]
        put(w, start, weight[:size])
        add_tile(X.tiles, start * width, width, 0, 0, weight, none, lanes)
        for m in range(M):
            for k in range(0, width, FOUR):
                add_dots(cross, m * TILE, X.tiles, start * width + k * TILE, across, (m * width + k) * LANES64)
    squares, slopes, nothing = np.empty((P, P)), np.empty(P), np.empty(M + P)
    collect(lanes, width, squares, slopes)
    for m in range(M):
        for j in range(P):
            at = (m * width + j) * LANES64
            J[M + j, m] = -across[at : at + LANES64].sum()
    _fill(squares, slopes, M, J, nothing)


@jit
def fit(samples: LevelTiles, n_free: int, watch: int, parameters: Float64Array, climb: Climb) -> tuple[int, float, int]:
    """Maximise over the first ``n_free`` of (theta, beta) by Newton's steps in the observed information, halved until it rises.

    Parameters
    ----------
    samples : LevelTiles
        Every level with a sample.
    watch : int
        Of so many last free coefficients, say RUNAWAY where one grows without end.
    parameters : float64 array (M + P,)
        Start in (increasing thresholds), estimate out.
    climb : Climb
        Filled: the gradient and the information of all parameters at the estimate, and the factor of that of the free ones.

    Returns
    -------
    status, log likelihood, iterations
    """
    M, free = samples.M, parameters[:n_free]
    part = Climb(
        climb.J,
        climb.L,
        climb.gradient[:n_free],
        climb.step[:n_free],
        climb.before[:n_free],
        climb.scratch[:n_free],
        climb.stand,
    )
    climb.stand[BEST], climb.stand[HALVINGS] = -np.inf, 0.0
    for iteration in range(MAX_ITERATIONS):
        ordered = True
        for m in range(1, M):
            ordered = ordered and parameters[m] > parameters[m - 1]
        objective = -np.inf
        climb.J[0, 0] = np.nan  # thresholds out of order have no likelihood: a fall
        if ordered:
            objective = likelihood(samples, parameters, climb.J, climb.gradient)
        status = ascend(iteration, objective, part, watch, free)
        if status != UNDER_WAY:
            return status, climb.stand[BEST], iteration
    return NOT_CONVERGED, climb.stand[BEST], MAX_ITERATIONS
