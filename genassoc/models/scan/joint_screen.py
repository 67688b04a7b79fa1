"""The screen of models with several tested columns: score tests of all columns at once, which say what needs a fit.

The square of any contrast's score statistic is at most the joint chi-squared. Where that is below the critical value of one degree of
freedom, no test of the variant is near ``correct_below``: its rows are one Newton step from the null, and are not fitted. All others are,
and so are variants of which a genotype x outcome (x arm) cell expects few: there chi-squared is no law of the score.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple, Protocol

import numpy as np

from genassoc.data.block import Block, DosageBlock
from genassoc.kernels.laws.sandwich import WaldFits, room
from genassoc.kernels.likelihoods import joint_score as kernel
from genassoc.kernels.likelihoods.rows import FINE
from genassoc.models.base import METHOD
from genassoc.models.scan.family import EVERY_SMALL_P, WEAK_DIRECTION, WEAK_SHARE
from genassoc.models.scan.genetic_models import probabilities
from genassoc.models.scan.information import REFIT_ABOVE_MISSING
from genassoc.models.scan.joint_tests import put_wald
from genassoc.models.scan.product import SQUARE, ThinMatrix
from genassoc.models.scan.rows import Rows
from genassoc.models.scan.sums import GenotypeSums
from genassoc.models.scan.tested import Classes, Tested, carriers_of, joint_statistic, others_of
from genassoc.shapes import BoolArray, Float64Array, Int64Array, UInt64Array, packed_bytes
from genassoc.stats.tails import neg_log_10_p_z

LEAST_IN_CELL = 5.0  # events, or samples without, expected in a cell of genotype, outcome and arm: fewer are fitted
# (events expected in the smallest cell, factor): from so many on, a variant is fitted where its joint chi-squared reaches the critical
# value at ``correct_below`` times the factor. No row then has a fitted p below ``correct_below`` and none of these fits
# (benchmarks/calibration_screens.py, docs/calibration.md).
MARGINS = ((50.0, 1.4), (20.0, 2.0), (10.0, 2.5), (LEAST_IN_CELL, 3.5))
# One Newton step of the null corrects for missing calls where they are few (as in one column), and its squared length, in standard
# errors, is below this: calls that are missing by the outcome make it long.
MOST_MOVED = 0.25

# What a run's notes say of it.
SCREENED = (
    "variants whose score test of all tested columns has a p well above correct_below keep that test (method 'score' or 'score_approx'); "
    "the others are fitted. test='wald' or 'lrt' fits every variant"
)
# Score tests of columns H (R, D, n) of what is tested; None where a family has none.
ScoreTests = Callable[[Float64Array, Tested], WaldFits | None]

HETEROZYGOUS = np.array([0.0, 1.0, 0.0, 0.0], dtype=np.float32)
HOMOZYGOUS = np.array([0.0, 0.0, 1.0, 0.0], dtype=np.float32)


class Screened(NamedTuple):
    """Score tests of V variants from a block's product.

    Attributes
    ----------
    fits : WaldFits
        One Newton step from the null, and its covariance.
    sure : bool array (V,)
        Where the sums give the score: else it is computed from the calls.
    exact : bool array (V,)
        Where no call is missing, or missing ones take the mean.
    """

    fits: WaldFits
    sure: BoolArray
    exact: BoolArray


@dataclass(frozen=True)
class ScoredNull:
    """What a null model says of the samples of a block; zero for those without the trait.

    Attributes
    ----------
    Q, WQ : float64 arrays (N, C)
        Covariates orthonormal in the weights, and the weights times them.
    weight, residual : float64 arrays (N,)
        The information in a sample's linear predictor, and its score there.
    dispersion : float
        The variance over that of the model.
    """

    Q: Float64Array
    WQ: Float64Array
    weight: Float64Array
    residual: Float64Array
    dispersion: float = 1.0

    @classmethod
    def of(
        cls, X: Float64Array, own: tuple[Float64Array, Float64Array, float], columns: Int64Array, width: int
    ) -> "ScoredNull":
        """Covariates X (n, C), and weights, scores (n,) and dispersion of the samples ``columns`` of a block of ``width``."""
        w, score, dispersion = own
        Q, WQ = np.zeros((width, X.shape[1])), np.zeros((width, X.shape[1]))
        weight, residual = np.zeros(width), np.zeros(width)
        L = np.linalg.cholesky(X.T @ (w[:, None] * X))
        Q[columns] = np.linalg.solve(L, X.T).T
        WQ[columns], weight[columns], residual[columns] = w[:, None] * Q[columns], w, score
        return cls(Q, WQ, weight, residual, dispersion)


@dataclass(frozen=True)
class ProductScreen:
    """Columns whose sums over heterozygotes and homozygotes give the scores of all tested columns of a trait.

    Attributes
    ----------
    matrix : ThinMatrix
        r, w q and w of every sample, times e (and e^2) where there is an E.
    null : JointNull
    n : int
        Samples of the trait.
    dispersion : float
    heterozygotes : bool
        As in `Tested`: the columns are copies and heterozygotes, else copies (times powers of e).
    """

    matrix: ThinMatrix
    null: kernel.JointNull
    n: int
    dispersion: float
    heterozygotes: bool

    @classmethod
    def of(cls, null: ScoredNull, tested: Tested, columns: Int64Array) -> "ProductScreen":
        """Of the samples ``columns`` (n,) of a block."""
        N = null.Q.shape[0]
        powers = np.zeros((N, 3))
        powers[columns, 0] = 1.0
        if tested.with_e:
            powers[columns, 1], powers[columns, 2] = tested.e, tested.e**2
        D = tested.n_columns
        E = 1 if tested.heterozygotes else D  # columns that a copy counts in
        r, w = null.residual[:, None] * powers[:, :E], null.weight[:, None] * powers[:, : 2 * E - 1]
        wq = [null.WQ * powers[:, e : e + 1] for e in range(E)]
        matrix = ThinMatrix.of(np.hstack([r, *wq, w]), packed_bytes(N), HETEROZYGOUS)
        factors = np.ascontiguousarray(powers[:, :E]) if not tested.heterozygotes else np.zeros((N, D))
        return cls(
            matrix, kernel.JointNull(null.WQ, null.Q, null.weight, null.residual, factors), columns.size, null.dispersion,
            tested.heterozygotes,
        )  # fmt: skip

    def scores(self, block: Block, flipped: BoolArray, genotypes: GenotypeSums, impute: bool) -> Screened:
        """Score tests of all variants, of the minor allele's copies."""
        V, C = block.n_variants, self.null.Q.shape[1]
        if self.heterozygotes and isinstance(block, DosageBlock):
            return self._tested(*self._of_probabilities(block, flipped), genotypes, impute)
        one, two = class_sums(self.matrix, block, flipped)
        E = (self.matrix.columns.shape[1] + 1) // (C + 3)
        copies, squares = one + 2.0 * two, one + 4.0 * two
        if self.heterozygotes:
            residual, wq = (
                np.stack([copies[:, 0], one[:, 0]], axis=1),
                np.stack([copies[:, 1 : C + 1], one[:, 1 : C + 1]], axis=1),
            )
            w, h = squares[:, -1], one[:, -1]
            total = np.stack([w, h, h, h], axis=1).reshape(V, 2, 2)
        else:
            residual, wq = copies[:, :E], copies[:, E : E + E * C].reshape(V, E, C)
            w = squares[:, E + E * C :]
            total = w[:, np.add.outer(np.arange(E), np.arange(E))]
        return self._tested(residual, wq, total, genotypes, impute)

    def _of_probabilities(
        self, block: DosageBlock, flipped: BoolArray
    ) -> tuple[Float64Array, Float64Array, Float64Array]:
        """Sums of g and h, the probability of one copy: with residuals (V, 2), with w q (V, 2, C), and with w of their products (V, 2, 2)."""
        as_is = np.zeros(block.n_variants, dtype=bool)
        first, C = replace(self.matrix, values=HETEROZYGOUS), self.null.Q.shape[1]
        copies, parts = first.times(block, flipped), probabilities(block)
        one = 0.5 * first.times(parts[0], as_is)
        # h and r, of which g is h + 2 r, or 2 - h - 2 r where the other allele is counted, by squares of h, r and h + r.
        weight = replace(self.matrix, columns=np.ascontiguousarray(self.matrix.columns[:, -1:]), values=SQUARE)
        h, r, either = (0.25 * weight.times(part, as_is)[:, 0] for part in parts)
        w_h, product = one[:, -1], 0.5 * (either - h - r)
        gg = weight.times(block, flipped)[:, 0]
        gh = h + 2.0 * product
        gh = np.where(flipped, 2.0 * w_h - gh, gh)
        total = np.stack([gg, gh, gh, h], axis=1).reshape(-1, 2, 2)
        residual = np.stack([copies[:, 0], one[:, 0]], axis=1)
        return residual, np.stack([copies[:, 1 : C + 1], one[:, 1 : C + 1]], axis=1), total

    def _tested(
        self, residual: Float64Array, wq: Float64Array, total: Float64Array, genotypes: GenotypeSums, impute: bool
    ) -> Screened:
        """Score tests from sums with residuals (V, D), with w q (V, D, C) and of products with w (V, D, D)."""
        V, D = residual.shape
        sums = kernel.JointSums(*(np.ascontiguousarray(part) for part in (residual, wq, total)))
        fits, quality = room(V, D, 1), kernel.Quality(np.zeros(V), np.ones(V), np.zeros(V))
        mean = genotypes.sum_g / np.maximum(genotypes.n, 1)
        kernel.score_sums(sums, genotypes.missing, self.null, mean, impute, fits, quality)
        fits.covariance[:] *= self.dispersion
        fits.dispersion[:] = self.dispersion
        sure = (fits.status == FINE) & (quality.kept > WEAK_SHARE) & (quality.weakest > WEAK_DIRECTION)
        exact = np.full(V, True) if impute else np.asarray(genotypes.n == self.n)
        if not impute:
            sure &= (genotypes.n >= (1.0 - REFIT_ABOVE_MISSING) * self.n) & (quality.moved < MOST_MOVED)
        return Screened(fits, sure, exact)


def class_sums(matrix: ThinMatrix, block: Block, flipped: BoolArray) -> tuple[Float64Array, Float64Array]:
    """Sums of the matrix's columns over heterozygotes, and over homozygotes of the minor allele, (V, Z) each.

    Of dosages d, what makes sums of d and of d^2 those of the two classes: a model with the copies alone asks for no more.
    """
    if isinstance(block, DosageBlock):
        first, second = (replace(matrix, values=values).times(block, flipped) for values in (HETEROZYGOUS, SQUARE))
        return 2.0 * first - second, 0.5 * (second - first)
    return matrix.times(block, flipped), replace(matrix, values=HOMOZYGOUS).times(block, flipped)


@dataclass(frozen=True)
class Cells:
    """How often the rarest outcome is expected where a genotype (and an arm) is rarest.

    Genotypes are those that the tested columns tell apart: all three of the genotypic model, else carriers of the rarer allele and others.

    Attributes
    ----------
    tested : Tested
    rates : tuple of float
        Of the rarest outcome in each arm, or in all samples where there is none.
    """

    tested: Tested
    rates: tuple[float, ...]

    @classmethod
    def of(cls, tested: Tested, expected: Float64Array, columns: Int64Array) -> "Cells":
        """``expected`` (S, n): of each outcome in the samples ``columns`` (n,) of a block."""
        members = [np.isin(columns, arm.columns) for arm in tested.arms] or [np.ones(columns.size, dtype=bool)]
        return cls(tested, tuple(least_rate(expected[:, who]) for who in members))

    def smallest(self, block: Block, columns: Int64Array, mask: UInt64Array) -> Float64Array:
        """What the smallest cell of genotype and outcome (and arm) expects (V,), among the samples ``columns`` (n,), a mask (W,)."""
        if self.tested.heterozygotes:
            return np.asarray(self.rates[0] * Classes.of(block, columns, mask).effective.min(axis=1))
        least = np.full(block.n_variants, np.inf)
        # Where E is a number few carriers weigh much in g e: as `fewest_carriers` has it.
        share = 1.0 if len(self.rates) > 1 else 1.0 / 3.0
        for arm, rate in zip(self.tested.arms, self.rates):
            carriers = carriers_of(block, arm)
            least = np.minimum(least, rate * share * np.minimum(carriers, others_of(block, arm, carriers)))
        return least


def least_rate(expected: Float64Array) -> float:
    """How often the rarest of S outcomes is expected in a sample, of (S, n); 0 where there is none."""
    return float(expected.mean(axis=1).min()) if expected.size else 0.0


def needs_fit(total: Float64Array, cells: Float64Array, correct_below: float) -> BoolArray:
    """Variants (V,) whose joint chi-squared is near or beyond the critical value of one degree of freedom."""
    factors = np.select([cells >= least for least, _ in MARGINS], [factor for _, factor in MARGINS], np.inf)
    p = np.minimum(max(correct_below, EVERY_SMALL_P) * factors, 1.0)
    return ~(neg_log_10_p_z(np.sqrt(total)) < -np.log10(p))


class Screenable(Protocol):
    """What a family says of its null for a screen; see `genassoc.models.scan.wald.RowFamily`."""

    @property
    def columns(self) -> Int64Array:
        """Columns of a block (n,)."""

    @property
    def failure(self) -> str | None:
        """Why there is no null model."""

    @property
    def expected(self) -> Float64Array:
        """Of each outcome in the samples, (S, n)."""

    def product_screen(self, tested: Tested) -> ProductScreen | None:
        """What gives scores from a block's product."""


@dataclass(frozen=True)
class Screen:
    """What screens the variants of a trait: how much a cell needs, and scores from a block's product where a family has them."""

    cells: Cells
    product: ProductScreen | None

    @classmethod
    def of(cls, null: Screenable, tested: Tested) -> "Screen":
        """Of a null model and what is tested."""
        several = null.failure is None and tested.n_columns > 1
        product = null.product_screen(tested) if several else None
        return cls(Cells.of(tested, null.expected, null.columns), product)


@dataclass(frozen=True)
class Scoring:
    """The score tests of the variants of a trait and block.

    Attributes
    ----------
    tested : Tested
    correct_below : float
    cells : float64 array (V,)
    rows : Rows
        Filled where a score test is enough.
    """

    tested: Tested
    correct_below: float
    cells: Float64Array
    rows: Rows

    @property
    def large_enough(self) -> BoolArray:
        """Variants (V,) of which every cell expects enough for a score test."""
        return np.asarray(self.cells >= LEAST_IN_CELL)

    def put(self, variants: Int64Array, fits: WaldFits, exact: BoolArray) -> BoolArray:
        """Put the rows of some variants whose score test is enough; which of them (R,). Without ``exact`` (R,) it is "score_approx"."""
        there = fits.status == FINE
        total = joint_statistic(fits.theta, fits.covariance)
        enough = there & ~needs_fit(np.where(there, total, np.inf), self.cells[variants], self.correct_below)
        at = variants[enough]
        freedom = np.full((at.size, len(self.tested.tests)), np.inf)
        put_wald(
            self.rows, at, self.tested, (fits.theta[enough], fits.covariance[enough], freedom), ("score", "score"), False
        )  # fmt: skip
        self.rows.method[at[~exact[enough]]] = METHOD["score_approx"]
        self.rows.dispersion[at] = fits.dispersion[enough, None]
        self.rows.caution(at[fits.dropped[enough]], "covariate_collinear")
        return np.asarray(enough)

    def from_product(self, may: BoolArray, found: Screened, turned: BoolArray) -> tuple[BoolArray, BoolArray]:
        """Put rows of variants that ``may`` be screened (V,); which are, and which of the others are to be scored from their calls.

        ``turned`` (V,): the copies in the product are of the allele that is not counted, whose effects have the other sign.
        """
        # Of the genotypic model, where the heterozygotes' effect does not ask which allele is counted.
        sign = np.where(turned, -1.0, 1.0)
        fits = found.fits
        fits.theta[:, 0] *= sign
        fits.covariance[:, 0, 1:] *= sign[:, None]
        fits.covariance[:, 1:, 0] *= sign[:, None]
        at = np.flatnonzero(may & found.sure)
        settled = np.zeros(may.size, dtype=bool)
        settled[at] = self.put(at, _some(fits, at), found.exact[at])
        return settled, may & ~found.sure

    def from_columns(self, score: ScoreTests, some: Int64Array, H: Float64Array, wanted: BoolArray) -> BoolArray:
        """Put rows of some variants where ``wanted`` (R,), scored from their columns H (R, D, n); which are put."""
        enough = np.zeros(some.size, dtype=bool)
        at = np.flatnonzero(wanted)
        fits = score(np.ascontiguousarray(H[at]), self.tested) if at.size else None
        if fits is not None:
            enough[at] = self.put(some[at], fits, np.ones(at.size, dtype=bool))
        return enough


def _some(fits: WaldFits, at: Int64Array) -> WaldFits:
    """Those of some rows."""
    return WaldFits(
        fits.theta[at], fits.covariance[at], fits.freedom[at], fits.objective[at], fits.dispersion[at], fits.iterations[at],
        fits.status[at], fits.dropped[at],
    )  # fmt: skip
