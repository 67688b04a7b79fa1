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
from genassoc.shapes import Int64Array

# What is asked of a model beside its own choices, where it accepts that: tests, then corrections of the first test it has.
_TESTS = ("score", "wald", "lrt")
_CORRECTIONS = ("firth_approx", "firth", "spa")


def rows_of_model(
    cohort: Cohort, choices: Mapping[str, Any], numbers: Int64Array, trait: str
) -> dict[str, dict[str, Any]]:
    """All rows of one variant and trait, test -> row, computed again by the choices as they are.

    Parameters
    ----------
    cohort : Cohort
    choices : mapping
        ``kind`` and the model's choices.
    numbers : int64 array (k,)
        The variant's, in the store; of alleles that are tested at once theirs, ascending.
    trait : str
    """
    return _rows(model_of(choices, trait), cohort, numbers)


def other_tests(
    cohort: Cohort, choices: Mapping[str, Any], numbers: Int64Array, trait: str, row: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """The test of ``row``, which is of `rows_of_model`, by every other method that applies; a method once."""
    test, model = str(row["test"]), model_of(choices, trait)
    found: list[dict[str, Any]] = []
    seen = {row["method"]} if not getattr(model, "like", None) else set()
    for other_model in asked_of(model):
        other = _rows(other_model, cohort, numbers)[test]
        if other["method"] is not None and other["method"] not in seen:
            seen.add(other["method"])
            found.append(other)
    return found


def asked_of(model: Any) -> list[Any]:
    """The model with each test, correction and variance that it accepts in place of its own."""
    plain: dict[str, Any] = {"min_mac": 0.0, **({"like": None} if hasattr(model, "like") else {})}
    found: list[Any] = []
    for variance in _variances(model):
        if not hasattr(model, "test"):
            found += _accepted(model, {**plain, **variance})
            continue
        if not hasattr(model, "correction"):
            for test in _TESTS:
                found += _accepted(model, {**plain, **variance, "test": test})
            continue
        tests = [test for test in _TESTS if _accepted(model, {**plain, **variance, "test": test, "correction": None})]
        found += [replace(model, **plain, **variance, test=test, correction=None) for test in tests]
        if not tests or getattr(model, "weights", None) or variance.get("variance") == "robust":
            continue
        first = {**plain, **variance, "test": tests[0], "correct_below": 1.0}
        corrected = [other for name in _CORRECTIONS for other in _accepted(model, {**first, "correction": name})]
        found += corrected or _accepted(model, {**first, "correction": "auto"})
    return found


def _variances(model: Any) -> list[dict[str, Any]]:
    """Variances to ask for: of weights both sandwiches; of models fitted with g in them the model's and a robust one; else its own."""
    if getattr(model, "weights", None):
        asked = ("auto", "hc0")
    elif getattr(model, "interaction", None) or getattr(model, "variance", "auto") in ("robust", "hc0"):
        asked = ("model" if _accepted(model, {"variance": "model"}) else "auto", "robust")
    else:
        return [{}]
    return [{"variance": name} for name in asked if _accepted(model, {"variance": name})] or [{}]


def _accepted(model: Any, choices: Mapping[str, Any]) -> list[Any]:
    """The model with these choices, or nothing where it refuses them."""
    try:
        return [replace(model, **choices)]
    except (TypeError, ValueError):
        return []


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


def _rows(model: Any, cohort: Cohort, numbers: Int64Array) -> dict[str, dict[str, Any]]:
    """The rows of one variant, or of the alleles of a record at once, test -> row, as a run would write them."""
    scan = Scan(model)
    block = cohort.block_of(numbers)
    state = scan.prepare(cohort)
    at_once = getattr(model, "alleles", "separate") == "joint"
    result = scan.sets(state, block, numbers.size) if at_once else scan.block(state, block)
    rows: dict[str, dict[str, Any]] = {}
    factors = by_unit(cohort, [int(numbers[0])])
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
