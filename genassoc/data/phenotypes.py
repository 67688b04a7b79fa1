"""Phenotypes: a table of traits and covariates, read as text first, so that nothing is guessed or lost."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from genassoc.data.columns import (
    NUMBER,
    RANGE,
    absent_columns,
    from_pandas,
    id_column,
    listed,
    range_members,
    read_columns,
    sample_id_column,
    typed_columns,
)
from genassoc.data.formula import Formula
from genassoc.data.formula_parser import parse_formula
from genassoc.data.undeclared import suspects
from genassoc.errors import PhenotypeError
from genassoc.shapes import Array, Float64Array, Int64Array

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False)
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
    missing_codes : tuple of str or None
        The values declared to mean "missing"; None when nothing was declared, which keeps the check for an
        undeclared -9 on.
    declared : frozenset of str
        Columns that were joined with missing codes of their own declared: the check is not for them.
    files : tuple of Path
        The files it was read from.
    lines : int64 array or None
        The line of the file of each row, from 1; None for tables from memory.
    """

    table: pl.DataFrame
    sample_id: str
    source: str
    missing_codes: tuple[str, ...] | None = None
    lines: Int64Array | None = None
    declared: frozenset[str] = frozenset()
    files: tuple[Path, ...] = ()

    @classmethod
    def read(
        cls,
        source: "str | Path | pl.DataFrame | pd.DataFrame | Phenotypes",
        *,
        sample_id: str | None = None,
        missing_codes: Sequence[str] | None = None,
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
            Values that mean "missing" beside empty, NA, NaN and nan. A list, even an empty one, says that
            -9 is dealt with; without it a -9 that looks like a missing value is an error when its column is
            used.

        Raises
        ------
        InputError
            The file is not a table (names the line).
        PhenotypeError
            No id column, ids missing, repeated or stored as decimals.
        """
        codes = None if missing_codes is None else tuple(str(code).strip() for code in missing_codes)
        if isinstance(source, Phenotypes):
            if sample_id is None and missing_codes is None:
                return source
            codes = source.missing_codes if missing_codes is None else codes
            again = _build(source.table, source.source, source.lines, sample_id or source.sample_id, codes)
            return replace(again, files=source.files, declared=source.declared)
        if isinstance(source, str | Path):
            path = Path(source)
            frame, lines = read_columns(path)
            return replace(_build(frame, str(path), lines, sample_id, codes), files=(path,))
        frame = source if isinstance(source, pl.DataFrame) else from_pandas(source)
        return _build(frame, "the table given", None, sample_id, codes)

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
        digest = hashlib.sha256(repr((self.sample_id, self.missing_codes, self.table.schema)).encode())
        simple = [name for name, dtype in self.table.schema.items() if not dtype.is_nested()]
        digest.update(self.table.select(simple).write_csv(null_value="\0").encode())
        return digest.hexdigest()[:16]

    def where(self, row: int) -> str:
        """Where a row stands, for messages: "line 14 (sample HG00097)"."""
        place = f"row {row + 1}" if self.lines is None else f"line {self.lines[row]}"
        return f"{place} (sample {self.table[self.sample_id][row]})"

    def with_columns(self, other: "Phenotypes") -> "Phenotypes":
        """Join the columns of other phenotypes by sample id; samples that they lack get null.

        Raises
        ------
        PhenotypeError
            A column exists on both sides.
        """
        clash = sorted(set(other.columns) & set(self.columns))
        if clash:
            raise PhenotypeError(
                f"{other.source}: the column {listed(clash)} is already among the phenotypes of "
                f"{self.source}, "
                "and it is unclear which is meant; rename or leave out one of them"
            )
        added = other.table.rename({other.sample_id: self.sample_id})
        table = self.table.join(added, on=self.sample_id, how="left", maintain_order="left")
        own = frozenset() if other.missing_codes is None else frozenset(other.columns)
        return replace(
            self,
            table=table,
            source=f"{self.source} + {other.source}",
            declared=self.declared | other.declared | own,
            files=self.files + other.files,
        )

    def resolve(self, names: Sequence[str], role: str) -> tuple[str, ...]:
        """Expand ranges ("PC1:PC10") and check that every name is a column.

        Parameters
        ----------
        names : sequence of str
        role : str
            "trait" or "covariate", for the error about a name that is no column (shows names like it).
        """
        found: list[str] = []
        for name in names:
            members = [name]
            if name not in self.table.columns and (range_ := RANGE.fullmatch(name)):
                members = range_members(range_)
            absent = [member for member in members if member not in self.table.columns]
            if absent:
                raise PhenotypeError(absent_columns(self.source, self.columns, absent, name, role))
            if self.sample_id in members:
                raise PhenotypeError(f"{self.source}: '{name}' holds the sample ids; it cannot be a {role}")
            found += members
        return tuple(found)

    def formula(self, text: str) -> Formula:
        """A formula of covariates, understood; whether its names are columns of the table is seen here too.

        Raises
        ------
        PhenotypeError
            It is not in the grammar, or names what is no column.
        """
        found = parse_formula(text, self.table.columns)
        self.resolve([name for name in found.columns if name not in self.table.columns], "covariate")
        if self.sample_id in found.columns:
            raise PhenotypeError(f"{self.source}: '{self.sample_id}' holds the sample ids; it cannot be a covariate")
        return found

    def looks_numeric(self, column: str, rows: Int64Array) -> bool:
        """Whether a column is to be read as numbers: it is numeric, or more than half of its values are."""
        values = self.table[column]
        if values.dtype.is_numeric() or values.dtype in (pl.Boolean, pl.Null):
            return True
        if values.dtype != pl.String:
            return False
        values = values.gather(rows).drop_nulls()
        return 2 * int(values.str.contains(NUMBER).sum()) > len(values)

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
        values = self.table[column].gather(rows)
        if values.dtype == pl.String:
            bad = values.is_not_null() & ~values.str.contains(NUMBER)
            if bad.any():
                raise PhenotypeError(self._not_numbers(column, values, rows, np.flatnonzero(bad.to_numpy())))
        elif not (values.dtype.is_numeric() or values.dtype in (pl.Boolean, pl.Null)):
            raise PhenotypeError(
                f"{self.source}: the column '{column}' holds {values.dtype}, not numbers; convert it first"
            )
        # The copy is ours: polars may hand out a view that is not to be written to.
        numbers = values.cast(pl.Float64).fill_null(float("nan")).to_numpy().copy()
        infinite = np.flatnonzero(np.isinf(numbers))
        if infinite.size:
            raise PhenotypeError(
                f"{self.source}: the column '{column}' has {infinite.size} infinite values, first in "
                f"{self.where(int(rows[infinite[0]]))}; no model can use them: correct them or write NA"
            )
        self.check_undeclared_missing(column, rows)
        return np.asarray(numbers, dtype=np.float64)

    def labels(self, column: str, rows: Int64Array) -> pl.Series:
        """Values of a column as text, null where missing."""
        self.check_undeclared_missing(column, rows)
        return self.table[column].gather(rows).cast(pl.String)

    def check_undeclared_missing(self, column: str, rows: Int64Array) -> None:
        """Refuse a -9, -99, -999 or 999 that nobody declared and that stands out of the column's other values.

        See `genassoc.data.undeclared.suspects`; an honest scale from -12 to 12 passes.

        Raises
        ------
        PhenotypeError
            Says how to declare it, or how to say that it is a real value.
        """
        if self.missing_codes is not None or column in self.declared:
            return
        found = suspects(self.table[column], rows)
        if found:
            code, places = next(iter(found.items()))
            every = ", ".join(f'"{name}"' for name in found)
            flags = " ".join(f"--missing-code {name}" for name in found)
            also = "".join(f", {name} for {where.size}" for name, where in list(found.items())[1:])
            raise PhenotypeError(
                f"{self.source}: the column '{column}' has the value {code} for {places.size} samples{also}, first in "
                f"{self.where(int(rows[places[0]]))}, and it stands out of the other values. Many programs write "
                f"missing values so; as a number it would ruin the analysis. Declare it: missing_codes=[{every}] "
                f"({flags}), or say that it is a real value: missing_codes=[] (--missing-code none)"
            )

    def _not_numbers(self, column: str, values: pl.Series, rows: Int64Array, bad: Int64Array) -> str:
        shown = ", ".join(f"'{values[int(i)]}' in {self.where(int(rows[i]))}" for i in bad[:3])
        more = f" and {bad.size - 3} more" if bad.size > 3 else ""
        tokens = values.gather(bad).unique(maintain_order=True)
        remedy = "correct them"
        if len(tokens) <= 3:
            codes = ", ".join(f'"{token}"' for token in tokens)
            remedy += f", or if this means missing, declare it: missing_codes=[{codes}] (--missing-code)"
        return (
            f"{self.source}: the column '{column}' is used as numbers, but {bad.size} of its values are not: "
            f"{shown}{more}; {remedy}. A covariate that is categorical can be given in a formula, C({column})"
        )


def _build(
    frame: pl.DataFrame,
    source: str,
    lines: Int64Array | None,
    sample_id: str | None,
    codes: tuple[str, ...] | None,
) -> Phenotypes:
    """Find and check the ids, turn missing tokens into null and columns of numbers into numbers."""
    name = sample_id_column(frame.columns, sample_id, source)
    ids = id_column(frame[name], source)
    typed = typed_columns(frame.drop(name), codes or ()).with_columns(ids).select(frame.columns)
    phenotypes = Phenotypes(typed, name, source, codes, lines)
    _check_ids(phenotypes)
    return phenotypes


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
            f"{phenotypes.source}: {len(repeated)} sample ids in '{phenotypes.sample_id}' occur more than "
            "once: "
            f"{', '.join(shown)}{more}. Which row is meant cannot be known: keep one row a sample"
        )
