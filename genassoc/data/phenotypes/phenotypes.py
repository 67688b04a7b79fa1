"""Phenotypes: a table of traits and covariates, read as text first, so that nothing is guessed or lost."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from genassoc.data.forks import check_not_forked
from genassoc.data.phenotypes.column_types import typed_columns
from genassoc.data.phenotypes.columns import (
    NUMBER,
    RANGE,
    absent_columns,
    from_pandas,
    id_column,
    listed,
    range_members,
    read_columns,
    sample_id_column,
)
from genassoc.data.phenotypes.formula import Formula
from genassoc.data.phenotypes.formula_parser import parse_formula
from genassoc.data.phenotypes.missing_codes import MissingCodes
from genassoc.data.phenotypes.number_spellings import declaration, holds_numbers, remedy
from genassoc.data.phenotypes.reading import Reading
from genassoc.data.phenotypes.tables import TextTable
from genassoc.data.phenotypes.undeclared import suspects
from genassoc.errors import PhenotypeError
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array

if TYPE_CHECKING:
    import pandas as pd

    Codes = Sequence[str] | Mapping[str, Sequence[str]] | MissingCodes


_ROWS_HASHED = 1024  # written as text at a time


@dataclass(frozen=True, eq=False, kw_only=True)
class Phenotypes:
    """Traits and covariates of samples, as read, and where they came from.

    Attributes
    ----------
    table : polars DataFrame
        One row a sample. Missing values are null. Columns whose every value is a number are numeric, all
        others (and the ids, always) are text as written.
    sample_id : str
        Name of the column with the samples' ids.
    source : str
        The file, or "the table given", for messages.
    missing_codes : MissingCodes
        The values declared to mean "missing", of every column or of some.
    declared : frozenset of str
        Columns that were joined with missing codes of their own declared: the check is not for them.
    files : tuple of Path
        The files it was read from.
    reading : Reading
        The decimal mark, form of dates and encoding that were declared.
    emptied : mapping
        Column -> code -> how many values the missing codes emptied.
    unusable : mapping
        Column -> why no model can use it.
    notes : tuple of str
        What reading found: columns left out, decimal commas, dates.
    case_values : mapping
        Column -> the value that is the case, where a model says it.
    lines : int64 array or None
        The line of the file of each row, from 1; None for tables from memory.
    joined : mapping
        Columns of tables that were joined -> the table's source.
    """

    table: pl.DataFrame
    sample_id: str
    source: str
    missing_codes: MissingCodes = field(default_factory=MissingCodes)
    lines: Int64Array | None = None
    declared: frozenset[str] = frozenset()
    files: tuple[Path, ...] = ()
    joined: Mapping[str, str] = field(default_factory=dict)
    reading: Reading = field(default_factory=Reading)
    emptied: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    unusable: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    case_values: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def read(
        cls,
        source: "str | Path | pl.DataFrame | pd.DataFrame | Phenotypes",
        *,
        sample_id: str | None = None,
        missing_codes: "Codes | None" = None,
        decimal: str | None = None,
        date_format: str | None = None,
        encoding: str | None = None,
    ) -> "Phenotypes":
        """Read a TSV, CSV, blank-delimited (PLINK) or Parquet file, or take a polars or pandas DataFrame.

        Parameters
        ----------
        source
            Text files may be gzipped; the header line decides the delimiter.
        sample_id
            Column with the ids; by default the first of IID, #IID, sample_id, sample, ID, s (whatever the
            case).
        missing_codes
            Values that mean "missing" beside empty, NA, NaN and nan: a mapping of columns to lists, or a list for
            every column ("*" in a mapping). A list, even an empty one, says that -9 is dealt with; without it a -9
            that looks like a missing value is an error when its column is used.
        decimal : {".", ","}, optional
            The decimal mark of numbers in text.
        date_format : str, optional
            The form of dates in text, as "DD/MM/YYYY".
        encoding : str, optional
            Of a text file: "utf-8" (by default), "latin-1", "windows-1252", ... (`genassoc.data.phenotypes.reading.ENCODINGS`).

        Raises
        ------
        InputError
            The file is not a table (names the line).
        PhenotypeError
            No id column, ids missing, repeated or stored as decimals.
        """
        check_not_forked()
        codes = MissingCodes.of(missing_codes)
        reading = Reading.of(decimal, date_format, encoding)
        if isinstance(source, Phenotypes):
            if sample_id is None and missing_codes is None and not reading.plain():
                return source
            codes = codes.beside(source.missing_codes)
            again = _build(source.table, source.source, source.lines, sample_id or source.sample_id, codes, reading)
            return replace(
                again,
                files=source.files,
                declared=source.declared,
                emptied={**source.emptied, **again.emptied},
                unusable={**source.unusable, **again.unusable},
                notes=source.notes + again.notes,
                reading=reading.beside(source.reading),
                joined=source.joined,
            )
        if isinstance(source, str | Path):
            path = Path(source)
            read = read_columns(path, reading)
            made = _build(read.columns, str(path), read.lines, sample_id, codes, reading)
            return replace(made, files=(path,), notes=read.notes + made.notes)
        frame = source if isinstance(source, pl.DataFrame) else from_pandas(source)
        return _build(frame, "the table given", None, sample_id, codes, reading)

    @classmethod
    def of_rows(cls, source: Path, **reading: Any) -> "Phenotypes":
        """A file read with row numbers for ids: to check its columns although its ids are wrong.

        Parameters
        ----------
        source : Path
        reading
            ``missing_codes``, ``decimal``, ``date_format`` and ``encoding`` as of `read`.

        Raises
        ------
        InputError
            The file is not a table.
        """
        codes = MissingCodes.of(reading.pop("missing_codes", None))
        choices = Reading.of(**reading)
        read = read_columns(source, choices)
        key = "row"
        while key in read.columns.columns:
            key += "_"
        frame = read.columns.with_row_index(key, offset=1)
        return _build(frame, str(source), read.lines, key, codes, choices)

    @classmethod
    def of_columns(cls, read: TextTable, source: str, *, missing_codes: "Codes | None" = None) -> "Phenotypes":
        """Columns that were read already from ``source``, as messages are to name it; see `read`."""
        return _build(read.columns, source, read.lines, None, MissingCodes.of(missing_codes))

    @property
    def sample_ids(self) -> Array:
        """Ids in the order of the rows, object array of str (rows,)."""
        return np.array(self.table[self.sample_id].to_list(), dtype=object)

    @property
    def columns(self) -> list[str]:
        """Names of the columns that can be traits and covariates."""
        return [name for name in self.table.columns if name != self.sample_id]

    @cached_property
    def fingerprint(self) -> str:
        """Short hash of the contents: names, values and declared missing codes."""
        made = (self.sample_id, self.missing_codes.key(), self.table.schema, *self.reading.plain().items())
        digest = hashlib.sha256(repr(made).encode())
        simple = [name for name, dtype in self.table.schema.items() if _is_simple(dtype)]
        table = self.table.select(simple)
        for first in range(0, max(table.height, 1), _ROWS_HASHED):
            rows = table[first : first + _ROWS_HASHED]
            digest.update(rows.write_csv(null_value="\0", include_header=first == 0).encode())
        return digest.hexdigest()[:16]

    def where(self, row: int, column: str | None = None) -> str:
        """The place of a row for messages: "line 14 (sample HG00097)"; for a joined ``column`` the sample alone."""
        if column is not None and column in self.joined:
            return f"sample {self.table[self.sample_id][row]} of {self.joined[column]}"
        place = f"row {row + 1}" if self.lines is None else f"line {self.lines[row]}"
        return f"{place} (sample {self.table[self.sample_id][row]})"

    def with_columns(self, other: "Phenotypes") -> "Phenotypes":
        """Join the columns of other phenotypes by sample id; samples that they lack get null.

        Raises
        ------
        PhenotypeError
            A column exists on both sides.
        """
        clash = sorted(set(other.columns) & {*self.columns, self.sample_id})
        if clash:
            first = str(self.files[0]) if self.files else self.source
            raise PhenotypeError(
                f"{other.source}: the column {listed(clash)} is already among the phenotypes of "
                f"{' and '.join(sorted({self.joined.get(name, first) for name in clash}))}, "
                "so that the name is ambiguous; rename or leave out one of them"
            )
        added = other.table.rename({other.sample_id: self.sample_id})
        table = self.table.join(added, on=self.sample_id, how="left", maintain_order="left")
        covered = frozenset(name for name in other.columns if other.missing_codes.covers(name))
        # Codes of columns that neither has stay on record: the run refuses them where no other table brings the column.
        theirs = {n: codes for n, codes in other.missing_codes.columns.items() if n not in self.table.columns}
        for name in self.columns:
            codes = other.missing_codes.columns.get(name, ())
            if set(codes) - set(self.missing_codes.for_column(name)):
                raise PhenotypeError(
                    f"{other.source}: the missing code {', '.join(codes)} is declared for '{name}', a column of {self.source}, "
                    "which has been read without it; declare it there"
                )
        return replace(
            self,
            table=table,
            source=f"{self.source} + {other.source}",
            missing_codes=replace(self.missing_codes, columns={**self.missing_codes.columns, **theirs}),
            declared=self.declared | other.declared | covered,
            files=self.files + other.files,
            joined={**self.joined, **dict.fromkeys(other.columns, other.source)},
            emptied={**self.emptied, **other.emptied},
            unusable={**self.unusable, **other.unusable},
        )

    def beside(self, others: "Sequence[Phenotypes]") -> "Phenotypes":
        """The columns of tables of `of_rows` beside each other, row by row and not by sample: for looking at columns only."""
        made = self
        for other in others:
            new, number = [name for name in other.columns if name not in made.table.columns], "\0row"
            numbered, added = made.table.with_row_index(number), other.table.select(new).with_row_index(number)
            made = replace(
                made,
                table=numbered.join(added, on=number, how="left", maintain_order="left").drop(number),
                source=f"{made.source} + {other.source}",
                joined={**made.joined, **dict.fromkeys(new, other.source)},
                emptied={**other.emptied, **made.emptied},
                unusable={**other.unusable, **made.unusable},
            )
        return made

    def samples_where(self, choice: pl.Expr, rows: Int64Array) -> tuple[BoolArray, BoolArray]:
        """Where an expression holds of some rows, and where a missing value hides it; (N,) each.

        Raises
        ------
        PhenotypeError
            It names no column of the table, cannot be evaluated, or gives no truth value for each row.
        """
        table = self.table[rows]
        for name in choice.meta.root_names():
            if name not in table.columns:
                self.resolve([name], "column of keep_samples")
        try:
            result = table.select(choice.alias("keep"))["keep"]
        except pl.exceptions.PolarsError as error:
            raise PhenotypeError(
                f"{self.source}: keep_samples({choice}) cannot be evaluated: {error}. A column with a value that is no number is "
                "text"
            ) from None
        if result.dtype not in (pl.Boolean, pl.Null) or len(result) != table.height:
            raise PhenotypeError(
                f"keep_samples({choice}) gives {len(result)} values of {result.dtype}, not true or false for each sample"
            )
        return result.cast(pl.Boolean).fill_null(False).to_numpy(), result.is_null().to_numpy()

    def resolve(self, names: Sequence[str], role: str) -> tuple[str, ...]:
        """Expand ranges ("PC1:PC10") and check that every name is a column.

        Parameters
        ----------
        names : sequence of str
        role : str
            "trait" or "covariate", for the error about a name that is no column (shows names like it).
        """
        columns: list[str] = []
        for name in names:
            members = [name]
            if name not in self.table.columns and (range_ := RANGE.fullmatch(name)):
                members = range_members(range_)
            absent = [member for member in members if member not in self.table.columns]
            for member in absent:
                self.check_usable(member)
            if absent:
                raise PhenotypeError(absent_columns(self.source, self.columns, absent, name, role))
            if self.sample_id in members:
                raise PhenotypeError(f"{self.source}: '{name}' holds the sample ids; it cannot be a {role}")
            columns += members
        return tuple(columns)

    def formula(self, text: str) -> Formula:
        """A parsed formula of covariates; its names must be columns of the table.

        Raises
        ------
        PhenotypeError
            It is not in the grammar, or names what is no column.
        """
        parsed = parse_formula(text, self.table.columns)
        self.resolve([name for name in parsed.columns if name not in self.table.columns], "covariate")
        if self.sample_id in parsed.columns:
            raise PhenotypeError(f"{self.source}: '{self.sample_id}' holds the sample ids; it cannot be a covariate")
        return parsed

    def looks_numeric(self, column: str, rows: Int64Array) -> bool:
        """Whether a column is to be read as numbers: it is numeric, or `holds_numbers` says so of its text."""
        values = self.table[column]
        if values.dtype.is_numeric() or values.dtype in (pl.Boolean, pl.Null):
            return True
        if values.dtype != pl.String:
            return False
        return holds_numbers(values.gather(rows).drop_nulls())

    def numbers(self, column: str, rows: Int64Array) -> Float64Array:
        """Values of a column as numbers, NaN where missing.

        Parameters
        ----------
        column : str
        rows : int64 array (N,)
            Rows of the table.

        Returns
        -------
        float64 array (N,)

        Raises
        ------
        PhenotypeError
            A value is no number, is infinite, or is a -9 that looks like an undeclared missing value.
        """
        self.check_usable(column)
        values = self.table[column].gather(rows)
        if values.dtype == pl.String:
            bad = values.is_not_null() & ~values.str.contains(NUMBER)
            if bad.any():
                raise PhenotypeError(self._not_numbers(column, values, rows, np.flatnonzero(bad.to_numpy())))
        # The copy is ours: polars may hand out a view that is not to be written to.
        numbers = values.cast(pl.Float64).fill_null(float("nan")).to_numpy().copy()
        infinite = np.flatnonzero(np.isinf(numbers))
        if infinite.size:
            raise PhenotypeError(
                f"{self.source}: the column '{column}' has {infinite.size} infinite values, first in "
                f"{self.where(int(rows[infinite[0]]), column)}; no model can use them: correct them or write NA"
            )
        self.check_undeclared_missing(column, rows)
        return np.asarray(numbers, dtype=np.float64)

    def labels(self, column: str, rows: Int64Array) -> pl.Series:
        """Values of a column as text, null where missing."""
        self.check_usable(column)
        self.check_undeclared_missing(column, rows)
        return self.table[column].gather(rows).cast(pl.String)

    def check_usable(self, column: str) -> None:
        """Refuse a column that holds neither numbers nor text.

        Raises
        ------
        PhenotypeError
            Names the column, and what it holds.
        """
        if column in self.unusable:
            raise PhenotypeError(f"{self.source}: the column '{column}' {self.unusable[column]}")
        dtype = self.table.schema.get(column)
        if dtype is None or _is_simple(dtype):
            return
        way = "convert it first"
        if isinstance(dtype, pl.Duration):
            way = f"convert it first, pl.col('{column}').dt.total_days()"
        raise PhenotypeError(f"{self.source}: the column '{column}' holds {dtype}, neither numbers nor text; {way}")

    def check_undeclared_missing(self, column: str, rows: Int64Array) -> None:
        """Refuse an undeclared -9, -99, -999 or 999 that stands out from the column's other values.

        See `genassoc.data.phenotypes.undeclared.suspects`; an honest scale from -12 to 12 passes.

        Raises
        ------
        PhenotypeError
            The message shows how to declare it as missing or as a real value.
        """
        if self.missing_codes.covers(column) or column in self.declared:
            return
        found = suspects(self.table[column], rows)
        if found:
            code, places = next(iter(found.items()))
            codes, flags = declaration(column, list(found))
            also = "".join(f", {name} for {where.size}" for name, where in list(found.items())[1:])
            raise PhenotypeError(
                f"{self.source}: the column '{column}' has the value {code} for {places.size} samples{also}, first in "
                f"{self.where(int(rows[places[0]]), column)}, and it stands out of the other values. Many programs write "
                f"missing values in this way; as a number it would distort the analysis. Declare it: missing_codes={codes} "
                f'({flags}; for every column missing_codes=["{code}"], --missing-code {code}), or declare that it is a real value: '
                f"missing_codes=[] (--missing-code none)"
            )

    def _not_numbers(self, column: str, values: pl.Series, rows: Int64Array, bad: Int64Array) -> str:
        shown = ", ".join(f"'{values[int(i)]}' in {self.where(int(rows[i]), column)}" for i in bad[:3])
        more = f" and {bad.size - 3} more" if bad.size > 3 else ""
        tokens = [str(token) for token in values.gather(bad).unique(maintain_order=True)]
        way = remedy(column, tokens, beside_numbers=bad.size < len(values) - values.null_count())
        return (
            f"{self.source}: the column '{column}' is used as numbers, but {bad.size} of its values are not: "
            f"{shown}{more}; {way}. A covariate that is categorical can be given in a formula, C({column})"
        )


def _build(
    frame: pl.DataFrame,
    source: str,
    lines: Int64Array | None,
    sample_id: str | None,
    codes: MissingCodes,
    reading: Reading | None = None,
) -> Phenotypes:
    """Find and check the ids, turn missing tokens into null and columns of numbers into numbers."""
    name = sample_id_column(frame.columns, sample_id, source)
    ids = id_column(frame[name], source)
    typed = typed_columns(frame.drop(name), codes, reading)
    table = typed.frame.with_columns(ids).select(c for c in frame.columns if c == name or c in typed.frame.columns)
    phenotypes = Phenotypes(
        table=table, sample_id=name, source=source, missing_codes=codes, lines=lines, reading=reading or Reading(), emptied=typed.emptied, unusable=typed.unusable,
        notes=tuple(typed.notes),
    )  # fmt: skip
    _check_ids(phenotypes)
    return phenotypes


def _is_simple(dtype: pl.DataType) -> bool:
    """Whether a column holds numbers, truth values or text."""
    return dtype.is_numeric() or dtype in (pl.Boolean, pl.Null, pl.String)


def _check_ids(phenotypes: Phenotypes) -> None:
    """Refuse missing and repeated ids, showing where they stand."""
    ids = phenotypes.table[phenotypes.sample_id]
    empty = np.flatnonzero((ids.is_null() | (ids == "")).to_numpy())
    if empty.size:
        row = int(empty[0])
        place = f"row {row + 1}" if phenotypes.lines is None else f"line {phenotypes.lines[row]}"
        raise PhenotypeError(
            f"{phenotypes.source}: {empty.size} rows have no sample id in '{phenotypes.sample_id}', first {place}"
        )
    repeated = ids.filter(ids.is_duplicated()).unique(maintain_order=True)
    if len(repeated):
        shown = []
        for value in repeated[:3]:
            rows = np.flatnonzero((ids == value).to_numpy())[:4]
            unit = "rows" if phenotypes.lines is None else "lines"
            places = rows + 1 if phenotypes.lines is None else phenotypes.lines[rows]
            shown.append(f"'{value}' ({unit} {', '.join(str(place) for place in places)})")
        more = f" and {len(repeated) - 3} more" if len(repeated) > 3 else ""
        raise PhenotypeError(
            f"{phenotypes.source}: {len(repeated)} sample ids in '{phenotypes.sample_id}' occur more than once: "
            f"{', '.join(shown)}{more}. Which row is meant cannot be known: keep one row a sample"
        )
