"""Residuals of a trait's samples as draws from those of samples alike: tables for `genassoc.kernels.laws.empirical_cgf`."""

import numpy as np

from genassoc.kernels.laws import empirical_cgf
from genassoc.shapes import Float64Array, Int64Array

# Samples of like means whose residuals are taken as draws from one distribution; more bins follow the variance better.
LEAST_IN_BIN, MOST_BINS = 500, 10


def tabulated(
    residual: Float64Array, mean: Float64Array, n_parameters: int
) -> tuple[Int64Array, Float64Array, Float64Array, float]:
    """Bins of like means (n,), tables of residuals (n,) in each, centred, without what the fit took up; their scale.

    Parameters
    ----------
    residual, mean : float64 arrays (n,)
        Residuals over their standard deviation, and the means by which samples are alike.
    n_parameters : int
        Of the fit, fewer than n.
    """
    n = mean.size
    B = min(max(n // LEAST_IN_BIN, 1), MOST_BINS)
    ranks = np.empty(n, np.int64)
    ranks[np.argsort(mean, kind="stable")] = np.arange(n)
    bins = ranks * B // n
    centred = residual - (np.bincount(bins, residual) / np.bincount(bins))[bins]
    table, cumulants = np.empty((B, empirical_cgf.N_POINTS, 3)), np.empty((B, 2))
    centred *= np.sqrt(n / (n - n_parameters))
    scale = float(np.sqrt((centred**2).mean())) or 1.0
    empirical_cgf.tabulate(centred / scale, bins, table, cumulants)
    return bins, table, cumulants, scale
