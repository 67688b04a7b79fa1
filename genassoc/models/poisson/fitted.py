"""Poisson regression whose rows are all fitted: an interaction g x E, the genotypic model, weights, sandwich variances."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from genassoc.data.block import Block
from genassoc.data.phenotypes.left_out import without_samples
from genassoc.data.phenotypes.outcomes import exposure_values
from genassoc.kernels.laws.sandwich import MODEL, QUASI
from genassoc.kernels.likelihoods import glm
from genassoc.models.scan.glm_rows import Extras, GlmRows
from genassoc.models.scan.glm_rows import prepare as prepare_rows
from genassoc.models.scan.information import sum_missing
from genassoc.models.scan.sums import GenotypeSums
from genassoc.models.scan.wald import FittedState
from genassoc.shapes import Array, Float64Array
from genassoc.stats.information import LEAST_OF_COUNTS


@dataclass(frozen=True)
class CountRows(GlmRows):
    """A count of events."""

    family: ClassVar[int] = glm.POISSON
    least_events: ClassVar[float] = LEAST_OF_COUNTS

    @property
    def sizes(self) -> Float64Array:
        """Events times weights, (1, n)."""
        return (self.weight * self.y)[None]

    def student(self, variance: int) -> bool:
        """With a dispersion tests are t's, without one normal."""
        return variance != MODEL or self.variance == QUASI

    def notes(self, name: str, coding: str) -> list[str]:
        """How many events there are."""
        total, largest = int(self.y.sum()), self.y.max(initial=0)
        return [f"{name}: {total:,} events in {self.n:,} samples ({largest:g} at most in one)"]

    def counts(self, own: GenotypeSums, block: Block, impute: bool) -> dict[str, Array]:
        """Events of the samples observed."""
        events = np.zeros(block.n_samples)
        events[self.columns] = self.y
        return {"n_events": (events.sum() - sum_missing(own, events)).astype(np.int64)}


def prepare(model: Any, cohort: Any) -> FittedState:
    """Fit the null models of all traits of a `Poisson`, each on its complete cases with a weight."""
    variance = QUASI if model.dispersion == "quasi" else MODEL
    return prepare_rows(model, cohort, CountRows, Extras(offset=_log_exposure, variance=variance))


def _log_exposure(model: Any, cohort: Any, design: Any) -> tuple[Any, Float64Array]:
    """The design without the samples that have no exposure, and its logarithm."""
    if model.exposure is None:
        return design, np.zeros(design.complete.size)
    exposure = exposure_values(cohort.phenotypes, model.exposure, cohort.rows)
    what = f"exposure {model.exposure}"
    return without_samples(design, np.isnan(exposure), what, cohort.phenotypes, cohort.rows), np.log(exposure)
