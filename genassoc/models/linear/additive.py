"""Linear regression on one column of genotypes: a block's product with covariates and residuals, and a few operations a row.

Patterns of missing phenotypes share the covariates' columns: what the samples without a trait add to their sums is
subtracted. Rows whose sums float32 cannot hold, or that people will quote, are summed again in float64; those in which float64
cancels are fitted on their own complete cases.
"""

import numpy as np

from genassoc.data.block import Block, DosageBlock, GenotypeBlock
from genassoc.kernels.genotypes.carriers import sum_lacking
from genassoc.kernels.genotypes.dosages import dosage_product
from genassoc.kernels.genotypes.missing_calls import Missing
from genassoc.kernels.likelihoods import linear_rows as kernel
from genassoc.kernels.likelihoods.linear_rows import LinearFits, Sums
from genassoc.models.base import CODE, BlockResult
from genassoc.models.linear.dense import fit_row
from genassoc.models.linear.null import Choices, LinearState, NullGroup, NullModel
from genassoc.models.linear.residual_law import Sample, correct_rows
from genassoc.models.scan.product import minor_counts
from genassoc.models.scan.rows import Rows
from genassoc.models.scan.sums import GenotypeSums, genotype_sums, minor_is_ref
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array
from genassoc.stats.tails import neg_log_10_p_t

GENOME_WIDE = 7.3  # rows past 5e-8 are computed again in float64
NEAR_GENOME_WIDE = 5.3  # of t: below it even a normal has a p above 1e-7
# Of the kernel's rows, in the order of its numbers.
KERNEL_CODES = (None, "collinear", "n_too_small", "covariate_collinear", "perfect_fit", "no_residual_variance")
_NUMBERS = np.array([CODE[name] for name in KERNEL_CODES], np.uint8)
_FAILED = np.isin(np.arange(len(KERNEL_CODES)), [kernel.COLLINEAR, kernel.N_TOO_SMALL, kernel.NO_RESIDUAL_VARIANCE])


def test_additive(choices: Choices, state: LinearState, block: Block) -> BlockResult:
    """V x T rows."""
    flipped = minor_is_ref(block, state.cohort_columns, state.cohort_mask)
    columns: list[dict[str, Array]] = []
    for group in state.groups:
        of_pattern, fits = fit_group(group, block, flipped, choices.impute)
        for p, (null, genotypes) in enumerate(zip(group.nulls, of_pattern)):
            # Of one pattern: no copy.
            at = group.residuals.pattern_of == p
            of_null = fits if at.all() else LinearFits._make(values[:, at] for values in fits)
            rows = _rows(choices, null, genotypes, of_null)
            without = ("iterations", "standard_error_model") if choices.like else ("iterations",)
            columns.append(rows.finished(genotypes, flipped, null.n, choices.impute, without))
            if choices.check_tails:
                _correct_tails(choices, null, genotypes, columns[-1], block, flipped)
    joined = columns[0]
    if len(columns) > 1:
        order = np.argsort(np.concatenate([null.traits for group in state.groups for null in group.nulls]))
        joined = {name: np.hstack([part[name] for part in columns])[:, order] for name in joined}
    return BlockResult(joined, {"trait": state.traits, "test": ("add",) * len(state.traits)})


test_additive.__test__ = False  # type: ignore[attr-defined]  # its name is not a test's


def _rows(choices: Choices, null: NullModel, genotypes: GenotypeSums, fits: LinearFits) -> Rows:
    """Rows (V, T_p) of a pattern, with the reasons for rows without an estimate."""
    rows = Rows.empty(*fits.beta.shape)
    beta, error, t = fits.beta * null.scale, fits.standard_error * null.scale, fits.t
    df = np.where(fits.df >= 1, fits.df, np.nan)
    if choices.like == "regenie":
        # chi-squared with the null's residual variance RSS_0 / (df + 1): t^2 = S df / (RSS_0 - S), chi2 = S (df + 1) / RSS_0
        shrink = np.sqrt((df + 1) / (df + t * t))
        rows.put(slice(None), "score", beta, error / shrink, t * shrink)
    else:
        rows.put(slice(None), "t", beta, error, t, df)
    code, failed = _NUMBERS[fits.code], _FAILED[fits.code]
    for bad, reason in (
        ((genotypes.tested_mac < choices.min_mac)[:, None] & ~failed, "too_few_carriers"),
        (genotypes.constant & (genotypes.mac > 0), "constant_genotype"),
        (genotypes.constant & (genotypes.mac == 0), "monomorphic"),
        (genotypes.n == 0, "n_too_small"),
    ):
        code[bad], failed[bad] = CODE[reason], True
    if failed.any():
        rows.fail(failed, "n_too_small")
    rows.code = code
    return rows


def _correct_tails(
    choices: Choices,
    null: NullModel,
    genotypes: GenotypeSums,
    columns: dict[str, Array],
    block: Block,
    flipped: BoolArray,
) -> None:
    """Give rows whose carriers are few for the tails of the residuals the p of the residuals' law, trait by trait."""
    Q = null.Q[null.columns]
    for j, law in enumerate(null.laws):
        if law is not None:
            sample = Sample(null.columns, Q, null.gram, null.R[null.columns, j], law, choices.impute)
            of_trait = {name: values[:, j] for name, values in columns.items()}
            correct_rows(of_trait, sample, genotypes, block, flipped, rule="normal")


def fit_group(
    group: NullGroup, block: Block, flipped: BoolArray, impute: bool
) -> tuple[tuple[GenotypeSums, ...], LinearFits]:
    """Sums of g over each pattern's samples, and rows (V, T) of the traits, of the minor allele."""
    every = genotype_sums(block, flipped, group.columns, group.mask)
    of_pattern = tuple(
        every if null.n == group.n else genotype_sums(block, flipped, null.columns, null.mask, list_calls=False)
        for null in group.nulls
    )
    n, sum_g, sum_g2, constant = (
        np.stack([getattr(genotypes, name) for genotypes in of_pattern], axis=1)
        for name in ("n", "sum_g", "sum_g2", "constant")
    )
    product, lacking = group.matrix.times(block, flipped), _lacking(block, flipped, group)
    sums = Sums(n, sum_g, sum_g2, every.sum_g2, product, lacking)
    fits = _finish(group, sums, every, impute)
    varying = ~constant[:, group.residuals.pattern_of]
    if isinstance(block, GenotypeBlock):
        with np.errstate(invalid="ignore"):
            again = np.abs(fits.t) > NEAR_GENOME_WIDE
        again[again] = neg_log_10_p_t(fits.t[again], fits.df[again]) > GENOME_WIDE
        again = (again | (fits.weak > 0)) & varying
        variants = np.flatnonzero(again.any(axis=1))
        if variants.size:
            exact = group.matrix.times_in_float64(block, flipped, variants)
            some = Sums._make(values[variants] for values in sums)._replace(product=exact)
            _put(fits, _finish(group, some, every.take(variants), impute), variants, again[variants])
    for v, j in np.argwhere((fits.weak == kernel.ILL) & varying):
        null = group.nulls[group.residuals.pattern_of[j]]
        g = minor_counts(block, flipped, np.array([v]), null.columns)[0]
        row = fit_row(g, null.Q, group.residuals.R[:, j], null.columns, impute)
        fits.beta[v, j], fits.standard_error[v, j], fits.t[v, j] = row.theta[0], row.standard_error, row.t
        fits.df[v, j], fits.code[v, j] = row.df, KERNEL_CODES.index(row.code)
    return of_pattern, fits


def _finish(group: NullGroup, sums: Sums, every: GenotypeSums, impute: bool) -> LinearFits:
    shape = (sums.n.shape[0], group.traits.size)
    beta, standard_error, t, df = (np.empty(shape) for _ in range(4))
    fits = LinearFits(beta, standard_error, t, df, np.empty(shape, np.uint8), np.empty(shape, np.uint8))
    kernel.finish(sums, Missing(every.pointers, every.indices), group.residuals, impute, fits)
    return fits


def _put(fits: LinearFits, again: LinearFits, variants: Int64Array, chosen: BoolArray) -> None:
    """Put the chosen rows (len(variants), T) of another computation in place of those of the variants."""
    for name in fits._fields:
        values = getattr(fits, name)
        part = values[variants]
        part[chosen] = getattr(again, name)[chosen]
        values[variants] = part


def _lacking(block: Block, flipped: BoolArray, group: NullGroup) -> Float64Array:
    """Covariates summed over the carriers that lack each pattern's traits, (V, P * D)."""
    Q, lacks = group.residuals.Q, group.residuals.lacks
    P, D = len(group.nulls), Q.shape[1]
    out = np.zeros((block.n_variants, P * D))
    if isinstance(block, GenotypeBlock):
        words = block.packed.view(np.uint64)
        sum_lacking(words, flipped, group.lacking_mask, lacks.pointers, lacks.patterns, Q.ravel(), out)
        return out
    for p, null in enumerate(group.nulls):
        if null.n < group.n:
            without = np.setdiff1d(group.columns, null.columns, assume_unique=True)
            part = np.empty((block.n_variants, D))
            dosage_product(DosageBlock(block.values[:, without]).fixed_point, flipped, Q[without], False, part)
            out[:, p * D : (p + 1) * D] = part
    return out
