"""-log10 of the tails of quadratic forms of normal variables: ``Q = sum_j lambda_j X_j``, X_j chi-squared with one degree of freedom.

The law of SKAT's statistic. Always by logarithms, so that no p is 0, and none is negative.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from genassoc.kernels.laws import quadratic_forms as kernels
from genassoc.shapes import Array, Float64Array
from genassoc.stats.tails import neg_log_10_p_chi2, neg_log_10_p_z

INVERSION, KUONEN, LIU = "inversion", "kuonen", "liu"
METHODS = ("auto", INVERSION, KUONEN, LIU)
NO_SHIFTS = np.empty(0)
_LN_10 = math.log(10.0)


def neg_log_10_p_quadratic(q: ArrayLike, eigenvalues: ArrayLike, method: str = "auto") -> tuple[Float64Array, Array]:
    """-log10 of ``P(sum_j lambda_j X_j >= q)``, each X_j chi-squared with one degree of freedom.

    Parameters
    ----------
    q : array (R,)
        Statistics. At or below 0 the p is 1; NaN in is NaN out.
    eigenvalues : array (m,)
        The weights lambda, in any order. Those that are not above ``m`` units of rounding of the largest are left out: of a
        covariance they are zeros.
    method : {"auto", "inversion", "kuonen", "liu"}
        ``inversion``: the characteristic function is inverted along a path through the saddlepoint, relative error of p below 1e-8
        at any depth. ``kuonen``: the saddlepoint formula alone (Kuonen, Biometrika 1999). ``liu``: a chi-squared matched to
        mean, variance and kurtosis, the modified approximation of R's SKAT (Liu, Tang & Zhang 2009; Lee, Wu & Lin 2012), whose
        tails beyond 1e-4 are too light. ``auto``: inversion, and kuonen where its sums did not converge.

    Returns
    -------
    neg_log_10_p : float64 array (R,)
        Never negative. NaN where q is positive and no eigenvalue is.
    methods : array of str (R,)
        What gave each of them.

    Raises
    ------
    ValueError
        For an eigenvalue that is not finite, or an unknown method.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r} is none of {', '.join(METHODS)}")
    q = np.asarray(q, dtype=np.float64)
    kept = positive_eigenvalues(eigenvalues)
    names = np.full(q.shape, INVERSION if method == "auto" else method, dtype=object)
    out = np.where(np.isnan(q), np.nan, np.where(q > 0.0, np.inf, 0.0))
    inside = np.isfinite(q) & (q > 0.0)
    if not kept.size:
        out[inside] = np.nan
        return out, names
    if not inside.any():
        return out, names
    if method == LIU:
        out[inside] = _liu(q[inside], kept)
    elif method == KUONEN:
        out[inside] = _kuonen(q[inside], kept)
    else:
        out[inside] = _inverted(q[inside], kept)
        failed = inside & np.isnan(out)
        if method == "auto" and failed.any():
            out[failed], names[failed] = _kuonen(q[failed], kept), KUONEN
    return out, names


def positive_eigenvalues(eigenvalues: ArrayLike) -> Float64Array:
    """Those above rounding of the largest, descending."""
    values = np.sort(np.asarray(eigenvalues, dtype=np.float64).reshape(-1))[::-1]
    if not np.isfinite(values).all():
        raise ValueError("eigenvalues of a quadratic form must be finite numbers")
    largest = values[0] if values.size else 0.0
    return np.ascontiguousarray(values[values > max(values.size * np.finfo(float).eps * largest, 0.0)])


def _inverted(q: Float64Array, eigenvalues: Float64Array) -> Float64Array:
    ln_p = np.empty(q.size)
    kernels.ln_tails(q / eigenvalues[0], eigenvalues / eigenvalues[0], NO_SHIFTS, ln_p)
    return -ln_p / _LN_10


def _liu(q: Float64Array, eigenvalues: Float64Array) -> Float64Array:
    """As ``Get_Liu_PVal.MOD.Lambda`` of R's SKAT.

    There is no noncentrality: ``(sum lambda^3)^2 <= sum lambda^2 sum lambda^4`` always, so skewness never exceeds what the
    kurtosis of a central chi-squared allows.
    """
    mean, deviation, df = liu_moments(eigenvalues)
    return neg_log_10_p_chi2((q - mean) / deviation * math.sqrt(2.0 * df) + df, df)


def liu_moments(eigenvalues: Float64Array) -> tuple[float, float, float]:
    """Mean and standard deviation of Q, and degrees of freedom of the chi-squared of the same kurtosis."""
    squares = eigenvalues * eigenvalues
    return float(eigenvalues.sum()), math.sqrt(2.0 * squares.sum()), float(squares.sum() ** 2 / (squares @ squares))


def _kuonen(q: Float64Array, eigenvalues: Float64Array) -> Float64Array:
    """``Phi(-(w + ln(v / w) / w))`` with ``w^2 = 2 (q s - K(s))`` and ``v = s K''(s)^(1/2)`` at the saddlepoint s."""
    scaled = eigenvalues / eigenvalues[0]
    mean, deviation, _df = liu_moments(scaled)
    out = np.empty(q.size)
    for r, value in enumerate(q / eigenvalues[0]):
        s = kernels.saddlepoint(value, scaled, NO_SHIFTS)
        for _ in range(3):  # found to a thousandth of a standard deviation; each step squares the error
            first, second, third = kernels.cumulant_slopes(s, scaled, NO_SHIFTS)
            s = min(s + (value - first) / second, 0.5 * (s + 0.5))
        w2 = 2.0 * (value * s + 0.5 * np.log1p(-2.0 * scaled * s).sum())
        w = math.copysign(math.sqrt(max(w2, 0.0)), s)
        if abs(value - mean) < 1e-3 * deviation or w == 0.0:
            z = third / (6.0 * second**1.5)  # the limit at the mean
        else:
            z = w + math.log(s * math.sqrt(second) / w) / w
        two_sided = float(neg_log_10_p_z(abs(z)))
        upper = two_sided + math.log10(2.0)
        out[r] = upper if z > 0.0 else -math.log1p(-(10.0**-upper)) / _LN_10
    return out
