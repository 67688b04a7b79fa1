"""What a run of sets has beside that of single variants: its plan, its number of rows, its results."""

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.schema import block_variants
from genassoc.engine.plan import MAX_TASK_ROWS, Plan
from genassoc.errors import InputError, PlanError
from genassoc.models.base import AssociationModel
from genassoc.models.scan.genome import ScanState
from genassoc.models.sets.choices import ChosenSets, SetChoices
from genassoc.results import Results, SetResults
from genassoc.shapes import Int64Array

if TYPE_CHECKING:
    import polars as pl

    from genassoc.data.sets.matched import MatchedSets
    from genassoc.data.sets.variant_sets import VariantSets
    from genassoc.engine.gene_sets import GeneSetJob
    from genassoc.models.sets.analysis import SetTests

    Sets = VariantSets | MatchedSets | pl.DataFrame | str | Path


def with_sets(cohort: Cohort, model: AssociationModel, sets: "Sets", choices: SetChoices, source: str = "") -> Cohort:
    """The cohort with sets that are tested in place of single variants.

    Parameters
    ----------
    sets : VariantSets, MatchedSets, or path
    choices : SetChoices

    Raises
    ------
    PlanError
        The sets, the choices and the model do not go together, or no set has a variant in the store.
    """
    for name, plain in (("genetic_model", "additive"), ("alleles", "separate")):
        value = getattr(model, name, plain)
        if value != plain:
            raise PlanError(f"sets of variants are tested with {name}='{plain}', not '{value}': leave it out.")
    try:
        choices = choices.for_model(model)
    except ValueError as error:
        raise PlanError(f"{error}.") from error
    matched = _matched(sets, cohort)
    if not len(matched.ids):
        raise PlanError(
            f"no set has a variant in the store, so that there is nothing to test: {'; '.join(matched.notes) or 'the sets are empty'}."
        )
    chosen = ChosenSets(matched, choices, source or str(getattr(matched, "source", "")))
    _ = chosen.weights  # which refuses those that are not there
    notes = tuple(note for note in matched.lines() if note not in cohort.notes)
    return replace(cohort, sets=chosen, notes=(*cohort.notes, *notes))


def _matched(sets: "Sets", cohort: Cohort) -> "MatchedSets":
    """Sets as numbers of the cohort's store."""
    from genassoc.data.sets.matched import MatchedSets, match_sets
    from genassoc.data.sets.variant_sets import VariantSets
    from genassoc.verbs.sets import read_sets

    if isinstance(sets, MatchedSets):
        if sets.store_fingerprint != cohort.store.fingerprint:
            raise InputError(
                "the sets were matched to another store: give the sets themselves, as read_sets gives them."
            )
        return sets
    if not isinstance(sets, VariantSets):
        sets = read_sets(sets)
    return match_sets(sets, cohort)


def members_of(cohort: Cohort) -> tuple[Int64Array, ...]:
    """The variants of each of a cohort's sets."""
    return tuple(cohort.sets.matched.members)


def rows_of_set(cohort: Cohort, model: AssociationModel) -> int:
    """Rows of results of a set, those without one of its variants left out."""
    names = model.rows_per_variant // len(model.traits)  # of a burden: more with an interaction
    chosen = cohort.sets
    return chosen.choices.rows_per_set(len(chosen.matched.masks), len(model.traits), max(1, names))


def rows_of_variant(cohort: Cohort, model: AssociationModel) -> int:
    """Rows of results of a variant: of sets, on average, at least one."""
    if cohort.sets is None:
        return model.rows_per_variant
    sets = members_of(cohort)
    variants = sum(members.size for members in sets)
    rows = len(sets) * rows_of_set(cohort, model)
    if cohort.sets.choices.leave_one_out:
        rows += 2 * variants * cohort.sets.choices.n_bins * len(cohort.sets.matched.masks) * len(model.traits)
    return max(1, math.ceil(rows / max(1, variants)))


def plan_sets(
    cohort: Cohort,
    model: AssociationModel,
    identity: str,
    *,
    n_parts: int = 1,
    settings: Mapping[str, object] | None = None,
) -> Plan:
    """Tasks of whole sets, each with about as many rows as a row group may have at most."""
    store = cohort.store
    cut = min(
        block_variants(store.n_samples, cohort.has_dosages), max(1, MAX_TASK_ROWS // rows_of_variant(cohort, model))
    )
    return Plan.by_set(
        members_of(cohort),
        store.contig_runs(),
        store.block_variants,
        identity,
        cut=cut,
        n_parts=n_parts,
        settings=settings,
    )


def set_tests(cohort: Cohort, model: AssociationModel) -> "SetTests":
    """The analysis of a cohort's sets, a `genassoc.models.sets.analysis.SetTests`; imported when it is asked for."""
    from genassoc.models.sets.analysis import SetTests

    return SetTests(model, cohort.sets)


def set_job(cohort: Cohort, analysis: "SetTests", plan: Plan, state: ScanState) -> "GeneSetJob":
    """The job of a cohort's sets, a `genassoc.engine.gene_sets.GeneSetJob`."""
    from genassoc.engine.gene_sets import GeneSetJob

    return GeneSetJob(cohort, analysis, plan.block_variants, state, members_of(cohort))


def results_of(path: Path, record: Mapping[str, object], cohort: Cohort) -> Results:
    """The results of a run, of variants or of sets."""
    kind = Results if cohort.sets is None else SetResults
    return kind(path, record, cohort)
