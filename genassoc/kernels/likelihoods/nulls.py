"""Tests of contrasts of D tested columns, and where their nulls are: the last of the columns ``H M`` held at 0, M a rotation."""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.likelihoods.cholesky import cholesky, solve_lower, solve_upper
from genassoc.shapes import Float64Array, Int64Array


class Tests(NamedTuple):
    """What is tested.

    Attributes
    ----------
    numbers : int64 array (T,)
        Which of the K tests each rotation is of.
    rotations : float64 array (T, D, D)
        Orthonormal; the test is of the last column of ``H M``.
    joint : int
        Which test is of all columns at once; -1 where there is none.
    """

    numbers: Int64Array
    rotations: Float64Array
    joint: int


@jit
def n_nulls(tests: Tests) -> int:
    """Nulls to fit: one a rotation, and that of the joint test."""
    return int(tests.numbers.size) + (1 if tests.joint >= 0 else 0)


@jit
def null_of(tests: Tests, k: int, D: int) -> tuple[int, Float64Array, int]:
    """Of the k-th null the number of its test, its rotation, and how many tested columns stay free."""
    if k == tests.numbers.size:
        return tests.joint, np.eye(D), 0
    return tests.numbers[k], tests.rotations[k], D - 1


@jit
def start_null(
    J: Float64Array, L: Float64Array, M: Float64Array, full: Float64Array, n_free: int, beta: Float64Array
) -> None:
    """Where the null is by the curvature at the whole maximum.

    Parameters
    ----------
    J : float64 array (P, P)
        The information there, of covariates and H.
    L : float64 array (P, P)
        Room.
    M : float64 array (D, D)
    full : float64 array (P,)
        The coefficients there.
    n_free : int
        Coefficients of covariates and ``H M`` from ``n_free`` on are 0.
    beta : float64 array (P,)
        Filled.
    """
    P, D = full.size, M.shape[0]
    C = P - D
    R = np.eye(P)
    for d in range(D):
        for e in range(D):
            R[C + d, C + e] = M[d, e]
    turned, middle = np.zeros((P, P)), np.zeros((P, P))
    for i in range(P):
        for j in range(P):
            for k in range(P):
                middle[i, j] += J[i, k] * R[k, j]
    for i in range(P):
        for j in range(P):
            for k in range(P):
                turned[i, j] += R[k, i] * middle[k, j]
    for j in range(P):
        beta[j] = 0.0
        for k in range(P):
            beta[j] += R[k, j] * full[k]
    right, half, move = np.zeros(P), np.empty(P), np.zeros(P)
    for i in range(n_free):
        for j in range(n_free, P):
            right[i] += turned[i, j] * beta[j]
    if not math.isnan(cholesky(turned, L, n_free)):
        solve_lower(L, right, half, n_free)
        solve_upper(L, half, move, n_free)
    for i in range(P):
        beta[i] = beta[i] + move[i] if i < n_free else 0.0


@jit
def covariance_of_tested(L: Float64Array, dispersion: float, covariance: Float64Array) -> None:
    """The last (D, D) of the inverse of the information, of which L (P, P) is the factor, times a dispersion."""
    P, D = L.shape[0], covariance.shape[0]
    unit, half, column = np.zeros(P), np.empty(P), np.empty(P)
    for d in range(D):
        unit[:] = 0.0
        unit[P - D + d] = 1.0
        solve_lower(L, unit, half, P)
        solve_upper(L, half, column, P)
        for e in range(D):
            covariance[e, d] = dispersion * column[P - D + e]
