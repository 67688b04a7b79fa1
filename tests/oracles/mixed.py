"""Slow twins of `genassoc.kernels.likelihoods.mixed`, and mixed models by dense matrices: inverses and determinants, no eigenvalues."""

import numpy as np
from scipy.optimize import brentq
from scipy.stats import chi2
from scipy.stats import t as student

POINTS = np.linspace(np.log(1e-5), np.log(1e5), 41)


def _minus_twice(u, y, X, K, reml):
    """Minus twice the log likelihood at ln ratio u, but for a constant; beta and squares beside it."""
    H = np.exp(u) * K + np.eye(y.size)
    inverse = np.linalg.inv(H)
    A = X.T @ inverse @ X
    b = np.linalg.solve(A, X.T @ inverse @ y)
    r = y - X @ b
    squares = float(r @ inverse @ r)
    logs = np.linalg.slogdet(H)[1]
    q = y.size
    if reml:
        logs, q = logs + np.linalg.slogdet(A)[1], q - X.shape[1]
    return logs + q * np.log(squares), b, A, squares


def maximum(y, X, K, reml):
    """ln ratio of the highest maximum, by the sign of differences of the likelihood between points."""

    def slope(u):
        return _minus_twice(u + 1e-5, y, X, K, reml)[0] - _minus_twice(u - 1e-5, y, X, K, reml)[0]

    slopes = [slope(u) for u in POINTS]
    found = [POINTS[0]] if slopes[0] >= 0 else []
    found += [
        brentq(slope, a, b, xtol=1e-9) for a, b, s, t in zip(POINTS, POINTS[1:], slopes, slopes[1:]) if s < 0 <= t
    ]
    found += [POINTS[-1]] if slopes[-1] < 0 else []
    return min(found, key=lambda u: _minus_twice(u, y, X, K, reml)[0])


def mixed_row(y, X, g, K):
    """Beta, its standard error, -log10 p by Wald's t and by the likelihood ratio, and ln ratio; K is scaled and centred here."""
    n = y.size
    centre = np.eye(n) - 1.0 / n
    K = centre @ K @ centre
    K = K * n / np.trace(K)
    D = np.column_stack([X, g])
    u = maximum(y, D, K, True)
    _, b, A, squares = _minus_twice(u, y, D, K, True)
    df = n - D.shape[1]
    error = np.sqrt(squares / df * np.linalg.inv(A)[-1, -1])
    values = [_minus_twice(maximum(y, columns, K, False), y, columns, K, False)[0] for columns in (X, D)]
    gain = max(values[0] - values[1], 0.0)
    wald = -np.log10(2.0 * student.sf(abs(b[-1] / error), df))
    return float(b[-1]), float(error), float(wald), float(-np.log10(chi2.sf(gain, 1))), float(u)


def mixed_rows(gammas, squares, of_gamma, of_both, reml, ml, numbers, status):
    """Rows in the rotated basis, where K is diagonal: the dense maximum of each."""
    K = np.diag(reml.d)
    none = np.zeros((reml.d.size, 0))
    for v, gamma in enumerate(gammas):
        numbers[v] = np.nan
        if not gamma @ gamma > 1e-12 * squares[v]:
            status[v] = 1
            continue
        column = gamma[:, None]
        u = maximum(reml.eta, column, K, True)
        _, b, A, left = _minus_twice(u, reml.eta, column, K, True)
        numbers[v, :3] = b[0], np.sqrt(left / (reml.d.size - 1) / A[0, 0]), u
        if ml.all_d.size:
            found = []
            for columns in (none, column):
                # only determinants are of all samples
                def value(u, columns=columns):
                    left = _minus_twice(u, ml.eta, columns, K, False)[3]
                    logs = np.log(np.exp(u) * ml.all_d + 1.0).sum()
                    return logs + ml.all_d.size * np.log(left)

                near = np.linspace(POINTS[0], POINTS[-1], 4001)
                best = near[int(np.argmin([value(u) for u in near]))]
                fine = np.linspace(best - 0.01, best + 0.01, 2001)
                found.append(min(value(u) for u in fine))
            numbers[v, 3] = max(found[0] - found[1], 0.0)
        status[v] = 0
