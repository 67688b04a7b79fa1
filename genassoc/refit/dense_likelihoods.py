"""Likelihoods for `genassoc.refit.dense`: binary, count, ordered and survival outcomes as functions of all coefficients."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import special

from genassoc.shapes import BoolArray, Float64Array, Int64Array

_SLAB = 4096  # samples whose weighted columns stay in a core's cache: half the time of all at once


def _weighted_squares(D: Float64Array, w: Float64Array) -> Float64Array:
    """``D' diag(w) D`` of D (n, P) and w (n,)."""
    total = np.zeros((D.shape[1], D.shape[1]))
    for start in range(0, len(D), _SLAB):
        rows = D[start : start + _SLAB]
        total += rows.T @ (w[start : start + _SLAB, None] * rows)
    return total


def _leverages(D: Float64Array, w: Float64Array) -> Float64Array:
    """``d (D' diag(w) D)^-1 d'`` of each row d of D (n, P): leverages before their weight."""
    return np.asarray(np.einsum("ij,ij->i", D @ np.linalg.inv(_weighted_squares(D, w)), D))


class FromNothing(ABC):
    """A likelihood of the coefficients of D (n, P) that is maximised from no effects on; its information is the observed one."""

    D: Float64Array

    @property
    def start(self) -> Float64Array:
        """All coefficients 0."""
        return np.zeros(self.D.shape[1])

    @abstractmethod
    def evaluate(self, beta: Float64Array) -> tuple[float, Float64Array, Float64Array]:
        """Log likelihood, score and information."""

    def expected_information(self, beta: Float64Array) -> Float64Array:
        """The observed one: the same of a logistic model, and what everybody uses of Cox's."""
        return self.evaluate(beta)[2]


@dataclass(frozen=True, eq=False)
class Binary(FromNothing):
    """Logistic regression of y (n,), 0 or 1, on D (n, P) beside an offset."""

    D: Float64Array
    y: Float64Array
    offset: Float64Array | float = 0.0

    def evaluate(self, beta: Float64Array) -> tuple[float, Float64Array, Float64Array]:
        """Log likelihood, score and information."""
        eta = self.D @ beta + self.offset
        x = np.exp(-np.abs(eta))  # one exponential, of what cannot overflow, for both the likelihood and mu
        mu = np.where(eta >= 0.0, 1.0, x) / (1.0 + x)
        value = float(self.y @ eta - np.maximum(eta, 0.0).sum() - np.log(1.0 + x).sum())
        return value, self.D.T @ (self.y - mu), _weighted_squares(self.D, mu * (1.0 - mu))

    def penalty(self, beta: Float64Array) -> Float64Array:
        """``D'(h (1/2 - mu))``, h the leverages (Firth 1993)."""
        mu = special.expit(self.D @ beta + self.offset)
        w = mu * (1.0 - mu)
        h = w * _leverages(self.D, w)
        return np.asarray(self.D.T @ (h * (0.5 - mu)))

    def plink2_covariance(self, beta: Float64Array) -> Float64Array:
        """Of all coefficients (P, P), ``(D' diag((1 + h) w) D)^-1``, as PLINK 2's Firth."""
        mu = special.expit(self.D @ beta + self.offset)
        w = mu * (1.0 - mu)
        h = w * _leverages(self.D, w)
        return np.asarray(np.linalg.inv(_weighted_squares(self.D, (1.0 + h) * w)))


@dataclass(frozen=True, eq=False)
class Counts:
    """Poisson regression of y (n,) on D (n, P), log link, beside an offset."""

    D: Float64Array
    y: Float64Array
    offset: Float64Array | float = 0.0

    @property
    def start(self) -> Float64Array:
        """The mean rate, as far as the columns span a constant."""
        level = np.log(self.y.mean() / np.mean(np.exp(self.offset)))
        return np.asarray(np.linalg.lstsq(self.D, np.full(self.y.size, level), rcond=None)[0])

    def evaluate(self, beta: Float64Array) -> tuple[float, Float64Array, Float64Array]:
        """Log likelihood without its constant, score and information."""
        eta = np.minimum(self.D @ beta + self.offset, 500.0)
        mu = np.exp(eta)
        return float(self.y @ eta - mu.sum()), self.D.T @ (self.y - mu), _weighted_squares(self.D, mu)

    def expected_information(self, beta: Float64Array) -> Float64Array:
        """The same as the observed one."""
        return self.evaluate(beta)[2]

    def dispersion(self, beta: Float64Array, n_coefficients: int) -> float:
        """Pearson's chi-squared over its degrees of freedom."""
        mu = np.exp(self.D @ beta + self.offset)
        return float((((self.y - mu) ** 2) / mu).sum() / (self.y.size - n_coefficients))


@dataclass(frozen=True, eq=False)
class Levels:
    """Proportional odds of levels y (n,) 0 .. M on D (n, P), without a constant; coefficients are M thresholds, then P."""

    D: Float64Array
    y: Int64Array

    @property
    def n_thresholds(self) -> int:
        """M."""
        return int(self.y.max())

    @property
    def start(self) -> Float64Array:
        """Log odds of the levels up to each threshold; no effects."""
        shares = np.array([(self.y <= m).mean() for m in range(self.n_thresholds)])
        return np.concatenate([special.logit(shares), np.zeros(self.D.shape[1])])

    def _edges(
        self, beta: Float64Array, y: Int64Array
    ) -> tuple[Float64Array, Float64Array, Float64Array, Float64Array]:
        """Designs of the upper and lower edge of levels y (n,), (n, M + P), and the chance to be below each."""
        M, n = self.n_thresholds, y.size
        one_hot = np.eye(M + 1)[:, :M]
        upper, lower = np.zeros((n, M + self.D.shape[1])), np.zeros((n, M + self.D.shape[1]))
        upper[:, :M] = one_hot[y]  # zero for the highest level: its upper edge is at infinity
        lower[y > 0, :M] = one_hot[y[y > 0] - 1]
        top, bottom = y == M, y == 0
        upper[~top, M:], lower[~bottom, M:] = -self.D[~top], -self.D[~bottom]
        below_upper = np.where(top, 1.0, special.expit(upper @ beta))
        below_lower = np.where(bottom, 0.0, special.expit(lower @ beta))
        return upper, lower, below_upper, below_lower

    def evaluate(self, beta: Float64Array) -> tuple[float, Float64Array, Float64Array]:
        """Log likelihood, score and observed information; minus infinity where the thresholds are out of order."""
        P = beta.size
        if (np.diff(beta[: self.n_thresholds]) <= 0).any():
            return -np.inf, np.zeros(P), np.eye(P)
        upper, lower, Fu, Fl = self._edges(beta, self.y)
        p, fu, fl = Fu - Fl, Fu * (1.0 - Fu), Fl * (1.0 - Fl)
        slopes = (fu[:, None] * upper - fl[:, None] * lower) / p[:, None]
        curve_u, curve_l = fu * (1.0 - 2.0 * Fu) / p, fl * (1.0 - 2.0 * Fl) / p
        J = slopes.T @ slopes - upper.T @ (curve_u[:, None] * upper) + lower.T @ (curve_l[:, None] * lower)
        return float(np.log(p).sum()), slopes.sum(axis=0), J

    def expected_information(self, beta: Float64Array) -> Float64Array:
        """Sum over samples and levels of ``dp dp' / p``."""
        J = np.zeros((beta.size, beta.size))
        for level in range(self.n_thresholds + 1):
            upper, lower, Fu, Fl = self._edges(beta, np.full(self.y.size, level))
            slopes = (Fu * (1.0 - Fu))[:, None] * upper - (Fl * (1.0 - Fl))[:, None] * lower
            J += slopes.T @ (slopes / (Fu - Fl)[:, None])
        return J


@dataclass(frozen=True, eq=False)
class Hazards(FromNothing):
    """Cox's partial likelihood of D (n, P): at risk at t in its stratum if ``entry < t <= time``."""

    D: Float64Array
    time: Float64Array
    event: Float64Array
    entry: Float64Array
    stratum: Int64Array
    efron: bool = True
    offset: Float64Array | float = 0.0

    def evaluate(self, beta: Float64Array) -> tuple[float, Float64Array, Float64Array]:
        """Log partial likelihood, score and information, stratum by stratum."""
        value, U, J = 0.0, np.zeros(beta.size), np.zeros((beta.size, beta.size))
        for part in self._strata(beta):
            value += part.value
            U = U + part.D[part.event].sum(axis=0) - part.mean.sum(axis=0)
            J = J + part.D.T @ ((part.w * part.weight)[:, None] * part.D) - part.mean.T @ part.mean
        return value, U, J

    def penalty(self, beta: Float64Array) -> Float64Array:
        """Gradient of ``log det(information) / 2``, from the third central moments of the risk sets (Heinze & Schemper 2001).

        With ``Q = J^-1``, the mean m_k of a term and its chances p_ki, it is half the sum over terms and samples of
        ``p_ki (x_i - m_k)'Q(x_i - m_k) (x_i - m_k)``, multiplied out so that sums over terms come first.
        """
        Q = np.linalg.inv(self.evaluate(beta)[2])
        total = np.zeros(beta.size)
        for part in self._strata(beta):
            square = ((part.D @ Q) * part.D).sum(axis=1)
            of_mean = ((part.mean @ Q) * part.mean).sum(axis=1)
            mean_square = part.means_of(square)
            means = part.over_terms(part.mean)  # (n, P): every sample's sum of m_k over the terms, in shares
            cross = ((part.D @ Q) * means).sum(axis=1)
            total += part.D.T @ (part.w * (part.weight * square - 2.0 * cross))
            total += part.mean.T @ (2.0 * of_mean - mean_square)
        return total / 2.0

    def _strata(self, beta: Float64Array) -> "Iterator[Stratum]":
        eta = self.D @ beta + self.offset
        for s in np.unique(self.stratum):
            here = self.stratum == s
            if (self.event[here] == 1).any():
                times = self.time[here], self.event[here] == 1, self.entry[here]
                yield Stratum(self.D[here], eta[here], *times, self.efron)


class Stratum:
    """The terms of one stratum at given linear predictors: one an event, of m tied ones Efron's j-th counts them by 1 - j / m.

    ``mean`` (terms, P) are the weighted means of D in the terms' risk sets, ``w`` (n,) the samples' hazards, ``weight`` (n,)
    the sums of their shares ``a_ki / total_k`` over the terms, ``log_total`` (terms,) the logarithms of the hazards at risk.
    """

    def __init__(
        self, D: Float64Array, eta: Float64Array, time: Float64Array, event: BoolArray, entry: Float64Array, efron: bool
    ) -> None:
        self.D, self.event = D, event
        self._time, self._entry = time, entry
        shift = float(eta.max())
        self.w = np.exp(eta - shift)
        self.t, d = np.unique(time[event], return_counts=True)
        self._slot = np.searchsorted(self.t, time)
        self.which = np.repeat(np.arange(self.t.size), d)
        order = np.arange(self.which.size) - np.repeat(np.cumsum(d) - d, d)
        self.share = order / d[self.which] if efron else np.zeros(self.which.size)
        self.total = self._sums(np.ones((time.size, 1)))[:, 0]
        self.mean = self._sums(D) / self.total[:, None]
        self.weight = self.over_terms(np.ones((self.which.size, 1)))[:, 0]
        self.log_total = np.log(self.total) + shift
        self.value = float(eta[event].sum() - self.log_total.sum())

    def _sums(self, values: Float64Array) -> Float64Array:
        """Sums of ``a_ki w_i values_i`` (terms, columns): from the last time back, less those who have not entered."""
        weighted = self.w[:, None] * values
        sums = _from(weighted, self._time, self.t) - _from(weighted, self._entry, self.t)
        died = np.zeros_like(sums)
        np.add.at(died, self._slot[self.event], weighted[self.event])
        return np.asarray(sums[self.which] - self.share[:, None] * died[self.which])

    def means_of(self, values: Float64Array) -> Float64Array:
        """Weighted means (terms,) of values (n,)."""
        return np.asarray(self._sums(values[:, None])[:, 0] / self.total)

    def over_terms(self, values: Float64Array) -> Float64Array:
        """Sums of ``a_ki / total_k values_k`` (n, columns) of every sample over the terms, values (terms, columns)."""
        K, columns = self.t.size, values.shape[1]
        per_time, own = np.zeros((K, columns)), np.zeros((K, columns))
        np.add.at(per_time, self.which, values / self.total[:, None])
        np.add.at(own, self.which, values * (self.share / self.total)[:, None])
        running = np.vstack([np.zeros((1, columns)), np.cumsum(per_time, axis=0)])
        until = running[np.searchsorted(self.t, self._time, side="right")]
        found = until - running[np.searchsorted(self.t, self._entry, side="right")]
        found[self.event] -= own[self._slot[self.event]]
        return np.asarray(found)


def _from(values: Float64Array, at: Float64Array, t: Float64Array) -> Float64Array:
    """Sums (K, columns) of the rows of values with ``at >= t``."""
    order = np.argsort(-at, kind="stable")
    running = np.vstack([np.zeros((1, values.shape[1])), np.cumsum(values[order], axis=0)])
    return np.asarray(running[at.size - np.searchsorted(at[order][::-1], t, side="left")])
