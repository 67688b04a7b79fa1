"""-log10 p of the dense twin, by the C library's functions and textbook series: not by `genassoc.kernels.laws.tails`."""

import math
from functools import reduce

import numpy as np

LN10 = math.log(10.0)
_ERFC_UNTIL = 25.0  # above, erfc is near the smallest numbers
_TERMS = 10_000  # of a continued fraction; a few dozen are enough


def neg_log_10_p(Q: float, k: int = 1, df: float = math.inf) -> float:
    """-log10 of the upper tail of a Wald chi-squared Q of k coefficients: chi-squared, or with ``df`` that of F = Q / k."""
    if not Q >= 0.0:
        return math.nan
    return -(_log_chi_squared(Q, k) if math.isinf(df) else _log_f(Q, k, df)) / LN10 + 0.0


def neg_log_10_p_normal(z: float) -> float:
    """-log10 of the two-sided p of a normal deviate."""
    return neg_log_10_p(z * z)


def size_of_z(logp: float) -> float:
    """The |z| whose two-sided -log10 p this is: Newton's method on the logarithm, which is nearly a parabola."""
    wanted = -logp * LN10
    z = math.sqrt(max(-2.0 * wanted, 0.0))  # never below it
    for _ in range(100):
        log_p = _log_erfc(z / math.sqrt(2.0))
        slope = -2.0 * math.exp(-0.5 * z * z - log_p) / math.sqrt(2.0 * math.pi)
        step = (log_p - wanted) / slope
        z = max(z - step, 0.0)
        if abs(step) <= 1e-15 * z:
            break
    return z


def _log_erfc(x: float) -> float:
    """``ln erfc(x)`` of x >= 0; beyond the range of erfc by its continued fraction (DLMF 7.9.1), bottom up."""
    if x < _ERFC_UNTIL:
        return math.log(math.erfc(x))
    fraction = reduce(lambda below, j: x + 0.5 * j / below, range(40, 0, -1), x)
    return -x * x - math.log(fraction) - 0.5 * math.log(math.pi)


def _log_chi_squared(x: float, k: int) -> float:
    """``ln Q(k / 2, x / 2)`` upwards from k = 1 or 2: ``Q(a + 1, h) = Q(a, h) + h^a e^-h / Gamma(a + 1)`` (DLMF 8.8.6)."""
    h = x / 2.0
    logs = [-h if k % 2 == 0 else _log_erfc(math.sqrt(h))]
    if h > 0.0:
        logs += [a * math.log(h) - h - math.lgamma(a + 1.0) for a in np.arange(1.0 if k % 2 == 0 else 0.5, k / 2.0)]
    return max(logs) + math.log(math.fsum(math.exp(log - max(logs)) for log in logs))


def _log_f(Q: float, k: int, df: float) -> float:
    """``ln I_x(df / 2, k / 2)`` with ``x = df / (df + Q)``, the regularised incomplete beta."""
    a, b = df / 2.0, k / 2.0
    log_x, log_rest = -math.log1p(Q / df), math.log(Q / (df + Q)) if Q > 0.0 else -math.inf
    if k == 2:
        return a * log_x
    if Q == 0.0:
        return 0.0
    x = math.exp(log_x)
    if x < (a + 1.0) / (a + b + 2.0):
        return _log_beta_tail(x, log_x, log_rest, a, b)
    return math.log1p(-math.exp(_log_beta_tail(Q / (df + Q), log_rest, log_x, b, a)))


def _log_beta_tail(x: float, log_x: float, log_rest: float, a: float, b: float) -> float:
    """``ln I_x(a, b)`` for x < (a + 1) / (a + b + 2), by the continued fraction DLMF 8.17.22 (Lentz); the logarithms are of x and 1 - x."""
    tiny = 1e-300
    C, D, f = 1.0, 1.0 - (a + b) * x / (a + 1.0), 1.0
    D = 1.0 / (D or tiny)
    f = D
    for m in range(1, _TERMS):
        for d in (
            m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0)),
        ):
            D = 1.0 / ((1.0 + d * D) or tiny)
            C = (1.0 + d / C) or tiny
            f *= C * D
        if abs(C * D - 1.0) < 1e-16:
            break
    return a * log_x + b * log_rest - math.log(a) - _log_beta(a, b) + math.log(f)


def _log_beta(a: float, b: float) -> float:
    """``ln B(a, b)``; of a large argument by Stirling's series of the difference, in which nothing cancels."""
    small, large = min(a, b), max(a, b)
    if large < 100.0:
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)

    def rest(x: float) -> float:
        return 1.0 / (12.0 * x) - 1.0 / (360.0 * x**3) + 1.0 / (1260.0 * x**5)

    both = large + small
    grown = (large - 0.5) * math.log1p(small / large) + small * math.log(both) - small
    return math.lgamma(small) - grown + rest(large) - rest(both)
