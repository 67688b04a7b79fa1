"""Generalised linear models with sampling weights on g and g e, one variant at a time: Wald tests, Huber-White variances.

The estimates and what samples add to their errors are those of `genassoc.kernels.likelihoods.weighted`.
"""

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.laws.sandwich import pair_variance
from genassoc.kernels.likelihoods.glm import BINOMIAL, GAUSSIAN, fit
from genassoc.kernels.likelihoods.interaction_logistic import GE, ITERATIONS, G
from genassoc.kernels.likelihoods.logistic import solve_lower
from genassoc.kernels.likelihoods.rows import (
    COLLINEAR,
    FINE,
    NOT_CONVERGED,
    ONE_OUTCOME,
    RUNAWAY_STEP,
    independent_columns,
    observed_calls,
)
from genassoc.kernels.likelihoods.weighted import LEAST_SLACK, LEVERAGE
from genassoc.shapes import BoolArray, Float64Array, Int64Array

COLLINEAR_BELOW = 1e-12  # of a column's weighted squares: what the columns before it leave
NO_VARIANCE = 7  # a status beside LEVERAGE: of residuals of 0 there is no variance of both coefficients


@jit
def wald_pairs(
    family: int,
    calls: Float64Array,
    e: Float64Array,
    X: Float64Array,
    y: Float64Array,
    offset: Float64Array,
    prior: Float64Array,
    start: Float64Array,
    power: int,
    impute: bool,
    contrasts: Float64Array,
    numbers: Float64Array,
    freedom: Float64Array,
    status: Int64Array,
    dropped: BoolArray,
) -> None:
    """Fit covariates, g and g e of every variant on the samples whose call is observed.

    Parameters
    ----------
    family : int
        Of `genassoc.kernels.likelihoods.glm`.
    calls : float64 array (R, n)
        Copies of the minor allele in the trait's samples, NaN where not observed.
    X : float64 array (n, C)
        Orthonormal covariates, the constant first; e, y, offset, prior (n,).
    start : float64 array (C,)
        Coefficients of the null.
    power : int
        1 for HC3, 0 for Huber's and White's.
    impute : bool
        Missing calls take the (unweighted) mean of the observed ones.
    contrasts : float64 array (K, 2)
        See `genassoc.kernels.laws.sandwich.pair_variance`.
    numbers : float64 array (R, N_NUMBERS)
        Filled as of `genassoc.kernels.likelihoods.interaction_logistic`.
    freedom : float64 array (R, K)
        Filled: degrees of freedom of every contrast.
    status : int64 array (R,)
        FINE, NOT_CONVERGED (or a coefficient is not finite), COLLINEAR, ONE_OUTCOME, LEVERAGE, NO_VARIANCE.
    dropped : bool array (R,)
        Filled: whether a covariate was a combination of others among the samples observed, and left out.
    """
    for r in range(calls.shape[0]):
        numbers[r] = np.nan
        freedom[r] = np.nan
        who, g = observed_calls(calls[r], impute)
        XX, first, own = X[who], start.copy(), y[who]
        dropped[r] = False
        if who.size < X.shape[0]:
            XX, first, dropped[r] = independent_columns(XX, start)
        total = 0.0
        for i in range(own.size):
            total += own[i]
        if (family != GAUSSIAN and total == 0.0) or (family == BINOMIAL and total == who.size):
            status[r] = ONE_OUTCOME
            continue
        C = XX.shape[1]
        D, beta = np.empty((who.size, C + 2)), np.zeros(C + 2)
        for i in range(who.size):
            for c in range(C):
                D[i, c] = XX[i, c]
            D[i, C] = g[i] * e[who[i]]
            D[i, C + 1] = g[i]
        put(beta, 0, first)
        status[r] = _one_row(
            family, D, own, offset[who], prior[who], beta, power, contrasts, numbers[r], freedom[r]
        )  # fmt: skip


@jit
def _one_row(
    family: int,
    D: Float64Array,
    y: Float64Array,
    offset: Float64Array,
    prior: Float64Array,
    beta: Float64Array,
    power: int,
    contrasts: Float64Array,
    row: Float64Array,
    freedom: Float64Array,
) -> int:
    """What `wald_pairs` does of one variant, on n samples that are all observed; the status."""
    n, P = D.shape
    eta, mu, w, L = np.empty(n), np.empty(n), np.empty(n), np.zeros((P, P))
    state, _, iterations = fit(family, D, y, offset, prior, True, beta, eta, mu, w, L)
    if state == COLLINEAR:
        return COLLINEAR
    for j in range(P - 2, P):
        weight, total, squares = 0.0, 0.0, 0.0
        for i in range(n):
            weight += w[i]
            total += w[i] * D[i, j]
        for i in range(n):
            squares += w[i] * (D[i, j] - total / weight) ** 2
        if L[j, j] ** 2 <= COLLINEAR_BELOW * squares:
            return COLLINEAR
    if state != FINE:
        return NOT_CONVERGED
    U, E, v = np.empty((n, 2)), np.empty((n, 3)), np.empty(P)
    least, step_g, step_ge = 1.0, 0.0, 0.0
    # The last two of J^-1 d_i, of [[p, 0], [q, s]], the factor's last rows.
    p, q, s = L[P - 2, P - 2], L[P - 1, P - 2], L[P - 1, P - 1]
    for i in range(n):
        solve_lower(L, D[i], v, P)
        h = 0.0
        for j in range(P):
            h += v[j] * v[j]
        slack = 1.0 - w[i] * h
        least = min(least, slack)
        slack = max(slack, LEAST_SLACK)
        a = v[P - 1] / s
        b = (v[P - 2] - q * a) / p
        residual = prior[i] * (y[i] - mu[i])
        step_g += a * residual
        step_ge += b * residual
        if power > 0:
            a, b = a / slack, b / slack
        U[i, 0], U[i, 1] = a * residual, b * residual
        expected = prior[i] * w[i] * slack
        E[i, 0], E[i, 1], E[i, 2] = a * a * expected, a * b * expected, b * b * expected
    # Newton's next step: of a coefficient that runs away it is no small one.
    if family != GAUSSIAN and (abs(step_g) > RUNAWAY_STEP or abs(step_ge) > RUNAWAY_STEP):
        return NOT_CONVERGED
    if power > 0 and least <= LEAST_SLACK:
        return LEVERAGE
    if not pair_variance(U, E, contrasts, float(max(n - P, 1)), row, freedom):
        return NO_VARIANCE
    row[G], row[GE], row[ITERATIONS] = beta[P - 1], beta[P - 2], iterations
    return FINE
