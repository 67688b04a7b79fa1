"""Cox's partial likelihood with weights and offsets, its robust variance and its law of few events; see `genassoc.refit.fits`.

The m deaths at a time weigh their mean in each of Efron's m terms, as in R's coxph. What sample i adds to the score is x less the mean of
the risk set over the sample's martingale (Lin & Wei 1989, doi:10.1080/01621459.1989.10478874).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NamedTuple, Self

import numpy as np

from genassoc.refit import few_events
from genassoc.refit.fits import Influences, Likelihood, Outcome
from genassoc.shapes import BoolArray, Float64Array, Int64Array
from genassoc.stats.information import whole_sizes


class _Part(NamedTuple):
    """A stratum with deaths: its samples (bool (n,)), its terms, who of them died, and what each term weighs."""

    here: BoolArray
    terms: "Stratum"
    died: BoolArray
    weight: Float64Array


@dataclass(frozen=True, eq=False)
class Hazards(Likelihood):
    """Cox's partial likelihood of D (n, P): at risk at t in its stratum if ``entry < t <= time``."""

    methods: ClassVar[tuple[str, ...]] = (
        "score", "score_approx", "wald", "lrt", "firth", "firth_approx", "wald_robust",
    )  # fmt: skip
    constant: ClassVar[bool] = False
    screened: ClassVar[bool] = True
    exact: ClassVar[Literal["never", "sandwich", "always"]] = "sandwich"

    D: Float64Array
    time: Float64Array
    event: Float64Array
    entry: Float64Array
    stratum: Int64Array
    weight: Float64Array
    offset: Float64Array
    efron: bool = True

    @classmethod
    def of(cls, D: Float64Array, outcome: Outcome, choices: Mapping[str, Any]) -> Self:
        """See `Likelihood.of`."""
        time, entry, stratum = outcome.time, outcome.entry, outcome.stratum
        assert time is not None and entry is not None and stratum is not None
        efron = choices.get("ties", "efron") == "efron"
        return cls(D, time, outcome.y, entry, stratum, outcome.weight, outcome.offset, efron)

    def evaluate(self, beta: Float64Array) -> tuple[float, Float64Array, Float64Array]:
        """Weighted log partial likelihood, score and information, stratum by stratum."""
        value, U, J = 0.0, np.zeros(beta.size), np.zeros((beta.size, beta.size))
        eta = self.D @ beta + self.offset
        for here, terms, died, weight in self._strata(beta):
            v = self.weight[here]
            value += float(v[died] @ eta[here][died] - weight @ terms.log_total)
            U = U + v[died] @ terms.D[died] - weight @ terms.mean
            hazard = terms.over_terms(weight[:, None])[:, 0]
            J = J + terms.D.T @ ((terms.w * hazard)[:, None] * terms.D) - terms.mean.T @ (weight[:, None] * terms.mean)
        return value, U, J

    def influences(self, beta: Float64Array, inverse: Float64Array, k: int, power: int) -> Influences:
        """What samples add to the errors of the last k coefficients; there are no leverages here."""
        along, n = inverse[:, -k:], self.D.shape[0]
        each, expected = np.zeros((n, k)), np.zeros((n, k, k))
        for here, terms, died, weight in self._strata(beta):
            z, mean, v = terms.D @ along, terms.mean @ along, self.weight[here]
            hazard = terms.over_terms(weight[:, None])[:, 0]
            of_mean = terms.over_terms(weight[:, None] * mean)
            score = -terms.w[:, None] * (z * hazard[:, None] - of_mean)
            slot = np.searchsorted(terms.t, self.time[here][died])
            average = np.zeros((terms.t.size, k))
            np.add.at(average, terms.which, mean)
            average /= np.bincount(terms.which)[:, None]
            score[died] += v[died][:, None] * (z[died] - average[slot])
            each[here] = score
            for a in range(k):
                for b in range(k):
                    of_both = terms.over_terms((weight * mean[:, a] * mean[:, b])[:, None])[:, 0]
                    square = z[:, a] * z[:, b] * hazard - z[:, a] * of_mean[:, b] - z[:, b] * of_mean[:, a] + of_both
                    expected[here, a, b] = v * terms.w * (np.maximum(square, 0.0) if a == b else square)
        return Influences(each, expected)

    def penalty(self, beta: Float64Array) -> Float64Array:
        """Gradient of ``log det(information) / 2``, from the third central moments of the risk sets (Heinze & Schemper 2001).

        With ``Q = J^-1``, the mean m_k of a term and its chances p_ki, it is half the sum over terms and samples of
        ``p_ki (x_i - m_k)'Q(x_i - m_k) (x_i - m_k)``, multiplied out so that sums over terms come first. Without weights.
        """
        Q = np.linalg.inv(self.evaluate(beta)[2])
        total = np.zeros(beta.size)
        for _, terms, _, weight in self._strata(beta):
            square = ((terms.D @ Q) * terms.D).sum(axis=1)
            of_mean = ((terms.mean @ Q) * terms.mean).sum(axis=1)
            mean_square = terms.means_of(square)
            means = terms.over_terms(weight[:, None] * terms.mean)  # (n, P): every sample's sum of m_k over the terms
            cross = ((terms.D @ Q) * means).sum(axis=1)
            hazard = terms.over_terms(weight[:, None])[:, 0]
            total += terms.D.T @ (terms.w * (hazard * square - 2.0 * cross))
            total += terms.mean.T @ (weight * (2.0 * of_mean - mean_square))
        return total / 2.0

    def law_of_events(self, beta: Float64Array, g: Float64Array, observed: BoolArray) -> float:
        """Each event, with its weight, falls on somebody at risk at its time."""
        steps = few_events.in_steps(g)
        eta = self.D @ beta + self.offset
        sizes = whole_sizes(self.event * self.weight)[observed]
        died = np.flatnonzero(sizes > 0.0)
        at_risk = few_events.at_risk_at(self.time[observed], self.entry[observed], self.stratum[observed], died)
        shares = few_events.shares_of(steps, (self.weight * np.exp(eta - eta.max()))[observed], at_risk)
        return few_events.neg_log_10_p_of_draws(steps, shares, sizes[died], float(steps @ sizes))

    def _strata(self, beta: Float64Array) -> Iterator[_Part]:
        weighed = self.D @ beta + self.offset + np.log(self.weight)
        for s in np.unique(self.stratum):
            here = self.stratum == s
            died = self.event[here] == 1
            if not died.any():
                continue
            terms = Stratum(self.D[here], weighed[here], self.time[here], died, self.entry[here], self.efron)
            slot = np.searchsorted(terms.t, self.time[here][died])
            own = np.bincount(slot, self.weight[here][died]) / np.bincount(slot)
            yield _Part(here, terms, died, own[terms.which])


class Stratum:
    """The terms of one stratum at given linear predictors: one an event, of m tied ones Efron's j-th counts them by 1 - j / m.

    ``mean`` (terms, P) are the weighted means of D in the terms' risk sets, ``w`` (n,) the samples' hazards, ``log_total`` (terms,)
    the logarithms of the hazards at risk.
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
        self.log_total = np.log(self.total) + shift

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
        per_time, of_dead = np.zeros((K, columns)), np.zeros((K, columns))
        np.add.at(per_time, self.which, values / self.total[:, None])
        np.add.at(of_dead, self.which, values * (self.share / self.total)[:, None])
        running = np.vstack([np.zeros((1, columns)), np.cumsum(per_time, axis=0)])
        until = running[np.searchsorted(self.t, self._time, side="right")]
        found = until - running[np.searchsorted(self.t, self._entry, side="right")]
        found[self.event] -= of_dead[self._slot[self.event]]
        return np.asarray(found)


def _from(values: Float64Array, at: Float64Array, t: Float64Array) -> Float64Array:
    """Sums (K, columns) of the rows of values with ``at >= t``."""
    order = np.argsort(-at, kind="stable")
    running = np.vstack([np.zeros((1, values.shape[1])), np.cumsum(values[order], axis=0)])
    return np.asarray(running[at.size - np.searchsorted(at[order][::-1], t, side="left")])
