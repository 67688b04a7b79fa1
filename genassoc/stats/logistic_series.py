"""The log likelihood of covariates about a trait's null, as a power series of the coefficients to the fourth order.

With x_i the covariates of sample i and mu_i its fitted probability, w = mu (1 - mu), the derivatives of the logistic log
likelihood are sums of ``y - mu``, ``-w``, ``-w (1 - 2 mu)`` and ``-w (1 - 6 w)`` times products of the x (McCullagh & Nelder
1989, chapter 4). Variants whose missing calls move the null a little read it from here, and not from all samples.
"""

import numpy as np

from genassoc.kernels.likelihoods.logistic_null_series import NullSeries
from genassoc.shapes import Float64Array

MAX_COVARIATES = 20  # the fourth order has C^4 / 4 numbers: 350 KB at 20
SAMPLES_AT_ONCE = 4096
# As NO_WEIGHT of the rows, with room: samples that the null fits perfectly are treated there.
LEAST_WEIGHT = 1e-7


def null_series(X: Float64Array, y: Float64Array, offset: Float64Array, nulls: tuple[Float64Array, ...]) -> NullSeries:
    """Expand about each of two nulls (C,); X (n, C), y and offset (n,)."""
    C = X.shape[1]
    many = C > MAX_COVARIATES
    size = 1 if many else C
    gradient, information = np.zeros((2, size)), np.zeros((2, size, size))
    Q = size * (size + 1) // 2
    third, fourth = np.zeros((2, size, Q)), np.zeros((2, Q, Q))
    reach = np.full(2, np.inf)
    for k, coefficients in enumerate(nulls):
        if many or not len(y):
            continue
        g, H, T3, T4, least = _derivatives(X, y, offset, coefficients)
        gradient[k], information[k], third[k], fourth[k] = g, H, T3, T4
        if least > LEAST_WEIGHT and np.linalg.matrix_rank(H) == C:
            # (x' d)^2 <= (x' H^-1 x) (d' H d)
            reach[k] = np.sqrt((np.linalg.solve(np.linalg.cholesky(H), X.T) ** 2).sum(axis=0).max())
    return NullSeries(np.stack(nulls), gradient, information, third, fourth, reach)


def _derivatives(
    X: Float64Array, y: Float64Array, offset: Float64Array, coefficients: Float64Array
) -> tuple[Float64Array, Float64Array, Float64Array, Float64Array, float]:
    C = X.shape[1]
    left, right = np.tril_indices(C)
    g, H = np.zeros(C), np.zeros((C, C))
    T3, T4 = np.zeros((C, left.size)), np.zeros((left.size, left.size))
    least = np.inf
    for first in range(0, len(y), SAMPLES_AT_ONCE):
        x = X[first : first + SAMPLES_AT_ONCE]
        eta = offset[first : first + SAMPLES_AT_ONCE] + x @ coefficients
        small = np.exp(-np.abs(eta))
        mu = np.where(eta >= 0, 1.0, small) / (1.0 + small)
        w = small / (1.0 + small) ** 2
        pairs = x[:, left] * x[:, right]
        g += (y[first : first + SAMPLES_AT_ONCE] - mu) @ x
        H += (x * w[:, None]).T @ x
        T3 += (x * (w * (1.0 - 2.0 * mu))[:, None]).T @ pairs
        T4 += (pairs * (w * (1.0 - 6.0 * w))[:, None]).T @ pairs
        least = min(least, float(w.min()))
    return g, H, T3, T4, least
