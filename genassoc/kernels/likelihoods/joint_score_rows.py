"""Score tests of D columns, one variant at a time, at the null of the samples whose call is observed."""

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.laws.sandwich import WaldFits, observed
from genassoc.kernels.likelihoods import glm, negative_binomial
from genassoc.kernels.likelihoods.glm import BINOMIAL, GAUSSIAN, Family, pearson_dispersion
from genassoc.kernels.likelihoods.joint_score import score_columns
from genassoc.kernels.likelihoods.rows import FINE, NO_VARIANCE, NOT_CONVERGED, ONE_OUTCOME, Trait, independent_columns
from genassoc.kernels.likelihoods.weighted import GlmSamples
from genassoc.shapes import Float64Array, Int64Array


@jit
def _take(H: Float64Array, who: Int64Array) -> Float64Array:
    """The columns (D, n) of some samples."""
    found = np.empty((H.shape[0], who.size))
    for d in range(H.shape[0]):
        for at in range(who.size):
            found[d, at] = H[d, who[at]]
    return found


@jit
def glm_rows(family: Family, H: Float64Array, samples: GlmSamples, fits: WaldFits) -> None:
    """Score tests of a generalised linear model.

    Parameters
    ----------
    family : Family
        Where ``quasi``, covariances are times Pearson's dispersion of the null.
    H : float64 array (R, D, n)
        Tested columns in the trait's samples; NaN where not observed.
    samples : GlmSamples
    fits : WaldFits
        Filled: one Newton step from the null, its covariance there, and the status, FINE, NOT_CONVERGED, COLLINEAR, ONE_OUTCOME, NO_VARIANCE.
    """
    for r in range(H.shape[0]):
        who = observed(H[r])
        X, beta = samples.X, samples.start.copy()
        fits.dropped[r] = False
        if who.size < samples.X.shape[0]:
            X, beta, fits.dropped[r] = independent_columns(samples.X[who], samples.start)
        trait = Trait(samples.y[who], samples.offset[who], samples.prior[who])
        total = trait.y.sum()
        if (family.kind != GAUSSIAN and total == 0.0) or (family.kind == BINOMIAL and total == who.size):
            fits.status[r] = ONE_OUTCOME
            continue
        P = beta.size
        fitted, L = glm.fitted_of(who.size), np.zeros((P, P))
        state, _, _ = glm.maximise(family, X, trait, 0, beta, fitted, L)
        if state != FINE:
            fits.status[r] = NOT_CONVERGED
            continue
        fits.dispersion[r] = pearson_dispersion(fitted, P) if family.quasi else 1.0
        if not fits.dispersion[r] > 0.0:
            fits.status[r] = NO_VARIANCE
            continue
        fits.status[r] = score_columns(_take(H[r], who), X, fitted.w, fitted.slope, fits.theta[r], fits.covariance[r])
        fits.covariance[r] *= fits.dispersion[r]
        fits.freedom[r] = np.inf


@jit
def negative_binomial_rows(H: Float64Array, samples: GlmSamples, fits: WaldFits) -> None:
    """Score tests of negative binomial counts, alpha that of the null; parameters as of `glm_rows`, the start with alpha at its end."""
    given = samples.start.size - 1
    for r in range(H.shape[0]):
        who = observed(H[r])
        X, beta = samples.X, samples.start[:given].copy()
        fits.dropped[r] = False
        if who.size < samples.X.shape[0]:
            X, beta, fits.dropped[r] = independent_columns(samples.X[who], samples.start[:given])
        trait = Trait(samples.y[who], samples.offset[who], samples.prior[who])
        if trait.y.sum() == 0.0:
            fits.status[r] = ONE_OUTCOME
            continue
        P = beta.size
        fitted, L = negative_binomial.fitted_of(who.size), np.zeros((P + 1, P + 1))
        state, _, _ = negative_binomial.maximise(X, trait, 0, float(samples.start[given]), beta, fitted, L)
        if state != FINE:
            fits.status[r] = NOT_CONVERGED
            continue
        negative_binomial.expected_weights(trait, fitted)
        fits.dispersion[r] = 1.0
        fits.status[r] = score_columns(_take(H[r], who), X, fitted.w, fitted.slope, fits.theta[r], fits.covariance[r])
        fits.freedom[r] = np.inf
