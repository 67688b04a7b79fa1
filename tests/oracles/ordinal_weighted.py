"""Weighted proportional odds with sandwich variances in plain numpy: every sample's score and information by itself."""

import numpy as np

from oracles import ordinal


def start_thresholds(level, prior, M):
    """Weighted log odds of the levels up to each threshold."""
    shares = np.array([prior[level <= m].sum() / prior.sum() for m in range(M)])
    return np.log(shares / (1 - shares))


def informations(D, level, parameters, M, step=1e-5):
    """Minus the second derivative of every sample's log chance, (n, A, A), by central differences of its score."""
    A = len(parameters)
    out = np.empty((len(D), A, A))
    for a in range(A):
        move = np.zeros(A)
        move[a] = step
        up, down = ordinal.gradient(D, level, parameters + move, M), ordinal.gradient(D, level, parameters - move, M)
        out[:, a] = -(up - down) / (2 * step)
    return (out + out.transpose(0, 2, 1)) / 2


def accumulate(D, level, prior, parameters, M):
    """Log likelihood, observed information and gradient."""
    p = ordinal.chances(parameters[:M], D @ parameters[M:])[np.arange(len(level)), level]
    J = np.einsum("i,iab->ab", prior, informations(D, level, parameters, M))
    return float(prior @ np.log(p)), J, prior @ ordinal.gradient(D, level, parameters, M)


def expected_informations(D, parameters, M):
    """Every sample's, (n, A, A)."""
    eta = D @ parameters[M:]
    p, d = ordinal.chances(parameters[:M], eta), ordinal.derivatives(D, parameters[:M], eta)
    return np.einsum("nka,nkb,nk->nab", d, d, 1 / p)


def fit(D, level, prior, M, iterations=80):
    """Maximum of the weighted likelihood by scoring with halved steps: (thresholds, coefficients)."""
    parameters = np.concatenate([start_thresholds(level, prior, M), np.zeros(D.shape[1])])
    for _ in range(iterations):
        J = np.einsum("i,iab->ab", prior, expected_informations(D, parameters, M))
        move = np.linalg.solve(J, prior @ ordinal.gradient(D, level, parameters, M))
        while (np.diff((parameters + move)[:M]) <= 0).any():
            move = move / 2
        parameters = parameters + move
    return parameters


def wald_rows(X, level, g, prior, power):
    """beta, sandwich error, their ratio, degrees of freedom of g given X without a constant; NaN in g is left out.

    With power 1 a sample's part is the Newton step that its score asks of the information without it.
    """
    keep = ~np.isnan(g)
    D, prior = np.column_stack([X, g])[keep], prior[keep]
    _, level = np.unique(level[keep], return_inverse=True)
    M = int(level.max())
    parameters = fit(D, level, prior, M)
    own = prior[:, None, None] * informations(D, level, parameters, M)
    scores = prior[:, None] * ordinal.gradient(D, level, parameters, M)
    J = own.sum(axis=0)
    along = np.linalg.inv(J)[-1]
    moved = np.array([np.linalg.solve(J - power * part, s)[-1] for part, s in zip(own, scores)])
    # the slack: of J without the sample, the share of its determinant that is left
    slack = np.array([np.linalg.det(np.eye(len(J)) - np.linalg.solve(J, part)) for part in own])
    q = (
        prior**2
        * np.einsum("a,nab,b->n", along, expected_informations(D, parameters, M), along)
        * slack ** (1 - 2 * power)
    )
    error = np.sqrt((moved**2).sum())
    df = min(max(1.0, q.sum() ** 2 / (q**2).sum() - 1), max(len(D) - len(parameters), 1))
    return parameters[-1], error, parameters[-1] / error, df
