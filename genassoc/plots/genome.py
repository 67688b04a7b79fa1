"""Chromosomes along one axis: their natural order, where each begins, which names fit under it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from genassoc.plots.series import P_VALUE, gather
from genassoc.shapes import Float64Array

_NAMED = {"X": 23, "Y": 24, "XY": 25, "PAR": 25, "PAR1": 25, "PAR2": 25, "M": 26, "MT": 26}
_GAP = 0.004  # of the genome's length, between chromosomes
_LETTER_POINTS = 5.2  # width of a digit of an 8 point label, with some room


def chromosome_rank(name: str) -> tuple[int, int, str]:
    """Sort key: numbers by value, then X, Y, XY, MT, then others by name; "chr" and zeros aside."""
    bare = re.sub(r"^chr(omosome)?_?", "", name, flags=re.IGNORECASE)
    if bare.isdigit():
        return 0, int(bare), name
    if bare.upper() in _NAMED:
        return 1, _NAMED[bare.upper()], name
    return 2, 0, name


def short_name(name: str) -> str:
    """The name without "chr"."""
    return re.sub(r"^chr(?=.)", "", name, flags=re.IGNORECASE)


def chromosome_key(name: str) -> str:
    """The same for all spellings of a chromosome: chr1, 1 and 01; chrM, M and MT."""
    bare = re.sub(r"^0+(?=[^0])", "", short_name(name))
    return "MT" if bare.upper() in ("M", "MT") else bare


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
    offset : float64 array
        What to add to a position, for each name.
    middle : float64 array
        Where each name's label goes.
    end : float
        The last chromosome's end.
    """

    names: tuple[str, ...]
    offset: Float64Array
    middle: Float64Array
    end: float

    @classmethod
    def of(cls, spans: pl.DataFrame) -> "GenomeAxis":
        """Lay out chromosomes from their spans (chromosome, first, last), spelt however and in any number of rows."""
        span: dict[str, tuple[float, float]] = {}
        for name, first, last in spans.select("chromosome", "first", "last").iter_rows():
            before = span.get(chromosome_key(name), (first, last))
            span[chromosome_key(name)] = min(first, before[0]), max(last, before[1])
        names = tuple(sorted(span, key=chromosome_rank))
        begins = np.array([span[name][0] for name in names], dtype=np.float64)
        length = np.array([span[name][1] for name in names], dtype=np.float64) - begins
        gap = max(_GAP * length.sum(), 1.0)
        place = np.concatenate([[0.0], np.cumsum(length + gap)[:-1]])
        return cls(names, place - begins, place + length / 2, float(place[-1] + length[-1]))

    def place(self, points: pl.DataFrame) -> pl.DataFrame:
        """Add ``x``, the place on the axis, and ``chromosome_index``."""
        index = {name: k for k, name in enumerate(self.names)}
        spelt = {name: index[chromosome_key(name)] for name in points["chromosome"].unique()}
        ours: pl.Series | list[int] = []
        if spelt:
            ours = points["chromosome"].replace_strict(spelt, return_dtype=pl.Int32)
        placed = points.with_columns(pl.Series("chromosome_index", ours, dtype=pl.Int32))
        offset = self.offset[placed["chromosome_index"].to_numpy()]
        return placed.with_columns(pl.Series("x", placed["base_pair_location"].to_numpy() + offset))

    def labels(self, width_points: float) -> tuple[list[float], list[str]]:
        """Ticks and names, leaving out those that would touch the one before."""
        return fit_labels(self.middle, self.names, self.end, width_points)


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
            free = middle * scale + half
    return ticks, kept
