"""Codings: which of a binary trait's two values is the case, which values mean male and female. Never by the alphabet."""

import re
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import polars as pl

from genassoc.data.phenotypes.case_words import control_and_case, plain_word, reference_and_other, why_unclear
from genassoc.data.phenotypes.columns import NUMBER
from genassoc.data.phenotypes.number_spellings import genotype_hint, looks_missing, missing_among
from genassoc.data.phenotypes.phenotypes import Phenotypes
from genassoc.errors import PhenotypeError
from genassoc.shapes import Array, Float64Array, Int64Array

# Words and letters for male and female in five languages. Letters have a meaning only in pairs: beside H, M is mujer.
MALE, FEMALE, UNKNOWN = 1, 2, 0

_MALE = """
    1 male males man men boy homme hommes masculin garcon mann manner mannlich junge hombre hombres masculino varon maschio
    maschile uomo
"""
_FEMALE = """
    2 female females woman women girl femme femmes feminin feminine fille frau frauen weiblich madchen mujer mujeres femenino
    femenina hembra femmina femminile donna
"""
_UNKNOWN = "0 unknown na inconnu inconnue unbekannt desconocido sconosciuto"
# Pairs (male, female) of letters; the first pair that holds all letters of a column is meant.
_LETTERS = (("m", "f"), ("h", "f"), ("m", "w"), ("h", "m"), ("v", "m"), ("v", "h"), ("u", "d"))
_SPANISH = {"hombre", "hombres", "varon", "mujer", "mujeres"}  # beside one of them M alone may be mujer
# "masculino" and "femminile" are of two languages each, and mean the same in both.
_SEX_WORDS: dict[str, int] = {plain_word(word): MALE for word in _MALE.split()}
_SEX_WORDS |= {plain_word(word): FEMALE for word in _FEMALE.split()}
_SEX_WORDS |= {plain_word(word): UNKNOWN for word in _UNKNOWN.split()}

Rule = Literal["0/1", "1/2", "words", "sex", "case_value"]


@dataclass(frozen=True)
class Coding:
    """Which of two values is 0 and which is 1.

    Attributes
    ----------
    control, case : str
        The values as text; 0 and 1.
    rule : str
        What decided it: their numbers, the table of words, codes of sex, or ``case_value``.
    """

    control: str
    case: str
    rule: Rule

    def words(self, low: str = "control", high: str = "case") -> str:
        """As "1 = control, 2 = case"."""
        return f"{self.control} = {low}, {self.case} = {high}"

    def numbers(self, text: pl.Series) -> Float64Array:
        """0 and 1 of values as text (N,), NaN where missing."""
        y = np.full(len(text), np.nan)
        y[(text == self.control).fill_null(False).to_numpy()] = 0.0
        y[(text == self.case).fill_null(False).to_numpy()] = 1.0
        return y


def with_case_values(cohort: Any, case_values: Any) -> Any:
    """The cohort whose codings follow ``case_value`` of a model, as its pairs (column, value) or a mapping."""
    pairs = dict(case_values or ())
    if pairs == dict(cohort.phenotypes.case_values):
        return cohort
    return replace(cohort, phenotypes=replace(cohort.phenotypes, case_values=pairs))


def plain_text(values: pl.Series) -> pl.Series:
    """Values as text; the numbers 1.0 and true are written 1, text stays as it is."""
    if values.dtype == pl.Boolean:
        values = values.cast(pl.Int8)
    if values.dtype.is_float():
        return values.cast(pl.String).str.strip_suffix(".0")
    return values.cast(pl.String)


def text_of(phenotypes: Phenotypes, column: str, rows: Int64Array) -> pl.Series:
    """Values of a column that can be a coding, as `plain_text`.

    Raises
    ------
    PhenotypeError
        The column is of a type that holds no codes, or has an undeclared -9.
    """
    phenotypes.check_usable(column)
    phenotypes.check_undeclared_missing(column, rows)
    return plain_text(phenotypes.table[column].gather(rows))


def binary_coding(phenotypes: Phenotypes, trait: str, rows: Int64Array) -> tuple[Coding, pl.Series]:
    """Which value of a binary trait is the case, and its values as text.

    Recognised are a declared ``case_value``; 0/1; 1/2 (control and case, as in PLINK); and two words that say which is
    the case, see `genassoc.data.phenotypes.case_words`.

    Raises
    ------
    PhenotypeError
        The trait has other values, a mixture such as 0, 1 and 2, or only one value (the message shows the values with
        their counts, and both ways to declare the case).
    """
    text = text_of(phenotypes, trait, rows)
    values = text.drop_nulls().unique().sort().to_list()
    if not values:
        raise PhenotypeError(
            f"{phenotypes.source}: the trait '{trait}' is missing in all of the cohort's {rows.size} samples"
        )
    if trait in phenotypes.case_values:
        return _declared(phenotypes, trait, values), text
    is_text = phenotypes.table[trait].dtype == pl.String
    coding = _recognise(values, is_text)
    if coding is not None:
        return coding, text
    if len(values) == 2:
        raise PhenotypeError(_undecided(phenotypes, trait, text, values))
    raise PhenotypeError(_unclear(phenotypes, trait, text))


def binary_codes(
    phenotypes: Phenotypes, trait: str, rows: Int64Array, low: str = "control", high: str = "case"
) -> tuple[Float64Array, str]:
    """A binary trait as 0 (control) and 1 (case), NaN where missing; see `binary_coding`.

    Parameters
    ----------
    phenotypes : Phenotypes
    trait : str
    rows : int64 array (N,)
    low, high : str
        What 0 and 1 are called.

    Returns
    -------
    y : float64 array (N,)
    coding : str
        As "1 = control, 2 = case".

    Raises
    ------
    PhenotypeError
    """
    coding, text = binary_coding(phenotypes, trait, rows)
    return coding.numbers(text), coding.words(low, high)


def arm_coding(phenotypes: Phenotypes, column: str, first: str, second: str) -> Coding:
    """Which of two words of an arm is 0: the reference, such as "placebo"; for sex, male.

    Raises
    ------
    PhenotypeError
        The words do not show which is the reference; the message shows both ways to declare it.
    """
    if column in phenotypes.case_values:
        return _declared(phenotypes, column, [first, second])
    sexes = are_sexes(first, second)
    if sexes is not None:
        return Coding(*sexes, "sex")
    arms = reference_and_other(first, second)
    if arms is not None:
        return Coding(*arms, "words")
    genotypes = genotype_hint(column, [first, second])
    raise PhenotypeError(
        f"{phenotypes.source}: '{column}' has the two values '{first}' and '{second}', and it is not known which of them is 0 (the arm "
        f"in which 'add' is the effect) and which is 1{f'; {genotypes}' if genotypes else ''}. {_both_ways(column, first, second)}"
    )


def _declared(phenotypes: Phenotypes, column: str, values: list[str]) -> Coding:
    """The coding that ``case_value`` declares."""
    wanted = phenotypes.case_values[column]
    declaration = f"case_value of '{column}' is '{wanted}'"
    match = [value for value in values if value == wanted or (_is_number(value) and _same_number(value, wanted))]
    if not match:
        raise PhenotypeError(
            f"{phenotypes.source}: {declaration}, but the column has no such value; it has {', '.join(map(repr, values[:6]))}"
        )
    others = [value for value in values if value != match[0]]
    if len(others) != 1:
        rest = f"there are {len(others)}: {', '.join(map(repr, others[:6]))}" if others else "there is none"
        raise PhenotypeError(
            f"{phenotypes.source}: {declaration}, and the controls need exactly one other value, but {rest}. Make a column with two "
            f"values, or declare values that mean missing: missing_codes={{'{column}': [...]}} (--missing-code {column}=VALUE)"
        )
    return Coding(others[0], match[0], "case_value")


def _is_number(value: str) -> bool:
    return re.fullmatch(NUMBER, value) is not None


def _same_number(value: str, wanted: str) -> bool:
    wanted = {"true": "1", "false": "0"}.get(wanted.casefold(), wanted)
    return _is_number(wanted) and float(value) == float(wanted)


def _recognise(values: list[str], is_text: bool) -> Coding | None:
    """The coding of the values, or None if it is not a known one."""
    if values in (["0", "1"], ["1", "2"]):
        return Coding(values[0], values[1], "0/1" if values[0] == "0" else "1/2")
    if len(values) != 2 or not is_text or any(_is_number(value) for value in values):
        return None
    words = control_and_case(values[0], values[1])
    return None if words is None else Coding(*words, "words")


def _both_ways(column: str, first: str, second: str) -> str:
    return (
        f"Declare it: case_value={{'{column}': '{second}'}} (--case-value '{column}={second}'), or "
        f"case_value={{'{column}': '{first}'}} (--case-value '{column}={first}')"
    )


def _undecided(phenotypes: Phenotypes, trait: str, text: pl.Series, values: list[str]) -> str:
    """The message for two values of which neither is recognised as the case."""
    first, second = values
    n_first, n_second = (int((text == value).sum()) for value in values)
    why = "genassoc recognises 0/1 and 1/2 (control/case), and two words that say which is the case"
    if are_sexes(first, second) is not None:
        why = "they are codes of sex, not of a disease"
    elif not (_is_number(first) or _is_number(second)):
        why = why_unclear(first, second)
    zero = ""
    if set(values) == {"0", "2"}:
        zero = f" (in PLINK's coding 0 is missing; then all are cases: --missing-code {trait}=0)"
    zero += missing_among(trait, values)
    genotypes = genotype_hint(trait, values)
    zero += f"; {genotypes}" if genotypes else ""
    return (
        f"{phenotypes.source}: the trait '{trait}' has the two values {first} ({n_first} samples) and {second} ({n_second} samples), "
        f"and it is not known which of them is the case: {why}{zero}. {_both_ways(trait, first, second)}"
    )


def _unclear(phenotypes: Phenotypes, trait: str, text: pl.Series) -> str:
    """The message for values that are no known coding of a binary trait."""
    counts = text.drop_nulls().value_counts(sort=True)
    values = [str(value) for value in counts[counts.columns[0]]]
    shown = ", ".join(f"{value} ({n} samples)" for value, n in counts.head(6).sort(counts.columns[0]).rows())
    shown += f" and {len(counts) - 6} more values" if len(counts) > 6 else ""
    message = f"{phenotypes.source}: the trait '{trait}' cannot be used as a binary trait; it has {shown}."
    if len(counts) == 1:
        return (
            f"{message} The trait is constant: with only one value there are no cases to compare with "
            "controls. Check the column and the selection of samples"
        )
    genotypes = genotype_hint(trait, values)
    if genotypes:
        hint = genotypes
    elif set(values) == {"0", "1", "2"}:
        hint = (
            "0/1 and 1/2 mean different things, and in PLINK's coding 0 is missing; recode the column, or if 0 means missing in "
            f'it, declare that: missing_codes={{"{trait}": ["0"]}} (--missing-code {trait}=0)'
        )
    elif len({plain_word(value) for value in values}) == 2:
        hint = "some of these are the same word in two spellings: use one spelling for each word"
    elif len(values) == 3:
        missing = missing_of_three(phenotypes, trait, values)
        example = missing or "..."
        hint = (
            "if a value means missing in this column, declare it: "
            f'missing_codes={{"{trait}": ["{example}"]}} (--missing-code {trait}={missing or "VALUE"})'
        )
    else:
        hint = "for a quantitative trait use a linear model"
    return f"{message} genassoc recognises 0/1 and 1/2 (control/case), and two words that say which is the case; {hint}"


def missing_of_three(phenotypes: Phenotypes, trait: str, values: list[str]) -> str | None:
    """The one value of three without which the other two are a coding; None if there is none, or more than one."""
    is_text = phenotypes.table[trait].dtype == pl.String
    alone = [value for value in values if _recognise(sorted(set(values) - {value}), is_text)]
    return alone[0] if len(alone) == 1 else None


def sex_meaning(values: set[str]) -> dict[str, int]:
    """The meaning of each value of a column: 1 male, 2 female, 0 unknown. Values that are not recognised are absent.

    A letter alone is M or H for male and F or W for female; a mixture of letters that is no pair is not understood. Numbers
    and doubts are taken as they are written: -1 is not 1, and "F?" not F.
    """
    words = {value: _sex_word(value) for value in values}
    letters = set(words.values()) & {letter for pair in _LETTERS for letter in pair}
    pair = next((pair for pair in _LETTERS if letters <= set(pair)), None)
    if letters == {"h"}:
        pair = ("h", "f")
    elif letters in ({"v"}, {"u"}, {"d"}) or (letters == {"m"} and _SPANISH & set(words.values())):
        pair = None
    letters_meant = {} if pair is None else {pair[0]: MALE, pair[1]: FEMALE}
    known = {**_SEX_WORDS, **letters_meant}
    return {value: known[word] for value, word in words.items() if word in known}


def _sex_word(value: str) -> str:
    return value.strip() if re.search(r"\d|\?", value) else plain_word(value)


def are_sexes(first: str, second: str) -> tuple[str, str] | None:
    """Two values as (male, female), if that is what they are and they are no numbers."""
    if first.isdigit() or second.isdigit():
        return None
    meaning = sex_meaning({first, second})
    by_sex = {sex: value for value, sex in meaning.items()}
    return (by_sex[MALE], by_sex[FEMALE]) if set(by_sex) == {MALE, FEMALE} else None


def sex_coding(phenotypes: Phenotypes, column: str, rows: Int64Array) -> tuple[Array, str]:
    """Sex of samples, 1 male, 2 female, 0 unknown, int8 array (N,); and a text that says how the values were read.

    Recognised are 1 and 2, and the words and letters of five languages; 0, "unknown" and missing are unknown.

    Raises
    ------
    PhenotypeError
        Another value occurs, or only 0 and 1 do, which some files use for female and male.
    """
    (name,) = phenotypes.resolve([column], "sex column")
    phenotypes.check_usable(name)
    values = plain_text(phenotypes.table[name].gather(rows))
    present = set(values.drop_nulls().unique())
    meaning = sex_meaning(present)
    codes = values.replace_strict(meaning, default=None, return_dtype=pl.Int8)
    bad = np.flatnonzero((codes.is_null() & values.is_not_null()).to_numpy())
    if bad.size:
        strange = sorted(present - set(meaning))
        code = next((value for value in strange if looks_missing(value) or _is_number(value)), "VALUE")
        raise PhenotypeError(
            f"{phenotypes.source}: the sex column '{name}' has '{values[int(bad[0])]}' in "
            f"{phenotypes.where(int(rows[bad[0]]), name)} ({bad.size} values are not recognised: {', '.join(strange[:6])}); use 1 or M for "
            "male, 2 or F for female (H/F, m/w, homme/femme, ... also work), 0 or NA for unknown (declare other missing values: "
            f"missing_codes={{'{name}': ['{code}']}}, --missing-code '{name}={code}')"
        )
    if "0" in present and "1" in present and FEMALE not in {meaning[value] for value in present}:
        raise PhenotypeError(
            f"{phenotypes.source}: the sex column '{name}' has 0 and 1 but no 2; 0 would mean unknown, but some files "
            "use it for female. Use 1 for male and 2 for female (or M and F), and NA for unknown"
        )
    names = {MALE: "male", FEMALE: "female"}
    read = ", ".join(
        f"{value} = {names[sex]}" for value, sex in sorted(meaning.items(), key=lambda pair: pair[::-1]) if sex in names
    )
    return codes.fill_null(0).to_numpy(), f"sex is read from '{name}': {read or 'it is unknown for all samples'}"


__all__ = [
    "Coding", "arm_coding", "binary_codes", "binary_coding", "missing_of_three", "plain_text", "sex_coding", "text_of", "with_case_values",
]  # fmt: skip
