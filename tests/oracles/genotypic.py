"""Slow twin of `genassoc.kernels.likelihoods.genotypic`: least squares on copies, heterozygotes and covariates."""

import numpy as np


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
