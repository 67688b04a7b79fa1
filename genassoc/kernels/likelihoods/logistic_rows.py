"""Rows of logistic regression that the product of a block cannot finish: refitted nulls, Firth, Wald, LRT.

Everything here is of one trait. g counts the minor allele; the caller turns signs back to ALT.
"""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.laws.profile import MAX_ENDS, Z_975, next_end, start_end
from genassoc.kernels.laws.saddlepoint import SPA_FOUND, saddlepoint_of_row
from genassoc.kernels.likelihoods.logistic import CONVERGED, cholesky, fit, fit_as_r, information, residualise
from genassoc.kernels.likelihoods.logistic_firth import firth_of_carriers, firth_one
from genassoc.kernels.likelihoods.rows import (
    BETA,
    COLLINEAR,
    FINE,
    FIRTH,
    FIRTH_APPROX,
    FIRTH_PLINK2,
    ITERATIONS,
    LOWER,
    LRT,
    MODEL_SE,
    N_NUMBERS,
    NEG_LOG_P,
    NOT_CONVERGED,
    NULL_NOT_CONVERGED,
    ONE_OUTCOME,
    SCORE,
    STATISTIC,
    TAIL_FAILED,
    UPPER,
    WALD_PLINK2,
)
from genassoc.shapes import BoolArray, Float64Array, Int64Array

# A direction of the covariates is lost when less than this share of its squared length is left with the calls observed.
LOST_DIRECTION = 1e-9
# Columns orthonormal on all samples: those left out take no more of any direction than the sum of their squares.
SAFELY_LEFT_OUT = 0.5
# mu (1 - mu) of a sample without information.
NO_WEIGHT = 1e-8


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
    left_out = float(C)
    for i in range(n):
        for c in range(C):
            left_out -= X[i, c] * X[i, c]
    if left_out < SAFELY_LEFT_OUT:
        return X, start.copy(), False
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
    put(beta, 0, start)
    eta, mu, w, leverage = np.empty(n), np.empty(n), np.empty(n), np.zeros(n)
    L = np.zeros((P, P))
    if what == WALD_PLINK2:
        status, iterations = fit_as_r(D, y, beta, eta, mu, w, L)
        row[ITERATIONS] = iterations
        if status != CONVERGED:
            return NOT_CONVERGED
        row[BETA] = beta[C]
        row[MODEL_SE] = 1.0 / L[C, C]
        row[STATISTIC] = beta[C] / row[MODEL_SE]
        return FINE
    penalised = what == FIRTH or what == FIRTH_PLINK2
    best, b, tries, ends, at_best = 0.0, 0.0, 0, np.empty(4), np.empty(P)
    row[LOWER] = row[UPPER] = np.nan
    # The whole model; for a likelihood ratio g's coefficient held at 0; for an interval held where the profile has fallen by
    # 3.84, on either side. One call in a loop: numba compiles every call of `fit` anew.
    stage = 0
    while stage < (4 if what == FIRTH else (2 if what == LRT else 1)):
        if stage == 1:
            put(beta, 0, start)
            beta[C] = 0.0
        elif stage > 1:
            put(beta, 0, at_best)
            beta[C] = b
        free = P if stage == 0 else C
        state, objective, iterations = fit(
            D, y, offset, penalised, stage == 1 and not penalised, free, beta, eta, mu, w, leverage, L
        )
        if stage > 1:
            after = next_end(row[BETA], b, 2.0 * (best - objective) if state == CONVERGED else np.inf, ends)
            tries += 1
            if after != b and tries < MAX_ENDS:
                b = after
                continue
            if after == b:
                row[LOWER + stage - 2] = b
        elif state != CONVERGED:
            return NOT_CONVERGED
        stage += 1
        if stage > 2:
            tries, b = 0, row[BETA] + Z_975 * row[MODEL_SE]
            start_end(row[BETA], ends)
            continue
        if stage == 2:
            gain = max(0.0, 2.0 * (best - objective))
            row[STATISTIC] = math.copysign(math.sqrt(gain), row[BETA])
            b = row[BETA] - Z_975 * row[MODEL_SE]
            start_end(row[BETA], ends)
            continue
        best = objective
        put(at_best, 0, beta)
        row[ITERATIONS] = iterations
        row[BETA] = beta[C]
        if what == FIRTH_PLINK2:
            for i in range(n):
                w[i] *= 1.0 + leverage[i]
            J = np.empty((P, P))
            information(D, w, J)
            cholesky(J, L, P)
        # The last diagonal entry of the inverse of L L' is 1 / L[C, C]^2.
        row[MODEL_SE] = 1.0 / L[C, C]
        row[STATISTIC] = beta[C] / row[MODEL_SE]
    return FINE


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
        Filled: beta, its standard error from the information, signed statistic, iterations, -ln p of the saddlepoint, and of
        Firth's fits the ends of the profile penalised likelihood interval.
    score : float64 array (R, 2)
        Filled: U and I of the score test.
    status : int64 array (R,)
    dropped : bool array (R,)
        Filled: whether a covariate was a combination of others among the samples observed, and left out.
    """
    n_all, C = X.shape
    observed = np.empty(n_all, np.bool_)
    g_all = np.empty(n_all)
    for r in range(G.shape[0]):
        for k in range(N_NUMBERS):
            numbers[r, k] = np.nan
        score[r, 0] = score[r, 1] = np.nan
        n = _observe(G[r], impute, g_all, observed)
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
        first, second = start.copy(), penalised_start.copy()
        if n < n_all:
            XX, first, dropped[r] = independent_columns(XX, start)
            if dropped[r]:
                second = np.zeros(XX.shape[1])
        status[r] = _one_row(g, yy, oo, XX, first, second, asked[r], sparse[r], saddlepoint[r], numbers[r], score[r])


@jit
def _observe(calls: Float64Array, impute: bool, g: Float64Array, observed: BoolArray) -> int:
    """Which calls are observed, or with ``impute`` all with their mean in place of the others; how many."""
    n = 0
    total = 0.0
    for i in range(calls.size):
        g[i] = calls[i]
        observed[i] = not math.isnan(calls[i])
        if observed[i]:
            n += 1
            total += calls[i]
    if impute and n < calls.size:
        mean = total / max(n, 1)
        for i in range(calls.size):
            # Every flag is written, not only those that change: LLVM 20 vectorises the conditional store wrongly.
            observed[i] = True
            if math.isnan(calls[i]):
                g[i] = mean
        return calls.size
    return n


@jit
def _one_row(
    g: Float64Array,
    y: Float64Array,
    offset: Float64Array,
    X: Float64Array,
    start: Float64Array,
    penalised_start: Float64Array,
    what: int,
    sparse: bool,
    saddlepoint: bool,
    numbers: Float64Array,
    score: Float64Array,
) -> int:
    """What `analyse_rows` does of one variant, on n samples that are all observed; the status."""
    n, P = X.shape
    eta, mu, w, leverage, L = np.empty(n), np.empty(n), np.empty(n), np.zeros(n), np.zeros((P, P))
    null_mu, null_w, residual_g = np.empty(n), np.empty(n), np.empty(n)
    # The null, and for an offset the penalised null: eta is that of the last.
    for penalised in range(2 if what == FIRTH_APPROX else 1):
        beta = penalised_start if penalised == 1 else start
        state, _, _ = fit(X, y, offset, penalised == 1, penalised == 0, P, beta, eta, mu, w, leverage, L)
        if state != CONVERGED:
            return NULL_NOT_CONVERGED
        if penalised == 0:
            put(null_mu, 0, mu)
            put(null_w, 0, w)
    full_rank, spread = residualise(X, null_w, g, L, residual_g)
    if not full_rank:
        return NULL_NOT_CONVERGED
    for i in range(n):
        # A sample that the null fits perfectly says nothing; its residual is extrapolated from all others.
        if null_w[i] < NO_WEIGHT:
            residual_g[i] = 0.0
    centre = (null_w * g).sum() / null_w.sum()
    plain = (null_w * (g - centre) ** 2).sum()
    if spread <= 1e-12 * plain or spread <= 0.0:
        return COLLINEAR
    U = (residual_g * (y - null_mu)).sum()
    score[0], score[1] = U, spread
    if saddlepoint:
        numbers[NEG_LOG_P], failed = saddlepoint_of_row(U, spread, g, residual_g, null_mu, null_w)
        if failed != SPA_FOUND:
            return TAIL_FAILED
    if what == SCORE:
        numbers[BETA] = U / spread
        numbers[MODEL_SE] = 1.0 / math.sqrt(spread)
        numbers[STATISTIC] = U / math.sqrt(spread)
        numbers[ITERATIONS] = 0.0
        return FINE
    if what == FIRTH_APPROX:
        if sparse:
            return firth_of_carriers(g > 0.0, residual_g, y, eta, numbers)
        return firth_one(residual_g, y, eta, np.empty((3, n)), numbers)
    from_penalised = what == FIRTH or what == FIRTH_PLINK2
    return _wald_or_lrt(X, y, g, offset, penalised_start if from_penalised else start, what, numbers)
