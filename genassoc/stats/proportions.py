"""Shares of samples and means, with their uncertainty: for tables and pictures of one variant, not for testing."""

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import gammaincinv

from genassoc.shapes import Float64Array
from genassoc.stats.tails import Z_975, t_quantile_975


def wilson_interval(k: ArrayLike, n: ArrayLike) -> tuple[Float64Array, Float64Array]:
    """95 % score interval of a share k / n (Wilson 1927): within 0 and 1, right where k is 0 or n. NaN where n is 0."""
    k, n = np.asarray(k, dtype=np.float64), np.asarray(n, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        p, z2 = k / n, Z_975**2
        centre = (p + z2 / (2 * n)) / (1 + z2 / n)
        half = Z_975 / (1 + z2 / n) * np.sqrt(p * (1 - p) / n + z2 / (4 * n**2))
        low, high = np.where(k == 0, 0.0, centre - half), np.where(k == n, 1.0, centre + half)
    return np.where(n > 0, low, np.nan), np.where(n > 0, high, np.nan)


def mean_interval(values: ArrayLike) -> tuple[float, float, float]:
    """Mean and its 95 % interval by Student's t; the interval is NaN for fewer than two values."""
    values = np.asarray(values, dtype=np.float64)
    if values.size < 2:
        return (float(values.mean()) if values.size else float("nan")), float("nan"), float("nan")
    mean = float(values.mean())
    half = float(t_quantile_975(values.size - 1)) * float(values.std(ddof=1)) / float(np.sqrt(values.size))
    return mean, mean - half, mean + half


def poisson_rate(events: float, exposure: float) -> tuple[float, float, float]:
    """Events per unit of exposure and their exact 95 % interval (Garwood 1936); NaN without exposure."""
    if not exposure > 0:
        return float("nan"), float("nan"), float("nan")
    low = float(gammaincinv(events, 0.025)) if events > 0 else 0.0
    return events / exposure, low / exposure, float(gammaincinv(events + 1.0, 0.975)) / exposure
