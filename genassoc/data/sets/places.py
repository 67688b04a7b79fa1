"""Which variants of a store names mean: its ids first, then places with both alleles, in one pass over the variants' table."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from genassoc.data.cohort.contigs import Contigs, contigs_of
from genassoc.data.cohort.matching import first_few
from genassoc.data.cohort.variant_selection import variant_ids
from genassoc.data.store.store import GenotypeStore
from genassoc.shapes import Int64Array, UInt8Array

_VARIANTS = 2**20  # of the store at a time
_RS = r"^rs[0-9]+$"
# 1_100_A_C, chr1:100:A:C, 1:100_A/C, 1-100-A-C. The name of a contig may itself have separators (chrUn_KI270742v1), which is why it is greedy.
_ALLELE = r"[A-Za-z*.]+|<[^<>]*>"
_PLACE = rf"^(.{{1,200}})[:_-]([0-9]{{1,10}})[:_-]({_ALLELE})[:_/>-]({_ALLELE})$"

# Why a name has no variant, the strongest last: a name is at a place whose alleles are others, or are exchanged.
ABSENT, NO_CONTIG, OTHER_ALLELES, EXCHANGED = 1, 2, 3, 4
WORDS = (
    "",
    "not in the store",
    "the store has no such chromosome",
    "its position is in the store with other alleles",
    "it is in the store with REF and ALT exchanged",
)


@dataclass(frozen=True, eq=False)
class Found:
    """Variants of the store that R names mean.

    Attributes
    ----------
    rows, numbers : int64 arrays (any,)
        Pairs of a name (0..R-1) and a variant: a name that is the id of several variants means all of them.
    reasons : uint8 array (R,)
        0 where a name was found, else which of ``words``.
    several, repeated, otherwise : lists of str
        Names that are ids of several variants; whose place and alleles are in the store twice (the first is taken); that as places mean
        another variant than as ids (the id is taken).
    hint : str
        How names of the store look.
    """

    rows: Int64Array
    numbers: Int64Array
    reasons: UInt8Array
    words: tuple[str, ...] = WORDS
    several: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    otherwise: list[str] = field(default_factory=list)
    hint: str = ""

    def notes(self, source: str) -> list[str]:
        """Notes on names that mean more than one variant."""
        said = (
            (self.several, "names are ids of several variants of the store, which are all taken"),
            (
                self.repeated,
                "variants are in the store more than once with the same place and alleles; the first is taken",
            ),
            (self.otherwise, "names are the id of one variant and the place of another; the id is taken"),
        )
        return [f"{source}: {len(names):,} {words}: {first_few(names)}" for names, words in said if names]


def find_names(names: pl.Series, store: GenotypeStore) -> Found:
    """Find names (R,) in a store; see `Found`."""
    contigs = contigs_of(store)
    runs = store.contig_runs()
    keys = {name: contigs.key(name) for name in contigs.chromosomes}  # two names of one chromosome share one
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys.values()))}
    places = _numbered_places(names, contigs, numbers)
    wanted = pl.DataFrame({"row": np.arange(len(names), dtype=np.int64), "name": names})
    unplaced = wanted.filter(places["position"].is_null() & ~names.str.contains(_RS))
    placed = places.with_columns(wanted["row"]).filter(pl.col("contig") >= 0).sort("contig", "position")
    bounds = _Bounds(placed)
    reasons = np.full(len(names), ABSENT, dtype=np.uint8)
    reasons[(places["contig"] == -2).to_numpy()] = NO_CONTIG
    by_name: list[tuple[Int64Array, Int64Array]] = []
    by_place: list[tuple[Int64Array, Int64Array]] = []
    for start in range(0, store.n_variants, _VARIANTS):
        stop = min(start + _VARIANTS, store.n_variants)
        table = store.variants(start, stop).with_row_index("at")
        ids = table.select("at", pl.col("rsid").alias("name")).drop_nulls()
        by_name.append(_joined(ids, wanted, start))
        if unplaced.height:
            by_name.append(_joined(table.select("at", variant_ids().alias("name")), unplaced, start))
        for contig, begin, end in runs:
            first, last = max(begin, start), min(end, stop)
            if first < last:
                here = table[first - start : last - start]
                by_place.append(_at_places(bounds.cut(placed, numbers[keys[contig]], here), here, start, reasons))
    return _settled(names, _whole(by_name), _whole(by_place), reasons, _hint(names, store))


def _numbered_places(names: pl.Series, contigs: Contigs, numbers: Mapping[str, int]) -> pl.DataFrame:
    """``contig`` (by ``numbers`` of keys of contigs; -1 no place, -2 not in the store), position, ref, alt of names."""
    places = places_of(names)
    spelled = places["chromosome"].drop_nulls().unique().cast(pl.String).to_list()
    meant = {name: numbers[contigs.key(same[0])] if (same := contigs.same(name)) else -2 for name in spelled}
    if not meant:
        return places.with_columns(contig=pl.lit(-1, dtype=pl.Int64)).drop("chromosome")
    contig = (
        places["chromosome"]
        .cast(pl.String)
        .replace_strict(list(meant), list(meant.values()), default=-1, return_dtype=pl.Int64)
    )
    return places.with_columns(contig.fill_null(-1).alias("contig")).drop("chromosome")


def places_of(names: pl.Series) -> pl.DataFrame:
    """The places that names (R,) tell.

    Returns
    -------
    DataFrame
        ``chromosome`` (as spelled), ``position`` (int64), ``ref``, ``alt`` (in capitals), R rows; null where a name tells none.
    """
    groups = names.str.extract_groups(_PLACE).struct.unnest()
    groups.columns = ["chromosome", "position", "ref", "alt"]
    return groups.with_columns(
        pl.col("chromosome").cast(pl.Categorical),
        pl.col("position").cast(pl.Int64),
        pl.col("ref", "alt").str.to_uppercase(),
    )


class _Bounds:
    """Where the places of each contig begin among sorted ones."""

    def __init__(self, placed: pl.DataFrame) -> None:
        self.contig = placed["contig"].to_numpy()
        self.position = placed["position"].to_numpy()

    def cut(self, placed: pl.DataFrame, contig: int, variants: pl.DataFrame) -> pl.DataFrame:
        """Those places of a contig that lie between the variants' first and last position."""
        low, high = variants.select(
            pl.col("base_pair_location").min().alias("a"), pl.col("base_pair_location").max().alias("b")
        ).row(0)
        first, last = np.searchsorted(self.contig, [contig, contig + 1])
        begin = first + np.searchsorted(self.position[first:last], low)
        end = first + np.searchsorted(self.position[first:last], high, side="right")
        return placed[int(begin) : int(end)]


def _joined(ids: pl.DataFrame, wanted: pl.DataFrame, start: int) -> tuple[Int64Array, Int64Array]:
    """Rows and numbers of the names that are ids."""
    if not ids.height:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    found = ids.join(wanted, on="name", how="inner")
    return found["row"].to_numpy(), start + found["at"].to_numpy().astype(np.int64)


def _at_places(
    places: pl.DataFrame, variants: pl.DataFrame, start: int, reasons: UInt8Array
) -> tuple[Int64Array, Int64Array]:
    """Rows and numbers of places with their alleles; of others the reason is noted."""
    if not places.height:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    there = variants.select(
        "at",
        pl.col("base_pair_location").cast(pl.Int64).alias("position"),
        pl.col("other_allele").str.to_uppercase().alias("theirs"),
        pl.col("effect_allele").str.to_uppercase().alias("their_alt"),
    )
    both = places.join(there, on="position", how="inner").select(
        "row",
        "at",
        ((pl.col("ref") == pl.col("theirs")) & (pl.col("alt") == pl.col("their_alt"))).alias("same"),
        ((pl.col("alt") == pl.col("theirs")) & (pl.col("ref") == pl.col("their_alt"))).alias("exchanged"),
    )
    row, same, exchanged = both["row"].to_numpy(), both["same"].to_numpy(), both["exchanged"].to_numpy()
    np.maximum.at(reasons, row, np.where(exchanged, EXCHANGED, OTHER_ALLELES).astype(np.uint8))
    return row[same], start + both["at"].to_numpy()[same].astype(np.int64)


def _whole(parts: list[tuple[Int64Array, Int64Array]]) -> tuple[Int64Array, Int64Array]:
    """All pairs, by row and then number, each once."""
    if not parts:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    row, number = np.concatenate([a for a, _ in parts]), np.concatenate([b for _, b in parts])
    order = np.lexsort((number, row))
    row, number = row[order], number[order]
    new = np.ones(row.size, dtype=bool)
    new[1:] = (row[1:] != row[:-1]) | (number[1:] != number[:-1])
    return row[new], number[new]


def _settled(
    names: pl.Series,
    by_name: tuple[Int64Array, Int64Array],
    by_place: tuple[Int64Array, Int64Array],
    reasons: UInt8Array,
    hint: str,
) -> Found:
    """Ids before places, and of places that are there twice the first."""
    row, number = by_name
    counts = np.bincount(row, minlength=len(names))
    at_row, at_number = by_place
    first = np.ones(at_row.size, dtype=bool)
    first[1:] = at_row[1:] != at_row[:-1]
    repeated = np.unique(at_row[~first])
    both = first & (counts[at_row] > 0)
    named = np.full(len(names), -1, dtype=np.int64)
    named[row[::-1]] = number[::-1]  # the first
    otherwise = at_row[both & (counts[at_row] == 1) & (named[at_row] != at_number)]
    take = first & (counts[at_row] == 0)
    rows, numbers = np.concatenate([row, at_row[take]]), np.concatenate([number, at_number[take]])
    reasons[rows] = 0

    def shown(places: Int64Array) -> list[str]:
        return names.gather(places).unique(maintain_order=True).to_list()

    several = np.flatnonzero(counts > 1)
    return Found(
        rows, numbers, reasons, several=shown(several), repeated=shown(repeated[counts[repeated] == 0]),
        otherwise=shown(otherwise), hint=hint,
    )  # fmt: skip


def _hint(names: pl.Series, store: GenotypeStore) -> str:
    """How names of both sides look."""
    table = store.variants(0, min(store.n_variants, 3))
    ids = [name or "." for name in table["rsid"].to_list()]
    ours = [f"'{name}' (id '{rsid}')" for name, rsid in zip(table.select(variant_ids())["id"].to_list(), ids)]
    return f"They are called {first_few(names.head(4))}; variants of the store {', '.join(ours)}, ..."
