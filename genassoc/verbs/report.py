"""The verb `report`: results, their record and their cohort on one page."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from genassoc.data.disclosed_tables import WITHHELD, masked
from genassoc.data.disclosure import Policy, policy_of
from genassoc.data.forks import check_not_forked
from genassoc.data.output import check_outputs, check_writable
from genassoc.errors import GenassocError, WithheldError
from genassoc.reporting.document import Choices, write_page
from genassoc.reporting.facts import DISTANCE, Facts, Group, at_variant, facts_of, facts_that_leave
from genassoc.reporting.loci import Hit, Scale
from genassoc.reporting.record import choices
from genassoc.reporting.words import Words
from genassoc.results import Results

if TYPE_CHECKING:
    from genassoc.data.cohort.cohort import Cohort
    from genassoc.plots.figure import Axes

MOST_HITS = 10


def report(
    results: Results,
    path: str | Path,
    *,
    lang: str = "en",
    title: str | None = None,
    cohort: "Cohort | None" = None,
    genes: "str | Path | pl.DataFrame | None" = None,
    hits: int = MOST_HITS,
    by: str | None = None,
    policy: Policy | str | None = None,
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
    genes : path or DataFrame, optional
        A GTF or GFF3 (or the table that `genassoc.plots.read_genes` makes of one): genes under the pictures of regions.
    hits : int
        How many lead variants are shown in full, the strongest first; 0 opens no cohort.
    by : str, optional
        A column of the phenotypes, such as the arm of a trial: outcomes by its values too. The model's own interaction where it has one.
    policy : Policy or "snds", "casd", "ukb", "finngen", optional
        Write it as it may leave: no counts, estimates and pictures of few people, no notes (which may name samples), no paths; what was
        withheld is listed.
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
    given, chosen = _Given(cohort, genes, by, tell), policy_of(policy)
    scale = _scale(facts)
    shown = [] if facts.of_sets or not hits else _hits(facts, hits, given)
    withheld: list[str] = []
    if chosen is not None:
        facts, listed = facts_that_leave(facts, chosen)
        shown = [_hit_that_leaves(hit, chosen) for hit in shown]
        withheld = (
            listed + [f"{hit.name}, {hit.row['trait']}: {line}" for hit in shown for line in hit.withheld]
        ).lines()
    write_page(facts, path, Choices(words=words, title=title, scale=scale, hits=shown, withheld=withheld, tell=tell))
    return path


def _hit_that_leaves(hit: Hit, policy: Policy) -> Hit:
    """A lead without counts, estimates and pictures of few people."""
    from genassoc.explanation.disclosed import counts_that_leave, picture_that_leaves, row_that_leaves
    from genassoc.explanation.pictures import effect_by_arm, effect_by_genotype

    row = row_that_leaves(hit.row, policy)
    said = [] if row.pop(WITHHELD) is None else ["counts, frequencies and estimates"]
    hit = replace(hit, row=row, tests=masked(hit.tests, policy).drop(WITHHELD))
    if hit.located is None or hit.counts is None:
        return replace(hit, absent=hit.absent and "the samples are not at hand", withheld=tuple(said))
    counts, _, of_counts = counts_that_leave(hit.located, hit.counts, policy)
    try:
        drawn = picture_that_leaves(hit.located, policy)
    except WithheldError:
        return replace(
            hit, counts=counts, picture=None, by_arm=None, withheld=(*said, *of_counts, "the pictures by genotype")
        )
    by_arm = None if hit.by_arm is None else partial(effect_by_arm, drawn)
    return replace(
        hit, counts=counts, picture=partial(effect_by_genotype, drawn), by_arm=by_arm, withheld=(*said, *of_counts)
    )


def _scale(facts: Facts) -> Scale:
    """What beta is, by the model of the record."""
    from genassoc.models.about import about_of

    try:
        about = about_of(choices(facts))
    except KeyError:
        return Scale()
    return Scale(about.scale, about.ratio)


class _Given(NamedTuple):
    """What was given beside the results."""

    cohort: "Cohort | None"
    genes: "str | Path | pl.DataFrame | None"
    by: str | None
    tell: Callable[[str], None]


def _hits(facts: Facts, most: int, given: _Given) -> list[Hit]:
    """The strongest lead variants, one for each trait and variant, with all that the cohort says of them."""
    chosen = _chosen(facts, most)
    if not chosen:
        return []
    cohort, why = _opened(facts, given)
    given = given._replace(cohort=cohort, genes=_genes(given.genes, [row for _, row in chosen]))
    made = []
    for group, row in chosen:
        given.tell(f"{row.get('rsid') or row.get('variant_id')}, {group.trait}")
        region = partial(_region, facts, row, given)
        hit = Hit(row, at_variant(facts, group.trait, row), region=region, absent=why)
        made.append(hit if cohort is None else _with_samples(facts, hit, given))
    return made


def _genes(genes: "str | Path | pl.DataFrame | None", rows: list[dict[str, object]]) -> "pl.DataFrame | None":
    """The genes around the leads, from one reading of the file."""
    if genes is None or isinstance(genes, pl.DataFrame):
        return genes
    from genassoc.formats.sets.gtf import read_genes

    places = [(str(row["chromosome"]), int(str(row["base_pair_location"]))) for row in rows]
    return read_genes(genes, [(contig, max(1, at - DISTANCE), at + DISTANCE) for contig, at in places])


def _region(facts: Facts, row: Mapping[str, object], given: _Given) -> "Axes":
    """The picture of a lead's surroundings."""
    from genassoc.explanation.pictures import regional

    return regional(
        facts.results, name_in_results(row), trait=str(row["trait"]), test=str(row["test"]), flank=DISTANCE, ld=given.cohort is not None,
        genes=given.genes, cohort=given.cohort, tell=given.tell,
    )  # fmt: skip


def name_in_results(row: Mapping[str, object]) -> str:
    """What names the variant of a row: its variant_id, or its rsid."""
    return str(row.get("variant_id") or row.get("rsid") or f"{row['chromosome']}:{row['base_pair_location']}")


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


def _opened(facts: Facts, given: _Given) -> "tuple[Cohort | None, str]":
    """The cohort, or why there is none."""
    from genassoc.explanation.rebuilt import cohort_of

    try:
        return cohort_of(facts.results, given.cohort, given.tell), ""
    except GenassocError as error:
        return None, str(error)


def _with_samples(facts: Facts, hit: Hit, given: _Given) -> Hit:
    """A hit with its counts and pictures; nothing is fitted again."""
    from genassoc.explanation.counts import count_table
    from genassoc.explanation.pictures import effect_by_arm, effect_by_genotype, located

    row = hit.row
    try:
        found = located(
            facts.results, name_in_results(row), trait=str(row["trait"]), test=str(row["test"]), by=given.by or interaction_of(facts),
            cohort=given.cohort, tell=given.tell,
        )  # fmt: skip
        counts = count_table(found.data, found.groups, found.by if found.arms is not None else None, found.arms)
    except GenassocError as error:
        return replace(hit, absent=str(error))
    by_arm = None if found.arms is None else partial(effect_by_arm, found)
    drawn = partial(effect_by_genotype, found)
    return replace(hit, counts=counts, arm=found.by, picture=drawn, by_arm=by_arm, located=found)


def interaction_of(facts: Facts) -> str | None:
    """The covariate that the model lets the effect differ by."""
    found = choices(facts).get("interaction")
    return found if isinstance(found, str) else None
