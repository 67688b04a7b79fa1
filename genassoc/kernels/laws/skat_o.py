"""The law of SKAT-O's smallest p: quantiles of each statistic, and the chance that any of them is passed.

``Q_rho = (1 - rho) sum_j U_j^2 + rho (sum_j U_j)^2``. With ``sum_j U_j = S z``, z standard normal, the scores given z are
``U = c z + e``, ``c = V 1 / S``, ``e ~ N(0, V - c c')``. So ``Q_1 = S^2 z^2`` and, given z, for all other rho

    Q_rho = rho S^2 z^2 + (1 - rho) |c z + e|^2,

where ``|c z + e|^2`` is a quadratic form of normals with shifted means, whose tail is known exactly: the chance that any Q_rho
passes its quantile is one integral over z. (R's SKAT replaces ``2 z c'e`` by its variance, and quantiles by those of
chi-squared variables with the same kurtosis.)
"""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.laws.quadratic_forms import ln_tail
from genassoc.shapes import Float64Array, Int64Array

AGREE = 1e-3  # of the sums of a tail: to a millionth of p
NEWTON_STEPS = 60
NEAR = 1e-4  # of p: Newton's next step squares it
NOTHING = 40.0  # exp(-40) is nothing beside 1
LN_DENSITY = 0.5 * math.log(2.0 / math.pi)  # of |z| at 0
QUADRATURE = 1e-4  # of the smallest p, a panel: what Gauss's sum is off; Kronrod's is off by far less
MAX_PANELS = 1000
MOST_PIECES = 60  # of an interval between two kinks, at first: room for all, and fine enough to p = 1e-3000
PANEL = 2.0  # standard deviations of z, at most


@jit
def quantile(
    ln_p: float, q: float, eigenvalues: Float64Array, scaled: Float64Array, rates: Float64Array, none: Float64Array
) -> float:
    """The q of ``ln P(Q >= q) = ln_p``, by Newton's method from a q that is given; NaN if it was not found.

    ln P is concave in q but for one degree of freedom, where it is nearly straight.
    """
    largest, m = eigenvalues[0], eigenvalues.size
    for j in range(m):
        scaled[j] = eigenvalues[j] / largest
    x = max(q / largest, scaled[:m].sum())
    for _ in range(NEWTON_STEPS):
        found, ln_density = ln_tail(x, scaled[:m], none, rates, AGREE)
        if math.isnan(found):
            return np.nan
        off = found - ln_p
        step = off * math.exp(min(found - ln_density, 700.0))
        x = min(max(x + step, 0.125 * x), 8.0 * x)
        if abs(off) < NEAR:
            return x * largest
    return np.nan


@jit
def quantiles(
    ln_p: Float64Array, q: Float64Array, spectra: Float64Array, sizes: Int64Array, known: Int64Array, out: Float64Array
) -> None:
    """`quantile` of each trait and rho.

    Parameters
    ----------
    ln_p : float64 array (T,)
    q : float64 array (T, K)
        Where to begin.
    spectra : float64 array (K, m)
        Positive eigenvalues of each Q, descending.
    sizes : int64 array (K,)
        How many each has.
    known : int64 array (T,)
        The rho whose q is the quantile itself.
    out : float64 array (T, K)
    """
    scaled, rates, none = np.empty(spectra.shape[1]), np.empty((2, spectra.shape[1])), np.empty(0)
    for t in range(ln_p.size):
        for k in range(sizes.size):
            if k == known[t]:
                out[t, k] = q[t, k]
            else:
                out[t, k] = quantile(ln_p[t], q[t, k], spectra[k, : sizes[k]], scaled, rates[:, : sizes[k]], none)


@jit
def kinks(q: Float64Array, rho: Float64Array, burden: float, end: float, out: Float64Array) -> int:
    """Where the smallest of the lines ``(q_k - rho_k burden x) / (1 - rho_k)`` changes in ``0 < x < end``; how many.

    rho ascends, and so do slopes downwards: the last rho (1) is left out.
    """
    n, x, at = 0, 0.0, 0
    for k in range(1, rho.size - 1):
        if q[k] / (1.0 - rho[k]) <= q[at] / (1.0 - rho[at]):
            at = k
    while True:
        nearest, after = end, -1
        for k in range(at + 1, rho.size - 1):
            # q_a / (1 - r_a) - r_a / (1 - r_a) b x = q_k / (1 - r_k) - r_k / (1 - r_k) b x
            slope = rho[k] / (1.0 - rho[k]) - rho[at] / (1.0 - rho[at])
            crossing = (q[k] / (1.0 - rho[k]) - q[at] / (1.0 - rho[at])) / (slope * burden)
            if crossing <= nearest:
                nearest, after = crossing, k
        if after < 0 or nearest >= end:
            return n
        x, at = nearest, after
        if x > 0.0:
            out[n] = x
            n += 1


@jit
def ln_any_passes(
    ln_p: Float64Array,
    q: Float64Array,
    rho: Float64Array,
    eigenvalues: Float64Array,
    shifts: Float64Array,
    variances: Float64Array,
    rule: Float64Array,
    out: Float64Array,
) -> None:
    """ln P(any Q_rho >= q_rho) of each trait.

    Parameters
    ----------
    ln_p : float64 array (T,)
        ln P(Q_1 >= q_1).
    q : float64 array (T, K)
    rho : float64 array (K,)
        Ascending from 0 to 1.
    eigenvalues : float64 array (m,)
        Positive, of V - c c', descending.
    shifts : float64 array (m,)
        Squares of c along its eigenvectors.
    variances : float64 array (2,)
        S^2, and what c'c has outside these eigenvectors.
    rule : float64 array (3, n)
        Nodes on -1 to 1, weights of Kronrod and of Gauss.
    out : float64 array (T,)
        NaN where a quantile is.
    """
    burden, largest = variances[0], eigenvalues[0]
    room = np.empty((4, eigenvalues.size))
    for j in range(eigenvalues.size):
        room[0, j], room[1, j] = eigenvalues[j] / largest, shifts[j] / largest
    ends, panels = np.empty(rho.size + 1), np.empty((MAX_PANELS, 2))
    for t in range(ln_p.size):
        if not np.isfinite(q[t]).all():
            out[t] = np.nan
            continue
        n = kinks(q[t], rho, burden, q[t, -1] / burden, ends)
        ends[n] = q[t, -1] / burden
        waiting, left = 0, 0.0
        for i in range(n + 1):
            right = math.sqrt(ends[i])
            pieces = min(max(1, math.ceil((right - left) / PANEL)), MOST_PIECES)
            for piece in range(pieces):
                panels[waiting, 0] = left + (right - left) * piece / pieces
                panels[waiting, 1] = left + (right - left) * (piece + 1) / pieces
                waiting += 1
            left = right
        # In units of the smallest p: the chance is between 1 and K of them.
        total, done = 1.0, 0
        while waiting:
            waiting -= 1
            left, right = panels[waiting, 0], panels[waiting, 1]
            fine = coarse = 0.0
            for node in range(rule.shape[1]):
                z = 0.5 * (left + right) + 0.5 * (right - left) * rule[0, node]
                value = passed_given(z, ln_p[t], q[t], rho, variances, largest, room)
                fine += rule[1, node] * value
                coarse += rule[2, node] * value
            half = 0.5 * (right - left)
            done += 1
            if half * abs(fine - coarse) <= QUADRATURE or done > MAX_PANELS or waiting > MAX_PANELS - 2:
                total += half * fine
                continue
            panels[waiting, 0], panels[waiting, 1] = left, left + half
            panels[waiting + 1, 0], panels[waiting + 1, 1] = left + half, right
            waiting += 2
        out[t] = ln_p[t] + math.log(total)


@jit
def passed_given(
    z: float,
    ln_p: float,
    q: Float64Array,
    rho: Float64Array,
    variances: Float64Array,
    largest: float,
    room: Float64Array,
) -> float:
    """P(any Q_rho passes | z) times the density of |z|, over exp(ln_p).

    Parameters
    ----------
    room : float64 array (4, m)
        Eigenvalues and shifts over the largest eigenvalue; room.
    """
    x = z * z
    least = np.inf
    for k in range(rho.size - 1):
        least = min(least, (q[k] - rho[k] * variances[0] * x) / (1.0 - rho[k]))
    least = (least - variances[1] * x) / largest
    ln_value = LN_DENSITY - 0.5 * x - ln_p
    if ln_value < -NOTHING:
        return 0.0
    if least > 0.0:
        scaled, moved = room[0], room[1].copy()
        for j in range(moved.size):
            moved[j] *= x
        ln_value += ln_tail(least, scaled, moved, room[2:], AGREE)[0]
    return math.exp(ln_value)
