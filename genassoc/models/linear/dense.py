"""One linear regression fitted afresh on its complete cases: for rows in which sums over all samples cancel."""

from dataclasses import dataclass

import numpy as np

from genassoc.kernels.likelihoods import linear_rows as kernel
from genassoc.shapes import BoolArray, Float64Array, Int64Array
from genassoc.stats.linalg import orthonormal_basis

# Shares of squared length below which nothing but float64 rounding (1e-16 of the length) is left.
_ROUNDING = 1e-26
_COLLINEAR = 1e-14  # R's lm: 1e-7 of the length
_PERFECT = 1e-24


@dataclass(frozen=True)
class DenseFit:
    """beta, standard error, t, degrees of freedom and code of one row, as `genassoc.kernels.likelihoods.linear_rows.finish` gives."""

    beta: float
    standard_error: float
    t: float
    df: float
    code: int


def dense_fit(g: Float64Array, X: Float64Array, r: Float64Array) -> DenseFit:
    """Regress r (n,) on g (n,) and the columns of X (n, C), the constant first.

    Residuals by projection on an orthonormal basis, twice: relative errors of 1e-16 of the lengths, where sums over
    more samples with some taken out again lose what the others outweigh.
    """
    basis = orthonormal_basis(X)
    freedom = g.size - basis.Q.shape[1] - 1

    def none(code: int, beta: float = np.nan) -> DenseFit:
        return DenseFit(beta, np.nan, np.nan, freedom, code)

    if freedom < 1:
        return none(kernel.N_TOO_SMALL)
    g_left, r_left = _residuals(g, basis.Q), _residuals(r, basis.Q)
    if r_left @ r_left <= _ROUNDING * (r @ r):
        return none(kernel.NO_RESIDUAL_VARIANCE)
    information = float(g_left @ g_left)
    centred = g - g.mean()
    if information <= _COLLINEAR * (centred @ centred):
        return none(kernel.COLLINEAR)
    beta = float(g_left @ r_left) / information
    rest = r_left - beta * g_left
    if rest @ rest <= _PERFECT * (r_left @ r_left):
        return none(kernel.PERFECT_FIT, beta)
    error = float(np.sqrt(rest @ rest / (freedom * information)))
    return DenseFit(beta, error, beta / error, freedom, kernel.FINE if basis.kept.all() else kernel.COVARIATE_COLLINEAR)


def _residuals(column: Float64Array, Q: Float64Array) -> Float64Array:
    rest = column - column.mean()
    for _ in range(2):
        rest = rest - Q @ (Q.T @ rest)
    return np.asarray(rest)


def fit_row(g: Float64Array, Q: Float64Array, r: Float64Array, columns: Int64Array, impute: bool) -> DenseFit:
    """`dense_fit` on the observed of g (n,), or on all with the mean in place of those missing."""
    observed: BoolArray = ~np.isnan(g)
    if impute:
        return dense_fit(np.where(observed, g, g[observed].mean()), Q[columns], r[columns])
    return dense_fit(g[observed], Q[columns[observed]], r[columns[observed]])
