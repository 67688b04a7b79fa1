"""Firth's regression with one coefficient beside an offset, and rows of a trait whose null needs no refitting.

A score row below the threshold is corrected by it, so this is what hits cost. Everything is of one trait, on samples
that are all observed; g counts the minor allele.
"""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.laws.profile import MAX_ENDS, SIDE, TRIAL, begin_search, interval_search, next_trial
from genassoc.kernels.laws.saddlepoint import SPA_FOUND, saddlepoint_of_row
from genassoc.kernels.likelihoods.bernoulli import TILE, weigh
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


@jit
def _sums(d: Float64Array, y: Float64Array, mu: Float64Array, w: Float64Array) -> tuple[float, float, float, float]:
    """Sums of ``(y - mu) d``, ``w d^2``, ``w d^3 (1/2 - mu)`` and ``w^2 d^4``, four chains each to hide their latency."""
    n = d.size
    a0 = a1 = b0 = b1 = c0 = c1 = e0 = e1 = 0.0
    for i in range(0, n - 1, 2):
        s, t = w[i] * d[i] * d[i], w[i + 1] * d[i + 1] * d[i + 1]
        a0 += (y[i] - mu[i]) * d[i]
        a1 += (y[i + 1] - mu[i + 1]) * d[i + 1]
        b0 += s
        b1 += t
        c0 += s * d[i] * (0.5 - mu[i])
        c1 += t * d[i + 1] * (0.5 - mu[i + 1])
        e0 += s * s
        e1 += t * t
    if n % 2 == 1:
        s = w[n - 1] * d[n - 1] * d[n - 1]
        a0 += (y[n - 1] - mu[n - 1]) * d[n - 1]
        b0 += s
        c0 += s * d[n - 1] * (0.5 - mu[n - 1])
        e0 += s * s
    return a0 + a1, b0 + b1, c0 + c1, e0 + e1


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
def firth_one(d: Float64Array, y: Float64Array, offset: Float64Array, room: Float64Array, row: Float64Array) -> int:
    """Maximise ``l(offset + beta d) + log(I) / 2``, ``I = sum w d^2``, over beta alone (Firth 1993), as `firth_step` does.

    Parameters
    ----------
    d, y, offset : float64 arrays (n,)
    room : float64 array (3, n)
        Overwritten.
    row : float64 array (N_NUMBERS,)
        Filled: beta, 1 / sqrt(I), the signed root of twice the gain over beta = 0, iterations, the interval.
    """
    eta, mu, w = room[0], room[1], room[2]
    scaled, x = np.empty(TILE), np.empty(TILE)
    longest = 0.0
    for i in range(d.size):
        longest = max(longest, abs(d[i]))
    stand, search = firth_stand(), interval_search()
    for iteration in range(LONGEST_LOOP):
        at = stand[AT]
        for i in range(d.size):
            eta[i] = offset[i] + at * d[i]
        objective = weigh(eta, y, mu, w, scaled, x)
        status = firth_step(iteration, objective, _sums(d, y, mu, w), longest, stand, search, row)
        if status != UNDER_WAY:
            return status
    return NOT_CONVERGED


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
    return firth_one(dd, yy, oo, np.empty((3, n)), row)


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
    d, room = np.empty(n), np.empty((3, n))
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
            status[r] = firth_one(d, y, null.penalised_eta, room, row)
