"""The command that tests sets of variants, such as genes: `assoc` with sets."""

import inspect
from collections.abc import Callable
from dataclasses import fields
from functools import wraps
from pathlib import Path
from typing import Annotated, Any

import click

from genassoc.cli import runs, values
from genassoc.cli.signatures import Option

_SETS = "Sets"
# Options of `sets` beside those of `assoc`: as they are typed, and as [sets] of gwas.toml has them.
_OPTIONS: dict[str, Any] = {
    "sets": Annotated[
        Path,
        Option(
            metavar="FILE",
            help="Sets: a table, REGENIE's set list, SAIGE's group file; or a VCF with CSQ or ANN, a GTF, or STORE.",
            panel=_SETS,
        ),
    ],
    "annotations": Annotated[
        Path | None, Option(metavar="FILE", help="Annotations of variants, as REGENIE's.", panel=_SETS)
    ],
    "masks": Annotated[
        Path | None, Option(metavar="FILE", help="Masks: names of combinations of annotations.", panel=_SETS)
    ],
    "tests": Annotated[
        list[str] | None,
        Option(metavar="NAME[,NAME...]", help="burden, skat, skato, acatv, acato; all by default.", panel=_SETS),
    ],
    "max_maf": Annotated[
        list[str] | None,
        Option(metavar="X[,X...]", help="Largest minor allele frequency of each bin (0.001,0.01).", panel=_SETS),
    ],
    "singletons": Annotated[bool, Option("--singletons", help="A bin of singletons more.", panel=_SETS)],
    "weights_of_variants": Annotated[
        str | None,
        Option(
            "--variant-weights",
            metavar="beta(1,25)|none|COLUMN",
            help="Weights of variants: by frequency, none, or a column of the sets.",
            panel=_SETS,
        ),
    ],
    "burden": Annotated[str | None, Option(metavar="sum|max|collapse", help="The burden's column.", panel=_SETS)],
    "collapse_below": Annotated[
        int | None,
        Option(
            min=0, help="Variants with at most so many minor alleles are one in skat, skato, acatv (10).", panel=_SETS
        ),
    ],
    "leave_one_out": Annotated[
        bool, Option("--leave-one-out", help="Rows without each of the variants too.", panel=_SETS)
    ],
    "scores_out": Annotated[
        Path | None,
        Option(metavar="FILE", help="Score statistics and covariances too (.parquet), for genassoc meta.", panel=_SETS),
    ],
}
_RENAMED = {"sets": "path", "weights_of_variants": "weights"}


def add_to(app: click.Group) -> None:
    """Add it to the commands."""
    app.add_command(runs.OfModel(_with_sets(runs.assoc)))


def _with_sets(assoc: Callable[..., None]) -> Callable[..., None]:
    """`assoc` with the options of sets."""
    own = list(inspect.signature(assoc).parameters.values())
    keyword, empty = inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.empty
    made = [
        inspect.Parameter(
            name,
            keyword,
            annotation=hint,
            default={"sets": empty}.get(name, False if hint.__origin__ is bool else None),
        )
        for name, hint in _OPTIONS.items()
    ]

    @wraps(assoc)
    def sets(*arguments: object, **given: object) -> None:
        table: dict[str, Any] = {_RENAMED.get(name, name): given.pop(name, None) for name in _OPTIONS}
        for name in ("tests", "max_maf"):
            if table[name] is not None and not values.names(table[name]):
                raise click.BadParameter(
                    "it is empty: leave it out, or name some", param_hint=f"--{name.replace('_', '-')}"
                )
        table["tests"] = values.names(table["tests"] or ()) or None
        table["max_maf"] = [_number(word) for word in values.names(table["max_maf"] or ())] or None
        plain = {name: str(value) if isinstance(value, Path) else value for name, value in table.items()}
        chosen = {name: value for name, value in plain.items() if value is not None and value is not False}
        # Values that no choice has are those of a wrong option.
        from genassoc.models.sets.choices import SetChoices

        names = {field.name for field in fields(SetChoices)}
        try:
            SetChoices(**{name: value for name, value in chosen.items() if name in names})
        except ValueError as error:
            raise click.UsageError(str(error)) from error
        assoc(*arguments, **given, **{runs.SETS: chosen})

    sets.__name__, sets.__doc__ = "sets", _DOC
    sets.__signature__ = inspect.Signature([*own[:-1], *made, own[-1]])  # type: ignore[attr-defined]
    sets.__annotations__ = {**assoc.__annotations__, **_OPTIONS}
    return sets


_DOC = """Sets of rare variants, such as genes: burden, SKAT, SKAT-O, ACAT-V, ACAT-O.

The options of `assoc`, and which sets; the same as `run` with [sets] in a gwas.toml.
"""


def _number(word: str) -> float:
    try:
        return float(word)
    except ValueError:
        raise click.BadParameter(f"{word!r} is no frequency", param_hint="--max-maf") from None
