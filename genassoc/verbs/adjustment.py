"""Adjusting the p of results for the number of tests: Bonferroni, false discovery rates."""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from genassoc.data.forks import check_not_forked
from genassoc.errors import OutputError
from genassoc.results import P_VALUE, Results
from genassoc.shapes import Float64Array, Int64Array
from genassoc.stats.multiplicity import METHODS, Method, adjusted_neg_log_10_p

KEYS = ("trait", "test")


def adjust(
    results: Results,
    method: Method = "bonferroni",
    *,
    across: Sequence[str] = KEYS,
    out: str | Path | None = None,
    overwrite: bool = False,
) -> Results:
    """Add p adjusted for the number of tests.

    Parameters
    ----------
    results : Results
    method : {"bonferroni", "fdr_bh", "fdr_by"}
        See `genassoc.stats.multiplicity.adjusted_neg_log_10_p`. False discovery rates assume of "fdr_bh" that tests are
        independent or positively dependent.
    across : sequence of "trait", "test"
        What one family of tests goes across beside variants: by default all traits and tests are one family; with
        ``("test",)`` each trait is a family of its own; with ``()`` each trait and test.
    out : path, optional
        Where to write the table (.parquet, .tsv, .tsv.gz). Without it results in memory stay there, and results in
        files go to a temporary file that lives as long as what is returned.
    overwrite : bool
        Replace other results that are at ``out``.

    Returns
    -------
    Results
        The rows in their order, with ``neg_log_10_p_<method>``; rows without p have none and are no test. Results in
        files stream: held in memory are p and the families.

    Raises
    ------
    ValueError
        There is no such method, or ``across`` names something else.
    OutputError
        ``out`` is the file that is read, or cannot be written; the results have this column already.
    """
    check_not_forked()
    if method not in METHODS:
        raise ValueError(f"method is one of {', '.join(map(repr, METHODS))}, not {method!r}")
    across = (across,) if isinstance(across, str) else tuple(across)
    if odd := [name for name in across if name not in KEYS]:
        raise ValueError(f"across names what a family goes across, of 'trait' and 'test', not {odd[0]!r}")
    name = f"neg_log_10_p_{method}"
    if name in results.scan().collect_schema().names():
        raise OutputError(f"these results have a column {name} already; adjust the results it was made of")
    if out is not None and results.path is not None and os.path.realpath(out) == os.path.realpath(results.path):
        raise OutputError(f"{out} is what is read; write the adjusted results to another file")
    values, families = _adjusted(results, method, [key for key in KEYS if key not in across])
    record = {**results.provenance, "adjusted": [*results.provenance.get("adjusted", []), {
        "method": method, "across": list(across), "tests_by_family": families,
    }]}  # fmt: skip
    return with_columns(results, {name: values}, record, out, overwrite)


def with_columns(
    results: Results,
    columns: Mapping[str, Float64Array],
    record: Mapping[str, Any],
    out: str | Path | None,
    overwrite: bool = False,
) -> Results:
    """The results with more columns of float64 (NaN: none) and another record, in memory, ``out`` or a temporary file."""
    if out is None and results.path is None:
        return Results(results.table.with_columns(_series(columns, 0, None)), record)
    folder = None
    if out is None:
        folder = tempfile.TemporaryDirectory(prefix="genassoc-")
        out = Path(folder.name) / "results.parquet"
    made = Results(Path(out), record)
    made.write_rows(Path(out), _pieces_with(results, columns), overwrite=overwrite)
    made.folder = folder
    return made


def _adjusted(results: Results, method: Method, keys: list[str]) -> tuple[Float64Array, dict[str, int]]:
    """Adjusted -log10 p of every row, and how many tests each family has."""
    names = [pl.col(key).cast(pl.Categorical) for key in keys]
    table = results.scan().select(*names, pl.col(P_VALUE).cast(pl.Float64).fill_null(float("nan"))).collect()
    p = table[P_VALUE].to_numpy()
    values, families = np.full(p.size, np.nan), {}
    for label, rows in _families(table, keys).items():
        values[rows] = adjusted_neg_log_10_p(p[rows], method)
        families[label] = int((~np.isnan(p[rows])).sum())
    return values, families


def _families(table: pl.DataFrame, keys: list[str]) -> dict[str, Int64Array]:
    """Rows of each family by its name."""
    if not keys:
        return {"all": np.arange(table.height)}
    groups = table.with_row_index("_row").group_by(keys, maintain_order=True).agg("_row")
    return {
        ", ".join(str(value) for value in names): rows.to_numpy().astype(np.int64)
        for names, rows in zip(groups.select(keys).iter_rows(), groups["_row"])
    }


def _series(columns: Mapping[str, Float64Array], start: int, stop: int | None) -> list[pl.Series]:
    return [pl.Series(name, values[start:stop], dtype=pl.Float64).fill_nan(None) for name, values in columns.items()]


def _pieces_with(results: Results, columns: Mapping[str, Float64Array]) -> Iterator[pl.DataFrame]:
    at = 0
    for piece in results._pieces():
        yield piece.with_columns(_series(columns, at, at + piece.height))
        at += piece.height
