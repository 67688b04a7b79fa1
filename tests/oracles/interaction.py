"""Slow twin of `genassoc.kernels.likelihoods.interaction`: least squares of all columns at once, HC3 by its definition."""

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
