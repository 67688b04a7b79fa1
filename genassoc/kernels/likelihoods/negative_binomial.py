"""Negative binomial regression (NB2, log link), one variant at a time: the dispersion alpha maximised with the coefficients.

    var y = mu + alpha mu^2      log mu = D beta + offset

    log likelihood  sum_i v_i [sum_{j < y_i} ln(1 + alpha j) + y_i ln mu_i - (y_i + 1 / alpha) ln(1 + alpha mu_i)]

but for constants; v are prior weights. At alpha = 0 it is Poisson's, and it is computed without dividing by alpha. The sums over j of
all samples are one sum over j of the weight of the samples above j (`tails_of`). Newton's method is on ln alpha and beta together, by
the observed information; where the likelihood falls towards alpha = 0, and its slope in alpha is not above 0 there, the maximum is
Poisson's and alpha is 0.
"""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.likelihoods.cholesky import cholesky, information
from genassoc.kernels.likelihoods.logistic import residualise
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

SERIES_BELOW = 0.02  # of alpha mu: closed forms lose digits below it, and ten terms of the series are exact
N_TERMS = 10
# Of alpha times the mean count: no data tell such a dispersion from none.
NO_DISPERSION = 1e-6
LONGEST_STEP = 2.0  # of ln alpha
MAX_ETA = 700.0  # its exponential is finite
LARGEST_COUNT = 1e6  # as many terms has the sum over j


class Fitted(NamedTuple):
    """Samples (n,) at an estimate.

    Attributes
    ----------
    eta, mu : float64 arrays (n,)
        The linear predictor, and the mean.
    w, slope : float64 arrays (n,)
        Minus the second and the first derivative of the log likelihood in eta.
    mixed, of_alpha : float64 arrays (n,)
        Minus its derivative in eta and ln alpha; its derivative in ln alpha but for the sums over j.
    alpha : float64 array (4,)
        alpha, and of ln alpha the slope, minus the second derivative, and 1 where the joint information is positive definite.
    """

    eta: Float64Array
    mu: Float64Array
    w: Float64Array
    slope: Float64Array
    mixed: Float64Array
    of_alpha: Float64Array
    alpha: Float64Array


ALPHA, SLOPE, CURVATURE, DEFINITE = 0, 1, 2, 3


@jit
def fitted_of(n: int) -> Fitted:
    """Room for n samples."""
    return Fitted(np.empty(n), np.empty(n), np.empty(n), np.empty(n), np.empty(n), np.empty(n), np.zeros(4))


@jit
def tails_of(y: Float64Array, prior: Float64Array) -> Float64Array:
    """The weight of the samples whose count is above j, of j from 0 to the largest count."""
    largest = 0
    for i in range(y.size):
        largest = max(largest, int(y[i]))
    tails = np.zeros(largest + 1)
    for i in range(y.size):
        if y[i] > 0.0:
            tails[int(y[i]) - 1] += prior[i]
    for j in range(largest - 1, -1, -1):
        tails[j] += tails[j + 1]
    return tails


@jit
def bends(x: float) -> tuple[float, float]:
    """``h(x) = (ln(1 + x) - x / (1 + x)) / x^2`` and its derivative, of x from 0."""
    if x < SERIES_BELOW:
        h, slope, power = 0.0, 0.0, 1.0
        for k in range(2, N_TERMS + 2):
            sign = 1.0 if k % 2 == 0 else -1.0
            h += sign * (k - 1.0) / k * power
            slope -= sign * k / (k + 1.0) * (k - 1.0) * power
            power *= x
        return h, slope
    rest = 1.0 / (1.0 + x)
    h = (math.log1p(x) - x * rest) / (x * x)
    return h, (rest * rest - 2.0 * h) / x


@jit
def log_likelihood(trait: Trait, tails: Float64Array, alpha: float, fitted: Fitted) -> float:
    """The log likelihood at eta and alpha but for constants; fills all else of the samples. Slopes are in alpha where alpha is 0."""
    y, prior, eta = trait.y, trait.prior, fitted.eta
    mu, w, slope, mixed, of_alpha = fitted.mu, fitted.w, fitted.slope, fitted.mixed, fitted.of_alpha
    total, first, second = 0.0, 0.0, 0.0
    for j in range(1, tails.size):
        part = j / (1.0 + alpha * j)
        total += tails[j] * math.log1p(alpha * j)
        first += tails[j] * part
        second -= tails[j] * part * part
    unit = alpha if alpha > 0.0 else 1.0
    for i in range(y.size):
        e = min(eta[i], MAX_ETA)
        m = math.exp(e)
        x = alpha * m
        rest = 1.0 / (1.0 + x)
        h, bend = bends(x)
        log = math.log1p(x)
        lost = log / alpha if alpha > 0.0 else m
        mu[i], v = m, prior[i]
        total += v * (y[i] * (e - log) - lost)
        slope[i] = v * (y[i] - m) * rest
        w[i] = v * m * (1.0 + alpha * y[i]) * rest * rest
        mixed[i] = unit * v * (y[i] - m) * m * rest * rest
        of_alpha[i] = unit * v * (m * m * h - y[i] * m * rest)
        first += of_alpha[i] / unit
        second += v * m * m * (m * bend + y[i] * rest * rest)
    fitted.alpha[ALPHA] = alpha
    fitted.alpha[SLOPE] = unit * first
    fitted.alpha[CURVATURE] = -unit * unit * second - (unit * first if alpha > 0.0 else 0.0)
    return total


@jit
def _joint(D: Float64Array, fitted: Fitted, J: Float64Array, gradient: Float64Array, L: Float64Array) -> None:
    """The information of ln alpha, the first, and the coefficients; without what mixes them where that is not positive definite."""
    n, P = D.shape
    own = np.empty((P, P))
    information(D, fitted.w, own)
    for j in range(P):
        gradient[j + 1], J[0, j + 1] = 0.0, 0.0
        for i in range(n):
            gradient[j + 1] += D[i, j] * fitted.slope[i]
            J[0, j + 1] += D[i, j] * fitted.mixed[i]
        J[j + 1, 0] = J[0, j + 1]
        for k in range(P):
            J[j + 1, k + 1] = own[j, k]
    J[0, 0], gradient[0] = fitted.alpha[CURVATURE], fitted.alpha[SLOPE]
    flat = fitted.alpha[ALPHA] <= 0.0
    fitted.alpha[DEFINITE] = 1.0
    if not flat and not math.isnan(cholesky(J, L, P + 1)):
        return
    if flat:
        J[0, 0], gradient[0] = 1.0, 0.0
    else:
        J[0, 0] = max(abs(J[0, 0]), abs(gradient[0]))
        fitted.alpha[DEFINITE] = 0.0
    for j in range(P):
        J[0, j + 1] = J[j + 1, 0] = 0.0


@jit
def maximise(
    D: Float64Array, trait: Trait, watch: int, alpha: float, beta: Float64Array, fitted: Fitted, L: Float64Array
) -> tuple[int, float, int]:
    """Maximise the log likelihood in alpha and beta together.

    Parameters
    ----------
    D : float64 array (n, P)
    trait : Trait
        Counts, offsets, prior weights.
    watch : int
        Say RUNAWAY where one of so many last coefficients grows without end.
    alpha : float
        Where to start; at 0 Poisson's maximum comes first.
    beta : float64 array (P,)
        Start in, estimate out.
    fitted : Fitted
        Filled at the estimate, alpha too.
    L : float64 array (P + 1, P + 1)
        Filled with the factor of the information of ln alpha, the first, and beta there; of alpha at 0 its row is that of 1.

    Returns
    -------
    status, log likelihood, iterations
    """
    n, P = D.shape
    y, prior = trait.y, trait.prior
    tails = tails_of(y, prior)
    mean = tails.sum() / prior.sum()
    theta = np.empty(P + 1)
    iterations, state, objective = 0, NOT_CONVERGED, np.nan
    came_up, went_down = False, False
    for _ in range(4):
        climb = climb_of(L)
        theta[0] = math.log(alpha) if alpha > 0.0 else 0.0
        put(theta, 1, beta)
        vanished = False
        state = NOT_CONVERGED
        for iteration in range(MAX_ITERATIONS):
            at = math.exp(theta[0]) if alpha > 0.0 else 0.0
            if alpha > 0.0 and at * mean < NO_DISPERSION:
                vanished = True
                break
            for i in range(n):
                total = trait.offset[i]
                for j in range(P):
                    total += D[i, j] * theta[j + 1]
                fitted.eta[i] = total
            value = log_likelihood(trait, tails, at, fitted)
            _joint(D, fitted, climb.J, climb.gradient, L)
            definite = fitted.alpha[DEFINITE]
            state = ascend(iteration, value, climb, watch, theta)
            iterations += 1
            if state != UNDER_WAY:
                objective = climb.stand[BEST]
                if state == FINE and definite == 0.0:
                    state = NOT_CONVERGED
                break
            if abs(climb.step[0]) > LONGEST_STEP:
                # All of the step, whose coefficients are of where ln alpha goes.
                share = LONGEST_STEP / abs(climb.step[0])
                for j in range(P + 1):
                    climb.step[j] *= share
                    theta[j] = climb.before[j] + climb.step[j]
        if state == UNDER_WAY and not vanished:
            state = NOT_CONVERGED
        if vanished:
            # The second time the likelihood is flat there: so little dispersion is none.
            went_down, alpha = came_up, 0.0
            continue
        put(beta, 0, theta[1:])
        none_better = went_down or fitted.alpha[SLOPE] <= 0.0
        if alpha > 0.0 or (state != FINE and state != RUNAWAY) or none_better:
            return state, objective, iterations
        # Poisson's maximum, where some dispersion is better: by the variance beyond the mean.
        excess, squares = 0.0, 0.0
        for i in range(n):
            excess += prior[i] * ((y[i] - fitted.mu[i]) ** 2 - fitted.mu[i])
            squares += prior[i] * fitted.mu[i] * fitted.mu[i]
        came_up, alpha = True, min(max(excess / squares, 10.0 * NO_DISPERSION / mean), 10.0)
    return NOT_CONVERGED, objective, iterations


@jit
def expected_weights(trait: Trait, fitted: Fitted) -> None:
    """Fill w with the expected information in eta, ``v mu / (1 + alpha mu)``, in which alpha and beta do not mix."""
    for i in range(fitted.w.size):
        fitted.w[i] = trait.prior[i] * fitted.mu[i] / (1.0 + fitted.alpha[ALPHA] * fitted.mu[i])


@jit
def analyse_rows(
    G: Float64Array,
    asked: Int64Array,
    X: Float64Array,
    trait: Trait,
    start: Float64Array,
    impute: bool,
    fits: Fits,
    alpha: Float64Array,
) -> None:
    """Do what is asked of each variant on the samples whose call is observed, the null refitted on them.

    Parameters
    ----------
    G : float64 array (R, n)
        Copies of the minor allele in the trait's samples, NaN where not observed.
    asked : int64 array (R,)
        SCORE (of the expected information at the null), WALD (of the observed one, joint with alpha) or LRT.
    X : float64 array (n, C)
        Covariates with the intercept, orthonormal on these samples.
    trait : Trait
    start : float64 array (C + 1,)
        The null's coefficients, and its alpha.
    impute : bool
        Missing calls take the mean of the observed ones.
    fits : Fits
        Filled. With status RUNAWAY the statistic is the likelihood ratio's, and beta the score's.
    alpha : float64 array (R,)
        Filled with the dispersion: of the null for SCORE, of the fit with g for WALD and LRT.
    """
    C = X.shape[1]
    for r in range(G.shape[0]):
        who, g, XX, first = begin_row(G[r], impute, X, start[:C], r, fits)
        alpha[r] = np.nan
        fits.status[r] = _one_row(
            g, XX, of_samples(trait, who), (first, float(start[C])), asked[r], fits.numbers[r], alpha[r:]
        )


@jit
def _one_row(
    g: Float64Array, X: Float64Array, trait: Trait, null: tuple[Float64Array, float], what: int, row: Float64Array,
    found: Float64Array,
) -> int:  # fmt: skip
    """What `analyse_rows` does of one variant, on n samples that are all observed, from a null's coefficients and alpha; the status."""
    n, C = X.shape
    start, alpha = null
    if trait.y.sum() == 0.0:
        return ONE_OUTCOME
    D = np.empty((n, C + 1))
    for i in range(n):
        for c in range(C):
            D[i, c] = X[i, c]
        D[i, C] = g[i]
    fitted, residual_g, objectives = fitted_of(n), np.empty(n), np.empty(2)
    beta = np.zeros(C + 1)
    put(beta, 0, start)
    # The null, then the model with g. One call in a loop: numba compiles every call of `maximise` anew.
    for full in range(1 if what == SCORE else 2):
        P = C + full
        factor = np.zeros((P + 1, P + 1))
        columns = D if full == 1 else X
        state, objectives[full], iterations = maximise(columns, trait, full, alpha, beta[:P], fitted, factor)
        if full == 1:
            if state != FINE and state != RUNAWAY:
                return NOT_CONVERGED
            if state == FINE:
                row[BETA] = beta[C]
            found[0] = fitted.alpha[ALPHA]
            row[ITERATIONS], row[DISPERSION], row[DF] = iterations, 1.0, n - P
            row[MODEL_SE] = 1.0 / factor[P, P]
            row[STATISTIC] = beta[C] / row[MODEL_SE]
            if what == LRT or state == RUNAWAY:
                gain = max(0.0, 2.0 * (objectives[1] - objectives[0]))
                row[STATISTIC] = math.copysign(math.sqrt(gain), beta[C])
            return state
        if state != FINE:
            return NULL_NOT_CONVERGED
        alpha = found[0] = fitted.alpha[ALPHA]
        expected_weights(trait, fitted)
        full_rank, spread = residualise(X, fitted.w, g, np.zeros((C, C)), residual_g)
        if not full_rank:
            return NULL_NOT_CONVERGED
        centre = (fitted.w * g).sum() / fitted.w.sum()
        if spread <= 1e-12 * (fitted.w * (g - centre) ** 2).sum() or spread <= 0.0:
            return COLLINEAR
        U = (residual_g * fitted.slope).sum()
        row[BETA], row[MODEL_SE], row[STATISTIC] = U / spread, 1.0 / math.sqrt(spread), U / math.sqrt(spread)
        row[ITERATIONS], row[DISPERSION], row[DF] = 0.0, 1.0, n - P
    return FINE
