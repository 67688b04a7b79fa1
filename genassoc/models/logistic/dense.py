"""Rows of one binary trait on dense calls: from the trait's own null where no call is missing, refitted elsewhere."""

import numpy as np

from genassoc.kernels.likelihoods import logistic_rows
from genassoc.kernels.likelihoods import rows as kernel
from genassoc.kernels.likelihoods.logistic_firth import analyse_complete_rows
from genassoc.kernels.likelihoods.logistic_refit import refit_rows
from genassoc.kernels.likelihoods.logistic_series import series_rows
from genassoc.kernels.likelihoods.logistic_wald import wald_rows
from genassoc.models.logistic.null import NullLogistic
from genassoc.shapes import BoolArray, Float64Array, Int64Array

# What a null that is fitted once serves; the others fit covariates and genotype together.
_FROM_NULL = (kernel.SCORE, kernel.FIRTH_APPROX)
# What is fitted eight samples at a time, first; only rows with surprises need the scalar fit.
_IN_TILES = (kernel.WALD, kernel.WALD_PLINK2, kernel.FIRTH_PLINK2)


def analyse_dense(
    null: NullLogistic, G: Float64Array, asked: Int64Array, sparse: BoolArray, saddlepoint: bool, impute: bool
) -> tuple[Float64Array, Int64Array, BoolArray]:
    """Do what is asked of each variant.

    Parameters
    ----------
    null : NullLogistic
        Of n samples.
    G : float64 array (R, n)
        Copies of the minor allele, NaN where not observed; overwritten with means where ``impute``.
    asked, sparse : arrays (R,)
        As for `genassoc.kernels.likelihoods.logistic_rows.analyse_rows`.
    saddlepoint, impute : bool
        Whether the score's p by the saddlepoint is wanted besides; whether missing calls take the mean.

    Returns
    -------
    numbers : float64 array (R, N_NUMBERS)
    status : int64 array (R,)
    dropped : bool array (R,)
        Whether a covariate was left out, being a combination of others among the samples observed.
    """
    R = len(G)
    numbers, status, dropped = np.empty((R, kernel.N_NUMBERS)), np.zeros(R, np.int64), np.zeros(R, np.bool_)
    missing = np.isnan(G)
    if impute and missing.any():
        np.copyto(G, _means(G, missing)[:, None], where=missing)
        missing[:] = False
    complete = ~missing.any(axis=1) & np.isin(asked, _FROM_NULL)
    plain = ~sparse & (not saddlepoint)
    left = ~_fit_in_tiles(null, G, np.where(plain & ~complete, asked, -1), numbers)
    for some, refit in ((np.flatnonzero(complete & left), False), (np.flatnonzero(~complete & left), True)):
        if not some.size:
            continue
        calls = G if some.size == R else G[some]
        out, state, gone = np.empty((some.size, kernel.N_NUMBERS)), np.zeros(some.size, np.int64), dropped[some]
        asked_here, spa = asked[some], np.full(some.size, saddlepoint)
        if refit:
            logistic_rows.analyse_rows(
                calls, asked_here, sparse[some], spa, null.X, null.y, null.offset, null.start, null.penalised_start,
                impute, out, np.empty((some.size, 2)), state, gone,
            )  # fmt: skip
        else:
            analyse_complete_rows(
                calls, asked_here == kernel.FIRTH_APPROX, sparse[some], spa if saddlepoint else None, null.Q[null.columns],
                null.WQ[null.columns], null.y, null.mu, null.weight[null.columns], null.penalised_eta, out, state,
            )  # fmt: skip
        numbers[some], status[some], dropped[some] = out, state, gone
    return numbers, status, dropped


def _fit_in_tiles(null: NullLogistic, G: Float64Array, asked: Int64Array, numbers: Float64Array) -> BoolArray:
    """Fit rows without surprises into ``numbers``, -1 asking nothing; which rows are done, (R,)."""
    done = np.zeros(asked.size, np.bool_)
    for some, wald in (
        (np.flatnonzero(np.isin(asked, _IN_TILES)), True),
        (np.flatnonzero(np.isin(asked, _FROM_NULL)), False),
    ):
        if not some.size:
            continue
        out, fitted = np.full((some.size, kernel.N_NUMBERS), np.nan), np.zeros(some.size, np.bool_)
        calls = G if some.size == asked.size else G[some]
        fixed = (null.X, null.y, null.offset, null.start, null.penalised_start, out, fitted)
        if wald:
            wald_rows(calls, asked[some], *fixed)
        else:
            _refit(null, calls, asked[some] == kernel.FIRTH_APPROX, out, fitted)
        numbers[some], done[some] = out, fitted
    return done


def _refit(null: NullLogistic, G: Float64Array, firth: BoolArray, numbers: Float64Array, done: BoolArray) -> None:
    """Score tests and approximate Firth (R,): from the null's series where it holds, then from all samples."""
    series = null.series
    moves = np.empty((len(G), 2, null.X.shape[1]))
    series_rows(
        G, firth, null.X, null.y, null.offset, np.stack([null.start, null.penalised_start]), series.gradient,
        series.information, series.third, series.fourth, series.reach, moves, numbers, done,
    )  # fmt: skip
    left = np.flatnonzero(~done)
    if left.size:
        out, fitted = np.full((left.size, kernel.N_NUMBERS), np.nan), np.zeros(left.size, np.bool_)
        refit_rows(
            G[left],
            firth[left],
            null.X,
            null.y,
            null.offset,
            null.start,
            null.penalised_start,
            moves[left],
            out,
            fitted,
        )
        numbers[left], done[left] = out, fitted


def _means(G: Float64Array, missing: BoolArray) -> Float64Array:
    """Mean of the calls observed of each variant, (R,); 0 where there are none."""
    n = np.maximum((~missing).sum(axis=1), 1)
    return np.asarray(np.where(missing, 0.0, G).sum(axis=1) / n)
