"""From files and data frames to clean columns: ids as text, missing values as null, numbers as numbers."""

import re
import unicodedata
from collections.abc import Sequence
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genassoc.data.forks import check_not_forked
from genassoc.data.phenotypes.reading import Reading
from genassoc.data.phenotypes.tables import TextTable, read_text_table
from genassoc.data.phenotypes.workbooks import WORKBOOKS, read_workbook
from genassoc.errors import InputError, PhenotypeError

SAMPLE_ID_NAMES = ("iid", "#iid", "sample_id", "sample", "id", "s")  # in this order, whatever the case
TEXT_ONLY_NAMES = ("fid", "#fid", *SAMPLE_ID_NAMES)  # identifiers: never turned into numbers

# [0-9], not \d, which is the digits of every script: no cast reads those.
NUMBER = r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?$|^[+-]?(?i:inf|infinity)$"
# Values that are neither numbers nor text, in a pandas column of objects.
_CONTAINERS = (list, tuple, dict, set, bytes, np.ndarray, complex, timedelta)
RANGE = re.compile(r"(?P<prefix>.*?)(?P<first>[0-9]+):(?P=prefix)(?P<last>[0-9]+)")


def read_columns(path: Path, reading: Reading | None = None) -> TextTable:
    """Columns of a Parquet, Excel or text file, their line numbers (Excel, text), and notes."""
    check_not_forked()
    suffix = path.suffix.lower()
    if suffix in (".parquet", ".pq"):
        try:
            # A name with [1] or * in it is taken literally: as a pattern it would read another file.
            return TextTable(pl.read_parquet(path, glob=False), None)
        except FileNotFoundError:
            raise InputError(f"{path}: there is no such file") from None
        except (OSError, pl.exceptions.PolarsError) as error:
            raise InputError(f"{path}: cannot be read as Parquet ({error})") from None
    if suffix in WORKBOOKS:
        return read_workbook(path)
    return read_text_table(path, reading)


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
        if column.dtype.kind in "iufbm" and type(column.dtype).__module__.startswith("numpy"):
            columns.append(pl.Series(name, _of_known_width(column.to_numpy())))
        elif str(column.dtype) in ("Int64", "Int32", "Int16", "Int8", "Float64", "Float32"):
            kind = pl.Int64 if str(column.dtype).startswith("I") else pl.Float64
            columns.append(pl.Series(name, [None if na else v for v, na in zip(column, column.isna())], dtype=kind))
        elif (known := column[~column.isna()]).size and all(isinstance(value, bool | np.bool_) for value in known):
            columns.append(
                pl.Series(name, [None if na else bool(v) for v, na in zip(column, column.isna())], dtype=pl.Boolean)
            )
        elif any(isinstance(value, _CONTAINERS) for value in column):
            columns.append(pl.Series(name, list(column), dtype=pl.Object))
        else:
            columns.append(
                pl.Series(name, [None if na else str(v) for v, na in zip(column, column.isna())], dtype=pl.String)
            )
    return pl.DataFrame(columns)


def _of_known_width(values: Any) -> Any:
    """Durations in microseconds and long doubles as float64: polars knows no days, and no 128 bits."""
    if values.dtype.kind == "m":
        return values.astype("timedelta64[us]")
    return values.astype(np.float64) if values.dtype.kind == "f" and values.dtype.itemsize > 8 else values


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
            f"{source}: the sample ids in '{column.name}' are {column.dtype} values, not text; leading zeros and digits may be "
            "lost. Read that column as text (pandas: dtype={'" + column.name + "': str})"
        )
    if not (column.dtype in (pl.String, pl.Categorical, pl.Enum, pl.Null) or column.dtype.is_integer()):
        raise PhenotypeError(
            f"{source}: the sample ids in '{column.name}' are {column.dtype}, not text; convert them first"
        )
    return column.cast(pl.String).str.strip_chars()


def listed(names: Sequence[str]) -> str:
    """Names in quotes, the first five."""
    shown = ", ".join(f"'{name}'" for name in names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown


def range_members(match: re.Match[str]) -> list[str]:
    """Names from first to last, keeping the width of zero-padded numbers (PC01:PC10)."""
    prefix, first, last = match["prefix"], match["first"], match["last"]
    width = len(first) if first.startswith("0") else 0
    if int(first) > int(last):
        raise PhenotypeError(f"the range '{match[0]}' runs backwards; write it as {prefix}{last}:{prefix}{first}")
    return [f"{prefix}{number:0{width}d}" for number in range(int(first), int(last) + 1)]


def absent_columns(source: str, columns: Sequence[str], absent: list[str], asked: str, role: str) -> str:
    """The message for a name, or a range of names, that a table does not have."""
    shown = ", ".join(columns[:20]) + (", ..." if len(columns) > 20 else "")
    article = "an" if role[0] in "aeio" else "a"
    if len(absent) > 1 or absent[0] != asked:
        return (
            f"{source}: the {role} range '{asked}' needs {listed(absent)}, which the table does not "
            f"have. Its columns: {shown}"
        )
    lowered = {column.lower(): column for column in columns}
    close = [lowered[spelling] for spelling in get_close_matches(asked.lower(), lowered, n=3, cutoff=0.6)]
    hint = f" Did you mean {' or '.join(repr(name) for name in close)}?" if close else ""
    composed = unicodedata.normalize("NFC", asked)
    if any(unicodedata.normalize("NFC", column) == composed for column in columns):
        hint = " One has the same letters, with their accents composed otherwise (Unicode NFC, NFD): copy its name from the table."
    elif role == "covariate" and RANGE.fullmatch(asked.replace("-", ":")):
        hint = f" The columns from one to the other are '{asked.replace('-', ':')}'."
    elif role == "covariate" and set(asked) & set("+*^(~"):
        hint = ' A formula is one text, covariates="age + C(site)"; on the command line it begins with ~.'
    return f"{source}: no column is named '{asked}' (asked for as {article} {role}).{hint} Columns: {shown}"
