"""What a plot is drawn from: one trait and test of a results table, read lazily, and what is left out of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import polars as pl

from genassoc.errors import GenassocError

P_VALUE = "neg_log_10_p_value"


class HasScan(Protocol):
    """Results, or anything else that gives a lazy table."""

    def scan(self) -> pl.LazyFrame:
        """The table, one row a variant, trait and test."""
        ...


ResultsLike = HasScan | pl.DataFrame | pl.LazyFrame

_MOST_NAMES_SHOWN = 8


@dataclass(frozen=True)
class Series:
    """Rows of one trait and test.

    Attributes
    ----------
    rows : LazyFrame
        The columns asked for, of rows with a finite ``neg_log_10_p_value``; nothing of it is in memory.
    n_rows : int
        How many they are; at least one.
    trait, test : str or None
        None where the results have no such column.
    left_out : int
        Rows without a p-value.
    reasons : tuple of (str, int)
        Their codes and how many rows had each, most frequent first; empty where there is no ``code`` column.
    """

    rows: pl.LazyFrame
    n_rows: int
    trait: str | None
    test: str | None
    left_out: int
    reasons: tuple[tuple[str, int], ...]

    @property
    def name(self) -> str:
        """Trait, and test where it is not the plain additive one."""
        parts = [self.trait, None if self.test == "add" else self.test]
        return ", ".join(part for part in parts if part)

    @property
    def caption(self) -> str:
        """How many rows are not drawn and why; empty when all are."""
        if not self.left_out:
            return ""
        why = ", ".join(f"{code}: {count:,}" for code, count in self.reasons)
        return f"{self.left_out:,} without a p-value not drawn" + (f" ({why})" if why else "")


def gather(rows: pl.LazyFrame) -> pl.DataFrame:
    """Collect piece by piece: of a parquet on disk, only row groups under way and the outcome are in memory."""
    return rows.collect(engine="streaming")


def read_series(
    results: ResultsLike,
    columns: Sequence[str],
    *,
    trait: str | None,
    test: str | None,
    optional: Sequence[str] = (),
) -> Series:
    """Choose one trait and test and what of it to draw; ``optional`` columns are null where absent.

    Raises
    ------
    GenassocError
        A needed column is absent, there are several traits or tests and none is named, the one named is not
        there, or no row has a p-value.
    """
    table = scan_of(results)
    present = table.collect_schema().names()
    absent = [name for name in columns if name not in present]
    if absent:
        raise GenassocError(f"The results lack {', '.join(absent)}; this plot needs {', '.join(columns)}.")
    trait = _choose(table, present, "trait", trait)
    test = _choose(table.filter(pl.col("trait") == trait) if trait is not None else table, present, "test", test)
    chosen = [pl.col(name) == value for name, value in (("trait", trait), ("test", test)) if value is not None]
    given = [name for name in optional if name in present]
    empty = [pl.lit(None, pl.String).alias(name) for name in optional if name not in present]
    code = ["code"] if "code" in present else []
    rows = table.filter(*chosen).select(*dict.fromkeys([*columns, *given, *code]), *empty)
    if _is_text(results):
        rows = gather(rows).lazy()  # text would be parsed again at every look
    return _count(rows, [*columns, *optional], trait, test)


def scan_of(results: ResultsLike) -> pl.LazyFrame:
    """The results as a lazy table."""
    return results.lazy() if isinstance(results, pl.DataFrame | pl.LazyFrame) else results.scan()


def traits_of(results: ResultsLike) -> list[str]:
    """Names of the traits, in order of appearance; none where there is no such column."""
    table = scan_of(results)
    return _values(table, "trait") if "trait" in table.collect_schema().names() else []


def _is_text(results: ResultsLike) -> bool:
    path = getattr(results, "path", None)
    return isinstance(path, str | Path) and Path(path).suffix != ".parquet"


def _count(rows: pl.LazyFrame, columns: Sequence[str], trait: str | None, test: str | None) -> Series:
    """Count the rows to draw and those without a p-value, by code."""
    finite = pl.col(P_VALUE).is_finite().fill_null(False)
    has_code = "code" in rows.collect_schema().names()
    code = pl.col("code").fill_null("no code") if has_code else pl.lit("no code")
    counts = gather(rows.group_by(finite.alias("drawn"), code.alias("why")).len("n"))
    n_rows, left_out = (int(counts.filter(pl.col("drawn") == drawn)["n"].sum()) for drawn in (True, False))
    if not n_rows:
        of = f" of trait {trait!r}" if trait is not None else ""
        if not left_out:
            raise GenassocError(f"Nothing to draw: the results have no rows{of}; see the ledger for what was dropped.")
        raise GenassocError(
            f"Nothing to draw: none of the {left_out:,} rows{of} has a p-value; the results' code column says why."
        )
    without = counts.filter(~pl.col("drawn")).sort("n", "why", descending=[True, False]).select("why", "n")
    reasons = tuple((str(why), int(n)) for why, n in without.iter_rows()) if has_code else ()
    return Series(rows.filter(finite).select(columns), n_rows, trait, test, left_out, reasons)


def _values(table: pl.LazyFrame, column: str) -> list[str]:
    return table.select(pl.col(column).drop_nulls().unique(maintain_order=True)).collect()[column].to_list()


def _choose(table: pl.LazyFrame, present: list[str], column: str, wanted: str | None) -> str | None:
    """The value wanted of a column, or its only one; None where there is nothing to choose."""
    if column not in present:
        if wanted is None:
            return None
        raise GenassocError(f"{column}={wanted!r} was asked for, but the results have no column {column!r}.")
    values = _values(table, column)
    if wanted is None and len(values) <= 1:
        return values[0] if values else None
    if wanted in values:
        return wanted
    shown = ", ".join(repr(value) for value in values[:_MOST_NAMES_SHOWN])
    shown += f" and {len(values) - _MOST_NAMES_SHOWN} more" if len(values) > _MOST_NAMES_SHOWN else ""
    if wanted is None:
        raise GenassocError(
            f"The results have {len(values)} {column}s and a plot shows one; pass {column}= one of {shown}."
        )
    raise GenassocError(f"The results have no {column} {wanted!r}; they have {shown or 'none'}.")
