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
# Of models whose rows are fitted with g in them, as an interaction's are: no score test, and another variance.
_MODEL: dict[str, Any] = {"variance": "model"}
_ROBUST: dict[str, Any] = {"variance": "robust"}
REFITTED: dict[str, tuple[dict[str, Any], ...]] = {
    "linear": (_MODEL, _ROBUST),
    "logistic": (
        *({**_MODEL, "test": test, "correction": None} for test in ("wald", "lrt")),
        {**_MODEL, "test": "wald", "correction": "firth", "correct_below": 1.0},
        {**_ROBUST, "test": "wald", "correction": None},
    ),
    "cox": (
        *({"test": test, "correction": None} for test in ("wald", "lrt")),
        {"test": "wald", "correction": "firth", "correct_below": 1.0},
    ),
}
_GENOTYPIC = ({"test": "wald", "correction": None}, {"test": "lrt", "correction": None})


def own_rows(cohort: Cohort, choices: Mapping[str, Any], number: int, trait: str) -> dict[str, dict[str, Any]]:
    """All rows of one variant and trait, test -> row, computed again by the choices as they are.

    Parameters
    ----------
    cohort : Cohort
    choices : mapping
        ``kind`` and the model's choices.
    number : int
        The variant's, in the store.
    trait : str
    """
    return _rows(model_of(choices, trait), cohort, number)


def other_tests(
    cohort: Cohort, choices: Mapping[str, Any], number: int, trait: str, row: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The test of ``row``, which is of `own_rows`, by every other method that applies; a method once."""
    kind, test = str(choices["kind"]), str(row["test"])
    model = model_of(choices, trait)
    asked = ASKED[kind]
    if choices.get("interaction") or choices.get("variance") == "robust":
        asked = REFITTED[kind]
    elif choices.get("genetic_model") == "genotypic" and kind != "linear":
        asked = _GENOTYPIC
    found: list[dict[str, Any]] = []
    seen = {row["method"]} if not getattr(model, "like", None) else set()
    for change in asked:
        plain: dict[str, Any] = {"min_mac": 0.0, **({"like": None} if hasattr(model, "like") else {}), **change}
        other = _rows(replace(model, **plain), cohort, number)[test]
        if other["method"] is not None and other["method"] not in seen:
            seen.add(other["method"])
            found.append(other)
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


def _rows(model: Any, cohort: Cohort, number: int) -> dict[str, dict[str, Any]]:
    """The rows of one variant, test -> row, as a run would write them."""
    scan = Scan(model)
    result = scan.block(scan.prepare(cohort), cohort.read(number, number + 1))
    rows: dict[str, dict[str, Any]] = {}
    for at, test in enumerate(result.labels["test"]):
        rows[test] = {"test": test}
        for name, values in result.columns.items():
            value = values[0, at]
            if name in result.categories:
                rows[test][name] = result.categories[name][int(value)]
            else:
                rows[test][name] = None if np.isnan(value) else value.item()
    return rows
