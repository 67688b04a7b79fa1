"""What sampling weights, matched sets and sandwich variances mean for a row, in plain words."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from genassoc.refit.row_data import RowData
from genassoc.shapes import Float64Array

_FEW = 20  # degrees of freedom below which a sandwich rests on few samples


def of_sampling(row: Mapping[str, Any], data: RowData, choices: Mapping[str, Any]) -> str:
    """A paragraph about how samples were chosen and what the variance allows for; empty where nothing is special."""
    if data.is_matched:
        return _of_sets(data, str(choices["matched"]))
    if data.weighted:
        return f"{_of_weights(data, data.weight, str(choices['weights']))} {_of_variance(row)}"
    robust = choices.get("variance") in ("robust", "hc0")
    return _of_variance(row) if robust and row["method"] is not None else ""


def _of_weights(data: RowData, weight: Float64Array, column: str) -> str:
    who = ~np.isnan(data.copies)
    own = weight[who] if who.any() else weight
    effective = own.sum() ** 2 / (own**2).sum()
    return (
        f"Samples have sampling weights, {column} from {own.min():.4g} to {own.max():.4g}: one over the probability that it was sampled, "
        f"so that a sample of weight 10 stands for ten people. The effect is that in the population they were sampled from, if the weights are "
        f"correct. Unequal weights cost precision: these {own.size:,} samples are worth about {effective:,.0f} of equal weight (Kish). "
        "Counts are numbers of samples; the weighted columns beside them are numbers of the people they stand for."
    )


def _of_variance(row: Mapping[str, Any]) -> str:
    """What the variance of a row's method allows for."""
    method = str(row["method"])
    if method == "wald_robust":
        allowed = (
            "The standard error is robust (Lin and Wei): it is computed from each sample's contribution, so that it is valid where "
            "hazards are not proportional; the hazard ratio is then an average over the follow-up"
        )
    elif method.endswith("hc0"):
        allowed = (
            "The standard error is robust (a sandwich of the samples' residuals: Huber, White): it is valid where the model's variance "
            "is wrong, but is too small where carriers are few"
        )
    elif method.endswith("hc3"):
        allowed = (
            "The standard error is robust (HC3: a sandwich of the samples' residuals, each as if its sample had been left out): it is "
            "valid where the model's variance is wrong, and it does not count a sample of weight 10 as ten people"
        )
    else:
        return ""
    df = row.get("degrees_of_freedom")
    if df is None:
        return f"{allowed}."
    few = ", which are few: the interval is imprecise" if df < _FEW else ""
    return f"{allowed}. p is from Student's t with {df:,.1f} degrees of freedom{few}."


def _of_sets(data: RowData, column: str) -> str:
    who = ~np.isnan(data.copies)
    assert data.stratum is not None
    _, which = np.unique(data.stratum[who], return_inverse=True)
    size, cases = np.bincount(which), np.bincount(which, data.y[who])
    informative = (cases > 0) & (cases < size)
    n, pairs, lost = int(informative.sum()), int((informative & (size == 2)).sum()), int((~informative).sum())
    sets = f"{n:,} matched sets ({column})"
    if n:
        low, high = int(size[informative].min()), int(size[informative].max())
        sets += f" of {low:,} samples" if low == high else f" of {low:,} to {high:,} samples"
        sets += f", {pairs:,} of them pairs" if 0 < pairs < n else ""
    call, what = ("call", "genotype") if data.predictor is None else ("value", "value")
    left = f" {lost:,} more sets have no case or no control with a {call} and carry no information." if lost else ""
    return (
        f"Each case is compared with the controls of its own set only, in {sets}: what a set has in common (the age, the hospital it was "
        f"matched on) drops out, and a set in which all have the same {what} carries no information.{left} The column n_cases_expected has the "
        "number of cases expected if the cases of each set were drawn from it at random."
    )
