"""Genomic inflation: how much larger chi-squared statistics are than without any association."""

import math

import numpy as np
from numpy.typing import ArrayLike

from genassoc.shapes import Float64Array
from genassoc.stats.tails import z_from_neg_log_10_p

_HALF = math.log10(2.0)  # -log10 of the median p without association


def genomic_inflation(lower: ArrayLike, higher: ArrayLike, expected: ArrayLike = _HALF) -> Float64Array:
    """lambda_GC: the median chi-squared over that of 1 degree of freedom without any association.

    Every p is read as that of a chi-squared with 1 degree of freedom, through its logarithm: no underflow.

    Parameters
    ----------
    lower, higher : array
        The two middle -log10 p of the tests, the same one twice where their number is odd. The median of
        chi-squared statistics is the mean of these two's.
    expected : array
        -log10 p expected at that place without association; 0.5's for the median of all tests.

    Returns
    -------
    float64 array
        NaN where either is NaN.

    References
    ----------
    Devlin B, Roeder K (1999). Genomic control for association studies. Biometrics 55.
    """
    z_lower, z_higher, z_expected = (z_from_neg_log_10_p(p) for p in (lower, higher, expected))
    return np.asarray((z_lower**2 + z_higher**2) / (2.0 * z_expected**2), dtype=np.float64)
