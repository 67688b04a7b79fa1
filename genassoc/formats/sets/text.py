"""Text files of sets, a stretch of lines at a time: plain, gzip or zstd, any line ends, lines of megabytes, strict UTF-8, numbered lines."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import polars as pl

from genassoc.errors import InputError
from genassoc.formats.open_text import open_text

STRETCH = 2**25  # bytes of lines at a time
MOST_LINE = 2**28  # bytes of one line: a set of ten million variants
_HEAD = 2**20  # bytes of the beginning
MOST_TEXT = 2**38  # bytes of a file, unpacked
_BLANKS = re.compile(rb"[ \t]+")


@dataclass(frozen=True, eq=False)
class Lines:
    """Neighbouring lines of a file.

    Attributes
    ----------
    path : Path
    text : Series
        The lines that are not blank and no comments, without their ends.
    numbers : Series
        Their numbers in the file, from 1.
    n_comments : int
        Lines that begin with "#", which are left out.
    """

    path: Path
    text: pl.Series
    numbers: pl.Series
    n_comments: int = 0

    def fields(self, n: int, mark: str = "\t") -> pl.DataFrame:
        """The first n fields of each line as ``field_0`` ..., and what follows them as ``field_{n}``; null where there are fewer."""
        return self.text.str.splitn(mark, n + 1).struct.unnest()

    def refuse(self, bad: pl.Series, why: str) -> None:
        """Refuse the first line where ``bad`` (of all lines) is true.

        Raises
        ------
        InputError
            Names file and line.
        """
        if bad.any():
            at = int(bad.fill_null(False).arg_max() or 0)
            raise InputError(f"{self.path}:{self.numbers[at]}: {why}: '{self.text[at][:80].replace(chr(9), ' ')}'")


def first_line(path: Path, is_header: Callable[[str], bool] | None = None) -> tuple[str, int]:
    """The first line of a file that is neither blank nor a comment, and its number; "" and 0 where there is none.

    Of a line of more than a megabyte the beginning. A line that begins with "#" is a comment, unless ``is_header`` says that it is a header.
    """
    held, number = b"", 1
    for block in _blocks(path, _HEAD):
        held += block
        at = 0
        while at < len(held):
            cut = min((end for end in (held.find(b"\n", at), held.find(b"\r", at)) if end >= 0), default=-1)
            if cut < 0 and len(held) - at < _HEAD:
                break
            line = held[at:].decode(errors="ignore") if cut < 0 else _decoded(path, held[at:cut], number)
            if _is_data(line, is_header):
                # of a line that is cut the last field may be a part of one
                return (line if cut >= 0 else line[: max(line.rfind(mark) for mark in " \t,")] or line), number
            at = len(held) if cut < 0 else cut + (2 if held[cut : cut + 2] == b"\r\n" else 1)
            number += cut >= 0
        held = held[at:]
    line = held.decode(errors="replace")
    return (line, number) if _is_data(line, is_header) else ("", 0)


def _is_data(line: str, is_header: Callable[[str], bool] | None) -> bool:
    return bool(line.strip()) and (not line.startswith("#") or (is_header is not None and is_header(line)))


def header_lines(path: Path) -> Iterator[bytes]:
    """The first lines of a file: those that begin with "##", and the one after them."""
    for stretch, _ in _stretches(path, _HEAD):
        for line in stretch.split(b"\n"):
            yield line
            if not line.startswith(b"##"):
                return


def read_lines(path: Path, *, blanks: bool = True, after: int = 0) -> Iterator[Lines]:
    """Lines of a file, some megabytes of them at a time.

    Parameters
    ----------
    path : Path
    blanks : bool
        Whether any run of blanks and tabs separates fields: it is then one tab.
    after : int
        The number of the header, which is left out with all before it; "#" begins no comment after a header.

    Raises
    ------
    InputError
        It is no plain file, damaged, no text in UTF-8, or has a line that is too long (names file and line).
    """
    for stretch, number in _stretches(path, STRETCH):
        text = _decoded(path, _tabbed(stretch) if blanks else stretch, number)
        lines = pl.Series([text], dtype=pl.String).str.split("\n").explode()
        if lines.len() and lines[-1] == "":
            lines = lines[:-1]
        numbers = pl.int_range(number, number + lines.len(), eager=True)
        if blanks:
            lines = lines.str.strip_chars("\t ")
        comments = lines.str.starts_with("#") & (after == 0)
        keep = (lines.str.strip_chars().str.len_bytes() > 0) & ~comments & (numbers > after)
        lines, numbers = lines.filter(keep), numbers.filter(keep)
        if lines.len():
            yield Lines(path, lines, numbers, int(comments.sum()))


def _stretches(path: Path, size: int) -> Iterator[tuple[bytes, int]]:
    """Whole lines, with "\\n" as their ends, and the number of the first."""
    number, rest, total = 1, b"", 0
    for block in _blocks(path, size):
        total += len(block)
        if total > MOST_TEXT:
            raise InputError(f"{path} has more than {MOST_TEXT >> 30} GiB of text, which is no file of sets")
        held = rest + block
        cut = max(held.rfind(b"\n"), held.rfind(b"\r", 0, len(held) - 1)) + 1
        if not cut:
            rest = held
            if len(rest) > MOST_LINE:
                raise InputError(
                    f"{path}:{number}: a line of more than {MOST_LINE >> 20} MB, which is no set of variants"
                )
            continue
        rest = held[cut:]
        lines = _ended(held[:cut])
        yield lines, number
        number += lines.count(b"\n")
    if rest:
        yield _ended(rest), number


def _ended(text: bytes) -> bytes:
    """The text with "\\n" as the end of each line."""
    if b"\r" in text:
        text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    return text


def _blocks(path: Path, size: int) -> Iterator[bytes]:
    """The bytes of a file, unpacked."""
    if path.exists() and not path.is_file():
        raise InputError(f"{path} is no plain file: sets are read from text, or text packed by gzip")
    if not path.exists():
        raise InputError(f"{path}: no such file")
    with open_text(path) as file:
        yield from _read(file, size)


def _read(file: BinaryIO, size: int) -> Iterator[bytes]:
    first = True
    while block := file.read(size):
        if first and block.startswith(b"\xef\xbb\xbf"):
            block = block[3:]  # a mark that some editors write
        first = False
        yield block


def _tabbed(text: bytes) -> bytes:
    """The text with one tab for each run of blanks."""
    if b" " not in text and b"\t\t" not in text:
        return text
    if b"\t" not in text and b"  " not in text:
        return text.replace(b" ", b"\t")
    return _BLANKS.sub(b"\t", text)


def _decoded(path: Path, text: bytes, number: int) -> str:
    try:
        found = text.decode()
    except UnicodeDecodeError as error:
        line = number + text.count(b"\n", 0, error.start)
        raise InputError(
            f"{path}:{line}: is no text in UTF-8 (byte {text[error.start]:#04x}); save it as UTF-8"
        ) from error
    if "\0" in found:
        line = number + found.count("\n", 0, found.index("\0"))
        raise InputError(
            f"{path}:{line}: is no text (it has a zero byte): sets are read from text, or text packed by gzip"
        )
    return found
