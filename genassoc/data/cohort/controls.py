"""Statistics by the case status of a binary trait: Hardy-Weinberg proportions in controls, as in cases an association itself disturbs them; quality of imputation in both."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from genassoc.data.block import GenotypeBlock
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.dosage_statistics import quality_of, sums_of
from genassoc.data.cohort.variant_statistics import SampleMasks
from genassoc.data.phenotypes.codings import with_case_values
from genassoc.data.phenotypes.column_notes import column_notes
from genassoc.shapes import Float64Array
from genassoc.stats.two_groups import fisher


@dataclass(frozen=True, eq=False)
class Controls:
    """The samples of a cohort in which a binary trait is observed and absent.

    Attributes
    ----------
    cohort : Cohort
    masks, cases : SampleMasks
        The controls and the cases, in the columns of the cohort's blocks.
    notes : tuple of str
        Which value is the control.
    status : float64 array (N,)
        1 of cases, 0 of controls, NaN of others.
    """

    cohort: Cohort
    masks: SampleMasks
    cases: SampleMasks
    notes: tuple[str, ...]
    status: Float64Array

    @classmethod
    def of(cls, cohort: Cohort, trait: str, case_value: str | None = None) -> "Controls":
        """Find the controls of a trait; ``case_value`` is the value of its cases, where two values do not say it.

        Raises
        ------
        PhenotypeError
            There is no such column, or it is no binary trait (shows its values).
        TypeError
            ``trait`` is no text.
        """
        if not isinstance(trait, str):
            raise TypeError(f"cases is the name of one binary trait, as 't2d', not {type(trait).__name__}")
        if case_value is not None:
            cohort = with_case_values(cohort, {trait: str(case_value)})
        notes = column_notes(cohort.phenotypes, cohort.rows, {"traits": [trait]}, "binary").lines
        y = cohort.design([trait], kind="binary").y[:, 0]

        def masks(status: int) -> SampleMasks:
            at = y == status
            sex = None if cohort.sex is None else cohort.sex[at]
            return SampleMasks.build(cohort.block_columns[at], cohort.block_width, sex)

        return cls(cohort, masks(0), masks(1), notes, y)

    def call_rates(self, block: GenotypeBlock) -> pl.DataFrame:
        """missing_rate_cases, missing_rate_controls and missing_neg_log_10_p of the V variants of a block that the cohort has read.

        The last is of Fisher's exact test that calls are missing as often in cases as in controls.
        """
        columns, counts = {}, []
        for status, masks in (("cases", self.cases), ("controls", self.masks)):
            table = self.cohort.variant_statistics(block, hwe=False, masks=masks)
            observed, rate = table["n"].to_numpy(), table["missing_rate"].to_numpy()
            columns[f"missing_rate_{status}"] = rate
            may = np.full(observed.size, masks.columns.size)
            if masks.not_females is not None and masks.n_not_females:  # on Y, females lack no call
                on_y = np.abs(rate * masks.columns.size - (may - observed)) > 0.5
                may[on_y] = masks.n_not_females
            lost = np.rint(rate * may).astype(np.int64)
            counts += [lost, may.astype(np.int64)]
        columns["missing_neg_log_10_p"] = fisher(counts[0], counts[2], counts[1], counts[3])
        return pl.DataFrame(columns).with_columns(pl.col("missing_neg_log_10_p").fill_nan(None))

    def hardy_weinberg(self, block: GenotypeBlock) -> pl.DataFrame:
        """hwe_p_controls and hwe_midp_controls (exact) of the V variants of a block that the cohort has read.

        On X of female controls, null where sex is not known; null on Y and MT.
        """
        table = self.cohort.variant_statistics(block, masks=self.masks)
        return table.select(pl.col("hwe_p", "hwe_midp").name.suffix("_controls"))

    def imputation_quality(self, block: GenotypeBlock) -> pl.DataFrame:
        """r2_cases, info_cases, r2_controls and info_controls of the V variants of a block that the cohort has read with dosages."""
        assert block.dosages is not None
        return pl.concat(
            [
                quality_of(sums_of(block, masks.columns), block.dosages.steps).select(
                    pl.all().name.suffix(f"_{status}")
                )
                for status, masks in (("cases", self.cases), ("controls", self.masks))
            ],
            how="horizontal",
        )
