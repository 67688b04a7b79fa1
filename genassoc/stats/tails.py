"""-log10 p-values of t, z and chi-squared, and back: always by logarithms, never through p.

A p-value underflows at about 1e-308; a biobank's lipid traits go past it. These functions are right at
|z| = 1000. All take arrays (or numbers) that broadcast and give float64 arrays; NaN in is NaN out, an
infinite statistic is inf.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from genassoc.kernels.laws import tails as kernels
from genassoc.shapes import Float64Array

Z_975 = 1.959963984540054  # scipy.special.ndtri(0.975): half a 95 % confidence interval in standard errors


def neg_log_10_p_t(t: ArrayLike, df: ArrayLike) -> Float64Array:
    """-log10 of the two-sided p of Student's t.

    Parameters
    ----------
    t : array
        Statistics.
    df : array, broadcast with t
        Degrees of freedom, not necessarily whole.

    Returns
    -------
    float64 array
        Relative error below 1e-11 for df from 1 to 1e6 and any t. NaN where df is not positive.
    """
    return _with_df(kernels.neg_log_10_p_t, t, df)


def neg_log_10_p_z(z: ArrayLike) -> Float64Array:
    """-log10 of the two-sided p of a normal deviate, relative error below 1e-13."""
    values = np.ascontiguousarray(z, dtype=np.float64)
    out = np.empty(values.size)
    kernels.neg_log_10_p_z(values.reshape(-1), out)
    return out.reshape(np.shape(z))


def neg_log_10_p_chi2(x: ArrayLike, df: ArrayLike) -> Float64Array:
    """-log10 of the upper tail of chi-squared.

    Parameters
    ----------
    x : array
        Statistics; at or below 0 the p is 1.
    df : array, broadcast with x
        Degrees of freedom, not necessarily whole.

    Returns
    -------
    float64 array
        Relative error below 1e-11 for df to 1e4. NaN where df is not positive.
    """
    return _with_df(kernels.neg_log_10_p_chi2, x, df)


def _with_df(kernel, statistic: ArrayLike, df: ArrayLike) -> Float64Array:  # type: ignore[no-untyped-def]
    statistic = np.asarray(statistic, dtype=np.float64)
    df = np.asarray(df, dtype=np.float64)
    shape = np.broadcast_shapes(statistic.shape, df.shape)
    flat = np.ascontiguousarray(np.broadcast_to(statistic, shape)).reshape(-1)
    # One df for all stays one number: a scan of 50 million tests has one df a trait.
    df_flat = df.reshape(-1) if df.size == 1 else np.ascontiguousarray(np.broadcast_to(df, shape)).reshape(-1)
    out = np.empty(flat.size)
    kernel(flat, df_flat, out)
    return out.reshape(shape)


def z_from_neg_log_10_p(neg_log_10_p: ArrayLike) -> Float64Array:
    """Size of the normal deviate, >= 0, whose two-sided p has this -log10. NaN for negative input.

    The inverse of `neg_log_10_p_z`. It turns the p of a likelihood-ratio or saddlepoint test into the
    standard error ``|beta| / z``, and a column of p-values into the median of lambda GC.
    """
    from scipy import special  # 0.15 s to import, and not all commands need it

    ln_p = -math.log(10.0) * np.asarray(neg_log_10_p, dtype=np.float64)
    with np.errstate(invalid="ignore"):
        # p = 2 Phi(-z), from its logarithm in the tail, and 1 - p = erf(z / sqrt 2) where p is close to 1.
        from_tail = -special.ndtri_exp(np.minimum(ln_p, 0.0) - math.log(2.0))
        near_one = math.sqrt(2.0) * special.erfinv(-np.expm1(ln_p))
        z = np.where(ln_p < -0.5, from_tail, near_one)
    return np.asarray(np.where(ln_p > 0.0, np.nan, z), dtype=np.float64)


def t_quantile_975(df: ArrayLike) -> Float64Array:
    """97.5 % point of t: multiplier of the standard error in a 95 % confidence interval. NaN if df <= 0.

    Relative error below 1e-10.
    """
    from scipy import special

    df = np.asarray(df, dtype=np.float64)
    distinct, position = np.unique(df, return_inverse=True)  # few: the quantile is slow and df repeats
    quantiles = np.where(distinct > 0, special.stdtrit(np.where(distinct > 0, distinct, 1.0), 0.975), np.nan)
    return np.asarray(quantiles[position].reshape(df.shape), dtype=np.float64)


def neg_log_10_p_f(F: ArrayLike, k: int, df: ArrayLike) -> Float64Array:
    """-log10 of the upper tail of F with k and df degrees of freedom; of infinite df of ``k F`` as chi-squared.

    With two above it is ``(df / 2) log10(1 + 2 F / df)``; else the incomplete beta function, by its series where that underflows.
    """
    F, df = np.asarray(F, dtype=np.float64), np.asarray(df, dtype=np.float64)
    if F.shape != df.shape:
        F, df = np.broadcast_arrays(F, df)
    normal = np.isinf(df)
    if normal.all():
        return neg_log_10_p_chi2(k * F, float(k))
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        if k == 2:
            finite = 0.5 * df * np.log1p(2.0 * F / df) / math.log(10.0)
        else:
            from scipy import special

            a, b = df / 2.0, k / 2.0
            x = df / (df + k * F)
            series = special.hyp2f1(a + b, 1.0, a + 1.0, x)
            ln_p = a * np.log(x) + b * np.log1p(-x) - np.log(a) - special.betaln(a, b) + np.log(series)
            p = special.betainc(a, b, x)
            finite = -np.where(p > 1e-250, np.log(p), ln_p) / math.log(10.0)
    if normal.any():
        finite = np.where(normal, neg_log_10_p_chi2(k * F, np.full(F.shape, float(k))), finite)
    return np.asarray(finite, dtype=np.float64)
