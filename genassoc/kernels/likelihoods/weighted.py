"""Wald tests of D tested columns, one variant at a time: generalised linear models with weights and an offset.

With prior weights v, ``w = v b''(eta)``, ``J = D'WD`` and ``h_i = w_i d_i'J^-1 d_i`` ::

    D'v(y - mu) = 0        var beta = J^-1 [sum_i d_i d_i' (v_i (y_i - mu_i) / (1 - h_i)^power)^2] J^-1

power 0 is Huber's and White's variance (HC0; of sampling weights Binder's, 1983, doi:10.2307/1402588), 1 is HC3. How many
degrees of freedom such a variance has is Satterthwaite's question (`genassoc.kernels.laws.sandwich`): about as many as there are
carriers, and fewer where their weights differ. The likelihood's own variance is J^-1, times a dispersion where asked.
"""

from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.laws.sandwich import (
    COLLINEAR_BELOW,
    HC0,
    HC3,
    LEAST_SLACK,
    MODEL,
    QUASI,
    WaldFits,
    add_sample,
    model_covariance,
    observed,
    put_columns,
    reaches,
    sandwich_covariance,
)
from genassoc.kernels.likelihoods.cholesky import solve_lower
from genassoc.kernels.likelihoods.glm import BINOMIAL, GAUSSIAN, Family, fitted_of, maximise, pearson_dispersion
from genassoc.kernels.likelihoods.rows import (
    COLLINEAR,
    FINE,
    LEVERAGE,
    NO_VARIANCE,
    NOT_CONVERGED,
    ONE_OUTCOME,
    Trait,
    independent_columns,
)
from genassoc.shapes import Float64Array


class GlmSamples(NamedTuple):
    """Samples of one trait.

    Attributes
    ----------
    X : float64 array (n, C)
        Orthonormal covariates, the constant first.
    y, offset, prior : float64 arrays (n,)
        Outcome, what is added to the linear predictor, and weights.
    start : float64 array (C,)
        Coefficients of the null.
    """

    X: Float64Array
    y: Float64Array
    offset: Float64Array
    prior: Float64Array
    start: Float64Array


@jit
def wald_rows(
    family: Family, H: Float64Array, samples: GlmSamples, variance: int, contrasts: Float64Array, fits: WaldFits
) -> None:
    """Fit covariates and the tested columns of every variant on the samples that are observed.

    Parameters
    ----------
    family : Family
    H : float64 array (R, D, n)
        Tested columns in the trait's samples, g the first; NaN where not observed. D may be 0: the null.
    samples : GlmSamples
    variance : int
        HC0, HC3, MODEL or QUASI, of `genassoc.kernels.laws.sandwich`.
    contrasts : float64 array (K, D)
        Zeros mean all coefficients at once.
    fits : WaldFits
        Filled; the status is FINE, NOT_CONVERGED (or a coefficient is not finite), COLLINEAR, ONE_OUTCOME, LEVERAGE, NO_VARIANCE.
    """
    X, n_tested = samples.X, H.shape[1]
    for r in range(H.shape[0]):
        who = observed(H[r])
        XX, first = X[who], samples.start.copy()
        fits.dropped[r] = False
        if who.size < X.shape[0]:
            XX, first, fits.dropped[r] = independent_columns(XX, samples.start)
        y, C = samples.y[who], XX.shape[1]
        total = y.sum()
        if (family.kind != GAUSSIAN and total == 0.0) or (family.kind == BINOMIAL and total == who.size):
            fits.status[r] = ONE_OUTCOME
            continue
        D, beta = np.empty((who.size, C + n_tested)), np.zeros(C + n_tested)
        for i in range(who.size):
            for c in range(C):
                D[i, c] = XX[i, c]
        put_columns(H[r], who, False, D)
        put(beta, 0, first)
        part = GlmSamples(D, y, samples.offset[who], samples.prior[who], beta)
        fits.status[r] = _one_row(family, part, variance, contrasts, fits, r)


@jit
def _one_row(
    family: Family, samples: GlmSamples, variance: int, contrasts: Float64Array, fits: WaldFits, row: int
) -> int:
    """What `wald_rows` does of one variant, its tested columns the last of X, on samples that are all observed; the status."""
    D, y, prior, beta = samples.X, samples.y, samples.prior, samples.start
    n, P = D.shape
    n_tested = fits.theta.shape[1]
    fitted, L = fitted_of(n), np.zeros((P, P))
    state, objective, iterations = maximise(family, D, Trait(y, samples.offset, prior), n_tested, beta, fitted, L)
    w = fitted.w
    if state == COLLINEAR:
        return COLLINEAR
    for j in range(P - n_tested, P):
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
    least = 1.0
    v, reach = np.empty(P), np.empty(n_tested)
    U, E = np.empty((n, n_tested)), np.empty((n, n_tested * (n_tested + 1) // 2))
    for i in range(n):
        solve_lower(L, D[i], v, P)
        h = 0.0
        for j in range(P):
            h += v[j] * v[j]
        slack = 1.0 - w[i] * h
        least = min(least, slack)
        slack = max(slack, LEAST_SLACK)
        residual, expected = fitted.slope[i], prior[i] * w[i] * slack
        apart = slack if variance == HC3 else 1.0
        # One column and two without loops over them: a fifth of the time.
        if n_tested == 1:
            a = v[P - 1] / L[P - 1, P - 1] / apart
            U[i, 0], E[i, 0] = a * residual, a * a * expected
        elif n_tested == 2:
            a = v[P - 1] / L[P - 1, P - 1]
            b = (v[P - 2] - L[P - 1, P - 2] * a) / L[P - 2, P - 2] / apart
            a /= apart
            U[i, 0], U[i, 1] = a * residual, b * residual
            E[i, 0], E[i, 1], E[i, 2] = a * a * expected, a * b * expected, b * b * expected
        else:
            reaches(L, v, reach)
            for d in range(n_tested):
                reach[d] /= apart
            add_sample(i, reach, residual, expected, U, E)
    if variance == HC3 and least <= LEAST_SLACK:
        return LEVERAGE
    dispersion = 1.0
    if variance == MODEL or variance == QUASI:
        if variance == QUASI:
            dispersion = pearson_dispersion(fitted, P)
            if not dispersion > 0.0:
                return NO_VARIANCE
        model_covariance(L, dispersion, fits.covariance[row])
        fits.freedom[row] = float(n - P) if variance == QUASI or family.kind == GAUSSIAN else np.inf
    elif not sandwich_covariance(U, E, contrasts, float(max(n - P, 1)), fits.covariance[row], fits.freedom[row]):
        return NO_VARIANCE
    if variance == HC0 and family.kind == GAUSSIAN and n_tested == 1:
        fits.freedom[row] = float(n - P)  # as other programs have it
    for d in range(n_tested):
        fits.theta[row, d] = beta[P - 1 - d]
    fits.objective[row], fits.dispersion[row], fits.iterations[row] = objective, dispersion, iterations
    return FINE
