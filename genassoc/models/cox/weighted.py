"""Cox regression of case-cohort and other unequal samples, and of equal ones whose hazards may not be proportional.

Every row is fitted, on g or, for an interaction, on g and g e; its Wald tests have Lin's and Wei's variance. Without weights
all samples weigh 1.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from genassoc.data.block import Block
from genassoc.data.phenotypes.weights import read_weights
from genassoc.errors import PhenotypeError
from genassoc.kernels.genotypes.counts import mask_words
from genassoc.kernels.laws import few_events
from genassoc.kernels.likelihoods import cox_weighted as kernel
from genassoc.kernels.likelihoods import cox_weighted_pairs as pairs
from genassoc.kernels.likelihoods import rows as status
from genassoc.kernels.likelihoods.cox_sums import RiskSets
from genassoc.kernels.likelihoods.rows import Fits
from genassoc.models.base import BlockResult
from genassoc.models.cox.null import risk_sets, within_strata
from genassoc.models.scan.information import EventSizes
from genassoc.models.scan.interaction import RefitState, Terms, for_tests
from genassoc.models.scan.rows import assembled, unusable
from genassoc.models.scan.sandwich_pairs import (
    PairFits,
    PairTest,
    few_in_parts,
    fitted_rows,
    modifier_of,
    pair_block,
    shared_counts,
    with_interaction,
    with_terms,
)
from genassoc.models.scan.sandwich_rows import RowTest, tested_rows
from genassoc.models.scan.sums import allele_counts, frequency, genotype_sums, minor_is_ref
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array, UInt64Array
from genassoc.stats.information import EXACT_LAW, LEAST_OF_SANDWICH, effective_size, few_note, whole_sizes
from genassoc.stats.linalg import orthonormal_basis

_FAILED = {
    status.NOT_CONVERGED: "not_converged",
    status.COLLINEAR: "collinear",
    status.ONE_OUTCOME: "no_events",
    status.RUNAWAY: "no_carrier_events",
}


@dataclass(frozen=True)
class NullWeightedCox:
    """One endpoint fitted on the covariates, on its own complete cases with a weight, sorted by stratum and time.

    Attributes
    ----------
    n, n_covariates : int
        Samples; covariates with a constant that is no part of the model.
    columns : int64 array (n,)
        Columns of its samples in a block.
    mask, event_mask : uint64 arrays (W,)
    Q : float64 array (n, C)
        Orthonormal covariates, centred in each stratum, a constant first.
    sets : RiskSets
    weight : float64 array (n,)
        Sampling weights of mean 1.
    start : float64 array (C - 1,)
        Coefficients of the null.
    failure : str or None
    """

    n: int
    n_covariates: int
    columns: Int64Array
    mask: UInt64Array
    event_mask: UInt64Array
    Q: Float64Array
    sets: RiskSets
    weight: Float64Array
    start: Float64Array
    failure: str | None

    @property
    def sizes(self) -> Float64Array:
        """What the events weigh, (1, n)."""
        return np.where(self.sets.event, self.weight, 0.0)[None]


@dataclass(frozen=True)
class WeightedCoxState:
    """What all blocks share; ``notes`` says, for people, codings, weights and what was dropped."""

    traits: tuple[str, ...]
    cohort_columns: Int64Array
    cohort_mask: UInt64Array
    nulls: tuple[NullWeightedCox, ...]
    n_incomplete: int
    notes: tuple[str, ...]

    @property
    def n_by_trait(self) -> list[int]:
        """Complete samples of each endpoint."""
        return [null.n for null in self.nulls]


def prepare(model: Any, cohort: Any) -> WeightedCoxState | RefitState:
    """Fit the null models of all endpoints of a `Cox`, each on its own complete cases with a weight."""
    columns, width = np.asarray(cohort.block_columns), int(cohort.block_width)
    model, joined = with_interaction(model, cohort)
    design = model.design(cohort.phenotypes, cohort.rows, cohort.offsets)
    weights = None if model.weights is None else read_weights(cohort.phenotypes, cohort.rows, model.weights)
    complete, values = design.complete, np.ones(design.complete.size)
    if weights is not None:
        if weights.name in cohort.phenotypes.resolve([*model.time, *model.event], "time or event"):
            raise PhenotypeError(
                f"{cohort.phenotypes.source}: '{weights.name}' is asked for as a time or event and as the sampling weight: name "
                "one column for each"
            )
        complete, values = complete & weights.there, weights.values
        if not complete.any():
            raise PhenotypeError(
                f"{cohort.phenotypes.source}: no sample has a sampling weight '{weights.name}' above 0 and all covariates"
            )
    modifier = modifier_of(model, cohort, design.covariates.X, complete)
    notes = [f"covariate dropped: {dropped}" for dropped in design.covariates.dropped_covariates]
    notes += [*design.notes, *(() if weights is None else weights.notes)]
    nulls = []
    for endpoint in design.endpoints:
        observed = complete & ~np.isnan(endpoint.time)
        null, kept = fit_null(design, endpoint, observed, values, columns, width, model.ties == "efron")
        nulls.append(null)
        name, n_events = endpoint.name, int(null.sets.event.sum())
        notes.append(f"{name}: {endpoint.coding}; {n_events:,} events among {null.n:,} samples")
        if null.failure is None:
            notes += few_note(name, effective_size(null.sizes[0]), LEAST_OF_SANDWICH, EXACT_LAW)
        notes += [f"{name}: {lacking}" for lacking in endpoint.lacking]
        if weights is not None:
            notes.append(weights.line(name, observed))
        notes += [
            f"covariate {design.covariates.covariates[column]} dropped for {name}: among its {null.n:,} complete samples it is "
            "constant (in every stratum) or a combination of the covariates before it"
            for column in np.flatnonzero(~kept)
        ]
        if null.failure is not None:
            notes.append(f"{name} has no null model ({null.failure}): its rows have no estimate")
    names = tuple(endpoint.name for endpoint in design.endpoints)
    n_incomplete = int((~complete).sum())
    state = WeightedCoxState(names, columns, mask_words(columns, width), tuple(nulls), n_incomplete, tuple(notes))
    return with_terms(state, modifier, joined, width, [null.sets.event for null in nulls])


def fit_null(
    design: Any, endpoint: Any, observed: BoolArray, weights: Float64Array, block_columns: Int64Array, block_width: int,
    efron: bool,
) -> tuple[NullWeightedCox, BoolArray]:  # fmt: skip
    """The null model of one endpoint, and which covariates are independent within strata; ``weights`` (N,)."""
    who = np.flatnonzero(observed)
    who = who[np.lexsort((endpoint.time[who], design.stratum[who]))]
    event, stratum = endpoint.event[who] == 1, design.stratum[who]
    sets, _ = risk_sets(endpoint.time[who], event, design.entry[who], stratum, efron)
    basis = orthonormal_basis(within_strata(design.covariates.X[who], stratum))
    Q = np.ascontiguousarray(basis.Q)
    n, C = Q.shape
    weight = weights[who] / weights[who].mean() if n else np.empty(0)
    start = np.zeros(C - 1)
    failure = "too_few_events" if int(event.sum()) < C or n <= C else None
    if failure is None and C > 1:
        own = np.ascontiguousarray(Q[:, 1:])
        state, _ = kernel.fit(own, weight, sets, False, start, np.empty(n), np.zeros((C - 1, C - 1)))
        failure = None if state == status.FINE else "null_not_converged"
    columns = block_columns[who]
    masks = mask_words(columns, block_width), mask_words(columns[event], block_width)
    return NullWeightedCox(n, C, columns, *masks, Q, sets, weight, start, failure), basis.kept


def test_block(min_mac: float, impute: bool, state: WeightedCoxState | RefitState, block: Block) -> BlockResult:
    """Test every variant of the block against every endpoint: V x T rows, times K of an interaction."""
    if isinstance(state, RefitState):
        return pair_block(
            state, lambda null, terms, flipped: _pairs_of_endpoint(min_mac, impute, null, terms, block, flipped), block
        )
    flipped = minor_is_ref(block, state.cohort_columns, state.cohort_mask)
    by_trait = [_of_endpoint(min_mac, impute, null, block, flipped) for null in state.nulls]
    return assembled(state.traits, by_trait)


test_block.__test__ = False  # type: ignore[attr-defined]  # its name is not a test's


def _of_endpoint(
    min_mac: float, impute: bool, null: NullWeightedCox, block: Block, flipped: BoolArray
) -> dict[str, Array]:
    """All columns of one endpoint, (V,) each."""
    own = genotype_sums(block, flipped, null.columns, null.mask, list_calls=not impute)
    events = allele_counts(block, null.columns[null.sets.event], null.event_mask)

    def fit(calls: Float64Array) -> Fits:
        fits = Fits.empty(calls.shape[0])
        kernel.wald_rows(
            calls, null.Q, null.sets, null.weight, null.start, impute, fits.numbers, fits.status, fits.dropped
        )
        return fits

    def law(calls: Float64Array) -> Float64Array:
        return _law_of_events(null, calls, impute)

    test = RowTest(fit, "wald_robust", student=True, failed=_FAILED, impute=impute, law=law)
    few = EventSizes.of(null.sizes, null.columns, block.n_samples).few(own, impute, LEAST_OF_SANDWICH)
    columns = tested_rows(test, null, own, unusable(own, null.n_covariates, min_mac), few, block, flipped)
    return columns | {
        "effect_allele_frequency_events": frequency(events.allele_count, events.n_alleles),
        "n_events": np.full(own.n.size, int(null.sets.event.sum())) if impute else events.n,
    }


def _law_of_events(null: NullWeightedCox, calls: Float64Array, impute: bool) -> Float64Array:
    """-log10 p (R,) of dense calls by the law of few events, each of which falls on somebody at risk at its time."""
    eta = null.Q[:, 1:] @ null.start
    risk = null.weight * np.exp(eta - eta.max(initial=-np.inf))
    found, there = np.empty(calls.shape[0]), np.zeros(calls.shape[0], np.bool_)
    few_events.hazard_rows(calls, risk, whole_sizes(null.sizes[0]), null.sets, impute, found, there)
    return np.where(there, found / np.log(10.0), np.nan)


def _pairs_of_endpoint(
    min_mac: float, impute: bool, null: NullWeightedCox, terms: Terms, block: Block, flipped: BoolArray
) -> dict[str, Array]:
    """All columns (V, K) of one endpoint."""
    own = genotype_sums(block, flipped, null.columns, null.mask, list_calls=not impute)
    events = allele_counts(block, null.columns[null.sets.event], null.event_mask)
    K = len(terms.tests)

    def fit(calls: Float64Array) -> PairFits:
        fits = PairFits.empty(calls.shape[0], K)
        pairs.wald_pairs(
            calls, terms.e, null.Q, null.sets, null.weight, null.start, impute, terms.contrasts, fits.numbers,
            fits.freedom, fits.status, fits.dropped,
        )  # fmt: skip
        return fits

    test = PairTest("wald_robust", "wald_robust", student=True, hotelling=True, failed=_FAILED)
    few = few_in_parts(null.sizes, terms, null.columns, own, impute, block)
    columns = fitted_rows(test, fit, null, terms, own, min_mac, few, block, flipped)
    n_events = np.full(own.n.size, int(null.sets.event.sum())) if impute else events.n
    return {
        **columns,
        **shared_counts(own, null.n, impute, K),
        "effect_allele_frequency_events": for_tests(frequency(events.allele_count, events.n_alleles), K),
        "n_events": for_tests(n_events, K),
    }
