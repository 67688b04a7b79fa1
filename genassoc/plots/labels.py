"""Names of points, placed where they hide least."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from genassoc.plots.figure import GREY, INK
from genassoc.plots.words import plain
from genassoc.shapes import Float64Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FONT = 8.0
_LETTER = 0.64 * _FONT  # mean width of a letter, in points
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
) -> None:
    """Write each row's name (its ``label`` where there is such a column, else see `point_name`) near its point, away from other names and the crowd of points.

    Names stand above their points, below them where the y axis runs downward. Places are worked out for axes of ``size_points`` with the limits that are set: a later change moves the
    points and their names together, but may let names touch.
    """
    (left, right), ends = ax.get_xlim(), ax.get_ylim()
    bottom, top = min(ends), max(ends)
    downward = ends[0] > ends[1]  # worked out as if upright, and written mirrored
    width, height = size_points

    def in_points(rows: pl.DataFrame) -> Float64Array:
        across = (rows[x].to_numpy() - left) / (right - left) * width
        up = (rows[y].to_numpy() - bottom) / (top - bottom) * height
        return np.column_stack([across, up])

    others = in_points(crowd)
    taken: list[_Place] = []
    for row, point in zip(named.iter_rows(named=True), in_points(named)):
        name = row.get("label") or point_name(row)
        place = _best_place(name, (float(point[0]), float(point[1])), others, taken, (width, height))
        taken.append(place)
        aside, up = place.foot[0] - place.point[0], place.foot[1] - place.point[1]
        leader = {"arrowstyle": "-", "color": GREY, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 3}
        ax.annotate(
            plain(name),
            (row[x], row[y]),
            xytext=(aside, -up if downward else up),
            textcoords="offset points",
            ha="center",
            va="top" if downward else "bottom",
            fontsize=_FONT,
            color=INK,
            zorder=5,
            arrowprops=leader if place.has_leader else None,
        )


def point_name(row: dict[str, Any]) -> str:
    """The rsid; where there is none the variant_id, else the position. Long alleles are cut short."""
    place = f"{row['chromosome']}:{row['base_pair_location']}"
    name = next((str(row[key]) for key in ("rsid", "variant_id") if row[key] not in (None, "", ".")), place)
    return name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"


def _best_place(
    name: str, point: Spot, others: Float64Array, taken: "list[_Place]", size: tuple[float, float]
) -> "_Place":
    """The place where a name costs least."""
    half = _LETTER * len(name) / 2
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
        half = _LETTER * len(self.name) / 2
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
