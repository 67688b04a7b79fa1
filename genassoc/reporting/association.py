"""Manhattan and QQ plots of each trait and test, and the strongest rows of sets."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from genassoc.reporting.facts import SET_COLUMNS, Facts, Group
from genassoc.reporting.page import Cell, Html, Pictures, joined, number, paragraphs, section, table, tag
from genassoc.reporting.words import Words

if TYPE_CHECKING:
    from genassoc.plots.figure import Axes

MOST_DRAWN = 60  # pairs of trait and test with pictures of their own
_RARE = 0.01  # of a bin whose QQ plot may run in steps


def drawn(facts: Facts) -> list[Group]:
    """The groups that have pictures, the strongest first where not all can have one; in the order of the results."""
    with_p = [group for group in facts.groups if group.n_p]
    strongest = sorted(with_p, key=lambda group: -_best(group))[:MOST_DRAWN]
    return [group for group in with_p if group in strongest] if len(with_p) > MOST_DRAWN else with_p


def _best(group: Group) -> float:
    return float(group.leads["neg_log_10_p_value"].max() or 0.0) if group.leads.height else 0.0  # type: ignore[arg-type]


def association(facts: Facts, words: Words, pictures: Pictures, tell: Callable[[str], None]) -> Html:
    """A table of all traits and tests, and the two pictures of each."""
    chosen = drawn(facts)
    parts: list[object] = [_overview(facts, words)] if facts.groups else []
    for k, group in enumerate(chosen):
        tell(f"pictures of {group.trait}, {group.test} ({k + 1} of {len(chosen)})")
        parts.append(_pair(facts, group, words, pictures, f"association-{k}"))
    left = sum(group.n_p > 0 for group in facts.groups) - len(chosen)
    if left:
        parts.append(paragraphs(words("association.not_drawn", n=left)))
    return section("association", words("association.title"), *parts)


def _overview(facts: Facts, words: Words) -> Html:
    names = ["trait", "test", "n_rows", "n_p", "lambda", *([] if facts.of_sets else ["n_loci"])]
    anchors = {group.key: f"#association-{k}" for k, group in enumerate(drawn(facts))}
    rows = []
    for group in facts.groups:
        trait = tag("a", group.trait, href=anchors[group.key]) if group.key in anchors else group.trait
        cells = [
            Cell(trait, group.trait),
            Cell(words.named("test", group.test), group.test),
            number(words, group.n_rows),
        ]
        cells += [number(words, group.n_p), number(words, group.inflation, 4)]
        rows.append(cells if facts.of_sets else [*cells, number(words, group.n_loci)])
    columns = [(name, words(f"col.{name}")) for name in names]
    return table(
        "groups", columns, rows, caption=words("association.overview"), keys=[group.key for group in facts.groups]
    )


def _pair(facts: Facts, group: Group, words: Words, pictures: Pictures, anchor: str) -> Html:
    trait, test = group.trait, words.named("test", group.test)
    named = {"trait": trait, "test": test}
    says = words("association.manhattan_genes" if facts.of_sets else "association.manhattan_says")
    manhattan = pictures.draw(
        lambda: _manhattan(facts, group), words("association.manhattan", **named), says, hover=True
    )
    by_maf = len([found for found in group.bins if found.n_p]) > 0 and not facts.of_sets
    qq_says = [words("association.qq_says")]
    if by_maf and any(found.n_p and found.number >= 2 for found in group.bins):
        qq_says.append(words("association.qq_steps"))
    alt = words("association.qq" if by_maf else "association.qq_all", **named)
    qq = pictures.draw(lambda: _qq(facts, group, by_maf), alt, " ".join(qq_says))
    inflation = words("association.lambda_none")
    if group.inflation is not None:
        inflation = words("association.lambda", value=words.fixed(group.inflation, 3), n=group.n_p)
    return section(anchor, words("association.of", **named), paragraphs(inflation), manhattan, qq, level=3)


def _manhattan(facts: Facts, group: Group) -> "Axes":
    from genassoc import plots

    return plots.manhattan(facts.results, trait=group.trait, test=group.test)


def _qq(facts: Facts, group: Group, by_maf: bool) -> "Axes":
    from genassoc import plots

    if facts.of_sets:
        by = "mask" if "mask" in group.leads.columns and group.leads["mask"].drop_nulls().len() else None
        return plots.qq(facts.results, by=by, trait=group.trait, test=group.test)  # type: ignore[arg-type]
    if not by_maf or all(found.number > 3 for found in group.bins):
        return plots.qq(facts.results, trait=group.trait, test=group.test)
    return plots.qq(facts.results, by="maf", trait=group.trait, test=group.test)


def genes(facts: Facts, words: Words) -> Html:
    """The strongest rows of sets."""
    parts: list[object] = []
    if facts.n_tests:
        parts.append(paragraphs(words("genes.says", threshold=words.decimal(facts.threshold), n=facts.n_tests)))
    shown = [name for name in SET_COLUMNS if name in facts.names and name not in ("trait", "test")]
    for group in facts.groups:
        leads = group.leads.select(name for name in shown if group.leads[name].null_count() < group.leads.height)
        if not leads.height:
            continue
        rows, keys = [], []
        for row in leads.iter_rows(named=True):
            cells = [p_or_number(words, name, value) for name, value in row.items()]
            below = row["neg_log_10_p_value"] > _neg_log(facts.threshold)
            rows.append([*cells, Cell(words("yes" if below else "no"))])
            keys.append(f"{group.key}|{row['set_id']}|{row.get('mask')}|{row.get('max_maf')}")
        columns = [(name, words(f"col.{name}")) for name in (*leads.columns, "significant")]
        caption = words("genes.rows", trait=group.trait, test=words.named("test", group.test))
        parts.append(table("sets", columns, rows, caption=caption, keys=keys))
    return section("genes", words("genes.title"), joined(parts) or paragraphs(words("genes.none")))


def _neg_log(p: float) -> float:
    from math import log10

    return -log10(p)


def p_or_number(words: Words, name: str, value: object) -> Cell:
    """A cell of a column of results: of -log10 p the p is shown, names stay text; the very value is beside."""
    if name == "neg_log_10_p_value" and isinstance(value, float):
        return Cell(words.p(value), value)
    if name in ("base_pair_location", "start", "end") and isinstance(value, int):
        return Cell(words.whole(value), value)
    if name == "method" and isinstance(value, str):
        return Cell(words.named("method", value), value)
    if name == "test" and isinstance(value, str):
        return Cell(words.named("test", value), value)
    return number(words, value)
