"""Whole-genome ridge regression of one trait, dense and in float64: every fit is made anew, none by downdates or leverages."""

import numpy as np

H2 = (0.01, 0.25, 0.5, 0.75, 0.99)


def project(X, Y):
    """What least squares on the columns of X leave of the columns of Y."""
    return Y - X @ np.linalg.lstsq(X, Y, rcond=None)[0]


def standardise(codes, X):
    """Calls (V, n), 3 where not observed, as (n, V): mean-imputed, residuals on X (n, C), of variance 1 over n - C; those without variance are left out."""
    columns = []
    for row in codes.astype(float):
        row[row == 3] = np.nan
        if np.isnan(row).all() or np.nanmin(row) == np.nanmax(row):
            continue
        row = np.where(np.isnan(row), np.nanmean(row), row)
        left = project(X, row)
        if left @ left > 1e-5 * (row - row.mean()) @ (row - row.mean()):
            columns.append(left / np.sqrt(left @ left / (len(row) - np.linalg.matrix_rank(X))))
    return np.stack(columns, axis=1) if columns else np.zeros((codes.shape[1], 0))


def ridge(A, y, penalty):
    """Coefficients by the normal equations of a stack: no Gram matrix of ours enters."""
    P = A.shape[1]
    stacked = np.vstack([A, np.sqrt(penalty) * np.eye(P)])
    return np.linalg.lstsq(stacked, np.concatenate([y, np.zeros(P)]), rcond=None)[0]


def without(folds, k, n):
    """Samples outside fold k."""
    inside = np.zeros(n, dtype=bool)
    inside[folds[k]] = True
    return np.flatnonzero(~inside)


def out_of_fold(A, y, penalty, folds):
    """Predictions of each fold's samples, and the coefficients that gave them."""
    predicted, coefficients = np.empty(len(y)), []
    for k, fold in enumerate(folds):
        rest = without(folds, k, len(y))
        beta = ridge(A[rest], y[rest], penalty)
        predicted[fold] = A[fold] @ beta
        coefficients.append(beta)
    return predicted, coefficients


def predictors(blocks, y, X, folds, observed, M):
    """Level 0: columns of level 1 (n, B * 5) in float64, of mean 0 and variance 1 among the observed, who alone are returned."""
    G = [standardise(codes, X) for codes in blocks]
    columns = []
    for block in G:
        for h2 in H2:
            column = out_of_fold(block, y, M * (1 - h2) / h2, folds)[0][observed]
            column = column - column.mean()
            columns.append(column / np.sqrt(column @ column / (len(column) - 1)))
    return np.stack(columns, axis=1)


def working(y, X):
    """Residuals over their standard deviation; 0 where y is missing."""
    observed = ~np.isnan(y)
    left = project(X[observed], y[observed])
    out = np.zeros(len(y))
    out[observed] = left / np.sqrt(left @ left / (observed.sum() - np.linalg.matrix_rank(X[observed])))
    return out


def loco(blocks, chromosome_of, y, X, folds, M):
    """Predictions without each chromosome, {chromosome: (n,)}; and the h2 whose penalty has the least squared error.

    Parameters
    ----------
    blocks : list of arrays (V, n)
        Codes 0, 1, 2, 3 of all samples that have covariates and any trait.
    y : array (n,)
        NaN where missing: there the trait takes its mean while blocks are fitted.
    folds : list of int arrays
        Samples of each.
    M : int
        Variants of all blocks.
    """
    observed = ~np.isnan(y)
    response = working(y, X)
    W = predictors(blocks, response, X, folds, observed, M)
    at = np.cumsum(observed) - 1
    inner = [at[fold[observed[fold]]] for fold in folds]
    target, P = response[observed], W.shape[1]
    found = [out_of_fold(W, target, P * (1 - h2) / h2, inner) for h2 in H2]
    best = int(np.argmin([np.mean((target - predicted) ** 2) for predicted, _ in found]))
    parts = {}
    for b, chromosome in enumerate(chromosome_of):
        part = parts.setdefault(chromosome, np.full(len(y), np.nan))
        for fold, beta in zip(inner, found[best][1]):
            rows, columns = np.flatnonzero(observed)[fold], slice(5 * b, 5 * b + 5)
            part[rows] = np.nan_to_num(part[rows]) + W[fold, columns] @ beta[columns]
    return {
        c: sum((part for other, part in parts.items() if other != c), np.where(observed, 0.0, np.nan)) for c in parts
    }, H2[best]


def logistic_ridge(A, y, offset, penalty):
    """Coefficients by Newton's method with the full Hessian at every step, halved where the penalised deviance rises."""
    beta = np.zeros(A.shape[1])

    def loss(b):
        eta = offset + A @ b
        return np.sum(np.logaddexp(0, eta) - y * eta) + 0.5 * penalty * b @ b

    for _ in range(200):
        p = 1 / (1 + np.exp(-(offset + A @ beta)))
        gradient = A.T @ (y - p) - penalty * beta
        if np.abs(gradient).max() < 1e-9:
            break
        step = np.linalg.solve((A.T * (p * (1 - p))) @ A + penalty * np.eye(len(beta)), gradient)
        while loss(beta + step) > loss(beta) + 1e-12:
            step = step / 2
        beta = beta + step
    return beta


def binary_loco(blocks, chromosome_of, y, X, folds, M):
    """As `loco`, of a trait of 0 and 1 that nobody lacks: logistic ridge on the predictors, with the covariates' fit as offset."""
    offset = X @ logistic_ridge(X, y, np.zeros(len(y)), 0.0)
    W = predictors(blocks, working(y, X), X, folds, np.ones(len(y), bool), M)
    P, losses, fits = W.shape[1], [], []
    for h2 in H2:
        coefficients, p = [], np.empty(len(y))
        for k, fold in enumerate(folds):
            rest = without(folds, k, len(y))
            beta = logistic_ridge(W[rest], y[rest], offset[rest], 3 / np.pi**2 * P * (1 - h2) / h2)
            p[fold] = 1 / (1 + np.exp(-(offset[fold] + W[fold] @ beta)))
            coefficients.append(beta)
        losses.append(-np.mean(y * np.log(p) + (1 - y) * np.log(1 - p)))
        fits.append(coefficients)
    best = int(np.argmin(losses))
    found = {}
    for chromosome in dict.fromkeys(chromosome_of):
        others = np.repeat([other != chromosome for other in chromosome_of], 5)
        found[chromosome] = np.empty(len(y))
        for fold, beta in zip(folds, fits[best]):
            found[chromosome][fold] = W[np.ix_(fold, others)] @ beta[others]
    return found, H2[best], losses[best]
