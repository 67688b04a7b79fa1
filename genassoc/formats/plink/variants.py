"""The list of variants beside a BED or a PGEN: .bim, .pvar, .pvar.zst. Streamed in runs of whole lines; never whole in memory."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np

from genassoc.data.block import DosageRows
from genassoc.data.store.variant_columns import FILTER, TextColumn, VariantColumns
from genassoc.errors import InputError
from genassoc.formats.annotations import Annotations, InfoField, Places, counted_runs, counted_spans, subfields_of
from genassoc.formats.reading import Reading
from genassoc.formats.source import Place, RecordError, Region, VariantBatch, added
from genassoc.kernels.text import variant_lines as kernels
from genassoc.shapes import BoolArray, Int32Array, Int64Array, UInt8Array

READ_BYTES = 2**20
HEADER_BYTES = 2**28  # of a .pvar
LINE_BYTES = 2**26  # alleles and INFO of one variant
MOST_WINDOW = 2**27  # of zstd: what decompressing may hold
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
# Columns that PLINK 2 knows, and those that a .bim has in their place.
_KNOWN = ("CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "CM")
_BIM = ("CHROM", "ID", "CM", "POS", "ALT", "REF")
_SHORT_BIM = ("CHROM", "ID", "POS", "ALT", "REF")
_CONTIG = re.compile(rb"##contig=<ID=([^,>]+)(?:.*[,]length=(\d{1,15})[,>])?")
_INFO = re.compile(rb"##INFO=<ID=([^,>]+)")
_NUMBER, _TYPE = re.compile(rb"[,<]Number=([^,>]+)"), re.compile(rb"[,<]Type=([^,>]+)")
COUNTER_NAMES = {
    kernels.RECORDS: "records",
    kernels.SPLIT: "split",
    kernels.OUTSIDE: "outside_regions",
    kernels.NO_ALTERNATE: "dropped_no_alternate_allele",
    kernels.REFERENCE_BLOCK: "dropped_reference_block_allele",
}


class LineRun(NamedTuple):
    """Whole lines.

    Attributes
    ----------
    text : bytes
        Ends with a newline.
    offset : int
        Where it begins in the file (of compressed files: in what is decompressed).
    first : int
        Variants before it.
    n : int
        Lines.
    """

    text: bytes
    offset: int
    first: int
    n: int


@dataclass(frozen=True, kw_only=True)
class VariantRun:
    """The variants of some lines: V rows, one an ALT, of those in the regions.

    Attributes
    ----------
    columns : VariantColumns
    lines : int64 (V,)
        The line of each row.
    alleles : int32 (lines,)
        Alleles of each line, REF counted.
    counters : dict
    n_lines : int
    no_reference : int
        Variants whose REF is not known.
    filters, left_out, annotated : dict
        As of a `VariantBatch`.
    """

    columns: VariantColumns
    lines: Int64Array
    alleles: Int32Array = field(default_factory=lambda: np.empty(0, np.int32))
    counters: dict[str, int] = field(default_factory=dict)
    n_lines: int = 0
    no_reference: int = 0
    filters: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    annotated: dict[str, int] = field(default_factory=dict)

    def batch(self, packed: UInt8Array, place: Place, dosages: DosageRows | None = None) -> VariantBatch:
        """These variants with their calls."""
        return VariantBatch(
            packed, None, self.columns, self.counters, self.n_lines, place=place, dosages=dosages, filters=self.filters,
            left_out=self.left_out, annotated=self.annotated,
        )  # fmt: skip


def beside(path: Path, suffixes: Sequence[str], what: str) -> Path:
    """The file beside ``path`` that has one of the suffixes in place of its own; `InputError` where there is none."""
    for suffix in suffixes:
        found = path.with_suffix(suffix)
        if found.is_file():
            return found
        if found.exists():
            raise InputError(f"{found}: is no regular file; {path.name} needs {what} there")
    names = " or ".join(path.with_suffix(suffix).name for suffix in suffixes)
    raise InputError(f"{path}: has no {what} beside it; put {names} into the same folder")


class VariantList:
    """A .bim, .pvar or .pvar.zst.

    Parameters
    ----------
    path : Path
    reading : Reading
        Which INFO fields are kept, and which FILTERs.
    ref_is_first : bool
        Of a .bim: A1 is REF, not A2.

    Attributes
    ----------
    annotations : tuple of str
    contigs : tuple of str
        Of the header.
    contig_lengths : dict
    n_header_lines : int
    notes : list of str

    Raises
    ------
    InputError
        The header is malformed.
    """

    def __init__(self, path: Path, reading: Reading, *, ref_is_first: bool = False) -> None:
        self.path = path
        self.reading = reading
        self.notes: list[str] = []
        self.reference_words = ""  # the name of the reference sequence
        self.n_header_lines = 0
        self.is_zstd = self._head() == ZSTD_MAGIC
        names, self.body = self._header()
        self.is_bim = self.n_header_lines == 0
        self.layout = self._layout(names, ref_is_first and self.is_bim)
        self.contigs = tuple(self._contigs)
        self.contig_lengths = {name: n for name, n in self._contigs.items() if n}
        self._kept = self._info_kept()
        self.info_source, self.subfields = self._kept.source, self._kept.subfields
        self.annotations = (
            *((FILTER,) if self.layout.filter >= 0 else ()),
            *(name for name, _, _ in self._kept.fields),
        )

    # the header -----------------------------------------------------------------------------------------------

    def _head(self) -> bytes:
        try:
            with self.path.open("rb") as file:
                return file.read(4)
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read: {error.strerror or error}") from error

    def _header(self) -> tuple[list[str], int]:
        """Names of the columns, and where the first variant begins."""
        self._contigs: dict[str, int | None] = {}
        self._declared: dict[str, InfoField] = {}
        offset = 0
        for text in self._raw_lines(0):
            at = 0
            while at < len(text):
                end = text.index(b"\n", at)
                line = text[at:end].removesuffix(b"\r")
                if not line.startswith(b"#"):
                    return self._names_of(line), offset + at
                self.n_header_lines += 1
                if line.startswith(b"#CHROM"):
                    return self._column_names(line), offset + end + 1
                self._see(line)
                at = end + 1
                if offset + at > HEADER_BYTES:
                    raise InputError(f"{self.path}: its header is longer than {HEADER_BYTES >> 20} MB; is it a .pvar?")
            offset += len(text)
        raise InputError(f"{self.path}: names no variants" + (", only a header" if self.n_header_lines else ""))

    def _see(self, line: bytes) -> None:
        """A line of the header before the names of the columns."""
        if match := _CONTIG.match(line):
            name = match[1].strip(b'"').decode("utf-8", "replace")
            self._contigs[name] = int(match[2]) if match[2] else None
        elif match := _INFO.match(line):
            said = (pattern.search(line) for pattern in (_NUMBER, _TYPE))
            n_values, kind = (found[1].decode("utf-8", "replace") if found else "" for found in said)
            declared = InfoField(n_values, kind, subfields_of(line))
            self._declared[match[1].decode("utf-8", "replace")] = declared
        elif line.startswith((b"##reference=", b"##assembly=")):
            self.reference_words = line.partition(b"=")[2][:1000].decode("utf-8", "replace")

    def _names_of(self, line: bytes) -> list[str]:
        """Of a file without a header, which is a .bim's, by the number of its columns."""
        if self.n_header_lines:
            raise InputError(
                f"{self.path}:{self.n_header_lines + 1}: a line of column names (#CHROM POS ID REF ALT) is expected after the header"
            )
        n = len(line.split())
        if n < 5:
            raise InputError(
                f"{self.path}:1: has {n} columns; a .bim has six: chromosome, id, centimorgans, position, A1, A2"
            )
        return list(_BIM if n >= 6 else _SHORT_BIM)

    def _column_names(self, line: bytes) -> list[str]:
        where = f"{self.path}:{self.n_header_lines}"
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            raise InputError(f"{where}: the column names are not UTF-8 ({error})") from None
        self._tabs = "\t" in text
        names = (text.split("\t") if self._tabs else text.split())[: kernels.MOST_COLUMNS]
        names[0] = names[0].removeprefix("#")
        if "FORMAT" in names:  # a VCF: what follows is of samples
            names = names[: names.index("FORMAT")]
        for name in names:
            if name not in _KNOWN or names.count(name) > 1:
                raise InputError(
                    f"{where}: column {name[:40]!r} is unknown or there twice; a .pvar has {', '.join(_KNOWN)}"
                )
        absent = [name for name in ("CHROM", "POS", "ID", "REF", "ALT") if name not in names]
        if absent:
            raise InputError(f"{where}: has no column {', '.join(absent)}; a .pvar needs #CHROM POS ID REF ALT")
        return names

    def _layout(self, names: list[str], ref_is_first: bool) -> kernels.Layout:
        column = {name: number for number, name in enumerate(names)}
        if ref_is_first:
            column["REF"], column["ALT"] = column["ALT"], column["REF"]
        contig, position, identifier, ref, alt, passed, info = found = [
            column.get(name, -1) for name in ("CHROM", "POS", "ID", "REF", "ALT", "FILTER", "INFO")
        ]
        tabs = not self.is_bim and self._tabs
        return kernels.Layout(
            contig, position, identifier, ref, alt, passed, info, max(found) + 1, tabs, not self.is_bim
        )  # fmt: skip

    def _info_kept(self) -> Annotations:
        if self.layout.info < 0:
            if self.reading.info:
                self.notes.append(
                    f"{self.path.name}: has no INFO; {', '.join(self.reading.info)} are not there to be kept"
                )
            return Annotations()
        kept = Annotations.of(self.path.name, self._declared, self.reading)
        self.notes += kept.notes
        return kept

    # lines ----------------------------------------------------------------------------------------------------

    def _open(self, offset: int) -> BinaryIO:
        """The text from a place on."""
        file = self.path.open("rb")
        if not self.is_zstd:
            file.seek(offset)
            return file
        import zstandard

        reader = zstandard.ZstdDecompressor(max_window_size=MOST_WINDOW).stream_reader(
            file, read_across_frames=True, closefd=True
        )
        while offset > 0:  # what is compressed is read from its beginning
            skipped = reader.read(min(offset, READ_BYTES))
            if not skipped:
                break
            offset -= len(skipped)
        return cast(BinaryIO, reader)

    def _raw_lines(self, offset: int) -> Iterator[bytes]:
        """Whole lines in runs of about `READ_BYTES`; empty lines at the end are dropped."""
        try:
            with self._open(offset) as file:
                rest: list[bytes] = []
                size = 0
                while block := file.read(READ_BYTES):
                    cut = block.rfind(b"\n") + 1
                    if cut:
                        yield b"".join([*rest, block[:cut]])
                        rest, size = [], 0
                    rest.append(block[cut:])
                    size += len(block) - cut
                    if size > LINE_BYTES:
                        raise InputError(f"{self.path}: a line is longer than {LINE_BYTES >> 20} MB")
                if last := b"".join(rest):
                    yield last + b"\n"
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read: {error.strerror or error}") from error
        except InputError:
            raise
        except Exception as error:
            if type(error).__name__ != "ZstdError":
                raise
            raise InputError(f"{self.path}: cannot be decompressed ({error}); it is damaged or cut") from error

    def runs(self, most: int, start: tuple[int, int] | None = None) -> Iterator[LineRun]:
        """Runs of at most ``most`` lines; from ``start`` (offset, variants before) on."""
        offset, first = start or (self.body, 0)
        for text in self._trimmed(offset):
            ends = np.flatnonzero(np.frombuffer(text, np.uint8) == 10)
            begin = 0
            for at in range(0, ends.size, most):
                n = min(most, ends.size - at)
                end = int(ends[at + n - 1]) + 1
                yield LineRun(text[begin:end], offset + begin, first, n)
                begin, first = end, first + n
            offset += len(text)

    def _trimmed(self, offset: int) -> Iterator[bytes]:
        """`_raw_lines` without the empty lines that may end the file."""
        held: bytes | None = None
        for text in self._raw_lines(offset):
            if held is not None:
                yield held
            held = text
        if held is not None and (kept := held.rstrip(b" \t\r\n")):
            yield held[: held.index(b"\n", len(kept)) + 1]

    def scanned(self, run: LineRun, regions: Sequence[Region] = ()) -> VariantRun:
        """The variants of some lines that lie in the regions; `RecordError` at the first line that is malformed."""
        text = np.frombuffer(run.text, dtype=np.uint8)
        counters = np.zeros(kernels.N_COUNTERS, dtype=np.int64)
        status = np.zeros(kernels.STATUS_SIZE, dtype=np.int64)
        bounds = np.empty((2, kernels.MOST_COLUMNS), dtype=np.int64)
        alleles = np.empty(run.n, dtype=np.int32)
        wanted = _wanted(regions)
        parts: list[VariantRun] = []
        capacity, offset = run.n + 16, 0
        while True:
            rows = kernels.Rows(
                np.empty(capacity, np.int64), np.empty((capacity, kernels.N_PLACES), np.int64), np.empty(capacity, np.int64),
                np.empty(capacity, np.int64), np.empty(capacity, np.int32), alleles,
            )  # fmt: skip
            kernels.scan_variants(text, offset, self.layout, wanted, rows, bounds, counters, status)
            n = int(status[kernels.STATUS_ROWS])
            code = int(status[kernels.STATUS_CODE])
            if code not in (kernels.OK, kernels.FULL):
                raise RecordError(int(status[kernels.STATUS_LINES]), self._message(run.text, status))
            if n:
                parts.append(self._part(text, rows, n, int(status[kernels.STATUS_LINES])))
            if code == kernels.OK:
                break
            offset = int(status[kernels.STATUS_OFFSET])
            if n == 0:
                capacity *= 4  # one variant with more ALTs than there is room for
        columns = VariantColumns.joined([part.columns for part in parts]) if parts else self._empty()
        lines = np.concatenate([part.lines for part in parts]) if parts else np.empty(0, np.int64)
        filters, left_out, annotated = (
            added(*(getattr(part, name) for part in parts)) for name in ("filters", "left_out", "annotated")
        )
        named = {name: int(counters[i]) for i, name in COUNTER_NAMES.items()} | {"filtered_out": sum(left_out.values())}
        return VariantRun(
            columns=columns, lines=lines, alleles=alleles, counters=named, n_lines=run.n,
            no_reference=int(counters[kernels.NO_REFERENCE]), filters=filters, left_out=left_out, annotated=annotated,
        )  # fmt: skip

    def _empty(self) -> VariantColumns:
        none = VariantColumns.empty()
        none.annotations.update(dict.fromkeys(self.annotations, none.rsid))
        return none

    def _part(self, text: UInt8Array, rows: kernels.Rows, n: int, line: int) -> VariantRun:
        """The first ``n`` rows, without those that are left out, as columns that hold no view of the text."""
        places, records, lines, alt_index = rows.places[:n], rows.records[:n], rows.lines[:n], rows.alt_index[:n]
        positions = rows.positions[:n]
        of_filter = slice(kernels.FILTER_START, kernels.FILTER_END + 1)
        left_out: dict[str, int] = {}
        if self.reading.pass_only and self.layout.filter >= 0:
            keep = _passes(text, places)
            out = np.flatnonzero(~keep & (np.diff(records, prepend=-1) != 0))
            left_out = counted_spans(text, places[out, of_filter])
            places, records, lines = places[keep], records[keep], lines[keep]
            alt_index, positions = alt_index[keep], positions[keep]
            n = len(places)
        rsid, ref, alt = (
            self._texts(text, places, start, line) for start in (kernels.ID_START, kernels.REF_START, kernels.ALT_START)
        )
        unknown = np.flatnonzero(np.diff(ref.offsets) == 1)
        unknown = unknown[np.isin(ref.data[ref.offsets[unknown]], (ord("0"), ord(".")))]
        ref.data[ref.offsets[unknown]] = ord("N")
        firsts = _firsts(text, places, kernels.CHROM_START)
        names = [
            _decoded(text[start:end].tobytes(), line)
            for start, end in places[firsts, kernels.CHROM_START : kernels.CHROM_END + 1].tolist()
        ]
        contigs = tuple(zip(names, np.diff(np.append(firsts, n)).tolist()))
        annotations: dict[str, TextColumn] = {}
        filters: dict[str, int] = {}
        annotated: dict[str, int] = {}
        if self.layout.filter >= 0:
            annotations[FILTER] = self._texts(text, places, kernels.FILTER_START, line)
            once = np.diff(records, prepend=-1) != 0
            filters = counted_runs(text, places[:, of_filter], _firsts(text, places, kernels.FILTER_START), once)
        if self._kept.fields:
            spans = np.ascontiguousarray(places[:, kernels.FILTER_START : kernels.INFO_END + 1])
            starts = places[:, kernels.ALTS_START].copy() if self.layout.tabs else np.empty(0, np.int64)
            values, annotated = self._kept.take_info(text, spans, Places(starts, alt_index))
            for column in values.values():
                if column.data.size and column.data.max() >= 128:
                    _decoded(column.data.tobytes(), line)
            annotations |= values
        columns = VariantColumns(contigs, positions, alt, ref, rsid, records, alt_index, annotations)
        return VariantRun(columns=columns, lines=lines, filters=filters, left_out=left_out, annotated=annotated)

    @staticmethod
    def _texts(text: UInt8Array, places: Int64Array, start: int, line: int) -> TextColumn:
        sizes = places[:, start + 1] - places[:, start]
        offsets, data = np.empty(len(places) + 1, np.int64), np.empty(int(sizes.sum()), np.uint8)
        kernels.copy_texts(text, places, start, offsets, data)
        if data.size and data.max() >= 128:
            _decoded(data.tobytes(), line)
        return TextColumn(offsets, data)

    def _message(self, text: bytes, status: Int64Array) -> str:
        """What is wrong with a line, in words."""
        at = int(status[kernels.STATUS_OFFSET])
        line = text[at : text.index(b"\n", at)].removesuffix(b"\r")[:200].decode("utf-8", "replace")
        fields = (line.split("\t") if self.layout.tabs else line.split()) + [""] * kernels.MOST_COLUMNS
        code, layout = int(status[kernels.STATUS_CODE]), self.layout
        return {
            kernels.FEW_COLUMNS: f"has fewer than {layout.n_columns} columns: {line[:60]!r}; the line is cut",
            kernels.BAD_CONTIG: f"{fields[layout.contig][:40]!r} is no name of a chromosome",
            kernels.BAD_POSITION: f"position {fields[layout.position][:40]!r} is no whole number"
            + (
                "; PLINK leaves out variants with negative positions: write the files again with plink2 --make-bed or --make-pgen"
                if fields[layout.position].startswith("-")
                else ""
            ),
            kernels.EMPTY_FIELD: "an id or an allele is empty; write '.' for an absent one",
            kernels.EMPTY_LINE: "is an empty line; remove it, since each line is a variant",
            kernels.HEADER_LINE: f"a header line among the variants: {line[:40]!r}; were files pasted together?",
        }[code]


def _firsts(text: UInt8Array, places: Int64Array, start: int) -> Int64Array:
    """Rows in which a column is not that of the row before."""
    changes = np.empty(len(places), np.uint8)
    kernels.text_changes(text, places, start, changes)
    return np.flatnonzero(changes)


def _passes(text: UInt8Array, places: Int64Array) -> BoolArray:
    """Rows whose FILTER is PASS or "."."""
    starts, sizes = places[:, kernels.FILTER_START], places[:, kernels.FILTER_END] - places[:, kernels.FILTER_START]
    passes = (sizes == 1) & (text[np.minimum(starts, text.size - 1)] == ord("."))
    of_four = np.flatnonzero(sizes == 4)
    found = text[starts[of_four, None] + np.arange(4)]
    passes[of_four] = (found == np.frombuffer(b"PASS", np.uint8)).all(axis=1)
    return passes


def _wanted(regions: Sequence[Region]) -> kernels.Wanted:
    names = [region.contig.encode() for region in regions]
    ends = np.cumsum([len(name) for name in names], dtype=np.int64)
    bounds = np.array([(region.first, region.last) for region in regions], dtype=np.int64).reshape(-1, 2)
    return kernels.Wanted(np.frombuffer(b"".join(names), dtype=np.uint8), ends, bounds)


def _decoded(shown: bytes, line: int) -> str:
    try:
        return shown.decode("utf-8")
    except UnicodeDecodeError:
        raise RecordError(max(0, line - 1), "an id, an allele or a name is not UTF-8 text") from None
