"""A Parquet lake (sake) as a `Source`: variants by chromosome, of each the calls that are listed.

Only carriers are listed there. A sample that is absent at a variant is REF or was not observed, which the lake does not tell: the user says it.
"""

import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl

from genassoc.data.cohort.contigs import Contigs
from genassoc.data.store.variant_columns import TextColumn, VariantColumns
from genassoc.errors import InputError
from genassoc.formats.sake.called import Called
from genassoc.formats.sake.lake import Lake, length, scan, slices
from genassoc.formats.sake.lake import reading as reading_file
from genassoc.formats.sake.patients import sexes_of
from genassoc.formats.source import FileSource, Piece, Place, RecordError, Region, VariantBatch, size_of, spelled_as
from genassoc.kernels.genotypes.listed_calls import clear_calls, fill_reference, put_calls
from genassoc.shapes import Array, BoolArray, Int64Array, UInt8Array, packed_bytes

PIECE_BYTES = 2**25  # of packed calls: the genotypes are read once for each piece
MOST_VARIANTS = 2**26  # of a chromosome, and of a lake for the check of ids; more than a genome has known variants
MOST_TEXT = 2**30  # bytes of the alleles of a chromosome
_VARIANT = ("id", "chr", "pos", "ref", "alt")
_CALL = ("id", "sample", "gt")


@dataclass(frozen=True)
class _File:
    """A file of genotypes: its rows, and the least and largest id in it."""

    path: Path
    n_rows: int
    low: int
    high: int


class SakeSource(FileSource):
    """A lake; see `genassoc.formats.source.Source` for its attributes.

    Parameters
    ----------
    path : Path
        Its folder.
    regions : list of Region
        Variants to keep, by position; everything if empty.
    exact : bool
        Regions name contigs as the lake does.
    reading : Reading
        ``missing_to_ref``: absent calls are REF. ``called_sites``: they are where a list of regions says that all samples were
        called, and not observed elsewhere. One of them must be chosen.

    Raises
    ------
    InputError
        Files or columns are missing or damaged; neither is chosen.
    """

    def _prepare(self, regions: list[Region], max_header_bytes: int, exact: bool) -> None:
        path, reading = self.path, self.reading
        self._lake = Lake.of(path)
        self.kind = f"Parquet lake (sake, {self._lake.layout})"
        self._check_choices()
        self._called = None if reading.called_sites is None else Called.read(Path(reading.called_sites))
        if self._lake.both:
            other = "partitions" if self._lake.layout == "samples" else "samples"
            self.notes.append(
                f"{path.name}: genotypes/{self._lake.layout} is read; genotypes/{other} is there too, and not read"
            )
        self._chromosomes = self._read_chromosomes()
        self.contigs = tuple(self._chromosomes)
        self._files = self._read_files()
        if not self.sample_ids:
            raise InputError(f"{path}: no genotype is in it")
        self.sexes = () if self._lake.patients is None else sexes_of(self._lake.patients, self.sample_ids)
        if self._called is not None:
            self._called = self._called.named_as(self.contigs)
        self.regions = regions if exact else spelled_as(regions, self.contigs, self.notes)
        self.notes.append(
            f"{path.name}: calls that the lake does not list are REF, as --missing-to-ref says"
            if reading.missing_to_ref
            else f"{path.name}: calls that the lake does not list are REF at the sites of {Path(str(reading.called_sites)).name}, and not observed elsewhere"
        )
        self.work = float(size_of(path))

    def _check_choices(self) -> None:
        """Refuse to guess what an absent call is, and choices that a lake cannot fulfil."""
        reading = self.reading
        if reading.missing_to_ref == (reading.called_sites is not None):
            wrong = (
                "both are given" if reading.missing_to_ref else "a lake lists carriers alone, so nobody would be REF"
            )
            raise InputError(
                f"{self.path}: say what a sample is that the lake does not list at a variant ({wrong}): --missing-to-ref (REF "
                "everywhere), or --called-sites regions.bed (REF in these regions, not observed elsewhere)"
            )
        if reading.pass_only or reading.info:
            raise InputError(f"{self.path}: a lake has neither FILTER nor INFO: leave out --pass-only and --info")

    def _read_chromosomes(self) -> dict[str, list[Path]]:
        """Chromosomes in natural order, and the files that have variants of each."""
        found: dict[str, list[Path]] = {}
        self._ids: list[Array] = []
        n = 0
        for file in self._lake.variants:
            frame = scan(file, _VARIANT)
            with reading_file(file):
                for name in frame.select(pl.col("chr").cast(pl.String).unique().sort()).collect()["chr"].to_list():
                    if not name or any(mark.isspace() for mark in name):
                        raise InputError(f"{file}: {name!r} in the column chr is no name of a chromosome")
                    found.setdefault(name, []).append(file)
                n += int(frame.select(pl.len()).collect().item())
                if n <= MOST_VARIANTS:
                    self._ids.append(np.array(_whole(frame.select("id").collect()["id"], "id", file, pl.UInt64)))
        if n > MOST_VARIANTS:
            self._ids = []
            self.notes.append(
                f"{self.path.name}: {n:,} variants: whether all genotypes are of one of them is not checked"
            )
        order = Contigs.of(found)
        natural = sorted(found, key=lambda name: _rank(name, order))
        self.n_variants = n
        return {name: found[name] for name in natural}

    def _read_files(self) -> list[_File]:
        """Rows and ids of the files of genotypes; sets the samples."""
        known = np.sort(np.concatenate(self._ids)) if self._ids else None
        self._ids = []
        samples: set[str] = set()
        files = []
        for file in self._lake.genotypes:
            n_rows = length(file, _CALL)
            low, high = 2**64, -1
            for table in slices(file, ("id", "sample"), n_rows):
                ids = np.array(_whole(table["id"], "id", file, pl.UInt64))
                if table["sample"].null_count() or table["sample"].dtype not in (pl.String, pl.Categorical, pl.Enum):
                    raise InputError(f"{file}: the column sample has missing values, or holds no text")
                samples |= set(table["sample"].unique().cast(pl.String).to_list())
                low, high = min(low, int(ids.min())), max(high, int(ids.max()))
                if known is not None:
                    at = np.minimum(np.searchsorted(known, ids), max(known.size - 1, 0))
                    if not known.size or (wrong := known[at] != ids).any():
                        bad = ids[0] if not known.size else ids[np.argmax(wrong)]
                        raise InputError(
                            f"{file}: has calls of the variant {bad}, which is in no file of variants; is the lake whole?"
                        )
            if n_rows > max(1, self.n_variants) * max(1, len(samples)):
                raise InputError(
                    f"{file}: has {n_rows:,} rows, more than calls of {len(samples):,} samples; is it damaged?"
                )
            files.append(_File(file, n_rows, low, high))
        for name in samples:
            if not name or any(mark in name for mark in "\t\r\n"):
                raise InputError(f"{self.path}: {name!r} in the column sample is no id")
        self.sample_ids = tuple(sorted(samples))
        return files

    def first_contig(self) -> str | None:
        """The first chromosome."""
        return self.contigs[0] if self.contigs else None

    def locate(self, line: int) -> str:
        """Which variant it is, in the order of the store."""
        return f": variant {line + 1}"

    # reading -------------------------------------------------------------------------------------------------

    def pieces(self, columns: Int64Array, start: Place | None) -> Iterator[Piece]:
        """Variants of a chromosome, some at a time; see `Source.pieces`. ``section`` is the chromosome, ``address`` the first variant."""
        names = pl.DataFrame(
            {"sample": [self.sample_ids[column] for column in columns], "column": np.arange(columns.size)},
            schema_overrides={"sample": pl.String},
        )
        step = max(1, PIECE_BYTES // packed_bytes(columns.size))
        for number, chromosome in enumerate(self.contigs):
            if start is not None and number < start.section:
                continue
            table = self._variants(chromosome)
            first = start.address if start is not None and number == start.section else 0
            for at in range(first, table.height, step):
                part = table[at : at + step]
                work = self.work * part.height / max(1, self.n_variants)
                memory = 3 * part.height * packed_bytes(columns.size) + 200 * part.height
                yield Piece(work, memory, partial(self._decode, part, names, Place(number, at)))

    def _variants(self, chromosome: str) -> pl.DataFrame:
        """The variants of a chromosome that are asked for, by position."""
        parts = []
        for file in self._chromosomes[chromosome]:
            frame = scan(file, _VARIANT).filter(pl.col("chr").cast(pl.String) == chromosome)
            with reading_file(file):
                if int(frame.select(pl.len()).collect().item()) > MOST_VARIANTS:
                    raise InputError(
                        f"{file}: has more than {MOST_VARIANTS:,} variants of chromosome {chromosome}; is it damaged?"
                    )
                table = frame.collect()
            ids, positions = _whole(table["id"], "id", file, pl.UInt64), _whole(table["pos"], "pos", file, pl.Int64)
            for name in ("ref", "alt"):
                column = table[name]
                if column.dtype != pl.String or column.null_count() or not (column.str.len_bytes() > 0).all():
                    raise InputError(f"{file}: the column {name} has missing or empty values, or holds no text")
                if int(column.str.len_bytes().cast(pl.Int64).sum()) > MOST_TEXT:
                    raise InputError(
                        f"{file}: the alleles of the column {name} have more than {MOST_TEXT:,} bytes; is it damaged?"
                    )
                if column.str.contains(r"[\x00-\x20,]").any():
                    raise InputError(
                        f"{file}: the column {name} has alleles with a comma, a blank or a control byte in them"
                    )
            parts.append(pl.DataFrame([ids.alias("id"), positions.alias("pos"), table["ref"], table["alt"]]))
        table = pl.concat(parts).sort("pos", "ref", "alt", "id")
        if table["id"].n_unique() < table.height:
            twice = table.filter(pl.col("id").is_duplicated())["id"][0]
            raise InputError(f"{self.path}: the variant {twice} of chromosome {chromosome} is listed twice")
        if self.regions:
            here = [r for r in self.regions if r.contig == chromosome]
            inside = (
                pl.any_horizontal([pl.col("pos").is_between(r.first, r.last) for r in here]) if here else pl.lit(False)
            )
            table = table.filter(inside)
        return table.with_columns(chr=pl.lit(chromosome))

    def _decode(self, variants: pl.DataFrame, names: pl.DataFrame, place: Place) -> VariantBatch:
        """The calls of some variants."""
        V, N = variants.height, names.height
        ids = variants["id"].to_numpy()
        order = np.argsort(ids, kind="stable")
        ordered = ids[order]
        packed = np.full((V, packed_bytes(N)), 255, np.uint8)
        counters = {"records": V, "masked_gq": 0, "masked_dp": 0, "masked_allele_balance": 0, "polyploid_calls": 0}
        cleared: list[tuple[Int64Array, Int64Array]] = []
        columns = [*_CALL, *self._masks()]
        low, high = int(ordered[0]), int(ordered[-1])
        for file in self._files:
            at = bisect.bisect_left(ordered, file.low)
            if file.high < low or file.low > high or at == V or ordered[at] > file.high:
                continue
            wanted = pl.col("id").is_between(low, high)
            for table in slices(file.path, columns, file.n_rows, wanted):
                self._put(file.path, table, names, (ordered, order), packed, counters, cleared)
        reference = (
            np.ones(V, bool)
            if self._called is None
            else self._called.at(variants["chr"][0], variants["pos"].to_numpy())
        )
        fill_reference(packed, reference, N)
        for rows, chosen in cleared:
            clear_calls(packed, rows, chosen)
        return VariantBatch(packed, None, _columns(variants), counters, V, place=place)

    def _masks(self) -> list[str]:
        """Columns beside the calls that the masks look at."""
        reading = self.reading
        wanted = {"gq": reading.min_gq, "dp": reading.min_dp, "ad": reading.allele_balance}
        return [name for name, bound in wanted.items() if bound is not None]

    def _put(
        self, file: Path, table: pl.DataFrame, names: pl.DataFrame, by_id: tuple[Array, Array], packed: UInt8Array,
        counters: dict[str, int], cleared: list[tuple[Int64Array, Int64Array]],
    ) -> None:  # fmt: skip
        """Put the listed calls of some rows of a file in their places."""
        ordered, order = by_id
        table = table.with_columns(pl.col("sample").cast(pl.String)).join(
            names, on="sample", how="inner", maintain_order="left"
        )
        ids = _whole(table["id"], "id", file, pl.UInt64).to_numpy()
        at = np.minimum(np.searchsorted(ordered, ids), ordered.size - 1)
        found = ordered[at] == ids
        table, rows = table.filter(found), order[at[found]].astype(np.int64)
        if not rows.size:
            return
        if not table["gt"].dtype.is_integer():
            raise InputError(f"{file}: the column gt holds no whole numbers ({table['gt'].dtype})")
        with reading_file(file):
            gt = table["gt"].cast(pl.Int64).fill_null(-1)
        codes = gt.to_numpy()
        columns = table["column"].to_numpy().astype(np.int64)
        polyploid, masked = codes > 2, codes < 0
        counters["polyploid_calls"] += int(polyploid.sum())
        masked |= polyploid
        for name, hidden in self._hidden(table, codes):
            counters[name] += int((hidden & ~masked).sum())
            masked |= hidden
        seen = ~masked
        wrong = put_calls(
            packed, np.ascontiguousarray(rows[seen]), np.ascontiguousarray(columns[seen]), codes[seen].astype(np.uint8)
        )
        if wrong:
            row = table.filter(seen).row(wrong - 1, named=True)
            raise RecordError(
                int(rows[seen][wrong - 1]),
                f"the sample {row['sample']} has two different calls of the variant {row['id']}, one in {file}",
            )
        if masked.any():
            cleared.append((rows[masked], columns[masked]))

    def _hidden(self, table: pl.DataFrame, codes: Array) -> Iterator[tuple[str, BoolArray]]:
        """Calls that a mask makes not observed; a call without the number is kept, as in VCF."""
        reading = self.reading
        for counter, name, least in (("masked_gq", "gq", reading.min_gq), ("masked_dp", "dp", reading.min_dp)):
            if least is not None:
                yield counter, (table[name] < least).fill_null(False).to_numpy()
        if reading.allele_balance is not None:
            low, high = reading.allele_balance
            reads = table.select(
                share=pl.when(pl.col("ad").list.sum() > 0).then(
                    pl.col("ad").list.get(1, null_on_oob=True) / pl.col("ad").list.sum()
                )
            )["share"]
            yield "masked_allele_balance", ~reads.is_between(low, high).fill_null(True).to_numpy() & (codes == 1)


def _rank(name: str, contigs: Contigs) -> tuple[int, int, str]:
    """Chromosomes by number, then X, Y, MT, then others by name."""
    meant = contigs.chromosomes.get(name) or ""
    if meant.isdigit():
        return 0, int(meant), name
    return (1, ("X", "Y", "MT").index(meant), name) if meant in ("X", "Y", "MT") else (2, 0, name)


def _whole(column: pl.Series, name: str, file: Path, dtype: "type[pl.UInt64 | pl.Int64]") -> pl.Series:
    """A column of whole numbers without missing ones."""
    if not column.dtype.is_integer() or column.null_count():
        raise InputError(f"{file}: the column {name} has missing values, or holds no whole numbers ({column.dtype})")
    with reading_file(file):
        return column.cast(dtype)


def _columns(variants: pl.DataFrame) -> VariantColumns:
    """The variants as a batch has them."""
    V = variants.height
    alt, ref = (TextColumn.of(variants[name].to_list()) for name in ("alt", "ref"))
    ids = TextColumn.of(["."] * V)
    return VariantColumns(
        ((variants["chr"][0], V),), variants["pos"].to_numpy().astype(np.int64), alt, ref, ids,
        np.arange(V, dtype=np.int64), np.ones(V, np.int32),
    )  # fmt: skip
