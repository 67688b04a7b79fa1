"""Tails of a sum of chi-squared variables with weights: the inverse Laplace transform along a path through the saddlepoint.

``Q = sum_j lambda_j (z_j + b_j)^2``, z_j standard normal and lambda_j > 0; with ``n_j = lambda_j b_j^2`` (SKAT-O's; elsewhere 0)

    K(s) = sum_j  -1/2 ln(1 - 2 lambda_j s) + n_j s / (1 - 2 lambda_j s).

With c between 0 and ``1 / (2 max lambda)``,

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
# Of two sums: the error of the finer one is about the square of what they differ by. Terms below a hundred-thousandth of that are left.
AGREE = 1e-5
# Where eigenvalues are of several orders of magnitude, the path may climb the hill over the branch points of small ones: it is
# bent less then. Terms are those of the first, coarse sum.
BENDS, FEW_TERMS, MAX_TERMS = 6, 200, 20000
NEWTON_STEPS = 100


@jit
def cumulant_slopes(s: float, eigenvalues: Float64Array, shifts: Float64Array) -> tuple[float, float, float]:
    """The first three derivatives of K at s; ``shifts`` are n_j, or empty where all are 0."""
    first = second = third = 0.0
    for j in range(eigenvalues.size):
        # lambda / t, 2 lambda^2 / t^2, 8 lambda^3 / t^3 and n / t^2, 4 n lambda / t^3, 24 n lambda^2 / t^4; t = 1 - 2 lambda s
        below = 1.0 / (1.0 - 2.0 * eigenvalues[j] * s)
        ratio = eigenvalues[j] * below
        first += ratio
        second += 2.0 * ratio * ratio
        third += 8.0 * ratio * ratio * ratio
        if shifts.size:
            shift = shifts[j] * below * below
            first += shift
            second += 4.0 * shift * ratio
            third += 24.0 * shift * ratio * ratio
    return first, second, third


@jit
def saddlepoint(q: float, eigenvalues: Float64Array, shifts: Float64Array) -> float:
    """The s of K'(s) = q, to a thousandth of a standard deviation; the largest eigenvalue is 1.

    1 / K' is a straight line where all eigenvalues are equal, and nearly one elsewhere: Newton's method on it, inside bounds.
    """
    mean = eigenvalues.sum() + shifts.sum()
    # Right of 0, K' is at most mean / (1 - 2 s)^2 and, without shifts, mean / (1 - 2 s); anywhere it is at least 1 / (1 - 2 s).
    if q >= mean:
        ratio = math.sqrt(mean / q) if shifts.size else mean / q
        low, high = 0.5 - 0.5 * ratio, 0.5 - 0.5 / q
        s = low
    else:
        low, high = -0.5 * eigenvalues.size / q, min(0.5 - 0.5 / q, 0.0)
        while shifts.size and cumulant_slopes(low, eigenvalues, shifts)[0] > q:
            high, low = low, 2.0 * low
        s = high
    for _ in range(NEWTON_STEPS):
        first, second, _third = cumulant_slopes(s, eigenvalues, shifts)
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
def path_term(
    u: float, path: Float64Array, rates: Float64Array, shift_rates: Float64Array
) -> tuple[float, float, float]:
    """The integrand at u over its value at c: of the tail and of the density (real parts), and size of the tail's.

    ``E s' / s`` and ``E s'``, ``E = exp(K(s) - K(c) - q (s - c))``.
    """
    q, c, sigma, a = path[0], path[1], path[2], path[3]
    x, y = a * u * u, sigma * u
    # prod_j (1 - r_j (s - c)), r_j = 2 lambda_j / t_j, t_j = 1 - 2 lambda_j c: each factor turns by an angle between -pi and 0.
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
    real, imaginary = -0.5 * ln_size - q * x, -0.5 * angle - q * y
    if shift_rates.size:
        # n s / (t - 2 lambda (s - c)) - n c / t = n / t^2 (s - c) / (1 - r (s - c))
        for j in range(rates.size):
            f, g = 1.0 - rates[j] * x, -rates[j] * y
            over = shift_rates[j] / (f * f + g * g)
            real += over * (x * f + y * g)
            imaginary += over * (y * f - x * g)
    size = math.exp(real)
    e_re, e_im = size * math.cos(imaginary), size * math.sin(imaginary)
    # s' = i sigma + 2 a u; s' / s
    s_re, slope_re = c + x, 2.0 * a * u
    below = s_re * s_re + y * y
    ratio_re, ratio_im = (slope_re * s_re + sigma * y) / below, (sigma * s_re - slope_re * y) / below
    return (
        e_re * ratio_im + e_im * ratio_re,
        e_re * sigma + e_im * slope_re,
        size * math.sqrt(ratio_re * ratio_re + ratio_im * ratio_im),
    )


@jit
def ln_tail(
    q: float, eigenvalues: Float64Array, shifts: Float64Array, rates: Float64Array, agree: float
) -> tuple[float, float]:
    """ln P(Q >= q) for q > 0, and ln of the density there; the largest eigenvalue is 1. NaN if the sums never agree.

    Parameters
    ----------
    shifts : float64 array (m,), or (0,)
        n_j.
    rates : float64 array (2, m)
        Room.
    agree : float
        By how much of themselves two sums may differ; the error is its square.
    """
    mean = eigenvalues.sum() + shifts.sum()
    if q < 1e-200 * mean:
        return 0.0, -np.inf  # P(Q < q) is below 1e-100
    s = saddlepoint(q, eigenvalues, shifts)
    _first, second, _third = cumulant_slopes(s, eigenvalues, shifts)
    # Not nearer to the pole at 0 than a standard deviation, if there is room.
    width = 1.0 / math.sqrt(second)
    c = min(s, -width) if q < mean else max(s, min(width, 0.5 * (s + 0.5)))
    _first, second, third = cumulant_slopes(c, eigenvalues, shifts)
    ln_size = -q * c
    for j in range(eigenvalues.size):
        below = 1.0 - 2.0 * eigenvalues[j] * c
        rates[0, j] = 2.0 * eigenvalues[j] / below
        ln_size -= 0.5 * math.log1p(-2.0 * eigenvalues[j] * c)
        if shifts.size:
            rates[1, j] = shifts[j] / (below * below)
            ln_size += shifts[j] * c / below
    factors, shift_rates = rates[0], rates[1, : shifts.size]
    path = np.empty(4)
    path[0], path[1], path[2], path[3] = q, c, 1.0 / math.sqrt(second), third / (6.0 * second * second)
    step, ending, negligible = FIRST_STEP, False, 1e-5 * agree * agree
    total, density, terms = 0.0, 0.0, 0
    for bend in range(BENDS):
        if bend == BENDS - 1:
            path[3] = (
                0.0  # a straight line: the integrand never rises, and falls as soon as many eigenvalues share in it
            )
        most = MAX_TERMS if bend == BENDS - 1 else FEW_TERMS
        term, dense, first_size = path_term(0.0, path, factors, shift_rates)
        total, density, terms, small = 0.5 * term, 0.5 * dense, 1, 0
        while terms < most and small < 3:
            term, dense, size = path_term(terms * step, path, factors, shift_rates)
            if size > 2.0 * first_size:
                break
            total += term
            density += dense
            small = small + 1 if size < negligible * first_size else 0
            terms += 1
        if small == 3:
            ending = True
            break
        path[3] *= 0.25
    if not ending:
        return np.nan, np.nan
    value = total * step
    agreed = False
    for _ in range(HALVINGS):
        for k in range(terms):
            term, dense, _size = path_term((k + 0.5) * step, path, factors, shift_rates)
            total += term
            density += dense
        terms, step = 2 * terms, 0.5 * step
        before, value = value, total * step
        if abs(value - before) <= agree * abs(value):
            agreed = True
            break
    density *= step
    if not agreed or (q >= mean and value <= 0.0):
        return np.nan, np.nan
    ln_density = ln_size + math.log(density / math.pi) if density > 0.0 else -np.inf
    value /= math.pi
    if q < mean:  # -P(Q < q), of an ordinary size
        return min(math.log1p(max(math.exp(ln_size) * value, -1.0)), 0.0), ln_density
    return min(ln_size + math.log(value), 0.0), ln_density


@jit
def ln_tails(q: Float64Array, eigenvalues: Float64Array, shifts: Float64Array, out: Float64Array) -> None:
    """The first of `ln_tail` of many q.

    Parameters
    ----------
    q : float64 array (R,)
        Positive, in units of the largest eigenvalue.
    eigenvalues : float64 array (m,)
        Positive; the largest is 1.
    shifts : float64 array (m,), or (0,)
        n_j, in units of the largest eigenvalue.
    out : float64 array (R,)
    """
    rates = np.empty((2, eigenvalues.size))
    for r in range(q.size):
        out[r] = ln_tail(q[r], eigenvalues, shifts, rates, AGREE)[0]
