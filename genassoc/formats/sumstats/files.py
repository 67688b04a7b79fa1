"""Text tables of results, plain or compressed, read and written in chunks: memory does not grow with the rows."""

import hashlib
import io
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import polars as pl

from genassoc.data import text_cells
from genassoc.data.integrity import Digesting, FileDigest
from genassoc.data.output import replacing, target_of
from genassoc.errors import InputError
from genassoc.formats.open_text import GZIP, ZSTD, open_text
from genassoc.formats.sumstats.columns import MISSING_WORDS

_GZIP_LEVEL = 1  # a fifth of the time of level 6, for a tenth more bytes (measured on 30 MB of rows)
_CHUNK_BYTES = 8 * 2**20  # of text parsed at a time: about 100,000 rows
_PIECE_BYTES = 2**20
_LEAST_BOMB = 2**28  # text up to this size is read however small its compressed file is
_MOST_GROWTH = 300  # times that text may be longer than its compressed file; tables of results are 3 to 30 times
_MOST_LINE = 2**26  # bytes; the longest alleles have a few million letters


@dataclass(frozen=True)
class Header:
    """The header line of a text table.

    Attributes
    ----------
    names : tuple of str
        Column names; a leading # is not part of the first one.
    separator : str
        A tab where the line has one, else a comma, else a blank.
    line : int
        Its line number, from 1.
    """

    names: tuple[str, ...]
    separator: str
    line: int


def read_header(path: Path) -> Header | None:
    """The first line that is not blank and does not begin with ``##``; None where the file is no text or has none."""
    with open_text(path) as file:
        start = file.read(2**20)
    for line, text in enumerate(start.split(b"\n"), 1):
        if not text.strip() or text.startswith(b"##"):
            continue
        try:
            words = text.decode().rstrip("\r\n").removeprefix("\ufeff").removeprefix("#")
        except UnicodeDecodeError:
            return None
        separator = next((mark for mark in "\t," if mark in words), " ")
        return Header(tuple(words.split(separator)), separator, line)
    return None


def repeated_names(path: Path) -> list[str]:
    """Names that the header of a text table has more than once."""
    header = read_header(path)
    names = () if header is None else header.names
    return sorted({name for name in names if names.count(name) > 1})


def check_text(path: Path) -> None:
    """Decompress a compressed file once, in pieces, before something reads it as a whole.

    Raises
    ------
    InputError
        It is damaged or cut short; or grows beyond what tables do, or has a line beyond what they have.
    """
    try:
        with path.open("rb") as raw:
            if not raw.read(4).startswith((GZIP, ZSTD)):
                return
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}.") from error
    most = max(_LEAST_BOMB, _MOST_GROWTH * path.stat().st_size)
    n_bytes = line = 0
    with open_text(path) as file:
        while chunk := file.read(_PIECE_BYTES):
            n_bytes += len(chunk)
            first, last = chunk.find(b"\n"), chunk.rfind(b"\n")
            longest = line + (len(chunk) if first < 0 else first)
            line = longest if first < 0 else len(chunk) - 1 - last
            if n_bytes > most or longest > _MOST_LINE:
                raise InputError(
                    f"{path} is not a table of results: its {path.stat().st_size:,} bytes expand to more than {n_bytes:,}, with a "
                    f"longest line of {longest:,}; it may be made to exhaust the memory, and is not read."
                )


def scan_text(path: Path, header: Header) -> pl.LazyFrame:
    """The rows as a lazy frame of text; missing values are null."""
    return pl.scan_csv(path, glob=False, has_header=False, skip_lines=header.line, **_parsing(header))


def text_chunks(
    path: Path, header: Header, missing: Sequence[str] = MISSING_WORDS, quotes: bool = False
) -> Iterator[tuple[int, pl.DataFrame]]:
    """The rows as frames of text, each with the line number of its first row. Memory: one chunk.

    Parameters
    ----------
    path, header
    missing : sequence of str
        What becomes null.
    quotes : bool
        Whether fields may stand in double quotes.

    Raises
    ------
    InputError
        If a line has another number of fields than the header (names it), or the file cannot be read.
    """
    line = 1
    with open_text(path) as file:
        rest = b""
        skip = header.line
        while True:
            block = file.read(_CHUNK_BYTES)
            text = rest + block
            if len(rest) > _MOST_LINE:
                raise InputError(f"{path}, line {line}: longer than {_MOST_LINE:,} bytes; this is no table of results.")
            cut = text.rfind(b"\n") + 1 if block else len(text)
            text, rest = text[:cut], text[cut:]
            while skip and text:
                end = text.find(b"\n") + 1 or len(text)
                text, skip, line = text[end:], skip - 1, line + 1
            if text.strip():
                n_lines = text.count(b"\n") + (not text.endswith(b"\n"))
                yield line, _parse(path, header, text.replace(b"\r\n", b"\n"), line, missing, quotes)
                line += n_lines
            if not block:
                return


def _parsing(header: Header, missing: Sequence[str] = MISSING_WORDS, quotes: bool = False) -> dict[str, Any]:
    return {
        "separator": header.separator,
        "schema": dict.fromkeys(header.names, pl.String),
        "null_values": list(missing),
        "quote_char": '"' if quotes else None,
    }


def _parse(path: Path, header: Header, text: bytes, line: int, missing: Sequence[str], quotes: bool) -> pl.DataFrame:
    """A frame of whole lines, after seeing that each has as many fields as the header."""
    n_fields = len(header.names)
    mark = header.separator.encode()
    text = text.rstrip(b"\n") + b"\n"
    n_lines = text.count(b"\n")
    quoted = quotes and b'"' in text
    # Polars fills short lines with nulls: a file cut in the middle of a line must not pass for a whole one.
    if not quoted and text.count(mark) != n_lines * (n_fields - 1):
        for offset, row in enumerate(text.rstrip(b"\n").split(b"\n")):
            if row.count(mark) != n_fields - 1:
                raise InputError(
                    f"{path}, line {line + offset}: {row.count(mark) + 1} fields, where the header has {n_fields}; "
                    "the file is damaged or cut short: copy it again."
                )
    try:
        return pl.read_csv(io.BytesIO(text), has_header=False, **_parsing(header, missing, quoted))
    except pl.exceptions.PolarsError as error:
        raise InputError(f"{path}, lines {line} to {line + n_lines - 1} cannot be read: {error}") from error


def check_numbers(path: Path, frame: pl.DataFrame, line: int, names: Sequence[str]) -> None:
    """Check that columns of text hold numbers.

    Raises
    ------
    InputError
        If not: names file, line, column and what is there.
    """
    for name in names:
        bad = frame[name].is_not_null() & frame[name].cast(pl.Float64, strict=False).is_null()
        if bad.any():
            row = bad.arg_true()[0]
            raise InputError(f"{path}, line {line + row}: {name} is '{frame[name][row]}', which is no number.")


class TextOutput:
    """Writes frames as text; floats in the shortest form that reads back the same.

    Parameters
    ----------
    file : binary file
        Stays open.
    compressed : bool
        Whether to write gzip, without a time or name in it.
    separator, missing : str
        Between fields; for null.

    Attributes
    ----------
    md5 : hash
        Of the bytes written so far.
    """

    def __init__(self, file: BinaryIO, compressed: bool, separator: str, missing: str) -> None:
        self._file, self._separator, self._missing = Digesting(file), separator, missing
        # 31: a gzip header, which zlib writes with time 0 and no name.
        self._gzip = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, 31) if compressed else None
        self.md5 = hashlib.md5(usedforsecurity=False)

    @property
    def digest(self) -> FileDigest:
        """Size and SHA-256 of the bytes written so far."""
        return self._file.digest

    def _put(self, data: bytes) -> None:
        self.md5.update(data)
        self._file.write(data)

    def _add(self, text: bytes) -> None:
        self._put(self._gzip.compress(text) if self._gzip else text)

    def header(self, names: Sequence[str]) -> None:
        """Write the header line."""
        self._add(text_cells.header(list(names), self._separator))

    def rows(self, frame: pl.DataFrame) -> None:
        """Append rows."""
        self._add(text_cells.written(frame, self._separator, self._missing, quote_style="never"))

    def close(self) -> None:
        """Write the rest."""
        if self._gzip:
            self._put(self._gzip.flush())


@contextmanager
def text_output(
    path: Path, separator: str, missing: str, sealed: Callable[[], None] | None = None
) -> Iterator[TextOutput]:
    """A writer whose file appears as ``path`` when the block ends without an error; gzip where it ends in .gz.

    ``sealed`` is called when all is on the disk, before it appears. A link stays one.

    Raises
    ------
    OutputError
        If the file cannot be written.
    """
    with replacing(target_of(path), sealed=sealed) as file:
        output = TextOutput(file, path.name.lower().endswith(".gz"), separator, missing)
        yield output
        output.close()
