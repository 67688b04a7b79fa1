"""Score tests of D columns at once, at a trait's null: from a block's sums over genotypes, or from the columns themselves.

With r and w the null's residuals and weights of samples, and A the information of the covariates ::

    U_d = sum_i h_id r_i - a_d'A^-1 b      I_de = sum_i w_i h_id h_ie - a_d'A^-1 a_e      a_d = sum_i w_i q_i h_id      b = sum_i q_i r_i

``U'I^-1 U`` is chi-squared with D degrees of freedom, and ``I^-1 U`` one Newton step towards the maximum.
"""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.laws.sandwich import WaldFits
from genassoc.kernels.likelihoods.cholesky import cholesky, solve_lower, solve_upper
from genassoc.kernels.likelihoods.rows import COLLINEAR, FINE, Missing
from genassoc.shapes import Float64Array

COLLINEAR_BELOW = 1e-9  # of a column's weighted squares: what is left of it decides nothing


class JointSums(NamedTuple):
    """Sums over the samples whose call is observed, of V variants.

    Attributes
    ----------
    residual : float64 array (V, D)
        Of r h_d.
    columns : float64 array (V, D, C)
        Of w q h_d.
    squares : float64 array (V, D, D)
        Of w h_d h_e.
    """

    residual: Float64Array
    columns: Float64Array
    squares: Float64Array


class JointNull(NamedTuple):
    """What a null says of the samples of a block (N,); zero for those without the trait.

    Attributes
    ----------
    WQ, Q : float64 arrays (N, C)
        Covariates orthonormal in the weights, times them and as they are.
    weight, residual : float64 arrays (N,)
    factors : float64 array (N, D)
        What one copy counts in each tested column.
    """

    WQ: Float64Array
    Q: Float64Array
    weight: Float64Array
    residual: Float64Array
    factors: Float64Array


class Quality(NamedTuple):
    """How far the scores of V variants are to be trusted.

    Attributes
    ----------
    kept : float64 array (V,)
        The smallest share of a column's weighted squares that the covariates and the columns before it leave.
    weakest : float64 array (V,)
        The smallest squared pivot of what missing calls leave of the covariates, 1 where none is missing.
    moved : float64 array (V,)
        Squared length, in standard errors, of the Newton step by which the null is corrected for missing calls.
    """

    kept: Float64Array
    weakest: Float64Array
    moved: Float64Array


@jit
def score_sums(
    sums: JointSums, missing: Missing, null: JointNull, mean: Float64Array, impute: bool, fits: WaldFits, quality: Quality
) -> None:  # fmt: skip
    """Scores of every variant, corrected for missing calls by one Newton step of the null.

    Parameters
    ----------
    sums
    missing
        Samples whose call is missing.
    null
    mean : float64 array (V,)
        With ``impute`` the copies a missing call counts, in place of the step.
    fits, quality
        Filled: theta, covariance and status, FINE or COLLINEAR.
    """
    V, D, C = sums.columns.shape
    A, L = np.empty((C, C)), np.zeros((C, C))
    b, x, z, U, total = np.empty(C), np.zeros(C), np.empty((D, C)), np.empty(D), np.empty((D, D))
    for v in range(V):
        first, last = missing.pointers[v], missing.pointers[v + 1]
        quality.weakest[v], quality.moved[v] = 1.0, 0.0
        for d in range(D):
            U[d] = sums.residual[v, d]
            for c in range(C):
                z[d, c] = sums.columns[v, d, c]
            for e in range(D):
                total[d, e] = sums.squares[v, d, e]
        if first < last and impute:
            for m in range(first, last):
                s = missing.indices[m]
                for d in range(D):
                    h = mean[v] * null.factors[s, d]
                    U[d] += h * null.residual[s]
                    for c in range(C):
                        z[d, c] += h * null.WQ[s, c]
                    for e in range(D):
                        total[d, e] += h * mean[v] * null.factors[s, e] * null.weight[s]
        elif first < last:
            for i in range(C):
                b[i] = 0.0
                for j in range(C):
                    A[i, j] = 1.0 if i == j else 0.0
            for m in range(first, last):
                s = missing.indices[m]
                for i in range(C):
                    b[i] -= null.Q[s, i] * null.residual[s]
                    for j in range(i + 1):
                        A[i, j] -= null.WQ[s, i] * null.Q[s, j]
            if math.isnan(cholesky(A, L, C)):
                quality.weakest[v] = 0.0
            else:
                solve_lower(L, b, x, C)
                for c in range(C):
                    quality.weakest[v] = min(quality.weakest[v], L[c, c] * L[c, c])
                    quality.moved[v] += x[c] * x[c]
                for d in range(D):
                    solve_lower(L, sums.columns[v, d], z[d], C)
                    for c in range(C):
                        U[d] -= z[d, c] * x[c]
        fits.status[v], quality.kept[v] = _step(
            z, U, total, quality.weakest[v] > 0.0, fits.theta[v], fits.covariance[v]
        )


@jit
def _step(
    z: Float64Array, U: Float64Array, total: Float64Array, sound: bool, theta: Float64Array, covariance: Float64Array
) -> tuple[int, float]:
    """``I^-1 U`` (D,) and ``I^-1`` (D, D) of ``I = total - z z'``; the status, and the least share of a column's squares left in I."""
    D, C = z.shape
    left, L = np.empty((D, D)), np.zeros((D, D))
    for d in range(D):
        for e in range(D):
            shared = 0.0
            for c in range(C):
                shared += z[d, c] * z[e, c]
            left[d, e] = total[d, e] - shared
    if not sound or math.isnan(cholesky(left, L, D)):
        return COLLINEAR, 0.0
    kept, unit, half, column = 1.0, np.zeros(D), np.empty(D), np.empty(D)
    for d in range(D):
        kept = min(kept, L[d, d] * L[d, d] / total[d, d])
        unit[:] = 0.0
        unit[d] = 1.0
        solve_lower(L, unit, half, D)
        solve_upper(L, half, column, D)
        theta[d] = 0.0
        for e in range(D):
            covariance[d, e] = column[e]
            theta[d] += column[e] * U[e]
    return FINE, kept


@jit
def score_columns(
    H: Float64Array, X: Float64Array, weight: Float64Array, residual: Float64Array, theta: Float64Array, covariance: Float64Array
) -> int:  # fmt: skip
    """The score test of one variant from its columns.

    Parameters
    ----------
    H : float64 array (D, n)
        Tested columns of samples that are all observed.
    X : float64 array (n, C)
        Covariates.
    weight, residual : float64 arrays (n,)
        Of the null of these samples.
    theta, covariance : float64 arrays (D,), (D, D)
        Filled.

    Returns
    -------
    status
        FINE or COLLINEAR.
    """
    D, n = H.shape
    C = X.shape[1]
    A, L = np.zeros((C, C)), np.zeros((C, C))
    a, z, U, total = np.zeros((D, C)), np.zeros((D, C)), np.zeros(D), np.zeros((D, D))
    for i in range(n):
        w = weight[i]
        for c in range(C):
            x = w * X[i, c]
            for k in range(c + 1):
                A[c, k] += x * X[i, k]
        for d in range(D):
            h = H[d, i]
            if h == 0.0:
                continue
            U[d] += h * residual[i]
            for c in range(C):
                a[d, c] += w * h * X[i, c]
            for e in range(D):
                total[d, e] += w * h * H[e, i]
    sound = not math.isnan(cholesky(A, L, C))
    if sound:
        for d in range(D):
            solve_lower(L, a[d], z[d], C)
    status, kept = _step(z, U, total, sound, theta, covariance)
    return status if kept > COLLINEAR_BELOW else COLLINEAR
