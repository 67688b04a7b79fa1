"""Wald tests of D tested columns in negative binomial regression with weights and an offset, alpha fitted with each row.

The information J is that of ln alpha and the coefficients together. Sample i, with s and M (2, 2) its slopes and minus second derivatives
in ln alpha and its linear predictor, v its weight, and B (2, P + 1) the two's own coefficients, adds to the errors of the estimates ::

    J^-1 B' (I - v M B J^-1 B')^-power v s

power 0 is Huber's and White's variance, 1 a jackknife's by one Newton step, which of one linear predictor is HC3's. What is expected of
the products, for degrees of freedom (`genassoc.kernels.laws.sandwich`), is of the linear predictor, with which alpha does not mix.
"""

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.laws.sandwich import (
    COLLINEAR_BELOW,
    HC3,
    LEAST_SLACK,
    MODEL,
    QUASI,
    WaldFits,
    model_covariance,
    observed,
    put_columns,
    reaches,
    sandwich_covariance,
)
from genassoc.kernels.likelihoods.cholesky import solve_lower
from genassoc.kernels.likelihoods.negative_binomial import ALPHA, Fitted, bends, fitted_of, maximise
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
from genassoc.kernels.likelihoods.weighted import GlmSamples
from genassoc.shapes import Float64Array


@jit
def wald_rows(H: Float64Array, samples: GlmSamples, variance: int, contrasts: Float64Array, fits: WaldFits) -> None:
    """Fit covariates and the tested columns of every variant on the samples that are observed.

    Parameters
    ----------
    H : float64 array (R, D, n)
        Tested columns in the trait's samples, g the first; NaN where not observed. D may be 0: the null.
    samples : GlmSamples
        Its start has the null's coefficients, then its alpha.
    variance : int
        HC0, HC3 or MODEL, of `genassoc.kernels.laws.sandwich`.
    contrasts : float64 array (K, D)
        Zeros mean all coefficients at once.
    fits : WaldFits
        Filled; the status is FINE, NOT_CONVERGED, COLLINEAR, ONE_OUTCOME, LEVERAGE, NO_VARIANCE.
    """
    X, n_tested = samples.X, H.shape[1]
    given = samples.start.size - 1
    for r in range(H.shape[0]):
        who = observed(H[r])
        XX, first = X[who], samples.start[:given].copy()
        fits.dropped[r] = False
        if who.size < X.shape[0]:
            XX, first, fits.dropped[r] = independent_columns(XX, samples.start[:given])
        y, C = samples.y[who], XX.shape[1]
        if y.sum() == 0.0:
            fits.status[r] = ONE_OUTCOME
            continue
        D, start = np.empty((who.size, C + n_tested)), np.zeros(C + n_tested + 1)
        for i in range(who.size):
            for c in range(C):
                D[i, c] = XX[i, c]
        put_columns(H[r], who, False, D)
        put(start, 0, first)
        start[C + n_tested] = samples.start[given]
        part = GlmSamples(D, y, samples.offset[who], samples.prior[who], start)
        fits.status[r] = _one_row(part, variance, contrasts, fits, r)


@jit
def _one_row(samples: GlmSamples, variance: int, contrasts: Float64Array, fits: WaldFits, row: int) -> int:
    """What `wald_rows` does of one variant, its tested columns the last of X, on samples that are all observed; the status."""
    D, y, prior = samples.X, samples.y, samples.prior
    n, P = D.shape
    n_tested = fits.theta.shape[1]
    beta = samples.start[:P].copy()
    fitted, L = fitted_of(n), np.zeros((P + 1, P + 1))
    trait = Trait(y, samples.offset, prior)
    state, objective, iterations = maximise(D, trait, n_tested, float(samples.start[P]), beta, fitted, L)
    if state == COLLINEAR:
        return COLLINEAR
    w = fitted.w
    for j in range(P - n_tested, P):
        weight, total, squares = 0.0, 0.0, 0.0
        for i in range(n):
            weight += w[i]
            total += w[i] * D[i, j]
        for i in range(n):
            squares += w[i] * (D[i, j] - total / weight) ** 2
        if L[j + 1, j + 1] ** 2 <= COLLINEAR_BELOW * squares:
            return COLLINEAR
    if state != FINE:
        return NOT_CONVERGED
    if variance == MODEL or variance == QUASI:
        model_covariance(L, 1.0, fits.covariance[row])
        fits.freedom[row] = np.inf
    else:
        U, E = np.empty((n, n_tested)), np.empty((n, n_tested * (n_tested + 1) // 2))
        least = _influences(D, prior, fitted, of_alpha(trait, fitted), L, variance == HC3, U, E)
        if variance == HC3 and least <= LEAST_SLACK:
            return LEVERAGE
        if not sandwich_covariance(U, E, contrasts, float(max(n - P, 1)), fits.covariance[row], fits.freedom[row]):
            return NO_VARIANCE
    for d in range(n_tested):
        fits.theta[row, d] = beta[P - 1 - d]
    fits.objective[row], fits.dispersion[row], fits.iterations[row] = objective, 1.0, iterations
    return FINE


@jit
def of_alpha(trait: Trait, fitted: Fitted) -> Float64Array:
    """Of each sample the slope and minus the second derivative of its log likelihood in ln alpha, (2, n); 0 where alpha is 0."""
    y, prior, mu, alpha = trait.y, trait.prior, fitted.mu, fitted.alpha[ALPHA]
    found = np.zeros((2, y.size))
    if alpha <= 0.0:
        return found
    largest = int(y.max())
    first, second = np.zeros(largest + 1), np.zeros(largest + 1)  # sums over j below a count
    for k in range(largest):
        part = k / (1.0 + alpha * k)
        first[k + 1], second[k + 1] = first[k] + part, second[k] + part * part
    for i in range(y.size):
        m, k = mu[i], int(y[i])
        rest = 1.0 / (1.0 + alpha * m)
        h, bend = bends(alpha * m)
        slope = first[k] + m * m * h - y[i] * m * rest
        curve = m * m * (m * bend + y[i] * rest * rest) - second[k]
        found[0, i] = prior[i] * alpha * slope
        found[1, i] = -prior[i] * alpha * (alpha * curve + slope)
    return found


@jit
def _influences(
    D: Float64Array, prior: Float64Array, fitted: Fitted, alone: Float64Array, L: Float64Array, jackknife: bool, U: Float64Array,
    E: Float64Array,
) -> float:  # fmt: skip
    """Fill what samples add to the errors (n, D) and the expectations of its products; the least determinant of ``I - v M B J^-1 B'``."""
    n, P = D.shape
    n_tested, alpha = U.shape[1], fitted.alpha[ALPHA]
    flat = alpha <= 0.0
    unit, v, d = np.zeros(P + 1), np.empty(P + 1), np.zeros(P + 1)
    by_alpha, reach = np.empty(n_tested), np.empty(n_tested)
    unit[0] = 1.0
    tau = np.empty(P + 1)
    solve_lower(L, unit, tau, P + 1)
    reaches(L, tau, by_alpha)
    least, aa = 1.0, 0.0
    for j in range(P + 1):
        aa += tau[j] * tau[j]
    for i in range(n):
        put(d, 1, D[i])
        solve_lower(L, d, v, P + 1)
        reaches(L, v, reach)
        ae, ee = 0.0, 0.0
        for j in range(P + 1):
            ae += tau[j] * v[j]
            ee += v[j] * v[j]
        w, mixed, own = fitted.w[i], 0.0 if flat else fitted.mixed[i], alone[1, i]
        # I - M H of ln alpha and the linear predictor
        s00, s01 = 1.0 - own * aa - mixed * ae, -own * ae - mixed * ee
        s10, s11 = -mixed * aa - w * ae, 1.0 - mixed * ae - w * ee
        share = s00 * s11 - s01 * s10
        least = min(least, share)
        share = max(share, LEAST_SLACK)
        a, e = alone[0, i], fitted.slope[i]
        if jackknife:
            a, e = (s11 * a - s01 * e) / share, (s00 * e - s10 * a) / share
        expected = prior[i] * prior[i] * fitted.mu[i] / (1.0 + alpha * fitted.mu[i])
        expected *= 1.0 / share if jackknife else share
        at = 0
        for j in range(n_tested):
            U[i, j] = by_alpha[j] * a + reach[j] * e
            for k in range(j + 1):
                E[i, at] = reach[j] * reach[k] * expected
                at += 1
    return least
