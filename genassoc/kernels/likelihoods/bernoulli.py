"""Fitted probabilities, weights and log likelihood of many samples at once: the costly line of every logistic fit.

An exponential a sample bounds these fits. LLVM does not vectorise a call of ``exp``, so it stands here as arithmetic:
``exp(a) = 2^k exp(r)``, k the nearest whole number to a / ln 2, r within 0.35 of 0 and its series to the 13th power
(the next term is 4e-18). A sum of ``log(1 + x)`` is one logarithm of a product: x is at most 1, so that 256 factors
stay below 2^256.
"""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.shapes import Float64Array

TILE = 256
# Added to a double below 2^51 it rounds it to a whole number, which then stands in the low bits.
_ROUND = 6755399441055744.0
_LOG2_E = 1.4426950408889634
_LN2_HIGH, _LN2_LOW = 0.6931471803691238, 1.9082149292705877e-10
_LOWEST = -708.0  # below, exp is not a normal number; a fitted probability of 1e-308 is 0 to every sum


@jit
def exp_minus_abs(eta: Float64Array, scaled: Float64Array, x: Float64Array, n: int) -> None:
    """Set ``x = exp(-|eta|)`` of the first n; ``scaled`` is room for as many."""
    for i in range(n):
        a = max(-abs(eta[i]), _LOWEST)
        scaled[i] = a * _LOG2_E + _ROUND
        k = scaled[i] - _ROUND
        r = (a - k * _LN2_HIGH) - k * _LN2_LOW
        p = 1.0 / 6227020800.0
        p = p * r + 1.0 / 479001600.0
        p = p * r + 1.0 / 39916800.0
        p = p * r + 1.0 / 3628800.0
        p = p * r + 1.0 / 362880.0
        p = p * r + 1.0 / 40320.0
        p = p * r + 1.0 / 5040.0
        p = p * r + 1.0 / 720.0
        p = p * r + 1.0 / 120.0
        p = p * r + 1.0 / 24.0
        p = p * r + 1.0 / 6.0
        p = p * r + 0.5
        p = p * r + 1.0
        x[i] = p * r + 1.0
    bits = scaled[:n].view(np.int64)
    for i in range(n):
        # 2^k: the exponent k + 1023 over 52 empty bits; what else `_ROUND` left above is shifted out
        bits[i] = (bits[i] + 1023) << 52
    for i in range(n):
        x[i] *= scaled[i]


@jit
def weigh(
    eta: Float64Array, y: Float64Array, mu: Float64Array, w: Float64Array, scaled: Float64Array, x: Float64Array
) -> float:
    """Fill ``mu = 1 / (1 + exp(-eta))`` and ``w = mu (1 - mu)``; the sum of ``y eta - log(1 + exp(eta))``.

    Parameters
    ----------
    eta, y : float64 arrays (n,)
        Log odds; 0 or 1.
    mu, w : float64 arrays (n,)
        Filled.
    scaled, x : float64 arrays (TILE,)
        Room.
    """
    total = 0.0
    for start in range(0, y.size, TILE):
        n = min(TILE, y.size - start)
        e, yy, m, v = eta[start : start + n], y[start : start + n], mu[start : start + n], w[start : start + n]
        exp_minus_abs(e, scaled, x, n)
        for i in range(n):
            # exp of minus the absolute value: nothing overflows, and mu and 1 - mu keep their digits
            share = 1.0 / (1.0 + x[i])
            small = x[i] * share
            m[i] = share if e[i] >= 0.0 else small
            v[i] = small * share
        product = 1.0
        for i in range(n):
            product *= 1.0 + x[i]
            total += yy[i] * e[i] - max(e[i], 0.0)
        total -= math.log(product)
    return total
