"""What every model's row-by-row kernel starts with: the samples whose call is observed, and what came out."""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.shapes import BoolArray, Float64Array, Int64Array

# What is asked of a row. SPA, EXACT: the score's p by a saddlepoint, or by its exact law, for an estimate of another test.
SCORE, WALD, LRT, FIRTH, FIRTH_APPROX, FIRTH_PLINK2, WALD_PLINK2, SPA, EXACT = 0, 1, 2, 3, 4, 5, 6, 7, 8
# What came out. ONE_OUTCOME: no event, no case or no control among the samples observed. RUNAWAY: the maximum lies at an infinite
# coefficient of g; the likelihood ratio is that of the limit. LEVERAGE: a sample fits itself. NO_VARIANCE: of residuals of 0 there is
# none. TAIL_FAILED: the saddlepoint or the exact law gave no p.
FINE, NOT_CONVERGED, NULL_NOT_CONVERGED, COLLINEAR, ONE_OUTCOME = 0, 1, 2, 3, 4
RUNAWAY, LEVERAGE, NO_VARIANCE, TAIL_FAILED, N_TOO_SMALL = 5, 6, 7, 8, 9
# Columns of the numbers of a row, NaN where a kernel does not fill them. TREND: chi-squared of the model's own assumption on g, where
# it is tested. NEG_LOG_P: -ln p where SPA or EXACT is asked. LOWER, UPPER: an interval of the row's own.
BETA, MODEL_SE, STATISTIC, ITERATIONS, DISPERSION, DF, TREND, NEG_LOG_P, LOWER, UPPER = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
N_NUMBERS = 10

MAX_ITERATIONS = 60
MAX_HALVINGS = 20
# A Newton step whose squared length in standard errors is below this moves no digit that is promised.
STEP_TOLERANCE = 1e-12
# Near a maximum Newton's steps shrink quadratically; towards an infinite coefficient each adds about one to it.
RUNAWAY_STEP = 1e-3


class Fits(NamedTuple):
    """R rows that were fitted one by one.

    Attributes
    ----------
    numbers : float64 array (R, N_NUMBERS)
    status : int64 array (R,)
    dropped : bool array (R,)
        Whether a covariate was a combination of others among the samples observed, and left out.
    """

    numbers: Float64Array
    status: Int64Array
    dropped: BoolArray

    @classmethod
    def empty(cls, R: int) -> "Fits":
        """Room for a kernel to fill."""
        return cls(np.full((R, N_NUMBERS), np.nan), np.zeros(R, np.int64), np.zeros(R, np.bool_))


@jit
def observed_calls(calls: Float64Array, impute: bool) -> tuple[Int64Array, Float64Array]:
    """Samples of a row (n,) that take part and what they count: those observed, or all with the mean for the others."""
    n, total = 0, 0.0
    for i in range(calls.size):
        if not math.isnan(calls[i]):
            n += 1
            total += calls[i]
    who = np.empty(calls.size if impute else n, np.int64)
    g = np.empty(who.size)
    mean = total / max(n, 1)
    at = 0
    for i in range(calls.size):
        missing = math.isnan(calls[i])
        if impute or not missing:
            who[at] = i
            g[at] = mean if missing else calls[i]
            at += 1
    return who, g
