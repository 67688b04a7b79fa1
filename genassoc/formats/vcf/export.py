"""VCF and BCF as outputs of an export: records rejoined, dosages as DS, probabilities as GP."""

import contextlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from genassoc.data.block import DosageRows
from genassoc.data.store.variant_columns import FILTER, INFO_SOURCE
from genassoc.errors import OutputError
from genassoc.formats.bgzf_writer import BgzfWriter
from genassoc.formats.joined_records import JoinedRecords, joined
from genassoc.formats.vcf.writer import check_variants, header_text, index_path, line_prefixes, make_index
from genassoc.formats.writing import ExportHeader, ExportRows
from genassoc.kernels.text.vcf_records import NUMBER_BYTES, RecordDosages, write_records
from genassoc.kernels.text.vcf_text import write_lines
from genassoc.shapes import BoolArray, Int64Array, UInt8Array

_TEXT_BYTES = 16 * 2**20  # made at a time
_CALL_BYTES = 12  # a tab, two alleles of up to five digits, a slash
_GT, _DS, _GP = 0, 1, 2
_INFO = "INFO/"
_FORMATS = (
    '##FORMAT=<ID=DS,Number=A,Type=Float,Description="Expected copies of ALT; of a haploid call 0 to 1">',
    '##FORMAT=<ID=GP,Number=G,Type=Float,Description="Probabilities of the genotypes">',
)


class _Text(NamedTuple):
    """Lines of VCF, as they stand in the file, with what there is to say of them."""

    data: bytes
    places: tuple[tuple[str, int, int], ...]  # runs: contig, first and last position
    is_sorted: bool
    n_records: int
    apart: int
    unclear: int
    without_gp: int


class VcfWriter:
    """Writes VCF 4.3, block-gzipped or plain; see `genassoc.formats.writing.Writer`."""

    def __init__(self, folder: Path, name: str, header: ExportHeader) -> None:
        self._header = header
        self._out = Path(name)
        self._folder = folder
        self._compressed = not name.endswith(".vcf")
        self._rank = {contig: number for number, contig in enumerate(header.contigs)}
        self._last = (-1, 0)
        self._sorted = True
        self._apart = self._unclear = self._without_gp = 0
        text = header_text(self._out, header.sample_ids, header.contigs, self._fields()).encode()
        self._file = (folder / name).open("xb", buffering=2**20)
        self._put(self._packed(text))

    @staticmethod
    def files(name: str) -> tuple[str, ...]:
        """The index, and the file."""
        return (f"{name}.tbi", f"{name}.csi", name) if not name.endswith(".vcf") else (name,)

    def _fields(self) -> list[str]:
        """Lines of the header on FILTER, INFO and FORMAT."""
        header = self._header
        lines = [
            f'##FILTER=<ID={name},Description="As in the input">'
            for name in dict.fromkeys(part for text in header.filters for part in text.split(";"))
            if name not in ("PASS", ".", "")
        ]
        if self._info_source:
            lines.append('##INFO=<ID=R2,Number=.,Type=Float,Description="Imputation quality that the input states">')
        lines += [f'##INFO=<ID={name},Number=.,Type=String,Description="As in the input">' for name in self._info_names]
        return lines + list(_FORMATS if header.has_probabilities else _FORMATS[:1] if header.has_dosages else ())

    @property
    def _info_names(self) -> list[str]:
        return [name.removeprefix(_INFO) for name in self._header.annotations if name.startswith(_INFO)]

    @property
    def _info_source(self) -> bool:
        return INFO_SOURCE in self._header.annotations and "R2" not in self._info_names

    def _packed(self, text: bytes) -> bytes:
        """Text as it stands in the file: whole BGZF blocks."""
        if not self._compressed:
            return text
        packed = io.BytesIO()
        writer = BgzfWriter(packed)
        writer.write(text)
        writer.flush()
        return packed.getvalue()

    def encode(self, rows: ExportRows) -> _Text:
        """Lines of rows, compressed."""
        check_variants(self._out, rows.table)
        N = len(self._header.sample_ids)
        records = (
            joined(rows, N)
            if rows.has_several or rows.dosages is not None or rows.kept is not None
            else JoinedRecords.plain(rows)
        )
        prefixes, ends, formats = self._prefixes(rows, records)
        data = [self._packed(text.tobytes()) for text in _lines(rows, records, prefixes, ends, formats, N)]
        first = records.first[:-1]
        positions = rows.table["base_pair_location"].to_numpy()[first]
        contigs = rows.table["chromosome"].gather(first)
        runs = contigs.rle().struct.unnest().rows(named=True)
        places, at, in_order = [], 0, True
        for run in runs:
            here = positions[at : at + run["len"]]
            in_order &= bool((here[1:] >= here[:-1]).all())
            places.append((run["value"], int(here[0]), int(here[-1])))
            at += run["len"]
        several = np.diff(records.first) > 1
        has_gp = np.zeros(len(rows), bool) if rows.dosages is None else _has_gp(rows.dosages)
        without_gp = int((np.logical_or.reduceat(has_gp, first) & several).sum()) if len(rows) else 0
        return _Text(b"".join(data), tuple(places), in_order, first.size, records.apart, records.unclear, without_gp)

    def _prefixes(self, rows: ExportRows, records: JoinedRecords) -> tuple[UInt8Array, Int64Array, UInt8Array]:
        """CHROM to FORMAT of every line, joined, and where each ends; and which fields its samples have."""
        first, several = records.first[:-1], np.flatnonzero(np.diff(records.first) > 1)
        table = rows.table[first]
        columns = ["effect_allele", *(name for name in self._header.annotations if name in table.columns)]
        for name in columns:
            if several.size:
                joined_texts = table[name].to_list()
                texts = rows.table[name]
                for record in several:
                    of_it = texts[int(records.first[record]) : int(records.first[record + 1])].to_list()
                    same = name != "effect_allele" and len(set(of_it)) == 1
                    joined_texts[record] = of_it[0] if same else (";" if name == FILTER else ",").join(of_it)
                table = table.with_columns(pl.Series(name, joined_texts, dtype=pl.String))
        steps = np.zeros(len(rows), np.uint16) if rows.dosages is None else rows.dosages.steps
        formats = np.full(first.size, _GT, np.uint8)
        if rows.dosages is not None:
            formats[np.logical_or.reduceat(steps > 0, first)] = _DS
            alone = np.setdiff1d(np.arange(first.size), several)
            formats[alone[_has_gp(rows.dosages)[first[alone]]]] = _GP
        words = pl.Series(["GT", "GT:DS", "GT:DS:GP"]).gather(formats.astype(np.int64))
        info = [(f"{_INFO}{name}", name) for name in self._info_names]
        info += [(INFO_SOURCE, "R2")] if self._info_source else []
        parts = [
            pl.when(pl.col(column) != ".").then(pl.concat_str(pl.lit(f"{name}="), pl.col(column)))
            for column, name in info
        ]
        shown = pl.concat_str(parts, separator=";", ignore_nulls=True) if parts else pl.lit("")
        filters = pl.col(FILTER) if FILTER in table.columns else pl.lit(".")
        told = pl.when(shown == "").then(pl.lit(".")).otherwise(shown)
        text, ends = line_prefixes(table.with_columns(format=words), filters, told, pl.col("format"))
        return text, ends, formats

    def write(self, encoded: _Text) -> None:
        """Add lines to the file."""
        self._put(encoded.data)
        self._apart += encoded.apart
        self._unclear += encoded.unclear
        self._without_gp += encoded.without_gp
        for contig, first, last in encoded.places:
            rank = self._rank[contig]
            self._sorted &= encoded.is_sorted and (rank, first) >= self._last
            self._last = rank, last

    def _put(self, data: bytes) -> None:
        self._file.write(data)

    def close(self) -> list[str]:
        """Write the end, and the index."""
        if self._compressed:
            BgzfWriter(self._file).close()
        self._file.close()
        notes = self._notes()
        if self._compressed and self._header.writing.index:
            notes += self._index(self._folder / self._out.name, "vcf")
        return notes

    def _index(self, path: Path, preset: str) -> list[str]:
        if not self._sorted:
            return ["no index: the variants of the store are not sorted; sort the file (bcftools sort) for one"]
        place = index_path(path, self._header.contigs)
        make_index(path, place if preset == "vcf" else path.with_name(f"{path.name}.csi"), preset)
        return []

    def _notes(self) -> list[str]:
        kept = [name.removeprefix(_INFO) for name in self._header.annotations if name.startswith(_INFO)]
        kept += ["R2 (the imputation quality that the input stated)"] if self._info_source else []
        notes = ["not in a store, so not written: phase, QUAL, FORMAT fields other than GT, DS and GP"]
        if FILTER not in self._header.annotations:
            notes.append("FILTER is '.': the store keeps none")
        notes.append(f"INFO: {', '.join(kept)}" if kept else "INFO: none kept in the store")
        if self._apart:
            notes.append(
                f"{self._apart:,} multi-allelic records are written one ALT a line: their rows are not those of one genotype any more"
            )
        if self._unclear:
            notes.append(
                f"{self._unclear:,} calls of multi-allelic records with dosages near no copy are ./. beside their DS"
            )
        if self._without_gp:
            notes.append(
                f"{self._without_gp:,} multi-allelic records have DS and no GP: probabilities are known for each ALT alone"
            )
        return notes

    def abandon(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):
            self._file.close()


class BcfWriter(VcfWriter):
    """Writes BCF: the lines of the VCF, which pysam (htslib) turns into records when all are there."""

    def __init__(self, folder: Path, name: str, header: ExportHeader) -> None:
        self._bcf = name
        super().__init__(folder, f"{name}.lines.vcf.gz", header)
        self._out = Path(name)

    @staticmethod
    def files(name: str) -> tuple[str, ...]:
        """The index, and the file."""
        return (f"{name}.csi", name)

    def close(self) -> list[str]:
        """Make records of the lines, and index them."""
        import pysam
        from pysam import bcftools

        text = self._folder / f"{self._bcf}.lines.vcf.gz"
        BgzfWriter(self._file).close()
        self._file.close()
        out = self._folder / self._bcf
        try:
            # bcftools, which pysam has in it: pysam's own records of symbolic alleles get an INFO/END that the header has not
            bcftools.view("--no-version", "-Ob", "-o", str(out), str(text), catch_stdout=False)
        except pysam.SamtoolsError as error:
            raise OutputError(f"{self._bcf}: htslib cannot write it as BCF: {' '.join(str(error).split())}.") from error
        text.unlink()
        notes = self._notes()
        return notes + (self._index(out, "bcf") if self._header.writing.index else [])


def _has_gp(dosages: DosageRows) -> BoolArray:
    """Rows (V,) of which probabilities of two copies are known in some sample."""
    has = np.zeros(dosages.steps.size, bool)
    if dosages.homozygous is not None:
        has[dosages.steps > 0] = (dosages.homozygous != 65535).any(axis=1)
    return has


def _lines(
    rows: ExportRows, records: JoinedRecords, prefixes: UInt8Array, ends: Int64Array, formats: UInt8Array, N: int
) -> Iterator[UInt8Array]:
    """Text of all lines, some megabytes at a time."""
    first = records.first
    plain = not formats.any() and first.size - 1 == len(rows) and rows.kept is None
    most = int(np.diff(first).max(initial=1))
    width = (
        4
        if plain
        else _CALL_BYTES + NUMBER_BYTES * ((most if formats.any() else 0) + (3 if (formats == _GP).any() else 0))
    )
    step = max(1, _TEXT_BYTES // (width * N + 128))
    L = first.size - 1
    row_of = np.full(len(rows), -1, np.int64)
    values, homozygous = np.zeros((0, N), np.uint16), np.zeros((0, N), np.uint16)
    steps = np.zeros(len(rows), np.uint16)
    if rows.dosages is not None:
        steps = rows.dosages.steps
        row_of[steps > 0] = np.arange(np.count_nonzero(steps))
        values = np.ascontiguousarray(rows.dosages.values)
        homozygous = homozygous if rows.dosages.homozygous is None else np.ascontiguousarray(rows.dosages.homozygous)
    for start in range(0, L, step):
        stop = min(start + step, L)
        at = int(ends[start - 1]) if start else 0
        prefix, end = prefixes[at : int(ends[stop - 1])], ends[start:stop] - at
        text = np.empty(prefix.size + (stop - start) * (width * N + 1), np.uint8)
        if plain:
            haploid = (
                np.zeros((stop - start, 0), np.uint8)
                if rows.haploid is None
                else np.ascontiguousarray(rows.haploid[start:stop])
            )
            length = write_lines(prefix, end, np.ascontiguousarray(rows.packed[start:stop]), haploid, N, text)
        else:
            v0, v1 = int(first[start]), int(first[stop])
            of_these = RecordDosages(
                first[start : stop + 1] - v0, row_of[v0:v1], steps[v0:v1], values, homozygous, formats[start:stop]
            )
            length = write_records(prefix, end, records.alleles[start:stop], of_these, text)
        yield text[:length]
