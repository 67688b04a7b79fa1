"""Logistic regression on D tested columns, one variant at a time: Wald tests of rows without surprises.

Eight samples at a time, as `genassoc.kernels.likelihoods.logistic_wald`; rows with surprises (no convergence, a column near a
combination of others, one outcome) come back NOT_CONVERGED, and are fitted on their own complete cases by
`genassoc.kernels.likelihoods.logistic.fit`. HC3 is that of the working residuals:
``J^-1 [sum_i d_i d_i' (y_i - mu_i)^2 / (1 - h_i)^2] J^-1``, ``h_i = w_i d_i'J^-1 d_i``.
"""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.lanes.vector64 import TILE
from genassoc.kernels.laws.sandwich import LEAST_SLACK, WaldFits, model_covariance, reaches
from genassoc.kernels.likelihoods.cholesky import cholesky, solve_lower
from genassoc.kernels.likelihoods.logistic import PLAIN_ITERATIONS, STEP_TOLERANCE
from genassoc.kernels.likelihoods.logistic_tiles import (
    SAFE_SHARE,
    Tiles,
    Weights,
    log_likelihood,
    set_genotype,
    sound,
    tiled,
    weights_of,
)
from genassoc.kernels.likelihoods.newton import ROUNDING, newton_step
from genassoc.kernels.likelihoods.rows import FINE, NOT_CONVERGED, Trait
from genassoc.shapes import Float64Array


class LogisticSamples(NamedTuple):
    """Samples of one trait.

    Attributes
    ----------
    X : float64 array (n, C)
        Orthonormal covariates, the constant first.
    y, offset : float64 arrays (n,)
    start : float64 array (C,)
        Coefficients of the null.
    """

    X: Float64Array
    y: Float64Array
    offset: Float64Array
    start: Float64Array


@jit
def _set_column(values: Float64Array, keep: Float64Array, T: Float64Array, column: int) -> None:
    """A tested column (n,) into its place in the tiles; 0 where not observed."""
    width = T.size // keep.size
    for i in range(values.size):
        T[(i // TILE) * width * TILE + i % TILE + column * TILE] = values[i] if keep[i] > 0.0 else 0.0


@jit
def _fit(tiles: Tiles, beta: Float64Array, L: Float64Array, weights: Weights, n_tested: int) -> int:
    """Newton's method from beta; iterations, or -1 where it is not done."""
    P = beta.size
    J, gradient, step, scratch = np.zeros((P, P)), np.zeros(P), np.zeros(P), np.zeros(P)
    before = -np.inf
    for iteration in range(PLAIN_ITERATIONS + 1):
        objective = log_likelihood(tiles, beta, True, weights, J, gradient)
        if not math.isfinite(objective) or objective < before - ROUNDING * (1.0 + abs(before)):
            return -1
        if math.isnan(cholesky(J, L, P)):
            return -1
        if iteration == 0:
            safe = sound(J, L)
            # The columns before g are tested ones, or a covariate.
            for j in range(P - max(n_tested, 2), P - 1):
                safe = safe and L[j, j] * L[j, j] > SAFE_SHARE * J[j, j]
            if not safe:
                return -1
        if newton_step(L, gradient, step, scratch) < STEP_TOLERANCE:
            return iteration
        for j in range(P):
            beta[j] += step[j]
        before = objective
    return -1


@jit
def _hc3(H: Float64Array, X: Float64Array, L: Float64Array, w: Float64Array, r: Float64Array, V: Float64Array) -> bool:
    """HC3's covariance (D, D) of the tested columns H (D, n); whether no sample has a leverage of 1."""
    n, C = X.shape
    P, n_tested = L.shape[0], H.shape[0]
    d, v, reach = np.empty(P), np.empty(P), np.empty(n_tested)
    V[:, :] = 0.0
    least = 1.0
    for i in range(n):
        if math.isnan(H[0, i]):
            continue
        for c in range(C):
            d[c] = X[i, c]
        for k in range(n_tested):
            d[P - 1 - k] = H[k, i]
        solve_lower(L, d, v, P)
        h = 0.0
        for j in range(P):
            h += v[j] * v[j]
        slack = 1.0 - w[i] * h
        least = min(least, slack)
        reaches(L, v, reach)
        size = r[i] / max(slack, LEAST_SLACK)
        for j in range(n_tested):
            for k in range(n_tested):
                V[j, k] += reach[j] * reach[k] * size * size
    return least > LEAST_SLACK


@jit
def wald_rows(H: Float64Array, samples: LogisticSamples, robust: bool, fits: WaldFits) -> None:
    """Fit rows without surprises.

    Parameters
    ----------
    H : float64 array (R, D, n)
        Tested columns in the trait's samples, g the first; NaN where not observed.
    samples : LogisticSamples
    robust : bool
        Whether covariances are HC3's, else the likelihood's.
    fits : WaldFits
        Filled where the status is FINE; others are NOT_CONVERGED. Degrees of freedom are infinite.
    """
    X = samples.X
    n, C = X.shape
    n_tested = H.shape[1]
    P = C + n_tested
    wide = np.zeros((n, P - 1))
    for i in range(n):
        put(wide[i], 0, X[i])
    tiles = tiled(wide, Trait(samples.y, samples.offset, samples.offset))
    weights, L, beta = weights_of(tiles), np.zeros((P, P)), np.zeros(P)
    for row in range(H.shape[0]):
        fits.status[row] = NOT_CONVERGED
        if not set_genotype(H[row, 0], tiles.y, tiles.T, tiles.keep):
            continue
        for k in range(1, n_tested):
            _set_column(H[row, k], tiles.keep, tiles.T, P - 1 - k)
        beta[:] = 0.0
        put(beta, 0, samples.start)
        iterations = _fit(tiles, beta, L, weights, n_tested)
        if iterations < 0:
            continue
        if robust:
            if not _hc3(H[row], X, L, weights.w, weights.r, fits.covariance[row]):
                continue
        else:
            model_covariance(L, 1.0, fits.covariance[row])
        for k in range(n_tested):
            fits.theta[row, k] = beta[P - 1 - k]
        fits.freedom[row] = np.inf
        fits.iterations[row], fits.status[row] = iterations, FINE
