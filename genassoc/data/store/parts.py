"""The parts that a store is built from: their journal, the tables of their variants, their content's hash."""

import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genassoc.data import schema, strangers
from genassoc.data.store.pieces import Stretches, hash_of
from genassoc.data.store.variant_columns import TextColumn, VariantColumns
from genassoc.data.strangers import MalformedError
from genassoc.shapes import Int32Array, Int64Array, UInt16Array

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
    for name in ("dosage_chunks", "probability_chunks"):
        for chunk in strangers.optional(part, name, strangers.items) or []:
            strangers.whole(chunk, name)
    strangers.optional(part, "table", strangers.text)
    for key, piece in (strangers.optional(part, "pieces", strangers.table) or {}).items():
        size, seal = strangers.items(piece, key) if len(strangers.items(piece, key)) == 2 else (None, None)
        strangers.whole(size, key)
        strangers.text(seal, key)


class PartTable(NamedTuple):
    """What the variants of a part are.

    Attributes
    ----------
    columns : VariantColumns
        Without annotations.
    counts : int32 array (V, 6)
        Of calls, in the order of `schema.CALL_COUNTS`.
    steps, sums : uint16 array (V,), int64 array (V, 11), or None
        Of dosages: steps of a copy, and `schema.DOSAGE_SUMS`.
    """

    columns: VariantColumns
    counts: Int32Array
    steps: UInt16Array | None = None
    sums: Int64Array | None = None

    def to_bytes(self) -> bytes:
        """As a file."""
        names = TextColumn.of(name for name, _ in self.columns.contigs)
        lengths = np.array([length for _, length in self.columns.contigs], dtype=np.int64)
        buffer = io.BytesIO()
        texts = [names, *self.columns.texts()]
        arrays: list[Any] = [lengths, self.columns.positions, self.columns.record, self.columns.alt_index, self.counts]
        arrays += [array for text in texts for array in (text.offsets, text.data)]
        if self.steps is not None and self.sums is not None:
            arrays += [self.steps, self.sums]
        np.savez(buffer, *arrays)
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "PartTable":
        """Of a file; `ValueError` where it is another, or ``OSError``, ``KeyError``."""
        with np.load(io.BytesIO(content), allow_pickle=False) as saved:
            arrays = [saved[f"arr_{i}"] for i in range(len(saved.files))]
        lengths, positions, record, alt_index, counts = arrays[:5]
        names, alt, ref, rsid = (TextColumn(*arrays[i : i + 2]) for i in range(5, 13, 2))
        ends = names.offsets
        contigs = tuple(
            (names.data[a:b].tobytes().decode(), int(length)) for a, b, length in zip(ends[:-1], ends[1:], lengths)
        )
        columns = VariantColumns(contigs, positions, alt, ref, rsid, record, alt_index)
        return cls(columns, counts, *arrays[13:15])

    def cut(self, rows: slice) -> "PartTable":
        """Some of the rows."""
        steps, sums = self.steps, self.sums
        return PartTable(
            self.columns[rows],
            self.counts[rows],
            None if steps is None else steps[rows],
            None if sums is None else sums[rows],
        )

    @classmethod
    def joined(cls, tables: Sequence["PartTable"]) -> "PartTable":
        """Tables joined one after another (at least one)."""
        steps = [table.steps for table in tables if table.steps is not None]
        sums = [table.sums for table in tables if table.sums is not None]
        return cls(
            VariantColumns.joined([table.columns for table in tables]),
            np.concatenate([table.counts for table in tables]),
            np.concatenate(steps) if steps else None,
            np.concatenate(sums) if sums else None,
        )


def rechunked(tables: Iterable[PartTable]) -> Iterator[PartTable]:
    """The same rows in tables of `schema.METADATA_CHUNK` (the last may be shorter)."""
    step = schema.METADATA_CHUNK
    waiting: list[PartTable] = []
    n_waiting = 0
    for table in tables:
        waiting.append(table)
        n_waiting += len(table.columns)
        while n_waiting >= step:
            joined = PartTable.joined(waiting)
            yield joined.cut(slice(None, step))
            waiting = [joined.cut(slice(step, None))]
            n_waiting -= step
    if n_waiting:
        yield PartTable.joined(waiting)


def digest(calls: Stretches, haploid: Stretches, variants: VariantColumns, others: Sequence[str] = ()) -> str:
    """Hash of a part's content: rows of calls, their bits (nothing where no call is haploid), what the rows are, and hashes of the rest."""
    columns = (
        variants.chromosomes().joined_by(0),
        variants.positions,
        variants.effect_allele.joined_by(0),
        variants.other_allele.joined_by(0),
        variants.rsid.joined_by(0),
        variants.record,
        variants.alt_index,
    )
    hashes = [other.encode() for other in others]
    return hash_of(calls, haploid, *(np.ascontiguousarray(column).data.cast("B") for column in columns), *hashes)


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
