"""What every model's row-by-row kernel starts with: the samples whose call is observed, and what came out."""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.likelihoods.cholesky import information
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
# A direction of the covariates is lost when less than this share of its squared length is left with the calls observed.
LOST_DIRECTION = 1e-9
# Columns orthonormal on all samples: those left out take no more of any direction than the sum of their squares.
SAFELY_LEFT_OUT = 0.5


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


class Trait(NamedTuple):
    """The outcome of samples (n,): numbers, what of the linear predictor is given, and prior weights."""

    y: Float64Array
    offset: Float64Array
    prior: Float64Array


class Product(NamedTuple):
    """A block's product with the columns of a null, over the calls observed.

    Attributes
    ----------
    columns : float64 array (V, C)
        ``Q'Wg`` (of ordered levels a).
    residual : float64 array (V,)
        ``r'g``.
    squares : float64 array (V,)
        ``sum W g^2``.
    """

    columns: Float64Array
    residual: Float64Array
    squares: Float64Array


class Missing(NamedTuple):
    """Samples (columns of the block) whose call is missing, a run a variant.

    Attributes
    ----------
    pointers, indices : int64 arrays
        Those of variant v from ``pointers[v]`` to ``pointers[v + 1]`` of the indices.
    """

    pointers: Int64Array
    indices: Int64Array


class Scores(NamedTuple):
    """Score tests of variants (V,): U, its information, and the smallest squared pivot of what is left of the covariates (0: singular)."""

    U: Float64Array
    information: Float64Array
    weakest: Float64Array

    @classmethod
    def empty(cls, V: int) -> "Scores":
        """Room for V variants."""
        return cls(np.empty(V), np.empty(V), np.empty(V))


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


@jit
def independent_columns(X: Float64Array, start: Float64Array) -> tuple[Float64Array, Float64Array, bool]:
    """X (n, C) without columns that are combinations of those before them among these samples; whether any was.

    X was orthonormal on more samples, so that a squared pivot is a share of the length. Coefficients start anew where
    a column goes.
    """
    n, C = X.shape
    left_out = float(C)
    for i in range(n):
        for c in range(C):
            left_out -= X[i, c] * X[i, c]
    if left_out < SAFELY_LEFT_OUT:
        return X, start.copy(), False
    J, L = np.zeros((C, C)), np.zeros((C, C))
    information(X, np.ones(n), J)
    keep = np.ones(C, np.bool_)
    for j in range(C):
        pivot = J[j, j]
        for m in range(j):
            pivot -= L[j, m] * L[j, m]
        if pivot <= LOST_DIRECTION:
            keep[j] = False
            continue
        L[j, j] = math.sqrt(pivot)
        for i in range(j + 1, C):
            entry = J[i, j]
            for m in range(j):
                entry -= L[i, m] * L[j, m]
            L[i, j] = entry / L[j, j]
    if keep.all():
        return X, start.copy(), False
    kept = np.empty((n, keep.sum()))
    at = 0
    for c in range(C):
        if keep[c]:
            for i in range(n):
                kept[i, at] = X[i, c]
            at += 1
    return kept, np.zeros(at), True


@jit
def of_samples(trait: Trait, who: Int64Array) -> Trait:
    """That of some samples."""
    return Trait(trait.y[who], trait.offset[who], trait.prior[who])


@jit
def blank_row(r: int, fits: Fits) -> None:
    """A row of which nothing is known yet."""
    for k in range(N_NUMBERS):
        fits.numbers[r, k] = np.nan
    fits.dropped[r] = False


@jit
def begin_row(
    calls: Float64Array, impute: bool, X: Float64Array, start: Float64Array, r: int, fits: Fits
) -> tuple[Int64Array, Float64Array, Float64Array, Float64Array]:
    """Samples that take part in a row, what they count, their covariates without combinations, and where its null starts.

    The row's numbers are NaN, and it says whether a covariate was left out.
    """
    blank_row(r, fits)
    who, g = observed_calls(calls, impute)
    XX, first = X[who], start.copy()
    if who.size < X.shape[0]:
        XX, first, fits.dropped[r] = independent_columns(XX, start)
    return who, g, XX, first
