"""Proportional odds (`genassoc.kernels.likelihoods.ordinal_terms`), one variant at a time, in float64: Newton's method."""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.arranged import Covariates, set_column, vectors
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.likelihoods.cholesky import cholesky
from genassoc.kernels.likelihoods.newton import Climb, climb_of
from genassoc.kernels.likelihoods.ordinal_terms import Levels
from genassoc.kernels.likelihoods.ordinal_tiles import (
    LevelTiles,
    expected_information,
    fit,
    laid_out,
    numbered_anew,
    without_combinations,
)
from genassoc.kernels.likelihoods.proportional_odds import proportional_odds_chi2
from genassoc.kernels.likelihoods.rows import (
    BETA,
    COLLINEAR,
    DF,
    DISPERSION,
    FINE,
    ITERATIONS,
    LRT,
    MODEL_SE,
    NOT_CONVERGED,
    NULL_NOT_CONVERGED,
    ONE_OUTCOME,
    RUNAWAY,
    SCORE,
    STATISTIC,
    TREND,
    Fits,
    blank_row,
    observed_calls,
)
from genassoc.shapes import Float64Array, Int64Array


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
    n, C = X.shape
    wide, level, prior, all_levels = np.zeros((n, C)), np.empty(n, np.int64), np.empty(n), levels.M + 1
    for i in range(n):
        put(wide[i], 0, X[i, 1:])
    whole = laid_out(wide, level, levels.offset, prior, levels.M)
    for r in range(G.shape[0]):
        blank_row(r, fits)
        who, g = observed_calls(G[r], impute)
        calls = np.zeros(n)
        prior[:] = 0.0
        for j in range(who.size):
            calls[who[j]], prior[who[j]] = g[j], 1.0
        M = numbered_anew(levels.level, prior, all_levels, level)
        if M < 1:
            fits.status[r] = ONE_OUTCOME
            continue
        tiles = LevelTiles(whole.X, level, levels.offset, prior, M)
        tiles, fits.dropped[r] = without_combinations(X, prior, 1, tiles)
        set_column(tiles.X, tiles.X.P - 1, calls)
        parameters = np.zeros(M + tiles.X.P)
        start_thresholds(level[who], M, parameters[:M])
        if M == levels.M and not fits.dropped[r]:
            put(parameters, 0, start)
        fits.status[r] = _one_row(tiles, calls, parameters, asked[r], fits.numbers[r])
        if fits.status[r] == FINE and asked[r] != SCORE:
            own = Levels(level[who], M, levels.offset[who])
            fits.numbers[r, TREND] = proportional_odds_chi2(_columns(tiles.X, who), own, parameters)
            fits.numbers[r, DF] = M - 1


@jit
def _columns(X: Covariates, who: Int64Array) -> Float64Array:
    """The columns (m, P) of some samples."""
    W = vectors(X.P)
    D = np.empty((who.size, X.P))
    for i in range(who.size):
        put(D[i], 0, X.rows[who[i] * W : who[i] * W + X.P])
    return D


@jit
def _one_row(samples: LevelTiles, g: Float64Array, parameters: Float64Array, what: int, row: Float64Array) -> int:
    """What `analyse_rows` does of one variant, g (n,) the last of its samples' columns; the status."""
    A = parameters.size
    objectives, climb = np.empty(2), climb_of(np.zeros((A, A)))
    row[DISPERSION] = 1.0
    # The null, then the model with g. One call in a loop: numba compiles every call of `fit` anew.
    for full in range(1 if what == SCORE else 2):
        state, objectives[full], iterations = fit(samples, A - 1 + full, full, parameters, climb)
        if full == 1:
            if state != FINE and state != RUNAWAY:
                return NOT_CONVERGED
            estimate = parameters[A - 1]
            if state == FINE:
                row[BETA] = estimate
            row[ITERATIONS], row[MODEL_SE] = iterations, 1.0 / climb.L[A - 1, A - 1]
            row[STATISTIC] = estimate / row[MODEL_SE]
            if what == LRT or state == RUNAWAY:
                gain = max(0.0, 2.0 * (objectives[1] - objectives[0]))
                row[STATISTIC] = math.copysign(math.sqrt(gain), estimate)
            return state
        if state != FINE:
            return NULL_NOT_CONVERGED
        U, spread, plain = _score(samples, g, parameters, climb)
        if not spread > 1e-12 * plain:
            return COLLINEAR
        row[BETA] = U / spread
        row[MODEL_SE] = 1.0 / math.sqrt(spread)
        row[STATISTIC] = U / math.sqrt(spread)
        row[ITERATIONS] = 0.0
    return FINE


@jit
def _score(samples: LevelTiles, g: Float64Array, parameters: Float64Array, climb: Climb) -> tuple[float, float, float]:
    """U of g, the last column, at the null, its expected information beside the nuisance, and that beside a constant."""
    A, w = parameters.size, np.empty(g.size)
    expected_information(samples, parameters, climb.J, w)
    centre, plain = (w * g).sum() / w.sum(), 0.0
    for i in range(g.size):
        plain += w[i] * (g[i] - centre) ** 2
    spread = climb.L[A - 1, A - 1] ** 2 if not math.isnan(cholesky(climb.J, climb.L, A)) else 0.0
    return climb.gradient[A - 1], spread, plain
