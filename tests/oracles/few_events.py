"""The laws of few events by listing everything that can happen: every set of samples, every draw of every event."""

import itertools
import math

import numpy as np


def two_sided(law, observed):
    """-ln of the chance of a T as far from its mean as the observed one, or farther; ``law`` is {T: weight}."""
    total = math.fsum(law.values())
    centre = math.fsum(T * p for T, p in law.items()) / total
    distance = abs(observed - centre)
    far = math.fsum(p for T, p in law.items() if abs(T - centre) >= distance * (1 - 1e-9))
    return -math.log(far / total)


def symmetric_sums(odds, most):
    """Sums of the products of all subsets of 0, 1, ..., ``most`` odds."""
    return np.array([math.fsum(math.prod(part) for part in itertools.combinations(odds, k)) for k in range(most + 1)])


def law_of_single_events(g, odds, n_events):
    """{T: weight}: every set of ``n_events`` samples weighs the product of its odds."""
    law = {}
    for chosen in itertools.combinations(range(len(g)), n_events):
        T = sum(g[i] for i in chosen)
        law[T] = law.get(T, 0.0) + math.prod(odds[i] for i in chosen)
    return law


def law_of_draws(shares, sizes):
    """{T: chance}: every event draws every genotype."""
    law = {}
    some = [np.flatnonzero(share > 0.0) for share in shares]  # of steps hardly any
    for drawn in itertools.product(*some):
        T = sum(size * k for size, k in zip(sizes, drawn))
        law[T] = law.get(T, 0.0) + math.prod(shares[j, k] for j, k in enumerate(drawn))
    return law


def _steps(g):
    """Genotypes (n,) as whole numbers: alleles, or thirty-seconds of them where they are no whole alleles."""
    whole = np.array_equal(g, np.floor(g))
    return np.floor(g * (1 if whole else 32) + 0.5).astype(int), whole


def _observed(g, impute):
    keep = ~np.isnan(g)
    return np.arange(g.size) if impute else np.flatnonzero(keep), np.where(keep, g, g[keep].mean())


def event_rows(g, odds, sizes, impute=False):
    """-ln p of one row of genotypes, NaN where not observed."""
    who, g = _observed(g, impute)
    (g, whole), odds, sizes = _steps(g[who]), odds[who], sizes[who].astype(int)
    T = int((g * sizes).sum())
    if whole and sizes.max() == 1:
        return two_sided(law_of_single_events(g, odds, int(sizes.sum())), T)
    shares = np.array([odds[g == k].sum() for k in range(g.max() + 1)]) / odds.sum()
    return two_sided(law_of_draws(np.tile(shares, ((sizes > 0).sum(), 1)), sizes[sizes > 0]), T)


def hazard_rows(g, risk, sizes, time, event, entry, stratum, impute=False):
    """The same of times: each event falls on somebody of its stratum at risk at its time."""
    who, g = _observed(g, impute)
    g, _ = _steps(g[who])
    risk, sizes, time, event, entry, stratum = (
        values[who] for values in (risk, sizes, time, event, entry, stratum)
    )  # fmt: skip
    died = np.flatnonzero(event & (sizes > 0))
    shares = []
    for i in died:
        at_risk = (stratum == stratum[i]) & (time >= time[i]) & (entry < time[i])
        shares.append([risk[at_risk & (g == k)].sum() / risk[at_risk].sum() for k in range(g.max() + 1)])
    return two_sided(law_of_draws(np.array(shares), sizes[died].astype(int)), int((g[died] * sizes[died]).sum()))
