"""Quality of samples in a picture: heterozygosity against missing calls."""

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from genassoc.data.cohort.sample_checks import SampleCheck
from genassoc.errors import InputError
from genassoc.plots.figure import DARK_BLUE, GREY, INK, PALE, VERMILION, dress, new_axes, size_in_points, write_title
from genassoc.plots.labels import place_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NEEDED = ("missing_rate", "heterozygosity")


def heterozygosity(
    samples: "SampleCheck | pl.DataFrame", *, title: str = "", names: int = 10, ax: "Axes | None" = None
) -> "Axes":
    """Draw each sample's heterozygosity against its missing rate; outliers stand out and are named.

    Contaminated samples lie above the cloud, inbred ones and bad DNA below it; bad DNA to the right too.

    Parameters
    ----------
    samples : SampleCheck or DataFrame
        What `genassoc.check_heterozygosity` found (or its ``table``), or a table of `genassoc.sample_qc`.
    title : str
    names : int
        How many of the outliers are named, the farthest first.
    ax : Axes, optional
        Drawn on; a figure of its own otherwise.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        The table lacks a column, or no sample has both values.
    """
    from matplotlib.ticker import PercentFormatter

    table = samples.table if isinstance(samples, SampleCheck) else samples
    if not isinstance(table, pl.DataFrame):
        raise TypeError("heterozygosity(samples): what check_heterozygosity found, or a table of sample_qc")
    if lacking := [name for name in _NEEDED if name not in table.columns]:
        raise InputError(
            f"the table has no column {' and '.join(lacking)}; a table of sample_qc or check_heterozygosity is drawn"
        )
    shown = table.filter(pl.all_horizontal(pl.col(_NEEDED).is_finite()))
    if shown.is_empty():
        raise InputError("no sample has a missing rate and a heterozygosity: is any autosomal variant observed?")
    ax = new_axes(5.2, 4.2) if ax is None else ax
    dress(ax)
    ax.grid(color=PALE, linewidth=0.5, zorder=0)
    out = np.zeros(shown.height, bool) if "keep" not in shown.columns else ~shown["keep"].fill_null(True).to_numpy()
    x, y = shown["missing_rate"].to_numpy(), shown["heterozygosity"].to_numpy()
    for some, colour, size in ((~out, DARK_BLUE, 3.0), (out, VERMILION, 4.0)):
        ax.plot(
            x[some], y[some], linestyle="none", marker="o", markersize=size, markeredgewidth=0, color=colour, alpha=0.8,
            rasterized=True, zorder=3 if colour == VERMILION else 2,
        )  # fmt: skip
    ax.axhline(float(y.mean()), color=GREY, linewidth=0.7, linestyle=(0, (2, 3)), zorder=1)
    ax.margins(0.08)
    ax.set_xlim(left=min(0.0, -0.02 * float(x.max())))
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0))
    ax.set_xlabel("calls not observed", color=INK, fontsize=9)
    ax.set_ylabel("heterozygous calls on autosomes", color=INK, fontsize=9)
    ax.set_xlim(ax.get_xlim())
    bottom, top = ax.get_ylim()
    ax.set_ylim(bottom, top + 0.12 * (top - bottom) * bool(out.any()))  # room for names
    unseen = table.height - shown.height
    caption = f"{shown.height:,} samples" + (f", {int(out.sum()):,} outliers" if "keep" in shown.columns else "")
    write_title(ax, title, caption + (f"; {unseen:,} without calls are left out" if unseen else ""))
    if "sample_id" in shown.columns:
        _name(ax, shown.filter(pl.Series(out)), shown, names)
    return ax


def _name(ax: "Axes", outliers: pl.DataFrame, crowd: pl.DataFrame, names: int) -> None:
    """Write the names of the farthest outliers near them."""
    far = outliers.sort(pl.col("z").abs(), descending=True, nulls_last=True) if "z" in outliers.columns else outliers
    named = far.head(names).with_columns(rsid="sample_id", chromosome=pl.lit(""), base_pair_location=pl.lit(0))
    place_labels(ax, named, crowd, "missing_rate", "heterozygosity", size_in_points(ax))
