"""Objects as a terminal and a notebook show them: lines of 80 columns, and HTML in which nothing of the data is markup."""

import html
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from genassoc.errors import printable

_WIDTH = 80
_MOST_LINES = 30


def lines_shown(lines: Sequence[str]) -> str:
    """Lines cut at blanks to 80 columns, all but the first indented."""
    cut = [
        part
        for at, line in enumerate(lines[:_MOST_LINES])
        for part in textwrap.wrap(
            printable(line), _WIDTH - 1, initial_indent="  " if at else "", subsequent_indent="      ",
            break_on_hyphens=False,
        )
    ]  # fmt: skip
    return "\n".join(cut + (["  ..."] if len(lines) > _MOST_LINES else []))


def html_facts(
    title: str, facts: Mapping[str, object], lines: Sequence[str] = (), table: pl.DataFrame | None = None
) -> str:
    """A heading, a table of facts, lines, and what a ledger of samples or variants counts, escaped."""
    rows = "".join(f"<tr><th>{_safe(name)}</th><td>{_safe(value)}</td></tr>" for name, value in facts.items())
    items = "".join(f"<li>{_safe(line)}</li>" for line in lines[:_MOST_LINES])
    said = f"<ul>{items}</ul>" if items else ""
    return f"<div><strong>{_safe(title)}</strong><table>{rows}</table>{said}{'' if table is None else _counted(table)}</div>"


def _counted(ledger: pl.DataFrame) -> str:
    """How many were kept, and how many were dropped for what."""
    counts = ledger.group_by("status", "reason", maintain_order=True).len()
    body = "".join(
        f"<tr><td>{_safe(status)}</td><td>{_safe(reason or '')}</td><td>{n:,}</td></tr>"
        for status, reason, n in counts.iter_rows()
    )
    return f"<table><thead><tr><th>status</th><th>reason</th><th>samples</th></tr></thead><tbody>{body}</tbody></table>"


def _safe(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return html.escape(printable(str(value) if isinstance(value, Path) else f"{value}"))
