"""A store to PLINK's files: BED / BIM / FAM and PGEN / PVAR / PSAM (`genassoc.formats.writing.Writer`)."""

import contextlib
import struct
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
import polars as pl

from genassoc.data.block import NO_DOSAGE
from genassoc.data.store.variant_columns import FILTER, INFO_SOURCE
from genassoc.errors import OutputError
from genassoc.formats.joined_records import JoinedRecords, joined
from genassoc.formats.plink.pgen import MOST_ALLELES, pgenlib_module
from genassoc.formats.writing import ExportHeader, ExportRows
from genassoc.kernels.genotypes.alleles import FILL
from genassoc.kernels.genotypes.bed import to_bed
from genassoc.kernels.genotypes.half_calls import forget_half_calls
from genassoc.kernels.genotypes.pgen import STEPS, copies_of
from genassoc.shapes import Array, BoolArray, Int64Array, UInt8Array, packed_bytes

MAGIC = b"\x6c\x1b\x01"
MOST_POSITION = 2**31 - 2  # PLINK's
_INFO = "INFO/"
_COPIES_BYTES = 2**20  # of calls that are taken apart at once
_SEX = ("NA", "1", "2")


def _open(folder: Path, name: str) -> BinaryIO:
    return (folder / name).open("xb", buffering=2**20)


def _check_samples(path: Path, sample_ids: tuple[str, ...]) -> None:
    for name in sample_ids:
        if not name or name == "0" or any(c.isspace() for c in name) or name.startswith("#"):
            raise OutputError(
                f"{path}: sample {name!r} cannot stand in PLINK's files, whose columns blanks separate, and where '0' and '#...' mean "
                "something else; rename it before it is converted (--id-map), or export VCF."
            )


def _check_variants(path: Path, table: pl.DataFrame) -> None:
    for name in ("chromosome", "rsid", "effect_allele", "other_allele"):
        bad = table.filter(pl.col(name).str.contains(r"\s") | (pl.col(name) == ""))
        if bad.height:
            row = bad.row(0, named=True)
            raise OutputError(
                f"{path}: {name} {row[name]!r} at {row['chromosome']}:{row['base_pair_location']} is empty or has a blank, which PLINK's "
                "files cannot hold; correct the variants, or leave them out."
            )
    if table.height and int(table["base_pair_location"].max()) > MOST_POSITION:  # type: ignore[arg-type]
        raise OutputError(f"{path}: a position is beyond {MOST_POSITION:,}, the last that PLINK reads; leave it out.")


def _distinct_ids(table: pl.DataFrame, several: BoolArray) -> pl.Series:
    """The ids of rows, "." where there is none; those of ``several`` rows of one record told apart as ID:REF:ALT."""
    ids = pl.col("rsid").fill_null(".")
    of_several = pl.concat_str(
        pl.when(ids == ".").then(pl.concat_str("chromosome", pl.col("base_pair_location").cast(pl.String), separator=":")).otherwise(ids),
        "other_allele", "effect_allele", separator=":",
    )  # fmt: skip
    marked = table.with_columns(several=pl.Series(several))
    return marked.select(pl.when("several").then(of_several).otherwise(ids).alias("id"))["id"]


def _several(first: Int64Array) -> BoolArray:
    """Rows (V,) of records of several rows."""
    sizes = np.diff(first)
    return np.asarray(np.repeat(sizes > 1, sizes))


def _observed(rows: ExportRows) -> ExportRows:
    """Rows without half calls, which PLINK's files cannot hold: not observed."""
    if rows.haploid is None or not rows.haploid.any():
        return rows
    packed = rows.packed.copy()
    forget_half_calls(packed, rows.haploid.copy(), np.flatnonzero(rows.haploid.any(axis=1)))
    return replace(rows, packed=packed)


def _haploid_calls(rows: ExportRows) -> int:
    return 0 if rows.haploid is None else int(np.bitwise_count(rows.haploid).sum(dtype=np.int64))


def _lines(columns: list[pl.Series | pl.Expr], table: pl.DataFrame) -> bytes:
    text = table.select(pl.concat_str(columns, separator="\t").alias("line"))["line"]
    return ("\n".join(text.to_list()) + "\n").encode() if text.len() else b""


@dataclass(frozen=True)
class _Counts:
    """What the summary says of rows."""

    haploid: int = 0
    split: int = 0
    dosages: int = 0
    rounded: int = 0

    def __add__(self, other: "_Counts") -> "_Counts":
        return _Counts(
            self.haploid + other.haploid,
            self.split + other.split,
            self.dosages + other.dosages,
            self.rounded + other.rounded,
        )

    def haploid_notes(self) -> list[str]:
        if not self.haploid:
            return []
        return [
            f"{self.haploid:,} haploid calls are written with two equal alleles, as PLINK does: the sexes tell whose they are"
        ]


def _sex_notes(header: ExportHeader) -> list[str]:
    return [] if header.sex.any() else ["the sexes are not stated: give them to the export, or to PLINK (--update-sex)"]


@dataclass(frozen=True)
class _BedRows:
    """Rows of a BED and lines of a .bim."""

    calls: bytes
    lines: bytes
    counts: _Counts


class BedWriter:
    """BED, BIM and FAM; see `genassoc.formats.writing.Writer`. ALT is A1, REF is A2.

    Parameters
    ----------
    folder : Path
    name : str
        Ending in .bed.
    header : ExportHeader

    Raises
    ------
    OutputError
        A name cannot stand in the files.
    """

    def __init__(self, folder: Path, name: str, header: ExportHeader) -> None:
        self._path, self._header = Path(name), header
        _check_samples(self._path, header.sample_ids)
        bim, fam, bed = self.files(name)
        sexes = header.sex.tolist()
        (folder / fam).write_text(
            "".join(f"0\t{sample}\t0\t0\t{sex}\t-9\n" for sample, sex in zip(header.sample_ids, sexes)),
            encoding="utf-8",
        )
        self._bim, self._bed = _open(folder, bim), _open(folder, bed)
        self._bed.write(MAGIC)
        self._counts = _Counts()

    @staticmethod
    def files(name: str) -> tuple[str, ...]:
        """The two lists, and the BED."""
        stem = name.removesuffix(".bed")
        return (f"{stem}.bim", f"{stem}.fam", name)

    def encode(self, rows: ExportRows) -> _BedRows:
        """Recode rows."""
        _check_variants(self._path, rows.table)
        rows = _observed(rows)
        N, several = len(self._header.sample_ids), _several(rows.records())
        calls = np.empty((len(rows), (N + 3) // 4), dtype=np.uint8)
        to_bed(np.ascontiguousarray(rows.packed), N, calls)
        lines = _lines(
            [
                pl.col("chromosome"), _distinct_ids(rows.table, several), pl.lit("0"), pl.col("base_pair_location").cast(pl.String),
                pl.col("effect_allele"), pl.col("other_allele"),
            ],
            rows.table,
        )  # fmt: skip
        dosages = 0 if rows.dosages is None else int(np.count_nonzero(rows.dosages.steps))
        return _BedRows(calls.tobytes(), lines, _Counts(_haploid_calls(rows), int(several.sum()), dosages))

    def write(self, encoded: _BedRows) -> None:
        """Add rows."""
        self._bed.write(encoded.calls)
        self._bim.write(encoded.lines)
        self._counts += encoded.counts

    def close(self) -> list[str]:
        """Close the files; what a BED does not hold."""
        self._bed.close()
        self._bim.close()
        notes = ["ALT is A1, REF is A2; read it with plink2 --bfile, which takes A2 for REF", *_sex_notes(self._header)]
        if self._counts.split:
            notes.append(
                f"{self._counts.split:,} rows of multi-allelic records are variants of their own, named ID:REF:ALT: a call of two ALTs is "
                "heterozygous in both"
            )
        if self._counts.dosages:
            notes.append(
                f"{self._counts.dosages:,} rows have dosages, of which a BED holds the nearest calls alone (within 0.1 copies, else missing): "
                "export PGEN or BGEN to keep them"
            )
        if self._header.annotations:
            notes.append("not written: FILTER and INFO, which a .bim does not have")
        return notes + self._counts.haploid_notes()

    def abandon(self) -> None:
        """Close the files."""
        for file in (self._bed, self._bim):
            with contextlib.suppress(OSError):
                file.close()


class _PgenFile(Protocol):
    """What is asked of Pgenlib's writer."""

    def append_biallelic_batch(self, copies: Array, /) -> None:
        """Copies of ALT (V, N) int8, -9 where missing."""

    def append_dosages(self, dosages: Array, /) -> None:
        """Dosages of ALT (N,) float32, -9 where missing."""

    def append_alleles(self, alleles: Array, all_phased: bool, n_alleles: int, /) -> None:
        """Alleles (2 N,) int32, -9 where missing."""

    def close(self) -> None:
        """Complete the file."""


CALLS, DOSAGES, ALLELES = 0, 1, 2  # what a run of variants has
_RUN = struct.Struct("<BIHH")  # which of these, variants, alleles or steps of one, 0
_MISSING = 255  # an allele


@dataclass(frozen=True)
class _PgenRows:
    """Runs of variants as they are kept until their number is known, and lines of a .pvar."""

    runs: bytes
    n_variants: int
    most_alleles: int
    lines: bytes
    counts: _Counts


class PgenWriter:
    """PGEN, PVAR and PSAM, through Pgenlib; see `genassoc.formats.writing.Writer`.

    Pgenlib must know beforehand how many variants there will be, which filters by genotypes and rejoined records tell at the end:
    calls and dosages wait in a file beside, as compact as in a store, which `close` gives to Pgenlib.

    Parameters
    ----------
    folder : Path
    name : str
        Ending in .pgen.
    header : ExportHeader

    Raises
    ------
    OutputError
        A name cannot stand in the files.
    MissingExtraError
        Pgenlib is not installed.
    """

    def __init__(self, folder: Path, name: str, header: ExportHeader) -> None:
        self._path, self._header = Path(name), header
        pgenlib_module()
        _check_samples(self._path, header.sample_ids)
        pvar, psam, pgen = self.files(name)
        rows = zip(header.sample_ids, header.sex.tolist())
        (folder / psam).write_text("#IID\tSEX\n" + "".join(f"{s}\t{_SEX[sex]}\n" for s, sex in rows), encoding="utf-8")
        self._pvar = _open(folder, pvar)
        self._pvar.write(self._pvar_header())
        self._pgen = folder / pgen
        self._runs = (folder / "runs").open("x+b", buffering=2**20)
        self._counts = _Counts()
        self._n_variants, self._most_alleles = 0, 2

    @staticmethod
    def files(name: str) -> tuple[str, ...]:
        """The two lists, and the PGEN."""
        stem = name.removesuffix(".pgen")
        return (f"{stem}.pvar", f"{stem}.psam", name)

    @property
    def _infos(self) -> list[tuple[str, str]]:
        """(Annotation, field of INFO)."""
        kept = [(name, name.removeprefix(_INFO)) for name in self._header.annotations if name.startswith(_INFO)]
        source = INFO_SOURCE in self._header.annotations and "R2" not in (field for _, field in kept)
        return kept + ([(INFO_SOURCE, "R2")] if source else [])

    def _pvar_header(self) -> bytes:
        header = self._header
        lines = ["##fileformat=VCFv4.3", "##source=genassoc"]
        lines += [f"##contig=<ID={name}{'' if n is None else f',length={n}'}>" for name, n in header.contigs.items()]
        lines += [
            f'##FILTER=<ID={name},Description="As in the input">'
            for name in header.filters
            if name not in ("PASS", ".", "")
        ]
        for annotation, field in self._infos:
            kind = "Float" if annotation == INFO_SOURCE else "String"
            lines.append(f'##INFO=<ID={field},Number=.,Type={kind},Description="As in the input">')
        columns = ["#CHROM", "POS", "ID", "REF", "ALT", *(["FILTER"] if FILTER in header.annotations else [])]
        lines.append("\t".join([*columns, *(["INFO"] if self._infos else [])]))
        return ("\n".join(lines) + "\n").encode()

    def encode(self, rows: ExportRows) -> _PgenRows:
        """Copies, alleles or dosages of each variant."""
        _check_variants(self._path, rows.table)
        rows = _observed(rows)
        N = len(self._header.sample_ids)
        records = joined(rows, N) if rows.has_several else JoinedRecords.plain(rows)
        steps = np.zeros(len(rows), np.uint16) if rows.dosages is None else rows.dosages.steps
        row_of_dosage = np.cumsum(steps > 0) - 1
        sizes = np.diff(records.first)
        # a PGEN holds no dosages of several ALTs: these are variants of their own
        fuzzy = np.logical_or.reduceat(steps > 0, records.first[:-1]) if len(rows) else np.zeros(0, bool)
        own = (sizes > 1) & (fuzzy | (sizes >= MOST_ALLELES))
        runs: list[bytes] = []
        starts: list[int] = []
        waiting = 0  # rows of calls that end here

        def calls(stop: int) -> None:
            nonlocal waiting
            if waiting:
                runs.append(_RUN.pack(CALLS, waiting, 2, 0) + rows.packed[stop - waiting : stop].tobytes())
            waiting = 0

        for number, (first, size) in enumerate(zip(records.first[:-1].tolist(), sizes.tolist())):
            if size > 1 and not own[number]:
                calls(first)
                starts.append(first)
                runs.append(_RUN.pack(ALLELES, 1, size + 1, 0) + _diploid(records.alleles[number]).tobytes())
                continue
            for row in range(first, first + size):
                starts.append(row)
                if steps[row]:
                    calls(row)
                    assert rows.dosages is not None
                    values = rows.dosages.values[row_of_dosage[row]]
                    runs.append(_RUN.pack(DOSAGES, 1, int(steps[row]), 0) + values.tobytes())
                else:
                    waiting += 1
        calls(len(rows))
        of_variants = np.array([*starts, len(rows)], dtype=np.int64)
        split = _several(rows.records()) & ~_several(of_variants)
        lines = self._pvar_lines(rows, of_variants, split)
        rounded = int(np.count_nonzero((steps > 0) & (STEPS % np.maximum(steps.astype(np.int64), 1) != 0)))
        counts = _Counts(_haploid_calls(rows), int(split.sum()), int(np.count_nonzero(steps)), rounded)
        together = sizes[~own]
        most = int(together.max()) + 1 if together.size else 2
        return _PgenRows(b"".join(runs), len(starts), most, lines, counts)

    def _pvar_lines(self, rows: ExportRows, first: Int64Array, split: BoolArray) -> bytes:
        table = rows.table.with_columns(_distinct_ids(rows.table, split))
        sizes = np.diff(first)
        numbered = table.with_columns(variant=pl.Series(np.repeat(np.arange(sizes.size), sizes)))
        infos = self._infos
        joined_columns = [
            pl.col("effect_allele").str.join(","),
            *(_joined(name) for name, _ in infos),
            *([pl.col(FILTER).first()] if FILTER in self._header.annotations else []),
        ]
        lines = numbered.group_by("variant", maintain_order=True).agg(
            pl.col("chromosome", "base_pair_location", "id", "other_allele").first(), *joined_columns
        )
        shown: list[pl.Series | pl.Expr] = [
            pl.col("chromosome"), pl.col("base_pair_location").cast(pl.String), pl.col("id"), pl.col("other_allele"),
            pl.col("effect_allele"),
        ]  # fmt: skip
        if FILTER in self._header.annotations:
            shown.append(pl.col(FILTER))
        if infos:
            parts = [
                pl.when(pl.col(name) != ".").then(pl.concat_str(pl.lit(f"{field}="), pl.col(name)))
                for name, field in infos
            ]
            text = pl.concat_str(parts, separator=";", ignore_nulls=True)
            shown.append(pl.when(text == "").then(pl.lit(".")).otherwise(text))
        return _lines(shown, lines)

    def write(self, encoded: _PgenRows) -> None:
        """Add variants."""
        self._runs.write(encoded.runs)
        self._pvar.write(encoded.lines)
        self._n_variants += encoded.n_variants
        self._most_alleles = max(self._most_alleles, encoded.most_alleles)
        self._counts += encoded.counts

    def _give(self, pgen: _PgenFile) -> None:
        """Give all variants to Pgenlib."""
        N = len(self._header.sample_ids)
        n_bytes = packed_bytes(N)
        step = max(1, _COPIES_BYTES // N)
        self._runs.seek(0)
        while head := self._runs.read(_RUN.size):
            kind, n, number, _ = _RUN.unpack(head)
            if kind == CALLS:
                for start in range(0, n, step):
                    some = min(step, n - start)
                    packed = np.frombuffer(self._runs.read(some * n_bytes), np.uint8).reshape(some, n_bytes)
                    copies = np.empty((some, N), dtype=np.int8)
                    copies_of(packed, copies)
                    pgen.append_biallelic_batch(copies)
            elif kind == DOSAGES:
                values = np.frombuffer(self._runs.read(2 * N), np.uint16)
                known = np.where(values == NO_DOSAGE, -9.0, values / np.float64(number))
                pgen.append_dosages(known.astype(np.float32))
            else:
                alleles = np.frombuffer(self._runs.read(2 * N), np.uint8).astype(np.int32)
                alleles[alleles == _MISSING] = -9
                pgen.append_alleles(alleles, False, number)

    def close(self) -> list[str]:
        """Complete the files; what a PGEN does not hold."""
        try:
            pgen: _PgenFile = pgenlib_module().PgenWriter(
                str(self._pgen).encode(), len(self._header.sample_ids), variant_ct=self._n_variants, nonref_flags=False,
                allele_ct_limit=self._most_alleles, dosage_present=self._counts.dosages > 0,
            )  # fmt: skip
            self._give(pgen)
            pgen.close()
        except (RuntimeError, MemoryError) as error:
            raise OutputError(f"{self._path}: Pgenlib cannot write it: {error}; is the disk full?") from error
        self._runs.close()
        self._pvar.close()
        notes = ["not in a store, so not written: phase and QUAL", *_sex_notes(self._header)]
        if self._counts.split:
            notes.append(
                f"{self._counts.split:,} rows of multi-allelic records are variants of their own, named ID:REF:ALT: a PGEN holds no dosages of "
                "several ALTs (and rows that contradict each other are no record)"
            )
        if self._counts.rounded:
            notes.append(
                f"dosages of {self._counts.rounded:,} rows are rounded to 1/{STEPS} copy: by 1/{2 * STEPS} at most"
            )
        if self._header.has_probabilities:
            notes.append("probabilities of genotypes are not written: a PGEN holds dosages alone")
        return notes + self._counts.haploid_notes()

    def abandon(self) -> None:
        """Close the files."""
        for file in (self._pvar, self._runs):
            with contextlib.suppress(OSError):
                file.close()


def _diploid(alleles: Array) -> UInt8Array:
    """Alleles (N, 2) in bytes: `_MISSING` where not observed; the one of a haploid call twice."""
    two = np.where(alleles == FILL, alleles[:, :1], alleles)
    return np.where(two < 0, _MISSING, two).astype(np.uint8)


def _joined(name: str) -> pl.Expr:
    """The values of the rows of one variant: one if all are the same, else listed."""
    column = pl.col(name)
    return pl.when(column.n_unique() == 1).then(column.first()).otherwise(column.str.join(",")).alias(name)
