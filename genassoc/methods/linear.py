"""Linear regression of quantitative traits on genotype: the t test, exact on each trait's own complete cases.

The null (covariates only) is fitted once for each pattern of missing phenotypes; a block is then one product of
genotypes with covariates and residuals, and a few operations a row (`genassoc.kernels.linear.finish`).
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from genassoc.data.block import Block, GenotypeBlock
from genassoc.data.design import Kind
from genassoc.kernels import linear as kernel
from genassoc.methods import checks, linear_genotypic
from genassoc.methods.base import BlockResult
from genassoc.methods.columns import minor_counts
from genassoc.methods.genetic_models import by_genetic_model
from genassoc.methods.genotype_choices import GenotypeChoices
from genassoc.methods.linear_dense import fit_row
from genassoc.methods.linear_null import LinearState, NullModel, prepare
from genassoc.methods.sums import GenotypeSums, genotype_sums, minor_is_ref
from genassoc.shapes import Array, BoolArray, Float64Array
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
)
_NO_ESTIMATE = ("collinear", "n_too_small", "no_residual_variance", "monomorphic", "constant_genotype")
METHODS: tuple[str | None, ...] = (None, "t", "score")
GENOME_WIDE = 7.3  # rows past 5e-8 are computed again in float64


@dataclass(frozen=True)
class Linear(GenotypeChoices):
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
    genetic_model, male_x_dosage, condition_on
        See `genassoc.methods.genotype_choices.GenotypeChoices`.

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
        self.check_genotype_choices()
        if self.genetic_model == "genotypic" and self.missing == "mean":
            raise ValueError("genetic_model='genotypic' is of complete genotypes: leave missing='mean' out")

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
        """One row for each trait; three for the genotypic model."""
        return len(self.traits) * self.rows_per_trait

    def prepare(self, cohort: Any) -> "LinearState":
        """Fit the null models of all traits on the cohort's samples."""
        design = cohort.design(self.traits, self.covariates, kind=self.outcome)
        return prepare(design, np.asarray(cohort.block_columns), int(cohort.block_width), self.rank_normalise)

    @by_genetic_model
    def block(self, state: "LinearState", block: Block) -> BlockResult:
        """Test every variant of the block against every trait: V x T rows."""
        return _test_block(self, state, block)

    def genotypic(self, state: "LinearState", block: Block) -> BlockResult:
        """Test both degrees of freedom of every genotype: V x T x 3 rows."""
        return linear_genotypic.test_block(self.least_mac, self.like == "plink2", state, block)


@dataclass(frozen=True)
class _Sums:
    """What `genassoc.kernels.linear.finish` needs of V variants: genotypes' own sums, Q'g (V, C) and R'g (V, T_p)."""

    genotypes: GenotypeSums
    gQ: Float64Array
    gR: Float64Array


def _sums(block: Block, flipped: BoolArray, null: NullModel, product: Float64Array) -> _Sums:
    genotypes = genotype_sums(block, flipped, null.columns, null.mask)
    C = null.Q.shape[1]
    covariates = product[:, null.at : null.at + C - 1]
    residuals = product[:, null.at + C - 1 : null.at + C - 1 + null.traits.size]
    # The constant's column of Q'g is exact: the sum of g is a whole number.
    gQ = np.hstack([(genotypes.sum_g / np.sqrt(max(null.n, 1)))[:, None], covariates])
    return _Sums(genotypes, gQ, np.ascontiguousarray(residuals))


def _finish(model: Linear, null: NullModel, sums: _Sums) -> dict[str, Array]:
    own = sums.genotypes
    shape = (own.n.size, null.traits.size)
    beta, standard_error, t, df = (np.empty(shape) for _ in range(4))
    code, weak = np.empty(shape, np.uint8), np.empty(shape, np.uint8)
    kernel.finish(
        own.n, own.sum_g, own.sum_g2, sums.gQ, sums.gR, own.pointers, own.indices, null.Q, null.R, null.rss,
        null.n, model.imputes, beta, standard_error, t, df, code, weak,
    )  # fmt: skip
    return {"beta": beta, "standard_error": standard_error, "t": t, "df": df, "code": code, "weak": weak}


def _again_in_float64(
    model: Linear,
    state: LinearState,
    null: NullModel,
    block: GenotypeBlock,
    flipped: BoolArray,
    sums: _Sums,
    found: dict[str, Array],
) -> None:
    """Compute the rows that float32 sums cannot hold, or that people will quote, again in float64."""
    quoted = np.nan_to_num(neg_log_10_p_t(found["t"], found["df"])) > GENOME_WIDE
    rows = ((found["weak"] > 0) | quoted) & ~sums.genotypes.constant[:, None]
    variants = np.flatnonzero(rows.any(axis=1))
    if not variants.size:
        return
    C, T = null.Q.shape[1], null.traits.size
    which = np.arange(null.at, null.at + C - 1 + T)
    exact = state.matrix.times_in_float64(block, flipped, variants, which)
    gQ = np.hstack([sums.gQ[variants, :1], exact[:, : C - 1]])
    some = _Sums(sums.genotypes.take(variants), gQ, np.ascontiguousarray(exact[:, C - 1 :]))
    again = _finish(model, null, some)
    chosen = rows[variants]
    for name, values in found.items():
        part = values[variants]
        part[chosen] = again[name][chosen]
        values[variants] = part


def _fit_afresh(
    model: Linear, null: NullModel, block: Block, flipped: BoolArray, sums: _Sums, found: dict[str, Array]
) -> None:
    """Fit the rows in which even float64 sums cancel on their own complete cases."""
    ill = (found["weak"] == kernel.ILL) & ~sums.genotypes.constant[:, None]
    for v in np.flatnonzero(ill.any(axis=1)):
        g = minor_counts(block, flipped, np.array([v]), null.columns)[0]
        for j in np.flatnonzero(ill[v]):
            row = fit_row(g, null.Q, null.R[:, j], null.columns, model.imputes)
            for name in ("beta", "standard_error", "t", "df", "code"):
                found[name][v, j] = getattr(row, name)


def _test_block(model: Linear, state: LinearState, block: Block) -> BlockResult:
    flipped = minor_is_ref(block, state.cohort_columns, state.cohort_mask)
    product = state.matrix.times(block, flipped)
    shape = (block.n_variants, len(state.traits))
    columns: dict[str, Array] = {
        name: np.full(shape, np.nan)
        for name in (
            "beta", "standard_error", "ci_lower", "ci_upper", "effect_allele_frequency", "neg_log_10_p_value",
            "mac", "missing_rate", "statistic",
        )
    }  # fmt: skip
    columns |= {
        "n": np.zeros(shape, np.int64),
        "method": np.zeros(shape, np.uint8),
        "code": np.zeros(shape, np.uint8),
    }
    for null in state.nulls:
        sums = _sums(block, flipped, null, product)
        found = _finish(model, null, sums)
        if isinstance(block, GenotypeBlock):
            _again_in_float64(model, state, null, block, flipped, sums, found)
        _fit_afresh(model, null, block, flipped, sums, found)
        for name, values in _rows(model, null, sums.genotypes, found, flipped).items():
            columns[name][:, null.traits] = values
    labels = {"trait": state.traits, "test": ("add",) * len(state.traits)}
    return BlockResult(columns, labels, {"method": METHODS, "code": CODES})


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
