"""Every test of genassoc's that applies to one variant and trait: the model run with its choices changed."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np

from genassoc.data.cohort import Cohort
from genassoc.methods.registry import MODELS
from genassoc.methods.scan import Scan

_LIKELIHOOD: tuple[dict[str, Any], ...] = (
    {"test": "score", "correction": None},
    {"test": "wald", "correction": None},
    {"test": "lrt", "correction": None},
)
_CORRECTED: tuple[dict[str, Any], ...] = (
    {"test": "score", "correction": "firth_approx", "correct_below": 1.0},
    {"test": "score", "correction": "firth", "correct_below": 1.0},
    {"test": "score", "correction": "spa", "correct_below": 1.0},
)
# What is asked of a model beside its own choices; a new kind of model is a line here.
ASKED: dict[str, tuple[dict[str, Any], ...]] = {
    "linear": ({},),
    "logistic": (*_LIKELIHOOD, *_CORRECTED),
    "cox": (*_LIKELIHOOD, *_CORRECTED),
    "poisson": _LIKELIHOOD,
    "ordinal": _LIKELIHOOD,
}
_GENOTYPIC = ({"test": "wald", "correction": None}, {"test": "lrt", "correction": None})


def own_tests(cohort: Cohort, choices: Mapping[str, Any], number: int, trait: str, test: str) -> list[dict[str, Any]]:
    """Rows of one variant and trait: first by the choices as they are, then by every test; a method once.

    Parameters
    ----------
    cohort : Cohort
    choices : mapping
        ``kind`` and the model's choices.
    number : int
        The variant's, in the store.
    trait, test : str
        Which of the model's rows.
    """
    kind = str(choices["kind"])
    model = model_of(choices, trait)
    asked = ASKED[kind]
    if choices.get("genetic_model") == "genotypic" and kind != "linear":
        asked = _GENOTYPIC
    found = [_row(model, cohort, number, test)]
    seen = {found[0]["method"]} if not getattr(model, "like", None) else set()
    for change in asked:
        plain: dict[str, Any] = {"min_mac": 0.0, **({"like": None} if hasattr(model, "like") else {}), **change}
        row = _row(replace(model, **plain), cohort, number, test)
        if row["method"] is not None and row["method"] not in seen:
            seen.add(row["method"])
            found.append(row)
    return found


def model_of(choices: Mapping[str, Any], trait: str) -> Any:
    """The model that a run's provenance describes, of one trait only: its rows are the same bits alone."""
    cls = MODELS[str(choices["kind"])]
    known = {choice.name for choice in fields(cls)}
    given = {
        name: tuple(value) if isinstance(value, list) else value for name, value in choices.items() if name in known
    }
    if "event" in known:
        events, times = tuple(given["event"]), tuple(given["time"])
        given["time"] = times if len(times) == 1 else (times[events.index(trait)],)
        given["event"] = (trait,)
    else:
        if given.get("baseline"):
            given["baseline"] = (given["baseline"][tuple(given["traits"]).index(trait)],)
        given["traits"] = (trait,)
    return cls(**given)


def _row(model: Any, cohort: Cohort, number: int, test: str) -> dict[str, Any]:
    """The row of one variant, as a run would write it."""
    scan = Scan(model)
    result = scan.block(scan.prepare(cohort), cohort.read(number, number + 1))
    at = result.labels["test"].index(test)
    row: dict[str, Any] = {"test": test}
    for name, values in result.columns.items():
        value = values[0, at]
        if name in result.categories:
            row[name] = result.categories[name][int(value)]
        else:
            row[name] = None if np.isnan(value) else value.item()
    return row
