"""One linear regression fitted afresh on its complete cases: for rows in which sums over all samples cancel."""

from dataclasses import dataclass

import numpy as np

from genassoc.kernels.likelihoods.linear_columns import LEAST_SLACK
from genassoc.shapes import Float64Array, Int64Array
from genassoc.stats.linalg import orthonormal_basis

# Shares of squared length below which nothing but float64 rounding (1e-16 of the length) is left.
_ROUNDING = 1e-26
_COLLINEAR = 1e-14  # R's lm: 1e-7 of the length
_PERFECT = 1e-24


@dataclass(frozen=True)
class DenseFit:
    """Coefficients (D,) and covariance (D, D) of the columns tested, F of all of them, degrees of freedom, and the row's code."""

    theta: Float64Array
    covariance: Float64Array
    F: float
    df: float
    code: str | None

    @property
    def standard_error(self) -> float:
        """Of the first column."""
        return float(np.sqrt(self.covariance[0, 0]))

    @property
    def t(self) -> float:
        """Of the first column."""
        return float(self.theta[0]) / self.standard_error


def dense_fit(H: Float64Array, X: Float64Array, y: Float64Array, robust: bool = False) -> DenseFit:
    """Regress y (n,) on the columns tested H (n, D) and those of X (n, C), the constant first; HC3 where ``robust``.

    Residuals by projection on an orthonormal basis, twice: relative errors of 1e-16 of the lengths, where sums over
    more samples with some taken out again lose what the others outweigh.
    """
    basis = orthonormal_basis(X)
    D = H.shape[1]
    df = float(y.size - basis.Q.shape[1] - D)
    theta, covariance = np.full(D, np.nan), np.full((D, D), np.nan)

    def without_estimate(code: str) -> DenseFit:
        return DenseFit(theta, covariance, np.nan, df, code)

    if df < 1:
        return without_estimate("n_too_small")
    U, rest = H - H.mean(axis=0), y - y.mean()
    lengths = (U**2).sum(axis=0)
    for _ in range(2):
        U, rest = U - basis.Q @ (basis.Q.T @ U), rest - basis.Q @ (basis.Q.T @ rest)
    if rest @ rest <= _ROUNDING * (y @ y):
        return without_estimate("no_residual_variance")
    q, triangle = np.linalg.qr(U)
    if (np.diag(triangle) ** 2 <= _COLLINEAR * lengths).any():
        return without_estimate("collinear")
    along = q.T @ rest
    theta = np.linalg.solve(triangle, along)
    residual = rest - U @ theta
    if residual @ residual <= _PERFECT * (rest @ rest):
        return without_estimate("perfect_fit")
    inverse = np.linalg.inv(triangle)
    variance = float(residual @ residual) / df
    covariance, F = variance * inverse @ inverse.T, float(along @ along) / variance / D
    if robust:
        slack = 1.0 - (basis.Q**2).sum(axis=1) - (q**2).sum(axis=1)
        if slack.min() <= LEAST_SLACK:
            return DenseFit(np.full(D, np.nan), np.full((D, D), np.nan), np.nan, df, "leverage_of_one")
        influence = (q @ inverse.T) * (residual / slack)[:, None]
        covariance = influence.T @ influence
        F = float(theta @ np.linalg.solve(covariance, theta)) / D
    return DenseFit(theta, covariance, F, df, None if basis.kept.all() else "covariate_collinear")


def fit_row(g: Float64Array, Q: Float64Array, r: Float64Array, columns: Int64Array, impute: bool) -> DenseFit:
    """`dense_fit` of the samples ``columns`` (n,) on the observed of g (n,), or on all with the mean in place of those missing."""
    observed = ~np.isnan(g)
    if impute:
        return dense_fit(np.where(observed, g, g[observed].mean())[:, None], Q[columns], r[columns])
    return dense_fit(g[observed, None], Q[columns[observed]], r[columns[observed]])
