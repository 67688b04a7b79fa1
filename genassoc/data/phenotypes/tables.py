"""Reading a delimited text table as text: nothing is guessed about values, every problem names its line."""

import csv
import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from pathlib import Path

import numpy as np
import polars as pl

from genassoc.data.phenotypes.reading import ENCODINGS, Reading
from genassoc.errors import InputError
from genassoc.shapes import Int64Array

_ROWS_AT_A_TIME = 20_000  # rows held as Python strings before they become polars columns: bounds memory
_NAMELESS = "\0column "  # no header can hold it
_DELIMITER_NAMES = {"\t": "tabs", ",": "commas", ";": "semicolons", " ": "blanks"}
_SEPARATOR_LINE = re.compile(r'"?sep=(?P<mark>[\t,;])"?[\r\n]*', re.IGNORECASE)  # what Excel reads before a CSV
_LINE = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_PIECE = 2**19  # characters of a plain table that polars reads at a time: bounds memory
_NUMBER = re.compile(r"[+-]?([0-9]+[.,]?[0-9]*|[.,][0-9]+)([eE][+-]?[0-9]+)?")


@dataclass(frozen=True)
class TextTable:
    """A delimited text file, every field as written with surrounding blanks stripped.

    Attributes
    ----------
    columns : polars DataFrame of strings
        One column for each name of the header line.
    lines : int64 array or None
        The line of the file each row came from, from 1; None where a file has none.
    notes : tuple of str
        What was left out, as columns at the end that are empty.
    """

    columns: pl.DataFrame
    lines: Int64Array | None
    notes: tuple[str, ...] = ()


def read_text_table(path: Path, reading: Reading | None = None) -> TextTable:
    """Read a TSV, CSV or blank-delimited file (PLINK style), plain or gzipped, with a header line.

    The delimiter is the header line's: a tab if it has one outside of quotes, else whichever of comma and semicolon is
    commoner there, else runs of blanks; or what a line ``sep=;`` before the header says. Lines before the header that are blank or begin with ``##`` are skipped. Quotes, a byte order mark and
    Windows line ends are understood. Columns at the end without a name and without a value are left out.

    Raises
    ------
    InputError
        The file cannot be read, is not text, has no header, has a column name twice, or a line has another
        number of fields than the header.
    """
    text, notes = _decode(path, _read_bytes(path), reading or Reading())
    lines = _lines(text)
    header_line, first, declared = 0, "", None
    for first in lines:
        header_line += 1
        if declared is None and (match := _SEPARATOR_LINE.fullmatch(first)):
            declared = match["mark"]
            continue
        if first.strip() and not first.startswith("##"):
            break
    else:
        raise InputError(f"{path}: the file is empty; a header line and one line a sample are needed")
    delimiter = declared or _delimiter(first)
    rows = _rows(path, chain([first], lines), delimiter, header_line)
    _, names = next(rows)
    names, n_nameless = _with_names(names)
    _check_header(path, names, header_line, delimiter)
    plain = _plain_columns(text, header_line, names, delimiter)
    table = _columns(path, rows, names, n_nameless, header_line, delimiter) if plain is None else plain
    return _without_nameless(path, replace(table, notes=(*notes, *table.notes)), n_nameless, header_line)


def _lines(text: str) -> Iterator[str]:
    """Lines with a line feed at their end, whatever ends them: as `io.StringIO` would, which takes four bytes a character."""
    for match in _LINE.finditer(text):
        line = match[0]
        yield line.rstrip("\r\n") + "\n" if line[-1] in "\r\n" else line


def _delimiter(header: str) -> str:
    """The delimiter of a header line; a name such as "CRP (mg/l, fasting)" may hold another mark."""
    bare = re.sub(r'"[^"]*"', "", header)
    if "\t" in bare:
        return "\t"
    commas, semicolons = bare.count(","), bare.count(";")
    if not commas and not semicolons:
        return " "
    return ";" if semicolons >= commas else ","


def checked_header(
    path: Path, names: list[str], line: int
) -> tuple[list[str], Callable[[TextTable, tuple[str, ...]], TextTable]]:
    """The names in a sheet's header, and a function that drops the nameless columns at the end of its table and adds notes."""
    named, n_nameless = _with_names(names)
    _check_header(path, named, line, "\t")

    def finish(table: TextTable, notes: tuple[str, ...]) -> TextTable:
        return _without_nameless(path, replace(table, notes=notes), n_nameless, line)

    return named, finish


def _with_names(names: list[str]) -> tuple[list[str], int]:
    """The header with names for the nameless columns at its end, and how many these are."""
    kept = len(names)
    while kept > 1 and not names[kept - 1]:
        kept -= 1
    return [*names[:kept], *(f"{_NAMELESS}{number}" for number in range(kept + 1, len(names) + 1))], len(names) - kept


def _without_nameless(path: Path, table: TextTable, n_nameless: int, header_line: int) -> TextTable:
    """The table without the nameless columns at its end, which must be empty."""
    if not n_nameless:
        return table
    names = table.columns.columns[-n_nameless:]
    for name in names:
        filled = (table.columns[name] != "").arg_max()
        if filled is not None and table.columns[name][filled] != "":
            assert table.lines is not None
            raise InputError(
                f"{path}, line {header_line}: column {name.removeprefix(_NAMELESS)} of the header has no name, and line "
                f"{table.lines[filled]} has '{table.columns[name][filled]}' in it"
            )
    empty = (
        f"{n_nameless} empty column{'s' if n_nameless > 1 else ''} without a name, at the end of each line, left out"
    )
    return TextTable(table.columns.drop(names), table.lines, (*table.notes, empty))


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
    except ValueError as error:  # a NUL byte in the name
        raise InputError(f"{str(path)!r}: cannot be read ({error})") from None
    return raw


def _decode(path: Path, raw: bytes, reading: Reading) -> tuple[str, tuple[str, ...]]:
    """Text of the file without its byte order mark, and notes on its encoding.

    An encoding that was declared may be another file's of the same run: bytes that can only be UTF-8 are read as such.
    """
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff") and reading.codec != "utf-16":
        raise InputError(
            f"{path}: the file is UTF-16 (Excel's 'Unicode text'); save it as UTF-8, or say encoding=\"utf-16\" (--encoding utf-16)"
        )
    if raw[:4] == b"PK\x03\x04":
        raise InputError(
            f"{path}: this is an Excel workbook or a zip archive; a workbook is read where its name ends in .xlsx, else export "
            "it as TSV or CSV"
        )
    if b"\0" in raw and reading.codec != "utf-16":
        raise InputError(f"{path}: this is not a text file (it holds NUL bytes)")
    if reading.codec != "utf-8-sig" and _is_utf8(raw, reading.codec):
        note = f"{path.name} was read as UTF-8, which its bytes are, and not as {reading.encoding}"
        return raw.decode("utf-8-sig"), () if raw.isascii() else (note,)
    try:
        return raw.decode(reading.codec).removeprefix("\ufeff"), ()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        if reading.encoding is not None:
            raise InputError(f"{path}, line {line}: not {reading.encoding} text ({error.reason})") from None
        raise InputError(
            f"{path}, line {line}: not UTF-8 text; save the file as UTF-8{_offer(raw, error.start)}"
        ) from None


def _is_utf8(raw: bytes, codec: str) -> bool:
    """Whether a file declared as ``codec`` is UTF-8 nevertheless: it has the byte order mark, or all its bytes are valid."""
    if raw.startswith(b"\xef\xbb\xbf"):
        return True
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff") or b"\0" in raw or (raw.isascii() and codec != "utf-16"):
        return False
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True  # accents of one-byte encodings are hardly ever followed by what UTF-8 asks for, and never all of them


def _offer(raw: bytes, at: int) -> str:
    """The probable encoding of a file that is not UTF-8, and a word of it decoded so."""
    name = "windows-1252" if any(0x80 <= byte < 0xA0 for byte in raw) else "latin-1"
    first = max(raw.rfind(mark, 0, at) for mark in (b"\t", b"\n", b",", b";", b" "))
    word = re.split(rb"[\t\r\n,; ]", raw[first + 1 :], maxsplit=1)[0][:30]
    shown = word.decode(ENCODINGS[name], errors="replace")
    return f", or say what it is: encoding=\"{name}\" (--encoding {name}) would read '{shown}' there"


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
            f"{path}, line {line}: the first line holds numbers only ({', '.join(names[:4])}, ... read as separated by "
            f"{_DELIMITER_NAMES[delimiter]}); a header line with the columns' names is needed"
        )
    for number, name in enumerate(names, start=1):
        if not name:
            raise InputError(f"{path}, line {line}: column {number} of the header has no name")
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InputError(
            f"{path}, line {line}: the header has the column {_quoted(repeated)} more than once, so it is unclear which is "
            "meant; rename or remove one"
        )


def _plain_columns(text: str, header_line: int, names: list[str], delimiter: str) -> TextTable | None:
    """The table at polars' speed if it is plain, else None: `_columns` reads anything.

    Plain is: no quotes, a delimiter that is one character, and as many of it in each line as in the header,
    so that nothing can be cut or filled in.
    """
    if '"' in text or delimiter == " " or len(names) == 1 or text.count("\r") != text.count("\r\n"):
        return None
    start, stop = 0, len(text)
    for _ in range(header_line):
        start = text.find("\n", start) + 1 or len(text)
    while stop > start and text[stop - 1] in "\r\n":
        stop -= 1
    frames, lines, line = [], [], header_line + 1
    while start < stop:
        end = text.find("\n", min(start + _PIECE, stop), stop) + 1 or stop
        piece = text[start:end].encode()
        n_lines = piece.count(b"\n") + (end == stop)
        if not _is_even(piece, ord(delimiter), len(names)):
            return None
        frame = pl.read_csv(
            piece, has_header=False, new_columns=names, separator=delimiter, quote_char=None, infer_schema=False
        ).with_columns(pl.all().str.strip_chars().fill_null(""))
        filled = frame.select(pl.any_horizontal(pl.all() != "")).to_series()
        frames.append(frame if filled.all() else frame.filter(filled))
        lines.append(np.arange(line, line + n_lines)[filled.to_numpy()])
        line, start = line + n_lines, end
    found = np.concatenate(lines) if lines else np.zeros(0)
    return TextTable(pl.concat(frames, rechunk=False), found.astype(np.int64)) if found.size else None


def _is_even(piece: bytes, delimiter: int, n_columns: int) -> bool:
    """Whether each line has one delimiter less than there are columns."""
    characters = np.frombuffer(piece, dtype=np.uint8)
    line_ends = np.flatnonzero(characters == ord("\n"))
    if not piece.endswith(b"\n"):
        line_ends = np.append(line_ends, characters.size)
    until = np.searchsorted(np.flatnonzero(characters == delimiter), line_ends)
    return bool(np.all(np.diff(until, prepend=0) == n_columns - 1))


def _columns(
    path: Path,
    rows: Iterator[tuple[int, list[str]]],
    names: list[str],
    n_nameless: int,
    header_line: int,
    delimiter: str,
) -> TextTable:
    """Collect rows into text columns, refusing a row of another length than the header; its nameless end may be absent."""
    frames: list[pl.DataFrame] = []
    line_numbers: list[int] = []
    n_beyond = 0
    while chunk := list(islice(rows, _ROWS_AT_A_TIME)):
        for line, fields in chunk:
            while len(fields) > len(names) and not fields[-1]:
                fields.pop()  # a spreadsheet's empty cells beyond its last column
                n_beyond += 1
            if len(names) - n_nameless <= len(fields) < len(names):
                fields += [""] * (len(names) - len(fields))
            if len(fields) != len(names):
                raise InputError(_ragged(path, line, fields, names, header_line, delimiter))
        line_numbers += [line for line, _ in chunk]
        columns = zip(*(fields for _, fields in chunk))
        frames.append(pl.DataFrame([pl.Series(name, column, dtype=pl.String) for name, column in zip(names, columns)]))
    if not frames:
        raise InputError(f"{path}: there is a header (line {header_line}) but no line of data below it")
    notes = (f"{n_beyond:,} empty fields beyond the header's last column left out",) if n_beyond else ()
    return TextTable(pl.concat(frames), np.array(line_numbers, dtype=np.int64), notes)


def _ragged(path: Path, line: int, fields: list[str], names: list[str], header_line: int, delimiter: str) -> str:
    """The message for a line with more or fewer fields than the header."""
    message = (
        f"{path}, line {line}: {len(fields)} fields, but the header (line {header_line}) names {len(names)} columns (separated "
        f"by {_DELIMITER_NAMES[delimiter]})"
    )
    if len(fields) == len(names) + 1 and line == header_line + 1:
        return f"{message}; if R's write.table made it, write it with row.names=FALSE or col.names=NA"
    if delimiter == " ":
        return f"{message}; write missing values as NA, or separate the columns by tabs"
    return message


def _quoted(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
