"""Cox regression with an interaction g x E: every row fitted with g in the null of its interaction.

Wald tests, then for rows below ``correct_below``, and those without a maximum (monotone likelihood), likelihood ratio
tests under Firth's penalty.
"""

from dataclasses import replace
from typing import Any

import numpy as np

from genassoc.data.block import Block
from genassoc.data.phenotypes.modifier import Modifier, check_main_effect, read_modifier, with_main_effect
from genassoc.models.base import CODES, METHODS, BlockResult
from genassoc.models.cox.null import NullCox
from genassoc.models.cox.null import prepare as prepare_nulls
from genassoc.models.cox.pairs import Survival, fill
from genassoc.models.scan.family import Choices
from genassoc.models.scan.interaction import RefitState, Terms, as_rows, for_tests, terms_of, tests_of, too_few
from genassoc.models.scan.pair_rows import PairRows
from genassoc.models.scan.product import minor_counts
from genassoc.models.scan.rows import chunks
from genassoc.models.scan.sums import AlleleCounts, GenotypeSums, allele_counts, frequency, genotype_sums, minor_is_ref
from genassoc.shapes import Array, BoolArray, Int64Array

_FLOATS = (
    "beta", "standard_error", "ci_lower", "ci_upper", "effect_allele_frequency", "neg_log_10_p_value", "mac",
    "missing_rate", "statistic", "effect_allele_frequency_events", "standard_error_model",
)  # fmt: skip
_COUNTS = ("n", "n_events", "iterations")


def prepare(model: Any, cohort: Any) -> RefitState:
    """Fit the null models, E among the covariates."""
    columns, width = np.asarray(cohort.block_columns), int(cohort.block_width)
    covariates, joined = with_main_effect(cohort.phenotypes, model.covariates, model.interaction)
    design = replace(model, covariates=covariates).design(cohort.phenotypes, cohort.rows, cohort.offsets)
    modifier = read_modifier(cohort.phenotypes, cohort.rows, model.interaction, design.complete)
    check_main_effect(modifier, design.covariates.X, design.complete)
    state = state_of(design, modifier, columns, width, model.ties == "efron")
    return replace(state, model=replace(state.model, notes=(*state.notes, *joined, *modifier.notes)))


def state_of(design: Any, modifier: Modifier, columns: Int64Array, width: int, efron: bool = True) -> RefitState:
    """What blocks need of a `SurvivalDesign` that has the main effect of E."""
    state = prepare_nulls(design, columns, width, efron)
    terms = tuple(terms_of(modifier, columns, null.columns, width, null.sets.event) for null in state.nulls)
    return RefitState(state, tests_of(modifier), terms)


def test_block(choices: Choices, state: RefitState, block: Block) -> BlockResult:
    """V x T x K rows, K tests; ``choices.test`` is "wald" or "lrt", ``correction`` "firth" or None."""
    flipped = minor_is_ref(block, state.model.cohort_columns, state.model.cohort_mask)
    shape = (block.n_variants, len(state.traits), len(state.tests))
    columns: dict[str, Array] = {name: np.full(shape, np.nan) for name in _FLOATS}
    columns |= {name: np.zeros(shape, np.int64) for name in _COUNTS}
    columns |= {name: np.zeros(shape, np.uint8) for name in ("method", "code")}
    for trait, (null, terms) in enumerate(zip(state.nulls, state.terms)):
        for name, values in _of_endpoint(choices, null, terms, block, flipped).items():
            columns[name][:, trait] = values
    return as_rows(state.traits, state.tests, columns, {"method": METHODS, "code": CODES})


test_block.__test__ = False  # type: ignore[attr-defined]  # its name is not a test's


def _of_endpoint(choices: Choices, null: NullCox, terms: Terms, block: Block, flipped: BoolArray) -> dict[str, Array]:
    """All columns (V, K) of one endpoint."""
    own = genotype_sums(block, flipped, null.columns, null.mask)
    events = allele_counts(block, null.columns[null.sets.event], null.event_mask)
    rows = PairRows.empty(terms, own.n.size)
    usable = np.ones(own.n.size, dtype=bool)
    for bad, code in (
        (own.n == 0, "n_too_small"),
        (own.constant & (own.mac > 0), "constant_genotype"),
        (own.constant, "monomorphic"),
        (own.n <= null.Q.shape[1] + 1, "n_too_small"),
        ((own.tested_mac < choices.min_mac) | too_few(block, terms), "too_few_carriers"),
        ((events.n == 0) & (not choices.impute), "no_events"),
        (np.full(own.n.size, null.failure is not None), null.failure),
    ):
        rows.fail(usable & bad, CODES.index(code))
        usable &= ~bad
    variants = np.flatnonzero(usable)
    for first, last in chunks(variants.size, null.n):
        calls = minor_counts(block, flipped, variants[first:last], null.columns)
        for v, row in zip(variants[first:last], calls):
            g = np.where(np.isnan(row), np.nanmean(row), row) if choices.impute else row
            case = Survival.of(null, np.column_stack([g, g * terms.e]), choices.impute)
            fill(choices, case, terms, int(v), rows)
    return rows.finished(flipped) | counts(choices, null, own, events, len(terms.tests))


def counts(choices: Choices, null: NullCox, own: GenotypeSums, events: AlleleCounts, K: int) -> dict[str, Array]:
    """Counts and frequencies (V, K), of those with the event too."""
    n = np.full(own.n.size, null.n) if choices.impute else own.n
    n_events = np.full(own.n.size, null.n_events) if choices.impute else events.n
    counted = {
        "effect_allele_frequency": own.frequency,
        "effect_allele_frequency_events": frequency(events.allele_count, events.n_alleles),
        "mac": own.mac,
        "missing_rate": 1.0 - own.n / max(null.n, 1),
        "n": n,
        "n_events": n_events,
    }
    return {name: for_tests(values, K) for name, values in counted.items()}
