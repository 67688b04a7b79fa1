"""Endpoints made of measurements and dates: responders, percent change, times to events.

Each function takes a table and gives polars columns of its length and order, to join to it::

    table = table.with_columns(ga.endpoints.percent_change(table, "ldl", baseline="ldl_before"))

A value that is missing where one is needed gives a missing value, never "no".
"""

from typing import TYPE_CHECKING, Literal

import numpy as np
import polars as pl

from genassoc.data.forks import check_not_forked
from genassoc.data.phenotypes.columns import from_pandas
from genassoc.data.phenotypes.number_spellings import is_date, looks_missing
from genassoc.data.phenotypes.phenotypes import Phenotypes
from genassoc.data.phenotypes.reading import Reading, dates_of
from genassoc.data.phenotypes.undeclared import suspects
from genassoc.errors import PhenotypeError

if TYPE_CHECKING:
    import pandas as pd

UNITS = {"days": 1.0, "years": 365.25}
_ROUNDING = 1e-9  # of a difference or percentage of measurements
_SHOWN = 3  # rows that an error names


def _table_of(table: "pl.DataFrame | pd.DataFrame | Phenotypes") -> tuple[pl.DataFrame, str | None]:
    """The table as polars, and the column of its sample ids where that is known."""
    check_not_forked()
    if isinstance(table, Phenotypes):
        return table.table, table.sample_id
    frame = table if isinstance(table, pl.DataFrame) else from_pandas(table)
    ids = [name for name in frame.columns if name.lower() in ("iid", "#iid", "sample_id", "sample", "id", "s")]
    return frame, ids[0] if ids else None


def _where(frame: pl.DataFrame, ids: str | None, bad: pl.Series) -> str:
    """How many rows, and the first few by number and sample."""
    rows = np.flatnonzero(bad.fill_null(False).to_numpy())
    named = [f"row {row + 1}" + (f" (sample {frame[ids][int(row)]})" if ids else "") for row in rows[:_SHOWN]]
    more = f" and {rows.size - _SHOWN} more" if rows.size > _SHOWN else ""
    return f"{', '.join(named)}{more}"


def _column(frame: pl.DataFrame, name: str) -> pl.Series:
    if name not in frame.columns:
        raise PhenotypeError(f"the table has no column '{name}'; it has {', '.join(frame.columns[:10])}")
    return frame[name]


def _numbers(frame: pl.DataFrame, name: str) -> pl.Series:
    column = _column(frame, name)
    if not (column.dtype.is_numeric() or column.dtype == pl.Null):
        raise PhenotypeError(f"the column '{name}' holds {column.dtype}, not numbers; convert it first")
    for code, places in suspects(column, np.arange(frame.height)).items():
        raise PhenotypeError(
            f"the column '{name}' has the value {code} in {places.size} rows, first in row {places[0] + 1}, and it stands out of "
            "the other values: many programs write missing values so, and it would make endpoints of them. Make them null first"
        )
    return column.cast(pl.Float64).fill_nan(None)


def percent_change(
    table: "pl.DataFrame | pd.DataFrame | Phenotypes", column: str, *, baseline: str, name: str | None = None
) -> pl.Series:
    """Change from a baseline in percent of it: ``100 (after - before) / before``.

    Parameters
    ----------
    table : DataFrame (polars or pandas) or Phenotypes
    column, baseline : str
        The measurement after, and before. Percent need a scale with a true zero.
    name : str, optional
        Of the new column; "<column>_percent_change" by default.

    Returns
    -------
    polars Series of Float64
        One value a row; null where either measurement is missing.

    Raises
    ------
    PhenotypeError
        A column is absent or no number, or a baseline is 0 or negative (names the rows).
    """
    frame, ids = _table_of(table)
    after, before = _numbers(frame, column), _numbers(frame, baseline)
    if (bad := before <= 0).any():
        raise PhenotypeError(
            f"a percent change needs baselines above 0; '{baseline}' is {before.filter(bad)[0]:g} in "
            f"{_where(frame, ids, bad)}: correct them, make them missing, or take the difference, Linear(baseline=...)"
        )
    return (100.0 * (after - before) / before).alias(name or f"{column}_percent_change")


def responder(
    table: "pl.DataFrame | pd.DataFrame | Phenotypes",
    column: str,
    *,
    threshold: float | None = None,
    percent: float | None = None,
    baseline: str | None = None,
    direction: Literal["below", "above"] = "below",
    name: str | None = None,
) -> pl.Series:
    """Who responded: 1 where a measurement reaches a threshold, or changes by so many percent of its baseline; else 0.

    Parameters
    ----------
    table : DataFrame (polars or pandas) or Phenotypes
    column : str
        The measurement after.
    threshold : float, optional
        Response is ``column <= threshold`` (``>=`` for "above"); with ``baseline``, of the difference after - before.
    percent : float, optional
        Response is a fall (for "above": a rise) of at least so many percent of the baseline: ``percent=50`` halves it.
    baseline : str, optional
        The measurement before; needed by ``percent``.
    direction : {"below", "above"}
        Whether low or high is a response. The threshold itself is one.
    name : str, optional
        Of the new column; "<column>_responder" by default.

    Returns
    -------
    polars Series of Int8
        1, 0, or null where a measurement is missing (a missing value is no failure: decide about drop-outs yourself).

    Raises
    ------
    PhenotypeError
        As `percent_change`.
    ValueError
        Not exactly one of ``threshold`` and ``percent`` is given, or ``percent`` without ``baseline``.
    """
    if (threshold is None) == (percent is None):
        raise ValueError("responder takes a threshold or a percent, one of the two: threshold=1.8, or percent=50")
    if direction not in ("below", "above"):
        raise ValueError(f"direction is 'below' or 'above', not {direction!r}")
    frame, _ = _table_of(table)
    name = name or f"{column}_responder"
    if percent is not None:
        if baseline is None:
            raise ValueError(f"percent is of a baseline: name it, baseline='{column}_before'")
        if not percent > 0:
            raise ValueError(f"percent is above 0 (the direction says whether it is a fall), not {percent!r}")
        values, bound = percent_change(table, column, baseline=baseline), -percent if direction == "below" else percent
    else:
        assert threshold is not None
        values, bound = _numbers(frame, column), threshold
        if baseline is not None:
            values = values - _numbers(frame, baseline)
    # 5.1 - 3.3 is 1.7999999999999998: a value on the threshold is a response.
    slack = _ROUNDING * max(1.0, abs(bound)) if baseline is not None else 0.0
    reached = values <= bound + slack if direction == "below" else values >= bound - slack
    return reached.cast(pl.Int8).alias(name)


def time_to_event(
    table: "pl.DataFrame | pd.DataFrame | Phenotypes",
    start: str,
    end: str,
    event: str,
    *,
    entry: str | None = None,
    censor_at: "str | object | None" = None,
    unit: Literal["days", "years"] = "days",
    prefix: str = "",
    date_format: str | None = None,
) -> pl.DataFrame:
    """Times and events of `ga.Cox` from dates.

    Parameters
    ----------
    table : DataFrame (polars or pandas) or Phenotypes
    start : str
        Column of dates at which time is 0: birth (then time is age), diagnosis, randomisation.
    end : str
        Column of the last dates of follow-up, whatever ended it.
    event : str
        Column of dates of the event, missing where there was none; or of 0 and 1, whether it happened at ``end``.
    entry : str, optional
        Column of dates from which a sample was under observation (recruitment), where that is later than ``start``:
        before it no event could be seen.
    censor_at : date or str, optional
        Follow-up ends here at the latest, for everyone: a date, "2023-12-31", or a column of dates.
    unit : {"days", "years"}
        Years are 365.25 days.
    prefix : str
        Before the names of the new columns.
    date_format : str, optional
        The form of dates in text, as "DD/MM/YYYY"; 2021-03-31 by default.

    Returns
    -------
    polars DataFrame
        "time" (Float64, from ``start`` to the earliest of event, end and ``censor_at``), "event" (Int8: 1 if the event is
        what came first, also where it falls on the last day), and "entry" (Float64) where asked. Null in all of them
        where ``start``, ``end`` (without an event date) or the event's 0 and 1 is missing.

    Raises
    ------
    PhenotypeError
        A column is absent or holds no dates (names the value), or follow-up is not longer than 0, or an event lies
        after the end of follow-up: all with the rows.
    """
    if unit not in UNITS:
        raise ValueError(f"unit is one of {', '.join(map(repr, UNITS))}, not {unit!r}")
    frame, ids = _table_of(table)
    form = Reading.of(date_format=date_format).strptime
    zero, last = _dates(frame, ids, start, form), _dates(frame, ids, end, form)
    happened, seen = _events(frame, ids, event, last, form)
    stop = pl.select(pl.when(happened == 1).then(seen).otherwise(last)).to_series()
    if (late := (happened == 1) & (seen > last)).any():
        raise PhenotypeError(
            f"the event '{event}' lies after the end of follow-up '{end}' in {_where(frame, ids, late)}: nobody was "
            "watched any more; correct the dates"
        )
    if censor_at is not None:
        limit = _limit(frame, ids, censor_at, form)
        cut = (stop > limit).fill_null(False)
        stop = pl.select(pl.when(cut).then(limit).otherwise(stop)).to_series()
        happened = pl.select(pl.when(cut & happened.is_not_null()).then(0).otherwise(happened)).to_series()
    days = {"time": (stop - zero).dt.total_days()}
    if entry is not None:
        days["entry"] = (_dates(frame, ids, entry, form) - zero).dt.total_days()
    _check_days(frame, ids, days, (start, end, entry))
    usable = days["time"].is_not_null() & happened.is_not_null()
    made = {name: value.cast(pl.Float64) / UNITS[unit] for name, value in days.items()}
    columns = {"time": made.pop("time"), "event": happened.cast(pl.Int8), **made}
    return pl.DataFrame(
        {prefix + name: pl.select(pl.when(usable).then(values)).to_series() for name, values in columns.items()}
    )


def _check_days(
    frame: pl.DataFrame, ids: str | None, days: dict[str, pl.Series], names: tuple[str, str, str | None]
) -> None:
    start, end, entry = names
    bad = days["time"] < 0
    if bad.any():
        raise PhenotypeError(
            f"follow-up ends before '{start}' in {_where(frame, ids, bad)} (the first by {-days['time'].filter(bad)[0]} "
            f"days): correct '{start}', '{end}' or the date of censoring"
        )
    if (bad := days["time"] == 0).any():
        raise PhenotypeError(
            f"follow-up is 0 days in {_where(frame, ids, bad)}: such samples are never at risk; make them missing, or correct "
            "the dates"
        )
    if "entry" in days and (bad := days["entry"] >= days["time"]).any():
        raise PhenotypeError(
            f"'{entry}' is not before the end of follow-up in {_where(frame, ids, bad)}: such samples are never at "
            "risk; make them missing, or correct the dates"
        )


def _dates(frame: pl.DataFrame, ids: str | None, name: str, form: str | None = None) -> pl.Series:
    """A column as dates; text is of the form 2021-03-31, or ``form`` in the marks of strptime."""
    column = _column(frame, name)
    if column.dtype == pl.Date or column.dtype == pl.Null:
        return column.cast(pl.Date)
    if isinstance(column.dtype, pl.Datetime):
        return column.dt.date()
    if column.dtype != pl.String:
        raise PhenotypeError(f"the column '{name}' holds {column.dtype}, not dates; dates are written 2021-03-31")
    blank = column.str.strip_chars().is_in(["", "NA", "NaN", "nan"])
    text = pl.select(pl.when(~blank).then(column.str.strip_chars())).to_series()
    text = text.str.replace(r"[ T]00:00:00(\.0+)?$", "")
    dates = dates_of(text, form or "%Y-%m-%d")
    if (bad := text.is_not_null() & dates.is_null()).any():
        value = str(text.filter(bad)[0])
        way = f"dates are written {form}" if form else "dates are written 2021-03-31 (year, month, day)"
        if is_date(value) and form is None:
            way += ', or say their form: date_format="DD/MM/YYYY", or "MM/DD/YYYY"'
        if looks_missing(value):
            way += "; a date that is missing is left empty"
        raise PhenotypeError(f"the column '{name}' has '{value}' for a date in {_where(frame, ids, bad)}; {way}")
    return dates


def _events(
    frame: pl.DataFrame, ids: str | None, name: str, last: pl.Series, form: str | None
) -> tuple[pl.Series, pl.Series]:
    """Whether the event happened (Int64: 1, 0, null), and when."""
    column = _column(frame, name)
    if column.dtype == pl.Boolean or column.dtype.is_numeric():
        happened = column.cast(pl.Float64).fill_nan(None)
        if (bad := happened.is_not_null() & ~happened.is_in([0.0, 1.0])).any():
            raise PhenotypeError(
                f"the column '{name}' says by 0 and 1 whether the event happened; it is {happened.filter(bad)[0]:g} in "
                f"{_where(frame, ids, bad)}"
            )
        return happened.cast(pl.Int64), last
    seen = _dates(frame, ids, name, form)
    return seen.is_not_null().cast(pl.Int64), seen


def _limit(frame: pl.DataFrame, ids: str | None, censor_at: object, form: str | None) -> pl.Series:
    """The date of censoring of every row."""
    if isinstance(censor_at, str) and censor_at in frame.columns:
        return _dates(frame, ids, censor_at, form)
    one = pl.DataFrame({"censor_at": [censor_at]})
    try:
        return _dates(one, None, "censor_at", None if _is_iso(censor_at) else form).new_from_index(0, frame.height)
    except PhenotypeError as error:
        raise PhenotypeError(f"censor_at is a date or a column of dates: {error}") from None


def _is_iso(value: object) -> bool:
    return isinstance(value, str) and len(value) == 10 and value[4] == value[7] == "-"


def years_between(
    table: "pl.DataFrame | pd.DataFrame | Phenotypes",
    start: str,
    end: str,
    *,
    date_format: str | None = None,
    name: str | None = None,
) -> pl.Series:
    """Years of 365.25 days from one date to another: an age, of birth and visit.

    Parameters
    ----------
    table : DataFrame (polars or pandas) or Phenotypes
    start, end : str
        Columns of dates.
    date_format : str, optional
        The form of dates in text, as "DD/MM/YYYY"; 2021-03-31 by default.
    name : str, optional
        Of the new column; "<end>_years" by default.

    Returns
    -------
    polars Series of Float64
        Null where a date is missing.

    Raises
    ------
    PhenotypeError
        A column is absent or holds no dates, or an end lies before its start (names the rows).
    """
    frame, ids = _table_of(table)
    form = Reading.of(date_format=date_format).strptime
    days = (_dates(frame, ids, end, form) - _dates(frame, ids, start, form)).dt.total_days()
    if (bad := days < 0).any():
        raise PhenotypeError(f"'{end}' lies before '{start}' in {_where(frame, ids, bad)}: correct the dates")
    return (days.cast(pl.Float64) / UNITS["years"]).alias(name or f"{end}_years")


def count_allele(
    table: "pl.DataFrame | pd.DataFrame | Phenotypes", column: str, allele: str, *, name: str | None = None
) -> pl.Series:
    """Copies of an allele in genotypes written as text: "A/G", "A|G" or "AG".

    Parameters
    ----------
    table : DataFrame (polars or pandas) or Phenotypes
    column : str
        Pairs of alleles; a missing one ("./.", "NA", "N/A", "0/0" of PLINK, empty, or with an N) gives a missing value.
    allele : str
        The allele that is counted, as "G".
    name : str, optional
        Of the new column; "<column>_<allele>" by default.

    Returns
    -------
    polars Series of Int8
        0, 1, 2, or null.

    Raises
    ------
    PhenotypeError
        The column is absent, a value is not a pair of alleles (the message names the rows), or no sample has the allele.
    """
    frame, ids = _table_of(table)
    values = _column(frame, column)
    if values.dtype not in (pl.String, pl.Categorical, pl.Enum):
        raise PhenotypeError(f"the column '{column}' holds {values.dtype}, not genotypes such as 'A/G'")
    text = values.cast(pl.String).str.strip_chars().str.to_uppercase()
    missing = text.is_null() | text.is_in(
        ["", "NA", "NAN", "N/A", ".", "./.", ".|.", "0/0", "0|0", "00", "0 0", "--", "-/-", "-|-", "?/?", "??"]
    )
    missing |= pl.Series([value is not None and looks_missing(value) for value in text], dtype=pl.Boolean)
    pairs = text.str.extract_groups(
        r"^([ACGTN]+|[ID-])\s*[/|]\s*([ACGTN]+|[ID-])$|^([ACGTN])([ACGTN])$"
    ).struct.unnest()
    first, second = (pl.select(pl.coalesce(pairs[a], pairs[b])).to_series() for a, b in (("1", "3"), ("2", "4")))
    missing |= (first == "N").fill_null(False) | (second == "N").fill_null(False)  # an allele that was not read
    if (bad := ~missing & (first.is_null() | second.is_null())).any():
        raise PhenotypeError(
            f"the column '{column}' has '{values.filter(bad)[0]}' in {_where(frame, ids, bad)}, which is no pair of alleles such "
            "as 'A/G'"
        )
    wanted = allele.strip().upper()
    copies = (first == wanted).cast(pl.Int8) + (second == wanted).cast(pl.Int8)
    counted = pl.select(pl.when(~missing).then(copies)).to_series()
    if not (counted > 0).any():
        seen = sorted({*first.filter(~missing), *second.filter(~missing)})
        raise PhenotypeError(
            f"no sample has the allele '{allele}' in '{column}'; its alleles are {', '.join(seen) or 'all missing'}"
        )
    return counted.alias(name or f"{column}_{wanted}")


__all__ = ["count_allele", "percent_change", "responder", "time_to_event", "years_between"]
