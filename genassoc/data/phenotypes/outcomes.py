"""Outcomes that are neither quantities nor two groups: counts with their exposure, and ordered levels."""

import re
from collections.abc import Sequence

import numpy as np
import polars as pl

from genassoc.data.phenotypes.codings import text_of
from genassoc.data.phenotypes.columns import NUMBER
from genassoc.data.phenotypes.number_spellings import genotype_hint, missing_among
from genassoc.data.phenotypes.phenotypes import Phenotypes
from genassoc.errors import PhenotypeError
from genassoc.shapes import BoolArray, Float64Array, Int64Array

MAX_LEVELS = 40  # each costs a threshold, a column of the product; more are a quantity
_SHOWN = 6


def count_values(phenotypes: Phenotypes, trait: str, rows: Int64Array) -> Float64Array:
    """A trait that counts, NaN where missing: float64 array (N,).

    Raises
    ------
    PhenotypeError
        A value is no number, negative or not whole (shows some).
    """
    y = phenotypes.numbers(trait, rows)
    with np.errstate(invalid="ignore"):
        bad = (y < 0) | (y != np.floor(y)) & ~np.isnan(y)
    if bad.any():
        raise PhenotypeError(
            f"{phenotypes.source}: the trait '{trait}' is no count: {_some(phenotypes, y, bad, rows)}. Counts are whole "
            f"numbers from 0; if a value means missing, declare it: missing_codes={{'{trait}': ['-1']}} (--missing-code "
            f"{trait}=-1); for a quantitative trait use a linear model"
        )
    return y


def exposure_values(phenotypes: Phenotypes, column: str, rows: Int64Array) -> Float64Array:
    """The exposure of counts, NaN where missing: float64 array (N,).

    Raises
    ------
    PhenotypeError
        There is no such column, or a value is no number or not above 0 (says where).
    """
    (name,) = phenotypes.resolve([column], "exposure")
    values = phenotypes.numbers(name, rows)
    with np.errstate(invalid="ignore"):
        bad = values <= 0
    if bad.any():
        raise PhenotypeError(
            f"{phenotypes.source}: the exposure '{name}' is not above 0: {_some(phenotypes, values, bad, rows)}. Nothing can "
            "be counted over no time: correct them, or write NA to leave these samples out"
        )
    return values


def ordered_levels(
    phenotypes: Phenotypes, trait: str, rows: Int64Array, levels: Sequence[str] | None
) -> tuple[Float64Array, str]:
    """A trait of ordered levels as 0, 1, 2, ..., NaN where missing.

    Parameters
    ----------
    phenotypes : Phenotypes
    trait : str
    rows : int64 array (N,)
    levels : sequence of str, optional
        The levels from the lowest to the highest; without them the values must be whole numbers.

    Returns
    -------
    y : float64 array (N,)
    coding : str
        As "none < mild < severe".

    Raises
    ------
    PhenotypeError
        Text without an order, a value that is no level, numbers that are not whole (shows the values).
    """
    if levels is None and phenotypes.looks_numeric(trait, rows):
        return _numbered_levels(phenotypes, trait, rows)
    text = text_of(phenotypes, trait, rows)
    if levels is not None and phenotypes.table[trait].dtype != pl.String:
        given, levels = levels, tuple(_as_number(level) for level in levels)  # "1.0" is written 1 among numbers
        if len(set(levels)) < len(levels):
            raise PhenotypeError(
                f"the levels {', '.join(given)} of the trait '{trait}' name a number twice: they are {', '.join(levels)}"
            )
    found = text.drop_nulls().value_counts(sort=True)
    counts = [(str(value), int(n)) for value, n in found.rows()]
    shown = ", ".join(f"{value} ({n} samples)" for value, n in sorted(counts[:12]))
    shown += f" and {len(counts) - 12} more values" if len(counts) > 12 else ""
    if levels is None:
        example = ", ".join(repr(value) for value, _ in sorted(counts[:4])) + (", ..." if len(counts) > 4 else "")
        hint = genotype_hint(trait, [value for value, _ in counts])
        missing = missing_among(trait, [value for value, _ in counts])
        raise PhenotypeError(
            f"{phenotypes.source}: the trait '{trait}' is text, whose order nobody has declared; it has {shown}. Name its "
            f"levels from the lowest to the highest: levels=({example}) (--levels), in their true order{f'; {hint}' if hint else missing}"
        )
    strange = sorted({value for value, _ in counts} - set(levels))
    if strange:
        raise PhenotypeError(
            f"{phenotypes.source}: the trait '{trait}' has {', '.join(map(repr, strange[:_SHOWN]))}, which "
            f"{'is' if len(strange) == 1 else 'are'} not among the levels {', '.join(levels)}; it has {shown}{missing_among(trait, strange)}"
        )
    places = text.replace_strict(list(levels), list(range(len(levels))), default=None, return_dtype=pl.Float64)
    return places.fill_null(float("nan")).to_numpy().copy(), " < ".join(levels)


def _as_number(level: str) -> str:
    """A level as numbers are written in text: "2.0", "2.00" and "02" are 2."""
    if not re.fullmatch(NUMBER, level):
        return level
    value = float(level)
    return str(int(value)) if value.is_integer() else repr(value)


def _numbered_levels(phenotypes: Phenotypes, trait: str, rows: Int64Array) -> tuple[Float64Array, str]:
    values = phenotypes.numbers(trait, rows)
    observed = ~np.isnan(values)
    bad = observed & (values != np.floor(values))
    if bad.any():
        raise PhenotypeError(
            f"{phenotypes.source}: the trait '{trait}' has levels that are no whole numbers: "
            f"{_some(phenotypes, values, bad, rows)}. For a quantitative trait use a linear model; levels in words need "
            "their order: levels=(...) (--levels)"
        )
    levels, places = np.unique(values[observed], return_inverse=True)
    if levels.size > MAX_LEVELS:
        raise PhenotypeError(
            f"{phenotypes.source}: the trait '{trait}' has {levels.size} different values from {levels[0]:g} to {levels[-1]:g}: "
            f"more than {MAX_LEVELS} levels are a quantity. Use a linear model, with rank_normalise perhaps, or group them"
        )
    y = np.full(values.size, np.nan)
    y[observed] = places
    return y, " < ".join(f"{level:g}" for level in levels)


def _some(phenotypes: Phenotypes, values: Float64Array, bad: BoolArray, rows: Int64Array) -> str:
    """The first wrong value, its place, and other wrong values."""
    at = np.flatnonzero(bad)
    others = [f"{value:g}" for value in np.unique(values[at])[:_SHOWN]]
    return f"{values[at[0]]:g} in {phenotypes.where(int(rows[at[0]]))}; {at.size} such values in all, among them {', '.join(others)}"
