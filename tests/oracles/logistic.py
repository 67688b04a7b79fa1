"""Logistic regression in plain numpy and scipy: Newton for the likelihood, a general optimiser for Firth's penalty."""

import numpy as np
from scipy.optimize import minimize


def log_likelihood(D, y, beta, offset=0.0):
    """Sum of ``y eta - log(1 + exp(eta))``."""
    eta = D @ beta + offset
    return float(np.sum(y * eta - np.logaddexp(0.0, eta)))


def weights(D, beta, offset=0.0):
    """mu and mu (1 - mu)."""
    mu = 1.0 / (1.0 + np.exp(-(D @ beta + offset)))
    return mu, mu * (1.0 - mu)


def penalised_log_likelihood(D, y, beta, offset=0.0, penalty_of=None):
    """``l + log det(X'WX) / 2`` with X ``penalty_of`` (D itself by default) in the weights of D."""
    _, w = weights(D, beta, offset)
    X = D if penalty_of is None else penalty_of
    return log_likelihood(D, y, beta, offset) + 0.5 * np.linalg.slogdet(X.T @ (w[:, None] * X))[1]


def fit(D, y, offset=0.0, penalised=False, held=0):
    """Maximum of the (penalised) log likelihood; the last ``held`` coefficients stay 0 but count in the penalty."""
    P = D.shape[1] - held

    def objective(free):
        beta = np.concatenate([free, np.zeros(held)])
        value = penalised_log_likelihood(D, y, beta, offset) if penalised else log_likelihood(D, y, beta, offset)
        return -value

    best = minimize(objective, np.zeros(P), method="BFGS", options={"gtol": 1e-9, "maxiter": 5000})
    # Polish: BFGS stops at the noise of its finite differences.
    best = minimize(objective, best.x, method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-13, "maxiter": 20000})
    return np.concatenate([best.x, np.zeros(held)]), -best.fun


def newton(D, y, offset=0.0, iterations=60):
    """Maximum likelihood by Newton's method; diverges where cases and controls are separated."""
    beta = np.zeros(D.shape[1])
    for _ in range(iterations):
        mu, w = weights(D, beta, offset)
        beta = beta + np.linalg.solve(D.T @ (w[:, None] * D), D.T @ (y - mu))
    return beta


def residualise(X, w, g):
    """``g - X (X'WX)^-1 X'Wg``."""
    return g - X @ np.linalg.solve(X.T @ (w[:, None] * X), X.T @ (w * g))


def score(X, y, g):
    """U and I of the score test of g given the covariates X."""
    mu, w = weights(X, newton(X, y))
    rest = residualise(X, w, g)
    return float(rest @ (y - mu)), float(rest @ (w * rest))


def wald(X, y, g):
    """beta, standard error."""
    D = np.column_stack([X, g])
    beta = newton(D, y)
    _, w = weights(D, beta)
    return beta[-1], np.sqrt(np.linalg.inv(D.T @ (w[:, None] * D))[-1, -1])


def likelihood_ratio(X, y, g):
    """Twice the gain in log likelihood."""
    D = np.column_stack([X, g])
    return 2.0 * (log_likelihood(D, y, newton(D, y)) - log_likelihood(X, y, newton(X, y)))


def firth(X, y, g):
    """beta and the penalised likelihood ratio, the penalty of the full model in both (Heinze & Schemper 2002)."""
    D = np.column_stack([X, g])
    beta, full = fit(D, y, penalised=True)
    _, held = fit(D, y, penalised=True, held=1)
    return beta[-1], 2.0 * (full - held)


def firth_approx(X, y, g):
    """beta and penalised likelihood ratio of g residualised, the penalised null's covariates as an offset."""
    _, w = weights(X, newton(X, y))
    rest = residualise(X, w, g)[:, None]
    offset = X @ fit(X, y, penalised=True)[0]
    beta, full = fit(rest, y, offset, penalised=True)
    return beta[0], 2.0 * (full - penalised_log_likelihood(rest, y, np.zeros(1), offset))
