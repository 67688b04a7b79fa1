"""The list of variants beside a BED or a PGEN: .bim, .pvar, .pvar.zst. Streamed in runs of whole lines; never whole in memory."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

import numpy as np

from genassoc.data.store.variant_columns import FILTER, TextColumn, VariantColumns
from genassoc.errors import InputError
from genassoc.formats.reading import Reading
from genassoc.formats.source import RecordError, Region
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
_QUALITIES = ("R2", "DR2", "INFO", "IMP_R2", "Rsq")
_INFO_SOURCE = "info_source"
_CONTIG = re.compile(rb"##contig=<ID=([^,>]+)(?:.*[,]length=(\d{1,15})[,>])?")
_INFO = re.compile(rb"##INFO=<ID=([^,>]+)")
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


@dataclass(frozen=True)
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
    filters, left_out : dict
        FILTER -> variants kept, variants that ``pass_only`` leaves out.
    """

    columns: VariantColumns
    lines: Int64Array
    alleles: Int32Array
    counters: dict[str, int]
    n_lines: int
    no_reference: int = 0
    filters: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)


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
        self._keys = self._info_keys()
        self.annotations = (*((FILTER,) if self.layout.filter >= 0 else ()), *self._keys)

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
        self._declared: dict[str, None] = {}
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
            self._declared[match[1].decode("utf-8", "replace")] = None
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

    def _info_keys(self) -> dict[str, tuple[bytes, ...]]:
        """Annotation -> the INFO fields that it is taken from, the first that a variant has."""
        if self.layout.info < 0:
            if self.reading.info:
                self.notes.append(
                    f"{self.path.name}: has no INFO; {', '.join(self.reading.info)} are not there to be kept"
                )
            return {}
        keys = {}
        quality = [name for name in _QUALITIES if name in self._declared]
        if quality:
            keys[_INFO_SOURCE] = tuple(name.encode() for name in quality[:1])
        absent = [name for name in self.reading.info if self._declared and name not in self._declared]
        if absent:
            self.notes.append(f"{self.path.name}: its header declares no INFO field {', '.join(absent)}")
        return keys | {f"INFO/{name}": (name.encode(),) for name in self.reading.info}

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
        parts: list[tuple[VariantColumns, Int64Array]] = []
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
                parts.append((self._columns(text, rows, n, int(status[kernels.STATUS_LINES])), rows.lines[:n]))
            if code == kernels.OK:
                break
            offset = int(status[kernels.STATUS_OFFSET])
            if n == 0:
                capacity *= 4  # one variant with more ALTs than there is room for
        columns = VariantColumns.joined([part for part, _ in parts]) if parts else self._empty()
        lines = np.concatenate([part for _, part in parts]) if parts else np.empty(0, np.int64)
        named = {name: int(counters[i]) for i, name in COUNTER_NAMES.items()}
        made = VariantRun(columns, lines, alleles, named, run.n, int(counters[kernels.NO_REFERENCE]))
        return self._by_filter(made) if self.layout.filter >= 0 else made

    def _empty(self) -> VariantColumns:
        none = VariantColumns.empty()
        none.annotations.update(dict.fromkeys(self.annotations, none.rsid))
        return none

    def _columns(self, text: UInt8Array, rows: kernels.Rows, n: int, line: int) -> VariantColumns:
        """The first ``n`` rows as columns that hold no view of the text."""
        places = rows.places[:n]
        rsid, ref, alt = (
            self._texts(text, places, start, line) for start in (kernels.ID_START, kernels.REF_START, kernels.ALT_START)
        )
        unknown = np.flatnonzero(np.diff(ref.offsets) == 1)
        unknown = unknown[np.isin(ref.data[ref.offsets[unknown]], (ord("0"), ord(".")))]
        ref.data[ref.offsets[unknown]] = ord("N")
        changes = np.empty(n, np.uint8)
        kernels.contig_changes(text, places, changes)
        firsts = np.flatnonzero(changes)
        lengths = np.diff(np.append(firsts, n)).tolist()
        names = [
            _decoded(text[start:end].tobytes(), line)
            for start, end in places[firsts][:, [kernels.CHROM_START, kernels.CHROM_END]].tolist()
        ]
        annotations = {}
        if self.layout.filter >= 0:
            annotations[FILTER] = self._texts(text, places, kernels.FILTER_START, line)
        if self._keys:
            annotations |= self._infos(text, rows, n, line)
        return VariantColumns(
            tuple(zip(names, lengths)),
            rows.positions[:n],
            alt,
            ref,
            rsid,
            rows.records[:n],
            rows.alt_index[:n],
            annotations,
        )

    @staticmethod
    def _texts(text: UInt8Array, places: Int64Array, start: int, line: int) -> TextColumn:
        sizes = places[:, start + 1] - places[:, start]
        offsets, data = np.empty(len(places) + 1, np.int64), np.empty(int(sizes.sum()), np.uint8)
        kernels.copy_texts(text, places, start, offsets, data)
        if data.size and data.max() >= 128:
            _decoded(data.tobytes(), line)
        return TextColumn(offsets, data)

    def _infos(self, text: UInt8Array, rows: kernels.Rows, n: int, line: int) -> dict[str, TextColumn]:
        """Values of INFO fields, "." where a variant has none; a flag's value is its name."""
        found: dict[str, list[str]] = {name: [] for name in self._keys}
        before = -1
        values: dict[bytes, bytes] = {}
        for number, start, end in zip(
            rows.lines[:n].tolist(),
            rows.places[:n, kernels.INFO_START].tolist(),
            rows.places[:n, kernels.INFO_END].tolist(),
        ):
            if number != before:
                before, values = number, {}
                for item in text[start:end].tobytes().split(b";"):
                    key, equals, value = item.partition(b"=")
                    values[key] = value if equals else key
            for name, keys in self._keys.items():
                value = next((values[key] for key in keys if key in values), b".")
                found[name].append(_decoded(value, line) or ".")
        return {name: TextColumn.of(texts) for name, texts in found.items()}

    def _by_filter(self, run: VariantRun) -> VariantRun:
        """Count variants by FILTER; leave those out that did not pass where that is asked."""
        column = run.columns.annotations[FILTER]
        if not len(run.columns):
            return run
        data, offsets = column.data.tobytes(), column.offsets.tolist()
        values = [data[start:stop].decode() for start, stop in pairwise(offsets)]
        once = np.diff(run.columns.record, prepend=-1) != 0
        kept: dict[str, int] = {}
        out: dict[str, int] = {}
        passed = np.ones(len(values), bool)
        for v, value in enumerate(values):
            fails = self.reading.pass_only and value not in ("PASS", ".", "")
            passed[v] = not fails
            if once[v]:
                counted = out if fails else kept
                counted[value] = counted.get(value, 0) + 1
        if not passed.all():
            run = _only(run, passed)
        counters = run.counters | {"filtered_out": sum(out.values())}
        return replace(run, counters=counters, filters=kept, left_out=out)

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


def _only(run: VariantRun, keep: BoolArray) -> VariantRun:
    """The rows of a run that are kept."""
    columns = run.columns
    at = np.flatnonzero(keep)

    def texts(column: TextColumn) -> TextColumn:
        sizes = np.diff(column.offsets)
        data = column.data[np.repeat(keep, sizes)]
        return TextColumn(np.concatenate([[0], np.cumsum(sizes[at])]), data)

    contigs = []
    begin = 0
    for name, length in columns.contigs:
        kept = int(np.count_nonzero(keep[begin : begin + length]))
        begin += length
        if kept:
            contigs.append((name, kept))
    alt, ref, rsid = (texts(column) for column in columns.texts())
    annotations = {name: texts(column) for name, column in columns.annotations.items()}
    positions, record, alt_index = columns.positions[at], columns.record[at], columns.alt_index[at]
    made = VariantColumns(tuple(contigs), positions, alt, ref, rsid, record, alt_index, annotations)
    return replace(run, columns=made, lines=run.lines[at])


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
