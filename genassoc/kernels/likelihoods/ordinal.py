"""Proportional odds (`genassoc.kernels.likelihoods.ordinal_terms`), one variant at a time, in float64: Newton's method."""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.lanes.tiles import tiles_of
from genassoc.kernels.likelihoods.cholesky import cholesky
from genassoc.kernels.likelihoods.newton import BEST, UNDER_WAY, ascend, climb_of
from genassoc.kernels.likelihoods.ordinal_terms import Levels, accumulate_tiles
from genassoc.kernels.likelihoods.proportional_odds import proportional_odds_chi2
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
    TREND,
    Fits,
    begin_row,
)
from genassoc.shapes import Float64Array, Int64Array


@jit
def fit(
    D: Float64Array, levels: Levels, watch: bool, parameters: Float64Array, r: Float64Array, w: Float64Array,
    L: Float64Array,
) -> tuple[int, float, int]:  # fmt: skip
    """Maximise the log likelihood of (theta, beta) by Newton's steps in the observed information, halved until it rises.

    Parameters
    ----------
    D : float64 array (n, P)
        Covariates without a constant: the thresholds are the intercepts.
    levels : Levels
        Every level with a sample.
    watch : bool
        Say RUNAWAY where the last coefficient grows without end.
    parameters : float64 array (M + P,)
        Start in (increasing thresholds), estimate out.
    r, w : float64 arrays (n,)
        Filled: d log p / d eta and its observed information.
    L : float64 array (M + P, M + P)
        Filled with the factor of the information.

    Returns
    -------
    status, log likelihood, iterations
    """
    M, tiles = levels.M, tiles_of(D)
    climb = climb_of(L)
    for iteration in range(MAX_ITERATIONS):
        ordered = True
        for m in range(1, M):
            ordered = ordered and parameters[m] > parameters[m - 1]
        objective = -np.inf
        climb.J[0, 0] = np.nan  # thresholds out of order have no likelihood: a fall
        if ordered:
            objective = accumulate_tiles(tiles, levels, parameters, False, climb.J, climb.gradient, r, w)
        status = ascend(iteration, objective, climb, int(watch), parameters)
        if status != UNDER_WAY:
            return status, climb.stand[BEST], iteration
    return NOT_CONVERGED, climb.stand[BEST], MAX_ITERATIONS


@jit
def start_thresholds(level: Int64Array, M: int, theta: Float64Array) -> None:
    """Log odds of the levels up to each threshold: the fit without covariates. Every level has a sample."""
    counts = np.zeros(M + 1)
    for i in range(level.size):
        counts[level[i]] += 1.0
    below = 0.0
    for m in range(M):
        below += counts[m]
        theta[m] = math.log(below / (level.size - below))


@jit
def levels_left(level: Int64Array, n_levels: int) -> tuple[Int64Array, int]:
    """Levels numbered anew without those that no sample has, and the last number."""
    new = np.zeros(n_levels, np.int64)
    for i in range(level.size):
        new[level[i]] = 1
    at = -1
    for k in range(n_levels):
        at += new[k]
        new[k] = at
    return new[level], at


@jit
def analyse_rows(
    G: Float64Array, asked: Int64Array, X: Float64Array, levels: Levels, start: Float64Array, impute: bool,
    fits: Fits,
) -> None:  # fmt: skip
    """Do what is asked of each variant on the samples whose call is observed, the null refitted on them.

    The score test's variance is of the expected information of g, thresholds and covariates at the null; Wald's standard
    error is of the observed information (as R's `polr`).

    Parameters
    ----------
    G : float64 array (R, n)
        Copies of the minor allele in the trait's samples, NaN where not observed.
    asked : int64 array (R,)
        SCORE, WALD or LRT.
    X : float64 array (n, C)
        Orthonormal covariates, the constant first.
    levels : Levels
    start : float64 array (M + C - 1,)
        The null's parameters.
    fits : Fits
        Filled as `genassoc.kernels.likelihoods.glm.analyse_rows` does; the dispersion is 1, and of WALD and LRT the test that g's effect
        is the same at every threshold, with its degrees of freedom.
    """
    for r in range(G.shape[0]):
        who, g, XX, _ = begin_row(G[r], impute, X, np.zeros(X.shape[1]), r, fits)
        level, M = levels_left(levels.level[who], levels.M + 1)
        if M < 1:
            fits.status[r] = ONE_OUTCOME
            continue
        parameters = np.zeros(M + XX.shape[1])
        start_thresholds(level, M, parameters[:M])
        if M == levels.M and not fits.dropped[r]:
            put(parameters, 0, start)
        own = Levels(level, M, levels.offset[who])
        fits.status[r] = _one_row(g, XX, own, parameters, asked[r], fits.numbers[r])


@jit
def _one_row(
    g: Float64Array, X: Float64Array, levels: Levels, parameters: Float64Array, what: int, row: Float64Array
) -> int:
    """What `analyse_rows` does of one variant, on n samples that are all observed; the status."""
    n, C = X.shape
    M = levels.M
    D = np.empty((n, C))
    for i in range(n):
        for c in range(C - 1):
            D[i, c] = X[i, c + 1]
        D[i, C - 1] = g[i]
    null_columns = D[:, : C - 1].copy()
    r, w = np.empty(n), np.empty(n)
    objectives = np.empty(2)
    row[DISPERSION] = 1.0
    # The null, then the model with g. One call in a loop: numba compiles every call of `fit` anew.
    for full in range(1 if what == SCORE else 2):
        A = M + C - 1 + full
        columns = D if full == 1 else null_columns
        L = np.zeros((A, A))
        state, objectives[full], iterations = fit(columns, levels, full == 1, parameters[:A], r, w, L)
        if full == 1:
            if state != FINE and state != RUNAWAY:
                return NOT_CONVERGED
            estimate = parameters[A - 1]
            if state == FINE:
                row[BETA] = estimate
                row[TREND], row[DF] = proportional_odds_chi2(D, levels, parameters), M - 1
            row[ITERATIONS], row[MODEL_SE] = iterations, 1.0 / L[A - 1, A - 1]
            row[STATISTIC] = estimate / row[MODEL_SE]
            if what == LRT or state == RUNAWAY:
                gain = max(0.0, 2.0 * (objectives[1] - objectives[0]))
                row[STATISTIC] = math.copysign(math.sqrt(gain), estimate)
            return state
        if state != FINE:
            return NULL_NOT_CONVERGED
        U, spread, plain = _score(D, levels, parameters, r, w)
        if not spread > 1e-12 * plain:
            return COLLINEAR
        row[BETA] = U / spread
        row[MODEL_SE] = 1.0 / math.sqrt(spread)
        row[STATISTIC] = U / math.sqrt(spread)
        row[ITERATIONS] = 0.0
    return FINE


@jit
def _score(
    D: Float64Array, levels: Levels, parameters: Float64Array, r: Float64Array, w: Float64Array
) -> tuple[float, float, float]:
    """U of the last column of D at the null, its expected information beside the nuisance, and that beside a constant."""
    A = levels.M + D.shape[1]
    J, L, gradient = np.empty((A, A)), np.zeros((A, A)), np.empty(A)
    at_null = parameters.copy()
    at_null[A - 1] = 0.0
    accumulate_tiles(tiles_of(D), levels, at_null, True, J, gradient, r, w)
    g = D[:, D.shape[1] - 1]
    centre = (w * g).sum() / w.sum()
    plain = (w * (g - centre) ** 2).sum()
    spread = L[A - 1, A - 1] ** 2 if not math.isnan(cholesky(J, L, A)) else 0.0
    return gradient[A - 1], spread, plain
