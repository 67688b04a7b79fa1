"""The record beside a results file: what produced it, and the digests that show whether file or record was changed since."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from genassoc.data import strangers
from genassoc.data.integrity import FileDigest, record_digest
from genassoc.data.output import replacing, target_of
from genassoc.data.strangers import MalformedError
from genassoc.errors import InputError, OutputError
from genassoc.provenance import sidecar

# Two marks, at the start and at the end: a record that lost one of them was changed, and is not one of earlier versions.
FORMAT_KEY, FORMAT = "format", "genassoc-provenance-2"
INTEGRITY_KEY = "integrity"
MADE_OF_RESULTS = (
    "adjusted",
    "permutation",
    "predictors",
    "disclosure",
)  # in a record: what was made of the results of a run


@dataclass(frozen=True)
class Record:
    """The record read from beside a results file, and its state.

    Attributes
    ----------
    content : dict
        The provenance; empty where there is none.
    digest : FileDigest or None
        Of the table that it belongs to; None where there is no record, or one of an earlier version.
    path : Path or None
        The file of the record, where there is one.
    """

    content: dict[str, Any] = field(default_factory=dict)
    digest: FileDigest | None = None
    path: Path | None = None


def write_record(path: str | Path, record: Mapping[str, Any], digest: FileDigest | None = None) -> Path:
    """Write ``record`` beside the results file ``path``, with its own digest and that of the table.

    Parameters
    ----------
    digest : FileDigest, optional
        Of the table, as it was taken while the table was written; else the file at ``path`` is read for it.

    Raises
    ------
    OutputError
        It cannot be written, or the table cannot be read.
    """
    out = sidecar(path)
    if digest is None and Path(path).is_file():
        try:
            digest = FileDigest.of(Path(path))
        except OSError as error:
            raise OutputError(f"{path} cannot be read to take its digest: {error.strerror}.") from error
    plain = json.loads(json.dumps({FORMAT_KEY: FORMAT, **_without_marks(record)}, default=_plain))
    table = {} if digest is None else {"table_bytes": digest.n_bytes, "table_sha256": digest.sha256}
    content = {**plain, INTEGRITY_KEY: {**table, "record_sha256": record_digest({**plain, **table})}}
    text = json.dumps(content, indent=2) + "\n"
    with replacing(target_of(out)) as file:
        file.write(text.replace("\x7f", "\\u007f").encode())  # the one control byte that JSON leaves as it is
    return out


def read_record(path: str | Path) -> Record:
    """The record beside the results file ``path``, checked against its own digest; see `Record` where there is none.

    Of a link without one beside it, as workflow engines stage files, the record beside the file that it points to.

    Raises
    ------
    InputError
        There is one that cannot be read, was changed since it was written, or holds fields of other types.
    """
    beside = sidecar(path)
    if not beside.exists() and Path(path).is_symlink():
        beside = sidecar(Path(path).resolve())
    if not beside.exists():
        return Record()
    try:
        content = strangers.read_object(beside)
        digest = _checked(content)
        record = _without_nulls(_without_marks(content))
        check_fields(record)
    except MalformedError as error:
        raise InputError(
            f"{beside} is no record of provenance as genassoc writes it: {error}. The record was damaged or edited, so that neither it "
            "nor the table beside it can be trusted: restore the record from a copy, or compute the results again. To read the table "
            "without a check, remove the record."
        ) from error
    except OSError as error:
        raise InputError(f"{beside} cannot be read: {error.strerror or error}.") from error
    return Record(record, digest, beside)


def check_table(path: Path, digest: FileDigest, record: Path | None) -> None:
    """See that ``path`` is the table that was written, byte by byte.

    Raises
    ------
    InputError
        It is another: cut short, damaged, edited, or beside the record of another run.
    """
    try:
        n_bytes = path.stat().st_size
        actual = FileDigest.of(path) if n_bytes == digest.n_bytes else None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    if actual == digest:
        return
    seen = (
        f"it has {n_bytes:,} bytes, but {digest.n_bytes:,} were written"
        if actual is None
        else f"its sha256 is {actual.sha256[:12]}..., but {digest.sha256[:12]}... was written"
    )
    name = "its record" if record is None else record.name
    raise InputError(
        f"{path} is not the table that was written: {seen} ({name}). It was damaged, cut short, edited or replaced, or lies beside "
        "the record of other results, so that its numbers cannot be trusted: restore the table from a copy, or compute it again. If "
        "you changed it on purpose, remove the record beside it; the table is then read without a check."
    )


def _checked(content: Mapping[str, Any]) -> FileDigest | None:
    """The table's digest in a record that was not edited; None for a record of an earlier version."""
    if FORMAT_KEY not in content and INTEGRITY_KEY not in content:
        return None
    if content.get(FORMAT_KEY) != FORMAT:
        raise MalformedError(f"its format is not '{FORMAT}'; another version of genassoc may have written it")
    marks = strangers.field(content, INTEGRITY_KEY, strangers.table)
    table = {key: value for key, value in marks.items() if key != "record_sha256"}
    rest = {key: value for key, value in content.items() if key != INTEGRITY_KEY}
    if strangers.field(marks, "record_sha256", strangers.text) != record_digest({**rest, **table}):
        raise MalformedError("its content was changed after it was written: it does not match its own digest")
    if not table:
        return None
    n_bytes = strangers.field(table, "table_bytes", strangers.whole)
    return FileDigest(n_bytes, strangers.field(table, "table_sha256", strangers.text))


def _without_marks(record: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key not in (FORMAT_KEY, INTEGRITY_KEY)}


def _plain(value: object) -> Any:
    """A numpy number as a JSON number; any other value as text."""
    return value.item() if hasattr(value, "item") else str(value)


# fields --------------------------------------------------------------------------------------------------------


def _without_nulls(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record without sections that are null, which only an edited record has."""
    sections = {name: value for name, value in record.items() if value is not None}
    for name in ("inputs", "predictors"):
        if isinstance(sections.get(name), dict):
            sections[name] = {key: value for key, value in sections[name].items() if value is not None}
    return sections


def check_fields(record: Mapping[str, Any]) -> None:
    """Check the types of the fields that are read from a record; fields may be absent, and unknown ones are ignored.

    Raises
    ------
    MalformedError
        Names the field.
    """
    parameters = strangers.optional(record, "parameters", strangers.table) or {}
    strangers.optional(parameters, "model", strangers.table)
    _check_inputs(strangers.optional(record, "inputs", strangers.table) or {})
    _check_samples(strangers.optional(record, "samples", strangers.table) or {})
    variants = strangers.optional(record, "variants", strangers.table) or {}
    for name in ("read", "kept"):
        if variants:
            strangers.field(variants, name, strangers.whole)
    if variants:
        strangers.field(variants, "dropped", strangers.counts)
    for name, kind in (("notes", strangers.texts), ("adjusted", strangers.items), ("versions", strangers.table)):
        strangers.optional(record, name, kind)
    for name, kind in (strangers.optional(record, "contigs", strangers.table) or {}).items():
        if kind is not None:
            strangers.text(kind, f"contigs.{name}")
    audit = strangers.optional(record, "audit", strangers.table) or {}
    for name in ("line", "warning"):
        strangers.optional(audit, name, strangers.text)
    written = strangers.optional(record, "written", strangers.table) or {}
    for name in ("dialect", "trait", "test"):
        strangers.optional(written, name, strangers.text)
    run = strangers.optional(record, "run", strangers.table) or {}
    strangers.optional(run, "fingerprint", strangers.text)
    strangers.optional(run, "numbers", strangers.whole)
    predictors = strangers.optional(record, "predictors", strangers.table) or {}
    if "table" in predictors:
        _check_step(strangers.field(predictors, "table", strangers.table))
        strangers.field(predictors, "columns", strangers.texts)
        people = strangers.field(predictors, "people", strangers.table)
        _check_inputs(people if "cohort" in people else {})
        if "cohort" not in people:
            _check_step(strangers.field(people, "phenotypes", strangers.table))


def _check_inputs(inputs: Mapping[str, Any]) -> None:
    for name in ("store", "phenotypes"):
        table = strangers.optional(inputs, name, strangers.table) or {}
        strangers.optional(table, "path", strangers.file_name)
        strangers.optional(table, "fingerprint", strangers.text)
    offsets = strangers.optional(inputs, "offsets", strangers.table) or {}
    for name in ("digest", "unit"):
        strangers.optional(offsets, name, strangers.text)
    kinship = strangers.optional(inputs, "kinship", strangers.table) or {}
    for name in ("digest", "scaling"):
        strangers.optional(kinship, name, strangers.text)
    strangers.optional(kinship, "file", strangers.file_name)
    cohort = strangers.optional(inputs, "cohort", strangers.table)
    if cohort is not None:
        store = strangers.field(inputs, "store", strangers.table)
        strangers.field(store, "path", strangers.file_name)
        strangers.field(store, "fingerprint", strangers.text)
        strangers.optional(cohort, "samples", strangers.text)
        for step in strangers.field(cohort, "steps", strangers.items):
            _check_step(strangers.table(step, "a step of the cohort"))


def _check_step(step: Mapping[str, Any]) -> None:
    """Check one step: a table that was joined, or samples that were kept."""
    kind = strangers.optional(step, "step", strangers.text)
    if kind == "keep_samples":
        strangers.optional(step, "where", strangers.text)
        strangers.optional(step, "n_ids", strangers.whole)
        return
    if kind == "with_offsets":
        _check_offsets(step)
        return
    strangers.optional(step, "file", strangers.file_name)
    for name in ("sample_id", "fingerprint"):
        strangers.optional(step, name, strangers.text)
    for name in ("sex", "build", "id_rule", "column"):
        strangers.optional(step, name, strangers.text)
    for name, value in (strangers.optional(step, "reading", strangers.table) or {}).items():
        strangers.text(value, f"reading.{name}")


def _check_offsets(step: Mapping[str, Any]) -> None:
    """The step that gives a cohort offsets: a path, or paths by name, or null."""
    strangers.field(step, "traits", strangers.texts)
    for name in ("kind", "digest"):
        strangers.field(step, name, strangers.text)
    source = step.get("offsets")
    for name, path in source.items() if isinstance(source, dict) else (("offsets", source),):
        if path is not None:
            strangers.file_name(path, name)


def _check_samples(samples: Mapping[str, Any]) -> None:
    for name in ("genotyped", "kept", "lacking_a_covariate"):
        strangers.optional(samples, name, strangers.whole)
    for name in ("dropped", "analysed"):
        strangers.optional(samples, name, strangers.counts)


# what stands where results are to be ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Standing:
    """The results that exist at a path already.

    Attributes
    ----------
    same : bool
        Whether it is the very results that are asked for, whole.
    record : Record
        What lies beside it.
    why : str
        Where it is not: what differs, in words.
    """

    same: bool
    record: Record
    why: str = ""


def standing(path: Path, run: Mapping[str, Any], wanted: Mapping[str, Any]) -> Standing | None:
    """The results at ``path``, compared with those requested; None if nothing there could be lost.

    That is no file, an empty one, and a table of no run where none of a run is to replace it.

    Parameters
    ----------
    path : Path
    run : mapping
        ``fingerprint`` and ``numbers`` of what is asked for; empty where it is of no run.
    wanted : mapping
        Its ``parameters`` and ``inputs``, as in a record, to say what differs; and what was made of results of a run.
    """
    try:
        if not path.is_file() or path.stat().st_size == 0:
            return None
    except OSError:
        return None
    try:
        record = read_record(path)
    except InputError as error:
        return Standing(False, Record(), f"its record cannot be read: {error}")
    if not run and not record.content.get("run"):
        return None  # tables that belong to no run: people write them as they please
    if not record.content.get("run"):
        return Standing(False, record, "it has no record of the run that wrote it")
    if record.content["run"] != dict(run):
        return Standing(False, record, "; ".join(differences(record.content, run, wanted)))
    if _made_of_results(record.content) != _made_of_results(wanted):
        return Standing(False, record, "its columns are others")
    if record.digest is None:
        return Standing(False, record, "it has no digest")
    try:
        check_table(path, record.digest, record.path)
    except InputError as error:
        return Standing(False, record, str(error))
    return Standing(True, record)


def _made_of_results(record: Mapping[str, Any]) -> str:
    """What was made from the results of a run, and from which columns: equal for two tables of a run with the same columns."""
    made = {name: record.get(name) for name in MADE_OF_RESULTS}
    return record_digest({**made, "dialect": (record.get("written") or {}).get("dialect")})


def differences(record: Mapping[str, Any], run: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """The differences between the results of a record and those requested, a line each."""
    then_run = record.get("run") or {}
    lines = []
    if then_run.get("numbers") != run.get("numbers"):
        lines.append(
            f"its numbers have version {then_run.get('numbers')}, those of this genassoc have version {run.get('numbers')}"
        )
    if then_run.get("genassoc") != run.get("genassoc"):
        lines.append(f"it was written by genassoc {then_run.get('genassoc')}, and this is {run.get('genassoc')}")
    wanted = json.loads(json.dumps(wanted, default=_plain))
    then, now = ((side.get("parameters") or {}) for side in (record, wanted))
    models = [side.get("model") or {} for side in (then, now)]
    for name in dict.fromkeys([*models[0], *models[1]]):
        if models[0].get(name) != models[1].get(name):
            lines.append(f"model: {name} was {_short(models[0].get(name))}, now it is {_short(models[1].get(name))}")
    if then.get("variants") != now.get("variants"):
        lines.append(f"the variants were {_short(then.get('variants'))}, now they are {_short(now.get('variants'))}")
    inputs = [side.get("inputs") or {} for side in (record, wanted)]
    for name, words in (("store", "the store"), ("phenotypes", "the phenotypes")):
        old, new = (side.get(name) or {} for side in inputs)
        if old.get("fingerprint") != new.get("fingerprint"):
            lines.append(f"the content of {words} differs: then {old.get('path')}, now {new.get('path')}")
    for name, words in (("offsets", "the offsets differ in content"), ("kinship", "the relationships differ")):
        old, new = ((side.get(name) or {}).get("digest") for side in inputs)
        if old != new:
            lines.append(f"{words}: then {old or 'none'}, now {new or 'none'}")
    if not lines:
        old, new = ((side.get("cohort") or {}).get("samples") for side in inputs)
        lines.append("its samples were different" if old != new else "the choices of its run were different")
    return lines


def _short(value: object) -> str:
    words = json.dumps(value)
    return words if len(words) <= 80 else f"{words[:77]}..."
