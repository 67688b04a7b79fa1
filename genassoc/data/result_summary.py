"""What is said of results at the end of a run, from two passes over their rows, a piece at a time: memory does not grow with them."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import polars as pl

P_VALUE = "neg_log_10_p_value"
Pieces = Callable[
    [Sequence[str]], Iterator[pl.DataFrame]
]  # rows from the start, some columns of them, a frame at a time

_BINS = 1024  # of -log10 p from 0 to 1, and one beyond: a median lies near 0.3, in a bin with a thousandth of the rows
_KEYS = ("trait", "test")
_CODED = ("trait", "test", "code", "chromosome")
_SHOWN = ("variant_id", "rsid", "effect_allele", "beta", "standard_error")


def has_p() -> pl.Expr:
    """Whether a row has a p."""
    return pl.col(P_VALUE).is_not_null() & pl.col(P_VALUE).is_not_nan()


@dataclass(frozen=True)
class Summary:
    """Results in short.

    Attributes
    ----------
    medians : DataFrame
        Of each trait and test, in order of first appearance: trait, test, n_variants with a p, and the two middle -log10 p, lower and
        higher (null without a p).
    codes : DataFrame
        Rows that have a code: trait, test, code, chromosome, n_rows.
    best : DataFrame
        The row with the smallest p of each trait and test, the first of equal ones: what names it and its estimate.
    """

    medians: pl.DataFrame
    codes: pl.DataFrame
    best: pl.DataFrame


def summary_of(pieces: Pieces) -> Summary:
    """Two passes over the rows."""
    counted, coded = _Sums([*_KEYS, "bin"]), _Sums(_CODED)
    best: pl.DataFrame | None = None
    wanted = [*dict.fromkeys((*_CODED, P_VALUE, *_SHOWN))]
    for piece in pieces(wanted):
        counted.add(_binned(piece))
        coded.add(piece.filter(pl.col("code").is_not_null()))
        rows = piece if best is None else pl.concat([best, piece.select(best.columns)], how="vertical_relaxed")
        best = _best(rows)
    assert best is not None
    return Summary(_medians(counted.total(), pieces), coded.total(), best.filter(has_p()))


def medians_of(pieces: Pieces) -> pl.DataFrame:
    """`Summary.medians` alone."""
    counted = _Sums([*_KEYS, "bin"])
    for piece in pieces((*_KEYS, P_VALUE)):
        counted.add(_binned(piece))
    return _medians(counted.total(), pieces)


class _Sums:
    """Rows counted by their keys, piece by piece."""

    def __init__(self, keys: Sequence[str]) -> None:
        self._keys = list(keys)
        self._total: pl.DataFrame | None = None

    def add(self, rows: pl.DataFrame) -> None:
        """Count the rows."""
        found = rows.group_by(self._keys, maintain_order=True).agg(pl.len().cast(pl.Int64).alias("n_rows"))
        self._total = found if self._total is None else self._joined(pl.concat([self._total, found]))

    def _joined(self, counts: pl.DataFrame) -> pl.DataFrame:
        return counts.group_by(self._keys, maintain_order=True).agg(pl.col("n_rows").sum())

    def total(self) -> pl.DataFrame:
        """The keys in order of first appearance, and the rows of each."""
        assert self._total is not None
        return self._total


def _binned(piece: pl.DataFrame) -> pl.DataFrame:
    """The rows' trait, test and bin of p; null without a p."""
    p = pl.when(has_p()).then((pl.col(P_VALUE) * _BINS).floor().clip(0, _BINS)).cast(pl.Int32)
    return piece.select(*_KEYS, p.alias("bin"))


def _best(rows: pl.DataFrame) -> pl.DataFrame:
    p = pl.when(has_p()).then(pl.col(P_VALUE))
    first = (
        rows.with_row_index("_row")
        .group_by(_KEYS, maintain_order=True)
        .agg(pl.col("_row").get(p.arg_max().fill_null(0)))
    )
    return rows[first["_row"].to_list()]


def _medians(counted: pl.DataFrame, pieces: Pieces) -> pl.DataFrame:
    """The two middle p of each trait and test, from how many rows lie in each bin and the rows of the bins that hold them."""
    groups = counted.group_by(_KEYS, maintain_order=True).agg(
        pl.col("n_rows").filter(pl.col("bin").is_not_null()).sum().alias("n_variants")
    )
    ranks = groups.with_columns(lower=(pl.col("n_variants") - 1) // 2, higher=pl.col("n_variants") // 2)
    bins = (
        counted.filter(pl.col("bin").is_not_null())
        .sort("bin")
        .with_columns(stop=pl.col("n_rows").cum_sum().over(_KEYS))
        .join(ranks, on=list(_KEYS))
        .with_columns(start=pl.col("stop") - pl.col("n_rows"))
    )
    held = pl.any_horizontal(
        (pl.col("start") <= pl.col(end)) & (pl.col(end) < pl.col("stop")) for end in ("lower", "higher")
    )
    middle = bins.filter(held)
    before = middle.group_by(_KEYS).agg(pl.col("start").min())
    found = [
        piece.hstack(_binned(piece).select("bin")).join(middle, on=[*_KEYS, "bin"], how="semi").drop("bin")
        for piece in pieces((*_KEYS, P_VALUE))
    ]
    values = pl.concat(found, how="vertical_relaxed").group_by(_KEYS).agg(pl.col(P_VALUE).cast(pl.Float64).sort())
    placed = ranks.join(before, on=list(_KEYS), how="left").join(values, on=list(_KEYS), how="left")
    ends = [
        pl.col(P_VALUE).list.get(pl.col(end) - pl.col("start"), null_on_oob=True).alias(end)
        for end in ("lower", "higher")
    ]
    return placed.select(*_KEYS, "n_variants", *ends)
