"""Weighted generalised linear models on g and g e with sandwich variances in plain numpy, dense."""

import numpy as np

from oracles import glm
from oracles.sandwich import pair_variance


def wald_pairs(family, X, y, g, e, contrasts, offset=0.0, prior=1.0, power=0):
    """Coefficients of g and g e, their sandwich covariance and the contrasts' degrees of freedom; NaN in g is left out."""
    keep = ~np.isnan(g)
    D = np.column_stack([X, g, g * e])[keep]
    offset, prior = np.broadcast_to(offset, keep.shape)[keep], np.broadcast_to(prior, keep.shape)[keep]
    beta, mu, w = glm.fit(family, D, y[keep], offset, prior)
    bread = np.linalg.inv(D.T @ (w[:, None] * D))
    h = w * np.einsum("ia,ab,ib->i", D, bread, D)
    reach = (D @ bread)[:, -2:] / ((1 - h) ** power)[:, None]
    U = reach * (prior * (y[keep] - mu))[:, None]
    E = reach[:, :, None] * reach[:, None, :] * (prior * w * (1 - h))[:, None, None]
    covariance, freedom = pair_variance(U, E, contrasts, len(D) - D.shape[1])
    return beta[-2:], covariance, freedom
