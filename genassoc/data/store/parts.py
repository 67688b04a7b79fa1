"""The parts that a store is built from: their journal, the tables of their variants, their content's hash."""

import io
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genassoc.data import schema, strangers
from genassoc.data.store.pieces import Stretches, hash_of
from genassoc.data.store.variant_columns import TextColumn, VariantColumns
from genassoc.data.strangers import MalformedError
from genassoc.shapes import Int32Array

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


class PartTable(NamedTuple):
    """What the variants of a part are, and the counts (V, 6) of their calls, in the order of `schema.CALL_COUNTS`."""

    columns: VariantColumns
    counts: Int32Array

    def to_bytes(self) -> bytes:
        """As a file."""
        names = TextColumn.of(name for name, _ in self.columns.contigs)
        lengths = np.array([length for _, length in self.columns.contigs], dtype=np.int64)
        buffer = io.BytesIO()
        texts = [names, *self.columns.texts()]
        np.savez(buffer, lengths, self.columns.positions, self.columns.record, self.columns.alt_index, self.counts,
                 *(array for text in texts for array in (text.offsets, text.data)))  # fmt: skip
        return buffer.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> "PartTable":
        """Of a file; `ValueError` where it is another, or ``OSError``, ``KeyError``."""
        with np.load(io.BytesIO(content), allow_pickle=False) as saved:
            arrays = [saved[f"arr_{i}"] for i in range(13)]
        lengths, positions, record, alt_index, counts = arrays[:5]
        names, alt, ref, rsid = (TextColumn(*arrays[i : i + 2]) for i in range(5, 13, 2))
        ends = names.offsets
        contigs = tuple(
            (names.data[a:b].tobytes().decode(), int(length)) for a, b, length in zip(ends[:-1], ends[1:], lengths)
        )
        return cls(VariantColumns(contigs, positions, alt, ref, rsid, record, alt_index), counts)


def rechunked(tables: Iterable[PartTable]) -> Iterator[PartTable]:
    """The same rows in tables of `schema.METADATA_CHUNK` (the last may be shorter)."""
    step = schema.METADATA_CHUNK
    waiting: list[PartTable] = []
    n_waiting = 0

    def joined() -> PartTable:
        columns = VariantColumns.joined([table.columns for table in waiting])
        return PartTable(columns, np.concatenate([table.counts for table in waiting]))

    for table in tables:
        waiting.append(table)
        n_waiting += len(table.columns)
        while n_waiting >= step:
            columns, counts = joined()
            yield PartTable(columns[:step], counts[:step])
            waiting = [PartTable(columns[step:], counts[step:])]
            n_waiting -= step
    if n_waiting:
        yield joined()


def digest(calls: Stretches, haploid: Stretches, variants: VariantColumns) -> str:
    """Hash of a part's content: rows of calls, their bits (nothing where no call is haploid), and what the rows are."""
    columns = (
        variants.chromosomes().joined_by(0),
        variants.positions,
        variants.effect_allele.joined_by(0),
        variants.other_allele.joined_by(0),
        variants.rsid.joined_by(0),
        variants.record,
        variants.alt_index,
    )
    return hash_of(calls, haploid, *(np.ascontiguousarray(column).data.cast("B") for column in columns))


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
