"""Slow obvious twins of `genassoc.kernels.genotypes.set_scores`: dense matrices of genotypes (m, N)."""

import numpy as np

from . import glm, ordinal


def count_entries(codes, flipped, members):
    """Calls that are no two copies of the other allele among some samples (N,): (V,)."""
    return len_each(list_entries(codes, flipped, members))


def len_each(lists):
    """Length of each list."""
    return np.array([len(one) for one in lists])


def list_entries(codes, flipped, members, haploid=None, single=None):
    """(sample, whether one copy counts as two, what it counts) of each variant; None where the call is missing."""
    lists = []
    for v, row in enumerate(codes):
        found = []
        for i in np.flatnonzero(members):
            alone = single is not None and bool(single[i])
            two = 1 if alone else 2
            if row[i] == (2 if flipped[v] else 0):
                continue
            copies = None if row[i] == 3 else float(two - row[i] if flipped[v] else row[i])
            found.append((int(i), not alone and haploid is not None and bool(haploid[v, i]), copies))
        lists.append(found)
    return lists


def list_row_entries(G):
    """(sample, what it counts) of each row G (R, n), None where it is NaN."""
    return [[(i, None if np.isnan(g) else g) for i, g in enumerate(row) if np.isnan(g) or g > 0] for row in G]


def count_row_entries(G):
    """How many there are, (R,)."""
    return len_each(list_row_entries(G))


def imputed(G):
    """NaN replaced by the mean of the row's others."""
    counts = np.maximum((~np.isnan(G)).sum(axis=1), 1)
    return np.where(np.isnan(G), (np.nansum(G, axis=1) / counts)[:, None], G)


def sum_set(G, residual, weight, cross):
    """U (T, m) and V (m, m) of genotypes G (m, n), residuals (T, n), weights (n,) and M (n, C)."""
    G = imputed(G)
    taken = G @ cross
    return residual @ G.T, G @ np.diag(weight) @ G.T - taken @ taken.T


def count_any(G, events):
    """Samples, and samples with the event (n,), that carry half a copy of any variant."""
    any_of = (np.nan_to_num(G) >= 0.5).any(axis=0)
    return int(any_of.sum()), int((any_of & events).sum())


def efficient(J, n_tested):
    """Information of the first parameters, the others eliminated."""
    a, rest = J[:n_tested, n_tested:], J[n_tested:, n_tested:]
    return J[:n_tested, :n_tested] - a @ np.linalg.solve(rest, a.T)


def linear(G, X, y):
    """U and V of a regression of y (n,) on X (n, C): over the residual variance of n - C degrees of freedom."""
    G = imputed(G)
    residual = y - X @ np.linalg.lstsq(X, y, rcond=None)[0]
    variance = residual @ residual / (len(y) - np.linalg.matrix_rank(X))
    D = np.column_stack([G.T, X])
    return G @ residual / variance, efficient(D.T @ D, len(G)) / variance


def generalised(family, G, X, y, offset, alpha=0.0, quasi=False):
    """U and V of a binary trait, of counts, or of counts with an alpha, by the canonical or log link's information."""
    G = imputed(G)
    if family == "negative_binomial":
        mu, slope = _with_alpha(X, y, offset, alpha)
        residual, w = (y - mu) * slope, mu * slope
    else:
        _, mu, w = glm.fit(family, X, y, offset)
        residual = y - mu
    phi = np.sum((y - mu) ** 2 / w) / (len(y) - X.shape[1]) if quasi else 1.0
    D = np.column_stack([G.T, X])
    return G @ residual / phi, efficient(D.T @ (w[:, None] * D), len(G)) / phi


def _with_alpha(X, y, offset, alpha):
    beta = np.linalg.lstsq(X, np.full(len(y), np.log(y.mean())) - offset, rcond=None)[0]
    for _ in range(200):
        mu = np.exp(X @ beta + offset)
        slope = 1 / (1 + alpha * mu)
        beta = beta + np.linalg.solve(X.T @ ((mu * slope)[:, None] * X), X.T @ ((y - mu) * slope))
    mu = np.exp(X @ beta + offset)
    return mu, 1 / (1 + alpha * mu)


def ordered(G, X, level, offset):
    """U and V of ordered levels, by the expected information of thresholds and coefficients; X (n, C) without a constant.

    The offset is a column whose coefficient is held at 1.
    """
    G, M = imputed(G), int(level.max())
    n_fixed, D = X.shape[1], np.column_stack([X, offset])
    parameters = np.concatenate([ordinal.start_thresholds(level, M), np.zeros(n_fixed), [1.0]])
    free = np.arange(M + n_fixed)
    for _ in range(100):
        J = ordinal.expected_information(D, parameters, M)[np.ix_(free, free)]
        parameters[free] += np.linalg.solve(J, ordinal.gradient(D, level, parameters, M).sum(axis=0)[free])
    D, parameters = np.column_stack([D, G.T]), np.append(parameters, np.zeros(len(G)))
    U = ordinal.gradient(D, level, parameters, M).sum(axis=0)[M + n_fixed + 1 :]
    order = np.concatenate([np.arange(M + n_fixed + 1, len(parameters)), free])
    J = ordinal.expected_information(D, parameters, M)[np.ix_(order, order)]
    return U, efficient(J, len(G))
