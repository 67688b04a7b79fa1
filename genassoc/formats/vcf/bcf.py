"""BCF as a `Source`: pysam reads it, each record becomes its line of VCF, and the lines go the way all lines go.

So a BCF and the VCF it was made from give the same store, by construction.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

from genassoc.errors import InputError
from genassoc.formats import bgzf
from genassoc.formats.source import LAST_POSITION, MAX_HEADER_BYTES, Piece, Place, Region, spelled_as
from genassoc.formats.vcf.header import VcfHeader, parse_header
from genassoc.formats.vcf.line_source import LineSource
from genassoc.formats.vcf.scan import LineScanner
from genassoc.shapes import Int64Array

PIECE_BYTES = 2**21
# pysam also asserts what a damaged header breaks
_FAILURES = (
    OSError, ValueError, KeyError, IndexError, OverflowError, MemoryError, UnicodeDecodeError, AssertionError, AttributeError,
)  # fmt: skip


class BcfSource(LineSource):
    """A BCF; see `genassoc.formats.source.Source` for its attributes.

    Parameters
    ----------
    path : Path
        The file, compressed or not.
    regions : list of Region
        Records to keep, by POS; everything if empty.
    exact : bool
        Regions name contigs as the file does; otherwise they ask for chromosomes, however called.
    reading : Reading

    Raises
    ------
    InputError
        htslib cannot read it, it is truncated, no samples.
    """

    kind = "BCF"

    def _prepare(self, regions: list[Region], max_header_bytes: int, exact: bool) -> None:
        path = self.path
        if bgzf.sniff(path) == "bgzf":
            bgzf.require_complete(path)
        self._require_header(max_header_bytes)
        self._first_line = b""
        with self._open() as file:
            self._header = self._read_header(file)
            try:
                self.contigs = tuple(file.header.contigs)
                lengths = {name: contig.length for name, contig in file.header.contigs.items()}
            except _FAILURES as error:
                raise InputError(f"{path}: damaged BCF header: {_reason(error)}") from error
            self.contig_lengths = {name: int(length) for name, length in lengths.items() if length}
            if not exact:
                regions = spelled_as(regions, self.contigs, self.notes)
            self._indexed = bool(regions) and file.index is not None
            self._first_line = self._first_record(file)
        self.sample_ids = self._header.sample_ids
        self.reference_words = self._header.reference_words
        self._choose_sample_fields(self._header, self._first_line)
        self.regions = regions
        self._choose_annotations(self._header)
        if regions and not self._indexed:
            self.notes.append(f"{path.name}: no index, read whole for the regions")
        rank = {name: number for number, name in enumerate(self.contigs)}
        self._sections = sorted((r for r in regions if r.contig in rank), key=lambda r: (rank[r.contig], r.first))
        self.work = float(path.stat().st_size)

    def _require_header(self, most: int) -> None:
        """Refuse a header that says it is too long, before htslib makes room for it."""
        length = int.from_bytes(bgzf.head(self.path, 9)[5:9], "little")
        if length > most:
            raise InputError(
                f"{self.path}: its header is said to have {length:,} bytes; at most {most:,} are read"
                + (
                    ", which is all that --memory has room for; give more"
                    if most < MAX_HEADER_BYTES
                    else "; is it damaged?"
                )
            )

    @contextmanager
    def _open(self) -> Iterator[Any]:
        import pysam

        before = pysam.set_verbosity(0)  # htslib prints to stderr what our error says
        try:
            try:
                file = pysam.VariantFile(str(self.path), "rb", drop_samples=False)
            except _FAILURES as error:
                raise InputError(f"{self.path}: cannot be read as BCF: {_reason(error)}") from error
            try:
                yield file
            finally:
                with suppress(OSError):  # closing repeats a failure of reading
                    file.close()
        finally:
            pysam.set_verbosity(before)

    def _read_header(self, file: Any) -> VcfHeader:
        try:
            text = str(file.header).encode()
        except _FAILURES as error:
            raise InputError(f"{self.path}: damaged BCF header: {_reason(error)}") from error
        return parse_header(self.path, text)

    def _first_record(self, file: Any) -> bytes:
        for _, line in self._lines(iter(file)):
            return "\t".join(line.split("\t", 10)[:10]).encode()
        return b""

    def first_site(self) -> tuple[str, int] | None:
        """Contig and position of the first record, if any."""
        columns = self._first_line.split(b"\t", 2)
        return (columns[0].decode(), int(columns[1])) if len(columns) > 1 else None

    def first_contig(self) -> str | None:
        """Contig of the first record; None in regions, which may begin elsewhere."""
        return None if self.regions else self._first_line.split(b"\t")[0].decode() or None

    def locate(self, line: int) -> str:
        """Which record of the file it is; nothing where an index was used."""
        return "" if self._indexed else f": record {line + 1}"

    def _lines(self, records: Iterator[Any], after: int = 0) -> Iterator[tuple[int, str]]:
        """(number, line of VCF) of each record, htslib's complaints as `InputError`."""
        number = after
        while True:
            try:
                record = next(records)
                line = str(record)
                if "\x07" in line:  # BCF's mark of a missing text, which pysam prints as it stands in an allele
                    line = line.replace("\t\x07\t", "\t.\t")
            except StopIteration:
                return
            except _FAILURES as error:
                raise InputError(f"{self.path}: damaged BCF record: {_reason(error)}") from error
            if len(line) > self.max_line_bytes:
                raise InputError(
                    f"{self.path}: record {number + 1} has {len(line):,} characters: no room for it in memory"
                )
            yield number, line
            number += 1

    def pieces(self, columns: Int64Array, start: Place | None) -> Iterator[Piece]:
        """Runs of records; see `Source.pieces`. ``address`` is a virtual offset, or a count of records in a region."""
        header = self._header
        scan = LineScanner(
            self.sample_ids, columns, tuple(self.regions), header.numeric_formats, header.leading_phase,
            annotations=self._annotations, pass_only=self.reading.pass_only, fields=self._sample_fields,
            blocks=self.reading.blocks,
        )  # fmt: skip
        with self._open() as file:
            if not self._indexed:
                yield from self._cut(file, iter(file), 0, start, scan)
                return
            for section, region in enumerate(self._sections):
                if start is not None and section < start.section:
                    continue
                resumed = start if start is not None and section == start.section else None
                yield from self._cut(file, self._fetch(file, region), section, resumed, scan)

    def _fetch(self, file: Any, region: Region) -> Iterator[Any]:
        stop = None if region.last >= LAST_POSITION else region.last
        try:
            return iter(file.fetch(region.contig, max(region.first - 1, 0), stop))
        except _FAILURES as error:
            raise InputError(f"{self.path}: its index cannot be used: {_reason(error)}") from error

    def _cut(
        self, file: Any, records: Iterator[Any], section: int, start: Place | None, scan: LineScanner
    ) -> Iterator[Piece]:
        """Pieces of about `PIECE_BYTES` of lines."""
        done = 0
        if start is not None and self._indexed:
            for _ in range(start.address):
                next(records, None)
            done = start.address
        elif start is not None and start.address:
            file.seek(start.address)
        address = done if self._indexed else file.tell()
        at = file.tell()
        lines: list[str] = []
        size = 0
        for number, line in self._lines(records, done):
            lines.append(line)
            size += len(line)
            if size >= PIECE_BYTES:
                now = file.tell()
                yield self._piece(section, address, lines, (now >> 16) - (at >> 16), scan)
                at = now
                address = number + 1 if self._indexed else now
                lines, size = [], 0
        if lines:
            yield self._piece(section, address, lines, (file.tell() >> 16) - (at >> 16), scan)

    def _piece(self, section: int, address: int, lines: list[str], work: float, scan: LineScanner) -> Piece:
        text = "".join(line if line.endswith("\n") else line + "\n" for line in lines).encode()
        return Piece(max(work, 0), 2 * len(text), partial(scan, text, Place(section, address)))


def _reason(error: BaseException) -> str:
    """What a failure of pysam says, in one line."""
    return " ".join(str(error).split()) or type(error).__name__
