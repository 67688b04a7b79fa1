"""Texts of the command line as values: lists of names, formulas, and options of the form COLUMN=VALUE."""

import csv
from collections.abc import Iterable

import click

NONE = "none"
_EVERY_COLUMN = "*"


def names(texts: Iterable[str]) -> list[str]:
    """Names of options, each split at commas; a name with a comma in it stands in double quotes."""
    split = [name.strip() for text in texts for name in next(csv.reader([text], skipinitialspace=True), [])]
    return [name for name in split if name]


def covariates(text: str) -> list[str] | str:
    """Names of covariates, or a formula, which has a ~ in it.

    Raises
    ------
    click.BadParameter
        The text is empty.
    """
    if not text.strip(" ,"):
        raise click.BadParameter("--covar names nothing: leave it out for a model without covariates")
    return (text.strip().removeprefix("~").strip() or "~") if "~" in text else names([text])


def missing_codes(texts: list[str] | None) -> list[str] | dict[str, list[str]] | None:
    """The codes of ``--missing-code``: a list of every column's, or a mapping of columns to lists where one names a column.

    "COLUMN=" declares that nothing more means missing in the column; "none" that nothing does in any.
    """
    if not texts:
        return None
    everywhere = [text for text in texts if text.partition("=")[0] == text or text.startswith("=")]
    columns: dict[str, list[str]] = {}
    for text in texts:
        if text not in everywhere:
            name, _, value = text.partition("=")
            columns.setdefault(name.strip(), []).extend([value.strip()] if value.strip() else [])
    codes = [code for code in everywhere if code != NONE]
    if not columns:
        return codes
    return {_EVERY_COLUMN: codes, **columns} if everywhere else columns


def case_values(texts: Iterable[str]) -> dict[str, str]:
    """The pairs of ``--case-value``.

    Raises
    ------
    click.BadParameter
        One is not of the form TRAIT=VALUE, or two are of one trait.
    """
    values: dict[str, str] = {}
    for text in texts:
        name, mark, value = text.partition("=")
        if not mark or not name.strip() or not value.strip():
            raise click.BadParameter(f"--case-value is TRAIT=VALUE, as t2d=malade, not {text!r}")
        if name.strip() in values:
            raise click.BadParameter(f"--case-value names {name.strip()} twice")
        values[name.strip()] = value.strip()
    return values


def shares(texts: Iterable[str]) -> dict[str, float]:
    """The pairs of ``--prevalence``.

    Raises
    ------
    click.BadParameter
        One is not of the form TRAIT=SHARE.
    """
    found: dict[str, float] = {}
    for text in texts:
        name, _, value = text.partition("=")
        try:
            found[name.strip()] = float(value)
        except ValueError:
            raise click.BadParameter(f"--prevalence is TRAIT=SHARE, as t2d=0.08, not {text!r}") from None
    return found
