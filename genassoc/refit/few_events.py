"""The exact laws of few events from dense arrays; see `genassoc.kernels.laws.few_events`, which sums other things.

The law of a sum is read off products of polynomials in z, whose powers are the sums: of E events among samples that have one each,
the coefficient of s^E of ``prod_i (1 + odds_i s z^g_i)``; of events that draw their genotypes, ``prod_j sum_k share_jk z^(c_j k)``.
"""

from functools import reduce

import numpy as np

from genassoc.shapes import BoolArray, Float64Array, Int64Array

_GRID = 32  # steps of a genotype that is no whole number
_AS_FAR = 1e-9  # distances from the mean that differ by less are the same one


def neg_log_10_p_of_sets(g: Float64Array, odds: Float64Array, event: BoolArray) -> float:
    """Of who has the events (bool (n,)), given how many there are: a set of samples in proportion to the product of its odds (n,)."""
    copies = np.unique(g)
    n_events = int(event.sum())
    # In each genotype the chance of a, scaled so that sums of products of odds stay near 1.
    unit = n_events / float(odds.sum())
    law: dict[tuple[int, float], float] = {(0, 0.0): 1.0}
    for k in copies:
        sums = np.zeros(n_events + 1)
        sums[0] = 1.0
        for one in odds[g == k] * unit:
            sums[1:] = sums[1:] + one * sums[:-1]
        found: dict[tuple[int, float], float] = {}
        for (chosen, total), chance in law.items():
            for a in range(n_events + 1 - chosen):
                place = (chosen + a, total + a * float(k))
                found[place] = found.get(place, 0.0) + chance * float(sums[a])
        law = found
    whole = {total: chance for (chosen, total), chance in law.items() if chosen == n_events}
    values = np.array(sorted(whole))
    return _two_sided(values, np.array([whole[value] for value in values]), float(g[event].sum()))


def neg_log_10_p_of_draws(g: Float64Array, shares: Float64Array, sizes: Float64Array, observed: float) -> float:
    """Of events of sizes (m,), whole numbers, that draw the genotypes 0, 1, ... (in steps) with shares (m, K)."""
    parts = []
    for share, size in zip(shares, sizes.astype(np.int64)):
        part = np.zeros(int(size) * (share.size - 1) + 1)
        part[:: int(size)] = share
        parts.append(part)
    law = reduce(np.convolve, parts)
    return _two_sided(np.arange(law.size, dtype=np.float64), law, observed)


def of_independent_events(sizes: Float64Array, odds: Float64Array, g: Float64Array) -> float:
    """-log10 p of genotypes g (m,) whose events of whole sizes (m,), 0 where there is none, fall on samples by odds (m,).

    Where all sizes are 1 a sample has one event at most; else events fall one by one, so that one sample may have several.
    """
    steps, there = in_steps(g), sizes > 0.0
    if sizes.max(initial=0.0) <= 1.0 and np.array_equal(steps, g):
        return neg_log_10_p_of_sets(g, odds, there)
    shares = np.repeat(shares_of(steps, odds), int(there.sum()), axis=0)
    return neg_log_10_p_of_draws(steps, shares, sizes[there], float(steps @ sizes))


def in_steps(g: Float64Array) -> Float64Array:
    """Genotypes (n,) as whole numbers: as they are, or in steps."""
    return np.asarray(g if (g == np.floor(g)).all() else np.floor(g * _GRID + 0.5))


def shares_of(g: Float64Array, odds: Float64Array, at_risk: BoolArray | None = None) -> Float64Array:
    """Shares (m, K) of the odds (n,) that samples with 0, 1, ... steps g have among those at risk (m, n), or all (1, K)."""
    one_hot = (g[:, None] == np.arange(int(g.max()) + 1)[None, :]).astype(np.float64)
    risk = odds[None, :] if at_risk is None else at_risk * odds[None, :]
    summed = risk @ one_hot
    return np.asarray(summed / summed.sum(axis=1, keepdims=True))


def at_risk_at(time: Float64Array, entry: Float64Array, stratum: Int64Array, who: Int64Array) -> BoolArray:
    """Who (m, n) is at risk when the samples ``who`` (m,) have their events."""
    t = time[who][:, None]
    return np.asarray((time[None, :] >= t) & (entry[None, :] < t) & (stratum[None, :] == stratum[who][:, None]))


def _two_sided(values: Float64Array, law: Float64Array, observed: float) -> float:
    """-log10 of the chance of a value as far from the mean as the observed one, or farther."""
    centre = float(values @ law / law.sum())
    distance = abs(observed - centre)
    far = (np.abs(values - centre) >= distance * (1.0 - _AS_FAR)) | (values == observed)
    return float(max(0.0, -np.log10(law[far].sum() / law.sum())))
