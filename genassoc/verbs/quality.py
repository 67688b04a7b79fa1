"""Quality of variants and samples: counts, missing rates, Hardy-Weinberg, heterozygosity."""

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
from genassoc.verbs.arguments import check_cohort, check_executor
from genassoc.verbs.blocks import over_blocks
from genassoc.verbs.run_record import (
    warn_of_columns,
)
from genassoc.verbs.stores import open_store, whole_store

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

    With ``cases``, a binary trait, Hardy-Weinberg in its controls too; ``case_value`` is the value of its cases. A PhenotypeError says where it is no such trait.

    Returns
    -------
    DataFrame
        chromosome, base_pair_location, rsid, other_allele, effect_allele, then af, maf, mac, missing_rate, n, n_hom_ref,
        n_het, n_hom_alt, hwe_p, hwe_midp (and hwe_p_controls, hwe_midp_controls), of the cohort's samples. In a store with dosages also
        has_dosages, r2 (MaCH's, not clipped), r2_above_1 (which no imputation of genotypes in Hardy-Weinberg proportions gives), info
        (IMPUTE's, where the probabilities of genotypes are known), with ``cases`` by case status too, and info_source where the file
        states a quality.
    """
    return quality(cohort, cases=cases, case_value=case_value, by_sample=False, executor=executor, progress=progress)[0]


def case_notes(cohort: Cohort, cases: str, case_value: str | None = None) -> tuple[str, ...]:
    """Which value of a binary trait is the case, as `variant_qc` reads it."""
    return Controls.of(cohort, cases, case_value).notes


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
            counted.append(controls.hardy_weinberg(block))
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
