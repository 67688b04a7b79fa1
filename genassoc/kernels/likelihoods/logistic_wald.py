"""Logistic regression of one variant at a time, eight samples at a time: Wald tests, and Firth's as PLINK 2 does it.

The same estimates as `genassoc.kernels.likelihoods.logistic_rows` gives, in float64, for rows without surprises. What is unusual
(a fit that does not converge, a covariate or genotype that is a combination of others, one outcome) is left to it: those
rows come back not done, so that every code is given in one place.
"""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.lanes.vector64 import FOUR, LANES64, TILE, add_dots
from genassoc.kernels.laws.profile import TRIAL, begin_search, interval_search, next_trial
from genassoc.kernels.likelihoods.cholesky import cholesky
from genassoc.kernels.likelihoods.logistic import (
    MAX_HALVINGS,
    MAX_ITERATIONS,
    MAX_STEP,
    PLAIN_ITERATIONS,
    STEP_TOLERANCE,
)
from genassoc.kernels.likelihoods.logistic_tiles import (
    Tiles,
    Weights,
    add_tile,
    collect,
    log_likelihood,
    longest_change,
    penalise,
    set_genotype,
    sound,
    sums_size,
    tiled,
    weights_of,
)
from genassoc.kernels.likelihoods.newton import FELL, ROUNDING, UNDER_WAY, climb_of, judge, newton_step, step_on
from genassoc.kernels.likelihoods.rows import (
    BETA,
    FIRTH,
    FIRTH_PLINK2,
    ITERATIONS,
    MODEL_SE,
    STATISTIC,
    WALD_PLINK2,
    Trait,
)
from genassoc.shapes import BoolArray, Float64Array, Int64Array

# Firth's step takes the penalty's curvature for g alone where leverages of all samples but carriers are small.
SAMPLES_A_COEFFICIENT = 40


class _Start(NamedTuple):
    """Sums of all samples, of R's start: ``X'X`` (C, C) and ``X'(2 y - 1)`` (C,)."""

    squares: Float64Array
    score: Float64Array


@jit
def _sums_at_start(tiles: Tiles, C: int) -> _Start:
    """R's start weighs all samples alike."""
    T, y = tiles.T, tiles.y
    H, score = np.zeros((C, C)), np.zeros(C)
    width = T.size // y.size
    sums, sign, ones = np.zeros(sums_size(width)), np.empty(TILE), np.ones(TILE)
    for t in range(y.size // TILE):
        for i in range(TILE):
            sign[i] = 2.0 * y[t * TILE + i] - 1.0  # padding has no covariates
        add_tile(T, t * width * TILE, width, 0, 0, ones, sign, sums)
    J, gradient = np.zeros((C + 1, C + 1)), np.zeros(C + 1)
    collect(sums, width, 0, J, gradient)
    for j in range(C):
        score[j] = gradient[j]
        for k in range(C):
            H[j, k] = J[j, k]
    return _Start(H, score)


@jit
def _start_as_r(tiles: Tiles, X: Float64Array, start: _Start, J: Float64Array, gradient: Float64Array) -> float:
    """`log_likelihood` at R's start ``mu = (y + 1/2) / 2``, the gradient that of the working response; without an offset.

    mu is 3/4 or 1/4, so that all weights are 3/16, the weight times the working response ``w eta + y - mu`` is
    ``+- (3/16 log 3 + 1/4)``, and the log likelihood log 3/4 a sample: only g has to be visited.
    """
    T, y, keep, score = tiles.T, tiles.y, tiles.keep, start.score
    C = score.size
    width = T.size // keep.size
    sums, scores = np.zeros(width * LANES64), np.zeros(TILE)
    for t in range(keep.size // TILE):
        base = t * width * TILE
        own = base + (width - 1) * TILE
        for k in range(0, width, FOUR):
            add_dots(T, own, T, base + k * TILE, sums, k * LANES64)
        for i in range(TILE):
            scores[i] += T[own + i] * (2.0 * y[t * TILE + i] - 1.0)
    gradient[C] = 0.0
    for i in range(TILE):
        gradient[C] += scores[i]
    for c in range(C + 1):
        J[C, c] = 0.0
        for lane in range(LANES64):
            J[C, c] += sums[(c if c < C else width - 1) * LANES64 + lane]
    for j in range(C):
        gradient[j] = score[j]
        for k in range(j + 1):
            J[j, k] = start.squares[j, k]
    n = X.shape[0]
    for i in range(X.shape[0]):
        if keep[i] == 0.0:
            n -= 1
            for j in range(C):
                gradient[j] -= X[i, j] * (2.0 * y[i] - 1.0)
                for k in range(j + 1):
                    J[j, k] -= X[i, j] * X[i, k]
    for j in range(C + 1):
        gradient[j] *= 0.1875 * math.log(3.0) + 0.25
        for k in range(j + 1):
            J[j, k] *= 0.1875
            J[k, j] = J[j, k]
    return n * math.log(0.75)


@jit
def _fit_wald(
    tiles: Tiles, as_r: bool, X: Float64Array, start: _Start, beta: Float64Array, weights: Weights, L: Float64Array
) -> int:
    """Newton's method from beta, or as `genassoc.kernels.likelihoods.logistic.fit_as_r`; iterations, or -1 where it is not done."""
    P = beta.size
    J, gradient, step, scratch = np.zeros((P, P)), np.zeros(P), np.zeros(P), np.zeros(P)
    before, objective = 0.0, 0.0
    # In a loop, not one call for each: numba compiles every call anew. The first evaluation is at the start.
    with_gram, again = True, False
    iteration = 0
    while iteration <= PLAIN_ITERATIONS:
        if as_r and iteration == 0:
            objective = _start_as_r(tiles, X, start, J, gradient)
        else:
            objective = log_likelihood(tiles, beta, with_gram, weights, J, gradient)
        if not math.isfinite(objective):
            return -1
        if iteration > 0 and not again:
            if as_r and abs(objective - before) < 1e-8 * (0.05 + abs(objective)):
                return iteration
            if not as_r and objective < before - ROUNDING * (1.0 + abs(before)):
                return -1  # the rows' own code halves such a step
            if not with_gram:
                again, with_gram = True, True
                continue
        again = False
        if math.isnan(cholesky(J, L, P)) or (iteration == 0 and not sound(J, L)):
            return -1
        decrement = newton_step(L, gradient, step, scratch)
        if not as_r and decrement < STEP_TOLERANCE:
            return iteration
        # Where this step must be R's last, the information at its end is not needed.
        with_gram = not (as_r and iteration > 0 and decrement < 1e-8 * (0.05 + abs(objective)))
        for j in range(P):
            beta[j] += step[j]
        before = objective
        iteration += 1
    return -1


@jit
def _fit_firth(
    tiles: Tiles, n_free: int, as_plink: bool, beta: Float64Array, weights: Weights, L: Float64Array
) -> tuple[int, float]:
    """The penalised maximum in the first coefficients from beta (P,), as `genassoc.kernels.likelihoods.logistic.fit`.

    Iterations, -1 where it is not done, and the objective. L becomes the factor of the information at the estimate, or as PLINK 2 has
    it of ``T' diag((1 + h) w) T``.
    """
    P = beta.size
    T, keep = tiles.T, tiles.keep
    width = T.size // keep.size
    climb, F, done = climb_of(L), np.zeros((P, P)), False
    J, gradient, step = climb.J, climb.gradient, climb.step
    n = 0.0
    for i in range(keep.size):
        n += keep[i]
    first = width - FOUR if as_plink and n > SAMPLES_A_COEFFICIENT * P else 0
    for iteration in range(MAX_ITERATIONS):
        objective = log_likelihood(tiles, beta, True, weights, J, gradient)
        log_determinant = cholesky(J, L, P)
        if iteration == 0 and (math.isnan(log_determinant) or not sound(J, L)):
            return -1, np.nan
        objective += 0.5 * log_determinant
        status = judge(iteration, objective, math.isnan(log_determinant), MAX_HALVINGS, climb, beta)
        if status == FELL:
            continue
        if status != UNDER_WAY:
            return -1, np.nan
        # Only g's row of F is exact away from the estimate: the others' leverages are small. `done` makes it all exact.
        for j in range(P):
            for k in range(P):
                F[j, k] = J[j, k]
        largest = penalise(tiles, L, P, 0 if done else first, weights, F, gradient)
        if math.isnan(cholesky(F, L, n_free)):
            return -1, np.nan
        decrement = newton_step(L, gradient[:n_free], step[:n_free], climb.scratch)
        if decrement < STEP_TOLERANCE and (done or first == 0 or not as_plink):
            if not as_plink:
                cholesky(J, L, P)
            return iteration, objective
        if decrement * decrement < STEP_TOLERANCE:
            done = True
        if 2.0 * decrement * largest > MAX_STEP * MAX_STEP:
            longest = longest_change(T, keep, step)
            if longest > MAX_STEP:
                for j in range(P):
                    step[j] *= MAX_STEP / longest
        step_on(climb, beta)
    return -1, np.nan


@jit
def _ratio_under_penalty(
    tiles: Tiles, penalised_start: Float64Array, weights: Weights, L: Float64Array, row: Float64Array
) -> bool:
    """Firth's fit, its likelihood ratio and the interval by its profile, as `genassoc.kernels.likelihoods.logistic_rows` has them; whether done."""
    P = L.shape[0]
    beta, at_best, best, search = np.zeros(P), np.zeros(P), 0.0, interval_search()
    put(beta, 0, penalised_start)
    # The whole model, g's coefficient held at 0, and held where the profile has fallen by 3.84, on either side. One call in a loop:
    # numba compiles every call of `_fit_firth` anew.
    stage = 0
    while True:
        if stage == 1:
            put(beta, 0, penalised_start)
            beta[P - 1] = 0.0
        elif stage > 1:
            put(beta, 0, at_best)
            beta[P - 1] = search[TRIAL]
        iterations, objective = _fit_firth(tiles, P if stage == 0 else P - 1, False, beta, weights, L)
        if iterations < 0:
            return False
        if stage == 0:
            best = objective
            put(at_best, 0, beta)
            row[BETA], row[MODEL_SE], row[ITERATIONS] = beta[P - 1], 1.0 / L[P - 1, P - 1], iterations
        elif stage == 1:
            row[STATISTIC] = math.copysign(math.sqrt(max(0.0, 2.0 * (best - objective))), row[BETA])
            begin_search(row, row[BETA], row[MODEL_SE], search)
        elif next_trial(row[BETA], row[MODEL_SE], 2.0 * (best - objective), False, search, row):
            return True
        stage += 1


@jit
def wald_rows(
    G: Float64Array,
    asked: Int64Array,
    X: Float64Array,
    trait: Trait,
    starts: Float64Array,
    numbers: Float64Array,
    done: BoolArray,
) -> None:
    """Wald tests (WALD, WALD_PLINK2, FIRTH_PLINK2), or Firth's (FIRTH), of rows without surprises; arguments as of `analyse_rows`.

    Parameters
    ----------
    G : float64 array (R, n)
        Copies of the minor allele in the trait's samples, NaN where not observed.
    asked : int64 array (R,)
    X : float64 array (n, C)
        Orthonormal covariates, the constant first.
    trait : Trait
    starts : float64 array (2, C)
        The null's coefficients without and with Firth's penalty.
    numbers : float64 array (R, N_NUMBERS)
        Filled where done: beta, its standard error, z, iterations; of FIRTH its statistic and interval.
    done : bool array (R,)
        Filled: False where `analyse_rows` has to decide what the row is.
    """
    n, C = X.shape
    P = C + 1
    tiles = tiled(X, trait)
    weights, L, beta = weights_of(tiles), np.zeros((P, P)), np.zeros(P)
    start = _sums_at_start(tiles, C)
    given = False
    for i in range(n):
        given = given or trait.offset[i] != 0.0
    for row in range(G.shape[0]):
        done[row] = False
        as_r = asked[row] == WALD_PLINK2
        # R's start knows no offset here.
        if (as_r and given) or not set_genotype(G[row], tiles.y, tiles.T, tiles.keep):
            continue
        if asked[row] == FIRTH:
            done[row] = _ratio_under_penalty(tiles, starts[1], weights, L, numbers[row])
            continue
        penalised = asked[row] == FIRTH_PLINK2
        for c in range(C):
            beta[c] = starts[1, c] if penalised else (0.0 if as_r else starts[0, c])
        beta[C] = 0.0
        if penalised:
            iterations, _ = _fit_firth(tiles, P, True, beta, weights, L)
        else:
            iterations = _fit_wald(tiles, as_r, X, start, beta, weights, L)
        done[row] = iterations >= 0
        if iterations >= 0:
            numbers[row, BETA] = beta[C]
            # The last diagonal entry of the inverse of L L' is 1 / L[C, C]^2.
            numbers[row, MODEL_SE] = 1.0 / L[C, C]
            numbers[row, STATISTIC] = beta[C] * L[C, C]
            numbers[row, ITERATIONS] = iterations
