"""What a run of sets has beside that of single variants: its plan, its number of rows, its results."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.schema import block_variants
from genassoc.engine.plan import MAX_TASK_ROWS, Plan
from genassoc.models.base import AssociationModel
from genassoc.results import Results, SetResults
from genassoc.shapes import Int64Array


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
    cohort: Cohort, model: AssociationModel, identity: str, *, n_parts: int = 1, settings: dict[str, Any] | None = None
) -> Plan:
    """Tasks of whole sets, each with about as many rows as a row group may have at most."""
    store = cohort.store
    cut = min(block_variants(store.n_samples, cohort.has_dosages), max(1, MAX_TASK_ROWS // rows_of_variant(cohort, model)))
    return Plan.by_set(
        members_of(cohort), store.contig_runs(), store.block_variants, identity, cut=cut, n_parts=n_parts, settings=settings
    )


def results_of(path: Path, record: Mapping[str, Any], cohort: Cohort) -> Results:
    """The results of a run, of variants or of sets."""
    kind = Results if cohort.sets is None else SetResults
    return kind(path, record, cohort)
