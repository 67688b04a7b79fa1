"""PLINK 1's BED with its .bim and .fam as a `Source`: two bits a call are recoded to our two bits."""

from collections.abc import Iterator
from functools import partial

import numpy as np

from genassoc.errors import InputError
from genassoc.formats.plink.fileset import MAX_LINE_BYTES, Fileset, in_order
from genassoc.formats.plink.variants import LineRun
from genassoc.formats.source import FileSource, Piece, Place, Region, VariantBatch
from genassoc.kernels.genotypes.bed import from_bed
from genassoc.shapes import Int64Array, UInt8Array, packed_bytes

MAGIC = b"\x6c\x1b\x01"
SAMPLE_MAJOR = b"\x6c\x1b\x00"


class BedSource(FileSource):
    """A BED; see `genassoc.formats.source.Source` for its attributes.

    PLINK 1 does not say which allele is REF. A2, the second of a .bim, is taken for REF, as ``plink2 --bfile`` does, unless
    ``reading.reference`` is "first".

    Parameters
    ----------
    path : Path
        The .bed; .bim and .fam lie beside it.
    regions : list of Region
        Variants to keep; everything if empty.
    max_header_bytes : int
        The longest .fam.
    exact : bool
        Regions name contigs as the file does.
    reading : Reading

    Raises
    ------
    InputError
        A file is absent or malformed, or their sizes do not fit one another.
    """

    kind = "BED"

    max_line_bytes = MAX_LINE_BYTES

    def _prepare(self, regions: list[Region], max_header_bytes: int, exact: bool) -> None:
        path, reading = self.path, self.reading
        with path.open("rb") as file:
            head = file.read(len(MAGIC))
        if head == SAMPLE_MAJOR:
            raise InputError(
                f"{path}: is a BED in the old order (all variants of a sample together), which is not read; write it again with "
                f"plink1.9 --bfile {path.with_suffix('')} --make-bed"
            )
        files = self._files = Fileset(path, (".bim", ".bim.zst"), (".fam",), reading, max_header_bytes)
        self.sample_ids, self.sexes, self.family_ids = files.sample_ids, files.sexes, files.family_ids
        self.companions = files.companions
        self._row_bytes = (len(self.sample_ids) + 3) // 4
        files.survey(regions, exact=exact)
        self._require_size()
        self.contigs = files.contigs
        self.annotations = files.variants.annotations
        self.work = float(path.stat().st_size + files.companions[0].stat().st_size)
        self.ref_is_first = files.variants.is_bim and reading.reference == "first"
        first, second = ("A1", "A2") if self.ref_is_first else ("A2", "A1")
        self.notes = [
            f"{path.name}: PLINK 1 does not say which allele is REF: {first} is taken for it, {second} for ALT"
            + ("" if self.ref_is_first else ", as plink2 --bfile does"),
            *files.notes,
            *files.x_note(),
        ]
        if reading.dosage not in (None, "GT"):
            self.notes.append(f"{path.name}: has calls only; there is no {reading.dosage} in a BED")
        if reading.pass_only and not self.annotations:
            self.notes.append(f"{path.name}: has no FILTER: all variants are kept")

    def _require_size(self) -> None:
        """The file must hold the calls of all variants and samples, and nothing else."""
        size, files = self.path.stat().st_size, self._files
        expected = len(MAGIC) + files.n_variants * self._row_bytes
        if size != expected:
            fault = "cut" if size < expected else "of other files"
            raise InputError(
                f"{self.path}: has {size:,} bytes where {files.n_variants:,} variants ({files.variants.path.name}) of "
                f"{len(self.sample_ids):,} samples ({files.companions[1].name}) take {expected:,}: it is {fault}; restore the three files "
                "together"
            )

    def first_contig(self) -> str | None:
        """Contig of the first variant."""
        return self._files.first_contig

    def locate(self, line: int) -> str:
        """Which variant it is, and its line of the .bim."""
        return self._files.locate(line)

    def pieces(self, columns: Int64Array, start: Place | None) -> Iterator[Piece]:
        """Runs of variants; see `Source.pieces`."""
        columns = np.ascontiguousarray(columns, dtype=np.int64)
        row_bytes = self._row_bytes + packed_bytes(columns.size)
        return self._files.pieces(row_bytes, self._row_bytes, start, partial(self._decode, columns))

    def _decode(self, columns: Int64Array, run: LineRun) -> VariantBatch:
        found, place = self._files.batch(run)
        packed = np.empty((len(found.columns), packed_bytes(columns.size)), dtype=np.uint8)
        if len(packed):
            whole = in_order(columns, len(self.sample_ids))
            rows = self._read(run.first, run.n, found.lines)
            from_bed(rows, columns, whole, self.ref_is_first, packed)
        return found.batch(packed, place)

    def _read(self, first: int, n: int, lines: Int64Array) -> UInt8Array:
        """The rows ``lines`` of the n variants from ``first`` on."""
        begin, stop = int(lines[0]), int(lines[-1]) + 1
        rows = np.empty((stop - begin, self._row_bytes), dtype=np.uint8)
        try:
            with self.path.open("rb", buffering=0) as file:
                file.seek(len(MAGIC) + (first + begin) * self._row_bytes)
                view, done = memoryview(rows.data).cast("B"), 0
                while done < len(view):
                    got = file.readinto(view[done:])
                    if not got:
                        raise InputError(
                            f"{self.path}: ends before variant {first + stop:,}; it has changed while it was read"
                        )
                    done += got
        except OSError as error:
            raise InputError(f"{self.path}: cannot be read: {error.strerror or error}") from error
        return rows if rows.shape[0] == lines.size else np.ascontiguousarray(rows[lines - begin])
