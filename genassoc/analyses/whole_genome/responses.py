"""What a whole-genome regression asks of a trait: the score of a prediction, and the mean curvature of the log likelihood."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from genassoc.shapes import BoolArray, Float64Array


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
    def null(self) -> Float64Array: ...

    @property
    def curvature(self) -> float: ...

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
