"""Which rows of a binary or event trait are refitted, corrected or tested exactly."""

import numpy as np

from genassoc.models.scan.sums import GenotypeSums
from genassoc.shapes import BoolArray, Float64Array, Int64Array

REFIT_ABOVE_MISSING = 0.01  # share of calls missing beyond which one Newton step of the null is not enough
REFIT_DIFFERENTIAL = 6.63  # chi-squared (p = 0.01) of missingness against the outcome
EXACT_BELOW_MAC = 10  # minor alleles below which rows are tested exactly: Firth exceeds its level (docs/calibration.md, docs/models/cox.md)
EXACT_BELOW_EXPECTED = 2.0  # minor alleles expected in the smaller group, or among the events, likewise
# Approximate Firth keeps the covariates' coefficients as the null has them. Where the estimate is beyond this log ratio and the minor
# allele is this frequent (copies a sample; of a binary trait in cases or in controls), they move, and the full model is fitted.
FULL_ABOVE_BETA = 1.0
FULL_ABOVE_COPIES = 0.1
# A row whose corrected p would be below ``correct_below`` has a score p below this many times that, by the minor alleles expected in the
# smaller group (or among the events) from which it holds: so are under 1e-4 of rows on the wrong side (docs/calibration.md).
MARGINS = ((50.0, 1.1), (10.0, 1.2), (EXACT_BELOW_EXPECTED, 1.8), (0.0, 6.0))


def trigger(correct_below: float, expected: Float64Array, tested_mac: Float64Array) -> Float64Array:
    """p of the first test below which a row is corrected (V,): wider where events or carriers are few."""
    factors = np.select([expected >= least for least, _ in MARGINS], [factor for _, factor in MARGINS], MARGINS[-1][1])
    factors[tested_mac < EXACT_BELOW_MAC] = MARGINS[-1][1]
    return np.minimum(correct_below * factors, 1.0)


def one_step_is_enough(own: GenotypeSums, n: int, n_marked: int, marked: Int64Array) -> BoolArray:
    """Where few calls are missing, as many in cases (or events) as elsewhere: one Newton step of the null corrects for them.

    ``n`` samples have the trait, ``n_marked`` of them are cases; ``marked`` (V,) are cases whose call is observed.
    """
    missing = n - own.n
    with np.errstate(invalid="ignore", divide="ignore"):
        share = missing / n
        expected = n_marked * share
        variance = expected * (1 - share) * (1 - n_marked / n)
        excess = n_marked - marked - expected
        differential = np.where((missing > 0) & (variance > 0), excess**2 / variance, 0.0)
    return np.asarray((share <= REFIT_ABOVE_MISSING) & (differential <= REFIT_DIFFERENTIAL))
