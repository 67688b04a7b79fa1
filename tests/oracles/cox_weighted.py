"""Weighted Cox regression with Lin and Wei's variance in plain numpy: every risk set and term of its ties spelt out."""

import numpy as np


def terms(time, event, entry, stratum, efron):
    """(deaths, who is at risk (n,), how much of each counts (n,)) of every term of every event time."""
    for s in np.unique(stratum):
        for t in np.unique(time[event & (stratum == s)]):
            dead = event & (stratum == s) & (time == t)
            risk = (stratum == s) & (entry < t) & (time >= t)
            m = dead.sum()
            for tie in range(m):
                yield dead, risk - (tie / m if efron else 0.0) * dead


def weighted_likelihood(D, prior, beta, time, event, entry, stratum, efron=True):
    """Log likelihood, gradient, information and the samples' weighted scores (n, P)."""
    eta = D @ beta
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
