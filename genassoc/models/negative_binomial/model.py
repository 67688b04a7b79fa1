"""Negative binomial regression of counts on genotype, log link: score test for all, a saddlepoint or a fit of each for hits."""

from dataclasses import KW_ONLY, dataclass
from typing import ClassVar, Literal

from genassoc.data.block import Block
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.phenotypes.design import Kind
from genassoc.models.base import BlockResult
from genassoc.models.choices import checks
from genassoc.models.choices.choices import Choices
from genassoc.models.negative_binomial.family import NullNegativeBinomial, prepare, prepare_fitted
from genassoc.models.scan import wald
from genassoc.models.scan.genetic_models import by_genetic_model
from genassoc.models.scan.screen import ScreenState, check_choices, choices_of, screen


@dataclass(frozen=True)
class NegativeBinomial(Choices):
    """Negative binomial regression (NB2), additive in ALT copies: ``log E(y) = log(exposure) + X a + g b``, ``var(y) = mu + alpha mu^2``.

    Parameters
    ----------
    traits : sequence of str
        Counts (whole numbers from 0), each analysed on its own complete cases.
    covariates : sequence of str, or str
        Names (ranges such as ``"PC1:PC10"`` allowed), or a Wilkinson formula.
    exposure : str, optional
        Column of the time, dose or size over which the count was made; its logarithm is the offset. Above 0.
    test : {"score", "wald", "lrt"}
        "score" is one product for a block; the others fit every variant, alpha with it.
    correction : {"auto", "spa", "lrt", "wald", None}, or "none" as gwas.toml writes None
        The test of rows whose score test has p below ``correct_below``. "spa": the maximum of the likelihood, its p a
        saddlepoint of the score from the law of the counts. "auto" (the default) is "spa" for counts whose alpha is above 0, else "lrt".
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
    alpha is by maximum likelihood: a trait's with its covariates, for the score test; and anew with g in every "wald" and "lrt" row, whose
    standard errors are of the joint information of beta and alpha. At its boundary, alpha 0, the model is Poisson's.
    """

    outcome: ClassVar[Kind] = "count"
    needs: ClassVar[tuple[str, ...]] = ("traits",)

    traits: tuple[str, ...]
    covariates: tuple[str, ...] | str = ()
    exposure: str | None = None
    _: KW_ONLY
    test: Literal["score", "wald", "lrt"] = "score"
    correction: Literal["auto", "spa", "lrt", "wald", "none"] | None = "auto"
    correct_below: float = 0.05
    missing: Literal["complete", "mean"] = "complete"
    min_mac: float = 5.0

    def __post_init__(self) -> None:
        check_choices(self, ("auto", "spa", "lrt", "wald", None))
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

    def prepare(self, cohort: Cohort) -> ScreenState[NullNegativeBinomial] | wald.FittedState:
        """Fit the null models of all traits on the cohort's samples."""
        return prepare_fitted(self, cohort) if self.fits_every_row else prepare(self, cohort)

    @by_genetic_model
    def block(self, state: ScreenState[NullNegativeBinomial] | wald.FittedState, block: Block) -> BlockResult:
        """Test every variant of the block against every trait: V x T rows."""
        if isinstance(state, wald.FittedState):
            return wald.test_block(self.asked(), state, block)
        return screen(choices_of(self), state, block)
