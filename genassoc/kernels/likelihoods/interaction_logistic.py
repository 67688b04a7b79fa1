"""Logistic regression on g and on g e, e a covariate, with g in the null: Wald tests of rows without surprises.

Eight samples at a time, as `genassoc.kernels.likelihoods.logistic_wald`; rows with surprises (no convergence, a column near a combination
of others, one outcome) come back not done, and are fitted on their own complete cases by `genassoc.kernels.likelihoods.logistic.fit`.
HC3 is that of the working residuals: ``J^-1 [sum_i d_i d_i' (y_i - mu_i)^2 / (1 - h_i)^2] J^-1``, ``h_i = w_i d_i'J^-1 d_i``.
"""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.lanes.vector64 import TILE
from genassoc.kernels.likelihoods.logistic import PLAIN_ITERATIONS, STEP_TOLERANCE, cholesky, solve_lower
from genassoc.kernels.likelihoods.logistic_tiles import SAFE_SHARE, evaluate, lay_out, set_genotype, sound
from genassoc.kernels.likelihoods.newton import newton_step
from genassoc.shapes import BoolArray, Float64Array

# Columns of the numbers of a row: coefficients of g and g e, their covariances, iterations.
G, GE, VAR_G, COVARIANCE, VAR_GE, ITERATIONS = 0, 1, 2, 3, 4, 5
N_NUMBERS = 6
LEAST_SLACK = 1e-8  # of 1 - h: below it a sample's residual is rounding


@jit
def _set_product(e: Float64Array, keep: Float64Array, T: Float64Array, at_column: int) -> None:
    """The column g e of the tiles, of their column g (the last)."""
    width = T.size // keep.size
    for i in range(e.size):
        base = (i // TILE) * width * TILE + i % TILE
        T[base + at_column * TILE] = T[base + (width - 1) * TILE] * e[i]


@jit
def _fit(
    T: Float64Array,
    y: Float64Array,
    keep: Float64Array,
    offset: Float64Array,
    beta: Float64Array,
    L: Float64Array,
    w: Float64Array,
    r: Float64Array,
) -> int:
    """Newton's method from beta; iterations, or -1 where it is not done."""
    P = beta.size
    J, gradient, step, scratch = np.zeros((P, P)), np.zeros(P), np.zeros(P), np.zeros(P)
    before = -np.inf
    for iteration in range(PLAIN_ITERATIONS + 1):
        objective = evaluate(T, y, keep, offset, beta, True, w, r, J, gradient)
        if not math.isfinite(objective) or objective < before - 1e-10 * (1.0 + abs(before)):
            return -1
        if math.isnan(cholesky(J, L, P)):
            return -1
        # The column before g is g e, or a covariate.
        pivot = L[P - 2, P - 2] * L[P - 2, P - 2]
        if iteration == 0 and (not sound(J, L) or not pivot > SAFE_SHARE * J[P - 2, P - 2]):
            return -1
        if newton_step(L, gradient, step, scratch) < STEP_TOLERANCE:
            return iteration
        for j in range(P):
            beta[j] += step[j]
        before = objective
    return -1


@jit
def _meat(
    calls: Float64Array,
    e: Float64Array,
    X: Float64Array,
    L: Float64Array,
    w: Float64Array,
    r: Float64Array,
    M: Float64Array,
) -> bool:
    """Sum over the samples of the last two of ``L^-1 d`` times themselves and the squared HC3 residual; whether no h is 1."""
    n, C = X.shape
    P = L.shape[0]
    d, v = np.empty(P), np.empty(P)
    M[:] = 0.0
    least = 1.0
    for i in range(n):
        if math.isnan(calls[i]):
            continue
        for c in range(C):
            d[c] = X[i, c]
        d[P - 1] = calls[i]
        if P == C + 2:
            d[C] = calls[i] * e[i]
        solve_lower(L, d, v, P)
        h = 0.0
        for j in range(P):
            h += v[j] * v[j]
        slack = 1.0 - w[i] * h
        least = min(least, slack)
        size = r[i] / max(slack, LEAST_SLACK)
        for j in range(2):
            for k in range(2):
                M[j, k] += v[P - 2 + j] * v[P - 2 + k] * size * size
    return least > LEAST_SLACK


@jit
def wald_pairs(
    calls: Float64Array,
    e: Float64Array,
    two: bool,
    robust: bool,
    X: Float64Array,
    y: Float64Array,
    offset: Float64Array,
    start: Float64Array,
    numbers: Float64Array,
    done: BoolArray,
) -> None:
    """Fit rows without surprises.

    Parameters
    ----------
    calls : float64 array (R, n)
        Copies in the trait's samples, NaN where not observed.
    e : float64 array (n,)
    two, robust : bool
        Whether there is a column g e; whether covariances are HC3's.
    X : float64 array (n, C)
        Orthonormal covariates, the constant first; y, offset (n,).
    start : float64 array (C,)
        Coefficients of the null.
    numbers : float64 array (R, N_NUMBERS)
        Filled where done.
    done : bool array (R,)
    """
    n, C = X.shape
    P = C + (2 if two else 1)
    wide = np.zeros((n, P - 1))
    for i in range(n):
        put(wide[i], 0, X[i])
    T = lay_out(wide)
    padded = ((n + TILE - 1) // TILE) * TILE
    yy, oo, keep = np.zeros(padded), np.zeros(padded), np.zeros(padded)
    put(yy, 0, y)
    put(oo, 0, offset)
    w, r, L, M = np.zeros(padded), np.zeros(padded), np.zeros((P, P)), np.zeros((2, 2))
    beta = np.zeros(P)
    for row in range(calls.shape[0]):
        done[row] = False
        if not set_genotype(calls[row], yy, T, keep):
            continue
        if two:
            _set_product(e, keep, T, C)
        beta[:] = 0.0
        put(beta, 0, start)
        iterations = _fit(T, yy, keep, oo, beta, L, w, r)
        M[0, 0], M[0, 1], M[1, 0], M[1, 1] = 1.0, 0.0, 0.0, 1.0
        sound_h = True
        if iterations >= 0 and robust:
            sound_h = _meat(calls[row], e, X, L, w, r, M)
        done[row] = iterations >= 0 and sound_h
        if not done[row]:
            continue
        # L22 = [[p, 0], [q, s]] of (g e, g); their covariance is L22^-T M L22^-1.
        p, q, s = L[P - 2, P - 2], L[P - 1, P - 2], L[P - 1, P - 1]
        k0, k1, k2 = 1.0 / p, -q / (p * s), 1.0 / s
        numbers[row, G] = beta[P - 1]
        numbers[row, GE] = beta[P - 2] if two else 0.0
        numbers[row, VAR_G] = k2 * k2 * M[1, 1]
        numbers[row, COVARIANCE] = k2 * (M[1, 0] * k0 + M[1, 1] * k1) if two else 0.0
        numbers[row, VAR_GE] = k0 * k0 * M[0, 0] + 2.0 * k0 * k1 * M[0, 1] + k1 * k1 * M[1, 1] if two else 0.0
        numbers[row, ITERATIONS] = iterations
