"""From whole lines of VCF text to a `VariantBatch`: the kernel's arrays in and out, and its errors in words."""

import re
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import cached_property

import numpy as np

from genassoc.data.cohort.contigs import MT, X, Y, chromosome_of
from genassoc.data.store.variant_columns import TextColumn, VariantColumns
from genassoc.formats.annotations import Annotations, Places, counted_spans
from genassoc.formats.source import BEGINNING, Place, RecordError, Region, VariantBatch, added
from genassoc.kernels.genotypes.counts import count_haploid, mask_words
from genassoc.kernels.text import vcf as kernels
from genassoc.kernels.text import vcf_calls as calls
from genassoc.shapes import Int64Array, UInt8Array, packed_bytes

COUNTER_NAMES = {
    calls.RECORDS: "records",
    calls.SPLIT: "split",
    calls.NO_GENOTYPES: "dropped_no_genotypes",
    calls.NO_ALTERNATE: "dropped_no_alternate_allele",
    calls.REFERENCE_BLOCK: "dropped_reference_block_allele",
    calls.HAPLOID_CALLS: "haploid_calls",
    calls.HALF_MISSING: "half_missing_calls",
    calls.POLYPLOID_CALLS: "polyploid_calls",
    calls.OUTSIDE: "outside_regions",
    calls.DOSAGES: "dosages_DS",
    calls.DOSAGES + 1: "dosages_HDS",
    calls.DOSAGES + 2: "dosages_GP",
}
MOST_ROWS = 2**18  # at a time, however short the lines
ROW_BYTES = 100  # of a row beside its calls
TYPICAL_FIXED_BYTES = 24  # of a line before its calls, about; shorter lines only mean another turn of the loop


_NEWLINE = re.compile(rb"\n")
_SHOWN = 200  # bytes of a field that a message may need


@dataclass(frozen=True)
class LineScanner:
    """How the lines of one file are scanned.

    Attributes
    ----------
    sample_ids : tuple of str
        The file's, for messages.
    columns : int64 (N,)
        File column of each sample of the store.
    regions : tuple of Region
        What to keep; everything if empty.
    numeric_formats : tuple of bytes
        FORMAT fields that must hold numbers.
    leading_phase : bool
        Whether genotypes may begin with a separator (VCF 4.4 and later).
    max_row_bytes : int
        For the rows of one record, of which each ALT makes one.
    annotations : Annotations
        What rows keep of FILTER and INFO.
    pass_only : bool
        Leave out records whose FILTER is neither PASS nor ".".
    blocks : bool
        Records that say where calls are reference make a row too.
    """

    sample_ids: tuple[str, ...]
    columns: Int64Array
    regions: tuple[Region, ...]
    numeric_formats: tuple[bytes, ...]
    leading_phase: bool = False
    max_row_bytes: int = 2**30
    _: KW_ONLY
    annotations: Annotations = field(default_factory=Annotations)
    pass_only: bool = False
    blocks: bool = False

    @cached_property
    def _asked(self) -> tuple[calls.Samples, kernels.Header, kernels.Regions]:
        """What is asked of the kernel, in its arrays."""
        n_columns, n_samples = len(self.sample_ids), len(self.columns)
        in_order = n_columns == n_samples and bool((self.columns == np.arange(n_samples)).all())
        bounds = np.array([(r.first, r.last) for r in self.regions], dtype=np.int64).reshape(-1, 2)
        return (
            calls.Samples(n_columns, np.ascontiguousarray(self.columns), in_order),
            kernels.Header(*_joined(list(self.numeric_formats)), self.leading_phase),
            kernels.Regions(*_joined([r.contig.encode() for r in self.regions]), bounds, self.pass_only, self.blocks),
        )

    def __call__(self, text: bytes | memoryview, place: Place = BEGINNING) -> VariantBatch:
        """Scan whole lines, which are read again from ``place``; `RecordError` at the first that is malformed."""
        n_columns, n_samples = len(self.sample_ids), len(self.columns)
        buffer = np.frombuffer(text, dtype=np.uint8)
        buffer.flags.writeable = False  # one type of array for the kernel, which numba compiles for each type
        samples, header, regions = self._asked
        room = kernels.working_room(samples)
        counters, status = report = kernels.Report(
            np.zeros(calls.N_COUNTERS, dtype=np.int64), np.zeros(kernels.STATUS_SIZE, dtype=np.int64)
        )
        batches: list[VariantBatch] = []
        left_out: dict[str, int] = {}
        offset, lines = 0, 0
        capacity = min(len(text) // (4 * n_columns + TYPICAL_FIXED_BYTES), MOST_ROWS) + 16
        while True:
            out = _room(capacity, n_samples)
            kernels.scan(buffer, offset, samples, header, regions, out, room, report)
            lines += int(status[kernels.STATUS_LINES])
            n_rows = int(status[kernels.STATUS_ROWS])
            if status[kernels.STATUS_CODE] not in (calls.OK, calls.FULL):
                raise RecordError(lines, self._message(text, status))
            if n_rows:
                batches.append(_batch(out, buffer, n_rows, n_samples, self.annotations))
            left_out = added(left_out, counted_spans(buffer, out.left_out[: status[kernels.STATUS_LEFT_OUT]]))
            if status[kernels.STATUS_CODE] == calls.OK:
                break
            offset = int(status[kernels.STATUS_OFFSET])
            if n_rows == 0 and not status[kernels.STATUS_LINES]:
                capacity *= 4  # one record with more ALTs than there is room for
                if capacity * (packed_bytes(n_samples) + ROW_BYTES) > self.max_row_bytes:
                    raise RecordError(
                        lines, f"a record of more than {capacity // 4:,} ALT alleles, for whose rows there is no room"
                    )
        named = {name: int(counters[i]) for i, name in COUNTER_NAMES.items()}
        return replace(_joined_batches(batches, n_samples, named, lines, place), left_out=left_out)

    def _message(self, text: bytes | memoryview, status: Int64Array) -> str:
        """The kernel's error in words, with the record's place in the genome."""
        code, offset = int(status[kernels.STATUS_CODE]), int(status[kernels.STATUS_OFFSET])
        sample, field = int(status[kernels.STATUS_SAMPLE]), int(status[kernels.STATUS_FIELD])
        end = _NEWLINE.search(text, offset)
        whole = bytes(memoryview(text)[offset : end.start() if end else len(text)]).removesuffix(b"\r")
        line = whole[:_SHOWN].decode("utf-8", "replace")
        # Not all columns: a line that is no record may have millions.
        columns = [
            (field if number == 8 else field[:_SHOWN]).decode("utf-8", "replace")
            for number, field in enumerate(whole.split(b"\t", 10 + max(sample, 0))[: 10 + max(sample, 0)])
        ]
        where = f" (record at {columns[0]}:{columns[1]})" if len(columns) > 1 else ""
        n_columns = len(self.sample_ids)

        def call() -> str:
            value = columns[9 + sample] if 9 + sample < len(columns) else ""
            return f"sample '{self.sample_ids[sample]}' (column {10 + sample}) has {value[:40]!r}"

        alts = columns[4] if len(columns) > 4 else ""
        words = {
            calls.BAD_COLUMNS: f"{whole.count(bytes([9])) + 1} columns where the header has {9 + n_columns} "
            f"(9 and {n_columns} samples); the line is cut or has a tab too many or too few",
            calls.BAD_CONTIG: f"CHROM {columns[0][:40]!r} is no contig name",
            calls.BAD_POSITION: f"POS {columns[1][:40] if len(columns) > 1 else ''!r} is no whole number",
            calls.EMPTY_FIELD: "ID, REF or ALT is empty; write '.' for an absent one",
            calls.BAD_FORMAT: f"FORMAT {columns[8][:60] if len(columns) > 8 else ''!r} has an empty field or GT twice",
            calls.HEADER_LINE: f"a header line among the records: {line[:40]!r}; were files pasted together?",
        }
        if code in words:
            return words[code] + where
        if code == calls.BAD_ALLELE:
            return f"{call()}, whose allele number is above the number of ALT alleles ({alts[:40]}){where}"
        if code == calls.TOO_MANY_FIELDS:
            return f"{call()}, more fields than FORMAT {columns[8][:60]!r} names{where}"
        if code == calls.BAD_NUMBER:
            name = columns[8].split(":")[field]
            return f"{call()}, where field {name} must be a number by the header{where}"
        return f"{call()}, which is no genotype (alleles separated by / or |, '.' if missing){where}"


def _room(capacity: int, n_samples: int) -> kernels.Rows:
    """Room for rows, filled by the kernel."""
    return kernels.Rows(
        np.empty((capacity, packed_bytes(n_samples)), dtype=np.uint8),
        np.zeros((capacity, (n_samples + 7) // 8), dtype=np.uint8),
        np.zeros(capacity, dtype=np.uint8),
        np.empty(capacity, dtype=np.int64),
        np.empty((capacity, kernels.N_PLACES), dtype=np.int64),
        np.empty(capacity, dtype=np.int64),
        np.empty(capacity, dtype=np.int32),
        np.empty((capacity, 2), dtype=np.int64),
    )


def _batch(rows: kernels.Rows, text: UInt8Array, n_rows: int, n_samples: int, annotations: Annotations) -> VariantBatch:
    """The first ``n_rows`` as a batch that holds no view of the text."""
    places = rows.places[:n_rows]
    n_bytes = int((places[:, kernels.ID_END :: 2] - places[:, kernels.ID_START :: 2]).sum())
    offsets, data = np.empty((3, n_rows + 1), dtype=np.int64), np.empty(n_bytes, dtype=np.uint8)
    same = np.empty(n_rows, dtype=np.uint8)
    kernels.take_names(text, places, offsets, data, same)
    if n_bytes and data.max() >= 128:
        _check_text(offsets, data, text, places)
    rsid, ref, alt = (TextColumn(column, data) for column in offsets)
    contigs = _contigs(text, places, np.flatnonzero(same == 0))
    numbers = rows.records[:n_rows], rows.alt_index[:n_rows]
    starts = np.ascontiguousarray(places[:, kernels.REF_END]) + 1
    first_of_record = np.diff(numbers[0], prepend=-1) != 0
    columns, filters, annotated = annotations.take(text, Places(starts, numbers[1]), first_of_record)
    for column in columns.values():
        if column.data.size and column.data.max() >= 128:
            _check_text(column.offsets[None], column.data, text, places)
    variants = VariantColumns(contigs, rows.positions[:n_rows], alt, ref, rsid, *numbers, columns)
    if not rows.haploid_rows[:n_rows].any():
        return VariantBatch(rows.packed[:n_rows], None, variants, filters=filters, annotated=annotated)
    packed, marks = rows.packed[:n_rows], rows.haploid[:n_rows]
    half, by_contig = _half_calls(packed, marks, rows.haploid_rows[:n_rows], variants, n_samples)
    for at, length in _elsewhere(variants.contigs):
        _clear_half_calls(packed[at : at + length], marks[at : at + length], half[at : at + length])
    return VariantBatch(
        packed, marks if marks.any() else None, variants, half_calls=by_contig, filters=filters, annotated=annotated
    )


def _half_calls(
    packed: UInt8Array, marks: UInt8Array, marked: UInt8Array, variants: VariantColumns, n_samples: int
) -> tuple[Int64Array, dict[str, int]]:
    """Half calls of each row (V,), and by contig, once a record: those that are marked and not observed."""
    rows = np.flatnonzero(marked)
    counts = np.empty((len(rows), 2), dtype=np.int64)
    words = np.ascontiguousarray(packed[rows]).view(np.uint64)
    chosen = np.ascontiguousarray(marks[rows])
    count_haploid(words, chosen, mask_words(np.arange(n_samples), n_samples), counts)
    half = np.zeros(len(packed), dtype=np.int64)
    half[rows] = np.bitwise_count(chosen).sum(axis=1, dtype=np.int64) - counts.sum(axis=1)
    once = np.where(np.diff(variants.record, prepend=-1) != 0, half, 0)
    by_contig: dict[str, int] = {}
    at = 0
    for contig, length in variants.contigs:
        n = int(once[at : at + length].sum())
        if n:
            by_contig[contig] = by_contig.get(contig, 0) + n
        at += length
    return half, by_contig


def _elsewhere(runs: tuple[tuple[str, int], ...]) -> list[tuple[int, int]]:
    """Runs of rows (first, length) on contigs other than X, Y and MT: a mark on a half call means nothing there."""
    elsewhere, at = [], 0
    for contig, length in runs:
        if chromosome_of(contig) not in (X, Y, MT):
            elsewhere.append((at, length))
        at += length
    return elsewhere


def _clear_half_calls(packed: UInt8Array, marks: UInt8Array, half: Int64Array) -> None:
    """Take the marks of half calls away, in the rows that have some."""
    rows = np.flatnonzero(half)
    if rows.size == 0:
        return
    words = np.ascontiguousarray(packed[rows])
    n_bytes = marks.shape[1]
    # code 3: both bits of a call are set
    pairs = np.unpackbits(words, axis=1, bitorder="little")[:, : 16 * n_bytes]
    not_observed = np.packbits(pairs[:, ::2] & pairs[:, 1::2], axis=1, bitorder="little")[:, :n_bytes]
    marks[rows] &= ~not_observed


def _joined(names: list[bytes]) -> tuple[UInt8Array, Int64Array]:
    """Byte strings one after another, and where each ends."""
    ends = np.cumsum([len(name) for name in names], dtype=np.int64)
    return np.frombuffer(b"".join(names), dtype=np.uint8), ends


def _check_text(offsets: Int64Array, data: UInt8Array, text: UInt8Array, places: Int64Array) -> None:
    """Raise `RecordError` for the first ID, REF or ALT that is not UTF-8."""
    for v in range(len(places)):
        for column in offsets:
            _decoded(data[column[v] : column[v + 1]].tobytes(), text, int(places[v, kernels.CHROM_START]))


def _decoded(shown: bytes, text: UInt8Array, start: int) -> str:
    """Text from its bytes; `RecordError` of the line that begins at ``start`` where it is not UTF-8."""
    try:
        return shown.decode("utf-8")
    except UnicodeDecodeError:
        raise RecordError(int((text[:start] == 10).sum()), f"{shown!r} is not UTF-8 text") from None


def _contigs(text: UInt8Array, places: Int64Array, firsts: Int64Array) -> tuple[tuple[str, int], ...]:
    """Runs of equal CHROM, from the first row of each: name and length."""
    lengths = np.diff(np.append(firsts, len(places))).tolist()
    starts, ends = places[firsts, kernels.CHROM_START].tolist(), places[firsts, kernels.CHROM_END].tolist()
    return tuple(
        (_decoded(text[start:end].tobytes(), text, start), length) for start, end, length in zip(starts, ends, lengths)
    )


def _joined_batches(
    batches: list[VariantBatch], n_samples: int, counters: dict[str, int], lines: int, place: Place
) -> VariantBatch:
    """One batch of several, or of none."""
    if not batches:
        none = np.empty((0, packed_bytes(n_samples)), np.uint8)
        return VariantBatch(none, None, VariantColumns.empty(), counters, lines, place=place)
    if len(batches) == 1:
        return replace(batches[0], counters=counters, lines=lines, place=place)
    haploid = None
    if any(batch.haploid is not None for batch in batches):
        bits = (n_samples + 7) // 8
        haploid = np.concatenate(
            [np.zeros((len(b.packed), bits), np.uint8) if b.haploid is None else b.haploid for b in batches]
        )
    packed = np.concatenate([batch.packed for batch in batches])
    columns = VariantColumns.joined([batch.columns for batch in batches])
    half, filters, annotated = (
        added(*(getattr(batch, name) for batch in batches)) for name in ("half_calls", "filters", "annotated")
    )
    return VariantBatch(packed, haploid, columns, counters, lines, half, place, filters=filters, annotated=annotated)
