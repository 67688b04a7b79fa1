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

_LN_10 = math.log(10.0)
_ROOT_TWO_OVER_PI = math.sqrt(2.0 / math.pi)
_STEPS = 100  # of Newton's method; fewer than ten are enough
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
    ln_p = -_LN_10 * np.asarray(neg_log_10_p, dtype=np.float64).reshape(-1)
    wanted = np.where(ln_p > 0.0, np.nan, -ln_p)
    # Newton's method on -ln p, which is convex in z, from a z that is too large: p <= exp(-z^2 / 2)
    tiny = wanted < 1e-17  # z^2 is nothing beside z
    z = np.where(tiny, wanted / _ROOT_TWO_OVER_PI, np.sqrt(2.0 * wanted))
    moving = np.isfinite(z) & ~tiny
    for _ in range(_STEPS):
        if not moving.any():
            break
        here, target = z[moving], wanted[moving]
        found = _LN_10 * neg_log_10_p_z(here)
        step = (found - target) * np.exp(0.5 * here * here - found) / _ROOT_TWO_OVER_PI
        z[moving] = here - step
        moving[moving] = np.abs(step) > 1e-15 * here  # each stops for itself: no value depends on its company
    return z.reshape(np.shape(neg_log_10_p))


def t_quantile_975(df: ArrayLike) -> Float64Array:
    """97.5 % point of t: multiplier of the standard error in a 95 % confidence interval. NaN if df <= 0.

    Relative error below 1e-10.
    """
    df = np.asarray(df, dtype=np.float64)
    distinct, position = np.unique(df, return_inverse=True)  # few in most scans
    with np.errstate(divide="ignore", invalid="ignore"):
        ln_t = np.where(distinct > 0, np.log(Z_975) + 0.6 * np.expm1(2.4 / distinct).clip(max=2.0), np.nan)
    last, off = ln_t, _beyond_975(ln_t, distinct)
    ln_t = ln_t - 0.01
    moving = np.isfinite(off)
    for _ in range(_STEPS):
        if not moving.any():
            break
        # secants: -ln p is nearly straight in ln t, whatever the degrees of freedom
        now = np.where(moving, _beyond_975(ln_t, distinct), 0.0)
        with np.errstate(divide="ignore", invalid="ignore"):
            step = np.where(moving & (now != off), now * (ln_t - last) / (now - off), 0.0)
        last, off, ln_t = ln_t, now, ln_t - step
        moving &= np.abs(step) > 1e-15
    return np.asarray(np.exp(ln_t)[position].reshape(df.shape), dtype=np.float64)


def _beyond_975(ln_t: Float64Array, df: Float64Array) -> Float64Array:
    """How far -log10 p of t is from that of the 97.5 % point."""
    return neg_log_10_p_t(np.exp(ln_t), df) + math.log10(0.05)


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
