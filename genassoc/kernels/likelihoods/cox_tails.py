"""Tests beside the normal one of a Cox score: exact given the risk sets, saddlepoint, and of proportional hazards."""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.arranged import vectors
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.laws.exact_law import exact_tails
from genassoc.kernels.laws.saddlepoint import log_normal_upper, log_sum
from genassoc.kernels.likelihoods.cholesky import cholesky, solve_lower
from genassoc.kernels.likelihoods.cox_sums import RiskSets, partial_likelihood, risk_sums, suffix_sums
from genassoc.shapes import Float64Array

MORE_EVENTS = 16  # than carriers have alleles: the law of the carriers' events, left at its end, has lost nothing
NEAR_ZERO = 1e-5  # of w, as in kernels/laws/saddlepoint.py
STEPS = 100


@jit
def exact_neg_log_p(g: Float64Array, sets: RiskSets, w: Float64Array, ends: Float64Array) -> float:
    """-ln p of the number of minor alleles among the events, exact given the risk sets; NaN where g is no whole number.

    At each event the case is a draw from its risk set, a sample with probability p_ikl, so that under the null the
    alleles among the events are a sum of independent draws of 0, 1 or 2. p and interval are by `genassoc.kernels.laws.exact_law`.

    Parameters
    ----------
    g : float64 array (n,)
        Copies of the rare allele.
    sets : RiskSets
    w : float64 array (n,)
        exp(eta) of the null, up to a factor.
    ends : float64 array (2,)
        Filled: the interval of the log hazard ratio of the rare allele.
    """
    ends[:] = np.nan
    n, K = g.size, sets.ends.size
    s, d, deaths = np.zeros((K, 3)), np.zeros((K, 3)), np.zeros(K, np.int64)
    alleles, seen = 0, 0
    for i in range(n):
        copies = int(g[i])
        if copies != g[i]:
            return np.nan
        if sets.last[i] <= sets.first[i]:
            continue
        alleles += copies
        k, before = sets.last[i] - 1, sets.first[i] - 1
        s[k, copies] += w[i]
        if sets.event[i]:
            d[k, copies] += w[i]
            deaths[k] += 1
            seen += copies
        if before >= 0 and not sets.ends[before]:
            s[before, copies] -= w[i]
    suffix_sums(s, sets.ends)
    size = alleles + MORE_EVENTS
    law = np.zeros(size)
    law[0] = 1.0
    for k in range(K):
        for tie in range(deaths[k]):
            part = tie / deaths[k] if sets.efron else 0.0
            # Running sums leave rounding where nobody is left.
            one, two = max(s[k, 1] - part * d[k, 1], 0.0), max(s[k, 2] - part * d[k, 2], 0.0)
            den = max(s[k, 0] - part * d[k, 0], 0.0) + one + two
            one, two = one / den, two / den
            for t in range(size - 1, -1, -1):
                value = law[t] * (1.0 - one - two)
                if t >= 1:
                    value += law[t - 1] * one
                if t >= 2:
                    value += law[t - 2] * two
                law[t] = value
    return exact_tails(law, seen, ends)


@jit
def _derivatives(t: float, g: Float64Array, mean: Float64Array) -> tuple[float, float, float]:
    """K(t) of `spa_neg_log_p` and its first two derivatives."""
    K, K1, K2 = 0.0, 0.0, 0.0
    for i in range(mean.size):
        x = g[i, 0]
        grown = math.expm1(t * x)
        K += mean[i] * (grown - t * x)
        K1 += mean[i] * x * grown
        K2 += mean[i] * x * x * (grown + 1.0)
    return K, K1, K2


@jit
def _log_tail(u: float, g: Float64Array, mean: Float64Array) -> float:
    """ln P(U beyond u, on its side of 0), Barndorff-Nielsen's form; NaN without a root."""
    _, _, variance = _derivatives(0.0, g, mean)
    low, high = 0.0, 0.0
    t = u / variance
    for _ in range(STEPS):
        _, slope, curve = _derivatives(t, g, mean)
        if not math.isfinite(slope):
            high, t = t, 0.5 * (low + t)
            continue
        if abs(slope) < abs(u):
            low = t
        else:
            high = t
        new = t - (slope - u) / curve if curve > 0.0 else np.inf
        inside = abs(new) > abs(low) and (high == 0.0 or abs(new) < abs(high)) and new * u > 0.0
        if not inside:
            new = 2.0 * t if high == 0.0 else 0.5 * (low + high)
        if abs(new - t) <= 1e-9 * abs(t):
            K, _, curve = _derivatives(new, g, mean)
            w = math.sqrt(max(2.0 * (new * u - K), 0.0))
            v = abs(new) * math.sqrt(curve)
            if w < NEAR_ZERO:
                return log_normal_upper(abs(u) / math.sqrt(variance))
            return log_normal_upper(w + math.log(v / w) / w)
        t = new
    return np.nan


@jit
def spa_neg_log_p(z: float, g: Float64Array, mean: Float64Array) -> float:
    """-ln p, two-sided, of a score by the saddlepoint of Poisson counts (as GATE: Dey et al. 2022, doi:10.1038/s41467-022-32885-x).

    The partial likelihood is that of events that are Poisson with means c_i, so that the score has the cumulant generating
    function ``K(t) = sum_i c_i (exp(t g_i) - 1 - t g_i)``. The score is scaled to the variance of this law.

    Parameters
    ----------
    z : float
        U / sqrt(I), I the exact information.
    g : float64 array (n, 1)
        Genotype residualised on the covariates.
    mean : float64 array (n,)
        Events expected.
    """
    # K does not know the baseline hazard: g is to have mean 0 in its weights.
    total, centre = 0.0, 0.0
    for i in range(mean.size):
        total += mean[i]
        centre += mean[i] * g[i, 0]
    centred = g - centre / total
    _, _, variance = _derivatives(0.0, centred, mean)
    u = abs(z) * math.sqrt(variance)
    if u == 0.0:
        return 0.0
    return max(0.0, -log_sum(_log_tail(u, centred, mean), _log_tail(-u, centred, mean)))


@jit
def hazards_trend(
    D: Float64Array, offset: Float64Array, beta: Float64Array, sets: RiskSets, clock: Float64Array
) -> float:
    """Chi-squared (1 df) of an effect of the last column of D that changes with time (Grambsch & Therneau 1994).

    The score test of adding ``g x clock(t)`` to the model, in the form that R's ``cox.zph`` has computed since version 3;
    at an estimate that is not the maximum, with the score of D projected out.

    Parameters
    ----------
    D, offset : float64 arrays (n, P), (n,)
    beta : float64 array (P,)
    clock : float64 array (K,)
        The function of time at each event time, centred.
    """
    n, P = D.shape
    K = sets.ends.size
    sums, W = risk_sums(sets, P), vectors(P)
    U, J = np.empty(P), np.empty((P, P))
    partial_likelihood(D, offset, beta, sets, sums, U, J)
    big, right, z, L = np.zeros((P + 1, P + 1)), np.zeros(P + 1), np.empty(P + 1), np.zeros((P + 1, P + 1))
    for j in range(P):
        put(big[j], 0, J[j])
    put(right, 0, U)
    # prefix sums of clock / den and clock^2 / den, and what tied deaths are spared of them
    prefix, spared = np.zeros((K + 1, 2)), np.zeros((K, 2))
    term = 0
    for k in range(K):
        f = clock[k]
        prefix[k + 1] = prefix[k]
        for tie in range(sums.deaths[k]):
            part = tie / sums.deaths[k] if sets.efron else 0.0
            den = sums.s0[k] - part * sums.d0[k]
            mean = sums.means[term * W : term * W + P]
            term += 1
            for j in range(P):
                big[P, j] -= f * mean[P - 1] * mean[j]
            big[P, P] -= f * f * mean[P - 1] * mean[P - 1]
            right[P] -= f * mean[P - 1]
            prefix[k + 1, 0] += f / den
            prefix[k + 1, 1] += f * f / den
            spared[k, 0] += part * f / den
            spared[k, 1] += part * f * f / den
    for i in range(n):
        if sets.last[i] <= sets.first[i]:
            continue
        once = prefix[sets.last[i], 0] - prefix[sets.first[i], 0]
        twice = prefix[sets.last[i], 1] - prefix[sets.first[i], 1]
        g = D[i, P - 1]
        if sets.event[i]:
            once -= spared[sets.last[i] - 1, 0]
            twice -= spared[sets.last[i] - 1, 1]
            right[P] += clock[sets.last[i] - 1] * g
        for j in range(P):
            big[P, j] += sums.w[i] * once * g * D[i, j]
        big[P, P] += sums.w[i] * twice * g * g
    if math.isnan(cholesky(big, L, P + 1)):
        return np.nan
    solve_lower(L, right, z, P + 1)
    return float(z[P] * z[P])
