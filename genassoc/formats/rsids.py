"""Ids of variants from a VCF with an index, such as dbSNP's: by position and alleles, a stretch of the genome at a time."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from genassoc.data.cohort.builds import Build, detected
from genassoc.data.cohort.contigs import XY, Contigs, X, chromosome_of
from genassoc.data.store.variant_columns import TextColumn, VariantColumns
from genassoc.errors import InputError
from genassoc.formats.vcf.tabix import find_index

if TYPE_CHECKING:
    from pysam import TabixFile

NEAR = 2_000  # bases between variants whose stretch of the file is read in one go: a block of dbSNP has some 3,000
MOST_ID_BYTES = 1_000
MOST_CONTIGS = 2**20
_FAILURES = (OSError, ValueError, KeyError, IndexError, MemoryError, OverflowError)
NAMES = ("ids_given", "ids_replaced", "ids_confirmed", "ids_exchanged", "ids_not_found")


class VariantIds:
    """A VCF of known variants; any thread may use it.

    Parameters
    ----------
    path : Path
        Compressed by bgzip, with its .tbi or .csi.

    Raises
    ------
    InputError
        It cannot be opened, or has no index.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        if not path.is_file():
            raise InputError(f"{path}: no such file of variant ids")
        self._index = find_index(path)
        if self._index is None:
            raise InputError(
                f"{path}: has no index, without which it would be held in memory; compress and index it: bgzip {path.name}, "
                f"tabix -p vcf {path.name}.gz"
            )
        self._threads = threading.local()
        file = self._open()
        try:
            contigs = list(file.contigs)
            header = "\n".join(
                line for line in list(file.header)[:100_000] if line.startswith(("##reference", "##assembly"))
            )
        except _FAILURES as error:
            raise InputError(f"{path}: cannot be read by its index: {error}") from error
        self._known = frozenset(contigs)
        self._contigs = Contigs.of(contigs)
        self._header = header
        self._names: dict[str, list[str]] = {}

    def _open(self) -> "TabixFile":
        """The file as this thread reads it."""
        import pysam

        file: TabixFile | None = getattr(self._threads, "file", None)
        if file is None:
            before = pysam.set_verbosity(0)
            try:
                file = self._threads.file = pysam.TabixFile(str(self.path), index=str(self._index), encoding="utf-8")
            except _FAILURES as error:
                raise InputError(f"{self.path}: cannot be read by its index: {error}") from error
            finally:
                pysam.set_verbosity(before)
        return file

    @property
    def build(self) -> Build | None:
        """The genome build that its header or the accessions of its contigs tell."""
        return detected({}, self._contigs.chromosomes, self._header)[0]

    def names_of(self, contig: str) -> list[str]:
        """What this file calls a contig; the pseudo-autosomal part of X may be on X."""
        if contig not in self._names:
            names = [contig] if contig in self._known else self._contigs.same(contig)
            if not names and chromosome_of(contig) == XY:
                names = self._contigs.same(X)
            self._names[contig] = names
        return self._names[contig]

    def _records(self, name: str, first: int, last: int) -> Iterator[tuple[int, str, str, list[str]]]:
        """Position, id, REF and ALTs of the records from position ``first`` to ``last``."""
        try:
            for line in self._open().fetch(name, first - 1, last):
                columns = line.split("\t", 5)
                if len(columns) < 5 or not columns[1].isdecimal() or len(columns[1]) > 15:
                    raise InputError(
                        f"{self.path}: {name}:{first:,} or behind it: a line is no record of a VCF: {line[:60]!r}"
                    )
                yield int(columns[1]), columns[2], columns[3].upper(), columns[4].upper().split(",")
        except _FAILURES as error:
            raise InputError(f"{self.path}: {name}:{first:,}-{last:,} cannot be read by its index: {error}") from error

    def given(self, columns: VariantColumns) -> tuple[VariantColumns, dict[str, int]]:
        """Variants with the ids of this file where it has their position and alleles; counts by `NAMES`."""
        counts = dict.fromkeys(NAMES, 0)
        ids, refs, alts = (column.texts() for column in (columns.rsid, columns.other_allele, columns.effect_allele))
        positions = columns.positions.tolist()
        found: dict[int, tuple[str, bool]] = {}
        begin = 0
        for contig, length in columns.contigs:
            rows = sorted(range(begin, begin + length), key=positions.__getitem__)
            begin += length
            for name in self.names_of(contig):
                for near in _neighbours(rows, positions):
                    self._find(name, near, positions, refs, alts, found)
        for row, (name, exchanged) in found.items():
            counts["ids_exchanged"] += exchanged
            counts["ids_given" if ids[row] == "." else "ids_confirmed" if ids[row] == name else "ids_replaced"] += 1
            ids[row] = name
        counts["ids_not_found"] = len(ids) - len(found)
        if not found:
            return columns, counts
        made = VariantColumns(
            columns.contigs, columns.positions, columns.effect_allele, columns.other_allele, TextColumn.of(ids), columns.record,
            columns.alt_index, columns.annotations,
        )  # fmt: skip
        return made, counts

    def _find(
        self,
        name: str,
        rows: list[int],
        positions: list[int],
        refs: list[str],
        alts: list[str],
        found: dict[int, tuple[str, bool]],
    ) -> None:
        """Add the id of each row that a stretch of the file has; the first record that fits decides."""
        at: dict[int, list[int]] = {}
        for row in rows:
            at.setdefault(positions[row], []).append(row)
        for position, identifier, ref, others in self._records(name, positions[rows[0]], positions[rows[-1]]):
            if position not in at or identifier in (".", "") or len(identifier) > MOST_ID_BYTES:
                continue
            for row in at[position]:
                ours, alt = refs[row].upper(), alts[row].upper()
                if row in found and not found[row][1]:
                    continue
                if ours == ref and alt in others:
                    found[row] = identifier, False
                elif row not in found and alt == ref and ours in others:
                    found[row] = identifier, True


def _neighbours(rows: list[int], positions: list[int]) -> Iterator[list[int]]:
    """Rows in order of position, in runs without a gap of more than `NEAR` bases."""
    run: list[int] = []
    for row in rows:
        if run and positions[row] - positions[run[-1]] > NEAR:
            yield run
            run = []
        run.append(row)
    if run:
        yield run
