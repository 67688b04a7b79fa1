"""The covariate E that may change a variant's effect (a treatment arm, sex, age): its values, and E in the model."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from genassoc.data.phenotypes.codings import arm_coding, text_of
from genassoc.data.phenotypes.formula import quoted
from genassoc.data.phenotypes.number_spellings import genotype_hint, missing_among
from genassoc.data.phenotypes.phenotypes import Phenotypes
from genassoc.errors import PhenotypeError
from genassoc.shapes import BoolArray, Float64Array, Int64Array


@dataclass(frozen=True, eq=False)
class Modifier:
    """E of a cohort's samples.

    Attributes
    ----------
    name : str
    values : float64 array (N,)
        As in the data; of two words 0 is what the other is compared with (`arm_coding`). NaN where missing.
    arms : tuple of (str, float)
        For a two-valued E its values as in the data, each with its number in ``values``; else empty.
    notes : tuple of str
        What E is.
    """

    name: str
    values: Float64Array
    arms: tuple[tuple[str, float], ...]
    notes: tuple[str, ...]


def read_modifier(phenotypes: Phenotypes, rows: Int64Array, name: str, complete: BoolArray) -> Modifier:
    """E of some rows (N,) of the phenotypes; ``complete`` (N,) are the samples with all covariates.

    Raises
    ------
    PhenotypeError
        The column is absent, constant, text of more than two values, or of two that do not say which is 0.
    """
    (name,) = phenotypes.resolve([name], "interaction's covariate")
    where = f"{phenotypes.source}: interaction='{name}'"
    if name not in phenotypes.case_values and phenotypes.looks_numeric(name, rows):
        values = phenotypes.numbers(name, rows)
        levels = np.unique(values[complete & ~np.isnan(values)])
        words = [f"{level:g}" for level in levels[:3]]
        coded = f"E is {name}"
    else:
        labels = text_of(phenotypes, name, rows).to_list()
        found = sorted({label for label, here in zip(labels, complete) if here and label is not None})
        if len(found) > 2:
            is_of = "is text of" if phenotypes.table[name].dtype == pl.String else "has a case_value and"
            shown = ", ".join(f"'{label}'" for label in found[:5]) + (", ..." if len(found) > 5 else "")
            raise PhenotypeError(
                f"{where} {is_of} {len(found)} values ({shown}), but an interaction needs two arms or a number: "
                "make a column of two of them (missing elsewhere), one for each comparison, or code them as numbers"
                + (f"; {hint}" if (hint := genotype_hint(name, found)) else missing_among(name, found))
            )
        if len(found) == 2:
            coding = arm_coding(phenotypes, name, *found)
            found = [coding.control, coding.case]
        number = {label: float(i) for i, label in enumerate(found)}
        values = np.array([number.get(label, np.nan) if label is not None else np.nan for label in labels])
        levels, words = np.arange(len(found), dtype=np.float64), found
        kind = "text" if phenotypes.table[name].dtype == pl.String else "coded"
        coded = f"E is {name}, {kind}: " + ", ".join(f"{label} = {i}" for i, label in enumerate(found))
    if levels.size < 2:
        raise PhenotypeError(
            f"{where} has the one value {words[0] if words else 'missing'} in the samples that can be analysed: nothing "
            "can be compared. Check the column and the selection of samples"
        )
    if levels.size > 2:
        inside = values[complete & ~np.isnan(values)]
        note = f"{coded}, a number from {inside.min():g} to {inside.max():g}: 'add' is the effect at E = 0, 'add:E' its change for E + 1"
        return Modifier(name, values, (), (note,))
    arms = tuple((word, float(level)) for word, level in zip(words, levels))
    counts = " and ".join(f"{word} ({int((values[complete] == level).sum()):,} samples)" for word, level in arms)
    note = f"{coded}, two values: {counts}; 'add' is the effect at E = 0, 'add:E' its change for E + 1"
    if 0.0 not in levels:
        note += f" (nobody has E = 0: read 'add|E={words[0]}' and 'add|E={words[1]}')"
    return Modifier(name, values, arms, (note,))


def with_main_effect(
    phenotypes: Phenotypes, covariates: Sequence[str] | str, name: str
) -> tuple[tuple[str, ...] | str, tuple[str, ...]]:
    """The covariates with E among them, and a note if E had to be added."""
    (name,) = phenotypes.resolve([name], "interaction's covariate")
    joined = (f"{name} joined the covariates: a model of an interaction has its main effect",)
    if isinstance(covariates, str):
        if not covariates.strip():
            return (name,), joined
        if name in phenotypes.formula(covariates).columns:
            return covariates, ()
        return f"{covariates} + {quoted(name)}", joined
    if name in phenotypes.resolve(covariates, "covariate"):
        return tuple(covariates), ()
    return (*covariates, name), joined


def check_main_effect(modifier: Modifier, X: Float64Array, complete: BoolArray) -> None:
    """Refuse covariates X (N, C) that do not hold E itself, as a formula with nothing but ``arm:age`` would.

    Raises
    ------
    PhenotypeError
    """
    E = modifier.values[complete]
    E = E - E.mean()
    Q = np.linalg.qr(X[complete])[0]
    residual = E - Q @ (Q.T @ E)
    # 1e-6 of the length is what rounding leaves of a column with a mean 1e9 times its spread.
    if residual @ residual > 1e-12 * (E @ E):
        raise PhenotypeError(
            f"the covariates hold {modifier.name} in other terms but not by itself. A model with an interaction needs the "
            f"main effect: add {modifier.name} to the formula"
        )
