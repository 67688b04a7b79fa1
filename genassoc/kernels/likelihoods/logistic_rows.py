"""Rows of logistic regression that the product of a block cannot finish: refitted nulls, Firth, Wald, LRT.

Everything here is of one trait. g counts the minor allele; the caller turns signs back to ALT.
"""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.laws.profile import TRIAL, begin_search, interval_search, next_trial
from genassoc.kernels.laws.saddlepoint import SPA_FOUND, saddlepoint_of_row
from genassoc.kernels.likelihoods.cholesky import cholesky, information
from genassoc.kernels.likelihoods.logistic import fit, fit_as_r, fitted_of, residualise
from genassoc.kernels.likelihoods.logistic_firth import NO_WEIGHT, firth_of_carriers, firth_one
from genassoc.kernels.likelihoods.newton import FitOptions
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
    NEG_LOG_P,
    NOT_CONVERGED,
    NULL_NOT_CONVERGED,
    ONE_OUTCOME,
    SCORE,
    STATISTIC,
    TAIL_FAILED,
    UPPER,
    WALD_PLINK2,
    Fits,
    Trait,
    begin_row,
    of_samples,
)
from genassoc.shapes import BoolArray, Float64Array, Int64Array


class Asked(NamedTuple):
    """What is asked of R rows.

    Attributes
    ----------
    test : int64 array (R,)
        SCORE, WALD, LRT, FIRTH, FIRTH_APPROX, FIRTH_PLINK2 or WALD_PLINK2.
    sparse : bool array (R,)
        Approximate Firth with REGENIE's sparse penalty.
    saddlepoint : bool array (R,)
        The score's p by the saddlepoint besides.
    """

    test: Int64Array
    sparse: BoolArray
    saddlepoint: BoolArray


@jit
def _wald_or_lrt(
    X: Float64Array, trait: Trait, g: Float64Array, start: Float64Array, what: int, row: Float64Array
) -> int:
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
    fitted, L = fitted_of(n), np.zeros((P, P))
    if what == WALD_PLINK2:
        status, iterations = fit_as_r(D, trait, beta, fitted, L)
        row[ITERATIONS] = iterations
        if status != FINE:
            return NOT_CONVERGED
        row[BETA] = beta[C]
        row[MODEL_SE] = 1.0 / L[C, C]
        row[STATISTIC] = beta[C] / row[MODEL_SE]
        return FINE
    penalised = what == FIRTH or what == FIRTH_PLINK2
    best, search, at_best = 0.0, interval_search(), np.empty(P)
    row[LOWER] = row[UPPER] = np.nan
    # The whole model; for a likelihood ratio g's coefficient held at 0; for an interval held where the profile has fallen by
    # 3.84, on either side. One call in a loop: numba compiles every call of `fit` anew.
    stage = 0
    while True:
        if stage == 1:
            put(beta, 0, start)
            beta[C] = 0.0
        elif stage > 1:
            put(beta, 0, at_best)
            beta[C] = search[TRIAL]
        options = FitOptions(penalised, stage == 1 and not penalised, P if stage == 0 else C)
        state, objective, iterations = fit(D, trait, options, beta, fitted, L)
        if stage > 1:
            fall = 2.0 * (best - objective) if state == FINE else np.inf
            if next_trial(row[BETA], row[MODEL_SE], fall, False, search, row):
                return FINE
            continue
        if state != FINE:
            return NOT_CONVERGED
        if stage == 0:
            best = objective
            put(at_best, 0, beta)
            row[ITERATIONS] = iterations
            row[BETA] = beta[C]
            if what == FIRTH_PLINK2:
                for i in range(n):
                    fitted.w[i] *= 1.0 + fitted.leverage[i]
                J = np.empty((P, P))
                information(D, fitted.w, J)
                cholesky(J, L, P)
            # The last diagonal entry of the inverse of L L' is 1 / L[C, C]^2.
            row[MODEL_SE] = 1.0 / L[C, C]
            row[STATISTIC] = beta[C] / row[MODEL_SE]
            if what != LRT and what != FIRTH:
                return FINE
        else:
            gain = max(0.0, 2.0 * (best - objective))
            row[STATISTIC] = math.copysign(math.sqrt(gain), row[BETA])
            if what == LRT:
                return FINE
            begin_search(row, row[BETA], row[MODEL_SE], search)
        stage += 1


@jit
def analyse_rows(
    G: Float64Array, asked: Asked, X: Float64Array, trait: Trait, starts: Float64Array, impute: bool, fits: Fits
) -> None:
    """Do what is asked of each variant, on the samples whose call is observed, the null refitted on them.

    Parameters
    ----------
    G : float64 array (R, n)
        Copies of the minor allele in the trait's samples, NaN where not observed.
    asked : Asked
    X : float64 array (n, C)
        Covariates with the intercept.
    trait : Trait
    starts : float64 array (2, C)
        The null's coefficients without and with Firth's penalty.
    impute : bool
        Missing calls take the mean of the observed ones.
    fits : Fits
        Filled; standard errors are from the information, -ln p is the saddlepoint's, and of Firth's fits the interval is that of the
        profile penalised likelihood.
    """
    for r in range(G.shape[0]):
        who, g, XX, first = begin_row(G[r], impute, X, starts[0], r, fits)
        second = np.zeros(XX.shape[1])
        if not fits.dropped[r]:
            put(second, 0, starts[1])
        fits.status[r] = _one_row(g, XX, of_samples(trait, who), first, second, asked, r, fits)


@jit
def _one_row(
    g: Float64Array,
    X: Float64Array,
    trait: Trait,
    start: Float64Array,
    penalised_start: Float64Array,
    asked: Asked,
    r: int,
    fits: Fits,
) -> int:
    """What `analyse_rows` does of one variant, on n samples that are all observed; the status."""
    n, P = X.shape
    y, what, numbers = trait.y, asked.test[r], fits.numbers[r]
    cases = y.sum()
    if cases == 0.0 or cases == n:
        return ONE_OUTCOME
    fitted, L = fitted_of(n), np.zeros((P, P))
    null_mu, null_w, residual_g = np.empty(n), np.empty(n), np.empty(n)
    # The null, and for an offset the penalised null: eta is that of the last.
    for penalised in range(2 if what == FIRTH_APPROX else 1):
        beta = penalised_start if penalised == 1 else start
        state, _, _ = fit(X, trait, FitOptions(penalised == 1, penalised == 0, P), beta, fitted, L)
        if state != FINE:
            return NULL_NOT_CONVERGED
        if penalised == 0:
            put(null_mu, 0, fitted.mu)
            put(null_w, 0, fitted.w)
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
    if asked.saddlepoint[r]:
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
        if asked.sparse[r]:
            return firth_of_carriers(g > 0.0, residual_g, y, fitted.eta, numbers)
        return firth_one(residual_g, y, fitted.eta, numbers)
    from_penalised = what == FIRTH or what == FIRTH_PLINK2
    return _wald_or_lrt(X, trait, g, penalised_start if from_penalised else start, what, numbers)
