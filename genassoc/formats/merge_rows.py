"""Rows of files of different samples, joined by site: which rows are one, and what stands where a file has no row.

A row is a site's: contig, POS, REF and ALT; the second of two equal ones in a file meets the second of another. A file that
has no such row says of its samples

- that they have no copy of this ALT, where it has a record at the same POS with the same REF (its call names all alleles), or
  a block or record of reference calls there (gVCF: ALT ``<NON_REF>``, ``<*>`` or ``.``, from POS to END);
- nothing, where it has none: their calls are not observed, or homozygous for REF where the user says so.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from genassoc.data.block import MOST_STEPS, NO_DOSAGE, DosageRows
from genassoc.data.store.variant_columns import FILTER, TextColumn, VariantColumns
from genassoc.formats.source import VariantBatch
from genassoc.kernels.genotypes.packed import pack, unpack
from genassoc.shapes import BoolArray, Int64Array, UInt8Array, UInt16Array, packed_bytes

ABSENT = 3  # the code of a call that is not observed
POSITION_BITS = 42  # of a key, below the number of the contig
END = "INFO/END"
_PASSED = (b"PASS", b".")
_REFERENCE_ALTS = (b".", b"<*>", b"<NON_REF>")
_MOST_DIGITS = 13  # of a position


@dataclass(frozen=True)
class Reference:
    """Stretches in which a file says that calls are reference, in the order of their beginnings.

    Attributes
    ----------
    first, last : int64 (K,)
        Keys of the first and last position.
    codes : uint8 (K, n)
        0 where a sample is homozygous for REF, else 3.
    """

    first: Int64Array
    last: Int64Array
    codes: UInt8Array

    @classmethod
    def joined(cls, stretches: Sequence["Reference"], n_samples: int) -> "Reference":
        """Stretches of neighbouring batches."""
        none = cls(np.empty(0, np.int64), np.empty(0, np.int64), np.empty((0, n_samples), np.uint8))
        some = [none, *(each for each in stretches if each.first.size)]
        if len(some) == 2:
            return some[1]
        return cls(*(np.concatenate(arrays) for arrays in zip(*((each.first, each.last, each.codes) for each in some))))

    def covering(self, key: int) -> int:
        """The stretch that begins last of those that hold ``key``; -1 if none does."""
        at = int(np.searchsorted(self.first, key, "right")) - 1
        if at < 0 or self._furthest[at] < key:
            return -1
        return at if self.last[at] >= key else int(np.flatnonzero(self.last[: at + 1] >= key)[-1])

    @cached_property
    def _furthest(self) -> Int64Array:
        return np.maximum.accumulate(self.last)


@dataclass(frozen=True)
class Part:
    """Rows of one file, those of the ``n`` samples that go to columns ``samples`` of the store.

    Attributes
    ----------
    samples : int64 (n,)
    keys : int64 (V,)
        Contig and position as one number; ascending.
    columns : VariantColumns
    packed : uint8 (V, bytes of n)
    haploid : uint8 (V, ceil(n / 8)) or None
    dosages : DosageRows or None
    reference : Reference
    """

    samples: Int64Array
    keys: Int64Array
    columns: VariantColumns
    packed: UInt8Array
    haploid: UInt8Array | None
    dosages: DosageRows | None
    reference: Reference

    def codes(self) -> UInt8Array:
        """Calls (V, n)."""
        codes = np.empty((len(self.keys), self.samples.size), dtype=np.uint8)
        unpack(self.packed, codes)
        return codes


def reference_rows(alt: TextColumn) -> BoolArray:
    """Rows (V,) that are no variants: their ALT is ".", <*> or <NON_REF>."""
    lengths = np.diff(alt.offsets)
    is_reference = np.zeros(lengths.size, dtype=bool)
    if not lengths.size:
        return is_reference
    # only these begin with a point or an angle
    begins = alt.data[np.minimum(alt.offsets[:-1], alt.data.size - 1)]
    for row in np.flatnonzero((begins == ord(".")) | (begins == ord("<"))).tolist():
        is_reference[row] = text_at(alt, row) in _REFERENCE_ALTS
    return is_reference


def reference_of(batch: VariantBatch, keys: Int64Array, rows: Int64Array, n_samples: int) -> Reference:
    """The stretches that ``rows`` of a batch say are reference: from POS to END, where there is one, else the length of REF."""
    packed = np.ascontiguousarray(batch.packed[rows])
    codes = np.empty((rows.size, n_samples), dtype=np.uint8)
    unpack(packed, codes)
    firsts = keys[rows]
    starts = batch.columns.positions[rows]
    lengths = np.diff(batch.columns.other_allele.offsets)[rows]
    lasts = firsts + lengths - 1
    ends = batch.columns.annotations.get(END)
    if ends is not None:
        for at, row in enumerate(rows.tolist()):
            said = text_at(ends, row)
            if said.isdigit() and len(said) < _MOST_DIGITS and int(said) >= starts[at]:
                lasts[at] = firsts[at] + int(said) - starts[at]
    return Reference(firsts, lasts, np.where(codes == 0, 0, ABSENT).astype(np.uint8))


def taken_rows(columns: VariantColumns, rows: Int64Array, more: int) -> VariantColumns:
    """Some rows, ``more`` added to the numbers of their records; without contigs."""
    alt, ref, rsid = (_taken_text(text, rows) for text in columns.texts())
    annotations = {name: _taken_text(text, rows) for name, text in columns.annotations.items()}
    record = columns.record[rows] + more
    return VariantColumns((), columns.positions[rows], alt, ref, rsid, record, columns.alt_index[rows], annotations)


def _taken_text(column: TextColumn, rows: Int64Array) -> TextColumn:
    n = column.offsets.size - 1
    if rows.size and rows.size == rows[-1] - rows[0] + 1:
        if rows.size == n:
            return column
        return TextColumn(column.offsets[rows[0] : rows[-1] + 2], column.data)
    return TextColumn.of_bytes([text_at(column, row) for row in rows.tolist()])


def dosage_rows(dosages: DosageRows, rows: Int64Array) -> DosageRows:
    """Some rows of dosages."""
    of_row = np.cumsum(dosages.steps > 0) - 1
    which = of_row[rows[dosages.steps[rows] > 0]]
    homozygous = None if dosages.homozygous is None else dosages.homozygous[which]
    return DosageRows(dosages.steps[rows], dosages.values[which], homozygous)


def joined_dosages(parts: Sequence[DosageRows | None], sizes: Sequence[int], n_samples: int) -> DosageRows | None:
    """Dosages of neighbouring batches of ``sizes`` rows, some of which may have none."""
    if all(part is None for part in parts):
        return None
    none = np.empty((0, n_samples), np.uint16)
    filled = [DosageRows(np.zeros(n, np.uint16), none, none) if p is None else p for p, n in zip(parts, sizes)]
    homozygous = None
    if any(part.homozygous is not None and part.homozygous.size for part in filled):
        homozygous = np.concatenate(
            [np.full(p.values.shape, NO_DOSAGE, np.uint16) if p.homozygous is None else p.homozygous for p in filled]
        )
    steps, values = (np.concatenate([getattr(part, name) for part in filled]) for name in ("steps", "values"))
    return DosageRows(steps, values, homozygous)


@dataclass(frozen=True)
class Sites:
    """The sites of several files.

    Attributes
    ----------
    keys : int64 (V,)
    origin : list of (int, int)
        The first file that has each, and its row there.
    rows : list of int64 (rows of the file,)
        For each file, the site of each of its rows.
    record, alt_index : int64, int32 (V,)
    same : bool
        All files have the same rows.
    """

    keys: Int64Array
    origin: list[tuple[int, int]]
    rows: list[Int64Array]
    record: Int64Array
    alt_index: Int64Array
    same: bool = False


@dataclass(frozen=True)
class Joined:
    """Rows of all samples, and what was made of calls that a file does not hold."""

    packed: UInt8Array
    haploid: UInt8Array | None
    columns: VariantColumns
    dosages: DosageRows | None
    counters: dict[str, int]


def joined_rows(parts: Sequence[Part], n_samples: int, contigs: Sequence[str], missing_to_ref: bool) -> Joined:
    """Join rows of files of different samples, whose keys are all the files have between two keys.

    Parameters
    ----------
    parts : sequence of Part
        One a file.
    n_samples : int
        N, of the store.
    contigs : sequence of str
        By the number in keys.
    missing_to_ref : bool
        Where a file says nothing, its samples are homozygous for REF.
    """
    sites = _same_sites(parts) or _union(parts)
    V = sites.keys.size
    codes = np.full((V, n_samples), ABSENT, dtype=np.uint8)
    haploid = np.zeros((V, n_samples), dtype=bool)
    counters = {"absent_calls": 0, "absent_to_ref": 0, "reference_block_calls": 0}
    dosages = _Dosages.of(parts, sites, n_samples)
    for number, part in enumerate(parts):
        of_part, rows = part.codes(), sites.rows[number]
        codes[np.ix_(rows, part.samples)] = of_part
        if part.haploid is not None:
            bits = np.unpackbits(part.haploid, axis=1, bitorder="little", count=part.samples.size)
            haploid[np.ix_(rows, part.samples)] = bits.astype(bool)
        lacking = np.ones(V, dtype=bool)
        lacking[rows] = False
        filled, counts = _lacking_rows(parts, number, of_part, sites, np.flatnonzero(lacking), missing_to_ref)
        codes[np.ix_(lacking, part.samples)] = filled
        counters = {name: n + counts[name] for name, n in counters.items()}
        if dosages is not None:
            dosages.put(part, rows, codes)
    packed = np.empty((V, packed_bytes(n_samples)), dtype=np.uint8)
    pack(codes, packed)
    marks = np.packbits(haploid, axis=1, bitorder="little") if haploid.any() else None
    rows_of = None if dosages is None else dosages.rows()
    return Joined(packed, marks, _columns(parts, sites, contigs), rows_of, counters)


def _same_sites(parts: Sequence[Part]) -> Sites | None:
    """The sites where all files have the same rows in the same records; None where they do not."""
    first = parts[0]
    for other in parts[1:]:
        if not np.array_equal(first.keys, other.keys):
            return None
        if not np.array_equal(np.diff(first.columns.record) != 0, np.diff(other.columns.record) != 0):
            return None
        pairs = zip(first.columns.texts()[:2], other.columns.texts()[:2])
        if not all(_equal(one, two) for one, two in pairs):
            return None
    n = first.keys.size
    begins = np.diff(first.columns.record, prepend=-1) != 0
    record = np.cumsum(begins) - 1
    alt_index = np.arange(n) - np.maximum.accumulate(np.where(begins, np.arange(n), 0)) + 1
    return Sites(first.keys, [(0, row) for row in range(n)], [np.arange(n)] * len(parts), record, alt_index, True)


def _equal(one: TextColumn, other: TextColumn) -> bool:
    if not np.array_equal(np.diff(one.offsets), np.diff(other.offsets)):
        return False
    mine, theirs = (text.data[text.offsets[0] : text.offsets[-1]] for text in (one, other))
    return np.array_equal(mine, theirs)


def text_at(column: TextColumn, row: int) -> bytes:
    """A string of a column."""
    return column.data[column.offsets[row] : column.offsets[row + 1]].tobytes()


def _union(parts: Sequence[Part]) -> Sites:
    """The sites that any file has: by position, then as the files have them; ALTs that share a record in a file share one here."""
    known: dict[tuple[int, bytes, bytes, int], int] = {}  # key, REF, ALT, and the how manieth of these in its file
    origin: list[tuple[int, int]] = []
    keys: list[int] = []
    parent: list[int] = []

    def root(site: int) -> int:
        while parent[site] != site:
            parent[site] = parent[parent[site]]
            site = parent[site]
        return site

    found: list[list[int]] = []
    for number, part in enumerate(parts):
        alt, ref, _ = part.columns.texts()
        times: dict[tuple[int, bytes, bytes], int] = {}
        of_record: dict[int, int] = {}
        rows = []
        for row, (key, record) in enumerate(zip(part.keys.tolist(), part.columns.record.tolist())):
            name = (key, text_at(ref, row), text_at(alt, row))
            nth = times[name] = times.get(name, -1) + 1
            site = known.setdefault((*name, nth), len(origin))
            if site == len(origin):
                origin.append((number, row))
                keys.append(key)
                parent.append(site)
            rows.append(site)
            parent[root(site)] = root(of_record.setdefault(record, site))
        found.append(rows)
    roots = _sound_records(list(map(root, range(len(origin)))), known)
    first_of: dict[int, int] = {}
    for site, group in enumerate(roots):
        first_of.setdefault(group, site)
    order = sorted(range(len(origin)), key=lambda site: (keys[site], first_of[roots[site]], site))
    place = np.empty(len(order), dtype=np.int64)
    place[order] = np.arange(len(order))
    groups = np.array([roots[site] for site in order], dtype=np.int64)
    begins = np.diff(groups, prepend=-1) != 0
    at = np.arange(len(order))
    return Sites(
        np.array(keys, dtype=np.int64)[order],
        [origin[site] for site in order],
        [place[np.array(rows, dtype=np.int64)] for rows in found],
        np.cumsum(begins) - 1,
        at - np.maximum.accumulate(np.where(begins, at, 0)) + 1,
    )


def _sound_records(roots: list[int], known: dict[tuple[int, bytes, bytes, int], int]) -> list[int]:
    """The record of each site; sites of a record in which one ALT would stand twice are records of their own."""
    alts: dict[int, set[bytes]] = {}
    twice = set()
    for (_, _, alt, _), site in known.items():
        if alt in alts.setdefault(roots[site], set()):
            twice.add(roots[site])
        alts[roots[site]].add(alt)
    return [site if group in twice else group for site, group in enumerate(roots)]


def _lacking_rows(
    parts: Sequence[Part], number: int, codes: UInt8Array, sites: Sites, lacking: Int64Array, missing_to_ref: bool
) -> tuple[UInt8Array, dict[str, int]]:
    """Calls (lacking, n) of a file's samples at sites that it has no row of, and how many were decided in which way."""
    part = parts[number]
    n = part.samples.size
    filled = np.full((lacking.size, n), 0 if missing_to_ref else ABSENT, dtype=np.uint8)
    counts = {"reference_block_calls": 0, "absent_to_ref": 0, "absent_calls": 0}
    if not lacking.size:
        return filled, counts
    refs = part.columns.other_allele
    at_site: dict[tuple[int, bytes], int] = {}
    for row, key in enumerate(part.keys.tolist()):
        at_site.setdefault((key, text_at(refs, row)), row)
    nowhere = 0
    for at, site in enumerate(lacking.tolist()):
        key = int(sites.keys[site])
        first, row = sites.origin[site]
        same = at_site.get((key, text_at(parts[first].columns.other_allele, row)), -1)
        if same >= 0:
            filled[at] = np.where(codes[same] == ABSENT, ABSENT, 0)
            continue
        block = part.reference.covering(key)
        if block >= 0:
            filled[at] = part.reference.codes[block]
            counts["reference_block_calls"] += int(np.count_nonzero(filled[at] == 0))
        else:
            nowhere += n
    counts["absent_to_ref" if missing_to_ref else "absent_calls"] += nowhere
    return filled, counts


@dataclass
class _Dosages:
    """Dosages of all samples, as they are put together.

    Attributes
    ----------
    steps : uint16 (V,)
    of_row : int64 (V,)
        The row of ``values`` of each site, -1 without.
    values, homozygous : uint16 (D, N)
    any_homozygous : bool
    """

    steps: UInt16Array
    of_row: Int64Array
    values: UInt16Array
    homozygous: UInt16Array
    any_homozygous: bool = False

    @classmethod
    def of(cls, parts: Sequence[Part], sites: Sites, n_samples: int) -> "_Dosages | None":
        """Room for the dosages that any file has; None where none has."""
        steps = np.zeros(sites.keys.size, dtype=np.uint16)
        for part, rows in zip(parts, sites.rows):
            if part.dosages is not None:
                theirs = part.dosages.steps
                before = steps[rows]
                # files that count in different steps meet in the finest
                differ = (before != 0) & (theirs != 0) & (before != theirs)
                steps[rows] = np.where(differ, MOST_STEPS, np.maximum(before, theirs))
        n = int(np.count_nonzero(steps))
        if not n:
            return None
        of_row = np.where(steps > 0, np.cumsum(steps > 0) - 1, -1)
        none = np.full((n, n_samples), NO_DOSAGE, dtype=np.uint16)
        return cls(steps, of_row, none, none.copy())

    def put(self, part: Part, rows: Int64Array, codes: UInt8Array) -> None:
        """Put in a file's samples, of whom ``codes`` (V, N) are the calls, ``rows`` the sites of the file's rows."""
        of_calls = codes[:, part.samples]
        has = self.of_row >= 0
        steps = self.steps[has].astype(np.int64)[:, None]
        calls = of_calls[has].astype(np.int64)
        to = np.ix_(np.arange(steps.size), part.samples)
        self.values[to] = np.where(calls == ABSENT, NO_DOSAGE, calls * steps)
        self.homozygous[to] = np.where(calls == ABSENT, NO_DOSAGE, (calls == 2) * steps)
        theirs = part.dosages
        if theirs is None:
            return
        with_dosage = np.flatnonzero(theirs.steps)
        if not with_dosage.size:
            return
        to = np.ix_(self.of_row[rows[with_dosage]], part.samples)
        old = theirs.steps[with_dosage].astype(np.int64)[:, None]
        new = self.steps[rows[with_dosage]].astype(np.int64)[:, None]
        self.values[to] = _in_steps(theirs.values, old, new)
        if theirs.homozygous is not None:
            self.homozygous[to] = _in_steps(theirs.homozygous, old, new)
            self.any_homozygous = True
        else:
            self.homozygous[to] = NO_DOSAGE

    def rows(self) -> DosageRows:
        """The rows."""
        return DosageRows(self.steps, self.values, self.homozygous if self.any_homozygous else None)


def _in_steps(values: UInt16Array, old: Int64Array, new: Int64Array) -> UInt16Array:
    """Values in other steps, rounded; equal steps change nothing."""
    scaled = (values.astype(np.int64) * new + old // 2) // old
    return np.where(values == NO_DOSAGE, NO_DOSAGE, scaled).astype(np.uint16)


def _columns(parts: Sequence[Part], sites: Sites, contigs: Sequence[str]) -> VariantColumns:
    """What the rows are: of the first file that has each; FILTER of all files, other texts of the first that has one."""
    numbers = sites.keys >> POSITION_BITS
    starts = np.flatnonzero(np.diff(numbers, prepend=-1))
    lengths = np.diff(np.append(starts, numbers.size)).tolist()
    runs = tuple((contigs[numbers[at]], length) for at, length in zip(starts.tolist(), lengths))
    alt, ref, _ = parts[0].columns.texts()
    if not sites.same:
        alt, ref = (
            TextColumn.of_bytes([text_at(parts[number].columns.texts()[which], row) for number, row in sites.origin])
            for which in (0, 1)
        )
    held = _Held(sites)
    rsid = _merged_texts([part.columns.rsid for part in parts], held, _first_known)
    names = dict.fromkeys(name for part in parts for name in part.columns.annotations)
    annotations = {
        name: _merged_texts(
            [part.columns.annotations.get(name) for part in parts],
            held,
            _all_filters if name == FILTER else _first_known,
        )
        for name in names
    }
    positions = sites.keys & ((1 << POSITION_BITS) - 1)
    record, alt_index = sites.record.astype(np.int64), sites.alt_index.astype(np.int32)
    return VariantColumns(runs, positions, alt, ref, rsid, record, alt_index, annotations)


class _Held:
    """For each site the files that have it, and their rows; a list that is made when it is needed."""

    def __init__(self, sites: Sites) -> None:
        self.sites = sites

    @cached_property
    def places(self) -> list[list[tuple[int, int]]]:
        """By site: pairs of a file and its row."""
        places: list[list[tuple[int, int]]] = [[] for _ in range(self.sites.keys.size)]
        for number, rows in enumerate(self.sites.rows):
            for row, site in enumerate(rows.tolist()):
                places[site].append((number, row))
        return places


def _merged_texts(
    columns: Sequence[TextColumn | None], held: _Held, choose: Callable[[list[bytes]], bytes]
) -> TextColumn:
    """One text a site, of those that files have."""
    first = columns[0]
    if held.sites.same and first is not None and all(c is not None and _equal(first, c) for c in columns[1:]):
        return first
    texts = []
    for places in held.places:
        found = [text_at(column, row) for number, row in places if (column := columns[number]) is not None]
        texts.append(choose(found))
    return TextColumn.of_bytes(texts)


def _first_known(texts: list[bytes]) -> bytes:
    return next((text for text in texts if text != b"."), b".")


def _all_filters(texts: list[bytes]) -> bytes:
    """PASS where all files say so; else what any of them has against the record."""
    failed = dict.fromkeys(name for text in texts if text not in _PASSED for name in text.split(b";"))
    return b";".join(failed) if failed else _first_known(texts)
