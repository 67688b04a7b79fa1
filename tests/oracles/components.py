"""Slow twin of `genassoc.verbs.components`: dense float64, one decomposition."""

import numpy as np


def standardised(codes, fitted=None):
    """Calls (V, N) as numbers, those of variants that vary among the samples ``fitted``; missing ones are 0."""
    values = np.where(codes == 3, np.nan, codes.astype(float))
    mean = np.nanmean(values if fitted is None else values[:, fitted], axis=1, keepdims=True)
    return np.nan_to_num((values - mean) / np.sqrt(mean * (1 - mean / 2)))


def components(codes, k):
    """Vectors (N, k), eigenvalues (N,) and loadings (V, k) of ``X'X / V``."""
    x = standardised(codes)
    values, vectors = np.linalg.eigh(x.T @ x / len(x))
    values, vectors = values[::-1], vectors[:, ::-1]
    return vectors[:, :k], values, x @ vectors[:, :k] / (len(x) * values[:k])


def sine(one, other):
    """Of the largest angle between the spaces of two sets of columns."""
    a, b = np.linalg.qr(one)[0], np.linalg.qr(other)[0]
    return float(np.linalg.norm(b - a @ (a.T @ b), 2))
