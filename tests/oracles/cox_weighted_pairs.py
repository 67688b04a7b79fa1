"""Weighted Cox regression on g and g e with Lin and Wei's covariance in plain numpy: every risk set spelt out."""

import numpy as np

from oracles import cox_weighted
from oracles.sandwich import pair_variance


def expected_products(D, prior, beta, time, event, entry, stratum, efron=True):
    """The expectation of every sample's products of weighted scores, (n, P, P): over each term, its chance of being the death."""
    found = np.zeros((*D.shape, D.shape[1]))
    for dead, share in cox_weighted.terms(time, event, entry, stratum, efron):
        risk = share * prior * np.exp(D @ beta)
        p = risk / risk.sum()
        away = D - p @ D
        found += (prior * prior[dead].mean() * p)[:, None, None] * away[:, :, None] * away[:, None, :]
    return found


def wald_pairs(X, prior, g, e, contrasts, time, event, entry, stratum, efron=True):
    """Coefficients of g and g e given covariates X without a constant, their covariance, degrees of freedom; NaN is left out."""
    keep = ~np.isnan(g)
    D = np.column_stack([X, g, g * e])[keep]
    own = prior[keep], time[keep], event[keep], entry[keep], stratum[keep]
    beta = cox_weighted.fit(D, own[0], *own[1:], efron)
    _, _, J, scores = cox_weighted.weighted_likelihood(D, own[0], beta, *own[1:], efron)
    bread = np.linalg.inv(J)[:, -2:]
    E = bread.T @ expected_products(D, own[0], beta, *own[1:], efron) @ bread
    covariance, freedom = pair_variance(scores @ bread, E, contrasts, max(len(D) - D.shape[1], 1))
    return beta[-2:], covariance, freedom
