"""The picture of an explanation: which samples go into which panel, and what is written beside them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from genassoc.explanation.explained import Explained
from genassoc.explanation.words_interaction import effect_and_interval
from genassoc.plots import association
from genassoc.plots.association import Panel
from genassoc.shapes import Array


def draw(explained: Explained) -> Any:
    """The matplotlib figure of an `genassoc.explanation.explained.Explained`: boxes, bars, levels or survival curves."""
    data, row = explained.data, explained.row
    logp = row["neg_log_10_p_value"]
    test = "" if data.modifier is None else f"test {row['test']}, E is {data.modifier.name}: "
    caption = "" if logp is None else f"{test}{row['method']}, -log10 p {logp:.2f}; "
    whose = "samples with a call" if data.predictor is None else "samples with a value"
    caption += f"unadjusted, {whose}" if data.modifier is None else f"drawn unadjusted, {whose}"
    caption += ", each counted once whatever its weight" if data.weighted else ""
    caption += ", sets ignored" if data.is_matched else ""
    return DRAWN[data.about.counts](explained, caption)


def _shares(explained: Explained, caption: str) -> Any:
    shares = f"share with {explained.row['trait']}"
    panels = _panels(explained, explained.data.y)
    return association.draw_shares(panels, shares, explained.title, f"{caption}; bars: Wilson 95 %")


def _curves(explained: Explained, caption: str) -> Any:
    data = explained.data
    assert data.time is not None and data.entry is not None
    start = np.where(np.isfinite(data.entry), data.entry, -np.inf)
    panels = _panels(explained, np.column_stack([data.time, data.y, start]))
    caption += "; Kaplan-Meier, 95 % bands" + ("; other causes censored" if explained.choices.get("cause") else "")
    return association.draw_survival(
        panels, _time_name(explained), f"without {explained.row['trait']}", explained.title, caption
    )


def _levels(explained: Explained, caption: str) -> Any:
    n_levels = int(explained.data.y.max()) + 1
    return association.draw_levels(_panels(explained, explained.data.y), n_levels, "share", explained.title, caption)


def _boxes(explained: Explained, caption: str) -> Any:
    panels, label = _panels(explained, explained.data.y / explained.data.exposure), _outcome_name(explained)
    return association.draw_boxes(
        panels, label, explained.title, f"{caption}; diamonds: means with 95 %; boxes: quartiles"
    )


# By what a family's `genassoc.models.about.About` says of its counts.
DRAWN: dict[str, Callable[[Explained, str], Any]] = {
    "values": _boxes, "shares": _shares, "rates": _boxes, "levels": _levels, "followed": _curves,
}  # fmt: skip


def _outcome_name(explained: Explained) -> str:
    """What is drawn of a quantity, or of counts."""
    trait, choices = str(explained.row["trait"]), explained.choices
    if choices.get("exposure"):
        return f"{trait} per unit of exposure"
    if choices.get("baseline"):
        baseline, traits = choices["baseline"], choices["traits"]
        before = baseline if isinstance(baseline, str) else baseline[tuple(traits).index(trait)]
        trait = f"{trait} less {before}"
    return f"{trait}, normal scores" if choices.get("rank_normalise") else trait


def _time_name(explained: Explained) -> str:
    times, events = tuple(explained.choices["time"]), tuple(explained.choices["event"])
    return str(times[0] if len(times) == 1 else times[events.index(explained.row["trait"])])


def _panels(explained: Explained, values: Array) -> list[Panel]:
    """One panel an arm, one group a genotype (or level) that occurs in any of them."""
    groups = explained.groups
    present, which = groups.present, groups.which
    names = tuple(groups.names[number].replace(" (", "\n(") for number in present)  # a third has its bounds below
    arms = [""] if explained.arms is None else [str(arm) for arm in np.unique(explained.arms)]
    panels = []
    for arm in arms:
        here = np.ones(which.size, dtype=bool) if explained.arms is None else explained.arms == arm
        own = tuple(values[here & (which == number)] for number in present)
        panels.append(Panel(_panel_name(explained, arm), names, own))
    return panels


def _panel_name(explained: Explained, arm: str) -> str:
    """The arm, and under it the effect of the variant there where the model has one."""
    modifier = explained.data.modifier
    if not arm:
        return ""
    if modifier is None or explained.by != modifier.name or explained.effects is None:
        return f"{explained.by} = {arm}"
    if not modifier.arms:
        return f"{modifier.name}: {arm}"
    found = explained.effects.filter(explained.effects["test"].str.ends_with(f"|E={arm}")).row(0, named=True)
    if found["beta"] is None:
        return f"{modifier.name} = {arm}\nno estimate"
    return f"{modifier.name} = {arm}\n{effect_and_interval(found, explained.data.about)}"
