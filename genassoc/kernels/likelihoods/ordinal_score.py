"""Score tests of ordered levels from a block's product, missing calls downdated."""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.likelihoods.logistic import cholesky, solve_lower
from genassoc.kernels.likelihoods.ordinal_terms import Levels, accumulate
from genassoc.kernels.likelihoods.rows import Missing, Product, Scores
from genassoc.shapes import Float64Array


@jit
def score_with_missing(
    product: Product,
    missing: Missing,
    D: Float64Array,
    levels: Levels,
    parameters: Float64Array,
    factor: Float64Array,
    scores: Scores,
) -> None:
    """Score and information of every variant, corrected for missing calls by one Newton step of the null.

    With J = L L' the information of thresholds and covariates, of which the samples missing had J_m, and u_m their part
    of its score:

        A = I - L^-1 J_m L^-T      b = -L^-1 u_m      I = sum_S w g^2 - a'A^-1 a      U = g'r - a'A^-1 b

    Parameters
    ----------
    product, missing
    D : float64 array (N, P - M)
        Covariates without the constant, zero for samples without the trait, as all of the levels (N,).
    levels : Levels
    parameters : float64 array (P,)
        The null's thresholds (M) and coefficients.
    factor : float64 array (P, P)
        L.
    scores
        Filled.
    """
    gA, gr, squares = product.columns, product.residual, product.squares
    pointers, indices = missing.pointers, missing.indices
    U, information, weakest = scores.U, scores.information, scores.weakest
    V, P = gA.shape
    # Where no sample has an offset, every variant's part of it is the same zeros.
    level, offset, no_offset = levels.level, levels.offset, not levels.offset.any()
    zeros = np.zeros(offset.size if no_offset else 0)
    J, A, L, half = np.empty((P, P)), np.empty((P, P)), np.zeros((P, P)), np.empty((P, P))
    u, b, z, x = np.empty(P), np.empty(P), np.empty(P), np.empty(P)
    for v in range(V):
        weakest[v] = 1.0
        U[v], information[v] = gr[v], squares[v]
        if pointers[v + 1] == pointers[v]:
            for a in range(P):
                information[v] -= gA[v, a] * gA[v, a]
            continue
        lost = indices[pointers[v] : pointers[v + 1]]
        out = Levels(level[lost], levels.M, zeros if no_offset else offset[lost])
        accumulate(D[lost], out, parameters, True, J, u, np.empty(lost.size), np.empty(lost.size))
        # Rows of `half` are L^-1 times the columns of J_m; then the same of its rows.
        for a in range(P):
            solve_lower(factor, J[a], half[a], P)
        for a in range(P):
            solve_lower(factor, half[:, a].copy(), A[a], P)
            for c in range(P):
                A[a, c] = (1.0 if a == c else 0.0) - A[a, c]
        solve_lower(factor, u, b, P)
        if math.isnan(cholesky(A, L, P)):
            weakest[v], U[v], information[v] = 0.0, np.nan, np.nan
            continue
        for a in range(P):
            weakest[v] = min(weakest[v], L[a, a] * L[a, a])
        solve_lower(L, gA[v], z, P)
        solve_lower(L, b, x, P)
        for a in range(P):
            U[v] += z[a] * x[a]
            information[v] -= z[a] * z[a]
