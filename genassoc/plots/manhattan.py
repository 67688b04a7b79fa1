"""Manhattan plots."""

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from genassoc.plots.figure import (
    DARK_BLUE,
    GREY,
    INK,
    LIGHT_BLUE,
    PALE,
    VERMILION,
    dress,
    new_axes,
    size_in_points,
    write_title,
)
from genassoc.plots.genome import GenomeAxis
from genassoc.plots.labels import place_labels
from genassoc.plots.series import ResultsLike, read_series
from genassoc.plots.thinning import KEPT_ABOVE, thin

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLUMNS = ("chromosome", "base_pair_location", "neg_log_10_p_value", "rsid", "variant_id")
LOCUS_WINDOW = 1_000_000  # base pairs: weaker variants nearer than half of it to a lead belong to its locus


def manhattan(
    results: ResultsLike,
    *,
    trait: str | None = None,
    test: str | None = None,
    ax: "Axes | None" = None,
    significance: float = 5e-8,
    suggestive: float | None = 1e-5,
    title: str | None = None,
    annotate: int = 5,
) -> "Axes":
    """Draw -log10 p of every variant along the genome.

    Every variant above -log10 p of 4 is drawn, and below it one a pixel, so that ten million variants cost
    little more than a hundred thousand. The points are one image in a PDF or SVG; text and axes stay vectors.

    Parameters
    ----------
    results : Results, DataFrame or LazyFrame
        Columns ``chromosome, base_pair_location, neg_log_10_p_value, rsid, variant_id``; ``trait``, ``test``
        and ``code`` where there are any. Rows without a p-value are left out and counted below the plot.
    trait, test : str, optional
        Which to draw; needed where the results have several.
    ax : Axes, optional
        Where to draw; without it, a new figure's.
    significance, suggestive : float
        Levels drawn as lines; None draws no suggestive line.
    title : str, optional
        By default the trait.
    annotate : int
        Name the lead variants of at most so many significant loci, the strongest first.

    Returns
    -------
    Axes

    Raises
    ------
    GenassocError
        There is nothing to draw, a column is absent, or it is not clear which trait or test is meant.
    """
    from matplotlib.ticker import MaxNLocator

    series = read_series(results, _COLUMNS, trait=trait, test=test)
    genome = GenomeAxis.of(series.table)
    points = genome.place(series.table)
    line = -np.log10(significance)
    highest = float(points["neg_log_10_p_value"].max())  # type: ignore[arg-type]
    leads = lead_variants(points, line)
    top = 1.08 * max(highest, line)
    named = leads.head(annotate)
    if named.height:
        top *= 1.10  # room for the names
    if ax is None:
        ax = new_axes(10.0, 4.0)
    dress(ax)
    margin = 0.01 * max(genome.end, 1.0)
    ax.set_xlim(-margin, genome.end + margin)
    ax.set_ylim(0.0, top)
    if suggestive is not None:
        ax.axhline(-np.log10(suggestive), color=GREY, linewidth=0.7, linestyle=(0, (2, 3)), zorder=1)
    ax.axhline(line, color=VERMILION, linewidth=0.8, linestyle=(0, (6, 3)), zorder=1)
    _draw_points(ax, thin(points, "x", "neg_log_10_p_value", x_end=genome.end, y_end=top))
    _draw_leads(ax, leads)
    ax.yaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True))
    ax.set_xticks(genome.middle[:1], ["1"])
    ax.tick_params(axis="x", length=0, pad=4)
    ax.set_xlabel("Chromosome", color=INK, fontsize=9)
    ax.set_ylabel(r"$-\log_{10}\,p$", color=INK, fontsize=9)
    write_title(ax, series.name if title is None else title, series.caption)
    width, height = size_in_points(ax)  # now that all around the axes is there
    ax.set_xticks(*genome.labels(width))
    crowd = points.filter(pl.col("neg_log_10_p_value") > KEPT_ABOVE)
    place_labels(ax, named, crowd, "x", "neg_log_10_p_value", (width, height))
    return ax


def lead_variants(points: pl.DataFrame, line: float) -> pl.DataFrame:
    """The strongest variant of each locus above ``line``, strongest first.

    The strongest takes all within half of `LOCUS_WINDOW` on either side, then the strongest of the rest does,
    and so on.
    """
    above = points.filter(pl.col("neg_log_10_p_value") >= line).sort("chromosome_index", "base_pair_location")
    # one number line for all chromosomes, further apart than any window
    place = above["chromosome_index"].to_numpy().astype(np.int64) * 2**40 + above["base_pair_location"].to_numpy()
    first = np.searchsorted(place, place - LOCUS_WINDOW // 2, side="left")
    stop = np.searchsorted(place, place + LOCUS_WINDOW // 2, side="right")
    free = np.ones(above.height, dtype=np.bool_)
    leads = []
    for k in np.argsort(-above["neg_log_10_p_value"].to_numpy(), kind="stable"):
        if free[k]:
            leads.append(int(k))
            free[first[k] : stop[k]] = False
    return above[leads]


def _draw_points(ax: "Axes", points: pl.DataFrame) -> None:
    for parity, colour in enumerate((DARK_BLUE, LIGHT_BLUE)):
        ours = points.filter(pl.col("chromosome_index") % 2 == parity)
        ax.plot(
            ours["x"].to_numpy(),
            ours["neg_log_10_p_value"].to_numpy(),
            linestyle="none",
            marker="o",
            markersize=2.4,
            markeredgewidth=0,
            color=colour,
            rasterized=True,
            zorder=2,
        )


def _draw_leads(ax: "Axes", leads: pl.DataFrame) -> None:
    ax.plot(
        leads["x"].to_numpy(),
        leads["neg_log_10_p_value"].to_numpy(),
        linestyle="none",
        marker="D",
        markersize=4.5,
        markerfacecolor=VERMILION,
        markeredgecolor="white",
        markeredgewidth=0.6,
        zorder=4,
        rasterized=leads.height > 200,
    )
    ax.grid(axis="y", color=PALE, linewidth=0.5, zorder=0)
