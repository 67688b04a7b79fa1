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
from genassoc.kernels.laws.contours import LEVELS, Contours, contours, set_levels, shared_tail
from genassoc.shapes import Float64Array, Int64Array

AGREE = 1e-3  # of the sums of a tail given the burden: to a millionth of p
AGREE_EACH = 1e-4  # of those of one Q_rho: to 1e-8
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
    ln_p: float, x: float, found: float, ln_density: float, k: int, eigenvalues: Float64Array, room: Contours
) -> float:
    """The x of ``ln P(Q >= x) = ln_p``, by Newton's method from an x with its tail and density; NaN if it was not found.

    ln P is concave in x but for one degree of freedom, where it is nearly straight.
    """
    for _ in range(NEWTON_STEPS):
        if math.isnan(found):
            return np.nan
        off = found - ln_p
        step = off * math.exp(min(found - ln_density, 700.0))
        x = min(max(x + step, 0.125 * x), 8.0 * x)
        if abs(off) < NEAR:
            return x
        found, ln_density = shared_tail(x, 0.0, k, eigenvalues, room.moved, room)
    return np.nan


@jit
def quantiles(q: Float64Array, spectra: Float64Array, sizes: Int64Array, ln_p: Float64Array, out: Float64Array) -> None:
    """ln p of each Q_rho, and the q of each with the smallest of a trait's.

    Parameters
    ----------
    q : float64 array (T, K)
    spectra : float64 array (K, m)
        Positive eigenvalues of each Q, descending.
    sizes : int64 array (K,)
        How many each has.
    ln_p, out : float64 arrays (T, K)
        NaN where sums do not agree.
    """
    T, K = q.shape
    room = contours(K, spectra.shape[1], 0, AGREE_EACH)
    scaled, means, ln_densities = np.empty_like(spectra), np.empty(K), np.empty((T, K))
    for k in range(K):
        for j in range(sizes[k]):
            scaled[k, j] = spectra[k, j] / spectra[k, 0]
        own = scaled[k, : sizes[k]]
        means[k] = own.sum()
        for t in range(T):
            ln_p[t, k], ln_densities[t, k] = shared_tail(q[t, k] / spectra[k, 0], 0.0, k, own, room.moved, room)
    for t in range(T):
        least = np.argmin(ln_p[t])
        smallest = ln_p[t, least]
        for k in range(K):
            if k == least:
                out[t, k] = q[t, k]
                continue
            own = scaled[k, : sizes[k]]
            x, found, ln_density = q[t, k] / spectra[k, 0], ln_p[t, k], ln_densities[t, k]
            if x < means[k]:
                x = means[k]
                found, ln_density = shared_tail(x, 0.0, k, own, room.moved, room)
            out[t, k] = spectra[k, 0] * quantile(smallest, x, found, ln_density, k, own, room)


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
    law = np.empty((2, eigenvalues.size))
    for j in range(eigenvalues.size):
        law[0, j], law[1, j] = eigenvalues[j] / largest, shifts[j] / largest
    room = contours(LEVELS, eigenvalues.size, eigenvalues.size, AGREE)
    widening = set_levels(law[0], law[1], room)
    constants = np.array([variances[0], variances[1], largest, widening])
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
                value = passed_given(z, ln_p[t], q[t], rho, constants, law, room)
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
    constants: Float64Array,
    law: Float64Array,
    room: Contours,
) -> float:
    """P(any Q_rho passes | z) times the density of |z|, over exp(ln_p).

    Parameters
    ----------
    constants : float64 array (4,)
        S^2, what c'c has outside, the largest eigenvalue, and what `set_levels` gives.
    law : float64 array (2, m)
        Eigenvalues and shifts over the largest eigenvalue.
    """
    x = z * z
    ln_value = LN_DENSITY - 0.5 * x - ln_p
    if ln_value < -NOTHING:
        return 0.0
    least = np.inf
    for k in range(rho.size - 1):
        least = min(least, (q[k] - rho[k] * constants[0] * x) / (1.0 - rho[k]))
    least = (least - constants[1] * x) / constants[2]
    if least > 0.0:
        level = int(min(math.log2(1.0 + x * constants[3]), 1e6))
        ln_value += shared_tail(least, x, level, law[0], law[1], room)[0]
    return math.exp(ln_value)
