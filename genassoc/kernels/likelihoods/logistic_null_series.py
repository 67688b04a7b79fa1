"""The null of the samples observed, from a power series of the likelihood of all samples (`genassoc.stats.logistic_series`)."""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.vector64 import FOUR, LANES64, TILE, add_combination, add_dots
from genassoc.kernels.likelihoods.cholesky import cholesky, solve_lower, solve_upper
from genassoc.kernels.likelihoods.logistic_tiles import SAFE_PIVOT, Tiles, columns_of_tile, log_likelihood, weights_of
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
# Beyond these bounds the series is where a fit to all samples begins, a step of 1e-5 standard errors from its end.
MAX_START = 1.0
FAILED, A_START, HOLDS = 0, 1, 2


class NullSeries(NamedTuple):
    """Power series of the log likelihood of all samples in the coefficients of two nulls; C is 1 where there is no series.

    Attributes
    ----------
    start : float64 array (2, C)
        The coefficients that it is about: of the nulls without (0) and with (1) Firth's penalty.
    gradient : float64 array (2, C)
        Of the log likelihood, without any penalty.
    information : float64 array (2, C, C)
        Sums of ``w x x'``.
    third, fourth : float64 arrays (2, C, C C), (2, C, C C C)
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


@jit
def contract(tensor: Float64Array, step: Float64Array, out: Float64Array) -> None:
    """``out = sum_l step_l tensor_l`` over the first index."""
    for at in range(out.size):
        out[at] = 0.0
    for c in range(step.size):
        s = step[c]
        for at in range(out.size):
            out[at] += s * tensor[c, at]


@jit
def expand(
    gradient0: Float64Array, H: Float64Array, third: Float64Array, move: Float64Array, A: Float64Array,
    J: Float64Array, gradient: Float64Array,
) -> None:  # fmt: skip
    """Gradient and information of all samples at a move; A (C, C C) is the fourth order contracted with it."""
    C = move.size
    cubic, quartic = np.zeros(C * C), np.zeros(C * C)
    for c in range(C):
        for at in range(C * C):
            cubic[at] += third[c, at] * move[c]
            quartic[at] += A[c * C * C + at] * move[c]
    for j in range(C):
        gradient[j] = gradient0[j]
        for k in range(C):
            at = j * C + k
            J[j, k] = H[j, k] + cubic[at] + 0.5 * quartic[at]
            gradient[j] -= move[k] * (H[j, k] + cubic[at] / 2.0 + quartic[at] / 6.0)


@jit
def _penalise(
    third: Float64Array, A: Float64Array, L: Float64Array, T: Float64Array, bend: Float64Array, gradient: Float64Array
) -> None:
    """Add Firth's ``sum h (1/2 - mu) x``, half of ``J^-1 : sum w (1 - 2 mu) x x x``, of the samples observed.

    Of the samples that are missing, in tiles T, ``bend`` is ``w (1 - 2 mu)``.
    """
    C = gradient.size
    width = T.size // bend.size
    V, unit, z = np.zeros((C, width)), np.zeros(C), np.zeros(C)
    for c in range(C):
        for k in range(C):
            unit[k] = 1.0 if k == c else 0.0
        solve_lower(L, unit, z, C)
        solve_upper(L, z, V[c], C)
    for j in range(C):
        total = 0.0
        for k in range(C):
            for c in range(C):
                at = k * C + c
                total += V[k, c] * (third[j, at] + A[j * C * C + at])
        gradient[j] += 0.5 * total
    value, pull, sums = np.zeros(TILE), np.zeros(TILE), np.zeros(width * LANES64)
    for t in range(bend.size // TILE):
        base = t * width * TILE
        for i in range(TILE):
            pull[i] = 0.0
        for c in range(C):
            for i in range(TILE):
                value[i] = 0.0
            for k in range(0, width, FOUR):
                add_combination(T, base + k * TILE, V[c], k, value, 0)
            for i in range(TILE):
                pull[i] += value[i] * T[base + c * TILE + i]
        for i in range(TILE):
            pull[i] *= 0.5 * bend[t * TILE + i]
        for k in range(0, width, FOUR):
            add_dots(pull, 0, T, base + k * TILE, sums, k * LANES64)
    for c in range(C):
        for lane in range(LANES64):
            gradient[c] -= sums[c * LANES64 + lane]


@jit
def _gather(X: Float64Array, trait: Trait, samples: Int64Array) -> Tiles:
    """Some samples in tiles of their own."""
    m, C = samples.size, X.shape[1]
    width = columns_of_tile(C)
    n_tiles = max((m + TILE - 1) // TILE, 1)
    tiles = Tiles(
        np.zeros(n_tiles * width * TILE), np.zeros(n_tiles * TILE), np.zeros(n_tiles * TILE), np.zeros(n_tiles * TILE)
    )
    for s in range(m):
        i = samples[s]
        tiles.y[s], tiles.keep[s], tiles.offset[s] = trait.y[i], 1.0, trait.offset[i]
        base = (s // TILE) * width * TILE + s % TILE
        for c in range(C):
            tiles.T[base + c * TILE] = X[i, c]
    return tiles


@jit
def move_null(
    series: NullSeries, p: int, X: Float64Array, trait: Trait, missing: Int64Array, move: Float64Array, A: Float64Array,
    L: Float64Array,
) -> int:  # fmt: skip
    """Move from the null of all samples to that of the samples observed, by Newton's steps; L is of its information.

    p is 1 of the penalised null, else 0. A (C C C,) is the fourth order at the move. `HOLDS`; `A_START`, where the series is not good
    enough for more; or `FAILED`.
    """
    C, penalised = move.size, p == 1
    H, third, fourth, reach = series.information[p], series.third[p], series.fourth[p], series.reach[p]
    J, gradient, z, step = np.zeros((C, C)), np.zeros(C), np.zeros(C), np.zeros(C)
    tiles = _gather(X, trait, missing)
    weights, beta = weights_of(tiles), np.zeros(C + 1)
    J_missing, gradient_missing, bend = np.zeros((C + 1, C + 1)), np.zeros(C + 1), weights.curved
    for at in range(A.size):
        A[at] = 0.0
    for _ in range(MAX_STEPS):
        if squared_length(H, move) > 0.0:
            contract(fourth, move, A)
        expand(series.gradient[p], H, third, move, A, J, gradient)
        for c in range(C):
            beta[c] = series.start[p, c] + move[c]
        log_likelihood(tiles, beta, True, weights, J_missing, gradient_missing)
        for j in range(C):
            gradient[j] -= gradient_missing[j]
            for k in range(C):
                J[j, k] -= J_missing[j, k]
        for s in range(bend.size):
            bend[s] = weights.w[s] * (1.0 - 2.0 * (tiles.y[s] - weights.r[s]))
        if math.isnan(cholesky(J, L, C)):
            return FAILED
        for c in range(C):
            if not L[c, c] * L[c, c] > SAFE_PIVOT:
                return FAILED
        if penalised:
            _penalise(third, A, L, tiles.T, bend, gradient)
        decrement = newton_step(L, gradient, step, z)
        for c in range(C):
            move[c] += step[c]
        largest = reach * math.sqrt(squared_length(H, move))
        if not largest <= MAX_START:
            return FAILED
        if decrement < (PENALISED_STEP if penalised else NULL_STEP):
            far = largest > MAX_MOVE or largest**3 * reach > MAX_REST
            return A_START if far or (penalised and largest * largest * reach > MAX_BEND) else HOLDS
    return FAILED


@jit
def squared_length(H: Float64Array, move: Float64Array) -> float:
    """``move' H move``."""
    total = 0.0
    for j in range(move.size):
        for k in range(move.size):
            total += move[j] * H[j, k] * move[k]
    return max(total, 0.0)
