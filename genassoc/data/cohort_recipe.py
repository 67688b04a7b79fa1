"""How a cohort was made, as JSON values for the provenance: enough to make it again from the same files, and no more.

Files are named by absolute paths; who was kept by a condition is told by the condition. Ids are never written, nor anybody's
sex: a provenance file may travel with published results. A table given from memory and a list of ids are told by their
size and hash, which check a cohort and cannot make one.
"""

import hashlib
import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl

from genassoc.data.id_rules import Rules
from genassoc.data.phenotypes import Phenotypes

# Marks of Python functions in a polars expression: these are pickled code, which is never loaded from a provenance file.
_CODE = ("AnonymousFunction", "PythonUdf", "Python", "python")

_LONG = 4000  # letters; a longer condition holds a list, perhaps of ids


def aligned(table: Phenotypes, sex: str | None, build: str | None, rules: Rules) -> dict[str, Any]:
    """The step of `Cohort.align`."""
    return {"step": "align", **origin_of(table), "sex": sex, "build": build, "id_rule": str(rules)}


def joined(table: Phenotypes) -> dict[str, Any]:
    """The step of `Cohort.with_covariates`."""
    return {"step": "with_covariates", **origin_of(table)}


def sex_of(column: str) -> dict[str, Any]:
    """The step of `Cohort.with_sex`."""
    return {"step": "with_sex", "column": column}


def kept(choice: pl.Expr | Sequence[str]) -> dict[str, Any]:
    """The step of `Cohort.keep_samples`."""
    if not isinstance(choice, pl.Expr):
        digest = hashlib.sha256("\n".join(sorted(choice)).encode()).hexdigest()[:16]
        return {"step": "keep_samples", "n_ids": len(set(choice)), "ids_hash": digest}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # polars warns that other versions of it may not read this
        text = choice.meta.serialize(format="json")
    step: dict[str, Any] = {"step": "keep_samples", "where": str(choice)}
    if len(text) > _LONG or any(mark in text for mark in _CODE):
        return step
    return {**step, "expression": json.loads(text)}


def expression_of(step: dict[str, Any]) -> pl.Expr | None:
    """The condition of a step of `kept`; None where it is not there, or holds code, or polars no longer reads it."""
    if "expression" not in step:
        return None
    text = json.dumps(step["expression"])
    if any(mark in text for mark in _CODE):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pl.Expr.deserialize(text.encode(), format="json")
    except (pl.exceptions.PolarsError, ValueError):
        return None


def samples_fingerprint(cohort: Any) -> str:
    """Short hash of whose data a cohort holds: store, phenotypes, samples in their order, sex, build. Not of variants."""
    digest = hashlib.sha256(f"{cohort.store.fingerprint} {cohort.phenotypes.fingerprint} {cohort.build}".encode())
    digest.update(cohort.sample_index.tobytes() + cohort.rows.tobytes())
    digest.update(b"" if cohort.sex is None else cohort.sex.tobytes())
    return digest.hexdigest()[:16]


def origin_of(table: Phenotypes) -> dict[str, Any]:
    """Where a table came from; the file is null where it is not one file as it was read."""
    one = len(table.files) == 1 and table.source == str(table.files[0])
    return {
        "file": str(Path(table.files[0]).absolute()) if one else None,
        "sample_id": table.sample_id,
        "missing_codes": table.missing_codes.plain(),
        **({"reading": table.reading.plain()} if table.reading.plain() else {}),
        "fingerprint": table.fingerprint,
    }
