"""The contract of an input format with the conversion.

A `Source` is one file. It yields `Piece` objects in the order of the file; ``decode`` of a piece, which any thread may run,
gives its `VariantBatch` and the `Place` from which that can be read again. So reading is sequential, inflating and scanning are
parallel, writing is ordered, and a conversion resumes at any piece.
"""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, Protocol

from genassoc.data.block import DosageRows
from genassoc.data.cohort.builds import Build, detected
from genassoc.data.cohort.contigs import Contigs
from genassoc.data.store.variant_columns import VariantColumns
from genassoc.errors import InputError
from genassoc.formats.reading import AS_IT_IS, Reading
from genassoc.shapes import Int64Array, UInt8Array

if TYPE_CHECKING:
    import polars as pl

MAX_HEADER_BYTES = 2**28
MAX_LINE_BYTES = 2**29  # half a million samples with a thousand bytes each; no VCF has more
FINGERPRINT_BYTES = 2**20  # of a stretch
FINGERPRINT_STRETCHES = 64


class Place(NamedTuple):
    """Where a piece begins.

    Attributes
    ----------
    section : int
        Number of the stretch of the file (regions cut a file into several); 0 otherwise.
    address : int
        What the format can jump to: a byte offset, a virtual offset, a count of records.
    skip : int
        Bytes of text to drop from there.
    more : tuple of int
        Places in files that are read at the same time.
    """

    section: int = 0
    address: int = 0
    skip: int = 0
    more: tuple[int, ...] = ()


BEGINNING = Place()


class RecordError(Exception):
    """A record of a piece is malformed. The conversion adds the file and the line.

    Parameters
    ----------
    line : int
        Lines (records) of the piece before the bad one.
    message : str
        What is wrong with it.
    """

    def __init__(self, line: int, message: str) -> None:
        super().__init__(message)
        self.line = line
        self.message = message


@dataclass(frozen=True)
class VariantBatch:
    """Rows of the store, one an ALT.

    Attributes
    ----------
    packed : uint8 (V, B)
        Two-bit calls in the store's sample order.
    haploid : uint8 (V, ceil(N / 8)) or None
        Bits of haploid calls, and of half calls on X, Y and MT (whose code is 3); None where there are none.
    columns : VariantColumns
        What the V variants are; ``record`` counts from 0 in the batch.
    counters : dict
        ``records`` read and what happened to them.
    lines : int
        Lines (records) that were read.
    half_calls : dict
        Contig -> calls of which one allele of two is missing. On X, Y and MT they are marked as haploid calls are.
    place : Place
        From where the rows are read again.
    dosages : DosageRows or None
        Dosages of those rows that have some; None where none has. Their ``packed`` calls are the dosages' nearest copies
        where these are within a tenth of one, as in PLINK 2, else not observed
        (`genassoc.kernels.genotypes.nearest_calls.hard_calls`).
    filters, left_out : dict
        FILTER -> records of the rows; records that were left out for it.
    annotated : dict
        Annotation -> rows that have a value.
    """

    packed: UInt8Array
    haploid: UInt8Array | None
    columns: VariantColumns
    counters: dict[str, int] = field(default_factory=dict)
    lines: int = 0
    half_calls: dict[str, int] = field(default_factory=dict)
    place: Place = BEGINNING
    dosages: DosageRows | None = None
    _: KW_ONLY
    filters: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)
    annotated: dict[str, int] = field(default_factory=dict)

    @property
    def variants(self) -> "pl.DataFrame":
        """V rows in the columns of `GenotypeStore.variants`."""
        return self.columns.frame()


def added(*counts: Mapping[str, int]) -> dict[str, int]:
    """The sum of counts by name."""
    total: dict[str, int] = {}
    for more in counts:
        for name, n in more.items():
            total[name] = total.get(name, 0) + n
    return total


@dataclass(frozen=True)
class Piece:
    """A piece of a source. Pieces are decoded in their order, by as many threads as there are.

    Attributes
    ----------
    work : float
        Bytes of the file that it stands for (progress).
    memory : int
        Bytes it holds until it is decoded (back-pressure).
    decode : callable
        Gives the `VariantBatch`; thread-safe; raises `RecordError`.
    """

    work: float
    memory: int
    decode: Callable[[], VariantBatch]


class Source(Protocol):
    """One input file.

    Attributes
    ----------
    path : Path
        The file.
    kind : str
        "VCF", "VCF.gz (BGZF)", "VCF.gz (gzip)", "BCF", "BED", "PGEN", "BGEN", ...
    sample_ids : tuple of str
        In the file's order.
    contigs : tuple of str
        Those that the header or the index names; may be empty.
    contigs_complete : bool
        Whether records can lie on no other contig.
    work : float
        Bytes to be read (progress).
    notes : list of str
        What the summary should say about how the file was read.
    max_line_bytes : int
        A record of more text is refused; a conversion with a cap sets it.
    has_dosages : bool
        Whether rows may have dosages (its header, its flags or its first records say so).
    has_probabilities : bool
        Whether they may have probabilities of genotypes too.
    annotations : tuple of str
        Columns of text that its rows have beside the usual ones (`VariantColumns.annotations`), in their order.
    contig_lengths : mapping
        Contig -> its bases, where the file tells.
    reference_words : str
        What it says of its reference, which may tell the build.
    info_source : str
        The INFO field that ``info_source`` is taken from; "" without one.
    subfields : mapping
        Annotation -> the parts of its values ("Allele|Consequence|..."), where the header tells.
    companions : tuple of Path
        Files beside it that belong to it.
    family_ids : tuple of str
        Of its samples; empty where it has none.
    """

    path: Path
    kind: str
    sample_ids: tuple[str, ...]
    contigs: tuple[str, ...]
    contigs_complete: bool
    work: float
    notes: list[str]
    max_line_bytes: int
    has_dosages: bool
    has_probabilities: bool
    annotations: tuple[str, ...]
    contig_lengths: Mapping[str, int]
    reference_words: str
    info_source: str
    subfields: Mapping[str, str]
    companions: tuple[Path, ...]
    family_ids: tuple[str, ...]

    def first_contig(self) -> str | None:
        """Contig of the first record, where it is cheap to know."""
        ...

    def first_site(self) -> tuple[str, int] | None:
        """Contig and position of the first record, as far as it is cheap to know (else 0)."""
        ...

    def pieces(self, columns: Int64Array, start: Place | None) -> Iterator[Piece]:
        """Pieces from ``start`` on; ``columns`` (N,) is the file's column of each sample of the store."""
        ...

    def locate(self, line: int) -> str:
        """How a message names a record after ``line`` lines (records) of the file's body."""
        ...


class SourceFacts:
    """What is so of a `Source` that says nothing else."""

    contigs_complete: bool = True
    has_dosages: bool = False
    has_probabilities: bool = False
    annotations: tuple[str, ...] = ()
    contig_lengths: Mapping[str, int] = MappingProxyType({})
    reference_words: str = ""
    info_source: str = ""
    subfields: Mapping[str, str] = MappingProxyType({})
    companions: tuple[Path, ...] = ()
    family_ids: tuple[str, ...] = ()

    def first_contig(self) -> str | None:
        """Contig of the first record: not known."""
        return None

    def first_site(self) -> tuple[str, int] | None:
        """Contig of the first record, and 0."""
        contig = self.first_contig()
        return None if contig is None else (contig, 0)


class FileSource(SourceFacts, ABC):
    """One file as a `Source`: what all formats begin with. Each says in `_prepare` what its files hold.

    Parameters
    ----------
    path : Path
        The file.
    regions : list of Region
        Records to keep, by their position; everything if empty.
    max_header_bytes : int
        A longer header, or list of samples, is refused.
    exact : bool
        Regions name contigs as the file does; otherwise they ask for chromosomes, however called.
    reading : Reading
        What is read.

    Raises
    ------
    InputError
        It is no such file, or is damaged.
    """

    kind: str
    sample_ids: tuple[str, ...]
    contigs: tuple[str, ...]
    work: float
    max_line_bytes: int = MAX_LINE_BYTES

    def __init__(
        self,
        path: Path,
        regions: "list[Region]",
        max_header_bytes: int = MAX_HEADER_BYTES,
        *,
        exact: bool = False,
        reading: Reading = AS_IT_IS,
    ) -> None:
        self.path, self.reading = path, reading
        self.notes: list[str] = []
        self._prepare(regions, max_header_bytes, exact)

    @abstractmethod
    def _prepare(self, regions: "list[Region]", max_header_bytes: int, exact: bool) -> None:
        """Read what is before the records, and find the regions."""


def build_of_source(source: Source) -> tuple[Build | None, list[str]]:
    """The genome build that a file tells, and notes on it."""
    return detected(source.contig_lengths, source.contigs, source.reference_words)


class Region(NamedTuple):
    """Records of ``contig`` with ``first <= POS <= last`` (1-based)."""

    contig: str
    first: int
    last: int


LAST_POSITION = 2**53  # beyond any POS


def parse_region(text: str) -> Region:
    """Read ``chr``, ``chr:a``, ``chr:a-`` or ``chr:a-b`` (commas in numbers allowed); `InputError` otherwise."""
    contig, colon, bounds = text.strip().rpartition(":")
    digits = bounds.replace(",", "")
    first, dash, last = digits.partition("-")
    if colon and contig and first.isdigit() and (last.isdigit() or not last):
        # chr:a is one position, as in tabix and bcftools; chr:a- runs to the end
        end = int(last) if last else (LAST_POSITION if dash else int(first))
        if int(first) > end:
            raise InputError(f"region '{text}' ends before it begins; write contig:first-last, 1-based, both included")
        return Region(contig, int(first), end)
    if not text.strip() or text != text.strip() or (colon and not any(c.isalpha() for c in bounds)):
        raise InputError(f"region '{text}' cannot be read; write contig or contig:first-last, 1-based, both included")
    return Region(text, 0, LAST_POSITION)


def spelled_as(regions: list[Region], contigs: Sequence[str], notes: list[str]) -> list[Region]:
    """The regions with contigs named as in a file; contigs found under another name are noted."""
    if not regions or not contigs:
        return regions
    renamed = []
    known = Contigs.of(contigs)
    notes += known.apart(region.contig for region in regions)
    for region in regions:
        names = known.same(region.contig) or [region.contig]
        renamed += [Region(name, region.first, region.last) for name in names]
        others = [name for name in names if name != region.contig]
        if others:
            notes.append(
                f"region on {region.contig}: taken as {' and '.join(others)}, another name of the same chromosome"
            )
    return merge_regions(renamed)


def merge_regions(regions: list[Region]) -> list[Region]:
    """The same records in disjoint regions: contigs in the order given, sorted within."""
    order = {name: rank for rank, name in reversed(list(enumerate(r.contig for r in regions)))}
    merged: list[Region] = []
    for region in sorted(regions, key=lambda r: (order[r.contig], r.first, r.last)):
        if merged and merged[-1].contig == region.contig and region.first <= merged[-1].last + 1:
            merged[-1] = Region(region.contig, merged[-1].first, max(merged[-1].last, region.last))
        else:
            merged.append(region)
    return merged


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    return sum(size for _, size in files_in(path)) if path.is_dir() else path.stat().st_size


def files_in(path: Path) -> list[tuple[str, int]]:
    """Name and size of all files of a folder, in order; links are not followed."""
    found = []
    for parent, folders, names in os.walk(path, followlinks=False):
        folders.sort()
        for name in sorted(names):
            file = Path(parent) / name
            found.append((file.relative_to(path).as_posix(), file.lstat().st_size))
    return found


def fingerprint(path: Path) -> str:
    """A cheap hash of a file: its size and its bytes, of a large one those of 64 stretches (not its name, not its time).

    Reading a biobank's file whole only to hash it would double the conversion; edits between the stretches that keep the
    length are therefore not seen. A file of up to 64 MB is read whole. Of a folder: the names and sizes of all files, and the
    beginnings of as many as make 64 MB, evenly chosen.
    """
    if path.is_dir():
        return _fingerprint_of_folder(path)
    size = path.stat().st_size
    digest = hashlib.sha256(str(size).encode())
    step = max(FINGERPRINT_BYTES, (size - FINGERPRINT_BYTES) / (FINGERPRINT_STRETCHES - 1))
    with path.open("rb") as file:
        for number in range(FINGERPRINT_STRETCHES):
            file.seek(int(number * step))
            digest.update(file.read(FINGERPRINT_BYTES))
    return digest.hexdigest()[:32]


def _fingerprint_of_folder(path: Path) -> str:
    files = files_in(path)
    digest = hashlib.sha256("".join(f"{name}\n{size}\n" for name, size in files).encode("utf-8", "surrogateescape"))
    each = 2**14
    step = max(1, len(files) * each // (FINGERPRINT_BYTES * FINGERPRINT_STRETCHES))
    for name, _ in files[::step]:
        file = path / name
        if file.is_file() and not file.is_symlink():  # a pipe would be waited for
            with file.open("rb") as content:
                digest.update(content.read(each))
    return digest.hexdigest()[:32]
