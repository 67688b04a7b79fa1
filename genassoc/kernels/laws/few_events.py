"""The exact law of a score that few events make: which samples have them, given how many there are and of what size.

Given the samples' odds o_i under the null (of counts their means), the events fall on a set S of samples with a chance in
proportion to the product of its odds, and the statistic is the sum T of the alleles in it: what is random is who has the events. Samples with the
same genotype k are alike, so that with e_k(a) the elementary symmetric sum of order a of their odds ::

    P(T = t)  is proportional to  sum over a, b with a + 2 b = t  of  e_0(E - a - b) e_1(a) e_2(b)

for E events, all sums of positive terms. Nothing is estimated from the events but the odds; multiplying all of them by a
constant changes nothing. Without covariates T is the sum of a hypergeometric draw. This is the law of
`genassoc.kernels.laws.exact_rare`, for any number of carriers and few events instead of few carriers and any number of events.

Events of different sizes c_j (counts above 1, sampling weights) keep them, and each falls on a genotype k with the share pi_k of the odds
there, ``T = sum_j c_j G_j``: draws with replacement, whose variance is larger than without by one over 1 less the share of samples with
events. That a sample of five events is one draw and not five is what counts say themselves: they are exchangeable where covariates
are alike, however overdispersed. Times to an event have shares of their own, those at risk at the time. Sizes are whole numbers, and
genotypes that are none are rounded to steps of 1 / GRID: what is rounded is then what is tested, and its law is exact all the same.

T is centred at its mean and two-sided as every exact test here is (`genassoc.kernels.laws.exact_law.two_sided`). Where covariates tell
the genotype, the law's variance ``g'Wg - (1'Wg)^2 / 1'W`` is larger than that of the efficient score: p errs upwards.
"""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.laws.exact_law import two_sided
from genassoc.kernels.likelihoods.cox_sums import RiskSets
from genassoc.kernels.likelihoods.cox_weighted import risk_set_sums
from genassoc.kernels.likelihoods.rows import observed_calls
from genassoc.shapes import BoolArray, Float64Array

GRID = 32  # steps of a genotype that is no whole number
ROUNDING = 1e-12  # of a sum: what is left of a difference of two equal ones
MOST_WORK = 2e8  # products of a clumped law: seconds; beyond it there is no p


@jit
def symmetric_sums(odds: Float64Array, out: Float64Array) -> None:
    """Elementary symmetric sums of orders 0 to ``out.size - 1`` of odds (n,)."""
    out[:] = 0.0
    out[0] = 1.0
    reached = 0
    for i in range(odds.size):
        reached = min(reached + 1, out.size - 1)
        for k in range(reached, 0, -1):
            out[k] += odds[i] * out[k - 1]


@jit
def _logs(values: Float64Array) -> Float64Array:
    found = np.empty(values.size)
    for k in range(values.size):
        found[k] = math.log(values[k]) if values[k] > 0.0 else -math.inf
    return found


@jit
def law_of_single_events(g: Float64Array, odds: Float64Array, n_events: int) -> Float64Array:
    """ln of the chance of T = 0, 1, ... (2 E + 1,), not normed: E events in samples with 0, 1 or 2 alleles g (n,)."""
    scale = n_events / odds.sum()  # the sums stay below e^E
    sums = np.empty((3, n_events + 1))
    for copies in range(3):
        symmetric_sums(scale * odds[g == copies], sums[copies])
    law = np.zeros(2 * n_events + 1)
    for a in range(n_events + 1):
        for b in range(n_events + 1 - a):
            law[a + 2 * b] += sums[0, n_events - a - b] * sums[1, a] * sums[2, b]
    return _logs(law)


@jit
def law_of_draws(shares: Float64Array, sizes: Float64Array) -> Float64Array:
    """ln of the chance of T = 0, 1, ...: event j of size c_j (m,) draws k alleles (or steps of them) with chance ``shares[j, k]``."""
    m, top = shares.shape[0], shares.shape[1] - 1
    law, end = np.zeros(int(sizes.sum()) * top + 1), 0
    law[0] = 1.0
    for j in range(m):
        size = int(sizes[j])
        # From the largest T down: an event only adds.
        for T in range(end + size * top, -1, -1):
            total = 0.0
            for k in range(top + 1):
                before = T - k * size
                if 0 <= before <= end:
                    total += shares[j, k] * law[before]
            law[T] = total
        end += size * top
    return _logs(law)


@jit
def _in_steps(g: Float64Array) -> float:
    """Steps of an allele; what they are of g (n,), in place: whole alleles where g is whole, else rounded to the grid."""
    grid = 1.0
    for i in range(g.size):
        if g[i] != math.floor(g[i]):
            grid = float(GRID)
    for i in range(g.size):
        g[i] = math.floor(g[i] * grid + 0.5)
    return grid


@jit
def event_rows(
    G: Float64Array, odds: Float64Array, sizes: Float64Array, impute: bool, neg_log_p: Float64Array, found: BoolArray
) -> None:
    """The exact p of rows of genotypes, given their events.

    Parameters
    ----------
    G : float64 array (R, n)
        Copies of the minor allele, 0 to 2, NaN where not observed.
    odds : float64 array (n,)
        Of the null, above 0: mu / (1 - mu) of a binary outcome, mu of counts; with sampling weights, times the weight.
    sizes : float64 array (n,)
        Of each sample's event, whole numbers, 0 without: its clump, its weight in steps.
    impute : bool
        Missing calls take the mean of the observed ones, rounded to the grid.
    neg_log_p : float64 array (R,)
        Filled: natural logarithms.
    found : bool array (R,)
        Filled: whether there is a p.
    """
    for r in range(G.shape[0]):
        neg_log_p[r], found[r] = np.nan, False
        who, g = observed_calls(G[r], impute)
        own, events = odds[who], sizes[who]
        m, total, largest, observed = 0, 0.0, 0.0, 0.0
        grid = _in_steps(g)
        for i in range(g.size):
            m += 1 if events[i] > 0.0 else 0
            total += events[i]
            largest = max(largest, events[i])
            observed += g[i] * events[i]
        if m == 0 or m == g.size:
            continue
        if grid == 1.0 and largest == 1.0:
            law = law_of_single_events(g, own, m)
        else:
            top = int(g.max())
            if not m * (total * top + 1.0) * (top + 1.0) <= MOST_WORK:
                continue
            shares = np.zeros((m, top + 1))
            for i in range(g.size):
                shares[0, int(g[i])] += own[i]
            shares[0] /= own.sum()
            for j in range(1, m):
                shares[j] = shares[0]
            law = law_of_draws(shares, events[events > 0.0])
        neg_log_p[r], _ = two_sided(law, int(observed), 1.0)
        found[r] = math.isfinite(neg_log_p[r])


@jit
def hazard_rows(
    G: Float64Array, risk: Float64Array, sizes: Float64Array, sets: RiskSets, impute: bool, neg_log_p: Float64Array,
    found: BoolArray,
) -> None:  # fmt: skip
    """`event_rows` of times to an event: each event falls on somebody at risk at its time, in proportion to the risk.

    Parameters
    ----------
    risk : float64 array (n,)
        Of the null: exp(X b), with sampling weights times the weight.
    sizes : float64 array (n,)
        Of the events, whole numbers: 1, or the weight in steps.
    sets : RiskSets
    """
    for r in range(G.shape[0]):
        neg_log_p[r], found[r] = np.nan, False
        who, g = observed_calls(G[r], impute)
        part = RiskSets(sets.event[who], sets.first[who], sets.last[who], sets.ends, sets.efron)
        own, weight = sizes[who], risk[who]
        _in_steps(g)
        top = int(g.max()) if g.size else 0
        m, total, observed = 0, 0.0, 0.0
        for i in range(g.size):
            if part.event[i] and part.last[i] > part.first[i] and own[i] > 0.0:
                m += 1
                total += own[i]
                observed += g[i] * own[i]
        if m == 0 or top == 0 or not m * (total * top + 1.0) * (top + 1.0) <= MOST_WORK:
            continue
        one_hot = np.zeros((g.size, top))
        for i in range(g.size):
            if g[i] > 0.0:
                one_hot[i, int(g[i]) - 1] = 1.0
        s, d = np.empty((part.ends.size, top + 1)), np.empty((part.ends.size, top + 1))
        risk_set_sums(one_hot, weight, part, s, d)
        shares, drawn, at = np.zeros((m, top + 1)), np.empty(m), 0
        for i in range(g.size):
            if part.event[i] and part.last[i] > part.first[i] and own[i] > 0.0:
                k = part.last[i] - 1
                left = s[k, 0]
                for copies in range(1, top + 1):
                    # What differences of sums leave of nobody is rounding.
                    share = s[k, copies] if s[k, copies] > ROUNDING * s[k, 0] else 0.0
                    shares[at, copies] = share / s[k, 0]
                    left -= share
                shares[at, 0] = left / s[k, 0] if left > ROUNDING * s[k, 0] else 0.0
                drawn[at] = own[i]
                at += 1
        neg_log_p[r], _ = two_sided(law_of_draws(shares, drawn), int(observed), 1.0)
        found[r] = math.isfinite(neg_log_p[r])
