"""-log10 p of the dense twin, by scipy and two series: not by `genassoc.kernels.laws.tails`."""

import numpy as np
from scipy import special

LN10 = float(np.log(10.0))


def neg_log_10_p(Q: float, k: int = 1, df: float = np.inf) -> float:
    """-log10 of the upper tail of a Wald chi-squared Q of k coefficients: chi-squared, or with ``df`` that of F = Q / k."""
    return float(-(_log_chi_squared(Q, k) if np.isinf(df) else _log_f(Q, k, df)) / LN10) + 0.0


def neg_log_10_p_normal(z: float) -> float:
    """-log10 of the two-sided p of a normal deviate."""
    return neg_log_10_p(z * z)


def size_of_z(logp: float) -> float:
    """The |z| whose two-sided -log10 p this is."""
    return float(-special.ndtri_exp(-logp * LN10 - np.log(2.0)))


def _log_chi_squared(x: float, k: int) -> float:
    """``ln Q(k / 2, x / 2)`` upwards from k = 1 or 2: ``Q(a + 1, h) = Q(a, h) + h^a e^-h / Gamma(a + 1)`` (DLMF 8.8.6)."""
    h = x / 2.0
    logs = [-h if k % 2 == 0 else float(special.log_ndtr(-np.sqrt(x)) + np.log(2.0))]
    if h > 0.0:
        logs += [a * np.log(h) - h - special.gammaln(a + 1.0) for a in np.arange(1.0 if k % 2 == 0 else 0.5, k / 2.0)]
    return float(special.logsumexp(logs))


def _log_f(Q: float, k: int, df: float) -> float:
    """``ln I_x(df / 2, k / 2)`` with ``x = df / (df + Q)``, the regularised incomplete beta.

    Where that underflows, its logarithm from ``x^a (1 - x)^b / (a B(a, b)) 2F1(a + b, 1; a + 1; x)`` (DLMF 8.17.8).
    """
    a, b, x = df / 2.0, k / 2.0, df / (df + Q)
    log_x = -np.log1p(Q / df)  # x is close to 1 in large samples
    if k == 2:
        return float(a * log_x)
    p = float(special.betainc(a, b, x))
    if p > 1e-280:
        return float(np.log(p))
    term, total, j = 1.0, 1.0, 0
    while term > 1e-17 * total:
        term *= x * (a + b + j) / (a + 1.0 + j)
        total += term
        j += 1
    return float(a * log_x + b * np.log(Q / (df + Q)) - np.log(a) - special.betaln(a, b) + np.log(total))
