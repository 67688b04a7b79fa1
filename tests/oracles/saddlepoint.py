"""The saddlepoint p in forty digits by mpmath, and the law of a score by listing every outcome."""

import mpmath as mp
import numpy as np


def _log_tail(u, g, mu, variance_rest):
    """ln P(U >= u), u > 0, by Barndorff-Nielsen's formula."""
    g, mu = [mp.mpf(float(x)) for x in g], [mp.mpf(float(x)) for x in mu]
    rest = mp.mpf(variance_rest)

    def cgf(t):
        return rest * t * t / 2 + sum(mp.log(1 - m + m * mp.exp(t * x)) - t * m * x for x, m in zip(g, mu))

    def slope(t):
        return rest * t + sum(x * (m * mp.exp(t * x) / (1 - m + m * mp.exp(t * x)) - m) for x, m in zip(g, mu))

    def curvature(t):
        odds = [m / (1 - m) * mp.exp(t * x) for x, m in zip(g, mu)]
        return rest + sum(x * x * o / (1 + o) ** 2 for x, o in zip(g, odds))

    high = u / curvature(0)
    while slope(high) < u:
        high *= 2
    t = mp.findroot(lambda t: slope(t) - u, (0, high), solver="anderson", tol=1e-60)
    w = mp.sqrt(2 * (t * u - cgf(t)))
    v = t * mp.sqrt(curvature(t))
    return mp.log(mp.erfc((w + mp.log(v / w) / w) / mp.sqrt(2)) / 2)


def spa_neg_log_p(score, g, mu, variance_rest):
    """-ln of the sum of both tails, at most 1."""
    with mp.workdps(40):
        u = abs(mp.mpf(float(score)))
        p = mp.exp(_log_tail(u, g, mu, variance_rest)) + mp.exp(_log_tail(u, [-x for x in g], mu, variance_rest))
        return float(max(-mp.log(p), mp.mpf(0)))


def score_law(g, mu):
    """All values of ``sum g (y - mu)`` and their probabilities: 2^n outcomes."""
    g, mu = np.asarray(g), np.asarray(mu)
    y = ((np.arange(2**g.size)[:, None] >> np.arange(g.size)) & 1).astype(float)
    return (y - mu) @ g, np.prod(np.where(y == 1.0, mu, 1.0 - mu), axis=1)


def two_sided_p(score, g, mu):
    """The exact p of a score, and its mid-p."""
    values, chances = score_law(g, mu)
    size = np.abs(values)
    tied = np.isclose(size, abs(score), rtol=1e-9, atol=0)
    beyond = chances[(size > abs(score)) & ~tied].sum()
    return beyond + chances[tied].sum(), beyond + 0.5 * chances[tied].sum()
