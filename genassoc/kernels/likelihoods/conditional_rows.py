"""Rows of conditional logistic regression, one variant at a time on the samples whose call is observed."""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.likelihoods.cholesky import cholesky, solve_lower
from genassoc.kernels.likelihoods.conditional import MatchedSets, conditional_likelihood, exact_neg_log_p, fit
from genassoc.kernels.likelihoods.rows import (
    BETA,
    COLLINEAR,
    EXACT,
    FINE,
    ITERATIONS,
    LOWER,
    LRT,
    MODEL_SE,
    NEG_LOG_P,
    NOT_CONVERGED,
    NULL_NOT_CONVERGED,
    ONE_OUTCOME,
    RUNAWAY,
    SCORE,
    STATISTIC,
    Fits,
    blank_row,
    independent_columns,
    observed_calls,
)
from genassoc.shapes import Float64Array, Int64Array


@jit
def centre_in_sets(D: Float64Array, y: Float64Array, pointers: Int64Array) -> bool:
    """Take away the means in each set, in place, and all of sets that say nothing; whether any set says something."""
    some = False
    for s in range(pointers.size - 1):
        first, last = pointers[s], pointers[s + 1]
        cases = y[first:last].sum()
        says = 0.0 < cases < last - first
        some = some or says
        for j in range(D.shape[1]):
            mean = 0.0
            for i in range(first, last):
                mean += D[i, j]
            mean /= max(last - first, 1)
            for i in range(first, last):
                D[i, j] = D[i, j] - mean if says else 0.0
    return some


@jit
def _sets_of(who: Int64Array, pointers: Int64Array) -> Int64Array:
    """The pointers of the samples ``who`` (increasing) of each set."""
    out = np.zeros(pointers.size, np.int64)
    at = 0
    for s in range(pointers.size - 1):
        while at < who.size and who[at] < pointers[s + 1]:
            at += 1
        out[s + 1] = at
    return out


@jit
def analyse_rows(
    G: Float64Array,
    asked: Int64Array,
    X: Float64Array,
    sets: MatchedSets,
    start: Float64Array,
    impute: bool,
    fits: Fits,
) -> None:
    """Do what is asked of each variant on the samples whose call is observed, the null refitted on them.

    Parameters
    ----------
    G : float64 array (R, n)
        Copies of the minor allele in the trait's samples, set by set, NaN where not observed.
    asked : int64 array (R,)
        SCORE, WALD, LRT or EXACT.
    X : float64 array (n, C)
        Covariates centred in each set, orthonormal.
    sets : MatchedSets
    start : float64 array (C,)
        The null's coefficients.
    impute : bool
        Missing calls take the mean of the observed ones.
    fits : Fits
        Filled; standard errors are from the information, the statistic of EXACT is that of LRT, and with it come -ln p and the interval.
        With status RUNAWAY the statistic is the likelihood ratio's, and beta the score's.
    """
    n = X.shape[0]
    for r in range(G.shape[0]):
        blank_row(r, fits)
        who, counts = observed_calls(G[r], impute)
        XX, part, first = X, sets, start.copy()
        if who.size < n:
            XX, part = X[who], MatchedSets(sets.y[who], _sets_of(who, sets.pointers), sets.offset[who])
            some = centre_in_sets(XX, part.y, part.pointers)
            XX, first, fits.dropped[r] = independent_columns(XX, start)
            if not some:
                fits.status[r] = ONE_OUTCOME
                continue
        fits.status[r] = _one_row(counts, XX, part, first, who.size < n, asked[r], fits.numbers[r])


@jit
def _one_row(
    counts: Float64Array,
    X: Float64Array,
    sets: MatchedSets,
    start: Float64Array,
    refit: bool,
    what: int,
    row: Float64Array,
) -> int:
    """What `analyse_rows` does of one variant, on n samples that are all observed; the status."""
    n, C = X.shape
    P = C + 1
    D = np.empty((n, P))
    for i in range(n):
        put(D[i], 0, X[i])
        D[i, C] = counts[i]
    centre_in_sets(D, sets.y, sets.pointers)
    beta = np.zeros(P)
    put(beta, 0, start)
    J, L, gradient, half = np.empty((P, P)), np.zeros((P, P)), np.empty(P), np.empty(P)
    null_state, null_objective, iterations = FINE, 0.0, 0
    # The null, then the model with g. One call in a loop: numba compiles every call of `fit` anew.
    for full in range(1 if what == SCORE else 2):
        if full == 0 and refit and C > 0:
            null_state, _, _ = fit(np.ascontiguousarray(D[:, :C]), sets, False, beta[:C], np.zeros((C, C)))
        elif full == 1:
            null_state, objective, iterations = fit(D, sets, True, beta, L)
        if full == 0:
            if null_state != FINE:
                return NULL_NOT_CONVERGED
            null_objective = conditional_likelihood(D, sets, beta, gradient, J)
            # With J = L L' the score beside the covariates is the last of L^-1 gradient, in its standard error.
            if not J[C, C] > 0.0 or math.isnan(cholesky(J, L, P)) or not L[C, C] ** 2 > 1e-12 * J[C, C]:
                return COLLINEAR
            solve_lower(L, gradient, half, P)
            row[BETA], row[MODEL_SE], row[STATISTIC] = half[C] / L[C, C], 1.0 / L[C, C], half[C]
            row[ITERATIONS] = 0.0
            if what == EXACT:
                eta = sets.offset.copy()
                for i in range(n):
                    for c in range(C):
                        eta[i] += D[i, c] * beta[c]
                row[NEG_LOG_P] = exact_neg_log_p(counts, sets, eta, row[LOWER:])
            continue
        if null_state != FINE and null_state != RUNAWAY:
            return NOT_CONVERGED
        row[ITERATIONS] = iterations
        if null_state == FINE:
            row[BETA], row[MODEL_SE] = beta[C], 1.0 / L[C, C]
            row[STATISTIC] = beta[C] * L[C, C]
        if what == LRT or what == EXACT or null_state == RUNAWAY:
            gain = max(0.0, 2.0 * (objective - null_objective))
            row[STATISTIC] = math.copysign(math.sqrt(gain), beta[C])
        return null_state
    return FINE
