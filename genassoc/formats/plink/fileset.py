"""What a BED and a PGEN have in common as a `Source`: two lists beside them, variants in the order of one, regions, places."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from genassoc.data.cohort.contigs import chromosome_of
from genassoc.errors import InputError
from genassoc.formats.plink.samples import read_samples
from genassoc.formats.plink.variants import LineRun, VariantList, VariantRun, beside
from genassoc.formats.reading import Reading
from genassoc.formats.source import Piece, Place, RecordError, Region, VariantBatch, spelled_as
from genassoc.shapes import Int64Array

MAX_LINE_BYTES = 2**26  # of a list of variants
PIECE_BYTES = 2**22  # of calls and dosages that are decoded at a time
MOST_LINES = 2**14  # of a piece
ROW_BYTES = 300  # of memory a variant beside its calls


class Fileset:
    """The files that describe a BED or a PGEN.

    Parameters
    ----------
    path : Path
        The .bed or .pgen.
    variants, samples : sequence of str
        Suffixes that the lists may have, in the order in which they are looked for.
    reading : Reading
    max_header_bytes : int
        The longest list of samples.

    Attributes
    ----------
    variants : VariantList
    sample_ids : tuple of str
    sexes, family_ids : tuples
        As of `genassoc.formats.plink.samples.SampleList`.
    notes : list of str
    companions : tuple of Path
        The two lists.
    n_variants : int
        Lines of the list of variants, after `survey`.
    """

    def __init__(
        self, path: Path, variants: Sequence[str], samples: Sequence[str], reading: Reading, max_header_bytes: int
    ) -> None:
        _refuse_masks(path, reading)
        self.path = path
        sample_path = beside(path, samples, "list of samples")
        variant_path = beside(path, variants, "list of variants")
        self.companions = (variant_path, sample_path)
        self.reading = reading
        named = read_samples(sample_path, max_header_bytes)
        self.sample_ids, self.sexes, self.family_ids = named.sample_ids, named.sexes, named.family_ids
        self.variants = VariantList(variant_path, reading, ref_is_first=reading.reference == "first")
        self.notes = [*named.notes, *self.variants.notes]
        self.n_variants = 0
        self.regions: list[Region] = []

    def survey(self, regions: list[Region], *, exact: bool, see: Callable[[VariantRun], None] | None = None) -> None:
        """Read the list of variants once: how many there are, on which contigs; what is malformed is found before hours of work.

        Parameters
        ----------
        regions : list of Region
            As asked for; `regions` names the contigs as the file does.
        exact : bool
            They do already.
        see : callable, optional
            Is shown each run of lines.
        """
        contigs = dict.fromkeys(self.variants.contigs)
        self.first_contig: str | None = None
        no_reference = n = 0
        for run in self.variants.runs(MOST_LINES):
            try:
                found = self.variants.scanned(run)
            except RecordError as error:
                raise InputError(f"{self.variants.path}:{self.line(n + error.line)}: {error.message}") from None
            contigs |= dict.fromkeys(name for name, _ in found.columns.contigs)
            if self.first_contig is None and found.columns.contigs:
                self.first_contig = found.columns.contigs[0][0]
            no_reference += found.no_reference
            n += run.n
            if see is not None:
                see(found)
        if no_reference:
            self.notes.append(
                f"{self.variants.path.name}: {no_reference:,} variants have no REF allele; it is written N"
            )
        self.n_variants = n
        self.contigs = tuple(contigs)
        self.regions = regions if exact else spelled_as(regions, self.contigs, self.notes)

    def line(self, variant: int) -> int:
        """The line of the list that variant ``variant`` (from 0) stands in."""
        return self.variants.n_header_lines + variant + 1

    def locate(self, line: int) -> str:
        """How a message names a variant."""
        return f": variant {line + 1:,} ({self.variants.path.name}:{self.line(line)})"

    def pieces(
        self, row_bytes: float, work: float, start: Place | None, decode: Callable[[LineRun], VariantBatch]
    ) -> Iterator[Piece]:
        """Pieces of about `PIECE_BYTES` of rows of ``row_bytes``, each of ``work`` bytes of the file a variant.

        A `Place` is the offset in the list of variants, and the number of variants before it.
        """
        most = int(max(1, min(MOST_LINES, PIECE_BYTES // max(1.0, row_bytes))))
        begin = None if start is None else (start.address, start.skip)
        for run in self.variants.runs(most, begin):
            memory = len(run.text) + int(run.n * (row_bytes + ROW_BYTES))
            yield Piece(len(run.text) + run.n * work, memory, partial(decode, run))

    def batch(self, run: LineRun) -> tuple[VariantRun, Place]:
        """The variants of a run in the regions, and its place."""
        return self.variants.scanned(run, self.regions), Place(0, run.offset, run.first)

    def x_note(self) -> list[str]:
        """What to say of calls of males on X, Y and MT, which PLINK writes with two alleles."""
        names = [name for name in self.contigs if chromosome_of(name) in ("X", "Y", "MT")]
        if not names:
            return []
        return [
            f"{self.path.name}: calls on {', '.join(names[:4])} have two alleles whoever has one: state the sexes (sex=), and "
            "heterozygous calls of one copy are not observed"
        ]


def _refuse_masks(path: Path, reading: Reading) -> None:
    asked = [
        option
        for option, value in (
            ("--min-gq", reading.min_gq), ("--min-dp", reading.min_dp), ("allele_balance", reading.allele_balance)
        )
        if value is not None
    ]  # fmt: skip
    if asked:
        raise InputError(
            f"{path}: has no qualities and no depths of calls, so {' and '.join(asked)} cannot be applied; leave it out, or convert the "
            "VCF that the file was made of"
        )


def in_order(columns: Int64Array, n_file: int) -> bool:
    """Whether all samples of a file are kept, in its order."""
    return columns.size == n_file and bool((columns == np.arange(n_file)).all())
