"""Tails of a sum of chi-squared variables with weights: the inverse Laplace transform along a path through the saddlepoint.

``Q = sum_j lambda_j X_j``, each X_j chi-squared with one degree of freedom and lambda_j > 0. With
``K(s) = -1/2 sum_j ln(1 - 2 lambda_j s)`` and c between 0 and ``1 / (2 max lambda)``,

    P(Q >= q) = 1 / (2 pi i)  integral from c - i inf to c + i inf  of  exp(K(s) - q s) / s  ds,

and with c below 0 the same integral is ``-P(Q < q)``. Davies (1980) and Imhof (1961) integrate along the imaginary axis, where
the integrand is as large as 1 however small p is: what they give has an absolute error. Along the path

    s(u) = c + i sigma u + a u^2,   sigma = K''(c)^(-1/2),  a = K'''(c) / (6 K''(c)^2),

c at the saddlepoint K'(c) = q, the integrand is as small as p, does not oscillate, and falls as a normal density does (the path is
that of steepest descent, to third order), so the trapezoidal rule converges geometrically and the error is relative to p at any
depth. Kuonen's (1999) formula is the first term of the same integral. Steps are halved until two sums agree.
"""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.shapes import Float64Array

FIRST_STEP = 0.5
HALVINGS = 9
AGREE = 1e-6  # of two sums: the error of the finer one is about the square of what they differ by
NEGLIGIBLE = 1e-17  # of the first term
# Where eigenvalues are of several orders of magnitude, the path may climb the hill over the branch points of small ones: it is
# bent less then. Terms are those of the first, coarse sum.
BENDS, FEW_TERMS, MAX_TERMS = 6, 200, 20000
NEWTON_STEPS = 100


@jit
def cumulant_slopes(s: float, eigenvalues: Float64Array) -> tuple[float, float, float]:
    """K', K'' and K''' at s."""
    first = second = third = 0.0
    for j in range(eigenvalues.size):
        ratio = eigenvalues[j] / (1.0 - 2.0 * eigenvalues[j] * s)
        first += ratio
        second += 2.0 * ratio * ratio
        third += 8.0 * ratio * ratio * ratio
    return first, second, third


@jit
def saddlepoint(q: float, eigenvalues: Float64Array) -> float:
    """The s of K'(s) = q, to a thousandth of a standard deviation; the largest eigenvalue is 1.

    1 / K' is a straight line where all eigenvalues are equal, and nearly one elsewhere: Newton's method on it, inside bounds.
    """
    m = eigenvalues.size
    # K' is at most m / (2 |s|) left of 0 and at most mean / (1 - 2 s) right of it; at least 1 / (1 - 2 s) anywhere.
    mean = eigenvalues.sum()
    low = 0.5 - 0.5 * mean / q if q > mean else -0.5 * m / q
    high = min(0.5 - 0.5 / q, 0.0) if q < mean else 0.5 - 0.5 / q
    s = low if q > mean else high
    for _ in range(NEWTON_STEPS):
        first, second, _third = cumulant_slopes(s, eigenvalues)
        if abs(first - q) <= 1e-3 * math.sqrt(second):
            break
        if first < q:
            low = s
        else:
            high = s
        after = s + first * (1.0 - first / q) / second
        s = after if low < after < high else 0.5 * (low + high)
    return s


@jit
def path_term(u: float, path: Float64Array, rates: Float64Array) -> tuple[float, float]:
    """The integrand at u over its value at c (real part, size): ``Im(exp(K(s) - K(c) - q (s - c)) s'(u) / s)``."""
    q, c, sigma, a = path[0], path[1], path[2], path[3]
    x, y = a * u * u, sigma * u
    # prod_j (1 - r_j (s - c)), r_j = 2 lambda_j / (1 - 2 lambda_j c): each factor turns by an angle between -pi and 0.
    re, im, ln_size, turns = 1.0, 0.0, 0.0, 0
    for j in range(rates.size):
        f, g = 1.0 - rates[j] * x, -rates[j] * y
        product_re, product_im = re * f - im * g, re * g + im * f
        if im <= 0.0 and product_im > 0.0:
            turns += 1
        re, im = product_re, product_im
        size = abs(re) + abs(im)
        if size > 1e100 or size < 1e-100:
            ln_size += math.log(size)
            re, im = re / size, im / size
    ln_size += 0.5 * math.log(re * re + im * im)
    angle = math.atan2(im, re)
    if u > 0.0 and im == 0.0 and re < 0.0:
        angle = -math.pi
    angle -= 2.0 * math.pi * turns
    size = math.exp(-0.5 * ln_size - q * x)
    angle = -0.5 * angle - q * y
    # s' / s
    s_re, slope_re = c + x, 2.0 * a * u
    below = s_re * s_re + y * y
    ratio_re, ratio_im = (slope_re * s_re + sigma * y) / below, (sigma * s_re - slope_re * y) / below
    return (
        size * (math.cos(angle) * ratio_im + math.sin(angle) * ratio_re),
        size * math.sqrt(ratio_re * ratio_re + ratio_im * ratio_im),
    )


@jit
def ln_tail(q: float, eigenvalues: Float64Array, rates: Float64Array) -> float:
    """ln P(Q >= q) for q > 0; the largest eigenvalue is 1. NaN if the sums never agree.

    Parameters
    ----------
    rates : float64 array (m,)
        Room.
    """
    mean = eigenvalues.sum()
    if q < 1e-200 * mean:
        return 0.0  # P(Q < q) is below 1e-100
    s = saddlepoint(q, eigenvalues)
    _first, second, _third = cumulant_slopes(s, eigenvalues)
    # Not nearer to the pole at 0 than a standard deviation, if there is room.
    width = 1.0 / math.sqrt(second)
    c = min(s, -width) if q < mean else max(s, min(width, 0.5 * (s + 0.5)))
    _first, second, third = cumulant_slopes(c, eigenvalues)
    ln_size = -q * c
    for j in range(eigenvalues.size):
        rates[j] = 2.0 * eigenvalues[j] / (1.0 - 2.0 * eigenvalues[j] * c)
        ln_size -= 0.5 * math.log1p(-2.0 * eigenvalues[j] * c)
    path = np.empty(4)
    path[0], path[1], path[2], path[3] = q, c, 1.0 / math.sqrt(second), third / (6.0 * second * second)
    step, ending = FIRST_STEP, False
    total, terms = 0.0, 0
    for bend in range(BENDS):
        if bend == BENDS - 1:
            path[3] = (
                0.0  # a straight line: the integrand never rises, and falls as soon as many eigenvalues share in it
            )
        most = MAX_TERMS if bend == BENDS - 1 else FEW_TERMS
        term, first_size = path_term(0.0, path, rates)
        total, terms, small = 0.5 * term, 1, 0
        while terms < most and small < 3:
            term, size = path_term(terms * step, path, rates)
            if size > 2.0 * first_size:
                break
            total += term
            small = small + 1 if size < NEGLIGIBLE * first_size else 0
            terms += 1
        if small == 3:
            ending = True
            break
        path[3] *= 0.25
    if not ending:
        return np.nan
    value = total * step
    agreed = False
    for _ in range(HALVINGS):
        between = 0.0
        for k in range(terms):
            term, _size = path_term((k + 0.5) * step, path, rates)
            between += term
        total += between
        terms, step = 2 * terms, 0.5 * step
        before, value = value, total * step
        if abs(value - before) <= AGREE * abs(value):
            agreed = True
            break
    if not agreed:
        return np.nan
    value = value / math.pi
    if q < mean:  # -P(Q < q), of an ordinary size
        return min(math.log1p(max(math.exp(ln_size) * value, -1.0)), 0.0)
    return min(ln_size + math.log(value), 0.0) if value > 0.0 else np.nan


@jit
def ln_tails(q: Float64Array, eigenvalues: Float64Array, out: Float64Array) -> None:
    """`ln_tail` of many q.

    Parameters
    ----------
    q : float64 array (R,)
        Positive, in units of the largest eigenvalue.
    eigenvalues : float64 array (m,)
        Positive; the largest is 1.
    out : float64 array (R,)
    """
    rates = np.empty(eigenvalues.size)
    for r in range(q.size):
        out[r] = ln_tail(q[r], eigenvalues, rates)
