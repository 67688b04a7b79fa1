"""A page of small Manhattan and QQ plots: all traits of a run at one look."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Literal

import polars as pl

from genassoc.errors import GenassocError
from genassoc.plots.figure import GREY, figure_of, new_axes
from genassoc.plots.manhattan import manhattan
from genassoc.plots.qq import qq
from genassoc.plots.series import P_VALUE, ResultsLike, gather, scan_of
from genassoc.progress import Progress, Silent

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

IN_MEMORY = 4_000_000  # rows held at a time
_COLUMNS = (
    "chromosome", "base_pair_location", P_VALUE, "rsid", "variant_id", "trait", "test", "code", "effect_allele", "other_allele", "beta",
    "standard_error", "effect_allele_frequency", "method",
)  # fmt: skip
_ROW, _WIDTH, _MOST = 1.35, 5.6, 400  # inches of a trait; panels on one page


def each_series(
    results: ResultsLike, pairs: Sequence[tuple[str, str]]
) -> Iterator[tuple[tuple[str, str], ResultsLike]]:
    """Each trait and test with its rows: in memory where they are few, so that a file is read once and not once a look."""
    table = scan_of(results)
    columns = [name for name in _COLUMNS if name in table.collect_schema().names()]
    counts = {(trait, test): n for trait, test, n in gather(table.group_by("trait", "test").len("n")).iter_rows()}
    if sum(counts.values()) <= IN_MEMORY:
        rows = gather(table.select(columns)).partition_by("trait", "test", as_dict=True, maintain_order=True)
        for pair in pairs:
            yield pair, rows[pair]
        return
    for trait, test in pairs:
        if counts.get((trait, test), 0) <= IN_MEMORY:
            chosen = table.filter(pl.col("trait") == trait, pl.col("test") == test)
            yield (trait, test), gather(chosen.select(columns))
        else:
            yield (trait, test), results


def page(
    results: ResultsLike, *, traits: Sequence[str] | None = None, test: str | None = None, by: "Literal['maf', 'method'] | None" = None,
    significance: float = 5e-8, progress: Progress | None = None,
) -> "Figure":  # fmt: skip
    """Draw a small Manhattan and a small QQ plot of every trait and test, two traits a row, on one page.

    Parameters
    ----------
    results : Results, DataFrame or LazyFrame
        With columns ``trait`` and ``test``.
    traits : sequence of str, optional
        By default all, in the order of the table.
    test : str, optional
        By default all.
    by : "maf" or "method", optional
        Of the QQ plots.
    significance : float
        The line.
    progress : Progress, optional

    Returns
    -------
    Figure
        For `save_figure`. A trait without a p-value has an empty panel that says so.

    Raises
    ------
    GenassocError
        There is no such trait or test, or more than fit on a page.
    """
    from matplotlib.figure import Figure

    table = scan_of(results)
    pairs = [(str(a), str(b)) for a, b in gather(table.select("trait", "test").unique(maintain_order=True)).iter_rows()]
    chosen = [pair for pair in pairs if (traits is None or pair[0] in traits) and (test is None or pair[1] == test)]
    absent = [name for name in traits or () if name not in {pair[0] for pair in pairs}]
    if absent or not chosen:
        known = ", ".join(dict.fromkeys(pair[0] for pair in pairs[:12])) or "none"
        raise GenassocError(
            f"there is nothing to draw of {', '.join(absent) or test or 'these results'}; there are {known}."
        )
    if len(chosen) > _MOST:
        raise GenassocError(
            f"{len(chosen)} traits and tests do not fit on a page, which has room for {_MOST}: pass traits=."
        )
    columns = 1 if len(chosen) == 1 else 2
    n_rows = -(-len(chosen) // columns)
    figure = figure_of(new_axes(columns * _WIDTH, max(n_rows * _ROW, 2.2)))
    assert isinstance(figure, Figure)
    figure.clear()
    figure.set_layout_engine("none")  # of a hundred axes it would take half a minute
    height = figure.get_figheight()
    grid = figure.add_gridspec(
        n_rows, 3 * columns - 1, width_ratios=([4.0, 1.0, 0.35] * columns)[:-1], left=0.05, right=0.985, top=1.0 - 0.32 / height,
        bottom=0.3 / height, hspace=0.62, wspace=0.16,
    )  # fmt: skip
    watch = progress or Silent()
    watch.begin("drawing", float(len(chosen)), "traits")
    several = len({pair[1] for pair in chosen}) > 1
    try:
        for k, (pair, rows) in enumerate(each_series(results, chosen)):
            row, column = k % n_rows, k // n_rows
            wide, square = (figure.add_subplot(grid[row, 3 * column + side]) for side in (0, 1))
            _draw(wide, square, rows, pair, f"{pair[0]}, {pair[1]}" if several else pair[0], by, significance)
            watch.advance(1)
    finally:
        watch.end()
    return figure


def _draw(
    wide: "Axes",
    square: "Axes",
    rows: ResultsLike,
    pair: tuple[str, str],
    title: str,
    by: "Literal['maf', 'method'] | None",
    significance: float,
) -> None:
    try:
        manhattan(
            rows,
            trait=pair[0],
            test=pair[1],
            ax=wide,
            significance=significance,
            suggestive=None,
            annotate=0,
            title=title,
        )
        qq(rows, trait=pair[0], test=pair[1], ax=square, by=by, title="")
    except GenassocError as error:
        for ax in (wide, square):
            ax.clear()
            ax.set_axis_off()
        wide.set_title(title, loc="left", fontsize=7.5, fontweight="bold", parse_math=False)
        wide.text(
            0.0, 0.5, str(error).split(":")[0], fontsize=6.5, color=GREY, transform=wide.transAxes, parse_math=False
        )
        return
    legend = square.get_legend()
    said = [text.get_text() for text in legend.get_texts() if "lambda" in text.get_text()] if legend is not None else []
    if legend is not None:
        legend.remove()
    if len(said) == 1:
        square.set_title("$" + said[0].split("$", 1)[1], fontsize=6.5, pad=2)
    for ax in (wide, square):
        for text in list(ax.texts):
            text.remove()
        ax.set_xlabel("")
        ax.set_ylabel("")
        ax.tick_params(labelsize=5.5, length=2, pad=1.5)
        for child in ax.child_axes:
            child.remove()
    wide.set_title(wide.get_title(loc="left"), loc="left", fontsize=7.5, fontweight="bold", pad=3)
