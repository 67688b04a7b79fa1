"""Generalised linear models in plain numpy: Newton's method on the canonical link, dense, nothing shared."""

import numpy as np

MEAN = {"gaussian": lambda e: e, "binomial": lambda e: 1 / (1 + np.exp(-e)), "poisson": np.exp}
VARIANCE = {"gaussian": np.ones_like, "binomial": lambda mu: mu * (1 - mu), "poisson": lambda mu: mu}
CUMULANT = {"gaussian": lambda e: e**2 / 2, "binomial": lambda e: np.logaddexp(0, e), "poisson": np.exp}


def log_likelihood(family, D, y, beta, offset=0.0, prior=1.0):
    """Sum of ``v (y eta - b(eta))``."""
    eta = D @ beta + offset
    return float(np.sum(prior * (y * eta - CUMULANT[family](eta))))


def fit(family, D, y, offset=0.0, prior=1.0, iterations=100):
    """Coefficients, fitted means and weights ``v V(mu)``; started from the constant in the first column."""
    beta = np.zeros(D.shape[1])
    if family == "poisson":
        beta = np.linalg.lstsq(D, np.log(y.mean() / np.mean(np.exp(offset))) + np.zeros(len(y)), rcond=None)[0]
    for _ in range(iterations):
        mu = MEAN[family](D @ beta + offset)
        w = prior * VARIANCE[family](mu)
        step = np.linalg.solve(D.T @ (w[:, None] * D), D.T @ (prior * (y - mu)))
        before = log_likelihood(family, D, y, beta, offset, prior)
        while np.abs(step).max() > 1e-6 and log_likelihood(family, D, y, beta + step, offset, prior) < before:
            step = step / 2
        beta = beta + step
    mu = MEAN[family](D @ beta + offset)
    return beta, mu, prior * VARIANCE[family](mu)


def pearson_dispersion(family, y, mu, n_parameters, prior=1.0):
    """Pearson's chi-squared over its degrees of freedom."""
    return float(np.sum(prior * (y - mu) ** 2 / VARIANCE[family](mu)) / (len(y) - n_parameters))


def analyse_rows(family, X, y, g, what, offset=0.0, prior=1.0, quasi=False):
    """beta, its standard error and the signed statistic of one variant given the covariates; NaN in g is left out."""
    keep = ~np.isnan(g)
    X, y, g = X[keep], y[keep], g[keep]
    offset, prior = np.broadcast_to(offset, keep.shape)[keep], np.broadcast_to(prior, keep.shape)[keep]
    null, mu, w = fit(family, X, y, offset, prior)
    if what == "score":
        rest = g - X @ np.linalg.solve(X.T @ (w[:, None] * X), X.T @ (w * g))
        phi = pearson_dispersion(family, y, mu, X.shape[1], prior) if quasi else 1.0
        U, information = rest @ (prior * (y - mu)), rest @ (w * rest)
        return U / information, np.sqrt(phi / information), U / np.sqrt(phi * information)
    D = np.column_stack([X, g])
    beta, mu, w = fit(family, D, y, offset, prior)
    phi = pearson_dispersion(family, y, mu, D.shape[1], prior) if quasi else 1.0
    error = np.sqrt(phi * np.linalg.inv(D.T @ (w[:, None] * D))[-1, -1])
    if what == "wald":
        return beta[-1], error, beta[-1] / error
    gain = log_likelihood(family, D, y, beta, offset, prior) - log_likelihood(family, X, y, null, offset, prior)
    return beta[-1], error, np.sign(beta[-1]) * np.sqrt(2 * gain / phi)


def score_with_missing(family, X, y, g, offset=0.0):
    """U and its information, g NaN where not observed: the null of all samples, then one Newton step on those left."""
    _, mu, w = fit(family, X, y, offset)
    keep = ~np.isnan(g)
    Z, r, v, g = X[keep], (y - mu)[keep], w[keep], g[keep]
    rest = g - Z @ np.linalg.solve(Z.T @ (v[:, None] * Z), Z.T @ (v * g))
    return float(rest @ r), float(rest @ (v * rest))
