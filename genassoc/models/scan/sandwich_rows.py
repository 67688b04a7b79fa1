"""Rows of one trait that are all fitted one by one, with Wald tests whose variances are sandwiches."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from genassoc.data.block import Block
from genassoc.kernels.likelihoods.rows import Fits
from genassoc.models.scan.product import minor_counts
from genassoc.models.scan.rows import Rows, chunks
from genassoc.models.scan.sums import GenotypeSums
from genassoc.shapes import Array, BoolArray, Float64Array
from genassoc.stats.information import FEW_EVENTS


@dataclass(frozen=True)
class RowTest:
    """How rows are tested.

    Attributes
    ----------
    fit : function
        Of dense calls (R, n) of the minor allele to `Fits`.
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

    fit: Callable[[Float64Array], Fits]
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
    variants = np.flatnonzero(usable)
    for first, last in chunks(variants.size, null.n):
        some = variants[first:last]
        calls = minor_counts(block, flipped, some, null.columns)
        fits = test.fit(calls)
        rows.put_fits(some, test.method, fits, test.failed, student=test.student)
        sparse = few[some] & np.isfinite(rows.neg_log_10_p[some])
        if not sparse.any():
            continue
        at = some[sparse]
        logp = np.full(at.size, np.nan) if test.law is None else test.law(calls[sparse])
        rows.put_p(at[np.isfinite(logp)], "exact", logp[np.isfinite(logp)])
        rows.fail(at[np.isnan(logp)], FEW_EVENTS)
    # The model's standard error is not of sampling weights.
    columns = rows.finished(own, flipped, null.n, test.impute, without=("standard_error_model",))
    if test.student:
        columns["degrees_of_freedom"] = rows.df
    return columns
