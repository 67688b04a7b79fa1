"""How commands speak: the answer on standard output, for people or as one JSON object; what happens on standard error.

Every command takes --json and --quiet (`genassoc.cli.signatures`); they are read here alone.
"""

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from genassoc.errors import printable

if TYPE_CHECKING:
    from genassoc.progress import Progress

WIDTH = 80  # of notes on a screen


@dataclass
class Speech:
    """What a command has said.

    Attributes
    ----------
    json : bool
        One JSON object in place of lines.
    quiet : bool
        No progress, no notes, and no lines of a command that writes files; errors and cautions are said.
    answers : bool
        The lines are what the command is for, as those of explain.
    lines, notes : list of str
    files : list of dict
        What was written: path, and rows of a table.
    facts : dict
        More, as JSON values.
    """

    json: bool = False
    quiet: bool = False
    answers: bool = False
    lines: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    files: list[dict[str, object]] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=dict)


_now = Speech()


@contextlib.contextmanager
def speaking(command: str, *, json: bool, quiet: bool, answers: bool) -> Iterator[None]:
    """A command that speaks so; its JSON object is printed at the end, though it end in an error."""
    global _now
    before, _now = _now, Speech(json, quiet, answers)
    try:
        yield
    finally:
        said, _now = _now, before
        if json:
            from json import dumps

            whole = {"command": command, **said.facts, "files": said.files, "lines": said.lines, "notes": said.notes}
            click.echo(dumps(_values(whole), indent=1, default=str))


def _values(value: object) -> object:
    """Without numbers that JSON has not got."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _values(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_values(one) for one in value]
    return value


def say(text: str = "", *, asked: bool = False) -> None:
    """The answer of a command: standard output; what was ``asked`` for is said though all be quiet."""
    if _now.json:
        _now.lines += printable(text).split("\n")
    elif not _now.quiet or _now.answers or asked:
        click.echo(printable(text))


def say_next(*texts: str) -> None:
    """What to type next: for people alone, on standard error."""
    if not _now.json and not _now.quiet:
        for at, text in enumerate(texts):
            click.echo(printable(f"{'next:' if not at else '     '} {text}"), err=True)


def say_file(path: Path, n: int, unit: str) -> None:
    """A table that was written, and how many rows it has."""
    _now.files.append({"path": str(path), "rows": n})
    say(f"{path}: {n:,} {unit.removesuffix('s') if n == 1 else unit}")


def fact(**facts: object) -> None:
    """What the JSON object has beside lines."""
    _now.facts.update(facts)


def tell(text: str, *, caution: bool = False) -> None:
    """What happens, for people: standard error, so that standard output stays the answer; a caution is told though all be quiet."""
    _now.notes.append(printable(text))
    if not _now.quiet or caution:
        click.echo(_fitting(printable(text)), err=True)


def _fitting(text: str) -> str:
    """On a screen cut to its width at blanks; a line of a log stays whole."""
    import sys

    if not sys.stderr.isatty():
        return text
    import shutil
    import textwrap

    width = max(40, min(shutil.get_terminal_size((WIDTH, 24)).columns, 120))
    cut = [
        textwrap.wrap(line, width, subsequent_indent="    ", break_long_words=False) or [""]
        for line in text.split("\n")
    ]
    return "\n".join(line for lines in cut for line in lines)


def progress() -> "Progress":
    """A bar on a terminal, lines in a log, nothing where all is quiet."""
    from genassoc.progress import Silent, default_progress

    return Silent() if _now.quiet else default_progress()
