"""The cohort of a run, made again from its provenance and checked against the fingerprints there."""

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.kinship import with_kinship
from genassoc.data.cohort.offset_tables import with_offsets
from genassoc.data.cohort.predictor_cohort import people_of, predictor_cohort
from genassoc.data.cohort.predictors import PredictorStore
from genassoc.data.cohort.recipe import expression_of, samples_fingerprint
from genassoc.data.phenotypes.phenotypes import Phenotypes
from genassoc.data.store.store import GenotypeStore
from genassoc.errors import InputError, printable
from genassoc.models.registry import MODELS
from genassoc.results import Results

_REMEDY = "make the cohort as it was and give it: ga.explain(results, variant, cohort=cohort), or --config gwas.toml"


def cohort_of(results: Results, cohort: Cohort | None = None, tell: Callable[[str], None] | None = None) -> Cohort:
    """The cohort that the results were computed on: given, carried by them, or made again from the files.

    Parameters
    ----------
    results : Results
    cohort : Cohort, optional
    tell : callable, optional
        Told which files are opened because the provenance names them, before they are; by default standard error is: the
        results may be a stranger's.

    Raises
    ------
    InputError
        The results have no provenance, an input is gone or no longer what it was, or a step cannot be done again.
    """
    record = results.provenance.get("inputs", {})
    if cohort is None and results.cohort is None:
        named = files_named(results.provenance)
        if named:
            (tell or _tell)(f"reading {', '.join(named)}: the record beside {results.path or 'the results'} names them")
    if "predictors" in results.provenance:
        return _of_predictors(results, results.provenance["predictors"], cohort)
    given = cohort if cohort is not None else results.cohort
    if given is None:
        if "cohort" not in record:
            raise InputError(
                f"{results.path or 'these results'} have no record of the cohort they were computed on (the file "
                f"<results>.provenance.json, written beside results by genassoc, has one): {_REMEDY}."
            )
        given = _made_again(record)
    _check(given, record)
    return _with_kinship(given, record.get("kinship") or {})


def _with_kinship(cohort: Cohort, kinship: Mapping[str, str]) -> Cohort:
    """The cohort with the relationships that a mixed model was given, read again, unchanged; those of the store are computed again."""
    digest = kinship.get("digest")
    if digest is None or "scaling" in kinship or (cohort.kinship is not None and cohort.kinship.digest == digest):
        return cohort
    if kinship.get("file") is None:
        raise InputError(
            "the kinship matrix was given as an array in memory, which is no longer there: explain the results in the session that computes "
            "them, or compute them with the matrix in a file."
        )
    made = with_kinship(cohort, kinship["file"])
    assert made.kinship is not None
    if made.kinship.digest != digest:
        raise InputError(
            f"the kinship matrix {kinship['file']} is no longer what the results were computed from: its values have changed (digest "
            f"{made.kinship.digest}, then {digest}). Compute the results again, or put the matrix back."
        )
    return made


def files_named(provenance: Mapping[str, Any]) -> list[str]:
    """Files and stores that are opened to make the cohort of a provenance again; of a link, where it leads."""
    predictors = provenance.get("predictors", {})
    people = predictors.get("people", {})
    inputs = people if predictors else provenance.get("inputs", {})
    steps = [*inputs.get("cohort", {}).get("steps", []), predictors.get("table", {})]
    if "cohort" not in inputs:
        steps.append(people.get("phenotypes", {}))
    store = inputs["store"]["path"] if "cohort" in inputs else None
    files = [step.get("file") for step in steps]
    for offsets in (step["offsets"] for step in steps if step.get("step") == "with_offsets"):
        files += offsets.values() if isinstance(offsets, Mapping) else [offsets]
    files.append((provenance.get("inputs", {}).get("kinship") or {}).get("file"))
    names = dict.fromkeys(name for name in [store, *files] if name)
    leads = {name: os.path.realpath(name) for name in names}  # Path.resolve knows no links in a circle
    return [name if leads[name] == str(Path(name).absolute()) else f"{name} -> {leads[name]}" for name in names]


def _tell(text: str) -> None:
    print(printable(text), file=sys.stderr)


def choices_of(results: Results) -> Mapping[str, Any]:
    """``kind`` and the choices of the model that made the results.

    Raises
    ------
    InputError
        They have no provenance.
    """
    choices = results.provenance.get("parameters", {}).get("model")
    if not choices:
        raise InputError(
            f"{results.path or 'these results'} do not say which model made them: <results>.provenance.json is written beside "
            "results by genassoc, and has to lie beside them; results of other programs cannot be explained."
        )
    if not isinstance(choices.get("kind"), str) or choices["kind"] not in MODELS:
        raise InputError(
            f"{results.path or 'these results'}: their record names an unknown model: {choices.get('kind')!r}."
        )
    return dict(choices)


def _of_predictors(results: Results, record: Mapping[str, Any], cohort: Cohort | None) -> Cohort:
    """The cohort of predictors: as given or carried, or their table read again beside the same samples."""
    given = results.cohort if cohort is None else cohort
    if given is None or not isinstance(given.store, PredictorStore):
        if "table" not in record:
            raise InputError(
                f"{results.path or 'these results'} were written by a version that did not record how their predictors were read: "
                "compute them again."
            )
        table, people = _table(record["table"], "predictors"), record["people"]
        if given is None:
            given = _made_again(people) if "cohort" in people else None
        sample = people_of(given) if given is not None else _table(people["phenotypes"])
        given = predictor_cohort(sample, table, record["columns"])
    _check(given, results.provenance["inputs"])
    return given


def _made_again(record: Mapping[str, Any]) -> Cohort:
    path = Path(record["store"]["path"])
    if not path.is_dir():
        raise InputError(f"the store {path}, which the results were computed from, is no longer there: {_REMEDY}.")
    store = GenotypeStore.open(path)
    if store.fingerprint != record["store"]["fingerprint"]:
        raise InputError(
            f"the store {path} is no longer what the results were computed from: its fingerprint is {store.fingerprint}, "
            f"theirs {record['store']['fingerprint']}. Compute the results again, or {_REMEDY}."
        )
    cohort: Cohort | None = None
    for step in record["cohort"]["steps"]:
        cohort = _step(step, store, cohort)
    if cohort is None:
        raise InputError(
            "the record of the results has no step that makes their cohort: genassoc did not write this record."
        )
    return cohort


def _step(step: Mapping[str, Any], store: GenotypeStore, cohort: Cohort | None) -> Cohort:
    kind = step.get("step")
    if kind == "keep_samples" and cohort is not None:
        expression = expression_of(dict(step))
        if expression is None:
            what = f"{step['n_ids']} ids" if "n_ids" in step else step.get("where", "a condition")
            raise InputError(
                f"samples were kept by {what}, of which the provenance holds no more than that (lists of ids, and Python "
                f"functions, are not written there): {_REMEDY}."
            )
        return cohort.keep_samples(expression)
    if kind == "with_sex" and cohort is not None:
        return cohort.with_sex(str(step.get("column")))
    if kind == "align":
        rule = step.get("id_rule")  # earlier versions wrote none
        table = _table(step)
        return Cohort.align(store, table, sex=step.get("sex"), build=step.get("build"), min_overlap=0.0, id_rule=rule)
    if kind == "with_covariates" and cohort is not None:
        return cohort.with_covariates(_table(step))
    if kind == "with_offsets" and cohort is not None:
        return _with_offsets(step, cohort)
    raise InputError(f"the record of the results has an unknown step {kind!r}: genassoc did not write this record.")


def _with_offsets(step: Mapping[str, Any], cohort: Cohort) -> Cohort:
    """The cohort with its offsets, read again, unchanged."""
    if step["offsets"] is None:
        raise InputError(f"offsets were given as tables in memory, which are no longer there: {_REMEDY}.")
    made = with_offsets(cohort, step["offsets"], step["traits"], step["kind"])
    assert made.offsets is not None
    if made.offsets.digest != step["digest"]:
        raise InputError(
            f"the offsets of {made.offsets.source} are no longer what the results were computed from: their values have changed "
            f"(digest {made.offsets.digest}, then {step['digest']}). Compute the results again, or {_REMEDY}."
        )
    return made


def _table(step: Mapping[str, Any], what: str = "phenotypes") -> Phenotypes:
    """The table of a step, read again, unchanged."""
    if step.get("file") is None:
        remedy = (
            _REMEDY
            if what == "phenotypes"
            else "explain them in the session that computes them, or from a file of predictors"
        )
        raise InputError(f"{what} were given as a table in memory, which is no longer there: {remedy}.")
    path = Path(step["file"])
    if not path.is_file():
        raise InputError(f"the {what} {path}, which the results were computed from, are no longer there: {_REMEDY}.")
    reading = step.get("reading", {})  # earlier versions wrote none
    declared = {name: reading.get(name) for name in ("decimal", "date_format", "encoding")}
    table = Phenotypes.read(path, sample_id=step.get("sample_id"), missing_codes=step.get("missing_codes"), **declared)
    if table.fingerprint != step.get("fingerprint"):
        raise InputError(
            f"the {what} {path} are no longer what the results were computed from: their values have changed "
            f"(fingerprint {table.fingerprint}, then {step.get('fingerprint')}). Compute the results again, or {_REMEDY}."
        )
    return table


def _check(cohort: Cohort, record: Mapping[str, Any]) -> None:
    """Refuse a cohort of other samples, phenotypes or genotypes than the results'."""
    expected = record.get("cohort", {}).get("samples")
    if expected is None or samples_fingerprint(cohort) == expected:
        return
    parts = [
        name
        for name, now, then in (
            ("genotypes or predictors", cohort.store.fingerprint, record.get("store", {}).get("fingerprint")),
            ("phenotypes", cohort.phenotypes.fingerprint, record.get("phenotypes", {}).get("fingerprint")),
        )
        if now != then
    ]
    raise InputError(
        f"this is not the cohort that the results were computed on: its {' and '.join(parts) or 'samples, sex or build'} "
        "differ. Give the cohort with the same files, columns and keep_samples."
    )
