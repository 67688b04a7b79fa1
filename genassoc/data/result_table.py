"""The results table on disk: one canonical parquet or TSV, the same bytes however the rows arrive."""

import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import polars as pl

from genassoc.data import text_cells
from genassoc.data.integrity import Digesting, FileDigest
from genassoc.data.output import replacing, target_of
from genassoc.data.parquet import ParquetFile, RowGroup, encoded
from genassoc.data.schema import RESULT_COLUMNS, SET_COLUMNS
from genassoc.errors import InputError, OutputError

ROW_GROUP = 131_072  # rows of a parquet row group, at most: those of a task of a run
MISSING = "NA"
SUFFIXES = (".parquet", ".tsv", ".tsv.gz", ".txt.gz")
GZIP_LEVEL = 6

_POLARS_TYPES: dict[str, Any] = {"String": pl.String, "Int64": pl.Int64, "Float64": pl.Float64}

RESULT_SCHEMA: dict[str, Any] = {column.name: _POLARS_TYPES[column.dtype] for column in RESULT_COLUMNS}
SET_SCHEMA: dict[str, Any] = {column.name: _POLARS_TYPES[column.dtype] for column in SET_COLUMNS}
TYPES = RESULT_SCHEMA | SET_SCHEMA  # of the columns of either table: one name, one type


def table_suffix(path: Path) -> str:
    """Which of `SUFFIXES` ``path`` ends in.

    Raises
    ------
    OutputError
        If in none of them, or the name is no text.
    """
    if any("\ud800" <= letter <= "\udfff" for letter in path.name):  # how Python spells bytes that are no UTF-8
        raise OutputError(f"the name {path.name!r} of the results is no UTF-8 text: name another file.")
    for suffix in SUFFIXES:
        if path.name.lower().endswith(suffix) and len(path.name) > len(suffix):
            return suffix
    raise OutputError(
        f"cannot tell from the name '{path.name}' in which format to write the results: "
        f"let it end in one of {', '.join(SUFFIXES)}."
    )


class TableWriter(Protocol):
    """Takes rows, as many at a time as the table keeps together; once at least, since they say what the columns are."""

    def write(self, rows: pl.DataFrame) -> None:
        """Append rows: a row group of parquet."""

    def close(self) -> None:
        """Write what is left to write; the file stays open."""


class ParquetTable:
    """Zstd parquet with a checksum for each page, without timestamps or other metadata."""

    def __init__(self, file: Digesting) -> None:
        self._file = ParquetFile(file)

    def write(self, rows: pl.DataFrame) -> None:
        """See `TableWriter.write`."""
        group, content = encoded(rows)
        self._file.add(group, [content])

    def add(self, group: RowGroup, pieces: Iterable[bytes]) -> None:
        """Append rows that are encoded already."""
        self._file.add(group, pieces)

    def close(self) -> None:
        """See `TableWriter.close`."""
        self._file.close()


class TextTable:
    """Tab-separated text; floats in the shortest form that reads back the same; missing as NA."""

    def __init__(self, file: Digesting, compressed: bool, for_spreadsheets: bool) -> None:
        self._file = file
        self._for_spreadsheets = for_spreadsheets
        self._has_header = False
        # 31: a gzip header, which zlib writes with time 0 and no name.
        self._gzip = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 31) if compressed else None

    def _put(self, text: bytes) -> None:
        self._file.write(self._gzip.compress(text) if self._gzip else text)

    def write(self, rows: pl.DataFrame) -> None:
        """See `TableWriter.write`."""
        if self._for_spreadsheets and "trait" in rows.columns:
            computed = [name for name in rows["trait"].unique() if str(name).startswith(text_cells.COMPUTED)]
            if computed:  # rows, samples and audit are found by this name: no apostrophe may be put before it
                raise OutputError(
                    f"a spreadsheet would evaluate the name of the trait '{computed[0]}': rename its column."
                )
        if not self._has_header:
            self._put(text_cells.header(rows.columns, "\t"))
            self._has_header = True
        self._put(text_cells.written(rows, "\t", MISSING, for_spreadsheets=self._for_spreadsheets))

    def close(self) -> None:
        """See `TableWriter.close`."""
        if self._gzip:
            self._file.write(self._gzip.flush())


Seal = Callable[[FileDigest], None]  # called with the digest of a whole table before the file appears under its name


@contextmanager
def open_table(
    path: Path, afterwards: str = "", *, seal: Seal | None = None, for_spreadsheets: bool = False
) -> Iterator[ParquetTable | TextTable]:
    """A writer in the format of ``path``'s suffix; ``path`` appears when the block ends without an error.

    Parameters
    ----------
    path : Path
        A link stays one: the file is written where it points to.
    afterwards : str
        See `replacing`.
    seal : callable, optional
        Called with the digest when all rows are on the disk; what it writes (the record) is there before the table is.
    for_spreadsheets : bool
        Text only: no cell that a spreadsheet computes (`genassoc.data.text_cells`).

    Raises
    ------
    OutputError
        If the suffix names no format, or the file cannot be written (see `replacing`).
    """
    suffix = table_suffix(path)
    if for_spreadsheets and suffix == ".parquet":
        raise OutputError(f"{path}: spreadsheets read text; use a name that ends in {' or '.join(SUFFIXES[1:])}.")
    digests: list[Digesting] = []

    def sealed() -> None:
        if seal is not None:
            seal(digests[0].digest)

    with replacing(target_of(path), afterwards, sealed=sealed) as raw:
        file = Digesting(raw)
        digests.append(file)
        is_text = suffix != ".parquet"
        writer = TextTable(file, suffix.endswith(".gz"), for_spreadsheets) if is_text else ParquetTable(file)
        yield writer
        writer.close()


def in_groups(frames: Iterable[pl.DataFrame], rows: int = ROW_GROUP) -> Iterator[pl.DataFrame]:
    """The same rows in frames of ``rows``, whatever the sizes they come in; the last may be shorter, and one comes always."""
    waiting: list[pl.DataFrame] = []
    empty: pl.DataFrame | None = None
    n_waiting, given = 0, False
    for frame in frames:
        if empty is None:
            empty = frame.clear()
        elif frame.schema != empty.schema:  # of text, whose columns may be empty for long
            frame = frame.cast(dict(empty.schema))  # type: ignore[arg-type]
        offset = 0
        while offset < frame.height:
            piece = frame.slice(offset, rows - n_waiting)
            waiting.append(piece)
            n_waiting += piece.height
            offset += piece.height
            if n_waiting == rows:
                yield pl.concat(waiting)
                waiting, n_waiting, given = [], 0, True
    if waiting:
        yield pl.concat(waiting)
    elif not given and empty is not None:
        yield empty


def write_table(
    path: Path,
    frames: Iterable[pl.DataFrame],
    afterwards: str = "",
    *,
    seal: Seal | None = None,
    for_spreadsheets: bool = False,
) -> int:
    """Stream ``frames`` (at least one, all with the same columns) into ``path``; returns the number of rows. Memory: one row group.

    The other parameters are those of `open_table`.

    Raises
    ------
    OutputError
        See `open_table`.
    """
    n_rows = 0
    with open_table(path, afterwards, seal=seal, for_spreadsheets=for_spreadsheets) as writer:
        for rows in in_groups(frames):
            writer.write(rows)
            n_rows += rows.height
    return n_rows


def scan_table(path: Path) -> pl.LazyFrame:
    """A results file, of variants or of sets, as a lazy polars frame with the types of their schemas."""
    if table_suffix(path) == ".parquet":
        return pl.scan_parquet(path, glob=False)  # a name may hold brackets: results[1].parquet
    return pl.scan_csv(
        path,
        glob=False,
        separator="\t",
        null_values=MISSING,
        schema_overrides=TYPES,
        infer_schema_length=ROW_GROUP,
    )


def check_table_types(path: Path, schema: pl.Schema) -> None:
    """Check that columns named in the results schema have its types.

    Raises
    ------
    InputError
        Names the column, its type and the one that it must have.
    """
    for name, kind in schema.items():
        wanted = TYPES.get(name)
        fits = (
            kind == pl.Null
            or wanted is None
            or (wanted == pl.String and kind in (pl.String, pl.Categorical))
            or (wanted == pl.Int64 and kind.is_integer())
            or (wanted == pl.Float64 and kind.is_numeric())
        )
        if not fits:
            raise InputError(
                f"{path} is no table of genassoc's results: its column {name} holds {kind} instead of {wanted}."
            )


def iterate_table(path: Path, columns: Sequence[str] | None = None) -> Iterator[pl.DataFrame]:
    """The rows of a parquet file of results, all columns or some, a frame of bounded size at a time."""
    rows = scan_table(path) if columns is None else scan_table(path).select(columns)
    n_rows = int(rows.select(pl.len()).collect().item())
    for start in range(0, max(1, n_rows), ROW_GROUP):
        yield rows.slice(start, ROW_GROUP).collect()


def check_pages(path: Path) -> None:
    """Read a parquet file once and hold its pages against their checksums, where it has any.

    Raises
    ------
    Exception
        Of arrow's, where it is damaged: they have no common ground.
    """
    import pyarrow.parquet as pq

    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        for _ in file.iter_batches(batch_size=ROW_GROUP):
            pass
