"""Manhattan plots."""

from typing import TYPE_CHECKING

from genassoc.plots.figure import INK, new_axes, size_in_points, write_title
from genassoc.plots.genome import GenomeAxis
from genassoc.plots.panel import Levels, draw_panel, name_leads, read_panel
from genassoc.plots.series import ResultsLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes


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
    little more than a hundred thousand, in time and in memory. The points are one image in a PDF or SVG; text
    and axes stay vectors.

    Parameters
    ----------
    results : Results, DataFrame or LazyFrame
        Columns ``chromosome, base_pair_location, neg_log_10_p_value``; ``rsid``, ``variant_id``, ``trait``,
        ``test`` and ``code`` where there are any. Rows without a p-value are left out and counted below the
        plot.
    trait, test : str, optional
        Which to draw; needed where the results have several.
    ax : Axes, optional
        Where to draw; without it, a new figure's.
    significance, suggestive : float
        Levels drawn as lines; None draws no suggestive line.
    title : str, optional
        By default the trait.
    annotate : int
        Name the lead variants of at most so many significant loci, the strongest first: by rsid, where there
        is none by variant_id.

    Returns
    -------
    Axes

    Raises
    ------
    GenassocError
        There is nothing to draw, a column is absent, or it is not clear which trait or test is meant.
    """
    panel = read_panel(results, Levels(significance, suggestive, annotate), trait=trait, test=test)
    genome = GenomeAxis.of(panel.spans)
    if ax is None:
        ax = new_axes(10.0, 4.0)
    crowd = draw_panel(ax, panel, genome, panel.top)
    ax.set_xticks(genome.middle[:1], ["1"])
    ax.set_xlabel("Chromosome", color=INK, fontsize=9)
    write_title(ax, panel.series.name if title is None else title, panel.series.caption)
    size = size_in_points(ax)  # now that all around the axes is there
    ax.set_xticks(*genome.labels(size[0]))
    name_leads(ax, panel, genome, crowd, size)
    return ax
