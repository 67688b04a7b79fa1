"""Logistic regression whose rows are all fitted: an interaction g x E, the genotypic model, weights, sandwich variances.

Wald tests, then for rows below ``correct_below``, and those without a maximum, likelihood ratio tests under Firth's penalty, the
null refitted with the other tested columns in it for each test.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from genassoc.data.block import Block
from genassoc.kernels.laws import few_events
from genassoc.kernels.laws.sandwich import HC3, LEAST_SLACK, WaldFits, room
from genassoc.kernels.likelihoods import glm, joint_score_rows, logistic_columns, logistic_ratios
from genassoc.kernels.likelihoods import logistic as kernel
from genassoc.kernels.likelihoods.cholesky import information
from genassoc.kernels.likelihoods.newton import FitOptions
from genassoc.kernels.likelihoods.rows import FINE, Trait
from genassoc.kernels.likelihoods.weighted import GlmSamples
from genassoc.models.logistic.family import NullLogistic, ran_away
from genassoc.models.logistic.family import prepare as prepare_nulls
from genassoc.models.scan.case_columns import case_columns
from genassoc.models.scan.glm_rows import GlmRows
from genassoc.models.scan.glm_rows import prepare as prepare_rows
from genassoc.models.scan.joint_screen import ProductScreen, ScoredNull
from genassoc.models.scan.joint_tests import tests_of_columns
from genassoc.models.scan.sums import GenotypeSums
from genassoc.models.scan.tested import Tested, modifier_of, with_interaction
from genassoc.models.scan.wald import (
    Asked,
    Case,
    Effects,
    FittedState,
    Maximum,
    RowFamily,
)
from genassoc.shapes import Array, BoolArray, Float64Array
from genassoc.stats.information import EXACT_LAW, LEAST_OF_SANDWICH, few_note, sides_of_binary
from genassoc.stats.linalg import orthonormal_basis

_COLLINEAR = 1e-14  # of a squared length, as R's lm: 1e-7 of the length
_SURELY = 1e-6  # of a squared length: above it rounding decides nothing


@dataclass(frozen=True)
class BinomialRows(GlmRows):
    """A binary outcome with sampling weights, or HC0: cases and controls."""

    family: ClassVar[int] = glm.BINOMIAL

    @property
    def sizes(self) -> Float64Array:
        """The weights of the cases, and of the controls, (2, n)."""
        return sides_of_binary(self.y, self.weight)

    def notes(self, name: str, coding: str) -> list[str]:
        """Which samples are cases."""
        n_cases = int((self.y == 1).sum())
        return [f"{name}: {coding}; {n_cases:,} cases, {self.n - n_cases:,} controls"]

    def counts(self, genotypes: GenotypeSums, block: Block, impute: bool) -> dict[str, Array]:
        """Frequencies and counts by case status."""
        return case_columns(
            block, genotypes, self.columns, self.y == 1, self.samples.event_mask, self.n if impute else None
        )


@dataclass(frozen=True)
class LogisticRows(RowFamily):
    """A binary trait with equal weights, made from the null model of its screen."""

    retries: ClassVar[bool] = True
    has_law: ClassVar[bool] = True

    null: NullLogistic

    @classmethod
    def of(cls, null: NullLogistic) -> "LogisticRows":
        """Made from the null model of a screen."""
        return cls(null.samples, null.X.shape[1], null)

    @property
    def sizes(self) -> Float64Array:
        """Cases, and controls."""
        return sides_of_binary(self.null.y, np.ones(self.n))

    def student(self, variance: int) -> bool:
        """All tests are normal."""
        return False

    def wald(self, H: Float64Array, tested: Tested, variance: int) -> WaldFits | None:
        """Fit rows on columns H (R, D, n); those that fail are fitted as a `Case`, as all are of the genotypic model."""
        if tested.heterozygotes:
            return None
        null, fits = self.null, room(H.shape[0], tested.n_columns, len(tested.tests))
        samples = logistic_columns.LogisticSamples(null.X, null.y, null.offset, null.start)
        logistic_columns.wald_rows(np.ascontiguousarray(H), samples, variance == HC3, fits)
        return fits

    def score_tests(self, H: Float64Array, tested: Tested) -> WaldFits:
        """Score tests on columns H (R, D, n)."""
        null, fits = self.null, room(H.shape[0], tested.n_columns, len(tested.tests))
        samples = GlmSamples(null.X, null.y, null.offset, self.weight, null.start)
        joint_score_rows.glm_rows(glm.Family(glm.BINOMIAL, 0.0, False), H, samples, fits)
        return fits

    def ratios(
        self, H: Float64Array, tested: Tested, test: str, asked: Asked
    ) -> tuple[WaldFits, Float64Array] | None:  # fmt: skip
        """Likelihood ratios, plain or under Firth's penalty, of rows on columns H (R, D, n)."""
        null, R = self.null, H.shape[0]
        fits, gains = room(R, tested.n_columns, len(tested.tests)), np.full((R, len(tested.tests)), np.nan)
        samples = logistic_columns.LogisticSamples(null.X, null.y, null.offset, null.start)
        known = _are_genotypes(H) if tested.heterozygotes else np.zeros(R, dtype=bool)
        for genotypes in (False, True):
            at = np.flatnonzero(known == genotypes)
            if not at.size:
                continue
            some = np.ascontiguousarray(H if at.size == R else H[at])
            rules = logistic_ratios.Rules(test == "firth", genotypes)
            part, own = room(at.size, tested.n_columns, len(tested.tests)), np.full((at.size, gains.shape[1]), np.nan)
            logistic_ratios.ratio_rows(some, samples, tests_of_columns(tested), rules, part, own)
            gains[at] = own
            for values, found in zip(fits, part):
                values[at] = found
        return fits, gains

    def product_screen(self, tested: Tested) -> ProductScreen:
        """Scores from a block's product."""
        null = self.null
        return ProductScreen.of(ScoredNull(null.Q, null.WQ, null.weight, null.residual), tested, self.columns)

    def case(self, H: Float64Array, tested: Tested) -> Case:
        """The complete cases of columns (D, n)."""
        at, null = ~np.isnan(H[0]), self.null
        told, genotypes = bool(null.separated), tested.heterozygotes and bool(_are_genotypes(H[None])[0])
        if at.all():
            return LogisticCase(H.T, True, null.X, null.y, null.offset, told, genotypes)
        basis = orthonormal_basis(null.X[at])
        X, kept = np.ascontiguousarray(basis.Q), bool(basis.kept.all())
        return LogisticCase(H[:, at].T, kept, X, null.y[at], null.offset[at], told, genotypes)

    def law_of_events(self, calls: Float64Array, impute: bool) -> Float64Array:
        """-log10 p (R,) by the exact distribution of the rarer outcome over the samples."""
        null = self.null
        rarer = 1.0 if 2 * null.n_cases <= null.n else 0.0
        odds = null.mu / (1.0 - null.mu)
        found, there = np.empty(calls.shape[0]), np.zeros(calls.shape[0], np.bool_)
        sizes = np.where(null.y == rarer, 1.0, 0.0)
        few_events.event_rows(calls, odds if rarer else 1.0 / odds, sizes, False, found, there)
        return np.where(there, found / np.log(10.0), np.nan)

    def counts(self, genotypes: GenotypeSums, block: Block, impute: bool) -> dict[str, Array]:
        """Frequencies and counts by case status."""
        null = self.null
        return case_columns(
            block, genotypes, self.columns, null.y == 1, self.samples.event_mask, self.n if impute else None
        )


def _are_genotypes(H: Float64Array) -> BoolArray:
    """Rows (R,) of copies and heterozygotes (R, 2, n) that are whole numbers, and no dosages."""
    return np.asarray(~(H % 1.0 > 0.0).any(axis=(1, 2)))


@dataclass(frozen=True, eq=False)
class LogisticCase(Case):
    """One variant's complete cases.

    Attributes
    ----------
    X : float64 array (n, C)
        Covariates, orthonormal among them.
    y, offset : float64 arrays (n,)
    covariates_tell : bool
        Whether a covariate tells cases from controls by itself.
    heterozygotes : bool
        Whether the columns are copies and heterozygotes, and no probabilities.
    """

    H: Float64Array
    all_covariates: bool
    X: Float64Array
    y: Float64Array
    offset: Float64Array
    covariates_tell: bool
    heterozygotes: bool

    def unfit(self, asked: Asked, test: str) -> str | None:
        """Why there is no fit, known before it."""
        if self.y.size <= self.X.shape[1] + self.H.shape[1]:
            return "n_too_small"
        if self.y.min() == self.y.max():
            return "one_outcome"
        if self._is_collinear:
            return "collinear"
        if test == "firth":
            return None
        told = self.covariates_tell and asked.correction == "firth_fallback"
        return "separation" if told or self._is_separated(asked) else None

    def _is_separated(self, asked: Asked) -> bool:
        """Whether a genotype has no case or no control; as PLINK 2 asks, whether cases, or controls, are without one of the alleles."""
        if self.heterozygotes:
            classes = (self.H[:, 0] + 3.0 * self.y).astype(np.int64)  # controls 0 to 2, cases 3 to 5
            controls, cases = np.bincount(classes, minlength=6).reshape(2, 3)
            return bool(((controls == 0) != (cases == 0)).any())
        sides = [self.H[self.y == k, 0] for k in (0, 1)]
        return asked.like == "plink2" and any(side.sum() in (0.0, 2.0 * side.size) for side in sides)

    @cached_property
    def _is_collinear(self) -> bool:
        """Whether a column of H is a combination of covariates and the other."""
        left = self.H - self.H.mean(axis=0)
        products = left.T @ left
        lengths = np.diag(products)
        if left.shape[1] == 2:
            # Far from it, squared lengths tell; the orthogonal fit below is for what is near.
            shared = self.X.T @ left
            (a, b), (_, c) = (products - shared.T @ shared).tolist()
            if a > _SURELY * lengths[0] and a * c - b * b > _SURELY * lengths[1] * a:
                return False
        for _ in range(2):
            left = left - self.X @ (self.X.T @ left)
        return bool((np.diag(np.linalg.qr(left)[1]) ** 2 <= _COLLINEAR * lengths).any())

    def ran_away(self, fit: Maximum, asked: Asked) -> bool:
        """By PLINK 2's rule, under ``like``; else no estimate counts as diverging."""
        if asked.like != "plink2" or not np.isnan(fit.objective):
            return False
        return bool(ran_away(fit.theta, fit.theta / np.sqrt(np.diag(fit.covariance))).any())

    @cached_property
    def _start(self) -> tuple[float, Trait]:
        """The constant's coefficient without other columns, and the outcome."""
        share, n = float(self.y.mean()), self.y.size
        trait = Trait(np.ascontiguousarray(self.y), np.ascontiguousarray(self.offset), np.ones(n))
        return float(np.log(share / (1 - share)) * np.sqrt(n)), trait  # the constant's column is 1 / sqrt(n)

    @cached_property
    def _room(self) -> tuple[Float64Array, kernel.Fitted]:
        """Covariates with places for the tested columns, and room for a fit: every maximum of the case uses them."""
        n, C = self.X.shape
        D = np.empty((n, C + self.H.shape[1]))
        D[:, :C] = self.X
        return D, kernel.Fitted(np.empty(n), np.empty(n), np.empty(n), np.zeros(n))

    def maximum(self, H: Float64Array, n_free: int, test: str, asked: Asked) -> Maximum | None:
        """The maximum in the first ``n_free`` coefficients of H (n, D), the others 0; ``test`` "firth" penalises."""
        D, fitted = self._room
        C, P = self.X.shape[1], D.shape[1]
        D[:, C:] = H
        penalised, plink2 = test == "firth", asked.like == "plink2"
        beta, L = np.zeros(P), np.zeros((P, P))
        beta[0], trait = self._start
        objective = np.nan
        if plink2 and not penalised:
            status, iterations = kernel.fit_as_r(D, trait, beta, fitted, L)
        else:
            options = FitOptions(penalised, False, C + n_free)
            status, objective, iterations = kernel.fit(D, trait, options, beta, fitted, L)
        if status != FINE:
            return None
        if plink2 and penalised:
            # PLINK 2's standard errors under Firth's penalty are of X' diag((1 + h) w) X.
            J = np.empty((P, P))
            information(D, (1.0 + fitted.leverage) * fitted.w, J)
            L[:] = np.linalg.cholesky(J)
        if n_free < H.shape[1]:
            return Maximum(float(objective), beta[C:], np.zeros((H.shape[1],) * 2), int(iterations))
        lower = np.tril(L)
        covariance = np.asarray(np.linalg.inv(lower @ lower.T)[C:, C:], dtype=np.float64)
        if asked.variance == HC3 and not penalised:
            covariance = self._hc3(D, lower, fitted.w, trait.y - fitted.mu)
        return Maximum(float(objective), beta[C:], covariance, int(iterations))

    def _hc3(self, D: Float64Array, L: Float64Array, w: Float64Array, residual: Float64Array) -> Float64Array:
        """HC3 covariance (D, D) of the coefficients of H; NaN where a sample has a leverage of 1."""
        V = np.linalg.solve(L, D.T).T
        slack = 1.0 - w * (V**2).sum(axis=1)
        if slack.min() <= LEAST_SLACK:
            return np.full((self.H.shape[1],) * 2, np.nan)
        influence = np.linalg.solve(L.T, V.T).T[:, self.X.shape[1] :] * (residual / slack)[:, None]
        return np.asarray(influence.T @ influence)


def prepare(model: Any, cohort: Any) -> FittedState:
    """Fit the null models, E among the covariates."""
    if model.is_weighted:
        return prepare_rows(model, cohort, BinomialRows)
    columns, width = np.asarray(cohort.block_columns), int(cohort.block_width)
    model, joined = with_interaction(model, cohort)
    design = cohort.design(model.traits, model.covariates, kind=model.outcome)
    modifier = modifier_of(model, cohort, design.X, design.complete)
    state = prepare_nulls(design, columns, width)
    notes = list(state.notes)
    if model.variance == "robust":
        for name, null in zip(state.traits, state.nulls):
            if null.failure is None:
                rarer = float(min(null.n_cases, null.n - null.n_cases))
                notes += few_note(name, rarer, LEAST_OF_SANDWICH, EXACT_LAW)
    return fitted_state(Effects.of(model, modifier, joined), state, width, notes, design.complete)


def fitted_state(effects: Effects, state: Any, width: int, notes: list[str], complete: Array) -> FittedState:
    """The state that blocks need, from the null models of the screen."""
    rows = [LogisticRows.of(null) for null in state.nulls]
    return effects.state(
        state.traits, rows, state.cohort_columns, width, complete, notes,
        lambda row: row.null.y == 1 if isinstance(row, LogisticRows) else None, both_outcomes=True,
    )  # fmt: skip
