"""Missing calls of cases against those of controls: variants that are called differently stand out."""

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from genassoc.errors import InputError
from genassoc.plots.figure import DARK_BLUE, INK, PALE, VERMILION, dress, new_axes, write_title

if TYPE_CHECKING:
    from genassoc.plots.figure import Axes

_NEEDED = ("missing_rate_cases", "missing_rate_controls", "missing_neg_log_10_p")
_MOST = 20_000  # points of variants that do not differ; those that do are all drawn


def case_status(variants: pl.DataFrame, *, differs: float = 5.0, title: str = "", ax: "Axes | None" = None) -> "Axes":
    """Draw each variant's missing rate in controls against that in cases.

    Parameters
    ----------
    variants : DataFrame
        Of `genassoc.variant_qc` with ``cases``.
    differs : float
        -log10 p of Fisher's test from which a variant stands out.
    title : str
    ax : Axes, optional
        Drawn on; a figure of its own otherwise.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        The table lacks a column, or has no variant with both rates.
    """
    from matplotlib.ticker import PercentFormatter

    if lacking := [name for name in _NEEDED if name not in variants.columns]:
        raise InputError(f"the table has no column {', '.join(lacking)}: draw variant_qc(cohort, cases=...).")
    x, y, p = (variants[name].cast(pl.Float64).fill_null(np.nan).to_numpy() for name in _NEEDED)
    known = np.isfinite(x) & np.isfinite(y)
    if not known.any():
        raise InputError("no variant has a missing rate in cases and in controls.")
    x, y, out = x[known], y[known], np.nan_to_num(p[known]) >= differs
    ax = new_axes(4.4, 4.2) if ax is None else ax
    dress(ax)
    most = max(float(x.max()), float(y.max()), 1e-4) * 1.05
    ax.plot([0, most], [0, most], color=INK, linewidth=0.8, linestyle="--", zorder=1)
    step = max(1, int((~out).sum()) // _MOST)
    for some, colour, size, name in (
        (np.flatnonzero(~out)[::step], DARK_BLUE, 5, "alike"),
        (np.flatnonzero(out), VERMILION, 12, f"p below 1e-{differs:g}"),
    ):
        ax.scatter(x[some], y[some], s=size, color=colour, linewidths=0, alpha=0.7, zorder=2, label=f"{name}: {int((out if colour == VERMILION else ~out).sum()):,}", rasterized=True)  # fmt: skip
    ax.grid(color=PALE, linewidth=0.5, zorder=0)
    ax.set(
        xlim=(-0.02 * most, most), ylim=(-0.02 * most, most), xlabel="missing in cases", ylabel="missing in controls"
    )
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(PercentFormatter(1.0))
    ax.legend(frameon=False, fontsize=8, loc="upper left")
    write_title(ax, title or "Missing calls by case status", "")
    return ax
