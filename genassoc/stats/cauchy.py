"""Combination of p-values by Cauchy variables (ACAT: Liu et al., American Journal of Human Genetics 2019)."""

import math

import numpy as np
from numpy.typing import ArrayLike

from genassoc.shapes import Float64Array

_LN_10 = math.log(10.0)
_FAR = 1e-5  # of p: the tangent is 1 / (pi p) from here on, to (pi p)^2 / 3


def acat(neg_log_10_p: ArrayLike, weights: ArrayLike | None = None) -> Float64Array:
    """-log10 of the p of ``sum_j w_j tan(pi (1/2 - p_j))``, a Cauchy variable if each p_j is uniform, whatever their correlation.

    Parameters
    ----------
    neg_log_10_p : array (..., k)
        -log10 of the p-values that are combined, along the last axis. NaN are left out.
    weights : array that broadcasts to (..., k), optional
        Not negative; they are divided by their sum over what is not left out. Without them all are equal.

    Returns
    -------
    float64 array (...)
        NaN where nothing is combined. A p is capped at ``1 - 1 / k``, k those combined: a p of 1 (a test that is discrete, a
        set with one carrier) would be minus infinity and outweigh any other.

    Raises
    ------
    ValueError
        For a weight that is negative or not finite, or a -log10 p below 0.
    """
    values = np.asarray(neg_log_10_p, dtype=np.float64)
    given = np.ones(values.shape) if weights is None else np.broadcast_to(np.asarray(weights, float), values.shape)
    if not (np.isfinite(given).all() and (given >= 0.0).all()):
        raise ValueError("weights of p-values must be finite and not negative")
    with np.errstate(invalid="ignore"):
        if (values < 0.0).any():
            raise ValueError("-log10 p cannot be negative")
    used = ~np.isnan(values) & (given > 0.0)
    k = used.sum(axis=-1, keepdims=True)
    ln_p = np.where(used, -_LN_10 * values, 0.0)
    ln_p = np.minimum(ln_p, np.where(k > 1, np.log1p(-1.0 / np.maximum(k, 2)), 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = np.where(used, given, 0.0)
        ln_weight = np.log(weight / weight.sum(axis=-1, keepdims=True))
    p = np.exp(ln_p)
    near = ln_p > math.log(_FAR)
    # ln |tangent| of each, so that p = 1e-300 beside p = 0.9 neither overflows nor is lost: 1 / (pi p) of the small ones.
    with np.errstate(divide="ignore"):
        tangent = np.where(near, np.cos(math.pi * p) / np.maximum(np.sin(math.pi * p), 1e-300), 1.0)
        ln_size = np.where(near, np.log(np.abs(tangent)), -ln_p - math.log(math.pi)) + np.where(
            used, ln_weight, -np.inf
        )
    scale = np.max(ln_size, axis=-1, keepdims=True, initial=-np.inf)
    scale = np.where(np.isfinite(scale), scale, 0.0)
    shares = np.sign(tangent) * np.exp(ln_size - scale)
    statistic = np.where(used, shares, 0.0).sum(axis=-1)
    ln_scale = scale[..., 0]
    out = np.empty(statistic.shape)
    # p of the sum t: 1/2 - arctan(t) / pi = arctan2(1, t) / pi, and 1 / (pi t) far out.
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        far = (statistic > 0.0) & (ln_scale + np.log(np.abs(statistic)) > -math.log(math.pi * _FAR))
        whole = statistic * np.exp(np.minimum(ln_scale, 700.0))
        ln_out = np.where(
            far, -ln_scale - np.log(np.abs(statistic)) - math.log(math.pi), np.log(np.arctan2(1.0, whole) / math.pi)
        )
    out = np.maximum(-ln_out / _LN_10, 0.0)
    one = np.squeeze(k, axis=-1) == 1
    if one.any():  # itself, to the last bit
        out = np.where(one, np.where(used, values, 0.0).sum(axis=-1), out)
    return np.where(np.squeeze(k, axis=-1) > 0, out, np.nan)
