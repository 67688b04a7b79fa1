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
from genassoc.kernels.likelihoods.linear_rows import LinearFits
from genassoc.models.base import BlockResult
from genassoc.models.choices import checks
from genassoc.models.choices.choices import Choices as CommonChoices
from genassoc.models.linear import fitted
from genassoc.models.linear.additive import fit_group
from genassoc.models.linear.change import baseline_names, prepare_changes, with_baseline_tests
from genassoc.models.linear.columns import prepare as prepare_interaction
from genassoc.models.linear.columns import test_genotypes, test_interaction
from genassoc.models.linear.null import Choices, LinearState, NullModel, prepare
from genassoc.models.linear.residual_law import Names, Sample, correct_rows, state_notes
from genassoc.models.scan.genetic_models import by_genetic_model
from genassoc.models.scan.sums import GenotypeSums, minor_is_ref
from genassoc.shapes import Array, BoolArray
from genassoc.stats.tails import Z_975, neg_log_10_p_t, neg_log_10_p_z, t_quantile_975

CODES: tuple[str | None, ...] = (
    None,
    "collinear",
    "n_too_small",
    "covariate_collinear",
    "perfect_fit",
    "no_residual_variance",
    "monomorphic",
    "constant_genotype",
    "too_few_carriers",
    "heavy_tails",
)
_NO_ESTIMATE = ("collinear", "n_too_small", "no_residual_variance", "monomorphic", "constant_genotype")
METHODS: tuple[str | None, ...] = (None, "t", "score", "spa")
ROBUST_ABOVE_MAC = 1000.0  # REGENIE's --rare-mac
_NAMES = Names(METHODS.index("spa"), CODES.index("heavy_tails"))


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

    def prepare(self, cohort: Any) -> Any:
        """Fit the null models of all traits on the cohort's samples."""
        if self.is_sandwich:
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
        return with_baseline_tests(self, state, block, _test_block(self, state, block))

    def genotypic(self, state: "LinearState", block: Block) -> BlockResult:
        """Test both degrees of freedom of every genotype: V x T x 3 rows."""
        return test_genotypes(replace(self.choices(), impute=False), state, block)


def _test_block(model: Linear, state: LinearState, block: Block) -> BlockResult:
    flipped = minor_is_ref(block, state.cohort_columns, state.cohort_mask)
    shape = (block.n_variants, len(state.traits))
    columns: dict[str, Array] = {
        name: np.full(shape, np.nan)
        for name in (
            "beta", "standard_error", "ci_lower", "ci_upper", "effect_allele_frequency", "neg_log_10_p_value",
            "mac", "missing_rate", "statistic", *(() if model.like else ("standard_error_model",)),
        )
    }  # fmt: skip
    columns |= {
        "n": np.zeros(shape, np.int64),
        "method": np.zeros(shape, np.uint8),
        "code": np.zeros(shape, np.uint8),
    }
    for group in state.groups:
        of_pattern, fits = fit_group(group, block, flipped, model.imputes)
        for p, (null, own) in enumerate(zip(group.nulls, of_pattern)):
            of_null = LinearFits._make(values[:, group.residuals.pattern_of == p] for values in fits)
            rows = _rows(model, null, own, of_null, flipped)
            if model.like is None:
                _correct_tails(model, null, own, rows, block, flipped)
            for name, values in rows.items():
                columns[name][:, null.traits] = values
    labels = {"trait": state.traits, "test": ("add",) * len(state.traits)}
    return BlockResult(columns, labels, {"method": METHODS, "code": CODES})


def _correct_tails(
    model: Linear, null: NullModel, own: GenotypeSums, rows: dict[str, Array], block: Block, flipped: BoolArray
) -> None:
    """Give rows whose carriers are few for the tails of the residuals the p of the residuals' law, trait by trait."""
    rows["standard_error_model"] = rows["standard_error"].copy()
    Q = null.Q[null.columns]
    for j, law in enumerate(null.laws):
        if law is not None:
            sample = Sample(null.columns, Q, null.gram, null.R[null.columns, j], law, model.imputes)
            of_trait = {name: values[:, j] for name, values in rows.items()}
            correct_rows(of_trait, sample, own, block, flipped, _NAMES, rule="normal")


def _rows(model: Linear, null: NullModel, own: GenotypeSums, fits: LinearFits, flipped: BoolArray) -> dict[str, Array]:
    """Turn what was computed for the minor allele into rows for ALT, with the reasons for rows without an estimate."""
    mac = own.mac
    code = fits.code.copy()
    code[own.constant & (mac > 0)] = CODES.index("constant_genotype")
    code[own.constant & (mac == 0)] = CODES.index("monomorphic")
    code[own.n == 0] = CODES.index("n_too_small")
    fine = np.isin(code, [CODES.index(reason) for reason in _NO_ESTIMATE], invert=True)
    enough = (own.tested_mac >= model.least_mac)[:, None]
    code[~enough & fine] = CODES.index("too_few_carriers")
    keep = fine & enough
    to_alt = np.where(flipped, -1.0, 1.0)[:, None] * null.scale
    beta = np.where(keep, fits.beta * to_alt, np.nan)
    error = np.where(keep, fits.standard_error * null.scale, np.nan)
    t = np.where(keep, fits.t * np.sign(to_alt), np.nan)
    df = np.where(fits.df >= 1, fits.df, np.nan)
    half = t_quantile_975(df) * error
    logp, method = neg_log_10_p_t(t, df), "t"
    if model.like == "regenie":
        # chi-squared with the null's residual variance RSS_0 / (df + 1): t^2 = S df / (RSS_0 - S), chi2 = S (df + 1) / RSS_0
        shrink = np.sqrt((df + 1) / (df + t * t))
        t, error, method = t * shrink, error / shrink, "score"
        half, logp = Z_975 * error, neg_log_10_p_z(t)
    samples = np.full(own.n.size, null.n) if model.imputes else own.n
    wide = np.ones(null.traits.size)
    return {
        "beta": beta,
        "standard_error": error,
        "ci_lower": beta - half,
        "ci_upper": beta + half,
        "statistic": t,
        "neg_log_10_p_value": logp,
        "method": np.where(np.isnan(beta), 0, METHODS.index(method)).astype(np.uint8),
        "effect_allele_frequency": own.frequency[:, None] * wide,
        "mac": mac[:, None] * wide,
        "missing_rate": (1.0 - own.n / max(null.n, 1))[:, None] * wide,
        "n": samples[:, None] * np.ones(null.traits.size, np.int64),
        "code": code,
    }
