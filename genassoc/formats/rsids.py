"""Ids of variants from a VCF with an index, such as dbSNP's: by position and alleles, a stretch of the genome at a time.

The file is read by what reads any VCF: each block's checksum is looked at, so damage is an error and no missing id.
"""

from collections.abc import Iterator
from pathlib import Path

from genassoc.data.cohort.builds import Build, detected
from genassoc.data.cohort.contigs import XY, Contigs, X, chromosome_of
from genassoc.data.store.variant_columns import TextColumn, VariantColumns
from genassoc.errors import InputError
from genassoc.formats import bgzf
from genassoc.formats.source import Region
from genassoc.formats.vcf.tabix import find_index, read_index

NEAR = 2**14  # bases between variants whose stretch is read in one go: an index tells no less
MOST_ID_BYTES = 1_000
MOST_LINE_BYTES = 2**24
_FIXED = 5  # columns up to ALT
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
        index = find_index(path)
        if index is None or bgzf.sniff(path) != "bgzf":
            raise InputError(
                f"{path}: has no index, without which it would be held in memory; compress and index it: bgzip {path.name}, "
                f"tabix -p vcf {path.name}.gz"
            )
        bgzf.require_complete(path)
        self._index = read_index(index)
        self._known = frozenset(self._index.contigs)
        self._contigs = Contigs.of(self._index.contigs)
        self._header = self._words()
        self._names: dict[str, list[str]] = {}

    def _words(self) -> str:
        """What the beginning of the file says of its reference."""
        for stretch in bgzf.bgzf_stretches(self.path):
            text = stretch.load()
            lines = bytes(memoryview(text.buffer)[text.start : text.stop]).split(b"\n")
            text.give_back()
            told = [line[:1000] for line in lines[:100_000] if line.startswith((b"##reference", b"##assembly"))]
            return b"\n".join(told[:20]).decode("utf-8", "replace")
        return ""

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

    def _lines(self, region: Region) -> Iterator[bytes]:
        """Lines that may be of a region, without their ends."""
        for first, stop in self._index.stretches([region]):
            rest = b""
            for stretch in bgzf.bgzf_stretches(self.path, first, stop):
                text = stretch.load()
                lines = (rest + bytes(memoryview(text.buffer)[text.start : text.stop])).split(b"\n")
                text.give_back()
                rest = lines.pop()
                if len(rest) > MOST_LINE_BYTES:
                    raise InputError(
                        f"{self.path}: a line is longer than {MOST_LINE_BYTES >> 20} MB; is it a VCF of ids?"
                    )
                yield from lines
            if rest:
                yield rest

    def _records(
        self, name: str, first: int, last: int, wanted: dict[int, list[int]]
    ) -> Iterator[tuple[int, str, str, list[str]]]:
        """Position, id, REF and ALTs of the records from position ``first`` to ``last`` at positions ``wanted``."""
        contig = name.encode()
        for line in self._lines(Region(name, first, last)):
            columns = line.split(b"\t", _FIXED)
            if len(columns) < _FIXED or not columns[1].isdigit() or len(columns[1]) > 15:
                if line.startswith(b"#") or not line.strip():
                    continue
                raise InputError(f"{self.path}: near {name}:{first:,} a line is no record of a VCF: {line[:60]!r}")
            position = int(columns[1])
            if position in wanted and columns[0] == contig:
                identifier, ref, alts = (column.decode("utf-8", "replace") for column in columns[2:_FIXED])
                yield position, identifier, ref.upper(), alts.upper().split(",")

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
        first, last = positions[rows[0]], positions[rows[-1]]
        for position, identifier, ref, others in self._records(name, first, last, at):
            if identifier in (".", "") or len(identifier) > MOST_ID_BYTES:
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
