"""One region of the genome: -log10 p by position, coloured by LD with one variant, and the genes below."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from genassoc.plots.figure import GREY, INK, PALE, VERMILION, dress, new_axes, size_in_points, write_title
from genassoc.plots.hover import add_words, words_of_row
from genassoc.plots.labels import place_labels
from genassoc.plots.panel import Y_LABEL
from genassoc.plots.series import P_VALUE
from genassoc.plots.words import cut, p_value, plain
from genassoc.shapes import Float64Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# r2 from 0 to 1 in fifths: from light to dark, so that they stay apart for every kind of colour vision and in grey
LD_COLOURS = ("#C4CED6", "#86B6D8", "#4C86C6", "#7A3E9D", "#7F0F2B")
_NO_LD = "#9AA5AE"
_LANES = 6  # rows of genes
_LANE = 15.0  # points
_GENE, _EXON = "gene", "exon"
_LETTER = 4.4  # of a name of a gene of 7 points


@dataclass(frozen=True)
class Region:
    """What is drawn.

    Attributes
    ----------
    rows : DataFrame
        Rows with a p: chromosome, base_pair_location, neg_log_10_p_value, rsid, variant_id, and what hovering words need.
    chromosome : str
    first, last : int
        Positions.
    lead : int or None
        The row that r2 is with, which is named.
    r2 : float64 array (rows,) or None
        NaN where it is not known.
    genes : DataFrame or None
        feature, gene, start, end, strand.
    """

    rows: pl.DataFrame
    chromosome: str
    first: int
    last: int
    lead: int | None = None
    r2: Float64Array | None = None
    genes: pl.DataFrame | None = None


def draw_region(
    region: Region, *, title: str = "", caption: str = "", significance: float | None = 5e-8, annotate: int = 1,
    ax: "Axes | None" = None,
) -> "Axes":  # fmt: skip
    """Draw it: points by LD, the lead as a diamond with its name and p, positions in Mb on the axis, genes in lanes below."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    tracks = region.genes is not None
    ax = new_axes(8.0, 5.0 if tracks else 4.0) if ax is None else ax
    dress(ax)
    x, y = region.rows["base_pair_location"].to_numpy().astype(float), region.rows[P_VALUE].to_numpy()
    line = None if significance is None else -float(np.log10(significance))
    top = 1.22 * max(float(y.max(initial=0.0)), line or 0.0, 1.0)
    width = max(region.last - region.first, 1)
    ax.set_xlim(region.first - 0.01 * width, region.last + 0.01 * width)
    ax.set_ylim(0.0, top)
    if line is not None:
        ax.axhline(line, color=VERMILION, linewidth=0.8, linestyle=(0, (6, 3)), zorder=1)
    _draw_points(ax, region, x, y)
    ax.set_xlabel(f"Position on chromosome {plain(region.chromosome.removeprefix('chr'))} (Mb)", color=INK, fontsize=9)
    digits = 3 if width < 40_000 else 2 if width < 400_000 else 1 if width < 20_000_000 else 0
    ax.xaxis.set_major_locator(MaxNLocator(6))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value / 1e6:,.{digits + 1}f}"))
    ax.yaxis.set_major_locator(MaxNLocator(nbins=6, integer=True))
    ax.set_ylabel(Y_LABEL, color=INK, fontsize=9)
    write_title(ax, title, caption)
    if region.genes is not None:
        _draw_genes(ax, region, top)
    _name(ax, region, x, y, annotate)
    return ax


def _draw_points(ax: "Axes", region: Region, x: Float64Array, y: Float64Array) -> None:
    style: dict[str, Any] = {
        "linestyle": "none",
        "marker": "o",
        "markeredgewidth": 0.3,
        "markeredgecolor": "white",
        "rasterized": x.size > 2000,
    }
    lead = np.zeros(x.size, bool)
    if region.lead is not None:
        lead[region.lead] = True
    r2 = np.full(x.size, np.nan) if region.r2 is None else region.r2
    unknown = np.isnan(r2) & ~lead
    if unknown.any():
        label = None if region.r2 is None else f"not known: {int(unknown.sum()):,}"
        ax.plot(x[unknown], y[unknown], markersize=4.5, color=_NO_LD, zorder=2, label=label, **style)
    fifth = np.clip((np.nan_to_num(r2) * 5).astype(int), 0, 4)
    for k, colour in enumerate(LD_COLOURS):
        ours = ~np.isnan(r2) & ~lead & (fifth == k)
        if region.r2 is not None:
            label = f"{k / 5:.1f} to {(k + 1) / 5:.1f}"
            ax.plot(x[ours], y[ours], markersize=5.0 + 0.3 * k, color=colour, zorder=3 + 0.1 * k, label=label, **style)
    if region.lead is not None:
        ax.plot(
            x[lead], y[lead], linestyle="none", marker="D", markersize=7, markerfacecolor=VERMILION, markeredgecolor=INK,
            markeredgewidth=0.7, zorder=5,
        )  # fmt: skip
    if region.r2 is not None:
        handles, labels = ax.get_legend_handles_labels()
        legend = ax.legend(
            handles[::-1], labels[::-1], title=r"$r^2$ with the lead", title_fontsize=7.5, fontsize=7.5, labelcolor=INK,
            loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, handletextpad=0.2, borderaxespad=0.2, markerscale=1.2,
        )  # fmt: skip
        legend.set_zorder(6)


def _name(ax: "Axes", region: Region, x: Float64Array, y: Float64Array, annotate: int) -> None:
    """The lead's name with its p, words on what is strongest."""
    strongest = np.argsort(-y, kind="stable")[:100]
    rows = [region.rows.row(int(k), named=True) for k in strongest]
    words = [words_of_row(row) for row in rows]
    if region.r2 is not None:
        words = [
            text if np.isnan(region.r2[k]) else f"{text}\nr² {region.r2[k]:.2f}" for k, text in zip(strongest, words)
        ]
    add_words(ax, x[strongest].tolist(), y[strongest].tolist(), words)
    if region.lead is None or not annotate:
        return
    lead = region.rows[region.lead]
    p = p_value(lead[P_VALUE][0])
    name = lead["rsid"][0] if lead["rsid"][0] not in (None, "", ".") else lead["variant_id"][0]
    more = [int(k) for k in strongest if k != region.lead][: annotate - 1]
    named = pl.concat([lead, region.rows[more]]).with_columns(
        label=pl.Series([f"{cut(str(name or 'lead'), 24)}, p = {p}", *[None] * len(more)], dtype=pl.String)
    )
    place_labels(ax, named, region.rows[strongest.tolist()], "base_pair_location", P_VALUE, size_in_points(ax))


def _draw_genes(ax: "Axes", region: Region, top: float) -> None:
    """Genes in lanes below 0 of the axis, those that meet in different lanes; which do not fit is said."""
    genes = region.genes
    assert genes is not None
    width, height = size_in_points(ax)
    (left, right), _ = ax.get_xlim(), ax.get_ylim()
    scale = width / (right - left)
    whole = genes.filter(pl.col("feature") == _GENE) if (genes["feature"] == _GENE).any() else genes
    spans = whole.group_by("gene", maintain_order=True).agg(
        pl.col("start").min(), pl.col("end").max(), pl.col("strand").first()
    )
    spans = spans.sort("start", "end", "gene")
    lanes: list[float] = []
    placed: list[tuple[int, float, float, str, str]] = []
    beyond = 0
    for gene, start, end, strand in spans.iter_rows():
        low, high = max(start, left), min(end, right)
        name = cut(str(gene), 18)
        arrowed = f"{name} →" if strand == "+" else f"← {name}" if strand == "-" else name
        half = _LETTER * len(arrowed) / 2 / scale
        middle = (
            float(np.clip((low + high) / 2, left + half, right - half))
            if 2 * half < right - left
            else (left + right) / 2
        )
        begins, ends = min(low, middle - half), max(high, middle + half)
        lane = next((k for k, taken in enumerate(lanes) if taken + 4.0 / scale <= begins), len(lanes))
        if lane == _LANES:
            beyond += 1
            continue
        if lane == len(lanes):
            lanes.append(ends)
        lanes[lane] = ends
        placed.append((lane, low, high, gene, arrowed))
    n = max(len(lanes), 1)
    share = min(0.5, (n * _LANE + 8.0 + 10.0 * bool(beyond or not placed)) / max(height, 1.0))
    below = top * share / (1.0 - share)
    ax.set_ylim(-below, top)
    unit = (top + below) / height  # of the axis, one point
    ax.axhline(0.0, color=GREY, linewidth=0.8, zorder=1)
    ax.set_yticks([tick for tick in ax.get_yticks() if 0 <= tick <= top])
    exons = genes.filter(pl.col("feature") == _EXON)
    for lane, low, high, gene, arrowed in placed:
        at = -unit * (6.0 + _LANE * lane + 9.5)
        ax.plot([low, high], [at, at], color=GREY, linewidth=1.0, zorder=2, solid_capstyle="butt")
        for start, end in (
            exons.filter(pl.col("gene") == gene).select("start", "end").unique().sort("start").iter_rows()
        ):
            ax.plot(
                [max(start, left), max(min(end, right), max(start, left) + 0.6 / scale)], [at, at], color="#22577A", linewidth=4.0,
                zorder=3, solid_capstyle="butt",
            )  # fmt: skip
        half = _LETTER * len(arrowed) / 2 / scale
        middle = (
            float(np.clip((low + high) / 2, left + half, right - half))
            if 2 * half < right - left
            else (left + right) / 2
        )
        ax.annotate(
            plain(arrowed), (middle, at), xytext=(0, 2.5), textcoords="offset points", ha="center", va="bottom", fontsize=6.5,
            color=INK, zorder=4,
        )  # fmt: skip
    if beyond or not placed:
        words = f"{beyond} more genes not drawn" if beyond else "no gene here"
        ax.annotate(
            words, (1.0, 0.0), xycoords="axes fraction", xytext=(-2, 2), textcoords="offset points", ha="right", va="bottom",
            fontsize=6.5, color=GREY,
        )  # fmt: skip
    ax.yaxis.set_label_coords(-0.06, (below + top / 2) / (below + top))
    ax.spines["left"].set_bounds(0.0, top)
    ax.grid(axis="y", color=PALE, linewidth=0.5, zorder=0)
