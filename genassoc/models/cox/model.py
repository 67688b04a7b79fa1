"""Cox regression of times to events on genotype: score tests from one product, exact where a row may matter.

The null (covariates only) is fitted once an endpoint. A block is one product with martingale residuals, weights and
covariates, whose information has proven bounds; rows whose exact p may be below 0.05 are then done one by one.
"""

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from genassoc.data.block import Block
from genassoc.data.phenotypes.offsets import Offsets
from genassoc.data.phenotypes.phenotypes import Phenotypes
from genassoc.data.phenotypes.survival import SurvivalDesign, build_survival
from genassoc.kernels.laws.sandwich import HC0, MODEL
from genassoc.models.base import BlockResult
from genassoc.models.choices import checks
from genassoc.models.choices.choices import Choices as CommonChoices
from genassoc.models.choices.choices import Variance
from genassoc.models.cox import fitted
from genassoc.models.cox.family import prepare
from genassoc.models.scan import wald
from genassoc.models.scan.family import Choices
from genassoc.models.scan.genetic_models import by_genetic_model
from genassoc.models.scan.screen import screen
from genassoc.models.scan.wald import Asked
from genassoc.shapes import Int64Array


@dataclass(frozen=True)
class Cox(CommonChoices):
    """Proportional hazards regression (Cox 1972), additive in ALT copies unless ``genetic_model`` says else.

    beta is the log hazard ratio.

    Parameters
    ----------
    time : str or sequence of str
        Column of the time of the event or of censoring; one for each event, or one for all.
    event : str or sequence of str
        Column of what happened at that time: 0/1, 1/2 (censored/event), two words that say it, or with ``cause`` any codes. Its name
        is the trait's.
    covariates : sequence of str, or str
        Names (ranges such as ``"PC1:PC10"`` allowed), or a Wilkinson formula.
    entry : str, optional
        Column of the time at which a sample comes under observation (left truncation): at risk at t if entry < t <= time.
    strata : str or sequence of str
        Columns whose combinations have baseline hazards of their own.
    cause : str or int, optional
        The event code of interest; all other codes but 0 or "censored" are competing events, censored at their time
        (cause-specific hazard).
    ties : {"efron", "breslow"}
        How events at one time share the risk set: Efron (1977) or Breslow (1974).
    test : {"auto", "score", "wald", "lrt"}
        "auto" is the score test.
    correction : {"auto", "firth_approx", "firth", "spa", None}, or "none" as gwas.toml writes None
        What is done with score tests below ``correct_below``: Firth's penalised likelihood ratio test on g residualised,
        below 1e-4 on the full model ("auto", ``"firth_approx"``), always on the full model (``"firth"``); saddlepoint
        (``"spa"``, from 20 minor alleles on); nothing (None). Of Wald and likelihood ratio tests, Firth's where no carrier
        has the event or the likelihood has no maximum; with ``"firth"`` also below ``correct_below``.
    correct_below : float
        p below which rows are corrected; 1 corrects all.
    ph_time : {"km", "rank"}
        The function of time in the test of proportional hazards, as of R's ``cox.zph``: one less the Kaplan-Meier estimate, or
        the rank among all times.
    missing : {"auto", "complete", "mean"}
        Missing calls: leave the sample out of the row ("complete", the default); or the mean of the observed calls.
    min_mac : float, optional
        Rows below this minor allele count have no estimate (code "too_few_carriers"); 5 by default.
    genetic_model, male_x_dosage, condition_on, interaction, case_value, variance, weights
        See `genassoc.models.choices.choices.Choices`, docs/models/interaction.md and docs/models/weights.md. The genotypic model and an
        interaction have score tests of all their columns; variants near ``correct_below`` and those with few expected in a cell are fitted,
        the genotypic model by likelihood ratios, an interaction by Wald tests, both corrected by Firth's. ``test="wald"`` or ``"lrt"`` fits all.
        Sandwich variances (of weights, as of case-cohort samples, or ``variance="robust"``, for which hazards need not be
        proportional) are Lin's and Wei's; there is no "hc0".

    Notes
    -----
    Below ``correct_below``, rows with fewer than 10 minor alleles or with fewer than 2 expected among the events have an
    exact p, given the risk sets. Rows below it in which 10 or more carriers have the event have a test of proportional hazards,
    ``ph_neg_log_10_p_value``.
    """

    outcome: ClassVar[str] = "survival"
    variances: ClassVar[tuple[Variance, ...]] = ("auto", "model", "robust")
    needs: ClassVar[tuple[str, ...]] = ("time", "event")

    time: tuple[str, ...] | str
    event: tuple[str, ...] | str
    covariates: tuple[str, ...] | str = ()
    entry: str | None = None
    strata: tuple[str, ...] | str = ()
    cause: str | int | None = None
    ties: Literal["efron", "breslow"] = "efron"
    _: KW_ONLY
    test: Literal["auto", "score", "wald", "lrt"] = "auto"
    correction: Literal["auto", "firth_approx", "firth", "spa", "none"] | None = "auto"
    correct_below: float = 0.05
    ph_time: Literal["km", "rank"] = "km"
    missing: Literal["auto", "complete", "mean"] = "auto"
    min_mac: float | None = None

    def __post_init__(self) -> None:
        for field in ("time", "event", "strata"):
            object.__setattr__(self, field, checks.names(getattr(self, field), field))
        object.__setattr__(self, "covariates", checks.names_or_formula(self.covariates, "covariates"))
        if not self.time or not self.event:
            raise ValueError("Cox needs a time and an event: Cox(time='days', event='death')")
        if len(self.time) not in (1, len(self.event)):
            raise ValueError(
                f"time names {len(self.time)} columns and event {len(self.event)}: one time for each event, or one for all"
            )
        if self.entry is not None and (not isinstance(self.entry, str) or not self.entry.strip()):
            raise ValueError(f"entry is the name of a column, not {self.entry!r}")
        if self.cause is not None:
            if isinstance(self.cause, bool) or not isinstance(self.cause, str | int | np.integer):
                raise ValueError(f"cause is a value of the event's column, such as 'relapse' or 2, not {self.cause!r}")
            object.__setattr__(self, "cause", str(self.cause))
        if self.correction == "none":
            object.__setattr__(self, "correction", None)
        checks.choice(self.ties, "ties", ("efron", "breslow"))
        checks.choice(self.ph_time, "ph_time", ("km", "rank"))
        checks.choice(self.test, "test", ("auto", "score", "wald", "lrt"))
        checks.choice(self.correction, "correction", ("auto", "firth_approx", "firth", "spa", None))
        checks.choice(self.missing, "missing", ("auto", "complete", "mean"))
        checks.number(self.correct_below, "correct_below", "a p-value", 0, 1)
        if self.min_mac is not None:
            checks.number(self.min_mac, "min_mac", "a count of alleles", 0)
        self.check_choices()

    @property
    def imputes(self) -> bool:
        """Whether missing calls take the mean."""
        return self.missing == "mean"

    def choices(self) -> Choices:
        """What is done, every default resolved."""
        return Choices(
            test="score" if self.test == "auto" else self.test,
            correction="firth_approx" if self.correction == "auto" else self.correction,
            correct_below=float(self.correct_below),
            impute=self.imputes,
            min_mac=5.0 if self.min_mac is None else float(self.min_mac),
        )

    def asked(self) -> Asked:
        """What is done where every row is fitted."""
        own, genotypic = self.choices(), self.genetic_model == "genotypic"
        if self.is_sandwich:
            return Asked("wald", HC0, None, 0.0, own.impute, own.min_mac)
        ratio = self.test == "lrt" or (genotypic and self.test == "auto")
        correction = None if self.correction is None else "firth"
        test, screens = "lrt" if ratio else "wald", self.test in ("auto", "score")
        return Asked(test, MODEL, correction, own.correct_below, own.impute, own.min_mac, screens=screens)

    def genotypic(self, state: wald.FittedState, block: Block) -> BlockResult:
        """Test both degrees of freedom of every genotype: V x T x 3 rows."""
        return wald.test_block(self.asked(), state, block)

    @property
    def traits(self) -> tuple[str, ...]:
        """The events' names."""
        return tuple(self.event)

    @property
    def rows_per_variant(self) -> int:
        """One row for each endpoint; three for the genotypic model, up to five for an interaction."""
        return len(self.event) * self.rows_per_trait

    def design(self, phenotypes: Phenotypes, rows: Int64Array, offsets: Offsets | None = None) -> SurvivalDesign:
        """Endpoints and covariates of some rows (N,) of the phenotypes as arrays; see `build_survival`."""
        cause = None if self.cause is None else str(self.cause)
        return build_survival(
            phenotypes, rows, tuple(self.time), tuple(self.event), self.covariates, entry=self.entry,
            strata=tuple(self.strata), cause=cause, offsets=offsets,
        )  # fmt: skip

    def prepare(self, cohort: Any) -> Any:
        """Fit the null models of all endpoints on the cohort's samples."""
        if self.fits_every_row:
            return fitted.prepare(self, cohort)
        columns, width = np.asarray(cohort.block_columns), int(cohort.block_width)
        return prepare(
            self.design(cohort.phenotypes, cohort.rows, cohort.offsets),
            columns,
            width,
            self.ties == "efron",
            self.ph_time == "rank",
        )

    @by_genetic_model
    def block(self, state: Any, block: Block) -> BlockResult:
        """Test every variant of the block against every endpoint: V x T rows, more of an interaction."""
        if self.fits_every_row:
            return wald.test_block(self.asked(), state, block)
        return screen(self.choices(), state, block)
