"""VCF text (plain, gzip, BGZF) as a `Source`: header, whole lines in pieces, regions through an index."""

from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from genassoc.data.cohort.contigs import Contigs, usual_spellings
from genassoc.errors import InputError
from genassoc.formats import bgzf
from genassoc.formats.bgzf import Stretch, Text
from genassoc.formats.source import (
    BEGINNING,
    MAX_HEADER_BYTES,
    MAX_LINE_BYTES,
    Piece,
    Place,
    Region,
    VariantBatch,
    merge_regions,
    spelled_as,
)
from genassoc.formats.vcf import tabix
from genassoc.formats.vcf.header import VcfHeader, is_vcf_start, parse_header
from genassoc.formats.vcf.line_source import LineSource
from genassoc.formats.vcf.scan import LineScanner
from genassoc.shapes import Int64Array

NAME_BYTES = 300  # bytes of memory a sample: its name is in several lists and tables while files are matched
FIRST_RECORD_BYTES = 2**14  # of the first record that are looked at: its FORMAT is among them
_MOST_DIGITS = 15  # of a position
MEMORY_A_HEADER_BYTE = 3  # the text as it grows, and its longest line twice


class VcfSource(LineSource):
    """A VCF of text; see `genassoc.formats.source.Source` for its attributes.

    Parameters
    ----------
    path : Path
        The file; what it is is told by its bytes.
    regions : list of Region
        Records to keep, by POS; everything if empty.
    max_header_bytes : int
        A longer header is refused.
    exact : bool
        Regions name contigs as the file does; otherwise they ask for chromosomes, however called.
    reading : Reading

    Raises
    ------
    InputError
        No VCF, truncated, no samples, a bad index.
    """

    def _prepare(self, regions: list[Region], max_header_bytes: int, exact: bool) -> None:
        path = self.path
        self._max_header_bytes = max_header_bytes
        self._layout = bgzf.sniff(path)
        self.kind = {"plain": "VCF", "gzip": "VCF.gz (gzip)", "bgzf": "VCF.gz (BGZF)"}[self._layout]
        if self._layout == "bgzf":
            bgzf.require_complete(path)
        self._header, self._body, self._first_line = self._read_header()
        self.sample_ids = self._header.sample_ids
        self._choose_sample_fields(self._header, self._first_line)
        self.contigs = self._header.contigs
        self._choose_annotations(self._header)
        self.contig_lengths = self._header.contig_lengths
        self.reference_words = self._header.reference_words
        self.contigs_complete = False  # VCF lets records use contigs that the header does not name
        self._stretches: list[tuple[int, int]] | None = None
        self.work = float(path.stat().st_size)
        self.regions = self._find_stretches(regions, exact) if regions else []

    def _find_stretches(self, regions: list[Region], exact: bool) -> list[Region]:
        """The regions as the file names their contigs; where they lie, if there is an index."""
        index_path = tabix.find_index(self.path) if self._layout == "bgzf" else None
        if index_path is None:
            self.notes.append(f"{self.path.name}: no index, read whole for the regions")
            first = self.first_contig()
            names = self.contigs if first is None or first in self.contigs else (*self.contigs, first)
            if exact:
                return regions
            named = spelled_as(regions, names, self.notes)
            if Contigs.of(names).many:
                return named
            # records may use names that no header announces
            usual = [Region(name, *region[1:]) for region in regions for name in usual_spellings(region.contig)]
            return merge_regions([*named, *usual])
        if index_path.stat().st_mtime < self.path.stat().st_mtime:
            self.notes.append(f"{index_path.name}: is older than the file it indexes")
        index = tabix.read_index(index_path)
        self.contigs = index.contigs
        self.contigs_complete = True
        named = regions if exact else spelled_as(regions, index.contigs, self.notes)
        self._stretches = index.stretches(named)
        self.work = float(sum((b >> 16) - (a >> 16) + 2**16 for a, b in self._stretches))
        return named

    def _text(self, address: int = 0, stop: int | None = None) -> Iterator[Stretch]:
        if self._layout == "plain":
            return bgzf.plain_stretches(self.path, address)
        if self._layout == "gzip":
            return bgzf.gzip_stretches(self.path)
        return bgzf.bgzf_stretches(self.path, address, stop)

    def _read_header(self) -> tuple[VcfHeader, Place, bytes]:
        """Header, where the first record begins, and the beginning of it."""
        text = bytearray()
        body, at = 0, -1
        place = Place()
        complete = False
        for stretch in self._text():
            loaded = stretch.load()
            data = bytes(memoryview(loaded.buffer)[loaded.start : loaded.stop])
            loaded.give_back()
            if not data:
                continue
            searched = max(0, len(text) - len(b"\n#CHROM"))
            if not text and not is_vcf_start(data):
                parse_header(self.path, data)  # says why not
            before = len(text)
            text += data
            if at < 0:
                at = text.find(b"\n#CHROM", searched)
            if not complete and at >= 0:  # the line may be longer than a stretch
                body = text.find(b"\n", max(at + 1, before)) + 1
                complete = body > 0
                if complete:
                    place = Place(0, stretch.address, body - before) if self._layout != "gzip" else Place(0, 0, body)
            if (body if complete else len(text)) > self._max_header_bytes:
                raise InputError(f"{self.path}: {self._too_long(at >= 0)}")
            if complete and (len(text) >= body + FIRST_RECORD_BYTES or text.find(b"\n", body) >= 0):
                break
        if not text:
            raise InputError(f"{self.path}: is empty")
        if not complete:
            if not text.endswith(b"\n") and text.rpartition(b"\n")[2].startswith(b"#CHROM"):
                body = len(text)  # column names without a newline, and no records
                place = Place(0, 0, 0)
            else:
                raise InputError(f"{self.path}: has no line of column names (#CHROM POS ID ...) after its header")
        first_line = bytes(text[body : body + FIRST_RECORD_BYTES])
        del text[body:]
        n_columns = text.count(b"\t", max(at, 0))
        if NAME_BYTES * n_columns > MEMORY_A_HEADER_BYTE * self._max_header_bytes and self._limited:
            raise InputError(
                f"{self.path}: names {n_columns - 8:,} samples, more than --memory has room for; give more"
            )
        return parse_header(self.path, text), place, first_line

    @property
    def _limited(self) -> bool:
        """Whether a cap of memory allows less than any file needs."""
        return self._max_header_bytes < MAX_HEADER_BYTES

    def _too_long(self, is_begun: bool) -> str:
        megabytes = f"{max(1, self._max_header_bytes >> 20)} MB"
        if self._limited:
            return f"its header is longer than {megabytes}, which is all that --memory has room for; give more"
        if is_begun:
            return f"its header, the #CHROM line included, is longer than {megabytes}; is no VCF"
        return f"no #CHROM line in the first {megabytes}; is no VCF"

    def first_contig(self) -> str | None:
        """Contig of the first record, if any."""
        name = self._first_line.split(b"\t")[0] if b"\t" in self._first_line else b""
        return name.decode("utf-8", "replace") or None

    def first_site(self) -> tuple[str, int] | None:
        """Contig and position of the first record, if any."""
        columns = self._first_line.split(b"\t", 2)
        if len(columns) < 3 or not columns[1].isdigit() or len(columns[1]) > _MOST_DIGITS:
            return None
        return columns[0].decode("utf-8", "replace"), int(columns[1])

    def locate(self, line: int) -> str:
        """``:line`` of the file; nothing where an index was used, which does not count lines."""
        return "" if self._stretches is not None else f":{self._header.n_lines + line + 1}"

    def pieces(self, columns: Int64Array, start: Place | None) -> Iterator[Piece]:
        """Whole lines; see `Source.pieces`."""
        header = self._header
        scan = LineScanner(
            self.sample_ids, columns, tuple(self.regions), header.numeric_formats, header.leading_phase,
            2 * self.max_line_bytes, annotations=self._annotations, pass_only=self.reading.pass_only, fields=self._sample_fields,
            blocks=self.reading.blocks,
        )  # fmt: skip
        if self._stretches is None:
            place = start or self._body
            # a gzip file can be read from its beginning only
            skip = place.address + place.skip if self._layout == "gzip" else place.skip
            return cut_lines(self.path, self._text(place.address), 0, skip, scan, self.max_line_bytes)
        return chain.from_iterable(self._stretch_pieces(n, start, scan) for n in range(len(self._stretches)))

    def _stretch_pieces(self, section: int, start: Place | None, scan: LineScanner) -> Iterator[Piece]:
        assert self._stretches is not None
        first, stop = self._stretches[section]
        place = start or BEGINNING
        if section < place.section:
            return iter(())
        resumed = start is not None and section == place.section
        address, skip = (place.address, place.skip) if resumed else (first, 0)
        return cut_lines(self.path, self._text(address, stop), section, skip, scan, self.max_line_bytes)


class _Rest(NamedTuple):
    """The beginning of a line, which the stretch before left over: bytes in parts, how many, and where they begin."""

    parts: tuple[bytes, ...] = ()
    size: int = 0
    place: Place | None = None


def cut_lines(
    path: Path,
    stretches: Iterator[Stretch],
    section: int,
    skip: int,
    scan: LineScanner,
    max_line_bytes: int = MAX_LINE_BYTES,
) -> Iterator[Piece]:
    """Pieces of whole lines out of stretches cut anywhere; the first ``skip`` bytes are dropped.

    The last line may lack its newline. A line that two stretches share belongs to the second piece, whose thread waits for the
    first to be inflated. That was begun before: threads take pieces in their order.
    """
    before: Future[_Rest] = Future()
    before.set_result(_Rest())
    dropped = 0.0
    for stretch in stretches:
        begin = min(skip, stretch.size)
        skip -= begin
        if begin == stretch.size:
            dropped += stretch.work
            continue
        lines = _Lines(path, stretch, Place(section, stretch.address, begin), before, Future(), max_line_bytes)
        yield Piece(stretch.work + dropped, 2 * stretch.size, partial(lines.scanned, scan))
        before, dropped = lines.after, 0.0
    yield Piece(dropped, 0, partial(_scan_last, scan, before))


def _scan_last(scan: LineScanner, before: Future[_Rest]) -> VariantBatch:
    """What no newline ends."""
    rest = before.result()
    if not rest.size:
        return scan(b"")
    return scan(b"".join([*rest.parts, b"\n"]), rest.place or BEGINNING)


class _Lines(NamedTuple):
    """The lines that end in a stretch.

    Attributes
    ----------
    path : Path
    stretch : Stretch
    place : Place
        Of its first byte that counts.
    before, after : Future of _Rest
        What the stretch before left over, and what this one does.
    max_line_bytes : int
        A longer line is refused.
    """

    path: Path
    stretch: Stretch
    place: Place
    before: Future[_Rest]
    after: Future[_Rest]
    max_line_bytes: int

    def scanned(self, scan: LineScanner) -> VariantBatch:
        """Load and scan them."""
        try:
            text = self.stretch.load()
            first = text.start + self.place.skip
            cut = text.buffer.rfind(b"\n", first, text.stop) + 1
            rest = bytes(memoryview(text.buffer)[max(cut, first) : text.stop])
            if not cut:
                text.give_back()
                self.after.set_result(self._longer(rest))
                return scan(b"")
            place = self.place._replace(skip=cut - text.start) if rest else None
            self.after.set_result(_Rest((rest,), len(rest), place))
            carried = self.before.result()
        except BaseException as error:
            if not self.after.done():
                self.after.set_exception(error)  # the lines after these cannot be scanned either
            raise
        try:
            return scan(_with_carried(text, first, cut, carried), carried.place or self.place)
        finally:
            text.give_back()

    def _longer(self, more: bytes) -> _Rest:
        """The beginning of a line that does not end here either."""
        rest = self.before.result()
        size = rest.size + len(more)
        if size > self.max_line_bytes:
            limited = self.max_line_bytes < MAX_LINE_BYTES
            why = "which is all that --memory has room for; give more, if it is a VCF" if limited else "is no VCF"
            raise InputError(f"{self.path}: a line is longer than {self.max_line_bytes >> 20} MB; {why}")
        return _Rest((*rest.parts, more), size, rest.place or self.place)


def _with_carried(text: Text, first: int, cut: int, carried: _Rest) -> memoryview:
    """What was left over before a stretch, and the bytes ``first`` to ``cut`` of its buffer."""
    if isinstance(text.buffer, bytearray) and carried.size <= first:
        text.buffer[first - carried.size : first] = b"".join(carried.parts)
        return memoryview(text.buffer)[first - carried.size : cut]
    if carried.size:
        return memoryview(b"".join([*carried.parts, memoryview(text.buffer)[first:cut]]))
    return memoryview(text.buffer)[first:cut]
