"""Who carries what: samples by genotype or level (and arm) with their outcomes, as a table."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from genassoc.explanation.groups import Groups
from genassoc.refit.dense_conditional import case_shares
from genassoc.refit.row_data import RowData
from genassoc.shapes import Array, BoolArray, Float64Array
from genassoc.stats.proportions import mean_interval, wilson_interval


def count_table(row: RowData, kinds: Groups, by: str | None, arms: Array | None) -> pl.DataFrame:
    """Counts and outcomes by genotype, or by level of a predictor; by arm too where there are arms.

    Parameters
    ----------
    row : RowData
        Samples without a call too.
    kinds : Groups
    by : str or None
        What the arms are called.
    arms : object array of str (n,) or None
        Each sample's arm.

    Returns
    -------
    DataFrame
        One row for each arm and genotype that occurs, ``genotype`` and ``copies`` of ALT (of a predictor ``level`` and the
        ``median_value`` in it), ``n``, then what fits the outcome:
        ``mean``, ``mean_lower``, ``mean_upper``, ``sd``, ``median`` (quantitative); ``n_cases``, ``n_controls``, ``share``,
        ``share_lower``, ``share_upper`` (binary); ``n_events``, ``time_at_risk``, ``rate`` (survival); ``n_events``,
        ``exposure``, ``rate`` (counts); ``level_0``, ``level_1``, ... (ordered). Intervals are 95 %.
        With sampling weights also ``n_weighted``, the sum of the weights, and ``mean_weighted``, ``share_weighted`` or
        ``rate_weighted``. Of matched sets also ``n_cases_expected``: cases if those of each set were drawn from it by lot.
    """
    groups = [(None, np.ones(row.n, dtype=bool))] if arms is None else [(arm, arms == arm) for arm in np.unique(arms)]
    rows: list[dict[str, Any]] = []
    for arm, in_arm in groups:
        for number in (*range(len(kinds.names)), -1):
            some = in_arm & (kinds.which == number)
            if not some.any():
                continue
            first = {} if by is None else {by: arm}
            known = {**first, kinds.heading: kinds.names[number] if number >= 0 else kinds.missing}
            if row.predictor is None:
                known["copies"] = None if number < 0 else number
            else:
                known["median_value"] = None if number < 0 else float(np.median(row.copies[some]))
            rows.append({**known, "n": int(some.sum()), **_outcome(row, some), **_sampled(row, some)})
    return pl.DataFrame(rows, infer_schema_length=None)


def _sampled(row: RowData, some: BoolArray) -> Mapping[str, Any]:
    """What weights and matched sets add."""
    if row.is_matched:
        assert row.stratum is not None
        return {"n_cases_expected": float(case_shares(row.y, row.stratum)[some].sum())}
    if row.weight is None:
        return {}
    w, y = row.weight[some], row.y[some]
    total = float(w.sum())
    if row.kind == "cox":
        total_time = float((w * at_risk(row)[some]).sum())
        return {"n_weighted": total, "rate_weighted": float(w @ y) / total_time if total_time else None}
    return {"n_weighted": total, f"{'mean' if row.kind == 'linear' else 'share'}_weighted": float(w @ y) / total}


def at_risk(row: RowData) -> Float64Array:
    """Time that each sample (n,) was followed."""
    assert row.time is not None and row.entry is not None
    return np.asarray(row.time - np.where(np.isfinite(row.entry), row.entry, 0.0))


def _outcome(row: RowData, some: BoolArray) -> Mapping[str, Any]:
    y = row.y[some]
    if row.kind == "linear":
        mean, low, high = mean_interval(y)
        sd = float(y.std(ddof=1)) if y.size > 1 else None
        return {
            "mean": mean, "mean_lower": _known(low), "mean_upper": _known(high), "sd": sd, "median": float(np.median(y)),
        }  # fmt: skip
    if row.kind == "logistic":
        cases = int(y.sum())
        low, high = (float(bound) for bound in wilson_interval(cases, y.size))
        return {
            "n_cases": cases, "n_controls": y.size - cases, "share": cases / y.size, "share_lower": low,
            "share_upper": high,
        }  # fmt: skip
    if row.kind == "cox":
        total = float(at_risk(row)[some].sum())
        return {"n_events": int(y.sum()), "time_at_risk": total, "rate": float(y.sum()) / total if total else None}
    if row.kind == "poisson":
        exposure = float(np.exp(row.offset[some]).sum())
        return {"n_events": int(y.sum()), "exposure": exposure, "rate": float(y.sum()) / exposure}
    counts = np.bincount(y.astype(np.int64), minlength=int(row.y.max()) + 1)
    return {f"level_{level}": int(n) for level, n in enumerate(counts)}


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value
