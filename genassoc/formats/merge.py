"""Files of different samples as one `Source`: merged by position as they are read, a batch of each file in memory.

A group is the files of one set of samples, one after another in the order of the genome. All groups must name contigs in one
order and be sorted by position, so that what is to be joined passes at the same time (`genassoc.formats.merge_rows` joins it).
A merged piece ends between two positions; its `Place` holds, for each group, the file, the place of the batch that is being
taken from, and the rows of it that are gone. Counts of a batch are reported when all of it is gone, so that a conversion
that goes on from a place counts everything once however the file is cut then.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from genassoc.data.store.variant_columns import FILTER, TextColumn, VariantColumns
from genassoc.errors import InputError
from genassoc.formats.inputs import ContigCheck
from genassoc.formats.merge_rows import (
    END,
    POSITION_BITS,
    Part,
    Reference,
    dosage_rows,
    joined_dosages,
    joined_rows,
    reference_of,
    reference_rows,
    taken_rows,
    text_at,
)  # fmt: skip
from genassoc.formats.reading import Reading
from genassoc.formats.source import Piece, Place, RecordError, Source, SourceFacts, VariantBatch, added
from genassoc.formats.summary import UNEVEN
from genassoc.shapes import BoolArray, Int64Array, packed_bytes

MERGED_BYTES = 2**24  # of calls, a byte each, that one merged piece may have
MOST_ROWS = 4096  # of it
MEMORY_A_GROUP = 10 * 2**20  # a stretch of text and its rows
_COUNTED = ("counters", "left_out", "annotated", "half_calls")  # of batches
_SHOWN = 200  # bytes of a FILTER that is counted
_INTS_OF_A_GROUP = 6


@dataclass(frozen=True)
class _Loaded:
    """A batch of a group.

    Attributes
    ----------
    place : tuple of int
        File, section, address, skip, and lines of the file before it.
    batch : VariantBatch
    rows : int64 (V,)
        Its rows that are variants, no stretches of reference calls.
    keys : int64 (V,)
        Of these.
    last : int
        Key of its last row of any kind; -1 without rows.
    reference : Reference
        Its stretches of reference calls.
    counters : dict
        Of the batch, these stretches included.
    """

    place: tuple[int, ...]
    batch: VariantBatch
    rows: Int64Array
    keys: Int64Array
    last: int
    reference: Reference
    counters: dict[str, int]

    def is_past(self, limit: int | None) -> bool:
        """Whether nothing of it reaches ``limit``."""
        return limit is None or max(self.last, int(self.reference.last.max(initial=-1))) < limit


class _Rows(NamedTuple):
    """Variants ``start`` to ``stop`` of a batch."""

    loaded: _Loaded
    start: int
    stop: int


@dataclass
class _Group:
    """The files of one set of samples, as they are read.

    Attributes
    ----------
    files : sequence of Source
    file_columns : sequence of int64 (n,)
        Each file's column of each sample that is kept.
    samples : int64 (n,)
        The store's.
    pool : ThreadPoolExecutor
    numbers : dict
        Contig -> its number in keys; grows.
    check : ContigCheck
    start : tuple of int or None
        What `place` gave in the conversion that is continued.
    waiting : list of _Loaded
        Batches of which something is needed yet.
    gone : int
        Variants of these that are taken.
    ended : bool
        No batch follows.
    last_key : int
        Of all rows so far.
    work : float
        Bytes of files read since it was asked for.
    """

    files: Sequence[Source]
    file_columns: Sequence[Int64Array]
    samples: Int64Array
    pool: ThreadPoolExecutor
    numbers: dict[str, int]
    check: ContigCheck
    _: KW_ONLY
    start: tuple[int, ...] | None = None
    waiting: list[_Loaded] = field(default_factory=list)
    gone: int = 0
    ended: bool = False
    last_key: int = -1
    work: float = 0.0

    def __post_init__(self) -> None:
        self._batches = self._read()
        if self.start is not None:
            self.gone = self.start[5]

    def _read(self) -> Iterator[tuple[tuple[int, ...], VariantBatch]]:
        """Batches with their places, one decoded ahead."""
        first, place, lines = 0, None, 0
        if self.start is not None:
            first, place, lines = self.start[0], Place(self.start[1], self.start[2], self.start[3]), self.start[4]
        for number in range(first, len(self.files)):
            source = self.files[number]
            lines = lines if number == first else 0
            ahead: Future[VariantBatch] | None = None
            for piece in source.pieces(self.file_columns[number], place if number == first else None):
                following = self.pool.submit(piece.decode)
                self.work += piece.work
                if ahead is not None:
                    batch = self._result(source, ahead, lines)
                    yield (number, *batch.place[:3], lines), batch
                    lines += batch.lines
                ahead = following
            if ahead is not None:
                batch = self._result(source, ahead, lines)
                yield (number, *batch.place[:3], lines), batch

    def _result(self, source: Source, future: "Future[VariantBatch]", lines: int) -> VariantBatch:
        try:
            return future.result()
        except RecordError as error:
            raise InputError(f"{source.path}{source.locate(lines + error.line)}: {error.message}") from None

    def load(self) -> None:
        """Take in one more batch, or learn that there is none."""
        for place, batch in self._batches:
            keys = self._keys(self.files[place[0]].path, batch)
            is_block = reference_rows(batch.columns.effect_allele)
            blocks = np.flatnonzero(is_block)
            rows = np.flatnonzero(~is_block)
            alone = int(np.count_nonzero(np.diff(batch.columns.effect_allele.offsets)[blocks] == 1))
            kinds = {"dropped_no_alternate_allele": alone, "dropped_reference_block_allele": blocks.size - alone}
            reference = reference_of(batch, keys, blocks, self.samples.size)
            self.last_key = int(keys[-1]) if keys.size else self.last_key
            last = int(keys[-1]) if keys.size else -1
            counters = added(batch.counters, {name: int(n) for name, n in kinds.items()})
            self.waiting.append(_Loaded(place, batch, rows, keys[rows], last, reference, counters))
            return
        self.ended = True

    def _keys(self, path: Path, batch: VariantBatch) -> Int64Array:
        """Contig and position of each row as one number."""
        runs = batch.columns.contigs
        self.check.see(path, [name for name, _ in runs])
        numbers = [self.numbers.setdefault(name, len(self.numbers)) for name, _ in runs]
        positions = batch.columns.positions
        if not positions.size:
            return np.empty(0, np.int64)
        if int(positions.max()) >= 1 << POSITION_BITS:
            raise InputError(f"{path}: has a record at position {int(positions.max()):,}, behind the end of any contig")
        keys: Int64Array = (np.repeat(np.array(numbers, np.int64), [n for _, n in runs]) << POSITION_BITS) | positions
        before = np.concatenate([[self.last_key], keys[:-1]])
        if (keys < before).any():
            at = int(np.argmax(keys < before))
            raise InputError(
                f"{path}: the record at {self._words(int(keys[at]))} stands behind {self._words(int(before[at]))}: files of different "
                "samples are merged as they are read, so all must be sorted by position, with contigs in one order; sort it "
                "(bcftools sort)"
            )
        return keys

    def _words(self, key: int) -> str:
        return f"{list(self.numbers)[key >> POSITION_BITS]}:{key & ((1 << POSITION_BITS) - 1)}"

    def place(self) -> tuple[int, ...]:
        """From where what waits is read again: file, section, address, skip, lines before, variants that are taken."""
        return (*self.waiting[0].place, self.gone) if self.waiting else (len(self.files), 0, 0, 0, 0, 0)

    def keys_below(self, limit: int | None) -> Int64Array:
        """Keys of variants that wait and are below ``limit``."""
        if not self.waiting:
            return np.empty(0, np.int64)
        keys = np.concatenate([loaded.keys for loaded in self.waiting])[self.gone :]
        return keys if limit is None else keys[: int(np.searchsorted(keys, limit))]

    def take(self, limit: int | None) -> tuple[list[_Rows], Reference, dict[str, dict[str, int]]]:
        """Take the variants below ``limit``, the reference stretches for them, and the counts of batches that are done with."""
        taken, before = [], 0
        reference = Reference.joined([loaded.reference for loaded in self.waiting], self.samples.size)
        gone = self.gone
        for loaded in self.waiting:
            stop = loaded.keys.size if limit is None else int(np.searchsorted(loaded.keys, limit))
            start = max(0, gone - before)
            if stop > start:
                taken.append(_Rows(loaded, start, stop))
                self.gone = before + stop
            before += loaded.keys.size
        counts: dict[str, dict[str, int]] = {name: {} for name in _COUNTED}
        while self.waiting and self.gone >= self.waiting[0].keys.size and self.waiting[0].is_past(limit):
            done = self.waiting.pop(0)
            self.gone -= done.keys.size
            for name in _COUNTED:
                more = done.counters if name == "counters" else getattr(done.batch, name)
                counts[name] = added(counts[name], more)
        return taken, reference, counts


class MergedSource(SourceFacts):
    """Files of different samples, merged by position; see `genassoc.formats.source.Source` for its attributes.

    Parameters
    ----------
    groups : sequence of sequence of Source
        Files of each set of samples, opened with ``reading.blocks``.
    reading : Reading
        What the user chose.
    threads : int
        For reading ahead.
    """

    def __init__(self, groups: Sequence[Sequence[Source]], reading: Reading, threads: int) -> None:
        self.groups = [list(group) for group in groups]
        self.reading, self._threads = reading, threads
        self.files = [source for group in self.groups for source in group]
        first = self.files[0]
        self.path, self.kind = first.path, " and ".join(dict.fromkeys(source.kind for source in self.files))
        self.sample_ids = tuple(name for group in self.groups for name in group[0].sample_ids)
        self.contigs = tuple(dict.fromkeys(name for source in self.files for name in source.contigs))
        self.contig_lengths = {name: n for source in self.files for name, n in source.contig_lengths.items()}
        self.contigs_complete = all(source.contigs_complete for source in self.files)
        self.work = sum(source.work for source in self.files)
        self.has_dosages = any(source.has_dosages for source in self.files)
        self.has_probabilities = any(source.has_probabilities for source in self.files)
        names = dict.fromkeys(name for source in self.files for name in source.annotations)
        if "END" not in reading.info:
            names.pop(END, None)
        self.annotations = tuple(names)
        self._line_bytes = first.max_line_bytes
        self._more_notes: list[str] = []

    @property
    def notes(self) -> list[str]:
        """What the summary should say; some of it is known when all is read."""
        sizes = ", ".join(f"{len(group[0].sample_ids):,}" for group in self.groups[:8])
        more = ", ..." if len(self.groups) > 8 else ""
        absent = "homozygous for REF (--missing-to-ref)" if self.reading.missing_to_ref else "not observed"
        said = (
            f"{len(self.groups)} sets of samples ({sizes}{more}) were merged by position, REF and ALT: where a file has neither the "
            f"variant nor a reference block, its samples are {absent}; ids and INFO are of the first file that has them"
        )
        return [said, *self._more_notes, *(note for source in self.files for note in source.notes)]

    @notes.setter
    def notes(self, more: list[str]) -> None:
        """Say more."""
        self._more_notes = [note for note in more if note not in self.notes]

    @property
    def max_line_bytes(self) -> int:
        """A record of more text is refused."""
        return self._line_bytes

    @max_line_bytes.setter
    def max_line_bytes(self, n_bytes: int) -> None:
        """Set it for all files."""
        self._line_bytes = n_bytes
        for source in self.files:
            source.max_line_bytes = n_bytes

    def first_contig(self) -> str | None:
        """Contig of the first record."""
        return self.files[0].first_contig()

    def locate(self, line: int) -> str:
        """Nothing: errors of a merged file name it themselves."""
        return ""

    def _contig_order(self) -> dict[str, int]:
        """Contigs in the order that all groups must have: that of files of one contig each, then that of headers."""
        split = (
            first for group in self.groups if len(group) > 1 for source in group if (first := source.first_contig())
        )
        names = dict.fromkeys((*split, *self.contigs))
        return {name: number for number, name in enumerate(names)}

    def pieces(self, columns: Int64Array, start: Place | None) -> Iterator[Piece]:
        """Pieces of merged rows; see `Source.pieces`."""
        more = start.more if start else ()
        begin = [more[at : at + _INTS_OF_A_GROUP] for at in range(0, len(more), _INTS_OF_A_GROUP)]
        numbers, check = self._contig_order(), ContigCheck(self.contig_lengths)
        pool = ThreadPoolExecutor(max(1, self._threads), thread_name_prefix="merge")
        groups: list[_Group] = []
        at = 0
        for files in self.groups:
            ids = files[0].sample_ids
            inside = np.flatnonzero((columns >= at) & (columns < at + len(ids)))
            wanted = [ids[column - at] for column in columns[inside].tolist()]
            at += len(ids)
            if wanted:  # files of which nobody is kept are not read
                from_here = tuple(begin[len(groups)]) if begin else None
                places = [_columns_of(source, wanted) for source in files]
                groups.append(_Group(files, places, inside, pool, numbers, check, start=from_here))
        try:
            for batch in self._merged(groups, numbers, columns.size):
                work = sum(group.work for group in groups)
                for group in groups:
                    group.work = 0.0
                yield Piece(work, 2 * batch.packed.nbytes, partial(_as_it_is, batch))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)

    def _merged(self, groups: list[_Group], numbers: dict[str, int], n_samples: int) -> Iterator[VariantBatch]:
        """Batches of merged rows."""
        most = max(1, min(MOST_ROWS, MERGED_BYTES // max(1, n_samples)))
        while True:
            for group in groups:
                while not group.ended and not group.waiting:
                    group.load()
            # below the last row that each group shows nothing more can come
            reached = [group.last_key for group in groups if not group.ended]
            limit = min(reached) if reached else None
            keys = np.unique(np.concatenate([group.keys_below(limit) for group in groups]))
            if limit is not None and not keys.size:
                for group in groups:
                    if not group.ended and group.last_key == limit:
                        group.load()
                continue
            if keys.size > most:
                limit = int(keys[most])  # whole positions
            place = Place(0, 0, 0, tuple(n for group in groups for n in group.place()))
            taken = [group.take(limit) for group in groups]
            yield self._batch(groups, taken, list(numbers), n_samples, place)
            if limit is None:
                return

    def _batch(
        self,
        groups: list[_Group],
        taken: list[tuple[list[_Rows], Reference, dict[str, dict[str, int]]]],
        contigs: list[str],
        n_samples: int,
        place: Place,
    ) -> VariantBatch:
        """Join what was taken of each group."""
        counts = {name: added(*(more[name] for _, _, more in taken)) for name in _COUNTED}
        parts = [_part(group.samples, rows, reference) for group, (rows, reference, _) in zip(groups, taken)]
        joined = joined_rows(parts, n_samples, contigs, self.reading.missing_to_ref)
        columns = joined.columns
        kept = {name: columns.annotations[name] for name in self.annotations if name in columns.annotations}
        first_of_record = np.diff(columns.record, prepend=-1) != 0
        of_files = counts["counters"]
        counters = added({name: n for name, n in of_files.items() if name not in ("records", "split")}, joined.counters)
        counters["records"] = int(first_of_record.sum())
        counters["file_records"] = of_files.get("records", 0)
        counters["split"] = int(np.count_nonzero(columns.alt_index == 2))
        uneven = {name: n for name, n in counts["annotated"].items() if name.endswith(f" {UNEVEN}")}
        return VariantBatch(
            joined.packed, joined.haploid, replace(columns, annotations=kept), counters, 0, counts["half_calls"], place,
            joined.dosages, filters=_values(kept.get(FILTER), first_of_record), left_out=counts["left_out"],
            annotated=uneven | {name: n for name, column in kept.items() if name != FILTER and (n := _known(column))},
        )  # fmt: skip


def _columns_of(source: Source, wanted: Sequence[str]) -> Int64Array:
    """A file's columns of some samples."""
    known = {name: column for column, name in enumerate(source.sample_ids)}
    return np.array([known[name] for name in wanted], dtype=np.int64)


def _as_it_is(batch: VariantBatch) -> VariantBatch:
    return batch


def _values(column: TextColumn | None, counts: BoolArray) -> dict[str, int]:
    """How many rows that count have each value."""
    if column is None:
        return {}
    texts = (text_at(column, row)[:_SHOWN].decode("utf-8", "replace") for row in np.flatnonzero(counts).tolist())
    return dict(Counter(texts))


def _known(column: TextColumn) -> int:
    """Rows with a value."""
    lengths = np.diff(column.offsets)
    ones = np.flatnonzero(lengths == 1)
    return int(lengths.size - np.count_nonzero(column.data[column.offsets[:-1][ones]] == ord(".")))


def _part(samples: Int64Array, taken: Sequence[_Rows], reference: Reference) -> Part:
    """Rows of several batches as one part; records of different batches stay apart."""
    columns, packed, keys, haploid, dosages = [], [], [], [], []
    bits = (samples.size + 7) // 8
    for number, (loaded, start, stop) in enumerate(taken):
        rows, batch = loaded.rows[start:stop], loaded.batch
        columns.append(taken_rows(batch.columns, rows, number << 40))
        packed.append(batch.packed[rows])
        keys.append(loaded.keys[start:stop])
        haploid.append(np.zeros((rows.size, bits), np.uint8) if batch.haploid is None else batch.haploid[rows])
        dosages.append(None if batch.dosages is None else dosage_rows(batch.dosages, rows))
    if not taken:
        none = np.empty((0, packed_bytes(samples.size)), np.uint8)
        return Part(samples, np.empty(0, np.int64), VariantColumns.empty(), none, None, None, reference)
    marks = np.concatenate(haploid)
    whole = np.ascontiguousarray(np.concatenate(packed))
    sizes = [rows.size for rows in keys]
    copies = joined_dosages(dosages, sizes, samples.size)
    return Part(
        samples, np.concatenate(keys), VariantColumns.joined(columns), whole, marks if marks.any() else None, copies, reference
    )  # fmt: skip
