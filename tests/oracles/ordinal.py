"""Proportional odds in plain numpy: chances of all levels of every sample, derivatives as dense arrays."""

import numpy as np


def chances(theta, eta):
    """Chances of the K levels, (n, K)."""
    F = 1 / (1 + np.exp(-(theta[None, :] - eta[:, None])))
    full = np.column_stack([np.zeros(len(eta)), F, np.ones(len(eta))])
    return np.diff(full, axis=1)


def log_likelihood(D, level, parameters, M):
    """Sum of the log chances of the levels observed."""
    p = chances(parameters[:M], D @ parameters[M:])
    return float(np.log(p[np.arange(len(level)), level]).sum())


def derivatives(D, theta, eta):
    """d p / d parameters, (n, K, M + P)."""
    n, M = len(eta), len(theta)
    F = 1 / (1 + np.exp(-(theta[None, :] - eta[:, None])))
    f = np.column_stack([np.zeros(n), F * (1 - F), np.zeros(n)])
    out = np.zeros((n, M + 1, M + D.shape[1]))
    for k in range(M + 1):
        if k < M:
            out[:, k, k] = f[:, k + 1]
        if k > 0:
            out[:, k, k - 1] = -f[:, k]
        out[:, k, M:] = -(f[:, k + 1] - f[:, k])[:, None] * D
    return out


def gradient(D, level, parameters, M):
    """Scores of the samples, (n, M + P)."""
    eta = D @ parameters[M:]
    p, d = chances(parameters[:M], eta), derivatives(D, parameters[:M], eta)
    rows = np.arange(len(level))
    return d[rows, level] / p[rows, level][:, None]


def expected_information(D, parameters, M):
    """Sum over samples and levels of d p d p' / p."""
    eta = D @ parameters[M:]
    p, d = chances(parameters[:M], eta), derivatives(D, parameters[:M], eta)
    return np.einsum("nka,nkb,nk->ab", d, d, 1 / p)


def observed_information(D, level, parameters, M, step=1e-5):
    """Minus the second derivative, by central differences of the score."""
    A = len(parameters)
    out = np.empty((A, A))
    for a in range(A):
        move = np.zeros(A)
        move[a] = step
        up, down = gradient(D, level, parameters + move, M), gradient(D, level, parameters - move, M)
        out[a] = -(up - down).sum(axis=0) / (2 * step)
    return (out + out.T) / 2


def start_thresholds(level, M):
    """Log odds of the levels up to each threshold."""
    shares = np.array([(level <= m).mean() for m in range(M)])
    return np.log(shares / (1 - shares))


def threshold_weights(D, parameters, M):
    """Minus the expected information of every sample's eta with each threshold, (n, M)."""
    eta = D @ parameters[M:]
    one = np.ones((len(eta), 1))
    p, d = chances(parameters[:M], eta), derivatives(one, parameters[:M], eta)
    return -np.einsum("nka,nk->na", d[:, :, :M], d[:, :, M] / p)


def accumulate(D, level, parameters, M, expected):
    """Log likelihood, information and score."""
    J = expected_information(D, parameters, M) if expected else observed_information(D, level, parameters, M)
    return log_likelihood(D, level, parameters, M), J, gradient(D, level, parameters, M).sum(axis=0)


def fit(D, level, M, iterations=60):
    """Maximum likelihood by scoring with halved steps: (thresholds, coefficients)."""
    parameters = np.concatenate([start_thresholds(level, M), np.zeros(D.shape[1])])
    for _ in range(iterations):
        move = np.linalg.solve(expected_information(D, parameters, M), gradient(D, level, parameters, M).sum(axis=0))
        while (np.diff((parameters + move)[:M]) <= 0).any():
            move = move / 2
        parameters = parameters + move
    return parameters


def analyse_rows(X, level, g, what):
    """beta, standard error and signed statistic of g given covariates X without a constant; NaN in g is left out."""
    keep = ~np.isnan(g)
    X, g = X[keep], g[keep]
    _, level = np.unique(level[keep], return_inverse=True)
    M = int(level.max())
    D = np.column_stack([X, g])
    null = fit(X, level, M)
    if what == "score":
        at = np.concatenate([null, [0.0]])
        U, J = gradient(D, level, at, M).sum(axis=0)[-1], expected_information(D, at, M)
        spread = 1 / np.linalg.inv(J)[-1, -1]
        return U / spread, 1 / np.sqrt(spread), U / np.sqrt(spread)
    full = fit(D, level, M)
    error = np.sqrt(np.linalg.inv(observed_information(D, level, full, M))[-1, -1])
    if what == "wald":
        return full[-1], error, full[-1] / error
    gain = log_likelihood(D, level, full, M) - log_likelihood(X, level, null, M)
    return full[-1], error, np.sign(full[-1]) * np.sqrt(2 * gain)


def score_with_missing(X, level, g, M):
    """U and its information, g NaN where not observed: the null of all samples, one Newton step on those left."""
    parameters = np.concatenate([fit(X, level, M), [0.0]])
    keep = ~np.isnan(g)
    D = np.column_stack([X, np.where(keep, g, 0.0)])[keep]
    J, u = expected_information(D, parameters, M), gradient(D, level[keep], parameters, M).sum(axis=0)
    a, rest = J[-1, :-1], np.linalg.inv(J[:-1, :-1])
    return float(u[-1] - a @ rest @ u[:-1]), float(J[-1, -1] - a @ rest @ a)
