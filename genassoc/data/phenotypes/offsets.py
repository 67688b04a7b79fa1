"""Offsets: predictions of traits that enter a model with the coefficient 1, as those of a whole-genome regression."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from genassoc.errors import InputError
from genassoc.shapes import BoolArray, Float64Array

if TYPE_CHECKING:
    import polars as pl

Unit = Literal["trait", "residual_sd"]
Source = str | Mapping[str, str]  # a path, a pattern of paths, or a path of each chromosome or trait


@dataclass(frozen=True, eq=False)
class PredictionTables:
    """Predictions in memory, not yet of any cohort.

    Attributes
    ----------
    tables : mapping
        A name of a chromosome -> a DataFrame of sample_id and a column for each trait: predictions that leave it out.
    everywhere : DataFrame
        Predictions that leave nothing out: of chromosomes which gave nothing to any prediction.
    unit : {"trait", "residual_sd"}
        See `Offsets`.
    outcome : str
        What the traits are, as models' ``outcome``.
    source : str
        Where they come from, in words.
    ranks : bool
        Whether they are of normal scores of the traits' ranks.
    """

    tables: Mapping[str, "pl.DataFrame"]
    everywhere: "pl.DataFrame"
    unit: Unit
    outcome: str
    source: str
    ranks: bool = False


@dataclass(frozen=True, eq=False)
class Offsets:
    """Predictions of traits in the samples of a cohort: one of each trait for all chromosomes, or one a chromosome.

    Attributes
    ----------
    traits : tuple of str
        T names.
    values : mapping of float64 arrays (N, T)
        A table's name for a chromosome -> predictions. NaN where a sample has none, of this chromosome or another: a sample is
        analysed on all chromosomes or on none.
    chromosomes : mapping
        Contig -> which of ``values`` it has.
    unit : {"trait", "residual_sd"}
        What 1 is: of the trait's linear predictor; or, in REGENIE's files of quantitative traits, a standard deviation of
        what the covariates leave of the trait.
    source : str
        Where they came from, in words.
    origin : str, mapping or None
        The same as it was given, with absolute paths; None of tables in memory.
    files : tuple of Path
    """

    traits: tuple[str, ...]
    values: Mapping[str, Float64Array]
    chromosomes: Mapping[str, str]
    unit: Unit = "trait"
    source: str = "the table given"
    origin: Source | None = None
    files: tuple[Path, ...] = field(default_factory=tuple)

    @property
    def by_chromosome(self) -> bool:
        """Whether chromosomes have predictions of their own, so that each has null models of its own."""
        return len(self.values) > 1

    @cached_property
    def digest(self) -> str:
        """Short hash of the content: predictions of which chromosomes, traits and samples; not of files and their names."""
        found = hashlib.sha256(repr((self.traits, self.unit, sorted(self.chromosomes.items()))).encode())
        for name in sorted(self.values):
            found.update(name.encode() + np.ascontiguousarray(self.values[name]).tobytes())
        return found.hexdigest()[:16]

    def predictions(self, trait: str) -> list[str]:
        """Short hashes of the different predictions of a trait, by `prediction_digest`: whoever made them can tell that they are his."""
        t = self.traits.index(trait)
        return sorted({prediction_digest(values[:, t]) for values in self.values.values()})

    def of_contig(self, contig: str) -> "Offsets":
        """Those of one contig, for all contigs.

        Raises
        ------
        InputError
            There are none.
        """
        if contig not in self.chromosomes:
            raise InputError(f"{self.source}: there is no prediction of chromosome {contig}")
        name = self.chromosomes[contig]
        return replace(self, values={name: self.values[name]}, chromosomes=dict.fromkeys(self.chromosomes, name))

    def of_traits(self, traits: Sequence[str]) -> Float64Array:
        """Predictions of some traits (N, T), where they are the same for all chromosomes; NaN where a sample has none."""
        if self.by_chromosome:
            raise ValueError("these offsets differ by chromosome: choose one with of_contig (Cohort.at_contig)")
        (values,) = self.values.values()
        return values[:, [self.traits.index(trait) for trait in traits]]

    def take(self, keep: BoolArray) -> "Offsets":
        """Those of some samples (bool (N,))."""
        return replace(self, values={name: values[keep] for name, values in self.values.items()})


def prediction_digest(values: Float64Array) -> str:
    """Short hash of predictions of samples, in their order; NaN where a sample has none."""
    plain = np.where(np.isnan(values), np.nan, values + 0.0)  # one NaN, and one zero
    return hashlib.sha256(plain.tobytes()).hexdigest()[:16]


def offset_columns(offsets: Offsets | None, traits: Sequence[str], n_samples: int) -> tuple[Float64Array, BoolArray]:
    """Offsets of traits (N, T), 0 where there are none; and whether a sample lacks the prediction of a trait (N, T)."""
    if offsets is None or not traits:
        shape = (n_samples, len(traits))
        return np.zeros(shape), np.zeros(shape, dtype=bool)
    values = offsets.of_traits(traits)
    lacking = np.isnan(values)
    return np.where(lacking, 0.0, values), lacking
