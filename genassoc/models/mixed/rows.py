"""A block through a linear mixed model: genotypes into the basis of each pattern, then each row at its own maximum.

Rows whose carriers are few for the tails of what the model leaves have p by the shape of its law. g'P y is about a sum over carriers of what covariates
and relationships leave of each: where that has heavy tails the sum is no normal until carriers are many. p is then Student's times what
the law of such a sum, of the model's variance, says more than a normal's.
"""

from collections.abc import Iterator

import numpy as np

from genassoc.data.block import Block, DosageBlock
from genassoc.kernels.laws import shape_law
from genassoc.kernels.likelihoods import mixed as kernel
from genassoc.models.base import CODE, BlockResult
from genassoc.models.mixed.null import MixedNull, MixedState, MixedTrait
from genassoc.models.scan.product import impute_means, minor_counts
from genassoc.models.scan.residual_law import MARGIN, SCREEN, TRIED_BELOW, put_law, withhold
from genassoc.models.scan.rows import Rows, assembled, chunks, unusable
from genassoc.models.scan.sums import GenotypeSums, carriers_in_effect, genotype_sums, minor_is_ref
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array

# Variants that BLAS turns at once: always as many, with zeros for those that are not there, so that a variant's sums are added up in the same
# order whatever stands beside it.
TILE = 64
FEW = 200  # degrees of freedom, below which a likelihood ratio is referred to F: of 200 p = 1e-4 is then a tenth larger
_LN10 = float(np.log(10.0))


def test_block(state: MixedState, block: Block, test: str, min_mac: float) -> BlockResult:
    """V x T rows."""
    flipped = minor_is_ref(block, state.cohort_columns, state.cohort_mask)
    by_trait: dict[int, dict[str, Array]] = {}
    for null in state.nulls:
        genotypes = genotype_sums(block, flipped, null.columns, null.mask, list_calls=False, carriers=True)
        by_trait |= _pattern(null, block, flipped, genotypes, test, min_mac)
    return assembled(state.traits, [by_trait[trait] for trait in range(len(state.traits))])


test_block.__test__ = False  # type: ignore[attr-defined]  # its name is not a test's


def _pattern(
    null: MixedNull, block: Block, flipped: BoolArray, genotypes: GenotypeSums, test: str, min_mac: float
) -> dict[int, dict[str, Array]]:
    """Rows of the traits of one pattern."""
    rows = {int(trait): Rows.empty(block.n_variants) for trait in null.traits}
    # Missing calls take the mean: what has one observed call has n samples.
    reasons = [(bad, code) for bad, code in unusable(genotypes, 0, min_mac) if code != "n_too_small"]
    reasons.insert(0, (genotypes.n == 0, "n_too_small"))
    failure = "n_too_small" if null.rotation is None else None
    fits = {fit.trait: fit for fit in null.fits}
    usable: BoolArray = np.zeros(block.n_variants, dtype=bool)
    for trait, of_trait in rows.items():
        fit = fits.get(trait)
        without = "no_residual_variance" if fit is not None and fit.fit is None else failure
        usable |= of_trait.fail_unusable(reasons, without)
    tested = [fit for fit in null.fits if fit.fit is not None]
    if tested:
        for some, gammas, squares in _turned(null, block, flipped, np.flatnonzero(usable)):
            of_gamma = (gammas * gammas) @ null.weights
            for fit in tested:
                _put(rows[fit.trait], some, fit, gammas, squares, of_gamma, test)
    columns = {}
    for trait, of_trait in rows.items():
        columns[trait] = of_trait.finished(genotypes, flipped, null.n, True, ("iterations",))
        fit = fits.get(trait)
        if fit is not None and fit.law is not None:
            _correct_tails(columns[trait], null, fit, genotypes, block, flipped)
    return columns


def _turned(
    null: MixedNull, block: Block, flipped: BoolArray, variants: Int64Array
) -> Iterator[tuple[Int64Array, Float64Array, Float64Array]]:
    """Variants (v,), their genotypes among the contrasts (TILE, M), and the squares of these less their means (TILE,)."""
    assert null.rotation is not None
    T = null.rotation.T
    for first in range(0, variants.size, TILE):
        some = variants[first : first + TILE]
        G = np.zeros((TILE, null.n))
        calls = minor_counts(block, flipped, some, null.columns)
        missing = np.isnan(calls)
        calls[missing] = 0.0
        means = calls.sum(axis=1) / np.maximum((~missing).sum(axis=1), 1)
        calls -= means[:, None]
        calls[missing] = 0.0  # the mean
        G[: some.size] = calls
        yield some, G @ T.T, np.einsum("vi,vi->v", G, G)


def _put(
    rows: Rows,
    some: Int64Array,
    fit: MixedTrait,
    gammas: Float64Array,
    squares: Float64Array,
    of_gamma: Float64Array,
    test: str,
) -> None:
    """Estimates of one trait for the first variants of a tile."""
    v = some.size
    numbers, status = np.empty((v, kernel.N_NUMBERS)), np.empty(v, np.uint8)
    of_both = gammas @ fit.of_both
    kernel.mixed_rows(gammas[:v], squares[:v], of_gamma[:v], of_both[:v], fit.reml, fit.ml, numbers, status)
    for bad, code in ((kernel.COLLINEAR, "collinear"), (kernel.PERFECT, "perfect_fit")):
        if (status == bad).any():
            rows.fail(some[status == bad], code)
    fine = status == kernel.FINE
    at, beta = some[fine], numbers[fine, kernel.BETA] * fit.scale
    error = numbers[fine, kernel.SE] * fit.scale
    if test == "wald":
        # F(1, n - C - 1) of (beta / SE)^2, which is Student's t: GEMMA's p_wald
        df = np.full(at.size, float(fit.reml.d.size - 1))
        rows.put(at, "wald", beta, error, beta / error, df)
    else:
        gain = numbers[fine, kernel.GAIN]
        left = fit.reml.d.size - 1
        if left < FEW:
            # Of a model without relatives F of 1 and n - C - 1 is exact, and a chi-squared too large (docs/models/mixed.md).
            t = np.sqrt(left * np.expm1(gain / fit.ml.all_d.size))
            rows.put(at, "lrt_f", beta, error, np.copysign(t, beta), np.full(at.size, float(left)))
        else:
            rows.put(at, "lrt", beta, error, np.copysign(np.sqrt(gain), beta))
    rows.code[at] = CODE[None]


def _correct_tails(
    rows: dict[str, Array], null: MixedNull, fit: MixedTrait, genotypes: GenotypeSums, block: Block, flipped: BoolArray
) -> None:
    """Give the rows (V,) of one trait the p of the law where a normal's does not hold; in place."""
    law = fit.law
    if law is None:
        return
    logp, statistic = rows["neg_log_10_p_value"], rows["statistic"]
    with np.errstate(invalid="ignore"):
        tried = np.flatnonzero(logp > TRIED_BELOW)
    if not tried.size:
        return
    z = np.abs(statistic[tried])
    excess = law.excess_of(genotypes, tried, z)
    if isinstance(block, DosageBlock) and not block.of_predictor:
        excess = np.maximum(excess, law.excess_of_carriers(carriers_in_effect(block.take(tried), null.columns), z))
    tried = tried[excess.max(axis=0) > SCREEN]
    spread = fit.spread * law.spread if law.spread.size else fit.spread
    for first, last in chunks(tried.size, null.n):
        some = tried[first:last]
        coefficients = minor_counts(block, flipped, some, null.columns)
        impute_means(coefficients)
        for g in coefficients:  # one by one: a product of several rows is added up otherwise for other rows beside it
            g -= null.Q @ (null.Q.T @ g)
            g *= spread
        tails = np.empty((some.size, shape_law.N_TAILS))
        shape_law.shape_rows(
            coefficients, law.atoms, law.weights, law.lost, np.ascontiguousarray(statistic[some]), tails
        )
        heavier = tails[:, shape_law.NORMAL] - tails[:, shape_law.LAW]
        with np.errstate(invalid="ignore"):
            chosen = heavier > MARGIN
        put_law(rows, some[chosen], np.maximum(logp[some][chosen] - heavier[chosen] / _LN10, 0.0))
        withhold(rows, some[np.isnan(tails[:, shape_law.LAW])])
