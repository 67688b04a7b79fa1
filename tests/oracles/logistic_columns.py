"""Slow twin of `genassoc.kernels.likelihoods.logistic_columns`: Newton's method on all columns at once, HC3 by its definition."""

import numpy as np


def wald_rows(calls, H, X, y, robust):
    """Coefficients of H (n, D) and their covariance (D, D) on the samples observed; X (n, C) with the intercept."""
    at = ~np.isnan(calls)
    D, y = np.column_stack([H, X])[at], y[at]
    beta = np.zeros(D.shape[1])
    for _ in range(50):
        mu = 1 / (1 + np.exp(-D @ beta))
        w = mu * (1 - mu)
        inverse = np.linalg.inv((D * w[:, None]).T @ D)
        beta = beta + inverse @ D.T @ (y - mu)
    covariance = inverse
    if robust:
        h = w * np.einsum("ij,jk,ik->i", D, inverse, D)
        half = (D * ((y - mu) / (1 - h))[:, None]) @ inverse
        covariance = half.T @ half
    k = H.shape[1]
    return beta[:k], covariance[:k, :k]
