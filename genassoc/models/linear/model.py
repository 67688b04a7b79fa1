"""Linear regression of quantitative traits on genotype: the t test, exact on each trait's own complete cases.

The null (covariates only) is fitted once for each pattern of missing phenotypes; a block is then one product of
genotypes with covariates and residuals, and a few operations a row (`genassoc.kernels.likelihoods.linear_rows.finish`). Patterns
share the covariates' columns: what the samples without a trait add to their sums is subtracted.
"""

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np

from genassoc.data.block import Block, DosageBlock, GenotypeBlock
from genassoc.data.phenotypes.design import Kind
from genassoc.kernels.genotypes.carriers import sum_lacking
from genassoc.kernels.genotypes.dosages import dosage_product
from genassoc.kernels.likelihoods import linear_rows as kernel
from genassoc.models.base import BlockResult
from genassoc.models.choices import checks
from genassoc.models.choices.choices import Choices
from genassoc.models.linear import fitted
from genassoc.models.linear import genotypic as linear_genotypic
from genassoc.models.linear import interaction as linear_interaction
from genassoc.models.linear.change import baseline_names, prepare_changes, with_baseline_tests
from genassoc.models.linear.dense import fit_row
from genassoc.models.linear.null import LinearState, NullGroup, NullModel, prepare
from genassoc.models.linear.residual_law import Names, Sample, correct_rows, state_notes
from genassoc.models.scan.genetic_models import by_genetic_model
from genassoc.models.scan.product import minor_counts
from genassoc.models.scan.sums import GenotypeSums, genotype_sums, minor_is_ref
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array
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
_NAMES = Names(METHODS.index("spa"), CODES.index("heavy_tails"))
GENOME_WIDE = 7.3  # rows past 5e-8 are computed again in float64


@dataclass(frozen=True)
class Linear(Choices):
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

    def refit_choices(self) -> linear_interaction.Choices:
        """What is done of interactions and robust variances, every default resolved."""
        above = np.inf
        if self.variance == "auto" and self.like == "regenie" and self.interaction is not None:
            above = linear_interaction.ROBUST_ABOVE_MAC
        return linear_interaction.Choices(
            self.imputes, self.least_mac, above, self.like != "plink2", check_tails=self.like is None
        )

    def prepare(self, cohort: Any) -> Any:
        """Fit the null models of all traits on the cohort's samples."""
        if self.is_sandwich:
            return fitted.prepare(self, cohort)
        if self.refits:
            return linear_interaction.prepare(self, cohort, self.refit_choices())
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
            return linear_interaction.test_block(self.refit_choices(), state, block)
        return with_baseline_tests(self, state, block, _test_block(self, state, block))

    def genotypic(self, state: "LinearState", block: Block) -> BlockResult:
        """Test both degrees of freedom of every genotype: V x T x 3 rows."""
        return linear_genotypic.test_block(self.least_mac, self.like, state, block)


@dataclass(frozen=True)
class _Sums:
    """What `genassoc.kernels.likelihoods.linear_rows.finish` needs of V variants and the P patterns of a group.

    ``every`` are sums over the group's samples, ``own`` over each pattern's; ``lacking`` (V, P * D) and ``product``
    (V, C - 1 + T) as there.
    """

    every: GenotypeSums
    own: tuple[GenotypeSums, ...]
    lacking: Float64Array
    product: Float64Array

    def take(self, variants: Int64Array, product: Float64Array) -> "_Sums":
        """Those of some variants, with another product."""
        own = tuple(sums.take(variants) for sums in self.own)
        return _Sums(self.every.take(variants), own, self.lacking[variants], product)

    def stacked(self, name: str) -> Array:
        """A field of every pattern's sums, (V, P)."""
        return np.stack([getattr(sums, name) for sums in self.own], axis=1)


def _sums(block: Block, flipped: BoolArray, group: NullGroup) -> _Sums:
    every = genotype_sums(block, flipped, group.columns, group.mask)
    own = tuple(
        every if null.n == group.n else genotype_sums(block, flipped, null.columns, null.mask, list_calls=False)
        for null in group.nulls
    )
    return _Sums(every, own, _lacking(block, flipped, group), group.matrix.times(block, flipped))


def _lacking(block: Block, flipped: BoolArray, group: NullGroup) -> Float64Array:
    """Covariates summed over the carriers that lack each pattern's traits, (V, P * D)."""
    P, D = len(group.nulls), group.Q.shape[1]
    out = np.zeros((block.n_variants, P * D))
    if isinstance(block, GenotypeBlock):
        words = block.packed.view(np.uint64)
        at = (group.lacking_pointers, group.lacking_patterns)
        sum_lacking(words, flipped, group.lacking_mask, *at, group.Q.ravel(), out)
        return out
    for p, null in enumerate(group.nulls):
        if null.n < group.n:
            without = np.setdiff1d(group.columns, null.columns, assume_unique=True)
            part = np.empty((block.n_variants, D))
            dosage_product(DosageBlock(block.values[:, without]).fixed_point, flipped, group.Q[without], False, part)
            out[:, p * D : (p + 1) * D] = part
    return out


def _finish(model: Linear, group: NullGroup, sums: _Sums) -> dict[str, Array]:
    shape = (sums.every.n.size, group.traits.size)
    beta, standard_error, t, df = (np.empty(shape) for _ in range(4))
    code, weak = np.empty(shape, np.uint8), np.empty(shape, np.uint8)
    kernel.finish(
        sums.stacked("n"), sums.stacked("sum_g"), sums.stacked("sum_g2"), sums.every.sum_g2, sums.product,
        sums.lacking, sums.every.pointers, sums.every.indices, group.Q, group.R, group.gram, group.rss, group.n_of,
        group.pattern_of, group.lacking_pointers, group.lacking_patterns, 1.0 / np.sqrt(max(group.n, 1)), model.imputes,
        beta, standard_error, t, df, code, weak,
    )  # fmt: skip
    return {"beta": beta, "standard_error": standard_error, "t": t, "df": df, "code": code, "weak": weak}


def _again_in_float64(
    model: Linear, group: NullGroup, block: GenotypeBlock, flipped: BoolArray, sums: _Sums, found: dict[str, Array]
) -> None:
    """Compute the rows that float32 sums cannot hold, or that people will quote, again in float64."""
    quoted = np.nan_to_num(neg_log_10_p_t(found["t"], found["df"])) > GENOME_WIDE
    rows = ((found["weak"] > 0) | quoted) & ~sums.stacked("constant")[:, group.pattern_of]
    variants = np.flatnonzero(rows.any(axis=1))
    if not variants.size:
        return
    exact = group.matrix.times_in_float64(block, flipped, variants)
    again = _finish(model, group, sums.take(variants, exact))
    chosen = rows[variants]
    for name, values in found.items():
        part = values[variants]
        part[chosen] = again[name][chosen]
        values[variants] = part


def _fit_afresh(
    model: Linear, group: NullGroup, block: Block, flipped: BoolArray, sums: _Sums, found: dict[str, Array]
) -> None:
    """Fit the rows in which even float64 sums cancel on their own complete cases."""
    ill = (found["weak"] == kernel.ILL) & ~sums.stacked("constant")[:, group.pattern_of]
    for v, j in np.argwhere(ill):
        null = group.nulls[group.pattern_of[j]]
        g = minor_counts(block, flipped, np.array([v]), null.columns)[0]
        row = fit_row(g, null.Q, group.R[:, j], null.columns, model.imputes)
        for name in ("beta", "standard_error", "t", "df", "code"):
            found[name][v, j] = getattr(row, name)


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
        sums = _sums(block, flipped, group)
        found = _finish(model, group, sums)
        if isinstance(block, GenotypeBlock):
            _again_in_float64(model, group, block, flipped, sums, found)
        _fit_afresh(model, group, block, flipped, sums, found)
        for p, null in enumerate(group.nulls):
            of_null = {name: values[:, group.pattern_of == p] for name, values in found.items()}
            rows = _rows(model, null, sums.own[p], of_null, flipped)
            if model.like is None:
                _correct_tails(model, null, sums.own[p], rows, block, flipped)
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


def _rows(
    model: Linear, null: NullModel, own: GenotypeSums, found: dict[str, Array], flipped: BoolArray
) -> dict[str, Array]:
    """Turn what was computed for the minor allele into rows for ALT, with the reasons for rows without an estimate."""
    mac = own.mac
    code = found["code"].copy()
    code[own.constant & (mac > 0)] = CODES.index("constant_genotype")
    code[own.constant & (mac == 0)] = CODES.index("monomorphic")
    code[own.n == 0] = CODES.index("n_too_small")
    fine = np.isin(code, [CODES.index(reason) for reason in _NO_ESTIMATE], invert=True)
    enough = (own.tested_mac >= model.least_mac)[:, None]
    code[~enough & fine] = CODES.index("too_few_carriers")
    keep = fine & enough
    to_alt = np.where(flipped, -1.0, 1.0)[:, None] * null.scale
    beta = np.where(keep, found["beta"] * to_alt, np.nan)
    error = np.where(keep, found["standard_error"] * null.scale, np.nan)
    t = np.where(keep, found["t"] * np.sign(to_alt), np.nan)
    df = np.where(found["df"] >= 1, found["df"], np.nan)
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
