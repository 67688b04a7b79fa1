"""Firth's regression with one coefficient beside an offset, and rows of a trait whose null needs no refitting.

A score row below the threshold is corrected by it, so this is what hits cost. Everything is of one trait, on samples
that are all observed; g counts the minor allele.
"""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.vector64 import TILE
from genassoc.kernels.laws.profile import MAX_ENDS, SIDE, TRIAL, begin_search, interval_search, next_trial
from genassoc.kernels.laws.saddlepoint import SPA_FOUND, saddlepoint_of_row
from genassoc.kernels.likelihoods.bernoulli import exp_minus_abs
from genassoc.kernels.likelihoods.logistic import MAX_HALVINGS, MAX_ITERATIONS, MAX_STEP, STEP_TOLERANCE
from genassoc.kernels.likelihoods.newton import ROUNDING, UNDER_WAY
from genassoc.kernels.likelihoods.rows import (
    BETA,
    COLLINEAR,
    FINE,
    ITERATIONS,
    MODEL_SE,
    NEG_LOG_P,
    NOT_CONVERGED,
    STATISTIC,
    TAIL_FAILED,
)
from genassoc.shapes import BoolArray, Float64Array, Int64Array

NO_WEIGHT = 1e-8  # mu (1 - mu) of a sample without information
# Where a maximisation over one coefficient stands: where to evaluate next, the last step, the best objective, that at 0, halvings.
AT, STEP, BEST, AT_ZERO, HALVINGS = 0, 1, 2, 3, 4
LONGEST_LOOP = MAX_ITERATIONS + 2 * MAX_ENDS  # evaluations: of the maximum, then of the interval's ends
# Of any sample's log odds, from where the derivatives were taken: what they leave out of the penalty's pull is a sample's fourth power over
# 24, 3e-7 of it, of the information its fifth over 120, of the likelihood the seventh over 5040.
MAX_BEYOND = 0.05
# Of samples that do not carry a rare variant: they move along the covariates, and add less than a sixteenth of all information.
MAX_BEYOND_OF_REST = 0.2
N_SUMS = 10  # of `derivatives`
# Factors between 1 and 2 to a logarithm: of tiles, and of a tile's lanes. Their product does not overflow.
FACTORS, AT_ONCE = 64, 8


class FirthNull(NamedTuple):
    """A trait's null, of all its samples.

    Attributes
    ----------
    Q, WQ : float64 arrays (n, C)
        Covariates orthonormal in the null's weights, and times them.
    y, mu, w, penalised_eta : float64 arrays (n,)
        Outcome; the null's fitted probabilities and weights; log odds of the null with Firth's penalty.
    """

    Q: Float64Array
    WQ: Float64Array
    y: Float64Array
    mu: Float64Array
    w: Float64Array
    penalised_eta: Float64Array


class MovingSamples(NamedTuple):
    """Samples (n,): what beta moves each of them by, outcome, log odds at beta = 0."""

    d: Float64Array
    y: Float64Array
    eta: Float64Array


class _Room(NamedTuple):
    """Room for a tile (TILE,) of samples, and for the sums over all tiles (N_SUMS * TILE,)."""

    eta: Float64Array
    scaled: Float64Array
    x: Float64Array
    factors: Float64Array
    most: Float64Array
    sums: Float64Array


@jit
def _room() -> _Room:
    return _Room(
        np.empty(TILE), np.empty(TILE), np.empty(TILE), np.empty(TILE), np.empty(TILE), np.empty(N_SUMS * TILE)
    )


@jit
def _take_logarithms(factors: Float64Array, m: int) -> float:
    """Sum of the logarithms of the first m, eight to a logarithm; these start anew at 1."""
    total = 0.0
    for first in range(0, m, AT_ONCE):
        product = 1.0
        for i in range(first, min(first + AT_ONCE, m)):
            product *= factors[i]
            factors[i] = 1.0
        total += math.log(product)
    return total


@jit
def _derivatives(samples: MovingSamples, at: float, room: _Room, line: Float64Array) -> float:
    d, y, offset = samples.d, samples.y, samples.eta
    eta, x, factors, most, sums = room.eta, room.x, room.factors, room.most, room.sums
    lanes, logs = min(TILE, d.size), 0.0
    for i in range(lanes):
        factors[i], most[i] = 1.0, 0.0
    for k in range(N_SUMS):
        for i in range(lanes):
            sums[k * TILE + i] = 0.0
    for first in range(0, d.size, TILE):
        m = min(TILE, d.size - first)
        own, outcome, given = d[first : first + m], y[first : first + m], offset[first : first + m]
        for i in range(m):
            eta[i] = given[i] + at * own[i]
        exp_minus_abs(eta, room.scaled, x, m)
        for i in range(m):
            e, z = eta[i], own[i]
            share = 1.0 / (1.0 + x[i])
            small = x[i] * share
            # exp of minus the absolute value: mu and 1 - mu keep their digits, and 1 - 2 mu is +-(1 - x) / (1 + x)
            mu = share if e >= 0.0 else small
            w = small * share
            bent = z * ((small - share) if e >= 0.0 else (share - small))
            two = w * z * z
            four = two * z * z
            square = two * two
            most[i] = max(most[i], abs(z))
            sums[i] += outcome[i] * e - max(e, 0.0)
            factors[i] *= 1.0 + x[i]
            sums[TILE + i] += (outcome[i] - mu) * z
            sums[2 * TILE + i] += two
            sums[3 * TILE + i] += two * bent
            sums[4 * TILE + i] += four * (1.0 - 6.0 * w)
            sums[5 * TILE + i] += four * bent * (1.0 - 12.0 * w)
            sums[6 * TILE + i] += four * z * z * (1.0 - w * (30.0 - 120.0 * w))
            sums[7 * TILE + i] += square
            sums[8 * TILE + i] += square * bent
            sums[9 * TILE + i] += square * z * z * (1.0 - 5.0 * w)
        if (first // TILE + 1) % FACTORS == 0:
            logs += _take_logarithms(factors, lanes)
    for k in range(N_SUMS):
        line[k] = 0.0
        for i in range(lanes):
            line[k] += sums[k * TILE + i]
    line[0] -= logs + _take_logarithms(factors, lanes)
    longest = 0.0
    for i in range(lanes):
        longest = max(longest, most[i])
    return longest


@jit
def derivatives(samples: MovingSamples, at: float, line: Float64Array) -> float:
    """``sum l(eta + beta d)`` and its first six derivatives in beta at ``beta = at``, into the line (N_SUMS,); the longest d.

    With w = mu (1 - mu) the derivatives of a sample's log likelihood in its log odds are ``y - mu``, ``-w``, ``-w (1 - 2 mu)``,
    ``-w (1 - 6 w)``, ``-w (1 - 2 mu) (1 - 12 w)`` and ``-w (1 - 30 w + 120 w^2)``; those from the second on have their signs changed here.
    Then follow ``sum w^2 d^4``, half of its first and a quarter of its second derivative.
    """
    return _derivatives(samples, at, _room(), line)


@jit
def along(line: Float64Array, t: float) -> tuple[float, tuple[float, float, float, float]]:
    """The log likelihood, and the sums that `firth_step` takes, t beyond where `derivatives` filled the line."""
    a, b, c, e, f, g = line[1], line[2], line[3], line[4], line[5], line[6]
    likelihood = line[0] + t * (a - t * (b / 2.0 + t * (c / 6.0 + t * (e / 24.0 + t * (f / 120.0 + t * g / 720.0)))))
    U = a - t * (b + t * (c / 2.0 + t * (e / 6.0 + t * (f / 24.0 + t * g / 120.0))))
    information = b + t * (c + t * (e / 2.0 + t * (f / 6.0 + t * g / 24.0)))
    bend = c + t * (e + t * (f / 2.0 + t * g / 6.0))
    spread = line[7] + 2.0 * t * (line[8] + t * line[9])
    return likelihood, (U, information, 0.5 * bend, spread)


@jit
def firth_stand() -> Float64Array:
    """Where a maximisation over one coefficient stands before it has begun: at 0."""
    stand = np.zeros(5)
    stand[BEST] = stand[AT_ZERO] = -np.inf
    return stand


@jit
def firth_step(
    iteration: int,
    log_likelihood: float,
    sums: tuple[float, float, float, float],
    longest: float,
    stand: Float64Array,
    search: Float64Array,
    row: Float64Array,
) -> int:
    """Move on from an evaluation: first to the maximum of ``l + log(I) / 2``, then to the interval's two ends.

    Newton's steps ``U* / sum (1 + h) w d^2`` with ``U* = sum (y - mu + h (1/2 - mu)) d`` and ``h = w d^2 / I``, halved
    until the objective does not fall. The interval ends where twice the objective falls by 3.84.

    Parameters
    ----------
    iteration : int
        From 0.
    log_likelihood : float
        At ``stand[AT]``.
    sums : tuple
        There: sums of ``(y - mu) d``, ``w d^2`` (I), ``w d^3 (1/2 - mu)`` and ``w^2 d^4``.
    longest : float
        The largest ``|d|``.
    stand, search : float64 arrays (5,), (7,)
        Of `firth_stand` and `interval_search`.
    row : float64 array (N_NUMBERS,)
        Filled: beta, 1 / sqrt(I), the signed root of twice the gain over beta = 0, iterations, the interval.

    Returns
    -------
    status
        UNDER_WAY: evaluate again; else FINE or NOT_CONVERGED.
    """
    U, information, bend, spread = sums
    sound = information > 0.0
    objective = log_likelihood + 0.5 * math.log(information) if sound else -np.inf
    if search[SIDE] >= 0.0:
        done = next_trial(row[BETA], row[MODEL_SE], 2.0 * (stand[BEST] - objective), True, search, row)
        stand[AT] = search[TRIAL]
        return FINE if done else UNDER_WAY
    if iteration >= MAX_ITERATIONS or (iteration == 0 and not sound):
        return NOT_CONVERGED
    if iteration == 0:
        stand[AT_ZERO] = objective
    elif not (sound and objective >= stand[BEST] - ROUNDING * (1.0 + abs(stand[BEST]))):
        stand[HALVINGS] += 1.0
        if stand[HALVINGS] > MAX_HALVINGS:
            return NOT_CONVERGED
        stand[STEP] *= 0.5
        stand[AT] -= stand[STEP]
        return UNDER_WAY
    stand[BEST], stand[HALVINGS] = objective, 0.0
    gradient = U + bend / information
    step = gradient / (information + spread / information)  # over sum (1 + h) w d^2
    beta = stand[AT]
    if step * gradient < STEP_TOLERANCE:
        row[BETA], row[ITERATIONS] = beta, iteration
        row[MODEL_SE] = 1.0 / math.sqrt(information)
        row[STATISTIC] = math.copysign(math.sqrt(max(0.0, 2.0 * (objective - stand[AT_ZERO]))), beta)
        begin_search(row, beta, row[MODEL_SE], search)
        stand[AT] = search[TRIAL]
        return UNDER_WAY
    if abs(step) * longest > MAX_STEP:
        step = math.copysign(MAX_STEP / longest, step)
    stand[STEP], stand[AT] = step, beta + step
    return UNDER_WAY


@jit
def firth_beside(others: Float64Array, rest: MovingSamples, visited: MovingSamples, row: Float64Array) -> int:
    """Maximise ``l(eta + beta d) + log(I) / 2``, ``I = sum w d^2``, over beta alone (Firth 1993), as `firth_step` does.

    Samples are visited at 0, at the first step's end and where an interval's end is expected; what is evaluated near such a place is
    read from the likelihood's six derivatives there. The ``rest`` moves little and adds little, so that its places are farther apart.

    Parameters
    ----------
    others : float64 array (N_SUMS,)
        Of samples that are not visited, `derivatives` at 0; 0 of what is not known.
    rest, visited : MovingSamples
    row : float64 array (N_NUMBERS,)
        Filled: beta, 1 / sqrt(I), the signed root of twice the gain over beta = 0, iterations, the interval.
    """
    room, lines = _room(), (np.zeros(N_SUMS), np.zeros(N_SUMS))
    place, longest = np.full(2, np.nan), np.zeros(2)
    stand, search = firth_stand(), interval_search()
    for iteration in range(LONGEST_LOOP):
        at = stand[AT]
        likelihood, (U, information, bend, spread) = along(others, at)
        # In a loop, not one call for each: numba compiles every call anew.
        for k in range(2):
            samples = visited if k == 0 else rest
            if samples.d.size == 0:
                continue
            if not abs(at - place[k]) * longest[k] <= (MAX_BEYOND if k == 0 else MAX_BEYOND_OF_REST):
                place[k] = at
                longest[k] = _derivatives(samples, at, room, lines[k])
            more, (U_more, information_more, bend_more, spread_more) = along(lines[k], at - place[k])
            likelihood, U, information = likelihood + more, U + U_more, information + information_more
            bend, spread = bend + bend_more, spread + spread_more
        if not information > 0.0 and others[2] != 0.0 and search[SIDE] < 0.0:
            return NOT_CONVERGED  # the polynomial, not the likelihood
        status = firth_step(iteration, likelihood, (U, information, bend, spread), longest[0], stand, search, row)
        if status != UNDER_WAY:
            return status
    return NOT_CONVERGED


@jit
def firth_one(d: Float64Array, y: Float64Array, offset: Float64Array, row: Float64Array) -> int:
    """`firth_beside` of samples that are all visited."""
    none = np.empty(0)
    return firth_beside(np.zeros(N_SUMS), MovingSamples(none, none, none), MovingSamples(d, y, offset), row)


@jit
def firth_of_carriers(
    carriers: BoolArray, d: Float64Array, y: Float64Array, offset: Float64Array, row: Float64Array
) -> int:
    """`firth_one` on carriers alone: REGENIE's sparse penalty (Mbatchou et al. 2021)."""
    n = 0
    for i in range(d.size):
        if carriers[i]:
            n += 1
    dd, yy, oo = np.empty(n), np.empty(n), np.empty(n)
    at = 0
    for i in range(d.size):
        if carriers[i]:
            dd[at], yy[at], oo[at] = d[i], y[i], offset[i]
            at += 1
    return firth_one(dd, yy, oo, row)


@jit
def _residualise(
    g: Float64Array, Q: Float64Array, WQ: Float64Array, w: Float64Array, out: Float64Array
) -> tuple[float, float]:
    """``out = g - Q (WQ'g)``; ``sum w out^2``, and the same of g centred alone. Q is orthonormal in the weights w."""
    n, C = Q.shape
    b = np.zeros(C)
    total = weights = 0.0
    for i in range(n):
        total += w[i] * g[i]
        weights += w[i]
        if g[i] != 0.0:
            for c in range(C):
                b[c] += WQ[i, c] * g[i]
    centre = total / weights
    spread = plain = 0.0
    for i in range(n):
        fitted = 0.0
        for c in range(C):
            fitted += Q[i, c] * b[c]
        out[i] = g[i] - fitted
        spread += w[i] * out[i] * out[i]
        plain += w[i] * (g[i] - centre) * (g[i] - centre)
        if w[i] < NO_WEIGHT:
            # A sample that the null fits perfectly says nothing; its residual is extrapolated from all others.
            out[i] = 0.0
    return spread, plain


@jit
def analyse_complete_rows(
    G: Float64Array,
    firth: BoolArray,
    sparse: BoolArray,
    saddlepoint: BoolArray | None,
    null: FirthNull,
    numbers: Float64Array,
    status: Int64Array,
) -> None:
    """Score tests, saddlepoints and approximate Firth of variants without missing calls, from the trait's own null.

    Parameters
    ----------
    G : float64 array (R, n)
        Copies of the minor allele in the trait's samples, none missing.
    firth, sparse : bool arrays (R,)
        Whether approximate Firth is wanted (the score test otherwise), with REGENIE's sparse penalty.
    saddlepoint : bool array (R,), or None
        Whether the score's p by the saddlepoint is wanted besides. Without it that is not compiled.
    null : FirthNull
    numbers : float64 array (R, N_NUMBERS)
        Filled as by `genassoc.kernels.likelihoods.logistic_rows.analyse_rows`.
    status : int64 array (R,)
    """
    y, mu, w = null.y, null.mu, null.w
    n = y.size
    d = np.empty(n)
    for r in range(G.shape[0]):
        row, g = numbers[r], G[r]
        for k in range(row.size):
            row[k] = np.nan
        spread, plain = _residualise(g, null.Q, null.WQ, w, d)
        status[r] = FINE
        if spread <= 1e-12 * plain or spread <= 0.0:
            status[r] = COLLINEAR
            continue
        U = 0.0
        for i in range(n):
            U += d[i] * (y[i] - mu[i])
        if saddlepoint is not None:
            if saddlepoint[r]:
                row[NEG_LOG_P], failed = saddlepoint_of_row(U, spread, g, d, mu, w)
                if failed != SPA_FOUND:
                    status[r] = TAIL_FAILED
                    continue
        if not firth[r]:
            row[BETA], row[MODEL_SE] = U / spread, 1.0 / math.sqrt(spread)
            row[STATISTIC], row[ITERATIONS] = U / math.sqrt(spread), 0.0
        elif sparse[r]:
            status[r] = firth_of_carriers(g > 0.0, d, y, null.penalised_eta, row)
        else:
            status[r] = firth_one(d, y, null.penalised_eta, row)
