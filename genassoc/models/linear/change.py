"""Change from a baseline: the trait after minus the trait before, and whether variants move the baseline itself.

A change correlates with its baseline by construction (regression to the mean), so that a variant that raises the
baseline seems to lower the change; with the baseline among the covariates the change and the value afterwards give the
same test (Vickers and Altman 2001, BMJ 323:1123). Where the variant itself moves the baseline, the adjusted effect is
that among people of one baseline, no longer the total one: rows with a signal therefore carry the test of the baseline.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from genassoc.data.block import Block
from genassoc.data.phenotypes.design import Design
from genassoc.errors import PhenotypeError
from genassoc.models.base import BlockResult
from genassoc.models.linear.dense import fit_row
from genassoc.models.linear.null import LinearState, NullGroup, prepare
from genassoc.models.scan.genome import with_covariates
from genassoc.models.scan.product import minor_counts
from genassoc.models.scan.sums import minor_is_ref
from genassoc.shapes import Float64Array, Int64Array
from genassoc.stats.tails import neg_log_10_p_t

_ROUNDING = 1e-12  # of a difference, relative to what it is of
SIGNAL = 4.0  # -log10 p of the change from which the baseline is tested too


@dataclass(frozen=True)
class Baseline:
    """The baseline of some traits, and what it is tested with: the covariates without itself.

    Attributes
    ----------
    name : str
    traits : tuple of int
        Which of the model's traits start from it.
    values : float64 array (N,)
        By the columns of a block; 0 for samples that take no part.
    X : float64 array (N, C)
        Covariates, the constant first.
    """

    name: str
    traits: tuple[int, ...]
    values: Float64Array
    X: Float64Array


@dataclass(frozen=True)
class ChangeState(LinearState):
    """The state of a linear model of changes.

    Attributes
    ----------
    baselines : tuple of Baseline
    """

    baselines: tuple[Baseline, ...] = ()


def baseline_names(value: Any, traits: tuple[str, ...]) -> tuple[str, ...]:
    """One baseline a trait, in the order of the traits.

    Raises
    ------
    ValueError
        It is no name, list or mapping of names; there is not one for each trait; or a trait is its own baseline.
    """
    if isinstance(value, str):
        value = (value,)
    if isinstance(value, Mapping):
        odd = sorted(set(value) ^ set(traits))
        if odd:
            raise ValueError(f"baseline maps each trait to its baseline; these are of one side only: {', '.join(odd)}")
        value = tuple(value[trait] for trait in traits)
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) and name.strip() for name in value):
        raise ValueError(f"baseline is a column such as baseline='ldl_before', one a trait, not {value!r}")
    if len(value) != len(traits):
        raise ValueError(
            f"{len(value)} baselines for {len(traits)} traits: give one for each, in their order, or a mapping "
            "baseline={'ldl': 'ldl_before'}"
        )
    for trait, name in zip(traits, value):
        if trait == name:
            raise ValueError(f"the trait '{trait}' cannot be its own baseline: the change would be 0 in everybody")
    return tuple(value)


def prepare_changes(model: Any, cohort: Any) -> ChangeState:
    """The null models of changes: for each baseline a design of its own, so that traits do not depend on each other's."""
    columns = np.asarray(cohort.block_columns)
    groups: list[NullGroup] = []
    notes: list[str] = []
    baselines = []
    incomplete = np.ones(len(cohort.rows), np.bool_)
    for name in dict.fromkeys(model.baseline):
        traits = np.flatnonzero([own == name for own in model.baseline])
        before = cohort.phenotypes.numbers(cohort.phenotypes.resolve((name,), "trait")[0], cohort.rows)
        state, complete = _state_of(model, cohort, name, traits, before)
        groups += [_of_traits(group, traits) for group in state.groups]
        incomplete &= ~complete
        notes += [note for note in state.notes if note not in notes]
        baselines.append(_baseline(model, cohort, name, traits, before))
        notes += _notes(model, baselines[-1], [model.traits[t] for t in traits])
    mask = state.cohort_mask
    return ChangeState(
        model.traits, columns, mask, tuple(groups), int(incomplete.sum()), tuple(notes), tuple(baselines)
    )


def adjusted_for_baseline(model: Any, cohort: Any) -> tuple[Any, Float64Array, tuple[str, ...]]:
    """The model with its one baseline among the covariates, the baseline's values (N,), its name, then notes.

    For tests that fit every row (interaction, robust variance); variants are not tested on the baseline there.
    """
    name = model.baseline[0]
    before = cohort.phenotypes.numbers(cohort.phenotypes.resolve((name,), "trait")[0], cohort.rows)
    own = replace(model, baseline=None, adjust_baseline=True)
    if model.adjust_baseline and name not in model.covariates:
        own = with_covariates(own, (name,))
    notes = _change_notes(model, name, list(model.traits))
    return own, before, (name, *notes, f"rows are not tested on {name} itself (no baseline_neg_log_10_p)")


def of_change(design: Design, before: Float64Array, name: str) -> Design:
    """The design with each trait's change from ``before`` (N,) in its place.

    Raises
    ------
    PhenotypeError
        Nobody has a change, or it is the same in all.
    """
    after = design.y
    design = replace(design, y=after - before[:, None])
    for t, trait in enumerate(design.traits):
        usable = design.complete & ~np.isnan(design.y[:, t])
        change = design.y[usable, t]
        if not change.size:
            raise PhenotypeError(
                f"no sample has '{trait}', its baseline '{name}' and all covariates: there is no change"
            )
        if np.ptp(change) <= _ROUNDING * np.abs(after[usable, t]).max():
            raise PhenotypeError(
                f"the change of '{trait}' from '{name}' is {change[0]:g} in all {change.size} samples: there is nothing "
                "to associate. Check that they are two measurements"
            )
    return design


def _state_of(model: Any, cohort: Any, name: str, traits: Int64Array, before: Float64Array) -> tuple[LinearState, Any]:
    """The linear state of the traits of one baseline, and who has all covariates."""
    own = replace(model, traits=tuple(model.traits[t] for t in traits), baseline=None, adjust_baseline=True)
    if model.adjust_baseline and name not in model.covariates:
        own = with_covariates(own, (name,))
    design = of_change(cohort.design(own.traits, own.covariates, kind=model.outcome), before, name)
    state = prepare(design, np.asarray(cohort.block_columns), int(cohort.block_width), model.rank_normalise)
    return state, design.complete


def _of_traits(group: NullGroup, traits: Int64Array) -> NullGroup:
    """The group with its traits numbered as the model's."""
    nulls = tuple(replace(null, traits=traits[null.traits]) for null in group.nulls)
    return replace(group, nulls=nulls, traits=traits[group.traits])


def _baseline(model: Any, cohort: Any, name: str, traits: Int64Array, before: Float64Array) -> Baseline:
    covariates = model.covariates
    if not isinstance(covariates, str):
        covariates = tuple(own for own in covariates if own != name)
    design = cohort.design((), covariates, kind=model.outcome)
    X = np.zeros((int(cohort.block_width), design.X.shape[1]))
    X[cohort.block_columns] = design.X
    values = np.zeros(X.shape[0])
    values[cohort.block_columns] = np.nan_to_num(before)
    return Baseline(name, tuple(int(t) for t in traits), values, X)


def _change_notes(model: Any, name: str, traits: list[str]) -> list[str]:
    notes = []
    for trait in traits:
        change = f"{trait} is analysed as its change, {trait} - {name}"
        if model.adjust_baseline:
            notes.append(f"{change}, adjusted for {name}")
        else:
            notes.append(
                f"warning: {change}, NOT adjusted for {name}: by regression to the mean people who start high "
                "fall more, so that a variant that only moves the baseline seems to move the change; leave "
                "adjust_baseline=False out unless that is what is asked"
            )
    return notes


def _notes(model: Any, baseline: Baseline, traits: list[str]) -> list[str]:
    notes = _change_notes(model, baseline.name, traits)
    if isinstance(model.covariates, str) and baseline.name in model.covariates:
        notes.append(
            f"{baseline.name} is in the formula of covariates: variants are not tested on {baseline.name} itself"
        )
    if model.genetic_model == "genotypic":
        notes.append(f"genotypic rows are not tested on {baseline.name} itself (no baseline_neg_log_10_p)")
    return notes


def with_baseline_tests(impute: bool, state: LinearState, block: Block, result: BlockResult) -> BlockResult:
    """The rows with ``baseline_neg_log_10_p``: of rows past 1e-4, p of the baseline on g and the other covariates.

    On the samples of the row, by t as `Linear` has it; NaN in all other rows. A small p says that the variant moves the
    baseline itself.
    """
    if not isinstance(state, ChangeState):
        return result
    found = np.full(result.columns["beta"].shape, np.nan)
    signal = np.nan_to_num(result.columns["neg_log_10_p_value"]) >= SIGNAL
    flipped = minor_is_ref(block, state.cohort_columns, state.cohort_mask) if signal.any() else np.zeros(0, np.bool_)
    null_of = {int(trait): null for null in state.nulls for trait in null.traits}
    for baseline in state.baselines:
        for t in baseline.traits:
            samples = null_of[t].columns
            for v in np.flatnonzero(signal[:, t]):
                g = minor_counts(block, flipped, np.array([v]), samples)[0]
                row = fit_row(g, baseline.X, baseline.values, samples, impute)
                found[v, t] = neg_log_10_p_t(row.t, row.df)
    return replace(result, columns={**result.columns, "baseline_neg_log_10_p": found})
