"""Proportional odds (`genassoc.kernels.likelihoods.ordinal_terms`) with sampling weights, one variant at a time: Wald tests, sandwich variances.

A sample's log chance depends on ``t = (theta_u - eta, theta_l - eta)``, u and l the thresholds above and below its level. With B_i
(2, A) the derivatives of t in the parameters, s_i and M_i the slope and the information in t, both times the weight v_i ::

    J = sum_i B_i'M_i B_i        var = J^-1 [sum_i B_i'r_i r_i'B_i] J^-1        r_i = (I - M_i B_i J^-1 B_i')^-power s_i

power 0 is Huber's, White's and Binder's variance; 1 is what HC3 is of one linear predictor: one Newton step without the sample
(``(J - B'MB)^-1 B's = J^-1 B'(I - M B J^-1 B')^-1 s``). Degrees of freedom are Satterthwaite's, as in `genassoc.kernels.likelihoods.weighted`.
"""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.likelihoods.logistic import solve_lower, solve_upper
from genassoc.kernels.likelihoods.newton import UNDER_WAY, advance, at_start
from genassoc.kernels.likelihoods.ordinal import levels_left
from genassoc.kernels.likelihoods.ordinal_terms import room_of, sample_terms
from genassoc.kernels.likelihoods.rows import (
    BETA,
    COLLINEAR,
    DF,
    DISPERSION,
    FINE,
    ITERATIONS,
    MAX_ITERATIONS,
    MODEL_SE,
    N_NUMBERS,
    NOT_CONVERGED,
    ONE_OUTCOME,
    STATISTIC,
    independent_columns,
    observed_calls,
)
from genassoc.kernels.likelihoods.weighted import LEAST_SLACK, LEVERAGE
from genassoc.shapes import BoolArray, Float64Array, Int64Array

COLLINEAR_BELOW = 1e-12  # of g's weighted squares: what thresholds and covariates leave


@jit
def accumulate(
    D: Float64Array, level: Int64Array, prior: Float64Array, parameters: Float64Array, M: int, J: Float64Array,
    gradient: Float64Array,
) -> float:  # fmt: skip
    """The weighted log likelihood of (theta, beta) (M + P,); fills the observed information and the gradient."""
    n, P = D.shape
    room = room_of(M)
    c, diagonal, beside, slope = room.c, room.diagonal, room.beside, room.slope
    J[:, :] = 0.0
    gradient[:] = 0.0
    total = 0.0
    for i in range(n):
        eta, v = 0.0, prior[i]
        for j in range(P):
            eta += D[i, j] * parameters[M + j]
        log_p, r = sample_terms(parameters[:M], eta, level[i], False, room)
        total += v * log_p
        weight = 0.0
        for m in range(max(level[i] - 1, 0), min(level[i] + 1, M)):
            weight += v * c[m]
            gradient[m] += v * slope[m]
            J[m, m] += v * diagonal[m]
            if m < M - 1:
                J[m + 1, m] += v * beside[m]
            for j in range(P):
                J[M + j, m] -= v * c[m] * D[i, j]
        for j in range(P):
            gradient[M + j] += v * r * D[i, j]
            x = weight * D[i, j]
            for k in range(j + 1):
                J[M + j, M + k] += x * D[i, k]
    for a in range(M + P):
        for b in range(a):
            J[b, a] = J[a, b]
    return total


@jit
def fit(
    D: Float64Array, level: Int64Array, prior: Float64Array, watch: bool, parameters: Float64Array, M: int, L: Float64Array
) -> tuple[int, int]:  # fmt: skip
    """Maximise the weighted likelihood by Newton's steps, halved until it does not fall; status and iterations.

    Parameters
    ----------
    D : float64 array (n, P)
        Covariates without a constant.
    level : int64 array (n,)
        0 to M, every level with a sample.
    prior : float64 array (n,)
    watch : bool
        Say RUNAWAY where the last coefficient grows without end.
    parameters : float64 array (M + P,)
        Start in (increasing thresholds), estimate out.
    L : float64 array (M + P, M + P)
        Filled with the factor of the information.
    """
    A = parameters.size
    J, gradient, step, before, stand = np.empty((A, A)), np.empty(A), np.zeros(A), np.empty(A), at_start()
    for iteration in range(MAX_ITERATIONS):
        ordered = True
        for m in range(1, M):
            ordered = ordered and parameters[m] > parameters[m - 1]
        objective = -np.inf
        J[0, 0] = np.nan  # thresholds out of order have no likelihood: a fall
        if ordered:
            objective = accumulate(D, level, prior, parameters, M, J, gradient)
        status = advance(iteration, objective, J, gradient, watch, parameters, before, step, L, stand)
        if status != UNDER_WAY:
            return status, iteration
    return NOT_CONVERGED, MAX_ITERATIONS


@jit
def start_thresholds(level: Int64Array, prior: Float64Array, M: int, theta: Float64Array) -> None:
    """Weighted log odds of the levels up to each threshold: the fit without covariates. Every level has a sample."""
    counts, below, above = np.zeros(M + 1), 0.0, 0.0
    for i in range(level.size):
        counts[level[i]] += prior[i]
        above += prior[i]
    for m in range(M):
        below += counts[m]
        above -= counts[m]
        theta[m] = math.log(below / above)


@jit
def _influence(
    d: Float64Array, level: int, v: float, parameters: Float64Array, M: int, L: Float64Array, along: Float64Array,
    power: int, reach: Float64Array, whitened: Float64Array,
) -> tuple[float, float, float]:  # fmt: skip
    """What a sample adds to the error of the last coefficient, what the square of it is expected to be, and the least slack.

    ``along`` is J^-1's last column; reach (A,) and whitened (2, A) are room.
    """
    P = d.size
    room = room_of(M)
    diagonal, beside, slope = room.diagonal, room.beside, room.slope
    eta, base = 0.0, 0.0
    for j in range(P):
        eta += d[j] * parameters[M + j]
        base -= d[j] * along[M + j]
    low = level - 1 if level > 0 else 0
    high = level if level < M else M - 1
    # The derivatives of t, whitened; a level at an end has one threshold, and twice the same row is taken once.
    rows = 1 if low == high else 2
    for row in range(rows):
        reach[:] = 0.0
        reach[low + row] = 1.0
        for j in range(P):
            reach[M + j] = -d[j]
        solve_lower(L, reach, whitened[row], M + P)
    h00, h01, h11 = 0.0, 0.0, 0.0
    for a in range(M + P):
        h00 += whitened[0, a] ** 2
        if rows == 2:
            h01 += whitened[0, a] * whitened[1, a]
            h11 += whitened[1, a] ** 2
    sample_terms(parameters[:M], eta, level, False, room)
    m00, s0, to0 = v * diagonal[low], v * slope[low], base + along[low]
    m01, m11, s1, to1 = 0.0, 0.0, 0.0, 0.0
    if rows == 2:
        m01, m11, s1, to1 = v * beside[low], v * diagonal[high], v * slope[high], base + along[high]
    # I - M H, whose determinant is the slack: 1 - h of one threshold.
    k00, k01 = 1.0 - m00 * h00 - m01 * h01, -m00 * h01 - m01 * h11
    k10, k11 = -m01 * h00 - m11 * h01, 1.0 - m01 * h01 - m11 * h11
    slack = k00 * k11 - k01 * k10
    r0, r1 = s0, s1
    held = max(slack, LEAST_SLACK)
    if power > 0:
        r0, r1 = (k11 * s0 - k01 * s1) / held, (k00 * s1 - k10 * s0) / held
    own = to0 * r0 + to1 * r1
    # Expected of any level: sum over the thresholds of the score's information along J^-1's column.
    sample_terms(parameters[:M], eta, level, True, room)
    expected = 0.0
    for m in range(M):
        x = base + along[m]
        expected += diagonal[m] * x * x
        if m < M - 1:
            expected += 2.0 * beside[m] * x * (base + along[m + 1])
    return own, v * v * expected * (1.0 / held if power > 0 else held), slack


@jit
def wald_rows(
    G: Float64Array, X: Float64Array, level: Int64Array, n_levels: int, prior: Float64Array, start: Float64Array,
    power: int, impute: bool, numbers: Float64Array, status: Int64Array, dropped: BoolArray,
) -> None:  # fmt: skip
    """Fit thresholds, covariates and g of every variant on the samples whose call is observed.

    Parameters
    ----------
    G : float64 array (R, n)
        Copies of the minor allele in the trait's samples, NaN where not observed.
    X : float64 array (n, C)
        Orthonormal covariates, the constant first (the thresholds are the intercepts).
    level : int64 array (n,)
        0 to n_levels - 1; prior (n,).
    start : float64 array (n_levels - 1 + C - 1,)
        The null's parameters.
    power : int
        0 or 1, as above.
    impute : bool
        Missing calls take the (unweighted) mean of the observed ones.
    numbers : float64 array (R, N_NUMBERS)
        Filled: beta, its standard error, beta over it, iterations, 1, Satterthwaite's degrees of freedom.
    status : int64 array (R,)
        FINE, NOT_CONVERGED (or g's coefficient is not finite), COLLINEAR, ONE_OUTCOME, LEVERAGE.
    dropped : bool array (R,)
        Filled: whether a covariate was a combination of others among the samples observed, and left out.
    """
    for q in range(G.shape[0]):
        for k in range(N_NUMBERS):
            numbers[q, k] = np.nan
        who, g = observed_calls(G[q], impute)
        XX = X[who]
        dropped[q] = False
        if who.size < X.shape[0]:
            XX, _, dropped[q] = independent_columns(XX, np.zeros(X.shape[1]))
        own, M = levels_left(level[who], n_levels)
        if M < 1:
            status[q] = ONE_OUTCOME
            continue
        P = XX.shape[1]
        D, parameters, centre = np.empty((who.size, P)), np.zeros(M + P), g.mean()
        for i in range(who.size):
            D[i, P - 1] = g[i] - centre
            for j in range(P - 1):
                D[i, j] = XX[i, j + 1]
        start_thresholds(own, prior[who], M, parameters[:M])
        if M == n_levels - 1 and not dropped[q]:
            put(parameters, 0, start)
        status[q] = _one_row(D, own, prior[who], M, parameters, power, numbers[q])


@jit
def _one_row(
    D: Float64Array, level: Int64Array, prior: Float64Array, M: int, parameters: Float64Array, power: int,
    row: Float64Array,
) -> int:  # fmt: skip
    """What `wald_rows` does of one variant, on n samples that are all observed; the status."""
    n, A = D.shape[0], parameters.size
    L = np.zeros((A, A))
    state, iterations = fit(D, level, prior, True, parameters, M, L)
    if state == COLLINEAR:
        return COLLINEAR
    if state != FINE:
        return NOT_CONVERGED
    total = 0.0
    for a in range(A):
        total += L[A - 1, a] ** 2
    if L[A - 1, A - 1] ** 2 <= COLLINEAR_BELOW * total:
        return COLLINEAR
    unit, along, reach, whitened = np.zeros(A), np.empty(A), np.empty(A), np.empty((2, A))
    unit[A - 1] = 1.0 / L[A - 1, A - 1]
    solve_upper(L, unit, along, A)
    meat, size, squares, least = 0.0, 0.0, 0.0, 1.0
    for i in range(n):
        own, expected, slack = _influence(
            D[i], level[i], prior[i], parameters, M, L, along, power, reach, whitened
        )  # fmt: skip
        meat += own * own
        size += expected
        squares += expected * expected
        least = min(least, slack)
    if power > 0 and least <= LEAST_SLACK:
        return LEVERAGE
    row[BETA], row[MODEL_SE] = parameters[A - 1], math.sqrt(meat)
    row[STATISTIC] = row[BETA] / row[MODEL_SE] if meat > 0.0 else np.nan
    row[ITERATIONS], row[DISPERSION] = iterations, 1.0
    row[DF] = min(max(1.0, size * size / max(squares, 1e-300) - 1.0), float(max(n - A, 1)))
    return FINE
