"""Who carries what: samples by genotype or level (and arm) with their outcomes, as a table."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from genassoc.explanation.groups import Groups
from genassoc.refit.conditional import case_shares
from genassoc.refit.row_data import RowData
from genassoc.shapes import Array, BoolArray, Float64Array
from genassoc.stats.proportions import mean_interval, wilson_interval

Describe = Callable[[RowData, BoolArray], dict[str, Any]]


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
        With sampling weights also ``n_weighted``, the sum of the weights, and ``mean_weighted``, ``share_weighted``,
        ``rate_weighted`` or the weighted share of each level. Of matched sets also ``n_cases_expected``: cases if those of each set were drawn from it by lot.
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
            rows.append(
                {**known, "n": int(some.sum()), **COUNTED[row.about.counts].plain(row, some), **_sampled(row, some)}
            )
    return pl.DataFrame(rows, infer_schema_length=None)


def _sampled(row: RowData, some: BoolArray) -> Mapping[str, Any]:
    """What weights and matched sets add."""
    if row.is_matched:
        assert row.stratum is not None
        return {"n_cases_expected": float(case_shares(row.y, row.stratum)[some].sum())}
    if not row.weighted:
        return {}
    return {"n_weighted": float(row.weight[some].sum()), **COUNTED[row.about.counts].weighted(row, some)}


def at_risk(row: RowData) -> Float64Array:
    """Time that each sample (n,) was followed."""
    assert row.time is not None and row.entry is not None
    return np.asarray(row.time - np.where(np.isfinite(row.entry), row.entry, 0.0))


def _values(row: RowData, some: BoolArray) -> dict[str, Any]:
    y = row.y[some]
    mean, low, high = mean_interval(y)
    sd = float(y.std(ddof=1)) if y.size > 1 else None
    return {
        "mean": mean, "mean_lower": _known(low), "mean_upper": _known(high), "sd": sd, "median": float(np.median(y)),
    }  # fmt: skip


def _shares(row: RowData, some: BoolArray) -> dict[str, Any]:
    cases, n = int(row.y[some].sum()), int(some.sum())
    low, high = (float(bound) for bound in wilson_interval(cases, n))
    return {"n_cases": cases, "n_controls": n - cases, "share": cases / n, "share_lower": low, "share_upper": high}


def _rates(row: RowData, some: BoolArray) -> dict[str, Any]:
    events, exposure = int(row.y[some].sum()), float(row.exposure[some].sum())
    return {"n_events": events, "exposure": exposure, "rate": events / exposure}


def _followed(row: RowData, some: BoolArray) -> dict[str, Any]:
    events, total = int(row.y[some].sum()), float(at_risk(row)[some].sum())
    return {"n_events": events, "time_at_risk": total, "rate": events / total if total else None}


def _levels(row: RowData, some: BoolArray) -> dict[str, Any]:
    counts = np.bincount(row.y[some].astype(np.int64), minlength=int(row.y.max()) + 1)
    return {f"level_{level}": int(n) for level, n in enumerate(counts)}


def _weighted_mean(name: str, over: Callable[[RowData], Float64Array] | None = None) -> Describe:
    """The outcome by the weights, for each sample or for each unit of what it is counted over."""

    def describe(row: RowData, some: BoolArray) -> dict[str, Any]:
        w = row.weight[some]
        total = float(w.sum() if over is None else w @ over(row)[some])
        return {name: float(w @ row.y[some]) / total if total else None}

    return describe


def _weighted_levels(row: RowData, some: BoolArray) -> dict[str, Any]:
    w = np.bincount(row.y[some].astype(np.int64), row.weight[some], minlength=int(row.y.max()) + 1)
    return {f"share_of_level_{level}_weighted": float(share) for level, share in enumerate(w / w.sum())}


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value


class Counted(NamedTuple):
    """How the outcome of a group is described, and how by weights."""

    plain: Describe
    weighted: Describe


# By what a family's `genassoc.models.about.About` says of it.
COUNTED: dict[str, Counted] = {
    "values": Counted(_values, _weighted_mean("mean_weighted")),
    "shares": Counted(_shares, _weighted_mean("share_weighted")),
    "rates": Counted(_rates, _weighted_mean("rate_weighted", lambda row: row.exposure)),
    "levels": Counted(_levels, _weighted_levels),
    "followed": Counted(_followed, _weighted_mean("rate_weighted", at_risk)),
}
