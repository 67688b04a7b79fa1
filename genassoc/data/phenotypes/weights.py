"""Sampling weights: how many of the population each sample stands for, read from a column and checked."""

from dataclasses import dataclass

import numpy as np

from genassoc.data.phenotypes.design import Design
from genassoc.data.phenotypes.left_out import without_samples
from genassoc.data.phenotypes.phenotypes import Phenotypes
from genassoc.errors import PhenotypeError
from genassoc.shapes import BoolArray, Float64Array, Int64Array

_SHOWN = 5  # samples named in a note; the ledger has all


@dataclass(frozen=True, eq=False)
class Weights:
    """Sampling weights of a cohort's samples.

    Attributes
    ----------
    name : str
        Their column.
    values : float64 array (N,)
        Above 0; NaN where missing, and where 0: not sampled.
    notes : tuple of str
        Who has none.
    """

    name: str
    values: Float64Array
    notes: tuple[str, ...]

    @property
    def there(self) -> BoolArray:
        """Samples (N,) that have a weight."""
        return np.asarray(~np.isnan(self.values))

    def line(self, trait: str, samples: BoolArray) -> str:
        """The effective number of samples under the weights of a trait's samples (bool (N,)), in words."""
        weights = self.values[samples]
        if not weights.size:
            return f"{trait}: no sample has a weight"
        effective = weights.sum() ** 2 / (weights**2).sum()
        return (
            f"{trait}: sampling weights {self.name} from {weights.min():g} to {weights.max():g}; the effective sample size (Kish) is "
            f"{effective:,.0f} of {weights.size:,}; frequencies and counts are of the samples, unweighted"
        )


def read_weights(phenotypes: Phenotypes, rows: Int64Array, column: str) -> Weights:
    """Weights of some rows (N,) of the phenotypes.

    Raises
    ------
    PhenotypeError
        There is no such column; a weight is no finite number, or negative (names the first samples); nobody has one.
    """
    (name,) = phenotypes.resolve([column], "sampling weight")
    values = phenotypes.numbers(name, rows).copy()
    with np.errstate(invalid="ignore"):
        bad = np.flatnonzero(values < 0)
    if bad.size:
        shown = ", ".join(f"{values[i]:g} in {phenotypes.where(int(rows[i]))}" for i in bad[:3])
        raise PhenotypeError(
            f"{phenotypes.source}: the sampling weight '{name}' is negative in {bad.size:,} samples: {shown}. A "
            "weight is one over the chance of being sampled: correct them, or write NA to leave these samples out"
        )
    notes = []
    for fault, who in (("lack the sampling weight", np.isnan(values)), ("have the sampling weight 0 in", values == 0)):
        at = np.flatnonzero(who)
        if at.size:
            ids = [str(phenotypes.table[phenotypes.sample_id][int(rows[i])]) for i in at[:_SHOWN]]
            more = f" and {at.size - _SHOWN:,} more" if at.size > _SHOWN else ""
            notes.append(f"{at.size:,} samples {fault} {name} and are left out: {', '.join(ids)}{more}")
    values[values == 0] = np.nan
    if np.isnan(values).all():
        raise PhenotypeError(
            f"{phenotypes.source}: none of {rows.size:,} samples has a sampling weight '{name}' above 0"
        )
    return Weights(name, values, tuple(notes))


def weighted_design(design: Design, weights: Weights, phenotypes: Phenotypes, rows: Int64Array) -> Design:
    """The design without samples that lack a weight; they are recorded as dropped.

    Raises
    ------
    PhenotypeError
        The weight is a trait, or nobody has it and all covariates.
    """
    if weights.name in design.traits:
        raise PhenotypeError(
            f"{phenotypes.source}: '{weights.name}' is asked for as a trait and as the sampling weight: name one column for each"
        )
    return without_samples(design, ~weights.there, f"sampling weight {weights.name}", phenotypes, rows)
