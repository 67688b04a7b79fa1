"""The saddlepoint p of a logistic score, two-sided, in logarithms; carriers exactly, all others by a normal.

Dey, Schmidt, Abecasis & Lee 2017 (doi:10.1016/j.ajhg.2017.05.014), as SAIGE and REGENIE compute it. Under the
null the score ``U = sum gt (y - mu)`` has the cumulant generating function (CGF) ::

    K(t) = sum_i [ln(1 - mu_i + mu_i exp(t gt_i)) - t mu_i gt_i]

where ``gt`` is the genotype residualised on the covariates. A non-carrier's ``gt`` is the small covariate part
alone, so the non-carriers together are a normal of variance R and enter as ``R t^2 / 2`` ("fastSPA"): the cost is
that of the carriers. With all samples given as carriers and R = 0 it is the full saddlepoint.

Each tail is Barndorff-Nielsen's form of Lugannani and Rice's, which is what those programs print and which
stays between 0 and 1 where Lugannani-Rice itself can leave that range::

    K'(t) = u,   w = sqrt(2 (t u - K(t))),   v = t sqrt(K''(t)),   P(U >= u) = Phi(-(w + ln(v / w) / w))

p is the sum of ``P(U >= |u|)`` and ``P(U <= -|u|)``, at most 1. There is no cut-off in here: who calls decides
which rows are corrected (REGENIE: normal p below 0.05; SAIGE: |z| >= 2). At ``w`` below `_NEAR_ZERO` the
removable singularity is replaced by its limit, a sixth of the skewness.

With R = 0 the score is bounded. On the bound the tail is the probability of one outcome, computed exactly;
beyond it the tail is 0. A score beyond its own bound, a root that is not found or a number that is not finite
is a status and no p, never the normal's.
"""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.laws.tails import neg_log_p_half_square
from genassoc.shapes import Float64Array, Int64Array, UInt8Array

SPA_FOUND = 0
SPA_NO_ROOT = 1  # the root, or the tail at it, is not a number
SPA_NO_VARIANCE = 2  # the score cannot vary
SPA_OUT_OF_RANGE = 3  # the score is larger than any outcome of the trait gives
FEW_CARRIERS = 0.5  # share of carriers below which the others are taken as normal

_LN2 = math.log(2.0)
_ROOT_HALF = math.sqrt(0.5)
_SMALL_X = 0.004  # below it the series of ln(1 - mu + mu e^x) - mu x, whose next term is below 4e-16 of the first
_NEAR_ZERO = 1e-5  # here ln(v / w) / w is within 1e-5 of its limit, and its rounding error is 1e-11
_ON_BOUND = 1e-9  # relative; scores are sums of thousands of rounded terms
_NEGLIGIBLE_REST = 1e-12  # of the variance: what is left of a difference of two equal sums
_ROOT_TOLERANCE = 1e-7  # relative change of t; Newton is quadratic: what is left is of order 1e-14
_MAX_STEPS = 200


@jit
def log_normal_upper(x: float) -> float:
    """``ln Phi(-x)``, finite for |x| up to 1e150."""
    if x >= 0.0:
        return -neg_log_p_half_square(0.5 * x * x) - _LN2
    return math.log1p(-0.5 * math.erfc(-x * _ROOT_HALF))


@jit
def log_sum(a: float, b: float) -> float:
    """``ln(e^a + e^b)``."""
    if a < b:
        a, b = b, a
    if b == -math.inf:
        return a
    return a + math.log1p(math.exp(b - a))


@jit
def centred_bernoulli_cgf(x: float, mu: float) -> float:
    """``ln(1 - mu + mu e^x) - mu x``, without cancellation at small x or overflow at large."""
    if abs(x) < _SMALL_X:
        # cumulants of a Bernoulli variable: sum kappa_n x^n / n!
        W = mu * (1.0 - mu)
        skew = 1.0 - 2.0 * mu
        series = x * (1.0 - 12.0 * W) * skew / 120.0 + x * x * (1.0 - 30.0 * W + 120.0 * W * W) / 720.0
        return W * x * x * (0.5 + x * (skew / 6.0 + x * ((1.0 - 6.0 * W) / 24.0 + series)))
    if x > 0.0:
        return (1.0 - mu) * x + math.log1p((1.0 - mu) * math.expm1(-x))
    return math.log1p(mu * math.expm1(x)) - mu * x


@jit
def cgf(t: float, g: Float64Array, mu: Float64Array, variance_rest: float) -> float:
    """``K(t)`` of carriers g (n,), mu (n,) and a normal rest."""
    total = 0.5 * variance_rest * t * t
    for i in range(g.size):
        total += centred_bernoulli_cgf(t * g[i], mu[i])
    return total


@jit
def cgf_slopes(t: float, g: Float64Array, mu: Float64Array, variance_rest: float) -> tuple[float, float]:
    """``K'(t)`` and ``K''(t)``."""
    first = variance_rest * t
    second = variance_rest
    for i in range(g.size):
        # pi = mu e^x / (1 - mu + mu e^x);  K' = sum g (pi - mu),  K'' = sum g^2 pi (1 - pi), by e^-|x|
        x = t * g[i]
        fall = math.expm1(-abs(x))
        # 1 + (1 - mu) fall, as a sum of what is positive: it cannot cancel to 0
        D = mu[i] + (1.0 - mu[i]) * math.exp(-x) if x >= 0.0 else 1.0 - mu[i] + mu[i] * math.exp(x)
        if D == 0.0:
            return math.nan, math.nan
        W = mu[i] * (1.0 - mu[i])
        change = -W * fall / D
        first += g[i] * (change if x >= 0.0 else -change)
        second += g[i] * g[i] * W * (1.0 + fall) / (D * D)
    return first, second


@jit
def saddlepoint(u: float, t: float, g: Float64Array, mu: Float64Array, variance_rest: float) -> tuple[float, float]:
    """The root of ``K'(t) = u`` and K'' there, from a start t; u and t of one sign. NaN where it is not found."""
    side = 1.0 if u > 0.0 else -1.0
    low = 0.0
    high = math.inf
    change = math.inf
    size = abs(t)  # side * K'(side * size) grows with size: the root is bracketed in (low, high)
    for _ in range(_MAX_STEPS):
        first, second = cgf_slopes(side * size, g, mu, variance_rest)
        excess = side * first - abs(u)
        if excess > 0.0:
            high = size
        else:
            low = size
        proposed = size - excess / second if second > 0.0 else math.inf
        if high == math.inf:
            proposed = min(proposed, 4.0 * size)
        elif not (low <= proposed <= high and abs(proposed - size) <= 0.5 * change):
            # a step out of the bracket, or one of a cycle: between two outcomes K' is a staircase
            proposed = 0.5 * (low + high)
        if not math.isfinite(proposed):
            break
        change = abs(proposed - size)
        size = proposed
        if change <= _ROOT_TOLERANCE * size:
            first, second = cgf_slopes(side * size, g, mu, variance_rest)
            return side * size, second
    return math.nan, math.nan


@jit
def open_bracket() -> Float64Array:
    """Between which sizes (2,) a root lies before any is tried."""
    bracket = np.zeros(2)
    bracket[1] = math.inf
    return bracket


@jit
def nearer_root(size: float, excess: float, second: float, bracket: Float64Array) -> float:
    """The next trial of a root after ``size``, where K' exceeds what is sought by ``excess``: Newton's, within the bracket (2,).

    Between two outcomes K' is a staircase: far steps are cut, the bracket closes.
    """
    bracket[1 if excess > 0.0 else 0] = size
    proposed = size - excess / second if second > 0.0 else math.inf
    if not bracket[0] <= proposed <= bracket[1]:
        proposed = 0.5 * (bracket[0] + bracket[1])
    return min(proposed, 4.0 * size)


@jit
def tail_at(size: float, u: float, K: float, second: float, skewness: float) -> float:
    """ln of the tail beyond u, of either sign, by K and K'' at the root of this size; NaN where they are none of a tail."""
    square = 2.0 * (size * abs(u) - K)
    # not (x > 0): NaN fails too
    if not (square > 0.0 and second > 0.0):
        return math.nan
    w = math.sqrt(square)
    if w < _NEAR_ZERO:
        return log_normal_upper(w + (skewness if u > 0.0 else -skewness) / 6.0)
    return log_normal_upper(w + math.log(size * math.sqrt(second) / w) / w)


@jit
def bound_and_log_probability(side: float, g: Float64Array, mu: Float64Array) -> tuple[float, float]:
    """The largest ``side * U`` of the carriers, and ln of the probability of the outcome that gives it."""
    bound = 0.0
    log_probability = 0.0
    for i in range(g.size):
        if g[i] != 0.0:
            pi = mu[i] if side * g[i] > 0.0 else 1.0 - mu[i]
            bound += abs(g[i]) * (1.0 - pi)
            log_probability += math.log(pi)
    return bound, log_probability


@jit
def log_tail(
    u: float, g: Float64Array, mu: Float64Array, variance: float, variance_rest: float, skewness: float
) -> float:
    """``ln P(U >= u)`` for u > 0, ``ln P(U <= u)`` for u < 0; NaN where it fails."""
    side = 1.0 if u > 0.0 else -1.0
    if variance_rest == 0.0:
        bound, log_probability = bound_and_log_probability(side, g, mu)
        if abs(u) > bound * (1.0 + _ON_BOUND):
            return -math.inf
        if abs(u) >= bound * (1.0 - _ON_BOUND):
            return log_probability
    t, second = saddlepoint(u, u / variance, g, mu, variance_rest)
    return tail_at(abs(t), u, cgf(t, g, mu, variance_rest), second, skewness)


@jit
def spa_neg_log_p(score: float, g: Float64Array, mu: Float64Array, variance_rest: float) -> tuple[float, int]:
    """-ln p, two-sided, of one score by the saddlepoint.

    Parameters
    ----------
    score : float
        ``U = sum gt (y - mu)`` of all samples.
    g, mu : float64 arrays (n,)
        Residualised genotype and null probability of the carriers of the minor allele (or of all samples).
    variance_rest : float
        ``sum W gt^2`` of the samples not given; what is negative or lost in rounding counts as 0.

    Returns
    -------
    neg_log_p : float
        Natural logarithm; NaN unless the status is `SPA_FOUND`.
    status : int
        `SPA_FOUND`, `SPA_NO_ROOT`, `SPA_NO_VARIANCE` or `SPA_OUT_OF_RANGE`.
    """
    variance = 0.0
    third = 0.0
    for i in range(g.size):
        W = mu[i] * (1.0 - mu[i])
        variance += W * g[i] * g[i]
        third += W * (1.0 - 2.0 * mu[i]) * g[i] * g[i] * g[i]
    rest = variance_rest if variance_rest > _NEGLIGIBLE_REST * variance else 0.0
    variance += rest
    if not variance > 0.0:
        return math.nan, SPA_NO_VARIANCE
    if not math.isfinite(score):
        return math.nan, SPA_NO_ROOT
    if score == 0.0:
        return 0.0, SPA_FOUND
    skewness = third / (variance * math.sqrt(variance))
    same = log_tail(score, g, mu, variance, rest, skewness)
    if same == -math.inf:
        return math.nan, SPA_OUT_OF_RANGE
    opposite = log_tail(-score, g, mu, variance, rest, skewness)
    log_p = log_sum(same, opposite)
    if not math.isfinite(log_p):
        return math.nan, SPA_NO_ROOT
    return max(-log_p, 0.0), SPA_FOUND


@jit
def saddlepoint_of_row(
    U: float, spread: float, g: Float64Array, residual_g: Float64Array, mu: Float64Array, w: Float64Array
) -> tuple[float, int]:
    """-ln p of the score by the saddlepoint; where carriers are few, the others by their variance (Dey et al. 2017)."""
    n = 0
    for i in range(g.size):
        if g[i] > 0.0:
            n += 1
    if n > FEW_CARRIERS * g.size:
        return spa_neg_log_p(U, residual_g, mu, 0.0)
    carrier_g, carrier_mu = np.empty(n), np.empty(n)
    at = 0
    rest = spread
    for i in range(g.size):
        if g[i] > 0.0:
            carrier_g[at], carrier_mu[at] = residual_g[i], mu[i]
            rest -= w[i] * residual_g[i] * residual_g[i]
            at += 1
    return spa_neg_log_p(U, carrier_g, carrier_mu, rest)


@jit
def spa_neg_log_p_rows(
    score: Float64Array,
    starts: Int64Array,
    g: Float64Array,
    mu: Float64Array,
    variance_rest: Float64Array,
    neg_log_p: Float64Array,
    status: UInt8Array,
) -> None:
    """`spa_neg_log_p` of V variants, into ``neg_log_p`` (V,) and ``status`` (V,).

    Carriers lie one variant after another in g and mu: those of variant v from ``starts[v]`` to
    ``starts[v + 1]`` (V + 1,).
    """
    for v in range(score.size):
        rows = slice(starts[v], starts[v + 1])
        neg_log_p[v], status[v] = spa_neg_log_p(score[v], g[rows], mu[rows], variance_rest[v])
