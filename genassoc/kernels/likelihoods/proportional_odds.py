"""The score test of proportional odds of one column: whether its effect is the same at every threshold.

    P(level <= m) = F(theta_m - x a - g b_m)        b_0 = b_1 = ... = b

With I the expected information of the thresholds (tridiagonal), b_m has -g times theta_m's score, and g times its
information with everything else. At the maximum under one b, chi-squared is ``s'J^-1 s`` with K - 2 degrees of freedom
(Peterson & Harrell 1990, doi:10.2307/2347760, of one column; all columns at once are SAS's test).
"""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.likelihoods.logistic import cholesky, solve_lower
from genassoc.kernels.likelihoods.ordinal_terms import Levels, room_of, sample_terms
from genassoc.shapes import Float64Array


@jit
def proportional_odds_chi2(D: Float64Array, levels: Levels, parameters: Float64Array) -> float:
    """Chi-squared, M - 1 degrees of freedom, of the last column of D; NaN with one threshold or where it cannot be had.

    Parameters
    ----------
    D : float64 array (n, P)
        Covariates without a constant, then g.
    levels : Levels
    parameters : float64 array (M + P,)
        The maximum under proportional odds: thresholds, then coefficients.
    """
    M = levels.M
    if M < 2:
        return np.nan
    n, P = D.shape
    C, B = P - 1, M + P - 1
    A = B + M
    J, L, score, half = np.zeros((A, A)), np.zeros((A, A)), np.zeros(A), np.empty(A)
    room = room_of(M)
    c, diagonal, beside, slope = room.c, room.diagonal, room.beside, room.slope
    for i in range(n):
        eta = levels.offset[i]
        for j in range(P):
            eta += D[i, j] * parameters[M + j]
        sample_terms(parameters[:M], eta, levels.level[i], True, room)
        g, w = D[i, C], 0.0
        for m in range(M):
            w += c[m]
            score[B + m] -= g * slope[m]
            J[m, m] += diagonal[m]
            J[B + m, m] -= g * diagonal[m]
            J[B + m, B + m] += g * g * diagonal[m]
            if m < M - 1:
                J[m + 1, m] += beside[m]
                J[B + m + 1, m] -= g * beside[m]
                J[B + m, m + 1] -= g * beside[m]
                J[B + m + 1, B + m] += g * g * beside[m]
            for j in range(C):
                J[M + j, m] -= c[m] * D[i, j]
                J[B + m, M + j] += g * c[m] * D[i, j]
        for j in range(C):
            for k in range(j + 1):
                J[M + j, M + k] += w * D[i, j] * D[i, k]
    if math.isnan(cholesky(J, L, A)):
        return np.nan
    solve_lower(L, score, half, A)
    total = 0.0
    for a in range(A):
        total += half[a] * half[a]
    return total
