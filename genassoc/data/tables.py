"""Reading a delimited text table as text: nothing is guessed about values, every problem names its line."""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
import polars as pl

from genassoc.errors import InputError
from genassoc.shapes import Int64Array

_ROWS_AT_A_TIME = 20_000  # rows held as Python strings before they become polars columns: bounds memory
_DELIMITER_NAMES = {"\t": "tabs", ",": "commas", ";": "semicolons", " ": "blanks"}
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


@dataclass(frozen=True)
class TextTable:
    """A delimited text file, every field as written with surrounding blanks stripped.

    Attributes
    ----------
    columns : polars DataFrame of strings
        One column for each name of the header line.
    lines : int64 array
        The line of the file each row came from, from 1.
    """

    columns: pl.DataFrame
    lines: Int64Array


def read_text_table(path: Path) -> TextTable:
    """Read a TSV, CSV or blank-delimited file (PLINK style), plain or gzipped, with a header line.

    The delimiter is the header line's: a tab if it has one, else a comma, a semicolon, or runs of blanks.
    Lines before the header that are blank or begin with ``##`` are skipped. Quotes, a byte order mark and
    Windows line ends are understood.

    Raises
    ------
    InputError
        The file cannot be read, is not text, has no header, has a column name twice, or a line has another
        number of fields than the header.
    """
    text = _decode(path, _read_bytes(path))
    lines = iter(io.StringIO(text, newline=None))
    header_line, first = 0, ""
    for first in lines:
        header_line += 1
        if first.strip() and not first.startswith("##"):
            break
    else:
        raise InputError(f"{path}: the file is empty; a header line and one line a sample are needed")
    delimiter = next((mark for mark in "\t,;" if mark in first), " ")
    rows = _rows(path, chain([first], lines), delimiter, header_line)
    _, names = next(rows)
    _check_header(path, names, header_line, delimiter)
    plain = _plain_columns(text, header_line, names, delimiter)
    return _columns(path, rows, names, header_line, delimiter) if plain is None else plain


def _read_bytes(path: Path) -> bytes:
    """The file's bytes, decompressed if they are gzip by their first bytes (the name does not matter)."""
    try:
        raw = path.read_bytes()
        if raw[:2] == b"\x1f\x8b":
            raw = gzip.decompress(raw)
    except FileNotFoundError:
        raise InputError(f"{path}: there is no such file") from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: the gzip data is damaged or cut short ({error}); copy the file again") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror or error})") from None
    return raw


def _decode(path: Path, raw: bytes) -> str:
    """UTF-8 text of the file, without its byte order mark."""
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError(f"{path}: the file is UTF-16 (Excel's 'Unicode text'); save it as UTF-8")
    if raw[:4] == b"PK\x03\x04":
        raise InputError(f"{path}: this is an Excel workbook or a zip archive; export it as TSV or CSV")
    if b"\0" in raw:
        raise InputError(f"{path}: this is not a text file (it holds NUL bytes)")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError(f"{path}, line {line}: not UTF-8 text; save the file as UTF-8") from None


def _rows(path: Path, lines: Iterator[str], delimiter: str, first_line: int) -> Iterator[tuple[int, list[str]]]:
    """Line number and stripped fields of each line that is not blank."""
    if delimiter == " ":
        # Runs of blanks and tabs are one delimiter; quoted fields (R writes them) may hold single blanks.
        lines = (" ".join(line.split()) for line in lines)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    try:
        for row in reader:
            fields = [field.strip() for field in row]
            if any(fields):
                yield first_line + reader.line_num - 1, fields
    except csv.Error as error:
        raise InputError(
            f"{path}, line {first_line + reader.line_num - 1}: {error} (is a quotation mark not closed?)"
        ) from None


def _check_header(path: Path, names: list[str], line: int, delimiter: str) -> None:
    """Give a nameless first column (pandas' index) a name; refuse other nameless and repeated columns."""
    if not names[0] and len(names) > 1:
        names[0] = "column1"
    if all(_NUMBER.fullmatch(name) for name in names):
        raise InputError(
            f"{path}, line {line}: the first line holds numbers only ({', '.join(names[:4])}, ... read as "
            "separated "
            f"by {_DELIMITER_NAMES[delimiter]}); a header line with the columns' names is needed"
        )
    for number, name in enumerate(names, start=1):
        if not name:
            raise InputError(f"{path}, line {line}: column {number} of the header has no name")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(
            f"{path}, line {line}: the header has the column {_quoted(repeated)} more than once, so it is "
            "unclear "
            "which is meant; rename or remove one"
        )


def _plain_columns(text: str, header_line: int, names: list[str], delimiter: str) -> TextTable | None:
    """The table at polars' speed if it is plain, else None: `_columns` reads anything.

    Plain is: no quotes, a delimiter that is one character, and as many of it in each line as in the header,
    so that nothing can be cut or filled in.
    """
    if '"' in text or delimiter == " " or len(names) == 1 or text.count("\r") != text.count("\r\n"):
        return None
    start = 0
    for _ in range(header_line):
        start = text.find("\n", start) + 1 or len(text)
    body = text[start:].rstrip("\r\n").encode()
    if not body:
        return None
    characters = np.frombuffer(body, dtype=np.uint8)
    line_ends = np.append(np.flatnonzero(characters == ord("\n")), characters.size)
    until = np.searchsorted(np.flatnonzero(characters == ord(delimiter)), line_ends)
    if np.any(np.diff(until, prepend=0) != len(names) - 1):
        return None
    frame = pl.read_csv(
        body,
        has_header=False,
        new_columns=names,
        separator=delimiter,
        quote_char=None,
        infer_schema=False,
    ).with_columns(pl.all().str.strip_chars().fill_null(""))
    lines = header_line + 1 + np.arange(line_ends.size, dtype=np.int64)
    filled = frame.select(pl.any_horizontal(pl.all() != "")).to_series()
    return TextTable(frame.filter(filled), lines[filled.to_numpy()]) if filled.any() else None


def _columns(
    path: Path, rows: Iterator[tuple[int, list[str]]], names: list[str], header_line: int, delimiter: str
) -> TextTable:
    """Collect rows into text columns, refusing a row of another length than the header."""
    frames: list[pl.DataFrame] = []
    line_numbers: list[int] = []
    while chunk := list(islice(rows, _ROWS_AT_A_TIME)):
        for line, fields in chunk:
            if len(fields) != len(names):
                raise InputError(_ragged(path, line, fields, names, header_line, delimiter))
        line_numbers += [line for line, _ in chunk]
        columns = zip(*(fields for _, fields in chunk))
        frames.append(pl.DataFrame([pl.Series(name, column, dtype=pl.String) for name, column in zip(names, columns)]))
    if not frames:
        raise InputError(f"{path}: there is a header (line {header_line}) but no line of data below it")
    return TextTable(pl.concat(frames), np.array(line_numbers, dtype=np.int64))


def _ragged(path: Path, line: int, fields: list[str], names: list[str], header_line: int, delimiter: str) -> str:
    """What to say of a line whose number of fields is not the header's."""
    message = (
        f"{path}, line {line}: {len(fields)} fields, but the header (line {header_line}) names {len(names)} "
        "columns "
        f"(separated by {_DELIMITER_NAMES[delimiter]})"
    )
    if len(fields) == len(names) + 1 and line == header_line + 1:
        return f"{message}; if R's write.table made it, write it with row.names=FALSE or col.names=NA"
    if delimiter == " ":
        return f"{message}; write missing values as NA, or separate the columns by tabs"
    return message


def _quoted(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
