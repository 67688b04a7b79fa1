"""Generalised linear models, one variant at a time, in float64: Newton's method.

    log likelihood  sum_i v_i (y_i eta_i - b(eta_i))      mu = b'(eta)      w = v b''(eta)      eta = D beta + offset

v are prior weights. b is eta^2 / 2 (gaussian), log(1 + exp(eta)) (binomial), exp(eta) (Poisson).

Of a family the rest of this file knows what `log_likelihood` fills: mu, the slope of a sample's log likelihood in eta (of a canonical
link ``v (y - mu)``) and its information w. One with another link, or with a parameter of its own (`Family.shape`), is a branch there.
"""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.lanes.tiles import collect, combine, tile_width, tiles_of
from genassoc.kernels.lanes.vector64 import TILE
from genassoc.kernels.likelihoods.bernoulli import exp_minus_abs
from genassoc.kernels.likelihoods.logistic import residualise
from genassoc.kernels.likelihoods.logistic_tiles import add_tile, sums_size
from genassoc.kernels.likelihoods.newton import BEST, UNDER_WAY, ascend, climb_of
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
    NOT_CONVERGED,
    NULL_NOT_CONVERGED,
    ONE_OUTCOME,
    RUNAWAY,
    SCORE,
    STATISTIC,
    Fits,
    Trait,
    begin_row,
    of_samples,
)
from genassoc.shapes import Float64Array, Int64Array

GAUSSIAN, BINOMIAL, POISSON = 0, 1, 2


class Family(NamedTuple):
    """The distribution of an outcome.

    Attributes
    ----------
    kind : int
        GAUSSIAN, BINOMIAL or POISSON.
    shape : float
        The parameter beside the mean that a kind may have; 0 where it has none.
    quasi : bool
        The variance is a dispersion times the kind's.
    """

    kind: int
    shape: float
    quasi: bool


class Fitted(NamedTuple):
    """Samples (n,) at an estimate: eta, the mean, w, and the slope of the log likelihood in eta."""

    eta: Float64Array
    mu: Float64Array
    w: Float64Array
    slope: Float64Array


@jit
def fitted_of(n: int) -> Fitted:
    """Room for n samples."""
    return Fitted(np.empty(n), np.empty(n), np.empty(n), np.empty(n))


@jit
def log_likelihood(family: Family, trait: Trait, fitted: Fitted) -> float:
    """The log likelihood at eta but for constants; fills mu, w and the slope."""
    kind, y, prior = family.kind, trait.y, trait.prior
    eta, mu, w = fitted.eta, fitted.mu, fitted.w
    total = 0.0
    scaled, x = np.empty(TILE), np.empty(TILE)
    for start in range(0, y.size, TILE):
        size = min(TILE, y.size - start)
        exp_minus_abs(eta[start : start + size], scaled, x, size)
        for at in range(size):
            i = start + at
            e, small = eta[i], x[at]
            if kind == POISSON:
                # An exponential beyond all float64 is 1e307: the likelihood falls and the step is halved.
                mu[i] = small if e < 0.0 else 1.0 / small
                w[i] = prior[i] * mu[i]
                total += prior[i] * (y[i] * e - mu[i])
            elif kind == BINOMIAL:
                share = 1.0 / (1.0 + small)
                mu[i] = share if e >= 0.0 else small * share
                w[i] = prior[i] * small * share * share
                total += prior[i] * (y[i] * e - max(e, 0.0) - math.log1p(small))
            else:
                mu[i] = e
                w[i] = prior[i]
                total += prior[i] * (y[i] * e - 0.5 * e * e)
            fitted.slope[i] = prior[i] * (y[i] - mu[i])
    return total


@jit
def _add_samples(tiles: Float64Array, width: int, fitted: Fitted, lanes: Float64Array) -> None:
    """Add D'WD and D' times the slopes to the lanes' sums."""
    n = fitted.w.size
    weight, residual = np.zeros(TILE), np.zeros(TILE)
    for start in range(0, n, TILE):
        size = min(TILE, n - start)
        put(weight, 0, fitted.w[start : start + size])
        put(residual, 0, fitted.slope[start : start + size])
        weight[size:] = 0.0
        residual[size:] = 0.0
        add_tile(tiles, start * width, width, 0, 0, weight, residual, lanes)


@jit
def maximise(
    family: Family, D: Float64Array, trait: Trait, watch: int, beta: Float64Array, fitted: Fitted, L: Float64Array
) -> tuple[int, float, int]:
    """Maximise the log likelihood by Newton's steps, (D'WD)^-1 D' times the slopes, halved until it does not fall.

    Parameters
    ----------
    family : Family
    D : float64 array (N, P)
    trait : Trait
    watch : int
        Say RUNAWAY where one of so many last coefficients grows without end; any other that does counts as converged.
    beta : float64 array (P,)
        Start in, estimate out.
    fitted : Fitted
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
    climb = climb_of(L)
    for iteration in range(MAX_ITERATIONS):
        put(factors, 0, beta)
        for start in range(0, N, TILE):
            size = min(TILE, N - start)
            put(linear, 0, trait.offset[start : start + size])
            combine(tiles, start * width, factors, 0, width, linear)
            put(fitted.eta, start, linear[:size])
        objective = log_likelihood(family, trait, fitted)
        lanes[:] = 0.0
        _add_samples(tiles, width, fitted, lanes)
        collect(lanes, width, climb.J, climb.gradient)
        status = ascend(iteration, objective, climb, watch, beta)
        if status != UNDER_WAY:
            return status, climb.stand[BEST], iteration
    return NOT_CONVERGED, climb.stand[BEST], MAX_ITERATIONS


@jit
def pearson_dispersion(fitted: Fitted, n_parameters: int) -> float:
    """Pearson's ``sum v (y - mu)^2 / V`` over the samples more than parameters, V the variance function; NaN where there are none."""
    n = fitted.w.size
    if n <= n_parameters:
        return np.nan
    total = 0.0
    for i in range(n):
        # A sample's slope squared over its information; one fitted perfectly at the edge adds nothing.
        if fitted.w[i] > 0.0:
            total += fitted.slope[i] ** 2 / fitted.w[i]
    return total / (n - n_parameters)


@jit
def analyse_rows(
    family: Family,
    G: Float64Array,
    asked: Int64Array,
    X: Float64Array,
    trait: Trait,
    start: Float64Array,
    impute: bool,
    fits: Fits,
) -> None:
    """Do what is asked of each variant on the samples whose call is observed, the null refitted on them.

    Parameters
    ----------
    family : Family
        Where ``quasi``, the dispersion is of the null for SCORE, of the fit with g for WALD and LRT.
    G : float64 array (R, n)
        Copies of the minor allele in the trait's samples, NaN where not observed.
    asked : int64 array (R,)
        SCORE, WALD or LRT.
    X : float64 array (n, C)
        Covariates with the intercept, orthonormal on these samples.
    trait : Trait
    start : float64 array (C,)
        The null's coefficients.
    impute : bool
        Missing calls take the mean of the observed ones.
    fits : Fits
        Filled; standard errors are from the information (and the dispersion). With status RUNAWAY the statistic is the likelihood
        ratio's, and beta the score's.
    """
    for r in range(G.shape[0]):
        who, g, XX, first = begin_row(G[r], impute, X, start, r, fits)
        fits.status[r] = _one_row(family, g, XX, of_samples(trait, who), first, asked[r], fits.numbers[r])


@jit
def _one_row(
    family: Family, g: Float64Array, X: Float64Array, trait: Trait, start: Float64Array, what: int, row: Float64Array
) -> int:
    """What `analyse_rows` does of one variant, on n samples that are all observed; the status."""
    n, C = X.shape
    total = trait.y.sum()
    if (family.kind != GAUSSIAN and total == 0.0) or (family.kind == BINOMIAL and total == n):
        return ONE_OUTCOME
    D = np.empty((n, C + 1))
    for i in range(n):
        for c in range(C):
            D[i, c] = X[i, c]
        D[i, C] = g[i]
    fitted, residual_g = fitted_of(n), np.empty(n)
    objectives = np.empty(2)
    beta = np.zeros(C + 1)
    put(beta, 0, start)
    # The null, then the model with g. One call in a loop: numba compiles every call of `maximise` anew.
    for full in range(1 if what == SCORE else 2):
        P = C + full
        columns = D if full == 1 else X
        factor = np.zeros((P, P))
        state, objectives[full], iterations = maximise(family, columns, trait, full, beta[:P], fitted, factor)
        w = fitted.w
        dispersion = pearson_dispersion(fitted, P) if family.quasi else 1.0
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
        U = (residual_g * fitted.slope).sum()
        row[BETA] = U / spread
        row[MODEL_SE] = math.sqrt(dispersion / spread)
        row[STATISTIC] = U / math.sqrt(dispersion * spread)
        row[ITERATIONS], row[DISPERSION], row[DF] = 0.0, dispersion, n - P
    return FINE
