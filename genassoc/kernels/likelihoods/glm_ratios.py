"""Likelihood ratio tests of contrasts of D tested columns, many rows at once: generalised linear models, and negative binomial counts."""

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.laws.sandwich import COLLINEAR_BELOW, WaldFits, observed
from genassoc.kernels.likelihoods import glm, negative_binomial
from genassoc.kernels.likelihoods.cholesky import information
from genassoc.kernels.likelihoods.glm import BINOMIAL, GAUSSIAN, Family, pearson_dispersion
from genassoc.kernels.likelihoods.nulls import Tests, covariance_of_tested, n_nulls, null_of, start_null
from genassoc.kernels.likelihoods.rows import FINE, NOT_CONVERGED, Trait, independent_columns
from genassoc.kernels.likelihoods.weighted import GlmSamples
from genassoc.shapes import Float64Array, Int64Array


@jit
def _beside(X: Float64Array, H: Float64Array, who: Int64Array, M: Float64Array, n_free: int) -> Float64Array:
    """Covariates X (n, C) and the first columns of ``H M`` (D, .) of the samples ``who``."""
    n, C = X.shape
    D = np.empty((n, C + n_free))
    for i in range(n):
        for c in range(C):
            D[i, c] = X[i, c]
        for d in range(n_free):
            value = 0.0
            for e in range(H.shape[0]):
                value += H[e, who[i]] * M[e, d]
            D[i, C + d] = value
    return D


@jit
def _independent(D: Float64Array, w: Float64Array, L: Float64Array, at: int, n_tested: int) -> bool:
    """Whether none of the last columns of D (n, P) is a combination of those before it; their pivots start at ``at`` of the factor L."""
    n, P = D.shape
    for d in range(n_tested):
        j = P - n_tested + d
        weight, total, squares = 0.0, 0.0, 0.0
        for i in range(n):
            weight += w[i]
            total += w[i] * D[i, j]
        for i in range(n):
            squares += w[i] * (D[i, j] - total / weight) ** 2
        if not L[at + d, at + d] ** 2 > COLLINEAR_BELOW * squares:
            return False
    return True


@jit
def glm_rows(
    family: Family, H: Float64Array, samples: GlmSamples, tests: Tests, fits: WaldFits, gains: Float64Array
) -> None:
    """Fit rows without surprises, and the nulls of their tests.

    Parameters
    ----------
    family : Family
        Where ``quasi``, covariances and gains are those with Pearson's dispersion of the whole fit.
    H : float64 array (R, D, n)
        Tested columns in the trait's samples; NaN where not observed.
    samples : GlmSamples
    tests : Tests
    fits : WaldFits
        Filled where the status is FINE, else NOT_CONVERGED.
    gains : float64 array (R, K)
        Filled with twice the gains of log likelihood over the nulls, over the dispersion.
    """
    n_tested, plain = H.shape[1], np.eye(H.shape[1])
    for r in range(H.shape[0]):
        fits.status[r] = NOT_CONVERGED
        who = observed(H[r])
        X, first = samples.X, samples.start.copy()
        fits.dropped[r] = False
        if who.size < samples.X.shape[0]:
            X, first, fits.dropped[r] = independent_columns(samples.X[who], samples.start)
        trait = Trait(samples.y[who], samples.offset[who], samples.prior[who])
        n, C = X.shape
        P, total = C + n_tested, trait.y.sum()
        if (family.kind != GAUSSIAN and total == 0.0) or (family.kind == BINOMIAL and total == n) or n <= P:
            continue
        fitted, full, J = glm.fitted_of(n), np.zeros(P), np.zeros((P, P))
        put(full, 0, first)
        beta, objective, dispersion = full, 0.0, 1.0
        # The whole model, then the nulls. One call in a loop: numba compiles every call of `maximise` anew.
        for k in range(-1, n_nulls(tests)):
            number, M, free = (0, plain, n_tested) if k < 0 else null_of(tests, k, n_tested)
            D, L = _beside(X, H[r], who, M, free), np.zeros((C + free, C + free))
            if k >= 0:
                beta = np.zeros(P)
                start_null(J, np.zeros((P, P)), M, full, C + free, beta)
            state, reached, iterations = glm.maximise(family, D, trait, free, beta[: C + free], fitted, L)
            if state != FINE or (k < 0 and not _independent(D, fitted.w, L, C, n_tested)):
                fits.status[r] = NOT_CONVERGED
                break
            if k >= 0:
                gains[r, number] = max(0.0, 2.0 * (objective - reached) / dispersion)
                continue
            objective = reached
            dispersion = pearson_dispersion(fitted, P) if family.quasi else 1.0
            if not dispersion > 0.0:
                break
            information(D, fitted.w, J)
            covariance_of_tested(L, dispersion, fits.covariance[r])
            fits.theta[r] = full[C:]
            fits.freedom[r] = float(n - P) if family.quasi or family.kind == GAUSSIAN else np.inf
            fits.objective[r], fits.dispersion[r], fits.iterations[r] = objective, dispersion, iterations
            fits.status[r] = FINE


@jit
def negative_binomial_rows(
    H: Float64Array, samples: GlmSamples, tests: Tests, fits: WaldFits, gains: Float64Array
) -> None:
    """The same of negative binomial counts, alpha fitted with each row and each null; the start has the null's alpha at its end."""
    n_tested, plain = H.shape[1], np.eye(H.shape[1])
    given = samples.start.size - 1
    for r in range(H.shape[0]):
        fits.status[r] = NOT_CONVERGED
        who = observed(H[r])
        X, first = samples.X, samples.start[:given].copy()
        fits.dropped[r] = False
        if who.size < samples.X.shape[0]:
            X, first, fits.dropped[r] = independent_columns(samples.X[who], samples.start[:given])
        trait = Trait(samples.y[who], samples.offset[who], samples.prior[who])
        n, C = X.shape
        P = C + n_tested
        if trait.y.sum() == 0.0 or n <= P:
            continue
        fitted, full, J = negative_binomial.fitted_of(n), np.zeros(P), np.zeros((P, P))
        put(full, 0, first)
        beta, objective, alpha = full, 0.0, float(samples.start[given])
        for k in range(-1, n_nulls(tests)):
            number, M, free = (0, plain, n_tested) if k < 0 else null_of(tests, k, n_tested)
            D, L = _beside(X, H[r], who, M, free), np.zeros((C + free + 1, C + free + 1))
            if k >= 0:
                beta = np.zeros(P)
                start_null(J, np.zeros((P, P)), M, full, C + free, beta)
            state, reached, iterations = negative_binomial.maximise(D, trait, free, alpha, beta[: C + free], fitted, L)
            if state != FINE or (k < 0 and not _independent(D, fitted.w, L, C + 1, n_tested)):
                fits.status[r] = NOT_CONVERGED
                break
            if k >= 0:
                gains[r, number] = max(0.0, 2.0 * (objective - reached))
                continue
            objective, alpha = reached, float(fitted.alpha[negative_binomial.ALPHA])
            information(D, fitted.w, J)
            covariance_of_tested(L, 1.0, fits.covariance[r])
            fits.theta[r] = full[C:]
            fits.freedom[r] = np.inf
            fits.objective[r], fits.dispersion[r], fits.iterations[r] = objective, 1.0, iterations
            fits.status[r] = FINE
