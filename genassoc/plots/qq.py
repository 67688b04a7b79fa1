"""Quantile-quantile plots."""

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from scipy.special import betaincinv, ndtri_exp

from genassoc.plots.figure import DARK_BLUE, GREY, INK, PALE, dress, new_axes, write_title
from genassoc.plots.series import ResultsLike, read_series
from genassoc.plots.thinning import thin
from genassoc.shapes import Float64Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = ("neg_log_10_p_value",)
_MEDIAN_CHI2 = 0.45493642311957283  # of 1 degree of freedom
_BAND_POINTS = 200


def qq(
    results: ResultsLike,
    *,
    trait: str | None = None,
    test: str | None = None,
    ax: "Axes | None" = None,
    title: str | None = None,
) -> "Axes":
    """Draw the observed -log10 p against those expected of independent null tests.

    The band holds 95 % of each rank's p-value under the null (a beta distribution); variants in linkage
    disequilibrium stray further together. The legend gives lambda_GC, the median chi-squared over its
    expectation (Devlin and Roeder 1999).

    Parameters
    ----------
    results : Results, DataFrame or LazyFrame
        Column ``neg_log_10_p_value``; ``trait``, ``test`` and ``code`` where there are any.
    trait, test : str, optional
        Which to draw; needed where the results have several.
    ax : Axes, optional
        Where to draw; without it, a new figure's.
    title : str, optional
        By default the trait.

    Returns
    -------
    Axes

    Raises
    ------
    GenassocError
        There is nothing to draw, a column is absent, or it is not clear which trait or test is meant.
    """
    series = read_series(results, _COLUMNS, trait=trait, test=test)
    observed = np.sort(series.table["neg_log_10_p_value"].to_numpy())[::-1]
    n = len(observed)
    expected = -np.log10((np.arange(1, n + 1) - 0.5) / n)
    x_end, y_end = 1.04 * float(expected[0]), 1.06 * float(max(observed[0], expected[0]))
    points = pl.DataFrame({"expected": expected, "observed": observed})
    points = thin(points, "expected", "observed", x_end=x_end, y_end=y_end)
    if ax is None:
        ax = new_axes(4.6, 4.6)
    dress(ax)
    ax.grid(color=PALE, linewidth=0.5, zorder=0)
    middle, lower, upper = null_band(n)
    ax.fill_between(
        middle, lower, upper, color=GREY, alpha=0.22, linewidth=0, zorder=1, label="95 % band under the null"
    )
    ax.plot([0.0, x_end], [0.0, x_end], color=GREY, linewidth=0.9, zorder=2)
    ax.plot(
        points["expected"].to_numpy(),
        points["observed"].to_numpy(),
        linestyle="none",
        marker="o",
        markersize=3.0,
        markeredgewidth=0,
        color=DARK_BLUE,
        rasterized=True,
        zorder=3,
        label=rf"{n:,} variants, $\lambda_{{GC}}$ = {genomic_inflation(observed):.3f}",
    )
    ax.set_xlim(0.0, x_end)
    ax.set_ylim(0.0, y_end)
    ax.set_xlabel(r"Expected $-\log_{10}\,p$", color=INK, fontsize=9)
    ax.set_ylabel(r"Observed $-\log_{10}\,p$", color=INK, fontsize=9)
    ax.legend(loc="upper left", frameon=False, fontsize=8, labelcolor=INK, handletextpad=0.5)
    write_title(ax, series.name if title is None else title, series.caption)
    return ax


def genomic_inflation(neg_log_10_p: Float64Array) -> float:
    """lambda_GC: the chi-squared (1 df) of the median p over its null median; from log p: no underflow."""
    z = ndtri_exp(-float(np.median(neg_log_10_p)) * np.log(10.0) - np.log(2.0))
    return float(z * z / _MEDIAN_CHI2)


def null_band(n: int) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Expected -log10 p, and the ends of 95 % of each under the null, at ranks spread over 1 to n.

    The k-th smallest of n uniform p-values is Beta(k, n + 1 - k).
    """
    rank = np.unique(np.rint(np.geomspace(1, n, _BAND_POINTS)).astype(np.int64))
    ends = [-np.log10(betaincinv(rank, n + 1 - rank, level)) for level in (0.975, 0.025)]
    return -np.log10((rank - 0.5) / n), ends[0], ends[1]
