"""Fewer points, the same picture."""

import polars as pl

KEPT_ABOVE = 4.0  # -log10 p: every point above it is drawn
PIXELS_WIDE, PIXELS_HIGH = 2400, 400  # finer than the points are wide at any usual size


def thin(table: pl.DataFrame, x: str, y: str, *, x_end: float, y_end: float) -> pl.DataFrame:
    """Keep one point a pixel below `KEPT_ABOVE`, and every point above; rows stay in order.

    ``x`` and ``y`` are columns from 0 to ``x_end`` and ``y_end``. A pixel's highest point stands for it.
    """
    if table.height <= PIXELS_WIDE:
        return table
    low = pl.col(y) <= KEPT_ABOVE
    pixel = (pl.col(x) / max(x_end, 1e-12) * PIXELS_WIDE).cast(pl.Int64) * (PIXELS_HIGH + 1) + (
        pl.col(y) / max(y_end, 1e-12) * PIXELS_HIGH
    ).cast(pl.Int64)
    numbered = table.lazy().with_row_index("row_number")
    kept = (
        numbered.filter(low)
        .select("row_number", y, pixel.alias("pixel"))
        .group_by("pixel")
        .agg(pl.col("row_number").sort_by(y, "row_number", descending=[True, False]).first())
        .select("row_number")
    )
    both = pl.concat([kept, numbered.filter(~low).select("row_number")]).collect()["row_number"].sort()
    return table[both]
