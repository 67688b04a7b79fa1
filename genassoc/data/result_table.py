"""The results table on disk: one canonical parquet or TSV, the same bytes however the rows arrive."""

import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from genassoc.data import text_cells
from genassoc.data.integrity import Digesting, FileDigest
from genassoc.data.output import replacing, target_of
from genassoc.data.schema import RESULT_COLUMNS
from genassoc.errors import InputError, OutputError

if TYPE_CHECKING:
    import pyarrow as pa

ROW_GROUP = 131_072  # rows of a parquet row group and of a chunk of TSV: fixed, whatever the parts' sizes
MISSING = "NA"
SUFFIXES = (".parquet", ".tsv", ".tsv.gz", ".txt.gz")
GZIP_LEVEL = 6

# Text that differs in every variant: a dictionary of it is work for nothing, as it is of numbers.
_UNREPEATED = ("variant_id", "rsid")

_POLARS_TYPES: dict[str, Any] = {"String": pl.String, "Int64": pl.Int64, "Float64": pl.Float64}

RESULT_SCHEMA: dict[str, Any] = {column.name: _POLARS_TYPES[column.dtype] for column in RESULT_COLUMNS}


def table_suffix(path: Path) -> str:
    """Which of `SUFFIXES` ``path`` ends in.

    Raises
    ------
    OutputError
        If in none of them.
    """
    for suffix in SUFFIXES:
        if path.name.lower().endswith(suffix) and len(path.name) > len(suffix):
            return suffix
    raise OutputError(
        f"cannot tell from the name '{path.name}' in which format to write the results: "
        f"let it end in one of {', '.join(SUFFIXES)}."
    )


def plain_schema(schema: "pa.Schema") -> "pa.Schema":
    """The same columns with the plain arrow types that every reader knows, and no metadata."""
    import pyarrow as pa

    def plain(dtype: "pa.DataType") -> "pa.DataType":
        is_text = pa.types.is_large_string(dtype) or pa.types.is_string_view(dtype)
        return pa.string() if is_text else dtype

    return pa.schema([pa.field(field.name, plain(field.type)) for field in schema])


def to_arrow(frame: pl.DataFrame) -> "pa.Table":
    """A polars frame as an arrow table of plain types."""
    table = frame.to_arrow()
    return table.cast(plain_schema(table.schema))


def repeated_columns(schema: "pa.Schema") -> Any:
    """Columns of text with few different values, for which parquet should keep a dictionary.

    Trying one for every column of numbers, as is pyarrow's habit, took twice the time and a tenth more space.
    """
    import pyarrow as pa

    return [field.name for field in schema if pa.types.is_string(field.type) and field.name not in _UNREPEATED]


class TableWriter(Protocol):
    """Takes chunks of exactly `ROW_GROUP` rows, the last one excepted."""

    def write(self, chunk: "pa.Table") -> None:
        """Append the rows of ``chunk``."""

    def close(self) -> None:
        """Write what is left to write; the file stays open."""

    def abandon(self) -> None:
        """Write nothing more: the file is given up."""


class _ParquetTable:
    """Zstd parquet with a checksum for each page, without timestamps or other metadata."""

    def __init__(self, file: Digesting, schema: "pa.Schema") -> None:
        import pyarrow.parquet as pq

        self._file = file
        self._writer = pq.ParquetWriter(
            self._file, schema, compression="zstd", compression_level=3, version="2.6", write_page_checksum=True,
            use_dictionary=repeated_columns(schema),
        )  # fmt: skip

    def write(self, chunk: "pa.Table") -> None:
        # One contiguous array a column: the boundaries of the pieces must not show in the pages.
        self._writer.write_table(chunk.combine_chunks(), row_group_size=ROW_GROUP)

    def close(self) -> None:
        self._writer.close()

    def abandon(self) -> None:
        self._file.abandon()
        with suppress(Exception):  # the error that led here is the one to report
            self._writer.close()


class _TextTable:
    """Tab-separated text; floats in the shortest form that reads back the same; missing as NA."""

    def __init__(self, file: Digesting, schema: "pa.Schema", compressed: bool, for_spreadsheets: bool) -> None:
        self._file = file
        self._for_spreadsheets = for_spreadsheets
        # 31: a gzip header, which zlib writes with time 0 and no name.
        self._gzip = zlib.compressobj(GZIP_LEVEL, zlib.DEFLATED, 31) if compressed else None
        self._put(text_cells.header(schema.names, "\t"))

    def _put(self, text: bytes) -> None:
        self._file.write(self._gzip.compress(text) if self._gzip else text)

    def write(self, chunk: "pa.Table") -> None:
        frame = pl.from_arrow(chunk)
        assert isinstance(frame, pl.DataFrame)
        if self._for_spreadsheets and "trait" in frame.columns:
            computed = [name for name in frame["trait"].unique() if str(name).startswith(text_cells.COMPUTED)]
            if computed:  # rows, samples and audit are found by this name: no apostrophe may be put before it
                raise OutputError(
                    f"a spreadsheet would evaluate the name of the trait '{computed[0]}': rename its column."
                )
        self._put(text_cells.written(frame, "\t", MISSING, for_spreadsheets=self._for_spreadsheets))

    def close(self) -> None:
        if self._gzip:
            self._file.write(self._gzip.flush())

    def abandon(self) -> None:
        self._gzip = None


Seal = Callable[[FileDigest], None]  # called with the digest of a whole table before the file appears under its name


@contextmanager
def open_table(
    path: Path, schema: "pa.Schema", afterwards: str = "", *, seal: Seal | None = None, for_spreadsheets: bool = False
) -> Iterator[TableWriter]:
    """A writer in the format of ``path``'s suffix; ``path`` appears when the block ends without an error.

    Parameters
    ----------
    path : Path
        A link stays one: the file is written where it points to.
    schema : pyarrow.Schema
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
        writer: TableWriter
        if suffix == ".parquet":
            writer = _ParquetTable(file, schema)
        else:
            writer = _TextTable(file, schema, suffix.endswith(".gz"), for_spreadsheets)
        try:
            yield writer
            writer.close()
        except BaseException:
            writer.abandon()
            raise


def rechunk(tables: Iterable["pa.Table"], rows: int = ROW_GROUP) -> Iterator["pa.Table"]:
    """The same rows in chunks of ``rows``, whatever the sizes they come in; the last may be shorter."""
    import pyarrow as pa

    waiting: list[pa.Table] = []
    n_waiting = 0
    for table in tables:
        offset = 0
        while offset < table.num_rows:
            piece = table.slice(offset, rows - n_waiting)
            waiting.append(piece)
            n_waiting += piece.num_rows
            offset += piece.num_rows
            if n_waiting == rows:
                yield pa.concat_tables(waiting)
                waiting, n_waiting = [], 0
    if waiting:
        yield pa.concat_tables(waiting)


def write_table(
    path: Path,
    schema: "pa.Schema",
    tables: Iterable["pa.Table"],
    afterwards: str = "",
    *,
    seal: Seal | None = None,
    for_spreadsheets: bool = False,
) -> int:
    """Stream ``tables`` (all of ``schema``) into ``path``; returns the number of rows. Memory: one chunk.

    The other parameters are those of `open_table`.

    Raises
    ------
    OutputError
        See `open_table`.
    """
    n_rows = 0
    with open_table(path, schema, afterwards, seal=seal, for_spreadsheets=for_spreadsheets) as writer:
        for chunk in rechunk(tables):
            writer.write(chunk)
            n_rows += chunk.num_rows
    return n_rows


def scan_table(path: Path) -> pl.LazyFrame:
    """A results file as a lazy polars frame with the types of the results schema."""
    if table_suffix(path) == ".parquet":
        return pl.scan_parquet(path, glob=False)  # a name may hold brackets: results[1].parquet
    return pl.scan_csv(
        path,
        glob=False,
        separator="\t",
        null_values=MISSING,
        schema_overrides=RESULT_SCHEMA,
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
        wanted = RESULT_SCHEMA.get(name)
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


def iterate_table(path: Path) -> "tuple[pa.Schema, Iterator[pa.Table]]":
    """Schema and rows of a results file, in pieces where the format allows it (parquet)."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if table_suffix(path) == ".parquet":
        file = pq.ParquetFile(path, page_checksum_verification=True)
        schema = plain_schema(file.schema_arrow)
        batches = file.iter_batches(batch_size=ROW_GROUP)
        return schema, (pa.Table.from_batches([batch]).cast(schema) for batch in batches)
    table = to_arrow(scan_table(path).collect())
    return table.schema, iter([table])
