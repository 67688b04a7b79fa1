"""An association explained as it may leave: groups of few people without counts, no picture of them, estimates that would count them."""

from collections.abc import Mapping
from dataclasses import replace
from typing import TypeVar

import numpy as np
import polars as pl

from genassoc.data.disclosed_tables import WITHHELD, masked
from genassoc.data.disclosure import COARSE, Policy, Withheld, groups_withheld, sums_leave
from genassoc.data.result_table import TYPES
from genassoc.errors import WithheldError
from genassoc.explanation.explained import Explained, Located
from genassoc.refit.row_data import RowData
from genassoc.shapes import BoolArray, Int64Array

AnyExplained = TypeVar("AnyExplained", bound=Explained)

_ESTIMATES = ("beta", "standard_error", "ci_lower", "ci_upper")


def counts_of(located: Located) -> Int64Array:
    """Samples, those with the outcome and those without, or of each level: (arms, groups, K), those without a call last."""
    data, which, arms = located.data, located.groups.which, located.arms
    of_arms = [np.ones(data.n, dtype=bool)] if arms is None else [arms == arm for arm in np.unique(arms)]
    people = np.ones(data.n, dtype=bool)
    if data.about.counts == "levels":
        parts = [people, *(data.y == level for level in np.unique(data.y))]
    elif data.about.counts in ("shares", "followed"):
        parts = [people, data.y > 0, data.y <= 0]
    else:
        parts = [people]
    groups = [*range(len(located.groups.names)), -1]
    return np.array([[[int((arm & (which == g) & part).sum()) for part in parts] for g in groups] for arm in of_arms])


def groups_hidden(located: Located, policy: Policy) -> BoolArray:
    """Which groups are withheld, those without a call last.

    Genotypes go together, all or none: numbers of samples and of alleles are known, of which two genotypes give the third. Samples without
    a call hide nobody else: how many they are is known from the rate of missing calls.
    """
    counts = counts_of(located)
    called, lost = counts[:, :-1], counts[:, -1:]
    hidden = groups_withheld(called, policy)
    if hidden.any() and (located.data.predictor is None or not sums_leave(called, hidden, policy)):
        hidden = np.ones_like(hidden)
    few = (lost > 0) & (lost < policy.least)
    return np.append(hidden, bool(few.any()))


def counts_that_leave(
    located: Located, counts: pl.DataFrame, policy: Policy
) -> tuple[pl.DataFrame, BoolArray, list[str]]:
    """A table of counts by genotype without the groups that are withheld; which these are; and what is said of it."""
    hidden = groups_hidden(located, policy)
    if not hidden.any():
        return counts, hidden, []
    heading, names = located.groups.heading, [*located.groups.names, located.groups.missing]
    gone = [name for name, of in zip(names, hidden) if of]
    kept = [name for name in (located.by, heading, "copies") if name]
    masks = [pl.when(pl.col(heading).is_in(gone)).then(None).otherwise(pl.col(name)).alias(name) for name in counts.columns if name not in kept]  # fmt: skip
    return (
        counts.with_columns(masks),
        hidden,
        [f"counts by {heading}: {', '.join(gone)} (a count under {policy.least})"],
    )


def picture_that_leaves(located: Located, policy: Policy | None) -> Located:
    """What may be drawn of it; of survival as long as `Policy.least` are followed in each group.

    Raises
    ------
    WithheldError
        A group, or those in it with the outcome, are too few.
    """
    if policy is None:
        return located
    if groups_hidden(located, policy)[:-1].any():
        raise WithheldError(
            f"{located.title}: no picture by {located.groups.heading} ({policy.rule}); a group, or those in it with or without the outcome, "
            "are fewer."
        )
    return replace(located, policy=policy, data=_followed_together(located, policy))


def _followed_together(located: Located, policy: Policy) -> RowData:
    """The data up to the time at which `Policy.least` are still followed in each group; numbers at risk are drawn too."""
    data = located.data
    if data.about.counts != "followed":
        return data
    assert data.time is not None and data.entry is not None
    arms = np.zeros(data.n) if located.arms is None else np.unique(located.arms, return_inverse=True)[1]
    each = [(located.groups.which == g) & (arms == arm) for g in located.groups.present for arm in np.unique(arms)]
    each = [some for some in each if some.any()]
    end = min(float(np.sort(data.time[some])[-policy.least]) for some in each)
    y = np.where(data.time <= end, data.y, 0.0)
    late = (np.isfinite(data.entry) & (data.entry > data.time.min())).any()
    if late or not all(policy.allows(float(y[some].sum())) for some in each):
        raise WithheldError(
            f"{located.title}: no survival curves ({policy.rule}): while enough are followed in each group there are too few events"
            f"{', or samples enter late' if late else ''}."
        )
    return replace(data, time=np.minimum(data.time, end), y=y)


def explained_that_leaves(explained: AnyExplained, policy: Policy | None) -> AnyExplained:
    """The same with what a policy withholds gone, from row, tables and words; ``withheld`` lists it."""
    if policy is None:
        return explained
    counts, hidden, said = counts_that_leave(explained, explained.counts, policy)
    row = row_that_leaves(explained.row, policy)
    bare = (
        not sums_leave(counts_of(explained)[:, :-1], np.ones(hidden.size - 1, dtype=bool), policy) and hidden[:-1].any()
    )
    masked_row = row[WITHHELD] is not None
    if masked_row:
        said.append(f"of the row: counts, frequencies and estimates; -log10 p has one decimal ({row[WITHHELD]})")
    arms_few = explained.arms is not None and bool(hidden[:-1].any())
    no_effects = masked_row or arms_few
    if no_effects and explained.effects is not None:
        said.append("effects by arm")
    if no_effects and explained.absolute is not None:
        said.append("risks by genotype and arm")
    if hidden[:-1].any():
        said.append("the picture")
    if bare:
        row = {**row, **{name: None for name in ("n", "n_cases", "n_controls", "n_events") if name in row}}
    return replace(
        explained, policy=policy, row=row, counts=counts, table=_coarse(explained.table) if masked_row else explained.table,
        effects=None if no_effects else explained.effects, absolute=None if no_effects else explained.absolute,
        withheld=Withheld(policy, tuple(said)),
    )  # fmt: skip


def row_that_leaves(row: Mapping[str, object], policy: Policy) -> dict[str, object]:
    """A row of results as `masked` leaves it."""
    kinds = {
        name: TYPES.get(name, pl.Float64 if isinstance(value, float | None) else None) for name, value in row.items()
    }
    known = {name: kind for name, kind in kinds.items() if kind is not None}
    frame = pl.DataFrame([dict(row)], schema_overrides=known, infer_schema_length=None)
    return masked(frame, policy).row(0, named=True)


def _coarse(table: pl.DataFrame) -> pl.DataFrame:
    """Tests side by side with p alone, to one decimal."""
    p = [name for name in table.columns if name.endswith("neg_log_10_p_value") and not name.startswith("difference")]
    gone = [name for name, kind in table.schema.items() if kind.is_numeric() and name not in p]
    return table.with_columns(
        *(pl.col(name).round(COARSE) for name in p), *(pl.lit(None, table.schema[name]).alias(name) for name in gone)
    )
