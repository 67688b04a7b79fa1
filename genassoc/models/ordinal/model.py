"""Proportional odds regression of ordered levels on genotype: score test for all, likelihood ratio or Wald for hits."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from genassoc.data.block import Block
from genassoc.data.phenotypes.design import Kind
from genassoc.models.base import BlockResult
from genassoc.models.choices import checks
from genassoc.models.choices.choices import Choices
from genassoc.models.ordinal import fitted
from genassoc.models.ordinal.family import prepare
from genassoc.models.scan import wald
from genassoc.models.scan.genetic_models import by_genetic_model
from genassoc.models.scan.screen import check_choices, choices_of, screen


@dataclass(frozen=True)
class Ordinal(Choices):
    """Proportional odds (cumulative logit), additive in ALT copies: ``log odds(y > m) = X a + g b - theta_m``.

    Parameters
    ----------
    traits : sequence of str
        Ordered levels: whole numbers, or words whose order ``levels`` declares. Each on its own complete cases.
    covariates : sequence of str, or str
        Names (ranges such as ``"PC1:PC10"`` allowed), or a Wilkinson formula.
    levels : sequence of str, optional
        Words from the lowest to the highest, as ``("none", "mild", "severe")``; of all traits.
    test : {"score", "wald", "lrt"}
        "score" is one product for a block; the others fit every variant.
    correction : {"lrt", "wald", None}, or "none" as gwas.toml writes None
        The test of rows whose score test has p below ``correct_below``.
    correct_below : float
        p of the score test below which rows are corrected; 1 corrects all.
    missing : {"complete", "mean"}
        Missing calls: leave the sample out of the row; or give it the mean of the observed calls.
    min_mac : float
        Rows below this minor allele count have no estimate (code "too_few_carriers").
    genetic_model, male_x_dosage, condition_on, interaction, case_value, variance, weights
        See `genassoc.models.choices.choices.Choices`, docs/models/interaction.md and docs/models/weights.md. An interaction
        and the genotypic model have score tests of all their columns; variants near ``correct_below`` and those with few expected in a cell are
        fitted: Wald tests and below ``correct_below`` likelihood ratio tests; likelihood ratio tests of the genotypic model.

    Notes
    -----
    ``beta`` is the log odds of a higher level for one more ALT, the same at every threshold. With two levels this is
    logistic regression.
    """

    outcome: ClassVar[Kind] = "ordinal"
    needs: ClassVar[tuple[str, ...]] = ("traits",)

    traits: tuple[str, ...]
    covariates: tuple[str, ...] | str = ()
    levels: tuple[str, ...] | None = None
    test: Literal["score", "wald", "lrt"] = "score"
    correction: Literal["lrt", "wald", "none"] | None = "lrt"
    correct_below: float = 0.05
    missing: Literal["complete", "mean"] = "complete"
    min_mac: float = 5.0

    def __post_init__(self) -> None:
        check_choices(self, ("lrt", "wald", None))
        self.check_choices()
        if self.levels is None:
            return
        numbers = not isinstance(self.levels, str) and all(
            isinstance(level, int) and not isinstance(level, bool) for level in self.levels
        )
        levels = checks.names([str(level) for level in self.levels] if numbers else self.levels, "levels")
        if len(levels) < 2 or len(set(levels)) < len(levels):
            raise ValueError(f"levels are two or more different ones, from the lowest to the highest, not {levels!r}")
        object.__setattr__(self, "levels", levels)

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
            return fitted.prepare(self, cohort)
        design = cohort.design(self.traits, self.covariates, kind=self.outcome, levels=self.levels)
        return prepare(design, np.asarray(cohort.block_columns), int(cohort.block_width))

    @by_genetic_model
    def block(self, state: Any, block: Block) -> BlockResult:
        """Test every variant of the block against every trait: V x T rows."""
        if self.fits_every_row:
            return wald.test_block(self.asked(), state, block)
        return screen(choices_of(self), state, block)
