"""The picture of an explanation: which samples go into which panel, and what is written beside them."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from genassoc.explanation.counts import at_risk
from genassoc.explanation.explained import Located
from genassoc.explanation.words_interaction import effect_and_interval
from genassoc.plots import association
from genassoc.plots.association import Panel
from genassoc.plots.words import p_equals
from genassoc.shapes import Array
from genassoc.stats.proportions import mean_interval, poisson_rate, wilson_interval

if TYPE_CHECKING:
    from genassoc.plots.figure import Axes, Figure


def draw(explained: Located, ax: "Axes | None" = None) -> "Figure":
    """The matplotlib figure of an association: boxes, bars, levels or survival curves."""
    data, row = explained.data, explained.row
    logp = row["neg_log_10_p_value"]
    test = "" if data.modifier is None else f"test {row['test']}, E is {data.modifier.name}: "
    caption = "" if logp is None else f"{test}{row['method']}, {p_equals(logp)}; "
    whose = "samples with a call" if data.predictor is None else "samples with a value"
    caption += f"unadjusted, {whose}" if data.modifier is None else f"drawn unadjusted, {whose}"
    caption += ", each counted once whatever its weight" if data.weighted else ""
    caption += ", sets ignored" if data.is_matched else ""
    return DRAWN[data.about.counts](explained, caption, ax)


def _shares(explained: Located, caption: str, ax: "Axes | None") -> "Figure":
    shares = f"share with {explained.row['trait']}"
    panels = _panels(explained, explained.data.y)
    return association.draw_shares(panels, shares, explained.title, f"{caption}; bars: Wilson 95 %", ax)


def _curves(explained: Located, caption: str, ax: "Axes | None") -> "Figure":
    data = explained.data
    assert data.time is not None and data.entry is not None
    start = np.where(np.isfinite(data.entry), data.entry, -np.inf)
    panels = _panels(explained, np.column_stack([data.time, data.y, start]))
    caption += "; Kaplan-Meier, 95 % bands" + ("; other causes censored" if explained.choices.get("cause") else "")
    return association.draw_survival(
        panels, _time_name(explained), f"without {explained.row['trait']}", explained.title, caption, ax
    )


def _levels(explained: Located, caption: str, ax: "Axes | None") -> "Figure":
    n_levels = int(explained.data.y.max()) + 1
    return association.draw_levels(
        _panels(explained, explained.data.y), n_levels, "share", explained.title, caption, ax
    )


def _boxes(explained: Located, caption: str, ax: "Axes | None") -> "Figure":
    panels, label = _panels(explained, explained.data.y / explained.data.exposure), _outcome_name(explained)
    return association.draw_boxes(
        panels,
        label,
        explained.title,
        f"{caption}; diamonds: means with 95 %; boxes: quartiles",
        ax,
        points=explained.policy is None,
    )


# By what a family's `genassoc.models.about.About` says of its counts.
DRAWN: dict[str, Callable[[Located, str, "Axes | None"], "Figure"]] = {
    "values": _boxes, "shares": _shares, "rates": _boxes, "levels": _levels, "followed": _curves,
}  # fmt: skip


def _outcome_name(explained: Located) -> str:
    """What is drawn of a quantity, or of counts."""
    trait, choices = str(explained.row["trait"]), explained.choices
    if choices.get("exposure"):
        return f"{trait} per unit of exposure"
    if choices.get("baseline"):
        baseline, traits = choices["baseline"], choices["traits"]
        before = baseline if isinstance(baseline, str) else baseline[tuple(traits).index(trait)]
        trait = f"{trait} less {before}"
    return f"{trait}, normal scores" if choices.get("rank_normalise") else trait


def _time_name(explained: Located) -> str:
    times, events = tuple(explained.choices["time"]), tuple(explained.choices["event"])
    return str(times[0] if len(times) == 1 else times[events.index(explained.row["trait"])])


def _panels(explained: Located, values: Array) -> list[Panel]:
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


def _panel_name(explained: Located, arm: str) -> str:
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


def draw_by_arm(located: Located, ax: "Axes | None" = None) -> "Axes":
    """Axes with a line an arm: means, shares or rates of each genotype with 95 % intervals."""
    groups, data = located.groups, located.data
    kind, arms = data.about.counts, located.arms
    assert arms is not None
    lines = []
    for arm in (str(arm) for arm in np.unique(arms)):
        here = arms == arm
        some = [here & (groups.which == number) for number in groups.present]
        values = np.array([_of_group(located, own) for own in some])
        name = _panel_name(located, arm).replace("\n", ": ")
        lines.append(association.Line(name, values, tuple(int(own.sum()) for own in some)))
    names = tuple(groups.names[number].replace(" (", "\n(") for number in groups.present)
    label = {
        "values": _outcome_name, "shares": lambda found: f"share with {found.row['trait']}",
        "rates": lambda found: f"{_outcome_name(found)}, mean", "levels": lambda found: f"{found.row['trait']}, mean level",
        "followed": lambda found: f"{found.row['trait']} per unit of {_time_name(found)}",
    }[kind](located)  # fmt: skip
    caption = "unadjusted; bars: 95 %"
    if data.modifier is not None and located.effects is not None and located.by == data.modifier.name:
        between = located.effects.filter(located.effects["test"].str.ends_with(":E"))
        if between.height and between["neg_log_10_p_value"][0] is not None:
            caption = f"interaction {p_equals(between['neg_log_10_p_value'][0])} ({between['test'][0]}); {caption}"
    return association.draw_lines(lines, names, label, located.title, caption, ax)


def _of_group(located: Located, some: Array) -> tuple[float, float, float]:
    """What is drawn of a group, and its 95 % interval."""
    data, n = located.data, int(some.sum())
    if not n:
        return float("nan"), float("nan"), float("nan")
    y, kind = data.y[some], data.about.counts
    if kind == "shares":
        low, high = (float(bound) for bound in wilson_interval(y.sum(), n))
        return float(y.mean()), low, high
    if kind in ("rates", "followed"):
        total = float((at_risk(data) if kind == "followed" else data.exposure)[some].sum())
        return poisson_rate(float(y.sum()), total)
    return mean_interval(y)
