"""Slow twins of `genassoc.analyses.kinship`: PC-Relate, and the largest unrelated set by trying all."""

from itertools import combinations

import numpy as np


def adjusted(codes, components):
    """PC-adjusted kinship (N, N) of codes (V, N), in float64, from its definition (Conomos et al. 2016, equations 3 and 6)."""
    x = np.where(codes == 3, np.nan, codes.astype(float))
    mean = np.nanmean(x, axis=1, keepdims=True)
    X = np.column_stack([np.ones(len(components)), components])
    beta = np.linalg.lstsq(X, np.where(np.isnan(x), mean, x).T, rcond=None)[0]
    mu = (X @ beta).T / 2
    known = ~np.isnan(x) & (mu > 0.01) & (mu < 0.99)
    residual = np.where(known, np.nan_to_num(x) - 2 * mu, 0)
    spread = np.where(known, np.sqrt(np.abs(mu * (1 - mu))), 0)
    return residual.T @ residual / (4 * spread.T @ spread)


def largest_unrelated(n, pairs):
    """The size of the largest set of n samples without any of the pairs."""
    for size in range(n, 0, -1):
        for chosen in combinations(range(n), size):
            held = set(chosen)
            if not any(i in held and j in held for i, j in pairs):
                return size
    return 0
