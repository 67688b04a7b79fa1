"""Poisson regression of counts on genotype, log link: score test for all, likelihood ratio or Wald test for hits."""

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from genassoc.data.block import Block
from genassoc.data.phenotypes.design import Kind
from genassoc.data.phenotypes.outcomes import exposure_values
from genassoc.kernels.laws.sandwich import MODEL, QUASI
from genassoc.models.base import CODE, BlockResult
from genassoc.models.choices import checks
from genassoc.models.choices.choices import Choices
from genassoc.models.poisson.family import OVERDISPERSED, prepare
from genassoc.models.scan import wald
from genassoc.models.scan.genetic_models import by_genetic_model
from genassoc.models.scan.glm_rows import CountRows, Extras, log_exposure
from genassoc.models.scan.glm_rows import prepare as prepare_rows
from genassoc.models.scan.screen import check_choices, choices_of, screen
from genassoc.models.scan.sums import GenotypeSums
from genassoc.models.scan.tested import Tested
from genassoc.shapes import Array, BoolArray, Float64Array

TOO_VARIED = (
    "{}: the counts vary more than Poisson's. With the model's variance, tests of several columns (the genotypic model, "
    "interactions, several alleles) then find too much: their rows have the code overdispersed. NegativeBinomial models such "
    'counts; variance="robust" is for interactions'
)


class PoissonRows(CountRows):
    """A count whose rows are all fitted, whose variance is the mean or a dispersion times it."""

    def student(self, variance: int) -> bool:
        """With a dispersion tests are t's, without one normal."""
        return variance != MODEL or self.variance == QUASI

    @property
    def overdispersed(self) -> bool:
        """Whether the counts vary more around the null's means than Poisson's do."""
        freedom = self.n - self.n_covariates
        if self.failure is not None or freedom <= 0:
            return False
        return float(np.sum(self.weight * (self.y - self.mean) ** 2 / self.mean)) > OVERDISPERSED * freedom

    def notes(self, name: str, coding: str) -> list[str]:
        """How many events there are, and where the code ``overdispersed`` is to be expected."""
        said = super().notes(name, coding)
        return [*said, TOO_VARIED.format(name)] if self.overdispersed else said

    def withheld(self, columns: dict[str, Array], carriers: Float64Array) -> dict[str, Array]:
        """The code ``overdispersed`` in tests of several alleles at once."""
        return self._marked(columns)

    def finished(
        self, columns: dict[str, Array], asked: wald.Asked, tested: Tested, genotypes: GenotypeSums, block: Block, flipped: BoolArray
    ) -> dict[str, Array]:  # fmt: skip
        """The code ``overdispersed`` in rows of several tested columns."""
        return columns if asked.is_sandwich or tested.n_columns == 1 else self._marked(columns)

    def _marked(self, columns: dict[str, Array]) -> dict[str, Array]:
        """A dispersion alone does not calibrate tests of several coefficients of counts with long tails."""
        if not self.overdispersed:
            return columns
        code, tested = columns["code"], np.isfinite(columns["neg_log_10_p_value"])
        marked = np.where((code == CODE[None]) & tested, CODE["overdispersed"], code).astype(code.dtype)
        return {**columns, "code": marked}


@dataclass(frozen=True)
class Poisson(Choices):
    """Poisson regression, additive in ALT copies: ``log E(y) = log(exposure) + X a + g b``.

    Parameters
    ----------
    traits : sequence of str
        Counts (whole numbers from 0), each analysed on its own complete cases.
    covariates : sequence of str, or str
        Names (ranges such as ``"PC1:PC10"`` allowed), or a Wilkinson formula.
    exposure : str, optional
        Column of the time, dose or size over which the count was made; its logarithm is the offset. Above 0.
    dispersion : {"quasi", "poisson"}
        Variance: Pearson's dispersion times the mean ("quasi", the default), or the mean.
    test : {"score", "wald", "lrt"}
        "score" is one product for a block; the others fit every variant.
    correction : {"auto", "spa", "lrt", "wald", None}, or "none" as gwas.toml writes None
        The test of rows whose score test has p below ``correct_below``. "spa": the maximum of the likelihood, its p a
        saddlepoint of the score from the residuals of the samples. "auto" (the default) is "spa" for counts whose
        dispersion is above 1.1, else "lrt".
    correct_below : float
        p of the score test below which rows are corrected; 1 corrects all.
    missing : {"complete", "mean"}
        Missing calls: leave the sample out of the row; or give it the mean of the observed calls.
    min_mac : float
        Rows below this minor allele count have no estimate (code "too_few_carriers").
    genetic_model, male_x_dosage, condition_on, interaction, case_value, variance, weights
        See `genassoc.models.choices.choices.Choices`, docs/models/interaction.md and docs/models/weights.md. Of an interaction every
        row has Wald tests, and below ``correct_below`` likelihood ratio tests; the genotypic model has likelihood ratio tests.

    Notes
    -----
    A "score" row's beta is one Newton step; "wald" and "lrt" rows report the maximum. With ``dispersion="quasi"`` these
    take the dispersion of the fit with g and Student's t, as R's ``glm(family = quasipoisson)`` does. A "spa" row's
    standard error is that of its p, ``|beta| / |z|``.
    """

    outcome: ClassVar[Kind] = "count"
    needs: ClassVar[tuple[str, ...]] = ("traits",)

    traits: tuple[str, ...]
    covariates: tuple[str, ...] | str = ()
    exposure: str | None = None
    dispersion: Literal["quasi", "poisson"] = "quasi"
    _: KW_ONLY
    test: Literal["score", "wald", "lrt"] = "score"
    correction: Literal["auto", "spa", "lrt", "wald", "none"] | None = "auto"
    correct_below: float = 0.05
    missing: Literal["complete", "mean"] = "complete"
    min_mac: float = 5.0

    def __post_init__(self) -> None:
        check_choices(self, ("auto", "spa", "lrt", "wald", None))
        checks.choice(self.dispersion, "dispersion", ("quasi", "poisson"))
        if self.exposure is not None:
            checks.column(self.exposure, "exposure")
        self.check_choices()

    @property
    def rows_per_variant(self) -> int:
        """One row for each trait; three for the genotypic model, up to five for an interaction."""
        return len(self.traits) * self.rows_per_trait

    def asked(self) -> wald.Asked:
        """What is done where every row is fitted."""
        return wald.asked_of_screened(self)

    def genotypic(self, state: wald.FittedState, block: Block) -> BlockResult:
        """Test both degrees of freedom of every genotype: V x T x 3 rows."""
        return wald.test_block(self.asked(), state, block)

    def prepare(self, cohort: Any) -> Any:
        """Fit the null models of all traits on the cohort's samples."""
        if self.fits_every_row:
            extras = Extras(offset=log_exposure, variance=QUASI if self.dispersion == "quasi" else MODEL)
            return prepare_rows(self, cohort, PoissonRows, extras)
        design = cohort.design(self.traits, self.covariates, kind=self.outcome)
        exposure = None
        if self.exposure is not None:
            exposure = exposure_values(cohort.phenotypes, self.exposure, cohort.rows)
        columns = np.asarray(cohort.block_columns)
        return prepare(design, exposure, columns, int(cohort.block_width), self.dispersion == "quasi")

    @by_genetic_model
    def block(self, state: Any, block: Block) -> BlockResult:
        """Test every variant of the block against every trait: V x T rows."""
        if self.fits_every_row:
            return wald.test_block(self.asked(), state, block)
        return screen(choices_of(self), state, block)
