"""Linear regression, one dense least-squares fit a row, in plain numpy."""

import mpmath
import numpy as np


def neg_log_10_p(t, df):
    """-log10 of the two-sided p of Student's t, by mpmath's incomplete beta."""
    x = mpmath.mpf(float(df)) / (df + mpmath.mpf(float(t)) ** 2)
    return float(-mpmath.log10(mpmath.betainc(mpmath.mpf(float(df)) / 2, mpmath.mpf(1) / 2, 0, x, regularized=True)))


def linear_by_least_squares(codes, y, X, missing):
    """Rows (V, T) of beta, standard_error, neg_log_10_p_value and n; NaN where there is no estimate.

    ``codes`` (V, N) are 0, 1, 2 with 3 missing, or dosages with NaN missing; X (N, C - 1) has no intercept.
    """
    g_all = np.where(codes == 3, np.nan, codes.astype(float))
    V, T = len(codes), y.shape[1]
    out = {name: np.full((V, T), np.nan) for name in ("beta", "standard_error", "neg_log_10_p_value")}
    out["n"] = np.zeros((V, T), int)
    for v in range(V):
        for t in range(T):
            keep = ~np.isnan(y[:, t])
            g = g_all[v]
            if missing == "mean":
                g = np.where(np.isnan(g), np.nanmean(g[keep]), g)
            keep = keep & ~np.isnan(g)
            n = int(keep.sum())
            out["n"][v, t] = n
            null = np.column_stack([np.ones(n), X[keep] - X[keep].mean(axis=0)])
            full = np.column_stack([null, g[keep] - g[keep].mean()])
            rank = np.linalg.matrix_rank(full)
            if rank == np.linalg.matrix_rank(null) or n <= rank:
                continue
            estimate, *_ = np.linalg.lstsq(full, y[keep, t], rcond=None)
            residual = y[keep, t] - full @ estimate
            variance = residual @ residual / (n - rank)
            error = np.sqrt(variance * np.linalg.pinv(full.T @ full)[-1, -1])
            out["beta"][v, t] = estimate[-1]
            out["standard_error"][v, t] = error
            out["neg_log_10_p_value"][v, t] = neg_log_10_p(estimate[-1] / error, n - rank)
    return out
