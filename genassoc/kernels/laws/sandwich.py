"""Covariances of the coefficients of D tested columns, and how many degrees of freedom their contrasts have.

Sample i adds u_i to the errors of the estimates, so that a sandwich covariance is ``V = sum u_i u_i'``. Under the model
``E_i = E[u_i u_i']``: where few samples say much, V varies as if there were fewer of them. Of a contrast c, with ``q_i = c'E_i c``
(Bell & McCaffrey 2002, Survey Methodology 28:169) ::

    degrees = (sum q_i)^2 / sum q_i^2

Of all D at once ``Q = theta'V^-1 theta`` is Hotelling's with eta degrees (Pustejovsky & Tipton 2018, doi:10.1080/07350015.2016.1247004),
S = sum E_i ::

    eta = D (D + 1) / sum_i [tr(S^-1 E_i)^2 + tr(S^-1 E_i S^-1 E_i)]      (eta - D + 1) / (D eta) Q ~ F(D, eta - D + 1)

One degree is taken off for each coefficient that is tested.
"""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.likelihoods.logistic import solve_lower
from genassoc.shapes import BoolArray, Float64Array, Int64Array

# Whose covariance: Huber's and White's sandwich; that with residuals over 1 less their leverage; the likelihood's; the same times
# Pearson's dispersion.
HC0, HC3, MODEL, QUASI = 0, 1, 2, 3
LEAST_SLACK = 1e-8  # of 1 - h: below it a sample's residual is rounding
COLLINEAR_BELOW = 1e-12  # of a column's weighted squares (or information): what the columns before it leave
SINGULAR_BELOW = 1e-12  # of a variance in V: what the coefficients before it leave


class WaldFits(NamedTuple):
    """R rows fitted on D tested columns, with K contrasts of their coefficients.

    Attributes
    ----------
    theta : float64 array (R, D)
    covariance : float64 array (R, D, D)
    freedom : float64 array (R, K)
        Degrees of freedom of every contrast; infinite of a normal one.
    objective, dispersion : float64 arrays (R,)
        The log likelihood, and what multiplies the model's covariance.
    iterations, status : int64 arrays (R,)
    dropped : bool array (R,)
        Whether a covariate was a combination of others among the samples observed, and left out.
    """

    theta: Float64Array
    covariance: Float64Array
    freedom: Float64Array
    objective: Float64Array
    dispersion: Float64Array
    iterations: Int64Array
    status: Int64Array
    dropped: BoolArray


def room(R: int, D: int, K: int) -> WaldFits:
    """Room for a kernel to fill."""
    return WaldFits(
        np.full((R, D), np.nan), np.full((R, D, D), np.nan), np.full((R, K), np.nan), np.full(R, np.nan), np.ones(R),
        np.zeros(R, np.int64), np.zeros(R, np.int64), np.zeros(R, np.bool_),
    )  # fmt: skip


@jit
def observed(H: Float64Array) -> Int64Array:
    """Samples of a row's columns (D, n) that are observed: NaN in the first is NaN in all; without a column all of them."""
    who = np.empty(H.shape[1], np.int64)
    at = 0
    for i in range(H.shape[1]):
        if H.shape[0] == 0 or not math.isnan(H[0, i]):
            who[at] = i
            at += 1
    return who[:at].copy()


@jit
def put_columns(H: Float64Array, who: Int64Array, centred: bool, D: Float64Array) -> None:
    """The tested columns of some samples into the last of D (n, P), from the last to the first; less their means where asked."""
    P, n_tested = D.shape[1], H.shape[0]
    for d in range(n_tested):
        mean = 0.0
        if centred:
            for i in who:
                mean += H[d, i]
            mean /= who.size
        for at in range(who.size):
            D[at, P - 1 - d] = H[d, who[at]] - mean


@jit
def reaches(L: Float64Array, v: Float64Array, reach: Float64Array) -> None:
    """The tested entries of J^-1 d into ``reach`` (D,), the first tested column the last of P; v is ``L^-1 d``."""
    P = L.shape[0]
    for d in range(reach.size):
        j = P - 1 - d
        rest = v[j]
        for m in range(d):
            rest -= L[P - 1 - m, j] * reach[m]
        reach[d] = rest / L[j, j]


@jit
def model_covariance(L: Float64Array, dispersion: float, covariance: Float64Array) -> None:
    """The tested block of the inverse of the information, of which L is the factor, times a dispersion."""
    P, n_tested = L.shape[0], covariance.shape[0]
    unit, half, reach = np.zeros(P), np.empty(P), np.empty(n_tested)
    for d in range(n_tested):
        unit[:] = 0.0
        unit[P - 1 - d] = 1.0
        solve_lower(L, unit, half, P)
        reaches(L, half, reach)
        for k in range(n_tested):
            covariance[k, d] = dispersion * reach[k]


@jit
def add_sample(reach: Float64Array, residual: float, expected: float, U: Float64Array, E: Float64Array) -> None:
    """What one sample adds (D,) by its residual, and the expectations of the products (D (D + 1) / 2,), row by row."""
    at = 0
    for j in range(reach.size):
        U[j] = reach[j] * residual
        for k in range(j + 1):
            E[at] = reach[j] * reach[k] * expected
            at += 1


@jit
def _factor(V: Float64Array, L: Float64Array) -> bool:
    """The lower factor of V (D, D); whether it is positive definite beyond rounding."""
    for j in range(V.shape[0]):
        pivot = V[j, j]
        for m in range(j):
            pivot -= L[j, m] * L[j, m]
        if not pivot > SINGULAR_BELOW * V[j, j]:
            return False
        L[j, j] = math.sqrt(pivot)
        for i in range(j + 1, V.shape[0]):
            entry = V[i, j]
            for m in range(j):
                entry -= L[i, m] * L[j, m]
            L[i, j] = entry / L[j, j]
    return True


@jit
def sandwich_covariance(
    U: Float64Array, E: Float64Array, contrasts: Float64Array, most: float, covariance: Float64Array, freedom: Float64Array
) -> bool:  # fmt: skip
    """Fill the covariance (D, D) and the degrees of freedom of the contrasts (K,); whether it is positive definite.

    Parameters
    ----------
    U : float64 array (n, D)
        What samples add to the errors of the coefficients.
    E : float64 array (n, D (D + 1) / 2)
        The expectations of u_0 u_0, u_1 u_0, u_1 u_1, ...
    contrasts : float64 array (K, D)
        Zeros mean all coefficients at once, whose degrees are those of F's denominator.
    most : float
        Degrees of freedom are no more.
    """
    n, D = U.shape
    S, L = np.zeros((D, D)), np.zeros((D, D))
    covariance[:, :] = 0.0
    for i in range(n):
        at = 0
        for j in range(D):
            for k in range(j + 1):
                covariance[j, k] += U[i, j] * U[i, k]
                S[j, k] += E[i, at]
                at += 1
    for j in range(D):
        for k in range(j):
            covariance[k, j], S[k, j] = covariance[j, k], S[j, k]
    if not _factor(covariance, L) or not _factor(S, L):
        return False
    for k in range(contrasts.shape[0]):
        joint, size, squares = True, 0.0, 0.0
        for d in range(D):
            joint = joint and contrasts[k, d] == 0.0
        if joint:
            freedom[k] = max(1.0, min(_hotelling(E, L), most) - (D - 1.0))
            continue
        for i in range(n):
            q, at = 0.0, 0
            for a in range(D):
                for b in range(a + 1):
                    twice = 1.0 if a == b else 2.0
                    q += twice * contrasts[k, a] * contrasts[k, b] * E[i, at]
                    at += 1
            size += q
            squares += q * q
        freedom[k] = max(1.0, min(size * size / squares - 1.0, most))
    return True


@jit
def _hotelling(E: Float64Array, L: Float64Array) -> float:
    """eta, less one degree for each coefficient; L is the factor of the sum of E."""
    D = L.shape[0]
    A, B = np.empty((D, D)), np.empty((D, D))
    squares = 0.0
    for i in range(E.shape[0]):
        at = 0
        for a in range(D):
            for b in range(a + 1):
                A[a, b] = A[b, a] = E[i, at]
                at += 1
        # L^-1 E L^-T, row by row on both sides.
        for b in range(D):
            solve_lower(L, A[b], B[b], D)
        trace = 0.0
        for b in range(D):
            solve_lower(L, B[:, b], A[b], D)
            trace += A[b, b]
        squares += trace * trace
        for a in range(D):
            for b in range(D):
                squares += A[a, b] * A[a, b]
    return D * (D + 1.0) / squares - D
