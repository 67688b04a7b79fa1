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
        f"Samples have sampling weights, {column} from {own.min():.4g} to {own.max():.4g}: one over the chance that each was taken, so "
        f"that a sample of weight 10 stands for ten people. The effect is that among all who could have been sampled, if the weights are "
        f"right; unequal weights cost precision, and these {own.size:,} samples are worth about {effective:,.0f} of equal weight (Kish). "
        "Counts are of the samples as they are; the weighted columns beside them are of the people they stand for."
    )


def _of_variance(row: Mapping[str, Any]) -> str:
    """What the variance of a row's method allows for."""
    method = str(row["method"])
    if method == "wald_robust":
        said = (
            "The standard error is robust (Lin and Wei): it is made of what each sample contributes, so that it holds where "
            "hazards are not proportional; the hazard ratio is then an average over the follow-up"
        )
    elif method.endswith("hc0"):
        said = (
            "The standard error is a sandwich of the samples' own residuals (Huber, White): it holds where the model's variance is "
            "wrong, but is too small where carriers are few"
        )
    elif method.endswith("hc3"):
        said = (
            "The standard error is a sandwich of the samples' own residuals, each as if its sample had been left out (HC3): it holds "
            "where the model's variance is wrong, and does not take a weight for that many people"
        )
    else:
        return ""
    df = row.get("degrees_of_freedom")
    if df is None:
        return f"{said}."
    few = ": few, so that the interval is rough" if df < _FEW else ""
    return f"{said}. p is of Student's t with {df:,.1f} degrees of freedom{few}."


def _of_sets(data: RowData, column: str) -> str:
    who = ~np.isnan(data.copies)
    assert data.stratum is not None
    _, which = np.unique(data.stratum[who], return_inverse=True)
    size, cases = np.bincount(which), np.bincount(which, data.y[who])
    says = (cases > 0) & (cases < size)
    n, pairs, lost = int(says.sum()), int((says & (size == 2)).sum()), int((~says).sum())
    sets = f"{n:,} matched sets ({column})"
    if n:
        low, high = int(size[says].min()), int(size[says].max())
        sets += f" of {low:,} samples" if low == high else f" of {low:,} to {high:,} samples"
        sets += f", {pairs:,} of them pairs" if 0 < pairs < n else ""
    call, what = ("call", "genotype") if data.predictor is None else ("value", "value")
    left = f" {lost:,} more sets have no case or no control with a {call} and say nothing." if lost else ""
    return (
        f"Each case is compared with the controls of its own set only, in {sets}: what a set has in common (the age, the hospital it was "
        f"matched on) drops out, and a set in which all have the same {what} says nothing.{left} The column n_cases_expected has the "
        "cases that there would be if those of each set were drawn from it by lot."
    )
