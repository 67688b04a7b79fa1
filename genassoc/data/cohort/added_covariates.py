"""Covariates that a run adds to a cohort's own: sex on X, and the ALT copies of given variants."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from genassoc.data.block import X_OUTSIDE_PAR, Places, copies_of, places_of
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.variant_selection import variant_ids
from genassoc.data.phenotypes.formula import quoted
from genassoc.errors import InputError
from genassoc.shapes import Float64Array, Int64Array

SEX_ON_X = "sex on X"
_VARIANTS = 65_536  # read at a time when a variant is looked for


@dataclass(frozen=True, eq=False)
class Conditioned:
    """A cohort with the variants it is conditioned on.

    Attributes
    ----------
    cohort : Cohort
        With one more column a variant, of its name.
    numbers : int64 array
        The variants, as numbered in the store.
    notes : tuple of str
        What was done, and whom it leaves out.
    """

    cohort: Cohort
    numbers: Int64Array
    notes: tuple[str, ...]


def more_covariates(covariates: tuple[str, ...] | str, names: Sequence[str]) -> tuple[str, ...] | str:
    """The covariates, a list or a formula, followed by more."""
    if not isinstance(covariates, str):
        return (*covariates, *names)
    terms = [covariates] if covariates.strip() else []
    return " + ".join([*terms, *(quoted(name) for name in names)])


def with_sex(cohort: Cohort) -> Cohort:
    """The cohort with `SEX_ON_X` (1 male, 2 female, missing where unknown) among its columns."""
    assert cohort.sex is not None
    sex = pl.Series(SEX_ON_X, cohort.sex).cast(pl.Float64)
    return _with_columns(
        cohort, pl.DataFrame({SEX_ON_X: sex}).select(pl.when(pl.col(SEX_ON_X) > 0).then(pl.col(SEX_ON_X)))
    )


def with_variants(cohort: Cohort, names: Sequence[str], *, male_x_dosage: int = 2, impute: bool = False) -> Conditioned:
    """The cohort with copies of ALT of variants among its columns.

    Parameters
    ----------
    names : sequence of str
        Each an rsid or a variant_id (chromosome_position_ref_alt).
    male_x_dosage : {2, 1}
        What one ALT of a male on X counts.
    impute : bool
        Missing calls get the mean of the cohort's; otherwise the sample lacks a covariate.

    Raises
    ------
    InputError
        A name is of no variant of the store, or of several (shows them); or the variant is not observed in anybody.
    """
    numbers = np.array([_number_of(cohort, name) for name in names], dtype=np.int64)
    columns, notes = {}, []
    for name, number in zip(names, numbers):
        copies = _copies(cohort, int(number), male_x_dosage)
        n_missing = int(np.isnan(copies).sum())
        if n_missing == copies.size:
            raise InputError(f"condition_on: {name} is observed in none of the cohort's {copies.size:,} samples")
        fate = "have the mean of the others" if impute else "are left out"
        notes.append(
            f"conditioned on {name} (additive in ALT)"
            + (f": {n_missing:,} samples without its call {fate}" if n_missing else "")
        )
        columns[name] = np.where(np.isnan(copies), np.nanmean(copies), copies) if impute else copies
    table = pl.DataFrame({name: pl.Series(values).fill_nan(None) for name, values in columns.items()})
    return Conditioned(_with_columns(cohort, table), numbers, tuple(notes))


def _with_columns(cohort: Cohort, columns: pl.DataFrame) -> Cohort:
    """The cohort with more columns (N rows, one a sample); its notes stay as they are."""
    from dataclasses import replace

    key = "sample"
    while key in columns.columns:
        key += "_"
    ids = pl.Series(key, [str(name) for name in cohort.sample_ids], dtype=pl.String)
    joined = cohort.with_covariates(columns.insert_column(0, ids), sample_id=key, missing_codes=[])
    return replace(joined, notes=cohort.notes)


def _number_of(cohort: Cohort, name: str) -> int:
    """Number in the store of the variant that an rsid or variant_id names."""
    matches: list[tuple[int, str]] = []
    for start in range(0, cohort.n_variants, _VARIANTS):
        variants = cohort.store.variants(start, min(start + _VARIANTS, cohort.n_variants))
        ids = variants.select(variant_ids())["id"]
        at = np.flatnonzero(((variants["rsid"] == name).fill_null(False) | (ids == name)).to_numpy())
        matches += [(start + int(i), str(ids[int(i)])) for i in at]
    if len(matches) == 1:
        return matches[0][0]
    if not matches:
        raise InputError(
            f"condition_on: the store has no variant '{name}'; name its rsid, or its variant_id as in results: {_example(cohort)}"
        )
    shown = ", ".join(identity for _, identity in matches[:5]) + (", ..." if len(matches) > 5 else "")
    distinct = len({identity for _, identity in matches}) > 1
    way = "name one of them by its variant_id" if distinct else "they are duplicates: keep one when converting"
    raise InputError(f"condition_on: '{name}' is the name of {len(matches)} variants ({shown}); {way}")


def _example(cohort: Cohort) -> str:
    return str(cohort.store.variants(0, 1).select(variant_ids())["id"][0])


def _copies(cohort: Cohort, number: int, male_x_dosage: int) -> Float64Array:
    """Copies of ALT of one variant in the cohort's samples (N,), NaN where not observed."""
    block = cohort.block_of(np.array([number]))
    copies = copies_of(block)[0, cohort.block_columns]
    places: Places = places_of(block)
    if male_x_dosage == 1 and places.ploidy[0] == X_OUTSIDE_PAR and cohort.sex is not None:
        copies = np.where(cohort.sex == 1, copies / 2, copies)
    return np.asarray(copies)
