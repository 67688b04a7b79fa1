"""The frame of a whole-genome regression: traits and covariates of samples in fold order, blocks of variants; what priors and outcomes give.

A prior (`ridge`) makes predictors of blocks; an outcome (`quantitative`, `binary`) says what a trait's null model is, and how predictors
of all blocks become one prediction a chromosome. Neither knows who runs the passes over the genotypes: a `Runner` is handed in.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Protocol

import numpy as np

from genassoc.analyses.whole_genome.choices import WholeGenomeRegression
from genassoc.analyses.whole_genome.folds import Folds
from genassoc.data.analysis import RereadingAnalysis, State, SummedAnalysis, Sums
from genassoc.data.phenotypes.offsets import Unit
from genassoc.shapes import Array, BoolArray, Float32Array, Float64Array, Int64Array

if TYPE_CHECKING:
    from genassoc.data.cohort.cohort import Cohort


@dataclass(frozen=True, eq=False, kw_only=True)
class TraitNull:
    """A trait on the covariates alone.

    Attributes
    ----------
    name : str
    observed : bool array (n,)
        Samples that have the trait and all covariates.
    response : float64 array (n, k)
        The trait, in columns that its outcome knows; the last must vary in each fold: the trait itself, of a binary one 0 and 1.
    eta : float64 array (n,)
        Linear predictor of the covariates, which level 1 takes as its offset; 0 where the response is residuals already.
    working : float64 array (n,)
        What blocks are fitted to: residuals on the covariates with a mean square of 1 (over n - C), 0 where not observed.
    scale : float
        The standard deviation of residuals that was divided by.
    strata : int64 array (n,) or None
        What folds are to hold evenly: 0, 1, and -1 where not observed.
    n_covariates : int
        C, with the intercept.
    notes : tuple of str
    """

    name: str
    observed: BoolArray
    response: Float64Array
    eta: Float64Array
    working: Float64Array
    scale: float
    strata: Int64Array | None
    n_covariates: int
    notes: tuple[str, ...] = ()

    def take(self, samples: Int64Array) -> "TraitNull":
        """The same of some samples, in their order."""
        return replace(
            self,
            observed=self.observed[samples],
            response=self.response[samples],
            eta=self.eta[samples],
            working=self.working[samples],
            strata=None if self.strata is None else self.strata[samples],
        )

    def of_observed(self) -> "TraitNull":
        """The same of the samples that have it."""
        return self.take(np.flatnonzero(self.observed))


@dataclass(frozen=True)
class TraitFailure:
    """A trait that could not be fitted, and why."""

    name: str
    reason: str


@dataclass(frozen=True, eq=False)
class TraitFit:
    """A trait predicted.

    Attributes
    ----------
    name : str
    contributions : float64 array (H, n)
        What the variants of each of H chromosomes add to the linear predictor of each sample; each sample's from folds without it.
        NaN where the trait is not observed. Samples in the order of the fit's group (of `Outcome.level1`: of its null).
    chosen : mapping
        Of the penalty that cross-validation chose: "h2" and what it gave, as "r2", "mse", "neg_log_likelihood".
    table : tuple of mapping
        The same of each penalty tried.
    notes : tuple of str
    factor : float
        What chi-squared of linear rows with these predictions is to be divided by; 1 where it needs none.
    """

    name: str
    contributions: Float64Array
    chosen: Mapping[str, float]
    table: tuple[Mapping[str, float], ...] = ()
    notes: tuple[str, ...] = ()
    factor: float = 1.0


@dataclass(frozen=True, eq=False)
class SampleGroup:
    """Traits that are fitted on the same samples, with the same folds.

    Attributes
    ----------
    samples : int64 array (n,)
        Samples of the cohort in fold order.
    columns : int64 array (n,)
        Their columns in the cohort's blocks.
    folds : Folds
    Q : float32 array (n, C)
        Orthonormal basis of the covariates; the first column is constant.
    nulls : tuple of TraitNull
        T traits, their samples in this order.
    working : float32 array (n, T)
        Theirs.
    """

    samples: Int64Array
    columns: Int64Array
    folds: Folds
    Q: Float32Array
    nulls: tuple[TraitNull, ...]
    working: Float32Array

    @property
    def n(self) -> int:
        """Samples."""
        return self.samples.size


@dataclass(frozen=True)
class BlockSpan:
    """A run of variants of the store that holds a block of usable ones of one chromosome."""

    contig: str
    chromosome: int
    start: int
    stop: int
    n_variants: int


@dataclass(frozen=True, eq=False)
class Frame:
    """All that a prior needs beside the genotypes.

    Attributes
    ----------
    choices : WholeGenomeRegression
    groups : tuple of SampleGroup
    failures : tuple of TraitFailure
        Traits that no group has.
    columns : int64 array (n,)
        Columns of the samples of any group: a variant that does not vary among them is not used.
    width : int
        Samples in the cohort's blocks.
    chromosomes : tuple of str
        Keys of the H chromosomes that have blocks.
    blocks : tuple of BlockSpan
    notes : tuple of str
    """

    choices: WholeGenomeRegression
    groups: tuple[SampleGroup, ...]
    failures: tuple[TraitFailure, ...]
    columns: Int64Array
    width: int
    chromosomes: tuple[str, ...] = ()
    blocks: tuple[BlockSpan, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def n_variants(self) -> int:
        """M, variants of all blocks."""
        return sum(block.n_variants for block in self.blocks)


class Runner(Protocol):
    """Makes passes over the blocks of a frame, on whatever executor, from whatever an interrupted run left."""

    def __call__(self, analysis: SummedAnalysis[State, Sums], before: Sums | None = None) -> Iterator[Sums]:
        """What each block gave, in genome order; ``before`` is what the analysis is prepared with, and part of the pass' identity."""

    def batches(self, analysis: RereadingAnalysis[State, Sums]) -> Iterator[Sums]:
        """What each batch of traits gave, of an analysis that reads all blocks many times."""


class Prior(Protocol):
    """What is assumed of the effects."""

    name: ClassVar[str]

    def fit(self, frame: Frame, run: Runner) -> "Fitted":
        """Fit all traits of a frame."""


class Outcome(Protocol):
    """A kind of trait: its null model, and level 1 of the regression."""

    name: ClassVar[str]
    unit: ClassVar[Unit]
    penalty_factor: ClassVar[float]

    def null(self, cohort: "Cohort", choices: WholeGenomeRegression, trait: str) -> TraitNull:
        """The trait in all samples of the cohort.

        Raises
        ------
        PhenotypeError
            It cannot be fitted; the other traits are, all the same.
        """

    def level1(
        self, null: TraitNull, X: Float32Array, folds: Folds, penalties: Float64Array, chromosomes: Sequence[slice]
    ) -> TraitFit:
        """Predictions of the samples of ``null``, who all have the trait.

        Parameters
        ----------
        null : TraitNull
            n samples in fold order.
        X : float32 array (n, P)
            Predictors of mean 0 and variance 1, those of a block and a chromosome side by side.
        penalties : float64 array (L,)
            For which `H2_GRID` stands.
        chromosomes : sequence of slice
            The columns of each chromosome.

        Raises
        ------
        PhenotypeError
            There is no fit.
        """


@dataclass(frozen=True, eq=False)
class Fitted:
    """What a prior gives: fits and failures, and what became of variants.

    Attributes
    ----------
    fits : tuple of (SampleGroup, TraitFit)
    failures : tuple of TraitFailure
    left_out : mapping
        Reason -> int64 array of variants of the store.
    """

    fits: tuple[tuple[SampleGroup, TraitFit], ...]
    failures: tuple[TraitFailure, ...] = ()
    left_out: Mapping[str, Int64Array] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def scattered(values: Array, observed: BoolArray) -> Float64Array:
    """Numbers (H, m) of the observed samples as (H, n), NaN elsewhere."""
    found = np.full((values.shape[0], observed.size), np.nan)
    found[:, observed] = values
    return found
