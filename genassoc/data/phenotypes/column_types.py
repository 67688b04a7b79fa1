"""Types of columns: numbers or text, with null for missing values, and a record of the changes."""

from dataclasses import dataclass, field

import polars as pl

from genassoc.data.phenotypes.columns import NUMBER, TEXT_ONLY_NAMES
from genassoc.data.phenotypes.missing_codes import MissingCodes
from genassoc.data.phenotypes.reading import Reading, dates_of

MISSING_TOKENS = ("", "NA", "NaN", "nan")
_INTEGER = r"^[+-]?[0-9]{1,18}$"
_COMMA_NUMBER = r"^[+-]?([0-9]+,[0-9]*|,[0-9]+)([eE][+-]?[0-9]+)?$"
_POINT_NUMBER = r"^[+-]?[0-9]*\.[0-9]+"
# "0.095" and "0.5" have no separators of thousands.
_GROUPED = r"^[+-]?[1-9][0-9]{0,2}(\.[0-9]{3})+$"
_COLUMNS = 16  # read at a time
_MIDNIGHT = r"[ T]00:00:00(\.0+)?$"


@dataclass
class TypedColumns:
    """Columns with their types.

    Attributes
    ----------
    frame : polars DataFrame
        Null where missing; numeric where every value of a column is a number.
    emptied : dict of str to dict of str to int
        Column -> code -> values that it emptied.
    unusable : dict of str to str
        Column -> why no model can use it.
    notes : list of str
        What was read in another form than written.
    commas, dates : list of str
        Columns with decimal commas, and with dates, that were read as such.
    """

    frame: pl.DataFrame
    emptied: dict[str, dict[str, int]] = field(default_factory=dict)
    unusable: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    commas: list[str] = field(default_factory=list)
    dates: list[str] = field(default_factory=list)

    def count(self, found: pl.DataFrame, code: str) -> None:
        """Add what a code emptied: one row of ``found``, a column each."""
        for name, n in (found.row(0, named=True) if found.width else {}).items():
            if n:
                counts = self.emptied.setdefault(name, {})
                counts[code] = counts.get(code, 0) + int(n)


def typed_columns(frame: pl.DataFrame, codes: MissingCodes, reading: Reading | None = None) -> TypedColumns:
    """Columns with null where missing, numeric where all their values are numbers; some columns at a time, which bounds memory."""
    reading = reading or Reading()
    names = frame.columns
    groups = [names[first : first + _COLUMNS] for first in range(0, len(names), _COLUMNS)]
    parts = [_typed(frame.select(group).rechunk(), codes, reading) for group in groups]
    made = TypedColumns(pl.concat([part.frame for part in parts], how="horizontal") if parts else frame)
    commas, dates = ([name for part in parts for name in getattr(part, kind)] for kind in ("commas", "dates"))
    for part in parts:
        made.emptied |= part.emptied
        made.unusable |= part.unusable
    if commas:
        made.notes.append(f"decimal commas were read in {_some(commas)}")
    if dates:
        made.notes.append(f"dates of the form {reading.date_format} were read in {_some(dates)}")
    return made


def _typed(frame: pl.DataFrame, codes: MissingCodes, reading: Reading) -> TypedColumns:
    """A few columns with their types."""
    made = TypedColumns(_plain_types(frame))
    for name in [c for c, t in made.frame.schema.items() if t == pl.Object]:
        made.unusable[name] = "holds Python objects, which are neither numbers nor text; convert it first"
        made.frame = made.frame.drop(name)
    text = [c for c, t in made.frame.schema.items() if t == pl.String]
    _strip(made, text, codes)
    _decimals(made, [c for c in text if c.lower() not in TEXT_ONLY_NAMES], reading)
    _dates(made, [c for c in text if c.lower() not in TEXT_ONLY_NAMES], reading)
    maybe = [c for c in text if c.lower() not in TEXT_ONLY_NAMES and c not in made.unusable]
    # Whole numbers are looked for among numbers only: most columns of text fail the first test at their first values.
    numbers = _all_match(made.frame, maybe, NUMBER)
    whole = set(_all_match(made.frame, numbers, _INTEGER)) - {
        c for c in numbers if made.frame[c].null_count() == frame.height
    }
    made.frame = made.frame.with_columns(pl.col(c).cast(pl.Int64 if c in whole else pl.Float64) for c in numbers)
    made.frame = made.frame.with_columns(pl.col(c).fill_nan(None) for c, t in made.frame.schema.items() if t.is_float())
    _empty_numbers(made, codes)
    return made


def _plain_types(frame: pl.DataFrame) -> pl.DataFrame:
    """Categories, dates and times as text, decimals as numbers; a time of midnight is left off a date."""
    words = [c for c, t in frame.schema.items() if t in (pl.Categorical, pl.Enum) or t in (pl.Date, pl.Time)]
    moments = [c for c, t in frame.schema.items() if isinstance(t, pl.Datetime)]
    decimal = [c for c, t in frame.schema.items() if t.is_decimal()]
    return frame.with_columns(
        pl.col(words).cast(pl.String),
        pl.col(moments).cast(pl.String).str.replace(_MIDNIGHT, ""),
        pl.col(decimal).cast(pl.Float64),
    )


def _strip(made: TypedColumns, text: list[str], codes: MissingCodes) -> None:
    """Text without blanks around it, null where it is a token or a code for missing."""
    if not text:
        return
    stripped = made.frame.select(pl.col(text).str.strip_chars())
    for code in codes.everywhere or ():
        made.count(stripped.select(pl.col(text).eq(code).sum()), code)
    gone = {name: codes.columns[name] for name in text if name in codes.columns}
    for name, counts in gone.items():
        for code in counts:
            made.count(stripped.select(pl.col(name).eq(code).sum()), code)
    missing = pl.col(text).is_in([*MISSING_TOKENS, *(codes.everywhere or ())]).fill_null(True)
    stripped = stripped.with_columns(pl.when(missing).then(None).otherwise(pl.col(text)).name.keep())
    stripped = stripped.with_columns(
        pl.when(pl.col(name).is_in(list(counts))).then(None).otherwise(pl.col(name)).alias(name)
        for name, counts in gone.items()
    )
    made.frame = made.frame.with_columns(stripped.get_columns())


def _decimals(made: TypedColumns, text: list[str], reading: Reading) -> None:
    """Decimal commas, where declared, as points; a column with both commas and points is not guessed at."""
    if reading.decimal != "," or not text:
        return
    frame, n = made.frame, len(made.frame)
    comma = frame.select(pl.col(text).str.contains(_COMMA_NUMBER).sum()).row(0, named=True)
    point = frame.select(pl.col(text).str.contains(_POINT_NUMBER).sum()).row(0, named=True)
    grouped = frame.select(pl.col(text).str.contains(_GROUPED).sum()).row(0, named=True)
    number = frame.select(pl.col(text).str.contains(NUMBER).sum()).row(0, named=True)
    changed = []
    for name in text:
        present = n - frame[name].null_count()
        if point[name] and (comma[name] or grouped[name] == point[name]) and 2 * (comma[name] + number[name]) > present:
            at = int(frame[name].str.contains(_POINT_NUMBER).arg_max() or 0)
            made.unusable[name] = (
                f"has '{frame[name][at]}' with a point, and decimal=',' was said: whether that is a decimal mark or stands between "
                "thousands cannot be known; write the column in one way"
            )
        elif comma[name] and 2 * (comma[name] + number[name]) > present:
            changed.append(name)
    if not changed:
        return
    is_comma = pl.col(changed).str.contains(_COMMA_NUMBER)
    point_for_comma = pl.col(changed).str.replace(",", ".", literal=True)
    made.frame = frame.with_columns(pl.when(is_comma).then(point_for_comma).otherwise(pl.col(changed)).name.keep())
    made.commas += changed


def _dates(made: TypedColumns, text: list[str], reading: Reading) -> None:
    """Dates of the form that was declared as 2020-12-31; a column of dates with another value cannot be used."""
    form = reading.strptime
    if form is None:
        return
    for name in text:
        values = made.frame[name]
        present = len(values) - values.null_count()
        dates = dates_of(values.str.replace(_MIDNIGHT, ""), form)
        n = len(dates) - dates.null_count()
        if not n or 2 * n <= present:
            continue
        if n < present:
            at = int((dates.is_null() & values.is_not_null()).arg_max() or 0)
            made.unusable[name] = f"has '{values[at]}', which is no date of the form {reading.date_format}; correct it"
            continue
        made.frame = made.frame.with_columns(dates.dt.to_string("%Y-%m-%d").alias(name))
        made.dates.append(name)


def _empty_numbers(made: TypedColumns, codes: MissingCodes) -> None:
    """Numbers that are missing codes as null."""
    numeric = [c for c, t in made.frame.schema.items() if t.is_numeric()]
    for code in dict.fromkeys(
        (*(codes.everywhere or ()), *(code for codes_of_column in codes.columns.values() for code in codes_of_column))
    ):
        value = _number(code)
        names = [name for name in numeric if code in codes.for_column(name)]
        if value is None or not names:
            continue
        is_code = pl.col(names).cast(pl.Float64).eq(value).fill_null(False)
        made.count(made.frame.select(is_code.sum()), code)
        made.frame = made.frame.with_columns(pl.when(is_code).then(None).otherwise(pl.col(names)).name.keep())


def _number(code: str) -> float | None:
    return float(code) if pl.Series([code]).str.contains(NUMBER)[0] else None


def _all_match(frame: pl.DataFrame, columns: list[str], pattern: str) -> list[str]:
    """Those columns of text whose every value matches, null counting as a match."""
    if not columns:
        return []
    matches = frame.select(pl.col(columns).str.contains(pattern).fill_null(True).all())
    return [column for column in columns if matches[column][0]]


def _some(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names[:8]) + (
        f" and {len(names) - 8} more columns" if len(names) > 8 else ""
    )
