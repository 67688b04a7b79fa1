"""One linear regression on one or two columns of genotypes, fitted afresh: for rows in which sums cancel."""

from dataclasses import dataclass

import numpy as np

from genassoc.kernels.likelihoods import interaction as kernel
from genassoc.shapes import Float64Array
from genassoc.stats.linalg import orthonormal_basis

_ROUNDING = 1e-26  # shares of squared length below which nothing but float64 rounding is left
_COLLINEAR = 1e-14  # R's lm: 1e-7 of the length
_PERFECT = 1e-24


@dataclass(frozen=True)
class FreshFit:
    """Numbers (N_NUMBERS,) as `genassoc.kernels.likelihoods.interaction` gives them, degrees of freedom, and the row's code."""

    numbers: Float64Array
    freedom: float
    code: str | None


def fit_afresh(H: Float64Array, X: Float64Array, r: Float64Array, robust: bool) -> FreshFit:
    """Regress r (n,) on H (n, D), D 1 or 2, and the columns of X (n, C), the constant first; HC3 where ``robust``."""
    basis = orthonormal_basis(X)
    D = H.shape[1]
    freedom = float(r.size - basis.Q.shape[1] - D)
    nothing = np.full(kernel.N_NUMBERS, np.nan)
    if freedom < 1:
        return FreshFit(nothing, freedom, "n_too_small")
    U, rest = H - H.mean(axis=0), r - r.mean()
    lengths = (U**2).sum(axis=0)
    for _ in range(2):
        U, rest = U - basis.Q @ (basis.Q.T @ U), rest - basis.Q @ (basis.Q.T @ rest)
    if rest @ rest <= _ROUNDING * (r @ r):
        return FreshFit(nothing, freedom, "no_residual_variance")
    q, triangle = np.linalg.qr(U)
    if (np.diag(triangle) ** 2 <= _COLLINEAR * lengths).any():
        return FreshFit(nothing, freedom, "collinear")
    theta = np.linalg.solve(triangle, q.T @ rest)
    residual = rest - U @ theta
    if residual @ residual <= _PERFECT * (rest @ rest):
        return FreshFit(nothing, freedom, "perfect_fit")
    inverse = np.linalg.inv(triangle)
    covariance = (residual @ residual / freedom) * inverse @ inverse.T
    if robust:
        slack = 1.0 - (basis.Q**2).sum(axis=1) - (q**2).sum(axis=1)
        if slack.min() <= kernel.LEAST_SLACK:
            return FreshFit(nothing, freedom, "leverage_of_one")
        influence = (q @ inverse.T) * (residual / slack)[:, None]
        covariance = influence.T @ influence
    F = float(theta @ np.linalg.solve(covariance, theta)) / D
    both = np.zeros(2)
    both[:D] = theta
    full = np.zeros((2, 2))
    full[:D, :D] = covariance
    numbers = np.array([*both, full[0, 0], full[0, 1], full[1, 1], F])
    return FreshFit(numbers, freedom, None if basis.kept.all() else "covariate_collinear")
