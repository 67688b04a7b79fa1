"""The likelihood of proportional odds (McCullagh 1980), sample by sample: chances, slopes and information.

    P(level <= m) = F(theta_m - eta)      F(t) = 1 / (1 + exp(-t))      eta = D beta      m = 0 .. K - 2

The parameters are (theta, beta), so a larger eta means a higher level. With p the chance of the level observed, between
the thresholds l and u, and f = F (1 - F):

    d log p / d eta = F_u + F_l - 1      d log p / d theta_u = f_u / p      d log p / d theta_l = -f_l / p

The log likelihood is concave, its information (observed or expected) tridiagonal in the thresholds; crossed with eta
it is -c_m in threshold m, and the sum of the c_m in eta: a shift of all thresholds is a shift of eta.
"""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.copies import put
from genassoc.shapes import Float64Array, Int64Array


class Levels(NamedTuple):
    """A trait of ordered levels.

    Attributes
    ----------
    level : int64 array (n,)
        0 to M.
    M : int
        Thresholds.
    offset : float64 array (n,)
        Part of eta that is given.
    """

    level: Int64Array
    M: int
    offset: Float64Array


class Thresholds(NamedTuple):
    """What one sample adds to the thresholds' part of the likelihood.

    Attributes
    ----------
    F : float64 array (M, 2)
        F and 1 - F at every threshold.
    c, diagonal, slope : float64 arrays (M,)
        Minus the information of a threshold with eta, with itself, and d log p / d theta.
    beside : float64 array (M,)
        Information of a threshold with the next; the last is 0.
    """

    F: Float64Array
    c: Float64Array
    diagonal: Float64Array
    beside: Float64Array
    slope: Float64Array


@jit
def room_of(M: int) -> Thresholds:
    """Room for one sample."""
    return Thresholds(np.empty((M, 2)), np.empty(M), np.empty(M), np.empty(M), np.empty(M))


@jit
def sample_terms(theta: Float64Array, eta: float, level: int, expected: bool, room: Thresholds) -> tuple[float, float]:
    """One sample's log p and d log p / d eta; fills the room with its (expected or observed) information and slope."""
    M = theta.size
    for m in range(M):
        t = theta[m] - eta
        x = math.exp(-abs(t))
        share = 1.0 / (1.0 + x)
        room.F[m, 0] = share if t >= 0.0 else x * share
        room.F[m, 1] = x * share if t >= 0.0 else share
    p, r = _terms_of(room.F, level, expected, room)
    return (math.log(p) if p > 0.0 else -np.inf), r


@jit
def _terms_of(F: Float64Array, level: int, expected: bool, room: Thresholds) -> tuple[float, float]:
    """The chance of a sample's level and d log p / d eta of F and 1 - F at the thresholds; fills what `sample_terms` does."""
    c, diagonal, beside, slope = room.c, room.diagonal, room.beside, room.slope
    M = F.shape[0]
    for m in range(M):
        c[m] = diagonal[m] = beside[m] = slope[m] = 0.0
    low = F[level - 1, 0] if level > 0 else 0.0
    # The chance of the level, by the tail that keeps its digits.
    p = _chance(F, level)
    high_above = F[level, 1] if level < M else 0.0
    # F_u + F_l - 1
    r = low - high_above
    f_u = F[level, 0] * F[level, 1] if level < M else 0.0
    f_l = F[level - 1, 0] * F[level - 1, 1] if level > 0 else 0.0
    if p <= 0.0:
        return p, r
    if level < M:
        slope[level] = f_u / p
    if level > 0:
        slope[level - 1] = -f_l / p
    if expected:
        for m in range(M):
            f = F[m, 0] * F[m, 1]
            here, above = _chance(F, m), _chance(F, m + 1)
            c[m] = f * (here + above)  # F_(m+1) - F_(m-1)
            diagonal[m] = f * f * (1.0 / max(here, 1e-300) + 1.0 / max(above, 1e-300))
            if m < M - 1:
                beside[m] = -f * (F[m + 1, 0] * F[m + 1, 1]) / max(above, 1e-300)
        return p, r
    if level < M:
        c[level] = f_u
        diagonal[level] = f_u * f_u / (p * p) - f_u * (F[level, 1] - F[level, 0]) / p
    if level > 0:
        c[level - 1] = f_l
        diagonal[level - 1] = f_l * f_l / (p * p) + f_l * (F[level - 1, 1] - F[level - 1, 0]) / p
        if level < M:
            beside[level - 1] = -f_u * f_l / (p * p)
    return p, r


@jit
def _chance(F: Float64Array, level: int) -> float:
    """Chance of a level from F and 1 - F at the thresholds."""
    M = F.shape[0]
    if level == 0:
        return float(F[0, 0])
    if level == M:
        return float(F[M - 1, 1])
    if F[level - 1, 0] > 0.5:
        return float(F[level - 1, 1] - F[level, 1])
    return float(F[level, 0] - F[level - 1, 0])


@jit
def accumulate(
    D: Float64Array, levels: Levels, parameters: Float64Array, expected: bool,
    J: Float64Array, gradient: Float64Array, r: Float64Array, w: Float64Array,
) -> float:  # fmt: skip
    """Log likelihood of (theta, beta) (M + P,); fills information J, gradient, r = d log p / d eta and its weight w.

    Sample by sample: for few of them; `genassoc.kernels.likelihoods.ordinal_tiles` is for all.
    """
    n, P = D.shape
    M = levels.M
    theta, room = parameters[:M], room_of(M)
    c, diagonal, beside, slope = room.c, room.diagonal, room.beside, room.slope
    J[:, :] = 0.0
    gradient[:] = 0.0
    total = 0.0
    for i in range(n):
        eta = levels.offset[i]
        for j in range(P):
            eta += D[i, j] * parameters[M + j]
        log_p, r[i] = sample_terms(theta, eta, levels.level[i], expected, room)
        total += log_p
        w[i] = 0.0
        for m in range(M):
            w[i] += c[m]
            gradient[m] += slope[m]
            J[m, m] += diagonal[m]
            if m < M - 1:
                J[m + 1, m] += beside[m]
            if c[m] != 0.0:
                for j in range(P):
                    J[M + j, m] -= c[m] * D[i, j]
        for j in range(P):
            gradient[M + j] += r[i] * D[i, j]
            x = w[i] * D[i, j]
            for k in range(j + 1):
                J[M + j, M + k] += x * D[i, k]
    for a in range(M + P):
        for b in range(a):
            J[b, a] = J[a, b]
    return total


@jit
def threshold_weights(D: Float64Array, levels: Levels, parameters: Float64Array, cross: Float64Array) -> None:
    """Fill minus the expected information of every sample's eta with each threshold, (n, M)."""
    M = levels.M
    room = room_of(M)
    for i in range(D.shape[0]):
        eta = levels.offset[i]
        for j in range(D.shape[1]):
            eta += D[i, j] * parameters[M + j]
        sample_terms(parameters[:M], eta, 0, True, room)
        put(cross[i], 0, room.c)
