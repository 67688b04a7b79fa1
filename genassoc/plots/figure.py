"""Figures: made without pyplot's global state, dressed alike, saved whole or not at all."""

from pathlib import Path
from typing import TYPE_CHECKING

from genassoc.data.output import replacing
from genassoc.errors import OutputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Paul Tol's and Okabe and Ito's colours: distinct for every common kind of colour vision, and in grey.
DARK_BLUE, LIGHT_BLUE, VERMILION = "#22577A", "#8CB4CF", "#D55E00"
INK, GREY, PALE = "#222222", "#6B6B6B", "#D9DEE3"

# What is saved bears no date, so that the same results give the same file.
_UNDATED: dict[str, dict[str, None]] = {
    ".pdf": {"CreationDate": None},
    ".svg": {"Date": None},
    ".png": {},
}


def new_axes(width: float, height: float) -> "Axes":
    """Axes on a figure of their own, in inches; no window, no pyplot, so nothing to close."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure.add_subplot()


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
        ax.set_title(title, loc="left", fontsize=11, fontweight="bold", color=INK, pad=10)
    if caption:
        ax.set_xlabel(ax.get_xlabel() + "\n", color=INK, fontsize=9)
        ax.annotate(
            caption,
            (1.0, 0.0),
            xycoords=("axes fraction", ax.xaxis.label),
            ha="right",
            va="bottom",
            fontsize=7,
            color=GREY,
            annotation_clip=False,
        )


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


def save_figure(ax_or_fig: "Axes | Figure", path: str | Path, dpi: int = 150) -> Path:
    """Save a plot as .png, .pdf or .svg: under a ``wip_`` name first, then renamed.

    Parameters
    ----------
    ax_or_fig : Axes or Figure
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
    from matplotlib.figure import Figure

    path = Path(path)
    ending = path.suffix.lower()
    if ending not in _UNDATED:
        raise OutputError(
            f"{path}: a plot is saved as .png, .pdf or .svg; {path.suffix or 'no ending'} is none of them."
        )
    figure = ax_or_fig if isinstance(ax_or_fig, Figure) else ax_or_fig.get_figure(root=True)
    if figure is None:
        raise OutputError(f"{path}: these axes belong to no figure, so there is nothing to save.")
    # SVG: the ids of its parts are drawn at random unless salted
    with replacing(path) as file, rc_context({"svg.hashsalt": "genassoc"}):
        figure.savefig(file, dpi=dpi, format=ending[1:], metadata=_UNDATED[ending] or None)
    return path
