"""From whole lines of VCF text to a `VariantBatch`: the kernel's arrays in and out, and its errors in words."""

import re
import threading
from dataclasses import KW_ONLY, dataclass, field, replace
from functools import cached_property

import numpy as np

from genassoc.data.block import DosageRows
from genassoc.data.cohort.contigs import MT, X, Y, chromosome_of
from genassoc.data.store.variant_columns import TextColumn, VariantColumns
from genassoc.formats.annotations import Annotations, Places, counted_spans
from genassoc.formats.source import BEGINNING, Place, RecordError, Region, VariantBatch, added
from genassoc.formats.vcf.sample_fields import CALLS_ALONE, SampleFields
from genassoc.kernels.genotypes.half_calls import forget_half_calls
from genassoc.kernels.text import vcf as kernels
from genassoc.kernels.text import vcf_calls as calls
from genassoc.kernels.text.vcf_dosages import ANY_KNOWN, NO_DOSAGE, DosageRoom
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
    calls.MASKED_GQ: "masked_gq",
    calls.MASKED_DP: "masked_dp",
    calls.MASKED_BALANCE: "masked_allele_balance",
    calls.HALF_HAPLOID: "half_as_haploid",
    calls.HALF_REFERENCE: "half_as_reference",
    calls.FROM_CALLS: "dosages_from_calls",
    calls.ADJUSTED: "dosages_adjusted",
    calls.UNSOUND: "probabilities_unsound",
    calls.DISAGREES: "dosages_disagree",
    calls.ROUNDED_ROWS: "dosages_rounded",
}
MOST_ROWS = 2**18  # at a time, however short the lines
ROW_BYTES = 100  # of a row beside its calls
TYPICAL_FIXED_BYTES = 24  # of a line before its calls, about; shorter lines only mean another turn of the loop


_NOT_READ = "--dosage names the field that is read, GT for the calls alone"
_BAD_FIELDS = {
    calls.BAD_DOSAGE: f"where {{name}} is not between 0 and 2, so no dosage; {_NOT_READ}",
    calls.BAD_PROBABILITY: "where {name} is not between 0 and 1, so no probability (VCF before 4.3 has them phred-scaled, which "
    f"is not read); {_NOT_READ}",
    calls.BAD_HAPLOID: "a haploid genotype whose DS is above 1, where it is of one copy and so 0 to 1; " + _NOT_READ,
    calls.BAD_COUNT: f"where {{name}} has not one value for each ALT (DS), genotype (GP) or haplotype (HDS); {_NOT_READ}",
    calls.BAD_LOCAL: "whose list of local alleles (LAA) does not fit {name} and ALT ({alts})",
}


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
    fields : SampleFields
        What is read beside GT, and how.
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
    fields: SampleFields = CALLS_ALONE

    @cached_property
    def _asked(self) -> tuple[calls.Samples, kernels.Header, kernels.Regions]:
        """What is asked of the kernel, in its arrays."""
        n_columns, n_samples = len(self.sample_ids), len(self.columns)
        in_order = n_columns == n_samples and bool((self.columns == np.arange(n_samples)).all())
        rules = self.fields.half_rule | (calls.LEADING_PHASE if self.leading_phase else 0)
        bounds = np.array([(r.first, r.last) for r in self.regions], dtype=np.int64).reshape(-1, 2)
        return (
            calls.Samples(n_columns, np.ascontiguousarray(self.columns), in_order),
            kernels.Header(*_joined(list(self.numeric_formats)), rules, self.fields.wanted),
            kernels.Regions(*_joined([r.contig.encode() for r in self.regions]), bounds, self.pass_only, self.blocks),
        )

    @cached_property
    def _rooms(self) -> threading.local:
        """Room to work in, a thread's own."""
        return threading.local()

    def _room_here(self, samples: calls.Samples) -> kernels.Room:
        room: kernels.Room | None = getattr(self._rooms, "room", None)
        if room is None:
            room = self._rooms.room = kernels.working_room(samples)
        return room

    @property
    def _row_bytes(self) -> int:
        """Of memory that a row takes."""
        fields = self.fields
        each = 2 * (fields.has_dosages + fields.has_probabilities)
        return packed_bytes(len(self.columns)) + each * len(self.columns) + ROW_BYTES

    def __call__(self, text: bytes | memoryview, place: Place = BEGINNING) -> VariantBatch:
        """Scan whole lines, which are read again from ``place``; `RecordError` at the first that is malformed."""
        n_columns, n_samples = len(self.sample_ids), len(self.columns)
        buffer = np.frombuffer(text, dtype=np.uint8)
        buffer.flags.writeable = False  # one type of array for the kernel, which numba compiles for each type
        samples, header, regions = self._asked
        room = self._room_here(samples)
        counters, status = report = kernels.Report(
            np.zeros(calls.N_COUNTERS, dtype=np.int64), np.zeros(kernels.STATUS_SIZE, dtype=np.int64)
        )
        batches: list[VariantBatch] = []
        left_out: dict[str, int] = {}
        offset, lines = 0, 0
        capacity = min(len(text) // (4 * n_columns + TYPICAL_FIXED_BYTES), MOST_ROWS) + 16
        while True:
            out = _room(capacity, n_samples, self.fields)
            kernels.scan(buffer, offset, samples, header, regions, out, room, report)
            lines += int(status[kernels.STATUS_LINES])
            n_rows = int(status[kernels.STATUS_ROWS])
            if status[kernels.STATUS_CODE] not in (calls.OK, calls.FULL):
                raise RecordError(lines, self._message(text, status))
            if n_rows:
                batch = _batch(out, buffer, n_rows, self.annotations)
                batches.append(
                    replace(batch, dosages=_dosages(out.dosages, n_rows, bool(room.fields.state[ANY_KNOWN])))
                )
            left_out = added(left_out, counted_spans(buffer, out.left_out[: status[kernels.STATUS_LEFT_OUT]]))
            if status[kernels.STATUS_CODE] == calls.OK:
                break
            offset = int(status[kernels.STATUS_OFFSET])
            if n_rows == 0 and not status[kernels.STATUS_LINES]:
                capacity *= 4  # one record with more ALTs than there is room for
                if capacity * self._row_bytes > self.max_row_bytes:
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
        name = (columns[8].split(":") if len(columns) > 8 else [""])[field]
        if code == calls.BAD_NUMBER:
            return f"{call()}, where field {name} must be a number{where}"
        if code in _BAD_FIELDS:
            return f"{call()}, {_BAD_FIELDS[code].format(name=name, alts=alts[:40])}{where}"
        return f"{call()}, which is no genotype (alleles separated by / or |, '.' if missing){where}"


def _room(capacity: int, n_samples: int, fields: SampleFields) -> kernels.Rows:
    """Room for rows, filled by the kernel."""
    n_dosages, n_known = (capacity if there else 0 for there in (fields.has_dosages, fields.has_probabilities))
    return kernels.Rows(
        np.empty((capacity, packed_bytes(n_samples)), dtype=np.uint8),
        np.zeros((capacity, (n_samples + 7) // 8), dtype=np.uint8),
        np.zeros(capacity, dtype=np.uint8),
        np.empty(capacity, dtype=np.int64),
        np.empty((capacity, kernels.N_PLACES), dtype=np.int64),
        np.empty(capacity, dtype=np.int64),
        np.empty(capacity, dtype=np.int32),
        np.empty((capacity, 2), dtype=np.int64),
        np.zeros(capacity, dtype=np.int64),
        DosageRoom(
            np.zeros(capacity, dtype=np.uint16),
            np.empty((n_dosages, n_samples), dtype=np.uint16),
            np.empty((n_known, n_samples), dtype=np.uint16),
        ),
    )


def _batch(rows: kernels.Rows, text: UInt8Array, n_rows: int, annotations: Annotations) -> VariantBatch:
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
    half_calls = _by_contig(rows.half_calls[:n_rows], variants)
    packed, marks = rows.packed[:n_rows], rows.haploid[:n_rows]
    marked = rows.haploid_rows[:n_rows].astype(bool)
    if half_calls:
        of_calls = marked & (rows.dosages.steps[:n_rows] == 0)
        for at, length in _elsewhere(variants.contigs):
            forget_half_calls(packed, marks, at + np.flatnonzero(of_calls[at : at + length]))
    haploid = marks if marked.any() and marks.any() else None
    return VariantBatch(packed, haploid, variants, half_calls=half_calls, filters=filters, annotated=annotated)


def _dosages(room: DosageRoom, n_rows: int, any_known: bool) -> DosageRows | None:
    """The dosages of the first ``n_rows``, if any has some."""
    steps = room.steps[:n_rows]
    n_dosages = int(np.count_nonzero(steps))
    if not n_dosages:
        return None
    return DosageRows(steps, room.values[:n_dosages], room.homozygous[:n_dosages] if any_known else None)


def _by_contig(half_calls: Int64Array, variants: VariantColumns) -> dict[str, int]:
    """Half calls of rows (V,) by contig, without zeros."""
    by_contig: dict[str, int] = {}
    at = 0
    for contig, length in variants.contigs:
        n = int(half_calls[at : at + length].sum())
        if n:
            by_contig[contig] = by_contig.get(contig, 0) + n
        at += length
    return by_contig


def _elsewhere(runs: tuple[tuple[str, int], ...]) -> list[tuple[int, int]]:
    """Runs of rows (first, length) on contigs other than X, Y and MT: a mark on a half call means nothing there."""
    elsewhere, at = [], 0
    for contig, length in runs:
        if chromosome_of(contig) not in (X, Y, MT):
            elsewhere.append((at, length))
        at += length
    return elsewhere


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
    dosages = _joined_dosages(batches)
    return VariantBatch(
        packed, haploid, columns, counters, lines, half, place, dosages, filters=filters, annotated=annotated
    )


def _joined_dosages(batches: list[VariantBatch]) -> DosageRows | None:
    """The dosages of batches one after another."""
    there = [batch.dosages for batch in batches if batch.dosages is not None]
    if not there:
        return None
    steps = [np.zeros(len(b.packed), np.uint16) if b.dosages is None else b.dosages.steps for b in batches]
    homozygous = None
    if any(rows.homozygous is not None for rows in there):
        homozygous = np.concatenate(
            [np.full_like(r.values, NO_DOSAGE) if r.homozygous is None else r.homozygous for r in there]
        )
    return DosageRows(np.concatenate(steps), np.concatenate([rows.values for rows in there]), homozygous)
