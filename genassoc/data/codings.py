"""Codings: which of a binary trait's two values is the case, which values mean male and female."""

import re

import numpy as np
import polars as pl

from genassoc.data.columns import NUMBER
from genassoc.data.phenotypes import Phenotypes
from genassoc.errors import PhenotypeError
from genassoc.shapes import Array, Float64Array, Int64Array

# Words that mean "control" and "case" when a trait is coded in words; anything else goes by the alphabet.
_CONTROL_WORDS = frozenset(
    [
        "control",
        "controls",
        "no",
        "n",
        "unaffected",
        "false",
        "f",
        "negative",
        "neg",
        "absent",
        "healthy",
        "none",
        "never",
        "normal",
        "placebo",
    ]
)
_CASE_WORDS = frozenset(
    [
        "case",
        "cases",
        "yes",
        "y",
        "affected",
        "true",
        "t",
        "positive",
        "pos",
        "present",
        "ill",
        "sick",
        "diseased",
        "ever",
        "disease",
    ]
)
_NEGATED = re.compile(r"(non|not|no|un|without)[\s_-]*(?P<rest>.+)")


def binary_codes(phenotypes: Phenotypes, trait: str, rows: Int64Array) -> tuple[Float64Array, str]:
    """A binary trait as 0 (control) and 1 (case), NaN where missing.

    Recognised are 0/1, 1/2 and exactly two words. Of two words the control is the one that says so
    ("control", "no",
    "unaffected", "non-responder", ...), else the first of the alphabet.

    Parameters
    ----------
    phenotypes : Phenotypes
    trait : str
    rows : int64 array (N,)

    Returns
    -------
    y : float64 array (N,)
    coding : str
        As "1 = control, 2 = case".

    Raises
    ------
    PhenotypeError
        Other values, or a mixture such as 0, 1 and 2 (shows the values and their counts), or one value only.
    """
    phenotypes.check_undeclared_missing(trait, rows)
    values = phenotypes.table[trait].gather(rows)
    if values.dtype == pl.Boolean:
        values = values.cast(pl.Int64)
    text = _plain_text(values)
    found = text.drop_nulls().unique().sort().to_list()
    if not found:
        raise PhenotypeError(
            f"{phenotypes.source}: the trait '{trait}' is missing in all of the cohort's {rows.size} samples"
        )
    coding = _recognise(found, is_text=values.dtype == pl.String)
    if coding is None:
        raise PhenotypeError(_unclear(phenotypes, trait, text, rows))
    control, case = coding
    y = np.full(rows.size, np.nan)
    y[(text == control).fill_null(False).to_numpy()] = 0.0
    y[(text == case).fill_null(False).to_numpy()] = 1.0
    return y, f"{control} = control, {case} = case"


def _plain_text(values: pl.Series) -> pl.Series:
    """Values as text; 1.0 is written 1."""
    if values.dtype.is_float():
        return values.cast(pl.String).str.strip_suffix(".0")
    return values.cast(pl.String)


def _recognise(found: list[str], is_text: bool) -> tuple[str, str] | None:
    """(control, case) of the values found, or None if they are no known coding."""
    if found in (["0", "1"], ["1", "2"]):
        return found[0], found[1]
    if len(found) != 2 or not is_text or any(re.fullmatch(NUMBER, value) for value in found):
        return None
    first, second = found
    for control, case in ((first, second), (second, first)):
        says_control = control.casefold() in _CONTROL_WORDS or case.casefold() in _CASE_WORDS
        negated = _NEGATED.fullmatch(control.casefold())
        if says_control or (negated and negated["rest"] == case.casefold()):
            return control, case
    return first, second


def _unclear(phenotypes: Phenotypes, trait: str, text: pl.Series, rows: Int64Array) -> str:
    """What to say of values that are no known coding of a binary trait."""
    counts = text.drop_nulls().value_counts(sort=True)
    shown = ", ".join(f"{value} ({n} samples)" for value, n in counts.head(6).sort(counts.columns[0]).rows())
    shown += f" and {len(counts) - 6} more values" if len(counts) > 6 else ""
    message = f"{phenotypes.source}: the trait '{trait}' is not binary as it stands; it has {shown}."
    if len(counts) == 1:
        return (
            f"{message} The trait is constant: with one value only there are no cases to compare with "
            "controls. "
            "Check the column and the choice of samples"
        )
    values = set(counts[counts.columns[0]])
    if values <= {"0", "1", "2"}:
        hint = (
            "0/1 and 1/2 mean different things, and in PLINK's coding 0 is missing; recode it, or if 0 "
            "means missing "
            'declare it: missing_codes=["0"] (--missing-code 0)'
        )
    elif len(values) == 3:
        rare = counts[counts.columns[0]][-1]
        hint = f'if a value means missing, declare it: missing_codes=["{rare}"] (--missing-code)'
    else:
        hint = "for a quantitative trait use a linear model"
    return f"{message} Understood are 0/1 and 1/2 (control/case) and exactly two words; {hint}"


def sex_codes(phenotypes: Phenotypes, column: str, rows: Int64Array) -> Array:
    """Sex of samples: 1 male, 2 female, 0 unknown, int8 array (N,).

    Understood are 1 and 2, M and F, male and female in any case; 0, "unknown" and missing are unknown.

    Raises
    ------
    PhenotypeError
        Another value occurs, or only 0 and 1 do, which some files use for female and male.
    """
    (name,) = phenotypes.resolve([column], "sex column")
    values = phenotypes.table[name].gather(rows)
    if values.dtype.is_numeric():
        values = values.cast(pl.Float64).cast(pl.String).str.strip_suffix(".0")
    words = values.cast(pl.String).str.to_lowercase().fill_null("na")
    meaning = {"1": 1, "m": 1, "male": 1, "2": 2, "f": 2, "female": 2, "0": 0, "unknown": 0, "na": 0}
    codes = words.replace_strict(meaning, default=None, return_dtype=pl.Int8)
    bad = np.flatnonzero(codes.is_null().to_numpy())
    if bad.size:
        raise PhenotypeError(
            f"{phenotypes.source}: the sex column '{name}' has '{values[int(bad[0])]}' in "
            f"{phenotypes.where(int(rows[bad[0]]))} ({bad.size} values are not understood); use 1 or M for "
            "male, 2 or F "
            'for female, 0 or NA for unknown (other missing values: missing_codes=["-9"])'
        )
    present = set(words)
    if "0" in present and "1" in present and not present & {"2", "f", "female"}:
        raise PhenotypeError(
            f"{phenotypes.source}: the sex column '{name}' has 0 and 1 but no 2; 0 would mean unknown, yet "
            "some files "
            "mean female by it. Use 1 for male and 2 for female (or M and F), and NA for unknown"
        )
    return codes.to_numpy()
