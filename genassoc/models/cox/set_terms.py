"""What the null of an endpoint says of sets of variants: residuals, events expected, risk sets and what the covariates take away."""

from typing import NamedTuple

import numpy as np

from genassoc.kernels.likelihoods import cox
from genassoc.kernels.likelihoods.cox_screen import times_means
from genassoc.kernels.likelihoods.cox_sets import RiskCells
from genassoc.kernels.likelihoods.cox_sums import RiskSets, RiskSums, risk_sums
from genassoc.kernels.likelihoods.newton import FitOptions
from genassoc.models.scan.set_null import SetNull, polished
from genassoc.shapes import Float64Array, Int64Array


class NullFit(NamedTuple):
    """A null that was fitted on n samples.

    Attributes
    ----------
    X : float64 array (n, P)
        Covariates without a constant.
    offset : float64 array (n,)
    start : float64 array (P,)
        Coefficients.
    sets : RiskSets
    columns, events : int64 arrays
        The samples' columns of a block, in the order of X; those of samples with the event.
    width : int
        Samples of a block.
    """

    X: Float64Array
    offset: Float64Array
    start: Float64Array
    sets: RiskSets
    columns: Int64Array
    events: Int64Array
    width: int


def set_null_of(fit: NullFit, trait: int) -> SetNull:
    """Martingale residuals and the events expected; the means of the risk sets, and the covariates, taken away."""
    sums, L = _at_maximum(fit)
    P = fit.start.size
    cross = np.empty((len(fit.X), P))
    for j in range(P):
        means = np.empty(len(fit.X))
        times_means(np.ascontiguousarray(fit.X[:, j]), fit.sets, sums, means)
        cross[:, j] = sums.expected * fit.X[:, j] - means
    cross[:] = np.linalg.solve(L, cross.T).T if P else cross
    cells = _cells(fit, sums)
    # Covariates that tell who has the event by themselves: hazards 1e150 times as large leave squares without digits.
    sound = bool(np.isfinite(cells.squares).all()) and bool(np.isfinite(cross).all())
    strata = np.zeros((1, fit.width))
    wide = [np.zeros((fit.width, P)), np.zeros((fit.width, 1)), np.zeros(fit.width)]
    if sound:
        wide[0][fit.columns], wide[1][fit.columns, 0] = cross, fit.sets.event - sums.expected
        wide[2][fit.columns] = sums.expected
        strata[0, fit.columns] = sums.w
    return SetNull.of(
        (trait,), fit.columns, *wide, events=fit.events, hazards=cells if sound else None,
        failure=None if sound else "null_not_converged", strata=strata,
    )  # fmt: skip


def _at_maximum(fit: NullFit) -> tuple[RiskSums, Float64Array]:
    """Sums over the risk sets, and the factor L (P, P) of the information."""
    P = fit.start.size
    sums, L = risk_sums(fit.sets, P), np.zeros((P, P))

    def derivatives(beta: Float64Array) -> tuple[Float64Array, Float64Array]:
        # So near the maximum no step is taken: only the sums are.
        cox.fit(fit.X, fit.offset, fit.sets, FitOptions(False, True, P), beta.copy(), sums, L)
        return fit.X.T @ (fit.sets.event - sums.expected), L @ L.T

    derivatives(polished(fit.start, derivatives))
    return sums, L


def _cells(fit: NullFit, sums: RiskSums) -> RiskCells:
    """The risk sets, laid out for sets of variants."""
    sets, deaths, K = fit.sets, sums.deaths, sums.deaths.size
    k = np.repeat(np.arange(K), deaths)
    tie = np.arange(k.size) - np.repeat(np.cumsum(deaths) - deaths, deaths)
    part = tie / deaths[k] if sets.efron else np.zeros(k.size)
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        square = (sums.s0[k] - part * sums.d0[k]) ** -2.0
        squares, tied, twice = (np.bincount(k, part**power * square, minlength=K) for power in (0, 1, 2))
    risk, first, last = np.zeros(fit.width), np.zeros(fit.width, np.int64), np.zeros(fit.width, np.int64)
    risk[fit.columns], first[fit.columns], last[fit.columns] = sums.w, sets.first, sets.last
    stratum = np.cumsum(np.concatenate([np.zeros(1, np.int64), sets.ends.astype(np.int64)]))[:K]
    of_times = [part.astype(np.float64) for part in (squares, tied, twice)]
    return RiskCells(first, last, risk, of_times[0], of_times[1], of_times[2], stratum)
