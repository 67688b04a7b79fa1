"""Proportional odds (`genassoc.kernels.likelihoods.ordinal_terms`) with weights and an offset, one variant at a time: Wald tests.

A sample's log chance depends on ``t = (theta_u - eta, theta_l - eta)``, u and l the thresholds above and below its level. With B_i
(2, A) the derivatives of t in the parameters, s_i and M_i the slope and the information in t, both times the weight v_i ::

    J = sum_i B_i'M_i B_i        var = J^-1 [sum_i B_i'r_i r_i'B_i] J^-1        r_i = (I - M_i B_i J^-1 B_i')^-power s_i

power 0 is Huber's, White's and Binder's variance; 1 is what HC3 is of one linear predictor: one Newton step without the sample
(``(J - B'MB)^-1 B's = J^-1 B'(I - M B J^-1 B')^-1 s``). Degrees of freedom are Satterthwaite's, as in `genassoc.kernels.likelihoods.weighted`.
The likelihood's own variance is J^-1.
"""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.laws.sandwich import (
    COLLINEAR_BELOW,
    HC3,
    LEAST_SLACK,
    MODEL,
    WaldFits,
    model_covariance,
    observed,
    put_columns,
    sandwich_covariance,
)
from genassoc.kernels.likelihoods.cholesky import solve_lower, solve_upper
from genassoc.kernels.likelihoods.newton import BEST, UNDER_WAY, ascend, climb_of
from genassoc.kernels.likelihoods.ordinal import levels_left
from genassoc.kernels.likelihoods.ordinal_terms import Thresholds, room_of, sample_terms
from genassoc.kernels.likelihoods.rows import (
    COLLINEAR,
    FINE,
    LEVERAGE,
    MAX_ITERATIONS,
    NO_VARIANCE,
    NOT_CONVERGED,
    ONE_OUTCOME,
    independent_columns,
)
from genassoc.shapes import Float64Array, Int64Array


class OrdinalSamples(NamedTuple):
    """Samples of one trait of ordered levels.

    Attributes
    ----------
    X : float64 array (n, C)
        Orthonormal covariates, the constant first (the thresholds are the intercepts).
    level : int64 array (n,)
        0 to n_levels - 1.
    n_levels : int
    offset, prior : float64 arrays (n,)
        What is added to the linear predictor, and weights.
    start : float64 array (n_levels - 1 + C - 1,)
        The null's parameters.
    """

    X: Float64Array
    level: Int64Array
    n_levels: int
    offset: Float64Array
    prior: Float64Array
    start: Float64Array


@jit
def accumulate(
    samples: OrdinalSamples, parameters: Float64Array, M: int, J: Float64Array, gradient: Float64Array
) -> float:
    """The weighted log likelihood of (theta, beta) (M + P,) of X (n, P) without a constant.

    Fills the observed information and the gradient.
    """
    D, level, prior = samples.X, samples.level, samples.prior
    n, P = D.shape
    room = room_of(M)
    c, diagonal, beside, slope = room.c, room.diagonal, room.beside, room.slope
    J[:, :] = 0.0
    gradient[:] = 0.0
    total = 0.0
    for i in range(n):
        eta, v = samples.offset[i], prior[i]
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
    samples: OrdinalSamples, watch: int, parameters: Float64Array, M: int, L: Float64Array
) -> tuple[int, float, int]:
    """Maximise the weighted likelihood by Newton's steps, halved until it does not fall; status, log likelihood, iterations.

    Parameters
    ----------
    samples : OrdinalSamples
        X (n, P) without a constant; levels 0 to M, each with a sample.
    watch : int
        Of so many last coefficients, say RUNAWAY where one grows without end.
    parameters : float64 array (M + P,)
        Start in (increasing thresholds), estimate out.
    L : float64 array (M + P, M + P)
        Filled with the factor of the information.
    """
    climb = climb_of(L)
    for iteration in range(MAX_ITERATIONS):
        ordered = True
        for m in range(1, M):
            ordered = ordered and parameters[m] > parameters[m - 1]
        objective = -np.inf
        climb.J[0, 0] = np.nan  # thresholds out of order have no likelihood: a fall
        if ordered:
            objective = accumulate(samples, parameters, M, climb.J, climb.gradient)
        status = ascend(iteration, objective, climb, watch, parameters)
        if status != UNDER_WAY:
            return status, climb.stand[BEST], iteration
    return NOT_CONVERGED, climb.stand[BEST], MAX_ITERATIONS


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


class _Room(NamedTuple):
    """What `_influence` fills: of M thresholds, and derivatives of two of them in the A parameters."""

    thresholds: Thresholds
    reach: Float64Array
    whitened: Float64Array
    base: Float64Array


@jit
def _influence(
    samples: OrdinalSamples, i: int, at: tuple[Float64Array, Float64Array], along: Float64Array, power: int, room: _Room,
    U: Float64Array, E: Float64Array,
) -> float:  # fmt: skip
    """What a sample adds to the errors of the tested coefficients (D,), the expected products; its slack.

    ``at`` are the parameters and the factor of the information; ``along`` (D, A) the tested rows of J^-1.
    """
    parameters, L = at
    d, level, v = samples.X[i], samples.level[i], samples.prior[i]
    P, M, n_tested = d.size, room.thresholds.c.size, along.shape[0]
    diagonal, beside, slope = room.thresholds.diagonal, room.thresholds.beside, room.thresholds.slope
    base = room.base
    eta = samples.offset[i]
    for j in range(P):
        eta += d[j] * parameters[M + j]
    for k in range(n_tested):
        base[k] = 0.0
        for j in range(P):
            base[k] -= d[j] * along[k, M + j]
    low = level - 1 if level > 0 else 0
    high = level if level < M else M - 1
    # The derivatives of t, whitened; a level at an end has one threshold, and twice the same row is taken once.
    rows = 1 if low == high else 2
    for row in range(rows):
        room.reach[:] = 0.0
        room.reach[low + row] = 1.0
        for j in range(P):
            room.reach[M + j] = -d[j]
        solve_lower(L, room.reach, room.whitened[row], M + P)
    h00, h01, h11 = 0.0, 0.0, 0.0
    for a in range(M + P):
        h00 += room.whitened[0, a] ** 2
        if rows == 2:
            h01 += room.whitened[0, a] * room.whitened[1, a]
            h11 += room.whitened[1, a] ** 2
    sample_terms(parameters[:M], eta, level, False, room.thresholds)
    m00, s0, m01, m11, s1 = v * diagonal[low], v * slope[low], 0.0, 0.0, 0.0
    if rows == 2:
        m01, m11, s1 = v * beside[low], v * diagonal[high], v * slope[high]
    # I - M H, whose determinant is the slack: 1 - h of one threshold.
    k00, k01 = 1.0 - m00 * h00 - m01 * h01, -m00 * h01 - m01 * h11
    k10, k11 = -m01 * h00 - m11 * h01, 1.0 - m01 * h01 - m11 * h11
    slack = k00 * k11 - k01 * k10
    r0, r1 = s0, s1
    held = max(slack, LEAST_SLACK)
    if power > 0:
        r0, r1 = (k11 * s0 - k01 * s1) / held, (k00 * s1 - k10 * s0) / held
    for k in range(n_tested):
        U[k] = (base[k] + along[k, low]) * r0
        if rows == 2:
            U[k] += (base[k] + along[k, high]) * r1
    # Expected of any level: sums over the thresholds of the score's information along J^-1's rows.
    sample_terms(parameters[:M], eta, level, True, room.thresholds)
    factor = v * v * (1.0 / held if power > 0 else held)
    place = 0
    for j in range(n_tested):
        for k in range(j + 1):
            expected = 0.0
            for m in range(M):
                x, z = base[j] + along[j, m], base[k] + along[k, m]
                expected += diagonal[m] * x * z
                if m < M - 1:
                    expected += beside[m] * (x * (base[k] + along[k, m + 1]) + z * (base[j] + along[j, m + 1]))
            E[place] = factor * expected
            place += 1
    return slack


@jit
def wald_rows(H: Float64Array, samples: OrdinalSamples, variance: int, contrasts: Float64Array, fits: WaldFits) -> None:
    """Fit thresholds, covariates and the tested columns of every variant on the samples that are observed.

    Parameters
    ----------
    H : float64 array (R, D, n)
        Tested columns in the trait's samples, g the first; NaN where not observed. D may be 0: the null.
    samples : OrdinalSamples
    variance : int
        HC0, HC3 or MODEL, of `genassoc.kernels.laws.sandwich`.
    contrasts : float64 array (K, D)
        Zeros mean all coefficients at once.
    fits : WaldFits
        Filled; the status is FINE, NOT_CONVERGED (or a coefficient is not finite), COLLINEAR, ONE_OUTCOME, LEVERAGE, NO_VARIANCE.
    """
    X, n_tested = samples.X, H.shape[1]
    for q in range(H.shape[0]):
        who = observed(H[q])
        XX = X[who]
        fits.dropped[q] = False
        if who.size < X.shape[0]:
            XX, _, fits.dropped[q] = independent_columns(XX, np.zeros(X.shape[1]))
        own, M = levels_left(samples.level[who], samples.n_levels)
        if M < 1:
            fits.status[q] = ONE_OUTCOME
            continue
        C = XX.shape[1] - 1
        D, parameters = np.empty((who.size, C + n_tested)), np.zeros(M + C + n_tested)
        for i in range(who.size):
            for j in range(C):
                D[i, j] = XX[i, j + 1]
        put_columns(H[q], who, True, D)
        prior = samples.prior[who]
        start_thresholds(own, prior, M, parameters[:M])
        if M == samples.n_levels - 1 and not fits.dropped[q]:
            put(parameters, 0, samples.start)
        part = OrdinalSamples(D, own, M + 1, samples.offset[who], prior, parameters)
        fits.status[q] = _one_row(part, variance, contrasts, fits, q)


@jit
def _one_row(samples: OrdinalSamples, variance: int, contrasts: Float64Array, fits: WaldFits, row: int) -> int:
    """What `wald_rows` does of one variant, its tested columns the last of X, on samples that are all observed; the status."""
    parameters, M, n_tested = samples.start, samples.n_levels - 1, fits.theta.shape[1]
    A = parameters.size
    L = np.zeros((A, A))
    state, objective, iterations = fit(samples, n_tested, parameters, M, L)
    if state == COLLINEAR:
        return COLLINEAR
    if state != FINE:
        return NOT_CONVERGED
    for j in range(A - n_tested, A):
        total = 0.0
        for a in range(j + 1):
            total += L[j, a] ** 2
        if L[j, j] ** 2 <= COLLINEAR_BELOW * total:
            return COLLINEAR
    fits.objective[row], fits.iterations[row] = objective, iterations
    if variance == MODEL:
        model_covariance(L, 1.0, fits.covariance[row])
        fits.freedom[row] = np.inf
    else:
        state = _sandwich((samples, L), variance, contrasts, fits, row)
    if state == FINE:
        for d in range(n_tested):
            fits.theta[row, d] = parameters[A - 1 - d]
    return state


@jit
def _sandwich(
    fitted: tuple[OrdinalSamples, Float64Array], variance: int, contrasts: Float64Array, fits: WaldFits, row: int
) -> int:
    """The sandwich covariance of samples at their estimate and the factor of its information; the status."""
    samples, L = fitted
    parameters, M, n_tested = samples.start, samples.n_levels - 1, fits.theta.shape[1]
    n, A = samples.X.shape[0], parameters.size
    unit, half, along = np.zeros(A), np.empty(A), np.empty((n_tested, A))
    for d in range(n_tested):
        unit[:] = 0.0
        unit[A - 1 - d] = 1.0
        solve_lower(L, unit, half, A)
        solve_upper(L, half, along[d], A)
    space = _Room(room_of(M), np.empty(A), np.empty((2, A)), np.empty(n_tested))
    U, E = np.empty((n, n_tested)), np.empty((n, n_tested * (n_tested + 1) // 2))
    least = 1.0
    power = 1 if variance == HC3 else 0
    for i in range(n):
        least = min(least, _influence(samples, i, (parameters, L), along, power, space, U[i], E[i]))
    if power > 0 and least <= LEAST_SLACK:
        return LEVERAGE
    if not sandwich_covariance(U, E, contrasts, float(max(n - A, 1)), fits.covariance[row], fits.freedom[row]):
        return NO_VARIANCE
    return FINE
