"""Lead variants: a table of each trait and test, then one by one: all its tests, its region, the outcome by genotype and arm."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import polars as pl

from genassoc.reporting.association import p_or_number
from genassoc.reporting.facts import DISTANCE, SIGNIFICANT, Facts, Group
from genassoc.reporting.page import Cell, Html, Pictures, number, paragraphs, section, table, tag
from genassoc.reporting.words import Words

if TYPE_CHECKING:
    from genassoc.plots.figure import Axes

_IN_TABLE = (
    "rsid", "variant_id", "effect_allele", "effect_allele_frequency", "n", "n_cases", "n_events", "mac", "beta", "standard_error",
    "interval", "ratio", "neg_log_10_p_value", "method", "code",
)  # fmt: skip
_OF_HIT = ("test", "n", "beta", "standard_error", "interval", "ratio", "neg_log_10_p_value", "method", "code")


@dataclass(frozen=True)
class Scale:
    """What beta is: its unit, and what exp(beta) is called where it is a ratio."""

    unit: str = ""
    ratio: str | None = None


@dataclass(frozen=True, kw_only=True)
class Hit:
    """A lead variant that is shown in full.

    Attributes
    ----------
    row : mapping
        Its row of the results.
    tests : DataFrame
        All rows of its trait at this variant.
    region : callable or None
        Draws its surroundings.
    counts : DataFrame or None
        Samples by genotype, by arm too where there are arms; None where the cohort is not at hand.
    arm : str or None
        What the arms are called.
    picture : callable or None
        Draws the outcome by genotype, a panel an arm.
    by_arm : callable or None
        Draws the outcome by genotype, a line an arm.
    withheld : tuple of str
        What a policy withheld of it, and why.
    absent : str
        Why there are no counts; empty where there are.
    """

    row: Mapping[str, object]
    tests: pl.DataFrame
    region: "Callable[[], Axes] | None" = None
    counts: pl.DataFrame | None = None
    arm: str | None = None
    picture: "Callable[[], Axes] | None" = None
    by_arm: "Callable[[], Axes] | None" = None
    withheld: tuple[str, ...] = ()
    absent: str = ""

    @property
    def name(self) -> str:
        """The rsid, or what stands for it."""
        return name_of(self.row)


def name_of(row: Mapping[str, object]) -> str:
    """The rsid of a row, or its variant_id, or its place."""
    for key in ("rsid", "variant_id"):
        if row.get(key) not in (None, "", "."):
            return str(row[key])
    return f"{row.get('chromosome')}:{row.get('base_pair_location')}"


def loci(facts: Facts, words: Words, scale: Scale, hits: list[Hit], pictures: Pictures) -> Html:
    """The section of lead variants."""
    parts: list[object] = [paragraphs(words("loci.says", distance=DISTANCE), scale_words(words, scale))]
    some = [group for group in facts.groups if group.has_leads]
    if not some:
        parts.append(paragraphs(words("loci.none")))
    for group in some:
        if group.level > SIGNIFICANT:
            parts.append(paragraphs(f"{group.trait}, {words.named('test', group.test)}: {words('loci.suggestive')}"))
        parts.append(_leads(group, words, scale))
    parts += [_hit(hit, words, scale, pictures, f"hit-{k}") for k, hit in enumerate(hits)]
    return section("loci", words("loci.title"), *parts)


def scale_words(words: Words, scale: Scale) -> str | None:
    """What beta is, in words."""
    if not scale.unit:
        return None
    unit = words.named("scale", scale.unit)
    if scale.ratio is None:
        return words("loci.scale", scale=unit)
    return words("loci.scale_ratio", scale=unit, ratio=words.named("ratio", scale.ratio))


def _leads(group: Group, words: Words, scale: Scale) -> Html:
    leads = group.leads
    names = _present(_IN_TABLE, leads, scale)
    rows = [[cell_of(words, name, row) for name in names] for row in leads.iter_rows(named=True)]
    keys = [f"{group.key}|{row.get('variant_id') or name_of(row)}" for row in leads.iter_rows(named=True)]
    caption = words("loci.leads", trait=group.trait, test=words.named("test", group.test))
    shown = table("leads", _headings(words, names, scale), rows, caption=caption, keys=keys)
    more = group.n_loci - leads.height
    return Html(shown + (paragraphs(words("more_rows", n=more)) if more > 0 else ""))


def _present(wanted: tuple[str, ...], rows: pl.DataFrame, scale: Scale) -> list[str]:
    """Columns that some row has a value of; interval and ratio where the rows have bounds."""

    def has(name: str) -> bool:
        return name in rows.columns and rows[name].null_count() < rows.height

    bounds = has("ci_lower") and has("ci_upper")
    made = {"interval": bounds and scale.ratio is None, "ratio": bounds and scale.ratio is not None}
    return [name for name in wanted if made.get(name, has(name))]


def _headings(words: Words, names: list[str], scale: Scale) -> list[tuple[str, str]]:
    ratio = words.named("ratio", scale.ratio or "")
    return [(name, words(f"col.{name}", ratio=ratio) if name == "ratio" else words(f"col.{name}")) for name in names]


def cell_of(words: Words, name: str, row: Mapping[str, object]) -> Cell:
    """A cell of a row of results; the interval, and the ratio with its interval, are of beta and its bounds."""
    if name not in ("interval", "ratio"):
        return p_or_number(words, name, row.get(name))
    beta, low, high = (row.get(key) for key in ("beta", "ci_lower", "ci_upper"))
    if not isinstance(low, float) or not isinstance(high, float) or not isinstance(beta, float):
        return Cell("\N{EN DASH}")
    if name == "interval":
        return Cell(f"{words.decimal(low)}{words('to')}{words.decimal(high)}", f"{low!r} {high!r}")
    shown = f"{words.decimal(_exp(beta))} ({words.decimal(_exp(low))}{words('to')}{words.decimal(_exp(high))})"
    return Cell(shown, f"{beta!r} {low!r} {high!r}")


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf


def _hit(hit: Hit, words: Words, scale: Scale, pictures: Pictures, anchor: str) -> Html:
    trait, named = str(hit.row["trait"]), {"variant": hit.name, "trait": str(hit.row["trait"])}
    names = _present(_OF_HIT, hit.tests, scale)
    rows = [[cell_of(words, name, row) for name in names] for row in hit.tests.iter_rows(named=True)]
    variant = hit.row.get("variant_id") or hit.name
    keys = [f"{trait}|{row['test']}|{variant}" for row in hit.tests.iter_rows(named=True)]
    parts: list[object] = [
        table("tests", _headings(words, names, scale), rows, caption=words("hit.tests", **named), keys=keys)
    ]
    if hit.region is not None:
        says = words("hit.region_says", distance=DISTANCE, variant=hit.name)
        parts.append(pictures.draw(hit.region, words("hit.region", **named), says, hover=True))
    if hit.picture is not None:
        parts.append(pictures.draw(hit.picture, words("hit.picture", **named), words("hit.picture_says")))
    if hit.by_arm is not None:
        alt = words("hit.by_arm", arm=str(hit.arm), **named)
        parts.append(pictures.draw(hit.by_arm, alt, words("hit.by_arm_says")))
    if hit.counts is not None:
        parts.append(_counts(hit, words, f"{trait}|{variant}"))
    parts += [tag("p", words("hit.withheld", rule=line), class_="withheld") for line in hit.withheld]
    if hit.absent:
        parts.append(paragraphs(words("hit.absent", why=hit.absent)))
    return section(anchor, words("hit.title", **named), *parts, level=3)


def _counts(hit: Hit, words: Words, key: str) -> Html:
    assert hit.counts is not None
    rows = [[number(words, value) for value in row] for row in hit.counts.iter_rows()]
    columns = [(name, words.named("count", name)) for name in hit.counts.columns]
    caption = words("hit.counts") if hit.arm is None else words("hit.counts_arm", arm=hit.arm)
    return table("counts", columns, rows, caption=caption, keys=[f"{key}|{k}" for k in range(len(rows))])
