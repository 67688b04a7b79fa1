"""VCF text (plain, gzip, BGZF) as a `Source`: header, whole lines in pieces, regions through an index."""

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from functools import partial
from itertools import chain
from pathlib import Path

from genassoc.data.cohort.contigs import Contigs, usual_spellings
from genassoc.errors import InputError
from genassoc.formats import bgzf
from genassoc.formats.bgzf import Chunk
from genassoc.formats.source import Piece, Place, Region, VariantBatch, merge_regions, spelled_as
from genassoc.formats.vcf import tabix
from genassoc.formats.vcf.header import MAX_HEADER_BYTES, MAX_LINE_BYTES, VcfHeader, is_vcf_start, parse_header
from genassoc.formats.vcf.scan import LineScanner
from genassoc.shapes import Int64Array

NAME_BYTES = 300  # bytes of memory a sample: its name is in several lists and tables while files are matched
MEMORY_A_HEADER_BYTE = 3  # the text as it grows, and its longest line twice
INFLATE_AHEAD = 8  # groups: enough that no thread waits while the rows of a piece are put away


class VcfSource:
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

    Raises
    ------
    InputError
        No VCF, truncated, no samples, a bad index.
    """

    def __init__(
        self, path: Path, regions: list[Region], max_header_bytes: int = MAX_HEADER_BYTES, *, exact: bool = False
    ) -> None:
        self.path = path
        self.max_line_bytes = MAX_LINE_BYTES
        self._max_header_bytes = max_header_bytes
        self._layout = bgzf.sniff(path)
        self.kind = {"plain": "VCF", "gzip": "VCF.gz (gzip)", "bgzf": "VCF.gz (BGZF)"}[self._layout]
        self.notes: list[str] = []
        if self._layout == "bgzf":
            bgzf.require_complete(path)
        with ThreadPoolExecutor(1) as pool:
            self._header, self._body, self._first_line = self._read_header(pool)
        self.sample_ids = self._header.sample_ids
        self.contigs = self._header.contigs
        self.contig_lengths = self._header.contig_lengths
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

    def _chunks(self, pool: Executor, address: int = 0, stop: int | None = None) -> Iterator[Chunk]:
        if self._layout == "plain":
            return bgzf.plain_chunks(self.path, address)
        if self._layout == "gzip":
            return bgzf.gzip_chunks(self.path)
        return bgzf.bgzf_chunks(self.path, pool, INFLATE_AHEAD, address, stop)

    def _read_header(self, pool: Executor) -> tuple[VcfHeader, Place, bytes]:
        """Header, where the first record begins, and the beginning of it."""
        text = bytearray()
        body, at = 0, -1
        place = Place()
        complete = False
        for chunk in self._chunks(pool):
            data = bytes(chunk.text)
            if not data:
                continue
            searched = max(0, len(text) - len(b"\n#CHROM"))
            if not text and not is_vcf_start(data):
                parse_header(self.path, data)  # says why not
            before = len(text)
            text += data
            if at < 0:
                at = text.find(b"\n#CHROM", searched)
            if not complete and at >= 0:  # the line may be longer than a chunk
                body = text.find(b"\n", max(at + 1, before)) + 1
                complete = body > 0
                if complete:
                    place = Place(0, chunk.address, body - before) if self._layout != "gzip" else Place(0, 0, body)
            if (body if complete else len(text)) > self._max_header_bytes:
                raise InputError(f"{self.path}: {self._too_long(at >= 0)}")
            if complete and len(text) > body:
                break
        if not text:
            raise InputError(f"{self.path}: is empty")
        if not complete:
            if not text.endswith(b"\n") and text.rpartition(b"\n")[2].startswith(b"#CHROM"):
                body = len(text)  # column names without a newline, and no records
                place = Place(0, 0, 0)
            else:
                raise InputError(f"{self.path}: has no line of column names (#CHROM POS ID ...) after its header")
        first_line = bytes(text[body : body + 4096])
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

    def locate(self, line: int) -> str:
        """``:line`` of the file; nothing where an index was used, which does not count lines."""
        return "" if self._stretches is not None else f":{self._header.n_lines + line + 1}"

    def pieces(self, columns: Int64Array, start: Place | None, pool: Executor) -> Iterator[Piece]:
        """Whole lines; see `Source.pieces`."""
        header = self._header
        scan = LineScanner(
            self.sample_ids, columns, tuple(self.regions), header.numeric_formats, header.leading_phase,
            2 * self.max_line_bytes,
        )  # fmt: skip
        if self._stretches is None:
            place = start or self._body
            # a gzip file can be read from its beginning only
            skip = place.address + place.skip if self._layout == "gzip" else place.skip
            return cut_lines(self.path, self._chunks(pool, place.address), 0, skip, scan, self.max_line_bytes)
        return chain.from_iterable(self._stretch_pieces(n, start, pool, scan) for n in range(len(self._stretches)))

    def _stretch_pieces(self, section: int, start: Place | None, pool: Executor, scan: LineScanner) -> Iterator[Piece]:
        assert self._stretches is not None
        first, stop = self._stretches[section]
        place = start or Place()
        if section < place.section:
            return iter(())
        resumed = start is not None and section == place.section
        address, skip = (place.address, place.skip) if resumed else (first, 0)
        return cut_lines(self.path, self._chunks(pool, address, stop), section, skip, scan, self.max_line_bytes)


def cut_lines(
    path: Path,
    chunks: Iterator[Chunk],
    section: int,
    skip: int,
    scan: Callable[[bytes | memoryview], VariantBatch],
    max_line_bytes: int = MAX_LINE_BYTES,
) -> Iterator[Piece]:
    """Pieces of whole lines out of chunks cut anywhere; the first ``skip`` bytes are dropped.

    The last line may lack its newline. A line that two chunks share is put together in the room before the second, or,
    where it is too long for that, by joining.
    """
    carried: list[bytes] = []
    n_carried = 0
    work = 0.0
    place: Place | None = None
    for chunk in chunks:
        work += chunk.work
        size = chunk.stop - chunk.start
        begin = min(skip, size)
        skip -= begin
        if begin == size:
            _give_back(chunk)
            continue
        if place is None:
            place = Place(section, chunk.address, begin)
        cut = chunk.buffer.rfind(b"\n", chunk.start + begin, chunk.stop) + 1
        rest = bytes(memoryview(chunk.buffer)[max(cut, chunk.start + begin) : chunk.stop])
        if cut:
            first = chunk.start + begin
            n_bytes = n_carried + cut - first
            decode = partial(_scan_chunk, scan, _with_carried(chunk, first, cut, carried, n_carried), chunk)
            yield Piece(place, work, 2 * n_bytes, decode)
            work = 0.0
            carried, n_carried = [rest], len(rest)
            place = Place(section, chunk.address, size - len(rest)) if rest else None
            continue
        _give_back(chunk)
        carried.append(rest)
        n_carried += len(rest)
        if n_carried > max_line_bytes:
            limited = max_line_bytes < MAX_LINE_BYTES
            why = "which is all that --memory has room for; give more, if it is a VCF" if limited else "is no VCF"
            raise InputError(f"{path}: a line is longer than {max_line_bytes >> 20} MB; {why}")
    if n_carried and place is not None:
        yield Piece(place, work, 2 * n_carried, partial(scan, b"".join([*carried, b"\n"])))


def _with_carried(chunk: Chunk, first: int, cut: int, carried: list[bytes], n_carried: int) -> memoryview:
    """What was left over before a chunk, and the chunk's bytes ``first`` to ``cut``."""
    if isinstance(chunk.buffer, bytearray) and n_carried <= first:
        chunk.buffer[first - n_carried : first] = b"".join(carried)
        return memoryview(chunk.buffer)[first - n_carried : cut]
    if n_carried:
        return memoryview(b"".join([*carried, memoryview(chunk.buffer)[first:cut]]))
    return memoryview(chunk.buffer)[first:cut]


def _scan_chunk(scan: Callable[[bytes | memoryview], VariantBatch], text: memoryview, chunk: Chunk) -> VariantBatch:
    try:
        return scan(text)
    finally:
        _give_back(chunk)


def _give_back(chunk: Chunk) -> None:
    if chunk.free is not None and isinstance(chunk.buffer, bytearray):
        chunk.free.give(chunk.buffer)
