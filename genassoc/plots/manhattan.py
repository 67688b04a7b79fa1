"""Manhattan plots."""

from typing import TYPE_CHECKING, Literal

from genassoc.errors import GenassocError
from genassoc.plots.figure import INK, new_axes, size_in_points, write_title
from genassoc.plots.genes import gene_rows, is_of_genes
from genassoc.plots.genome import GenomeAxis, mark_chromosomes
from genassoc.plots.panel import LOCUS_WINDOW, Levels, draw_panel, name_leads, named_of, read_panel
from genassoc.plots.series import ResultsLike

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def manhattan(
    results: ResultsLike,
    *,
    trait: str | None = None,
    test: str | None = None,
    mask: str | None = None,
    max_maf: float | None = None,
    ax: "Axes | None" = None,
    significance: float | None = None,
    suggestive: float | None = 1e-5,
    title: str | None = None,
    annotate: "int | Literal['all']" = 5,
) -> "Axes":
    """Draw -log10 p of every variant along the genome, or of every gene.

    Every variant above -log10 p of 4 is drawn, and below it one a pixel, so that ten million variants cost
    little more than a hundred thousand, in time and in memory. The points are one image in a PDF or SVG; text
    and axes stay vectors.

    Parameters
    ----------
    results : Results, DataFrame or LazyFrame
        Columns ``chromosome, base_pair_location, neg_log_10_p_value``; ``rsid``, ``variant_id``, ``trait``,
        ``test`` and ``code`` where there are any. Rows without a p-value are left out and counted below the
        plot. Or results of sets of variants (`genassoc.associate_sets`, `genassoc.meta_sets`): a point a gene, at its middle; of
        several masks and bins the smallest p.
    trait, test : str, optional
        Which to draw; needed where the results have several. Of genes "acato" where there is one.
    mask, max_maf : str and float, optional
        Of genes: only this mask, this bin.
    ax : Axes, optional
        Where to draw; without it, a new figure's.
    significance, suggestive : float
        Levels drawn as lines; None draws no suggestive line. The level of significance is 5e-8 where it is not given; of genes 0.05 over
        all tests from which the points are chosen (Bonferroni), and no suggestive line.
    title : str, optional
        By default the trait.
    annotate : int or "all"
        Name the lead variants of at most so many significant loci, the strongest first, or of "all": by rsid, where there
        is none by variant_id. Where there is no room near the points, names stand upright above them.

    Returns
    -------
    Axes

    Raises
    ------
    GenassocError
        There is nothing to draw, a column is absent, or it is not clear which trait or test is meant.
    """
    caption, window = "", LOCUS_WINDOW
    if is_of_genes(results):
        genes = gene_rows(results, trait=trait, test=test, mask=mask, max_maf=max_maf)
        results, caption, window, suggestive, test = genes.rows, genes.caption, 0, None, None
        significance = 0.05 / max(1, genes.n_tests) if significance is None else significance
    elif mask is not None or max_maf is not None:
        raise GenassocError("mask= and max_maf= are of results of genes; these are of variants.")
    levels = Levels(5e-8 if significance is None else significance, suggestive, named_of(annotate), window)
    panel = read_panel(results, levels, trait=trait, test=test)
    genome = GenomeAxis.of(panel.spans)
    if ax is None:
        ax = new_axes(10.0, 4.0)
    crowd = draw_panel(ax, panel, genome, panel.top)
    ax.set_xlabel(mark_chromosomes(ax, genome, 600.0), color=INK, fontsize=9)
    captions = [caption and f"{caption}; line: p = {levels.significance:.2g}", panel.series.caption]
    name = panel.series.trait if caption else panel.series.name
    write_title(ax, (name or "") if title is None else title, "\n".join(filter(None, captions)))
    size = size_in_points(ax)  # now that all around the axes is there
    mark_chromosomes(ax, genome, size[0])
    name_leads(ax, panel, genome, crowd, size)
    return ax
