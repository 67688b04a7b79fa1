"""Quantiles of millions of p-values from counts: what a QQ plot draws, without sorting the p-values.

-log10 p are counted in bins a thousandth wide, with the highest and the lowest of each bin. That gives every
rank's p-value: exactly at both ends of a bin, within a thousandth between them. Medians are exact: the bins
that hold them are read again. Few p-values have bins of their own, so every one of them is drawn.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from genassoc.plots.series import P_VALUE, gather
from genassoc.plots.thinning import ALL_DRAWN
from genassoc.shapes import Float64Array, Int64Array
from genassoc.stats.inflation import genomic_inflation

BINS = 1000  # for 1 of -log10 p: a fraction of a pixel
_BINS_OF_FEW = 10**9  # a p-value has a bin of its own, unless it is tied
_RANKS = 4000  # spread over a plot's width: closer than its pixels

GROUP = "group"


@dataclass(frozen=True)
class Quantiles:
    """One group of tests on a QQ plot.

    Attributes
    ----------
    group : int
    n : int
        Tests.
    expected, observed : float64 array
        -log10 p of the ranks to draw, highest first.
    inflation : float
        Chi-squared of the median p over the expected one at its rank: lambda_GC where the group is ranked
        by itself.
    tied : float
        Share of p-values that are seen to be equal to another one.
    """

    group: int
    n: int
    expected: Float64Array
    observed: Float64Array
    inflation: float
    tied: float = 0.0


def rank_groups(rows: pl.LazyFrame, n_rows: int, *, together: bool) -> list[Quantiles]:
    """Rank the p-values of each ``group``, by itself or ``together`` with all others; groups in their order.

    Parameters
    ----------
    rows : LazyFrame
        ``group`` (an integer) and ``neg_log_10_p_value``, finite.
    n_rows : int
        How many they are.
    together : bool
        One ranking of all rows, of which each group is a part. For groups that were made by looking at the p:
        alone they could not be uniform.
    """
    width = 1.0 / (_BINS_OF_FEW if n_rows <= ALL_DRAWN else BINS)
    rows = rows.with_columns((pl.col(P_VALUE) / width).floor().cast(pl.Int64).alias("bin"))
    counts = gather(
        rows.group_by(GROUP, "bin").agg(
            pl.len().alias("n"), pl.col(P_VALUE).max().alias("high"), pl.col(P_VALUE).min().alias("low")
        )
    ).sort("bin", "high", GROUP, descending=[True, True, False])
    groups = sorted(counts[GROUP].unique())
    medians = _exact_medians(rows, counts, groups)
    total = int(counts["n"].sum())
    ahead = counts["n"].cum_sum() - counts["n"]
    quantiles = []
    for group in groups:
        ours = counts[GROUP] == group
        group_counts = counts.filter(ours)
        n = int(group_counts["n"].sum())
        first = ahead.filter(ours) if together else group_counts["n"].cum_sum() - group_counts["n"]
        of = total if together else n
        rank, observed = _ranks_to_draw(group_counts, first.to_numpy().astype(np.int64), of)
        expected = -np.log10((rank - 0.5) / of)
        median = medians[group]
        at = -np.log10((median.rank_together - 0.5) / of) if together else np.log10(2.0)
        inflation = float(genomic_inflation(median.lower, median.higher, at))
        equal = (group_counts["n"] > 1) & (group_counts["high"] == group_counts["low"])
        tied = float(group_counts["n"].filter(equal).sum()) / n
        quantiles.append(Quantiles(group, n, expected, observed, inflation, tied))
    return quantiles


def _ranks_to_draw(counts: pl.DataFrame, first: Int64Array, total: int) -> tuple[Int64Array, Float64Array]:
    """Ranks (from 1, highest first) to draw of a group and their -log10 p.

    Both ends of every bin, and between them so many that no pixel is left out.
    """
    n = counts["n"].to_numpy().astype(np.int64)
    spread = np.unique(np.rint(np.geomspace(1, total, _RANKS)).astype(np.int64))
    rank = np.unique(np.concatenate([first + 1, first + n, spread]))
    row = np.searchsorted(first, rank - 1, side="right") - 1
    inside = (row >= 0) & (rank - 1 < first[row] + n[row])  # together, other groups' ranks are not ours
    rank, row = rank[inside], row[inside]
    share = (rank - 1 - first[row]) / np.maximum(n[row] - 1, 1)
    high, low = counts["high"].to_numpy()[row], counts["low"].to_numpy()[row]
    return rank, np.where(share < 1.0, high - share * (high - low), low)


@dataclass(frozen=True)
class _Median:
    """The two middle -log10 p of a group, and the rank among all rows that is between them."""

    lower: float
    higher: float
    rank_together: float


def _exact_medians(rows: pl.LazyFrame, counts: pl.DataFrame, groups: list[int]) -> dict[int, _Median]:
    """Read the bins again that hold the middle ranks of each group."""
    middle: dict[int, list[tuple[int, int]]] = {}  # group -> (bin, place in it from its highest) of both
    for group in groups:
        group_counts = counts.filter(pl.col(GROUP) == group)
        last = group_counts["n"].cum_sum().to_numpy()
        n = int(last[-1])
        ranks = np.array([(n + 1) // 2, n // 2 + 1])
        row = np.searchsorted(last, ranks, side="left")
        before = last[row] - group_counts["n"].to_numpy()[row]
        middle[group] = [(int(group_counts["bin"][int(k)]), int(r - b - 1)) for k, r, b in zip(row, ranks, before)]
    wanted = sorted({bin_number for pair in middle.values() for bin_number, _ in pair})
    read = gather(rows.filter(pl.col("bin").is_in(wanted)))
    medians = {}
    for group, places in middle.items():
        values, ranks_together = [], []
        for bin_number, place in places:
            inside = read.filter(pl.col("bin") == bin_number)
            ours = np.sort(inside.filter(pl.col(GROUP) == group)[P_VALUE].to_numpy())[::-1]
            value = ours[place]
            values.append(float(value))
            above = int(counts.filter(pl.col("bin") > bin_number)["n"].sum())
            all_values = inside[P_VALUE].to_numpy()
            # ties share the middle of their ranks
            ranks_together.append(above + (all_values > value).sum() + ((all_values == value).sum() + 1) / 2)
        medians[group] = _Median(min(values), max(values), float(np.mean(ranks_together)))
    return medians
