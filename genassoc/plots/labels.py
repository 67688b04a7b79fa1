"""Names of points, placed where they hide least."""

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from genassoc.plots.figure import GREY, INK
from genassoc.plots.words import plain
from genassoc.shapes import Float64Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FONT = 8.0
_SMALL, _STRIP = 7.0, 9.5  # of names in a band: their size, and the width of one
_EDGE = 6.0  # points that a name may reach beyond the axes
_LINE = 1.15 * _FONT
_LONGEST = 24  # letters of a name
_LIFTS = (
    6.0,
    13.0,
    20.0,
    28.0,
    37.0,
    47.0,
    58.0,
    70.0,
)  # how far above its point a name may stand, in points
_SHIFTS = (0.0, 0.55, -0.55, 1.0, -1.0, 1.6, -1.6)  # how far to the side, in widths of the name

Spot = tuple[float, float]
Box = tuple[float, float, float, float]  # left, bottom, right, top


def place_labels(
    ax: "Axes", named: pl.DataFrame, crowd: pl.DataFrame, x: str, y: str, size_points: tuple[float, float]
) -> int:
    """Write each row's name (its ``label`` where there is such a column, else see `point_name`) near its point, away from other names and the crowd of points.

    Names stand above their points, below them where the y axis runs downward. Places are worked out for axes of ``size_points`` with the limits that are set: a later change moves the
    points and their names together, but may let names touch. Where there is no room for all near their points, they stand upright in a band
    beyond them, for which the axis is lengthened.

    Returns
    -------
    int
        How many are not written, the last ones: a band has room for one every `_STRIP` points.
    """
    (left, right), ends = ax.get_xlim(), ax.get_ylim()
    bottom, top = min(ends), max(ends)
    downward = ends[0] > ends[1]  # worked out as if upright, and written mirrored
    width, height = size_points

    def in_points(rows: pl.DataFrame) -> Float64Array:
        across = (rows[x].to_numpy() - left) / (right - left) * width
        up = (rows[y].to_numpy() - bottom) / (top - bottom) * height
        return np.column_stack([across, up])

    names = [str(row.get("label") or point_name(row)) for row in named.iter_rows(named=True)]
    others, points = in_points(crowd), in_points(named)
    taken: list[_Place] = []
    for name, point in zip(names, points):
        taken.append(_best_place(name, (float(point[0]), float(point[1])), others, taken, (width, height)))
    if not _apart(taken, size_points):
        return _in_band(ax, list(zip(names, named[x].to_list(), named[y].to_list())), points[:, 0], size_points)
    for name, place, across, at in zip(names, taken, named[x].to_list(), named[y].to_list()):
        aside, up = place.foot[0] - place.point[0], place.foot[1] - place.point[1]
        leader = {"arrowstyle": "-", "color": GREY, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3}
        ax.annotate(
            plain(name),
            (across, at),
            xytext=(aside, -up if downward else up),
            textcoords="offset points",
            ha="center",
            va="top" if downward else "bottom",
            fontsize=_FONT,
            color=INK,
            zorder=5,
            arrowprops=leader if place.has_leader else None,
        )
    return 0


def _apart(places: "list[_Place]", size: tuple[float, float]) -> bool:
    """Whether no name touches another one, and all are within the axes."""
    boxes = sorted((place.box for place in places), key=lambda box: box[0])
    for k, box in enumerate(boxes):
        if box[0] < -_EDGE or box[2] > size[0] + _EDGE or box[3] > size[1] + _EDGE:
            return False
        for other in boxes[k + 1 :]:
            if other[0] >= box[2] + 3.0:
                break
            if boxes_touch(box, other):
                return False
    return True


def _in_band(ax: "Axes", named: list[tuple[str, float, float]], at: Float64Array, size: tuple[float, float]) -> int:
    """Write names upright in a band beyond all points, one beside another in the order of their points, a line from each: none can touch."""
    width, height = size
    shown = min(len(named), int((width + _EDGE) // _STRIP))
    order = sorted(range(shown), key=lambda k: (float(at[k]), k))
    band = min(max((text_width(named[k][0], _SMALL) for k in order), default=0.0) + 16.0, 0.6 * height)
    (bottom, top), downward = ax.get_ylim(), ax.yaxis_inverted()
    low, high = min(bottom, top), max(bottom, top)
    high = low + (high - low) * height / (height - band)
    ax.set_ylim(*((high, low) if downward else (low, high)))
    foot = (height - band + 12.0) / height
    centres = spread(at[order], np.full(shown, _STRIP), width)
    for k, centre in zip(order, centres):
        name, x, y = named[k]
        ax.annotate(
            plain(name), (x, y), xytext=(float(centre) / width, 1.0 - foot if downward else foot), textcoords="axes fraction",
            ha="center", va="top" if downward else "bottom", rotation=90, fontsize=_SMALL, color=INK, zorder=5,
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.4, "shrinkA": 1, "shrinkB": 3, "relpos": (0.5, 1.0 if downward else 0.0)},
        )  # fmt: skip
    return len(named) - shown


@lru_cache(maxsize=4096)
def text_width(text: str, size: float = _FONT) -> float:
    """Width of a line of text in points, as the font has it."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import text_to_path

    width, _, _ = text_to_path.get_text_width_height_descent(text, FontProperties(size=size), False)
    return float(width)


def spread(centres: Float64Array, widths: Float64Array, length: float) -> Float64Array:
    """Centres (n,), ascending, moved apart so that pieces of these widths lie side by side on ``length``."""
    placed = centres.copy()
    for k in range(placed.size):
        least = widths[k] / 2 if k == 0 else placed[k - 1] + (widths[k - 1] + widths[k]) / 2
        placed[k] = max(placed[k], least)
    for k in range(placed.size - 1, -1, -1):
        most = length - widths[k] / 2 if k == placed.size - 1 else placed[k + 1] - (widths[k + 1] + widths[k]) / 2
        placed[k] = min(placed[k], most)
    return placed


def point_name(row: dict[str, Any]) -> str:
    """The rsid; where there is none the variant_id, else the position. Long alleles are cut short."""
    place = f"{row['chromosome']}:{row['base_pair_location']}"
    name = next((str(row[key]) for key in ("rsid", "variant_id") if row[key] not in (None, "", ".")), place)
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"


def _best_place(
    name: str, point: Spot, others: Float64Array, taken: "list[_Place]", size: tuple[float, float]
) -> "_Place":
    """The place where a name costs least."""
    half = text_width(name) / 2
    best, least = _Place(name, point, point), np.inf
    for lift in _LIFTS:
        for shift in _SHIFTS:
            x = max(half + 4.0, min(point[0] + shift * 2.0 * half, size[0] - half))
            place = _Place(name, point, (x, point[1] + lift))
            cost = place.cost(others, taken) + 0.1 * lift + 2.0 * abs(shift)
            cost += 30.0 * (place.box[3] > size[1] + 4.0)  # above the axes
            if cost < least:
                best, least = place, cost
    return best


@dataclass(frozen=True)
class _Place:
    """A name at a place: the point it names, and the middle of its lower edge, in points."""

    name: str
    point: Spot
    foot: Spot

    @property
    def box(self) -> Box:
        """Left, bottom, right and top of the name."""
        half = text_width(self.name) / 2
        return self.foot[0] - half, self.foot[1], self.foot[0] + half, self.foot[1] + _LINE

    @property
    def has_leader(self) -> bool:
        """Whether a line must say which point is meant."""
        return self.foot[1] - self.point[1] > _LIFTS[0] + 1.0 or abs(self.foot[0] - self.point[0]) > 1.0

    def leader(self) -> Float64Array:
        """Spots along the line from the point to the name, (K, 2); none where there is no line."""
        if not self.has_leader:
            return np.empty((0, 2))
        return np.linspace(self.point, self.foot, 15)[1:-1]

    def cost(self, others: Float64Array, taken: "list[_Place]") -> float:
        """What this place would hide: names most, leaders less, points least."""
        ours, line = self.box, self.leader()
        cost = 10.0 * min(_count_inside(others, ours), 5)
        for other in taken:
            cost += 100.0 * boxes_touch(ours, other.box)
            cost += 40.0 * (_count_inside(line, other.box) + _count_inside(other.leader(), ours) > 0)
        return cost


def _count_inside(spots: Float64Array, box: Box) -> int:
    """How many of the spots (K, 2) lie in or close to a box."""
    inside = (spots[:, 0] > box[0] - 2) & (spots[:, 0] < box[2] + 2)
    inside &= (spots[:, 1] > box[1] - 2) & (spots[:, 1] < box[3] + 2)
    return int(np.count_nonzero(inside))


def boxes_touch(a: Box, b: Box) -> bool:
    """Whether two boxes overlap or nearly do."""
    return a[0] < b[2] + 3 and b[0] < a[2] + 3 and a[1] < b[3] + 1 and b[1] < a[3] + 1
