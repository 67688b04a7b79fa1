"""Proportional odds (`genassoc.kernels.likelihoods.ordinal_tiles`) with weights and an offset, of D tested columns, many variants in one call.

A sample's log chance depends on ``t = (theta_u - eta, theta_l - eta)``, u and l the thresholds above and below its level. With B_i
(2, A) the derivatives of t in the parameters, s_i and M_i the slope and the information in t, both times the weight v_i ::

    J = sum_i B_i'M_i B_i        var = J^-1 [sum_i B_i'r_i r_i'B_i] J^-1        r_i = (I - M_i B_i J^-1 B_i')^-power s_i

power 0 is Huber's, White's and Binder's variance; 1 is what HC3 is of one linear predictor: one Newton step without the sample
(``(J - B'MB)^-1 B's = J^-1 B'(I - M B J^-1 B')^-1 s``). Degrees of freedom are Satterthwaite's, as in `genassoc.kernels.likelihoods.weighted`.
The likelihood's own variance is J^-1; with it, contrasts have likelihood ratio tests on rotated columns
(`genassoc.models.scan.tested.Tested.rotations`), and all columns a score test at the null, in its expected information.

Covariates are laid out once for all variants; a sample whose call is missing keeps its place, with no weight.
"""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.arranged import set_column
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.lanes.tiles import combine, tile_width
from genassoc.kernels.lanes.vector64 import TILE
from genassoc.kernels.laws.sandwich import (
    COLLINEAR_BELOW,
    HC3,
    LEAST_SLACK,
    MODEL,
    WaldFits,
    model_covariance,
    sandwich_covariance,
)
from genassoc.kernels.likelihoods.cholesky import cholesky, solve_lower, solve_upper
from genassoc.kernels.likelihoods.newton import Climb, climb_of
from genassoc.kernels.likelihoods.ordinal_tiles import (
    BEYOND,
    LevelTiles,
    expect,
    expected_information,
    fit,
    laid_out,
    linear_predictor,
    numbered_anew,
    room_of_tile,
    shares,
    without_combinations,
)
from genassoc.kernels.likelihoods.rows import (
    COLLINEAR,
    FINE,
    LEVERAGE,
    LRT,
    NO_VARIANCE,
    NOT_CONVERGED,
    ONE_OUTCOME,
    SCORE,
)
from genassoc.shapes import Float64Array, Int64Array


class OrdinalSamples(NamedTuple):
    """Samples of one trait of ordered levels.

    Attributes
    ----------
    X : float64 array (n, C)
        Orthonormal covariates, the constant first (the thresholds are the intercepts).
    level : int64 array (n,)
        0 to n_levels - 1.
    n_levels : int
    offset, prior : float64 arrays (n,)
        What is added to the linear predictor, and weights.
    start : float64 array (n_levels - 1 + C - 1,)
        The null's parameters.
    """

    X: Float64Array
    level: Int64Array
    n_levels: int
    offset: Float64Array
    prior: Float64Array
    start: Float64Array


@jit
def start_thresholds(level: Int64Array, prior: Float64Array, M: int, theta: Float64Array) -> None:
    """Weighted log odds of the levels up to each threshold: the fit without covariates. Every level has a sample."""
    counts, below, above = np.zeros(M + 1), 0.0, 0.0
    for i in range(level.size):
        counts[level[i]] += prior[i]
        above += prior[i]
    for m in range(M):
        below += counts[m]
        above -= counts[m]
        theta[m] = math.log(below / above)


class Tests(NamedTuple):
    """What is asked of every variant.

    Attributes
    ----------
    test, variance : int
        SCORE, WALD or LRT; HC0, HC3 or MODEL of `genassoc.kernels.laws.sandwich`.
    contrasts : float64 array (K, D)
        Zeros mean all coefficients at once.
    rotations : float64 array (T, D, D)
        Of LRT: orthonormal M, a contrast being the last coefficient of ``H M``.
    """

    test: int
    variance: int
    contrasts: Float64Array
    rotations: Float64Array


@jit
def _take_part(H: Float64Array, weights: Float64Array, columns: Float64Array, prior: Float64Array) -> int:
    """Weights of the samples observed, 0 of others, and centred columns (D, n); how many are observed."""
    D, n = H.shape
    observed = 0
    for i in range(n):
        missing = D > 0 and math.isnan(H[0, i])
        prior[i] = 0.0 if missing else weights[i]
        observed += not missing
    for d in range(D):
        total = 0.0
        for i in range(n):
            if prior[i] > 0.0:
                total += H[d, i]
        mean = total / max(observed, 1)
        for i in range(n):
            columns[d, i] = H[d, i] - mean if prior[i] > 0.0 else 0.0
    return observed


@jit
def _put_tested(tiles: LevelTiles, C: int, columns: Float64Array, M: Float64Array) -> None:
    """Lay the tested columns (D, n) out behind C covariates, the first one last, rotated by M (D, D) where it has rows."""
    D = columns.shape[0]
    turned = np.empty(columns.shape[1])
    for d in range(D):
        if M.shape[0] == 0:
            set_column(tiles.X, C + D - 1 - d, columns[d])
            continue
        turned[:] = 0.0
        for e in range(D):
            for i in range(turned.size):
                turned[i] += M[e, d] * columns[e, i]
        set_column(tiles.X, C + d, turned)


@jit
def fit_rows(
    H: Float64Array, samples: OrdinalSamples, tests: Tests, fits: WaldFits, gains: Float64Array
) -> None:  # fmt: skip
    """Test D columns of every variant on the samples that are observed.

    Parameters
    ----------
    H : float64 array (R, D, n)
        Tested columns in the trait's samples, g the first; NaN where not observed. D may be 0: the null.
    samples : OrdinalSamples
    tests : Tests
    fits : WaldFits
        Filled, of SCORE with the step from the null; the status is FINE, NOT_CONVERGED (or a coefficient is not finite), COLLINEAR,
        ONE_OUTCOME, LEVERAGE, NO_VARIANCE.
    gains : float64 array (R, T + 1)
        Filled for LRT: twice what the log likelihood gains by each contrast, and by all columns.
    """
    R, D, n = H.shape
    C = samples.X.shape[1] - 1
    wide = np.zeros((n, C + D))
    for i in range(n):
        put(wide[i], 0, samples.X[i, 1:])
    level, prior = np.empty(n, np.int64), np.empty(n)
    whole = laid_out(wide, level, samples.offset, prior, samples.n_levels - 1)
    columns = np.empty((D, n))
    for r in range(R):
        observed = _take_part(H[r], samples.prior, columns, prior)
        M = numbered_anew(samples.level, prior, samples.n_levels, level)
        fits.dropped[r] = False
        fits.freedom[r, :] = np.inf
        if M < 1:
            fits.status[r] = ONE_OUTCOME
            continue
        tiles = LevelTiles(whole.X, level, samples.offset, prior, M)
        tiles, fits.dropped[r] = without_combinations(samples.X, prior, D, tiles)
        parameters = np.zeros(M + tiles.X.P)
        start_thresholds(level, prior, M, parameters[:M])
        if M == samples.n_levels - 1 and not fits.dropped[r]:
            put(parameters, 0, samples.start)
        fits.status[r] = _one_row(tiles, (columns, observed), parameters, tests, (fits, gains), r)


@jit
def _one_row(
    samples: LevelTiles, row: tuple[Float64Array, int], parameters: Float64Array, tests: Tests,
    results: tuple[WaldFits, Float64Array], r: int,
) -> int:  # fmt: skip
    """What `fit_rows` does of one variant, its tested columns (D, n) and how many samples observed; the status."""
    columns, observed = row
    fits, gains = results
    M, D, A = samples.M, columns.shape[0], parameters.size
    C, T = A - M - D, tests.rotations.shape[0]
    _put_tested(samples, C, columns, np.empty((0, D)))
    climb, null = climb_of(np.zeros((A, A))), parameters.copy()
    best = parameters.copy()
    L = np.zeros((A, A))
    # All coefficients, each contrast held at 0, and the null.
    for stage in range(
        1 if tests.test == SCORE else 0, 2 + T if tests.test == LRT else (2 if tests.test == SCORE else 1)
    ):
        k = stage - 2
        put(parameters, 0, null)
        if k >= 0:
            _hold_contrast(samples, columns, tests.rotations[k], best, L, parameters)
        n_free = A if stage == 0 else (A - D if stage == 1 else A - 1)
        state, objective, iterations = fit(samples, n_free, D if stage == 0 else 0, parameters, climb)
        if state != FINE:
            return COLLINEAR if state == COLLINEAR else NOT_CONVERGED
        if stage == 0:
            put(best, 0, parameters)
            for j in range(A):
                put(L[j], 0, climb.L[j])
            fits.objective[r], fits.iterations[r] = objective, iterations
            for d in range(D):
                fits.theta[r, d] = best[A - 1 - d]
            state = _variance(samples, observed, best, L, tests, fits, r)
            if state != FINE:
                return state
        elif tests.test == SCORE:
            return _score(samples, parameters, climb, fits, r)
        else:
            gains[r, k if k >= 0 else T] = max(0.0, 2.0 * (fits.objective[r] - objective))
    return FINE


@jit
def _score(samples: LevelTiles, parameters: Float64Array, climb: Climb, fits: WaldFits, r: int) -> int:
    """The step from the null in its expected information, and the tested block of the inverse of that."""
    A, D = parameters.size, fits.theta.shape[1]
    expected_information(samples, parameters, climb.J, np.empty(samples.level.size))
    if math.isnan(cholesky(climb.J, climb.L, A)) or not _independent(climb.L, D):
        return COLLINEAR
    half = np.empty(A)
    solve_lower(climb.L, climb.gradient, half, A)
    solve_upper(climb.L, half, climb.step, A)
    for d in range(D):
        fits.theta[r, d] = climb.step[A - 1 - d]
    model_covariance(climb.L, 1.0, fits.covariance[r])
    fits.iterations[r] = 0
    return FINE


@jit
def _independent(L: Float64Array, D: int) -> bool:
    """Whether the last D columns, of whose information L is the factor, are no combinations of those before them."""
    for j in range(L.shape[0] - D, L.shape[0]):
        total = 0.0
        for a in range(j + 1):
            total += L[j, a] ** 2
        if L[j, j] ** 2 <= COLLINEAR_BELOW * total:
            return False
    return True


@jit
def _hold_contrast(
    samples: LevelTiles, columns: Float64Array, rotation: Float64Array, best: Float64Array, L: Float64Array,
    parameters: Float64Array,
) -> None:  # fmt: skip
    """Rotate the tested columns, and begin where the last of them is 0: the projection of the maximum, L its information's factor."""
    A, D = parameters.size, columns.shape[0]
    right, half, along = np.zeros(A), np.empty(A), np.empty(A)
    for e in range(D):
        right[A - 1 - e] = rotation[e, D - 1]
    solve_lower(L, right, half, A)
    solve_upper(L, half, along, A)
    held, length = 0.0, 0.0
    for e in range(D):
        held += rotation[e, D - 1] * best[A - 1 - e]
        length += rotation[e, D - 1] * along[A - 1 - e]
    for j in range(A - D):
        parameters[j] = best[j] - along[j] * held / length
    for d in range(D):
        parameters[A - D + d] = 0.0
        for e in range(D if d < D - 1 else 0):
            parameters[A - D + d] += rotation[e, d] * (best[A - 1 - e] - along[A - 1 - e] * held / length)
    _put_tested(samples, A - D - samples.M, columns, rotation)


@jit
def _variance(
    samples: LevelTiles, observed: int, parameters: Float64Array, L: Float64Array, tests: Tests, fits: WaldFits, r: int
) -> int:
    """The covariance of the tested coefficients at the estimate, of whose information L is the factor; the status."""
    if not _independent(L, fits.theta.shape[1]):
        return COLLINEAR
    if tests.variance == MODEL:
        model_covariance(L, 1.0, fits.covariance[r])
        fits.freedom[r, :] = np.inf
        return FINE
    D, n = fits.theta.shape[1], samples.level.size
    U, E = np.empty((n, D)), np.empty((n, D * (D + 1) // 2))
    power = 1 if tests.variance == HC3 else 0
    if _influences(samples, parameters, L, power, U, E) <= LEAST_SLACK and power > 0:
        return LEVERAGE
    most = float(max(observed - parameters.size, 1))
    if not sandwich_covariance(U, E, tests.contrasts, most, fits.covariance[r], fits.freedom[r]):
        return NO_VARIANCE
    return FINE


@jit
def _influences(
    samples: LevelTiles, parameters: Float64Array, L: Float64Array, power: int, U: Float64Array, E: Float64Array
) -> float:
    """What samples add to the errors of the tested coefficients (n, D), and the expected products; the least slack.

    With z the covariates' part of ``L^-1 (0, d)`` and q_m the columns of L^-1, a sample's derivatives of t are ``q_m - z`` whitened, whose
    products are ``q_m'q_k - z'(q_m + q_k) + z'z``.
    """
    M, A, n, D = samples.M, parameters.size, samples.level.size, U.shape[1]
    P = A - M
    width = tile_width(P)
    # Rows of J^-1 of the tested coefficients, the columns of L^-1 of the thresholds, and their products.
    unit, half, along, q = np.zeros(A), np.empty(A), np.empty((D, A)), np.empty((M, A))
    for d in range(D):
        unit[:] = 0.0
        unit[A - 1 - d] = 1.0
        solve_lower(L, unit, half, A)
        solve_upper(L, half, along[d], A)
    for m in range(M):
        unit[:] = 0.0
        unit[m] = 1.0
        solve_lower(L, unit, q[m], A)
    products = q @ q.T
    factors, reach, back = np.zeros(width), np.zeros((D, width)), np.zeros(width)
    put(factors, 0, parameters[M:])
    for d in range(D):
        put(reach[d], 0, -along[d, M:])
    eta, t, scaled = np.empty(TILE), np.empty(TILE), np.empty(TILE)
    Fu, Gu, Fl, Gl = np.empty(TILE), np.empty(TILE), np.empty(TILE), np.empty(TILE)
    z, zq, zz, base = np.zeros(width * TILE), np.empty((M, TILE)), np.empty(TILE), np.empty((D, TILE))
    room, column, x = room_of_tile(M), np.empty(TILE), np.empty((D, M))
    least = 1.0
    for start in range(0, n, TILE):
        size = linear_predictor(samples, start, factors, eta)
        expect(parameters[:M], eta, room)
        for bound in range(2):
            for i in range(TILE):
                m = samples.level[start + i] - 1 + bound if i < size else 0
                if m < 0:
                    t[i] = -BEYOND
                elif m == M:
                    t[i] = BEYOND
                else:
                    t[i] = parameters[m] - eta[i]
            if bound == 0:
                shares(t, scaled, Fl, Gl)
            else:
                shares(t, scaled, Fu, Gu)
        for d in range(D):
            base[d, :] = 0.0
            combine(samples.X.tiles, start * width, reach[d], 0, width, base[d])
        # z by forward substitution, column by column.
        zz[:] = 0.0
        for j in range(P):
            back[:] = 0.0
            for k in range(j):
                back[k] = -L[M + j, M + k] / L[M + j, M + j]
            inverse = 1.0 / L[M + j, M + j]
            for i in range(TILE):
                column[i] = samples.X.tiles[(start * width) + j * TILE + i] * inverse
            if j > 0:
                combine(z, 0, back, 0, tile_width(j), column)
            for i in range(TILE):
                z[j * TILE + i] = column[i]
                zz[i] += column[i] * column[i]
        for m in range(M):
            zq[m, :] = 0.0
            back[:] = 0.0
            put(back, 0, q[m, M:])
            combine(z, 0, back, 0, width, zq[m])
        for i in range(size):
            at, v = start + i, samples.prior[start + i]
            if v == 0.0:
                U[at, :] = 0.0
                E[at, :] = 0.0
                continue
            low, high = samples.level[at] - 1, samples.level[at]
            p = max(Gl[i] - Gu[i] if Fl[i] > 0.5 else Fu[i] - Fl[i], 1e-300)
            fu, fl = Fu[i] * Gu[i] / p, Fl[i] * Gl[i] / p
            s0, s1, m01 = -v * fl, v * fu, -v * fu * fl
            m00, m11 = v * (fl * fl + fl * (Gl[i] - Fl[i])), v * (fu * fu - fu * (Gu[i] - Fu[i]))
            # A level at an end has one threshold: nothing of the other.
            h00 = h01 = h11 = 0.0
            if low >= 0:
                h00 = products[low, low] - 2.0 * zq[low, i] + zz[i]
            if high < M:
                h11 = products[high, high] - 2.0 * zq[high, i] + zz[i]
            if low >= 0 and high < M:
                h01 = products[low, high] - zq[low, i] - zq[high, i] + zz[i]
            # I - M H, whose determinant is the slack: 1 - h of one threshold.
            k00, k01 = 1.0 - m00 * h00 - m01 * h01, -m00 * h01 - m01 * h11
            k10, k11 = -m01 * h00 - m11 * h01, 1.0 - m01 * h01 - m11 * h11
            slack = k00 * k11 - k01 * k10
            least = min(least, slack)
            held = max(slack, LEAST_SLACK)
            r0, r1 = s0, s1
            if power > 0:
                r0, r1 = (k11 * s0 - k01 * s1) / held, (k00 * s1 - k10 * s0) / held
            for k in range(D):
                U[at, k] = 0.0
                if low >= 0:
                    U[at, k] += (base[k, i] + along[k, low]) * r0
                if high < M:
                    U[at, k] += (base[k, i] + along[k, high]) * r1
                for m in range(M):
                    x[k, m] = base[k, i] + along[k, m]
            # Expected of any level: sums over the thresholds of the score's information along J^-1's rows.
            factor = v * v * (1.0 / held if power > 0 else held)
            place = 0
            for j in range(D):
                for k in range(j + 1):
                    expected = 0.0
                    for m in range(M):
                        expected += room.diagonal[m, i] * x[j, m] * x[k, m]
                        if m < M - 1:
                            expected += room.beside[m, i] * (x[j, m] * x[k, m + 1] + x[k, m] * x[j, m + 1])
                    E[at, place] = factor * expected
                    place += 1
    return least
