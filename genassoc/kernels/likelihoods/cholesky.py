"""Information, its lower factor, and the two triangular solves: of the few parameters of a model, so that plain loops are fastest."""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.shapes import Float64Array


@jit
def information(D: Float64Array, w: Float64Array, J: Float64Array) -> None:
    """``J = D' diag(w) D`` of D (N, P), lower triangle and its mirror."""
    N, P = D.shape
    for j in range(P):
        for k in range(P):
            J[j, k] = 0.0
    for i in range(N):
        for j in range(P):
            x = w[i] * D[i, j]
            for k in range(j + 1):
                J[j, k] += x * D[i, k]
    for j in range(P):
        for k in range(j):
            J[k, j] = J[j, k]


@jit
def cholesky(J: Float64Array, L: Float64Array, P: int) -> float:
    """Lower factor of the leading (P, P) of J into L; the log determinant, or NaN where J is singular."""
    log_determinant = 0.0
    for j in range(P):
        pivot = J[j, j]
        for m in range(j):
            pivot -= L[j, m] * L[j, m]
        # Relative to the entry it came from: what is left is rounding.
        if not pivot > 1e-14 * J[j, j] or J[j, j] <= 0.0:
            return np.nan
        root = math.sqrt(pivot)
        log_determinant += 2.0 * math.log(root)
        L[j, j] = root
        for i in range(j + 1, P):
            entry = J[i, j]
            for m in range(j):
                entry -= L[i, m] * L[j, m]
            L[i, j] = entry / root
    return log_determinant


@jit
def solve_lower(L: Float64Array, b: Float64Array, x: Float64Array, P: int) -> None:
    """``L x = b``."""
    for i in range(P):
        rest = b[i]
        for m in range(i):
            rest -= L[i, m] * x[m]
        x[i] = rest / L[i, i]


@jit
def solve_upper(L: Float64Array, b: Float64Array, x: Float64Array, P: int) -> None:
    """``L' x = b``."""
    for i in range(P - 1, -1, -1):
        rest = b[i]
        for m in range(i + 1, P):
            rest -= L[m, i] * x[m]
        x[i] = rest / L[i, i]
