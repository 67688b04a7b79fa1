"""Linear regression of quantitative traits on genotype: the t test, exact on each trait's own complete cases.

The null (covariates only) is fitted once for each pattern of missing phenotypes; a block is then one product of
genotypes with covariates and residuals, and a few operations a row (`genassoc.kernels.likelihoods.linear_rows.finish`). Patterns
share the covariates' columns: what the samples without a trait add to their sums is subtracted.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np

from genassoc.data.block import Block
from genassoc.data.phenotypes.design import Kind
from genassoc.models.base import BlockResult
from genassoc.models.choices import checks
from genassoc.models.choices.choices import Choices as CommonChoices
from genassoc.models.linear import fitted
from genassoc.models.linear.additive import test_additive
from genassoc.models.linear.change import baseline_names, prepare_changes, with_baseline_tests
from genassoc.models.linear.columns import prepare as prepare_interaction
from genassoc.models.linear.columns import test_genotypes, test_interaction
from genassoc.models.linear.null import Choices, LinearState, prepare
from genassoc.models.scan.genetic_models import by_genetic_model
from genassoc.models.scan.residual_law import state_notes
from genassoc.models.scan.wald import Asked

ROBUST_ABOVE_MAC = 1000.0  # REGENIE's --rare-mac


@dataclass(frozen=True)
class Linear(CommonChoices):
    """Linear regression, additive in ALT copies unless ``genetic_model`` says else.

    Parameters
    ----------
    traits : sequence of str
        Quantitative traits, each analysed on its own complete cases.
    covariates : sequence of str, or str
        Names (ranges such as ``"PC1:PC10"`` allowed), or a Wilkinson formula. An intercept is always there.
    missing : {"auto", "complete", "mean"}
        Missing calls: leave the sample out of the row, exactly ("complete", the default); or give it the mean of the
        observed calls.
    min_mac : float, optional
        Rows whose minor allele count among the samples analysed is below it (5 by default) have no estimate (code
        "too_few_carriers").
    rank_normalise : bool
        Replace each trait by normal scores of its ranks (Blom 1958) among the samples analysed, before covariates.
    like : {None, "plink2", "regenie"}
        Sets what is left at "auto" or None as that program does: PLINK 2 tests every minor allele count; REGENIE gives
        missing calls their mean, and a chi-squared from the null's residual variance in place of t.
    baseline : str, sequence of str or mapping, optional
        The column that each trait started from: the trait is analysed as its change, trait - baseline.
    adjust_baseline : bool
        Put the baseline among the covariates (the default); see `genassoc.models.linear.change`.
    genetic_model, male_x_dosage, condition_on, interaction, case_value, variance, weights
        See `genassoc.models.choices.choices.Choices`, docs/models/interaction.md and docs/models/weights.md.

    Notes
    -----
    ``t = beta / SE`` with ``n - C - 1`` degrees of freedom, C covariates with the intercept, as R's ``lm`` gives.
    """

    outcome: ClassVar[Kind] = "quantitative"
    needs: ClassVar[tuple[str, ...]] = ("traits",)

    traits: tuple[str, ...]
    covariates: tuple[str, ...] | str = ()
    missing: Literal["auto", "complete", "mean"] = "auto"
    min_mac: float | None = None
    rank_normalise: bool = False
    like: Literal["plink2", "regenie"] | None = None
    baseline: tuple[str, ...] | None = None
    adjust_baseline: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "traits", checks.names(self.traits, "traits"))
        object.__setattr__(self, "covariates", checks.names_or_formula(self.covariates, "covariates"))
        if not self.traits:
            raise ValueError("Linear needs at least one trait: Linear(traits=['ldl'])")
        checks.choice(self.missing, "missing", ("auto", "complete", "mean"))
        checks.choice(self.like, "like", (None, "plink2", "regenie"))
        if self.min_mac is not None:
            checks.number(self.min_mac, "min_mac", "a count of alleles", 0)
        object.__setattr__(self, "rank_normalise", checks.flag(self.rank_normalise, "rank_normalise"))
        object.__setattr__(self, "adjust_baseline", checks.flag(self.adjust_baseline, "adjust_baseline"))
        if self.baseline is not None:
            object.__setattr__(self, "baseline", baseline_names(self.baseline, self.traits))
        elif not self.adjust_baseline:
            raise ValueError("adjust_baseline=False is of changes: name the baseline too, baseline='ldl_before'")
        if self.baseline is not None and self.refits and len(set(self.baseline)) > 1:
            raise ValueError("interaction, variance='robust' and weights take one baseline: make a model of each")
        self.check_choices()

    @property
    def imputes(self) -> bool:
        """Whether missing calls take the mean; an explicit choice beats ``like``."""
        return self.missing == "mean" or (self.missing == "auto" and self.like == "regenie")

    @property
    def least_mac(self) -> float:
        """``min_mac``, or what ``like`` makes of it."""
        return float(self.min_mac) if self.min_mac is not None else (0.0 if self.like == "plink2" else 5.0)

    @property
    def rows_per_variant(self) -> int:
        """One row for each trait; three for the genotypic model, up to five for an interaction."""
        return len(self.traits) * self.rows_per_trait

    def choices(self) -> Choices:
        """Every default resolved."""
        above = np.inf
        if self.variance == "auto" and self.like == "regenie" and self.interaction is not None:
            above = ROBUST_ABOVE_MAC
        return Choices(self.imputes, self.least_mac, self.like, above)

    def asked(self) -> Asked:
        """What is done of rows that are fitted one by one: with a sandwich variance, or of several alleles at once."""
        return fitted.asked(self)

    def prepare(self, cohort: Any) -> Any:
        """Fit the null models of all traits on the cohort's samples."""
        if self.is_sandwich or self.alleles == "joint":
            return fitted.prepare(self, cohort)
        if self.refits:
            return prepare_interaction(self, cohort, self.choices())
        if self.baseline is not None:
            return prepare_changes(self, cohort)
        design = cohort.design(self.traits, self.covariates, kind=self.outcome)
        state = prepare(design, np.asarray(cohort.block_columns), int(cohort.block_width), self.rank_normalise)
        return state if self.like else replace(state, notes=(*state.notes, *state_notes(design, state.nulls)))

    @by_genetic_model
    def block(self, state: Any, block: Block) -> BlockResult:
        """Test every variant of the block against every trait: V x T rows, more of an interaction."""
        if self.is_sandwich:
            return fitted.fitted_block(self, state, block)
        if self.refits:
            return test_interaction(self.choices(), state, block)
        return with_baseline_tests(self.imputes, state, block, test_additive(self.choices(), state, block))

    def genotypic(self, state: "LinearState", block: Block) -> BlockResult:
        """Test both degrees of freedom of every genotype: V x T x 3 rows."""
        return test_genotypes(replace(self.choices(), impute=False), state, block)
