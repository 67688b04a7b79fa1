"""Score and likelihood ratio tests of several tested columns in plain numpy: every sum spelt as a matrix product, every null fitted by itself."""

import numpy as np
from scipy import optimize


def score_columns(H, X, w, r):
    """One Newton step from the null in columns H (n, D) beside X (n, C), and its covariance; w, r (n,) at the null."""
    D = np.column_stack([X, H])
    inverse = np.linalg.inv(D.T @ (w[:, None] * D))
    k = H.shape[1]
    covariance = inverse[-k:, -k:]
    return (inverse @ (D.T @ r))[-k:], covariance


def score_sums(H, X, w, r, missing):
    """The same of the samples that are not ``missing`` (n,), by the null of all samples moved by one Newton step."""
    keep = ~missing
    return score_columns(H[keep], X[keep], w[keep], r[keep])


def height(D, y, log_likelihood, penalised=False, held=0):
    """The largest log likelihood in all but the last ``held`` coefficients, and where; ``log_likelihood(eta, y)`` and its weights.

    Penalised: plus half the log determinant of the information of all columns.
    """
    free = D.shape[1] - held

    def value(theta):
        beta = np.append(theta, np.zeros(held))
        found, w = log_likelihood(D @ beta, y)
        extra = 0.5 * np.linalg.slogdet(D.T @ (w[:, None] * D))[1] if penalised else 0.0
        return -(found + extra)

    if free == 0:
        return -value(np.zeros(0)), np.zeros(held)
    start = np.linalg.lstsq(D[:, :free], np.full(y.size, 0.1), rcond=None)[0]
    best = optimize.minimize(value, start, method="BFGS", options={"gtol": 1e-9, "maxiter": 2000})
    best = optimize.minimize(
        value, best.x, method="Nelder-Mead", options={"xatol": 1e-10, "fatol": 1e-13, "maxiter": 20000}
    )
    return -best.fun, np.append(best.x, np.zeros(held))


def binomial(eta, y):
    """Log likelihood and weights of binary outcomes."""
    mu = 1.0 / (1.0 + np.exp(-eta))
    return float((y * eta - np.logaddexp(0.0, eta)).sum()), mu * (1.0 - mu)


def poisson(eta, y):
    """Log likelihood, but for constants, and weights of counts."""
    mu = np.exp(eta)
    return float((y * eta - mu).sum()), mu


def ratio_rows(H, X, y, log_likelihood, penalised=False):
    """Coefficients, covariance, and gains over the nulls without the first column, without the second and without both, of H (n, 2)."""
    top, beta = height(np.column_stack([X, H]), y, log_likelihood, penalised)
    orders = ((H[:, [1, 0]], 1), (H, 1), (H, 2))
    gains = [
        2.0 * (top - height(np.column_stack([X, columns]), y, log_likelihood, penalised, held)[0])
        for columns, held in orders
    ]
    D = np.column_stack([X, H])
    w = log_likelihood(D @ beta, y)[1]
    return beta[-2:], np.linalg.inv(D.T @ (w[:, None] * D))[-2:, -2:], np.array(gains)
