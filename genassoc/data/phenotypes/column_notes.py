"""Notes on the columns that a model uses: which value is the case, what missing codes removed, which levels look odd."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from genassoc.data.phenotypes.case_words import plain_spelling
from genassoc.data.phenotypes.codings import Coding, arm_coding, binary_coding, text_of
from genassoc.data.phenotypes.columns import NUMBER
from genassoc.data.phenotypes.emptied import check_columns, check_emptied, emptied_lines, word_levels
from genassoc.data.phenotypes.number_spellings import date_offer, genotype_hint, is_date
from genassoc.data.phenotypes.phenotypes import Phenotypes
from genassoc.data.phenotypes.survival import competing_lines
from genassoc.shapes import Int64Array

_SINGLE = ("weights", "matched", "exposure", "interaction", "entry")
_SEVERAL = ("time", "event", "strata", "baseline")
_SHOWN = 3


@dataclass(frozen=True)
class ColumnNotes:
    """Notes on columns.

    Attributes
    ----------
    lines : tuple of str
        For people.
    codings : mapping
        Column -> the values that are 0 and 1, and by what rule; of binary traits, events and two-worded arms.
    """

    lines: tuple[str, ...] = ()
    codings: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def used_columns(phenotypes: Phenotypes, choices: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Traits, and the other columns that a model's choices name, each once.

    Raises
    ------
    PhenotypeError
        One of them is absent, or a formula cannot be understood.
    """
    traits = phenotypes.resolve(_names(choices.get("traits")), "trait")
    covariates = choices.get("covariates") or ()
    if isinstance(covariates, str):
        others = [*phenotypes.formula(covariates).columns] if covariates.strip() else []
    else:
        others = [*phenotypes.resolve(covariates, "covariate")]
    for name in _SEVERAL:
        others += phenotypes.resolve(_names(choices.get(name)), name)
    for name in _SINGLE:
        others += phenotypes.resolve(_names(choices.get(name)), name)
    return traits, tuple(dict.fromkeys(name for name in others if name not in traits))


def column_notes(phenotypes: Phenotypes, rows: Int64Array, choices: Mapping[str, Any], outcome: str) -> ColumnNotes:
    """Notes on the columns that a model uses.

    Parameters
    ----------
    phenotypes : Phenotypes
    rows : int64 array (N,)
    choices : mapping
        The model's, by name.
    outcome : str
        What its traits are: "binary", "survival", ...

    Raises
    ------
    PhenotypeError
        A column is absent; two values do not show which is the case; a missing code removes ordinary values.
    """
    check_columns(phenotypes)
    traits, others = used_columns(phenotypes, choices)
    check_emptied(phenotypes, (*traits, *others), rows)
    lines = emptied_lines(phenotypes, (*traits, *others))
    codings: dict[str, Coding] = {}
    if outcome == "binary":
        for trait in traits:
            codings[trait], text = binary_coding(phenotypes, trait, rows)
            lines += _binary_lines(trait, codings[trait], text)
    if outcome == "survival" and choices.get("cause") is None:
        for event in phenotypes.resolve(_names(choices.get("event")), "event"):
            values = phenotypes.table[event].gather(rows).drop_nulls()
            if values.n_unique() == 2:
                codings[event], _ = binary_coding(phenotypes, event, rows)
                lines += _coded_lines(event, codings[event], "censored", "event")
    if outcome == "survival" and choices.get("cause") is not None:
        for event in phenotypes.resolve(_names(choices.get("event")), "event"):
            lines += competing_lines(phenotypes, rows, event, str(choices["cause"]))
    for name in phenotypes.resolve(_names(choices.get("interaction")), "interaction's covariate"):
        arms = _two_words(phenotypes, name, rows)
        if arms is not None:
            codings[name] = arm_coding(phenotypes, name, *arms)
            lines += _coded_lines(name, codings[name], "0", "1")
    for name in others:
        lines += [*word_levels(phenotypes, name, rows), *_mixture_lines(phenotypes, name, rows)]
    made = {name: {"0": coding.control, "1": coding.case, "rule": coding.rule} for name, coding in codings.items()}
    return ColumnNotes(tuple(lines), made)


def _names(value: Any) -> tuple[str, ...]:
    return () if value is None else (value,) if isinstance(value, str) else tuple(value)


def _binary_lines(trait: str, coding: Coding, text: pl.Series) -> list[str]:
    lines = _coded_lines(trait, coding, "control", "case")
    n_cases, n = int((text == coding.case).sum()), len(text) - text.null_count()
    if 2 * n_cases > n:
        lines.append(
            f"{trait}: {n_cases:,} of {n:,} samples are cases, more than half: is {coding.case} the case? {_the_other_way(trait, coding)}"
        )
    return lines


def _coded_lines(column: str, coding: Coding, low: str, high: str) -> list[str]:
    line = f"{column}: {coding.words(low, high)}"
    if coding.rule == "1/2":
        return [
            f"{line}, as in PLINK. If the file comes from a questionnaire that writes 1 for yes and 2 for no: "
            f"{_the_other_way(column, coding)}"
        ]
    if coding.rule == "words":
        return [f"{line}, from the meaning of the words"]
    if coding.rule == "sex":
        return [f"{line}, from codes of sex: male is 0"]
    return [f"{line}, from case_value"] if coding.rule == "case_value" else []


def _the_other_way(column: str, coding: Coding) -> str:
    return (
        f"case_value={{'{column}': '{coding.control}'}} (--case-value '{column}={coding.control}') reverses the coding"
    )


def _categories(name: str, tokens: list[str]) -> str:
    shown = ", ".join(tokens[:_SHOWN]) + (", ..." if len(tokens) > _SHOWN else "")
    return f"'{name}' is used as {len(tokens)} categories ({shown})"


def _two_words(phenotypes: Phenotypes, name: str, rows: Int64Array) -> tuple[str, str] | None:
    """The two values of a column of text, or of which one was declared the case; None of other numbers, or of more."""
    if name not in phenotypes.case_values and (
        phenotypes.looks_numeric(name, rows) or phenotypes.table[name].dtype != pl.String
    ):
        return None
    values = text_of(phenotypes, name, rows).drop_nulls().unique().sort().to_list()
    return (values[0], values[1]) if len(values) == 2 else None


def _mixture_lines(phenotypes: Phenotypes, name: str, rows: Int64Array) -> list[str]:
    """A column that is taken for categories though it holds numbers, or genotypes."""
    column = phenotypes.table[name]
    if column.dtype != pl.String or phenotypes.looks_numeric(name, rows):
        return []
    values = column.gather(rows).drop_nulls()
    tokens = [str(token) for token in values.unique().sort()]
    if len(tokens) < 2:
        return []
    hint = genotype_hint(name, tokens)
    if hint:
        return [f"{_categories(name, tokens)}; {hint}"]
    if 2 * sum(map(is_date, tokens)) > len(tokens):
        return [f"{_categories(name, tokens)}; {date_offer(tokens[0])}"]
    spellings: dict[str, list[str]] = {}
    for token in tokens:
        spellings.setdefault(plain_spelling(token), []).append(token)
    alike = [same for plain, same in spellings.items() if plain and len(same) > 1]
    if alike:
        shown = "; ".join(" and ".join(map(repr, same[:_SHOWN])) for same in alike[:_SHOWN])
        return [f"these categories of '{name}' differ only in spelling, and are used as different categories: {shown}"]
    is_number = values.str.contains(NUMBER)
    n = int(is_number.sum())
    if not n:
        return []
    counts = values.filter(~is_number).value_counts(sort=True).head(_SHOWN)
    shown = ", ".join(f"'{value}' ({count:,})" for value, count in counts.rows())
    return [f"'{name}' is used as categories: {n:,} of its {len(values):,} values are numbers, the others are {shown}"]
