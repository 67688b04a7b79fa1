"""Options of `genassoc assoc` that are choices of a model, made from its fields: a new choice needs no line here.

The flag is the choice's name, but for a few names that are older. The type is that of the field, the help the first sentence
that the docstring of the class with the field has on it.
"""

import inspect
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import cached_property, wraps
from itertools import chain
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import click

from genassoc.cli.signatures import Option
from genassoc.cli.values import case_values, covariates, names

_FLAGS = {
    "traits": "--trait", "covariates": "--covar", "male_x_dosage": "--x-model", "condition_on": "--condition",
    "loco": "--leave-chromosome-out",  # --loco names the folder of a whole-genome regression
}  # fmt: skip
_SECTION = re.compile(r"^-+$")
# Choices whose text is more than a list, a word or a number: what is typed, and what reads it.
_READERS: dict[str, tuple[Any, str, Callable[[Any], Any]]] = {
    "covariates": (str, "NAME[,NAME...] | FORMULA", covariates),
    "case_value": (list[str], "TRAIT=VALUE", case_values),
}


@dataclass(frozen=True)
class Choice:
    """A field of one or more models as an option of the command line.

    Attributes
    ----------
    name : str
        Of the field.
    hint : type
        Its annotation.
    help : str
        First sentence of its documentation.
    models : tuple of str
        Names of the models with this field.
    """

    name: str
    hint: Any
    help: str
    models: tuple[str, ...]

    @property
    def flag(self) -> str:
        """As it is typed."""
        return _FLAGS.get(self.name, "--" + self.name.replace("_", "-"))

    @cached_property
    def typed(self) -> tuple[Any, str | None, Callable[[Any], Any]]:
        """The type of its values, what stands for the value in the help, and what makes the choice of the value."""
        if self.name in _READERS:
            return _READERS[self.name]
        parts = set(_parts(self.hint))
        if any(get_origin(part) is tuple for part in parts):
            return list[str], "NAME[,NAME...]", names
        words = [*chain.from_iterable(get_args(part) for part in _parts(self.hint) if get_origin(part) is Literal)]
        if words and all(isinstance(word, str) for word in words):
            return str, "|".join(words), _as_is
        for kind in (bool, float, str, int):
            if kind in parts or any(type(word) is kind for word in words):
                return kind, None, _as_is
        raise TypeError(f"the choice {self.name} of {self.models[0]} has the type {self.hint}, which no option reads")

    def parameter(self, every: Sequence[str]) -> inspect.Parameter:
        """The option as a parameter of a function; ``every`` are the models that the help is of."""
        kind, metavar, _ = self.typed
        some = "" if set(every) <= set(self.models) else f" ({', '.join(self.models)})"
        flags = f"{self.flag}/--no-{self.flag[2:]}" if kind is bool else self.flag
        whole = [word for part in _parts(self.hint) for word in get_args(part) if isinstance(word, int)]
        option = Option(
            flags, metavar=metavar, help=self.help + some, panel="Choices of the model",
            min=min(whole, default=None), max=max(whole, default=None),
            complete=columns if kind == list[str] or self.name == "covariates" else None,
        )  # fmt: skip
        annotation: Any = Annotated[kind | None, option]
        return inspect.Parameter(self.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def choices_of(kinds: Sequence[str]) -> dict[str, Choice]:
    """The choices of some models by name: a model's own, then those it inherits; the first model's words stand for all."""
    from genassoc.models.registry import MODELS

    choices: dict[str, Choice] = {}
    for kind in kinds:
        hints = get_type_hints(MODELS[kind])
        for name, owner in _owners(MODELS[kind]).items():
            first = choices.get(name) or Choice(name, hints[name], _help(owner, name), ())
            choices[name] = Choice(name, first.hint, first.help, (*first.models, kind))
    return choices


def with_choices(function: Callable[..., None], kinds: Sequence[str]) -> Callable[..., None]:
    """The function with an option for each choice of some models in place of its ``**choices``.

    What is given arrives there as the model takes it, by the name of the field; what is not is left out.
    """
    choices = choices_of(kinds)
    fixed = [p for p in inspect.signature(function).parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    made = [choice.parameter(kinds) for choice in choices.values()]

    @wraps(function)
    def command(**given: Any) -> None:
        for name, choice in choices.items():
            value = given.pop(name)
            if value is not None and value != []:
                given[name] = choice.typed[2](value)
        function(**given)

    command.__signature__ = inspect.Signature([*fixed, *made])  # type: ignore[attr-defined]
    command.__annotations__ = {p.name: p.annotation for p in (*fixed, *made)}
    return command


_MOST_HEADER = 1 << 20


def columns(ctx: click.Context) -> list[str]:
    """Names of the columns of the phenotypes that are typed already, for a shell; none where they cannot be read as text."""
    typed = (
        ctx.params.get("pheno") or (ctx.args[1:2] or [""])[0]
    )  # an option that still lacks its value ends the parsing
    try:
        with Path(typed).open(encoding="utf-8") as file:
            header = file.readline(_MOST_HEADER)
    except (OSError, ValueError, TypeError):
        return []
    mark = next((mark for mark in "\t;," if mark in header), None)
    return [name.strip().strip('"') for name in header.strip("\r\n#").split(mark)]


def _as_is(value: object) -> Any:
    return value


def _parts(hint: object) -> list[Any]:
    """The types that a union is of; of anything else, itself."""
    return [hint] if get_origin(hint) in (None, Literal, tuple) else list(get_args(hint))


def _owners(model: type) -> dict[str, type]:
    """The class that declares each field of a model, the model itself first."""
    known = {field.name for field in fields(model)}
    owners: dict[str, type] = {}
    for one in model.__mro__:
        for name in inspect.get_annotations(one):
            if name in known:
                owners.setdefault(name, one)
    return owners


def _help(owner: type, name: str) -> str:
    """The first sentence on a field in the docstring of the class that declares it, as plain text."""
    text = " ".join(_parameters(inspect.getdoc(owner) or "").get(name, "").split())
    return re.split(r"(?<=\.)\s", text, maxsplit=1)[0].replace("`", "")


def _parameters(doc: str) -> dict[str, str]:
    """Descriptions in the section "Parameters" of a numpydoc docstring, by name."""
    lines = doc.splitlines()
    texts: dict[str, str] = {}
    inside = False
    now: tuple[str, ...] = ()
    for line, after in zip(lines, [*lines[1:], ""]):
        if _SECTION.match(after):
            inside, now = line == "Parameters", ()
        elif inside and line and not line.startswith((" ", "-")):
            now = tuple(name.strip() for name in line.partition(" : ")[0].split(","))
        elif inside:
            texts |= {name: f"{texts.get(name, '')} {line}" for name in now}
    return texts
