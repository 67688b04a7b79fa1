"""Generalised linear models whose rows are all fitted: sampling weights, offsets, sandwich variances, several tested columns.

A weighted model estimates the coefficients of the population from which the samples were drawn (pseudo-likelihood: Binder
1983, doi:10.2307/1402588). Its estimates vary because other people could have been sampled, so the variance is a sandwich whatever the
outcome. Without weights all samples weigh 1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np

from genassoc.data.block import Block
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.phenotypes.design import Design, Kind
from genassoc.data.phenotypes.left_out import without_samples
from genassoc.data.phenotypes.outcomes import exposure_values
from genassoc.data.phenotypes.weights import read_weights, weighted_design
from genassoc.kernels.laws import few_events
from genassoc.kernels.laws.sandwich import MODEL, QUASI, WaldFits, room
from genassoc.kernels.likelihoods import glm, glm_ratios, joint_score_rows
from genassoc.kernels.likelihoods import rows as status
from genassoc.kernels.likelihoods import weighted as kernel
from genassoc.kernels.likelihoods.nulls import Tests
from genassoc.kernels.likelihoods.rows import Trait
from genassoc.models.scan.family import Samples
from genassoc.models.scan.information import sum_missing
from genassoc.models.scan.joint_screen import ProductScreen, ScoredNull
from genassoc.models.scan.joint_tests import tests_of_columns
from genassoc.models.scan.screen import null_notes
from genassoc.models.scan.sums import GenotypeSums
from genassoc.models.scan.tested import Tested, modifier_of, with_interaction
from genassoc.models.scan.wald import (
    Asked,
    Case,
    Effects,
    FittedState,
    KernelCase,
    RowFamily,
)
from genassoc.shapes import Array, BoolArray, Float64Array
from genassoc.stats.information import (
    EXACT_LAW,
    LEAST_OF_COUNTS,
    LEAST_OF_SANDWICH,
    effective_size,
    few_note,
    whole_sizes,
)
from genassoc.stats.linalg import orthonormal_basis

EVERY_ROW_IS_FITTED = (
    "sampling weights: every row is fitted and has a Wald test; the score test and its corrections are not done"
)


@dataclass(frozen=True)
class GlmRows(RowFamily):
    """One trait fitted on the covariates, on its weighted complete cases; a subclass for each distribution of the outcome.

    Attributes
    ----------
    Q : float64 array (n, C)
        Orthonormal covariates, the constant first.
    y : float64 array (n,)
        The outcome, in units of ``scale``.
    start : float64 array (C,)
        Coefficients of the null, followed by the family's parameter beside the mean, if it has one.
    mean : float64 array (n,)
        Of the outcome under the null.
    scale : float
        The unit of ``y``.
    variance : int
        MODEL or QUASI: the model's variance, or that times a dispersion.
    """

    family: ClassVar[int]
    has_law: ClassVar[bool] = True
    instead: ClassVar[str] = EXACT_LAW  # what the notes say of rows with few events

    Q: Float64Array
    y: Float64Array
    start: Float64Array
    mean: Float64Array
    scale: float
    variance: int

    @classmethod
    def unit(
        cls, sample: "GlmSample", Q: Float64Array, weight: Float64Array
    ) -> tuple[Float64Array, Float64Array, float, str | None]:
        """The outcome (n,) and the offset (n,) as they are fitted, their unit, and the code if there is no null model."""
        return np.ascontiguousarray(sample.y), np.ascontiguousarray(sample.offset), 1.0, None

    @classmethod
    def maximise_null(cls, Q: Float64Array, trait: Trait, mean: Float64Array) -> tuple[Float64Array, str | None]:
        """Fit the null on Q (n, C) and fill ``mean`` (n,); its coefficients, and the code if there is no maximum."""
        start = np.zeros(Q.shape[1])
        return start, None if cls.family == glm.GAUSSIAN else _fit(cls.family, Q, trait, start, mean)

    def fit_columns(
        self, H: Float64Array, samples: kernel.GlmSamples, variance: int, contrasts: Float64Array, fits: WaldFits
    ) -> None:
        """Fit rows on columns H (R, D, n) and fill ``fits``."""
        kernel.wald_rows(glm.Family(self.family, 0.0, False), H, samples, variance, contrasts, fits)

    @classmethod
    def of(cls, sample: "GlmSample") -> tuple[Self, BoolArray]:
        """The null model of one trait, and which covariates are independent among its samples."""
        basis = orthonormal_basis(sample.X)
        Q = np.ascontiguousarray(basis.Q)
        n, C = Q.shape
        weight = sample.weight / sample.weight.mean() if n else np.empty(0)
        y, offset, scale, failure = sample.y, sample.offset, 1.0, "n_too_small" if n <= C else None
        start, mean = np.zeros(C), np.zeros(n)
        if failure is None:
            y, offset, scale, failure = cls.unit(sample, Q, weight)
        if failure is None:
            start, failure = cls.maximise_null(Q, Trait(y, offset, weight), mean)
        samples = Samples.of(
            sample.columns, sample.width, offset=offset, weight=weight, is_event=y == 1.0 if cls.family == glm.BINOMIAL else None,
            failure=failure,
        )  # fmt: skip
        null = cls(samples, C, Q, y, start, mean, scale, sample.variance)
        return null, basis.kept

    @property
    def is_equal(self) -> bool:
        """Whether all samples weigh the same."""
        return bool(self.weight.min() == self.weight.max())

    def notes(self, name: str, coding: str) -> list[str]:
        """Notes on the outcome."""
        return []

    def law_notes(self, name: str, covariates: tuple[str, ...]) -> list[str]:
        """Notes on the distribution of the residuals."""
        return []

    def wald(self, H: Float64Array, tested: Tested, variance: int) -> WaldFits:
        """Fit rows on columns H (R, D, n)."""
        fits = room(H.shape[0], tested.n_columns, len(tested.tests))
        samples = kernel.GlmSamples(self.Q, self.y, self.offset, self.weight, self.start)
        variance = self.variance if variance in (MODEL, QUASI) else variance
        self.fit_columns(np.ascontiguousarray(H), samples, variance, tested.contrasts, fits)
        return fits

    def score_tests(self, H: Float64Array, tested: Tested) -> WaldFits:
        """Score tests on columns H (R, D, n)."""
        fits = room(H.shape[0], tested.n_columns, len(tested.tests))
        self.score_columns(H, kernel.GlmSamples(self.Q, self.y, self.offset, self.weight, self.start), fits)
        return fits

    def ratios(
        self, H: Float64Array, tested: Tested, test: str, asked: Asked
    ) -> tuple[WaldFits, Float64Array] | None:  # fmt: skip
        """Likelihood ratios of rows on columns H (R, D, n)."""
        fits, gains = (
            room(H.shape[0], tested.n_columns, len(tested.tests)),
            np.full((H.shape[0], len(tested.tests)), np.nan),
        )
        samples = kernel.GlmSamples(self.Q, self.y, self.offset, self.weight, self.start)
        self.ratio_columns(np.ascontiguousarray(H), samples, tests_of_columns(tested), fits, gains)
        return fits, gains

    def ratio_columns(
        self, H: Float64Array, samples: kernel.GlmSamples, tests: Tests, fits: WaldFits, gains: Float64Array
    ) -> None:
        """Likelihood ratios of rows on columns H (R, D, n) into ``fits`` and ``gains``."""
        glm_ratios.glm_rows(glm.Family(self.family, 0.0, self.variance == QUASI), H, samples, tests, fits, gains)

    def score_columns(self, H: Float64Array, samples: kernel.GlmSamples, fits: WaldFits) -> None:
        """Score tests of rows on columns H (R, D, n) into ``fits``."""
        joint_score_rows.glm_rows(glm.Family(self.family, 0.0, self.variance == QUASI), H, samples, fits)

    def score_weights(self) -> tuple[Float64Array, Float64Array, float]:
        """What samples weigh in their linear predictors under the null, their scores there (n,), and the dispersion."""
        residual = self.weight * (self.y - self.mean)
        weight = self.weight * (self.mean * (1.0 - self.mean) if self.family == glm.BINOMIAL else self.mean)
        dispersion = (
            float((residual**2 / weight).sum() / (self.n - self.n_covariates)) if self.variance == QUASI else 1.0
        )
        return weight, residual, dispersion

    def product_screen(self, tested: Tested) -> ProductScreen:
        """Scores from a block's product."""
        null = ScoredNull.of(self.Q, self.score_weights(), self.columns, self.samples.width)
        return ProductScreen.of(null, tested, self.columns)

    def case(self, H: Float64Array, tested: Tested) -> Case:
        """The complete cases of columns (D, n)."""
        at = ~np.isnan(H[0])
        Q, start, kept = self.Q, self.start, True
        if not at.all():
            basis = orthonormal_basis(self.Q[at])
            Q, kept = np.ascontiguousarray(basis.Q), bool(basis.kept.all())
            C = self.Q.shape[1]
            start = np.concatenate([Q.T @ (self.Q[at] @ self.start[:C]), self.start[C:]])
        samples = kernel.GlmSamples(Q, self.y[at], self.offset[at], self.weight[at], np.ascontiguousarray(start))

        def fit(columns: Float64Array) -> WaldFits:
            fits = room(1, columns.shape[1], 1)
            self.fit_columns(columns, samples, self.variance, np.zeros((1, columns.shape[1])), fits)
            return fits

        return KernelCase(H[:, at].T, kept, fit, self.codes)

    def law_of_events(self, calls: Float64Array, impute: bool) -> Float64Array:
        """-log10 p (R,) by the law of few events: of counts, or of the rarer of cases and controls."""
        # Of a binary outcome, the rarer side (by effective samples) is the event; under the null a sample has it with its fitted mean.
        sizes = self.sizes
        side = int(np.argmin([effective_size(side) for side in sizes]))
        mean = self.mean if side == 0 else 1.0 - self.mean
        # With equal weights a sample has one event at most: events are drawn without replacement, by the samples' odds.
        single = sizes.shape[0] == 2 and self.is_equal
        odds = mean / (1.0 - mean) if single else self.weight * mean
        found, there = np.empty(calls.shape[0]), np.zeros(calls.shape[0], np.bool_)
        few_events.event_rows(calls, odds, whole_sizes(sizes[side]), impute, found, there)
        return np.where(there, found / np.log(10.0), np.nan)

    def counts(self, genotypes: GenotypeSums, block: Block, impute: bool) -> dict[str, Array]:
        """Columns (V,) of counts and frequencies by outcome."""
        return {}


class CountModel(Protocol):
    """The fields of a model of counts that its null models read."""

    outcome: ClassVar[Kind]

    @property
    def traits(self) -> tuple[str, ...]:
        """Names of counts."""

    @property
    def covariates(self) -> tuple[str, ...] | str:
        """Names, or a formula."""

    @property
    def exposure(self) -> str | None:
        """Name of the column with the exposure: the time, or another amount, over which events were counted."""


class CountRows(GlmRows):
    """A count of events."""

    family: ClassVar[int] = glm.POISSON
    least_events: ClassVar[float] = LEAST_OF_COUNTS

    @property
    def sizes(self) -> Float64Array:
        """Events times weights, (1, n)."""
        return (self.weight * self.y)[None]

    @property
    def expected(self) -> Float64Array:
        """Events that say as much as the samples do under the null, (1, n): fewer where counts vary more than Poisson's."""
        weight, _, dispersion = self.score_weights()
        return (weight / max(dispersion, 1.0))[None]

    def notes(self, name: str, coding: str) -> list[str]:
        """How many events there are."""
        return [event_note(name, self.y)]

    def counts(self, genotypes: GenotypeSums, block: Block, impute: bool) -> dict[str, Array]:
        """Events of the samples whose call is observed."""
        events = np.zeros(block.n_samples)
        events[self.columns] = self.y
        return {"n_events": (events.sum() - sum_missing(genotypes, events)).astype(np.int64)}


def event_note(name: str, y: Float64Array) -> str:
    """How many events a trait has in samples (n,)."""
    return f"{name}: {int(y.sum()):,} events in {y.size:,} samples ({y.max(initial=0):g} at most in one)"


def log_exposure(model: CountModel, cohort: Cohort, design: Design) -> tuple[Design, Float64Array]:
    """The design without the samples that have no exposure, and its logarithm (N,)."""
    if model.exposure is None:
        return design, np.zeros(design.complete.size)
    exposure = exposure_values(cohort.phenotypes, model.exposure, cohort.rows)
    what = f"exposure {model.exposure}"
    return without_samples(design, np.isnan(exposure), what, cohort.phenotypes, cohort.rows), np.log(exposure)


@dataclass(frozen=True, kw_only=True)
class GlmSample:
    """The samples of one trait, from which its null model is made.

    Attributes
    ----------
    X : float64 array (n, C)
    y, offset, weight : float64 arrays (n,)
    columns : int64 array (n,)
        Columns of a block of ``width`` samples.
    ranks : bool
        Whether the outcome is replaced by ranks.
    offset_unit : str
        The unit of the offset of a quantitative trait; see `genassoc.data.phenotypes.design.Design`.
    variance : int
        MODEL or QUASI.
    """

    X: Float64Array
    y: Float64Array
    offset: Float64Array
    weight: Float64Array
    columns: Array
    width: int
    ranks: bool
    variance: int
    offset_unit: str = "trait"


def _fit(family: int, Q: Float64Array, trait: Trait, start: Float64Array, mean: Float64Array) -> str | None:
    """Fit the null, filling its coefficients and means; the code if there is no maximum."""
    y, offset, weight = trait.y, trait.offset, trait.prior
    if not y.any() or (family == glm.BINOMIAL and (y == 1).all()):
        return "one_outcome"
    n, C = Q.shape
    rate = float((weight * y).sum() / (weight * np.exp(offset)).sum())
    # the constant's column is 1 / sqrt(n)
    start[0] = np.log(rate if family == glm.POISSON else rate / (1 - rate)) * np.sqrt(n)
    fitted, L = glm.Fitted(np.empty(n), mean, np.empty(n), np.empty(n)), np.zeros((C, C))
    state, _, _ = glm.maximise(glm.Family(family, 0.0, False), Q, trait, 0, start, fitted, L)
    return None if state == status.FINE else "null_not_converged"


@dataclass(frozen=True)
class Extras:
    """What a family changes in `prepare`.

    Attributes
    ----------
    offset : function, optional
        From a model, a cohort and a design: the offset (N,), and the design without the samples that lack it.
    change : function, optional
        Replaces the traits of a design by their changes from a baseline.
    notes : tuple of str
    variance : int
        As in `GlmRows`.
    """

    offset: Callable[[Any, Any, Any], tuple[Any, Float64Array]] | None = None
    change: Callable[[Any], Any] | None = None
    notes: tuple[str, ...] = ()
    variance: int = MODEL


def prepare(model: Any, cohort: Any, family: type[GlmRows], extras: Extras = Extras()) -> FittedState:
    """Fit the null models of all traits, each on its weighted complete cases."""
    columns, width = np.asarray(cohort.block_columns), int(cohort.block_width)
    model, joined = with_interaction(model, cohort)
    design = cohort.design(model.traits, model.covariates, kind=model.outcome)
    weights = None
    if model.weights is not None:
        weights = read_weights(cohort.phenotypes, cohort.rows, model.weights)
        design = weighted_design(design, weights, cohort.phenotypes, cohort.rows)
    more = np.zeros(design.complete.size)
    if extras.offset is not None:
        design, more = extras.offset(model, cohort, design)
    modifier = modifier_of(model, cohort, design.X, design.complete)
    if extras.change is not None:
        design = extras.change(design)
    notes = [f"covariate dropped: {dropped}" for dropped in design.dropped_covariates]
    notes += [*extras.notes, *(weights.notes if weights is not None else ())]
    if weights is not None and family.family == glm.POISSON:
        notes.append(EVERY_ROW_IS_FITTED)
    nulls = []
    for trait, name in enumerate(design.traits):
        observed = ~np.isnan(design.y[:, trait]) & design.complete
        values = np.ones(int(observed.sum())) if weights is None else weights.values[observed]
        sample = GlmSample(
            X=design.X[observed], y=design.y[observed, trait], offset=design.offset[observed, trait] + more[observed],
            weight=values, columns=columns[observed], width=width, ranks=getattr(model, "rank_normalise", False),
            variance=extras.variance, offset_unit=design.offset_unit,
        )  # fmt: skip
        null, kept = family.of(sample)
        nulls.append(null)
        if modifier is None and null.failure is None:
            notes += null.law_notes(name, tuple(design.covariates))
        notes += _notes(design, trait, null, kept, model.is_sandwich)
        if weights is not None:
            notes.append(weights.line(name, observed))
    effects = Effects.of(model, modifier, joined)
    binary = family.family == glm.BINOMIAL
    return effects.state(
        design.traits, nulls, columns, width, design.complete, notes,
        lambda null: null.y == 1 if binary and isinstance(null, GlmRows) else None, binary,
    )  # fmt: skip


def _notes(design: Any, trait: int, null: GlmRows, kept: BoolArray, is_sandwich: bool) -> list[str]:
    name = design.traits[trait]
    notes = null.notes(name, design.coding[trait])
    if null.failure is None and null.sizes.shape[0]:
        effective = min(effective_size(side) for side in null.sizes)
        least = LEAST_OF_SANDWICH if is_sandwich else null.least_events
        notes += few_note(name, effective, least, null.instead)
    notes += null_notes(design.covariates, name, null.n, kept, null.failure)
    return notes
