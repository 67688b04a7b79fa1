"""The saddlepoint p of the score of ordered levels where few samples lie beyond a threshold: by the law of the levels themselves.

Under the null sample i has level k with chance p_ik, and adds c_ik to the efficient score: what its genotype adds, less what thresholds
and covariates take up. With u the slopes of the log likelihood in these parameters, J their information, A that with g ::

    c_ik = g_i r_ik - b'u_ik      b = J^-1 A      U = sum_i c_i,level      K(t) = sum_i ln sum_k p_ik exp(t c_ik)

No chi-squared enters, so that a level of three samples is as good as one of three hundred. Tails are Barndorff-Nielsen's, as those of
`genassoc.kernels.laws.saddlepoint`, of all samples: who carries nothing may be one of the three.

A smooth curve through the steps that few carriers make errs either way. Theirs is the whole law instead, ``T = sum g_i r_i,level`` over the
carriers by one convolution each, r in steps of 1 / GRID: of rounded residuals T is another statistic, and its law is exact all the
same. It has the larger variance g'Dg, since thresholds are taken as known: p errs upwards, by the share of carriers.
"""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.laws.saddlepoint import log_sum, nearer_root, open_bracket, tail_at
from genassoc.kernels.likelihoods.logistic import cholesky, solve_lower, solve_upper
from genassoc.kernels.likelihoods.ordinal_terms import Levels, room_of, sample_terms
from genassoc.kernels.likelihoods.rows import observed_calls
from genassoc.shapes import BoolArray, Float64Array, Int64Array

GRID = 128  # steps of a residual, which lies between -1 and 1
MOST_CARRIERS = 64  # whose whole law is summed
_AS_FAR = 1e-9
_ON_BOUND = 1e-9
_ROOT_TOLERANCE = 1e-7
_MAX_STEPS = 100


@jit
def _cumulants_at(t: float, c: Float64Array, p: Float64Array) -> tuple[float, float, float]:
    """K(t), K'(t) and K''(t) of values c (n, K) with chances p (n, K)."""
    n, levels = c.shape
    value, first, second = 0.0, 0.0, 0.0
    for i in range(n):
        most = -math.inf
        for k in range(levels):
            if p[i, k] > 0.0:
                most = max(most, t * c[i, k])
        s0, s1, s2 = 0.0, 0.0, 0.0
        for k in range(levels):
            if p[i, k] > 0.0:
                x = p[i, k] * math.exp(t * c[i, k] - most)
                s0 += x
                s1 += x * c[i, k]
                s2 += x * c[i, k] * c[i, k]
        mean = s1 / s0
        value += most + math.log(s0)
        first += mean
        second += max(s2 / s0 - mean * mean, 0.0)
    return value, first, second


@jit
def _log_tail(u: float, c: Float64Array, p: Float64Array, variance: float, skewness: float) -> float:
    """``ln P(U >= u)`` for u > 0, ``ln P(U <= u)`` for u < 0; NaN where no root is found."""
    side = 1.0 if u > 0.0 else -1.0
    bound, chance = 0.0, 0.0
    for i in range(c.shape[0]):
        most, own = -math.inf, 0.0
        for k in range(c.shape[1]):
            if side * c[i, k] > most and p[i, k] > 0.0:
                most, own = side * c[i, k], p[i, k]
            elif side * c[i, k] == most:
                own += p[i, k]
        bound += most
        chance += math.log(own)
    if abs(u) > bound * (1.0 + _ON_BOUND):
        return -math.inf
    if abs(u) >= bound * (1.0 - _ON_BOUND):
        return chance
    bracket, size = open_bracket(), abs(u) / variance
    for _ in range(_MAX_STEPS):
        value, first, second = _cumulants_at(side * size, c, p)
        proposed = nearer_root(size, side * first - abs(u), second, bracket)
        if abs(proposed - size) <= _ROOT_TOLERANCE * size:
            return tail_at(size, u, value, second, skewness)
        size = proposed
    return math.nan


@jit
def finite_neg_log_p(u: float, c: Float64Array, p: Float64Array) -> float:
    """-ln p, two-sided, of a sum u of independent values: c (n, K) with chances p (n, K), of mean 0 each; NaN where it fails."""
    variance, third = 0.0, 0.0
    for i in range(c.shape[0]):
        for k in range(c.shape[1]):
            variance += p[i, k] * c[i, k] ** 2
            third += p[i, k] * c[i, k] ** 3
    if not (variance > 0.0 and math.isfinite(u)):
        return math.nan
    if u == 0.0:
        return 0.0
    skewness = third / (variance * math.sqrt(variance))
    same, opposite = _log_tail(u, c, p, variance, skewness), _log_tail(-u, c, p, variance, skewness)
    if math.isnan(same) or math.isnan(opposite) or same == -math.inf:
        return math.nan
    return max(0.0, -log_sum(same, opposite))


@jit
def carriers_neg_log_p(g: Float64Array, r: Float64Array, p: Float64Array, level: Int64Array) -> float:
    """-ln of the chance of a T as far from its mean as the observed one, or farther.

    Parameters
    ----------
    g : float64 array (m,)
        Copies that the carriers have.
    r, p : float64 arrays (m, K)
        What a level adds to the score, of one copy, and its chance.
    level : int64 array (m,)
    """
    m, K = r.shape
    steps = np.empty((m, K), np.int64)
    observed, size = 0, 1
    for i in range(m):
        least = r[i].min()
        for k in range(K):
            steps[i, k] = math.floor((r[i, k] - least) * g[i] * GRID + 0.5)
        observed += steps[i, level[i]]
        size += steps[i].max()
    law, end, mean = np.zeros(size), 0, 0.0
    law[0] = 1.0
    for i in range(m):
        most = steps[i].max()
        for T in range(end + most, -1, -1):
            total = 0.0
            for k in range(K):
                before = T - steps[i, k]
                if 0 <= before <= end:
                    total += p[i, k] * law[before]
            law[T] = total
        end += most
        for k in range(K):
            mean += p[i, k] * steps[i, k]
    distance, far = abs(observed - mean), 0.0
    for T in range(size):
        if T == observed or abs(T - mean) >= distance * (1.0 - _AS_FAR):
            far += law[T]
    return max(0.0, -math.log(far))


@jit
def level_rows(
    G: Float64Array,
    D: Float64Array,
    levels: Levels,
    parameters: Float64Array,
    impute: bool,
    few_carriers: BoolArray,
    neg_log_p: Float64Array,
    whole: BoolArray,
) -> None:
    """`finite_neg_log_p` of the scores of rows of genotypes, or `carriers_neg_log_p`.

    Parameters
    ----------
    G : float64 array (R, n)
        Copies of the minor allele, NaN where not observed.
    D : float64 array (n, C - 1)
        Covariates beside the constant.
    levels : Levels
    parameters : float64 array (M + C - 1,)
        The null's thresholds (M) and coefficients.
    impute : bool
        Missing calls take the mean of the observed ones.
    few_carriers : bool array (R,)
        Rows whose whole law is wanted.
    neg_log_p : float64 array (R,)
        Filled: natural logarithms, NaN where it fails.
    whole : bool array (R,)
        Filled: whether it is of the whole law.
    """
    level, M = levels.level, levels.M
    n, P, K = level.size, parameters.size, M + 1
    chance, r = np.empty((n, K)), np.empty((n, K))
    slopes, c = np.empty((n, K, M)), np.empty((n, M))
    diagonal, beside, room = np.empty((n, M)), np.empty((n, M)), room_of(M)
    for i in range(n):
        eta = levels.offset[i]
        for j in range(P - M):
            eta += D[i, j] * parameters[M + j]
        for k in range(K):
            log_p, r[i, k] = sample_terms(parameters[:M], eta, k, True, room)
            chance[i, k] = math.exp(log_p)
            slopes[i, k] = room.slope
        put(c[i], 0, room.c)
        put(diagonal[i], 0, room.diagonal)
        put(beside[i], 0, room.beside)
    J, L, A, z, b = np.empty((P, P)), np.zeros((P, P)), np.empty(P), np.empty(P), np.empty(P)
    for row in range(G.shape[0]):
        neg_log_p[row], whole[row] = np.nan, False
        who, g = observed_calls(G[row], impute)
        if few_carriers[row]:
            if g.sum() > g.size:
                g = 2.0 - g
            carriers = np.flatnonzero(g > 0.0)
            if 0 < carriers.size <= MOST_CARRIERS:
                members = who[carriers]
                neg_log_p[row] = carriers_neg_log_p(g[carriers], r[members], chance[members], level[members])
                whole[row] = True
                continue
        J[:, :] = 0.0
        A[:] = 0.0
        for at in range(who.size):
            i = who[at]
            w = 0.0
            for m in range(M):
                w += c[i, m]
                A[m] -= c[i, m] * g[at]
                J[m, m] += diagonal[i, m]
                if m < M - 1:
                    J[m + 1, m] += beside[i, m]
                for j in range(P - M):
                    J[M + j, m] -= c[i, m] * D[i, j]
            for j in range(P - M):
                A[M + j] += w * g[at] * D[i, j]
                for q in range(j + 1):
                    J[M + j, M + q] += w * D[i, j] * D[i, q]
        if math.isnan(cholesky(J, L, P)):
            continue
        solve_lower(L, A, z, P)
        solve_upper(L, z, b, P)
        U, values, own = 0.0, np.empty((who.size, K)), np.empty((who.size, K))
        for at in range(who.size):
            i = who[at]
            left = g[at]
            for j in range(P - M):
                left -= b[M + j] * D[i, j]
            for k in range(K):
                x = left * r[i, k]
                for m in range(M):
                    x -= b[m] * slopes[i, k, m]
                values[at, k], own[at, k] = x, chance[i, k]
            U += values[at, level[i]]
        neg_log_p[row] = finite_neg_log_p(U, values, own)
