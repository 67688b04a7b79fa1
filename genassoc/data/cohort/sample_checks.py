"""What a check of samples found: a row a sample, with who shall be kept, why not, and what is to be known of the check."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from genassoc.data.cohort.matching import first_few
from genassoc.errors import SampleMismatchError
from genassoc.shapes import Array, BoolArray

COLUMNS = ("sample_id", "keep", "reason", "detail")


@dataclass(frozen=True, eq=False)
class SampleCheck:
    """Samples that were checked; `Cohort.keep_samples` keeps those with ``keep``.

    Attributes
    ----------
    table : DataFrame
        ``sample_id``, what was measured, then ``keep`` (bool), ``reason`` and ``detail`` (null where there is nothing to say). A reason
        with ``keep`` true is a doubt. Rows may be changed by whoever judges otherwise: ``replace(check, table=...)``.
    label : str
        What was checked, in words.
    notes : tuple of str
        What is to be known of it.
    """

    table: pl.DataFrame
    label: str
    notes: tuple[str, ...] = ()

    @property
    def dropped(self) -> pl.DataFrame:
        """The rows of those who shall not be kept."""
        return self.table.filter(~pl.col("keep"))

    def lines(self) -> list[str]:
        """The verdicts counted, and the notes."""
        counted = (
            self.table.filter(pl.col("reason").is_not_null()).group_by("keep", "reason").len().sort("keep", "reason")
        )
        found = [
            f"{n:,} {reason}{' (kept)' if keep else ''}: {first_few(self._of(reason, keep))}"
            for keep, reason, n in counted.iter_rows()
        ]
        return [
            f"{self.label}: {self.table.height:,} samples, {self.dropped.height:,} to be left out",
            *found,
            *self.notes,
        ]

    def _of(self, reason: str, keep: bool) -> list[str]:
        """Samples of a verdict with their details."""
        rows = self.table.filter((pl.col("reason") == reason) & (pl.col("keep") == keep))
        return [f"{name} ({detail})" for name, detail in rows.select("sample_id", "detail").iter_rows()]

    def verdicts(self, sample_ids: Array) -> tuple[BoolArray, Array, Array, str]:
        """Whether to keep each of some samples (N,), the reasons and details, and a label; those who were not checked are kept.

        Raises
        ------
        SampleMismatchError
            None of them was checked.
        """
        rows = {name: (keep, reason, detail) for name, keep, reason, detail in self.table.select(COLUMNS).iter_rows()}
        known = [str(name) in rows for name in sample_ids]
        if not any(known):
            raise SampleMismatchError(
                f"none of the samples of {self.label} is in the cohort. Cohort: {first_few(sample_ids)}; checked: {first_few(list(rows))}"
            )
        found = [rows.get(str(name), (True, None, None)) for name in sample_ids]
        keep = np.array([kept is not False for kept, _, _ in found], dtype=bool)
        reasons, details = (np.array([row[k] or self.label for row in found], dtype=object) for k in (1, 2))
        unchecked = len(known) - sum(known)
        return keep, reasons, details, self.label + (f" ({unchecked:,} samples were not checked)" if unchecked else "")
