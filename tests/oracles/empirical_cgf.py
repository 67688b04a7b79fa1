"""The saddlepoint of a sum of draws from residuals in plain numpy: no table, every exponential of every residual."""

import numpy as np
from scipy.optimize import brentq
from scipy.special import logsumexp
from scipy.stats import norm


def point(k, n_points=513):
    """Points of the table: every 0.05 of the inverse hyperbolic sine of a hundredth's multiples."""
    return 0.01 * np.sinh((k - n_points // 2) * 0.05)


def cgf_at(s, values):
    """H(s) and its first two derivatives of residuals (m,)."""
    p = np.exp(s * values - logsumexp(s * values))
    mean = p @ values
    return logsumexp(s * values) - np.log(values.size), mean, p @ (values - mean) ** 2


def tabulate(values, bins):
    """H, H', H'' at every point for every bin (B, 513, 3), and the second and third cumulants (B, 2)."""
    parts = [values[bins == b] for b in range(bins.max() + 1)]
    table = [[cgf_at(point(k), part) for k in range(513)] for part in parts]
    return np.array(table), np.array([[(part**2).mean(), (part**3).mean()] for part in parts])


def log_tail(u, a, bins, rest, values, value_bins):
    """``ln P(U >= u)`` of a positive u, ``ln P(U <= u)`` of a negative one."""
    parts = [values[value_bins == b] for b in bins]

    def cgf(t):
        found = np.array([cgf_at(t * x, part) for x, part in zip(a, parts)]).reshape(-1, 3)
        return found[:, 0].sum() + rest * t * t / 2, a @ found[:, 1] + rest * t, a**2 @ found[:, 2] + rest

    far = np.sign(u)
    while abs(cgf(far)[1]) < abs(u):
        far *= 2
    t = brentq(lambda t: cgf(t)[1] - u, *sorted((0.0, far)), xtol=1e-14, rtol=1e-14)
    w = np.sqrt(2 * (t * u - cgf(t)[0]))
    return norm.logsf(w + np.log(abs(t) * np.sqrt(cgf(t)[2]) / w) / w)


def empirical_neg_log_p(u, a, bins, rest, values, value_bins):
    """-ln of the sum of both tails."""
    return -np.logaddexp(*(log_tail(side, a, bins, rest, values, value_bins) for side in (u, -u)))


def empirical_rows(g, u, Q, W, bins, values, spread=1.0):
    """-ln p of one variant (n,), NaN not observed: the others' part a normal where at most half of all carry the allele."""
    keep = ~np.isnan(g)
    X, w, own = Q[keep], W[keep], g[keep]
    gt = own - X @ np.linalg.solve(X.T @ (w[:, None] * X), X.T @ (w * own))
    named = own > 0 if (own > 0).sum() <= g.size / 2 else np.ones(own.size, bool)
    own_variance = np.array([(values[bins == b] ** 2).mean() for b in bins[keep]])
    w = w * np.broadcast_to(spread, keep.shape)[keep]
    rest = (gt**2 * w * own_variance)[~named].sum()
    return empirical_neg_log_p(u, (gt * np.sqrt(w))[named], bins[keep][named], rest, values, bins)
