"""Options of the form COLUMN=VALUE."""

from typing import Any

import typer

NONE = "none"
_EVERY_COLUMN = "*"


def missing_codes(given: list[str] | None) -> Any:
    """The codes of ``--missing-code``: a list of every column's, or a mapping of columns to lists where one names a column.

    "COLUMN=" declares that nothing more means missing in the column; "none" that nothing does in any.
    """
    if not given:
        return None
    everywhere = [code for code in given if code.partition("=")[0] == code or code.startswith("=")]
    columns: dict[str, list[str]] = {}
    for code in given:
        if code not in everywhere:
            name, _, value = code.partition("=")
            columns.setdefault(name.strip(), []).extend([value.strip()] if value.strip() else [])
    codes = [code for code in everywhere if code != NONE]
    if not columns:
        return codes
    return {_EVERY_COLUMN: codes, **columns} if everywhere else columns


def case_values(given: list[str] | None) -> dict[str, str] | None:
    """The pairs of ``--case-value``.

    Raises
    ------
    typer.BadParameter
        One is not of the form TRAIT=VALUE, or two are of one trait.
    """
    if not given:
        return None
    found: dict[str, str] = {}
    for text in given:
        name, mark, value = text.partition("=")
        if not mark or not name.strip() or not value.strip():
            raise typer.BadParameter(f"--case-value is TRAIT=VALUE, as t2d=malade, not {text!r}")
        if name.strip() in found:
            raise typer.BadParameter(f"--case-value names {name.strip()} twice")
        found[name.strip()] = value.strip()
    return found
