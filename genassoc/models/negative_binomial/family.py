"""The null models of negative binomial regression: one a trait, alpha by maximum likelihood, its score laid out for the product."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.phenotypes.design import Design
from genassoc.errors import PhenotypeError
from genassoc.kernels.laws import negative_binomial_cgf
from genassoc.kernels.laws.sandwich import WaldFits
from genassoc.kernels.likelihoods import glm_ratios, joint_score_rows, negative_binomial, negative_binomial_columns
from genassoc.kernels.likelihoods import rows as kernel
from genassoc.kernels.likelihoods.nulls import Tests
from genassoc.kernels.likelihoods.rows import Fits, Trait
from genassoc.kernels.likelihoods.weighted import GlmSamples
from genassoc.models.scan.family import (
    Asked,
    Samples,
    Tails,
    Task,
    WeightedNull,
    bounded_ratios,
)
from genassoc.models.scan.glm_rows import CountModel, CountRows, Extras, event_note, log_exposure
from genassoc.models.scan.glm_rows import prepare as prepare_rows
from genassoc.models.scan.information import EventSizes, missing_at_random, sum_missing
from genassoc.models.scan.screen import ScreenState, null_notes
from genassoc.models.scan.set_null import SetNull
from genassoc.models.scan.sums import GenotypeSums
from genassoc.models.scan.wald import FittedState
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array
from genassoc.stats.information import LEAST_OF_COUNTS, LEAST_OF_WALD, effective_size, few_note
from genassoc.stats.linalg import orthonormal_basis

# Skewness of the score, by the law of the counts, beyond which its tests find too much (docs/models/negative_binomial.md).
SKEWED = 0.4
NO_LAW = (
    "the dispersion is unknown, so that there is no exact distribution: its rows have no estimate, code 'few_events'"
)
NO_LAW_FOR_HITS = f"{NO_LAW}; a score test's with p above 0.05 are shown as they are"


@dataclass(frozen=True, kw_only=True)
class NullNegativeBinomial(WeightedNull):
    """One count fitted on the covariates, on its own complete cases.

    Attributes
    ----------
    weight, residual : float64 arrays (N,)
        ``mu / (1 + alpha mu)``, the expected information in a sample's linear predictor, and its score there; zero for other samples.
    mu, y : float64 arrays (n,)
        Means and counts; the samples' offset has the logarithm of the exposure.
    X : float64 array (n, C)
        Orthonormal covariates, the constant first.
    start : float64 array (C + 1,)
        Coefficients, and alpha.
    Q, WQ : float64 arrays (N, C)
        Covariates orthonormal in the weights, and the weights times them; zero for other samples.
    events : float64 array (N,)
        y, zero for other samples.
    skewness : float
        Of a sample's score, by the law of its count.
    """

    mu: Float64Array
    y: Float64Array
    X: Float64Array
    start: Float64Array
    events: Float64Array
    skewness: float

    @property
    def shape(self) -> float:
        """The dispersion alpha of the null."""
        return float(self.start[-1])

    @property
    def overdispersed(self) -> bool:
        """Whether alpha is above 0: a saddlepoint then says what a chi-squared does not."""
        return self.shape > 0.0

    def set_null(self, trait: int) -> SetNull:
        """Told alpha, and how many samples have an event: one with many of them is one."""
        return replace(super().set_null(trait), n_informative=int(np.count_nonzero(self.y)), alpha=self.shape)

    def linear_predictor(self) -> tuple[Float64Array, Float64Array]:
        """Covariates and coefficients."""
        return self.X, self.start[:-1]

    def scores_at(self, eta: Float64Array) -> tuple[Float64Array, Float64Array]:
        """(y - mu) / (1 + alpha mu), and mu / (1 + alpha mu): alpha is orthogonal to the coefficients."""
        mu = np.exp(eta)
        rest = 1.0 / (1.0 + self.shape * mu)
        return (self.y - mu) * rest, mu * rest

    def fit(self, task: Task, asked: Asked) -> Fits:
        """Fit some rows on their unpacked calls, alpha fitted with each."""
        G = task.calls(asked.variants, self.columns)
        fits, alpha = Fits.empty(asked.variants.size), np.empty(asked.variants.size)
        trait = Trait(self.y, self.samples.offset, self.samples.weight)
        negative_binomial.analyse_rows(G, asked.numbers, self.X, trait, self.start, task.choices.impute, fits, alpha)
        there = (fits.status == kernel.FINE) | (fits.status == kernel.RUNAWAY)
        task.shape[asked.variants[there]] = alpha[there]
        return bounded_ratios(fits, asked, False)

    def one_step_is_enough(self, task: Task) -> BoolArray:
        """Rows (V,) with few missing calls, unrelated to the outcome."""
        return missing_at_random(task.genotypes, self.n, self.residual, self.weight)

    def skewed(self, genotypes: GenotypeSums) -> BoolArray:
        """Few carriers of a skewed count."""
        p = genotypes.rare_mac / np.maximum(2 * genotypes.n, 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            # The skewness of a sum of n terms, each a score times a centred binomial(2, p), is that of a term over the root of n.
            return np.asarray(self.skewness * (1 - 2 * p) / np.sqrt(2 * genotypes.n * p * (1 - p)) > SKEWED)

    def little_information(self, genotypes: GenotypeSums, impute: bool) -> BoolArray:
        """Of few events neither alpha nor the tails are known; a sample with many of them is one."""
        return EventSizes(self.events[None]).few(genotypes, impute, LEAST_OF_COUNTS)

    def little_expected(self, genotypes: GenotypeSums) -> BoolArray:
        """Judged by the trait's mean: with few events expected a Wald statistic is not normal, while a likelihood ratio nearly is chi-squared."""
        return np.asarray(genotypes.rare_mac * self.y.mean() < LEAST_OF_WALD)

    def law(self, name: str, task: Task, variants: Int64Array) -> Tails:
        """The saddlepoint of the counts at the null's means and alpha; of few events none."""
        found = np.full(variants.size, np.nan)
        if name != "few":
            G, impute = task.calls(variants, self.columns), task.choices.impute
            negative_binomial_cgf.neg_log_p_rows(G, task.U[variants], self.X, self.mu, self.shape, impute, found)
        return Tails.of(found / np.log(10.0), False)

    def finished(self, task: Task) -> dict[str, Array]:
        """The columns of all families, the events of the row's samples, and the dispersion of its fit."""
        n_events = self.events.sum() - sum_missing(task.genotypes, self.events)
        alpha = np.where(np.isnan(task.rows.beta) & np.isnan(task.rows.statistic), np.nan, task.shape)
        return super().finished(task) | {"n_events": n_events.astype(np.int64), "alpha": alpha}


class NegativeBinomialRows(CountRows):
    """A count whose rows are all fitted, alpha with each: an interaction, the genotypic model, weights, sandwich variances."""

    has_law: ClassVar[bool] = False
    instead: ClassVar[str] = NO_LAW

    @classmethod
    def maximise_null(cls, Q: Float64Array, trait: Trait, mean: Float64Array) -> tuple[Float64Array, str | None]:
        """The null's coefficients on Q (n, C), then alpha."""
        start = np.zeros(Q.shape[1] + 1)
        failure, fitted = maximise_null(Q, trait, start)
        mean[:] = fitted.mu
        return start, failure

    def fit_columns(
        self, H: Float64Array, samples: GlmSamples, variance: int, contrasts: Float64Array, fits: WaldFits
    ) -> None:
        """Fit rows on columns H (R, D, n) of samples, into ``fits``."""
        negative_binomial_columns.wald_rows(H, samples, variance, contrasts, fits)

    def ratio_columns(
        self, H: Float64Array, samples: GlmSamples, tests: Tests, fits: WaldFits, gains: Float64Array
    ) -> None:
        """Likelihood ratios of rows on columns H (R, D, n) of samples, alpha fitted with each, into ``fits`` and ``gains``."""
        glm_ratios.negative_binomial_rows(H, samples, tests, fits, gains)

    def score_columns(self, H: Float64Array, samples: GlmSamples, fits: WaldFits) -> None:
        """Score tests of rows on columns H (R, D, n) of samples, alpha that of their null, into ``fits``."""
        joint_score_rows.negative_binomial_rows(H, samples, fits)

    def score_weights(self) -> tuple[Float64Array, Float64Array, float]:
        """What samples weigh in their linear predictors under the null, and their scores there (n,)."""
        rest = 1.0 / (1.0 + float(self.start[-1]) * self.mean)
        return self.weight * self.mean * rest, self.weight * (self.y - self.mean) * rest, 1.0

    def notes(self, name: str, coding: str) -> list[str]:
        """Events, and alpha."""
        return [event_note(name, self.y) + ("" if self.failure is not None else alpha_words(float(self.start[-1])))]


def exposure_of(model: CountModel, cohort: Cohort, design: Design) -> tuple[Design, Float64Array]:
    """`log_exposure`, of counts that can be fitted.

    Raises
    ------
    PhenotypeError
        A count is too large for a sum over all counts below it.
    """
    for trait, y in zip(design.traits, design.y.T):
        largest = np.nanmax(y, initial=0.0)
        if largest > negative_binomial.LARGEST_COUNT:
            raise PhenotypeError(
                f"{cohort.phenotypes.source}: the trait '{trait}' counts up to {largest:,.0f}, and a negative binomial is "
                f"fitted to counts up to {negative_binomial.LARGEST_COUNT:,.0f}: use Linear of its logarithm, or Poisson"
            )
    return log_exposure(model, cohort, design)


def prepare_fitted(model: CountModel, cohort: Cohort) -> FittedState:
    """Fit the null models of all traits of a model whose rows are all fitted."""
    return prepare_rows(model, cohort, NegativeBinomialRows, Extras(offset=exposure_of))


def prepare(model: CountModel, cohort: Cohort) -> ScreenState[NullNegativeBinomial]:
    """Fit the null of every trait of a `NegativeBinomial`, each on its own complete cases."""
    block_columns, block_width = np.asarray(cohort.block_columns), int(cohort.block_width)
    design, exposure = exposure_of(model, cohort, cohort.design(model.traits, model.covariates, kind=model.outcome))
    notes, nulls = [f"covariate dropped: {dropped}" for dropped in design.dropped_covariates], []
    for trait, name in enumerate(design.traits):
        observed = ~np.isnan(design.y[:, trait]) & design.complete
        y = np.ascontiguousarray(design.y[observed, trait])
        offset = np.ascontiguousarray(design.offset[observed, trait] + exposure[observed])
        null, kept = fit_null(design.X[observed], y, offset, block_columns[observed], block_width)
        nulls.append(null)
        note = event_note(name, y)
        if null.failure is None:
            note += alpha_words(null.shape)
            notes += [note, *few_note(name, effective_size(y), LEAST_OF_COUNTS, NO_LAW_FOR_HITS)]
        else:
            notes.append(note)
        notes += null_notes(design.covariates, name, null.n, kept, null.failure)
    return ScreenState.of(design.traits, nulls, block_columns, block_width, int((~design.complete).sum()), notes)


def fit_null(
    covariates: Float64Array, y: Float64Array, offset: Float64Array, columns: Int64Array, block_width: int
) -> tuple[NullNegativeBinomial, BoolArray]:
    """The null model of counts y (n,) on covariates (n, .), and which of them are independent among its samples."""
    basis = orthonormal_basis(covariates)
    X = np.ascontiguousarray(basis.Q)
    n, C = X.shape
    start, mu, skewness = np.zeros(C + 1), np.zeros(n), 0.0
    Q, WQ = np.zeros((block_width, C)), np.zeros((block_width, C))
    weight, residual, events = np.zeros(block_width), np.zeros(block_width), np.zeros(block_width)
    events[columns] = y
    failure = "n_too_small" if n <= C else None
    if failure is None:
        trait = Trait(y, offset, np.ones(n))
        failure, fitted = maximise_null(X, trait, start)
    if failure is None:
        alpha, mu = start[C], fitted.mu
        w = mu / (1.0 + alpha * mu)
        L = np.linalg.cholesky(X.T @ (w[:, None] * X))
        orthonormal = np.linalg.solve(L, X.T).T
        Q[columns], WQ[columns] = orthonormal, w[:, None] * orthonormal
        weight[columns], residual[columns] = w, (y - mu) / (1.0 + alpha * mu)
        third = w * (1.0 + 2.0 * alpha * mu) / (1.0 + alpha * mu)
        skewness = float(third.mean() / w.mean() ** 1.5)
    null = NullNegativeBinomial(
        samples=Samples.of(columns, block_width, offset=offset, failure=failure), n_covariates=C, weight=weight, residual=residual,
        mu=mu, y=y, X=X, start=start, Q=Q, WQ=WQ, events=events, skewness=skewness,
    )  # fmt: skip
    return null, basis.kept


def maximise_null(X: Float64Array, trait: Trait, start: Float64Array) -> tuple[str | None, negative_binomial.Fitted]:
    """Fill the coefficients and alpha (C + 1,) on orthonormal covariates X (n, C); why there is no maximum, and the fit."""
    n, C = X.shape
    fitted = negative_binomial.fitted_of(n)
    if not trait.y.any():
        return "one_outcome", fitted
    rate = float((trait.prior * trait.y).sum() / (trait.prior * np.exp(trait.offset)).sum())
    start[0] = np.log(rate) * np.sqrt(n)  # the constant's column is 1 / sqrt(n)
    L = np.zeros((C + 1, C + 1))
    state, _, _ = negative_binomial.maximise(X, trait, 0, 0.0, start[:C], fitted, L)
    start[C] = fitted.alpha[negative_binomial.ALPHA]
    return None if state == kernel.FINE else "null_not_converged", fitted


def alpha_words(alpha: float) -> str:
    """What alpha is, and what it means that there is none."""
    if alpha == 0.0:
        return "; alpha 0: no more variance than Poisson's, whose model this is"
    return f"; alpha {alpha:.3g}"
