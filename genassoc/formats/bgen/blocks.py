"""From whole variant blocks of a BGEN to a `VariantBatch`: the kernels' arrays in and out, and their errors in words."""

import threading
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from isal import isal_zlib

from genassoc.data.block import DosageRows
from genassoc.data.store.variant_columns import TextColumn, VariantColumns
from genassoc.formats.bgen.header import BgenHeader
from genassoc.formats.source import Place, RecordError, VariantBatch
from genassoc.kernels.genotypes import probabilities as kernels
from genassoc.kernels.text import bgen_blocks as blocks
from genassoc.kernels.text import vcf as texts
from genassoc.kernels.text.inflate import SLACK, Room, working_room
from genassoc.shapes import Array, Int64Array, UInt8Array, packed_bytes

INFLATED = 2**20  # bytes of probabilities at a time: they stay in the cache until they are read
ROW_BYTES = 100  # of a row beside its genotypes
DEFLATE_MOST = 1032  # bytes that one byte of a deflate stream inflates to at most
ZSTD_MOST = 2**17  # bytes that a block of zstd, of four bytes and more, inflates to at most
_ZLIB_WINDOW = 15
_WIDEST = 4  # bytes of a probability of 32 bits


class Found(NamedTuple):
    """Variant blocks in a buffer.

    Attributes
    ----------
    data : bytes
    places : int64 (blocks, `blocks.N_BLOCK`)
    numbers : int64 (blocks,)
        Of each among the records that the piece read; those outside the regions are not among the blocks.
    lines : int
        Records that the piece read.
    place : Place
    """

    data: bytes
    places: Int64Array
    numbers: Int64Array
    lines: int
    place: Place


def most_bytes(n_alleles: Int64Array, n_samples: int) -> Int64Array:
    """Bytes of probabilities that blocks of layout 2 may have at most: 32 bits each, of diploids or of two alleles and 63 copies."""
    values = np.maximum(n_alleles * (n_alleles + 1) // 2, kernels.MOST_PLOIDY)
    return np.asarray(kernels.HEAD + n_samples + values * _WIDEST * n_samples)


def row_bytes(n_samples: int, dosages: bool) -> int:
    """Bytes of a row as it is decoded: calls, marks of haploid ones, and dosages with their probabilities."""
    return ROW_BYTES + packed_bytes(n_samples) + n_samples // 8 + (4 * n_samples if dosages else 0)


class _Rooms(threading.local):
    """What each thread works in."""

    def __init__(self) -> None:
        self.raw = np.zeros(0, np.uint64)
        self.inflating: Room | None = None
        self.zstd: object = None

    def bytes_for(self, size: int) -> kernels.Bytes:
        """Room for inflated bytes, the same memory again where there is enough."""
        if self.raw.nbytes < size:
            self.raw = np.zeros(0, np.uint64)  # before more is taken
            self.raw = np.zeros((size + 7) // 8, np.uint64)
        return kernels.Bytes(self.raw.view(np.uint8), self.raw.view(np.uint16), self.raw.view(np.uint32))

    def shrink(self, size: int) -> None:
        """Give back what only a block much larger than others needed."""
        if self.raw.nbytes > size:
            self.raw = np.zeros(0, np.uint64)


_rooms = _Rooms()


@dataclass(frozen=True)
class BlockReader:
    """How the blocks of one file are read.

    Attributes
    ----------
    header : BgenHeader
    sample_ids : tuple of str
        The file's, for messages.
    columns : int64 (N,)
        The file's sample of each of the store's.
    reference_last : bool
        Whether the last allele is REF.
    dosages, probabilities : bool
        Whether dosages are kept, and probabilities of two copies.
    """

    header: BgenHeader
    sample_ids: tuple[str, ...]
    columns: Int64Array
    reference_last: bool = False
    dosages: bool = True
    probabilities: bool = True

    @cached_property
    def _samples(self) -> kernels.Samples:
        n_file = self.header.n_samples
        places = np.full(n_file, -1, np.int64)
        places[self.columns] = np.arange(self.columns.size)
        in_order = self.columns.size == n_file and bool((self.columns == np.arange(n_file)).all())
        return kernels.Samples(np.ascontiguousarray(self.columns), places, in_order, self.reference_last)

    def __call__(self, found: Found) -> VariantBatch:
        """Read blocks; `RecordError` at the first that is malformed."""
        n_samples = self.columns.size
        K = found.places[:, blocks.N_ALLELES]
        n_rows = int((K - 1).sum())
        rows = kernels.Rows(
            np.empty((n_rows, n_samples), np.uint16),
            np.empty((n_rows, n_samples), np.uint16),
            np.empty(n_rows, np.uint16),
            np.empty((n_rows, packed_bytes(n_samples)), np.uint8),
            np.zeros((n_rows, (n_samples + 7) // 8), np.uint8),
            np.zeros(n_rows, np.uint8),
        )
        most = int(K.max(initial=2))
        work = kernels.Work(
            np.empty((n_samples + 31) // 32 * 32, np.uint8),
            np.zeros(kernels.MOST_PLOIDY + 1, np.int64),
            np.empty(n_samples, np.uint16),
            np.empty(n_samples, np.uint32),
            np.empty(n_samples, np.uint8),
            np.zeros((4, most), np.int64),
            np.zeros(most, np.uint8),
        )
        done, status = np.zeros(2, np.int64), np.zeros(kernels.N_STATUS, np.int64)
        buffer = np.frombuffer(found.data, np.uint8)
        for start, stop, begins in _runs(found.places, self.header.layout, self.header.n_samples):
            places = found.places[start:stop]
            raw = self._inflated(buffer, places, begins, found, start)
            heads = np.stack([begins, places[:, blocks.SIZE], places[:, blocks.N_ALLELES]], axis=1)
            kernels.read_probabilities(raw, heads, self.header.layout, self._samples, rows, done, work, status)
            if status[kernels.STATUS_CODE] != kernels.OK:
                at = start + int(status[kernels.STATUS_BLOCK])
                raise self._error(found, at, self._words(status, int(K[at])))
        _rooms.shrink(4 * INFLATED)
        return self._batch(found, buffer, rows, int(done[1]), status)

    def _inflated(
        self, buffer: UInt8Array, places: Int64Array, begins: Int64Array, found: Found, first: int
    ) -> kernels.Bytes:
        """The bytes of some blocks, each from its place in ``begins`` on."""
        raw = _rooms.bytes_for(int(begins[-1] + places[-1, blocks.SIZE]) + SLACK + 8)
        sound = 0
        if self.header.compression == blocks.ZLIB:
            if _rooms.inflating is None:
                _rooms.inflating = working_room()
            sound = blocks.inflate_streams(buffer, places, raw.data, begins, _rooms.inflating)
        for b in range(sound, len(places)):
            begin, end, size = (int(places[b, column]) for column in (blocks.DATA, blocks.DATA_END, blocks.SIZE))
            text = self._inflate(memoryview(found.data)[begin:end], size, found, first + b)
            raw.data[begins[b] : begins[b] + size] = np.frombuffer(text, np.uint8)
        return raw

    def _inflate(self, data: memoryview, size: int, found: Found, at: int) -> bytes | memoryview:
        """One block by a library: of zstd, or that our own inflater refused, so that the library says why."""
        if self.header.compression == blocks.NONE:
            return data
        try:
            if self.header.compression == blocks.ZSTD:
                text = self._zstd(data, size)
            else:
                stream = isal_zlib.decompressobj(_ZLIB_WINDOW)
                text = stream.decompress(data, size + 1)
                if not stream.eof and len(text) <= size:
                    raise ValueError("it is cut")
        except (isal_zlib.error, ValueError) as error:  # type: ignore[misc]  # its stub says: an instance
            raise self._error(found, at, f"its genotypes cannot be inflated ({error}): the file is damaged") from None
        if len(text) != size:
            more = "more" if len(text) > size else f"{len(text):,}"
            raise self._error(found, at, f"its genotypes are said to inflate to {size:,} bytes, and inflate to {more}")
        return text

    @staticmethod
    def _zstd(data: memoryview, size: int) -> bytes:
        import zstandard

        try:
            # the library makes room for what the frame says
            stated = zstandard.frame_content_size(data)
            if stated not in (-1, size):
                raise ValueError(f"a frame of {stated:,} bytes where {size:,} are stated")
            if _rooms.zstd is None:
                _rooms.zstd = zstandard.ZstdDecompressor()
            text: bytes = _rooms.zstd.decompress(data, max_output_size=size + 1)  # type: ignore[attr-defined]
            return text
        except zstandard.ZstdError as error:
            raise ValueError(str(error)) from None

    def _error(self, found: Found, at: int, message: str) -> RecordError:
        contig, position = self._where(found, at)
        return RecordError(int(found.numbers[at]), f"{message} (record at {contig}:{position})")

    def _where(self, found: Found, at: int) -> tuple[str, int]:
        place = found.places[at]
        text = found.data[int(place[blocks.CONTIG]) : int(place[blocks.CONTIG_END])]
        return text[:40].decode("utf-8", "replace"), int(place[blocks.POSITION])

    def _words(self, status: Int64Array, K: int) -> str:
        """The kernel's error in words."""
        code, sample = int(status[kernels.STATUS_CODE]), int(status[kernels.STATUS_SAMPLE])
        name = f"sample '{self.sample_ids[sample]}'" if 0 <= sample < len(self.sample_ids) else "its head"
        return {
            kernels.CUT: "its genotypes are cut: no byte for each sample",
            kernels.OTHER_SAMPLES: f"its genotypes are of another number of samples than the file's {self.header.n_samples:,}",
            kernels.OTHER_ALLELES: f"its genotypes are of another number of alleles than its {K:,}",
            kernels.BAD_PLOIDY: f"{name} has a ploidy outside the least and the largest that the record states",
            kernels.BAD_PHASE: "it says neither that its genotypes are phased nor that they are not",
            kernels.BAD_BITS: "its probabilities have no number of bits from 1 to 32",
            kernels.OTHER_SIZE: "its probabilities take another number of bytes than its samples, ploidies and bits ask for",
            kernels.BAD_SUM: f"probabilities of {name} sum to more than 1",
        }[code]

    def _batch(
        self, found: Found, buffer: UInt8Array, rows: kernels.Rows, n_dosages: int, status: Int64Array
    ) -> VariantBatch:
        columns = self._columns(found, buffer)
        K = found.places[:, blocks.N_ALLELES]
        counters = {
            "records": len(K),
            "split": int((K > 2).sum()),
            "dropped_no_alternate_allele": int((K < 2).sum()),
            "haploid_calls": int(status[kernels.STATUS_HAPLOID]),
            "polyploid_calls": int(status[kernels.STATUS_POLYPLOID]),
            "scaled_probabilities": int(status[kernels.STATUS_NULL]),
            "outside_regions": found.lines - len(K),
        }
        dosages = None
        if n_dosages and self.dosages:
            homozygous = _kept(rows.homozygous, n_dosages) if self.probabilities else None
            dosages = DosageRows(rows.steps, _kept(rows.values, n_dosages), homozygous)
        haploid = rows.haploid if rows.marked.any() else None
        return VariantBatch(rows.packed, haploid, columns, counters, found.lines, place=found.place, dosages=dosages)

    def _columns(self, found: Found, buffer: UInt8Array) -> VariantColumns:
        """What the rows are: one an ALT."""
        places, which, numbers = self._row_places(found, buffer)
        n_rows = len(places)
        if not n_rows:
            return VariantColumns.empty()
        n_bytes = int((places[:, texts.ID_END :: 2] - places[:, texts.ID_START :: 2]).sum())
        offsets, data = np.empty((3, n_rows + 1), np.int64), np.empty(n_bytes, np.uint8)
        same = np.empty(n_rows, np.uint8)
        texts.take_names(buffer, places, offsets, data, same)
        if n_bytes and data.max() >= 128:
            self._check_text(found, offsets, data, which)
        rsid, ref, alt = (TextColumn(column, data) for column in offsets)
        if (np.diff(rsid.offsets) == 0).any():
            text = data.tobytes()
            ids = [text[a:b].decode() or "." for a, b in zip(rsid.offsets[:-1].tolist(), rsid.offsets[1:].tolist())]
            rsid = TextColumn.of(ids)
        firsts = np.flatnonzero(same == 0)
        runs = []
        for first, length in zip(firsts.tolist(), np.diff(np.append(firsts, n_rows)).tolist()):
            name = found.data[int(places[first, texts.CHROM_START]) : int(places[first, texts.CHROM_END])]
            try:
                runs.append((name.decode("utf-8"), length))
            except UnicodeDecodeError:
                raise self._error(found, int(which[first]), f"its contig {name[:40]!r} is not UTF-8 text") from None
        positions = found.places[which, blocks.POSITION]
        return VariantColumns(tuple(runs), positions, alt, ref, rsid, which, numbers)

    def _row_places(self, found: Found, buffer: UInt8Array) -> tuple[Int64Array, Int64Array, Array]:
        """Where the text of each row lies (V, `texts.N_PLACES`), its block (V,) and the number of its ALT (V,) from 1."""
        K = found.places[:, blocks.N_ALLELES]
        first = np.cumsum(K) - K  # of each block's alleles
        begins, ends = np.empty(int(K.sum()), np.int64), np.empty(int(K.sum()), np.int64)
        to = found.places[:, blocks.ALLELES].copy()
        which = np.arange(len(K))
        for k in range(int(K.max(initial=0))):
            which = which[K[which] > k]
            at = to[which]
            length = sum(buffer[at + byte].astype(np.int64) << (8 * byte) for byte in range(4))
            begins[first[which] + k] = at + 4
            ends[first[which] + k] = to[which] = at + 4 + length
        n_rows = int((K - 1).sum())
        which = np.repeat(np.arange(len(K)), K - 1)
        number = np.arange(n_rows) - np.repeat(np.cumsum(K - 1) - (K - 1), K - 1)  # of the ALT, from 0
        reference = first + (K - 1 if self.reference_last else 0)
        alternate = first[which] + number + (0 if self.reference_last else 1)
        places = np.empty((n_rows, texts.N_PLACES), np.int64)
        of = found.places[which]
        places[:, texts.CHROM_START], places[:, texts.CHROM_END] = of[:, blocks.CONTIG], of[:, blocks.CONTIG_END]
        # the second identifier where there is no rsid
        length = of[:, blocks.RSID_END] - of[:, blocks.RSID]
        dot = (length == 1) & (buffer[np.minimum(of[:, blocks.RSID], buffer.size - 1)] == ord("."))
        absent = ((length == 0) | dot) & (of[:, blocks.VARID_END] > of[:, blocks.VARID])
        places[:, texts.ID_START] = np.where(absent, of[:, blocks.VARID], of[:, blocks.RSID])
        places[:, texts.ID_END] = np.where(absent, of[:, blocks.VARID_END], of[:, blocks.RSID_END])
        places[:, texts.REF_START], places[:, texts.REF_END] = begins[reference[which]], ends[reference[which]]
        places[:, texts.ALT_START], places[:, texts.ALT_END] = begins[alternate], ends[alternate]
        return places, which, (number + 1).astype(np.int32)

    def _check_text(self, found: Found, offsets: Int64Array, data: UInt8Array, which: Int64Array) -> None:
        """Raise `RecordError` for the first identifier or allele that is not UTF-8."""
        text = data.tobytes()
        for row in range(offsets.shape[1] - 1):
            for column in offsets:
                shown = text[column[row] : column[row + 1]]
                try:
                    shown.decode("utf-8")
                except UnicodeDecodeError:
                    raise self._error(found, int(which[row]), f"{shown[:40]!r} is not UTF-8 text") from None


def _kept(rows: Array, n: int) -> Array:
    """The first rows; copied where most of the memory would be kept for nothing."""
    return rows[:n] if 2 * n >= len(rows) else rows[:n].copy()


def _runs(places: Int64Array, layout: int, n_samples: int) -> list[tuple[int, int, Int64Array]]:
    """Runs of blocks (first, behind the last) of about `INFLATED` bytes, and where each block's bytes are to begin."""
    # probabilities begin at a multiple of 4 in layout 2, blocks in layout 1
    shift = 0 if layout == 1 else -(kernels.HEAD + n_samples) % 4
    room = (places[:, blocks.SIZE] + shift + 3) // 4 * 4
    ends = np.cumsum(room)
    runs = []
    start = 0
    while start < len(places):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + INFLATED, "right")))
        begins = ends[start:stop] - room[start:stop] - before
        runs.append((start, stop, np.ascontiguousarray(begins + shift)))
        start = stop
    return runs
