"""The law of a score given the residuals, the long way: every residual in complex numbers, integrals by scipy."""

import numpy as np
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.special import logsumexp


def cgf_of(t, a, counts, rest, atoms, weights):
    """K(t) and its first two derivatives, by sums over all atoms."""
    K, first, second = rest * t * t / 2, rest * t, rest
    for x, count in zip(a, counts):
        p = weights * np.exp(t * x * atoms - logsumexp(t * x * atoms, b=weights))
        mean = p @ atoms
        K += count * logsumexp(t * x * atoms, b=weights)
        first, second = first + count * x * mean, second + count * x * x * (p @ (atoms - mean) ** 2)
    return K, first, second


def log_upper_tail(u, a, counts, rest, atoms, weights):
    """ln P(U >= u) by adaptive quadrature of the tilted characteristic function."""
    high = 1.0
    while cgf_of(high, a, counts, rest, atoms, weights)[1] < u:
        high *= 2
    s = brentq(lambda t: cgf_of(t, a, counts, rest, atoms, weights)[1] - u, 0, high)
    K = cgf_of(s, a, counts, rest, atoms, weights)[0]

    def integrand(y):
        z = s + 1j * y
        value = rest * z * z / 2 - K - 1j * y * u
        for x, count in zip(a, counts):
            value += count * np.log((weights * np.exp(z * x * atoms)).sum())
        return (np.exp(value) / z).real

    total = sum(quad(integrand, lo, lo + 0.5, epsabs=1e-14, epsrel=1e-11, limit=400)[0] for lo in np.arange(0, 60, 0.5))
    return K - s * u + np.log(total / np.pi)


def gather(a, variance, n_bins, small, least_rest):
    """Groups of coefficients as dictionaries of bins: means, counts, and what is left as a variance."""
    largest = np.abs(a).max()
    bins, rest = {}, 0.0
    for x in a:
        if abs(x) <= small * largest:
            rest += x * x
        else:
            bins.setdefault(int(0.5 * n_bins * (1 + x / largest)), []).append(x)
    means = [np.mean(bins[k]) for k in sorted(bins)]
    rest += sum(((np.array(bins[k]) - np.mean(bins[k])) ** 2).sum() for k in bins)
    return (
        np.array(means),
        np.array([len(bins[k]) for k in sorted(bins)], float),
        variance * max(rest, least_rest * a @ a),
    )


def law_rows(g, Q, r, spread, atoms, weights, variance, lost, dominated, impute, statistic, constants):
    """-ln p by the law, by a normal, and the excess at ``statistic``; ``constants``: RARE, n_bins, small, least_rest."""
    rare, *groups = constants
    seen = np.isfinite(g)
    mean = g[seen].mean()
    keep = np.ones(g.size, bool) if impute else seen
    own = np.where(seen, g, mean)[keep]
    left = own - Q[keep] @ np.linalg.lstsq(Q[keep], own, rcond=None)[0]
    a = left * spread[keep]
    u = a @ r[keep]
    if dominated and mean < rare:
        a = a + mean * spread[keep].mean()
    v = weights @ atoms**2 + lost
    means, counts, rest = gather(a, v, *groups)
    rest += lost * (counts * means**2).sum()
    from scipy.stats import norm

    normal = -(np.log(2) + norm.logsf(abs(u) / np.sqrt(variance * left @ left)))
    whole = cgf_of(0.0, means, counts, rest, atoms, weights)[2]
    far = abs(statistic) / np.sqrt(whole)
    excess = max(cgf_of(side * far, means, counts, rest, atoms, weights)[0] for side in (1, -1)) - far**2 * whole / 2
    tails = [log_upper_tail(abs(u), side * means, counts, rest, atoms, weights) for side in (1, -1)]
    return -np.logaddexp(*tails), normal, excess
