"""The verb `report`: results, their record and their cohort on one page."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl

from genassoc.data.forks import check_not_forked
from genassoc.data.output import check_outputs, check_writable
from genassoc.errors import GenassocError
from genassoc.reporting.document import Choices, write_page
from genassoc.reporting.facts import Facts, Group, at_variant, facts_of
from genassoc.reporting.loci import Hit, Scale
from genassoc.reporting.words import Words
from genassoc.results import Results

if TYPE_CHECKING:
    from genassoc.data.cohort.cohort import Cohort

MOST_HITS = 10


def report(
    results: Results,
    path: str | Path,
    *,
    lang: str = "en",
    title: str | None = None,
    cohort: "Cohort | None" = None,
    hits: int = MOST_HITS,
    by: str | None = None,
    tell: Callable[[str], None] | None = None,
) -> Path:
    """Write one HTML file on a run: what was asked, of whom, what was found, and what stands behind each number.

    The file needs nothing else: no network, no script, pictures inside it. It is laid out for paper too. The same results give the same bytes.

    Parameters
    ----------
    results : Results or SetResults
        Of `genassoc.associate` or `genassoc.associate_sets`, or read from a file. What its record does not say is said to be absent.
    path : path
        The file, .html.
    lang : {"en", "fr"}
        Language of the page; pictures and notes of the run stay English.
    title : str, optional
        By default the traits.
    cohort : Cohort, optional
        For outcomes by genotype of lead variants; without it that of the run, or made again from the files that the record names.
    hits : int
        How many lead variants are shown in full, the strongest first; 0 opens no cohort.
    by : str, optional
        A column of the phenotypes, such as the arm of a trial: outcomes by its values too. The model's own interaction where it has one.
    tell : callable, optional
        Told what is under way.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    GenassocError
        There is no such language; ``hits`` is no count.
    OutputError
        The file cannot be written.
    """
    check_not_forked()
    if not isinstance(results, Results):
        raise TypeError(f"report(results, path): results are Results, not {type(results).__name__}; see Results.read")
    words, path = Words(lang), Path(path)
    if isinstance(hits, bool) or not isinstance(hits, int) or hits < 0:
        raise GenassocError(
            f"hits is how many lead variants are shown in full, a whole number of at least 0, not {hits!r}."
        )
    if path.suffix.lower() not in (".html", ".htm"):
        raise GenassocError(f"{path}: a report is an HTML file; give it a name that ends in .html.")
    check_outputs([path], [] if results.path is None else [results.path])
    check_writable(path)
    tell = tell or (lambda _: None)
    tell("reading the results")
    facts = facts_of(results)
    shown = [] if facts.of_sets or not hits else _hits(facts, hits, cohort, by, tell)
    choices = Choices(words=words, title=title, scale=_scale(facts), hits=shown, tell=tell)
    write_page(facts, path, choices)
    return path


def _scale(facts: Facts) -> Scale:
    """What beta is, by the model of the record."""
    from genassoc.models.about import about_of

    found = facts.record.get("parameters")
    choices = found.get("model") if isinstance(found, Mapping) else None
    try:
        about = about_of(choices if isinstance(choices, Mapping) else {})
    except KeyError:
        return Scale()
    return Scale(about.scale, about.ratio)


def _hits(facts: Facts, most: int, cohort: "Cohort | None", by: str | None, tell: Callable[[str], None]) -> list[Hit]:
    """The strongest lead variants, one for each trait and variant, with all that the cohort says of them."""
    chosen = _chosen(facts, most)
    if not chosen:
        return []
    opened, why = _opened(facts, cohort, tell)
    made = []
    for group, row in chosen:
        tell(f"{row.get('rsid') or row.get('variant_id')}, {group.trait}")
        hit = Hit(row, at_variant(facts, group.trait, row), absent=why)
        made.append(hit if opened is None else _explained(facts, hit, opened, by))
    return made


def _chosen(facts: Facts, most: int) -> list[tuple[Group, dict[str, object]]]:
    """Leads to show: significant ones, else the strongest suggestive one of each trait and test; the strongest first."""
    found = [
        (row["neg_log_10_p_value"], number, group, row)
        for number, group in enumerate(facts.groups)
        for row in (group.leads if group.n_loci else group.leads.head(1)).iter_rows(named=True)
    ]
    seen: set[tuple[str, str]] = set()
    chosen = []
    for _, _, group, row in sorted(found, key=lambda one: (-one[0], one[1])):
        key = (
            group.trait,
            f"{row['chromosome']}:{row['base_pair_location']}:{row['effect_allele']}:{row['other_allele']}",
        )
        if key not in seen:
            seen.add(key)
            chosen.append((group, row))
    return chosen[:most]


def _opened(facts: Facts, cohort: "Cohort | None", tell: Callable[[str], None]) -> "tuple[Cohort | None, str]":
    """The cohort, or why there is none."""
    from genassoc.explanation.rebuilt import cohort_of

    try:
        return cohort_of(facts.results, cohort, tell), ""
    except GenassocError as error:
        return None, str(error)


def _explained(facts: Facts, hit: Hit, cohort: "Cohort", by: str | None) -> Hit:
    """A hit with its counts and its picture, from the refit of its row."""
    from dataclasses import replace

    from genassoc.explanation.explain import explain

    variant = hit.row.get("variant_id") or hit.row.get("rsid")
    try:
        found = explain(
            facts.results, str(variant), trait=str(hit.row["trait"]), test=str(hit.row["test"]), by=by, cohort=cohort
        )
    except GenassocError as error:
        return replace(hit, absent=str(error))
    counts: pl.DataFrame = found.counts
    return replace(hit, counts=counts, arm=getattr(found, "by", None), picture=found.figure)
