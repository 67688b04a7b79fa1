"""Logistic regression of binary traits on genotype: score test for all, corrected where the score test misleads.

The null (covariates only) is fitted once a trait. A block is one product with weights, covariates and residuals;
rows that need more (below ``correct_below``, many missing calls, Wald) are then done one by one, so that their cost is
proportional to the hits.
"""

from dataclasses import KW_ONLY, dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np

from genassoc.data.block import Block
from genassoc.data.phenotypes.design import Kind
from genassoc.kernels.laws.sandwich import HC0, HC3, MODEL
from genassoc.models.base import BlockResult
from genassoc.models.choices import checks
from genassoc.models.choices.choices import Choices as CommonChoices
from genassoc.models.logistic import fitted
from genassoc.models.logistic.family import prepare
from genassoc.models.matched import model as matched_sets
from genassoc.models.scan import wald
from genassoc.models.scan.family import Choices
from genassoc.models.scan.genetic_models import by_genetic_model
from genassoc.models.scan.screen import screen
from genassoc.models.scan.wald import Asked

Test = Literal["auto", "score", "wald", "lrt"]
Correction = Literal["auto", "firth_approx", "firth", "firth_fallback", "spa", "none"]
_TESTS = ("auto", "score", "wald", "lrt")
_CORRECTIONS = ("auto", "firth_approx", "firth", "firth_fallback", "spa", None)


@dataclass(frozen=True)
class Logistic(CommonChoices):
    """Logistic regression, additive in ALT copies unless ``genetic_model`` says else.

    Parameters
    ----------
    traits : sequence of str
        Binary traits (0/1, 1/2 or two words that say it), each analysed on its own complete cases.
    covariates : sequence of str, or str
        Names (ranges such as ``"PC1:PC10"`` allowed), or a Wilkinson formula.
    test : {"auto", "score", "wald", "lrt"}
        "auto" is the score test, or what ``like`` says.
    correction : {"auto", "firth_approx", "firth", "firth_fallback", "spa", None}, or "none" as gwas.toml writes None
        What is done with score tests below ``correct_below``: Firth's penalised likelihood ratio test on g residualised
        (``"firth_approx"``, the default) or on the full model (``"firth"``); saddlepoint (``"spa"``); nothing (None).
        ``"firth_fallback"`` is PLINK 2's: Firth where no case or no control carries an allele or the fit fails.
    correct_below : float
        p of the score test below which rows are corrected; 1 corrects all.
    missing : {"auto", "complete", "mean"}
        Missing calls: leave the sample out of the row; or give it the mean of the observed calls.
    min_mac : float, optional
        Rows below this minor allele count have no estimate (code "too_few_carriers"); 5 by default.
    like : {None, "plink2", "regenie"}
        Sets what is left at "auto" or None as that program does; see docs/models/logistic.md.
    matched : str, optional
        Column of the matched set of each sample: conditional logistic regression, exact for any number of cases and controls
        in a set. Score tests, below ``correct_below`` likelihood ratio (or exact) tests; see docs/models/matched.md.
    genetic_model, male_x_dosage, condition_on, interaction, case_value, variance, weights
        See `genassoc.models.choices.choices.Choices`, docs/models/interaction.md and docs/models/weights.md. Where every row is
        fitted, ``"auto"`` corrects by Firth's penalised likelihood ratio tests.

    Notes
    -----
    Tested exactly, given the number of cases (not under ``like``): rows with fewer than 10 minor alleles, and rows below
    ``correct_below`` in which fewer than 2 are expected in the smaller group, where Firth's test finds too much.
    """

    outcome: ClassVar[Kind] = "binary"
    needs: ClassVar[tuple[str, ...]] = ("traits",)

    traits: tuple[str, ...]
    covariates: tuple[str, ...] | str = ()
    test: Test = "auto"
    correction: Correction | None = "auto"
    _: KW_ONLY
    correct_below: float | None = None
    missing: Literal["auto", "complete", "mean"] = "auto"
    min_mac: float | None = None
    like: Literal["plink2", "regenie"] | None = None
    matched: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "traits", checks.names(self.traits, "traits"))
        object.__setattr__(self, "covariates", checks.names_or_formula(self.covariates, "covariates"))
        if not self.traits:
            raise ValueError("Logistic needs at least one trait: Logistic(traits=['t2d'])")
        checks.choice(self.test, "test", _TESTS)
        if self.correction == "none":
            object.__setattr__(self, "correction", None)
        checks.choice(self.correction, "correction", _CORRECTIONS)
        checks.choice(self.missing, "missing", ("auto", "complete", "mean"))
        checks.choice(self.like, "like", (None, "plink2", "regenie"))
        if self.correct_below is not None:
            checks.number(self.correct_below, "correct_below", "a p-value", 0, 1)
        if self.min_mac is not None:
            checks.number(self.min_mac, "min_mac", "a count of alleles", 0)
        if self.matched is not None:
            checks.column(self.matched, "matched", ", that of the matched sets")
            if self.correction not in ("auto", None):
                raise ValueError(
                    f"matched: hits have likelihood ratio or exact tests; leave correction={self.correction!r} out, or say None"
                )
        self.check_choices()

    def matched_choices(self) -> Choices:
        """What is done of matched sets, every default resolved."""
        own = self.choices()
        return replace(own, correction=None if own.correction is None else "lrt")

    def asked(self) -> Asked:
        """What is done where every row is fitted, every default resolved."""
        own, plink = self.choices(), self.like == "plink2"
        if self.is_weighted:
            variance = HC0 if self.variance == "hc0" else HC3
            return Asked("wald", variance, None, 0.0, own.impute, own.min_mac)
        robust, genotypic = self.variance == "robust", self.genetic_model == "genotypic"
        correction = "firth" if own.correction == "firth_approx" else own.correction
        ratio = self.test == "lrt" or (genotypic and self.test == "auto" and not plink)
        return Asked(
            "lrt" if ratio else "wald", HC3 if robust else MODEL, None if robust else correction, own.correct_below,
            own.impute, own.min_mac, gate=not plink, like="plink2" if plink and not robust else None, by_joint=genotypic,
            screens=own.test == "score" and not robust and own.like is None,
        )  # fmt: skip

    @property
    def imputes(self) -> bool:
        """Whether missing calls take the mean."""
        return self.choices().impute

    def choices(self) -> Choices:
        """What is done, after ``like`` has filled in what was left open; an explicit choice wins."""
        plink, regenie = self.like == "plink2", self.like == "regenie"
        correction = self.correction
        if correction == "auto":
            correction = "firth_fallback" if plink else "firth_approx"
        return Choices(
            test=self.test if self.test != "auto" else ("wald" if plink else "score"),
            correction=correction,
            correct_below=0.05 if self.correct_below is None else float(self.correct_below),
            impute=self.missing == "mean" or (self.missing == "auto" and regenie),
            min_mac=float(self.min_mac) if self.min_mac is not None else (0.0 if plink else 5.0),
            like=self.like,
        )

    @property
    def rows_per_variant(self) -> int:
        """One row for each trait; three for the genotypic model, up to five for an interaction."""
        return len(self.traits) * self.rows_per_trait

    def prepare(self, cohort: Any) -> Any:
        """Fit the null models of all traits on the cohort's samples."""
        if self.matched is not None:
            return matched_sets.prepare(self, cohort)
        if self.fits_every_row:
            return fitted.prepare(self, cohort)
        design = cohort.design(self.traits, self.covariates, kind=self.outcome)
        return prepare(design, np.asarray(cohort.block_columns), int(cohort.block_width))

    @by_genetic_model
    def block(self, state: Any, block: Block) -> BlockResult:
        """Test every variant of the block against every trait: V x T rows, more of an interaction."""
        if self.matched is not None:
            return screen(self.matched_choices(), state, block)
        if self.fits_every_row:
            return wald.test_block(self.asked(), state, block)
        return screen(self.choices(), state, block)

    def genotypic(self, state: wald.FittedState, block: Block) -> BlockResult:
        """Test both degrees of freedom of every genotype: V x T x 3 rows."""
        return wald.test_block(self.asked(), state, block)
