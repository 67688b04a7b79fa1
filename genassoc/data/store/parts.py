"""The parts that a store is built from: their journal, their content's hash, their variants in order."""

import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genassoc.data import schema, strangers
from genassoc.data.store.pieces import hash_of
from genassoc.data.store.store import VARIANT_SCHEMA
from genassoc.data.store.variant_columns import VariantColumns
from genassoc.data.strangers import MalformedError
from genassoc.shapes import Array, UInt8Array

SEAL = "seal"  # of a line of the journal: a hash of the rest of it


def journal_line(record: dict[str, Any]) -> bytes:
    """A line of the journal, which shows whether it was changed since."""
    return json.dumps({**record, SEAL: _seal_of(record)}).encode() + b"\n"


def _seal_of(record: dict[str, Any]) -> str:
    return hash_of(json.dumps(record, sort_keys=True).encode())


def read_journal(journal: Path) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """Identity and finished parts; a cut or damaged line, and all lines after it, are ignored."""
    try:
        lines = strangers.read_bytes(journal).split(b"\n")[:-1]
    except (OSError, MalformedError):
        return None, []
    records: list[dict[str, Any]] = []
    for line in lines:
        try:
            record = strangers.parse_object(line)
            seal = record.pop(SEAL, None)  # an earlier version has none
            if seal is not None and seal != _seal_of(record):
                break
            if records:
                _check_part(record)
            records.append(record)
        except MalformedError:
            break
    if not records or "identity" not in records[0]:
        return None, []
    return records[0]["identity"], records[1:]


def _check_part(part: dict[str, Any]) -> None:
    """Check the fields that are read from a line; `MalformedError` otherwise."""
    for name in ("rows", "used"):
        strangers.field(part, name, strangers.whole)
    strangers.field(part, "digest", strangers.text)
    for chunk in strangers.field(part, "haploid_chunks", strangers.items):
        strangers.whole(chunk, "haploid_chunks")
    strangers.optional(part, "origin", strangers.table)
    strangers.optional(part, "table", strangers.text)
    for key, piece in (strangers.optional(part, "pieces", strangers.table) or {}).items():
        size, seal = strangers.items(piece, key) if len(strangers.items(piece, key)) == 2 else (None, None)
        strangers.whole(size, key)
        strangers.text(seal, key)


def rechunked(frames: Iterable[pl.DataFrame]) -> Iterator[pl.DataFrame]:
    """The same rows in frames of `schema.METADATA_CHUNK` (the last may be shorter)."""
    waiting: list[pl.DataFrame] = []
    n_waiting = 0
    for frame in frames:
        waiting.append(frame)
        n_waiting += len(frame)
        if n_waiting >= schema.METADATA_CHUNK:
            joined = pl.concat(waiting)
            while len(joined) >= schema.METADATA_CHUNK:
                yield joined[: schema.METADATA_CHUNK]
                joined = joined[schema.METADATA_CHUNK :]
            waiting, n_waiting = [joined], len(joined)
    if n_waiting:
        yield pl.concat(waiting)


def joined_frame(runs: Sequence[pl.DataFrame | VariantColumns]) -> pl.DataFrame:
    """One table from rows that came as frames or as columns."""
    columns = [run for run in runs if isinstance(run, VariantColumns)]
    if len(columns) == len(runs):
        return VariantColumns.joined(columns).frame()
    return pl.concat(run.frame() if isinstance(run, VariantColumns) else run for run in runs)


def objects(strings: pl.Series) -> Array:
    """Strings as the object array that Zarr takes."""
    return np.array(strings.to_list(), dtype=object)


def digest(packed: UInt8Array, haploid: UInt8Array | None, variants: pl.DataFrame) -> str:
    """Hash of a part's content."""
    columns = []
    for name, dtype in VARIANT_SCHEMA.items():
        column = variants[name]
        is_text = dtype == pl.String
        columns.append("\0".join(column.fill_null(".").to_list()).encode() if is_text else column.to_numpy().tobytes())
    calls = [packed.data.cast("B"), b"" if haploid is None else haploid.data.cast("B")]
    return hash_of(*calls, *columns)


def runs(numbers: list[int]) -> list[list[int]]:
    """Sorted numbers as [first, behind last] pairs."""
    pairs: list[list[int]] = []
    for number in numbers:
        if pairs and pairs[-1][1] == number:
            pairs[-1][1] = number + 1
        else:
            pairs.append([number, number + 1])
    return pairs


def write_durably(path: Path, data: bytes) -> None:
    """Replace a file as a whole, on the disk when this returns."""
    beside = path.with_name(path.name + ".tmp")
    with beside.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    beside.rename(path)


def sync(path: Path) -> None:
    """Wait until a file is on the disk."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
