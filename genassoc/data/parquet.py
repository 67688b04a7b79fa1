"""Parquet files as row groups that are encoded once, and copied byte by byte from file to file.

polars encodes the columns. What it does not do is done here: a checksum of each page, so that a reader finds damage, and footers, so
that the row groups of many files can be put into one. A footer says at which byte each column of each row group begins; a copied row
group keeps its bytes, and its offsets are shifted.

References
----------
https://github.com/apache/parquet-format/blob/master/src/main/thrift/parquet.thrift, whose field numbers stand below.
"""

import io
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import BinaryIO, Protocol

import polars as pl

from genassoc.data import thrift
from genassoc.data.strangers import MalformedError
from genassoc.data.thrift import BINARY, I32, I64, LIST, STRUCT, Listed, Struct, Value

MARK = b"PAR1"
COMPRESSION_LEVEL = 3  # of zstd
MOST_FOOTER = 2**22  # bytes of a footer that is parsed: one row group has some five thousand
_END = 8  # bytes after a footer: its length, and the mark
_PIECE = 2**20
_VERSION = 2
_CREATED_BY = b"genassoc"

# FileMetaData
_FILE_VERSION, _SCHEMA, _FILE_ROWS, _GROUPS, _METADATA, _BY, _ORDERS = 1, 2, 3, 4, 5, 6, 7
_KEY, _TEXT = 1, 2
# RowGroup
_COLUMNS, _GROUP_RAW, _GROUP_ROWS, _GROUP_AT, _GROUP_BYTES = 1, 2, 3, 5, 6
# ColumnChunk, and the ColumnMetaData in it
_COLUMN_AT, _COLUMN = 2, 3
_RAW, _BYTES, _DATA_AT, _DICTIONARY_AT = 6, 7, 9, 11
_KEPT_OF_COLUMN = (
    1,
    2,
    3,
    4,
    5,
    _RAW,
    _BYTES,
    _DATA_AT,
    _DICTIONARY_AT,
    12,
)  # without places in parts of a file that are not copied
# PageHeader
_PAGE_BYTES, _PAGE_CRC = 3, 4


class Writable(Protocol):
    """A file that takes bytes."""

    def write(self, data: bytes, /) -> int:
        """Append ``data``."""


@dataclass(frozen=True)
class Schema:
    """The columns of a file, as its footer has them; equal where the columns are."""

    columns: Listed
    orders: Value | None = None


@dataclass(frozen=True)
class RowGroup:
    """Rows, encoded.

    Attributes
    ----------
    schema : Schema
    entry : Struct
        Its entry of a footer; offsets are counted from its first byte.
    n_rows, n_bytes : int
    """

    schema: Schema
    entry: Struct
    n_rows: int
    n_bytes: int


@dataclass(frozen=True)
class Footer:
    """What stands at the end of a file.

    Attributes
    ----------
    schema : Schema
    groups : list of (RowGroup, int)
        With the byte where each begins.
    metadata : dict of bytes to bytes
    n_rows : int
    """

    schema: Schema
    groups: list[tuple[RowGroup, int]]
    metadata: dict[bytes, bytes]
    n_rows: int


# --- encoding -------------------------------------------------------------------------------------------------


def encoded(frame: pl.DataFrame) -> tuple[RowGroup, bytes]:
    """All rows of a frame as one row group: zstd, a checksum for each page, the least and largest value of each column."""
    file = io.BytesIO()
    # One contiguous array a column: the boundaries of the pieces must not show in the pages.
    frame.rechunk().write_parquet(
        file, compression="zstd", compression_level=COMPRESSION_LEVEL, statistics=True, row_group_size=max(1, frame.height)
    )  # fmt: skip
    data = file.getbuffer()
    footer, _ = thrift.read_struct(data, len(data) - _END - int.from_bytes(data[-_END:-4], "little"))
    schema = Schema(footer[_SCHEMA].value, footer.get(_ORDERS))
    entries = footer[_GROUPS].value.items if frame.height else []
    out = bytearray()
    columns = [_with_checksums(data, column, out) for entry in entries for column in entry[_COLUMNS].value.items]
    return RowGroup(schema, _entry(columns, frame.height, len(out)), frame.height, len(out)), bytes(out)


def _with_checksums(data: memoryview, column: Struct, out: bytearray) -> Struct:
    """Append a column to ``out``, with a CRC-32 in the header of each page; its entry of a footer."""
    given: Struct = column[_COLUMN].value
    first = given.get(_DICTIONARY_AT, given[_DATA_AT]).value
    stop = first + given[_BYTES].value
    moved: dict[int, int] = {}  # where pages began -> where they begin
    begin, at, grown = len(out), first, 0
    while at < stop:
        header, content = thrift.read_struct(data, at)
        page = data[content : content + header[_PAGE_BYTES].value]
        checksum = zlib.crc32(page)
        checked = thrift.written({**header, _PAGE_CRC: Value(I32, checksum - (checksum >> 31 << 32))})
        moved[at] = len(out)
        grown += len(checked) - (content - at)
        out += checked
        out += page
        at = content + len(page)
    kept = {number: given[number] for number in _KEPT_OF_COLUMN if number in given}
    for number in (_DATA_AT, _DICTIONARY_AT):
        if number in given:
            kept[number] = Value(I64, moved[given[number].value])
    kept[_RAW] = Value(I64, given[_RAW].value + grown)
    kept[_BYTES] = Value(I64, len(out) - begin)
    return {_COLUMN_AT: Value(I64, 0), _COLUMN: Value(STRUCT, kept)}


def _entry(columns: list[Struct], n_rows: int, n_bytes: int) -> Struct:
    raw = sum(column[_COLUMN].value[_RAW].value for column in columns)
    return {
        _COLUMNS: Value(LIST, Listed(STRUCT, columns)),
        _GROUP_RAW: Value(I64, raw),
        _GROUP_ROWS: Value(I64, n_rows),
        _GROUP_AT: Value(I64, 0),
        _GROUP_BYTES: Value(I64, n_bytes),
    }


def _shifted(entry: Struct, by: int) -> Struct:
    """The entry of a row group that begins ``by`` bytes later."""
    columns = []
    for column in entry[_COLUMNS].value.items:
        content = dict(column[_COLUMN].value)
        for number in (_DATA_AT, _DICTIONARY_AT):
            if number in content:
                content[number] = Value(I64, content[number].value + by)
        columns.append({**column, _COLUMN: Value(STRUCT, content)})
    moved = {_COLUMNS: Value(LIST, Listed(STRUCT, columns)), _GROUP_AT: Value(I64, entry[_GROUP_AT].value + by)}
    return {**entry, **moved}


# --- writing --------------------------------------------------------------------------------------------------


@dataclass
class ParquetFile:
    """A file being written: row groups, then the footer.

    Attributes
    ----------
    file : binary file
        At its start; stays open.
    """

    file: Writable
    _at: int = 0
    _n_rows: int = 0
    _schema: Schema | None = None
    _entries: list[thrift.Written] = field(default_factory=list)  # written out: a struct takes fifty times the memory

    def add(self, group: RowGroup, pieces: Iterable[bytes]) -> None:
        """Append a row group, whose bytes are ``pieces`` together; one without rows only says what the columns are.

        Raises
        ------
        MalformedError
            It has other columns than those before it.
        """
        if self._schema is None:
            self._begin()
            self._schema = group.schema
        elif group.schema != self._schema:
            raise MalformedError("its columns are not those of the rows before it")
        if not group.n_rows:
            return
        self._entries.append(thrift.written(_shifted(group.entry, self._at)))
        self._n_rows += group.n_rows
        for piece in pieces:
            self.file.write(piece)
        self._at += group.n_bytes

    def _begin(self) -> None:
        self.file.write(MARK)
        self._at = len(MARK)

    def close(self, metadata: Mapping[bytes, bytes] | None = None) -> None:
        """Write the footer.

        Parameters
        ----------
        metadata : mapping, optional
            Keys and values of the file's own.
        """
        assert self._schema is not None
        given = [{_KEY: Value(BINARY, key), _TEXT: Value(BINARY, text)} for key, text in (metadata or {}).items()]
        footer: Struct = {
            _FILE_VERSION: Value(I32, _VERSION),
            _SCHEMA: Value(LIST, self._schema.columns),
            _FILE_ROWS: Value(I64, self._n_rows),
            _BY: Value(BINARY, _CREATED_BY),
            _GROUPS: Value(LIST, Listed(STRUCT, list(self._entries))),
        }
        if given:
            footer[_METADATA] = Value(LIST, Listed(STRUCT, given))
        if self._schema.orders is not None:
            footer[_ORDERS] = self._schema.orders
        content = thrift.written(footer)
        self.file.write(content + len(content).to_bytes(4, "little") + MARK)


# --- reading --------------------------------------------------------------------------------------------------


def footer_bytes(end: bytes, size: int, most: int) -> int:
    """Length of a file's footer with its own length and mark, from the last eight bytes.

    Raises
    ------
    MalformedError
        It does not end like a Parquet file, or its footer is longer than ``most``.
    """
    length = int.from_bytes(end[:4], "little") + _END
    if len(end) != _END or end[4:] != MARK or not _END < length <= min(size - len(MARK), most):
        raise MalformedError("it does not end like a parquet file")
    return length


def read_footer(file: BinaryIO) -> Footer:
    """The footer of a file of `ParquetFile`'s, be it a stranger's: its row groups lie one after another, from the mark to the footer.

    Raises
    ------
    MalformedError
        It is none.
    OSError
        It cannot be read.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _END))
    length = footer_bytes(file.read(_END), size, MOST_FOOTER)
    file.seek(size - length)
    data = file.read(length - _END)
    content, _ = thrift.read_struct(data)
    try:
        schema = Schema(_items(content, _SCHEMA), content.get(_ORDERS))
        found = _items(content, _METADATA).items if _METADATA in content else []
        metadata = {_text(entry, _KEY): _text(entry, _TEXT) for entry in found}
        groups: list[tuple[RowGroup, int]] = []
        at = len(MARK)
        for entry in _items(content, _GROUPS).items:
            group = _group(schema, entry, at)
            groups.append((group, at))
            at += group.n_bytes
        n_rows = content[_FILE_ROWS].value
    except (KeyError, TypeError, AttributeError) as error:
        raise MalformedError("its footer lacks a field, or has one of another type") from error
    if at != size - length or n_rows != sum(group.n_rows for group, _ in groups):
        raise MalformedError("its row groups are not those that its footer counts")
    return Footer(schema, groups, metadata, n_rows)


def _items(content: Struct, number: int) -> Listed:
    value = content[number].value
    if not isinstance(value, Listed) or value.kind != STRUCT:
        raise TypeError(number)
    return value


def _group(schema: Schema, entry: Struct, at: int) -> RowGroup:
    """A row group as a footer has it, which must begin at byte ``at`` and hold its columns one after another."""
    n_rows, n_bytes = (_count(entry, number) for number in (_GROUP_ROWS, _GROUP_BYTES))
    begin = at
    for column in _items(entry, _COLUMNS).items:
        content = _struct(column, _COLUMN)
        places = [_count(content, number) for number in (_DICTIONARY_AT, _DATA_AT) if number in content]
        if places[:1] != [begin] or places[-1] >= begin + _count(content, _BYTES):
            raise MalformedError("a column is not where its footer says")
        begin += _count(content, _BYTES)
    if entry[_GROUP_AT].value != at or begin != at + n_bytes or not n_rows:
        raise MalformedError("a row group is not where its footer says")
    return RowGroup(schema, _shifted(entry, -at), n_rows, n_bytes)


def _text(content: Struct, number: int) -> bytes:
    value = content[number].value
    if type(value) is not bytes:  # of a number, bytes() would make as many zeros
        raise TypeError(number)
    return value


def _struct(content: Struct, number: int) -> Struct:
    value = content[number].value
    if not isinstance(value, dict):
        raise TypeError(number)
    return value


def _count(content: Struct, number: int) -> int:
    value = content[number].value
    if type(value) is not int or value < 0:
        raise TypeError(number)
    return value


def pieces_of(file: BinaryIO, group: RowGroup, at: int) -> Iterator[bytes]:
    """The bytes of a row group that begins at ``at``.

    Raises
    ------
    MalformedError
        The file ends before it does.
    """
    file.seek(at)
    left = group.n_bytes
    while left:
        piece = file.read(min(left, _PIECE))
        if not piece:
            raise MalformedError("it ends within a row group")
        left -= len(piece)
        yield piece
