"""Weighted Cox regression with Lin and Wei's variance in plain numpy: every risk set and term of its ties spelt out."""

import numpy as np

from oracles.sandwich import sandwich_covariance


def terms(time, event, entry, stratum, efron):
    """(deaths, who is at risk (n,), how much of each counts (n,)) of every term of every event time."""
    for s in np.unique(stratum):
        for t in np.unique(time[event & (stratum == s)]):
            dead = event & (stratum == s) & (time == t)
            risk = (stratum == s) & (entry < t) & (time >= t)
            m = dead.sum()
            for tie in range(m):
                yield dead, risk - (tie / m if efron else 0.0) * dead


def weighted_likelihood(D, prior, beta, time, event, entry, stratum, efron=True, offset=0.0):
    """Log likelihood, gradient, information and the samples' weighted scores (n, P)."""
    eta = D @ beta + offset
    total, J, scores = 0.0, np.zeros((D.shape[1],) * 2), np.zeros(D.shape)
    total += (prior * eta)[event].sum()
    for dead, share in terms(time, event, entry, stratum, efron):
        vbar, risk = prior[dead].mean(), share * prior * np.exp(eta)
        p = risk / risk.sum()
        mean = p @ D
        total -= vbar * np.log(risk.sum())
        J += vbar * (D - mean).T @ (p[:, None] * (D - mean))
        scores += (prior * dead / dead.sum())[:, None] * (D - mean) - vbar * p[:, None] * (D - mean)
    return total, scores.sum(axis=0), J, scores


def fit(D, prior, time, event, entry, stratum, efron=True):
    """Coefficients at the maximum, by Newton's steps, halved until the likelihood does not fall."""
    beta = np.zeros(D.shape[1])
    for _ in range(40):
        at, gradient, J, _ = weighted_likelihood(D, prior, beta, time, event, entry, stratum, efron)
        step = np.linalg.solve(J, gradient)
        while np.abs(step).max() > 1e-7:
            if weighted_likelihood(D, prior, beta + step, time, event, entry, stratum, efron)[0] >= at:
                break
            step = step / 2
        beta = beta + step
    return beta


def influences(D, prior, beta, time, event, entry, stratum, efron=True):
    """What each sample adds to the weighted scores, (n, P)."""
    return weighted_likelihood(D, prior, beta, time, event, entry, stratum, efron)[3]


def wald_rows(X, prior, g, time, event, entry, stratum, efron=True):
    """beta, standard error and their ratio of g given covariates X without a constant; NaN in g is left out."""
    keep = ~np.isnan(g)
    D = np.column_stack([X, g])[keep]
    own = prior[keep], time[keep], event[keep], entry[keep], stratum[keep]
    beta = fit(D, own[0], *own[1:], efron)
    _, _, J, scores = weighted_likelihood(D, own[0], beta, *own[1:], efron)
    moved = scores @ np.linalg.inv(J)[-1]
    error = np.sqrt((moved**2).sum())
    return beta[-1], error, beta[-1] / error


def expected_products(D, prior, beta, time, event, entry, stratum, efron=True):
    """The expectation of every sample's products of weighted scores, (n, P, P): over each term, its chance of being the death."""
    found = np.zeros((*D.shape, D.shape[1]))
    for dead, share in terms(time, event, entry, stratum, efron):
        risk = share * prior * np.exp(D @ beta)
        p = risk / risk.sum()
        away = D - p @ D
        found += (prior * prior[dead].mean() * p)[:, None, None] * away[:, :, None] * away[:, None, :]
    return found


def wald_columns(X, prior, H, contrasts, time, event, entry, stratum, efron=True):
    """Coefficients of H (n, D) given covariates X without a constant, their covariance, degrees of freedom; NaN is left out."""
    keep, k = ~np.isnan(H[:, 0]), H.shape[1]
    D = np.column_stack([X, H])[keep]
    own = prior[keep], time[keep], event[keep], entry[keep], stratum[keep]
    beta = fit(D, own[0], *own[1:], efron)
    _, _, J, scores = weighted_likelihood(D, own[0], beta, *own[1:], efron)
    bread = np.linalg.inv(J)[:, -k:]
    E = bread.T @ expected_products(D, own[0], beta, *own[1:], efron) @ bread
    covariance, freedom = sandwich_covariance(scores @ bread, E, contrasts, max(len(D) - D.shape[1], 1))
    return beta[-k:], covariance, freedom
