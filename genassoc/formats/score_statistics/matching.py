"""One variant in several cohorts: found by place and alleles, turned where a cohort counts the other allele, and every one that is not found told."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from genassoc.data.cohort.contigs import Contigs
from genassoc.data.score_statistics import SetStatistics
from genassoc.shapes import BoolArray, Float64Array, Int64Array

Key = tuple[str, int, str, str]
SWAPPED, STRAND, ABSENT, OTHER_ALLELES, TWICE, OTHER_SET = (
    "REF and ALT swapped: turned", "REF and ALT swapped, or the other strand (A/T, C/G): turned", "absent",
    "other alleles at the place: left out", "there twice: the first is used", "not in the set: left out",
)  # fmt: skip
FINDINGS_SCHEMA = {"cohort": pl.String, "set_id": pl.String, "variant_id": pl.String, "finding": pl.String}
MOST_LISTED = 1_000_000  # rows of findings kept; all are counted
_STRAND = ({"A", "T"}, {"C", "G"})


@dataclass(frozen=True)
class SetVariants:
    """The variants of a set, as a meta-analysis takes it.

    Attributes
    ----------
    set_id : str
    keys : tuple of (contig, position, REF, ALT)
        m of them; contigs as `Contigs.key` has them.
    names : tuple of str
        chromosome_position_ref_alt, as the first that names it spells it.
    annotations : tuple of frozenset of str
    weights : float64 array (m,) or None
    """

    set_id: str
    keys: tuple[Key, ...]
    names: tuple[str, ...]
    annotations: tuple[frozenset[str], ...]
    weights: Float64Array | None

    @property
    def contig(self) -> str:
        """Of its first variant."""
        return self.keys[0][0]


@dataclass
class Findings:
    """What was found when variants of cohorts were matched.

    Attributes
    ----------
    counts : Counter of (cohort, finding)
    rows : list of tuple
        cohort, set_id, variant_id, finding: the first `MOST_LISTED`.
    """

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    rows: list[tuple[str, str, str, str]] = field(default_factory=list)

    def add(self, cohort: str, set_id: str, variant_id: str, finding: str) -> None:
        """One more."""
        self.counts[cohort, finding] += 1
        if len(self.rows) < MOST_LISTED:
            self.rows.append((cohort, set_id, variant_id, finding))

    @property
    def table(self) -> pl.DataFrame:
        """The list: cohort, set_id, variant_id, finding."""
        return pl.DataFrame(self.rows, schema=FINDINGS_SCHEMA, orient="row")

    def lines(self) -> list[str]:
        """A line a cohort and finding."""
        return [f"{cohort}: {n:,} variants {finding}" for (cohort, finding), n in sorted(self.counts.items())]


@dataclass(frozen=True, kw_only=True)
class Matched:
    """One cohort's statistics in the order and orientation of a set's variants, m of them.

    Attributes
    ----------
    U : float64 array (m,)
        0 of variants that the cohort has not.
    V : float64 array (m, m)
        With the cohort's factors.
    present : bool array (m,)
    allele_number, allele_count, n_carriers, n_event_carriers : float64 arrays (m,)
        NaN where the cohort has not the variant, or does not tell.
    n : int
    n_events : int or None
    """

    U: Float64Array
    V: Float64Array
    present: BoolArray
    allele_number: Float64Array
    allele_count: Float64Array
    n_carriers: Float64Array
    n_event_carriers: Float64Array
    n: int
    n_events: int | None


def keys_of(variants: pl.DataFrame, contigs: Contigs) -> list[Key]:
    """Contig's key, position, REF and ALT (in capitals) of rows."""
    keyed = {name: contigs.key(name) for name in variants["chromosome"].unique().to_list()}
    columns = [variants[name].str.to_uppercase().to_list() for name in ("other_allele", "effect_allele")]
    names, positions = variants["chromosome"].to_list(), variants["base_pair_location"].to_list()
    return [(keyed[name], position, ref, alt) for name, position, ref, alt in zip(names, positions, *columns)]


def turned(key: Key) -> Key:
    """REF and ALT swapped."""
    return key[0], key[1], key[3], key[2]


def set_variants(members: pl.DataFrame, contigs: Contigs, cohorts: Iterable[str] = ()) -> dict[str, SetVariants]:
    """The sets of a table: set_id, chromosome, base_pair_location, other_allele, effect_allele, annotation, weight.

    A variant that has several rows in a set, swapped in some of them or not, is one; the first row says which allele is REF. Annotations are
    joined; of weights the first is taken.
    """
    found: dict[str, SetVariants] = {}
    keys = keys_of(members, contigs)
    rows = members.select("set_id", "chromosome", "annotation", "weight").rows()
    by_set: dict[str, dict[Key, tuple[str, set[str], float | None]]] = {}
    for key, (set_id, chromosome, annotation, weight) in zip(keys, rows):
        here = by_set.setdefault(set_id, {})
        at = turned(key) if key not in here and turned(key) in here else key
        name = f"{chromosome}_{key[1]}_{key[2]}_{key[3]}"
        entry = here.setdefault(at, (name, set(), weight))
        if annotation is not None:
            entry[1].update(annotation.split("&"))
    for set_id, here in by_set.items():
        order = sorted(here, key=lambda key: key[1])  # stable: alleles of one place as they came
        weights = [here[key][2] for key in order]
        told = None if all(weight is None for weight in weights) else np.array(
            [np.nan if weight is None else weight for weight in weights]
        )  # fmt: skip
        found[set_id] = SetVariants(
            set_id, tuple(order), tuple(here[key][0] for key in order), tuple(frozenset(here[key][1]) for key in order), told,
        )  # fmt: skip
    return found


def matched(
    one: SetStatistics, asked: SetVariants, contigs: Contigs, cohort: str, findings: Findings, *, exact: bool = True
) -> Matched:
    """A cohort's statistics as a set's variants are asked for.

    Parameters
    ----------
    one : SetStatistics
    asked : SetVariants
    contigs : Contigs
        Of all cohorts.
    cohort : str
        For the findings.
    findings : Findings
        Told of variants that are swapped, absent, there twice, or of other alleles.
    exact : bool
        Whether variants of the cohort that the set has not are told: no, where they were read by place and not by set.
    """
    m = len(asked.keys)
    number = {key: k for k, key in enumerate(asked.keys)}
    places = {key[:2] for key in asked.keys}
    at, sign, rows = [], [], []
    taken: set[int] = set()
    for row, key in enumerate(keys_of(one.variants, contigs)):
        swapped = key not in number
        k = number.get(turned(key) if swapped else key)
        name = one.variants["variant_id"][row] or "_".join(map(str, key))
        if k is None:
            if key[:2] in places:
                findings.add(cohort, asked.set_id, name, OTHER_ALLELES)
            elif exact:
                findings.add(cohort, asked.set_id, name, OTHER_SET)
            continue
        if k in taken:
            findings.add(cohort, asked.set_id, name, TWICE)
            continue
        if swapped:
            findings.add(cohort, asked.set_id, name, STRAND if {key[2], key[3]} in _STRAND else SWAPPED)
        taken.add(k)
        at.append(k)
        sign.append(-1.0 if swapped else 1.0)
        rows.append(row)
    for k in range(m):
        if k not in taken:
            findings.add(cohort, asked.set_id, asked.names[k], ABSENT)
    return _placed(one, np.array(rows, np.int64), np.array(at, np.int64), np.array(sign), m)


def _placed(one: SetStatistics, rows: Int64Array, at: Int64Array, sign: Float64Array, m: int) -> Matched:
    U, V = np.zeros(m), np.zeros((m, m))
    U[at] = sign * one.U[rows]
    V[np.ix_(at, at)] = sign[:, None] * one.adjusted[np.ix_(rows, rows)] * sign
    table = one.variants[rows]

    def placed(name: str) -> Float64Array:
        values = np.full(m, np.nan)
        values[at] = table[name].cast(pl.Float64).to_numpy()
        return values

    alleles, count = placed("allele_number"), placed("allele_count")
    swapped = np.zeros(m, dtype=bool)
    swapped[at] = sign < 0
    count = np.where(swapped, alleles - count, count)
    present = np.zeros(m, dtype=bool)
    present[at] = True
    n, events = (max(one.variants[name].drop_nulls().to_list(), default=None) for name in ("n", "n_events"))
    return Matched(
        U=U, V=V, present=present, allele_number=alleles, allele_count=count, n_carriers=placed("n_carriers"),
        n_event_carriers=placed("n_event_carriers"), n=int(n or 0), n_events=None if events is None else int(events),
    )  # fmt: skip


def wanted_places(sets: Mapping[str, SetVariants]) -> dict[Key, tuple[int, int]]:
    """Every variant of the sets, as it is named and swapped -> first and last position of the sets that have it."""
    wanted: dict[Key, tuple[int, int]] = {}
    for asked in sets.values():
        first, last = asked.keys[0][1], asked.keys[-1][1]
        for key in asked.keys:
            for spelt in (key, turned(key)):
                before = wanted.get(spelt, (first, last))
                wanted[spelt] = min(first, before[0]), max(last, before[1])
    return wanted
