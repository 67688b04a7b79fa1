"""Logistic regression of one variant at a time: Newton's method, with and without Firth's penalty.

All of it in float64, on the samples whose call is observed. `genassoc.kernels.likelihoods.logistic_rows` walks the variants.
"""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.likelihoods.cholesky import cholesky, information, solve_lower, solve_upper
from genassoc.kernels.likelihoods.newton import BEST, FELL, UNDER_WAY, FitOptions, climb_of, judge, newton_step, step_on
from genassoc.kernels.likelihoods.rows import COLLINEAR, FINE, NOT_CONVERGED, Trait
from genassoc.shapes import Float64Array

MAX_ITERATIONS = 80
PENALISED_ITERATIONS = 500  # under the penalty: steps are short where g tells cases from controls by itself
PLAIN_ITERATIONS = 25  # without a penalty: after more, a coefficient is running away (R's glm, PLINK 2)
MAX_HALVINGS = 12
MAX_STEP = 2.0  # of any sample's log odds, under the penalty
# A Newton step whose squared length in standard errors is below this moves no digit that is promised.
STEP_TOLERANCE = 1e-12
# The log likelihood is flat: a separated direction runs away at no gain (R's glm stops at 1e-8).
FLAT = 1e-10


class Fitted(NamedTuple):
    """Log odds, fitted probabilities, weights ``mu (1 - mu)`` and leverages (of a penalised fit) of samples (n,)."""

    eta: Float64Array
    mu: Float64Array
    w: Float64Array
    leverage: Float64Array


@jit
def fitted_of(n: int) -> Fitted:
    """Room for n samples."""
    return Fitted(np.empty(n), np.empty(n), np.empty(n), np.zeros(n))


@jit
def _log_likelihood(eta: Float64Array, y: Float64Array, mu: Float64Array, w: Float64Array) -> float:
    """Sum of ``y eta - log(1 + exp(eta))``; fills mu = 1 / (1 + exp(-eta)) and w = mu (1 - mu)."""
    total = 0.0
    for i in range(y.size):
        e = eta[i]
        # exp of minus the absolute value: nothing overflows, and mu and 1 - mu keep their digits
        x = math.exp(-abs(e))
        share = 1.0 / (1.0 + x)
        mu[i] = share if e >= 0.0 else x * share
        w[i] = x * share * share
        total += y[i] * e - max(e, 0.0) - math.log1p(x)
    return total


@jit
def fit(
    D: Float64Array, trait: Trait, options: FitOptions, beta: Float64Array, fitted: Fitted, L: Float64Array
) -> tuple[int, float, int]:
    """Maximise the log likelihood, plus ``log det(D'WD) / 2`` where penalised (Firth 1993; Heinze & Schemper 2002).

    Newton's steps ``(D' diag((1 + h) w) D)^-1 U*``, ``U* = D'(y - mu + h (1/2 - mu))`` with h the leverages (0 without
    the penalty), halved until the objective does not fall.

    Parameters
    ----------
    D : float64 array (N, P)
    trait : Trait
        Its prior weights are all 1.
    options : FitOptions
        Where ``runaway``, the samples that a separated covariate fits perfectly have no weight left. The penalty is that of all P
        coefficients, held ones too (the restricted fit of a penalised likelihood ratio test).
    beta : float64 array (P,)
        Start in, estimate out.
    fitted : Fitted
        Filled at the estimate.
    L : float64 array (P, P)
        Filled with the factor of D'WD at the estimate.

    Returns
    -------
    status, objective, iterations
        The status is FINE, NOT_CONVERGED or COLLINEAR.
    """
    N, P = D.shape
    penalised, runaway, n_free = options
    y, mu, w, leverage = trait.y, fitted.mu, fitted.w, fitted.leverage
    climb, F = climb_of(L), np.zeros((P, P))
    J, gradient, step = climb.J, climb.gradient, climb.step
    curved = np.empty(N if penalised else 0)
    limit = PENALISED_ITERATIONS if penalised else (MAX_ITERATIONS if runaway else PLAIN_ITERATIONS)
    for iteration in range(limit):
        for i in range(N):
            e = trait.offset[i]
            for j in range(P):
                e += D[i, j] * beta[j]
            fitted.eta[i] = e
        objective = _log_likelihood(fitted.eta, y, mu, w)
        information(D, w, J)
        log_determinant = cholesky(J, L, P)
        if penalised:
            objective += 0.5 * log_determinant
        flat = runaway and iteration > 0 and objective - climb.stand[BEST] < FLAT * (0.05 + abs(objective))
        status = judge(iteration, objective, math.isnan(log_determinant), MAX_HALVINGS, climb, beta)
        if status == FELL:
            continue
        if status != UNDER_WAY:
            return status, climb.stand[BEST], iteration
        _gradient(D, y, fitted, penalised, L, gradient, climb.scratch)
        if penalised:
            # The penalty's curvature, as logistf and PLINK 2 take it into the step: D' diag((1 + h) w) D.
            for i in range(N):
                curved[i] = (1.0 + leverage[i]) * w[i]
            information(D, curved, J)
        if math.isnan(cholesky(J, F, n_free)):
            return COLLINEAR, objective, iteration
        decrement = newton_step(F, gradient[:n_free], step[:n_free], climb.scratch)
        if decrement < STEP_TOLERANCE or (flat and decrement < 1e-6):
            return FINE, objective, iteration
        if penalised:
            # As logistf's maxstep: from a rare disease's null Newton's first step leads to log odds in the hundreds,
            # where no weight is left to come back with, or where a false maximum lies.
            longest = 0.0
            for i in range(N):
                change = 0.0
                for j in range(n_free):
                    change += D[i, j] * step[j]
                longest = max(longest, abs(change))
            if longest > MAX_STEP:
                for j in range(n_free):
                    step[j] *= MAX_STEP / longest
        step_on(climb, beta)
    return NOT_CONVERGED, climb.stand[BEST], limit


@jit
def fit_as_r(D: Float64Array, trait: Trait, beta: Float64Array, fitted: Fitted, L: Float64Array) -> tuple[int, int]:
    """Iteratively reweighted least squares as R's ``glm.fit``, and with it PLINK 2, starts and stops it.

    From ``mu = (y + 1/2) / 2``, at most 25 iterations, until the log likelihood changes by less than 1e-8 (0.05 + |l|).
    L (P, P) is the factor of the information in the last working weights, one step before the estimate: standard errors
    from it differ from those at the estimate by up to one part in a thousand.
    """
    N, P = D.shape
    y, offset, eta, mu, w = trait.y, trait.offset, fitted.eta, fitted.mu, fitted.w
    J = np.empty((P, P))
    right, scratch = np.empty(P), np.empty(P)
    for i in range(N):
        eta[i] = math.log(3.0) if y[i] > 0.5 else -math.log(3.0)
    before = _log_likelihood(eta, y, mu, w)
    for iteration in range(1, 26):
        information(D, w, J)
        if math.isnan(cholesky(J, L, P)):
            return NOT_CONVERGED, iteration
        for j in range(P):
            right[j] = 0.0
        for i in range(N):
            # w z, z = eta - offset + (y - mu) / w the working response
            working = w[i] * (eta[i] - offset[i]) + y[i] - mu[i]
            for j in range(P):
                right[j] += D[i, j] * working
        solve_lower(L, right, scratch, P)
        solve_upper(L, scratch, beta, P)
        for i in range(N):
            e = offset[i]
            for j in range(P):
                e += D[i, j] * beta[j]
            eta[i] = e
        objective = _log_likelihood(eta, y, mu, w)
        if math.isnan(objective):
            return NOT_CONVERGED, iteration
        if abs(objective - before) < 1e-8 * (0.05 + abs(objective)):
            return FINE, iteration
        before = objective
    return NOT_CONVERGED, 25


@jit
def _gradient(
    D: Float64Array,
    y: Float64Array,
    fitted: Fitted,
    penalised: bool,
    L: Float64Array,
    gradient: Float64Array,
    scratch: Float64Array,
) -> None:
    """``D'(y - mu + h (1/2 - mu))``; h_i = w_i d_i' J^-1 d_i, zero without the penalty."""
    N, P = D.shape
    mu, w, leverage = fitted.mu, fitted.w, fitted.leverage
    for j in range(P):
        gradient[j] = 0.0
    for i in range(N):
        residual = y[i] - mu[i]
        if penalised:
            solve_lower(L, D[i], scratch, P)
            h = 0.0
            for j in range(P):
                h += scratch[j] * scratch[j]
            leverage[i] = w[i] * h
            residual += leverage[i] * (0.5 - mu[i])
        for j in range(P):
            gradient[j] += residual * D[i, j]


@jit
def residualise(
    X: Float64Array, w: Float64Array, g: Float64Array, L: Float64Array, out: Float64Array
) -> tuple[bool, float]:
    """``out = g - X (X'WX)^-1 X'Wg``; fills L. Whether X'WX has full rank, and ``sum w out^2``."""
    N, C = X.shape
    J = np.empty((C, C))
    b = np.zeros(C)
    z = np.empty(C)
    information(X, w, J)
    if math.isnan(cholesky(J, L, C)):
        return False, np.nan
    for i in range(N):
        x = w[i] * g[i]
        for c in range(C):
            b[c] += x * X[i, c]
    solve_lower(L, b, z, C)
    solve_upper(L, z, b, C)
    total = 0.0
    for i in range(N):
        fitted = 0.0
        for c in range(C):
            fitted += X[i, c] * b[c]
        out[i] = g[i] - fitted
        total += w[i] * out[i] * out[i]
    return True, total
