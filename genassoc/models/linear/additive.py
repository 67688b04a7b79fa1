"""Linear regression on one column of genotypes: a block's product with covariates and residuals, and a few operations a row.

Patterns of missing phenotypes share the covariates' columns: what the samples without a trait add to their sums is
subtracted. Rows whose sums float32 cannot hold, or that people will quote, are summed again in float64; those in which float64
cancels are fitted on their own complete cases.
"""

import numpy as np

from genassoc.data.block import Block, GenotypeBlock
from genassoc.kernels.genotypes.carriers import TILE_WORDS, TWO_COPIES, sum_lacking
from genassoc.kernels.genotypes.dosages import FixedPoint, dosage_product
from genassoc.kernels.genotypes.missing_calls import Missing
from genassoc.kernels.likelihoods import linear_rows as kernel
from genassoc.kernels.likelihoods.linear_rows import LinearFits, Sums
from genassoc.models.base import CODE, BlockResult
from genassoc.models.linear.dense import fit_row
from genassoc.models.linear.null import Choices, LinearState, NullGroup
from genassoc.models.scan.product import minor_counts
from genassoc.models.scan.residual_law import Sample, correct_rows
from genassoc.models.scan.rows import Rows
from genassoc.models.scan.sums import GenotypeSums, genotype_sums, minor_is_ref
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array
from genassoc.stats.tails import neg_log_10_p_t

GENOME_WIDE = 7.3  # rows past 5e-8 are computed again in float64
NEAR_GENOME_WIDE = 5.3  # of t: below it even a normal has a p above 1e-7
# With at most one carrier in so many samples, one word of hundreds has any: words are scanned in one go, not tile by tile.
FEW = 2048
# Of the kernel's rows, in the order of its numbers.
KERNEL_CODES = (None, "collinear", "n_too_small", "covariate_collinear", "perfect_fit", "no_residual_variance")
_NUMBERS = np.array([CODE[name] for name in KERNEL_CODES], np.uint8)
_FAILED = np.isin(np.arange(len(KERNEL_CODES)), [kernel.COLLINEAR, kernel.N_TOO_SMALL, kernel.NO_RESIDUAL_VARIANCE])


def test_additive(choices: Choices, state: LinearState, block: Block) -> BlockResult:
    """V x T rows."""
    flipped = minor_is_ref(block, state.cohort_columns, state.cohort_mask)
    parts: list[dict[str, Array]] = []
    for group in state.groups:
        genotypes, fits = fit_group(group, block, flipped, choices.impute)
        rows = _rows(choices, group, genotypes, fits)
        without = ("iterations", "standard_error_model") if choices.like else ("iterations",)
        columns = rows.finished(genotypes, flipped, group.residuals.n_of, choices.impute, without)
        if choices.check_tails:
            _correct_tails(choices, group, genotypes, columns, block, flipped)
        parts.append(columns)
    order = np.argsort(np.concatenate([group.traits for group in state.groups]))
    joined = parts[0] if len(parts) == 1 else {name: np.hstack([part[name] for part in parts]) for name in parts[0]}
    if (np.diff(order) < 0).any():
        joined = {name: values[:, order] for name, values in joined.items()}
    return BlockResult(joined, {"trait": state.traits, "test": ("add",) * len(state.traits)})


test_additive.__test__ = False  # type: ignore[attr-defined]  # its name is not a test's


def _rows(choices: Choices, group: NullGroup, genotypes: GenotypeSums, fits: LinearFits) -> Rows:
    """Rows (V, T) of a group's traits, with the reasons for rows without an estimate."""
    rows = Rows.empty(*fits.beta.shape)
    scale = np.concatenate([null.scale for null in group.nulls])
    beta, error, t = fits.beta * scale, fits.standard_error * scale, fits.t
    df = np.where(fits.df >= 1, fits.df, np.nan)
    if choices.like == "regenie":
        # chi-squared with the null's residual variance RSS_0 / (df + 1): t^2 = S df / (RSS_0 - S), chi2 = S (df + 1) / RSS_0
        shrink = np.sqrt((df + 1) / (df + t * t))
        rows.put(slice(None), "score", beta, error / shrink, t * shrink)
    else:
        rows.put(slice(None), "t", beta, error, t, df)
    code, failed = _NUMBERS[fits.code], _FAILED[fits.code]
    for bad, reason in (
        ((genotypes.tested_mac < choices.min_mac) & ~failed, "too_few_carriers"),
        (genotypes.constant & (genotypes.mac > 0), "constant_genotype"),
        (genotypes.constant & (genotypes.mac == 0), "monomorphic"),
        (genotypes.n == 0, "n_too_small"),
    ):
        bad = np.broadcast_to(bad, code.shape)
        code[bad], failed[bad] = CODE[reason], True
    if failed.any():
        rows.fail(failed, "n_too_small")
    rows.code = code
    return rows


def _correct_tails(
    choices: Choices,
    group: NullGroup,
    genotypes: GenotypeSums,
    columns: dict[str, Array],
    block: Block,
    flipped: BoolArray,
) -> None:
    """Give rows whose carriers are few for the tails of the residuals the p of the residuals' law, trait by trait."""
    at = 0
    for null in group.nulls:
        for j, law in enumerate(null.laws):
            if law is not None:
                sample = Sample(null.columns, null.Q, null.gram, null.R[:, j], null.columns, law, choices.impute)
                of_trait = {name: values[:, at] for name, values in columns.items()}
                correct_rows(of_trait, sample, genotypes.of_trait(at), block, flipped, rule="normal")
            at += 1


def fit_group(group: NullGroup, block: Block, flipped: BoolArray, impute: bool) -> tuple[GenotypeSums, LinearFits]:
    """Sums of g (V, T) or, where all traits have the same samples, (V, 1); and rows (V, T) of the traits, of the minor allele."""
    every = genotype_sums(block, flipped, group.columns, group.mask)
    product, lacking = group.matrix.times(block, flipped), _lacking(block, flipped, group)
    counted, sum_g, sum_g2 = _sums_of_patterns(group, block, flipped, every, lacking)
    sums = Sums(np.empty(sum_g.shape, np.int64), sum_g, sum_g2, every.sum_g2, product, lacking)
    fits = _finish(group, sums, every, impute)
    of_pattern = counted or _by_subtraction(every, sums, flipped)
    varying = ~of_pattern.constant[:, group.residuals.pattern_of]
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
    return of_pattern if len(group.nulls) == 1 else of_pattern.of_traits(group.residuals.pattern_of), fits


def _sums_of_patterns(
    group: NullGroup, block: Block, flipped: BoolArray, every: GenotypeSums, lacking: Float64Array
) -> tuple[GenotypeSums | None, Float64Array, Float64Array]:
    """Sums of g and of its squares over each pattern's samples (V, P); before them all that was counted, where more had to be.

    Of autosomal calls it is enough to subtract what those who lack a pattern's traits carry (exactly: these are whole numbers).
    """
    P = len(group.nulls)
    if isinstance(block, GenotypeBlock) and block.genuine is None and block.haploid is None:
        marks = lacking[:, :: lacking.shape[1] // P]
        two = np.floor(marks / TWO_COPIES)
        g = marks - TWO_COPIES * two
        return None, every.sum_g[:, None] - g, every.sum_g2[:, None] - (g + 2 * two)
    counted = GenotypeSums.side_by_side(
        [
            every if null.n == group.n else genotype_sums(block, flipped, null.columns, null.mask, list_calls=False)
            for null in group.nulls
        ]
    )
    return counted, counted.sum_g, counted.sum_g2


def _by_subtraction(every: GenotypeSums, sums: Sums, flipped: BoolArray) -> GenotypeSums:
    """What counting each pattern's samples would give (V, P), of autosomal calls."""
    n, sum_g = sums.n, sums.sum_g
    two = 0.5 * (sums.sum_g2 - sum_g)
    one = sum_g - 2 * two
    constant = (two == n) | (one == n) | (sum_g == 0)
    return GenotypeSums(
        n,
        np.where(flipped[:, None], 2.0 * n - sum_g, sum_g),
        2 * n,
        sum_g,
        sums.sum_g2,
        constant,
        every.pointers,
        every.indices,
        carriers=np.full(n.shape, np.inf),
    )


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
    """Covariates summed over the carriers that lack each pattern's traits, (V, P * D); of calls, what they carry before these."""
    Q, lacks = group.residuals.Q, group.residuals.lacks
    P, D = len(group.nulls), Q.shape[1]
    out = np.zeros((block.n_variants, P * D))
    if not lacks.patterns.size:
        return out
    if isinstance(block, GenotypeBlock):
        words = block.packed.view(np.uint64)
        few = block.carriers(flipped) * FEW <= block.n_samples
        for some, tile in ((np.flatnonzero(few), words.shape[1]), (np.flatnonzero(~few), TILE_WORDS)):
            sum_lacking(words, flipped, some, tile, group.lacking_mask, lacks, Q.ravel(), out)
        return out
    for p, null in enumerate(group.nulls):
        if null.n < group.n:
            without = np.setdiff1d(group.columns, null.columns, assume_unique=True)
            part = np.empty((block.n_variants, D))
            lacking = FixedPoint(np.ascontiguousarray(block.values[:, without]), block.scale, block.not_observed)
            dosage_product(lacking, flipped, Q[without], False, part)
            out[:, p * D : (p + 1) * D] = part
    return out
