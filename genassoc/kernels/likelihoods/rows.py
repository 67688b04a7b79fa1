"""What every model's row-by-row kernel starts with: the samples whose call is observed, and what came out."""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.shapes import Float64Array, Int64Array

# What is asked of a row.
SCORE, WALD, LRT = 0, 1, 2
# What came out. RUNAWAY: the maximum lies at an infinite coefficient of g; the likelihood ratio is that of the limit.
FINE, NOT_CONVERGED, NULL_NOT_CONVERGED, COLLINEAR, ONE_OUTCOME, RUNAWAY = 0, 1, 2, 3, 4, 5
# Columns of the numbers of a row. TREND: chi-squared of the model's own assumption on g, where it is tested.
BETA, MODEL_SE, STATISTIC, ITERATIONS, DISPERSION, DF, TREND = 0, 1, 2, 3, 4, 5, 6
N_NUMBERS = 7

MAX_ITERATIONS = 60
MAX_HALVINGS = 20
# A Newton step whose squared length in standard errors is below this moves no digit that is promised.
STEP_TOLERANCE = 1e-12
# Near a maximum Newton's steps shrink quadratically; towards an infinite coefficient each adds about one to it.
RUNAWAY_STEP = 1e-3


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
