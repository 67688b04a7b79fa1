"""Fewer points, the same picture."""

import polars as pl

from genassoc.plots.series import P_VALUE, gather

KEPT_ABOVE = 4.0  # -log10 p: every point above it is drawn
ALL_DRAWN = 20_000  # so few points are drawn as they are
MOST_STRONG = 200_000  # more points than these above `KEPT_ABOVE` hide one another: they are thinned too
PIXELS_WIDE, PIXELS_HIGH = 2400, 400  # finer than the points are wide at any usual size
PIXELS_HIGH_STRONG = 2000

PLACE = ("chromosome", "base_pair_location", P_VALUE)


def one_per_pixel(rows: pl.LazyFrame, *, x_end: float, y_end: float, pixels_high: int = PIXELS_HIGH) -> pl.DataFrame:
    """One point for each pixel that has any: its highest -log10 p, at the leftmost of its positions.

    The pixels are a chromosome's own, ``x_end`` base pairs to `PIXELS_WIDE` of them; so what is drawn lies
    within a pixel of what is in the rows. Counts in memory are of pixels, never of rows.
    """
    across = (pl.col("base_pair_location") * (PIXELS_WIDE / max(x_end, 1.0))).cast(pl.Int64)
    up = (pl.col(P_VALUE) * (pixels_high / max(y_end, 1e-12))).cast(pl.Int64)
    pixel = (across * (pixels_high + 1) + up).alias("pixel")
    points = rows.group_by("chromosome", pixel).agg(pl.col("base_pair_location").min(), pl.col(P_VALUE).max())
    return gather(points).sort(*PLACE).select(PLACE)


def thin_points(rows: pl.LazyFrame, strong: pl.DataFrame, n_rows: int, *, x_end: float, y_end: float) -> pl.DataFrame:
    """What to draw of ``n_rows`` rows: one a pixel up to `KEPT_ABOVE`, and the ``strong`` ones above it."""
    weak = rows.filter(pl.col(P_VALUE) <= KEPT_ABOVE).select(PLACE)
    if n_rows <= ALL_DRAWN:
        low = gather(weak).sort(*PLACE)
    else:
        low = one_per_pixel(weak, x_end=x_end, y_end=y_end)
    high = strong.select(PLACE)
    if high.height > MOST_STRONG:
        high = one_per_pixel(high.lazy(), x_end=x_end, y_end=y_end, pixels_high=PIXELS_HIGH_STRONG)
    return pl.concat([low, high])
