"""The picture of an explanation: which samples go into which panel, and what is written beside them."""

from typing import Any

import numpy as np

from genassoc.explanation.words_interaction import effect_and_interval
from genassoc.plots import association
from genassoc.plots.association import Panel
from genassoc.shapes import Array


def draw(explained: Any) -> Any:
    """The matplotlib figure of an `genassoc.explanation.Explanation`: boxes, bars, levels or survival curves."""
    data, row = explained.data, explained.row
    trait, kind = str(row["trait"]), data.kind
    logp = row["neg_log_10_p_value"]
    test = "" if data.modifier is None else f"test {row['test']}, E is {data.modifier.name}: "
    caption = "" if logp is None else f"{test}{row['method']}, -log10 p {logp:.2f}; "
    whose = "samples with a call" if data.predictor is None else "samples with a value"
    caption += f"unadjusted, {whose}" if data.modifier is None else f"drawn unadjusted, {whose}"
    caption += ", each counted once whatever its weight" if data.weight is not None else ""
    caption += ", sets ignored" if data.is_matched else ""
    if kind == "logistic":
        shares = "share with " + trait
        return association.draw_shares(
            _panels(explained, data.y), shares, explained.title, f"{caption}; bars: Wilson 95 %"
        )
    if kind == "cox":
        assert data.time is not None and data.entry is not None
        start = np.where(np.isfinite(data.entry), data.entry, -np.inf)
        together = np.column_stack([data.time, data.y, start])
        time = _time_name(explained)
        return association.draw_survival(
            _panels(explained, together), time, f"without {trait}", explained.title,
            f"{caption}; Kaplan-Meier, 95 % bands" + ("; other causes censored" if explained.choices.get("cause") else ""),
        )  # fmt: skip
    if kind == "ordinal":
        n_levels = int(data.y.max()) + 1
        return association.draw_levels(_panels(explained, data.y), n_levels, "share", explained.title, caption)
    label = _outcome_name(explained)
    values = data.y / np.exp(data.offset) if kind == "poisson" else data.y
    return association.draw_boxes(
        _panels(explained, values),
        label,
        explained.title,
        f"{caption}; diamonds: means with 95 %; boxes: quartiles",
    )


def _outcome_name(explained: Any) -> str:
    """What is drawn of a quantity, or of counts."""
    trait, choices = str(explained.row["trait"]), explained.choices
    if explained.data.kind == "poisson":
        return f"{trait} per unit of exposure" if choices.get("exposure") else trait
    if choices.get("baseline"):
        baseline, traits = choices["baseline"], choices["traits"]
        before = baseline if isinstance(baseline, str) else baseline[tuple(traits).index(trait)]
        trait = f"{trait} less {before}"
    return f"{trait}, normal scores" if choices.get("rank_normalise") else trait


def _time_name(explained: Any) -> str:
    times, events = tuple(explained.choices["time"]), tuple(explained.choices["event"])
    return str(times[0] if len(times) == 1 else times[events.index(explained.row["trait"])])


def _panels(explained: Any, values: Array) -> list[Panel]:
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


def _panel_name(explained: Any, arm: str) -> str:
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
    return f"{modifier.name} = {arm}\n{effect_and_interval(found, explained.data.kind)}"
