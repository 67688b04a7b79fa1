"""Chromosomes along one axis: their natural order, where each begins, which names fit under it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from genassoc.data.cohort.contigs import RANK, Contigs, bare_name, chromosome_of
from genassoc.plots.labels import spread
from genassoc.plots.series import P_VALUE, gather
from genassoc.plots.words import plain
from genassoc.shapes import Float64Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MEGABASES = 50_000  # of a longer stretch positions are in Mb
_GAP = 0.004  # of the genome's length, between chromosomes
_APART, _MOST_MOVED = 4.0, 9.0  # points between two names, and from where a name belongs
_LETTER_POINTS = 5.2  # width of a digit of an 8 point label, with some room


def chromosome_rank(name: str) -> tuple[int, int, str]:
    """Sort key: numbers by value, then X, Y, XY, MT, then others by name; spelling aside."""
    bare, known = bare_name(name), chromosome_of(name)
    number = bare if bare.isdecimal() else known
    if number is not None and number.isdecimal():
        return 0, int(number), name
    return (2, 0, name) if known is None else (1, RANK[known], name)


def label_of(key: str) -> str:
    """What stands under a chromosome: its key (see `Contigs.key`) without "chr"."""
    return re.sub(r"^chr(?=.)", "", key.removeprefix("="), flags=re.IGNORECASE)


def chromosome_spans(rows: pl.LazyFrame) -> pl.DataFrame:
    """First and last position and highest -log10 p of each chromosome: chromosome, first, last, highest."""
    position = pl.col("base_pair_location")
    highest = pl.col(P_VALUE).max().alias("highest")
    spans = rows.group_by("chromosome").agg(position.min().alias("first"), position.max().alias("last"), highest)
    return gather(spans).sort("chromosome")


@dataclass(frozen=True)
class GenomeAxis:
    """Chromosomes side by side.

    Attributes
    ----------
    names : tuple of str
        In natural order, without "chr".
    keys : tuple of str
        `Contigs.key` of each.
    contigs : Contigs
        What the names in the rows mean.
    offset : float64 array
        What to add to a position, for each name.
    middle : float64 array
        Where each name's label goes.
    end : float
        The last chromosome's end.
    """

    names: tuple[str, ...]
    keys: tuple[str, ...]
    contigs: Contigs
    offset: Float64Array
    middle: Float64Array
    end: float

    @classmethod
    def of(cls, spans: pl.DataFrame) -> "GenomeAxis":
        """Lay out chromosomes from their spans (chromosome, first, last), spelt however and in any number of rows."""
        contigs = Contigs.of(spans["chromosome"].cast(pl.String).to_list())
        span: dict[str, tuple[float, float]] = {}
        for name, first, last in spans.select("chromosome", "first", "last").iter_rows():
            key = contigs.key(str(name))
            before = span.get(key, (first, last))
            span[key] = min(first, before[0]), max(last, before[1])
        keys = tuple(sorted(span, key=lambda key: chromosome_rank(key.removeprefix("="))))
        begins = np.array([span[key][0] for key in keys], dtype=np.float64)
        length = np.array([span[key][1] for key in keys], dtype=np.float64) - begins
        gap = max(_GAP * length.sum(), 1.0)
        place = np.concatenate([[0.0], np.cumsum(length + gap)[:-1]])
        end = float(place[-1] + length[-1])
        return cls(tuple(map(label_of, keys)), keys, contigs, place - begins, place + length / 2, end)

    def place(self, points: pl.DataFrame) -> pl.DataFrame:
        """Add ``x``, the place on the axis, and ``chromosome_index``."""
        index = {key: k for k, key in enumerate(self.keys)}
        spelt = {name: index[self.contigs.key(str(name))] for name in points["chromosome"].unique()}
        ours: pl.Series | list[int] = []
        if spelt:
            ours = points["chromosome"].replace_strict(spelt, return_dtype=pl.Int32)
        placed = points.with_columns(pl.Series("chromosome_index", ours, dtype=pl.Int32))
        offset = self.offset[placed["chromosome_index"].to_numpy()]
        return placed.with_columns(pl.Series("x", placed["base_pair_location"].to_numpy() + offset))

    def labels(self, width_points: float) -> tuple[list[float], list[str]]:
        """Ticks and names: moved a little apart where they would touch, else without those that touch the one before."""
        scale = width_points / max(self.end, 1.0)
        widths = np.array([_LETTER_POINTS * len(name) + _APART for name in self.names])
        if widths.sum() <= width_points:
            placed = spread(self.middle * scale, widths, width_points + widths[-1] / 2)
            if np.abs(placed - self.middle * scale).max() <= _MOST_MOVED:
                return (placed / scale).tolist(), list(self.names)
        return fit_labels(self.middle, self.names, self.end, width_points)


def mark_chromosomes(ax: "Axes", genome: GenomeAxis, width_points: float) -> str:
    """Write names under chromosomes, or under the one that there is positions; gives the words for the axis."""
    if len(genome.keys) > 1:
        ax.set_xticks(*genome.labels(width_points))
        return "Chromosome"
    from matplotlib.ticker import MaxNLocator

    first = float(-genome.offset[0])
    last = first + genome.end
    ticks = [tick for tick in MaxNLocator(6, integer=True).tick_values(first, last) if first <= tick <= last] or [first]
    if genome.end < _MEGABASES:
        ax.set_xticks([tick - first for tick in ticks], [f"{tick:,.0f}" for tick in ticks])
        unit = "base pairs"
    else:
        ax.set_xticks(
            [tick - first for tick in ticks], [f"{tick / 1e6:,.{3 if genome.end < 1e6 else 1}f}" for tick in ticks]
        )
        unit = "Mb"
    ax.tick_params(axis="x", length=3)
    return f"Position on chromosome {plain(genome.names[0])} ({unit})"


def fit_labels(
    middles: Sequence[float] | Float64Array, names: Sequence[str], span: float, width_points: float
) -> tuple[list[float], list[str]]:
    """Keep the labels that fit side by side, from left to right: ``span`` of the axis is ``width_points``."""
    scale = width_points / max(span, 1.0)
    ticks: list[float] = []
    kept: list[str] = []
    free = -np.inf
    for middle, name in zip(middles, names):
        half = _LETTER_POINTS * len(name) / 2
        if middle * scale - half >= free:
            ticks.append(float(middle))
            kept.append(name)
            free = middle * scale + half + _APART
    return ticks, kept
