"""Rows of Cox regression that the product of a block cannot finish: exact scores, refitted nulls, Firth, Wald, LRT.

Everything here is of one trait. g counts the minor allele; the caller turns signs back to ALT. A genotype residualised on
the covariates in the null's information, ``gt = g - X J_XX^-1 J_Xg``, has the score's information as its own.
"""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.laws.profile import MAX_ENDS, Z_975, next_end, start_end
from genassoc.kernels.likelihoods.cox import fit
from genassoc.kernels.likelihoods.cox_clock import Times, clock_of
from genassoc.kernels.likelihoods.cox_sums import RiskSets, RiskSums, partial_likelihood, risk_sums
from genassoc.kernels.likelihoods.cox_tails import exact_neg_log_p, hazards_trend, spa_neg_log_p
from genassoc.kernels.likelihoods.logistic import CONVERGED, solve_lower, solve_upper
from genassoc.kernels.likelihoods.logistic_rows import independent_columns
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
    N_NUMBERS,
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
    observed_calls,
)
from genassoc.shapes import BoolArray, Float64Array, Int64Array

# Carriers with the event below which an effect's course over time is not tested: its chi-squared is not one.
TREND_LEAST = 10
# Information left of g's weighted variance below which g is a combination of covariates, or the same in every risk set.
COLLINEAR_BELOW = 1e-9


@jit
def analyse_rows(
    G: Float64Array,
    asked: Int64Array,
    trend: BoolArray,
    X: Float64Array,
    sets: RiskSets,
    start: Float64Array,
    cross: Float64Array,
    L_null: Float64Array,
    times: Times,
    impute: bool,
    numbers: Float64Array,
    status: Int64Array,
    dropped: BoolArray,
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
    start : float64 array (C - 1,)
        The null's coefficients.
    cross : float64 array (n, C - 1)
        ``J_Xg = cross' g`` at the null.
    L_null : float64 array (C - 1, C - 1)
        Factor of J_XX.
    times : Times
        From which the time function of the trend's test is made, on the row's own samples.
    impute : bool
        Missing calls take the mean of the observed ones.
    numbers : float64 array (R, N_NUMBERS)
        Filled: beta, its standard error from the information, signed statistic, iterations, -ln p of the saddlepoint or
        the exact test, chi-squared of the trend, the ends of the interval of Firth's fits (by profile) and the exact test. Of a
        saddlepoint or exact test the estimate is approximate Firth's.
    status : int64 array (R,)
    dropped : bool array (R,)
        Filled: whether a covariate was a combination of others among the samples observed, and left out.
    """
    n_all, C = X.shape
    own_X, clock = np.ascontiguousarray(X[:, 1:]), np.zeros(sets.ends.size)
    for r in range(G.shape[0]):
        for k in range(N_NUMBERS):
            numbers[r, k] = np.nan
        who, g = observed_calls(G[r], impute)
        n = who.size
        part = sets
        XX, first, L = own_X, start, L_null
        dropped[r] = False
        if n < n_all:
            part = RiskSets(sets.event[who], sets.first[who], sets.last[who], sets.ends, sets.efron)
            kept, _, dropped[r] = independent_columns(X[who], np.zeros(C))
            XX = np.ascontiguousarray(kept[:, 1:])
            first = np.zeros(XX.shape[1]) if dropped[r] else start.copy()
            L = np.zeros((XX.shape[1], XX.shape[1]))
        if not part.event.any():
            status[r] = ONE_OUTCOME
            continue
        sums = risk_sums(part, XX.shape[1])
        if n < n_all:
            state, _, _ = fit(XX, np.zeros(n), part, False, True, XX.shape[1], first, sums, L)
            if state != CONVERGED:
                status[r] = NULL_NOT_CONVERGED
                continue
        if trend[r]:
            clock_of(times, who, part.event, clock)
        status[r] = _one_row(
            g, XX, part, first, cross, L, n == n_all, asked[r], trend[r], clock, numbers[r]
        )  # fmt: skip


@jit
def _cross_information(
    D: Float64Array, beta: Float64Array, sets: RiskSets, cross: Float64Array, complete: bool, J_Xg: Float64Array
) -> None:
    """J_Xg of the last column of D: from ``cross`` where all samples are there, else by a scan."""
    n, P = D.shape
    if complete:
        J_Xg[:] = 0.0
        for i in range(n):
            for c in range(P - 1):
                J_Xg[c] += D[i, P - 1] * cross[i, c]
        return
    gradient, J = np.empty(P), np.empty((P, P))
    partial_likelihood(D, np.zeros(n), beta, sets, risk_sums(sets, P), gradient, J)
    for c in range(P - 1):
        J_Xg[c] = J[P - 1, c]


@jit
def _one_row(
    counts: Float64Array,
    X: Float64Array,
    sets: RiskSets,
    start: Float64Array,
    cross: Float64Array,
    L_null: Float64Array,
    complete: bool,
    what: int,
    trend: bool,
    clock: Float64Array,
    numbers: Float64Array,
) -> int:
    """What `analyse_rows` does of one variant, on n samples that are all observed; the status."""
    n, C = X.shape  # C without a constant here
    P = C + 1
    centre = counts.sum() / n
    D, beta = np.empty((n, P)), np.zeros(P)
    for i in range(n):
        for c in range(C):
            D[i, c] = X[i, c]
        D[i, C] = counts[i] - centre
    put(beta, 0, start)
    J_Xg, scratch, along = np.empty(C), np.empty(C), np.empty(C)
    _cross_information(D, beta, sets, cross, complete, J_Xg)
    solve_lower(L_null, J_Xg, scratch, C)
    solve_upper(L_null, scratch, along, C)
    rest, offset = np.empty((n, 1)), np.zeros(n)
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
        state = _refit(D, sets, start, along, null_objective, what, beta, numbers)
    if state == FINE and trend and _carriers_with_events(counts, sets) >= TREND_LEAST:
        if what == SCORE or what == SPA or what == FIRTH_APPROX or what == EXACT:
            beta[C] = numbers[BETA]
            for c in range(C):
                beta[c] = start[c] - along[c] * beta[C]
        numbers[TREND] = hazards_trend(D, beta, sets, clock)
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
    beta, L, best, at_zero = np.zeros(1), np.zeros((1, 1)), 0.0, 0.0
    b, tries, ends = 0.0, 0, np.empty(4)
    # Nothing free: the objective at 0. Then one coefficient. Then it is held where the profile has fallen, on either side.
    stage = 0
    while stage < (4 if bounded else 2):
        if stage > 1:
            beta[0] = b
        status, objective, iterations = fit(rest, offset, sets, True, False, 1 if stage == 1 else 0, beta, sums, L)
        if stage > 1:
            after = next_end(numbers[BETA], b, 2.0 * (best - objective) if status == CONVERGED else np.inf, ends)
            tries += 1
            if after != b and tries < MAX_ENDS:
                b = after
                continue
            if after == b:
                numbers[LOWER + stage - 2] = b
        elif status != CONVERGED:
            return NOT_CONVERGED
        if stage == 0:
            at_zero = objective
        elif stage == 1:
            best = objective
            numbers[ITERATIONS], numbers[BETA], numbers[MODEL_SE] = iterations, beta[0], 1.0 / L[0, 0]
            numbers[STATISTIC] = math.copysign(math.sqrt(max(0.0, 2.0 * (best - at_zero))), beta[0])
        if stage > 0:
            side = -1.0 if stage == 1 else 1.0
            tries, b = 0, numbers[BETA] + side * Z_975 * numbers[MODEL_SE]
            start_end(numbers[BETA], ends)
        stage += 1
    return FINE


@jit
def _refit(
    D: Float64Array,
    sets: RiskSets,
    start: Float64Array,
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
    n, P = D.shape
    C = P - 1
    L = np.zeros((P, P))
    sums = risk_sums(sets, P)
    penalised = what == FIRTH
    found, best, at_zero = np.empty(P), 0.0, null_objective
    b, tries, ends = 0.0, 0, np.empty(4)
    for c in range(C):
        beta[c] = start[c] - along[c] * beta[C]
    # All coefficients; g's held at 0; g's held where the profile has fallen, on either side.
    stage = 0
    while stage < (4 if penalised else 1):
        if stage == 1:
            put(beta, 0, start)
            beta[C] = 0.0
        elif stage > 1:
            for c in range(C):
                beta[c] = found[c] - along[c] * (b - found[C])
            beta[C] = b
        free = P if stage == 0 else C
        state, objective, iterations = fit(D, np.zeros(n), sets, penalised, False, free, beta, sums, L)
        if stage > 1:
            after = next_end(found[C], b, 2.0 * (best - objective) if state == CONVERGED else np.inf, ends)
            tries += 1
            if after != b and tries < MAX_ENDS:
                b = after
                continue
            if after == b:
                numbers[LOWER + stage - 2] = b
        elif state != CONVERGED:
            return NOT_CONVERGED
        if stage == 0:
            numbers[ITERATIONS] = iterations
            numbers[BETA] = beta[C]
            # The last diagonal entry of the inverse of L L' is 1 / L[C, C]^2.
            numbers[MODEL_SE] = 1.0 / L[C, C]
            numbers[STATISTIC] = beta[C] * L[C, C]
            put(found, 0, beta)
            best = objective
        else:
            at_zero = objective if stage == 1 else at_zero
            side = -1.0 if stage == 1 else 1.0
            tries, b = 0, found[C] + side * Z_975 * numbers[MODEL_SE]
            start_end(found[C], ends)
        stage += 1
    put(beta, 0, found)
    if what == LRT or what == FIRTH:
        gain = max(0.0, 2.0 * (best - at_zero))
        numbers[STATISTIC] = math.copysign(math.sqrt(gain), numbers[BETA])
    return FINE
