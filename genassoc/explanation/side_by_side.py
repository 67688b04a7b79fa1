"""Tests side by side: genassoc's beside statsmodels', or beside plain numpy's where statsmodels has no such test."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from genassoc.explanation.references import REFERENCES, Reference, ReferenceTest
from genassoc.refit.fits import NotFittedError
from genassoc.refit.refit import can_refit, needs_everybody, refit
from genassoc.refit.row_data import RowData

_LEAST_SQUARES = ("t", "f", "t_hc3", "f_hc3", "t_hc0", "f_hc0")  # the same numbers under any ``like``
_NUMPY = "numpy (genassoc.refit)"


def side_by_side(
    row: Mapping[str, Any],
    own: list[dict[str, Any]],
    observed: RowData,
    everybody: RowData,
    choices: Mapping[str, Any],
    unfitted: tuple[str, ...] = (),
) -> tuple[pl.DataFrame, Reference]:
    """The table of tests of a row, and what statsmodels makes of it.

    Parameters
    ----------
    row : mapping
        Of the results.
    own : list of mapping
        The row computed again, first as it was, then by every other test.
    observed, everybody : RowData
        The samples with a call, and those without one too.
    choices : mapping
    unfitted : tuple of str
        Choices that no fit here knows: genassoc's own tests then stand alone.
    """
    reference = Reference("none")
    problem = None
    try:
        if unfitted:
            raise ValueError(f"not fitted again: {', '.join(unfitted)}")
        if not np.ptp(observed.G, axis=0).min(initial=np.inf) > 0.0:
            raise ValueError("what is tested is the same in all samples")
        reference = _by_unit(REFERENCES[observed.about.reference](observed, str(row["test"]), choices), observed.unit)
    except (np.linalg.LinAlgError, ValueError, ArithmeticError, IndexError) as error:
        problem = str(
            error
        )  # of data without an estimate statsmodels divides by 0, or has fewer coefficients than asked for
    lines, shown_methods = [], []
    for place, found in enumerate(own):
        made = place == 0 and found["method"] == row["method"]
        ours = row if made else found
        if ours["method"] is None:
            continue
        shown_methods.append(ours["method"])
        plain = choices if place == 0 else {**choices, "like": None}
        other, program = None, None
        if not unfitted:
            other, program = _reference_of(reference, str(ours["method"]), str(row["test"]), observed, everybody, plain)
        lines.append(
            {"test": row["test"], "method": ours["method"], "made_the_row": made, **_compared(ours, other, program)}
        )
    for method, other in reference.tests.items():
        if method not in shown_methods:
            nothing = dict.fromkeys(("beta", "standard_error", "neg_log_10_p_value"))
            lines.append(
                {
                    "test": row["test"],
                    "method": method,
                    "made_the_row": False,
                    **_compared(nothing, other, reference.program),
                }
            )
    table = pl.DataFrame(lines, schema=_schema(), infer_schema_length=None)
    return table, reference if problem is None else Reference(f"none ({problem})")


def _by_unit(reference: Reference, unit: float) -> Reference:
    """Effects of one unit of what is tested, of which 1 in the fit is ``unit``."""
    scaled = {
        name: replace(test, beta=test.beta / unit, standard_error=test.standard_error / unit)
        for name, test in reference.tests.items()
    }
    return replace(reference, tests=scaled)


def _reference_of(
    reference: Reference, method: str, test: str, observed: RowData, everybody: RowData, choices: Mapping[str, Any]
) -> tuple[ReferenceTest | None, str | None]:
    """What another program makes of a method: statsmodels, else plain numpy, else nothing."""
    like = choices.get("like")
    found = reference.tests.get("score" if method == "score_approx" and observed.likelihood.screened else method)
    if found is not None and not (like and method not in _LEAST_SQUARES):
        return found, reference.program
    if not can_refit(observed.about, test, method, choices):
        return None, None
    data = everybody if needs_everybody(observed.about, method, choices) else observed
    try:
        fitted = refit(data, test, method, choices)
    except (NotFittedError, np.linalg.LinAlgError):
        return None, None
    return ReferenceTest(fitted.beta, fitted.standard_error, fitted.neg_log_10_p), _NUMPY


def _compared(ours: Mapping[str, Any], other: ReferenceTest | None, program: str | None) -> dict[str, Any]:
    names = ("beta", "standard_error", "neg_log_10_p_value")
    mine = {name: ours.get(name) for name in names}
    theirs: dict[str, float | None] = dict.fromkeys(names)
    if other is not None:
        values = (other.beta, other.standard_error, other.neg_log_10_p)
        theirs = {name: None if np.isnan(value) else value for name, value in zip(names, values)}
    scale = theirs["standard_error"] or 1.0
    differences: dict[str, float | None] = {}
    for name in names:
        a, b = mine[name], theirs[name]
        unit = 1.0 if name == "neg_log_10_p_value" else scale
        differences[f"difference_{name}"] = None if a is None or b is None else (a - b) / unit
    return {**mine, "reference": program, **{f"reference_{name}": theirs[name] for name in names}, **differences}


def _schema() -> dict[str, Any]:
    names = ("beta", "standard_error", "neg_log_10_p_value")
    numbers = [*names, *(f"reference_{name}" for name in names), *(f"difference_{name}" for name in names)]
    text = {"test": pl.String, "method": pl.String, "made_the_row": pl.Boolean}
    return {
        **text,
        **dict.fromkeys(names, pl.Float64),
        "reference": pl.String,
        **dict.fromkeys(numbers[3:], pl.Float64),
    }
