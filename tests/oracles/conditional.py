"""Conditional logistic regression by listing every choice of the cases of each set."""

from functools import cache
from itertools import combinations, pairwise

import numpy as np


@cache
def listed(M, m):
    """All choices of m of M, (n_choices, M) as 0 and 1."""
    return np.array([np.isin(np.arange(M), chosen) for chosen in combinations(range(M), m)]) * 1.0


def choices(y, pointers):
    """For each set with cases and controls: its first sample, all choices (n_choices, M) as 0 and 1, which was made."""
    found = []
    for first, last in pairwise(pointers):
        M, m = last - first, int(y[first:last].sum())
        if 0 < m < M:
            every = listed(M, m)
            found.append((first, every, int(np.flatnonzero((every == y[first:last]).all(axis=1))[0])))
    return found


def conditional_likelihood(D, y, pointers, beta, offset=None):
    """Log likelihood, gradient and information."""
    total, gradient, J = 0.0, np.zeros(D.shape[1]), np.zeros((D.shape[1], D.shape[1]))
    for first, every, made in choices(y, pointers):
        own = slice(first, first + every.shape[1])
        x = every @ D[own]
        eta = x @ beta + (0.0 if offset is None else every @ offset[own])
        p = np.exp(eta - eta.max())
        total += eta[made] - eta.max() - np.log(p.sum())
        p /= p.sum()
        gradient += x[made] - p @ x
        J += (x - p @ x).T @ (p[:, None] * (x - p @ x))
    return total, gradient, J


def fit(D, y, pointers, offset=None, iterations=60):
    """Coefficients at the maximum, by Newton's steps, halved until the likelihood does not fall."""
    beta = np.zeros(D.shape[1])
    for _ in range(iterations):
        at, gradient, J = conditional_likelihood(D, y, pointers, beta, offset)
        step = np.linalg.solve(J, gradient)
        while np.abs(step).max() > 1e-7 and conditional_likelihood(D, y, pointers, beta + step, offset)[0] < at:
            step = step / 2
        beta = beta + step
    return beta


def exact_neg_log_p(g, y, pointers, eta):
    """-ln p of the alleles among the cases: the law of their sum over all choices of all sets."""
    law, seen = {0: 1.0}, 0
    for first, every, made in choices(y, pointers):
        M = every.shape[1]
        p = np.exp(every @ eta[first : first + M])
        copies = every @ g[first : first + M]
        seen += int(copies[made])
        grown = {}
        for t, chance in law.items():
            for more, own in zip(copies, p / p.sum()):
                grown[t + int(more)] = grown.get(t + int(more), 0.0) + chance * own
        law = grown
    mean = sum(t * chance for t, chance in law.items())
    far = abs(seen - mean) * (1 - 1e-9)
    return -np.log(sum(chance for t, chance in law.items() if abs(t - mean) >= far))


def centre_in_sets(D, y, pointers):
    """Columns less their means in each set; 0 in sets without a case or without a control."""
    out = np.zeros(D.shape)
    for first, every, _ in choices(y, pointers):
        own = D[first : first + every.shape[1]]
        out[first : first + every.shape[1]] = own - own.mean(axis=0)
    return out


def analyse_rows(X, y, set_of, g, what, offset=None):
    """beta, standard error and signed statistic of g given covariates X without a constant; NaN in g is left out."""
    keep = ~np.isnan(g)
    order = np.argsort(set_of[keep], kind="stable")
    offset = None if offset is None else offset[keep][order]
    X, y, g, set_of = X[keep][order], y[keep][order], g[keep][order], set_of[keep][order]
    pointers = np.concatenate([np.flatnonzero(np.diff(set_of, prepend=-1)), [len(g)]])
    D = np.column_stack([X, g])
    null = np.concatenate([fit(X, y, pointers, offset) if X.shape[1] else np.zeros(0), [0.0]])
    at_null, gradient, J = conditional_likelihood(D, y, pointers, null, offset)
    if what == "score":
        spread = 1 / np.linalg.inv(J)[-1, -1]
        return gradient[-1] / spread, 1 / np.sqrt(spread), gradient[-1] / np.sqrt(spread)
    beta = fit(D, y, pointers, offset)
    top, _, J = conditional_likelihood(D, y, pointers, beta, offset)
    error = np.sqrt(np.linalg.inv(J)[-1, -1])
    if what == "wald":
        return beta[-1], error, beta[-1] / error
    return beta[-1], error, np.sign(beta[-1]) * np.sqrt(2 * (top - at_null))
