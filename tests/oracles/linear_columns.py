"""Slow twin of `genassoc.kernels.likelihoods.linear_columns`: least squares of all columns at once, HC3 by its definition."""

import numpy as np


def from_calls(calls, H, X, y, robust):
    """Coefficients of H (n, D), covariance (D, D), F and df on the samples observed; X (n, C) with the intercept."""
    at = ~np.isnan(calls)
    D = np.column_stack([H, X])[at]
    n, P = D.shape
    inverse = np.linalg.inv(D.T @ D)
    beta = inverse @ D.T @ y[at]
    residual = y[at] - D @ beta
    covariance = inverse * (residual @ residual) / (n - P)
    if robust:
        h = np.einsum("ij,jk,ik->i", D, inverse, D)
        half = (D * (residual / (1 - h))[:, None]) @ inverse
        covariance = half.T @ half
    k = H.shape[1]
    theta, covariance = beta[:k], covariance[:k, :k]
    return theta, covariance, theta @ np.linalg.inv(covariance) @ theta / k, n - P


def genotypic_rows(codes, X, y):
    """(beta, SE) of copies and of heterozygotes, F of both, df; codes (n,) with 3 missing, X (n, C) with the intercept."""
    at = codes != 3
    g, h = codes[at].astype(float), (codes[at] == 1).astype(float)
    D = np.column_stack([g, h, X[at]])
    beta, _, rank, _ = np.linalg.lstsq(D, y[at], rcond=None)
    assert rank == D.shape[1]
    df = at.sum() - rank
    left = ((y[at] - D @ beta) ** 2).sum()
    null = ((y[at] - X[at] @ np.linalg.lstsq(X[at], y[at], rcond=None)[0]) ** 2).sum()
    error = np.sqrt(np.diag(np.linalg.inv(D.T @ D)) * left / df)
    return beta[:2], error[:2], (null - left) / 2 / (left / df), df
