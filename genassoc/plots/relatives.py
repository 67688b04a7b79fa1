"""Kinship against IBS0: who is related, and how."""

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from genassoc.errors import GenassocError
from genassoc.plots.figure import DISTINCT, GREY, INK, LIGHT_BLUE, PALE, dress, new_axes, write_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_ALL_DRAWN = 20_000  # points; of more, those not related are drawn one a pixel
_PIXELS = 600
# Least kinship of each degree (Manichaikul et al. 2010), and what is said at the right of the picture above it.
_BOUNDS = ((0.3536, "duplicates, twins"), (0.1768, "first degree"), (0.0884, "second degree"), (0.0442, "third degree"))
_NAMES = {
    "duplicate": "duplicate or twins", "parent_offspring": "parent and offspring", "full_siblings": "full siblings",
    "second_degree": "second degree", "third_degree": "third degree", "unrelated": "unrelated",
}  # fmt: skip
_COLOURS = dict(zip(_NAMES, (*DISTINCT[:4], DISTINCT[6], LIGHT_BLUE)))
_NEEDED = ("ibs0", "kinship")


def kinship(
    kin: pl.DataFrame, *, column: str | None = None, ax: "Axes | None" = None, title: str | None = None
) -> "Axes":
    """Draw the kinship of pairs of samples against the share of variants in which they have no allele in common (IBS0).

    Parents and offspring stand at the left, with an IBS0 of errors alone; full siblings at the same height beside them. The lines are the least
    kinship of each degree. All related pairs are drawn; of many unrelated ones one for each pixel, so that any number can be drawn.

    Parameters
    ----------
    kin : DataFrame
        Of `genassoc.kinship`.
    column : str, optional
        "kinship" or "kinship_adjusted"; by default the latter where there is one.
    ax : Axes, optional
        Where to draw; without it, a new figure's.
    title : str, optional
        By default none.

    Raises
    ------
    GenassocError
        A column is absent, or no pair has a kinship.
    """
    column = column or ("kinship_adjusted" if "kinship_adjusted" in kin.columns else "kinship")
    absent = [name for name in dict.fromkeys((*_NEEDED, column)) if name not in kin.columns]
    if absent:
        raise GenassocError(f"The table lacks {', '.join(absent)}; this plot needs one of genassoc.kinship.")
    drawn = kin.filter(pl.col(column).is_finite() & pl.col("ibs0").is_finite())
    if not drawn.height:
        raise GenassocError(f"Nothing to draw: none of {kin.height:,} pairs has a {column}.")
    labels = drawn["relationship"] if "relationship" in drawn.columns else None
    x, y = drawn["ibs0"].to_numpy(), drawn[column].to_numpy()
    names = np.full(x.size, "unrelated", dtype=object) if labels is None else labels.fill_null("unrelated").to_numpy()
    ax = new_axes(6.0, 4.4) if ax is None else ax
    dress(ax)
    x_end, y_start = 1.05 * max(float(x.max()), 0.01), min(0.0, float(y.min())) - 0.02
    y_end = max(0.52, 1.04 * float(y.max()))
    for bound, name in _BOUNDS:
        ax.axhline(bound, color=PALE, linewidth=0.9, zorder=1)
        ax.annotate(
            f"{name}\n{bound:.3g}", (1.0, bound), xycoords=("axes fraction", "data"), xytext=(4, 0), textcoords="offset points",
            ha="left", va="center", fontsize=7, color=GREY, annotation_clip=False,
        )  # fmt: skip
    for name in reversed(_NAMES):
        at = np.flatnonzero(names == name)
        if not at.size:
            continue
        n = at.size
        if n > _ALL_DRAWN:
            at = at[_one_per_pixel(x[at] / x_end, (y[at] - y_start) / (y_end - y_start))]
        ax.scatter(
            x[at], y[at], s=12 if name != "unrelated" else 5, color=_COLOURS[name], linewidths=0, alpha=0.85, zorder=3,
            label=f"{_NAMES[name]}: {n:,}", rasterized=True,
        )  # fmt: skip
    ax.set_xlim(-0.02 * x_end, x_end)
    ax.set_ylim(y_start, y_end)
    ax.set_xlabel("Share of variants without a common allele (IBS0)", color=INK, fontsize=9)
    words = "Kinship, adjusted for components" if column == "kinship_adjusted" else "Kinship (KING-robust)"
    ax.set_ylabel(words, color=INK, fontsize=9)
    handles, texts = ax.get_legend_handles_labels()
    ax.legend(
        handles[::-1], texts[::-1], loc="upper left", bbox_to_anchor=(0.3, 1.0), frameon=False, fontsize=8, labelcolor=INK,
        handletextpad=0.2, markerscale=1.4,
    )  # fmt: skip
    left_out = kin.height - drawn.height
    write_title(ax, title or "", f"{left_out:,} pairs without a kinship not drawn" if left_out else "")
    return ax


def _one_per_pixel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Numbers of points, the first of each pixel, in their order; x and y from 0 to 1."""
    pixel = (x * _PIXELS).astype(np.int64) * (_PIXELS + 1) + (y * _PIXELS).astype(np.int64)
    return np.sort(np.unique(pixel, return_index=True)[1])
