"""Statistics by the case status of a binary trait: Hardy-Weinberg proportions in controls, as in cases an association itself disturbs them; quality of imputation in both."""

from dataclasses import dataclass

import polars as pl

from genassoc.data.block import GenotypeBlock
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.dosage_statistics import quality_of, sums_of
from genassoc.data.cohort.variant_statistics import SampleMasks
from genassoc.data.phenotypes.codings import with_case_values
from genassoc.data.phenotypes.column_notes import column_notes


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
    """

    cohort: Cohort
    masks: SampleMasks
    cases: SampleMasks
    notes: tuple[str, ...]

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

        return cls(cohort, masks(0), masks(1), notes)

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
