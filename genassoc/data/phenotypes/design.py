"""Design: named traits and covariates as arrays y and X, with a record of all that was dropped."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import polars as pl

from genassoc.data.phenotypes.codings import binary_codes
from genassoc.data.phenotypes.emptied import category_labels
from genassoc.data.phenotypes.formula_columns import Samples, check_levels, formula_columns
from genassoc.data.phenotypes.offsets import Offsets, Unit, offset_columns
from genassoc.data.phenotypes.outcomes import count_values, ordered_levels
from genassoc.data.phenotypes.phenotypes import Phenotypes
from genassoc.errors import PhenotypeError
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array
from genassoc.stats.linalg import independent_columns

Kind = Literal["quantitative", "binary", "count", "ordinal"]

_LEVEL = re.compile(r"(?P<name>.*)\[(?P<level>.*)\]")


@dataclass(frozen=True)
class DroppedCovariate:
    """A covariate that was dropped.

    Attributes
    ----------
    name : str
        The covariate.
    level : str or None
        The level of a categorical covariate whose column it was.
    reason : str
        "constant (...)" or "collinear: a combination of ...".
    """

    name: str
    level: str | None
    reason: str

    def __str__(self) -> str:
        return f"{self.name}{'' if self.level is None else f'[{self.level}]'}: {self.reason}"


@dataclass(frozen=True, eq=False, kw_only=True)
class Design:
    """Traits and covariates of a cohort's samples as arrays.

    Attributes
    ----------
    traits : tuple of str
        T names.
    y : float64 array (N, T)
        NaN where missing; binary traits are 0 (control) and 1 (case), ordinal ones 0, 1, 2, ...
    covariates : tuple of str
        C names of X's columns; the first is "intercept", "site[B]" is the column of level B of site.
    X : float64 array (N, C)
        No NaN; rows of samples that lack a covariate are zero.
    complete : bool array (N,)
        False where a covariate is missing.
    dropped_covariates : tuple of DroppedCovariate
        Constant and collinear columns, in the order they were given.
    dropped_samples : polars DataFrame (id, covariate)
        Samples that are not complete, and the covariates they lack.
    kinds : tuple of str
        T times the kind.
    coding : tuple of str
        For each binary trait the recognised coding, "1 = control, 2 = case"; of an ordinal one its levels; else "".
    offset : float64 array (N, T)
        What enters the linear predictor with the coefficient 1: a prediction of the trait, 0 where none were given. No NaN:
        where a sample lacks the prediction of a trait, y is NaN.
    offset_unit : {"trait", "residual_sd"}
        What 1 of ``offset`` is; see `genassoc.data.phenotypes.offsets.Offsets`. Quantitative traits only have the second.
    """

    traits: tuple[str, ...]
    y: Float64Array
    covariates: tuple[str, ...]
    X: Float64Array
    complete: BoolArray
    dropped_covariates: tuple[DroppedCovariate, ...]
    dropped_samples: pl.DataFrame
    kinds: tuple[str, ...]
    coding: tuple[str, ...]
    offset: Float64Array
    offset_unit: Unit = "trait"

    def summary_lines(self) -> list[str]:
        """The codings recognised and the covariates and samples dropped, in words."""
        lines = [f"{trait}: {coding}" for trait, coding in zip(self.traits, self.coding) if coding]
        lines += [f"covariate dropped: {dropped}" for dropped in self.dropped_covariates]
        if len(self.dropped_samples):
            counts = self.dropped_samples["covariate"].str.split(", ").explode().value_counts(sort=True).head(5).rows()
            shown = ", ".join(f"{name} {n}" for name, n in counts)
            lines.append(f"{len(self.dropped_samples)} samples lack a covariate and are left out ({shown})")
        return lines


def build_design(
    phenotypes: Phenotypes,
    rows: Int64Array,
    traits: Sequence[str],
    covariates: Sequence[str] | str,
    kind: Kind = "quantitative",
    levels: Sequence[str] | None = None,
    offsets: Offsets | None = None,
) -> Design:
    """Arrays of traits and covariates for some samples.

    Parameters
    ----------
    phenotypes : Phenotypes
    rows : int64 array (N,)
        Rows of its table, in the order wanted.
    traits : sequence of str
        Columns; ranges such as "Y1:Y20" are expanded.
    covariates : sequence of str, or str
        A list of columns: numbers as they are, text as categories (treatment coding, the first level in
        sorted order is the reference), ranges such as "PC1:PC10" expanded. A str is a Wilkinson formula.
    kind : "quantitative", "binary", "count" or "ordinal"
    levels : sequence of str, optional
        Of ordinal traits in words: from the lowest to the highest.
    offsets : Offsets, optional
        Predictions of the traits in the same samples, of one chromosome or all.

    Raises
    ------
    PhenotypeError
        A column is absent, not what it is used as, constant or missing throughout.
    """
    if kind not in get_args(Kind):
        raise ValueError(f"kind is one of {', '.join(map(repr, get_args(Kind)))}, not {kind!r}")
    trait_names = phenotypes.resolve([traits] if isinstance(traits, str) else traits, "trait")
    formula = phenotypes.formula(covariates) if isinstance(covariates, str) and covariates.strip() else None
    if formula is not None:
        used = formula.columns
    else:
        used = () if isinstance(covariates, str) else phenotypes.resolve(covariates, "covariate")
    _check_names(phenotypes, trait_names, used)

    as_text = frozenset() if formula is None else formula.categories
    values = {name: _covariate_values(phenotypes, name, rows, name in as_text) for name in used}
    missing = {name: _missing(column) for name, column in values.items()}
    complete = ~np.logical_or.reduce([np.zeros(rows.size, dtype=bool), *missing.values()])
    if not complete.any():
        counts = ", ".join(f"{name} missing in {int(where.sum())}" for name, where in missing.items())
        raise PhenotypeError(f"{phenotypes.source}: none of {rows.size} samples has all covariates ({counts})")
    if formula is not None:
        samples = Samples(phenotypes.source, lambda sample: phenotypes.where(int(rows[sample])))
        names, columns = formula_columns(formula, values, complete, samples)
    else:
        present = {name: column[complete] for name, column in values.items()}
        names, columns = _encode(phenotypes, present, int(complete.sum()))
    names, kept, dropped = _independent(names, columns)
    if formula is not None and formula.refuses_intercept:
        dropped += (DroppedCovariate("0", None, "a model of an association always has its intercept"),)
    repeated = [name for i, name in enumerate(used) if name in used[:i]]
    dropped += tuple(DroppedCovariate(name, None, f"collinear: {name} is listed twice") for name in repeated)

    X = np.zeros((rows.size, kept.shape[1]))
    X[complete] = kept
    offset, lacking = offset_columns(offsets, trait_names, rows.size)
    y, coding = _traits(phenotypes, trait_names, rows, complete, kind, levels, lacking)
    ids = phenotypes.table[phenotypes.sample_id].gather(rows)
    return Design(
        traits=trait_names,
        y=y,
        covariates=names,
        X=X,
        complete=complete,
        dropped_covariates=dropped,
        dropped_samples=_dropped_samples(ids, missing, complete),
        kinds=(kind,) * len(trait_names),
        coding=coding,
        offset=offset,
        offset_unit="trait" if offsets is None else offsets.unit,
    )


def _check_names(phenotypes: Phenotypes, traits: tuple[str, ...], covariates: tuple[str, ...]) -> None:
    repeated = sorted({name for name in traits if traits.count(name) > 1})
    if repeated:
        raise PhenotypeError(f"the trait '{repeated[0]}' is asked for more than once; name it once")
    both = [name for name in traits if name in covariates]
    if both:
        raise PhenotypeError(
            f"{phenotypes.source}: '{both[0]}' is asked for as a trait and as a covariate; adjusted for itself nothing of it is "
            "left to explain. Remove it from one of them"
        )


def _covariate_values(phenotypes: Phenotypes, name: str, rows: Int64Array, as_text: bool) -> Array:
    """A covariate of all samples: float64 with NaN, or object array of str with None; ``as_text`` where any value is no number."""
    if phenotypes.looks_numeric(name, rows) and not (as_text and phenotypes.table[name].dtype == pl.String):
        return phenotypes.numbers(name, rows)
    return np.array(category_labels(phenotypes, name, rows).to_list(), dtype=object)


def _missing(column: Array) -> BoolArray:
    if column.dtype == object:
        return np.array([value is None for value in column], dtype=bool)
    return np.asarray(np.isnan(column))


def _encode(phenotypes: Phenotypes, present: dict[str, Array], n: int) -> tuple[tuple[str, ...], Float64Array]:
    """Numbers as they are; text as one column for each level but the first in sorted order."""
    names: list[str] = []
    columns: list[Array] = []
    for name, column in present.items():
        if column.dtype != object:
            names.append(name)
            columns.append(column)
            continue
        levels, codes = np.unique(column, return_inverse=True)
        check_levels(phenotypes.source, name, levels, column.size)
        if levels.size == 1:
            names.append(name)
            columns.append(np.zeros(column.size))
            continue
        names += [f"{name}[{level}]" for level in levels[1:]]
        columns += [(codes == level).astype(np.float64) for level in range(1, levels.size)]
    return tuple(names), np.column_stack(columns) if columns else np.zeros((n, 0))


def _independent(
    names: tuple[str, ...], columns: Float64Array
) -> tuple[tuple[str, ...], Float64Array, tuple[DroppedCovariate, ...]]:
    """Put the intercept first; leave out constant columns and combinations of earlier ones."""
    n = columns.shape[0]
    X = np.column_stack([np.ones(n), columns])
    all_names = ("intercept", *names)
    keep = independent_columns(X)
    dropped = []
    for c in np.flatnonzero(~keep):
        earlier = np.flatnonzero(keep[:c])
        match = _LEVEL.fullmatch(all_names[c])
        if np.all(X[:, c] == X[0, c]):
            reason = f"constant ({X[0, c]:g})"
        else:
            reason = f"collinear: {_combination(X[:, c], X[:, earlier], [all_names[i] for i in earlier])}"
        name, level = (match["name"], match["level"]) if match else (all_names[c], None)
        dropped.append(DroppedCovariate(name, level, reason))
    return tuple(all_names[c] for c in np.flatnonzero(keep)), X[:, keep], tuple(dropped)


def _combination(column: Float64Array, earlier: Float64Array, names: list[str]) -> str:
    """Which earlier columns a collinear one is made of, in words."""
    centred = earlier[:, 1:] - earlier[:, 1:].mean(axis=0)
    lengths = np.sqrt((centred**2).sum(axis=0))
    target = column - column.mean()
    coefficients = np.linalg.lstsq(centred / lengths, target / np.sqrt(target @ target), rcond=None)[0]
    # Coefficients are of columns of length one; 1e-6 is well above their rounding, below any visible part.
    parts = [names[i + 1] for i in np.flatnonzero(np.abs(coefficients) > 1e-6)]
    if not parts:
        return "nothing is left of it beside the covariates before it"
    shown = ", ".join(parts[:5]) + (f" and {len(parts) - 5} more" if len(parts) > 5 else "")
    if len(parts) == 1:
        return f"a copy of {shown}, up to scale and shift"
    return f"a combination of {shown}"


def _traits(
    phenotypes: Phenotypes, traits: tuple[str, ...], rows: Int64Array, complete: BoolArray, kind: Kind,
    levels: Sequence[str] | None, lacking: BoolArray,
) -> tuple[Float64Array, tuple[str, ...]]:  # fmt: skip
    """y (N, T), NaN where it lacks an offset, and codings of binary and ordinal traits; constant and empty traits are refused."""
    y = np.full((rows.size, len(traits)), np.nan)
    coding = []
    for t, trait in enumerate(traits):
        if kind == "binary":
            y[:, t], recognised = binary_codes(phenotypes, trait, rows)
        elif kind == "ordinal":
            y[:, t], recognised = ordered_levels(phenotypes, trait, rows, levels)
        else:
            y[:, t] = (count_values if kind == "count" else Phenotypes.numbers)(phenotypes, trait, rows)
            recognised = ""
        coding.append(recognised)
        y[lacking[:, t], t] = np.nan
        _check_varies(phenotypes, trait, y[:, t], complete)
    return y, tuple(coding)


def _check_varies(phenotypes: Phenotypes, trait: str, y: Float64Array, complete: BoolArray) -> None:
    """Refuse a trait without two different values among the samples that can be analysed."""
    observed = ~np.isnan(y)
    values = y[observed & complete]
    among = f"the cohort's {y.size} samples"
    if not complete.all():
        among = f"the {int(complete.sum())} samples of the cohort that have all covariates"
    if values.size == 0:
        raise PhenotypeError(f"{phenotypes.source}: the trait '{trait}' is missing in all of {among}")
    if np.all(values == values[0]):
        raise PhenotypeError(
            f"{phenotypes.source}: the trait '{trait}' is constant: it is {values[0]:g} in all {values.size} of {among} in which "
            "it is observed; there is nothing to associate. Check the column and the choice of samples"
        )


def _dropped_samples(ids: pl.Series, missing: dict[str, BoolArray], complete: BoolArray) -> pl.DataFrame:
    """Ids of incomplete samples and, joined by commas, the covariates they lack."""
    at = np.flatnonzero(~complete)
    lacking = [", ".join(name for name, where in missing.items() if where[i]) for i in at]
    return pl.DataFrame({"id": ids.gather(at), "covariate": lacking}, schema={"id": pl.String, "covariate": pl.String})
