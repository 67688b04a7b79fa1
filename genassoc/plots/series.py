"""What a plot is drawn from: one trait and test of a results table, and how many rows had no p-value."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from genassoc.errors import GenassocError


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
    table : DataFrame
        The columns asked for, of rows with a finite ``neg_log_10_p_value``, in the results' order.
    trait, test : str or None
        None where the results have no such column.
    left_out : int
        Rows without a p-value.
    reasons : tuple of (str, int)
        Their codes and how many rows had each, most frequent first; empty where there is no ``code`` column.
    """

    table: pl.DataFrame
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


def read_series(results: ResultsLike, columns: Sequence[str], *, trait: str | None, test: str | None) -> Series:
    """Choose one trait and test, and read the columns asked for.

    Raises
    ------
    GenassocError
        A needed column is absent, there are several traits or tests and none is named, the one named is not
        there, or no row has a p-value.
    """
    table = results.lazy() if isinstance(results, pl.DataFrame | pl.LazyFrame) else results.scan()
    present = table.collect_schema().names()
    absent = [name for name in columns if name not in present]
    if absent:
        raise GenassocError(f"The results lack {', '.join(absent)}; this plot needs {', '.join(columns)}.")
    trait = _choose(table, present, "trait", trait)
    test = _choose(table.filter(pl.col("trait") == trait) if trait is not None else table, present, "test", test)
    chosen = [pl.col(name) == value for name, value in (("trait", trait), ("test", test)) if value is not None]
    with_code = [*columns, "code"] if "code" in present and "code" not in columns else list(columns)
    rows = table.filter(*chosen).select(with_code).collect()
    finite = pl.col("neg_log_10_p_value").is_finite().fill_null(False)
    drawn, left_out = rows.filter(finite), rows.filter(~finite)
    if not drawn.height:
        of = f" of trait {trait!r}" if trait is not None else ""
        if not rows.height:
            raise GenassocError(f"Nothing to draw: the results have no rows{of}; see the ledger for what was dropped.")
        raise GenassocError(
            f"Nothing to draw: none of the {rows.height:,} rows{of} has a p-value; the results' code column says why."
        )
    return Series(drawn.select(columns), trait, test, left_out.height, _count_codes(left_out))


def _choose(table: pl.LazyFrame, present: list[str], column: str, wanted: str | None) -> str | None:
    """The value wanted of a column, or its only one; None where there is nothing to choose."""
    if column not in present:
        if wanted is None:
            return None
        raise GenassocError(f"{column}={wanted!r} was asked for, but the results have no column {column!r}.")
    values = table.select(pl.col(column).drop_nulls().unique(maintain_order=True)).collect()[column].to_list()
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


def _count_codes(rows: pl.DataFrame) -> tuple[tuple[str, int], ...]:
    if "code" not in rows.columns or not rows.height:
        return ()
    counts = rows.group_by(pl.col("code").fill_null("no code")).len().sort("len", "code", descending=[True, False])
    return tuple((str(code), int(count)) for code, count in counts.iter_rows())
