"""Logistic regression of one variant at a time, eight samples at a time: Wald tests, and Firth's as PLINK 2 does it.

The same estimates as `genassoc.kernels.likelihoods.logistic_rows` gives, in float64, for rows without surprises. What is unusual
(a fit that does not converge, a covariate or genotype that is a combination of others, one outcome) is left to it: those
rows come back not done, so that every code is given in one place.
"""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.vector64 import FOUR, LANES64, TILE, add_dots
from genassoc.kernels.likelihoods.logistic import (
    MAX_HALVINGS,
    MAX_ITERATIONS,
    MAX_STEP,
    PLAIN_ITERATIONS,
    STEP_TOLERANCE,
    cholesky,
)
from genassoc.kernels.likelihoods.logistic_tiles import (
    add_tile,
    collect,
    evaluate,
    lay_out,
    longest_change,
    penalise,
    set_genotype,
    sound,
    sums_size,
)
from genassoc.kernels.likelihoods.newton import newton_step
from genassoc.kernels.likelihoods.rows import BETA, FIRTH_PLINK2, ITERATIONS, MODEL_SE, STATISTIC, WALD_PLINK2
from genassoc.shapes import BoolArray, Float64Array, Int64Array

# Firth's step takes the penalty's curvature for g alone where leverages of all samples but carriers are small.
SAMPLES_A_COEFFICIENT = 40


@jit
def _sums_at_start(T: Float64Array, y: Float64Array, C: int, H: Float64Array, score: Float64Array) -> None:
    """``X'X`` (C, C) and ``X'(2 y - 1)`` (C,) of all samples: R's start weighs all of them alike."""
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


@jit
def _start_as_r(
    T: Float64Array,
    y: Float64Array,
    keep: Float64Array,
    X: Float64Array,
    H: Float64Array,
    score: Float64Array,
    J: Float64Array,
    gradient: Float64Array,
) -> float:
    """`evaluate` at R's start ``mu = (y + 1/2) / 2``, the gradient that of the working response; H, score of `_sums_at_start`.

    mu is 3/4 or 1/4, so that all weights are 3/16, the weight times the working response ``w eta + y - mu`` is
    ``+- (3/16 log 3 + 1/4)``, and the log likelihood log 3/4 a sample: only g has to be visited.
    """
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
            J[j, k] = H[j, k]
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
    T: Float64Array,
    y: Float64Array,
    keep: Float64Array,
    offset: Float64Array,
    as_r: bool,
    X: Float64Array,
    H: Float64Array,
    score: Float64Array,
    beta: Float64Array,
    L: Float64Array,
    w: Float64Array,
    r: Float64Array,
) -> int:
    """Newton's method from beta, or as `genassoc.kernels.likelihoods.logistic.fit_as_r`; iterations, or -1 where it is not done.

    H and score are those of `_sums_at_start`.
    """
    P = beta.size
    J, gradient, step, scratch = np.zeros((P, P)), np.zeros(P), np.zeros(P), np.zeros(P)
    before, objective = 0.0, 0.0
    # In a loop, not one call for each: numba compiles every call anew. The first evaluation is at the start.
    with_gram, again = True, False
    iteration = 0
    while iteration <= PLAIN_ITERATIONS:
        if as_r and iteration == 0:
            objective = _start_as_r(T, y, keep, X, H, score, J, gradient)
        else:
            objective = evaluate(T, y, keep, offset, beta, with_gram, w, r, J, gradient)
        if not math.isfinite(objective):
            return -1
        if iteration > 0 and not again:
            if as_r and abs(objective - before) < 1e-8 * (0.05 + abs(objective)):
                return iteration
            if not as_r and objective < before - 1e-10 * (1.0 + abs(before)):
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
    T: Float64Array,
    y: Float64Array,
    keep: Float64Array,
    offset: Float64Array,
    beta: Float64Array,
    L: Float64Array,
    w: Float64Array,
    r: Float64Array,
    curved: Float64Array,
) -> int:
    """The penalised maximum from beta, as `genassoc.kernels.likelihoods.logistic.fit`; iterations, or -1 where it is not done.

    L becomes the factor of ``T' diag((1 + h) w) T`` at the estimate.
    """
    P = beta.size
    width = T.size // keep.size
    J, F, gradient = np.zeros((P, P)), np.zeros((P, P)), np.zeros(P)
    step, scratch, before = np.zeros(P), np.zeros(P), np.zeros(P)
    best, halvings, done = -np.inf, 0, False
    n = 0.0
    for i in range(keep.size):
        n += keep[i]
    first = width - FOUR if n > SAMPLES_A_COEFFICIENT * P else 0
    for iteration in range(MAX_ITERATIONS):
        objective = evaluate(T, y, keep, offset, beta, True, w, r, J, gradient)
        log_determinant = cholesky(J, L, P)
        if iteration == 0 and (math.isnan(log_determinant) or not sound(J, L)):
            return -1
        objective += 0.5 * log_determinant
        if iteration > 0 and not objective >= best - 1e-10 * (1.0 + abs(best)):
            halvings += 1
            if halvings > MAX_HALVINGS:
                return -1
            for j in range(P):
                step[j] *= 0.5
                beta[j] = before[j] + step[j]
            continue
        best, halvings = objective, 0
        # Only g's row of F is exact away from the estimate: the others' leverages are small. `done` makes it all exact.
        for j in range(P):
            for k in range(P):
                F[j, k] = J[j, k]
        largest = penalise(T, y, keep, L, P, 0 if done else first, w, r, curved, F, gradient)
        if math.isnan(cholesky(F, L, P)):
            return -1
        decrement = newton_step(L, gradient, step, scratch)
        if decrement < STEP_TOLERANCE and (done or first == 0):
            return iteration
        if decrement * decrement < STEP_TOLERANCE:
            done = True
        if 2.0 * decrement * largest > MAX_STEP * MAX_STEP:
            longest = longest_change(T, keep, step)
            if longest > MAX_STEP:
                for j in range(P):
                    step[j] *= MAX_STEP / longest
        for j in range(P):
            before[j] = beta[j]
            beta[j] += step[j]
    return -1


@jit
def wald_rows(
    G: Float64Array,
    asked: Int64Array,
    X: Float64Array,
    y: Float64Array,
    offset: Float64Array,
    start: Float64Array,
    penalised_start: Float64Array,
    numbers: Float64Array,
    done: BoolArray,
) -> None:
    """Wald tests (WALD, WALD_PLINK2, FIRTH_PLINK2) of rows without surprises; arguments as of `analyse_rows`.

    Parameters
    ----------
    G : float64 array (R, n)
        Copies of the minor allele in the trait's samples, NaN where not observed.
    asked : int64 array (R,)
    X : float64 array (n, C)
        Orthonormal covariates, the constant first; y, offset (n,).
    start, penalised_start : float64 arrays (C,)
    numbers : float64 array (R, N_NUMBERS)
        Filled where done: beta, its standard error, z, iterations.
    done : bool array (R,)
        Filled: False where `analyse_rows` has to decide what the row is.
    """
    n, C = X.shape
    P = C + 1
    T = lay_out(X)
    padded = ((n + TILE - 1) // TILE) * TILE
    yy, oo, keep = np.zeros(padded), np.zeros(padded), np.zeros(padded)
    for i in range(n):
        yy[i], oo[i] = y[i], offset[i]
    w, r, curved, L = np.zeros(padded), np.zeros(padded), np.zeros(padded), np.zeros((P, P))
    none = np.zeros(padded)
    beta, H, score = np.zeros(P), np.zeros((C, C)), np.zeros(C)
    _sums_at_start(T, yy, C, H, score)
    for row in range(G.shape[0]):
        done[row] = False
        if not set_genotype(G[row], yy, T, keep):
            continue
        as_r = asked[row] == WALD_PLINK2
        penalised = asked[row] == FIRTH_PLINK2
        for c in range(C):
            beta[c] = penalised_start[c] if penalised else (0.0 if as_r else start[c])
        beta[C] = 0.0
        if penalised:
            iterations = _fit_firth(T, yy, keep, oo, beta, L, w, r, curved)
        else:
            # R's fit takes no offset, as `fit_as_r`
            iterations = _fit_wald(T, yy, keep, none if as_r else oo, as_r, X, H, score, beta, L, w, r)
        done[row] = iterations >= 0
        if iterations >= 0:
            numbers[row, BETA] = beta[C]
            # The last diagonal entry of the inverse of L L' is 1 / L[C, C]^2.
            numbers[row, MODEL_SE] = 1.0 / L[C, C]
            numbers[row, STATISTIC] = beta[C] * L[C, C]
            numbers[row, ITERATIONS] = iterations
