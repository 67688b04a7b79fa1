"""Proportional odds: what each sample adds to likelihood, score and information; see `genassoc.kernels.ordinal`."""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.shapes import Float64Array, Int64Array


@jit
def sample_terms(
    theta: Float64Array,
    eta: float,
    level: int,
    expected: bool,
    F: Float64Array,
    c: Float64Array,
    diagonal: Float64Array,
    beside: Float64Array,
    slope: Float64Array,
) -> tuple[float, float]:
    """One sample's log p and d log p / d eta; fills its information and the slope in the thresholds.

    Parameters
    ----------
    theta : float64 array (K - 1,)
    F : float64 array (K - 1, 2)
        Filled: F and 1 - F at every threshold.
    c, diagonal, slope : float64 arrays (K - 1,)
        Filled: minus the information of a threshold with eta, with itself, and d log p / d theta.
    beside : float64 array (K - 1,)
        Filled: information of a threshold with the next; the last is 0.
    """
    M = theta.size
    for m in range(M):
        t = theta[m] - eta
        x = math.exp(-abs(t))
        share = 1.0 / (1.0 + x)
        F[m, 0] = share if t >= 0.0 else x * share
        F[m, 1] = x * share if t >= 0.0 else share
        c[m] = diagonal[m] = beside[m] = slope[m] = 0.0
    low = F[level - 1, 0] if level > 0 else 0.0
    # The chance of the level, by the tail that keeps its digits.
    p = _chance(F, level)
    high_above = F[level, 1] if level < M else 0.0
    log_p = math.log(p) if p > 0.0 else -np.inf
    # F_u + F_l - 1
    r = low - high_above
    f_u = F[level, 0] * F[level, 1] if level < M else 0.0
    f_l = F[level - 1, 0] * F[level - 1, 1] if level > 0 else 0.0
    if p <= 0.0:
        return log_p, r
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
        return log_p, r
    if level < M:
        c[level] = f_u
        diagonal[level] = f_u * f_u / (p * p) - f_u * (F[level, 1] - F[level, 0]) / p
    if level > 0:
        c[level - 1] = f_l
        diagonal[level - 1] = f_l * f_l / (p * p) + f_l * (F[level - 1, 1] - F[level - 1, 0]) / p
        if level < M:
            beside[level - 1] = -f_u * f_l / (p * p)
    return log_p, r


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
    D: Float64Array, level: Int64Array, parameters: Float64Array, M: int, expected: bool,
    J: Float64Array, gradient: Float64Array, r: Float64Array, w: Float64Array,
) -> float:  # fmt: skip
    """Log likelihood of (theta, beta) (M + P,); fills information J, gradient, r = d log p / d eta and its weight w."""
    n, P = D.shape
    theta = parameters[:M]
    F, c, diagonal, beside, slope = np.empty((M, 2)), np.empty(M), np.empty(M), np.empty(M), np.empty(M)
    J[:, :] = 0.0
    gradient[:] = 0.0
    total = 0.0
    for i in range(n):
        eta = 0.0
        for j in range(P):
            eta += D[i, j] * parameters[M + j]
        log_p, r[i] = sample_terms(theta, eta, level[i], expected, F, c, diagonal, beside, slope)
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
def threshold_weights(D: Float64Array, parameters: Float64Array, M: int, cross: Float64Array) -> None:
    """Fill minus the expected information of every sample's eta with each threshold, (n, M)."""
    F, diagonal, beside, slope = np.empty((M, 2)), np.empty(M), np.empty(M), np.empty(M)
    for i in range(D.shape[0]):
        eta = 0.0
        for j in range(D.shape[1]):
            eta += D[i, j] * parameters[M + j]
        sample_terms(parameters[:M], eta, 0, True, F, cross[i], diagonal, beside, slope)
