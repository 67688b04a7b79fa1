"""Tails of one quadratic form at many q, along paths that are shared: the path of `genassoc.kernels.laws.quadratic_forms` depends on q only
through the place c where it crosses the real line, and need not cross at the saddlepoint itself.

Places are laid out once, a standard deviation of the integrand apart, outwards from 0; a q takes the one nearest to its saddlepoint.
What costs a product over all eigenvalues, ``K0(s)`` and ``n(s)`` of

    K(s) = K0(s) + x n(s),    K0(s) = sum_j -1/2 ln(1 - 2 lambda_j s),    n(s) = sum_j n_j s / (1 - 2 lambda_j s),

is kept at the nodes of a path, so that a tail takes a few products a node whatever the number of eigenvalues (powers of
exp(-q s) are multiplied along the path), and with shifts one complex exponential. Shifts (x n_j, SKAT-O's) make the integrand narrower: levels of x, twice apart in K''(0), have places of their own. A place is laid out when it
is first needed and depends on the eigenvalues and shifts alone: what comes out for a q does not depend on what was asked before.

Each tail is held to what `ln_tail` holds it to, two sums that agree; where they do not, or the places end, `ln_tail` itself gives it.
"""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.laws.quadratic_forms import BENDS, ln_tail
from genassoc.kernels.laws.tails import neg_log_p_half_square
from genassoc.shapes import Float64Array, Int64Array

PLACES = 32  # a side
NODES = 64  # of the coarse sum
NOT_AT_HOME = 600.0  # with 60, one q in five goes to `ln_tail`
NEGLIGIBLE = 1e-3  # a term beside the first, of the error that is asked for
LARGEST = 300.0  # of |ln E|, so that products stay numbers
LEVELS = 8
HALVED = 0.7  # the first step, in standard deviations: the finer sum of a Gaussian is right to 1e-60
C, SIGMA, BEND, SLOPE, SHIFT_SLOPE, CUMULANT, SHIFT, STEP = range(8)


class Contours(NamedTuple):
    """Room for paths, filled as they are needed.

    Attributes
    ----------
    levels : float64 array (L, 2)
        Of each level the least x, and that whose standard deviations are the unit.
    agree : float64 array (1,)
        By how much of themselves two sums may differ.
    lengths : int64 array (L, 2)
        Places laid out right of 0 and left of it.
    places : float64 array (L, 2, PLACES, 8)
        Of each: c, sigma, a, K0'(c), n'(c), K0(c), n(c), step.
    counts : int64 array (L, 2, PLACES)
        Nodes of the coarse sum; 0 where they are not there yet, -1 where there is no path that falls.
    nodes : float64 array (L, 2, PLACES, 2 NODES, 8)
        Coarse ones, then those between: real and imaginary parts of ``-i E s' / s`` and ``-i E s'``, E = exp(K0(s) - K0(c)), of
        n(s) - n(c) and of s - c.
    rates : float64 array (2, m)
    moved : float64 array (m,), or (0,)
        Room of `ln_tail`.
    """

    levels: Float64Array
    agree: Float64Array
    lengths: Int64Array
    places: Float64Array
    counts: Int64Array
    nodes: Float64Array
    rates: Float64Array
    moved: Float64Array


@jit
def contours(L: int, m: int, m_shifts: int, agree: float) -> Contours:
    """Room for L levels of m eigenvalues, all of x = 0."""
    return Contours(
        np.zeros((L, 2)),
        np.full(1, agree),
        np.zeros((L, 2), np.int64),
        np.empty((L, 2, PLACES, 8)),
        np.zeros((L, 2, PLACES), np.int64),
        np.empty((L, 2, PLACES, 2 * NODES, 8)),
        np.empty((2, m)),
        np.empty(m_shifts),
    )


@jit
def set_levels(eigenvalues: Float64Array, shifts: Float64Array, room: Contours) -> float:
    """Levels of x; by how much of K0''(0) the shifts of x = 1 change K''(0)."""
    own, more = 0.0, 0.0
    for j in range(eigenvalues.size):
        own += 2.0 * eigenvalues[j] * eigenvalues[j]
        more += 4.0 * shifts[j] * eigenvalues[j]
    if more <= 0.0:
        return 0.0
    for level in range(room.levels.shape[0]):
        room.levels[level, 0] = (2.0**level - 1.0) * own / more
        room.levels[level, 1] = (2.0 ** (level + 1) - 1.0) * own / more
    return more / own


@jit
def lay_place(c: float, level: int, side: int, eigenvalues: Float64Array, shifts: Float64Array, room: Contours) -> None:
    """The next place of a level and side, at c."""
    place = room.places[level, side, room.lengths[level, side]]
    first = second = third = shift_first = shift_second = shift_third = cumulant = shift = 0.0
    for j in range(eigenvalues.size):
        t = 1.0 - 2.0 * eigenvalues[j] * c
        ratio = eigenvalues[j] / t
        first += ratio
        second += 2.0 * ratio * ratio
        third += 8.0 * ratio * ratio * ratio
        cumulant -= 0.5 * math.log(t)
        if shifts.size:
            below = shifts[j] / (t * t)
            shift += shifts[j] * c / t
            shift_first += below
            shift_second += 4.0 * below * ratio
            shift_third += 24.0 * below * ratio * ratio
    x = room.levels[level, 1]
    second += x * shift_second
    third += x * shift_third
    sigma = 1.0 / math.sqrt(second)
    place[C], place[SIGMA], place[BEND] = c, sigma, third / (6.0 * second * second)
    place[SLOPE], place[SHIFT_SLOPE], place[CUMULANT], place[SHIFT] = first, shift_first, cumulant, shift
    # The sum is off by exp(-2 pi d / step) times what the integrand is larger there, exp(d^2 / 2), d the distance of the pole at 0 or of
    # the first branch point; and of a q that is not at home a little more.
    step, enough = HALVED, math.log(NOT_AT_HOME / room.agree[0])
    for distance in (abs(c) / sigma, (0.5 - c) / sigma):
        step = min(step, 2.0 * math.pi * distance / (enough + 0.5 * distance * distance))
    place[STEP] = step
    room.lengths[level, side] += 1


@jit
def find_place(
    q: float, x: float, level: int, side: int, eigenvalues: Float64Array, shifts: Float64Array, room: Contours
) -> int:
    """The place whose K'(c) is nearest to q; -1 where it is beyond all. K' rises on the right, and falls outwards on the left."""
    sign = 1.0 if side == 0 else -1.0
    places = room.places[level, side]
    before, at = 0.0, 0
    while True:
        if at == room.lengths[level, side]:
            if at == PLACES:
                return -1
            if at == 0:
                own = 0.0
                for j in range(eigenvalues.size):
                    own += 2.0 * eigenvalues[j] * eigenvalues[j]
                    if shifts.size:
                        own += room.levels[level, 1] * 4.0 * shifts[j] * eigenvalues[j]
                width = 1.0 / math.sqrt(own)
                c = min(width, 0.25) if side == 0 else -1.5 * width
            else:
                last = places[at - 1]
                c = min(last[C] + last[SIGMA], 0.25 + 0.5 * last[C]) if side == 0 else last[C] - last[SIGMA]
            lay_place(c, level, side, eigenvalues, shifts, room)
        slope = places[at, SLOPE] + x * places[at, SHIFT_SLOPE]
        if sign * slope >= sign * q:
            if at and sign * (2.0 * q - slope - before) < 0.0:
                return at - 1
            return at
        before = slope
        at += 1


@jit
def put_node(
    u: float, place: Float64Array, eigenvalues: Float64Array, shifts: Float64Array, node: Float64Array
) -> float:
    """Put what is kept of the path at u; ln of the size of E s' / s, infinite where it is no number to keep."""
    c, sigma, a = place[C], place[SIGMA], place[BEND]
    x, y = a * u * u, sigma * u
    # prod_j (1 - r_j (s - c)), as in `path_term`
    re, im, ln_size, turns = 1.0, 0.0, 0.0, 0
    shift_re = shift_im = 0.0
    for j in range(eigenvalues.size):
        t = 1.0 - 2.0 * eigenvalues[j] * c
        rate = 2.0 * eigenvalues[j] / t
        f, g = 1.0 - rate * x, -rate * y
        product_re, product_im = re * f - im * g, re * g + im * f
        if im <= 0.0 and product_im > 0.0:
            turns += 1
        re, im = product_re, product_im
        size = abs(re) + abs(im)
        if size > 1e100 or size < 1e-100:
            ln_size += math.log(size)
            re, im = re / size, im / size
        if shifts.size:
            over = shifts[j] / (t * t * (f * f + g * g))
            shift_re += over * (x * f + y * g)
            shift_im += over * (y * f - x * g)
    ln_size += 0.5 * math.log(re * re + im * im)
    angle = math.atan2(im, re)
    if u > 0.0 and im == 0.0 and re < 0.0:
        angle = -math.pi
    angle -= 2.0 * math.pi * turns
    real, imaginary = -0.5 * ln_size, -0.5 * angle
    s_re, slope_re = c + x, 2.0 * a * u
    below = s_re * s_re + y * y
    ratio_re, ratio_im = (slope_re * s_re + sigma * y) / below, (sigma * s_re - slope_re * y) / below
    size = math.exp(min(max(real, -LARGEST), LARGEST))
    e_re, e_im = size * math.cos(imaginary), size * math.sin(imaginary)
    node[0], node[1] = e_re * ratio_im + e_im * ratio_re, e_im * ratio_im - e_re * ratio_re
    node[2], node[3] = e_re * sigma + e_im * slope_re, e_im * sigma - e_re * slope_re
    node[4], node[5], node[6], node[7] = shift_re, shift_im, x, y
    return real + 0.5 * math.log(ratio_re * ratio_re + ratio_im * ratio_im) if abs(real) < LARGEST else np.inf


@jit
def lay_path(
    place: Float64Array,
    nodes: Float64Array,
    eigenvalues: Float64Array,
    shifts: Float64Array,
    x: float,
    q: float,
    agree: float,
) -> int:
    """Nodes of a path, bent less until it falls all the way at the least x and q that it may serve; how many of the coarse sum, or -1."""
    negligible = math.log(0.1 * NEGLIGIBLE * agree * agree)
    for bend in range(BENDS):
        if bend == BENDS - 1:
            place[BEND] = 0.0
        first = before = 0.0
        for k in range(NODES):
            node = nodes[k]
            size = put_node(k * place[STEP], place, eigenvalues, shifts, node) + x * node[4] - q * node[6]
            if k == 0:
                first = size
            elif size > before:
                break
            before = size
            if size < first + negligible:
                for i in range(k + 1):
                    put_node((i + 0.5) * place[STEP], place, eigenvalues, shifts, nodes[NODES + i])
                return k + 1
        place[BEND] *= 0.25
    return -1


@jit
def plain_sums(
    q: float, count: int, place: Float64Array, nodes: Float64Array, agree: float
) -> tuple[float, float, float]:
    """Without shifts: the coarse sum of the tail, the finer one, and that of the density. NaN where the nodes end before the terms do."""
    step = place[STEP]
    # exp(-q (s - c)) = exp(-q a u^2) (cos - i sin)(q sigma u), u = 0, step, 2 step, ..., by products; then at 1/2 step, 3/2 step, ...
    turn, fall = 0.5 * q * place[SIGMA] * step, 0.25 * q * place[BEND] * step * step
    half_re, half_im, quarter = math.cos(turn), -math.sin(turn), math.exp(-fall)
    turn_re, turn_im = half_re * half_re - half_im * half_im, 2.0 * half_re * half_im
    quarter2 = quarter * quarter
    whole = quarter2 * quarter2
    faster = whole * whole
    negligible = NEGLIGIBLE * agree * agree * (abs(nodes[0, 0]) + abs(nodes[0, 1]))
    total, density, terms = -0.5 * nodes[0, 0], -0.5 * nodes[0, 2], 0
    re, im, size, ratio = 1.0, 0.0, 1.0, whole
    for k in range(count):
        w_re, w_im = size * re, size * im
        total += nodes[k, 0] * w_re - nodes[k, 1] * w_im
        density += nodes[k, 2] * w_re - nodes[k, 3] * w_im
        if (abs(nodes[k, 0]) + abs(nodes[k, 1])) * size < negligible:
            terms = k + 1
            break
        re, im = re * turn_re - im * turn_im, re * turn_im + im * turn_re
        size *= ratio
        ratio *= faster
    if not terms:
        return np.nan, np.nan, np.nan
    coarse = total
    re, im, size, ratio = half_re, half_im, quarter, faster
    for k in range(NODES, NODES + terms):
        w_re, w_im = size * re, size * im
        total += nodes[k, 0] * w_re - nodes[k, 1] * w_im
        density += nodes[k, 2] * w_re - nodes[k, 3] * w_im
        re, im = re * turn_re - im * turn_im, re * turn_im + im * turn_re
        size *= ratio
        ratio *= faster
    return coarse * step, 0.5 * step * total, 0.5 * step * density


@jit
def shifted_sums(
    q: float, x: float, count: int, step: float, nodes: Float64Array, agree: float
) -> tuple[float, float, float]:
    """As `plain_sums`, with shifts; the density is NaN."""
    negligible = NEGLIGIBLE * agree * agree * (abs(nodes[0, 0]) + abs(nodes[0, 1]))
    total, terms = 0.5 * nodes[0, 0], 0
    for k in range(1, count):
        size = math.exp(x * nodes[k, 4] - q * nodes[k, 6])
        turn = x * nodes[k, 5] - q * nodes[k, 7]
        total += size * (math.cos(turn) * nodes[k, 0] - math.sin(turn) * nodes[k, 1])
        if (abs(nodes[k, 0]) + abs(nodes[k, 1])) * size < negligible:
            terms = k + 1
            break
    if not terms:
        return np.nan, np.nan, np.nan
    coarse = total
    for k in range(NODES, NODES + terms):
        size = math.exp(x * nodes[k, 4] - q * nodes[k, 6])
        turn = x * nodes[k, 5] - q * nodes[k, 7]
        total += size * (math.cos(turn) * nodes[k, 0] - math.sin(turn) * nodes[k, 1])
    return coarse * step, 0.5 * step * total, np.nan


@jit
def shared_tail(
    q: float, x: float, level: int, eigenvalues: Float64Array, shifts: Float64Array, room: Contours
) -> tuple[float, float]:
    """ln P(Q >= q) for q > 0, and ln of the density there, of shifts ``x n_j``; the largest eigenvalue is 1. NaN as `ln_tail`."""
    if eigenvalues.size == 1 and not shifts.size:
        if q < 1e-300:
            return 0.0, -np.inf
        return -neg_log_p_half_square(0.5 * q), -0.5 * q - 0.5 * math.log(2.0 * math.pi * q)
    mean = eigenvalues.sum()
    if shifts.size:
        mean += x * shifts.sum()
    agree = room.agree[0]
    side = 0 if q >= mean else 1
    at = find_place(q, x, level, side, eigenvalues, shifts, room) if level < room.counts.shape[0] else -1
    if at >= 0:
        place, nodes = room.places[level, side, at], room.nodes[level, side, at]
        if room.counts[level, side, at] == 0:
            least_x = room.levels[level, 0]
            near = room.places[level, side, max(at - 1, 0)]
            least_q = near[SLOPE] + least_x * near[SHIFT_SLOPE]
            if side:
                least_q = 0.7 * (place[SLOPE] + least_x * place[SHIFT_SLOPE])
            elif at == 0:
                least_q = eigenvalues.sum() + (least_x * shifts.sum() if shifts.size else 0.0)
            room.counts[level, side, at] = lay_path(place, nodes, eigenvalues, shifts, least_x, least_q, agree)
        count = room.counts[level, side, at]
        if shifts.size:
            coarse, value, density = shifted_sums(q, x, count, place[STEP], nodes, agree)
        else:
            coarse, value, density = plain_sums(q, count, place, nodes, agree)
        if abs(value - coarse) <= agree * abs(value) and (value > 0.0 or q < mean):
            ln_size = place[CUMULANT] - q * place[C]
            if shifts.size:
                ln_size += x * place[SHIFT]
            ln_density = ln_size + math.log(density / math.pi) if density > 0.0 else -np.inf
            value /= math.pi
            if side:
                return min(math.log1p(max(math.exp(ln_size) * value, -1.0)), 0.0), ln_density
            return min(ln_size + math.log(value), 0.0), ln_density
    if shifts.size:
        for j in range(shifts.size):
            room.moved[j] = x * shifts[j]
    return ln_tail(q, eigenvalues, room.moved, room.rates[:, : eigenvalues.size], agree)
