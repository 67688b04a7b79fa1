"""Wald tests with Huber-White variances, one variant at a time: generalised linear models with sampling weights.

With prior weights v, ``w = v b''(eta)``, ``J = D'WD`` and ``h_i = w_i d_i'J^-1 d_i`` ::

    D'v(y - mu) = 0        var beta = J^-1 [sum_i d_i d_i' (v_i (y_i - mu_i) / (1 - h_i)^power)^2] J^-1

power 0 is Huber's and White's variance (HC0; of sampling weights Binder's, 1983, doi:10.2307/1402588), 1 is HC3. How many
degrees of freedom such a variance has is Satterthwaite's question (Bell & McCaffrey 2002, Survey Methodology 28): about as many
as there are carriers, and fewer where their weights differ.
"""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.likelihoods.glm import BINOMIAL, GAUSSIAN, fit
from genassoc.kernels.likelihoods.logistic import solve_lower
from genassoc.kernels.likelihoods.rows import (
    BETA,
    COLLINEAR,
    DF,
    DISPERSION,
    FINE,
    ITERATIONS,
    MODEL_SE,
    N_NUMBERS,
    NOT_CONVERGED,
    ONE_OUTCOME,
    STATISTIC,
    independent_columns,
    observed_calls,
)
from genassoc.shapes import BoolArray, Float64Array, Int64Array

LEVERAGE = 6  # a status beside those of `genassoc.kernels.likelihoods.rows`: a sample fits itself
LEAST_SLACK = 1e-8  # of 1 - h: below it a sample's residual is rounding


@jit
def _meat(
    D: Float64Array, w: Float64Array, prior: Float64Array, residual: Float64Array, L: Float64Array, power: int
) -> tuple[float, float, float]:
    """Sum of the squared last entries of ``L^-1 d_i`` times the residual; the least ``1 - h``; degrees of freedom.

    The sum's terms have expectations q_i where residuals have one variance: with few large ones it varies as chi-squared of
    ``(sum q)^2 / sum q^2`` degrees, less one for g's coefficient.
    """
    n, P = D.shape
    v = np.empty(P)
    total, least, q_sum, q_squares = 0.0, 1.0, 0.0, 0.0
    for i in range(n):
        solve_lower(L, D[i], v, P)
        h = 0.0
        for j in range(P):
            h += v[j] * v[j]
        slack = 1.0 - w[i] * h
        least = min(least, slack)
        slack = max(slack, LEAST_SLACK)
        size = v[P - 1] / slack if power > 0 else v[P - 1]
        total += (size * residual[i]) ** 2
        q = size * size * prior[i] * w[i] * slack
        q_sum += q
        q_squares += q * q
    return total, least, max(1.0, q_sum * q_sum / max(q_squares, 1e-300) - 1.0)


@jit
def wald_rows(
    family: int,
    G: Float64Array,
    X: Float64Array,
    y: Float64Array,
    offset: Float64Array,
    prior: Float64Array,
    start: Float64Array,
    power: int,
    impute: bool,
    numbers: Float64Array,
    status: Int64Array,
    dropped: BoolArray,
) -> None:
    """Fit covariates and g of every variant on the samples whose call is observed.

    Parameters
    ----------
    family : int
        Of `genassoc.kernels.likelihoods.glm`.
    G : float64 array (R, n)
        Copies of the minor allele in the trait's samples, NaN where not observed.
    X : float64 array (n, C)
        Orthonormal covariates, the constant first; y, offset, prior (n,).
    start : float64 array (C,)
        Coefficients of the null.
    power : int
        0 or 1, as above.
    impute : bool
        Missing calls take the (unweighted) mean of the observed ones.
    numbers : float64 array (R, N_NUMBERS)
        Filled: beta, its standard error, beta over it, iterations, 1, degrees of freedom: Satterthwaite's, of least squares
        with power 0 n - C - 1.
    status : int64 array (R,)
        FINE, NOT_CONVERGED (or g's coefficient is not finite), COLLINEAR, ONE_OUTCOME, LEVERAGE.
    dropped : bool array (R,)
        Filled: whether a covariate was a combination of others among the samples observed, and left out.
    """
    for r in range(G.shape[0]):
        for k in range(N_NUMBERS):
            numbers[r, k] = np.nan
        who, g = observed_calls(G[r], impute)
        XX, first = X[who], start.copy()
        dropped[r] = False
        if who.size < X.shape[0]:
            XX, first, dropped[r] = independent_columns(XX, start)
        status[r] = _one_row(family, g, XX, y[who], offset[who], prior[who], first, power, numbers[r])


@jit
def _one_row(
    family: int,
    g: Float64Array,
    X: Float64Array,
    y: Float64Array,
    offset: Float64Array,
    prior: Float64Array,
    start: Float64Array,
    power: int,
    row: Float64Array,
) -> int:
    """What `wald_rows` does of one variant, on n samples that are all observed; the status."""
    n, C = X.shape
    total = y.sum()
    if (family != GAUSSIAN and total == 0.0) or (family == BINOMIAL and total == n):
        return ONE_OUTCOME
    P = C + 1
    D = np.empty((n, P))
    for i in range(n):
        for c in range(C):
            D[i, c] = X[i, c]
        D[i, C] = g[i]
    eta, mu, w, beta, L = np.empty(n), np.empty(n), np.empty(n), np.zeros(P), np.zeros((P, P))
    put(beta, 0, start)
    state, _, iterations = fit(family, D, y, offset, prior, True, beta, eta, mu, w, L)
    if state == COLLINEAR:
        return COLLINEAR
    centre = (w * g).sum() / w.sum()
    if L[C, C] ** 2 <= 1e-12 * (w * (g - centre) ** 2).sum():
        return COLLINEAR
    if state != FINE:
        return NOT_CONVERGED
    meat, least, freedom = _meat(D, w, prior, prior * (y - mu), L, power)
    if power > 0 and least <= LEAST_SLACK:
        return LEVERAGE
    row[BETA] = beta[C]
    # The last row of the inverse of L' has one entry: 1 / L[C, C].
    row[MODEL_SE] = math.sqrt(meat) / L[C, C]
    row[STATISTIC] = beta[C] / row[MODEL_SE] if meat > 0.0 else np.nan
    row[ITERATIONS], row[DISPERSION], row[DF] = iterations, 1.0, n - P
    if power > 0 or family != GAUSSIAN:
        row[DF] = min(freedom, float(n - P))
    return FINE
