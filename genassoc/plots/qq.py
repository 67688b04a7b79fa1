"""Quantile-quantile plots."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from scipy.special import betaincinv

from genassoc.plots.figure import DARK_BLUE, GREY, INK, PALE, dress, new_axes, write_title
from genassoc.plots.groups import MAF_BINS, Grouped, by_maf, by_mask, by_method, by_name, ungrouped
from genassoc.plots.ranks import Quantiles, rank_groups
from genassoc.plots.series import ResultsLike
from genassoc.plots.words import plain
from genassoc.shapes import Float64Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_BAND_POINTS = 200
# largest MAF; -log10 p looked at; shares of points tied, and below the band; how flat these are
_RARE, _TAIL, _TIED, _BELOW, _FLAT = 0.01, 0.5, 0.1, 0.5, 0.8
_DASHES = (0, (3, 2))


def qq(
    results: ResultsLike | Mapping[str, ResultsLike],
    *,
    by: Literal["maf", "method", "mask"] | None = None,
    trait: str | None = None,
    test: str | None = None,
    ax: "Axes | None" = None,
    title: str | None = None,
    maf_bins: Sequence[float] = MAF_BINS,
    max_maf: float | None = None,
) -> "Axes":
    """Draw the observed -log10 p against those expected of independent null tests.

    The band (of several groups: the lines) holds 95 % of each rank's p-value under the null (a beta distribution); variants in linkage
    disequilibrium stray further together. The legend gives the number of tests and lambda_GC, the median
    chi-squared over its expectation (Devlin and Roeder 1999), of each group. Ten million p-values are counted,
    not sorted: memory does not grow with them.

    Parameters
    ----------
    results : Results, DataFrame or LazyFrame; or a mapping of names to them
        Column ``neg_log_10_p_value``; ``trait``, ``test`` and ``code`` where there are any. Several, by name,
        are drawn over one another: two models of the same variants, two cohorts.
    by : "maf", "method" or "mask", optional
        Colour by minor allele frequency (column ``effect_allele_frequency``), each bin ranked by itself; or by
        the test that made the p (``method``). The methods of one run share one ranking, since a variant's
        method was chosen by looking at its p (Firth below 0.05): alone they could not be uniform. Their lambda
        is at the rank of their median. Methods that tested the same variants are ranked by themselves. Of genes by mask, each with its
        lambda: that of synonymous variants says whether the others can be believed.
    trait, test : str, optional
        Which to draw; needed where the results have several.
    ax : Axes, optional
        Where to draw; without it, a new figure's.
    title : str, optional
        By default the trait.
    maf_bins : sequence of float
        Where one bin of frequencies ends and the next begins, which includes it; for ``by="maf"``.
    max_maf : float, optional
        Of genes: the bin to draw; by default the one with the largest frequency.

    Returns
    -------
    Axes

    Raises
    ------
    GenassocError
        There is nothing to draw, a column is absent, or it is not clear which trait or test is meant.
    """
    grouped = (
        by_mask(results, trait=trait, test=test, max_maf=max_maf)
        if by == "mask"
        else _group(results, by, trait, test, maf_bins)
    )
    groups = rank_groups(grouped.rows, grouped.n_rows, together=grouped.together)
    x_end = 1.04 * max(float(group.expected[0]) for group in groups)
    y_end = 1.06 * max(x_end / 1.04, *(float(group.observed[0]) for group in groups))
    if ax is None:
        ax = new_axes(4.6, 4.6)
    dress(ax)
    ax.grid(color=PALE, linewidth=0.5, zorder=0)
    ax.plot([0.0, x_end], [0.0, x_end], color=GREY, linewidth=0.9, zorder=2)
    _draw_bands(ax, groups, grouped)
    for group in groups:
        _draw_group(ax, group, grouped)
    ax.set_xlim(0.0, x_end)
    ax.set_ylim(0.0, y_end)
    ax.set_xlabel(r"Expected $-\log_{10}\,p$", color=INK, fontsize=9)
    ax.set_ylabel(r"Observed $-\log_{10}\,p$", color=INK, fontsize=9)
    _write_legend(ax)
    steps = "" if by != "maf" else _words_on_steps(groups, grouped, maf_bins)
    write_title(ax, grouped.name if title is None else title, "\n".join(filter(None, (grouped.caption, steps))))
    return ax


def _group(
    results: ResultsLike | Mapping[str, ResultsLike],
    by: str | None,
    trait: str | None,
    test: str | None,
    maf_bins: Sequence[float],
) -> Grouped:
    if isinstance(results, Mapping):
        return by_name(results, by, trait=trait, test=test)
    if by == "maf":
        return by_maf(results, maf_bins, trait=trait, test=test)
    if by == "method":
        return by_method(results, trait=trait, test=test)
    return ungrouped(results, by, trait=trait, test=test)


def _words_on_steps(groups: list[Quantiles], grouped: Grouped, maf_bins: Sequence[float]) -> str:
    """Why rare variants stand in steps or below the line, where they do."""
    uppers = (0.5, *reversed(maf_bins))
    stepped = []
    for group in groups:
        middle, lower, _ = null_band(group.n)
        tail = group.expected > _TAIL
        below = group.observed[tail] < np.interp(group.expected[tail], middle[::-1], lower[::-1])
        flat = (
            bool(below.size)
            and below.mean() > _BELOW
            and group.observed[tail].sum() < _FLAT * group.expected[tail].sum()
        )
        if uppers[group.group] <= _RARE and (group.tied > _TIED or flat):
            stepped.append(grouped.labels[group.group])
    if not stepped:
        return ""
    return (
        f"Steps, and points below the line, at MAF {' and '.join(stepped)}: few carriers allow few different p, the smallest of which are "
        "large. Such variants cannot follow the line even where all is well."
    )


def _draw_bands(ax: "Axes", groups: list[Quantiles], grouped: Grouped) -> None:
    """What the null allows: a band for one ranking, else each group's band by its two edges in its colour."""
    label = "95 % band under the null"
    if grouped.together or len(groups) == 1:
        middle, lower, upper = null_band(sum(group.n for group in groups))
        ax.fill_between(middle, lower, upper, color=GREY, alpha=0.22, linewidth=0, zorder=1, label=label)
        return
    for group in groups:
        middle, *edges = null_band(group.n)
        for edge in edges:
            ax.plot(middle, edge, color=grouped.colours[group.group], linewidth=0.9, linestyle=_DASHES, zorder=2)
    ax.plot([], [], color=GREY, linewidth=0.9, linestyle=_DASHES, label=label)


def _draw_group(ax: "Axes", group: Quantiles, grouped: Grouped) -> None:
    single = len(grouped.labels) == 1
    name = plain(grouped.labels[group.group])
    name_and_n = f"{name + ': ' if name else ''}{group.n:,}{' variants' if single and not name else ''}"
    inflation = r"$\lambda$" if grouped.together else r"$\lambda_{GC}$"
    ax.plot(
        group.expected,
        group.observed,
        linestyle="none",
        marker="o",
        # rarer methods lie on the frequent ones' curve: smaller, so that both are seen
        markersize=max(4.0 - group.group, 1.8) if grouped.together else 3.0,
        markeredgewidth=0,
        color=DARK_BLUE if single else grouped.colours[group.group],
        rasterized=True,
        zorder=3,
        label=f"{name_and_n}, {inflation} = {group.inflation:.3f}",
    )


def _write_legend(ax: "Axes") -> None:
    legend = ax.legend(
        loc="upper left",
        fontsize=8,
        labelcolor=INK,
        handletextpad=0.4,
        borderaxespad=0.2,
        framealpha=0.85,
    )
    legend.get_frame().set_linewidth(0.0)
    legend.set_zorder(6)


def null_band(n: int) -> tuple[Float64Array, Float64Array, Float64Array]:
    """Expected -log10 p, and the ends of 95 % of each under the null, at ranks spread over 1 to n.

    The k-th smallest of n uniform p-values is Beta(k, n + 1 - k).
    """
    rank = np.unique(np.rint(np.geomspace(1, n, _BAND_POINTS)).astype(np.int64))
    ends = [-np.log10(betaincinv(rank, n + 1 - rank, level)) for level in (0.975, 0.025)]
    return -np.log10((rank - 0.5) / n), ends[0], ends[1]
