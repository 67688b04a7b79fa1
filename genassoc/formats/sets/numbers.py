"""Weights of variants in files: numbers from 0 to 1e30, so that fourth powers of them are numbers too."""

import polars as pl

from genassoc.formats.sets.text import Lines

ABSENT = ("", ".", "NA", "na", "N/A", "NULL", "null", "-")
MOST_WEIGHT = 1e30


def weights_of(lines: Lines, text: pl.Series, at: pl.Series | None = None) -> pl.Series:
    """Weights from their text: null where there is none.

    Parameters
    ----------
    lines : Lines
        What they stand in.
    text : Series (any,)
    at : Series (any,), optional
        Of each which line of ``lines``; each line in turn if left out.

    Raises
    ------
    InputError
        One is no number, is negative, above 1e30, infinite or NaN (names file and line).
    """
    told = ~text.str.strip_chars().is_in(list(ABSENT)) & text.is_not_null()
    numbers = text.str.strip_chars().cast(pl.Float64, strict=False)
    bad = told & ~(numbers.is_finite() & (numbers >= 0) & (numbers <= MOST_WEIGHT)).fill_null(False)
    if bad.any():
        place = int(bad.arg_max() or 0)
        row = place if at is None else int(at[place])
        only = pl.int_range(0, lines.text.len(), eager=True) == row
        lines.refuse(
            only,
            f"the weight '{text[place][:40]}' is no number from 0 to {MOST_WEIGHT:g} (NA, or nothing, where a variant has none)",
        )
    return numbers.set(~told, None)
