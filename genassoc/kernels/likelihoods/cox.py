"""The maximum of Cox's partial likelihood (`genassoc.kernels.likelihoods.cox_sums`), with Firth's penalty where it is asked for.

Firth's penalty (Heinze & Schemper 2001, doi:10.1111/j.0006-341X.2001.00114.x) adds ``log det J / 2``.
"""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.arranged import Covariates, arranged, vectors
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.lanes.tiles import combine, tile_width
from genassoc.kernels.lanes.vector import DOUBLES, add_scaled
from genassoc.kernels.lanes.vector64 import TILE
from genassoc.kernels.likelihoods.cholesky import cholesky, solve_lower, solve_upper
from genassoc.kernels.likelihoods.cox_sums import (
    RiskSets,
    RiskSums,
    evaluate,
    mean_tile,
    suffix_sums,
)
from genassoc.kernels.likelihoods.logistic import FLAT, MAX_HALVINGS, MAX_ITERATIONS, MAX_STEP, STEP_TOLERANCE
from genassoc.kernels.likelihoods.newton import (
    BEST,
    FELL,
    UNDER_WAY,
    Climb,
    FitOptions,
    climb_of,
    judge,
    newton_step,
    step_on,
)
from genassoc.kernels.likelihoods.rows import COLLINEAR, FINE, NOT_CONVERGED
from genassoc.shapes import Float64Array

LONGEST = 30.0  # of any sample's log hazard in one step: further, exp leaves no digits to come back with


@jit
def add_firth_gradient(X: Covariates, sets: RiskSets, sums: RiskSums, L: Float64Array, gradient: Float64Array) -> None:
    """Add half the derivative of ``log det J`` to the gradient; L is the factor of J, the sums those of `partial_likelihood`.

    The derivative of J is the third central moment of the risk sets, so that with ``A = J^-1`` and ``q_i = x_i'A x_i`` ::

        tr(A dJ / dbeta) = sum_i c_i q_i x_i - sum_kl mean_kl E_kl[q] - 2 sum_i x_i (A x_i)'G_i + 2 sum_kl mean_kl (mean_kl'A mean_kl)

    with ``G_i = sum_kl p_ikl mean_kl``, a running sum over the event times: no more than the order of one scan.
    """
    n, P, K = sums.w.size, gradient.size, sets.ends.size
    W, width = vectors(P), tile_width(P)
    A = _inverse(L, P)
    q, solved = np.zeros(n), np.zeros(n * W)
    _forms_of_samples(X.tiles, A, P, q, solved)
    size = np.zeros(max(sums.means.size // max(W, 1), 1))
    tile = np.zeros(width * TILE)
    for first in range(0, sums.means.size // max(W, 1), TILE):
        mean_tile(sums.means, first, P, tile)
        _forms_of_tile(tile, 0, A, P, size[first : first + TILE], size[:0])
    sq, dq = np.zeros((K, 1)), np.zeros(K)
    for i in range(n):
        if sets.last[i] <= sets.first[i]:
            continue
        k, before = sets.last[i] - 1, sets.first[i] - 1
        sq[k, 0] += sums.w[i] * q[i]
        if sets.event[i]:
            dq[k] += sums.w[i] * q[i]
        if before >= 0 and not sets.ends[before]:
            sq[before, 0] -= sums.w[i] * q[i]
    suffix_sums(sq, sets.ends)
    slope, prefix, spared = np.zeros(W), np.zeros((K + 1) * W), np.zeros(K * W)
    term = 0
    for k in range(K):
        m = sums.deaths[k]
        for c in range(0, W, DOUBLES):
            add_scaled(prefix, (k + 1) * W + c, prefix, k * W + c, 1.0)
        for tie in range(m):
            part = tie / m if sets.efron else 0.0
            inverse = 1.0 / (sums.s0[k] - part * sums.d0[k])
            mean_q = (sq[k, 0] - part * dq[k]) * inverse
            for c in range(0, W, DOUBLES):
                add_scaled(prefix, (k + 1) * W + c, sums.means, term * W + c, inverse)
                if part != 0.0:
                    add_scaled(spared, k * W + c, sums.means, term * W + c, part * inverse)
                add_scaled(slope, c, sums.means, term * W + c, size[term] - 0.5 * mean_q)
            term += 1
    for i in range(n):
        if sets.last[i] <= sets.first[i]:
            continue
        along, here, high, low = 0.0, i * W, sets.last[i] * W, sets.first[i] * W
        for j in range(P):
            along += solved[here + j] * (prefix[high + j] - prefix[low + j])
        if sets.event[i]:
            for j in range(P):
                along -= solved[here + j] * spared[high - W + j]
        for c in range(0, W, DOUBLES):
            add_scaled(slope, c, X.rows, here + c, 0.5 * sums.expected[i] * q[i] - sums.w[i] * along)
    for j in range(P):
        gradient[j] += slope[j]


@jit
def _inverse(L: Float64Array, P: int) -> Float64Array:
    """``(L L')^-1``, rows as factors of a tile's columns."""
    width = tile_width(P)
    A, unit, half, column = np.zeros(P * width), np.zeros(P), np.empty(P), np.empty(P)
    for j in range(P):
        unit[:] = 0.0
        unit[j] = 1.0
        solve_lower(L, unit, half, P)
        solve_upper(L, half, column, P)
        for i in range(P):
            A[j * width + i] = column[i]
    return A


@jit
def _forms_of_tile(
    tiles: Float64Array, base: int, A: Float64Array, P: int, forms: Float64Array, solved: Float64Array
) -> None:
    """Fill forms with x'A x of a tile's samples, and solved (rows) with A x where it has room."""
    W, width = vectors(P), tile_width(P)
    column, total = np.empty(TILE), np.zeros(TILE)
    for j in range(P):
        column[:] = 0.0
        combine(tiles, base, A, j * width, width, column)
        for i in range(TILE):
            total[i] += column[i] * tiles[base + j * TILE + i]
        if solved.size > 0:
            for i in range(forms.size):
                solved[i * W + j] = column[i]
    for i in range(forms.size):
        forms[i] = total[i]


@jit
def _forms_of_samples(tiles: Float64Array, A: Float64Array, P: int, q: Float64Array, solved: Float64Array) -> None:
    W, width = vectors(P), tile_width(P)
    for start in range(0, q.size, TILE):
        _forms_of_tile(tiles, start * width, A, P, q[start : start + TILE], solved[start * W :])


@jit
def fit(
    D: Float64Array,
    offset: Float64Array,
    sets: RiskSets,
    options: FitOptions,
    beta: Float64Array,
    sums: RiskSums,
    L: Float64Array,
) -> tuple[int, float, int]:
    """Maximise the log partial likelihood by Newton's method, steps halved until it does not fall.

    Parameters
    ----------
    D, offset : float64 arrays (n, P), (n,)
    options : FitOptions
    beta : float64 array (P,)
        Start in, estimate out.
    sums, L
        Filled at the estimate; L (P, P) is the factor of the information.

    Returns
    -------
    status, objective, iterations
        The status is FINE, NOT_CONVERGED or COLLINEAR.
    """
    climb = climb_of(L)
    status, iterations = maximise(arranged(D), offset, sets, options, STEP_TOLERANCE, beta, sums, climb)
    return status, climb.stand[BEST], iterations


@jit
def maximise(
    X: Covariates,
    offset: Float64Array,
    sets: RiskSets,
    options: FitOptions,
    tolerance: float,
    beta: Float64Array,
    sums: RiskSums,
    climb: Climb,
) -> tuple[int, int]:
    """`fit` of covariates that are laid out, until Newton's step has a squared length below ``tolerance`` (or no gain); status and iterations.

    The climb (`genassoc.kernels.likelihoods.newton.climb_of`) ends with the objective, the gradient, the information and its factor at beta.
    """
    P = beta.size
    penalised, runaway, n_free = options
    F = np.zeros((P, P))
    J, L, gradient, step = climb.J, climb.L, climb.gradient, climb.step
    # Without a penalty a coefficient that takes longer runs away (R's coxph allows 20).
    limit = MAX_ITERATIONS if penalised or runaway else 25
    for iteration in range(limit):
        objective = evaluate(X, offset, beta, sets, sums, gradient, J)
        log_determinant = cholesky(J, L, P)
        if penalised:
            objective += 0.5 * log_determinant
        flat = iteration > 0 and objective - climb.stand[BEST] < FLAT * (0.05 + abs(objective))
        status = judge(iteration, objective, math.isnan(log_determinant), MAX_HALVINGS, climb, beta)
        if status == FELL:
            continue
        if status != UNDER_WAY:
            return status, iteration
        if penalised:
            add_firth_gradient(X, sets, sums, L, gradient)
        if math.isnan(cholesky(J, F, n_free)):
            return COLLINEAR, iteration
        decrement = newton_step(F, gradient[:n_free], step[:n_free], climb.scratch)
        if decrement < tolerance or (runaway and flat and decrement < 1e-6):
            return FINE, iteration
        _limit_step(X, step, n_free, MAX_STEP if penalised else LONGEST)
        step_on(climb, beta)
    return NOT_CONVERGED, limit


@jit
def _limit_step(X: Covariates, step: Float64Array, n_free: int, most: float) -> None:
    """Shorten a step that changes a sample's log hazard by more than ``most``."""
    width = tile_width(step.size)
    factors, change, longest = np.zeros(width), np.empty(TILE), 0.0
    put(factors, 0, step[:n_free])
    for base in range(0, X.tiles.size, max(width * TILE, 1)):
        change[:] = 0.0
        combine(X.tiles, base, factors, 0, width, change)
        for i in range(TILE):
            longest = max(longest, abs(change[i]))
    if longest > most:
        for j in range(n_free):
            step[j] *= most / longest
