"""Who carries what: samples by genotype (and arm) with their outcomes, as a table."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import polars as pl

from genassoc.data.row_data import RowData
from genassoc.shapes import Array, BoolArray
from genassoc.stats.proportions import mean_interval, wilson_interval

MISSING = "no call"


def genotype_names(other: str, effect: str, longest: int = 8) -> tuple[str, str, str]:
    """Genotypes with 0, 1 and 2 copies of ALT; long alleles are cut."""
    ref, alt = (allele if len(allele) <= longest else f"{allele[: longest - 3]}..." for allele in (other, effect))
    return f"{ref}/{ref}", f"{ref}/{alt}", f"{alt}/{alt}"


def count_table(row: RowData, names: tuple[str, str, str], by: str | None, arms: Array | None) -> pl.DataFrame:
    """Counts and outcomes by genotype; by arm too where there are arms.

    Parameters
    ----------
    row : RowData
        Samples without a call too.
    names : tuple of str
        Of the genotypes with 0, 1 and 2 copies of ALT.
    by : str or None
        What the arms are called.
    arms : object array of str (n,) or None
        Each sample's arm.

    Returns
    -------
    DataFrame
        One row for each arm and genotype that occurs, ``genotype``, ``copies`` of ALT, ``n``, then what fits the outcome:
        ``mean``, ``mean_lower``, ``mean_upper``, ``sd``, ``median`` (quantitative); ``n_cases``, ``n_controls``, ``share``,
        ``share_lower``, ``share_upper`` (binary); ``n_events``, ``time_at_risk``, ``rate`` (survival); ``n_events``,
        ``exposure``, ``rate`` (counts); ``level_0``, ``level_1``, ... (ordered). Intervals are 95 %.
    """
    groups = [(None, np.ones(row.n, dtype=bool))] if arms is None else [(arm, arms == arm) for arm in np.unique(arms)]
    rows: list[dict[str, Any]] = []
    for arm, in_arm in groups:
        for copies, name in ((0.0, names[0]), (1.0, names[1]), (2.0, names[2]), (None, MISSING)):
            carried = np.isnan(row.copies) if copies is None else row.copies == copies
            some = in_arm & carried
            if not some.any():
                continue
            first = {} if by is None else {by: arm}
            known = None if copies is None else int(copies)
            rows.append({**first, "genotype": name, "copies": known, "n": int(some.sum()), **_outcome(row, some)})
    return pl.DataFrame(rows, infer_schema_length=None)


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
        assert row.time is not None and row.entry is not None
        start = np.where(np.isfinite(row.entry), row.entry, 0.0)
        at_risk = float((row.time - start)[some].sum())
        return {
            "n_events": int(y.sum()),
            "time_at_risk": at_risk,
            "rate": float(y.sum()) / at_risk if at_risk else None,
        }
    if row.kind == "poisson":
        exposure = float(np.exp(row.offset[some]).sum())
        return {"n_events": int(y.sum()), "exposure": exposure, "rate": float(y.sum()) / exposure}
    counts = np.bincount(y.astype(np.int64), minlength=int(row.y.max()) + 1)
    return {f"level_{level}": int(n) for level, n in enumerate(counts)}


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value
