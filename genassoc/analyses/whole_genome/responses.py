"""What a whole-genome regression asks of a trait: the score of a prediction, and the mean curvature of the log likelihood."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from genassoc.analyses.whole_genome.frame import TraitNull
from genassoc.analyses.whole_genome.survival import sets_of
from genassoc.shapes import BoolArray, Float64Array, Int64Array


class Response(Protocol):
    """A trait in N samples.

    Attributes
    ----------
    null : float64 array (N,)
        The score of the prediction 0: residuals of the model of covariates alone; 0 of samples without the trait.
    curvature : float
        Mean of minus the second derivative of the log likelihood by a sample's prediction, at the null: the variance of ``null``.
    """

    @property
    def null(self) -> Float64Array:
        """The score at the null."""

    @property
    def curvature(self) -> float:
        """That of a sample at the null."""

    def score(self, predictions: Float64Array, train: BoolArray) -> Float64Array:
        """Derivative of the log likelihood of the training samples by the prediction of each, rows (C, N); 0 of the others."""


@dataclass(frozen=True)
class Normal:
    """A quantitative trait less what covariates explain, in units of its standard deviation; 0 of samples without it."""

    null: Float64Array
    curvature: float = 1.0

    def score(self, predictions: Float64Array, train: BoolArray) -> Float64Array:
        """Residuals."""
        return np.where(train, self.null - predictions, 0.0)


@dataclass(frozen=True)
class Bernoulli:
    """A binary trait y (0, 1), with the log odds that covariates give (N,)."""

    y: Float64Array
    log_odds: Float64Array
    has: BoolArray

    @property
    def null(self) -> Float64Array:
        """y less its mean."""
        return np.where(self.has, self.y - _expit(self.log_odds), 0.0)

    @property
    def curvature(self) -> float:
        """Mean of p (1 - p)."""
        p = _expit(self.log_odds[self.has])
        return float((p * (1.0 - p)).mean())

    def score(self, predictions: Float64Array, train: BoolArray) -> Float64Array:
        """y less its mean at the predictions."""
        return np.where(train & self.has, self.y - _expit(self.log_odds + predictions), 0.0)


def _expit(x: Float64Array) -> Float64Array:
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


@dataclass(frozen=True)
class Hazard:
    """Times to an event, with the log hazards that covariates give; ties as Breslow's.

    Attributes
    ----------
    event, has : bool arrays (N,)
    first, last : int64 arrays (N,)
        The run of event times at which a sample is at risk (`genassoc.kernels.likelihoods.cox_sums.RiskSets`); those of
        strata follow each other. Empty of samples without the trait.
    n_times : int
        K.
    log_hazard : float64 array (N,)
    """

    event: BoolArray
    has: BoolArray
    first: Int64Array
    last: Int64Array
    n_times: int
    log_hazard: Float64Array

    @property
    def null(self) -> Float64Array:
        """Martingale residuals."""
        return self.score(np.zeros((1, self.has.size)), self.has[None])[0]

    @property
    def curvature(self) -> float:
        """Events a sample: the information on an effect of a variant with variance 1 that is alike in all risk sets."""
        return float(self.event[self.has].sum() / self.has.sum())

    def score(self, predictions: Float64Array, train: BoolArray) -> Float64Array:
        """Martingale residuals among the training samples: event less ``w sum_k d_k / S_k`` over the times at risk."""
        eta = self.log_hazard + predictions
        use = train & self.has & (self.last > self.first)
        w = np.where(use, np.exp(eta - np.where(use, eta, -np.inf).max(axis=1, keepdims=True)), 0.0)
        died = use & self.event
        C, K = w.shape[0], self.n_times
        # S_k: who leaves after k less who enters after k; first and last are counts of times before.
        change = np.zeros((C, K + 1))
        deaths = np.zeros((C, K + 1))
        for c in range(C):
            change[c] = np.bincount(self.first, w[c], K + 1) - np.bincount(self.last, w[c], K + 1)
            deaths[c] = np.bincount(self.last[died[c]] - 1, minlength=K + 1)
        at_risk = np.cumsum(change, axis=1)
        rate = np.divide(deaths, at_risk, out=np.zeros_like(deaths), where=deaths > 0)
        hazard = np.concatenate([np.zeros((C, 1)), np.cumsum(rate[:, :K], axis=1)], axis=1)
        return np.where(use, self.event - w * (hazard[:, self.last] - hazard[:, self.first]), 0.0)


def response_of(outcome: str, null: TraitNull) -> Response:
    """What a trait is on the covariates alone, as a response.

    Raises
    ------
    KeyError
        There is none of the outcome: `RESPONSES` names those that there are.
    """
    return RESPONSES[outcome](null)


def _normal(null: TraitNull) -> Response:
    return Normal(null.working)


def _bernoulli(null: TraitNull) -> Response:
    y = np.where(null.observed, null.response[:, 0], 0.0)
    return Bernoulli(y, np.where(null.observed, null.eta, 0.0), null.observed)


def _hazard(null: TraitNull) -> Response:
    n = null.observed.size
    first, last, event = np.zeros(n, np.int64), np.zeros(n, np.int64), np.zeros(n, bool)
    sets = sets_of(null.response[null.observed])
    first[null.observed], last[null.observed], event[null.observed] = sets.first, sets.last, sets.event
    return Hazard(event, null.observed, first, last, sets.ends.size, np.where(null.observed, null.eta, 0.0))


RESPONSES: Mapping[str, Callable[[TraitNull], Response]] = {
    "quantitative": _normal,
    "binary": _bernoulli,
    "survival": _hazard,
}
