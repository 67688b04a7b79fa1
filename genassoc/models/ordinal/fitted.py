"""Proportional odds whose rows are all fitted: an interaction g x E, the genotypic model, weights, sandwich variances."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from genassoc.data.block import Block
from genassoc.data.phenotypes.weights import read_weights, weighted_design
from genassoc.kernels.laws.sandwich import MODEL, WaldFits, room
from genassoc.kernels.likelihoods import ordinal_terms, ordinal_tiles
from genassoc.kernels.likelihoods import ordinal_weighted as kernel
from genassoc.kernels.likelihoods import rows as status
from genassoc.kernels.likelihoods.newton import climb_of
from genassoc.models.ordinal.family import level_notes
from genassoc.models.scan.family import Samples
from genassoc.models.scan.glm_rows import EVERY_ROW_IS_FITTED
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
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array
from genassoc.stats.information import (
    LEAST_OF_LEVELS,
    LEAST_OF_SANDWICH,
    effective_size,
    few_note,
    squared_scores,
)
from genassoc.stats.linalg import orthonormal_basis


@dataclass(frozen=True)
class LevelRows(RowFamily):
    """One trait of ordered levels fitted on the covariates, on its own complete cases with a weight.

    Attributes
    ----------
    n_levels : int
    Q : float64 array (n, C)
        Orthonormal covariates, the constant first.
    level : int64 array (n,)
        0 to n_levels - 1, each with a sample.
    start : float64 array (n_levels - 1 + C - 1,)
        Thresholds, then coefficients of the covariates beside the constant.
    score : float64 array (n,)
        What a sample adds to the score of its linear predictor, times its weight.
    """

    least_events: ClassVar[float] = LEAST_OF_LEVELS

    n_levels: int
    Q: Float64Array
    level: Int64Array
    start: Float64Array
    score: Float64Array

    @property
    def sizes(self) -> Float64Array:
        """Squares of what the samples add to the score: no outcome is the event."""
        return squared_scores(self.score)

    @property
    def expected(self) -> Float64Array:
        """Who has each level (n_levels, n)."""
        return np.asarray(self.level == np.arange(self.n_levels)[:, None], dtype=np.float64)

    def score_tests(self, H: Float64Array, tested: Tested) -> WaldFits | None:
        """Newton's step from the null of every row's own samples in its expected information, and its covariance; None with weights."""
        if not (self.weight == 1.0).all():
            return None
        return self._fitted(H, tested, status.SCORE, MODEL)[0]

    def wald(self, H: Float64Array, tested: Tested, variance: int) -> WaldFits:
        """Fit rows on columns H (R, D, n)."""
        return self._fitted(H, tested, status.WALD, variance)[0]

    def ratios(self, H: Float64Array, tested: Tested, test: str, asked: Asked) -> tuple[WaldFits, Float64Array] | None:
        """Fits of columns H (R, D, n), and twice the gains over the tests' nulls (R, K)."""
        fits, found = self._fitted(H, tested, status.LRT, MODEL)
        return fits, tested.of_tests(found)

    def _fitted(self, H: Float64Array, tested: Tested, test: int, variance: int) -> tuple[WaldFits, Float64Array]:
        """What the kernel does of columns H (R, D, n), and the gains of contrasts and of all columns."""
        R, D, K = H.shape[0], tested.n_columns, len(tested.rotations)
        fits, gains = room(R, D, len(tested.tests)), np.full((R, K + 1), np.nan)
        samples = kernel.OrdinalSamples(self.Q, self.level, self.n_levels, self.offset, self.weight, self.start)
        rotations = np.array([M for _, M in tested.rotations]).reshape(K, D, D)
        tests = kernel.Tests(test, variance, tested.contrasts, rotations)
        kernel.fit_rows(np.ascontiguousarray(H), samples, tests, fits, gains)
        return fits, gains

    def case(self, H: Float64Array, tested: Tested) -> Case:
        """The complete cases of columns (D, n)."""
        at = ~np.isnan(H[0])
        Q, kept, start, n_levels = self.Q, True, self.start, self.n_levels
        level = self.level[at]
        if not at.all():
            basis = orthonormal_basis(self.Q[at])
            Q, kept = np.ascontiguousarray(basis.Q), bool(basis.kept.all())
            present, level = np.unique(level, return_inverse=True)
            n_levels, level = present.size, level.astype(np.int64)
            start = np.zeros(max(n_levels - 1, 0) + Q.shape[1] - 1)
            if n_levels > 1:
                kernel.start_thresholds(level, self.weight[at], n_levels - 1, start[: n_levels - 1])
        samples = kernel.OrdinalSamples(Q, level, n_levels, self.offset[at], self.weight[at], start)

        def fit(columns: Float64Array) -> WaldFits:
            D = columns.shape[1]
            fits = room(1, D, 1)
            tests = kernel.Tests(status.WALD, MODEL, np.zeros((1, D)), np.zeros((0, D, D)))
            kernel.fit_rows(columns, samples, tests, fits, np.empty((1, 1)))
            return fits

        return KernelCase(H[:, at].T, kept, fit, self.codes)

    def counts(self, genotypes: GenotypeSums, block: Block, impute: bool) -> dict[str, Array]:
        """Nothing beside the common ones."""
        return {}


def prepare(model: Any, cohort: Any) -> FittedState:
    """Fit the null models of all traits of an `Ordinal`, each on its own complete cases with a weight."""
    columns, width = np.asarray(cohort.block_columns), int(cohort.block_width)
    model, joined = with_interaction(model, cohort)
    design = cohort.design(model.traits, model.covariates, kind=model.outcome, levels=model.levels)
    weights = None
    if model.weights is not None:
        weights = read_weights(cohort.phenotypes, cohort.rows, model.weights)
        design = weighted_design(design, weights, cohort.phenotypes, cohort.rows)
    modifier = modifier_of(model, cohort, design.X, design.complete)
    notes = [f"covariate dropped: {dropped}" for dropped in design.dropped_covariates]
    notes += [] if weights is None else [*weights.notes, EVERY_ROW_IS_FITTED]
    values = np.ones(design.complete.size) if weights is None else weights.values
    least = LEAST_OF_SANDWICH if model.is_sandwich else LEAST_OF_LEVELS
    nulls = []
    for trait, name in enumerate(design.traits):
        observed = ~np.isnan(design.y[:, trait]) & design.complete
        null, kept = fit_null(design, trait, observed, values, columns, width)
        nulls.append(null)
        notes += [
            *level_notes(design, trait, design.y[observed, trait]),
            *null_notes(design.covariates, name, null.n, kept, null.failure),
        ]
        if weights is not None:
            notes.append(weights.line(name, observed))
        if null.failure is None:
            effective = effective_size(squared_scores(null.score)[0])
            notes += few_note(name, effective, least, "its rows have no estimate, code 'few_events'")
    effects = Effects.of(model, modifier, joined)
    return effects.state(design.traits, nulls, columns, width, design.complete, notes)


def fit_null(
    design: Any, trait: int, observed: BoolArray, weights: Float64Array, block_columns: Int64Array, block_width: int
) -> tuple[LevelRows, BoolArray]:
    """The null model of one trait, and which covariates are independent among its samples; ``weights`` (N,)."""
    basis = orthonormal_basis(design.X[observed])
    Q = np.ascontiguousarray(basis.Q)
    n, C = Q.shape
    present, level = np.unique(design.y[observed, trait], return_inverse=True)
    level = level.astype(np.int64)
    M = max(present.size - 1, 0)
    weight = weights[observed] / weights[observed].mean() if n else np.empty(0)
    start = np.zeros(M + C - 1)
    offset, score = np.ascontiguousarray(design.offset[observed, trait]), np.zeros(n)
    failure = "one_outcome" if M < 1 else ("n_too_small" if n <= M + C - 1 else None)
    if failure is None:
        kernel.start_thresholds(level, weight, M, start[:M])
        D = np.ascontiguousarray(Q[:, 1:])
        climb = climb_of(np.zeros((start.size, start.size)))
        state, _, _ = ordinal_tiles.fit(
            ordinal_tiles.laid_out(D, level, offset, weight, M), start.size, 0, start, climb
        )
        failure = None if state == status.FINE else "null_not_converged"
        A, r, w = start.size, np.empty(n), np.empty(n)
        levels = ordinal_terms.Levels(level, M, offset)
        ordinal_terms.accumulate(D, levels, start, True, np.empty((A, A)), np.empty(A), r, w)
        score = weight * r
    samples = Samples.of(block_columns[observed], block_width, offset=offset, weight=weight, failure=failure)
    return LevelRows(samples, start.size, M + 1, Q, level, start, score), basis.kept
