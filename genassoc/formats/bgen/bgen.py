"""BGEN as a `Source`: header, samples, whole variant blocks in pieces, regions through its index."""

from collections.abc import Iterator
from functools import partial
from typing import BinaryIO

import numpy as np

from genassoc.data.cohort.contigs import Contigs, usual_spellings
from genassoc.errors import InputError
from genassoc.formats.bgen.blocks import DEFLATE_MOST, ZSTD_MOST, BlockReader, Found, most_bytes, row_bytes
from genassoc.formats.bgen.header import COMPRESSIONS, MAX_RECORD_BYTES, read_header
from genassoc.formats.bgen.index import open_index
from genassoc.formats.bgen.samples import choose_ids
from genassoc.formats.source import FileSource, Piece, Place, Region, merge_regions, spelled_as
from genassoc.kernels.text import bgen_blocks as blocks
from genassoc.shapes import Int64Array

READ_BYTES = 2**22
PIECE_BYTES = 2**23  # of a piece's rows, about
MOST_FOUND = 2**14  # blocks at a time, however short
_WRONG = {
    blocks.OTHER_SAMPLES: "is of another number of samples than the file",
    blocks.NO_ALLELES: "has no alleles",
    blocks.TOO_SHORT: "states fewer bytes of genotypes than their own length takes",
    blocks.CONTROL: "has an unprintable byte in an identifier, a contig or an allele",
    blocks.EMPTY_ALLELE: "has an allele without letters",
    blocks.NO_CONTIG: "names no chromosome",
}


class BgenSource(FileSource):
    """A BGEN; see `genassoc.formats.source.Source` for its attributes.

    Parameters
    ----------
    path : Path
        The file.
    regions : list of Region
        Records to keep, by their position; everything if empty.
    max_header_bytes : int
        A longer header is refused.
    exact : bool
        Regions name contigs as the file does; otherwise they ask for chromosomes, however called.
    reading : Reading
        ``dosage``: "DS" leaves out probabilities of genotypes, "GT" keeps calls alone. ``reference``: which allele is REF; the
        first if None. ``sample_file``: where the ids are.

    Raises
    ------
    InputError
        No BGEN of versions 1.1 to 1.3, truncated, no sample ids.
    """

    def _prepare(self, regions: list[Region], max_header_bytes: int, exact: bool) -> None:
        path, reading = self.path, self.reading
        try:
            self._size = path.stat().st_size
            with path.open("rb") as file:
                self._header = read_header(path, file, self._size, max_header_bytes)
                self._first = self._first_contig(file)
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
        self.sample_ids = choose_ids(path, self._header, reading.sample_file, self.notes)
        if reading.dosage == "HDS":
            raise InputError(
                f"{path}: a BGEN has no HDS; its probabilities are read as GP, DS (no probabilities kept) or GT"
            )
        self.has_dosages = reading.dosage != "GT"
        self.has_probabilities = reading.dosage in (None, "GP")
        last = reading.reference == "last"
        which = "last" if last else "first"
        self.kind = f"BGEN {self._header.version} ({COMPRESSIONS[self._header.compression]}), REF is the {which} allele"
        self.notes.append(
            f"BGEN does not say which allele is REF: the {which} of each record was taken"
            + (
                ""
                if last
                else " (--reference-allele last takes the last, as plink2 --export bgen-1.x writes by itself)"
            )
        )
        self._reference_last = last
        self._note_unread()
        self.contigs: tuple[str, ...] = () if self._first is None else (self._first,)
        self.contigs_complete = False
        self._stretches: list[tuple[int, int]] | None = None
        self.work = float(self._size)
        self.regions = self._find_stretches(regions, exact) if regions else []

    def _note_unread(self) -> None:
        """Say which choices have no meaning here."""
        named = {
            "--pass-only": self.reading.pass_only,
            "--info": bool(self.reading.info),
            "--min-gq": self.reading.min_gq is not None,
            "--min-dp": self.reading.min_dp is not None,
            "--allele-balance": self.reading.allele_balance is not None,
        }
        asked = [name for name, given in named.items() if given]
        if asked:
            self.notes.append(f"a BGEN has neither FILTER, INFO, GQ, DP nor AD: {', '.join(asked)} left all as it is")

    def _first_contig(self, file: BinaryIO) -> str | None:
        """Contig of the first record; None where it is cut, which reading it finds."""
        file.seek(self._header.first)
        text = file.read(3 * (2 + 2**16) + 4)
        at = 4 if self._header.layout == 1 else 0
        for _ in range(2):
            at += 2 + int.from_bytes(text[at : at + 2], "little")
        name = text[at + 2 : at + 2 + int.from_bytes(text[at : at + 2], "little")]
        return name.decode("utf-8", "replace") or None

    def _find_stretches(self, regions: list[Region], exact: bool) -> list[Region]:
        """The regions as the file names their contigs; where they lie, if there is an index."""
        index = open_index(self.path, self._size, self.notes)
        if index is None:
            self.notes.append(f"{self.path.name}: no index (.bgi), read whole for the regions")
            if exact:
                return regions
            named = spelled_as(regions, self.contigs, self.notes)
            if Contigs.of(self.contigs).many:
                return named
            usual = [Region(name, *region[1:]) for region in regions for name in usual_spellings(region.contig)]
            return merge_regions([*named, *usual])
        self.contigs, self.contigs_complete = index.contigs, True
        named = regions if exact else spelled_as(regions, index.contigs, self.notes)
        self._stretches = index.stretches(named, self._header.first, self._size)
        self.work = float(sum(end - begin for begin, end in self._stretches))
        return named

    def first_contig(self) -> str | None:
        """Contig of the first record."""
        return self._first

    def locate(self, line: int) -> str:
        """Which record of the file it is; nothing where an index was used."""
        return "" if self._stretches is not None else f": record {line + 1:,}"

    def pieces(self, columns: Int64Array, start: Place | None) -> Iterator[Piece]:
        """Runs of records; see `Source.pieces`. ``address`` is a byte of the file, ``skip`` the records before it."""
        reader = BlockReader(
            self._header, self.sample_ids, columns, self._reference_last, self.has_dosages, self.has_probabilities
        )
        if self._stretches is None:
            place = start or Place(0, self._header.first, 0)
            yield from self._cut(reader, place, self._size)
            return
        for section, (first, stop) in enumerate(self._stretches):
            if start is not None and section < start.section:
                continue
            resumed = start is not None and section == start.section
            yield from self._cut(reader, start if resumed and start else Place(section, first, 0), stop)

    def _cut(self, reader: BlockReader, place: Place, stop: int) -> Iterator[Piece]:
        """Pieces of the blocks from a place up to byte ``stop``."""
        coding = blocks.Coding(self._header.layout, self._header.compression, self._header.n_samples)
        whole = self._stretches is None
        at, record = place.address, place.skip  # of the first byte of ``data``
        data, needed = b"", 0
        stopped = np.zeros(2, np.int64)
        with self.path.open("rb") as file:
            file.seek(at)
            while at < stop and not (whole and record == self._header.n_variants):
                if needed > len(data) or not data:
                    more = min(max(READ_BYTES, needed - len(data)), stop - at - len(data))
                    self._check_length(needed, at, record, stop)
                    data += self._read(file, more)
                buffer = np.frombuffer(data, np.uint8)
                begin = 0
                while True:
                    left = self._header.n_variants - record if whole else MOST_FOUND
                    places = np.empty((min(MOST_FOUND, left), blocks.N_BLOCK), np.int64)
                    n = blocks.find_variants(buffer, begin, coding, places, stopped)
                    places = places[:n]
                    yield from self._pieces(reader, data, places, place._replace(address=at, skip=record))
                    record += n
                    begin = int(places[-1, blocks.DATA_END]) if n else begin
                    if stopped[0] != blocks.FULL or not n:
                        break
                if stopped[0] not in (blocks.MORE, blocks.FULL):
                    raise InputError(
                        f"{self._named(record, at + begin)} {_WRONG[int(stopped[0])]}: the file is damaged"
                    )
                at += begin
                needed = int(stopped[1]) - begin if stopped[0] == blocks.MORE else 0
                data = data[begin:]
        if whole and record < self._header.n_variants:
            raise InputError(
                f"{self.path}: ends after {record:,} of the {self._header.n_variants:,} variants that its header counts: it is cut; "
                "copy it again"
            )
        if whole and at < stop:
            raise InputError(
                f"{self.path}: has {stop - at:,} bytes behind the {record:,} variants that its header counts: it is damaged, or its "
                "header is (bgenix, qctool or cat-bgen write one that counts all)"
            )

    def _read(self, file: BinaryIO, size: int) -> bytes:
        data = file.read(size)
        if len(data) < size:
            raise InputError(f"{self.path}: has become shorter while it was read")
        return data

    def _named(self, record: int, byte: int) -> str:
        number = f"record {record + 1:,} (" if self._stretches is None else "the record ("
        return f"{self.path}: {number}byte {byte:,})"

    def _check_length(self, needed: int, at: int, record: int, stop: int) -> None:
        """Refuse a block that ends behind the file, or for which there is no room."""
        if at + needed > stop:
            raise InputError(
                f"{self._named(record, at)} says that it ends at byte {at + needed:,} or later, {self.path.name} ends at {stop:,}: it is "
                "cut or damaged; copy it again"
                if self._stretches is None
                else f"{self._named(record, at)} does not end where the index says: make the index again (bgenix -index -clobber)"
            )
        if needed > self.max_line_bytes:
            raise InputError(self._no_room(record, at, needed))

    def _no_room(self, record: int, byte: int, size: int) -> str:
        limited = self.max_line_bytes < MAX_RECORD_BYTES
        why = "which is all that --memory has room for; give more" if limited else "it is damaged"
        return f"{self._named(record, byte)} takes {size:,} bytes; at most {self.max_line_bytes:,} are read: {why}"

    def _pieces(self, reader: BlockReader, data: bytes, places: Int64Array, place: Place) -> Iterator[Piece]:
        """Pieces of blocks that were found in a buffer whose first byte and record ``place`` tells."""
        if not len(places):
            return
        n_samples = reader.columns.size
        self._check_sizes(places, place, n_samples)
        numbers = self._wanted(data, places)
        rows = np.zeros(len(places), np.int64)
        rows[numbers] = places[numbers, blocks.N_ALLELES] - 1
        # at most what is inflated at a time, which one block may exceed
        bytes_each = places[:, blocks.DATA_END] - places[:, blocks.BEGIN] + rows * row_bytes(n_samples, True)
        ends = np.cumsum(bytes_each)
        start = 0
        while start < len(places):
            before = int(ends[start - 1]) if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, before + PIECE_BYTES, "right")))
            chosen = numbers[(numbers >= start) & (numbers < stop)]
            first = int(places[start, blocks.BEGIN])
            there = place._replace(address=place.address + first, skip=place.skip + start)
            found = Found(data, places[chosen], chosen - start, stop - start, there)
            work = float(places[stop - 1, blocks.DATA_END] - first)
            memory = int(ends[stop - 1]) - before + int(places[start:stop, blocks.SIZE].max())
            yield Piece(work, memory, partial(reader, found))
            start = stop

    def _check_sizes(self, places: Int64Array, place: Place, n_samples: int) -> None:
        """Refuse blocks that say they inflate to more than genotypes of their alleles take, or than their bytes can hold."""
        sizes, taken = places[:, blocks.SIZE], places[:, blocks.DATA_END] - places[:, blocks.DATA]
        can = sizes
        if self._header.compression == blocks.ZLIB:
            can = DEFLATE_MOST * taken
        elif self._header.compression == blocks.ZSTD:
            can = ZSTD_MOST * (taken // 4 + 1)
        most = np.minimum(can, most_bytes(places[:, blocks.N_ALLELES], self._header.n_samples))
        for b in np.flatnonzero(sizes > most).tolist()[:1]:
            raise InputError(
                f"{self._named(place.skip + b, place.address + int(places[b, blocks.BEGIN]))} says that its {int(taken[b]):,} bytes of "
                f"genotypes inflate to {int(sizes[b]):,}; {self._header.n_samples:,} samples have {int(most[b]):,} at most: it is damaged"
            )
        rows = (places[:, blocks.N_ALLELES] - 1) * row_bytes(n_samples, True)
        for b in np.flatnonzero(np.maximum(sizes, rows // 2) > self.max_line_bytes).tolist()[:1]:
            byte = place.address + int(places[b, blocks.BEGIN])
            raise InputError(self._no_room(place.skip + b, byte, int(max(sizes[b], rows[b] // 2))))

    def _wanted(self, data: bytes, places: Int64Array) -> Int64Array:
        """Numbers of the blocks that lie in the regions."""
        if not self.regions:
            return np.arange(len(places))
        by_contig: dict[bytes, list[Region]] = {}
        for region in self.regions:
            by_contig.setdefault(region.contig.encode(), []).append(region)
        wanted = []
        begins, ends = places[:, blocks.CONTIG].tolist(), places[:, blocks.CONTIG_END].tolist()
        for b, (begin, end, position) in enumerate(zip(begins, ends, places[:, blocks.POSITION].tolist())):
            if any(region.first <= position <= region.last for region in by_contig.get(data[begin:end], ())):
                wanted.append(b)
        return np.array(wanted, np.int64)
