"""One variant's outcome by genotype: boxes, shares with intervals, survival curves."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from genassoc.errors import GenassocError
from genassoc.plots.figure import DISTINCT, GREY, INK, PALE, dress, new_axes, new_axes_row, wrapped_title, write_title
from genassoc.plots.words import p_equals, paragraphs, plain
from genassoc.shapes import Array, Float64Array
from genassoc.stats.proportions import mean_interval, wilson_interval
from genassoc.stats.survival import Curve, kaplan_meier, log_rank

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# 0, 1, 2 copies: blue, orange, wine, apart in hue and in lightness for every kind of colour vision; then more levels of a predictor
_COLOURS = (DISTINCT[0], DISTINCT[6], DISTINCT[7], DISTINCT[2], DISTINCT[3], DISTINCT[5], DISTINCT[1], DISTINCT[4])
_DASHES: tuple[str | tuple[int, tuple[float, ...]], ...] = ("-", (0, (5, 1.5)), (0, (1.5, 1)), (0, (6, 1.5, 1.5, 1.5)))
_MARKERS = ("o", "s", "D", "^", "v", "P")
_HIGH = 0.35  # curves and bands that stay above it leave room for a legend of three lines below them
_POINTS = 400  # of a box; more are drawn at random, as the box itself counts all


@dataclass(frozen=True)
class Panel:
    """One arm: the samples of each genotype.

    Attributes
    ----------
    name : str
        Of the arm; empty where there is none.
    genotypes : tuple of str
    groups : tuple of arrays
        Outcomes of each genotype's samples: values (n,), or times, events, entries (n, 3).
    """

    name: str
    genotypes: tuple[str, ...]
    groups: tuple[Array, ...]


@dataclass(frozen=True)
class Line:
    """One arm of a picture of all arms: what is drawn of each genotype, its 95 % limits (G, 3), NaN where there is nobody, and samples."""

    name: str
    values: Float64Array
    n: tuple[int, ...]


def draw_lines(
    lines: Sequence[Line], genotypes: Sequence[str], y_label: str, title: str, caption: str, ax: "Axes | None" = None
) -> "Axes":
    """A line an arm over the genotypes, with 95 % intervals beside one another; the samples of each arm are under the genotypes."""
    ax = new_axes(2.6 + 1.1 * len(genotypes), 4.4) if ax is None else ax
    dress(ax)
    ax.set_xlim(-0.5, len(genotypes) - 0.5)
    for at, line in enumerate(lines):
        x = np.arange(len(genotypes)) + 0.09 * (at - (len(lines) - 1) / 2)
        known = np.isfinite(line.values[:, 0])
        middle, low, high = line.values[known].T
        bounds = np.nan_to_num(np.array([middle - low, high - middle])).clip(min=0.0)
        ax.errorbar(
            x[known], middle, yerr=bounds, color=_COLOURS[at % len(_COLOURS)], linestyle=_DASHES[at % len(_DASHES)],
            marker=_MARKERS[at % len(_MARKERS)], markersize=5.5, linewidth=1.5, elinewidth=1.2, capsize=3,
            label=plain(line.name), zorder=3,
        )  # fmt: skip
    n = [" / ".join(f"{line.n[k]:,}" for line in lines) for k in range(len(genotypes))]
    ax.set_xticks(
        range(len(genotypes)), [f"{paragraphs(name)}\nn = {size}" for name, size in zip(genotypes, n)], fontsize=8
    )
    ax.grid(axis="y", color=PALE, linewidth=0.6, zorder=0)
    ax.set_ylabel(plain(y_label), fontsize=9, color=INK)
    ax.legend(fontsize=8, frameon=False, loc="lower left", bbox_to_anchor=(0.0, 1.0), handlelength=2.6, labelcolor=INK)
    write_title(ax, title, caption)
    ax.set_title(
        ax.get_title(loc="left"), loc="left", fontsize=11, fontweight="bold", color=INK, pad=12.0 + 13.0 * len(lines)
    )
    return ax


def draw_boxes(
    panels: Sequence[Panel], y_label: str, title: str, caption: str, ax: "Axes | None" = None, *, points: bool = True
) -> "Figure":
    """Quartiles, whiskers to 1.5 times their distance (Tukey), samples as points, means with 95 % intervals as diamonds.

    Without ``points`` nothing is drawn of a single sample: whiskers end at the 10th and 90th percentile.
    """
    given, axes = ax, _axes(panels, 2.6 + 0.9 * _most(panels), 4.2, ax)
    rng = np.random.default_rng(0)  # where the points lie sideways; no number
    for ax, panel in zip(axes, panels):
        _frame(ax, panel)
        for at, values in enumerate(panel.groups):
            if not values.size:
                continue
            colour = _COLOURS[at % len(_COLOURS)]
            shown = values if values.size <= _POINTS else rng.choice(values, _POINTS, replace=False)
            points and ax.plot(
                at + rng.uniform(-0.25, 0.25, shown.size), shown, linestyle="none", marker="o", markersize=2.2,
                markeredgewidth=0, color=colour, alpha=0.45, rasterized=True, zorder=1,
            )  # fmt: skip
            ax.boxplot(
                values, whis=1.5 if points else (10, 90), positions=[at], widths=0.45, showfliers=False, manage_ticks=False, zorder=3,
                medianprops={"color": INK, "linewidth": 1.4}, boxprops={"color": INK, "linewidth": 1.0},
                whiskerprops={"color": INK, "linewidth": 1.0}, capprops={"color": INK, "linewidth": 1.0},
            )  # fmt: skip
            mean, low, high = mean_interval(values)
            ax.errorbar(
                at + 0.36, mean, yerr=[[mean - low], [high - mean]], fmt="D", markersize=4, color=INK, elinewidth=1.2,
                capsize=2.5, zorder=4,
            )  # fmt: skip
        ax.grid(axis="y", color=PALE, linewidth=0.6, zorder=0)
    axes[0].set_ylabel(paragraphs(y_label), fontsize=9, color=INK)
    return _finish(axes, title, caption, given)


def draw_shares(panels: Sequence[Panel], y_label: str, title: str, caption: str, ax: "Axes | None" = None) -> "Figure":
    """Share of cases in each genotype as bars, with Wilson's 95 % interval; the axis begins at 0."""
    given, axes = ax, _axes(panels, 2.6 + 0.9 * _most(panels), 4.2, ax)
    top = 0.0
    for ax, panel in zip(axes, panels):
        _frame(ax, panel)
        for at, cases in enumerate(panel.groups):
            if not cases.size:
                continue
            share = float(cases.mean())
            low, high = (float(bound) for bound in wilson_interval(cases.sum(), cases.size))
            top = max(top, high)
            ax.bar(at, share, width=0.62, color=_COLOURS[at % len(_COLOURS)], zorder=2)
            ax.errorbar(
                at,
                share,
                yerr=[[share - low], [high - share]],
                fmt="none",
                ecolor=INK,
                elinewidth=1.1,
                capsize=4,
                zorder=3,
            )
            ax.annotate(
                f"{int(cases.sum()):,}/{cases.size:,}", (at, high), xytext=(0, 4), textcoords="offset points", ha="center",
                fontsize=8, color=INK,
            )  # fmt: skip
        ax.grid(axis="y", color=PALE, linewidth=0.6, zorder=0)
    for ax in axes:
        ax.set_ylim(0.0, min(1.0, 1.15 * top) if top < 0.87 else 1.09)
    axes[0].set_ylabel(paragraphs(y_label), fontsize=9, color=INK)
    return _finish(axes, title, caption, given)


def draw_levels(
    panels: Sequence[Panel], n_levels: int, y_label: str, title: str, caption: str, ax: "Axes | None" = None
) -> "Figure":
    """Share of each ordered level in each genotype, stacked from the lowest, paler, to the highest, darker."""
    from matplotlib import colormaps
    from matplotlib.patches import Patch

    given, axes = ax, _axes(panels, 3.2 + 0.9 * _most(panels), 4.2, ax)
    shades = colormaps["Blues"](np.linspace(0.2, 0.95, n_levels))
    for ax, panel in zip(axes, panels):
        _frame(ax, panel)
        for at, levels in enumerate(panel.groups):
            if not levels.size:
                continue
            shares = np.bincount(levels.astype(np.int64), minlength=n_levels) / levels.size
            bottom = np.concatenate([[0.0], np.cumsum(shares)[:-1]])
            for level in range(n_levels):
                ax.bar(at, shares[level], bottom=bottom[level], width=0.62, color=shades[level], zorder=2)
        ax.set_ylim(0.0, 1.0)
    axes[0].set_ylabel(paragraphs(y_label), fontsize=9, color=INK)
    handles = [Patch(color=shades[level], label=f"level {level}") for level in reversed(range(n_levels))]
    axes[-1].legend(handles=handles, fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _finish(axes, title, caption, given)


def draw_survival(
    panels: Sequence[Panel], x_label: str, y_label: str, title: str, caption: str, ax: "Axes | None" = None
) -> "Figure":
    """Kaplan-Meier curves of each genotype with 95 % bands (log-log) and marks where samples are censored; below, how many are at risk.

    The log-rank test compares the genotypes of each arm.
    """
    given, axes = ax, _axes(panels, 5.4, 4.6, ax)
    end = max((float(group[:, 0].max()) for panel in panels for group in panel.groups if group.size), default=1.0)
    for ax, panel in zip(axes, panels):
        dress(ax)
        ax.set_xlim(0.0, end)
        ax.set_ylim(0.0, 1.04)
        ticks = [tick for tick in ax.get_xticks() if 0 <= tick <= end]
        ax.set_xticks(ticks)
        ax.grid(axis="y", color=PALE, linewidth=0.6, zorder=0)
        lowest = 1.0
        for at, group in enumerate(panel.groups):
            if not group.size:
                continue
            times, events, entry = group[:, 0], group[:, 1] == 1, group[:, 2]
            curve = kaplan_meier(times, events, entry)
            lowest = min(lowest, float(curve.lower.min(initial=1.0)))
            t = np.concatenate([[0.0], curve.time, [float(times.max())]])
            label = f"{plain(panel.genotypes[at]).replace(chr(10), ' ')}: {int(events.sum()):,} of {times.size:,}"
            _step(ax, t, curve, at, label)
            censored = np.unique(times[~events])
            height = np.concatenate([[1.0], curve.estimate])[np.searchsorted(curve.time, censored, side="right")]
            ax.plot(
                censored, height, linestyle="none", marker="|", markersize=5, markeredgewidth=0.9,
                color=_COLOURS[at % len(_COLOURS)], zorder=4, rasterized=censored.size > _POINTS,
            )  # fmt: skip
        _write_at_risk(ax, panel, ticks)
        ax.set_xlabel(plain(x_label), fontsize=9, color=INK, labelpad=6 + 11 * (len(panel.groups) + 1))
        if panel.name:
            ax.set_title(paragraphs(panel.name), fontsize=9, color=INK)
        test = _log_rank_words(panel)
        legend = ax.legend(
            fontsize=8, frameon=True, framealpha=0.85, title=test, title_fontsize=8, handlelength=2.6, alignment="left",
            loc="lower left" if lowest > _HIGH else "upper right",
        )  # fmt: skip
        legend.get_frame().set_linewidth(0.0)
        legend.set_zorder(6)
    axes[0].set_ylabel(paragraphs(y_label), fontsize=9, color=INK)
    return _finish(axes, title, f"{caption}; | censored; legend: with the event, of all", given)


def _log_rank_words(panel: Panel) -> str:
    groups = [group for group in panel.groups if group.size]
    if len(groups) < 2:
        return "one genotype: nothing to compare"
    which = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    pooled = np.concatenate(groups)
    test = log_rank(pooled[:, 0], pooled[:, 1] == 1, which, pooled[:, 2])
    if not test.df:
        return "log-rank test: no event to compare"
    freedom = "" if test.df == len(groups) - 1 == 1 else f" ({test.df} df)"
    return f"log-rank {p_equals(test.neg_log_10_p)}{freedom}"


def _step(ax: "Axes", t: Float64Array, curve: Curve, at: int, label: str) -> None:
    """A curve that starts at 1 and keeps its last value until nobody is followed any more."""

    def held(values: Float64Array) -> Float64Array:
        return np.concatenate([[1.0], values, values[-1:] if values.size else [1.0]])

    colour = _COLOURS[at % len(_COLOURS)]
    ax.step(
        t, held(curve.estimate), where="post", color=colour, linewidth=1.6, linestyle=_DASHES[at % len(_DASHES)],
        label=label, zorder=3,
    )  # fmt: skip
    ax.fill_between(
        t, held(curve.lower), held(curve.upper), step="post", color=colour, alpha=0.15, linewidth=0, zorder=1
    )


def _write_at_risk(ax: "Axes", panel: Panel, ticks: Sequence[float]) -> None:
    """Numbers at risk just after each tick of the axis, one line a genotype, named at its left."""
    ax.annotate(
        "at risk", (0.0, 0.0), xycoords="axes fraction", xytext=(-24, -22), textcoords="offset points", ha="right",
        va="center", fontsize=7.5, color=GREY,
    )  # fmt: skip
    for at, group in enumerate(panel.groups):
        colour, down = _COLOURS[at % len(_COLOURS)], -33 - 11 * at
        ax.annotate(
            plain(panel.genotypes[at].split("\n")[0]), (0.0, 0.0), xycoords="axes fraction", xytext=(-24, down),
            textcoords="offset points", ha="right", va="center", fontsize=7.5, color=colour, fontweight="bold",
        )  # fmt: skip
        for tick in ticks:
            n = int(((group[:, 0] > tick) & (group[:, 2] <= tick)).sum()) if group.size else 0
            ax.annotate(
                f"{n:,}", (tick, 0.0), xycoords=("data", "axes fraction"), xytext=(0, down),
                textcoords="offset points", ha="center", va="center", fontsize=7.5, color=INK,
            )  # fmt: skip


def _frame(ax: "Axes", panel: Panel) -> None:
    """Axes with one place a genotype."""
    dress(ax)
    ax.set_xlim(-0.6, len(panel.genotypes) - 0.4)
    names = [f"{paragraphs(name)}\nn = {len(group):,}" for name, group in zip(panel.genotypes, panel.groups)]
    ax.set_xticks(range(len(panel.genotypes)), names, fontsize=8)
    if panel.name:
        ax.set_title(paragraphs(panel.name), fontsize=9, color=INK)


def _most(panels: Sequence[Panel]) -> int:
    return max(len(panel.genotypes) for panel in panels)


def _axes(panels: Sequence[Panel], width: float, height: float, ax: "Axes | None") -> "list[Axes]":
    """The axes given, for one panel; else one a panel, on a figure of their own."""
    if ax is None:
        return new_axes_row(len(panels), width, height)
    if len(panels) > 1:
        raise GenassocError(
            f"ax= is for one arm, and this picture has {len(panels)}: leave ax= out, or draw effect_by_arm, which shows all on one."
        )
    return [ax]


def _finish(axes: "Sequence[Axes]", title: str, caption: str, given: "Axes | None") -> "Figure":
    figure = axes[0].get_figure(root=True)
    assert figure is not None
    if given is None:
        whole = textwrap.wrap(title, max(20, int(72.0 * figure.get_figwidth() / (0.62 * 11.0))))
        figure.suptitle("\n".join(map(plain, whole)), x=0.01, ha="left", fontsize=11, fontweight="bold", color=INK)
        write_title(axes[-1], "", caption)
    else:
        name = given.get_title()
        write_title(given, "\n".join(filter(None, (title, name))), caption)
        given.set_title("")
        given.set_title(wrapped_title(given, title), loc="left", fontsize=11, fontweight="bold", color=INK, pad=10)
    return figure
