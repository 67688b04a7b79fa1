"""Rows of one trait that are all fitted one by one, with Wald tests whose variances are sandwiches."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from genassoc.data.block import Block
from genassoc.kernels.likelihoods import rows as status
from genassoc.models.scan.product import minor_counts
from genassoc.models.scan.rows import Rows, chunks
from genassoc.models.scan.sums import GenotypeSums
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array
from genassoc.stats.information import FEW_EVENTS


@dataclass(frozen=True)
class RowFits:
    """R variants fitted: numbers (R, N_NUMBERS), status and dropped (R,); see `genassoc.kernels.likelihoods.rows`."""

    numbers: Float64Array
    status: Int64Array
    dropped: BoolArray

    @classmethod
    def empty(cls, R: int) -> "RowFits":
        """Room for a kernel to fill."""
        return cls(np.empty((R, status.N_NUMBERS)), np.zeros(R, np.int64), np.zeros(R, np.bool_))


@dataclass(frozen=True)
class RowTest:
    """How rows are tested.

    Attributes
    ----------
    fit : function
        Of dense calls (R, n) of the minor allele to `RowFits`.
    method : str
    student : bool
        Statistics are t with the degrees of freedom of the fit; else z.
    failed : mapping of int to str
        Codes of the fit's statuses.
    impute : bool
        Missing calls take the mean: every sample of the trait is in every row.
    law : function, optional
        Of dense calls to -log10 p (R,) by the exact law of few events, NaN where it fails.
    """

    fit: Callable[[Float64Array], RowFits]
    method: str
    student: bool
    failed: Mapping[int, str]
    impute: bool
    law: Callable[[Float64Array], Float64Array] | None = None


def tested_rows(
    test: RowTest, null: Any, own: GenotypeSums, reasons: Iterable[tuple[BoolArray, str]], few: BoolArray, block: Block,
    flipped: BoolArray,
) -> dict[str, Array]:  # fmt: skip
    """Columns (V,) of one trait, but for counts of its own; ``null`` has n, columns and failure, ``few`` (V,) rows few events."""
    rows = Rows.empty(own.n.size)
    usable = rows.fail_unusable(reasons, null.failure)
    variants, freedom = np.flatnonzero(usable), np.full(own.n.size, np.nan)
    for first, last in chunks(variants.size, null.n):
        some = variants[first:last]
        calls = minor_counts(block, flipped, some, null.columns)
        fits = test.fit(calls)
        rows.put_wald(some, fits.numbers, fits.status, fits.dropped, test.method, test.failed, student=test.student)
        freedom[some] = fits.numbers[:, status.DF]
        sparse = few[some] & np.isfinite(rows.neg_log_10_p[some])
        if not sparse.any():
            continue
        at = some[sparse]
        logp = np.full(at.size, np.nan) if test.law is None else test.law(calls[sparse])
        rows.put_p(at[np.isfinite(logp)], "exact", logp[np.isfinite(logp)])
        rows.fail(at[np.isnan(logp)], FEW_EVENTS)
        freedom[at] = np.nan
    columns = rows.finished(own, flipped, null.n, test.impute)
    del columns["standard_error_model"]  # the model's is not of sampling weights
    if test.student:
        columns["degrees_of_freedom"] = np.where(np.isnan(rows.beta), np.nan, freedom)
    return columns
