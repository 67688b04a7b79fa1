"""Sets of variants matched to a store: numbers of variants instead of names, and a word on each name that did not fit."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from genassoc.data.cohort.matching import first_few
from genassoc.data.sets.places import Found, find_names
from genassoc.data.sets.variant_sets import ANNOTATION, SET, VARIANT, VariantSets
from genassoc.data.store.store import GenotypeStore
from genassoc.errors import InputError, PlanError
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array

if TYPE_CHECKING:
    from genassoc.data.cohort.cohort import Cohort

ALL = "all"  # the mask of sets without masks
AND = "&"  # between annotations of a variant that has several in one set
NOT_ANNOTATED = -1


@dataclass(frozen=True)
class Mask:
    """A combination of annotations.

    Attributes
    ----------
    name : str
    annotations : frozenset of int
        Which of `MatchedSets.categories` it takes; empty: all variants, annotated or not.
    """

    name: str
    annotations: frozenset[int] = frozenset()

    def of(self, annotation: Int64Array) -> BoolArray:
        """Which variants (m,) of a set it takes, by their annotations (m,)."""
        if not self.annotations:
            return np.ones(len(annotation), dtype=bool)
        return np.isin(annotation, np.fromiter(self.annotations, dtype=np.int64))


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class MatchedSets:
    """Sets of a store's variants, in the order of their first variants. Sets that have no variant in the store are not among them.

    Attributes
    ----------
    ids, contigs : tuple of str (S,)
    members : tuple of int64 arrays (S,)
        Numbers of each set's variants in the store, ascending.
    annotation : tuple of int64 arrays (S,)
        Of each member its place in ``categories``; -1 where it has none.
    categories : tuple of str
        Annotations; of a variant that has several in one set these are one category, joined by "&".
    masks : tuple of Mask
        In the order of the file; one of all variants where there are no masks.
    weight_columns : mapping of str to tuple of float64 arrays (S,)
        Weights by name; NaN where a variant has none. See `weights_of`.
    left_out : polars DataFrame (set_id, variant, reason)
        Names of variants that are not in the store, and why.
    empty : tuple of str
        Sets without any variant in the store.
    notes : tuple of str
        All that is to be said: what is absent, what fitted not quite.
    source, store_fingerprint : str
    """

    ids: tuple[str, ...]
    contigs: tuple[str, ...]
    members: tuple[Int64Array, ...]
    annotation: tuple[Int64Array, ...]
    categories: tuple[str, ...]
    masks: tuple[Mask, ...]
    weight_columns: Mapping[str, tuple[Float64Array, ...]]
    left_out: pl.DataFrame
    empty: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    source: str = "sets"
    store_fingerprint: str = field(default="")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def weights(self) -> tuple[Float64Array, ...] | None:
        """The first of the weights, or None where there are none."""
        return self.weights_of(next(iter(self.weight_columns))) if self.weight_columns else None

    def weights_of(self, name: str) -> tuple[Float64Array, ...]:
        """One of the weights.

        Raises
        ------
        PlanError
            There is no such weight.
        InputError
            Some variants have none, of which it would not be known how much they count (names them).
        """
        if name not in self.weight_columns:
            has = ", ".join(self.weight_columns) or "none"
            raise PlanError(f"{self.source} has no weights called '{name}'; it has: {has}")
        found = self.weight_columns[name]
        lacking = [(self.ids[s], int(np.isnan(w).sum())) for s, w in enumerate(found) if np.isnan(w).any()]
        if lacking:
            shown = ", ".join(f"{n:,} of {set_id}" for set_id, n in lacking[:3]) + (", ..." if len(lacking) > 3 else "")
            raise InputError(
                f"{self.source}: {sum(n for _, n in lacking):,} variants of {len(lacking):,} sets have no weight '{name}' ({shown}): how "
                "much do they count? Give each a weight (0 leaves it out), or choose other weights"
            )
        return found

    @cached_property
    def digest(self) -> str:
        """SHA-256 of all that decides numbers: which variants of the store each set has, annotations, masks, weights."""
        digest = hashlib.sha256(repr((self.store_fingerprint, self.ids, self.contigs, self.categories)).encode())
        digest.update(repr([(mask.name, sorted(mask.annotations)) for mask in self.masks]).encode())
        for arrays in (
            self.members,
            self.annotation,
            *(self.weight_columns[name] for name in sorted(self.weight_columns)),
        ):
            digest.update(np.array([array.size for array in arrays], dtype=np.int64).tobytes())
            for array in arrays:
                digest.update(np.ascontiguousarray(array).tobytes())
        digest.update(repr(sorted(self.weight_columns)).encode())
        return digest.hexdigest()

    def lines(self) -> list[str]:
        """How many sets and variants there are, and the notes."""
        n = np.unique(np.concatenate(self.members)).size
        return [f"{self.source}: {len(self.ids):,} sets of {n:,} variants of the store", *self.notes]

    def __repr__(self) -> str:
        n = sum(member.size for member in self.members)
        return f"MatchedSets({len(self.ids):,} sets, {n:,} variants in sets, {len(self.masks)} masks; {self.left_out.height:,} names left out)"


def match_sets(sets: VariantSets, store: "GenotypeStore | Cohort") -> MatchedSets:
    """Find the variants of sets in a store.

    A name is looked for among the ids of the store first, then as a place with both alleles, however the chromosome is spelled.

    Parameters
    ----------
    sets : VariantSets
    store : GenotypeStore, Cohort, or the path of a store

    Raises
    ------
    InputError
        No variant of any set is there (shows how names of both look); a set lies on several contigs; a variant has two weights in a set.
    """
    store = GenotypeStore.of(getattr(store, "store", store))
    found = find_names(sets.table[VARIANT], store)
    if not found.rows.size:
        raise InputError(
            f"{sets.source}: none of its {sets.table[VARIANT].n_unique():,} variants is in the store. {found.hint}. Are they of this store's "
            "genome build, with its alleles?"
        )
    pairs = _pairs(sets, found)
    set_ids, first, members = _cut(pairs)
    contigs = _contigs(sets, store, set_ids, members)
    order = sorted(range(len(set_ids)), key=lambda s: (members[s][0], members[s][-1], set_ids[s]))
    categories, codes = _categories(pairs, sets)

    def ordered(values: Array) -> tuple[Array, ...]:
        parts = np.split(values, first[1:])
        return tuple(parts[s] for s in order)

    weights = {name: ordered(pairs[name].fill_null(np.nan).to_numpy().astype(np.float64)) for name in sets.weights}
    left_out = _left_out(sets, found)
    empty = _empty(sets, set_ids)
    annotation = ordered(codes)
    masks = _masks(sets, categories)
    notes = [
        *sets.notes, *found.notes(sets.source), *_said(sets, left_out, empty, pairs), *_elsewhere(sets, store, set_ids, contigs),
        *_unmasked(sets, masks, annotation),
    ]  # fmt: skip
    return MatchedSets(
        ids=tuple(set_ids[s] for s in order), contigs=tuple(contigs[s] for s in order), members=tuple(members[s] for s in order),
        annotation=annotation, categories=categories, masks=masks, weight_columns=weights, left_out=left_out, empty=empty,
        notes=tuple(notes), source=sets.source, store_fingerprint=store.fingerprint,
    )  # fmt: skip


def _pairs(sets: VariantSets, found: Found) -> pl.DataFrame:
    """A row for each set and variant: set_id, number, annotation (text), weights, ``times`` it is there; by set, then number."""
    rows = sets.table[found.rows].with_columns(pl.Series("number", found.numbers))
    rows = rows.with_columns(pl.col(SET, ANNOTATION).cast(pl.String)).sort(SET, "number")
    same = (pl.col(SET) == pl.col(SET).shift(1)) & (pl.col("number") == pl.col("number").shift(1))
    if not rows.select(same.fill_null(False).any()).item():
        return rows.with_columns(times=pl.lit(1))
    made = (
        rows.group_by(SET, "number", maintain_order=True)
        .agg(
            pl.col(VARIANT).first(),
            pl.col(ANNOTATION).drop_nulls().unique().sort().str.join(AND),
            *(pl.col(name).drop_nulls().first() for name in sets.weights),
            *(pl.col(name).drop_nulls().n_unique().alias(f"\0{name}") for name in sets.weights),
            times=pl.len() - pl.col(ANNOTATION).n_unique() + 1,
        )
        .with_columns(pl.col(ANNOTATION).replace("", None))
    )
    for name in sets.weights:
        torn = made.filter(pl.col(f"\0{name}") > 1)
        if torn.height:
            row = torn.row(0, named=True)
            raise InputError(
                f"{sets.source}: the variant '{row[VARIANT]}' of the set '{row[SET]}' has several weights '{name}' ({torn.height:,} variants "
                "in all): which counts? Keep one"
            )
    return made


def _cut(pairs: pl.DataFrame) -> tuple[list[str], Int64Array, list[Int64Array]]:
    """Ids of the sets, where each begins among the pairs, and the numbers of its variants."""
    lengths = pairs[SET].rle().struct.unnest()
    first = np.concatenate([[0], np.cumsum(lengths["len"].to_numpy())[:-1]]).astype(np.int64)
    return lengths["value"].to_list(), first, np.split(pairs["number"].to_numpy().astype(np.int64), first[1:])


def _contigs(sets: VariantSets, store: GenotypeStore, ids: list[str], members: list[Int64Array]) -> list[str]:
    """The contig of each set.

    Raises
    ------
    InputError
        A set lies on several.
    """
    runs = store.contig_runs()
    stops = np.array([stop for _, _, stop in runs])
    names = np.array([name for name, _, _ in runs], dtype=object)
    contigs, torn = [], []
    for set_id, numbers in zip(ids, members):
        edges = np.searchsorted(stops, numbers[[0, -1]], side="right")
        here = (
            names[[edges[0]]]
            if edges[0] == edges[1]
            else np.unique(names[np.searchsorted(stops, numbers, side="right")])
        )
        contigs.append(str(here[0]))
        if here.size > 1:
            torn.append(f"'{set_id}' ({', '.join(str(name) for name in here[:4])})")
    if torn:
        raise InputError(
            f"{sets.source}: {len(torn):,} sets lie on several contigs, and a set is tested on one: {', '.join(torn[:4])}"
            f"{', ...' if len(torn) > 4 else ''}. Give the parts on each contig a name of their own, or leave the strays out"
        )
    return contigs


def _categories(pairs: pl.DataFrame, sets: VariantSets) -> tuple[tuple[str, ...], Int64Array]:
    """All annotations, those that masks name among them, and the category of each pair."""
    named = {name for of in sets.masks.values() for name in of}
    here = pairs[ANNOTATION].drop_nulls().unique().to_list()
    categories = tuple(sorted({*sets.annotations, *here, *named}))
    if not here:
        return categories, np.full(pairs.height, NOT_ANNOTATED, dtype=np.int64)
    codes = pairs[ANNOTATION].replace_strict(
        list(categories), list(range(len(categories))), default=NOT_ANNOTATED, return_dtype=pl.Int64
    )
    return categories, codes.fill_null(NOT_ANNOTATED).to_numpy().astype(np.int64)


def _masks(sets: VariantSets, categories: tuple[str, ...]) -> tuple[Mask, ...]:
    """The masks by numbers of categories; a category of several annotations is of each mask that takes one of them."""
    if not sets.masks:
        return (Mask(ALL),)
    parts = [{name, *name.split(AND)} for name in categories]
    return tuple(
        Mask(name, frozenset(k for k, names in enumerate(parts) if names & set(of))) for name, of in sets.masks.items()
    )


def _left_out(sets: VariantSets, found: Found) -> pl.DataFrame:
    """set_id, variant and reason of the names that are not in the store."""
    lost = np.flatnonzero(found.reasons)
    reasons = pl.Series("reason", found.words, dtype=pl.String).gather(found.reasons[lost])
    return (
        sets.table[lost].select(pl.col(SET).cast(pl.String), VARIANT).with_columns(reasons).unique(maintain_order=True)
    )


def _empty(sets: VariantSets, there: list[str]) -> tuple[str, ...]:
    known = set(there)
    return tuple(
        name for name in sets.table[SET].unique(maintain_order=True).cast(pl.String).to_list() if name not in known
    )


def _said(sets: VariantSets, left_out: pl.DataFrame, empty: tuple[str, ...], pairs: pl.DataFrame) -> list[str]:
    """Notes on names without a variant, by reason, on sets without any, and on what is in a set twice."""
    notes = []
    for reason, names in left_out.unique(VARIANT, maintain_order=True).group_by("reason", maintain_order=True):
        n = names.height
        notes.append(f"{sets.source}: {n:,} variants left out: {reason[0]}: {first_few(names[VARIANT])}")
    if empty:
        notes.append(f"{sets.source}: {len(empty):,} sets have no variant in the store: {first_few(empty)}")
    twice = pairs.filter(pl.col("times") > 1)
    if twice.height:
        shown = first_few([f"{row[0]} in {row[1]}" for row in twice.head(5).select(VARIANT, SET).iter_rows()])
        notes.append(f"{sets.source}: {twice.height:,} variants are in a set more than once, and count once: {shown}")
    several = pairs.filter(pl.col(ANNOTATION).str.contains(AND, literal=True))
    if several.height:
        row = several.row(0, named=True)
        notes.append(
            f"{sets.source}: {several.height:,} variants have several annotations in a set, and are in the masks of each: "
            f"'{row[VARIANT]}' in {row[SET]} is {row[ANNOTATION]}, ..."
        )
    return notes


def _elsewhere(sets: VariantSets, store: GenotypeStore, ids: list[str], contigs: list[str]) -> list[str]:
    """A note on sets whose variants are not on the chromosome that the file states."""
    if not sets.chromosomes:
        return []
    from genassoc.data.cohort.contigs import contigs_of

    known = contigs_of(store)
    same = {name: set(known.same(name)) for name in set(sets.chromosomes.values())}
    other = [
        f"{s} ({contig})"
        for s, contig in zip(ids, contigs)
        if s in sets.chromosomes and contig not in same[sets.chromosomes[s]]
    ]
    if not other:
        return []
    return [
        f"{sets.source}: {len(other):,} sets have their variants on another chromosome than the file states: {first_few(other)}"
    ]


def _unmasked(sets: VariantSets, masks: tuple[Mask, ...], annotation: tuple[Int64Array, ...]) -> list[str]:
    """Notes on variants without annotation, and masks without variants of the store."""
    if not sets.masks:
        return []
    every = np.concatenate(annotation)
    bare = int(np.count_nonzero(every == NOT_ANNOTATED))
    notes = [f"{sets.source}: {bare:,} variants in sets have no annotation, so no mask takes them"] if bare else []
    for mask in masks:
        if not mask.of(every).any() and any(name in sets.annotations for name in sets.masks[mask.name]):
            notes.append(f"mask {mask.name} is empty: none of its variants is in the store")
    return notes
