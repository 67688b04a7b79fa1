"""Reference sequences (FASTA with its .fai): whether REF is theirs, and indels as far left as they go.

Left alignment and trimming are those of Tan, Abecasis & Kang 2015 (Bioinformatics 31: 2202), as in ``bcftools norm``: an
allele has no common end, then no common beginning beyond one base, and an indel lies as far left as its sequence repeats.
"""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from genassoc.data.cohort.builds import Build, detected
from genassoc.data.cohort.contigs import XY, Contigs, X, chromosome_of
from genassoc.data.store.variant_columns import TextColumn, VariantColumns
from genassoc.errors import InputError
from genassoc.shapes import Int64Array

if TYPE_CHECKING:
    from pysam import FastaFile

WINDOW = 2**22  # bases read at a time
_STEP = 1024  # bases read to the left of an indel at first
MOST_SHIFT = 2**20  # bases that an indel is moved at most; no repeat is longer but those of centromeres
_BASES = frozenset("ACGT")
_FAILURES = (OSError, ValueError, KeyError, IndexError, MemoryError, OverflowError)
NAMES = ("reference_checked", "reference_mismatch", "reference_exchanged", "reference_unknown", "moved_left", "trimmed")


class Mismatch(NamedTuple):
    """A REF that is not the reference's, for a message."""

    contig: str
    position: int
    ref: str
    there: str


class Reference:
    """A FASTA file; any thread may use it.

    Parameters
    ----------
    path : Path
        The file, compressed by bgzip or not, with its .fai beside it (and .gzi).

    Raises
    ------
    InputError
        It cannot be opened, or has no index.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise InputError(f"{path}: no such file of reference sequences")
        # pysam would write an index beside the file, which may take minutes and be forbidden there
        if not Path(f"{path}.fai").exists():
            raise InputError(f"{path}: has no index; make one: samtools faidx {path}")
        self._threads = threading.local()
        file = self._open()
        self._lengths: dict[str, int] = dict(zip(file.references, file.lengths))
        self._contigs = Contigs.of(self._lengths)
        self._names: dict[str, str | None] = {}

    def _open(self) -> "FastaFile":
        """The file as this thread reads it."""
        import pysam

        file: FastaFile | None = getattr(self._threads, "file", None)
        if file is None:
            before = pysam.set_verbosity(0)
            try:
                file = self._threads.file = pysam.FastaFile(str(self.path))
            except _FAILURES as error:
                raise InputError(f"{self.path}: cannot be read as FASTA with an index: {error}") from error
            finally:
                pysam.set_verbosity(before)
        return file

    @property
    def build(self) -> Build | None:
        """The genome build that its lengths tell."""
        return detected(self._lengths)[0]

    def name_of(self, contig: str) -> str | None:
        """What this file calls a contig; None where it has none. The pseudo-autosomal part of X is on X."""
        if contig not in self._names:
            wanted = X if chromosome_of(contig) == XY else contig
            names = [contig] if contig in self._lengths else self._contigs.same(wanted)
            self._names[contig] = names[0] if names else None
        return self._names[contig]

    def bases(self, name: str, start: int, stop: int) -> bytes:
        """Bases of a sequence from ``start`` to ``stop`` (from 0), in capitals; fewer at its end."""
        start = max(start, 0)
        stop = min(stop, self._lengths[name])
        if start >= stop:
            return b""
        try:
            text: str = self._open().fetch(name, start, stop)
        except _FAILURES as error:
            raise InputError(f"{self.path}: {name}:{start + 1}-{stop} cannot be read: {error}") from error
        if len(text) != stop - start:
            raise InputError(f"{self.path}: {name} is shorter than its index says; index it anew (samtools faidx)")
        return text.upper().encode("ascii", "replace")

    def aligned(self, columns: VariantColumns) -> tuple[VariantColumns, dict[str, int], list[Mismatch]]:
        """Variants checked, and left-aligned where their REF is the reference's; counts by `NAMES`; some mismatches."""
        counts = dict.fromkeys(NAMES, 0)
        mismatches: list[Mismatch] = []
        alts, refs = columns.effect_allele.texts(), columns.other_allele.texts()
        positions = columns.positions.copy()
        changed = False
        begin = 0
        for contig, length in columns.contigs:
            rows = range(begin, begin + length)
            begin += length
            name = self.name_of(contig)
            if name is None:
                counts["reference_unknown"] += length
                continue
            for row, there in self._there(name, positions, refs, rows):
                ref, alt = refs[row].upper(), alts[row].upper()
                if there is None or not ref.isalpha():
                    counts["reference_unknown"] += 1
                    continue
                counts["reference_checked"] += 1
                if not _same(ref, there):
                    counts["reference_mismatch"] += 1
                    counts["reference_exchanged"] += (
                        len(alt) <= len(there) and alt.isalpha() and self._begins(name, positions[row], alt)
                    )
                    if len(mismatches) < 3:
                        mismatches.append(Mismatch(contig, int(positions[row]), refs[row][:20], there[:20]))
                    continue
                if (len(ref) == 1 and len(alt) == 1) or not (_BASES.issuperset(ref) and _BASES.issuperset(alt)):
                    continue
                position, new_ref, new_alt = self._normal(name, int(positions[row]), ref, alt)
                if (position, len(new_ref)) != (positions[row], len(ref)):
                    counts["moved_left" if position < positions[row] else "trimmed"] += 1
                    positions[row], refs[row], alts[row] = position, new_ref, new_alt
                    changed = True
        if not changed:
            return columns, counts, mismatches
        made = VariantColumns(
            columns.contigs, positions, TextColumn.of(alts), TextColumn.of(refs), columns.rsid, columns.record,
            columns.alt_index, columns.annotations,
        )  # fmt: skip
        return made, counts, mismatches

    def _begins(self, name: str, position: int, allele: str) -> bool:
        return _same(allele, self.bases(name, int(position) - 1, int(position) - 1 + len(allele)).decode())

    def _there(
        self, name: str, positions: Int64Array, refs: list[str], rows: range
    ) -> Iterator[tuple[int, str | None]]:
        """Each row with the reference's bases where its REF is; None where it reaches beyond the sequence."""
        end = self._lengths[name]
        first, window = 0, b""
        for row in rows:
            start = int(positions[row]) - 1
            stop = start + len(refs[row])
            if start < 0 or stop > end:
                yield row, None
                continue
            if not (first <= start and stop <= first + len(window)):
                # as far as the rows that follow go, if that is not far
                last = int(positions[min(row + 512, rows[-1])]) + 1000
                first = start
                window = self.bases(name, start, max(stop, last if start < last <= start + WINDOW else start + 4096))
            yield row, window[start - first : stop - first].decode()

    def _normal(self, name: str, position: int, ref: str, alt: str) -> tuple[int, str, str]:
        """Position, REF and ALT of a variant aligned left and trimmed."""
        while ref and alt and ref[-1] == alt[-1]:
            ref, alt = ref[:-1], alt[:-1]
        if ref and alt:
            while len(ref) > 1 and len(alt) > 1 and ref[0] == alt[0]:
                position, ref, alt = position + 1, ref[1:], alt[1:]
            return position, ref, alt
        gap = ref or alt
        if not gap:
            return position, ref, alt
        # the gap's sequence begins at base ``position`` (from 1), and may begin one base earlier as often as the base
        # before it is the gap's last, which then comes to its beginning
        shift, k = 0, len(gap)
        at, before, step = position - 1, b"", _STEP  # ``before`` ends before base ``at`` (from 0)
        while shift < MOST_SHIFT:
            index = position - 2 - shift  # of the base before the gap, from 0
            if index < 1:
                break
            if index < at - len(before) or not before:
                at = index + 1
                before = self.bases(name, at - step, at)
                step = min(2 * step, 2**16)
            if before[index - at + len(before)] != ord(gap[(k - 1 - shift) % k]):
                break
            shift += 1
        if position - 2 - shift < 0:  # at the very beginning the base behind stands in for the one before
            behind = self.bases(name, position - 1 + len(ref), position + len(ref)).decode()
            return position, ref + behind, alt + behind
        turn = shift % k
        gap = gap[k - turn :] + gap[: k - turn]
        anchor = self.bases(name, position - 2 - shift, position - 1 - shift).decode()
        found = position - 1 - shift
        return (found, anchor + gap, anchor) if ref else (found, anchor, anchor + gap)


def _same(ref: str, there: str) -> bool:
    """Whether bases agree; what is no A, C, G, T in either is not known, and agrees."""
    if ref == there:
        return True
    return len(ref) == len(there) and all(a == b or a not in _BASES or b not in _BASES for a, b in zip(ref, there))
