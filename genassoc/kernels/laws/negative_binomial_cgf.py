"""The saddlepoint p of the score of negative binomial counts, from their law at the null's means and dispersion.

With ``r_i = (y_i - mu_i) / (1 + alpha mu_i)`` the score is ``U = sum gt_i r_i``, gt the genotype residualised on the covariates in the
weights ``W = mu / (1 + alpha mu)``, which are the variances of r. With ``c_i = gt_i / (1 + alpha mu_i)`` its cumulant generating function is ::

    K(t) = sum_i [-ln(1 - alpha mu_i (exp(t c_i) - 1)) / alpha - t c_i mu_i]

Poisson's at alpha = 0, and infinite from ``t c_i = ln(1 + 1 / (alpha mu_i))`` on. Who does not carry the allele has a small gt: together
they are a normal. Tails are those of `genassoc.kernels.laws.saddlepoint`.
"""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.laws.saddlepoint import FEW_CARRIERS, log_sum, nearer_root, open_bracket, tail_at
from genassoc.kernels.likelihoods.logistic import residualise
from genassoc.kernels.likelihoods.rows import observed_calls
from genassoc.shapes import Float64Array

_ROOT_TOLERANCE = 1e-7
_MAX_STEPS = 200
_SMALL_X = (
    1e-3  # of t c: below it the cumulants' series, whose next term is 1e-12 of the first for means up to thousands
)


@jit
def centred_cgf(x: float, mu: float, alpha: float) -> tuple[float, float, float]:
    """``ln E exp(x (y - mu))`` of a count and its first two derivatives in x; infinite beyond the law's own bound."""
    rise = math.expm1(x)
    z = alpha * mu * rise
    if z >= 1.0:
        return math.inf, math.inf, math.inf
    tilted = mu * (1.0 + rise) / (1.0 - z)
    variance = tilted * (1.0 + alpha * tilted)
    # mean_t - mu, as one fraction: nothing cancels
    slope = mu * rise * (1.0 + alpha * mu) / (1.0 - z)
    whole = mu * rise if alpha == 0.0 else -math.log1p(-z) / alpha
    value = whole - mu * x
    if abs(x) < _SMALL_X:
        W = mu * (1.0 + alpha * mu)
        third = W * (1.0 + 2.0 * alpha * mu)
        fourth = W * (1.0 + 6.0 * alpha * W)
        value = x * x * (W / 2.0 + x * (third / 6.0 + x * fourth / 24.0))
    return value, slope, variance


@jit
def log_tail(
    u: float, c: Float64Array, mu: Float64Array, alpha: float, rest: float, variance: float, skewness: float
) -> float:
    """``ln P(U >= u)`` for u > 0, ``ln P(U <= u)`` for u < 0; NaN where no root is found."""
    side = 1.0 if u > 0.0 else -1.0
    bracket, size = open_bracket(), abs(u) / variance
    if alpha > 0.0:
        for i in range(c.size):
            if side * c[i] > 0.0:
                bracket[1] = min(bracket[1], math.log1p(1.0 / (alpha * mu[i])) / abs(c[i]))
        size = min(size, 0.5 * bracket[1])
    for _ in range(_MAX_STEPS):
        t = side * size
        K, first, second = 0.5 * rest * t * t, rest * t, rest
        for i in range(c.size):
            value, slope, curve = centred_cgf(t * c[i], mu[i], alpha)
            K += value
            first += c[i] * slope
            second += c[i] * c[i] * curve
        if not math.isfinite(K):
            bracket[1] = size
            size = 0.5 * (bracket[0] + bracket[1])
            continue
        proposed = nearer_root(size, side * first - abs(u), second, bracket)
        if abs(proposed - size) <= _ROOT_TOLERANCE * size:
            return tail_at(size, u, K, second, skewness)
        size = proposed
    return math.nan


@jit
def neg_log_p(u: float, c: Float64Array, mu: Float64Array, alpha: float, rest: float) -> float:
    """-ln p, two-sided; NaN where it fails.

    Parameters
    ----------
    u : float
        The score.
    c, mu : float64 arrays (m,)
        Residualised genotype over ``1 + alpha mu``, and mean, of the carriers.
    alpha : float
    rest : float
        Variance of the others' part.
    """
    variance, third = rest, 0.0
    for i in range(c.size):
        W = mu[i] * (1.0 + alpha * mu[i])
        variance += c[i] * c[i] * W
        third += c[i] * c[i] * c[i] * W * (1.0 + 2.0 * alpha * mu[i])
    if not (variance > 0.0 and math.isfinite(u)):
        return math.nan
    if u == 0.0:
        return 0.0
    skewness = third / (variance * math.sqrt(variance))
    same = log_tail(u, c, mu, alpha, rest, variance, skewness)
    opposite = log_tail(-u, c, mu, alpha, rest, variance, skewness)
    if math.isnan(same) or math.isnan(opposite):
        return math.nan
    return max(0.0, -log_sum(same, opposite))


@jit
def neg_log_p_rows(
    G: Float64Array, scores: Float64Array, X: Float64Array, mu: Float64Array, alpha: float, impute: bool, found: Float64Array
) -> None:  # fmt: skip
    """`neg_log_p` of rows of genotypes.

    Parameters
    ----------
    G : float64 array (R, n)
        Copies of the minor allele, NaN where not observed.
    scores : float64 array (R,)
    X : float64 array (n, C)
        Covariates.
    mu : float64 array (n,)
        Means of the null.
    alpha : float
        Its dispersion.
    impute : bool
        Missing calls take the mean of the observed ones.
    found : float64 array (R,)
        Filled.
    """
    C = X.shape[1]
    L = np.zeros((C, C))
    for row in range(G.shape[0]):
        who, g = observed_calls(G[row], impute)
        D, m = X[who], mu[who]
        W, gt, c, means = np.empty(who.size), np.empty(who.size), np.empty(who.size), np.empty(who.size)
        carriers = 0
        for i in range(who.size):
            W[i] = m[i] / (1.0 + alpha * m[i])
            carriers += 1 if not math.isnan(G[row, who[i]]) and g[i] > 0.0 else 0
        full_rank, _ = residualise(D, W, g, L, gt)
        if not full_rank:
            found[row] = np.nan
            continue
        few = carriers <= FEW_CARRIERS * who.size
        rest, at = 0.0, 0
        for i in range(who.size):
            if few and (math.isnan(G[row, who[i]]) or g[i] == 0.0):
                rest += gt[i] * gt[i] * W[i]
            else:
                c[at], means[at] = gt[i] / (1.0 + alpha * m[i]), m[i]
                at += 1
        found[row] = neg_log_p(scores[row], c[:at], means[:at], alpha, rest)
