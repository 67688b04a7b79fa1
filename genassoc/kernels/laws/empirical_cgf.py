"""The saddlepoint p of a score whose residuals have no named distribution: from their empirical cumulant generating function.

Under the null ``U = sum gt_i r_i``, gt the genotype residualised on the covariates. Residuals divided by their model's
standard deviation, ``r_i = a_i e_i``, are taken as draws from those of the samples alike (of one bin of fitted means),
centred, so that (Bi et al. 2020, doi:10.1016/j.ajhg.2020.06.003, there with one bin) ::

    K(t) = sum_i H_b(i)(t gt_i a_i)        H_b(s) = ln mean_j exp(s e_j), j in bin b

What the residuals of the carriers may be, heavy tails and all, is what the data show; and their variance is that of the
data, which need not be the model's. Who does not carry the allele has a small gt: together they are a normal, their
variance R entering as ``R t^2 / 2``. Tails are those of `genassoc.kernels.laws.saddlepoint`.

H is tabulated once a trait on points ``s = SCALE sinh(k STEP)``, 5 % apart where s is large, with its two derivatives; a
cubic through H and H' leaves 1e-8 of it. Beyond the last point H is a line: there one residual is all of it.
"""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.laws.saddlepoint import FEW_CARRIERS, log_sum, nearer_root, open_bracket, tail_at
from genassoc.kernels.likelihoods.logistic import cholesky, solve_lower, solve_upper
from genassoc.shapes import Float64Array, Int64Array

SCALE, STEP, HALF = 0.01, 0.05, 256
N_POINTS = 2 * HALF + 1
_ROOT_TOLERANCE = 1e-7
_MAX_STEPS = 100


class Residuals(NamedTuple):
    """What the residuals of a trait's samples may be; those tabulated are divided by the root of ``spread``.

    Attributes
    ----------
    spread : float64 array (n,)
        Their variance in units of the model's, where covariates tell it; else ones.
    bins : int64 array (n,)
        0 to B - 1.
    table, cumulants : float64 arrays (B, N_POINTS, 3), (B, 2)
        As `tabulate` fills them.
    """

    spread: Float64Array
    bins: Int64Array
    table: Float64Array
    cumulants: Float64Array


@jit
def point(k: int) -> float:
    """The k-th point of the table, 0 to N_POINTS - 1."""
    return SCALE * math.sinh((k - HALF) * STEP)


@jit
def tabulate(values: Float64Array, bins: Int64Array, table: Float64Array, cumulants: Float64Array) -> None:
    """Fill H and its first two derivatives at every point, and the second and third cumulants.

    Parameters
    ----------
    values : float64 array (n,)
        Residuals, of mean 0 in every bin.
    bins : int64 array (n,)
        0 to B - 1, none of them empty.
    table : float64 array (B, N_POINTS, 3)
    cumulants : float64 array (B, 2)
    """
    B = table.shape[0]
    counts, low, high = np.zeros(B), np.zeros(B), np.zeros(B)
    cumulants[:, :] = 0.0
    for i in range(values.size):
        b, e = bins[i], values[i]
        counts[b] += 1.0
        low[b], high[b] = min(low[b], e), max(high[b], e)
        cumulants[b, 0] += e * e
        cumulants[b, 1] += e * e * e
    for b in range(B):
        cumulants[b, 0] /= counts[b]
        cumulants[b, 1] /= counts[b]
    sums = np.empty((B, 3))
    for k in range(N_POINTS):
        s = point(k)
        sums[:, :] = 0.0
        for i in range(values.size):
            b, e = bins[i], values[i]
            x = math.exp(s * e - max(s * low[b], s * high[b]))
            sums[b, 0] += x
            sums[b, 1] += x * e
            sums[b, 2] += x * e * e
        for b in range(B):
            mean = sums[b, 1] / sums[b, 0]
            table[b, k, 0] = max(s * low[b], s * high[b]) + math.log(sums[b, 0] / counts[b])
            table[b, k, 1] = mean
            table[b, k, 2] = max(sums[b, 2] / sums[b, 0] - mean * mean, 0.0)


@jit
def cgf_at(s: float, table: Float64Array) -> tuple[float, float, float]:
    """H, H' and H'' of one bin's table (N_POINTS, 3)."""
    place = math.asinh(s / SCALE) / STEP + HALF
    if not 0.0 < place < N_POINTS - 1.0:
        end = 0 if place < HALF else N_POINTS - 1
        return table[end, 0] + (s - point(end)) * table[end, 1], table[end, 1], 0.0
    k = int(place)
    start = point(k)
    d = point(k + 1) - start
    x = (s - start) / d
    rise = table[k + 1, 0] - table[k, 0]
    p, q = table[k, 1] * d - rise, rise - table[k + 1, 1] * d
    # Hermite's cubic: (1 - x) H_k + x H_k+1 + x (1 - x) ((1 - x) p + x q)
    cubic = (1.0 - x) * p + x * q
    value = table[k, 0] + x * rise + x * (1.0 - x) * cubic
    slope = (rise + (1.0 - 2.0 * x) * cubic + x * (1.0 - x) * (q - p)) / d
    return value, slope, (1.0 - x) * table[k, 2] + x * table[k + 1, 2]


@jit
def _cumulants_at(
    t: float, a: Float64Array, bins: Int64Array, rest: float, table: Float64Array
) -> tuple[float, float, float]:
    """K(t), K'(t) and K''(t)."""
    K, first, second = 0.5 * rest * t * t, rest * t, rest
    for i in range(a.size):
        H, slope, curve = cgf_at(t * a[i], table[bins[i]])
        K += H
        first += a[i] * slope
        second += a[i] * a[i] * curve
    return K, first, second


@jit
def log_tail(
    u: float, a: Float64Array, bins: Int64Array, rest: float, table: Float64Array, variance: float, skewness: float
) -> float:
    """``ln P(U >= u)`` for u > 0, ``ln P(U <= u)`` for u < 0; NaN where no root is found."""
    side = 1.0 if u > 0.0 else -1.0
    if rest == 0.0:
        # No outcome of these residuals is larger: H' at the ends of the table is the largest of them.
        bound = 0.0
        for i in range(a.size):
            bound += side * a[i] * table[bins[i], N_POINTS - 1 if side * a[i] > 0.0 else 0, 1]
        if abs(u) > bound:
            return -math.inf
    bracket, size = open_bracket(), abs(u) / variance
    for _ in range(_MAX_STEPS):
        K, first, second = _cumulants_at(side * size, a, bins, rest, table)
        proposed = nearer_root(size, side * first - abs(u), second, bracket)
        if abs(proposed - size) <= _ROOT_TOLERANCE * size:
            return tail_at(size, u, K, second, skewness)
        size = proposed
    return math.nan


@jit
def empirical_neg_log_p(
    u: float, a: Float64Array, bins: Int64Array, rest: float, table: Float64Array, cumulants: Float64Array
) -> float:
    """-ln p, two-sided; NaN where it fails.

    Parameters
    ----------
    u : float
        The score.
    a : float64 array (n,)
        Residualised genotype of the carriers times the standard deviation of their residual.
    bins : int64 array (n,)
    rest : float
        Variance of the others' part.
    table, cumulants : float64 arrays
        See `tabulate`.
    """
    variance, third = rest, 0.0
    for i in range(a.size):
        variance += a[i] * a[i] * cumulants[bins[i], 0]
        third += a[i] * a[i] * a[i] * cumulants[bins[i], 1]
    if not (variance > 0.0 and math.isfinite(u)):
        return math.nan
    if u == 0.0:
        return 0.0
    skewness = third / (variance * math.sqrt(variance))
    same = log_tail(u, a, bins, rest, table, variance, skewness)
    opposite = log_tail(-u, a, bins, rest, table, variance, skewness)
    if math.isnan(same) or math.isnan(opposite) or same == -math.inf:
        return math.nan
    return max(0.0, -log_sum(same, opposite))


@jit
def empirical_rows(
    G: Float64Array,
    scores: Float64Array,
    Q: Float64Array,
    W: Float64Array,
    residuals: Residuals,
    impute: bool,
    neg_log_p: Float64Array,
) -> None:
    """`empirical_neg_log_p` of rows of genotypes.

    Parameters
    ----------
    G : float64 array (R, n)
        Copies of the minor allele, NaN where not observed.
    scores : float64 array (R,)
    Q : float64 array (n, C)
        Covariates orthonormal in the weights W (n,), which are the variances of the residuals in the model.
    residuals : Residuals
    impute : bool
        Missing calls take the mean of the observed ones.
    neg_log_p : float64 array (R,)
        Filled.
    """
    R, n = G.shape
    C = Q.shape[1]
    spread, bins, table, cumulants = residuals.spread, residuals.bins, residuals.table, residuals.cumulants
    A, L = np.empty((C, C)), np.zeros((C, C))
    b, z, along = np.empty(C), np.empty(C), np.empty(C)
    a, who = np.empty(n), np.empty(n, np.int64)
    for row in range(R):
        seen, total, carriers = 0, 0.0, 0
        for i in range(n):
            if not math.isnan(G[row, i]):
                seen += 1
                total += G[row, i]
                carriers += 1 if G[row, i] > 0.0 else 0
        mean = total / max(seen, 1)
        for c in range(C):
            b[c] = 0.0
            for d in range(C):
                A[c, d] = 1.0 if c == d else 0.0
        for i in range(n):
            g = G[row, i]
            missing = math.isnan(g)
            if missing and not impute:
                for c in range(C):
                    for d in range(c + 1):
                        A[c, d] -= W[i] * Q[i, c] * Q[i, d]
                continue
            x = W[i] * (mean if missing else g)
            if x != 0.0:
                for c in range(C):
                    b[c] += x * Q[i, c]
        if math.isnan(cholesky(A, L, C)):
            neg_log_p[row] = np.nan
            continue
        solve_lower(L, b, z, C)
        solve_upper(L, z, along, C)
        few = carriers <= FEW_CARRIERS * n
        rest, m = 0.0, 0
        for i in range(n):
            g = G[row, i]
            missing = math.isnan(g)
            if missing and not impute:
                continue
            gt = mean if missing else g
            for c in range(C):
                gt -= Q[i, c] * along[c]
            if few and (missing or g == 0.0):
                rest += gt * gt * W[i] * spread[i] * cumulants[bins[i], 0]
            else:
                a[m], who[m] = gt * math.sqrt(W[i] * spread[i]), bins[i]
                m += 1
        neg_log_p[row] = empirical_neg_log_p(scores[row], a[:m], who[:m], rest, table, cumulants)
