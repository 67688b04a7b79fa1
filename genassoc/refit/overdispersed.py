"""The likelihood of overdispersed counts (NB2): a sum over samples whose numbers t are ln alpha and the linear predictor."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from genassoc.refit.fits import Outcome
from genassoc.refit.likelihoods import OfSamples, Terms
from genassoc.shapes import Float64Array

_POISSON_BELOW = 1e-5  # alpha below which differences of gamma functions of 1 / alpha lose their digits: its first order stands for them
_LARGEST = 500.0  # of a linear predictor: its exponential is finite


@dataclass(frozen=True, eq=False)
class OverdispersedCounts(OfSamples):
    """Negative binomial regression of y (n,) on D (n, P), log link, ``var(y) = mu + alpha mu^2``; ln alpha is the first coefficient."""

    D: Float64Array
    y: Float64Array
    weight: Float64Array
    offset: Float64Array

    @classmethod
    def of(cls, D: Float64Array, outcome: Outcome, choices: Mapping[str, object]) -> Self:
        """See `Likelihood.of`."""
        return cls(D, outcome.y, outcome.weight, outcome.offset)

    @property
    def start(self) -> Float64Array:
        """The mean rate, as far as the columns span a constant, and the dispersion beyond it."""
        rate = (self.weight @ self.y) / (self.weight @ np.exp(self.offset))
        mean = rate * np.exp(self.offset)
        excess = self.weight @ ((self.y - mean) ** 2 - mean) / (self.weight @ mean**2)
        level = np.linalg.lstsq(self.D, np.full(self.y.size, np.log(rate)), rcond=None)[0]
        return np.concatenate([[np.log(np.clip(excess, 0.01, 10.0))], level])

    @property
    def rows(self) -> Sequence[Float64Array]:
        """ln alpha, the same of all, and the linear predictor."""
        n, P = self.D.shape
        alone, columns = np.zeros((n, P + 1)), np.zeros((n, P + 1))
        alone[:, 0], columns[:, 1:] = 1.0, self.D
        return alone, columns

    def _mean(self, beta: Float64Array) -> Float64Array:
        return np.asarray(np.exp(np.minimum(self.D @ beta[1:] + self.offset, _LARGEST)))

    def terms(self, beta: Float64Array) -> Terms:
        """At ``beta``, by gamma functions."""
        from scipy import special

        y, mu, alpha = self.y, self._mean(beta), float(np.exp(beta[0]))
        n, rest = y.size, 1.0 / (1.0 + alpha * mu)
        slope, curvature = np.zeros((2, n)), np.zeros((2, 2, n))
        slope[1] = (y - mu) * rest
        curvature[1, 1] = mu * (1.0 + alpha * y) * rest**2
        curvature[0, 1] = curvature[1, 0] = alpha * mu * (y - mu) * rest**2
        if alpha < _POISSON_BELOW:
            first = ((y - mu) ** 2 - y) / 2.0
            slope[0] = alpha * first
            curvature[0, 0] = -alpha * first
            return Terms(y * np.log(mu) - mu + alpha * first, slope, curvature)
        # in r = 1 / alpha, as textbooks have it; d r / d ln alpha = -r
        r = 1.0 / alpha
        value = special.gammaln(y + r) - special.gammaln(r) + y * np.log(alpha * mu) - (y + r) * np.log1p(alpha * mu)
        in_r = special.digamma(y + r) - special.digamma(r) - np.log1p(alpha * mu) + 1.0 - (r + y) / (r + mu)
        in_rr = special.polygamma(1, y + r) - special.polygamma(1, r) + alpha - 2.0 / (r + mu) + (r + y) / (r + mu) ** 2
        slope[0] = -r * in_r
        curvature[0, 0] = -(r * r * in_rr + r * in_r)
        return Terms(value, slope, curvature)

    def evaluate(self, beta: Float64Array) -> tuple[float, Float64Array, Float64Array]:
        """Log likelihood, score and information; far from the maximum it may curve upwards in ln alpha, which is then stepped alone."""
        value, U, J = super().evaluate(beta)
        if not np.isfinite(J).all() or np.linalg.eigvalsh(J)[0] > 0.0:
            return value, U, J
        J[0, 1:] = J[1:, 0] = 0.0
        J[0, 0] = max(abs(J[0, 0]), abs(U[0]))
        return value, U, J

    def expected_information(self, beta: Float64Array) -> Float64Array:
        """ln alpha and the coefficients do not mix in it."""
        mu = self._mean(beta)
        w = self.weight * mu / (1.0 + np.exp(beta[0]) * mu)
        J = np.zeros((beta.size, beta.size))
        J[0, 0] = 1.0
        J[1:, 1:] = self.D.T @ (w[:, None] * self.D)
        return J

    def variation(self, beta: Float64Array, along: Float64Array) -> Float64Array:
        """Of the linear predictor's slope alone, whose reach is the coefficients'."""
        mu = self._mean(beta)
        reach = self.D @ along[1:]
        w = mu / (1.0 + np.exp(beta[0]) * mu)
        return np.asarray(w[:, None, None] * reach[:, :, None] * reach[:, None, :])
