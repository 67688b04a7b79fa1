"""The variants of a gene: where they are, what they are, and who carries them."""

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from genassoc.data.disclosed_tables import variants_that_leave
from genassoc.data.disclosure import Policy, policy_of
from genassoc.errors import GenassocError
from genassoc.plots.figure import DISTINCT, GREY, INK, PALE, dress, new_axes, size_in_points, write_title
from genassoc.plots.labels import spread
from genassoc.plots.words import plain

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_NEEDED = ("base_pair_location", "variant_id", "annotation", "n_carriers")
_MARKERS = ("o", "s", "D", "^", "v", "P", "X", "*")  # with colours, so that neither alone has to tell
_PER = 1000.0
_LETTER, _ROW, _LONGEST = 5.1, 13.0, 24  # of names: points a letter and a row, letters


def lollipop(
    variants: pl.DataFrame, *, title: str = "", caption: str = "", names: int = 5, groups: tuple[str, str] = ("cases", "controls"),
    policy: Policy | str | None = None, ax: "Axes | None" = None,
) -> "Axes":  # fmt: skip
    """Draw the variants of a gene along it, as stems whose length is how many carry them.

    Parameters
    ----------
    variants : DataFrame
        ``base_pair_location``, ``variant_id``, ``annotation`` (null: none), ``n_carriers``; of cases and controls also ``n_carriers_cases``,
        ``n_carriers_controls``, ``n_cases`` and ``n_controls``: cases are drawn upward, controls downward, as carriers per 1,000 of each.
        ``neg_log_10_p_value``, where there is one, says which are named: those with the smallest p.
    title, caption : str
    names : int
        How many variants are named.
    groups : (str, str)
        What is upward and downward.
    policy : Policy or str, optional
        Variants of few carriers are drawn without a stem.
    ax : Axes, optional
        Drawn on; a figure of its own otherwise.

    Raises
    ------
    GenassocError
        A column is absent, or there is no variant.
    """
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    if absent := [name for name in _NEEDED if name not in variants.columns]:
        raise GenassocError(f"the variants lack {', '.join(absent)}; a lollipop plot needs {', '.join(_NEEDED)}.")
    if variants.is_empty():
        raise GenassocError("there is no variant to draw.")
    if (chosen := policy_of(policy)) is not None:
        variants = variants_that_leave(variants, chosen)
    split = "n_carriers_cases" in variants.columns
    table = variants.with_columns(
        _above=_heights(variants, "cases" if split else ""), _below=-_heights(variants, "controls" if split else None)
    )
    ax = new_axes(9.0, 4.2) if ax is None else ax
    dress(ax)
    x, up, down = (table[name].to_numpy().astype(float) for name in ("base_pair_location", "_above", "_below"))
    width = max(float(np.ptp(x)), 100.0)
    top, bottom = max(float(up.max()), 1e-9), float(down.min())
    ax.axhline(0.0, color=GREY, linewidth=5.0, solid_capstyle="butt", zorder=1, alpha=0.5)
    ax.vlines(x, down, up, color=GREY, linewidth=0.9, zorder=2)
    words = table["annotation"].fill_null("no annotation").to_list()
    for k, word in enumerate(sorted(set(words), key=lambda word: (-words.count(word), word))):
        mine = np.array([one == word for one in words])
        style: dict[str, Any] = {
            "linestyle": "none",
            "marker": _MARKERS[k % len(_MARKERS)],
            "color": DISTINCT[k % len(DISTINCT)],
            "markeredgewidth": 0,
        }
        ax.plot(x[mine], up[mine], markersize=6, zorder=3, label=f"{plain(word)}: {int(mine.sum())}", **style)
        if split:
            some = mine & (down < 0)
            ax.plot(x[some], down[some], markersize=6, zorder=3, alpha=0.55, **style)
    ax.set_xlim(float(x.min()) - 0.05 * width, float(x.max()) + 0.05 * width)
    ax.set_ylim(1.15 * bottom if split else 0.0, 1.06 * top)
    ax.grid(axis="y", color=PALE, linewidth=0.5, zorder=0)
    ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{abs(value):g}"))
    ax.xaxis.set_major_locator(MaxNLocator(6))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
    chromosome = f"chromosome {plain(variants['chromosome'][0])}, " if "chromosome" in variants.columns else ""
    ax.set_xlabel(f"Position ({chromosome}base pairs)", color=INK, fontsize=9)
    ax.set_ylabel(f"Carriers per 1,000\n{groups[1]} ↓   ↑ {groups[0]}" if split else "Carriers", color=INK, fontsize=9)
    ax.legend(
        fontsize=8,
        labelcolor=INK,
        frameon=False,
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        borderaxespad=0.3,
        handletextpad=0.3,
    )
    write_title(ax, title, caption)
    _name(ax, table, names)
    return ax


def _heights(variants: pl.DataFrame, group: str | None) -> pl.Series:
    """Carriers, of a group per 1,000 of its samples; masked ones are nothing."""
    if group is None:
        return pl.Series([0.0] * variants.height)
    if not group:
        return variants["n_carriers"].cast(pl.Float64).fill_null(0.0)
    return (_PER * variants[f"n_carriers_{group}"] / variants[f"n_{group}"]).fill_null(0.0).fill_nan(0.0)


def _name(ax: "Axes", table: pl.DataFrame, names: int) -> None:
    """Names of the variants with the smallest p, else of the most carriers, in rows above all points: none touches another, a line leads to each."""
    by = "neg_log_10_p_value" if "neg_log_10_p_value" in table.columns else "n_carriers"
    named = table.filter(pl.col(by).is_finite()).sort(by, descending=True).head(names).sort("base_pair_location")
    if named.is_empty():
        return
    width, height = size_in_points(ax)
    words = [name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…" for name in named["variant_id"]]
    needed = np.array([_LETTER * len(word) + 8.0 for word in words])
    n_rows = min(len(words), int(np.ceil(1.3 * needed.sum() / width)))
    band = _ROW * n_rows + 12.0
    (left, right), (bottom, top) = ax.get_xlim(), ax.get_ylim()
    ax.set_ylim(bottom, bottom + (top - bottom) * height / max(height - band, 0.4 * height))
    scale = width / (right - left)
    at = (named["base_pair_location"].to_numpy() - left) * scale
    for row in range(n_rows):
        mine = np.arange(row, len(words), n_rows)
        for k, centre in zip(mine, spread(at[mine], needed[mine], width)):
            ax.annotate(
                plain(words[k]), (named["base_pair_location"][int(k)], named["_above"][int(k)]), xytext=(centre / width, 1.0 - _ROW * (row + 0.5) / height),
                textcoords="axes fraction", ha="center", va="center", fontsize=8, color=INK, zorder=5,
                arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "linestyle": (0, (2, 2)), "shrinkA": 1, "shrinkB": 4},
                bbox={"boxstyle": "square,pad=0.15", "facecolor": "white", "edgecolor": "none"},
            )  # fmt: skip
