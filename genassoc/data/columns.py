"""From files and data frames to clean columns: ids as text, missing values as null, numbers as numbers."""

import re
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import polars as pl

from genassoc.data.forks import check_not_forked
from genassoc.data.tables import read_text_table
from genassoc.errors import InputError, PhenotypeError
from genassoc.shapes import Int64Array

MISSING_TOKENS = ("", "NA", "NaN", "nan")
SAMPLE_ID_NAMES = ("iid", "#iid", "sample_id", "sample", "id", "s")  # in this order, whatever the case
_TEXT_ONLY_NAMES = ("fid", "#fid", *SAMPLE_ID_NAMES)  # identifiers: never turned into numbers

NUMBER = r"^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$|^[+-]?(?i:inf|infinity)$"
RANGE = re.compile(r"(?P<prefix>.*?)(?P<first>\d+):(?P=prefix)(?P<last>\d+)")
_INTEGER = r"^[+-]?\d{1,18}$"


def read_columns(path: Path) -> tuple[pl.DataFrame, Int64Array | None]:
    """Columns of a Parquet or text file, and the lines of the latter."""
    check_not_forked()
    if path.suffix.lower() in (".parquet", ".pq"):
        try:
            return pl.read_parquet(path), None
        except FileNotFoundError:
            raise InputError(f"{path}: there is no such file") from None
        except (OSError, pl.exceptions.PolarsError) as error:
            raise InputError(f"{path}: cannot be read as Parquet ({error})") from None
    text = read_text_table(path)
    return text.columns, text.lines


def from_pandas(source: Any) -> pl.DataFrame:
    """A polars copy of a pandas DataFrame; a named index becomes a column. Never imports pandas."""
    if not type(source).__module__.startswith("pandas"):
        raise PhenotypeError(f"phenotypes must be a path or a polars or pandas DataFrame, not {type(source).__name__}")
    if any(name is not None and name not in source.columns for name in source.index.names):
        source = source.reset_index()
    names = [str(name).strip() for name in source.columns]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise PhenotypeError(f"the pandas table has the column {listed(repeated)} more than once; rename one")
    columns = []
    for position, name in enumerate(names):
        column = source.iloc[:, position]
        if column.dtype.kind in "iufb" and type(column.dtype).__module__.startswith("numpy"):
            columns.append(pl.Series(name, column.to_numpy()))
        elif str(column.dtype) in ("Int64", "Int32", "Int16", "Int8", "Float64", "Float32"):
            kind = pl.Int64 if str(column.dtype).startswith("I") else pl.Float64
            columns.append(pl.Series(name, [None if na else v for v, na in zip(column, column.isna())], dtype=kind))
        else:
            columns.append(
                pl.Series(name, [None if na else str(v) for v, na in zip(column, column.isna())], dtype=pl.String)
            )
    return pl.DataFrame(columns)


def sample_id_column(columns: list[str], asked: str | None, source: str) -> str:
    """The column that was asked for, or the first that has one of `SAMPLE_ID_NAMES`."""
    if asked is not None:
        for name in (asked, f"#{asked}"):
            if name in columns:
                return name
        close = get_close_matches(asked, columns, n=3)
        hint = f" Did you mean {' or '.join(repr(name) for name in close)}?" if close else ""
        raise PhenotypeError(
            f"{source}: no column is named '{asked}' (asked for as sample_id).{hint} Columns: {', '.join(columns[:20])}"
        )
    lowered = {column.lower(): column for column in reversed(columns)}
    for candidate in SAMPLE_ID_NAMES:
        if candidate in lowered:
            return lowered[candidate]
    raise PhenotypeError(
        f"{source}: which column holds the sample ids? None is named IID, #IID, sample_id, sample, ID or s. "
        f"Say sample_id=... (--sample-id). Columns: {', '.join(columns[:20])}" + ("" if len(columns) <= 20 else ", ...")
    )


def id_column(column: pl.Series, source: str) -> pl.Series:
    """Ids as text. Decimals are refused: they have lost leading zeros and perhaps digits."""
    if column.dtype.is_float() or column.dtype == pl.Boolean:
        raise PhenotypeError(
            f"{source}: the sample ids in '{column.name}' are {column.dtype} values, not text; leading "
            "zeros and digits "
            "may be lost. Read that column as text (pandas: dtype={'" + column.name + "': str})"
        )
    return column.cast(pl.String).str.strip_chars()


def typed_columns(frame: pl.DataFrame, codes: tuple[str, ...]) -> pl.DataFrame:
    """Columns with null where missing, numeric where all their values are numbers; all columns in a few passes."""
    odd = [c for c, t in frame.schema.items() if t in (pl.Categorical, pl.Enum) or t.is_temporal()]
    decimal = [c for c, t in frame.schema.items() if t.is_decimal()]
    frame = frame.with_columns(pl.col(odd).cast(pl.String), pl.col(decimal).cast(pl.Float64))
    text = [c for c, t in frame.schema.items() if t == pl.String]
    stripped = pl.col(text).str.strip_chars()
    missing = stripped.is_in([*MISSING_TOKENS, *codes]).fill_null(True)
    frame = frame.with_columns(pl.when(missing).then(None).otherwise(stripped).name.keep())
    maybe = [c for c in text if c.lower() not in _TEXT_ONLY_NAMES]
    # Whole numbers are looked for among numbers only: most columns of text fail the first test at their first values.
    numbers = _all_match(frame, maybe, NUMBER)
    whole = set(_all_match(frame, numbers, _INTEGER)) - {c for c in numbers if frame[c].null_count() == frame.height}
    frame = frame.with_columns(pl.col(c).cast(pl.Int64 if c in whole else pl.Float64) for c in numbers)
    frame = frame.with_columns(pl.col(c).fill_nan(None) for c, t in frame.schema.items() if t.is_float())
    coded = [float(code) for code in codes if re.fullmatch(NUMBER, code)]
    if not coded:
        return frame
    numeric = [c for c, t in frame.schema.items() if t.is_numeric()]
    is_code = pl.col(numeric).cast(pl.Float64).is_in(coded).fill_null(False)
    return frame.with_columns(pl.when(is_code).then(None).otherwise(pl.col(numeric)).name.keep())


def _all_match(frame: pl.DataFrame, columns: list[str], pattern: str) -> list[str]:
    """Those columns of text whose every value matches, null counting as a match."""
    if not columns:
        return []
    found = frame.select(pl.col(columns).str.contains(pattern).fill_null(True).all())
    return [column for column in columns if found[column][0]]


def listed(names: Sequence[str]) -> str:
    """Names in quotes, the first five."""
    shown = ", ".join(f"'{name}'" for name in names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown


def range_members(found: re.Match[str]) -> list[str]:
    """Names from first to last, keeping the width of zero-padded numbers (PC01:PC10)."""
    prefix, first, last = found["prefix"], found["first"], found["last"]
    width = len(first) if first.startswith("0") else 0
    if int(first) > int(last):
        raise PhenotypeError(f"the range '{found[0]}' runs backwards; write it as {prefix}{last}:{prefix}{first}")
    return [f"{prefix}{number:0{width}d}" for number in range(int(first), int(last) + 1)]


def absent_columns(source: str, columns: Sequence[str], absent: list[str], asked: str, role: str) -> str:
    """What to say of a name, or a range of names, that a table does not have."""
    shown = ", ".join(columns[:20]) + (", ..." if len(columns) > 20 else "")
    if len(absent) > 1 or absent[0] != asked:
        return (
            f"{source}: the {role} range '{asked}' needs {listed(absent)}, which the table does not "
            f"have. Its columns: {shown}"
        )
    lowered = {column.lower(): column for column in columns}
    close = [lowered[found] for found in get_close_matches(asked.lower(), lowered, n=3, cutoff=0.6)]
    hint = f" Did you mean {' or '.join(repr(name) for name in close)}?" if close else ""
    return f"{source}: no column is named '{asked}' (asked for as a {role}).{hint} Columns: {shown}"
