"""Firth's regression of a rare variant: carriers one by one, all other samples along a polynomial.

With g residualised on the covariates, ``d = g - X gamma``, a sample that carries nothing moves by ``-beta X gamma`` alone: a
little, so that four derivatives of the likelihood along it say all about those samples, however many.
"""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.vector64 import TILE
from genassoc.kernels.laws.profile import MAX_ENDS, Z_975, next_end, start_end
from genassoc.kernels.likelihoods.bernoulli import exp_minus_abs
from genassoc.kernels.likelihoods.logistic_firth import MAX_HALVINGS, MAX_ITERATIONS, MAX_STEP, STEP_TOLERANCE
from genassoc.kernels.likelihoods.rows import BETA, FINE, ITERATIONS, LOWER, MODEL_SE, STATISTIC, UPPER
from genassoc.shapes import Float64Array

# Missing calls, and carriers, are visited one at a time: worth it while they are few.
ONE_IN = 16
MAX_LINE = 0.1  # of any sample's log odds along the polynomial: what it leaves out is its fifth power


@jit
def terms(eta: float, y: float) -> tuple[float, float, float]:
    """One sample's log likelihood, ``y - mu`` and ``mu (1 - mu)``."""
    small = math.exp(-abs(eta))
    share = 1.0 / (1.0 + small)
    mu = share if eta >= 0.0 else small * share
    return y * eta - max(eta, 0.0) - math.log(1.0 + small), y - mu, small * share * share


@jit
def firth_line(
    line: Float64Array, base: Float64Array, d: Float64Array, g: Float64Array, y: Float64Array, row: Float64Array
) -> int:
    """`genassoc.kernels.likelihoods.logistic_firth.firth_one`, all samples but the carriers by a polynomial.

    Parameters
    ----------
    line : float64 array (4,)
        First four derivatives, as `line_sums` has them, of the log likelihood of all samples at ``base + beta d``.
    base, d, g, y : float64 arrays (K,)
        Of listed samples: taken off the polynomial at ``base + beta d``, and added at ``base + beta (d + g)``; not added where
        g is NaN, a missing call.
    row : float64 array (N_NUMBERS,)
        Filled as by `firth_one`.
    """
    longest = 0.0
    for i in range(g.size):
        longest = max(longest, abs(d[i] + g[i])) if g[i] > 0.0 else longest
    beta = step = 0.0
    at_zero = best = -np.inf
    halvings = 0
    found, tries, b, ends = -1, 0, 0.0, np.empty(4)
    # One loop for the maximum, then for the two ends of the interval, as in `firth_one`.
    for iteration in range(MAX_ITERATIONS + 2 * MAX_ENDS):
        at = beta if found < 0 else b
        objective = at * (line[0] - at * (line[1] / 2.0 + at * (line[2] / 6.0 + at * line[3] / 24.0)))
        U = line[0] - at * (line[1] + at * (line[2] / 2.0 + at * line[3] / 6.0))
        information = line[1] + at * (line[2] + at * line[3] / 2.0)
        bend, spread = line[2] + at * line[3], 0.0
        for i in range(g.size):
            for added in range(2 if g[i] > 0.0 else 1):
                sign = 1.0 if added == 1 else -1.0
                x = d[i] + g[i] if added == 1 else d[i]
                likelihood, r, w = terms(base[i] + at * x, y[i])
                objective += sign * likelihood
                U += sign * r * x
                s = w * x * x
                information += sign * s
                bend += sign * s * x * (1.0 - 2.0 * (y[i] - r))
                spread += s * s if added == 1 else 0.0
        if not information > 0.0 and found < 0:
            return -1
        objective += 0.5 * math.log(information) if information > 0.0 else -np.inf
        if found >= 0:
            after = next_end(beta, b, 2.0 * (best - objective), ends)
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
            return -1
        if iteration == 0:
            at_zero = objective
        elif not objective >= best - 1e-10 * (1.0 + abs(best)):
            halvings += 1
            if halvings > MAX_HALVINGS:
                return -1
            step *= 0.5
            beta -= step
            continue
        best, halvings = objective, 0
        gradient = U + 0.5 * bend / information
        # Leverages of other samples matter to the step alone, and are small.
        step = gradient / (information + spread / information)
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
    return -1


@jit
def line_sums(d: Float64Array, eta: Float64Array, y: Float64Array, line: Float64Array) -> float:
    """Derivatives of ``sum l(eta + beta d)`` in beta, at 0, signs as `firth_line` takes them; the longest d.

    ``sum (y - mu) d``, ``sum w d^2``, ``sum w (1 - 2 mu) d^3`` and ``sum w (1 - 6 w) d^4``, w being ``mu (1 - mu)``.
    """
    sums = np.zeros((4, TILE))
    odds, scaled, small, longest = np.zeros(TILE), np.empty(TILE), np.empty(TILE), np.zeros(TILE)
    for first in range(0, d.size, TILE):
        m = min(TILE, d.size - first)
        for i in range(m):
            odds[i] = eta[first + i]
        exp_minus_abs(odds, scaled, small, TILE)
        for i in range(m):
            share = 1.0 / (1.0 + small[i])
            mu = share if odds[i] >= 0.0 else small[i] * share
            w, x = small[i] * share * share, d[first + i]
            s = w * x * x
            sums[0, i] += (y[first + i] - mu) * x
            sums[1, i] += s
            sums[2, i] += s * x * (1.0 - 2.0 * mu)
            sums[3, i] += s * x * x * (1.0 - 6.0 * w)
            longest[i] = max(longest[i], abs(x))
    for k in range(4):
        line[k] = 0.0
        for i in range(TILE):
            line[k] += sums[k, i]
    most = 0.0
    for i in range(TILE):
        most = max(most, longest[i])
    return most


@jit
def firth_of_rare(d: Float64Array, eta: Float64Array, y: Float64Array, calls: Float64Array, row: Float64Array) -> bool:
    """`genassoc.kernels.likelihoods.logistic_firth.firth_one` of a variant that few samples carry; whether the polynomial holds.

    Parameters
    ----------
    d : float64 array (n,)
        g beside the covariates, 0 where not observed.
    eta, y, calls : float64 arrays (n,)
        Log odds of the null, outcome, copies (NaN where not observed).
    row : float64 array (N_NUMBERS,)
        Filled where it holds.
    """
    k = 0
    for i in range(calls.size):
        k += 1 if calls[i] > 0.0 else 0
    if k * ONE_IN >= calls.size:
        return False
    base, own, g, outcome = np.zeros(k), np.zeros(k), np.zeros(k), np.zeros(k)
    without = d.copy()
    at = 0
    for i in range(calls.size):
        if calls[i] > 0.0:
            # 0 where the null fits the sample perfectly, as is all of d there
            g[at] = calls[i] if d[i] != 0.0 else 0.0
            without[i] -= g[at]
            base[at], own[at], outcome[at] = eta[i], without[i], y[i]
            at += 1
    line = np.zeros(4)
    longest = line_sums(without, eta, y, line)
    found = firth_line(line, base, own, g, outcome, row)
    return found == FINE and max(abs(row[BETA]), abs(row[LOWER]), abs(row[UPPER])) * longest <= MAX_LINE
