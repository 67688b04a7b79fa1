"""BGEN 1.2 and 1.3 as an output of an export: REF first, probabilities of 8 or 16 bits, .sample and .bgi beside it."""

import contextlib
import sqlite3
import struct
import zlib
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np

from genassoc.errors import OutputError
from genassoc.formats.joined_records import JoinedRecords, joined
from genassoc.formats.writing import ExportHeader, ExportRows
from genassoc.kernels.genotypes import bgen_genotypes as kernels
from genassoc.kernels.text.bgen_blocks import NONE, ZLIB, ZSTD
from genassoc.shapes import Int64Array, UInt8Array, UInt16Array

COMPRESSIONS = {"none": NONE, "zlib": ZLIB, "zstd": ZSTD}
_LAYOUT, _HAS_SAMPLES = 2 << 2, 1 << 31
_COUNT_AT = 8  # byte of the number of variants
_HEADER = struct.Struct("<IIII4sI")
_EXACT_8 = 255
_MOST_INNER = 2**30  # bytes of the genotypes of a record
_ZLIB_LEVEL, _ZSTD_LEVEL = 6, 3
_INDEX_TABLES = (
    "CREATE TABLE Metadata (filename TEXT NOT NULL, file_size INT NOT NULL, last_write_time INT NOT NULL, "
    "first_1000_bytes BLOB NOT NULL, index_creation_time INT NOT NULL)",
    "CREATE TABLE Variant (chromosome TEXT NOT NULL, position INT NOT NULL, rsid TEXT NOT NULL, "
    "number_of_alleles INT NOT NULL, allele1 TEXT NOT NULL, allele2 TEXT NULL, file_start_position INT NOT NULL, "
    "size_in_bytes INT NOT NULL, "
    "PRIMARY KEY (chromosome, position, rsid, allele1, allele2, file_start_position)) WITHOUT ROWID",
)


class _Record(NamedTuple):
    """A variant as the index has it, and its bytes."""

    contig: str
    position: int
    rsid: str
    alleles: list[str]
    block: bytes


class _Blocks(NamedTuple):
    """Records that were encoded, and what there is to say of them."""

    records: list[_Record]
    apart: int
    two_genotypes: int
    rounded: int


class BgenWriter:
    """Writes BGEN 1.2 (zlib, or not compressed) or 1.3 (zstd); see `genassoc.formats.writing.Writer`.

    ``writing.bgen_bits``: 8, 16, or None, which takes 8 where they are exact (calls, dosages in 255 steps) and 16 elsewhere.
    """

    def __init__(self, folder: Path, name: str, header: ExportHeader) -> None:
        self._header, self._folder, self._name = header, folder, name
        self._bits = header.writing.bgen_bits
        self._compression = COMPRESSIONS[header.writing.bgen_compression]
        self._n_variants = 0
        self._apart = self._two_genotypes = self._rounded = 0
        names = [text.encode() for text in header.sample_ids]
        too_long = next((text for text in header.sample_ids if len(text.encode()) > 65535), None)
        if too_long is not None:
            raise OutputError(f"{name}: the sample id {too_long[:40]!r}... is too long for a BGEN.")
        texts = b"".join(struct.pack("<H", len(text)) + text for text in names)
        flags = self._compression | _LAYOUT | _HAS_SAMPLES
        block = struct.pack("<II", 8 + len(texts), len(names)) + texts
        self._file = (folder / name).open("xb", buffering=2**20)
        self._put(_HEADER.pack(20 + len(block), 20, 0, len(names), b"bgen", flags) + block)
        self._index: sqlite3.Connection | None = None
        if header.writing.index:
            self._index = sqlite3.connect(folder / f"{name}.bgi", isolation_level=None)
            for setting in ("journal_mode=OFF", "synchronous=OFF"):  # the export syncs and renames
                self._index.execute(f"PRAGMA {setting}")
            for table in _INDEX_TABLES:
                self._index.execute(table)
            self._index.execute("BEGIN")
        self._notes = self._write_samples()

    @staticmethod
    def files(name: str) -> tuple[str, ...]:
        """Samples, index, and the file."""
        return (f"{name.removesuffix('.bgen')}.sample", f"{name}.bgi", name)

    def _write_samples(self) -> list[str]:
        """The .sample file: ids and sex; none where an id has a blank in it."""
        ids = self._header.sample_ids
        blank = next((name for name in ids if name.split() != [name]), None)
        if blank is not None:
            return [
                f"no .sample file, whose columns blanks separate: the id {blank!r} has one; the BGEN names its samples itself"
            ]
        sexes = {0: "NA", 1: "1", 2: "2"}
        lines = ["ID_1 ID_2 missing sex", "0 0 0 D"]
        lines += [f"{name} {name} 0 {sexes[int(sex)]}" for name, sex in zip(ids, self._header.sex)]
        path = self._folder / self.files(self._name)[0]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return []

    def _put(self, data: bytes) -> None:
        self._file.write(data)

    # encoding ----------------------------------------------------------------------------------------------------

    @cached_property
    def _compress(self) -> Callable[[bytes], bytes]:
        if self._compression == NONE:
            return bytes
        if self._compression == ZLIB:
            return lambda data: zlib.compress(data, _ZLIB_LEVEL)
        import zstandard

        # a compressor is for one thread at a time
        return lambda data: zstandard.ZstdCompressor(level=_ZSTD_LEVEL).compress(data)

    def encode(self, rows: ExportRows) -> _Blocks:
        """Records as blocks of the file."""
        N = len(self._header.sample_ids)
        records = joined(rows, N) if rows.has_several else JoinedRecords.plain(rows)
        first = _apart_where_dosages(rows, records.first)
        dosages = rows.dosages
        steps = np.zeros(len(rows), np.uint16) if dosages is None else dosages.steps
        place = np.where(steps > 0, np.cumsum(steps > 0) - 1, -1)
        none = np.zeros((0, N), np.uint16)
        given = kernels.RowsOut(
            np.ascontiguousarray(rows.packed),
            np.zeros((len(rows), 0), np.uint8) if rows.haploid is None else np.ascontiguousarray(rows.haploid),
            none if dosages is None else np.ascontiguousarray(dosages.values),
            none if dosages is None or dosages.homozygous is None else np.ascontiguousarray(dosages.homozygous),
            steps[steps > 0],
        )
        columns = ("chromosome", "base_pair_location", "rsid", "other_allele", "effect_allele")
        texts = [rows.table[name].to_list() for name in columns]
        out = np.empty(kernels.HEAD + 5 * N, np.uint8)
        made = []
        joined_at = {int(start): number for number, start in enumerate(records.first[:-1])}
        rounded = 0
        for start, stop in zip(first[:-1].tolist(), first[1:].tolist()):
            contig, position, rsid, ref = (texts[c][start] for c in range(4))
            alleles = [ref, *texts[4][start:stop]]
            if stop - start > 1:
                inner = self._several(records.alleles[joined_at[start]], alleles, contig, position)
            else:
                d, S = int(place[start]), int(steps[start])
                bits = self._bits or (8 if S in (0, _EXACT_8) else 16)
                rounded += S not in (0, 2**bits - 1) and not (S == 32767 and bits == 16)
                size = kernels.put_row(given, start, d, bits, N, out)
                inner = out[:size].tobytes()
            made.append(self._record(contig, int(position), rsid or ".", alleles, inner))
        two = 0 if dosages is None else _without_probabilities(dosages.steps, given.homozygous)
        apart = records.apart + (len(first) - len(records.first))
        return _Blocks(made, apart, two, rounded)

    def _several(self, calls: Int64Array, alleles: list[str], contig: str, position: int) -> bytes:
        K, N = len(alleles), len(calls)
        size = kernels.HEAD + N + N * (K * (K + 1) // 2 - 1)
        if size > _MOST_INNER:
            raise OutputError(
                f"{self._name}: {contig}:{position} has {K:,} alleles, whose genotypes in {N:,} samples would take {size:,} bytes of a "
                "BGEN; leave the record out, or export to VCF."
            )
        out: UInt8Array = np.zeros(size, np.uint8)
        return out[: kernels.put_alleles(np.ascontiguousarray(calls), K, out)].tobytes()

    def _record(self, contig: str, position: int, rsid: str, alleles: list[str], inner: bytes) -> _Record:
        packed = self._compress(inner)
        texts = [text.encode() for text in (rsid, rsid, contig)]
        if any(len(text) > 65535 for text in texts) or len(alleles) > 65535 or not 0 <= position < 2**32:
            raise OutputError(
                f"{self._name}: {contig[:40]}:{position} cannot be written: a BGEN has positions to 2^32, identifiers to 65,535 bytes, "
                "and 65,535 alleles a record."
            )
        head = b"".join(struct.pack("<H", len(text)) + text for text in texts)
        head += struct.pack("<IH", position, len(alleles))
        head += b"".join(struct.pack("<I", len(allele.encode())) + allele.encode() for allele in alleles)
        sizes = struct.pack("<I", len(packed))
        if self._compression != NONE:
            sizes = struct.pack("<II", len(packed) + 4, len(inner))
        return _Record(contig, position, rsid, alleles, head + sizes + packed)

    # writing -----------------------------------------------------------------------------------------------------

    def write(self, encoded: _Blocks) -> None:
        """Add blocks to the file, and to the index."""
        at = self._file.tell()
        found = []
        for record in encoded.records:
            self._put(record.block)
            shown = (record.contig, record.position, record.rsid, len(record.alleles), *record.alleles[:2])
            found.append((*shown, at, len(record.block)))
            at += len(record.block)
        self._n_variants += len(encoded.records)
        self._apart += encoded.apart
        self._two_genotypes += encoded.two_genotypes
        self._rounded += encoded.rounded
        if self._index is not None:
            self._index.executemany("INSERT INTO Variant VALUES (?, ?, ?, ?, ?, ?, ?, ?)", found)

    def close(self) -> list[str]:
        """Write how many variants there are, and what the index says of the file."""
        if self._n_variants >= 2**32:
            raise OutputError(
                f"{self._name}: {self._n_variants:,} variants are more than a BGEN can count; export by chromosome."
            )
        self._file.seek(_COUNT_AT)
        self._file.write(struct.pack("<I", self._n_variants))
        self._file.close()
        path = self._folder / self._name
        if self._index is not None:
            with path.open("rb") as file:
                head = file.read(1000)
            status = path.stat()
            about = (self._name, status.st_size, int(status.st_mtime), head, int(status.st_mtime))
            self._index.execute("INSERT INTO Metadata VALUES (?, ?, ?, ?, ?)", about)
            self._index.execute("COMMIT")
            self._index.close()
        return self._lines()

    def _lines(self) -> list[str]:
        lines = ["the first allele of each record is REF (plink2 --bgen FILE ref-first)"]
        lines.append("not in a store, so not written: phase")
        if self._header.annotations:
            lines.append(f"a BGEN has no place for {', '.join(self._header.annotations)}")
        if self._apart:
            lines.append(
                f"{self._apart:,} ALTs of multi-allelic records are written as records of their own: their dosages, or calls that were "
                "changed, are not those of one genotype"
            )
        if self._two_genotypes:
            lines.append(
                f"{self._two_genotypes:,} variants have dosages without probabilities: those of the two genotypes next to the dosage "
                "are written, which have its mean (as plink2 does)"
            )
        if self._rounded:
            lines.append(f"{self._rounded:,} variants: probabilities are rounded to {self._bits or 16} bits")
        return lines + self._notes

    def abandon(self) -> None:
        """Close what is open."""
        with contextlib.suppress(OSError):
            self._file.close()
        if getattr(self, "_index", None) is not None:
            with contextlib.suppress(sqlite3.Error):
                self._index.close()  # type: ignore[union-attr]


def _apart_where_dosages(rows: ExportRows, first: Int64Array) -> Int64Array:
    """Where records begin, those of several rows with dosages taken apart: of these only each ALT's probabilities are known."""
    if rows.dosages is None or first.size == len(rows) + 1:
        return first
    fuzzy = np.logical_or.reduceat(rows.dosages.steps > 0, first[:-1])
    begins = np.repeat(fuzzy, np.diff(first))
    begins[first[:-1]] = True
    return np.append(np.flatnonzero(begins), len(rows)).astype(np.int64)


def _without_probabilities(steps: UInt16Array, homozygous: UInt16Array) -> int:
    """Rows with dosages of which some sample's probabilities are not known, though its dosage may be."""
    if not len(homozygous):
        return int((steps > 0).sum())
    return int((homozygous == 65535).all(axis=1).sum())
