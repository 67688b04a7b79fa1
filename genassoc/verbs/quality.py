"""Quality of variants and samples: counts, missing rates, Hardy-Weinberg, heterozygosity."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from genassoc.analyses.qc import SampleCounts, SampleQuality
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.controls import Controls
from genassoc.data.cohort.ploidy import FEMALE
from genassoc.data.forks import check_not_forked
from genassoc.data.schema import INFO_SOURCE
from genassoc.data.store.call_counts import stored_statistics
from genassoc.engine.executors import Executor, Threads
from genassoc.engine.passes import run_passes
from genassoc.engine.plan import Plan
from genassoc.errors import InputError
from genassoc.progress import Progress, Silent
from genassoc.shapes import BoolArray
from genassoc.verbs.arguments import check_cohort, check_executor
from genassoc.verbs.blocks import over_blocks
from genassoc.verbs.run_record import (
    warn_of_columns,
)
from genassoc.verbs.stores import open_store, whole_store

_DIFFERS = 5.0  # -log10 p of missing calls by case status that is named
_MEASURES = ("missing_rate", "heterozygosity")
_BY_STATUS = {
    "measure": pl.String, "n_cases": pl.Int64, "n_controls": pl.Int64, "median_cases": pl.Float64, "median_controls": pl.Float64,
    "neg_log_10_p_value": pl.Float64,
}  # fmt: skip
_ROUNDING = 1e-9  # of sums of squares in doubles: calls in Hardy-Weinberg proportions have an r2 of 1

if TYPE_CHECKING:
    from genassoc.data.phenotypes.phenotypes import Codes


def variant_qc(
    cohort: Cohort,
    *,
    cases: str | None = None,
    case_value: str | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> pl.DataFrame:
    """Counts, frequencies, missing rate and exact Hardy-Weinberg test of every selected variant.

    With ``cases``, a binary trait, Hardy-Weinberg in its controls too, and missing calls by case status, with a test of their difference; ``case_value`` is the value of its cases. A PhenotypeError says where it is no such trait.

    Returns
    -------
    DataFrame
        chromosome, base_pair_location, rsid, other_allele, effect_allele, then af, maf, mac, missing_rate, n, n_hom_ref,
        n_het, n_hom_alt, hwe_p, hwe_midp (with ``cases`` hwe_p_controls, hwe_midp_controls, missing_rate_cases, missing_rate_controls and
        missing_neg_log_10_p, of Fisher's exact test), of the cohort's samples. In a store with dosages also
        has_dosages, r2 (MaCH's, not clipped), r2_above_1 (which no imputation of genotypes in Hardy-Weinberg proportions gives), info
        (IMPUTE's, where the probabilities of genotypes are known), with ``cases`` by case status too, and info_source where the file
        states a quality.
    """
    return quality(cohort, cases=cases, case_value=case_value, by_sample=False, executor=executor, progress=progress)[0]


def case_notes(cohort: Cohort, cases: str, case_value: str | None = None) -> tuple[str, ...]:
    """Which value of a binary trait is the case, as `variant_qc` reads it."""
    return Controls.of(cohort, cases, case_value).notes


@dataclass(frozen=True)
class CaseQuality:
    """Quality by case status: calls, depth and imputation that differ between cases and controls look like associations.

    Attributes
    ----------
    variants : DataFrame
        Of `variant_qc` with ``cases``.
    samples : DataFrame
        measure ("missing_rate", "heterozygosity", a column of depth), n_cases, n_controls, median_cases, median_controls,
        neg_log_10_p_value (Mann and Whitney's test).
    """

    variants: pl.DataFrame
    samples: pl.DataFrame

    def lines(self) -> list[str]:
        """What differs, a line each."""
        v = self.variants
        known = v.filter(pl.col("missing_neg_log_10_p").is_not_null())
        many = known.filter(pl.col("missing_neg_log_10_p") > _DIFFERS).height
        told = [
            f"calls are missing in {_share(v, 'missing_rate_cases')} of cases' and {_share(v, 'missing_rate_controls')} of controls' calls; in "
            f"{many:,} of {known.height:,} variants the rates differ with p below 1e-{_DIFFERS:g} (Fisher)"
        ]
        told += [f"{many:,} variants: leave them out, or call cases and controls together"] if many else []
        if "info_cases" in v.columns and known_info(v).any():
            cases, controls = (
                float(v[f"info_{status}"].to_numpy()[known_info(v)].mean()) for status in ("cases", "controls")
            )
            told.append(f"INFO is {cases:.3f} in cases and {controls:.3f} in controls, on average")
        for row in self.samples.iter_rows(named=True):
            told.append(
                f"{row['measure']} of a sample: median {row['median_cases']:.4g} in {row['n_cases']:,} cases, {row['median_controls']:.4g} in "
                f"{row['n_controls']:,} controls (Mann and Whitney, -log10 p {row['neg_log_10_p_value']:.2f})"
            )
        if not any(row["measure"] not in _MEASURES for row in self.samples.iter_rows(named=True)):
            told.append(
                "depth: a store keeps none of its calls; name a column of the phenotypes with each sample's mean depth (depth=, --depth)"
            )
        return told


def known_info(variants: pl.DataFrame) -> BoolArray:
    """Which variants have an INFO in cases and in controls."""
    both: BoolArray = variants.select(pl.col("info_cases").is_finite() & pl.col("info_controls").is_finite()).to_series().fill_null(False).to_numpy()  # fmt: skip
    return both


def _share(variants: pl.DataFrame, name: str) -> str:
    mean = variants[name].mean()
    return "none" if mean is None else f"{100 * float(mean):.3g} %"  # type: ignore[arg-type]


def case_quality(
    cohort: Cohort,
    cases: str,
    *,
    depth: str | None = None,
    case_value: str | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> CaseQuality:
    """Call rate, heterozygosity, INFO and depth by case status, with tests of their difference.

    Parameters
    ----------
    cohort : Cohort
    cases : str
        A binary trait; ``case_value`` the value of its cases.
    depth : str, optional
        A column of the phenotypes with each sample's mean depth: a store keeps no depth of its calls.
    """
    variants, samples = quality(cohort, cases=cases, case_value=case_value, executor=executor, progress=progress)
    return CaseQuality(variants, samples_by_status(cohort, samples, cases, depth=depth, case_value=case_value))


def samples_by_status(
    cohort: Cohort, samples: pl.DataFrame, cases: str, *, depth: str | None = None, case_value: str | None = None
) -> pl.DataFrame:
    """`CaseQuality.samples` of a table of `sample_qc`."""
    from scipy.stats import mannwhitneyu

    status = Controls.of(cohort, cases, case_value).status
    measured = {name: samples[name].cast(pl.Float64).fill_null(np.nan).to_numpy() for name in _MEASURES}
    if depth is not None:
        (name,) = cohort.phenotypes.resolve([depth], "column of depth")
        measured[name] = cohort.phenotypes.numbers(name, cohort.rows)
    rows = []
    for name, values in measured.items():
        groups = [values[(status == which) & np.isfinite(values)] for which in (1, 0)]
        if not all(group.size for group in groups):
            continue
        p = float(mannwhitneyu(*groups, method="asymptotic").pvalue)
        rows.append((name, *(group.size for group in groups), *(float(np.median(group)) for group in groups), 0.0 - float(np.log10(max(p, 5e-324)))))  # fmt: skip
    return pl.DataFrame(rows, schema=_BY_STATUS, orient="row")


def sample_qc(cohort: Cohort, *, executor: Executor | None = None, progress: Progress | None = None) -> pl.DataFrame:
    """Missing rate, heterozygosity and F of every sample over the selected variants.

    Returns
    -------
    DataFrame
        sample_id, n_variants (observed), missing_rate (of those stated female without Y); of autosomes, heterozygosity (heterozygous over observed calls), and over those
        variants that are polymorphic among the cohort's samples n_autosomal (observed), n_het, expected_het (under Hardy-Weinberg
        proportions) and f, which is ``1 - n_het / expected_het``: OBS_CT, O(HOM), E(HOM) and F of PLINK 2's --het. Null where nothing is observed.
    """
    check_not_forked()
    check_cohort(cohort, "sample_qc(cohort)")
    check_executor(executor)
    plan = Plan.by_block(cohort.store.contig_runs(), cohort.store.block_variants)
    return _sample_table(cohort, run_passes(SampleQuality(), cohort, plan, executor or Threads(), progress or Silent()))


def _sample_table(cohort: Cohort, found: SampleCounts) -> pl.DataFrame:
    """Rates of the cohort's samples, from counts of all samples in its blocks."""
    columns, autosomes = cohort.block_columns, found.homozygosity
    missing = found.missing_rate[columns]
    if cohort.sex is not None:
        missing = np.where(cohort.sex == FEMALE, found.missing_rate_without_y[columns], missing)
    return pl.DataFrame(
        {
            "sample_id": pl.Series([str(name) for name in cohort.sample_ids], dtype=pl.String),
            "n_variants": found.n[columns],
            "missing_rate": missing,
            "heterozygosity": pl.Series(found.heterozygosity[columns]).fill_nan(None),
            "n_autosomal": autosomes.n[columns],
            "n_het": autosomes.het[columns],
            "expected_het": autosomes.expected_het[columns],
            "f": pl.Series(autosomes.f[columns]).fill_nan(None),
        }
    )


def quality(
    cohort: Cohort,
    *,
    cases: str | None = None,
    case_value: str | None = None,
    by_sample: bool = True,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """`variant_qc` and `sample_qc` from one pass over the blocks; without ``by_sample`` the second has no rows."""
    check_not_forked()
    check_cohort(cohort, "variant_qc(cohort)")
    check_executor(executor)
    controls = None if cases is None else Controls.of(cohort, cases, case_value)
    if controls is not None and controls.notes:
        warn_of_columns(controls.notes)

    samples = SampleQuality()
    state = samples.prepare(cohort)

    def with_source(table: pl.DataFrame, start: int, stop: int) -> list[pl.DataFrame]:
        """Statistics, and what the file states of the quality of imputation."""
        if not cohort.has_dosages:
            return [table]
        table = table.with_columns((pl.col("r2") > 1.0 + _ROUNDING).alias("r2_above_1"))
        stated = INFO_SOURCE in cohort.store.annotations
        return [table, *([cohort.store.annotation(INFO_SOURCE, start, stop).to_frame()] if stated else [])]

    def one(start: int, stop: int) -> tuple[pl.DataFrame, SampleCounts | None]:
        places = cohort.store.variants(start, stop).select(
            "chromosome", "base_pair_location", "rsid", "other_allele", "effect_allele"
        )
        kept = None if by_sample or controls is not None else stored_statistics(cohort, start, stop)
        if kept is not None:
            chosen = pl.Series(cohort.selected_without_genotypes(start, stop))
            return pl.concat([places, *with_source(kept, start, stop)], how="horizontal").filter(chosen), None
        block = cohort.read(start, stop, dosages=True)
        keep, _ = cohort.select_variants(start, stop, block)
        chosen = pl.Series(keep)
        counted = [places, *with_source(cohort.variant_statistics(block), start, stop)]
        if controls is not None:
            counted += [controls.hardy_weinberg(block), controls.call_rates(block)]
            if cohort.has_dosages:
                counted.append(controls.imputation_quality(block))
        table = pl.concat(counted, how="horizontal").filter(chosen)
        return table, samples.block(state, block if keep.all() else block.take(keep)) if by_sample else None

    parts = over_blocks(cohort, one, executor, progress, "counting")
    total = SampleCounts.empty(state.width)
    for _, counts in parts:
        total = total if counts is None else samples.combine(total, counts)
    sample_table = _sample_table(cohort, total)
    return pl.concat([table for table, _ in parts]), sample_table if by_sample else sample_table.clear()


def counted_cohort(
    store: Path,
    phenotypes: Path | None,
    *,
    sample_id: str | None,
    sex: str | None,
    cases: str | None,
    missing_codes: "Codes | None" = None,
    id_rule: str | None = None,
) -> Cohort:
    """The samples that `genassoc qc` counts: all of a store, or those that phenotypes have too.

    Raises
    ------
    InputError
        A column is named, and no table that has it.
    """
    if phenotypes is not None:
        return Cohort.align(
            open_store(store),
            phenotypes,
            sample_id=sample_id,
            sex=sex,
            missing_codes=missing_codes,
            id_rule=id_rule,
        )
    for flag, column in (("--cases", cases), ("--sex", sex), ("--sample-id", sample_id)):
        if column is not None:
            raise InputError(f"{flag} {column} names a column of phenotypes: name their file with --pheno.")
    return whole_store(open_store(store))
