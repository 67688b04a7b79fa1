"""PLINK 2's PGEN with its .pvar and .psam as a `Source`, through Pgenlib: calls, and dosages in steps of 1/16384."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import NamedTuple, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from genassoc.data.block import DosageRows
from genassoc.errors import InputError, MissingExtraError
from genassoc.formats.plink.fileset import MAX_LINE_BYTES, Fileset, in_order
from genassoc.formats.plink.pgen_header import DOSAGES, MULTIALLELIC, read_header
from genassoc.formats.plink.variants import LineRun, VariantRun
from genassoc.formats.source import FileSource, Piece, Place, RecordError, Region, VariantBatch
from genassoc.kernels.genotypes.nearest_calls import hard_calls
from genassoc.kernels.genotypes.pgen import STEPS, dosage_steps, pack_copies
from genassoc.shapes import Float32Array, Int32Array, Int64Array, UInt8Array, UInt16Array, UInt32Array, packed_bytes

MOST_ALLELES = 255
READERS_BYTES = 2**28  # of all readers of a file together; one there is always
_BUFFER_BYTES = 2**20  # of what Pgenlib gives, before it is packed
_READER_SAMPLE, _READER_VARIANT = 150, 9  # bytes of memory of a reader of Pgenlib's


_WORD = 64  # samples


class Order(NamedTuple):
    """Where the samples of the store stand among those that are read (N,), and whether that is 0, 1, 2, ..."""

    columns: Int64Array
    as_read: bool


class Reader(Protocol):
    """What is asked of a reader of Pgenlib's."""

    def read_range(self, first: int, stop: int, copies: NDArray[np.int8], allele: int, /) -> None:
        """Copies of an allele of the variants from ``first`` to ``stop``; -9 where a call is missing."""

    def read_dosages_range(self, first: int, stop: int, dosages: Float32Array, allele: int, /) -> None:
        """Dosages of an allele; -9 where there is none."""

    def close(self) -> None:
        """Give back what it holds."""


def pgenlib_module() -> ModuleType:
    """Pgenlib; `MissingExtraError` where it is not installed."""
    try:
        import pgenlib
    except ImportError as error:
        raise MissingExtraError(
            "reading and writing PGEN needs Pgenlib, which is not installed: pip install 'genassoc[pgen]' (or Pgenlib)"
        ) from error
    return cast(ModuleType, pgenlib)


class PgenSource(FileSource):
    """A PGEN; see `genassoc.formats.source.Source` for its attributes.

    Parameters
    ----------
    path : Path
        The .pgen; .pvar, .pvar.zst or .bim, and .psam or .fam lie beside it.
    regions : list of Region
        Variants to keep; everything if empty.
    max_header_bytes : int
        The longest list of samples; and how much memory a reader of Pgenlib's may take.
    exact : bool
        Regions name contigs as the file does.
    reading : Reading

    Raises
    ------
    InputError
        A file is absent or malformed, or they do not fit one another.
    MissingExtraError
        Pgenlib is not installed.
    """

    kind = "PGEN"

    max_line_bytes = MAX_LINE_BYTES

    def _prepare(self, regions: list[Region], max_header_bytes: int, exact: bool) -> None:
        path, reading = self.path, self.reading
        pgenlib_module()
        if reading.dosage == "GP":
            raise InputError(
                f"{path}: a PGEN has dosages and no probabilities of genotypes (GP); convert the VCF or BGEN that it was made of, or "
                "read its dosages (--dosage DS)"
            )
        header = self._header = read_header(path, 4 * max_header_bytes)
        files = self._files = Fileset(
            path, (".pvar", ".pvar.zst", ".bim", ".bim.zst"), (".psam", ".fam"), reading, max_header_bytes
        )
        self.sample_ids, self.sexes, self.family_ids = files.sample_ids, files.sexes, files.family_ids
        self.companions = files.companions
        if len(self.sample_ids) != header.n_samples:
            raise InputError(
                f"{path}: has calls of {header.n_samples:,} samples, and {files.companions[1].name} names {len(self.sample_ids):,}; restore "
                "the files of one set"
            )
        self._offsets = self._survey(regions, exact)
        self.contigs, self.annotations = files.contigs, files.variants.annotations
        self.contig_lengths = files.variants.contig_lengths
        self.reference_words, self.info_source = files.variants.reference_words, files.variants.info_source
        self.subfields = files.variants.subfields
        self.has_dosages = header.has_dosages and reading.dosage != "GT"
        self.work = float(path.stat().st_size + files.companions[0].stat().st_size)
        self.notes = [*files.notes, *self._own_notes(), *files.x_note()]
        self._most_readers = max(1, min(READERS_BYTES, max_header_bytes) // self._reader_bytes())
        self._opened().close()  # what Pgenlib says against it is said at once

    def _survey(self, regions: list[Region], exact: bool) -> NDArray[np.uintp] | None:
        """Where each variant's alleles begin among all (V + 1,), as Pgenlib wants it; None if each has two."""
        header, at = self._header, 0
        counts = np.full(header.n_variants, 2, dtype=np.uint8)

        def see(found: VariantRun) -> None:
            nonlocal at
            if at + found.n_lines <= counts.size:
                if found.n_lines and found.alleles.max() > MOST_ALLELES:
                    raise InputError(
                        f"{self._files.variants.path}: has a variant of more than {MOST_ALLELES} alleles, which Pgenlib does not read; "
                        "leave it out"
                    )
                counts[at : at + found.n_lines] = found.alleles
            at += found.n_lines

        self._files.survey(regions, exact=exact, see=see)
        if at != header.n_variants:
            raise InputError(
                f"{self.path}: has calls of {header.n_variants:,} variants, and {self._files.variants.path.name} names {at:,}; restore the "
                "files of one set"
            )
        many = (header.types & MULTIALLELIC) > 0
        bad = np.flatnonzero(many & (counts == 2))
        if bad.size:
            raise InputError(
                f"{self._files.variants.path}:{self._files.line(int(bad[0]))}: has one ALT, and {self.path.name} has calls of several there; "
                "restore the files of one set"
            )
        if int(counts.max()) == 2 and not header.counts_alleles:
            return None
        offsets = np.zeros(counts.size + 1, dtype=np.uintp)
        np.cumsum(counts, out=offsets[1:])
        return offsets

    def _reader_bytes(self) -> int:
        offsets = 0 if self._offsets is None else 8
        header = self._header
        return (_READER_VARIANT + offsets) * header.n_variants + _READER_SAMPLE * header.n_samples + header.longest

    def _own_notes(self) -> list[str]:
        name, header, variants = self.path.name, self._header, self._files.variants
        notes = []
        if variants.is_bim:
            first = "A1" if self.reading.reference == "first" else "A2"
            notes.append(f"{name}: {variants.path.name} does not say which allele is REF: {first} is taken for it")
        elif header.provisional in (2, 3):
            which = "all" if header.provisional == 2 else "some"
            notes.append(
                f"{name}: {which} REF alleles are provisional (made of PLINK 1 files); they are taken as they stand"
            )
        if header.is_phased:
            notes.append(f"{name}: has phased calls; phase is not kept")
        if header.has_dosages and self.reading.dosage == "GT":
            notes.append(f"{name}: has dosages, which are not read (--dosage GT)")
        if not header.has_dosages and self.reading.dosage in ("DS", "HDS"):
            notes.append(f"{name}: has calls only; there are no dosages in it")
        if self.reading.pass_only and variants.layout.filter < 0:
            notes.append(f"{name}: {variants.path.name} has no FILTER: all variants are kept")
        return notes

    def first_contig(self) -> str | None:
        """Contig of the first variant."""
        return self._files.first_contig

    def locate(self, line: int) -> str:
        """Which variant it is, and its line of the .pvar."""
        return self._files.locate(line)

    def _opened(self, subset: UInt32Array | None = None) -> Reader:
        """A reader of Pgenlib's; of some samples."""
        try:
            made: Reader = pgenlib_module().PgenReader(
                str(self.path).encode(), raw_sample_ct=self._header.n_samples, variant_ct=self._header.n_variants,
                sample_subset=subset, allele_idx_offsets=self._offsets,
            )  # fmt: skip
        except (RuntimeError, MemoryError, ValueError, AssertionError) as error:
            raise InputError(f"{self.path}: Pgenlib cannot read it: {_reason(error)}") from error
        return made

    def pieces(self, columns: Int64Array, start: Place | None) -> Iterator[Piece]:
        """Runs of variants; see `Source.pieces`."""
        n_file = len(self.sample_ids)
        sorted_columns = np.sort(np.asarray(columns, dtype=np.int64))
        subset = None if sorted_columns.size == n_file else sorted_columns.astype(np.uint32)
        ranks = np.searchsorted(sorted_columns, columns).astype(np.int64)
        order = Order(ranks, in_order(ranks, ranks.size))
        readers = Readers(partial(self._opened, subset), self._most_readers)
        row_bytes = packed_bytes(ranks.size) + (2 * ranks.size if self.has_dosages else 0)
        work = self.path.stat().st_size / self._header.n_variants
        return self._files.pieces(row_bytes, work, start, partial(self._decode, readers, order))

    def _decode(self, readers: "Readers", order: Order, run: LineRun) -> VariantBatch:
        found, place = self._files.batch(run)
        N, V = order.columns.size, len(found.columns)
        packed = np.empty((V, packed_bytes(N)), dtype=np.uint8)
        steps = np.zeros(V, dtype=np.uint16)
        if self.has_dosages:
            steps[(self._header.types[run.first + found.lines] & DOSAGES) > 0] = STEPS
            several = np.flatnonzero((steps > 0) & (found.alleles[found.lines] > 2))
            if several.size:
                raise RecordError(
                    int(found.lines[several[0]]),
                    "dosages of several ALT alleles, which Pgenlib does not read; read the calls (--dosage GT)",
                )
        which = np.flatnonzero(steps)
        values = np.empty((which.size, N), dtype=np.uint16)
        if V:
            with readers.one() as reader:
                for first, stop in _stretches(found.lines, found.columns.alt_index, steps):
                    at = run.first + int(found.lines[first])
                    allele = int(found.columns.alt_index[first])
                    rows = slice(first, stop)
                    if steps[first]:
                        done = int(np.searchsorted(which, first))
                        self._dosages(
                            reader, at, allele, order, values[done : done + stop - first], int(found.lines[first])
                        )
                    else:
                        self._calls(reader, at, allele, order, packed[rows], int(found.lines[first]))
        dosages = None
        if which.size:
            of_dosages = np.empty((which.size, packed.shape[1]), dtype=np.uint8)
            hard_calls(values, steps[which], of_dosages)
            packed[which] = of_dosages
            dosages = DosageRows(steps, values)
        return found.batch(packed, place, dosages)

    def _calls(self, reader: Reader, at: int, allele: int, order: Order, packed: UInt8Array, line: int) -> None:
        """Calls of the variants from ``at`` on, one a row of ``packed``."""
        N = order.columns.size
        step = max(1, _BUFFER_BYTES // N)
        for first in range(0, len(packed), step):
            n = min(step, len(packed) - first)
            copies = np.empty((n, 4 * packed.shape[1]), dtype=np.int8)
            copies[:, N:] = 3
            _ask(partial(reader.read_range, at + first, at + first + n, copies, allele), line + first)
            pack_copies(copies, order.columns, order.as_read, packed[first : first + n])

    def _dosages(self, reader: Reader, at: int, allele: int, order: Order, values: UInt16Array, line: int) -> None:
        """Dosages of the variants from ``at`` on, one a row of ``values``."""
        N = order.columns.size
        step = max(1, _BUFFER_BYTES // (4 * (N + -N % _WORD)))
        for first in range(0, len(values), step):
            n = min(step, len(values) - first)
            # Pgenlib writes to the end of a word of 64 samples where a damaged record has bits there.
            dosages = np.empty((n, N + -N % _WORD), dtype=np.float32)
            _ask(partial(reader.read_dosages_range, at + first, at + first + n, dosages, allele), line + first)
            if dosage_steps(dosages, order.columns, order.as_read, values[first : first + n]):
                raise RecordError(line + first, "a dosage is not between 0 and 2; the file is damaged")


def _ask(read: Callable[[], None], line: int) -> None:
    """Let Pgenlib read; its complaints as `RecordError`."""
    try:
        read()
    except (RuntimeError, ValueError, MemoryError) as error:
        raise RecordError(line, f"Pgenlib cannot read it ({_reason(error)}); the file is damaged") from error


def _stretches(lines: Int64Array, alt_index: Int32Array, steps: UInt16Array) -> list[tuple[int, int]]:
    """Runs of rows (first, stop) that are read at once: variants one after another, the same ALT, all calls or all dosages."""
    with_next = (np.diff(lines) == 1) & (np.diff(alt_index) == 0) & (np.diff(steps.astype(np.int64)) == 0)
    cuts = np.flatnonzero(~with_next) + 1
    return list(zip([0, *cuts.tolist()], [*cuts.tolist(), lines.size]))


def _reason(error: BaseException) -> str:
    text = error.args[0] if error.args else type(error).__name__
    text = text.decode("utf-8", "replace") if isinstance(text, bytes) else str(text)
    return " ".join(text.split()) or type(error).__name__


class Readers:
    """Readers of one file, of which one is used by one thread at a time; made when they are needed.

    Parameters
    ----------
    open_one : callable
        Makes a reader.
    most : int
        That there are at once.
    """

    def __init__(self, open_one: Callable[[], Reader], most: int) -> None:
        self._open = open_one
        self._places = threading.BoundedSemaphore(most)
        self._free: list[Reader] = []

    @contextmanager
    def one(self) -> Iterator[Reader]:
        """A reader that nobody else uses; waits for one if there are as many as may be."""
        with self._places:
            try:
                reader = self._free.pop()
            except IndexError:
                reader = self._open()
            try:
                yield reader
            finally:
                self._free.append(reader)
