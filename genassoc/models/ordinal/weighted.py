"""Proportional odds with sampling weights: every row is fitted, with a Wald test on its sandwich variance."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from genassoc.data.block import Block
from genassoc.data.phenotypes.weights import read_weights, weighted_design
from genassoc.kernels.genotypes.counts import mask_words
from genassoc.kernels.likelihoods import ordinal_terms
from genassoc.kernels.likelihoods import ordinal_weighted as kernel
from genassoc.kernels.likelihoods import rows as status
from genassoc.kernels.likelihoods.rows import Fits
from genassoc.kernels.likelihoods.weighted import LEVERAGE
from genassoc.models.base import BlockResult
from genassoc.models.ordinal.null import level_notes
from genassoc.models.scan.information import EventSizes
from genassoc.models.scan.rows import assembled, unusable
from genassoc.models.scan.sandwich_rows import RowTest, tested_rows
from genassoc.models.scan.screen import null_notes
from genassoc.models.scan.sums import genotype_sums, minor_is_ref
from genassoc.models.scan.weighted import EVERY_ROW_IS_FITTED
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array, UInt64Array
from genassoc.stats.information import FEW_EVENTS, LEAST_OF_SANDWICH, effective_size, few_note, squared_scores
from genassoc.stats.linalg import orthonormal_basis

_FAILED = {
    status.NOT_CONVERGED: "not_converged",
    status.COLLINEAR: "collinear",
    status.ONE_OUTCOME: "one_outcome",
    LEVERAGE: "leverage_of_one",
}


@dataclass(frozen=True)
class NullWeightedOrdinal:
    """One trait fitted on the covariates, on its own complete cases with a weight.

    Attributes
    ----------
    n, n_levels : int
    columns : int64 array (n,)
        Columns of its samples in a block.
    mask : uint64 array (W,)
        The same as packed words.
    Q : float64 array (n, C)
        Orthonormal covariates, the constant first.
    level : int64 array (n,)
        0 to n_levels - 1, each with a sample.
    weight : float64 array (n,)
        Of mean 1.
    parameters : float64 array (n_levels - 1 + C - 1,)
        Thresholds, then coefficients of the covariates beside the constant.
    failure : str or None
    score : float64 array (n,)
        What a sample adds to the score of its linear predictor, times its weight.
    """

    n: int
    n_levels: int
    columns: Int64Array
    mask: UInt64Array
    Q: Float64Array
    level: Int64Array
    weight: Float64Array
    parameters: Float64Array
    failure: str | None
    score: Float64Array


@dataclass(frozen=True)
class WeightedOrdinalState:
    """What all blocks share; ``notes`` says, for people, levels, weights and what was dropped."""

    traits: tuple[str, ...]
    cohort_columns: Int64Array
    cohort_mask: UInt64Array
    nulls: tuple[NullWeightedOrdinal, ...]
    n_incomplete: int
    notes: tuple[str, ...]

    @property
    def n_by_trait(self) -> list[int]:
        """Complete samples of each trait."""
        return [null.n for null in self.nulls]


def prepare(model: Any, cohort: Any) -> WeightedOrdinalState:
    """Fit the null models of all traits of an `Ordinal`, each on its own complete cases with a weight."""
    columns, width = np.asarray(cohort.block_columns), int(cohort.block_width)
    design = cohort.design(model.traits, model.covariates, kind=model.outcome, levels=model.levels)
    weights = read_weights(cohort.phenotypes, cohort.rows, model.weights)
    design = weighted_design(design, weights, cohort.phenotypes, cohort.rows)
    notes = [f"covariate dropped: {dropped}" for dropped in design.dropped_covariates]
    notes += [*weights.notes, EVERY_ROW_IS_FITTED]
    nulls = []
    for trait, name in enumerate(design.traits):
        observed = ~np.isnan(design.y[:, trait]) & design.complete
        null, kept = fit_null(design, trait, observed, weights.values, columns, width)
        nulls.append(null)
        notes += [
            *level_notes(design, trait, design.y[observed, trait]),
            *null_notes(design.covariates, name, null.n, kept, null.failure),
        ]
        notes.append(weights.line(name, observed))
        if null.failure is None:
            effective = effective_size(squared_scores(null.score)[0])
            notes += few_note(name, effective, LEAST_OF_SANDWICH, "its rows have no estimate, code 'few_events'")
    n_incomplete = int((~design.complete).sum())
    return WeightedOrdinalState(
        design.traits, columns, mask_words(columns, width), tuple(nulls), n_incomplete, tuple(notes)
    )


def fit_null(
    design: Any, trait: int, observed: BoolArray, weights: Float64Array, block_columns: Int64Array, block_width: int
) -> tuple[NullWeightedOrdinal, BoolArray]:
    """The null model of one trait, and which covariates are independent among its samples; ``weights`` (N,)."""
    basis = orthonormal_basis(design.X[observed])
    Q = np.ascontiguousarray(basis.Q)
    n, C = Q.shape
    present, level = np.unique(design.y[observed, trait], return_inverse=True)
    level = level.astype(np.int64)
    M = max(present.size - 1, 0)
    weight = weights[observed] / weights[observed].mean() if n else np.empty(0)
    parameters, L = np.zeros(M + C - 1), np.zeros((M + C - 1, M + C - 1))
    score = np.zeros(n)
    failure = "one_outcome" if M < 1 else ("n_too_small" if n <= M + C - 1 else None)
    if failure is None:
        kernel.start_thresholds(level, weight, M, parameters[:M])
        state, _ = kernel.fit(np.ascontiguousarray(Q[:, 1:]), level, weight, False, parameters, M, L)
        failure = None if state == status.FINE else "null_not_converged"
        D, P, r, w = np.ascontiguousarray(Q[:, 1:]), parameters.size, np.empty(n), np.empty(n)
        levels = ordinal_terms.Levels(level, M, np.zeros(n))
        ordinal_terms.accumulate(D, levels, parameters, True, np.empty((P, P)), np.empty(P), r, w)
        score = weight * r
    columns = block_columns[observed]
    mask = mask_words(columns, block_width)
    return NullWeightedOrdinal(n, M + 1, columns, mask, Q, level, weight, parameters, failure, score), basis.kept


def test_block(model: Any, state: WeightedOrdinalState, block: Block) -> BlockResult:
    """Test every variant of the block against every trait: V x T rows."""
    flipped = minor_is_ref(block, state.cohort_columns, state.cohort_mask)
    by_trait = [_of_trait(model, null, block, flipped) for null in state.nulls]
    return assembled(state.traits, by_trait)


test_block.__test__ = False  # type: ignore[attr-defined]  # its name is not a test's


def _of_trait(model: Any, null: NullWeightedOrdinal, block: Block, flipped: BoolArray) -> dict[str, Array]:
    """All columns of one trait, (V,) each."""
    own = genotype_sums(block, flipped, null.columns, null.mask, list_calls=not model.imputes)
    power = 0 if model.variance == "hc0" else 1

    def fit(calls: Float64Array) -> Fits:
        fits = Fits.empty(calls.shape[0])
        kernel.wald_rows(
            calls, null.Q, null.level, null.n_levels, null.weight, null.parameters, power, model.imputes, fits.numbers,
            fits.status, fits.dropped,
        )  # fmt: skip
        return fits

    test = RowTest(fit, "wald_hc3" if power else "wald_hc0", True, _FAILED, model.imputes)
    few = own.n <= null.parameters.size + 1
    reasons = [*unusable(own, null.Q.shape[1], float(model.min_mac)), (few, "n_too_small")]
    if null.failure is None:
        events = EventSizes.of(squared_scores(null.score), null.columns, block.n_samples)
        reasons.append((events.few(own, model.imputes, LEAST_OF_SANDWICH), FEW_EVENTS))
    return tested_rows(test, null, own, reasons, np.zeros(own.n.size, dtype=bool), block, flipped)
