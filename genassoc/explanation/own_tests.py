"""Every test of genassoc's that applies to one variant and trait: the model run with its choices changed."""

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any

import numpy as np

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.predictor_cohort import EFFECTS, by_unit
from genassoc.errors import InputError
from genassoc.models.registry import MODELS
from genassoc.models.scan.genome import Scan

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
# Of sampling weights, whose variance is a sandwich; of matched sets (hits of score tests may have an exact one).
SAMPLED: dict[str, tuple[dict[str, Any], ...]] = {
    "linear": ({"variance": "auto"}, {"variance": "hc0"}),
    "logistic": ({"variance": "auto"}, {"variance": "hc0"}),
    "cox": ({},),
}
MATCHED: tuple[dict[str, Any], ...] = (*_LIKELIHOOD, {"test": "score", "correction": "auto", "correct_below": 1.0})
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
    test, model = str(row["test"]), model_of(choices, trait)
    found: list[dict[str, Any]] = []
    seen = {row["method"]} if not getattr(model, "like", None) else set()
    for change in asked_of(choices):
        plain: dict[str, Any] = {"min_mac": 0.0, **({"like": None} if hasattr(model, "like") else {}), **change}
        other = _rows(replace(model, **plain), cohort, number)[test]
        if other["method"] is not None and other["method"] not in seen:
            seen.add(other["method"])
            found.append(other)
    return found


def asked_of(choices: Mapping[str, Any]) -> tuple[dict[str, Any], ...]:
    """What is asked of a model with these choices."""
    kind, variance = str(choices["kind"]), choices.get("variance")
    if choices.get("matched"):
        return MATCHED
    if choices.get("weights"):
        return SAMPLED[kind]
    if kind == "cox" and variance == "robust" and not choices.get("interaction"):
        return tuple({**_MODEL, **change} for change in ASKED[kind])
    if choices.get("interaction") or variance in ("robust", "hc0"):
        return REFITTED[kind]
    return _GENOTYPIC if choices.get("genetic_model") == "genotypic" and kind != "linear" else ASKED[kind]


def model_of(choices: Mapping[str, Any], trait: str) -> Any:
    """The model that a run's provenance describes, of one trait only: its rows are the same bits alone.

    Raises
    ------
    InputError
        Its choices make no model: the record is none that genassoc wrote.
    """
    try:
        return _model_of(choices, trait)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"the choices in the record of these results make no model ({error}): it is none that genassoc wrote, or another version's."
        ) from error


def _model_of(choices: Mapping[str, Any], trait: str) -> Any:
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
    try:
        return cls(**given)
    except (TypeError, ValueError) as error:
        raise InputError(f"the model in the provenance of these results is none: {error}") from None


def _rows(model: Any, cohort: Cohort, number: int) -> dict[str, dict[str, Any]]:
    """The rows of one variant, test -> row, as a run would write them."""
    scan = Scan(model)
    result = scan.block(scan.prepare(cohort), cohort.read(number, number + 1))
    rows: dict[str, dict[str, Any]] = {}
    factors = by_unit(cohort, [number])
    for at, test in enumerate(result.labels["test"]):
        rows[test] = {"test": test}
        for name, values in result.columns.items():
            value = values[0, at]
            if name in result.categories:
                rows[test][name] = result.categories[name][int(value)]
            else:
                rows[test][name] = None if np.isnan(value) else value.item()
        if factors is not None:
            scaled = {name: rows[test][name] for name in EFFECTS if rows[test].get(name) is not None}
            rows[test] |= {name: value * float(factors[0]) for name, value in scaled.items()}
    return rows
