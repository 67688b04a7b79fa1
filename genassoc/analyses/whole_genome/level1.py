"""What levels 1 of all outcomes share: products of predictors, ridge solutions, predictions a chromosome."""

from collections.abc import Sequence

import numpy as np

from genassoc.analyses.whole_genome.folds import Folds
from genassoc.shapes import Array, Float32Array, Float64Array

_ROWS = 8192  # of a product in float32; longer sums are added up in float64


def gram_of(X: Float32Array) -> Float64Array:
    """``X'X`` of X (n, P)."""
    total = np.zeros((X.shape[1], X.shape[1]))
    for at in range(0, X.shape[0], _ROWS):
        part = X[at : at + _ROWS]
        total += part.T @ part
    return total


def solve_ridge(gram: Float64Array, product: Float64Array, penalties: Float64Array) -> Float64Array:
    """``(gram + penalty)^-1 product`` of each penalty, (P, L)."""
    from scipy.linalg import cho_factor, cho_solve

    beta = np.empty((product.size, penalties.size))
    diagonal = np.diag_indices_from(gram)
    for j, penalty in enumerate(penalties):
        penalised = gram.copy()
        penalised[diagonal] += penalty
        beta[:, j] = cho_solve(cho_factor(penalised, lower=True, overwrite_a=True, check_finite=False), product)
    return beta


def by_chromosome(
    X: Float32Array, folds: Folds, coefficients: Sequence[Float64Array], chromosomes: Sequence[slice]
) -> Float64Array:
    """What each chromosome's predictors add to the prediction of each sample, (H, n), by the coefficients (P,) of its fold."""
    found = np.empty((len(chromosomes), X.shape[0]))
    for (a, b), beta in zip(folds.segments, coefficients):
        for h, columns in enumerate(chromosomes):
            found[h, a:b] = X[a:b, columns] @ beta[columns].astype(np.float32)
    return found


def standardise_columns(X: Float32Array) -> Array:
    """Bring each column of X (n, P) to mean 0 and variance 1, in place; of a column without variance zeros are left. The mask of those (P,)."""
    n = X.shape[0]
    mean = X.mean(axis=0, dtype=np.float64)
    X -= mean.astype(np.float32)
    squares = np.einsum("ip,ip->p", X, X, dtype=np.float64)
    largest = squares.max(initial=0.0)
    flat = squares <= 1e-12 * largest
    X *= np.where(flat, 0.0, 1.0 / np.sqrt(np.where(flat, 1.0, squares / max(n - 1, 1)))).astype(np.float32)
    return flat
