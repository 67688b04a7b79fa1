"""Dense conditional logistic regression of matched sets, exact for n cases and m controls; see `genassoc.refit.fits`.

Samples drawn independently with odds ``exp(eta_i - c)``, given that m are drawn, are the choices of m cases among the M samples of a
set, whatever c is. How many are drawn has the generating function ``prod_i (q_i + p_i z)``, whose coefficient of z^m is read off by
a discrete Fourier transform over the L-th roots of unity, L > M (Hong 2013, doi:10.1016/j.csda.2012.10.006) ::

    f_m = mean_l z_l^-m F_l        E[sum_S x] f_m = mean_l z_l^-m F_l sum_i x_i r_il        r_il = p_i z_l / (q_i + p_i z_l)

and ``E[(sum_S x)(sum_S x)']`` likewise with ``(sum x r)(sum x r)' + sum_i x_i x_i' r_il (1 - r_il)``. Where m are expected f_m is one over
a few standard deviations, so that no digits are lost. The kernel runs a recursion over samples instead.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from typing import Any, ClassVar, Literal, Self

import numpy as np

from genassoc.refit.fits import Influences, Likelihood, NotFittedError, Outcome
from genassoc.refit.likelihoods import expit
from genassoc.shapes import BoolArray, Float64Array, Int64Array

_HALVINGS = 60  # of the bracket of c: any c is right
_NUMBERS = 2_000_000  # complex ones held at once
_MOST_CHOICES = 200_000  # of a set, listed one by one
_AS_FAR = 1e-9  # relative: distances from the mean differ by rounding
_WHOLE = 1e-6  # copies that are whole up to the rounding of dosages
_GRID, _MOST_STEPS = 32, 4096  # steps of a copy in which dosages that are not whole have a law, and steps in all


@dataclass(frozen=True, eq=False)
class Conditional(Likelihood):
    """The conditional likelihood of y (n,), 0 or 1, in sets (n,) of samples, of D (n, P) without a constant; there are no weights."""

    methods: ClassVar[tuple[str, ...]] = ("score", "wald", "lrt", "exact")
    constant: ClassVar[bool] = False
    exact: ClassVar[Literal["never", "sandwich", "always"]] = "always"
    whole_null: ClassVar[bool] = False

    D: Float64Array
    y: Float64Array
    sets: Int64Array
    offset: Float64Array

    @classmethod
    def of(cls, D: Float64Array, outcome: Outcome, choices: Mapping[str, Any]) -> Self:
        """See `Likelihood.of`."""
        assert outcome.stratum is not None
        return cls(D, outcome.y, outcome.stratum, outcome.offset)

    @classmethod
    def informative(cls, outcome: Outcome) -> BoolArray:
        """Samples in sets with a case and a control."""
        assert outcome.stratum is not None
        shares = case_shares(outcome.y, outcome.stratum)
        return np.asarray((shares > 0.0) & (shares < 1.0))

    def influences(self, beta: Float64Array, inverse: Float64Array, k: int, power: int) -> Influences:
        """Refused: sets, not samples, are independent."""
        raise NotFittedError("matched sets have no sandwich variance")

    def evaluate(self, beta: Float64Array) -> tuple[float, Float64Array, Float64Array]:
        """Log likelihood, score and information: sets of one shape at a time."""
        P = beta.size
        value, U, J = 0.0, np.zeros(P), np.zeros((P, P))
        for D, y, offset, m in self._shapes:
            eta = D @ beta + offset
            chosen = float((y * eta).sum())
            cut = eta.mean(axis=1, keepdims=True)
            log_total, mean, second = _of_choices(D, eta - cut, m)
            value += chosen - float((log_total + m * cut[:, 0]).sum())
            U = U + np.einsum("si,sip->p", y, D) - mean.sum(axis=0)
            J = J + second - mean.T @ mean
        return value, U, J

    @cached_property
    def _shapes(self) -> list[tuple[Float64Array, Float64Array, Float64Array, int]]:
        """Sets that say something, those of M samples and m cases together: columns centred in each set (S, M, P), y and offset (S, M), m."""
        order, first, size = _members(self.sets)
        cases = np.add.reduceat(self.y[order], first).astype(np.int64) if size.size else size
        says = (cases > 0) & (cases < size)
        found = []
        for M, m in np.unique(np.column_stack([size, cases])[says], axis=0):
            at = order[first[(size == M) & (cases == m)][:, None] + np.arange(M)]
            D = self.D[at]
            found.append((D - D.mean(axis=1, keepdims=True), self.y[at], self.offset[at], int(m)))
        return found

    def law_of_events(self, beta: Float64Array, g: Float64Array, observed: BoolArray) -> float:
        """Of the number of copies among the cases, given the sets and the covariates' effects: all choices of each set listed.

        Outcomes at least as far from the mean as the observed one count.

        Raises
        ------
        NotFittedError
            Copies are not whole, or a set has too many choices to list.
        """
        copies = np.rint(g)
        if np.abs(copies - g).max() > _WHOLE:
            raise NotFittedError("copies are not whole numbers")
        eta = self.D @ beta + self.offset
        law, seen = np.ones(1), 0
        order, first, _ = _members(self.sets)
        for samples in np.split(order, first[1:]):
            y = self.y[samples] == 1
            if y.any() and not y.all():
                law = np.convolve(law, _law_of_set(copies[samples].astype(np.int64), eta[samples], int(y.sum())))
                seen += int(copies[samples][y].sum())
        law = law / law.sum()
        away = np.abs(np.arange(law.size) - law @ np.arange(law.size))
        return abs(float(np.log10(min(1.0, float(law[away >= away[seen] * (1.0 - _AS_FAR)].sum())))))


def steps_of_copy(g: Float64Array) -> float:
    """In how many steps of a copy the law of dosages g (n,) of the rarer allele is taken; 1 where they are whole."""
    seen = g[np.isfinite(g)]
    if (seen == np.floor(seen)).all():
        return 1.0
    most = _MOST_STEPS / max(float(seen.sum()), 1.0)
    return float(np.clip(2.0 ** np.floor(np.log2(most)), 1.0, _GRID))


def _members(sets: Int64Array) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Samples set by set (n,), and where in there each set begins and how many it has (S,)."""
    order = np.argsort(sets, kind="stable")
    first = np.flatnonzero(np.diff(sets[order], prepend=sets.min(initial=0) - 1))
    return order, first, np.diff(first, append=sets.size)


def case_shares(y: Float64Array, sets: Int64Array) -> Float64Array:
    """Share of cases (y = 1) in each sample's set, (n,): 0 or 1 in sets that say nothing."""
    _, which = np.unique(sets, return_inverse=True)
    return np.asarray((np.bincount(which, y) / np.bincount(which))[which])


def _of_choices(x: Float64Array, eta: Float64Array, m: int) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Over all choices of m in each set: log of the sum of ``exp(sum eta)`` (S,), the mean of ``sum x`` (S, P), and the second
    moments summed over the sets (P, P); x (S, M, P), eta (S, M)."""
    S, M, P = x.shape
    c = _tilt(eta, m)
    p = expit(eta - c[:, None])
    length = _roots_needed(p)
    total, mean = np.zeros(S), np.zeros((S, P))
    second = np.zeros((S, P, P))
    step = max(1, _NUMBERS // (S * M))
    for first in range(0, length, step):
        z = np.exp(2j * np.pi * np.arange(first, min(first + step, length)) / length)
        factors = 1.0 - p[:, None, :] + p[:, None, :] * z[:, None]  # (S, l, M)
        F = np.prod(factors, axis=2) * z**-m / length  # (S, l)
        r = p[:, None, :] * z[:, None] / factors
        total += F.sum(axis=1).real
        sums = r @ x  # (S, l, P)
        mean += np.einsum("sl,slp->sp", F, sums).real
        own = np.einsum("sl,slm->sm", F, r * (1.0 - r)).real
        weighted = F[:, :, None] * sums
        second += (np.swapaxes(weighted, 1, 2) @ sums).real
        second += np.swapaxes(own[:, :, None] * x, 1, 2) @ x
    log_rest = np.logaddexp(0.0, eta - c[:, None]).sum(axis=1)
    return np.log(total) + m * c + log_rest, mean / total[:, None], (second / total[:, None, None]).sum(axis=0)


def _tilt(eta: Float64Array, m: int) -> Float64Array:
    """c (S,) at which m of the samples of each set are expected, by halving."""
    M = eta.shape[1]
    level = np.log((M - m) / m)
    low, high = eta.min(axis=1) + level, eta.max(axis=1) + level
    for _ in range(_HALVINGS):
        c = (low + high) / 2.0
        drawn = expit(eta - c[:, None]).sum(axis=1)
        if np.abs(drawn - m).max() < 0.1:
            return np.asarray(c)
        many = drawn > m
        low, high = np.where(many, c, low), np.where(many, high, c)
    return np.asarray(c)


def _roots_needed(p: Float64Array) -> int:
    """L: above M, or so many standard deviations that counts L away from m have no chance in float64 (Bernstein); odd, since the
    factor of p = 1/2 is 0 at the root -1."""
    spread = float(np.sqrt((p * (1.0 - p)).sum(axis=1).max()))
    length = min(p.shape[1] + 1, int(20.0 * spread) + 100)
    return length + 1 - length % 2


def _law_of_set(copies: Int64Array, eta: Float64Array, m: int) -> Float64Array:
    """Chances of 0, 1, ... copies among m cases chosen from a set."""
    M = copies.size
    if math.comb(M, m) > _MOST_CHOICES:
        raise NotFittedError(f"a set of {M} has too many choices of {m} cases to list")
    largest = np.sort(eta)[-m:].sum()
    law = np.zeros(int(copies.sum()) + 1)
    chosen = np.array(list(combinations(range(M), m)), dtype=np.int64)
    np.add.at(law, copies[chosen].sum(axis=1), np.exp(eta[chosen].sum(axis=1) - largest))
    return np.asarray(law / law.sum())
