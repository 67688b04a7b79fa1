"""Weighted generalised linear models with sandwich variances in plain numpy, dense."""

import numpy as np

from oracles import glm
from oracles.sandwich import sandwich_covariance


def wald_rows(family, X, y, g, offset=0.0, prior=1.0, power=0):
    """beta of g, its sandwich standard error and their ratio, with Satterthwaite's degrees of freedom; NaN in g is left out."""
    keep = ~np.isnan(g)
    D = np.column_stack([X, g])[keep]
    offset, prior = np.broadcast_to(offset, keep.shape)[keep], np.broadcast_to(prior, keep.shape)[keep]
    beta, mu, w = glm.fit(family, D, y[keep], offset, prior)
    bread = np.linalg.inv(D.T @ (w[:, None] * D))
    h = w * np.einsum("ia,ab,ib->i", D, bread, D)
    scores = D * (prior * (y[keep] - mu) / (1 - h) ** power)[:, None]
    error = np.sqrt((bread @ scores.T @ scores @ bread)[-1, -1])
    influence = bread[-1] @ D.T  # of a sample's weighted residual on beta
    q = influence**2 * prior * w * (1 - h) / (1 - h) ** (2 * power)
    return beta[-1], error, beta[-1] / error, max(1.0, q.sum() ** 2 / (q**2).sum() - 1)


def wald_columns(family, X, y, H, contrasts, offset=0.0, prior=1.0, power=0):
    """Coefficients of H (n, D), their sandwich covariance and the contrasts' degrees of freedom; NaN in H is left out.

    Without a ``power`` the covariance is the likelihood's.
    """
    keep, k = ~np.isnan(H[:, 0]), H.shape[1]
    D = np.column_stack([X, H])[keep]
    offset, prior = np.broadcast_to(offset, keep.shape)[keep], np.broadcast_to(prior, keep.shape)[keep]
    beta, mu, w = glm.fit(family, D, y[keep], offset, prior)
    bread = np.linalg.inv(D.T @ (w[:, None] * D))
    if power is None:
        return beta[-k:], bread[-k:, -k:], None
    h = w * np.einsum("ia,ab,ib->i", D, bread, D)
    reach = (D @ bread)[:, -k:] / ((1 - h) ** power)[:, None]
    U = reach * (prior * (y[keep] - mu))[:, None]
    E = reach[:, :, None] * reach[:, None, :] * (prior * w * (1 - h))[:, None, None]
    covariance, freedom = sandwich_covariance(U, E, contrasts, len(D) - D.shape[1])
    return beta[-k:], covariance, freedom
