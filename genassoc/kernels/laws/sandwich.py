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
from genassoc.kernels.likelihoods.logistic import solve_lower, solve_upper
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
def add_sample(i: int, reach: Float64Array, residual: float, expected: float, U: Float64Array, E: Float64Array) -> None:
    """What sample i adds to the errors (n, D) by its residual, and the expectations of the products (n, D (D + 1) / 2)."""
    at = 0
    for j in range(reach.size):
        U[i, j] = reach[j] * residual
        for k in range(j + 1):
            E[i, at] = reach[j] * reach[k] * expected
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
    S, L, factors = np.zeros((D, D)), np.zeros((D, D)), np.empty(E.shape[1])
    covariance[:, :] = 0.0
    for j in range(D):
        for k in range(j + 1):
            total, expected, at = 0.0, 0.0, j * (j + 1) // 2 + k
            for i in range(n):
                total += U[i, j] * U[i, k]
                expected += E[i, at]
            covariance[j, k] = covariance[k, j] = total
            S[j, k] = S[k, j] = expected
    if not _factor(covariance, L) or not _factor(S, L):
        return False
    for k in range(contrasts.shape[0]):
        joint, at = True, 0
        for a in range(D):
            joint = joint and contrasts[k, a] == 0.0
            for b in range(a + 1):
                factors[at] = (1.0 if a == b else 2.0) * contrasts[k, a] * contrasts[k, b]
                at += 1
        if joint:
            freedom[k] = max(1.0, min(_hotelling(E, L), most) - (D - 1.0))
            continue
        size, squares = 0.0, 0.0
        if D == 2:  # without a loop over the products: it would cost more than they
            f0, f1, f2 = factors[0], factors[1], factors[2]
            for i in range(n):
                q = f0 * E[i, 0] + f1 * E[i, 1] + f2 * E[i, 2]
                size += q
                squares += q * q
        else:
            for i in range(n):
                q = 0.0
                for at in range(factors.size):
                    q += factors[at] * E[i, at]
                size += q
                squares += q * q
        freedom[k] = max(1.0, min(size * size / squares - 1.0, most))
    return True


@jit
def _hotelling(E: Float64Array, L: Float64Array) -> float:
    """eta, less one degree for each coefficient; L is the factor of the sum of E."""
    D = L.shape[0]
    unit, half, inverse, A = np.zeros(D), np.empty(D), np.empty((D, D)), np.empty((D, D))
    for a in range(D):
        unit[:] = 0.0
        unit[a] = 1.0
        solve_lower(L, unit, half, D)
        solve_upper(L, half, inverse[a], D)
    squares = 0.0
    if D == 2:
        # Of 2 x 2 matrices tr(A A) = tr(A)^2 - 2 det A.
        determinant = inverse[0, 0] * inverse[1, 1] - inverse[0, 1] * inverse[1, 0]
        for i in range(E.shape[0]):
            trace = inverse[0, 0] * E[i, 0] + 2.0 * inverse[0, 1] * E[i, 1] + inverse[1, 1] * E[i, 2]
            squares += 2.0 * trace * trace - 2.0 * determinant * (E[i, 0] * E[i, 2] - E[i, 1] * E[i, 1])
        return 6.0 / squares - 2.0
    for i in range(E.shape[0]):
        trace = 0.0
        for a in range(D):
            for b in range(D):
                entry = 0.0
                for c in range(D):
                    entry += inverse[a, c] * E[i, max(b, c) * (max(b, c) + 1) // 2 + min(b, c)]
                A[a, b] = entry
            trace += A[a, a]
        squares += trace * trace
        for a in range(D):
            for b in range(D):
                squares += A[a, b] * A[b, a]
    return D * (D + 1.0) / squares - D
