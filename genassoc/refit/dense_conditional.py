"""Dense conditional logistic regression of matched sets, exact for n cases and m controls; see `genassoc.refit.dense`.

Samples drawn independently with odds ``exp(eta_i - c)``, given that m are drawn, are the choices of m cases among the M samples of a
set, whatever c is. How many are drawn has the generating function ``prod_i (q_i + p_i z)``, whose coefficient of z^m is read off by
a discrete Fourier transform over the L-th roots of unity, L > M (Hong 2013, doi:10.1016/j.csda.2012.10.006) ::

    f_m = mean_l z_l^-m F_l        E[sum_S x] f_m = mean_l z_l^-m F_l sum_i x_i r_il        r_il = p_i z_l / (q_i + p_i z_l)

and ``E[(sum_S x)(sum_S x)']`` likewise with ``(sum x r)(sum x r)' + sum_i x_i x_i' r_il (1 - r_il)``. Where m are expected f_m is one over
a few standard deviations, so that no digits are lost. The kernel runs a recursion over samples instead.
"""

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from scipy import special

from genassoc.refit.dense import DenseFit, NotFittedError, check_finite, maximise
from genassoc.refit.dense_likelihoods import FromNothing
from genassoc.shapes import Float64Array, Int64Array

_LN10 = float(np.log(10.0))
_HALVINGS = 60  # of the bracket of c: any c is right
_NUMBERS = 2_000_000  # complex ones held at once
_MOST_CHOICES = 200_000  # of a set, listed one by one
_AS_FAR = 1e-9  # relative: distances from the mean differ by rounding
_WHOLE = 1e-6  # copies that are whole up to the rounding of dosages


@dataclass(frozen=True, eq=False)
class Conditional(FromNothing):
    """The conditional likelihood of y (n,), 0 or 1, in sets (n,) of samples, of D (n, P) without a constant."""

    D: Float64Array
    y: Float64Array
    sets: Int64Array

    def evaluate(self, beta: Float64Array) -> tuple[float, Float64Array, Float64Array]:
        """Log likelihood, score and information: sets of one shape at a time."""
        P = beta.size
        value, U, J = 0.0, np.zeros(P), np.zeros((P, P))
        for D, y, m in self._shapes:
            eta = D @ beta
            chosen = float((y * eta).sum())
            cut = eta.mean(axis=1, keepdims=True)
            log_total, mean, second = _of_choices(D, eta - cut, m)
            value += chosen - float((log_total + m * cut[:, 0]).sum())
            U = U + np.einsum("si,sip->p", y, D) - mean.sum(axis=0)
            J = J + second - mean.T @ mean
        return value, U, J

    @cached_property
    def _shapes(self) -> list[tuple[Float64Array, Float64Array, int]]:
        """Sets that say something, those of M samples and m cases together: columns centred in each set (S, M, P), y (S, M), m."""
        order, first, size = _members(self.sets)
        cases = np.add.reduceat(self.y[order], first).astype(np.int64) if size.size else size
        says = (cases > 0) & (cases < size)
        found = []
        for M, m in np.unique(np.column_stack([size, cases])[says], axis=0):
            at = order[first[(size == M) & (cases == m)][:, None] + np.arange(M)]
            D = self.D[at]
            found.append((D - D.mean(axis=1, keepdims=True), self.y[at], int(m)))
        return found


def _members(sets: Int64Array) -> tuple[Int64Array, Int64Array, Int64Array]:
    """Samples set by set (n,), and where in there each set begins and how many it has (S,)."""
    order = np.argsort(sets, kind="stable")
    first = np.flatnonzero(np.diff(sets[order], prepend=sets.min(initial=0) - 1))
    return order, first, np.diff(first, append=sets.size)


def case_shares(y: Float64Array, sets: Int64Array) -> Float64Array:
    """Share of cases (y = 1) in each sample's set, (n,): 0 or 1 in sets that say nothing."""
    _, which = np.unique(sets, return_inverse=True)
    return np.asarray((np.bincount(which, y) / np.bincount(which))[which])


def within_sets(X: Float64Array, groups: Int64Array) -> Float64Array:
    """X (n, C) less its means in each group (n,); what is left of a column that is constant in all of them is 0, not rounding."""
    _, which = np.unique(groups, return_inverse=True)
    n = np.bincount(which)
    left = X.copy()
    for c in range(X.shape[1]):
        left[:, c] -= (np.bincount(which, X[:, c]) / n)[which]
        if np.abs(left[:, c]).max(initial=0.0) <= 1e-12 * np.abs(X[:, c]).max(initial=0.0):
            left[:, c] = 0.0
    return np.asarray(left)


def _of_choices(x: Float64Array, eta: Float64Array, m: int) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Over all choices of m in each set: log of the sum of ``exp(sum eta)`` (S,), the mean of ``sum x`` (S, P), and the second
    moments summed over the sets (P, P); x (S, M, P), eta (S, M)."""
    S, M, P = x.shape
    c = _tilt(eta, m)
    p = special.expit(eta - c[:, None])
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
        drawn = special.expit(eta - c[:, None]).sum(axis=1)
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


def exact_conditional_test(model: Conditional, g: Float64Array) -> DenseFit:
    """The number of copies (n,) among the cases, given the sets and the other columns' effects: all choices of each set listed.

    Outcomes at least as far from the mean as the observed one count. beta is that of the maximum with g in the
    model as the last column; the standard error is |beta| over the normal deviate of p.

    Raises
    ------
    NotFittedError
        Copies are not whole, or a set has too many choices to list.
    """
    at, _, _, J = maximise(model)
    check_finite(model, J, 1)
    copies = np.rint(g)
    if np.abs(copies - g).max() > _WHOLE:
        raise NotFittedError("copies are not whole numbers")
    null = maximise(model, held=1)[0]
    eta = model.D[:, :-1] @ null[:-1]
    law, seen = np.ones(1), 0
    order, first, _ = _members(model.sets)
    for samples in np.split(order, first[1:]):
        y = model.y[samples] == 1
        if y.any() and not y.all():
            law = np.convolve(law, _law_of_set(copies[samples].astype(np.int64), eta[samples], int(y.sum())))
            seen += int(copies[samples][y].sum())
    law = law / law.sum()
    away = np.abs(np.arange(law.size) - law @ np.arange(law.size))
    p = min(1.0, float(law[away >= away[seen] * (1.0 - _AS_FAR)].sum()))
    z = -float(special.ndtri_exp(np.log(p / 2.0)))
    beta, error = float(at[-1]), float(np.sqrt(np.linalg.inv(J)[-1, -1]))
    return DenseFit(beta, abs(beta) / z if z > 0 else error, abs(float(np.log10(p))), error)


def _law_of_set(copies: Int64Array, eta: Float64Array, m: int) -> Float64Array:
    """Chances of 0, 1, ... copies among m cases chosen from a set."""
    M = copies.size
    if special.comb(M, m) > _MOST_CHOICES:
        raise NotFittedError(f"a set of {M} has too many choices of {m} cases to list")
    largest = np.sort(eta)[-m:].sum()
    law = np.zeros(int(copies.sum()) + 1)
    chosen = np.array(list(combinations(range(M), m)), dtype=np.int64)
    np.add.at(law, copies[chosen].sum(axis=1), np.exp(eta[chosen].sum(axis=1) - largest))
    return np.asarray(law / law.sum())
