"""Pictures of one variant that need the samples or the genotypes of its cohort: `genassoc.plots` lends its name to them."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.contigs import bare_name, chromosome_of
from genassoc.data.cohort.ld import r2_with
from genassoc.data.cohort.variant_places import variant_numbers
from genassoc.data.disclosure import Policy, policy_of
from genassoc.data.store.store import GenotypeStore
from genassoc.errors import GenassocError
from genassoc.explanation.arms import arms_of
from genassoc.explanation.disclosed import picture_that_leaves
from genassoc.explanation.explain import find_row, numbers_of
from genassoc.explanation.explained import Located
from genassoc.explanation.picture import draw, draw_by_arm
from genassoc.explanation.rebuilt import choices_of, cohort_of
from genassoc.formats.sets.gtf import read_genes
from genassoc.plots.region import Region, draw_region
from genassoc.plots.series import P_VALUE, ResultsLike, gather, read_series, scan_of
from genassoc.plots.words import p_equals
from genassoc.refit.row_data import RowSource
from genassoc.results import Results
from genassoc.shapes import Float64Array

if TYPE_CHECKING:
    from genassoc.plots.figure import Axes

_REGION = re.compile(r"(.+):([0-9][0-9,]*)-([0-9][0-9,]*)")
_NEEDED = ("chromosome", "base_pair_location", "effect_allele", "other_allele", "rsid", "variant_id", P_VALUE)
_SHOWN = ("beta", "standard_error", "effect_allele_frequency")
_MOST_ROWS = 500_000  # of one region
Tell = Callable[[str], None]


def located(
    results: "Results | Located", variant: str = "", *, trait: str | None = None, test: str | None = None,
    by: str | None = None, cohort: Cohort | None = None, tell: Tell | None = None,
) -> Located:  # fmt: skip
    """One association with its samples, from the cohort of the results; nothing is fitted again. What is located stays as it is."""
    if isinstance(results, Located):
        return results
    if not isinstance(results, Results):
        raise TypeError(
            f"pictures of samples are drawn of Results with their cohort, not of {type(results).__name__}; see Results.read"
        )
    row, notes = find_row(results, str(variant), trait, test)
    choices = choices_of(results)
    cohort = cohort_of(results, cohort, tell)
    numbers = numbers_of(cohort, row, notes)
    data = RowSource(cohort, choices).row(numbers, row["trait"], observed_only=False)
    arms = None if by is None else arms_of(cohort, by, data)
    effects = None
    if data.modifier is not None:
        same = (pl.col("variant_id") == row["variant_id"]) & (pl.col("trait") == row["trait"])
        effects = gather(results.scan().filter(same))
    return Located(row=row, choices=choices, data=data, by=by, arms=arms, notes=tuple(notes), effects=effects)


def effect_by_genotype(
    results: "Results | Located",
    variant: str = "",
    *,
    trait: str | None = None,
    test: str | None = None,
    by: str | None = None,
    cohort: Cohort | None = None,
    policy: Policy | str | None = None,
    ax: "Axes | None" = None,
    tell: Tell | None = None,
) -> "Axes":
    """Draw the outcome of the samples by genotype: boxes of a quantity, shares of cases, levels, or survival curves.

    Parameters
    ----------
    results : Results or Explanation
        Of `associate`; their cohort, or the one that their record names, is read. What `genassoc.explain` gave has its samples.
    variant : str
        Its rsid or variant_id.
    trait, test : str, optional
        Where there are several.
    by : str, optional
        A column of the phenotypes: a picture each of its values, side by side.
    cohort : Cohort, optional
        In place of the recorded one.
    policy : Policy or str, optional
        Draw it only as it may leave: no group of few people, no point of one sample, survival while enough are followed.
    ax : Axes, optional
        Where to draw; without it, a new figure's.
    tell : callable, optional
        Told which files are opened because the record names them; by default standard error is.

    Returns
    -------
    Axes
        Of several, the first; ``.figure`` has all.

    Raises
    ------
    GenassocError
        No row or several fit.
    WithheldError
        The policy lets no picture of so few leave.
    InputError
        There is no record of the cohort, or an input has changed.
    """
    found = located(results, variant, trait=trait, test=test, by=by, cohort=cohort, tell=tell)
    figure = draw(picture_that_leaves(found, policy_of(policy) or found.policy), ax)
    first: Axes = ax if ax is not None else figure.axes[0]
    return first


def kaplan_meier(
    results: "Results | Located",
    variant: str = "",
    *,
    trait: str | None = None,
    test: str | None = None,
    by: str | None = None,
    cohort: Cohort | None = None,
    policy: Policy | str | None = None,
    ax: "Axes | None" = None,
    tell: Tell | None = None,
) -> "Axes":
    """Draw Kaplan-Meier curves of a time to event by genotype, with marks where samples are censored, numbers at risk and the log-rank test.

    The curves and the test are not adjusted for covariates; the caption has the p of the model. Parameters as `effect_by_genotype`.

    Returns
    -------
    Axes

    Raises
    ------
    GenassocError
        The trait is no time to event; no row or several fit.
    """
    found = located(results, variant, trait=trait, test=test, by=by, cohort=cohort, tell=tell)
    if found.data.about.counts != "followed":
        raise GenassocError(
            f"{found.row['trait']} is no time to event: Kaplan-Meier curves are drawn of results of Cox; "
            "plots.effect_by_genotype draws every kind of trait."
        )
    return effect_by_genotype(found, policy=policy, ax=ax)


def effect_by_arm(
    results: "Results | Located",
    variant: str = "",
    *,
    trait: str | None = None,
    test: str | None = None,
    by: str | None = None,
    cohort: Cohort | None = None,
    policy: Policy | str | None = None,
    ax: "Axes | None" = None,
    tell: Tell | None = None,
) -> "Axes":
    """Draw the outcome by genotype, a line for each arm: means, shares of cases or rates with 95 % intervals, and the effect in each arm.

    Lines that run side by side say that the effect does not differ; the p of the interaction, where the model has one, is in the caption.

    Parameters
    ----------
    results, variant, trait, test, cohort, policy, ax, tell
        As `effect_by_genotype`.
    by : str, optional
        The column of arms; by default the model's interaction.

    Returns
    -------
    Axes

    Raises
    ------
    GenassocError
        The model has no interaction and no column is named.
    """
    if isinstance(results, Results):
        by = by or choices_of(results).get("interaction")
    found = located(results, variant, trait=trait, test=test, by=by, cohort=cohort, tell=tell)
    if found.arms is None:
        raise GenassocError(
            "the model has no interaction, so that by= has to say which column has the arms, as by='arm' (--by arm)."
        )
    return draw_by_arm(picture_that_leaves(found, policy_of(policy) or found.policy), ax)


def regional(
    results: ResultsLike,
    where: str,
    *,
    trait: str | None = None,
    test: str | None = None,
    flank: int = 500_000,
    ld: bool = True,
    genes: "str | Path | pl.DataFrame | None" = None,
    cohort: Cohort | None = None,
    significance: float | None = 5e-8,
    annotate: int = 1,
    title: str | None = None,
    ax: "Axes | None" = None,
    tell: Tell | None = None,
) -> "Axes":
    """Draw one region: -log10 p by position, coloured by LD with its lead, and the genes below.

    r2 is that of the calls of the cohort's own samples, not of a reference panel; rates of recombination are not drawn.

    Parameters
    ----------
    results : Results, DataFrame or LazyFrame
        As `manhattan` takes them. LD needs the cohort: the results', the one that their record names, or ``cohort``.
    where : str
        A variant (rsid or variant_id), which is the lead; or a region "6:31,000,000-32,000,000", whose lead has the smallest p.
    trait, test : str, optional
        Where there are several.
    flank : int
        Base pairs on either side of a variant.
    ld : bool
        Whether to colour by LD. Where the cohort cannot be read, the caption says why.
    genes : path or DataFrame, optional
        A GTF or GFF3 (plain or gzip), which is read through once, a stretch at a time; or what `genassoc.plots.read_genes` gave.
    cohort : Cohort, optional
    significance : float or None
        A level drawn as a line.
    annotate : int
        How many variants are named: the lead with its p, then the strongest.
    title : str, optional
    ax : Axes, optional
    tell : callable, optional
        Told which files are opened because the record names them; by default standard error is.

    Returns
    -------
    Axes

    Raises
    ------
    GenassocError
        There is nothing to draw there, or several traits or tests and none is named.
    """
    table = scan_of(results)
    names = table.collect_schema().names()
    series = read_series(
        results, ("chromosome", "base_pair_location", P_VALUE), trait=trait, test=test,
        optional=("rsid", "variant_id", "effect_allele", "other_allele"),
    )  # fmt: skip
    chosen = [
        pl.col(name) == value for name, value in (("trait", series.trait), ("test", series.test)) if value is not None
    ]
    more = [name for name in _SHOWN if name in names]
    absent = [pl.lit(None, pl.String).alias(name) for name in _NEEDED if name not in names]
    rows = table.filter(*chosen, pl.col(P_VALUE).is_finite()).with_columns(
        *absent, pl.col("chromosome").cast(pl.String)
    )
    rows = rows.select(*_NEEDED, *more)
    chromosome, first, last, lead_name = _place(rows, where, flank)
    position = pl.col("base_pair_location")
    found = gather(rows.filter(pl.col("chromosome").is_in(chromosome), position >= first, position <= last))
    if found.is_empty():
        raise GenassocError(f"there is no variant with a p in {chromosome[0]}:{first:,}-{last:,}.")
    if found.height > _MOST_ROWS:
        raise GenassocError(
            f"{where}: {found.height:,} variants lie there, too many for one picture; name a smaller region."
        )
    lead = _lead(found, lead_name)
    r2, words = _ld(results, found, lead, cohort, tell) if ld else (None, "")
    track = (
        genes if genes is None or isinstance(genes, pl.DataFrame) else read_genes(genes, [(chromosome[0], first, last)])
    )
    if track is not None:
        track = _genes_here(track, chromosome[0], first, last)
    top = found.row(lead, named=True)
    name = str(top["rsid"] if top["rsid"] not in (None, "", ".") else top["variant_id"] or where)
    region = Region(found, chromosome[0], first, last, lead, r2, track)
    default = f"{name}{f' and {series.name}' if series.name else ''}"
    caption = f"{found.height:,} variants; lead {name}, {p_equals(top[P_VALUE])}" + (f"; {words}" if words else "")
    return draw_region(
        region,
        title=default if title is None else title,
        caption=caption,
        significance=significance,
        annotate=annotate,
        ax=ax,
    )


def _place(rows: pl.LazyFrame, where: str, flank: int) -> tuple[list[str], int, int, str | None]:
    """The spellings of the chromosome in the rows, first and last position, and the variant that is named."""
    match = _REGION.fullmatch(str(where).strip())
    if match:
        first, last = (int(text.replace(",", "")) for text in match.group(2, 3))
        if last < first:
            raise GenassocError(f"{where}: the region ends before it begins.")
        spelt = gather(rows.select(pl.col("chromosome").unique()))["chromosome"].drop_nulls().to_list()
        wanted = chromosome_of(match[1]) or bare_name(match[1])
        same = [name for name in spelt if name == match[1] or (chromosome_of(name) or bare_name(name)) == wanted]
        if not same:
            raise GenassocError(
                f"{where}: the results have no chromosome {match[1]}; they have {', '.join(sorted(spelt)[:30])}."
            )
        return sorted(same, key=lambda name: name != match[1]), first, last, None
    named = gather(rows.filter((pl.col("rsid") == where) | (pl.col("variant_id") == where)))
    if named.is_empty():
        raise GenassocError(
            f"the results have no row with a p of '{where}': name a variant by its rsid or variant_id, or a region as 6:31,000,000-32,000,000."
        )
    if named["variant_id"].n_unique() > 1:
        ids = ", ".join(str(name) for name in named["variant_id"].unique(maintain_order=True)[:8])
        raise GenassocError(f"'{where}' is the name of several variants: {ids}; name one by its variant_id.")
    at = int(named["base_pair_location"][0])
    return [str(named["chromosome"][0])], max(at - flank, 1), at + flank, where


def _lead(rows: pl.DataFrame, name: str | None) -> int:
    if name is not None:
        named = ((rows["rsid"] == name) | (rows["variant_id"] == name)).fill_null(False)
        return int(named.arg_max() or 0)
    return int(np.argmax(rows[P_VALUE].to_numpy()))


def _ld(
    results: ResultsLike, rows: pl.DataFrame, lead: int, cohort: Cohort | None, tell: Tell | None
) -> tuple[Float64Array | None, str]:
    """r2 of each row with the lead, and where it is from or why there is none."""
    if isinstance(results, Results):
        try:
            cohort = cohort_of(results, cohort, tell)
        except GenassocError as error:
            return None, f"no LD: {str(error).split(':')[0]}"
    if cohort is None:
        return None, "no LD: a table has no cohort (cohort=)"
    if not isinstance(cohort.store, GenotypeStore):
        return None, "no LD: predictors have none"
    numbers, _ = variant_numbers(cohort.store, rows)
    r2 = r2_with(cohort, int(numbers[lead]), numbers)
    if np.isnan(r2[lead]):
        return None, "no LD: the lead is not in the store, or the same in all samples"
    return r2, f"LD of {cohort.n_samples:,} samples of the cohort"


def _genes_here(genes: pl.DataFrame, chromosome: str, first: int, last: int) -> pl.DataFrame:
    """Of genes of several regions those of this one."""
    here = genes.filter(pl.col("start") <= last, pl.col("end") >= first)
    if "contig" in here.columns:
        wanted = chromosome_of(chromosome) or bare_name(chromosome)
        names = [
            name for name in here["contig"].unique().to_list() if (chromosome_of(name) or bare_name(name)) == wanted
        ]
        here = here.filter(pl.col("contig").is_in(names))
    return here
