"""Rows of logistic regression that the product of a block cannot finish: refitted nulls, Firth, Wald, LRT.

Everything here is of one trait. g counts the minor allele; the caller turns signs back to ALT.
"""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.exact_rare import EXACT_FOUND, CaseCountTable, exact_rare_neg_log_p
from genassoc.kernels.logistic import CONVERGED, cholesky, fit, fit_as_r, information, residualise, solve_lower
from genassoc.kernels.saddlepoint import SPA_FOUND, spa_neg_log_p
from genassoc.shapes import BoolArray, Float64Array, Int64Array

# What is asked of a row.
SCORE, WALD, LRT, FIRTH, FIRTH_APPROX, FIRTH_PLINK2, WALD_PLINK2 = 0, 1, 2, 3, 4, 5, 6
# What came out.
FINE, NOT_CONVERGED, NULL_NOT_CONVERGED, COLLINEAR, ONE_OUTCOME, SPA_FAILED = 0, 1, 2, 3, 4, 5
# A direction of the covariates is lost when less than this share of its squared length is left with the calls observed.
LOST_DIRECTION = 1e-9
# Share of carriers below which the saddlepoint takes the others as normal.
FEW_CARRIERS = 0.5
# Columns of the numbers of a row.
BETA, INFORMATION_SE, STATISTIC, ITERATIONS, SPA_NEG_LOG_P = 0, 1, 2, 3, 4
N_NUMBERS = 5


@jit
def _compress(values: Float64Array, observed: BoolArray, out: Float64Array) -> None:
    at = 0
    for i in range(values.size):
        if observed[i]:
            out[at] = values[i]
            at += 1


@jit
def _compress_rows(values: Float64Array, observed: BoolArray, out: Float64Array) -> None:
    at = 0
    for i in range(values.shape[0]):
        if observed[i]:
            out[at] = values[i]
            at += 1


@jit
def independent_columns(X: Float64Array, start: Float64Array) -> tuple[Float64Array, Float64Array, bool]:
    """X (n, C) without columns that are combinations of those before them among these samples; whether any was.

    X was orthonormal on more samples, so that a squared pivot is a share of the length. Coefficients start anew where
    a column goes.
    """
    n, C = X.shape
    J, L = np.zeros((C, C)), np.zeros((C, C))
    information(X, np.ones(n), J)
    keep = np.ones(C, np.bool_)
    for j in range(C):
        pivot = J[j, j]
        for m in range(j):
            pivot -= L[j, m] * L[j, m]
        if pivot <= LOST_DIRECTION:
            keep[j] = False
            continue
        L[j, j] = math.sqrt(pivot)
        for i in range(j + 1, C):
            entry = J[i, j]
            for m in range(j):
                entry -= L[i, m] * L[j, m]
            L[i, j] = entry / L[j, j]
    if keep.all():
        return X, start.copy(), False
    kept = np.empty((n, keep.sum()))
    at = 0
    for c in range(C):
        if keep[c]:
            for i in range(n):
                kept[i, at] = X[i, c]
            at += 1
    return kept, np.zeros(at), True


@jit
def _wald_or_lrt(
    X: Float64Array, y: Float64Array, g: Float64Array, offset: Float64Array, start: Float64Array, what: int,
    row: Float64Array,
) -> int:  # fmt: skip
    """Fit covariates and g together: Wald (information's SE), LRT, Firth's penalised LRT, or Firth with PLINK 2's Wald.

    Firth's penalised likelihood ratio compares with the maximum at beta = 0 under the penalty of the full model
    (Heinze & Schemper 2002). PLINK 2's standard error is of ``(X' diag((1 + h) w) X)^-1``.
    """
    n, C = X.shape
    P = C + 1
    D = np.empty((n, P))
    for i in range(n):
        for c in range(C):
            D[i, c] = X[i, c]
        D[i, C] = g[i]
    beta = np.zeros(P)
    beta[:C] = start
    eta, mu, w, leverage = np.empty(n), np.empty(n), np.empty(n), np.zeros(n)
    L = np.zeros((P, P))
    if what == WALD_PLINK2:
        status, iterations = fit_as_r(D, y, beta, eta, mu, w, L)
        row[ITERATIONS] = iterations
        if status != CONVERGED:
            return NOT_CONVERGED
        row[BETA] = beta[C]
        row[INFORMATION_SE] = 1.0 / L[C, C]
        row[STATISTIC] = beta[C] / row[INFORMATION_SE]
        return FINE
    penalised = what == FIRTH or what == FIRTH_PLINK2
    status, objective, iterations = fit(D, y, offset, penalised, False, P, beta, eta, mu, w, leverage, L)
    row[ITERATIONS] = iterations
    if status != CONVERGED:
        return NOT_CONVERGED
    row[BETA] = beta[C]
    if what == FIRTH_PLINK2:
        J = np.zeros((P, P))
        for i in range(n):
            x = (1.0 + leverage[i]) * w[i]
            for j in range(P):
                for k in range(j + 1):
                    J[j, k] += x * D[i, j] * D[i, k]
        cholesky(J, L, P)
    # The last diagonal entry of the inverse of L L' is 1 / L[C, C]^2.
    row[INFORMATION_SE] = 1.0 / L[C, C]
    row[STATISTIC] = beta[C] / row[INFORMATION_SE]
    if what == LRT or what == FIRTH:
        restricted = np.zeros(P)
        restricted[:C] = start
        status, null_objective, _ = fit(D, y, offset, penalised, not penalised, C, restricted, eta, mu, w, leverage, L)
        if status != CONVERGED:
            return NOT_CONVERGED
        row[STATISTIC] = math.copysign(math.sqrt(max(0.0, 2.0 * (objective - null_objective))), beta[C])
    return FINE


@jit
def _firth_approx(
    y: Float64Array, residual_g: Float64Array, offset: Float64Array, carriers: BoolArray, sparse: bool, row: Float64Array
) -> int:
    """Firth's regression on g residualised, the covariates as an offset: one coefficient (REGENIE: Mbatchou et al. 2021).

    ``sparse``: the likelihood's penalty and information sum over carriers only.
    """
    n = y.size
    D = np.empty((n, 1))
    for i in range(n):
        D[i, 0] = residual_g[i] if not sparse or carriers[i] else 0.0
    beta = np.zeros(1)
    eta, mu, w, leverage = np.empty(n), np.empty(n), np.empty(n), np.zeros(n)
    L = np.zeros((1, 1))
    status, null_objective, _ = fit(D, y, offset, True, False, 0, beta, eta, mu, w, leverage, L)
    status, objective, iterations = fit(D, y, offset, True, False, 1, beta, eta, mu, w, leverage, L)
    row[ITERATIONS] = iterations
    if status != CONVERGED:
        return NOT_CONVERGED
    row[BETA] = beta[0]
    row[INFORMATION_SE] = 1.0 / L[0, 0]
    row[STATISTIC] = math.copysign(math.sqrt(max(0.0, 2.0 * (objective - null_objective))), beta[0])
    return FINE


@jit
def _saddlepoint(
    U: float, spread: float, g: Float64Array, residual_g: Float64Array, mu: Float64Array, w: Float64Array
) -> tuple[float, int]:
    """-ln p of the score by the saddlepoint; where carriers are few, the others by their variance (Dey et al. 2017)."""
    n = 0
    for i in range(g.size):
        if g[i] > 0.0:
            n += 1
    if n > FEW_CARRIERS * g.size:
        return spa_neg_log_p(U, residual_g, mu, 0.0)
    carrier_g, carrier_mu = np.empty(n), np.empty(n)
    at = 0
    rest = spread
    for i in range(g.size):
        if g[i] > 0.0:
            carrier_g[at], carrier_mu[at] = residual_g[i], mu[i]
            rest -= w[i] * residual_g[i] * residual_g[i]
            at += 1
    return spa_neg_log_p(U, carrier_g, carrier_mu, rest)


@jit
def exact_rows(
    G: Float64Array, mu: Float64Array, y: Float64Array, table: CaseCountTable, neg_log_p: Float64Array, found: BoolArray
) -> None:
    """-ln p (R,) of the exact conditional test of rare variants G (R, n), NaN where not observed; see `exact_rare`."""
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
        neg_log_p[r], _, status = exact_rare_neg_log_p(G[r][who], mu[who], y[who], mu[without], cases, table)
        found[r] = status == EXACT_FOUND


@jit
def analyse_rows(
    G: Float64Array,
    asked: Int64Array,
    sparse: BoolArray,
    saddlepoint: BoolArray,
    X: Float64Array,
    y: Float64Array,
    offset: Float64Array,
    start: Float64Array,
    penalised_start: Float64Array,
    impute: bool,
    numbers: Float64Array,
    score: Float64Array,
    status: Int64Array,
    dropped: BoolArray,
) -> None:
    """Do what is asked of each variant, on the samples whose call is observed, the null refitted on them.

    Parameters
    ----------
    G : float64 array (R, n)
        Copies of the minor allele in the trait's samples, NaN where not observed.
    asked, sparse, saddlepoint : arrays (R,)
        What of each (SCORE, WALD, ...), whether with REGENIE's sparse penalty, and whether the score's p by the
        saddlepoint is wanted besides.
    X : float64 array (n, C)
        Covariates with the intercept; y, offset (n,).
    start, penalised_start : float64 arrays (C,)
        The null's coefficients without and with Firth's penalty.
    impute : bool
        Missing calls take the mean of the observed ones.
    numbers : float64 array (R, N_NUMBERS)
        Filled: beta, its standard error from the information, signed statistic, iterations, -ln p of the saddlepoint.
    score : float64 array (R, 2)
        Filled: U and I of the score test.
    status : int64 array (R,)
    dropped : bool array (R,)
        Filled: whether a covariate was a combination of others among the samples observed, and left out.
    """
    n_all, C = X.shape
    observed = np.empty(n_all, np.bool_)
    for r in range(G.shape[0]):
        for k in range(N_NUMBERS):
            numbers[r, k] = np.nan
        score[r, 0] = score[r, 1] = np.nan
        n = 0
        total = 0.0
        for i in range(n_all):
            observed[i] = not math.isnan(G[r, i])
            if observed[i]:
                n += 1
                total += G[r, i]
        g_all = G[r].copy()
        if n < n_all and impute:
            for i in range(n_all):
                if not observed[i]:
                    g_all[i] = total / max(n, 1)
                    observed[i] = True
            n = n_all
        g, yy, oo, XX = np.empty(n), np.empty(n), np.empty(n), np.empty((n, C))
        _compress(g_all, observed, g)
        _compress(y, observed, yy)
        _compress(offset, observed, oo)
        _compress_rows(X, observed, XX)
        dropped[r] = False
        cases = yy.sum()
        if cases == 0.0 or cases == n:
            status[r] = ONE_OUTCOME
            continue
        first, first_penalised = start.copy(), penalised_start.copy()
        if n < n_all:
            XX, first, dropped[r] = independent_columns(XX, start)
            if dropped[r]:
                first_penalised = np.zeros(XX.shape[1])
        P = XX.shape[1]
        L = np.zeros((P, P))
        eta, mu, w, leverage = np.empty(n), np.empty(n), np.empty(n), np.zeros(n)
        beta = first
        state, _, _ = fit(XX, yy, oo, False, True, P, beta, eta, mu, w, leverage, L)
        if state != CONVERGED:
            status[r] = NULL_NOT_CONVERGED
            continue
        residual_g = np.empty(n)
        full_rank, spread = residualise(XX, w, g, L, residual_g)
        if not full_rank:
            status[r] = NULL_NOT_CONVERGED
            continue
        plain = 0.0
        centre = (w * g).sum() / w.sum()
        U = 0.0
        for i in range(n):
            plain += w[i] * (g[i] - centre) ** 2
            U += residual_g[i] * (yy[i] - mu[i])
        if spread <= 1e-12 * plain or spread <= 0.0:
            status[r] = COLLINEAR
            continue
        score[r, 0], score[r, 1] = U, spread
        what = asked[r]
        status[r] = FINE
        if saddlepoint[r]:
            numbers[r, SPA_NEG_LOG_P], failed = _saddlepoint(U, spread, g, residual_g, mu, w)
            if failed != SPA_FOUND:
                status[r] = SPA_FAILED
                continue
        if what == SCORE:
            numbers[r, BETA] = U / spread
            numbers[r, INFORMATION_SE] = 1.0 / math.sqrt(spread)
            numbers[r, STATISTIC] = U / math.sqrt(spread)
            numbers[r, ITERATIONS] = 0.0
        elif what == FIRTH_APPROX:
            state, _, _ = fit(XX, yy, oo, True, False, P, first_penalised, eta, mu, w, leverage, L)
            if state != CONVERGED:
                status[r] = NULL_NOT_CONVERGED
                continue
            carriers = g > 0.0
            status[r] = _firth_approx(yy, residual_g, eta, carriers, sparse[r], numbers[r])
        else:
            status[r] = _wald_or_lrt(XX, yy, g, oo, beta, what, numbers[r])


@jit
def score_with_missing(
    gQ: Float64Array,
    gr: Float64Array,
    squares: Float64Array,
    pointers: Int64Array,
    indices: Int64Array,
    WQ: Float64Array,
    Q: Float64Array,
    weight: Float64Array,
    r: Float64Array,
    mean: Float64Array,
    impute: bool,
    U: Float64Array,
    information: Float64Array,
    weakest: Float64Array,
) -> None:
    """Score and information of every variant, corrected for missing calls by one Newton step of the null.

    With Q orthonormal in the weights W (``Q'WQ = I``) and S the samples observed:

        A = I - sum_missing W q q'      b = -sum_missing q r
        I = sum_S W g^2 - a'A^-1 a      U = g'r - a'A^-1 b      a = Q'Wg

    Parameters
    ----------
    gQ, gr, squares : float64 arrays (V, C), (V,), (V,)
        ``Q'Wg``, ``r'g`` and ``sum W g^2`` over observed calls.
    pointers, indices : int64 arrays
        Samples whose call is missing, a run a variant.
    WQ, Q, weight, r : float64 arrays (N, C), (N, C), (N,), (N,)
        Zero for samples without the trait.
    mean : float64 array (V,)
        With ``impute`` what a missing call counts, in place of all this.
    U, information, weakest : float64 arrays (V,)
        Filled; ``weakest`` is the smallest squared pivot of A, 0 where it is singular.
    """
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

