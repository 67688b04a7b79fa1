"""Firth's regression of a rare variant: carriers one by one, all other samples along a polynomial.

With g residualised on the covariates, ``d = g - X gamma``, a sample that carries nothing moves by ``-beta X gamma`` alone: a
little, so that four derivatives of the likelihood along it say all about those samples, however many.
"""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.vector64 import TILE
from genassoc.kernels.laws.profile import SIDE, interval_search
from genassoc.kernels.likelihoods.bernoulli import exp_minus_abs
from genassoc.kernels.likelihoods.logistic_firth import AT, LONGEST_LOOP, firth_stand, firth_step
from genassoc.kernels.likelihoods.newton import UNDER_WAY
from genassoc.kernels.likelihoods.rows import BETA, FINE, LOWER, NOT_CONVERGED, UPPER
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
    stand, search = firth_stand(), interval_search()
    for iteration in range(LONGEST_LOOP):
        at = stand[AT]
        likelihood = at * (line[0] - at * (line[1] / 2.0 + at * (line[2] / 6.0 + at * line[3] / 24.0)))
        U = line[0] - at * (line[1] + at * (line[2] / 2.0 + at * line[3] / 6.0))
        information = line[1] + at * (line[2] + at * line[3] / 2.0)
        bend, spread = line[2] + at * line[3], 0.0
        for i in range(g.size):
            for added in range(2 if g[i] > 0.0 else 1):
                sign = 1.0 if added == 1 else -1.0
                x = d[i] + g[i] if added == 1 else d[i]
                own, r, w = terms(base[i] + at * x, y[i])
                likelihood += sign * own
                U += sign * r * x
                s = w * x * x
                information += sign * s
                bend += sign * s * x * (1.0 - 2.0 * (y[i] - r))
                # Leverages of other samples matter to the step alone, and are small.
                spread += s * s if added == 1 else 0.0
        if not information > 0.0 and search[SIDE] < 0.0:
            return NOT_CONVERGED  # the polynomial, not the likelihood
        sums = (U, information, 0.5 * bend, spread)
        status = firth_step(iteration, likelihood, sums, longest, stand, search, row)
        if status != UNDER_WAY:
            return status
    return NOT_CONVERGED


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
