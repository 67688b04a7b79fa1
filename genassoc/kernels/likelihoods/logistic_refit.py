"""Score tests and approximate Firth of variants with missing calls: the null refitted without those samples.

For rows that the power series of the null (`genassoc.kernels.likelihoods.logistic_series`) does not serve: many covariates, or many
samples less. From the trait's null by one step from the sums over the missing samples alone, then Newton's steps on all, one or two
as a rule. What is unusual is left to `genassoc.kernels.likelihoods.logistic_rows`, as in `genassoc.kernels.likelihoods.logistic_wald`.
"""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.vector64 import FOUR, TILE, add_combination
from genassoc.kernels.likelihoods.cholesky import cholesky, solve_lower, solve_upper
from genassoc.kernels.likelihoods.logistic_firth import NO_WEIGHT, firth_one
from genassoc.kernels.likelihoods.logistic_line import firth_of_rare
from genassoc.kernels.likelihoods.logistic_tiles import (
    Tiles,
    Weights,
    log_likelihood,
    penalise,
    set_genotype,
    sound,
    tiled,
    weights_of,
)
from genassoc.kernels.likelihoods.newton import newton_step
from genassoc.kernels.likelihoods.rows import BETA, FINE, ITERATIONS, MODEL_SE, STATISTIC, Trait
from genassoc.shapes import BoolArray, Float64Array

MAX_STEPS = 12
# Squared length, in standard errors of the covariates, of the last step; the next would be its square. The information is that before the
# last step: in a small cohort, where one sample moves the null far, it is wrong by as much as the step is long. A score test takes its
# null's error as it is, Firth's fit only its product with the penalised null's.
SCORE_STEP, NULL_STEP = 1e-14, 1e-12
# Steps of the penalised null leave the penalty's curvature out: the next is a hundredth of the last.
PENALISED_STEP = 1e-9


@jit
def _without_missing(
    X: Float64Array, calls: Float64Array, w: Float64Array, r: Float64Array, H: Float64Array, step: Float64Array
) -> bool:
    """Newton's step of the null that all samples have, H its information, when the missing ones are left out."""
    C = step.size
    A, L, b, z = np.empty((C, C)), np.zeros((C, C)), np.zeros(C), np.zeros(C)
    for j in range(C):
        for k in range(j + 1):
            A[j, k] = H[j, k]
    for i in range(calls.size):
        if math.isnan(calls[i]):
            for j in range(C):
                b[j] -= r[i] * X[i, j]
                x = w[i] * X[i, j]
                for k in range(j + 1):
                    A[j, k] -= x * X[i, k]
    if math.isnan(cholesky(A, L, C)):
        return False
    solve_lower(L, b, z, C)
    solve_upper(L, z, step, C)
    return True


@jit
def _refit(
    tiles: Tiles, penalised: bool, enough: float, beta: Float64Array, weights: Weights, J: Float64Array, L: Float64Array,
    gradient: Float64Array,
) -> bool:  # fmt: skip
    """Maximise the (penalised) likelihood of the covariates from beta (P,), g's coefficient 0, until a step is short enough.

    J, L, the weights and the gradient are at the last but one estimate of the null.
    """
    P = beta.size
    C = P - 1
    F, z, step = np.zeros((P, P)), np.zeros(P), np.zeros(P)
    for iteration in range(MAX_STEPS):
        objective = log_likelihood(tiles, beta, True, weights, J, gradient)
        if not math.isfinite(objective) or math.isnan(cholesky(J, L, P)) or (iteration == 0 and not sound(J, L)):
            return False
        if penalised:
            penalise(tiles, L, C, tiles.T.size // tiles.keep.size, weights, F, gradient)
        decrement = newton_step(L, gradient[:C], step[:C], z)
        if not decrement < 1.0:
            return False
        for c in range(C):
            beta[c] += step[c]
        if decrement < enough:
            return True
    return False


@jit
def residual_genotype(
    T: Float64Array, keep: Float64Array, w: Float64Array, gamma: Float64Array, beta: Float64Array, d: Float64Array,
    eta: Float64Array,
) -> None:  # fmt: skip
    """``d = g - X gamma`` and ``eta = X beta`` of the samples observed, 0 for others; from the columns of the tiles."""
    C = gamma.size
    width = T.size // keep.size
    left, factors = np.zeros(width), np.zeros(width)
    for c in range(C):
        left[c], factors[c] = -gamma[c], beta[c]
    left[width - 1] = 1.0
    value, odds = np.empty(TILE), np.empty(TILE)
    for t in range(keep.size // TILE):
        for i in range(TILE):
            value[i] = odds[i] = 0.0
        for k in range(0, width, FOUR):
            add_combination(T, (t * width + k) * TILE, left, k, value, 0)
            add_combination(T, (t * width + k) * TILE, factors, k, odds, 0)
        for i in range(min(TILE, d.size - t * TILE)):
            at = t * TILE + i
            # A sample that the null fits perfectly says nothing; its residual is extrapolated from all others.
            d[at] = value[i] * keep[at] if w[at] >= NO_WEIGHT else 0.0
            eta[at] = odds[i] * keep[at]


@jit
def refit_rows(
    G: Float64Array,
    firth: BoolArray,
    X: Float64Array,
    trait: Trait,
    starts: Float64Array,
    numbers: Float64Array,
    done: BoolArray,
) -> None:
    """Score tests, or approximate Firth, of rows without surprises; arguments as of `analyse_rows`.

    Parameters
    ----------
    G : float64 array (R, n)
        Copies of the minor allele in the trait's samples, NaN where not observed.
    firth : bool array (R,)
        Whether approximate Firth is wanted, the score test otherwise.
    X : float64 array (n, C)
        Orthonormal covariates, the constant first.
    trait : Trait
    starts : float64 array (2, C)
        The null's coefficients without and with Firth's penalty.
    numbers : float64 array (R, N_NUMBERS)
        Filled where done: beta, its standard error, the signed statistic, iterations, of Firth the interval.
    done : bool array (R,)
        Filled: False where `analyse_rows` has to decide what the row is.
    """
    n, C = X.shape
    P = C + 1
    tiles = tiled(X, trait)
    weights, whole, H = weights_of(tiles), weights_of(tiles), np.zeros((P, P))
    T, keep, y = tiles.T, tiles.keep, trait.y
    for i in range(n):
        keep[i] = 1.0
    J, L, gradient = np.zeros((P, P)), np.zeros((P, P)), np.zeros(P)
    beta, shift, gamma, z = np.zeros(P), np.zeros(C), np.zeros(C), np.zeros(C)
    d, eta = np.zeros(n), np.zeros(n)
    for c in range(C):
        beta[c] = starts[0, c]
    # The null of all samples: g's column is still empty.
    log_likelihood(tiles, beta, True, whole, H, gradient)
    for row in range(G.shape[0]):
        done[row] = False
        if not set_genotype(G[row], tiles.y, T, keep):
            continue
        if not _without_missing(X, G[row], whole.w, whole.r, H, shift):
            continue
        fine = True
        # In a loop, not one call for each: numba compiles every call anew. The penalised null moves as the null does.
        for penalised in range(2 if firth[row] else 1):
            for c in range(C):
                beta[c] = starts[penalised, c] + shift[c]
            beta[C] = 0.0
            enough = PENALISED_STEP if penalised == 1 else (NULL_STEP if firth[row] else SCORE_STEP)
            fine = fine and _refit(tiles, penalised == 1, enough, beta, weights, J, L, gradient)
            if penalised == 0 and fine:
                for c in range(C):
                    shift[c] = beta[c] - starts[0, c]
                    z[c] = L[C, c]
                solve_upper(L, z, gamma, C)
                spread = L[C, C] * L[C, C]
                U = gradient[C]
                for c in range(C):
                    U -= gamma[c] * gradient[c]
        if not fine:
            continue
        if firth[row]:
            residual_genotype(T, keep, weights.w, gamma, beta, d, eta)
            for i in range(n):
                eta[i] += trait.offset[i]
            done[row] = firth_of_rare(d, eta, y, G[row], numbers[row])
            if not done[row]:
                done[row] = firth_one(d, y, eta, numbers[row]) == FINE
        else:
            numbers[row, BETA], numbers[row, MODEL_SE] = U / spread, 1.0 / math.sqrt(spread)
            numbers[row, STATISTIC], numbers[row, ITERATIONS] = U / math.sqrt(spread), 0.0
            done[row] = True
