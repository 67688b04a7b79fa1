"""Score tests of a block from its product, missing calls downdated; and the exact test of its rare variants."""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.laws.exact_rare import EXACT_FOUND, CaseCountTable, exact_rare_test
from genassoc.kernels.likelihoods.logistic import cholesky, solve_lower
from genassoc.kernels.likelihoods.rows import Missing, Product, Scores
from genassoc.shapes import BoolArray, Float64Array


class NullScores(NamedTuple):
    """What a null says of the samples of a block (N,); zero for those without the trait.

    Attributes
    ----------
    WQ, Q : float64 arrays (N, C)
        Covariates orthonormal in the weights, times them and as they are.
    weight, residual : float64 arrays (N,)
    """

    WQ: Float64Array
    Q: Float64Array
    weight: Float64Array
    residual: Float64Array


@jit
def score_with_missing(
    product: Product, missing: Missing, null: NullScores, mean: Float64Array, impute: bool, scores: Scores
) -> None:
    """Score and information of every variant, corrected for missing calls by one Newton step of the null.

    With Q orthonormal in the weights W (``Q'WQ = I``) and S the samples observed:

        A = I - sum_missing W q q'      b = -sum_missing q r
        I = sum_S W g^2 - a'A^-1 a      U = g'r - a'A^-1 b      a = Q'Wg

    Parameters
    ----------
    product, missing, null
    mean : float64 array (V,)
        With ``impute`` what a missing call counts, in place of all this.
    scores
        Filled.
    """
    gQ, gr, squares = product.columns, product.residual, product.squares
    pointers, indices = missing.pointers, missing.indices
    WQ, Q, weight, r = null.WQ, null.Q, null.weight, null.residual
    U, information, weakest = scores.U, scores.information, scores.weakest
    V, C = gQ.shape
    A, L = np.empty((C, C)), np.zeros((C, C))
    b, z, x = np.empty(C), np.empty(C), np.empty(C)
    for v in range(V):
        weakest[v] = 1.0
        if pointers[v + 1] == pointers[v]:
            total = 0.0
            for c in range(C):
                total += gQ[v, c] * gQ[v, c]
            U[v], information[v] = gr[v], squares[v] - total
            continue
        for i in range(C):
            b[i] = 0.0
            for j in range(C):
                A[i, j] = 1.0 if i == j else 0.0
        if impute:
            U[v], information[v] = gr[v], squares[v]
            for c in range(C):
                z[c] = gQ[v, c]
            for m in range(pointers[v], pointers[v + 1]):
                s = indices[m]
                U[v] += mean[v] * r[s]
                information[v] += mean[v] * mean[v] * weight[s]
                for c in range(C):
                    z[c] += mean[v] * WQ[s, c]
            for c in range(C):
                information[v] -= z[c] * z[c]
            continue
        for m in range(pointers[v], pointers[v + 1]):
            s = indices[m]
            for i in range(C):
                b[i] -= Q[s, i] * r[s]
                for j in range(i + 1):
                    A[i, j] -= WQ[s, i] * Q[s, j]
        if math.isnan(cholesky(A, L, C)):
            weakest[v], U[v], information[v] = 0.0, np.nan, np.nan
            continue
        for c in range(C):
            weakest[v] = min(weakest[v], L[c, c] * L[c, c])
        solve_lower(L, gQ[v], z, C)
        solve_lower(L, b, x, C)
        U[v] = gr[v]
        information[v] = squares[v]
        for c in range(C):
            U[v] -= z[c] * x[c]
            information[v] -= z[c] * z[c]


@jit
def exact_rows(
    G: Float64Array, mu: Float64Array, y: Float64Array, table: CaseCountTable, found: Float64Array, done: BoolArray
) -> None:
    """The exact conditional test of rare variants G (R, n), NaN where not observed, into ``found`` (R, 4).

    Columns as of `genassoc.kernels.laws.exact_rare.exact_rare_test`.
    """
    R, n = G.shape
    for r in range(R):
        carriers = np.empty(n, np.int64)
        missing = np.empty(n, np.int64)
        m, k, cases = 0, 0, 0
        for i in range(n):
            if math.isnan(G[r, i]):
                missing[k] = i
                k += 1
                continue
            if y[i] == 1.0:
                cases += 1
            if G[r, i] > 0.0:
                carriers[m] = i
                m += 1
        who, without = carriers[:m], missing[:k]
        status = exact_rare_test(G[r][who], mu[who], y[who], mu[without], cases, table, found[r])
        done[r] = status == EXACT_FOUND
