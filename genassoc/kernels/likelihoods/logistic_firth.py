"""Firth's regression with one coefficient beside an offset, and rows of a trait whose null needs no refitting.

A score row below the threshold is corrected by it, so this is what hits cost. Everything is of one trait, on samples
that are all observed; g counts the minor allele.
"""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.laws.profile import MAX_ENDS, Z_975, next_end, start_end
from genassoc.kernels.laws.saddlepoint import SPA_FOUND, saddlepoint_of_row
from genassoc.kernels.likelihoods.bernoulli import TILE, weigh
from genassoc.kernels.likelihoods.rows import (
    BETA,
    COLLINEAR,
    FINE,
    ITERATIONS,
    LOWER,
    MODEL_SE,
    NEG_LOG_P,
    NOT_CONVERGED,
    STATISTIC,
    TAIL_FAILED,
    UPPER,
)
from genassoc.shapes import BoolArray, Float64Array, Int64Array

NO_WEIGHT = 1e-8  # mu (1 - mu) of a sample without information
MAX_ITERATIONS, MAX_HALVINGS = 80, 12
MAX_STEP = 2.0  # of any sample's log odds
STEP_TOLERANCE = 1e-12  # of a step's squared length in standard errors


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
def firth_one(d: Float64Array, y: Float64Array, offset: Float64Array, room: Float64Array, row: Float64Array) -> int:
    """Maximise ``l(offset + beta d) + log(I) / 2``, ``I = sum w d^2``, over beta alone (Firth 1993).

    Newton's steps ``U* / sum (1 + h) w d^2`` with ``U* = sum (y - mu + h (1/2 - mu)) d`` and ``h = w d^2 / I``, halved
    until the objective does not fall. Then the ends of the interval at which twice the objective falls by 3.84.

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
    beta = step = 0.0
    at_zero = best = -np.inf
    halvings = 0
    found, tries, b, ends = -1, 0, 0.0, np.empty(4)
    # One loop for the maximum, then for the two ends of the interval: the costly lines stand once.
    for iteration in range(MAX_ITERATIONS + 2 * MAX_ENDS):
        at = beta if found < 0 else b
        for i in range(d.size):
            eta[i] = offset[i] + at * d[i]
        objective = weigh(eta, y, mu, w, scaled, x)
        U, information, bend, spread = _sums(d, y, mu, w)
        if information > 0.0:
            objective += 0.5 * math.log(information)
        elif iteration == 0:
            return NOT_CONVERGED
        if found >= 0:
            after = next_end(beta, b, 2.0 * (best - objective) if information > 0.0 else np.inf, ends)
            tries += 1
            if after != b and tries < MAX_ENDS:
                b = after
                continue
            if after == b:
                row[LOWER + found] = b
            found, tries = found + 1, 0
            if found == 2:
                return FINE
            b = 2.0 * beta - row[LOWER] if math.isfinite(row[LOWER]) else beta + Z_975 * row[MODEL_SE]
            start_end(beta, ends)
            continue
        if iteration >= MAX_ITERATIONS:
            return NOT_CONVERGED
        if iteration == 0:
            at_zero = objective
        elif not (information > 0.0 and objective >= best - 1e-10 * (1.0 + abs(best))):
            halvings += 1
            if halvings > MAX_HALVINGS:
                return NOT_CONVERGED
            step *= 0.5
            beta -= step
            continue
        best = objective
        halvings = 0
        gradient = U + bend / information
        curvature = information + spread / information  # sum (1 + h) w d^2
        step = gradient / curvature
        if step * gradient < STEP_TOLERANCE:
            row[BETA], row[ITERATIONS] = beta, iteration
            row[MODEL_SE] = 1.0 / math.sqrt(information)
            row[STATISTIC] = math.copysign(math.sqrt(max(0.0, 2.0 * (best - at_zero))), beta)
            row[LOWER] = row[UPPER] = np.nan
            found, b = 0, beta - Z_975 * row[MODEL_SE]
            start_end(beta, ends)
            continue
        if abs(step) * longest > MAX_STEP:
            step = math.copysign(MAX_STEP / longest, step)
        beta += step
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
    Q: Float64Array,
    WQ: Float64Array,
    y: Float64Array,
    mu: Float64Array,
    w: Float64Array,
    penalised_eta: Float64Array,
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
    Q, WQ : float64 arrays (n, C)
        Covariates orthonormal in the null's weights, and times them.
    y, mu, w, penalised_eta : float64 arrays (n,)
        Outcome; the null's fitted probabilities and weights; log odds of the null with Firth's penalty.
    numbers : float64 array (R, N_NUMBERS)
        Filled as by `genassoc.kernels.likelihoods.logistic_rows.analyse_rows`.
    status : int64 array (R,)
    """
    n = y.size
    d, room = np.empty(n), np.empty((3, n))
    for r in range(G.shape[0]):
        row, g = numbers[r], G[r]
        for k in range(row.size):
            row[k] = np.nan
        spread, plain = _residualise(g, Q, WQ, w, d)
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
            status[r] = firth_of_carriers(g > 0.0, d, y, penalised_eta, row)
        else:
            status[r] = firth_one(d, y, penalised_eta, room, row)
