"""Likelihoods that are sums over samples: quantities, binary outcomes, counts, ordered levels; see `genassoc.refit.fits`.

A sample's log likelihood is a function of J numbers t that are linear in the coefficients, with rows B (J, P). With s and M its slope
and minus its second derivative in t, v its weight and J the information of all, what it adds to the errors of the estimates is

    J^-1 B' (I - v M B J^-1 B')^-power v s

which is HC3's of one linear predictor with power 1 (MacKinnon & White 1985), and the Newton step without the sample of several.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np

from genassoc.refit import few_events
from genassoc.refit.fits import LEAST_SLACK, Influences, Likelihood, NotFittedError, Outcome
from genassoc.shapes import BoolArray, Float64Array, Int64Array
from genassoc.stats.information import effective_size, whole_sizes

_SLAB = 4096  # samples whose weighted columns stay in a core's cache: half the time of all at once
_R_STEPS = 25  # of R's glm


class Terms(NamedTuple):
    """Of n samples: the log likelihood (n,), slopes (J, n) and minus second derivatives (J, J, n) in t."""

    value: Float64Array
    slope: Float64Array
    curvature: Float64Array


def _products(A: Float64Array, w: Float64Array, B: Float64Array) -> Float64Array:
    """``A' diag(w) B`` of A (n, P), w (n,) and B (n, Q)."""
    total = np.zeros((A.shape[1], B.shape[1]))
    for start in range(0, len(A), _SLAB):
        total += A[start : start + _SLAB].T @ (w[start : start + _SLAB, None] * B[start : start + _SLAB])
    return total


class OfSamples(Likelihood):
    """A sum over samples of weight times log likelihood."""

    @abstractmethod
    def terms(self, beta: Float64Array) -> Terms | None:
        """At ``beta``; None where there is no likelihood."""

    @property
    def rows(self) -> Sequence[Float64Array]:
        """B: J designs (n, P)."""
        return (self.D,)

    def variation(self, beta: Float64Array, along: Float64Array) -> Float64Array:
        """Products of a sample's score along directions (P, k) as the model expects them, (n, k, k); here those of one canonical t."""
        found = self.terms(beta)
        assert found is not None
        reach = self.D @ along
        return np.asarray(found.curvature[0, 0][:, None, None] * reach[:, :, None] * reach[:, None, :])

    def evaluate(self, beta: Float64Array) -> tuple[float, Float64Array, Float64Array]:
        """Log likelihood, score and information."""
        found = self.terms(beta)
        if found is None:
            return -np.inf, np.zeros(beta.size), np.eye(beta.size)
        v, U, J = self.weight, np.zeros(beta.size), np.zeros((beta.size, beta.size))
        for a, A in enumerate(self.rows):
            U = U + A.T @ (v * found.slope[a])
            J = J + _products(A, v * found.curvature[a, a], A)
            for b in range(a):
                mixed = _products(A, v * found.curvature[a, b], self.rows[b])
                J = J + mixed + mixed.T
        return float(v @ found.value), U, J

    def influences(self, beta: Float64Array, inverse: Float64Array, k: int, power: int) -> Influences:
        """What samples add to the errors of the last k coefficients."""
        found = self.terms(beta)
        assert found is not None
        v, rows = self.weight, self.rows
        through = [A @ inverse for A in rows]
        H = np.array([[np.einsum("ip,ip->i", T, B) for B in rows] for T in through])  # (J, J, n)
        slack = np.eye(len(rows)) - np.einsum("i,abi,bci->iac", v, found.curvature, H)
        single = len(rows) == 1  # then slack is a number, and LAPACK is slow on one at a time
        share = slack[:, 0, 0] if single else np.linalg.det(slack)
        residual = (v * found.slope).T  # (n, J)
        if power > 0:
            if share.min() <= LEAST_SLACK:
                raise NotFittedError("a sample has a leverage of 1")
            residual = residual / share[:, None] if single else np.linalg.solve(slack, residual[:, :, None])[:, :, 0]
        each = np.einsum("aik,ia->ik", np.array([T[:, -k:] for T in through]), residual)
        expected = self.variation(beta, inverse[:, -k:]) * (v**2 * share ** (1 - 2 * power))[:, None, None]
        return Influences(each, expected)


def expit(x: Float64Array) -> Float64Array:
    """``1 / (1 + exp(-x))``, of any x."""
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0.0, 1.0, small) / (1.0 + small))


class OfPredictor(OfSamples):
    """One in which t is the linear predictor; `genassoc.refit.together` fits many rows of it at once."""

    y: Float64Array

    @abstractmethod
    def at(self, eta: Float64Array) -> Terms:
        """At the linear predictors (..., n), each part of their shape; slopes and curvatures without the axes of J."""

    @property
    def level(self) -> Float64Array:
        """The linear predictor of no effects, (...,): where fits begin."""
        return np.zeros(self.y.shape[:-1])

    @abstractmethod
    def squares(self, eta: Float64Array) -> Float64Array:
        """What the samples (..., n) add to the dispersion times its degrees of freedom."""

    def terms(self, beta: Float64Array) -> Terms:
        """At ``beta``."""
        found = self.at(self.D @ beta + self.offset)
        return Terms(found.value, found.slope[None], found.curvature[None, None])

    def dispersion(self, beta: Float64Array, n_coefficients: int) -> float:
        """Squares over degrees of freedom."""
        freedom = len(self.D) - n_coefficients
        if freedom < 1:
            raise NotFittedError("too few samples")
        return float(self.squares(self.D @ beta[: self.D.shape[1]] + self.offset).sum()) / freedom


@dataclass(frozen=True, eq=False)
class Normal(OfPredictor):
    """Least squares of y (n,) on D (n, P): the residual variance is a factor of its own."""

    methods: ClassVar[tuple[str, ...]] = ("t", "f", "score", "spa", "t_hc3", "f_hc3", "t_hc0", "f_hc0")
    closed_form: ClassVar[bool] = True

    D: Float64Array
    y: Float64Array
    weight: Float64Array
    offset: Float64Array

    @classmethod
    def of(cls, D: Float64Array, outcome: Outcome, choices: Mapping[str, Any]) -> Self:
        """See `Likelihood.of`."""
        return cls(D, outcome.y, outcome.weight, outcome.offset)

    @property
    def unit(self) -> float:
        """The root of the mean square of y."""
        return float(np.sqrt(((self.y - self.offset) ** 2).mean())) or 1.0

    @property
    def estimates_scale(self) -> bool:
        """It does."""
        return True

    def at(self, eta: Float64Array) -> Terms:
        """At linear predictors."""
        left = self.y - eta
        return Terms(-0.5 * left**2, left, np.ones_like(left))

    def squares(self, eta: Float64Array) -> Float64Array:
        """Weighted squares of residuals."""
        return np.asarray(self.weight * (self.y - eta) ** 2)


@dataclass(frozen=True, eq=False)
class Binary(OfPredictor):
    """Logistic regression of y (n,), 0 or 1, on D (n, P)."""

    methods: ClassVar[tuple[str, ...]] = (*Likelihood.methods, "firth", "firth_approx")
    normal_hc3: ClassVar[bool] = True
    penalised_null: ClassVar[bool] = True
    exact: ClassVar[Literal["never", "sandwich", "always"]] = "sandwich"

    D: Float64Array
    y: Float64Array
    weight: Float64Array
    offset: Float64Array

    @classmethod
    def of(cls, D: Float64Array, outcome: Outcome, choices: Mapping[str, Any]) -> Self:
        """See `Likelihood.of`."""
        return cls(D, outcome.y, outcome.weight, outcome.offset)

    def at(self, eta: Float64Array) -> Terms:
        """At linear predictors."""
        x = np.exp(-np.abs(eta))  # one exponential, of what cannot overflow, for both the likelihood and mu
        mu = np.where(eta >= 0.0, 1.0, x) / (1.0 + x)
        value = self.y * eta - np.maximum(eta, 0.0) - np.log(1.0 + x)
        return Terms(value, self.y - mu, mu * (1.0 - mu))

    def squares(self, eta: Float64Array) -> Float64Array:
        """The variance is the model's: none."""
        raise NotFittedError("a binary outcome has no dispersion")

    def penalty(self, beta: Float64Array) -> Float64Array:
        """``D'(h (1/2 - mu))``, h the leverages (Firth 1993)."""
        mu, h, _ = self._leverages(beta)
        return np.asarray(self.D.T @ (h * (0.5 - mu)))

    def _leverages(self, beta: Float64Array) -> tuple[Float64Array, Float64Array, Float64Array]:
        """mu, leverages and weights of the information (n,)."""
        mu = expit(self.D @ beta + self.offset)
        w = mu * (1.0 - mu)
        J = _products(self.D, w, self.D)
        return mu, w * np.einsum("ij,ij->i", self.D @ np.linalg.inv(J), self.D), w

    def as_plink2(self, firth: bool) -> tuple[Float64Array, Float64Array]:
        """By R's ``glm.fit``, or by Firth's penalty with the covariance ``(D' diag((1 + h) w) D)^-1``."""
        if not firth:
            return self.as_r()
        from genassoc.refit.fits import maximise

        at = maximise(self, penalty=self.penalty)[0]
        _, h, w = self._leverages(at)
        return at, np.asarray(np.linalg.inv(_products(self.D, (1.0 + h) * w, self.D)))

    def as_r(self) -> tuple[Float64Array, Float64Array]:
        """Coefficients (P,) and their covariance (P, P) as R's ``glm.fit`` starts and stops: weights of the last step but one.

        Raises
        ------
        NotFittedError
            It does not stop within 25 steps.
        """
        D, y, o = self.D, self.y, self.offset
        mu = (y + 0.5) / 2.0
        eta, deviance = np.log(mu / (1.0 - mu)), -2.0 * float(np.log(np.where(y == 1, mu, 1.0 - mu)).sum())
        for _ in range(_R_STEPS):
            w = mu * (1.0 - mu)
            J = D.T @ (w[:, None] * D)
            beta = np.linalg.solve(J, D.T @ (w * (eta - o) + y - mu))
            eta = D @ beta + o
            mu, before = expit(eta), deviance
            deviance = 2.0 * float(np.logaddexp(0.0, np.where(y == 1, -eta, eta)).sum())
            if abs(deviance - before) < 1e-8 * (0.1 + abs(deviance)):
                return np.asarray(beta), np.asarray(np.linalg.inv(J), np.float64)
        raise NotFittedError("the weighted regressions of R's glm do not settle in 25 steps")

    def law_of_events(self, beta: Float64Array, g: Float64Array, observed: BoolArray) -> float:
        """Of the rarer of cases and controls; each sample has one event at most where weights are equal."""
        eta = self.D @ beta + self.offset
        events, odds = self.y * self.weight, np.exp(eta)
        against = self.weight * (1.0 - self.y)
        if effective_size(against) < effective_size(events):
            events, odds = against, np.exp(-eta)
        if np.ptp(self.weight) > 0.0:
            odds = self.weight * odds / (1.0 + odds)
        return few_events.of_independent_events(whole_sizes(events)[observed], odds[observed], g)


@dataclass(frozen=True, eq=False)
class Counts(OfPredictor):
    """Poisson regression of y (n,) on D (n, P), log link; ``quasi``: the variance is Pearson's dispersion times the mean."""

    exact: ClassVar[Literal["never", "sandwich", "always"]] = "always"

    D: Float64Array
    y: Float64Array
    weight: Float64Array
    offset: Float64Array
    quasi: bool = False

    @classmethod
    def of(cls, D: Float64Array, outcome: Outcome, choices: Mapping[str, Any]) -> Self:
        """See `Likelihood.of`."""
        return cls(D, outcome.y, outcome.weight, outcome.offset, choices.get("dispersion", "quasi") == "quasi")

    @property
    def start(self) -> Float64Array:
        """The mean rate, as far as the columns span a constant."""
        return np.asarray(np.linalg.lstsq(self.D, np.full(self.y.size, self.level), rcond=None)[0])

    @property
    def level(self) -> Float64Array:
        """The logarithm of the mean rate."""
        expected = (self.weight * np.exp(self.offset)).sum(axis=-1)
        return np.asarray(np.log((self.weight * self.y).sum(axis=-1) / expected))

    @property
    def estimates_scale(self) -> bool:
        """Whether it is a quasi-likelihood."""
        return self.quasi

    def at(self, eta: Float64Array) -> Terms:
        """At linear predictors, without the likelihood's constant."""
        eta = np.minimum(eta, 500.0)
        mu = np.exp(eta)
        return Terms(self.y * eta - mu, self.y - mu, mu)

    def squares(self, eta: Float64Array) -> Float64Array:
        """Pearson's chi-squared."""
        mu = np.exp(np.minimum(eta, 500.0))
        return np.asarray((self.y - mu) ** 2 / mu)

    def law_of_events(self, beta: Float64Array, g: Float64Array, observed: BoolArray) -> float:
        """Each event, with its weight, falls on a sample in proportion to its mean."""
        odds = self.weight * np.exp(self.D @ beta + self.offset)
        return few_events.of_independent_events(whole_sizes(self.y * self.weight)[observed], odds[observed], g)


@dataclass(frozen=True, eq=False)
class Levels(OfSamples):
    """Proportional odds of levels y (n,) 0 .. M on D (n, P), without a constant; coefficients are M thresholds, then P.

    t are the upper and the lower edge of a sample's level: a threshold less the linear predictor, at the ends none (a row of zeros).
    """

    constant: ClassVar[bool] = False

    D: Float64Array
    y: Int64Array
    weight: Float64Array
    offset: Float64Array
    _edge: tuple[Float64Array, Float64Array] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_edge", self._edges(self.y))

    @classmethod
    def of(cls, D: Float64Array, outcome: Outcome, choices: Mapping[str, Any]) -> Self:
        """See `Likelihood.of`."""
        return cls(D, outcome.y.astype(np.int64), outcome.weight, outcome.offset)

    @property
    def n_thresholds(self) -> int:
        """M."""
        return int(self.y.max())

    @property
    def start(self) -> Float64Array:
        """Log odds of the levels up to each threshold; no effects."""
        total = self.weight.sum()
        shares = np.array([self.weight[self.y <= m].sum() / total for m in range(self.n_thresholds)])
        return np.concatenate([np.log(shares / (1.0 - shares)), np.zeros(self.D.shape[1])])

    @property
    def rows(self) -> tuple[Float64Array, Float64Array]:
        """Upper and lower edges."""
        return self._edge

    def _edges(self, y: Int64Array) -> tuple[Float64Array, Float64Array]:
        """Designs (n, M + P) of the upper and the lower edge of levels y (n,)."""
        M, n = self.n_thresholds, y.size
        one_hot = np.eye(M + 1)[:, :M]
        upper, lower = np.zeros((n, M + self.D.shape[1])), np.zeros((n, M + self.D.shape[1]))
        upper[:, :M] = one_hot[y]  # zero for the highest level: its upper edge is at infinity
        lower[y > 0, :M] = one_hot[y[y > 0] - 1]
        upper[y < M, M:], lower[y > 0, M:] = -self.D[y < M], -self.D[y > 0]
        return upper, lower

    def _below(self, beta: Float64Array, y: Int64Array, edges: tuple[Float64Array, Float64Array]) -> list[Float64Array]:
        """The chances (n,) to be below the upper and below the lower edge."""
        upper, lower = (edge @ beta - self.offset for edge in edges)
        return [
            np.where(y == self.n_thresholds, 1.0, expit(upper)),
            np.where(y == 0, 0.0, expit(lower)),
        ]

    def terms(self, beta: Float64Array) -> Terms | None:
        """At ``beta``; None where thresholds are out of order."""
        if (np.diff(beta[: self.n_thresholds]) <= 0).any():
            return None
        Fu, Fl = self._below(beta, self.y, self._edge)
        p, fu, fl = Fu - Fl, Fu * (1.0 - Fu), Fl * (1.0 - Fl)
        slope = np.array([fu / p, -fl / p])
        bend = np.zeros((2, 2, p.size))
        bend[0, 0], bend[1, 1] = -fu * (1.0 - 2.0 * Fu) / p, fl * (1.0 - 2.0 * Fl) / p
        return Terms(np.log(p), slope, bend + slope[:, None] * slope[None, :])

    def variation(self, beta: Float64Array, along: Float64Array) -> Float64Array:
        """The sum over levels of ``dp dp' / p``."""
        total = np.zeros((self.y.size, along.shape[1], along.shape[1]))
        for reach, p in self._slopes_of_levels(beta):
            moved = reach @ along
            total += moved[:, :, None] * moved[:, None, :] / p[:, None, None]
        return total

    def _slopes_of_levels(self, beta: Float64Array) -> list[tuple[Float64Array, Float64Array]]:
        """Of each level, the derivatives (n, M + P) of its chance, and the chance (n,)."""
        found = []
        for level in range(self.n_thresholds + 1):
            y = np.full(self.y.size, level)
            edges = self._edges(y)
            Fu, Fl = self._below(beta, y, edges)
            reach = (Fu * (1.0 - Fu))[:, None] * edges[0] - (Fl * (1.0 - Fl))[:, None] * edges[1]
            found.append((reach, Fu - Fl))
        return found

    def expected_information(self, beta: Float64Array) -> Float64Array:
        """Sum over samples and levels of ``dp dp' / p``."""
        return sum(
            (_products(reach, self.weight / p, reach) for reach, p in self._slopes_of_levels(beta)),
            start=np.zeros((beta.size, beta.size)),
        )
