"""One variant's outcome by genotype: boxes, shares with intervals, survival curves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from genassoc.plots.figure import DISTINCT, GREY, INK, PALE, dress, new_axes_row, write_title
from genassoc.shapes import Array, Float64Array
from genassoc.stats.proportions import mean_interval, wilson_interval
from genassoc.stats.survival import kaplan_meier

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# 0, 1, 2 copies: light blue, blue, vermilion; then more levels of a predictor
_COLOURS = (DISTINCT[5], DISTINCT[0], DISTINCT[1], DISTINCT[2], DISTINCT[3], DISTINCT[6], DISTINCT[7], DISTINCT[4])
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


def draw_boxes(panels: Sequence[Panel], y_label: str, title: str, caption: str) -> "Figure":
    """Quartiles, whiskers to 1.5 times their distance (Tukey), samples as points, means with 95 % intervals as diamonds."""
    axes = new_axes_row(len(panels), 2.6 + 0.9 * max(len(panel.genotypes) for panel in panels), 4.2)
    rng = np.random.default_rng(0)  # where the points lie sideways; no number
    for ax, panel in zip(axes, panels):
        _frame(ax, panel)
        for at, values in enumerate(panel.groups):
            if not values.size:
                continue
            colour = _COLOURS[at % len(_COLOURS)]
            shown = values if values.size <= _POINTS else rng.choice(values, _POINTS, replace=False)
            ax.plot(
                at + rng.uniform(-0.25, 0.25, shown.size), shown, linestyle="none", marker="o", markersize=2.2,
                markeredgewidth=0, color=colour, alpha=0.45, rasterized=True, zorder=1,
            )  # fmt: skip
            ax.boxplot(
                values, positions=[at], widths=0.45, showfliers=False, manage_ticks=False, zorder=3,
                medianprops={"color": INK, "linewidth": 1.4}, boxprops={"color": INK, "linewidth": 1.0},
                whiskerprops={"color": INK, "linewidth": 1.0}, capprops={"color": INK, "linewidth": 1.0},
            )  # fmt: skip
            mean, low, high = mean_interval(values)
            ax.errorbar(
                at + 0.36, mean, yerr=[[mean - low], [high - mean]], fmt="D", markersize=4, color=INK, elinewidth=1.2,
                capsize=2.5, zorder=4,
            )  # fmt: skip
        ax.grid(axis="y", color=PALE, linewidth=0.6, zorder=0)
    axes[0].set_ylabel(y_label, fontsize=9, color=INK)
    return _finish(axes, title, caption)


def draw_shares(panels: Sequence[Panel], y_label: str, title: str, caption: str) -> "Figure":
    """Share of cases in each genotype as bars, with Wilson's 95 % interval; the axis begins at 0."""
    axes = new_axes_row(len(panels), 2.6 + 0.9 * max(len(panel.genotypes) for panel in panels), 4.2)
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
    axes[0].set_ylabel(y_label, fontsize=9, color=INK)
    return _finish(axes, title, caption)


def draw_levels(panels: Sequence[Panel], n_levels: int, y_label: str, title: str, caption: str) -> "Figure":
    """Share of each ordered level in each genotype, stacked from the lowest, paler, to the highest, darker."""
    from matplotlib import colormaps
    from matplotlib.patches import Patch

    axes = new_axes_row(len(panels), 3.2 + 0.9 * max(len(panel.genotypes) for panel in panels), 4.2)
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
    axes[0].set_ylabel(y_label, fontsize=9, color=INK)
    handles = [Patch(color=shades[level], label=f"level {level}") for level in reversed(range(n_levels))]
    axes[-1].legend(handles=handles, fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    return _finish(axes, title, caption)


def draw_survival(panels: Sequence[Panel], x_label: str, y_label: str, title: str, caption: str) -> "Figure":
    """Kaplan-Meier curves of each genotype with 95 % bands (log-log), and how many are at risk under them."""
    axes = new_axes_row(len(panels), 4.6, 4.6)
    end = max(float(group[:, 0].max()) for panel in panels for group in panel.groups if group.size)
    for ax, panel in zip(axes, panels):
        dress(ax)
        ax.set_xlim(0.0, end)
        ax.set_ylim(0.0, 1.02)
        ticks = [tick for tick in ax.get_xticks() if 0 <= tick <= end]
        ax.set_xticks(ticks)
        estimates = []
        for at, group in enumerate(panel.groups):
            if not group.size:
                continue
            times, events, entry = group[:, 0], group[:, 1] == 1, group[:, 2]
            colour = _COLOURS[at % len(_COLOURS)]
            curve = kaplan_meier(times, events, entry)
            estimates.append(curve.lower)
            t = np.concatenate([[0.0], curve.time, [float(times.max())]])
            _step(ax, t, curve.estimate, curve.lower, curve.upper, colour, f"{panel.genotypes[at]} ({times.size:,})")
        _write_at_risk(ax, panel, ticks)
        ax.set_xlabel(x_label, fontsize=9, color=INK, labelpad=4 + 11 * (len(panel.groups) + 1))
        if panel.name:
            ax.set_title(panel.name, fontsize=9, color=INK)
        low = min(float(curve.min(initial=1.0)) for curve in estimates)
        ax.legend(fontsize=8, frameon=False, loc="lower left" if low > _HIGH else "upper right")
    axes[0].set_ylabel(y_label, fontsize=9, color=INK)
    return _finish(axes, title, caption)


def _step(
    ax: "Axes",
    t: Float64Array,
    estimate: Float64Array,
    lower: Float64Array,
    upper: Float64Array,
    colour: str,
    label: str,
) -> None:
    """A curve that starts at 1 and keeps its last value until nobody is followed any more."""

    def held(values: Float64Array) -> Float64Array:
        return np.concatenate([[1.0], values, values[-1:] if values.size else [1.0]])

    ax.step(t, held(estimate), where="post", color=colour, linewidth=1.5, label=label, zorder=3)
    ax.fill_between(t, held(lower), held(upper), step="post", color=colour, alpha=0.15, linewidth=0, zorder=1)


def _write_at_risk(ax: "Axes", panel: Panel, ticks: Sequence[float]) -> None:
    """Numbers at risk just after each tick of the axis, one line a genotype."""
    for at, group in enumerate(panel.groups):
        if not group.size:
            continue
        for tick in ticks:
            n = int(((group[:, 0] > tick) & (group[:, 2] <= tick)).sum())
            ax.annotate(
                f"{n:,}", (tick, 0.0), xycoords=("data", "axes fraction"), xytext=(0, -30 - 11 * at),
                textcoords="offset points", ha="center", fontsize=7.5, color=_COLOURS[at % len(_COLOURS)] if at else "#3A8FC4",
            )  # fmt: skip
    ax.annotate(
        "at risk", (0.0, 0.0), xycoords="axes fraction", xytext=(-30, -30), textcoords="offset points", ha="right",
        fontsize=7.5, color=GREY,
    )  # fmt: skip


def _frame(ax: "Axes", panel: Panel) -> None:
    """Axes with one place a genotype."""
    dress(ax)
    ax.set_xlim(-0.6, len(panel.genotypes) - 0.4)
    names = [f"{name}\nn = {len(group):,}" for name, group in zip(panel.genotypes, panel.groups)]
    ax.set_xticks(range(len(panel.genotypes)), names, fontsize=8)
    if panel.name:
        ax.set_title(panel.name, fontsize=9, color=INK)


def _finish(axes: "Sequence[Axes]", title: str, caption: str) -> "Figure":
    figure = axes[0].get_figure(root=True)
    assert figure is not None
    figure.suptitle(title, x=0.01, ha="left", fontsize=11, fontweight="bold", color=INK)
    write_title(axes[-1], "", caption)
    return figure
