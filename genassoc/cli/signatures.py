"""Commands made from the signatures of functions: click parses, a function's annotations say what.

A parameter before the star is an argument, one behind it an option; ``Annotated[int | None, Option(...)]`` says more. A list may be
repeated, a bool is a flag. Typer does this too, but imports pydantic: 0.15 s and 20 MB of every process.
"""

import inspect
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import click
from click.shell_completion import CompletionItem

from genassoc.cli.speech import speaking

WIDTH = 120
_PRINTED = "What is printed"
_WORDS = re.compile(r"[\w.-]+(?: ?\| ?[\w.-]+)+")  # "png | pdf | svg" at the start of a help or metavar


@dataclass(frozen=True)
class Option:
    """What an option is beside its type and default.

    Attributes
    ----------
    flags : str, optional
        As it is typed, ``"--no/--yes"`` for both answers of a flag; by default the parameter's name.
    help : str
    metavar : str, optional
        What stands for the value in the help.
    min, max : float, optional
        Of a number.
    panel : str
        The heading under which the help has it.
    complete : callable, optional
        Gives the values that a shell offers, of the context of what is typed already.
    """

    flags: str | None = None
    help: str = ""
    metavar: str | None = None
    min: float | None = None
    max: float | None = None
    panel: str = "Options"
    complete: Callable[[click.Context], Iterable[str]] | None = None


@dataclass(frozen=True)
class Argument:
    """What an argument is beside its type and default."""

    help: str = ""
    metavar: str | None = None


class _Option(click.Option):
    panel = "Options"
    complete: Callable[[click.Context], Iterable[str]] | None = None

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Values for a shell: those that the option knows, or that its help begins with, after the last comma of a list."""
        if self.complete is not None:
            words = list(self.complete(ctx))
        else:
            found = _WORDS.match(str(self.metavar or "")) or _WORDS.match(self.help or "")
            words = [word.strip() for word in found.group().split("|")] if found else []
        if not words:
            return super().shell_complete(ctx, incomplete)
        before, comma, last = incomplete.rpartition(",")
        return [CompletionItem(f"{before}{comma}{word}") for word in words if word.startswith(last)]


class _Argument(click.Argument):
    words = ""  # not its help, which later releases of click print themselves


class Command(click.Command):
    """A command whose help has its options under headings, and its arguments."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Arguments that say what they are, then options by panel in order of first appearance."""
        panels: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
        for parameter in self.get_params(ctx):
            if isinstance(parameter, _Argument):
                if parameter.words:
                    panels["Arguments"].append(
                        (str(parameter.metavar or parameter.human_readable_name), parameter.words)
                    )
            elif record := parameter.get_help_record(ctx):
                panels.setdefault(getattr(parameter, "panel", "Options"), []).append(record)
        for name, records in ((name, records) for name, records in panels.items() if records):
            with formatter.section(name):
                formatter.write_dl(records)


def command(
    function: Callable[..., None], kind: type[click.Command] = Command, *, answers: bool = False
) -> click.Command:
    """The command that calls a function; its name is the function's, its help the docstring; --json and --quiet are its too.

    ``answers``: what it prints is what it is for, and is printed though all be quiet.
    """
    hints = get_type_hints(function, include_extras=True)
    parameters = inspect.signature(function).parameters
    lists = {name for name, hint in hints.items() if get_origin(_plain(hint)[0]) is list}

    def call(**given: object) -> None:
        for several in lists & given.keys():
            value = given[several]
            given[several] = list(value) if value else parameters[several].default  # type: ignore[call-overload]
            if given[several] is inspect.Parameter.empty:
                given[several] = []
        quiet = bool(given.pop(_QUIET))
        as_json = bool(given.get("json")) if own_json else bool(given.pop("json"))
        with speaking(name, json=as_json and not own_json, quiet=quiet, answers=answers or own_json):
            function(**given)

    name = function.__name__.replace("_", "-")
    own_json = "json" in parameters  # it makes its JSON itself
    made = [_parameter(parameter, hints[name]) for name, parameter in parameters.items()]
    settings = {"help_option_names": ["-h", "--help"], "max_content_width": WIDTH}
    made += [_flag(_QUIET, ["-q", "--quiet"], "Say nothing but errors, cautions and what was asked for.")]
    made += [] if own_json else [_flag("json", ["--json"], "Print one JSON object for programs.")]
    return kind(name, settings, call, made, help=inspect.getdoc(function))


_QUIET = "quiet"


def _flag(name: str, flags: list[str], words: str) -> click.Parameter:
    """A flag that every command has."""
    option = _Option([*flags, name], is_flag=True, help=words)
    option.panel = _PRINTED
    return option


def _plain(hint: Any) -> tuple[Any, Option | Argument | None]:
    """The type of an annotation, without None, and what is said beside it."""
    said = None
    if get_origin(hint) is Annotated:
        hint, said = get_args(hint)[:2]
    if get_origin(hint) in (Union, UnionType):
        (hint,) = (kind for kind in get_args(hint) if kind is not type(None))
    return hint, said


def _parameter(parameter: inspect.Parameter, hint: object) -> click.Parameter:
    kind, said = _plain(hint)
    several = get_origin(kind) is list
    (kind,) = get_args(kind) if several else (kind,)
    # click takes a default of None for a value that is given
    always: dict[str, Any] = {"required": True}
    if parameter.default is not inspect.Parameter.empty:
        always = {"required": False, "default": parameter.default}
    if parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
        argument = _Argument(
            [parameter.name], type=_type(kind, Option()), nargs=-1 if several else 1,
            metavar=said.metavar if said else None, **always,
        )  # fmt: skip
        argument.words = said.help if said else ""
        return argument
    said = said if isinstance(said, Option) else Option()
    own = "--" + parameter.name.replace("_", "-")
    flags = said.flags or (f"{own}/--no-{own[2:]}" if kind is bool else own)
    more: dict[str, Any] = {"is_flag": True} if kind is bool else {"type": _type(kind, said), "metavar": said.metavar}
    shown = always.get("default") is not None and kind is not bool
    option = _Option([flags, parameter.name], help=said.help, multiple=several, show_default=shown, **always, **more)
    option.panel, option.complete = said.panel, said.complete
    return option


def _type(kind: type, said: Option) -> click.ParamType | click.Path:
    """Click's type of values."""
    if kind is Path:
        return click.Path(path_type=Path)
    limited = said.min is not None or said.max is not None
    if kind is int:
        low, high = (None if end is None else int(end) for end in (said.min, said.max))
        return click.IntRange(low, high) if limited else click.INT
    if kind is float:
        return click.FloatRange(said.min, said.max) if limited else click.FLOAT
    return click.STRING
