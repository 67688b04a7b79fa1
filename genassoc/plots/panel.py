"""One strip of points along the genome: what a Manhattan plot has one of and a Miami plot two."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from genassoc.data.cohort.contigs import Contigs
from genassoc.errors import GenassocError
from genassoc.plots.figure import DARK_BLUE, GREY, INK, LIGHT_BLUE, PALE, VERMILION, dress
from genassoc.plots.genome import GenomeAxis, chromosome_spans
from genassoc.plots.hover import MOST_HITS, add_words, words_of_row
from genassoc.plots.labels import place_labels
from genassoc.plots.series import P_VALUE, ResultsLike, Series, gather, read_series
from genassoc.plots.thinning import KEPT_ABOVE, PLACE, thin_points
from genassoc.plots.words import p_value

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LOCUS_WINDOW = 1_000_000  # base pairs: weaker variants nearer than half of it to a lead belong to its locus
_WORDS = (
    "effect_allele",
    "other_allele",
    "beta",
    "standard_error",
    "effect_allele_frequency",
)  # of a lead under the pointer
Y_LABEL = r"$-\log_{10}\,p$"


@dataclass(frozen=True)
class Levels:
    """Which p-values are marked by lines, and how many lead variants are named, of which none lies within half of ``window`` of another."""

    significance: float
    suggestive: float | None
    annotate: int
    window: int = LOCUS_WINDOW

    @property
    def line(self) -> float:
        """-log10 of the significance level."""
        return -float(np.log10(self.significance))


def named_of(annotate: "int | Literal['all']") -> int:
    """How many leads are to be named.

    Raises
    ------
    GenassocError
        It is neither a number nor "all".
    """
    if annotate == "all":
        return 2**31
    if isinstance(annotate, bool) or not isinstance(annotate, int) or annotate < 0:
        raise GenassocError(f"annotate={annotate!r}: how many loci are named, or 'all'.")
    return annotate


@dataclass(frozen=True)
class Panel:
    """A series to draw along the genome.

    Attributes
    ----------
    series : Series
        Its rows stay where they are.
    spans : DataFrame
        See `chromosome_spans`.
    strong : DataFrame
        Rows above `KEPT_ABOVE`: chromosome, base_pair_location, neg_log_10_p_value,
        rsid, variant_id.
    leads : DataFrame
        Lead variants of significant loci, strongest first, with the same columns.
    levels : Levels
    """

    series: Series
    spans: pl.DataFrame
    strong: pl.DataFrame
    leads: pl.DataFrame
    levels: Levels

    @property
    def top(self) -> float:
        """Where the axis ends: above the points, the line and room for names."""
        highest = float(self.spans["highest"].max())  # type: ignore[arg-type]
        room = 1.10 if self.leads.height and self.levels.annotate else 1.0
        return 1.08 * room * max(highest, self.levels.line)


def read_panel(results: ResultsLike, levels: Levels, *, trait: str | None, test: str | None) -> Panel:
    """Look through the rows of one trait and test twice: for spans, and for what is strong."""
    series = read_series(results, PLACE, trait=trait, test=test, optional=("rsid", "variant_id", *_WORDS))
    rows = series.rows.with_columns(pl.col("chromosome").cast(pl.String))  # some tools' are numbers
    spans = chromosome_spans(rows)
    strong = gather(rows.filter((pl.col(P_VALUE) > KEPT_ABOVE) | (pl.col(P_VALUE) >= levels.line)))
    leads = lead_variants(strong, levels.line, levels.window)
    above = strong.filter(pl.col(P_VALUE) > KEPT_ABOVE)
    return Panel(replace(series, rows=rows), spans, above, leads, levels)


def lead_variants(points: pl.DataFrame, line: float, window: int = LOCUS_WINDOW) -> pl.DataFrame:
    """The strongest variant of each locus above ``line``, strongest first.

    The strongest takes all within half of ``window`` on either side, then the strongest of the rest does,
    and so on.
    """
    above = points.filter(pl.col(P_VALUE) >= line)
    names = above["chromosome"].cast(pl.String).unique().to_list()
    contigs = Contigs.of(names)
    numbers = {key: number for number, key in enumerate(sorted({contigs.key(name) for name in names}))}
    number = {name: numbers[contigs.key(name)] for name in names}
    chromosomes = pl.Series([number[str(name)] for name in above["chromosome"]], dtype=pl.Int64)
    order = pl.DataFrame({"key": chromosomes, "at": above["base_pair_location"]}).select(
        pl.arg_sort_by("key", "at", maintain_order=True)
    )
    if not window:
        return above[np.argsort(-above[P_VALUE].to_numpy(), kind="stable")]
    above, chromosome = above[order.to_series()], chromosomes[order.to_series()].to_numpy()
    # one number line for all chromosomes, further apart than any window
    place = chromosome * 2**40 + above["base_pair_location"].to_numpy()
    first = np.searchsorted(place, place - window // 2, side="left")
    stop = np.searchsorted(place, place + window // 2, side="right")
    free = np.ones(above.height, dtype=np.bool_)
    leads = []
    for k in np.argsort(-above[P_VALUE].to_numpy(), kind="stable"):
        if free[k]:
            leads.append(int(k))
            free[first[k] : stop[k]] = False
    return above[leads]


def draw_panel(ax: "Axes", panel: Panel, genome: GenomeAxis, top: float) -> pl.DataFrame:
    """Draw points, leads and lines up to ``top``; gives the strong points, around which names are placed."""
    from matplotlib.ticker import MaxNLocator

    dress(ax)
    margin = 0.01 * max(genome.end, 1.0)
    ax.set_xlim(-margin, genome.end + margin)
    ax.set_ylim(0.0, top)
    if panel.levels.suggestive is not None:
        ax.axhline(-np.log10(panel.levels.suggestive), color=GREY, linewidth=0.7, linestyle=(0, (2, 3)), zorder=1)
    ax.axhline(panel.levels.line, color=VERMILION, linewidth=0.8, linestyle=(0, (6, 3)), zorder=1)
    _write_levels(ax, panel.levels)
    series = panel.series
    points = genome.place(thin_points(series.rows, panel.strong, series.n_rows, x_end=genome.end, y_end=top))
    _draw_points(ax, points)
    _draw_leads(ax, genome.place(panel.leads))
    ax.yaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True))
    ax.set_ylabel(Y_LABEL, color=INK, fontsize=9)
    ax.tick_params(axis="x", length=0, pad=4)
    return points.filter(pl.col(P_VALUE) > KEPT_ABOVE)


def _write_levels(ax: "Axes", levels: Levels) -> None:
    """The p of each line, at its right end."""
    lines = [(levels.line, VERMILION)]
    if levels.suggestive is not None:
        lines.append((-float(np.log10(levels.suggestive)), GREY))
    right = ax.secondary_yaxis("right")
    right.set_yticks([line for line, _ in lines], [f"p = {p_value(line)}" for line, _ in lines], fontsize=7)
    right.tick_params(length=0, pad=2)
    right.spines["right"].set_visible(False)
    for label, (_, colour) in zip(right.get_yticklabels(), lines):
        label.set_color(colour)


def name_leads(
    ax: "Axes", panel: Panel, genome: GenomeAxis, crowd: pl.DataFrame, size_points: tuple[float, float]
) -> None:
    """Name the strongest leads of a panel whose axes have their final size, and say what all are under the pointer."""
    leads = genome.place(panel.leads)
    named = leads.head(panel.levels.annotate)
    beyond = place_labels(ax, named, crowd, "x", P_VALUE, size_points)
    if beyond:
        ax.annotate(
            f"{beyond:,} more loci not named: no room", (1.0, 0.0 if ax.yaxis_inverted() else 1.0), xycoords="axes fraction",
            xytext=(0, -12 if ax.yaxis_inverted() else 4), textcoords="offset points", ha="right", fontsize=7, color=GREY,
        )  # fmt: skip
    first = leads.head(MOST_HITS)
    add_words(
        ax, first["x"].to_list(), first[P_VALUE].to_list(), [words_of_row(row) for row in first.iter_rows(named=True)]
    )


def _draw_points(ax: "Axes", points: pl.DataFrame) -> None:
    for parity, colour in enumerate((DARK_BLUE, LIGHT_BLUE)):
        ours = points.filter(pl.col("chromosome_index") % 2 == parity)
        ax.plot(
            ours["x"].to_numpy(),
            ours[P_VALUE].to_numpy(),
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
        leads[P_VALUE].to_numpy(),
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
