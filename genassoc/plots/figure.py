"""Figures: made without pyplot's global state, dressed alike, saved whole or not at all."""

import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from genassoc.data.output import replacing, target_of
from genassoc.errors import OutputError
from genassoc.plots.words import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes as Axes
    from matplotlib.figure import Figure as Figure

# Paul Tol's and Okabe and Ito's colours: distinct for every common kind of colour vision, and in grey.
DARK_BLUE, LIGHT_BLUE, VERMILION = "#22577A", "#8CB4CF", "#D55E00"
INK, GREY, PALE = "#222222", "#6B6B6B", "#D9DEE3"

# Eight that stay apart for every kind of colour vision (Okabe and Ito; the last is Tol's), darkest first; yellow is too pale for points.
DISTINCT = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#222222", "#56B4E9", "#E69F00", "#882255")

_CAPTION_SIZE = 7.0
_CAPTION_LETTER = 0.53 * _CAPTION_SIZE  # mean width of its letters, in points
_TITLE_LETTER = 0.62  # of the size of bold letters: their mean width

# What is saved bears no date, so that the same results give the same file.
_UNDATED: dict[str, dict[str, None]] = {
    ".pdf": {"CreationDate": None},
    ".svg": {"Date": None},
    ".png": {},
}


def new_axes(width: float, height: float) -> "Axes":
    """Axes on a figure of their own, in inches; no window, no pyplot, so nothing to close."""
    return _new_figure(width, height).add_subplot()


def new_axes_pair(width: float, height: float) -> "tuple[Axes, Axes]":
    """Upper and lower axes of one width on a figure of their own, in inches."""
    figure = _new_figure(width, height)
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.set(hspace=0.0, h_pad=0.02)  # type: ignore[call-arg]
    upper, lower = figure.subplots(2, 1)
    return upper, lower


def new_axes_row(n: int, width: float, height: float) -> "list[Axes]":
    """``n`` axes beside one another with one scale, each ``width`` inches, on a figure of their own."""
    axes = _new_figure(n * width, height).subplots(1, n, sharey=True, squeeze=False)
    return list(axes[0])


def _in_notebook() -> bool:
    """Whether this runs in a Jupyter kernel, where a figure of pyplot's is shown below its cell."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


def _new_figure(width: float, height: float) -> "Figure":
    if _in_notebook():
        from matplotlib import pyplot

        return pyplot.figure(figsize=(width, height), layout="constrained", facecolor="white")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def dress(ax: "Axes") -> None:
    """Bare left and bottom edges, quiet ticks."""
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        ax.spines[side].set_color(GREY)
        ax.spines[side].set_linewidth(0.8)
    ax.tick_params(colors=INK, labelsize=8, width=0.8, length=3, color=GREY)
    ax.set_axisbelow(True)


def write_title(ax: "Axes", title: str, caption: str) -> None:
    """Title at the upper left, and the caption in small grey letters under the axes' label."""
    if title:
        ax.set_title(wrapped_title(ax, title), loc="left", fontsize=11, fontweight="bold", color=INK, pad=10)
    if caption:
        lines = [plain(line) for line in _wrap(ax, caption)]
        ax.set_xlabel(ax.get_xlabel() + "\n" * len(lines), color=INK, fontsize=9)
        ax.annotate(
            "\n".join(lines),
            (1.0, 0.0),
            xycoords=("axes fraction", ax.xaxis.label),
            ha="right",
            va="bottom",
            fontsize=_CAPTION_SIZE,
            color=GREY,
            annotation_clip=False,
        )


def wrapped_title(ax: "Axes", title: str, size: float = 11.0) -> str:
    """A title in as many lines as it needs to be whole above its axes."""
    figure = ax.get_figure(root=True)
    points = 400.0 if figure is None else 72.0 * float(figure.get_figwidth()) * ax.get_position().width
    letters = max(16, int(points / (_TITLE_LETTER * size)))
    return "\n".join(plain(piece) for line in title.split("\n") for piece in textwrap.wrap(line, letters) or [""])


def _wrap(ax: "Axes", caption: str) -> list[str]:
    """The caption's lines, broken where they are wider than the axes."""
    figure = ax.get_figure(root=True)
    points = 400.0 if figure is None else 72.0 * float(figure.get_figwidth()) * ax.get_position().width
    letters = max(20, int(points / _CAPTION_LETTER))
    return [piece for line in caption.split("\n") for piece in textwrap.wrap(line, letters)]


def size_in_points(ax: "Axes") -> tuple[float, float]:
    """Width and height of the axes in points (1/72 inch), as they will about be drawn."""
    figure = ax.get_figure(root=True)
    if figure is None:
        return 600.0, 250.0
    layout = figure.get_layout_engine()
    if layout is not None:
        layout.execute(figure)  # where the axes will be, not where they were made
    width, height = figure.get_size_inches()
    box = ax.get_position()
    return 72.0 * float(width) * box.width, 72.0 * float(height) * box.height


def figure_of(drawn: "Axes | tuple[Axes, Axes] | Figure") -> "Figure | None":
    """The figure of what a plot function returned."""
    from matplotlib.figure import Figure

    ax = drawn[0] if isinstance(drawn, tuple) else drawn
    return ax if isinstance(ax, Figure) else ax.get_figure(root=True)


def save_figure(drawn: "Axes | tuple[Axes, Axes] | Figure", path: str | Path, dpi: int = 150) -> Path:
    """Save a plot as .png, .pdf or .svg: under a ``wip_`` name first, then renamed.

    Parameters
    ----------
    drawn : Axes, pair of Axes, or Figure
        What a plot function returned, or its figure.
    path : path
        Its ending chooses the format.
    dpi : int
        Of a PNG, and of the points in a PDF or SVG (they are drawn as one image; text and axes stay vectors).

    Raises
    ------
    OutputError
        The ending is none of the three, or the file cannot be written.
    """
    from matplotlib import rc_context

    path = Path(path)
    ending = path.suffix.lower()
    if ending not in _UNDATED:
        raise OutputError(
            f"{path}: a plot is saved as .png, .pdf or .svg; {path.suffix or 'no ending'} is none of them."
        )
    figure = figure_of(drawn)
    if figure is None:
        raise OutputError(f"{path}: these axes belong to no figure, so there is nothing to save.")
    # SVG: the ids of its parts are drawn at random unless salted
    with replacing(target_of(path)) as file, rc_context({"svg.hashsalt": "genassoc"}):
        figure.savefig(file, dpi=dpi, format=ending[1:], metadata=_UNDATED[ending] or None)
    return path
