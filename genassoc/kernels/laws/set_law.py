"""The exact law of a set's statistics where few events make them: SKAT's Q, the burden S, and both together.

The columns of a set (variants, or several that are collapsed) are units of carriers. The count of a unit is ``T = sum dose_i y_i`` over its
carriers, of y Bernoulli (cases), Poisson (events of a time to an event, counts) or negative binomial, each of its own mean under the null. With
``u = T - E T`` and the unit's weight w ::

    S = sum w u,     Q = sum w^2 u^2

are sums over units, whose laws are convolved on a grid: unit by unit, every term positive, so that a tail of 1e-80 is as right as one of 0.1.
A point between two cells is split among them with its mean kept; the tail starts `_slack` cells lower, so that the splitting of
points that tie with what is observed never makes p smaller. What lies beyond the last cell stays there.
"""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.shapes import Float64Array, Int64Array

BERNOULLI, POISSON, NEGATIVE_BINOMIAL = 0, 1, 2
NEGLIGIBLE = 1e-120  # of a count's law, below its mean: no p below 1e-110 is given
_UNDERFLOW = 1e-290
_LOG_NEGLIGIBLE = math.log(NEGLIGIBLE)
_ALIKE = 1.15  # of the odds alpha mean of samples whose negative binomial counts are added as one
_CUT = 1e-18  # of a unit's lower tail; taken back where p is not far above it
_FAR = 1e-30  # of points dropped while two sums are convolved together, times the p sought


@jit
def _add_counts(law: Float64Array, room: Float64Array, last: int, dose: int, mean: float, size: float) -> int:
    """``law`` of a count (0..last) plus ``dose`` times a negative binomial count of ``size`` (infinite: Poisson): its new last."""
    for t in range(last + 1):
        room[t] = law[t]
        law[t] = 0.0
    end = 0
    log_mean = math.log(mean)
    for k in range((law.size - 1) // dose + 1):
        if size == math.inf:
            log_p = k * log_mean - mean - math.lgamma(k + 1.0)
        else:
            log_p = math.lgamma(size + k) - math.lgamma(size) - math.lgamma(k + 1.0)
            log_p += -size * math.log1p(mean / size) + k * (log_mean - math.log(size + mean))
        if log_p < _LOG_NEGLIGIBLE:
            if k > mean:
                break
            continue
        p = math.exp(log_p)
        stop = min(last, law.size - 1 - k * dose)
        for t in range(stop + 1):
            law[t + k * dose] += room[t] * p
        end = max(end, stop + k * dose)
    while end > 0 and law[end] < NEGLIGIBLE:
        law[end] = 0.0
        end -= 1
    return end


@jit
def count_law(
    kind: int, mean: Float64Array, alpha: Float64Array, dose: Int64Array, law: Float64Array, room: Float64Array
) -> tuple[int, int]:
    """The law of ``sum dose y`` into ``law`` (its size bounds the count): the first and the last count with a chance worth keeping."""
    for t in range(law.size):
        law[t] = 0.0
    law[0] = 1.0
    low, high = 0, 0
    if kind == BERNOULLI:
        for i in range(dose.size):
            d, p = dose[i], mean[i]
            if d == 0:
                continue
            for t in range(min(high + d, law.size - 1), low - 1, -1):
                law[t] = law[t] * (1.0 - p) + (law[t - d] * p if t - d >= low else 0.0)
            high = min(high + d, law.size - 1)
            while high > low and law[high] < _UNDERFLOW:
                law[high] = 0.0
                high -= 1
            while low < high and law[low] < NEGLIGIBLE:
                law[low] = 0.0
                low += 1
    else:
        # Samples of one dose whose counts have tails of about the same rate, alpha mean / (1 + alpha mean), add to one count of that tail.
        done = np.zeros(dose.size, np.bool_)
        for i in range(dose.size):
            if done[i] or dose[i] == 0 or mean[i] <= 0.0:
                continue
            odds = alpha[i] * mean[i] if kind == NEGATIVE_BINOMIAL else 0.0
            total, size = 0.0, 0.0
            for j in range(i, dose.size):
                if done[j] or dose[j] != dose[i] or mean[j] <= 0.0:
                    continue
                if kind == NEGATIVE_BINOMIAL:
                    other = alpha[j] * mean[j]
                    if other > _ALIKE * odds or odds > _ALIKE * other:
                        continue
                    size += 1.0 / alpha[j]
                done[j] = True
                total += mean[j]
            high = _add_counts(law, room, high, dose[i], total, size if kind == NEGATIVE_BINOMIAL else math.inf)
    while low < high and law[low] < NEGLIGIBLE:
        low += 1
    return low, high


@jit
def _slack(units: int) -> float:
    """Cells by which splitting spreads a sum of as many points: a split has a variance of at most a quarter, 1 / 6 on average."""
    return min(1.0 + 1.5 * math.sqrt(units / 4.0), 0.25 * units + 1.0)


@jit
def _split(x: float, p: float, cells: Float64Array) -> int:
    """Split a chance p at x between the two cells beside it; what lies beyond the last cell is in it. The higher cell that has any."""
    L = cells.size
    if x >= L - 1.0:
        cells[L - 1] += p
        return L - 1
    c = int(x)
    f = x - c
    cells[c] += p * (1.0 - f)
    cells[c + 1] += p * f
    return c + 1 if f > 0.0 else c


@jit
def _add_unit(cells: Float64Array, last: int, law: Float64Array, top: int, room: Float64Array) -> int:
    """Add a unit, whose law is ``cells`` up to ``last``, to the sum whose ``law`` (L,) reaches up to ``top``: how far it reaches then."""
    L = law.size
    room[:] = 0.0
    for c in range(last + 1):
        p = cells[c]
        if p == 0.0:
            continue
        inside = min(top, L - 2 - c)
        for t in range(inside + 1):
            room[t + c] += law[t] * p
        for t in range(max(inside + 1, 0), top + 1):
            room[L - 1] += law[t] * p
    for t in range(L):
        law[t] = room[t]
    return min(top + last, L - 1)


@jit
def quadratic_tail(first: Int64Array, u2: Float64Array, chance: Float64Array, q: float, law: Float64Array) -> float:
    """P(Q >= q) of Q = sum of one point of each unit, ``u2[first[j]:first[j + 1]]`` of chances ``chance``; ``law`` (L,) is room for the grid."""
    L = law.size
    m = first.size - 1
    # Points are scaled such that q lies at cell `L - 1`, and the tail starts where splitting can have brought what ties with it.
    scale = (L - 2.0) / q
    tail_at = max(math.floor(L - 2.0 - _slack(m)), 1)
    law[:] = 0.0
    law[0] = 1.0
    top = 0
    other = np.empty(L)
    for j in range(m):
        start, stop = first[j], first[j + 1]
        points = stop - start
        if points == 1 and u2[start] == 0.0:
            continue
        # The unit's points by cell.
        cells = np.zeros(L)
        last = 0
        for k in range(start, stop):
            last = max(last, _split(u2[k] * scale, chance[k], cells))
        top = _add_unit(cells, last, law, top, other)
    p = 0.0
    for t in range(L - 1, tail_at - 1, -1):
        p += law[t]
    return p


@jit
def _least_step(first: Int64Array, u: Float64Array) -> float:
    """The smallest step between two points of a unit."""
    least = math.inf
    for j in range(first.size - 1):
        for k in range(first[j] + 1, first[j + 1]):
            least = min(least, u[k] - u[k - 1])
    return least


@jit
def linear_tails(
    first: Int64Array, u: Float64Array, chance: Float64Array, s: float, cut: float, law: Float64Array
) -> float:
    """P(|S| >= |s|) of S = sum of one point of each unit, ascending in u; points of a unit's lowest ``cut`` are taken as the next one."""
    L = law.size
    m = first.size - 1
    low = 0.0
    begin = np.empty(m, np.int64)
    below = np.empty(m)
    for j in range(m):
        k, total = first[j], 0.0
        while k < first[j + 1] - 1 and total + chance[k] < cut:
            total += chance[k]
            k += 1
        begin[j], below[j] = k, total
        low += u[k]
    high = abs(s)
    if high <= 0.0:
        return 1.0
    # x = (S - low) scale; |s| at cell L - 2.
    scale = (L - 2.0) / (high - low) if high > low else 0.0
    # Where one event is fewer cells than what splitting spreads, no single outcome is much of the tail.
    slack = min(_slack(m), 0.45 * _least_step(first, u) * scale)
    law[:] = 0.0
    law[0] = 1.0
    top = 0
    other = np.empty(L)
    for j in range(m):
        start, stop = begin[j], first[j + 1]
        cells = np.zeros(L)
        cells[0] = below[j]
        last = 0
        for k in range(start, stop):
            last = max(last, _split((u[k] - u[start]) * scale, chance[k], cells))
        top = _add_unit(cells, last, law, top, other)
    p = 0.0
    start = max(math.floor(L - 2.0 - slack), 0)
    for t in range(L - 1, start - 1, -1):
        p += law[t]
    lower = (-high - low) * scale + slack
    for t in range(min(math.floor(lower) + 1, start) if lower >= 0.0 else 0):
        p += law[t]
    return min(p, 1.0)


@jit
def joint_law(
    first: Int64Array,
    u: Float64Array,
    u2: Float64Array,
    chance: Float64Array,
    ends: tuple[float, float],
    negligible: float,
    law: Float64Array,
) -> None:
    """The law of (S, Q) on a grid ``law`` (A, B): S from -ends[0] to ends[0], Q from 0 to ends[1]; what lies beyond stays at the edge."""
    A, B = law.shape
    half = (A - 1) // 2
    s_scale, q_scale = half / ends[0], (B - 1.0) / ends[1]
    law[:, :] = 0.0
    law[half, 0] = 1.0
    other = np.empty((A, B))
    a_low, a_high, b_high = half, half, 0
    for j in range(first.size - 1):
        other[:, :] = 0.0
        n_low, n_high, n_b = a_low, a_high, b_high
        for k in range(first[j], first[j + 1]):
            p = chance[k]
            if p < negligible:
                continue
            x = max(min(u[k] * s_scale, 2.0 * half), -2.0 * half)
            y = min(u2[k] * q_scale, B - 1.0)
            i = math.floor(x)
            c = int(y)
            f, g = x - i, y - c
            for corner in range(4):
                di, dc = corner & 1, corner >> 1
                w = p * (f if di else 1.0 - f) * (g if dc else 1.0 - g)
                if w == 0.0:
                    continue
                shift, up = i + di, c + dc
                for a in range(a_low, a_high + 1):
                    to = min(max(a + shift, 0), A - 1)
                    inside = min(b_high, B - 1 - up)
                    for b in range(inside + 1):
                        other[to, b + up] += law[a, b] * w
                    for b in range(max(inside + 1, 0), b_high + 1):
                        other[to, B - 1] += law[a, b] * w
                n_low = max(min(n_low, a_low + shift), 0)
                n_high = min(max(n_high, a_high + shift), A - 1)
                n_b = min(max(n_b, b_high + up), B - 1)
        a_low, a_high, b_high = n_low, n_high, n_b
        for a in range(A):
            for b in range(B):
                law[a, b] = other[a, b]


@jit
def optimal_tail(
    law: Float64Array,
    ends: tuple[float, float],
    observed: tuple[float, float],
    rho: Float64Array,
    units: int,
    step: float,
    least: float,
) -> tuple[float, float]:
    """min over rho of P((1 - rho) Q + rho S^2 >= what is observed), and the chance of a minimum as small, of the `joint_law`.

    ``step`` is that of one event in S; ``least`` bounds the minimum from above (p of Q alone and of S alone, by finer grids).
    """
    A, B = law.shape
    half = (A - 1) // 2
    ds, dq = ends[0] / half, ends[1] / (B - 1.0)
    bins = 4096
    slack, s_slack = _slack(units), min(_slack(units), 0.45 * step / ds)
    s, q = abs(observed[0]), observed[1]
    R = rho.size
    smallest = least
    tails = np.zeros((R, bins + 2))
    widest = np.empty(R)
    for r in range(R):
        ro = rho[r]
        top = (1.0 - ro) * ends[1] + ro * ends[0] * ends[0]
        widest[r] = top
        cut = (1.0 - ro) * max(q - slack * dq, 0.0) + ro * max(s - s_slack * ds, 0.0) ** 2
        p = 0.0
        for a in range(A):
            sa = (a - half) * ds
            for b in range(B):
                mass = law[a, b]
                if mass == 0.0:
                    continue
                value = (1.0 - ro) * b * dq + ro * sa * sa
                tails[r, int(value / top * bins)] += mass
                if value >= cut:
                    p += mass
        # The ends are those of finer grids: only what mixes both is read here.
        if 0.0 < ro < 1.0:
            smallest = min(smallest, p)
        for c in range(bins, -1, -1):
            tails[r, c] += tails[r, c + 1]
    # Bins of each rho whose tail is no larger than the minimum are as extreme.
    reached = np.empty(R, np.int64)
    for r in range(R):
        c = bins + 1
        while c > 0 and tails[r, c - 1] <= smallest:
            c -= 1
        # One bin more: the tail of the observed value itself lies within it.
        reached[r] = max(c - 1, 0)
    whole = 0.0
    for a in range(A):
        sa = (a - half) * ds
        for b in range(B):
            mass = law[a, b]
            if mass == 0.0:
                continue
            for r in range(R):
                value = (1.0 - rho[r]) * b * dq + rho[r] * sa * sa
                if int(value / widest[r] * bins) >= reached[r]:
                    whole += mass
                    break
    return smallest, whole


@jit
def same_carriers(offsets: Int64Array, samples: Int64Array, doses: Int64Array, unit: Int64Array) -> int:
    """The unit of each column: columns of the same carriers and doses are one. How many units there are."""
    units = 0
    for j in range(unit.size):
        unit[j] = -1
        size = offsets[j + 1] - offsets[j]
        for k in range(j):
            if offsets[k + 1] - offsets[k] != size:
                continue
            same = True
            for i in range(size):
                a, b = offsets[j] + i, offsets[k] + i
                if samples[a] != samples[b] or doses[a] != doses[b]:
                    same = False
                    break
            if same:
                unit[j] = unit[k]
                break
        if unit[j] < 0:
            unit[j] = units
            units += 1
    return units


@jit
def set_points(
    kind: int,
    mean: Float64Array,
    alpha: Float64Array,
    carriers: tuple[Int64Array, Int64Array, Int64Array],
    step: float,
    weights: Float64Array,
) -> tuple[Int64Array, Float64Array, Float64Array, Float64Array, Int64Array, Float64Array]:
    """The points of each unit of a set.

    Parameters
    ----------
    kind : int
        BERNOULLI, POISSON or NEGATIVE_BINOMIAL.
    mean, alpha : float64 (N,)
        Of each sample; alpha, and its residual's factor 1 / (1 + alpha mean), of negative binomial counts only.
    carriers : int64 (m + 1,), (n,), (n,)
        Where each column's carriers start, who they are, and their doses in units of ``step``.
    step : float
        Of doses.
    weights : float64 (m,)
        Of columns.

    Returns
    -------
    first : int64 (units + 1,)
    u, u2, chance : float64 (points,)
        ``sum w u``, ``sum w^2 u^2`` and the chance of each point, ascending in u.
    unit : int64 (m,)
        Of each column.
    moments : float64 (units, 4)
        The mean and the variance of ``T``; sums of the unit's weights and of their squares.
    """
    offsets, samples, doses = carriers
    m = weights.size
    unit = np.empty(m, np.int64)
    units = same_carriers(offsets, samples, doses, unit)
    w1, w2, columns = np.zeros(units), np.zeros(units), np.full(units, -1, np.int64)
    for j in range(m):
        w1[unit[j]] += weights[j]
        w2[unit[j]] += weights[j] * weights[j]
        if columns[unit[j]] < 0:
            columns[unit[j]] = j
    first = np.zeros(units + 1, np.int64)
    moments = np.zeros((units, 4))
    u, u2, chance = np.empty(1024), np.empty(1024), np.empty(1024)
    size = 0
    for g in range(units):
        start, stop = offsets[columns[g]], offsets[columns[g] + 1]
        n = stop - start
        mu, a, dose = np.empty(n), np.ones(n), np.empty(n, np.int64)
        expected, variance, largest, total = 0.0, 0.0, 0, 0
        for i in range(n):
            row = samples[start + i]
            mu[i], dose[i] = mean[row], doses[start + i]
            v = mu[i] * (1.0 - mu[i]) if kind == BERNOULLI else mu[i]
            if kind == NEGATIVE_BINOMIAL:
                a[i] = alpha[row]
                v *= 1.0 + a[i] * mu[i]
            expected += dose[i] * mu[i]
            variance += dose[i] * dose[i] * v * step * step
            largest = max(largest, dose[i])
            total += dose[i]
        room_for = total + 1
        if kind != BERNOULLI:
            # Far enough that what lies beyond has no chance worth keeping.
            room_for = (
                int(
                    expected
                    + 40.0 * math.sqrt(variance) / step
                    + 60.0 * largest * (1.0 + (a.max() if n and kind == NEGATIVE_BINOMIAL else 0.0) * 4.0)
                )
                + 1
            )
        law, room = np.empty(room_for), np.empty(room_for)
        low, high = count_law(kind, mu, a, dose, law, room)
        for t in range(low, high + 1):
            if law[t] <= 0.0:
                continue
            if size == u.size:
                u, u2, chance = _longer(u), _longer(u2), _longer(chance)
            x = (t - expected) * step
            u[size], u2[size], chance[size] = w1[g] * x, w2[g] * x * x, law[t]
            size += 1
        first[g + 1] = size
        moments[g, 0], moments[g, 1], moments[g, 2], moments[g, 3] = expected * step, variance, w1[g], w2[g]
    return first, u[:size], u2[:size], chance[:size], unit, moments


@jit
def _longer(x: Float64Array) -> Float64Array:
    out = np.empty(2 * x.size)
    for i in range(x.size):
        out[i] = x[i]
    return out


@jit
def set_tails(
    first: Int64Array,
    points: tuple[Float64Array, Float64Array, Float64Array],
    s: float,
    q: float,
    rho: Float64Array,
    sizes: tuple[int, int, int],
    most: float,
    coarse_above: float,
) -> tuple[float, float, float]:
    """P of Q, of S, and of the least p over ``rho``, as large as observed.

    Parameters
    ----------
    first, points
        Of `set_points`: u, u2 and chance.
    s, q : float
        Observed S and Q.
    rho : float64 (R,)
        Shares of S^2, with 0 and 1; empty: the third is NaN.
    sizes : tuple of int
        Cells of the grid of one sum, and of S and of Q where both are convolved.
    most : float
        If the p of Q and of S are both above it, the third is Sidak's for two of them.
    coarse_above : float
        If p of Q and of S on grids of an eighth of the cells are both above it, they are returned: for simulations that count small p.
    """
    u, u2, chance = points
    units = first.size - 1
    if coarse_above < 1.0:
        eighth = np.empty(sizes[0] // 8)
        p_q = min(quadratic_tail(first, u2, chance, q, eighth), 1.0) if q > 0.0 else 1.0
        p_s = linear_tails(first, u, chance, s, _CUT, eighth)
        if p_q > coarse_above and p_s > coarse_above:
            return p_q, p_s, 1.0 - (1.0 - min(p_q, p_s)) ** 2
    fine = np.empty(sizes[0])
    p_q = min(quadratic_tail(first, u2, chance, q, fine), 1.0) if q > 0.0 else 1.0
    p_s = linear_tails(first, u, chance, s, _CUT, fine)
    if p_s < 1e6 * _CUT:
        p_s = linear_tails(first, u, chance, s, 0.0, fine)
    if rho.size == 0:
        return p_q, p_s, math.nan
    least = min(p_q, p_s)
    if least > most:
        return p_q, p_s, 1.0 - (1.0 - least) ** 2
    if least <= 0.0:
        return p_q, p_s, 0.0
    beyond = 1e-3 * least
    coarse = np.empty(256)
    q_end = max(q, 1e-12)
    for _ in range(60):
        if quadratic_tail(first, u2, chance, q_end, coarse) <= beyond:
            break
        q_end *= 1.25
    s_end = max(abs(s), 1e-12)
    for _ in range(60):
        if linear_tails(first, u, chance, s_end, min(_CUT, 1e-6 * beyond), coarse) <= beyond:
            break
        s_end *= 1.12
    law = np.empty((sizes[1], sizes[2]))
    ends = (s_end * 1.02, q_end * 1.02)
    joint_law(first, u, u2, chance, ends, least * _FAR, law)
    smallest, whole = optimal_tail(law, ends, (s, q), rho, units, _least_step(first, u), least)
    return p_q, p_s, min(max(whole, smallest), rho.size * smallest, 1.0)
