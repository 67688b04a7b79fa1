"""Freedman and Lane's permutation, the long way: outcomes put together again and fitted by least squares."""

import numpy as np


def permuted_t(y, X, g, order):
    """t of g in y* = fitted + residuals in ``order``; y, X, g (n, ...) of the samples with y; NaN in g: not observed."""
    fitted = X @ np.linalg.lstsq(X, y, rcond=None)[0]
    star = fitted + (y - fitted)[order]
    seen = ~np.isnan(g)
    full = np.column_stack([X, g])[seen]
    beta, _, rank, _ = np.linalg.lstsq(full, star[seen], rcond=None)
    if rank < full.shape[1]:
        return np.nan
    rest = star[seen] - full @ beta
    variance = rest @ rest / (seen.sum() - rank) * np.linalg.inv(full.T @ full)[-1, -1]
    return beta[-1] / np.sqrt(variance)


def permutation_p(y, X, codes, keys, tested):
    """p of every variant (pointwise) and over all tested ones (max T): y with NaN, codes (V, N) with NaN, keys (n, N)."""
    has = ~np.isnan(y)
    statistics = np.full((len(keys) + 1, len(codes)), np.nan)
    for b, order in enumerate([np.arange(has.sum()), *(np.argsort(key[has], kind="stable") for key in keys)]):
        for v in np.flatnonzero(tested):
            statistics[b, v] = abs(permuted_t(y[has], X[has], codes[v][has], order))
    observed, permuted = statistics[0], statistics[1:]
    return observed, permuted
