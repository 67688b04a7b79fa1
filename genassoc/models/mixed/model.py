"""The linear mixed model of small and family cohorts: exact, each variant at its own ratio of variances.

y = X b + g beta + u + e, u ~ N(0, s2 ratio K): people who are related, or of one population, have alike values whatever their g. One eigendecomposition
of the relationships K for each pattern of missing phenotypes (`genassoc.stats.mixed`), then each variant is turned into the basis in which
K is diagonal, and REML is maximised there (`genassoc.kernels.likelihoods.mixed`), as GEMMA does.
"""

from dataclasses import KW_ONLY, dataclass, replace
from typing import ClassVar, Literal

import numpy as np

from genassoc.data.block import Block
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.dosed_variants import dosage_notes, variants_on
from genassoc.data.cohort.kinship import matrix_of
from genassoc.data.phenotypes.design import Kind
from genassoc.data.phenotypes.kinship import Kinship, Scaling
from genassoc.models.base import BlockResult
from genassoc.models.choices import checks
from genassoc.models.choices.choices import Choices, Variance
from genassoc.models.mixed.null import MixedState, prepare
from genassoc.models.mixed.rows import test_block
from genassoc.models.scan.genetic_models import by_genetic_model


@dataclass(frozen=True)
class LinearMixed(Choices):
    """Linear mixed model of a quantitative trait, for cohorts with relatives or structure up to about 10,000 samples.

    The relationships are an argument of `associate` (``kinship=``), or are computed of the store's autosomal variants.

    Parameters
    ----------
    traits : sequence of str
        Quantitative traits, each analysed on its own complete cases.
    covariates : sequence of str, or str
        Names (ranges such as ``"PC1:PC10"`` allowed), or a Wilkinson formula. An intercept is always there.
    loco : bool
        Leave the variants of the tested chromosome out of the relationships: a decomposition a chromosome, more power where traits have
        many causes. Of relationships that are computed of the store.
    test : {"wald", "lrt"}
        Wald's test by REML (an F of 1 and n - C - 1 degrees of freedom); or the likelihood ratio by maximum likelihood. GEMMA's ``-lmm 1``, ``-lmm 2``,
        but that with fewer than 200 degrees of freedom the likelihood ratio's p is of an F distribution (method "lrt_f").
    missing : {"mean"}
        Missing calls take the mean of the observed ones: all samples of a trait share one basis.
    min_mac : float, optional
        Rows whose minor allele count among the samples analysed is below it (5 by default) have no estimate (code
        "too_few_carriers").
    rank_normalise : bool
        Replace each trait by normal scores of its ranks (Blom 1958) among the samples analysed, before covariates.
    grm : {"standardised", "centred"}
        Relationships of the store: each variant scaled to variance 1 (GEMMA's ``-gk 2``, GCTA), or less its mean (``-gk 1``).
    grm_maf : float
        Minor allele frequency from which variants count in relationships of the store (0.01).
    genetic_model, male_x_dosage, condition_on
        See `genassoc.models.choices.choices.Choices`.

    Notes
    -----
    ``standard_error`` of a likelihood ratio row is that of its statistic, ``|beta| / sqrt(chi-squared)``; beta is that of REML in both tests.
    See docs/models/mixed.md.
    """

    outcome: ClassVar[Kind] = "quantitative"
    needs: ClassVar[tuple[str, ...]] = ("traits",)
    variances: ClassVar[tuple[Variance, ...]] = ("auto", "model")
    kept_nulls: ClassVar[int] = 1  # chromosomes whose bases, n x n each, a process keeps

    traits: tuple[str, ...]
    covariates: tuple[str, ...] | str = ()
    loco: bool = False
    test: Literal["wald", "lrt"] = "wald"
    missing: Literal["mean"] = "mean"
    min_mac: float | None = None
    rank_normalise: bool = False
    _: KW_ONLY
    grm: Scaling = "standardised"
    grm_maf: float = 0.01

    def __post_init__(self) -> None:
        object.__setattr__(self, "traits", checks.names(self.traits, "traits"))
        object.__setattr__(self, "covariates", checks.names_or_formula(self.covariates, "covariates"))
        if not self.traits:
            raise ValueError("LinearMixed needs at least one trait: LinearMixed(traits=['ldl'])")
        object.__setattr__(self, "loco", checks.flag(self.loco, "loco"))
        checks.choice(self.test, "test", ("wald", "lrt"))
        if self.missing != "mean":
            raise ValueError(
                f"missing is 'mean', not {self.missing!r}: all variants of a trait share the basis of its samples, so that a missing call takes "
                "the mean of the observed ones; select variants with few missing calls (missing_below)"
            )
        if self.min_mac is not None:
            checks.number(self.min_mac, "min_mac", "a count of alleles", 0)
        object.__setattr__(self, "rank_normalise", checks.flag(self.rank_normalise, "rank_normalise"))
        checks.choice(self.grm, "grm", ("standardised", "centred"))
        checks.number(self.grm_maf, "grm_maf", "a minor allele frequency", 0, 0.5)
        self.check_choices()

    @property
    def least_mac(self) -> float:
        """``min_mac``, or 5."""
        return 5.0 if self.min_mac is None else float(self.min_mac)

    @property
    def rows_per_variant(self) -> int:
        """One row for each trait."""
        return len(self.traits)

    def relationships(self) -> Kinship:
        """What is computed of the store where no matrix is given."""
        return Kinship.of_store(self.grm, float(self.grm_maf), self.loco)

    def prepare(self, cohort: Cohort) -> MixedState:
        """Decompose the relationships and fit the null models of all traits on the cohort's samples."""
        design = cohort.design(self.traits, self.covariates, kind=self.outcome)
        kinship = cohort.kinship or self.relationships().at("" if not self.loco else "all")
        columns, width = np.asarray(cohort.block_columns), int(cohort.block_width)
        state = prepare(
            design,
            matrix_of(cohort, kinship),
            columns,
            width,
            kinship=kinship,
            whole=self.test == "lrt",
            ranks=self.rank_normalise,
        )
        if kinship.scaling is None:
            return state
        of_calls = [
            f"relationships: {note}" for note in dosage_notes(cohort, variants_on(cohort, cohort.contigs.autosomal))
        ]
        return replace(state, notes=(*state.notes, *of_calls))

    @by_genetic_model
    def block(self, state: MixedState, block: Block) -> BlockResult:
        """Test every variant of the block against every trait: V x T rows."""
        return test_block(state, block, self.test, self.least_mac)
