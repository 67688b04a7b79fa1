"""Copies of a chromosome that a sample has: X, Y, MT and the pseudo-autosomal regions.

What a sample's stated sex says beats the ploidy marks of the calls. A cohort's blocks come out of `PloidyRules.apply`
with calls that cannot be taken for missing and marks of what is haploid, so that filters, quality control and models
all see the same.
"""

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from genassoc.data.block import AUTOSOMAL, HAPLOID_CHROMOSOME, N_REFUSED, X_OUTSIDE_PAR, GenotypeBlock, Places
from genassoc.data.cohort.builds import PAR
from genassoc.data.cohort.contigs import MT, Contigs, X, Y
from genassoc.data.schema import HALF_ALLELES
from genassoc.errors import InputError
from genassoc.kernels.genotypes import recode
from genassoc.kernels.genotypes.counts import count_haploid, mask_words, popcount_rows
from genassoc.kernels.genotypes.half_calls import forget_half_calls, settle_half_calls
from genassoc.shapes import Array, BoolArray, Int64Array, UInt8Array, UInt64Array

if TYPE_CHECKING:
    from genassoc.data.store.store import GenotypeStore

MALE, FEMALE = 1, 2
Run = tuple[str, int, int]
HALF_CALL = "half_call: "  # reasons of refused calls; then sex and contig
HALF_CALL_READ = "half_call_as_haploid: "

_POSITIONS = 65_536  # looked at together


def in_par(kind: str, positions: Int64Array, build: str | None) -> BoolArray:
    """Which positions (V,) of X or Y are pseudo-autosomal; without a build, where GRCh37 and GRCh38 agree.

    Raises
    ------
    InputError
        The builds do not agree on a position of X, and none is given.
    """
    inside = {
        name: np.logical_or.reduce([(positions >= first) & (positions <= last) for first, last in regions[kind]])
        for name, regions in PAR.items()
    }
    if build is not None:
        return np.asarray(inside[build])
    differ = inside["GRCh37"] != inside["GRCh38"]
    if kind == "Y":
        # References mask the pseudo-autosomal part of Y: what is called there is Y's own.
        return np.asarray(inside["GRCh37"] & inside["GRCh38"])
    if differ.any():
        raise InputError(
            f"{kind}:{positions[differ][0]:,} ({int(differ.sum())} variants here) is pseudo-autosomal in only one of GRCh37 and "
            'GRCh38, and the contig lengths of the VCF do not identify the build: give it, build="GRCh38" '
            "(--build GRCh38)"
        )
    return np.asarray(inside["GRCh38"])


def outside_par(kind: str, positions: Int64Array, build: str | None) -> BoolArray:
    """Which positions (V,) of X or Y are surely not pseudo-autosomal: in no build, where none is given."""
    if build is not None:
        return ~in_par(kind, positions, build)
    return ~np.logical_or.reduce([in_par(kind, positions, name) for name in PAR])


def contig_names(runs: Sequence[Run], start: int, stop: int) -> Array:
    """Contig of each variant from start to stop, object array of str (V,); the runs are in the order of the store."""
    names = np.empty(stop - start, dtype=object)
    at = bisect_right(runs, start, key=lambda run: run[2])  # runs may be as many as contigs: look only at those here
    while at < len(runs) and runs[at][1] < stop:
        contig, first, last = runs[at]
        names[max(first, start) - start : min(last, stop) - start] = contig
        at += 1
    return names


def kinds_of(runs: Sequence[Run], contigs: Contigs) -> list[Run]:
    """Runs of contigs with the chromosome that each means in place of its name; "" where none is known."""
    return [(contigs.chromosomes.get(contig) or "", start, stop) for contig, start, stop in runs]


@dataclass(frozen=True, eq=False)
class PloidyRules:
    """Which calls of a cohort are possible, by chromosome and stated sex.

    Attributes
    ----------
    runs : tuple of (kind, start, stop)
        Variants of the store on contigs of "X", "Y" and "MT", however these are named.
    columns : int64 array (N,)
        The cohort's samples in its blocks.
    width : int
        Samples in its blocks.
    sex : int8 array (N,) or None
        1 male, 2 female, 0 unknown.
    build : str or None
        "GRCh37", "GRCh38", "T2T-CHM13", or not known.
    half_alleles : bool
        Whether the codes of half calls tell which allele is there, so that those of males are haploid calls.
    """

    runs: tuple[Run, ...]
    columns: Int64Array
    width: int
    sex: Array | None
    build: str | None
    half_alleles: bool = False

    @classmethod
    def of(
        cls,
        runs: Sequence[Run],
        contigs: Contigs,
        columns: Int64Array,
        width: int,
        sex: Array | None,
        build: str | None,
    ) -> "PloidyRules":
        """The rules for the contigs ``runs`` of a store."""
        special = tuple(run for run in kinds_of(runs, contigs) if run[0] in (X, Y, MT))
        return cls(special, columns, width, sex, build)

    def of_store(self, store: "GenotypeStore") -> "PloidyRules":
        """The rules for half calls as the store keeps them."""
        return replace(self, half_alleles=getattr(store, "attributes", {}).get(HALF_ALLELES) is True)

    def columns_of(self, sex: int) -> Int64Array:
        """Columns of the samples of a sex; none where it is not known."""
        return self.columns[:0] if self.sex is None else self.columns[self.sex == sex]

    @cached_property
    def everyone(self) -> UInt64Array:
        """The cohort's samples as packed words (W,)."""
        return mask_words(self.columns, self.width)

    @cached_property
    def males(self) -> UInt64Array:
        """Males as packed words (W,)."""
        return mask_words(self.columns_of(MALE), self.width)

    @cached_property
    def females(self) -> UInt64Array:
        """Females as packed words (W,)."""
        return mask_words(self.columns_of(FEMALE), self.width)

    def _marks(self, columns: Int64Array) -> UInt8Array:
        """Samples as haploid marks are stored: a bit a sample."""
        chosen = np.zeros(self.width, dtype=bool)
        chosen[columns] = True
        return np.packbits(chosen, bitorder="little")

    def _half_calls(self, words: UInt64Array, marks: UInt8Array) -> Int64Array:
        """Half calls of males, females and others in variants (V,), (V, 3): marked as haploid, and not observed."""
        known = [self.columns_of(MALE), self.columns_of(FEMALE)]
        others = np.setdiff1d(self.columns, np.concatenate(known))
        counts = np.zeros((len(words), 3), dtype=np.int64)
        for k, columns in enumerate([*known, others]):
            if columns.size:
                observed = np.zeros((len(words), 2), dtype=np.int64)
                count_haploid(words, marks, mask_words(columns, self.width), observed)
                marked = np.bitwise_count(marks & self._marks(columns)).sum(axis=1, dtype=np.int64)
                counts[:, k] = marked - observed.sum(axis=1)
        return counts

    def kinds(self, start: int, stop: int) -> list[Run]:
        """Pieces of X, Y and MT between two variants."""
        pieces = [(kind, max(first, start), min(last, stop)) for kind, first, last in self.runs]
        return [piece for piece in pieces if piece[1] < piece[2]]

    def apply(
        self, block: GenotypeBlock, variants: Callable[[], pl.DataFrame], of_calls: BoolArray | None = None
    ) -> GenotypeBlock:
        """The block with impossible calls set to missing and haploid calls marked; ``variants`` gives its table of variants.

        On X outside PAR males are haploid and females diploid, heterozygous males missing; on Y outside PAR all are
        haploid and females missing; on MT all are haploid. Where sex is not stated, X is as it was read. Half calls of males
        are haploid there, if the store has kept their allele; others are not observed. Rows that are not ``of_calls`` (V,) (all if
        None) have none: they are of dosages.

        Raises
        ------
        InputError
            The build is not known and matters.
        """
        pieces = self.kinds(block.start, block.start + block.n_variants)
        halves = None if block.haploid is None else np.asarray(block.haploid.any(axis=1))
        if halves is not None and of_calls is not None:
            halves &= of_calls
        if not pieces:
            return block if halves is None else without_half_calls(block, halves)
        positions = variants()["base_pair_location"].to_numpy()
        words = block.packed.view(np.uint64).copy()
        H = (self.width + 7) // 8
        marks = np.zeros((block.n_variants, H), np.uint8) if block.haploid is None else block.haploid.copy()
        places = Places.autosomal(np.arange(block.start, block.start + block.n_variants, dtype=np.int64))
        for kind, first, last in pieces:
            at = np.arange(first - block.start, last - block.start)
            places.ploidy[at] = self.ploidy(kind, positions[at])
            if halves is not None:
                self._settle(words, marks, at[halves[at]], places)
                halves[at] = False
            at = at[places.ploidy[at] != AUTOSOMAL]
            haploid = self.males if kind == "X" else self.everyone
            found = recode.heterozygotes(words[at], haploid)
            places.refused[at, 0] = popcount_rows(found)
            words[at] = recode.not_observed(words[at], found)
            if kind == "X":
                marks[at] = (marks[at] & ~self._marks(self.columns_of(FEMALE))) | self._marks(self.columns_of(MALE))
            else:
                marks[at] |= self._marks(self.columns)
            if kind == "Y" and self.sex is not None:
                places.refused[at, 1] = popcount_rows(recode.observed(words[at], self.females))
                words[at] = recode.not_observed(words[at], self.females)
        if halves is not None and halves.any():
            forget_half_calls(words.view(np.uint8), marks, np.flatnonzero(halves))
        haploid_marks = marks if marks.any() else None
        return replace(block, packed=words.view(np.uint8), haploid=haploid_marks, places=places)

    def _settle(self, words: UInt64Array, marks: UInt8Array, rows: Int64Array, places: Places) -> None:
        """Read half calls of some rows of calls, or make them not observed; count them."""
        places.refused[rows, 2:5] = self._half_calls(words[rows], marks[rows])
        whole = (places.ploidy[rows] != AUTOSOMAL) & self.half_alleles
        places.refused[rows[whole], 5] = places.refused[rows[whole], 2]
        places.refused[rows[whole], 2] = 0
        males = self._marks(self.columns_of(MALE))
        settle_half_calls(words.view(np.uint8), marks, rows, whole.astype(np.uint8), males)

    def ploidy(self, kind: str, positions: Int64Array) -> UInt8Array:
        """`Places.ploidy` of variants (V,) of one kind of chromosome, "X", "Y" or "MT", from their positions."""
        if kind == "X" and self.sex is None:
            return np.full(positions.size, AUTOSOMAL, np.uint8)
        special = np.ones(positions.size, dtype=bool) if kind == "MT" else ~in_par(kind, positions, self.build)
        return np.where(special, X_OUTSIDE_PAR if kind == "X" else HAPLOID_CHROMOSOME, AUTOSOMAL).astype(np.uint8)

    def check_build(self, store: "GenotypeStore") -> None:
        """Refuse, before any work, a store for which the genome build must be known and is not.

        Raises
        ------
        InputError
            It must, and is not.
        """
        if self.build is not None or self.sex is None:
            return
        for kind, first, last in self.runs:
            for start in range(first, last, _POSITIONS):
                self.ploidy(kind, store.variants(start, min(start + _POSITIONS, last))["base_pair_location"].to_numpy())

    @property
    def has_x(self) -> bool:
        """Whether the store has variants on X."""
        return any(kind == "X" for kind, _, _ in self.runs)


def without_half_calls(block: GenotypeBlock, rows: BoolArray) -> GenotypeBlock:
    """The block with half calls of some rows (V,) not observed and not marked."""
    if block.haploid is None or not rows.any():
        return block
    packed, marks = block.packed.copy(), block.haploid.copy()
    forget_half_calls(packed, marks, np.flatnonzero(rows))
    return replace(block, packed=packed, haploid=marks)


def refused_notes(refused: Mapping[str, int]) -> list[str]:
    """How many impossible calls were set to missing, in words."""
    words = {
        "heterozygous_where_haploid": "heterozygous calls where a sample has one copy (males on X outside PAR, Y, MT)",
        "female_on_Y": "calls of females on Y",
    }
    notes = [f"{n:,} {words[reason]} were set to missing" for reason, n in refused.items() if reason in words]
    read = {r.removeprefix(HALF_CALL_READ): n for r, n in refused.items() if r.startswith(HALF_CALL_READ)}
    if read:
        shown = ", ".join(f"{n:,} of {who}" for who, n in read.items())
        notes.append(f"half calls (0/., one allele missing) of males are read as haploid calls of the allele: {shown}")
    half = {reason.removeprefix(HALF_CALL): n for reason, n in refused.items() if reason.startswith(HALF_CALL)}
    if half:
        shown = ", ".join(f"{n:,} of {who}" for who, n in half.items())
        notes.append(
            f"half calls (0/., one allele missing) count as not observed: {shown}. If they stand for single alleles, give the sexes "
            "(--sex: half calls of males are then haploid) or convert again with --half-calls haploid"
        )
    return notes


def refused_calls(block: GenotypeBlock) -> dict[str, int]:
    """Calls set to missing because the sample cannot have them: counts by reason, without zeros."""
    return _totals(block, ("heterozygous_where_haploid", "female_on_Y"), slice(0, 2))


def half_calls(block: GenotypeBlock, contig: str) -> dict[str, int]:
    """Half calls of a block on X, Y or MT: counts by sex, without zeros."""
    whose = ("males", "females", "samples of unknown sex")
    reasons = (*(f"{HALF_CALL}{who} on {contig}" for who in whose), f"{HALF_CALL_READ}males on {contig}")
    return _totals(block, reasons, slice(2, N_REFUSED))


def _totals(block: GenotypeBlock, reasons: tuple[str, ...], columns: slice) -> dict[str, int]:
    if block.places is None:
        return {}
    return {reason: int(n) for reason, n in zip(reasons, block.places.refused[:, columns].sum(axis=0)) if n}
