"""Miami plots: two Manhattan plots, one upright and one mirrored below it."""

from typing import TYPE_CHECKING, Literal

from genassoc.errors import GenassocError
from genassoc.plots.figure import GREY, INK, new_axes_pair, size_in_points, write_title
from genassoc.plots.genome import GenomeAxis, mark_chromosomes
from genassoc.plots.panel import Levels, Panel, draw_panel, name_leads, named_of, read_panel
from genassoc.plots.series import ResultsLike, traits_of
from genassoc.plots.words import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Pair = tuple[str | None, str | None]


def miami(
    results: ResultsLike,
    other: ResultsLike | None = None,
    *,
    trait: str | tuple[str, str] | None = None,
    test: str | tuple[str, str] | None = None,
    axes: "tuple[Axes, Axes] | None" = None,
    significance: float = 5e-8,
    suggestive: float | None = 1e-5,
    titles: tuple[str, str] | None = None,
    annotate: "int | Literal['all']" = 5,
    same_scale: bool = False,
) -> "tuple[Axes, Axes]":
    """Draw two series along one genome: -log10 p upward in the upper axes, downward in the lower.

    Two results, one above the other (two cohorts, two models); or one, of which two traits or two tests are
    drawn. Chromosomes match whether spelt chr1, 1 or 01; positions are compared as they are, so both must be
    of one genome build. What is drawn of each is as in `manhattan`.

    Parameters
    ----------
    results, other : Results, DataFrame or LazyFrame
        Upper and lower; without ``other`` both are drawn from ``results``. Columns as in `manhattan`.
    trait, test : str or pair of str, optional
        Which to draw: a pair is upper and lower, a word is for both. Not needed where there is but one, nor
        where ``results`` alone has two traits and no more: their order is the table's.
    axes : pair of Axes, optional
        Upper and lower; without them, a new figure's.
    significance, suggestive : float
        Levels drawn as lines; None draws no suggestive line.
    titles : pair of str, optional
        By default the traits; where these are the same, "upper" and "lower" cannot be told apart without.
    annotate : int or "all"
        Name the lead variants of at most so many loci in each.
    same_scale : bool
        One scale for both -log10 p; by default each has its own, so that a weaker trait can be seen.

    Returns
    -------
    (Axes, Axes)
        Upper and lower.

    Raises
    ------
    GenassocError
        As `manhattan`; or both would be the same series.
    """
    traits, tests = _pair(trait, "trait"), _pair(test, "test")
    if other is None:
        traits = _two_of(results, traits, tests)
    levels = Levels(significance, suggestive, named_of(annotate))
    panels = [
        read_panel(source, levels, trait=traits[k], test=tests[k])
        for k, source in enumerate((results, results if other is None else other))
    ]
    genome = GenomeAxis.of(panels[0].spans.vstack(panels[1].spans))
    upper, lower = axes if axes is not None else new_axes_pair(10.0, 6.0)
    tops = [panel.top for panel in panels]
    if same_scale:
        tops = [max(tops)] * 2
    crowds = [draw_panel(ax, panel, genome, top) for ax, panel, top in zip((upper, lower), panels, tops)]
    lower.invert_yaxis()
    words = _join(upper, lower, genome)
    _write(upper, lower, panels, titles, words)
    upper.get_figure(root=True).align_ylabels((upper, lower))  # type: ignore[union-attr]
    sizes = [size_in_points(ax) for ax in (upper, lower)]  # now that all around the axes is there
    mark_chromosomes(upper, genome, sizes[0][0])
    for ax, panel, crowd, size in zip((upper, lower), panels, crowds, sizes):
        name_leads(ax, panel, genome, crowd, size)
    return upper, lower


def _pair(wanted: str | tuple[str, str] | None, role: str) -> Pair:
    if wanted is None or isinstance(wanted, str):
        return wanted, wanted
    if len(wanted) != 2:
        raise GenassocError(f"A Miami plot shows two {role}s, upper and lower; {role} has {len(wanted)}.")
    return wanted[0], wanted[1]


def _two_of(results: ResultsLike, traits: Pair, tests: Pair) -> Pair:
    """The two traits of one table that are meant, where two tests are not."""
    if traits[0] != traits[1] or tests[0] != tests[1]:
        return traits
    if traits[0] is not None:
        raise GenassocError(
            f"Trait {traits[0]!r} above itself: pass other= (more results), test= (two tests) or two traits."
        )
    names = traits_of(results)
    if len(names) == 2:
        return names[0], names[1]
    if len(names) < 2:
        raise GenassocError(
            "A Miami plot shows two series and these results have one trait: pass other= (more results) or test= (two tests)."
        )
    shown = ", ".join(repr(name) for name in names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")
    raise GenassocError(f"The results have {len(names)} traits: pass trait= a pair of {shown}.")


def _join(upper: "Axes", lower: "Axes", genome: GenomeAxis) -> str:
    """Chromosome names stand between the two; the lower's frame opens downward. Gives the words for the axis."""
    words = mark_chromosomes(upper, genome, 600.0)
    upper.tick_params(axis="x", pad=3)
    lower.set_xticks([])
    lower.spines["bottom"].set_visible(False)
    lower.spines["top"].set_visible(True)
    lower.spines["top"].set_color(GREY)
    lower.spines["top"].set_linewidth(0.8)
    return words


def _write(upper: "Axes", lower: "Axes", panels: list[Panel], titles: tuple[str, str] | None, words: str) -> None:
    """Titles above and below, and what is left out of each in a caption."""
    names = (panels[0].series.name, panels[1].series.name) if titles is None else titles
    captions = [
        f"{name}: {panel.series.caption}" if name else panel.series.caption
        for name, panel in zip(names, panels)
        if panel.series.caption
    ]
    write_title(upper, names[0], "")
    lower.set_xlabel(words, color=INK, fontsize=9)
    write_title(lower, "", "\n".join(captions))
    lower.annotate(
        plain(names[1]),
        (0.0, 0.0),
        xycoords="axes fraction",
        xytext=(0, -4),
        textcoords="offset points",
        ha="left",
        va="top",
        fontsize=11,
        fontweight="bold",
        color=INK,
    )
