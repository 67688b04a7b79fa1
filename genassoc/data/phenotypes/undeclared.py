"""Values that look like an undeclared code for "missing": -9 and the like, standing out from their column."""

import numpy as np
import polars as pl

from genassoc.data.phenotypes.columns import NUMBER
from genassoc.shapes import Float64Array, Int64Array

CODES = (-9.0, -99.0, -999.0, 999.0)
# These are laboratory values and ages too: codes only where they are isolated and occur several times.
_ISOLATED_CODES = (99.0, 9999.0, -9999.0)
SPIKE = (
    5  # how often it occurs, and how many times as often as the next commonest value: no scale or measurement does that
)
_DENSE = 20  # with so many other values within 1 of the code, for each time it occurs, it is one of them
_PLINK = -9.0


def suspects(column: pl.Series, rows: Int64Array) -> dict[str, Int64Array]:
    """Codes that stand out from a column, and their rows.

    A code stands out when it is an isolated extreme (for -9: the smallest value, and no other is -8 or below; for the
    others: further from the rest than the rest is wide), or a spike: at least `SPIKE` times, and `SPIKE` times as often
    as the next commonest value (if it occurs often: as the next commonest near it), unless it lies in the thick of others.

    Parameters
    ----------
    column : Series
        Numbers, or text of which the numbers are looked at.
    rows : int64 array (N,)
        The rows that are used; what stands out is judged by the whole column.

    Returns
    -------
    dict of str to int64 array
        Code ("-9") -> its places in ``rows``.
    """
    if column.dtype == pl.String:
        column = column.set(~column.str.contains(NUMBER), None).cast(pl.Float64)
    elif not column.dtype.is_numeric():
        return {}
    whole = column.cast(pl.Float64).fill_null(float("nan")).to_numpy()
    used = whole[rows]
    rows_of: dict[str, Int64Array] = {}
    for code in (*CODES, *_ISOLATED_CODES):
        places = np.flatnonzero(used == code)
        if places.size and (_stands_out(whole, code) if code in CODES else _recurs_apart(whole, code)):
            rows_of[f"{code:g}"] = places
    return rows_of


def _stands_out(whole: Float64Array, code: float) -> bool:
    return stands_out_of(whole, int((whole == code).sum()), code)


def _recurs_apart(whole: Float64Array, code: float) -> bool:
    """Whether a code occurs several times, apart from all other values."""
    others = whole[np.isfinite(whole) & ~np.isin(whole, (*CODES, *_ISOLATED_CODES))]
    return int((whole == code).sum()) >= SPIKE and others.size > 0 and _is_isolated(others, code)


def stands_out_of(values: Float64Array, count: int, code: float) -> bool:
    """Whether a code that occurs ``count`` times is an isolated extreme of values, or a spike; see `suspects`."""
    others = values[np.isfinite(values) & ~np.isin(values, CODES) & (values != code)]
    return _is_isolated(others, code) or _is_spike(others, count, code)


def _is_isolated(others: Float64Array, code: float) -> bool:
    """Whether a code lies apart from all other values."""
    if code == _PLINK:
        return not (others <= -8).any()
    if not others.size:
        return False
    low_end, high_end = float(others.min()), float(others.max())
    gap = low_end - code if code < low_end else code - high_end
    # A twentieth of the code: after 998 comes 999. And 1: beside 1 alone, 0 and 2 are its neighbours.
    return gap > max(high_end - low_end, abs(code) / 20, 1.0)


def _is_spike(others: Float64Array, count: int, code: float) -> bool:
    """Whether a code is far commoner than any other value, or than those around it, and not one of many close to it."""
    if count < SPIKE or not others.size or int((np.abs(others - code) <= 1).sum()) > _DENSE * count:
        return False
    if count >= SPIKE * _commonest(others):
        return True
    if abs(code) < abs(_PLINK):
        return False  # half of all columns have the values 0 and 1
    around = others[np.abs(others - code) <= abs(code) / 4]
    # In a thin tail 5 beside 1 may be chance; 20 beside 4 is not.
    return count >= _DENSE and count >= SPIKE * _commonest(around)


def _commonest(values: Float64Array) -> int:
    """How often the commonest of some values occurs."""
    return int(np.unique(values, return_counts=True)[1].max()) if values.size else 0
