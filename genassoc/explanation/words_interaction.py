"""Rows of an interaction in plain words: what differs between whom, the effect in each arm, and what it is in risks."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import polars as pl

from genassoc.explanation.absolute import Absolute
from genassoc.models.about import About
from genassoc.refit.tested_columns import RowModifier
from genassoc.stats.absolute import NumberNeeded

_FEW = 10  # people of a genotype in an arm


def where(row: Mapping[str, Any], modifier: RowModifier) -> str:
    """At which E a row's effect of the variant is."""
    test = str(row["test"])
    if "|E=" in test:
        return f"where {modifier.name} = {test.split('|E=', 1)[1]}"
    zero = next((word for word, value in modifier.arms if value == 0.0), None)
    if zero is not None:
        return f"where {modifier.name} = {zero}"
    nobody = (
        ""
        if modifier.values.min() <= 0.0 <= modifier.values.max() and not modifier.arms
        else ", a value that no sample has"
    )
    return f"at {modifier.name} = 0{nobody}"


def difference(row: Mapping[str, Any], about: About, modifier: RowModifier, per: str) -> str:
    """What an "add:E" row says: how the effect of the variant (``per`` what) differs between arms, or for a unit of E."""
    unit = modifier.arms[1][1] - modifier.arms[0][1] if modifier.arms else 1.0
    beta, low, high = (None if value is None else unit * value for value in _numbers(row))
    assert beta is not None
    ratio, trait, E = about.ratio, row["trait"], modifier.name
    if ratio is None:
        size, interval = f"{abs(beta):.4g} {'higher' if beta > 0 else 'lower'}", _interval(low, high, float)
        effect = f"the effect of {per} on {trait} is {size}{interval}"
        if modifier.arms:
            (first, _), (second, _) = modifier.arms
            return f"{effect} where {E} = {second} than where {E} = {first}"
        return f"{effect} for each additional unit of {E}"
    times = f"{np.exp(beta):.4g} times{_interval(low, high, np.exp)}"
    if modifier.arms:
        (first, _), (second, _) = modifier.arms
        return f"the {ratio} of {trait} for {per} is, where {E} = {second}, {times} what it is where {E} = {first}"
    return f"the {ratio} of {trait} for {per} is {times} as large for each additional unit of {E}"


def in_arms(effects: pl.DataFrame, about: About, modifier: RowModifier) -> str:
    """The effect in each arm, and that the test of a difference is another one."""
    parts = [
        f"{modifier.name} = {arm['test'].split('|E=', 1)[1]}: {effect_and_interval(arm, about)}, "
        f"-log10 p {arm['neg_log_10_p_value']:.2f}"
        for arm in effects.filter(pl.col("test").str.contains("|E=", literal=True)).iter_rows(named=True)
        if arm["beta"] is not None
    ]
    if not parts:
        return ""
    between = effects.filter(pl.col("test").str.ends_with(":E")).row(0, named=True)
    return (
        f"The effect by arm: {'; '.join(parts)}. An effect in one arm and none in the other is not evidence that the arms differ: "
        f"that is tested by {between['test']}, -log10 p {between['neg_log_10_p_value']:.2f}."
    )


def effect_and_interval(row: Mapping[str, Any], about: About) -> str:
    """A row's effect on the scale that is read, with its 95 % interval."""
    beta, low, high = _numbers(row)
    assert beta is not None
    ratio = about.ratio
    if ratio is None:
        return f"effect {beta:.3g}{_interval(low, high, float)}"
    return f"{ratio} {np.exp(beta):.3g}{_interval(low, high, np.exp)}"


def in_risks(absolute: Absolute, trait: str, name: str) -> str:
    """Risks, their differences, numbers needed to treat and RERI, in words."""
    low, high = absolute.arms
    parts = []
    for genotype, arm in zip(absolute.genotypes, absolute.effects.arms):
        d = arm.difference
        shown = (
            f"{genotype}: {_percent(arm.untreated.value)} and {_percent(arm.treated.value)}, a difference of "
            f"{_percent(d.value)} ({_percent(d.ci_lower)} to {_percent(d.ci_upper)})"
        )
        parts.append(f"{shown}, {_needed(arm.number_needed)}")
    few = [f"{genotype} ({n})" for genotype, n in zip(absolute.genotypes, absolute.fewest) if n < _FEW]
    guess = f" Few people in an arm have {', '.join(few)}: their risks rest on the model." if few else ""
    reri = absolute.reri
    both = "more" if reri.value > 0 else "less"
    clear = "" if reri.ci_lower > 0 or reri.ci_upper < 0 else ", but the interval includes 0"
    return (
        f"In risks of {trait} ({name} = {low}, then {name} = {high}; everyone given that genotype and arm, covariates as they are): "
        f"{'; '.join(parts)}.{guess} RERI {reri.value:.3g} ({reri.ci_lower:.3g} to {reri.ci_upper:.3g}): one copy and the arm together do "
        f"{both} than the sum of the two alone{clear}. These are risks among the people sampled; in a case-control study they have no meaning."
    )


def _needed(need: NumberNeeded) -> str:
    """One number needed to treat."""
    if need.through_infinity:
        return "whose interval includes 0, so that no number needed to treat is given"
    what = "fewer" if need.value > 0 else "more"
    ends = sorted((abs(need.ci_lower), abs(need.ci_upper)))
    return f"one {what} with the outcome for each {abs(need.value):.3g} treated ({ends[0]:.3g} to {ends[1]:.3g})"


def _numbers(row: Mapping[str, Any]) -> tuple[float | None, float | None, float | None]:
    return row["beta"], row.get("ci_lower"), row.get("ci_upper")


def _interval(low: float | None, high: float | None, scale: Callable[[float], float]) -> str:
    if low is None or high is None:
        return ""
    ends = sorted((float(scale(low)), float(scale(high))))
    return f" (95 % interval {ends[0]:.3g} to {ends[1]:.3g})"


def _percent(share: float) -> str:
    return f"{100.0 * share:.3g} %"
