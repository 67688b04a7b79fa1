"""The verb `report`: results, their record and their cohort on one page."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

from genassoc.data.disclosed_tables import WITHHELD, masked, record_that_leaves
from genassoc.data.disclosure import Policy, Withheld, policy_of
from genassoc.data.forks import check_not_forked
from genassoc.data.output import check_outputs, check_writable
from genassoc.errors import GenassocError
from genassoc.reporting.document import Choices, write_page
from genassoc.reporting.facts import DISTANCE, Facts, Group, at_variant, facts_of
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
    policy: "Policy | str | None" = None,
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
    policy : Policy or str, optional
        "snds", "casd", "ukb" or "finngen": counts of few people, what they could be worked out from, paths and notes are withheld, and the
        page lists what was.
    tell : callable, optional
        Told what is under way.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    GenassocError
        There is no such language or policy; ``hits`` is no count.
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
    rule = _policy(policy)
    tell = tell or (lambda _: None)
    tell("reading the results")
    facts = facts_of(results)
    shown = [] if facts.of_sets or not hits else _hits(facts, hits, _Given(cohort, genes, by, tell, rule))
    told = Choices(words=words, title=title, scale=_scale(facts), hits=shown, tell=tell)
    if rule is not None:
        facts, withheld = leaving(facts, rule)
        told = replace(told, withheld=withheld.lines(), policy=(rule.name, rule.least))
    write_page(facts, path, told)
    return path


def _policy(policy: "Policy | str | None") -> Policy | None:
    try:
        return policy_of(policy)
    except ValueError as error:
        raise GenassocError(f"policy: {error}.") from error


def leaving(facts: Facts, policy: Policy) -> tuple[Facts, Withheld]:
    """The facts as they may leave, and what was withheld of them."""
    groups, n_gone = [], 0
    for group in facts.groups:
        leads = _rows_leaving(facts, group.leads, policy)
        n_gone += int(leads[WITHHELD].is_not_null().sum())
        groups.append(replace(group, leads=leads.drop(WITHHELD)))
    entries = (f"{n_gone} rows of lead variants or sets: counts, frequencies and estimates",) if n_gone else ()
    record = record_that_leaves(facts.record, Withheld(policy, entries))
    told = record.get("disclosure")
    listed = told.get("withheld") if isinstance(told, Mapping) else None
    return replace(facts, groups=tuple(groups), record=record), Withheld(policy, tuple(map(str, listed or entries)))


def _rows_leaving(facts: Facts, rows: pl.DataFrame, policy: Policy) -> pl.DataFrame:
    """Rows masked; those of sets beside all rows of the same sets, from whose differences counts could be worked out."""
    if not facts.of_sets or not rows.height:
        return masked(rows, policy)
    every = facts.results.scan().filter(pl.col("set_id").is_in(rows["set_id"].unique().to_list())).collect()
    left = masked(every, policy).filter(pl.col("left_out").is_null())
    keys = ["set_id", "mask", "max_maf", "trait", "test"]
    return (
        rows.select(keys)
        .join(left, on=keys, how="left", nulls_equal=True, maintain_order="left")
        .select(*rows.columns, WITHHELD)
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
    policy: Policy | None = None


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
        tests = at_variant(facts, group.trait, row)
        if given.policy is not None:
            tests = masked(tests, given.policy).drop(WITHHELD)
        hit = Hit(row=row, tests=tests, region=region, absent=why)
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
        return None, str(error) if given.policy is None else type(error).__name__  # whose words name files and samples


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
        return replace(hit, absent=str(error) if given.policy is None else type(error).__name__)
    if given.policy is not None and _few(counts, found.by, given.policy):
        return replace(hit, withheld=(given.policy.rule,))
    by_arm = None if found.arms is None else partial(effect_by_arm, found, policy=given.policy)
    return replace(
        hit, counts=counts, arm=found.by, picture=partial(effect_by_genotype, found, policy=given.policy), by_arm=by_arm
    )


_COUNTS = ("n", "n_cases", "n_controls", "n_events")


def _few(counts: pl.DataFrame, arm: str | None, policy: Policy) -> bool:
    """Whether any count of the table by genotype, or of samples with and without an event, is one that may not leave."""
    found = [int(n) for name in _COUNTS if name in counts.columns and name != arm for n in counts[name].drop_nulls()]
    if "n_events" in counts.columns and "n" in counts.columns:
        found += [int(n) for n in (counts["n"] - counts["n_events"]).drop_nulls()]
    return not all(policy.allows(n) for n in found)


def interaction_of(facts: Facts) -> str | None:
    """The covariate that the model lets the effect differ by."""
    found = choices(facts).get("interaction")
    return found if isinstance(found, str) else None
