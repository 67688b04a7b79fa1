"""The score test of proportional odds of one column in plain numpy: all chances and their derivatives, dense."""

import numpy as np


def proportional_odds_chi2(D, level, parameters, M):
    """Rao's score test of different effects of the last column at the M thresholds, at the maximum under one effect."""
    n, P = D.shape
    theta, coefficients, x, g = parameters[:M], parameters[M:], D[:, :-1], D[:, -1]
    t = theta[None, :] - (D @ coefficients)[:, None]
    F = 1 / (1 + np.exp(-t))
    # d t / d (theta, a, b_m), (n, M, M + P - 1 + M)
    slopes = np.zeros((n, M, M + P - 1 + M))
    for m in range(M):
        slopes[:, m, m] = 1
        slopes[:, m, M : M + P - 1] = -x
        slopes[:, m, M + P - 1 + m] = -g
    steep = (F * (1 - F))[:, :, None] * slopes
    nothing = np.zeros((n, 1, slopes.shape[2]))
    d = np.diff(np.concatenate([nothing, steep, nothing], axis=1), axis=1)
    p = np.diff(np.column_stack([np.zeros(n), F, np.ones(n)]), axis=1)
    score = (d[np.arange(n), level] / p[np.arange(n), level][:, None]).sum(axis=0)
    information = np.einsum("nka,nkb,nk->ab", d, d, 1 / p)
    return float(score @ np.linalg.solve(information, score))
