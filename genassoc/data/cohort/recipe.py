"""The steps that made a cohort, as JSON values for the provenance: enough to repeat them on the same files.

Files are named by absolute paths; who was kept by a condition is told by the condition. Ids are never written, nor anybody's
sex: a provenance file may travel with published results. A table given from memory and a list of ids are told by their
size and hash, which check a cohort and cannot make one.
"""

import hashlib
import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from genassoc.data.cohort.id_rules import Rules
from genassoc.data.phenotypes.offsets import Source
from genassoc.data.phenotypes.phenotypes import Phenotypes

_LONG = 4000  # letters; a longer condition holds a list, perhaps of ids

# What a condition may be made of, as polars writes it in JSON. An expression of polars can hold pickled Python functions and
# name shared libraries to load (plugins), and a provenance file may be a stranger's: what is not listed here is not read.
_OPERATORS = {
    "Eq", "NotEq", "Lt", "LtEq", "Gt", "GtEq", "EqValidity", "NotEqValidity", "And", "Or", "Xor", "LogicalAnd", "LogicalOr",
    "Plus", "Minus", "Multiply", "Divide", "TrueDivide", "RustDivide", "FloorDivide", "Modulus",
}  # fmt: skip
_FUNCTIONS: dict[str, set[str]] = {
    "": {"Abs", "Negate", "FillNull"},
    "Boolean": {
        "Not", "IsNull", "IsNotNull", "IsNan", "IsNotNan", "IsFinite", "IsInfinite", "IsIn", "IsBetween", "AllHorizontal",
        "AnyHorizontal",
    },
    "StringExpr": {"Contains", "StartsWith", "EndsWith", "Lowercase", "Uppercase"},
}  # fmt: skip
_TYPES = {
    "Boolean", "String", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64", "Float32", "Float64", "Date",
}  # fmt: skip


def aligned(table: Phenotypes, sex: str | None, build: str | None, rules: Rules) -> dict[str, Any]:
    """The step of `Cohort.align`."""
    return {"step": "align", **origin_of(table), "sex": sex, "build": build, "id_rule": str(rules)}


def joined(table: Phenotypes) -> dict[str, Any]:
    """The step of `Cohort.with_covariates`."""
    return {"step": "with_covariates", **origin_of(table)}


def sex_of(column: str) -> dict[str, Any]:
    """The step of `Cohort.with_sex`."""
    return {"step": "with_sex", "column": column}


def with_offsets(origin: Source | None, traits: Sequence[str], kind: str, digest: str) -> dict[str, Any]:
    """The step that gives a cohort offsets; ``origin`` is null where a table was in memory."""
    source = dict(origin) if isinstance(origin, Mapping) else origin
    return {"step": "with_offsets", "offsets": source, "traits": list(traits), "kind": kind, "digest": digest}


def kept(choice: pl.Expr | Sequence[str]) -> dict[str, Any]:
    """The step of `Cohort.keep_samples`."""
    if not isinstance(choice, pl.Expr):
        digest = hashlib.sha256("\n".join(sorted(choice)).encode()).hexdigest()[:16]
        return {"step": "keep_samples", "n_ids": len(set(choice)), "ids_hash": digest}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # polars warns that other versions of it may not read this
        text = choice.meta.serialize(format="json")
    step: dict[str, Any] = {"step": "keep_samples", "where": str(choice)}
    content = json.loads(text)
    return {**step, "expression": content} if len(text) <= _LONG and _is_plain(content) else step


def expression_of(step: dict[str, Any]) -> pl.Expr | None:
    """The condition of a step of `kept`; None where it is not there, is made of more than `_is_plain` knows, or cannot be read."""
    if "expression" not in step:
        return None
    text = json.dumps(step["expression"])
    if len(text) > _LONG or not _is_plain(step["expression"]):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return pl.Expr.deserialize(text.encode(), format="json")
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError):
        return None


def _is_plain(node: object) -> bool:
    """Whether a condition is columns, values, comparisons, arithmetic and the few functions listed above, and nothing else."""
    if not isinstance(node, dict) or len(node) != 1:
        return False
    ((kind, content),) = node.items()
    if kind == "Column":
        return isinstance(content, str)
    if kind == "Literal":
        return _is_value(content)
    if kind == "Alias":
        return isinstance(content, list) and len(content) == 2 and _is_plain(content[0]) and isinstance(content[1], str)
    if not isinstance(content, dict):
        return False
    if kind == "BinaryExpr":
        known = set(content) == {"left", "op", "right"} and content["op"] in _OPERATORS
        return known and _is_plain(content["left"]) and _is_plain(content["right"])
    if kind == "Cast":
        known = set(content) == {"expr", "dtype", "options"} and isinstance(content["options"], str)
        dtype = content.get("dtype")
        named = isinstance(dtype, dict) and set(dtype) == {"Literal"} and dtype["Literal"] in _TYPES
        return known and named and _is_plain(content["expr"])
    if kind == "Function":
        inputs = content.get("input")
        known = set(content) == {"input", "function"} and isinstance(inputs, list) and _is_function(content["function"])
        return known and all(map(_is_plain, inputs or []))
    return False


def _is_function(content: object) -> bool:
    """``"Abs"``, ``{"Boolean": "IsNull"}``, ``{"Boolean": {"IsBetween": {"closed": "Both"}}}``; options are plain."""
    family = ""
    if isinstance(content, dict) and len(content) == 1:
        ((family, content),) = content.items()
    options: Any = {}
    if isinstance(content, dict) and len(content) == 1:
        ((content, options),) = content.items()
    plain = isinstance(options, dict) and all(isinstance(value, str | bool) for value in options.values())
    return plain and isinstance(content, str) and content in _FUNCTIONS.get(family, ())


def _is_value(content: object) -> bool:
    """``{"Dyn": {"Int": 18}}``, ``{"Scalar": {"String": "F"}}``, or a list, which is bytes."""
    if not isinstance(content, dict) or len(content) != 1:
        return False
    ((kind, value),) = content.items()
    if kind not in ("Dyn", "Scalar") or not isinstance(value, dict) or len(value) != 1:
        return False
    ((name, value),) = value.items()
    if name == "List":
        return isinstance(value, list) and all(type(item) is int and 0 <= item < 256 for item in value)
    return name in {*_TYPES, "Int", "Float", "Str", "Null"} and isinstance(value, str | int | float | bool)


def samples_fingerprint(cohort: Any) -> str:
    """Short hash of a cohort's samples: store, phenotypes, order of samples, sex, build. Variants are not in it."""
    digest = hashlib.sha256(f"{cohort.store.fingerprint} {cohort.phenotypes.fingerprint} {cohort.build}".encode())
    digest.update(cohort.sample_index.tobytes() + cohort.rows.tobytes())
    digest.update(b"" if cohort.sex is None else cohort.sex.tobytes())
    return digest.hexdigest()[:16]


def origin_of(table: Phenotypes) -> dict[str, Any]:
    """The origin of a table; its file is null unless the table is one file, unchanged."""
    one = len(table.files) == 1 and table.source == str(table.files[0])
    return {
        "file": str(Path(table.files[0]).absolute()) if one else None,
        "sample_id": table.sample_id,
        "missing_codes": table.missing_codes.plain(),
        **({"reading": table.reading.plain()} if table.reading.plain() else {}),
        "fingerprint": table.fingerprint,
    }
