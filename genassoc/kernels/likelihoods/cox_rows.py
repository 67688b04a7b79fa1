"""Rows of Cox regression that the product of a block cannot finish: exact scores, refitted nulls, Firth, Wald, LRT.

Everything here is of one trait. g counts the minor allele; the caller turns signs back to ALT. A genotype residualised on
the covariates in the null's information, ``gt = g - X J_XX^-1 J_Xg``, has the score's information as its own.
"""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.laws.profile import TRIAL, begin_search, interval_search, next_trial
from genassoc.kernels.likelihoods.cholesky import solve_lower, solve_upper
from genassoc.kernels.likelihoods.cox import fit
from genassoc.kernels.likelihoods.cox_clock import Times, clock_of
from genassoc.kernels.likelihoods.cox_sums import RiskSets, RiskSums, partial_likelihood, risk_sums
from genassoc.kernels.likelihoods.cox_tails import exact_neg_log_p, hazards_trend, spa_neg_log_p
from genassoc.kernels.likelihoods.newton import FitOptions
from genassoc.kernels.likelihoods.rows import (
    BETA,
    COLLINEAR,
    EXACT,
    FINE,
    FIRTH,
    FIRTH_APPROX,
    ITERATIONS,
    LOWER,
    LRT,
    MODEL_SE,
    NEG_LOG_P,
    NOT_CONVERGED,
    NULL_NOT_CONVERGED,
    ONE_OUTCOME,
    SCORE,
    SPA,
    STATISTIC,
    TAIL_FAILED,
    TREND,
    WALD,
    Fits,
    blank_row,
    independent_columns,
    observed_calls,
)
from genassoc.shapes import BoolArray, Float64Array, Int64Array

# Carriers with the event below which an effect's course over time is not tested: its chi-squared is not one.
TREND_LEAST = 10
# Information left of g's weighted variance below which g is a combination of covariates, or the same in every risk set.
COLLINEAR_BELOW = 1e-9


class CoxNull(NamedTuple):
    """A trait's null, C - 1 covariates without a constant.

    Attributes
    ----------
    offset : float64 array (n,)
        Part of the log hazard that is given.
    start : float64 array (C - 1,)
        Its coefficients.
    cross : float64 array (n, C - 1)
        ``J_Xg = cross' g``.
    L : float64 array (C - 1, C - 1)
        Factor of J_XX.
    times : Times
        From which the time function of the trend's test is made, on a row's own samples.
    """

    offset: Float64Array
    start: Float64Array
    cross: Float64Array
    L: Float64Array
    times: Times


@jit
def analyse_rows(
    G: Float64Array,
    asked: Int64Array,
    trend: BoolArray,
    X: Float64Array,
    sets: RiskSets,
    null: CoxNull,
    impute: bool,
    fits: Fits,
) -> None:
    """Do what is asked of each variant, on the samples whose call is observed, the null refitted on them.

    Parameters
    ----------
    G : float64 array (R, n)
        Copies of the minor allele in the trait's samples, NaN where not observed.
    asked, trend : arrays (R,)
        What of each (SCORE, WALD, ...), and whether the test of proportional hazards is wanted besides.
    X : float64 array (n, C)
        Covariates orthonormal on these samples, a constant first (it is no part of the model).
    sets : RiskSets
    null : CoxNull
    impute : bool
        Missing calls take the mean of the observed ones.
    fits : Fits
        Filled; standard errors are from the information, -ln p is that of the saddlepoint or the exact test, and the interval that of
        Firth's fits (by profile) or the exact test. Of a saddlepoint or exact test the estimate is approximate Firth's.
    """
    n_all, C = X.shape
    own_X, clock = np.ascontiguousarray(X[:, 1:]), np.zeros(sets.ends.size)
    for r in range(G.shape[0]):
        blank_row(r, fits)
        who, g = observed_calls(G[r], impute)
        n = who.size
        part, XX, own = sets, own_X, null
        if n < n_all:
            part = RiskSets(sets.event[who], sets.first[who], sets.last[who], sets.ends, sets.efron)
            kept, _, fits.dropped[r] = independent_columns(X[who], np.zeros(C))
            XX = np.ascontiguousarray(kept[:, 1:])
            P = XX.shape[1]
            first = np.zeros(P) if fits.dropped[r] else null.start.copy()
            own = CoxNull(null.offset[who], first, null.cross, np.zeros((P, P)), null.times)
        if not part.event.any():
            fits.status[r] = ONE_OUTCOME
            continue
        if n < n_all:
            sums = risk_sums(part, XX.shape[1])
            options = FitOptions(False, True, XX.shape[1])
            state, _, _ = fit(XX, own.offset, part, options, own.start, sums, own.L)
            if state != FINE:
                fits.status[r] = NULL_NOT_CONVERGED
                continue
        if trend[r]:
            clock_of(null.times, who, part.event, clock)
        fits.status[r] = _one_row(
            g, XX, part, own, asked[r], clock if trend[r] else clock[:0], fits.numbers[r]
        )  # fmt: skip


@jit
def _cross_information(D: Float64Array, beta: Float64Array, sets: RiskSets, null: CoxNull, J_Xg: Float64Array) -> None:
    """J_Xg of the last column of D: from the null's where all its samples are there, else by a scan."""
    n, P = D.shape
    if n == null.cross.shape[0]:
        J_Xg[:] = 0.0
        for i in range(n):
            for c in range(P - 1):
                J_Xg[c] += D[i, P - 1] * null.cross[i, c]
        return
    gradient, J = np.empty(P), np.empty((P, P))
    partial_likelihood(D, null.offset, beta, sets, risk_sums(sets, P), gradient, J)
    for c in range(P - 1):
        J_Xg[c] = J[P - 1, c]


@jit
def _one_row(
    counts: Float64Array,
    X: Float64Array,
    sets: RiskSets,
    null: CoxNull,
    what: int,
    clock: Float64Array,
    numbers: Float64Array,
) -> int:
    """What `analyse_rows` does of one variant, on n samples that are all observed; the status. No clock: no test of the trend."""
    n, C = X.shape  # C without a constant here
    start = null.start
    P = C + 1
    centre = counts.sum() / n
    D, beta = np.empty((n, P)), np.zeros(P)
    for i in range(n):
        for c in range(C):
            D[i, c] = X[i, c]
        D[i, C] = counts[i] - centre
    put(beta, 0, start)
    J_Xg, scratch, along = np.empty(C), np.empty(C), np.empty(C)
    _cross_information(D, beta, sets, null, J_Xg)
    solve_lower(null.L, J_Xg, scratch, C)
    solve_upper(null.L, scratch, along, C)
    rest, offset = np.empty((n, 1)), null.offset.copy()
    for i in range(n):
        rest[i, 0] = D[i, C]
        for c in range(C):
            rest[i, 0] -= D[i, c] * along[c]
            offset[i] += D[i, c] * start[c]
    sums = risk_sums(sets, 1)
    U, J = np.empty(1), np.empty((1, 1))
    null_objective = partial_likelihood(rest, offset, np.zeros(1), sets, sums, U, J)
    if math.isnan(null_objective):
        return NULL_NOT_CONVERGED
    plain = 0.0
    for i in range(n):
        plain += sums.expected[i] * D[i, C] * D[i, C]
    if not J[0, 0] > COLLINEAR_BELOW * plain or plain <= 0.0:
        return COLLINEAR
    numbers[BETA] = U[0] / J[0, 0]
    numbers[MODEL_SE] = 1.0 / math.sqrt(J[0, 0])
    numbers[STATISTIC] = U[0] / math.sqrt(J[0, 0])
    numbers[ITERATIONS] = 0.0
    exact_ends = np.full(2, np.nan)
    if what == SPA or what == EXACT:
        if what == SPA:
            numbers[NEG_LOG_P] = spa_neg_log_p(numbers[STATISTIC], rest, sums.expected)
        else:
            numbers[NEG_LOG_P] = exact_neg_log_p(counts, sets, sums.w, exact_ends)
        if math.isnan(numbers[NEG_LOG_P]):
            return TAIL_FAILED
    state = FINE
    if what == FIRTH_APPROX or what == EXACT or what == SPA:
        state = _firth_approx(rest, offset, sets, sums, what != EXACT, numbers)
        beta[C] = numbers[BETA]
        if what == EXACT:
            put(numbers, LOWER, exact_ends)
    elif what == WALD or what == LRT or what == FIRTH:
        # Newton's first step is known: the score's estimate, the covariates following it.
        beta[C] = numbers[BETA]
        state = _refit(D, sets, null, along, null_objective, what, beta, numbers)
    if state == FINE and clock.size > 0 and _carriers_with_events(counts, sets) >= TREND_LEAST:
        if what == SCORE or what == SPA or what == FIRTH_APPROX or what == EXACT:
            beta[C] = numbers[BETA]
            for c in range(C):
                beta[c] = start[c] - along[c] * beta[C]
        numbers[TREND] = hazards_trend(D, null.offset, beta, sets, clock)
    return state


@jit
def _carriers_with_events(counts: Float64Array, sets: RiskSets) -> int:
    """How many samples with the event carry the allele that is rarer among all of them; a call that is not observed counts by its mean."""
    rare = 0.0 if counts.sum() <= counts.size else 2.0
    found = 0
    for i in range(counts.size):
        if sets.event[i] and abs(counts[i] - rare) > 0.5:
            found += 1
    return found


@jit
def _firth_approx(
    rest: Float64Array, offset: Float64Array, sets: RiskSets, sums: RiskSums, bounded: bool, numbers: Float64Array
) -> int:
    """Firth's regression on g residualised, the null's covariates as an offset: one coefficient, ``bounded`` by its profile."""
    beta, L, best, at_zero, search = np.zeros(1), np.zeros((1, 1)), 0.0, 0.0, interval_search()
    # Nothing free: the objective at 0. Then one coefficient. Then it is held where the profile has fallen, on either side.
    stage = 0
    while True:
        if stage > 1:
            beta[0] = search[TRIAL]
        options = FitOptions(True, False, 1 if stage == 1 else 0)
        state, objective, iterations = fit(rest, offset, sets, options, beta, sums, L)
        if stage > 1:
            fall = 2.0 * (best - objective) if state == FINE else np.inf
            if next_trial(numbers[BETA], numbers[MODEL_SE], fall, False, search, numbers):
                return FINE
            continue
        if state != FINE:
            return NOT_CONVERGED
        if stage == 0:
            at_zero = objective
        else:
            best = objective
            numbers[ITERATIONS], numbers[BETA], numbers[MODEL_SE] = iterations, beta[0], 1.0 / L[0, 0]
            numbers[STATISTIC] = math.copysign(math.sqrt(max(0.0, 2.0 * (best - at_zero))), beta[0])
            if not bounded:
                return FINE
            begin_search(numbers, numbers[BETA], numbers[MODEL_SE], search)
        stage += 1


@jit
def _refit(
    D: Float64Array,
    sets: RiskSets,
    null: CoxNull,
    along: Float64Array,
    null_objective: float,
    what: int,
    beta: Float64Array,
    numbers: Float64Array,
) -> int:
    """Fit covariates and g together: Wald (information's SE), LRT, or Firth's penalised LRT.

    Firth's penalised likelihood ratio compares with the maximum at beta = 0 under the penalty of the full model; its interval is
    where the profile has fallen by 3.84.
    """
    P, start = D.shape[1], null.start
    C = P - 1
    L = np.zeros((P, P))
    sums = risk_sums(sets, P)
    penalised = what == FIRTH
    found, best, at_zero, search = np.empty(P), 0.0, null_objective, interval_search()
    for c in range(C):
        beta[c] = start[c] - along[c] * beta[C]
    # All coefficients; g's held at 0; g's held where the profile has fallen, on either side.
    stage = 0
    while True:
        if stage == 1:
            put(beta, 0, start)
            beta[C] = 0.0
        elif stage > 1:
            for c in range(C):
                beta[c] = found[c] - along[c] * (search[TRIAL] - found[C])
            beta[C] = search[TRIAL]
        options = FitOptions(penalised, False, P if stage == 0 else C)
        state, objective, iterations = fit(D, null.offset, sets, options, beta, sums, L)
        if stage > 1:
            fall = 2.0 * (best - objective) if state == FINE else np.inf
            if next_trial(found[C], numbers[MODEL_SE], fall, False, search, numbers):
                break
            continue
        if state != FINE:
            return NOT_CONVERGED
        if stage == 0:
            numbers[ITERATIONS] = iterations
            numbers[BETA] = beta[C]
            # The last diagonal entry of the inverse of L L' is 1 / L[C, C]^2.
            numbers[MODEL_SE] = 1.0 / L[C, C]
            numbers[STATISTIC] = beta[C] * L[C, C]
            put(found, 0, beta)
            best = objective
            if not penalised:
                break
        else:
            at_zero = objective
            begin_search(numbers, found[C], numbers[MODEL_SE], search)
        stage += 1
    put(beta, 0, found)
    if what == LRT or what == FIRTH:
        gain = max(0.0, 2.0 * (best - at_zero))
        numbers[STATISTIC] = math.copysign(math.sqrt(gain), numbers[BETA])
    return FINE
