"""Generalised linear models with their canonical link, one variant at a time, in float64: Newton's method.

    log likelihood  sum_i v_i (y_i eta_i - b(eta_i))      mu = b'(eta)      w = v b''(eta)      eta = D beta + offset

v are prior weights. b is eta^2 / 2 (gaussian), log(1 + exp(eta)) (binomial), exp(eta) (Poisson).
"""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.lanes.tiles import collect, combine, tile_width, tiles_of
from genassoc.kernels.lanes.vector64 import TILE
from genassoc.kernels.likelihoods.bernoulli import exp_minus_abs
from genassoc.kernels.likelihoods.logistic import residualise
from genassoc.kernels.likelihoods.logistic_rows import independent_columns
from genassoc.kernels.likelihoods.logistic_tiles import add_tile, sums_size
from genassoc.kernels.likelihoods.newton import BEST, UNDER_WAY, advance, at_start
from genassoc.kernels.likelihoods.rows import (
    BETA,
    COLLINEAR,
    DF,
    DISPERSION,
    FINE,
    ITERATIONS,
    LRT,
    MAX_ITERATIONS,
    MODEL_SE,
    N_NUMBERS,
    NOT_CONVERGED,
    NULL_NOT_CONVERGED,
    ONE_OUTCOME,
    RUNAWAY,
    SCORE,
    STATISTIC,
    observed_calls,
)
from genassoc.shapes import BoolArray, Float64Array, Int64Array

GAUSSIAN, BINOMIAL, POISSON = 0, 1, 2


@jit
def log_likelihood(
    family: int, eta: Float64Array, y: Float64Array, prior: Float64Array, mu: Float64Array, w: Float64Array
) -> float:
    """Sum of ``v (y eta - b(eta))``; fills mu = b'(eta) and w = v b''(eta)."""
    total = 0.0
    scaled, x = np.empty(TILE), np.empty(TILE)
    for start in range(0, y.size, TILE):
        size = min(TILE, y.size - start)
        exp_minus_abs(eta[start : start + size], scaled, x, size)
        for at in range(size):
            i = start + at
            e, small = eta[i], x[at]
            if family == POISSON:
                # An exponential beyond all float64 is 1e307: the likelihood falls and the step is halved.
                mu[i] = small if e < 0.0 else 1.0 / small
                w[i] = prior[i] * mu[i]
                total += prior[i] * (y[i] * e - mu[i])
            elif family == BINOMIAL:
                share = 1.0 / (1.0 + small)
                mu[i] = share if e >= 0.0 else small * share
                w[i] = prior[i] * small * share * share
                total += prior[i] * (y[i] * e - max(e, 0.0) - math.log1p(small))
            else:
                mu[i] = e
                w[i] = prior[i]
                total += prior[i] * (y[i] * e - 0.5 * e * e)
    return total


@jit
def _add_samples(
    tiles: Float64Array,
    width: int,
    y: Float64Array,
    prior: Float64Array,
    mu: Float64Array,
    w: Float64Array,
    lanes: Float64Array,
) -> None:
    """Add D'WD and ``D'v(y - mu)`` to the lanes' sums."""
    weight, residual = np.zeros(TILE), np.zeros(TILE)
    for start in range(0, y.size, TILE):
        size = min(TILE, y.size - start)
        for at in range(size):
            i = start + at
            weight[at], residual[at] = w[i], prior[i] * (y[i] - mu[i])
        weight[size:] = 0.0
        residual[size:] = 0.0
        add_tile(tiles, start * width, width, 0, 0, weight, residual, lanes)


@jit
def fit(
    family: int,
    D: Float64Array,
    y: Float64Array,
    offset: Float64Array,
    prior: Float64Array,
    watch: int,
    beta: Float64Array,
    eta: Float64Array,
    mu: Float64Array,
    w: Float64Array,
    L: Float64Array,
) -> tuple[int, float, int]:
    """Maximise the log likelihood by Newton's steps ``(D'WD)^-1 D'v(y - mu)``, halved until it does not fall.

    Parameters
    ----------
    family : int
    D : float64 array (N, P)
    y, offset, prior : float64 arrays (N,)
    watch : int
        Say RUNAWAY where one of so many last coefficients grows without end; any other that does counts as converged.
    beta : float64 array (P,)
        Start in, estimate out.
    eta, mu, w : float64 arrays (N,)
        Filled at the estimate.
    L : float64 array (P, P)
        Filled with the factor of D'WD there.

    Returns
    -------
    status, log likelihood, iterations
    """
    N, P = D.shape
    width, tiles = tile_width(P), tiles_of(D)
    factors, linear, lanes = np.zeros(width), np.empty(TILE), np.empty(sums_size(width))
    J = np.empty((P, P))
    before, step, gradient, stand = np.empty(P), np.zeros(P), np.empty(P), at_start()
    for iteration in range(MAX_ITERATIONS):
        put(factors, 0, beta)
        for start in range(0, N, TILE):
            size = min(TILE, N - start)
            put(linear, 0, offset[start : start + size])
            combine(tiles, start * width, factors, 0, width, linear)
            put(eta, start, linear[:size])
        objective = log_likelihood(family, eta, y, prior, mu, w)
        lanes[:] = 0.0
        _add_samples(tiles, width, y, prior, mu, w, lanes)
        collect(lanes, width, J, gradient)
        status = advance(iteration, objective, J, gradient, watch, beta, before, step, L, stand)
        if status != UNDER_WAY:
            return status, stand[BEST], iteration
    return NOT_CONVERGED, stand[BEST], MAX_ITERATIONS


@jit
def pearson_dispersion(
    y: Float64Array, mu: Float64Array, w: Float64Array, prior: Float64Array, n_parameters: int
) -> float:
    """Pearson's ``sum v (y - mu)^2 / b''`` over the samples more than parameters; NaN where there are none."""
    if y.size <= n_parameters:
        return np.nan
    total = 0.0
    for i in range(y.size):
        # v (y - mu)^2 / b'' with b'' = w / v; a sample fitted perfectly at the edge adds nothing.
        if w[i] > 0.0:
            total += (prior[i] * (y[i] - mu[i])) ** 2 / w[i]
    return total / (y.size - n_parameters)


@jit
def analyse_rows(
    family: int,
    G: Float64Array,
    asked: Int64Array,
    X: Float64Array,
    y: Float64Array,
    offset: Float64Array,
    prior: Float64Array,
    start: Float64Array,
    quasi: bool,
    impute: bool,
    numbers: Float64Array,
    status: Int64Array,
    dropped: BoolArray,
) -> None:
    """Do what is asked of each variant on the samples whose call is observed, the null refitted on them.

    Parameters
    ----------
    family : int
    G : float64 array (R, n)
        Copies of the minor allele in the trait's samples, NaN where not observed.
    asked : int64 array (R,)
        SCORE, WALD or LRT.
    X : float64 array (n, C)
        Covariates with the intercept, orthonormal on these samples; y, offset, prior (n,).
    start : float64 array (C,)
        The null's coefficients.
    quasi : bool
        The variance is a dispersion times the family's: of the null for SCORE, of the fit with g for WALD and LRT.
    impute : bool
        Missing calls take the mean of the observed ones.
    numbers : float64 array (R, N_NUMBERS)
        Filled: beta, its standard error from the information (and the dispersion), the signed statistic, iterations,
        dispersion, degrees of freedom. With status RUNAWAY the likelihood ratio's, and the score's beta.
    status : int64 array (R,)
    dropped : bool array (R,)
        Filled: whether a covariate was a combination of others among the samples observed, and left out.
    """
    for r in range(G.shape[0]):
        for k in range(N_NUMBERS):
            numbers[r, k] = np.nan
        who, g = observed_calls(G[r], impute)
        XX, first = X[who], start.copy()
        dropped[r] = False
        if who.size < X.shape[0]:
            XX, first, dropped[r] = independent_columns(XX, start)
        status[r] = _one_row(family, g, XX, y[who], offset[who], prior[who], first, quasi, asked[r], numbers[r])


@jit
def _one_row(
    family: int,
    g: Float64Array,
    X: Float64Array,
    y: Float64Array,
    offset: Float64Array,
    prior: Float64Array,
    start: Float64Array,
    quasi: bool,
    what: int,
    row: Float64Array,
) -> int:
    """What `analyse_rows` does of one variant, on n samples that are all observed; the status."""
    n, C = X.shape
    total = y.sum()
    if (family != GAUSSIAN and total == 0.0) or (family == BINOMIAL and total == n):
        return ONE_OUTCOME
    D = np.empty((n, C + 1))
    for i in range(n):
        for c in range(C):
            D[i, c] = X[i, c]
        D[i, C] = g[i]
    eta, mu, w, residual_g = np.empty(n), np.empty(n), np.empty(n), np.empty(n)
    objectives = np.empty(2)
    beta = np.zeros(C + 1)
    put(beta, 0, start)
    # The null, then the model with g. One call in a loop: numba compiles every call of `fit` anew.
    for full in range(1 if what == SCORE else 2):
        P = C + full
        columns = D if full == 1 else X
        factor = np.zeros((P, P))
        state, objectives[full], iterations = fit(
            family, columns, y, offset, prior, full == 1, beta[:P], eta, mu, w, factor
        )
        dispersion = pearson_dispersion(y, mu, w, prior, P) if quasi else 1.0
        if full == 1:
            if state != FINE and state != RUNAWAY:
                return NOT_CONVERGED
            if state == FINE:
                row[BETA] = beta[C]
            row[ITERATIONS], row[DISPERSION], row[DF] = iterations, dispersion, n - P
            row[MODEL_SE] = math.sqrt(dispersion) / factor[C, C]
            row[STATISTIC] = beta[C] / row[MODEL_SE]
            if what == LRT or state == RUNAWAY:
                gain = max(0.0, 2.0 * (objectives[1] - objectives[0]) / dispersion)
                row[STATISTIC] = math.copysign(math.sqrt(gain), beta[C])
            return state
        if state != FINE:
            return NULL_NOT_CONVERGED
        full_rank, spread = residualise(X, w, g, factor, residual_g)
        if not full_rank:
            return NULL_NOT_CONVERGED
        centre = (w * g).sum() / w.sum()
        if spread <= 1e-12 * (w * (g - centre) ** 2).sum() or spread <= 0.0:
            return COLLINEAR
        U = (residual_g * prior * (y - mu)).sum()
        row[BETA] = U / spread
        row[MODEL_SE] = math.sqrt(dispersion / spread)
        row[STATISTIC] = U / math.sqrt(dispersion * spread)
        row[ITERATIONS], row[DISPERSION], row[DF] = 0.0, dispersion, n - P
    return FINE
