"""Cells of text tables: no control bytes or line breaks, and on request none that a spreadsheet would compute."""

import re
from typing import Any

import polars as pl

from genassoc.errors import printable

_OBEYED = bytes(code for code in (*range(0x20), 0x7F) if code not in b"\t\n")
_ODD = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")
# First bytes of control characters beyond ASCII; plain text has neither.
_ODD_LEADS = (b"\xc2", b"\xe2")
# A cell that begins so is a formula to a spreadsheet; some also accept the wide forms of East Asian keyboards.
COMPUTED = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def cell(text: str) -> str:
    """A text as one cell of a text table: control bytes as ``\\x1b``, tabs and ends of lines as ``\\t`` and ``\\n``."""
    return printable(text).replace("\t", "\\t").replace("\n", "\\n") if _ODD.search(text) else text


def harmless(texts: pl.Expr) -> pl.Expr:
    """Cells that no spreadsheet computes: an apostrophe before text that looks like a formula."""
    begins = pl.any_horizontal(texts.str.starts_with(mark) for mark in COMPUTED)
    return pl.when(begins).then(pl.concat_str(pl.lit("'"), texts)).otherwise(texts)


def written(
    frame: pl.DataFrame, separator: str, missing: str, *, for_spreadsheets: bool = False, **options: Any
) -> bytes:
    """The lines of a frame as text; floats in the shortest form that reads back the same.

    Parameters
    ----------
    frame : DataFrame
    separator, missing : str
        Between fields; for null.
    for_spreadsheets : bool
        Put an apostrophe before texts that begin with = + - @.
    **options
        Of `polars.DataFrame.write_csv`.
    """
    if for_spreadsheets:
        frame = frame.with_columns(harmless(pl.col(name)).alias(name) for name in _texts(frame))
    lines = frame.write_csv(separator=separator, include_header=False, null_value=missing, **options).encode()
    if _is_plain(lines, frame, separator):
        return lines
    frame = frame.with_columns(pl.col(name).map_elements(cell, return_dtype=pl.String) for name in _texts(frame))
    return frame.write_csv(separator=separator, include_header=False, null_value=missing, **options).encode()


def header(names: list[str], separator: str) -> bytes:
    """The header line."""
    return (separator.join(map(cell, names)) + "\n").encode()


def _texts(frame: pl.DataFrame) -> list[str]:
    return [name for name, kind in frame.schema.items() if kind == pl.String]


def _is_plain(lines: bytes, frame: pl.DataFrame, separator: str) -> bool:
    """Whether all cells are free of forbidden bytes; a few passes over the bytes are far quicker than over the cells."""
    if len(lines.translate(None, _OBEYED)) < len(lines):
        return False
    if lines.count(b"\n") != frame.height or (
        separator == "\t" and lines.count(b"\t") != frame.height * max(0, frame.width - 1)
    ):
        return False
    return not any(lead in lines for lead in _ODD_LEADS) or not _ODD.search(
        lines.decode().replace("\n", "").replace("\t", "")
    )
