"""Rows with one basis of covariates fitted together: what `genassoc.refit.fits` does to one row, to B at once.

The fits are the same ones, in float64 and by the same formulas: Newton's method on all coefficients, of samples that are in a row by
weights that are 0 elsewhere. Where all rows have the columns Q (N, C) before their own E (K, B, N), their informations are one product
of matrices, weights (B, N) with the products of all pairs of columns (N, C (C + 1) / 2), so that a row takes no time but LAPACK's.

A row that does not go smoothly (a step that gains nothing, a column that the others nearly span, no maximum in a few steps) gets no
fit here: whoever asks fits it by itself, which also finds the words.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from genassoc.refit.fits import SPARSE, DenseFit
from genassoc.refit.likelihoods import OfPredictor, Terms
from genassoc.refit.tails import neg_log_10_p
from genassoc.shapes import BoolArray, Float64Array, Int64Array

_STEP = 1e-8  # as in `genassoc.refit.fits`
_ITERATIONS = 20
_HALVINGS = 5
_CLEAR = 1e-6  # share of a column's information that the others must leave: sums of products then keep ten digits
_FINITE = 1e-3  # share of the information at the start that must be left at a maximum: else it may be none
_SLAB = 4096  # samples whose products of columns stay in a core's cache
_KEPT_BYTES = 8 * 2**20  # of products that are kept for the next step


class Basis:
    """Columns Q (N, C) that rows share, and the products of their pairs."""

    def __init__(self, Q: Float64Array) -> None:
        self.Q = Q
        self.C = Q.shape[1]
        self._first, self._second = np.triu_indices(self.C)

    def information(self, w: Float64Array) -> Float64Array:
        """``Q' diag(w_b) Q`` (B, C, C) of weights w (B, N)."""
        sums = np.zeros((len(w), self._first.size))
        for here, products in self._slabs():
            sums += w[:, here] @ products
        return self._square(sums)

    def quadratic(self, A: Float64Array) -> Float64Array:
        """``q_i' A_b q_i`` (B, N) of symmetric A (B, C, C) and the rows q_i of Q."""
        flat = A[:, self._first, self._second] * np.where(self._first == self._second, 1.0, 2.0)
        found = np.empty((len(A), len(self.Q)))
        for here, products in self._slabs():
            found[:, here] = flat @ products.T
        return found

    def _square(self, sums: Float64Array) -> Float64Array:
        found = np.empty((len(sums), self.C, self.C))
        found[:, self._first, self._second] = sums
        found[:, self._second, self._first] = sums
        return found

    def _slabs(self) -> Iterator[tuple[slice, Float64Array]]:
        for start in range(0, len(self.Q), _SLAB):
            here = slice(start, start + _SLAB)
            yield here, self._kept[here] if self._kept is not None else self._products(here)

    def _products(self, here: slice) -> Float64Array:
        q = self.Q[here]
        return np.asarray(q[:, self._first] * q[:, self._second])

    @cached_property
    def _kept(self) -> Float64Array | None:
        small = 8 * len(self.Q) * self._first.size <= _KEPT_BYTES
        return self._products(slice(None)) if small else None


class At(NamedTuple):
    """B rows at their coefficients (B, P): log likelihoods (B,), scores (B, P), informations (B, P, P), and the samples' terms (B, N)."""

    beta: Float64Array
    value: Float64Array
    U: Float64Array
    J: Float64Array
    terms: Terms


@dataclass(frozen=True, eq=False)
class Rows:
    """B rows that share a basis.

    Attributes
    ----------
    basis : Basis
    model : OfPredictor
        Outcomes, weights and offsets (B, N); the weight of a sample that is not in a row is 0 there. Its own columns are not used.
    here : bool array (B, N)
        Who is in a row.
    E : float64 array (K, B, N)
        Columns of a row's own, those that are tested last; 0 where a sample is not in the row.
    """

    basis: Basis
    model: OfPredictor
    here: BoolArray
    E: Float64Array

    @property
    def n_rows(self) -> int:
        """B."""
        return len(self.here)

    @property
    def n_coefficients(self) -> int:
        """P, of each row."""
        return self.basis.C + len(self.E)

    @cached_property
    def n(self) -> Int64Array:
        """Samples of each row (B,)."""
        return np.asarray(np.count_nonzero(self.here, axis=1))

    @property
    def start(self) -> Float64Array:
        """No effects (B, P)."""
        beta = np.zeros((self.n_rows, self.n_coefficients))
        beta[:, : self.basis.C] = self.model.level[:, None] * self.basis.Q.sum(axis=0)
        return beta

    def beside(self) -> "Rows":
        """With what the covariates leave of E: its coefficients are the same, and nothing cancels in its sums."""
        left = self.E - (self.E @ self.basis.Q) @ self.basis.Q.T
        return replace(self, E=np.where(self.here, left, 0.0))

    def part(self, here: BoolArray) -> "Rows":
        """Of some of the samples (B, N), with their weights as they are."""
        model = replace(self.model, weight=self.model.weight * here)  # type: ignore[type-var]
        return replace(self, model=model, here=here, E=np.where(here, self.E, 0.0))

    def eta(self, beta: Float64Array) -> Float64Array:
        """Linear predictors (B, N)."""
        C = self.basis.C
        found = self.model.offset + (beta[:, :C] @ self.basis.Q.T if beta[:, :C].any() else 0.0)
        for k, column in enumerate(self.E):
            if beta[:, C + k].any():
                found += beta[:, C + k, None] * column
        return np.asarray(found)

    def evaluate(self, beta: Float64Array) -> At:
        """At coefficients (B, P)."""
        found, v = self.model.at(self.eta(beta)), self.model.weight
        U, J = self._score(v * found.slope), self._information(v * found.curvature)
        return At(beta, np.einsum("bn,bn->b", v, found.value), U, J, found)

    def _score(self, r: Float64Array) -> Float64Array:
        return np.column_stack([r @ self.basis.Q, np.einsum("kbn,bn->bk", self.E, r)])

    def _information(self, w: Float64Array) -> Float64Array:
        C = self.basis.C
        J = np.empty((self.n_rows, self.n_coefficients, self.n_coefficients))
        if C:
            J[:, :C, :C] = self.basis.information(w)
        for k, column in enumerate(self.E):
            weighed = w * column
            J[:, C + k, :C] = J[:, :C, C + k] = weighed @ self.basis.Q
            for m in range(k + 1):
                J[:, C + k, C + m] = J[:, C + m, C + k] = np.einsum("bn,bn->b", weighed, self.E[m])
        return J

    def penalty(self, at: At) -> Float64Array:
        """Gradient of ``log det(information) / 2`` of a logistic likelihood (B, P), from the leverages h: ``D'(h (1/2 - mu))``."""
        C = self.basis.C
        inverse = np.asarray(np.linalg.inv(at.J), np.float64)
        h = self.basis.quadratic(inverse[:, :C, :C]) if C else np.zeros(self.here.shape)
        for k, column in enumerate(self.E):
            across = inverse[:, C + k, :C] @ self.basis.Q.T if C else 0.0
            h += column * (2.0 * across + inverse[:, C + k, C + k, None] * column)
            for m in range(k):
                h += 2.0 * inverse[:, C + k, C + m, None] * column * self.E[m]
        h *= self.model.weight * at.terms.curvature
        return self._score(h * (0.5 - (self.model.y - at.terms.slope)))

    def dispersion(self, beta: Float64Array, n_coefficients: int) -> Float64Array:
        """(B,): 1 where the likelihood has none."""
        if not self.model.estimates_scale:
            return np.ones(self.n_rows)
        squares = np.where(self.here, self.model.squares(self.eta(beta)), 0.0).sum(axis=1)
        return np.asarray(squares / np.maximum(self.n - n_coefficients, 1))


class Maximum(NamedTuple):
    """Rows at their maxima, and which of them are there (B,)."""

    at: At
    found: BoolArray


def _is_settled(at: At, C: int) -> BoolArray:
    """Whether the covariates' coefficients are determined well in each row (B,)."""
    sizes = np.linalg.eigvalsh(at.J[:, :C, :C])
    return np.asarray(sizes[:, 0] > _CLEAR * sizes[:, -1]) if C else np.ones(len(at.J), dtype=bool)


def maximise(rows: Rows, held: int = 0, near: Float64Array | None = None, firth: bool = False) -> Maximum:
    """Maxima with the last ``held`` coefficients at 0; ``near`` (B, some) are the first coefficients to begin with.

    With ``firth`` those of the penalised likelihood, whose value is the one in the result.
    """
    beta, free = rows.start, rows.n_coefficients - held
    if near is not None:
        beta[:, : near.shape[1]] = near
    at = _valued(rows.evaluate(beta), firth)
    done = np.zeros(rows.n_rows, dtype=bool)
    if free == 0:
        return Maximum(at, ~done)
    for _ in range(_ITERATIONS):
        slope = at.U + rows.penalty(at) if firth else at.U
        inner = at.J[:, :free, :free]
        step = np.asarray(np.linalg.solve(inner, slope[:, :free, None])[:, :, 0], np.float64)
        length = np.sqrt(np.abs(np.einsum("bi,bij,bj->b", step, inner, step)))
        if rows.model.closed_form:  # the score is linear in the coefficients, and its slope is known
            beta[:, :free] += step
            U = at.U - (at.J[:, :, :free] @ step[:, :, None])[:, :, 0]
            return Maximum(at._replace(beta=beta, U=U), np.isfinite(length) & _is_settled(at, rows.basis.C))
        done |= length < _STEP
        if done.all():
            break
        step[done] = 0.0
        at, gained = _stepped(rows, at, step, firth)
        done |= firth & gained & (length < 1e-6)
        if not gained.all():
            break  # those that are not done go by themselves: they are few
    return Maximum(at, done & _is_settled(at, rows.basis.C))


def _stepped(rows: Rows, at: At, step: Float64Array, firth: bool) -> tuple[At, BoolArray]:
    """After a step of the first coefficients, halved where it gains nothing, and whether it then gained (B,)."""
    free = step.shape[1]
    for _ in range(_HALVINGS):
        beta = at.beta.copy()
        beta[:, :free] += step
        moved = _valued(rows.evaluate(beta), firth)
        gained = moved.value >= at.value - 1e-12 * np.abs(at.value)
        if gained.all():
            break
        step = np.where(gained[:, None], step, step / 2.0)
    return moved, np.asarray(gained)


def _valued(at: At, firth: bool) -> At:
    """With the penalised likelihood for its value."""
    if not firth:
        return at
    sign, log_det = np.linalg.slogdet(at.J)
    return at._replace(value=np.where(sign > 0, at.value + 0.5 * log_det, -np.inf))


def _left(J: Float64Array, k: int) -> Float64Array:
    """Informations (B, k, k) of the last k coefficients with the others estimated."""
    if J.shape[1] == k:
        return J
    return np.asarray(J[:, -k:, -k:] - J[:, -k:, :-k] @ np.linalg.solve(J[:, :-k, :-k], J[:, :-k, -k:]))


def _is_clear(left: Float64Array, J: Float64Array) -> BoolArray:
    """Whether what is left of the information of each tested column is well above rounding (B,); of several, of their worst combination."""
    k = left.shape[1]
    whole = np.einsum("bkk->bk", J[:, -k:, -k:])
    scale = np.sqrt(np.maximum(whole, 1e-300))
    smallest = np.linalg.eigvalsh(left / (scale[:, :, None] * scale[:, None, :]))[:, 0]
    return np.asarray(smallest > _CLEAR)


def _shown(found: BoolArray, fits: list[DenseFit]) -> list[DenseFit | None]:
    return [fit if ok and np.isfinite(fit.neg_log_10_p) else None for ok, fit in zip(found.tolist(), fits)]


def _fits(
    theta: Float64Array, Q: Float64Array, error: Float64Array, model_error: Float64Array, df: Float64Array
) -> list[DenseFit]:
    """Of estimates theta (B, k), Wald statistics Q, two errors and degrees of freedom (B,)."""
    k = theta.shape[1]
    logp = [neg_log_10_p(x, k, f) for x, f in zip(Q.tolist(), df.tolist())]
    if k > 1:
        return [DenseFit(np.nan, np.nan, p, np.nan, f) for p, f in zip(logp, df.tolist())]
    columns = (theta[:, 0].tolist(), error.tolist(), logp, model_error.tolist(), df.tolist())
    return [DenseFit(*values) for values in zip(*columns)]


def wald_tests(rows: Rows, k: int, near: Float64Array | None = None) -> list[DenseFit | None]:
    """See `genassoc.refit.fits.wald_test`; without a sandwich."""
    (beta, _, _, J, _), found = maximise(rows, near=near)
    left = _left(J, k)
    found = found & _is_clear(left, J) & (rows.n > rows.n_coefficients)
    if not rows.model.closed_form:
        shares = np.linalg.eigvals(np.linalg.solve(_left(rows.evaluate(rows.start).J, k), left)).real
        found &= shares.min(axis=1) > _FINITE
    covariance = rows.dispersion(beta, rows.n_coefficients)[:, None, None] * np.linalg.inv(left)
    theta = beta[:, -k:]
    Q = np.einsum("bi,bi->b", theta, np.linalg.solve(covariance, theta[:, :, None])[:, :, 0])
    error = np.sqrt(np.abs(covariance[:, 0, 0]))
    df = (
        (rows.n - rows.n_coefficients).astype(np.float64)
        if rows.model.estimates_scale
        else np.full(rows.n_rows, np.inf)
    )
    return _shown(found, _fits(theta, Q, error, error, df))


def score_tests(
    rows: Rows, k: int, near: Float64Array | None = None, observed: Rows | None = None
) -> list[DenseFit | None]:
    """See `genassoc.refit.fits.score_test`; all own columns are held at 0."""
    held = len(rows.E)
    at, found = maximise(rows, held=held, near=near)
    beta, _, U, J, _ = at if observed is None else observed.evaluate(at.beta)
    slope = U[:, -held:]
    if held < rows.n_coefficients:
        slope = slope - (J[:, -held:, :-held] @ np.linalg.solve(J[:, :-held, :-held], U[:, :-held, None]))[:, :, 0]
    left, phi = _left(J, held), rows.dispersion(beta, rows.n_coefficients - held)
    covariance = np.linalg.inv(left)
    step = np.asarray((covariance @ slope[:, :, None])[:, -k:, 0], np.float64)
    covariance = covariance[:, -k:, -k:]
    Q = np.einsum("bi,bi->b", step, np.linalg.solve(covariance, step[:, :, None])[:, :, 0]) / phi
    error = np.sqrt(phi * np.abs(covariance[:, 0, 0]))
    return _shown(found & _is_clear(left, J), _fits(step, Q, error, error, np.full(rows.n_rows, np.inf)))


def ratio_tests(
    rows: Rows, k: int, near: Float64Array | None = None, *, firth: bool = False, information_error: bool = False
) -> list[DenseFit | None]:
    """See `genassoc.refit.fits.ratio_test`."""
    null, one = maximise(rows, k, near, firth)
    at, other = maximise(rows, 0, null.beta, firth)
    phi, left = rows.dispersion(at.beta, rows.n_coefficients), _left(at.J, k)
    gain = 2.0 * np.maximum(at.value - null.value, 0.0) / phi
    model_error = np.sqrt(phi / np.abs(left[:, 0, 0]))
    with np.errstate(divide="ignore", invalid="ignore"):
        shown = np.abs(at.beta[:, -1]) / np.sqrt(gain)
    error = model_error if information_error else np.where(gain > 0.0, shown, model_error)
    df = (
        (rows.n - rows.n_coefficients).astype(np.float64)
        if rows.model.estimates_scale
        else np.full(rows.n_rows, np.inf)
    )
    found = one & other & _is_clear(left, at.J) & (rows.n > rows.n_coefficients)
    return _shown(found, _fits(at.beta[:, -k:], gain, error, model_error, df))


def approximate_firth_tests(
    rows: Rows, near: Float64Array | None = None, *, carriers: bool = False, information_error: bool = False
) -> list[DenseFit | None]:
    """See `genassoc.refit.fits.approximate_firth_test`; E is the genotype alone, not residualised.

    ``carriers``: samples without a copy count 0 in rows with so few of them as `SPARSE`.
    """
    C = rows.basis.C
    g = rows.E[0]
    flip = np.where(g.sum(axis=1) > rows.n, -1.0, 1.0)
    rarer = np.where((flip < 0.0)[:, None] & rows.here, 2.0 - g, g)
    rows = replace(rows, E=rarer[None])
    null, first = maximise(rows, held=1, near=near)
    rest = rarer - np.linalg.solve(null.J[:, :C, :C], null.J[:, :C, C, None])[:, :, 0] @ rows.basis.Q.T
    rest *= rows.here
    if carriers:
        few = rarer.sum(axis=1) < SPARSE
        rest = np.where(few[:, None] & ~(rarer > 0.0), 0.0, rest)
    penalised, second = maximise(replace(rows, E=rows.E[:0]), near=null.beta[:, :C], firth=True)
    eta = rows.model.offset + penalised.beta @ rows.basis.Q.T
    alone = Rows(Basis(rows.basis.Q[:, :0]), replace(rows.model, offset=eta), rows.here, rest[None])  # type: ignore[type-var]
    fits = ratio_tests(alone, 1, firth=True, information_error=information_error)
    found = first & second & _is_clear(_left(null.J, 1), null.J)
    return [
        replace(fit, beta=float(sign) * fit.beta) if ok and fit is not None else None
        for fit, sign, ok in zip(fits, flip, found)
    ]
