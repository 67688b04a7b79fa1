"""Samples on two principal components."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import polars as pl

from genassoc.errors import GenassocError
from genassoc.plots.figure import DARK_BLUE, DISTINCT, GREY, INK, PALE, dress, new_axes, write_title
from genassoc.shapes import Array, BoolArray, Float64Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_UNKNOWN, _OTHERS = "not known", "others"
_SCALE = "viridis"
_FEW_POINTS = 500  # drawn at full size
_MOST_LEGEND_LETTERS = 28


Colours = Sequence[object] | Array | pl.Series | pl.DataFrame | Mapping[str, object]


class ComponentsLike(Protocol):
    """What is drawn: principal components as `genassoc.pca` gives them."""

    @property
    def scores(self) -> pl.DataFrame:
        """sample_id, PC1, ..., PCk."""

    @property
    def fitted(self) -> BoolArray:
        """Which samples were not projected, (N,)."""

    @property
    def variance_explained(self) -> Float64Array:
        """Shares, (k,)."""


def pca(
    components: ComponentsLike,
    *,
    color_by: Colours | None = None,
    x: int = 1,
    y: int = 2,
    ax: "Axes | None" = None,
    title: str | None = None,
) -> "Axes":
    """Draw samples on two principal components; those that were projected are hollow.

    Parameters
    ----------
    components : PrincipalComponents
    color_by : sequence (N,), mapping, or DataFrame of a sample_id and one other column, optional
        A value of each sample: in the order of ``components.scores``, or by sample id. Numbers have a scale of colours, other values a colour
        each: the seven most frequent ones, beyond which they are "others".
    x, y : int
        Which components, from 1.
    ax : Axes, optional
        Where to draw; without it, a new figure's.
    title : str, optional

    Returns
    -------
    Axes

    Raises
    ------
    GenassocError
        There is no such component; or ``color_by`` has another length, or is of none of the samples.
    """
    scores = components.scores
    k = scores.width - 1
    if not (1 <= x <= k and 1 <= y <= k) or x == y:
        raise GenassocError(f"x={x}, y={y}: there are components 1 to {k}, and two different ones are drawn")
    across, up = (scores[f"PC{i}"].to_numpy().astype(np.float64) for i in (x, y))
    known = ~(np.isnan(across) | np.isnan(up))
    if ax is None:
        ax = new_axes(5.4 if color_by is None else 6.4, 4.6)
    dress(ax)
    ax.grid(color=PALE, linewidth=0.5, zorder=0)
    fitted = np.asarray(components.fitted, dtype=bool)
    size = float(np.clip(18.0 * np.sqrt(_FEW_POINTS / max(known.sum(), 1)), 3.0, 18.0))
    points = _Points(ax, across, up, known, fitted, size)
    if color_by is None:
        points.draw(np.ones(known.size, dtype=bool), DARK_BLUE, "")
    else:
        _draw_coloured(points, _values(color_by, scores["sample_id"]))
    shares = components.variance_explained
    ax.set_xlabel(f"PC{x} ({100 * shares[x - 1]:.3g} %)", color=INK, fontsize=9)
    ax.set_ylabel(f"PC{y} ({100 * shares[y - 1]:.3g} %)", color=INK, fontsize=9)
    write_title(ax, title or "", _caption(known, fitted))
    return ax


class _Points:
    """Where the samples lie, and how they are drawn."""

    def __init__(
        self, ax: "Axes", across: Float64Array, up: Float64Array, known: BoolArray, fitted: BoolArray, size: float
    ) -> None:
        self.ax, self.across, self.up, self.known, self.fitted, self.size = ax, across, up, known, fitted, size

    def draw(self, chosen: BoolArray, colour: str, label: str) -> None:
        """Samples in one colour: those fitted full, those projected hollow."""
        shape: dict[str, Any] = {"s": self.size, "rasterized": True, "zorder": 3}
        full, hollow = (chosen & self.known & which for which in (self.fitted, ~self.fitted))
        self.ax.scatter(self.across[full], self.up[full], color=colour, linewidths=0, alpha=0.75, label=label, **shape)
        if hollow.any():
            lone = label if label and not full.any() else ""
            self.ax.scatter(
                self.across[hollow], self.up[hollow], facecolors="none", edgecolors=colour, linewidths=0.6, label=lone, **shape
            )  # fmt: skip

    def scaled(self, values: Float64Array, label: str) -> None:
        """Samples in the colours of a scale."""
        from matplotlib import colormaps
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize

        norm = Normalize(float(np.nanmin(values)), float(np.nanmax(values)))
        has = ~np.isnan(values)
        self.draw(~has, PALE, "")
        colours = colormaps[_SCALE](norm(np.nan_to_num(values)))
        for which, filled in ((self.fitted, True), (~self.fitted, False)):
            at = which & self.known & has
            if at.any():
                edges: dict[str, Any] = {"facecolors": colours[at], "linewidths": 0} if filled else {
                    "facecolors": "none", "edgecolors": colours[at], "linewidths": 0.6,
                }  # fmt: skip
                self.ax.scatter(self.across[at], self.up[at], s=self.size, rasterized=True, zorder=3, **edges)
        figure = self.ax.get_figure(root=True)
        if figure is not None:
            bar = figure.colorbar(ScalarMappable(norm, _SCALE), ax=self.ax, pad=0.02)
            bar.outline.set_visible(False)
            bar.ax.tick_params(colors=INK, labelsize=8, width=0.8, length=3, color=GREY)
            bar.set_label(label, color=INK, fontsize=9)


def _draw_coloured(points: _Points, values: pl.Series) -> None:
    if values.dtype.is_numeric() and values.n_unique() > len(DISTINCT):
        points.scaled(values.cast(pl.Float64).fill_null(np.nan).to_numpy().astype(np.float64), values.name)
        return
    texts = values.cast(pl.String)
    counted = texts.drop_nulls().value_counts(sort=True).sort(["count", texts.name], descending=[True, False])
    groups = counted[texts.name].to_list()
    shown = groups if len(groups) <= len(DISTINCT) else groups[: len(DISTINCT) - 1]
    codes = texts.to_numpy()
    for group, colour in zip(shown, DISTINCT):
        points.draw(np.array(codes == group, dtype=bool), colour, _short(str(group)))
    rest = texts.is_in([group for group in groups if group not in shown]).fill_null(False).to_numpy()
    if rest.any():
        points.draw(rest, GREY, f"{_OTHERS} ({len(groups) - len(shown)})")
    if texts.null_count():
        points.draw(texts.is_null().to_numpy(), PALE, _UNKNOWN)
    legend = points.ax.legend(
        loc="upper left", bbox_to_anchor=(1.01, 1.0), fontsize=8, labelcolor=INK, handletextpad=0.2, borderaxespad=0.0,
        title=values.name or None, title_fontsize=8, alignment="left",
    )  # fmt: skip
    legend.get_frame().set_linewidth(0.0)
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_alpha(1.0)
            handle.set_sizes([18.0])  # type: ignore[attr-defined]


def _short(text: str) -> str:
    return text if len(text) <= _MOST_LEGEND_LETTERS else f"{text[: _MOST_LEGEND_LETTERS - 1]}…"


def _values(color_by: Colours, sample_ids: pl.Series) -> pl.Series:
    """One value of each sample, by id or in order.

    Raises
    ------
    GenassocError
    """
    if isinstance(color_by, Mapping):
        color_by = pl.DataFrame(
            {"sample_id": [str(name) for name in color_by], "": list(color_by.values())}, strict=False
        )
    if isinstance(color_by, pl.DataFrame):
        if color_by.width != 2:
            raise GenassocError(
                f"color_by has {color_by.width} columns: sample ids and one other are needed (table.select(...))"
            )
        ids, name = color_by.columns
        table = color_by.with_columns(pl.col(ids).cast(pl.String)).unique(ids, keep="first", maintain_order=True)
        found = sample_ids.to_frame("id").join(table, left_on="id", right_on=ids, how="left", maintain_order="left")
        if not sample_ids.is_in(table[ids].implode()).any():
            raise GenassocError(
                f"color_by: its first column, '{ids}', holds none of the samples' ids, such as {', '.join(sample_ids.head(3).to_list())}"
            )
        return found[name]
    values = color_by if isinstance(color_by, pl.Series) else pl.Series("", list(color_by), strict=False)
    if values.len() != sample_ids.len():
        raise GenassocError(f"color_by has {values.len():,} values, and there are {sample_ids.len():,} samples")
    return values


def _caption(known: BoolArray, fitted: BoolArray) -> str:
    parts = [f"{int(known.sum()):,} samples"]
    if projected := int((known & ~fitted).sum()):
        parts.append(f"{projected:,} of them projected (hollow)")
    if lacking := int((~known).sum()):
        parts.append(f"{lacking:,} without a score are not drawn")
    return "; ".join(parts)
