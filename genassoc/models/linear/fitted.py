"""Linear regression with sandwich variances: every row is fitted by (weighted) least squares, HC3's or HC0's t and F."""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from genassoc.data.block import Block
from genassoc.kernels.laws.sandwich import HC0, HC3, QUASI
from genassoc.kernels.likelihoods import glm
from genassoc.models.base import BlockResult
from genassoc.models.linear.change import adjusted_for_baseline, of_change
from genassoc.models.linear.null import without_offset
from genassoc.models.scan.glm_rows import Extras, GlmRows, GlmSample
from genassoc.models.scan.glm_rows import prepare as prepare_rows
from genassoc.models.scan.residual_law import ResidualLaw, Sample, correct_rows, law_notes, withhold_heavy
from genassoc.models.scan.sums import GenotypeSums
from genassoc.models.scan.tested import Tested, fewest_carriers
from genassoc.models.scan.wald import Asked, FittedState, test_block
from genassoc.shapes import Array, BoolArray, Float64Array
from genassoc.stats.ranks import normal_scores


@dataclass(frozen=True)
class LeastSquaresRows(GlmRows):
    """A quantity: its residual, in standard deviations.

    Attributes
    ----------
    law : ResidualLaw or None
        Of the residuals, each times its weight: what the score adds up, whether or not weights follow the outcome.
    """

    family: ClassVar[int] = glm.GAUSSIAN
    has_law: ClassVar[bool] = False

    law: ResidualLaw | None = None

    @classmethod
    def of(cls, sample: GlmSample) -> tuple[Self, BoolArray]:
        """The null model of one trait, and which covariates are independent among its samples."""
        null, kept = super().of(sample)
        if null.failure is None:
            unequal = not null.is_equal
            law = ResidualLaw.of(null.score, sample.X, null.Q, np.eye(null.n_parameters), weighted=unequal)
            null = replace(null, law=law)
        return null, kept

    @classmethod
    def unit(
        cls, sample: GlmSample, Q: Float64Array, weight: Float64Array
    ) -> tuple[Float64Array, Float64Array, float, str | None]:
        """What weighted least squares leaves of the outcome less its offset, in standard deviations, and one of these."""
        y = normal_scores(sample.y) if sample.ranks else sample.y
        y = without_offset(y, sample.offset, sample.offset_unit, Q, np.eye(Q.shape[1]))
        left, scale = _residual(y, Q, weight)
        return left, np.zeros(y.size), scale, None if scale > 0 else "no_variance"

    @property
    def score(self) -> Float64Array:
        """Residuals (n,) times their weights, of mean square 1: what is exchangeable is a sample's outcome with its weight."""
        if self.is_equal:
            return self.y
        score = self.weight * self.y
        return np.asarray(score / np.sqrt((score**2).mean()))

    def method(self, variance: int) -> tuple[str, str]:
        """Student's t, and F."""
        name = {HC0: "_hc0", HC3: "_hc3"}.get(variance, "")
        return f"t{name}", f"f{name}"

    def law_notes(self, name: str, covariates: tuple[str, ...]) -> list[str]:
        """Notes on the distribution of its residuals."""
        return law_notes(name, self.law, covariates)

    def withheld(self, columns: dict[str, Array], carriers: Float64Array) -> dict[str, Array]:
        """None where carriers are too few for the tails of the residuals."""
        columns = {name: values.copy() for name, values in columns.items()}
        withhold_heavy(columns, self.law, carriers)
        return columns

    def finished(
        self, columns: dict[str, Array], asked: Asked, tested: Tested, genotypes: GenotypeSums, block: Block, flipped: BoolArray
    ) -> dict[str, Array]:  # fmt: skip
        """Columns in the trait's units; where t does not hold, of one tested column the p of the residuals' law, of two none."""
        columns = {name: values.copy() for name, values in columns.items()}
        if tested.n_columns == 1:
            columns = {name: values[:, 0] for name, values in columns.items()}
            columns["standard_error_model"] = columns["standard_error"].copy()
            if self.law is not None:
                C = self.n_parameters
                sample = Sample(self.columns, self.Q, np.eye(C), self.score, slice(None), self.law, asked.impute)
                correct_rows(
                    columns, sample, genotypes, block, flipped, rule="shape" if asked.variance == HC3 else "own"
                )
        elif tested.with_e:
            withhold_heavy(columns, self.law, fewest_carriers(block, tested))
        for name in ("beta", "standard_error", "standard_error_model", "ci_lower", "ci_upper"):
            if name in columns:
                columns[name] = columns[name] * self.scale
        return columns


def _residual(y: Float64Array, Q: Float64Array, weight: Float64Array) -> tuple[Float64Array, float]:
    """What weighted least squares leaves of y, in standard deviations, and one of these; 0 where nothing is left."""
    largest = float(np.abs(y).max(initial=0.0))
    unit = 2.0 ** np.round(np.log2(largest)) if largest > 0 else 1.0  # changes no digit; squares do not overflow
    centred = y / unit - (y / unit).mean()
    WQ = weight[:, None] * Q
    left = centred - Q @ np.linalg.solve(Q.T @ WQ, WQ.T @ centred)
    left -= Q @ np.linalg.solve(Q.T @ WQ, WQ.T @ left)
    squares = float((weight * left) @ left)
    if not squares > 1e-20 * float((weight * centred) @ centred):
        return y, 0.0
    scale = np.sqrt(squares / y.size)
    return left / scale, float(scale * unit)


def prepare(model: Any, cohort: Any) -> FittedState:
    """Fit the null models of all traits of a `Linear`, each on its complete cases with a weight."""
    if model.baseline is None:
        return prepare_rows(model, cohort, LeastSquaresRows, Extras(variance=QUASI))
    model, before, said = adjusted_for_baseline(model, cohort)
    extras = Extras(change=lambda design: of_change(design, before, said[0]), notes=said[1:])
    return prepare_rows(model, cohort, LeastSquaresRows, extras)


def asked(model: Any) -> Asked:
    """Student's t and F, with a sandwich variance or the model's own."""
    variance = QUASI if not model.is_sandwich else HC0 if model.variance == "hc0" else HC3
    return Asked("wald", variance, None, 0.0, model.imputes, model.least_mac)


def fitted_block(model: Any, state: FittedState, block: Block) -> BlockResult:
    """V x T rows, times K of an interaction."""
    return test_block(asked(model), state, block)
