"""SKAT-O of two or three variants by polar coordinates: nothing is conditioned on, no characteristic function is inverted.

Scores are ``r L w``: w uniform on the circle or sphere, r^2 chi-squared, ``L L' = V``. Each Q_rho is r^2 times a function k_rho of
w, so that a tail is the mean over w of a tail of chi-squared.
"""

import numpy as np
from scipy.optimize import brentq
from scipy.special import chdtrc

RHO = np.array([0.0, 0.01, 0.04, 0.09, 0.16, 0.25, 0.5, 1.0])


def directions(V, rho, n):
    """``k_rho(w)`` (n', K) and the weights of n' directions."""
    m = len(V)
    turn = 2.0 * np.pi * (np.arange(n) + 0.5) / n
    if m == 2:
        w, share = np.column_stack([np.cos(turn), np.sin(turn)]), np.full(n, 1.0 / n)
    else:
        height, weight = np.polynomial.legendre.leggauss(n // 2)
        radius = np.sqrt(1.0 - height * height)[:, None]
        w = np.stack(
            [radius * np.cos(turn), radius * np.sin(turn), np.broadcast_to(height[:, None], (n // 2, n))], axis=-1
        )
        w, share = w.reshape(-1, 3), np.repeat(weight / (2.0 * n), n)
    values, vectors = np.linalg.eigh(V)
    u = (w * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
    return (1.0 - rho) * np.square(u).sum(axis=1)[:, None] + rho * np.square(u.sum(axis=1))[:, None], share


def quantiles(ln_p, V, rho=RHO, n=20_000):
    """The q of each rho with P(Q_rho >= q) = exp(ln_p), by bisection."""
    k, share = directions(V, rho, n)

    def off(ln_q, column):
        return np.log(max(share @ chdtrc(len(V), np.exp(ln_q) / np.maximum(column, 1e-300)), 1e-320)) - ln_p

    scale = np.log(np.trace(V))
    return np.array([np.exp(brentq(off, scale - 20.0, scale + 8.0, args=(column,), xtol=1e-11)) for column in k.T])


def ln_any_passes(q, V, rho=RHO, n=20_000):
    """ln P(any Q_rho >= q_rho)."""
    k, share = directions(V, rho, n)
    least = (q / np.maximum(k, 1e-300)).min(axis=1)
    return np.log(share @ chdtrc(len(V), least))
