"""Models that test every variant by the score from one product, and refit the rows that need more.

What a model brings is its null (`ScoreNull`): how the product becomes a score test, and how rows are refitted on dense
calls. What is the same for all of them is here: which rows have an estimate, which are refitted, what replaces what.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from genassoc.data.block import Block
from genassoc.kernels.genotypes.counts import mask_words
from genassoc.kernels.likelihoods import rows as kernel
from genassoc.kernels.likelihoods.rows import Fits
from genassoc.models.base import CODE, METHOD, BlockResult
from genassoc.models.choices import checks
from genassoc.models.scan.information import sum_missing
from genassoc.models.scan.product import SQUARE, ThinMatrix, minor_counts
from genassoc.models.scan.rows import Rows, assembled, chunks, unusable
from genassoc.models.scan.sums import GenotypeSums, genotype_sums, minor_is_ref
from genassoc.models.scan.tested_rows import REFIT_ABOVE_MISSING, REFIT_DIFFERENTIAL
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array, UInt64Array, packed_bytes
from genassoc.stats.information import FEW_EVENTS

WEAK_DIRECTION = 0.05  # as in kernels/genotypes/linear.py: below these float32 sums do not hold five digits
WEAK_SHARE = 0.02
EVERY_SMALL_P = 0.05  # rows of few events have their own law below it, whatever is asked for
OTHER_DISPERSION = 1.25  # a row's over its trait's, beyond which the trait's residuals say nothing of the row's tails
_ASKED = {"score": kernel.SCORE, "wald": kernel.WALD, "lrt": kernel.LRT}
_FAILED = {
    kernel.NOT_CONVERGED: "not_converged",
    kernel.NULL_NOT_CONVERGED: "null_not_converged",
    kernel.COLLINEAR: "collinear",
    kernel.ONE_OUTCOME: "one_outcome",
}


@dataclass(frozen=True)
class Choices:
    """What is done, every default resolved.

    Attributes
    ----------
    test : str
        "score", "wald" or "lrt".
    correction : str or None
        "wald", "lrt", "spa": the test of rows whose score test has p below ``correct_below``; "auto" is "spa" for
        overdispersed outcomes, else "lrt".
    correct_below : float
    impute : bool
        Missing calls take the mean of the observed ones.
    min_mac : float
    """

    test: str
    correction: str | None
    correct_below: float
    impute: bool
    min_mac: float


@dataclass(frozen=True)
class ScoreNull(ABC):
    """One trait fitted on the covariates, on its own complete cases.

    Attributes
    ----------
    n, n_covariates : int
        Samples; covariates with the intercept.
    columns : int64 array (n,)
        Columns of its samples in a block.
    mask : uint64 array (W,)
        The same as packed words.
    weight, residual : float64 arrays (N,)
        What a sample weighs in its linear predictor, and its score there; zero for other samples.
    dispersion : float
        Variance in units of the model's.
    failure : str or None
        Why there is no null model; its rows carry it as their code.
    """

    n: int
    n_covariates: int
    columns: Int64Array
    mask: UInt64Array
    weight: Float64Array
    residual: Float64Array
    dispersion: float
    failure: str | None

    @property
    @abstractmethod
    def width(self) -> int:
        """Its columns in the product."""

    @abstractmethod
    def product_columns(self) -> Float64Array:
        """What the genotypes are multiplied with, (N, width)."""

    @abstractmethod
    def score(
        self, own: GenotypeSums, product: Float64Array, squares: Float64Array, impute: bool
    ) -> tuple[Float64Array, Float64Array, Float64Array]:
        """U, its information and the weakest direction (V,) of every variant."""

    @abstractmethod
    def refit(self, G: Float64Array, asked: Int64Array, impute: bool) -> Fits:
        """Rows on dense calls G (R, n)."""

    @property
    def student(self) -> bool:
        """Whether statistics of refitted rows but score tests are Student's t."""
        return False

    @property
    def overdispersed(self) -> bool:
        """Whether the outcome varies more than its model says, so that its residuals have to say how."""
        return False

    def skewed(self, own: GenotypeSums) -> BoolArray:
        """Rows (V,) whose score is skewed by its residuals' law, so that only `tails` holds its level."""
        return np.zeros(own.n.size, dtype=bool)

    def tails(self, G: Float64Array, U: Float64Array, impute: bool) -> Float64Array:
        """-log10 p of scores U (R,) of dense calls G (R, n) by the saddlepoint of the residuals; NaN where it fails."""
        raise TypeError(f"{type(self).__name__} has no saddlepoint")

    @abstractmethod
    def little_information(self, own: GenotypeSums, impute: bool) -> BoolArray:
        """Rows (V,) with too few events or carriers for the model's tests: `tails_of_few` are their p."""

    def little_expected(self, own: GenotypeSums) -> BoolArray:
        """Rows (V,) with so few events expected among the carriers that a Wald test of them does not hold its level."""
        return np.zeros(own.n.size, dtype=bool)

    @abstractmethod
    def tails_of_few(self, G: Float64Array, mac: Float64Array, impute: bool) -> tuple[Float64Array, BoolArray]:
        """-log10 p of dense calls G (R, n) by a law that needs no more events, NaN where it fails; where it is exact, else a saddlepoint's."""

    def one_step_is_enough(self, own: GenotypeSums) -> BoolArray:
        """Where few calls are missing, of samples like the others: one Newton step of the null corrects for them."""
        excess, weight = sum_missing(own, self.residual), sum_missing(own, self.weight)
        differential = excess * excess > REFIT_DIFFERENTIAL * self.dispersion * weight
        return np.asarray(((self.n - own.n) <= REFIT_ABOVE_MISSING * self.n) & ~differential)

    def extra_columns(self, own: GenotypeSums, rows: Rows) -> dict[str, Array]:
        """Columns of this model alone, (V,) each."""
        return {}


@dataclass(frozen=True)
class ScreenState:
    """What all blocks share; ``notes`` says, for people, what was recognised and left out."""

    traits: tuple[str, ...]
    cohort_columns: Int64Array
    cohort_mask: UInt64Array
    nulls: tuple[ScoreNull, ...]
    matrix: ThinMatrix
    squares: ThinMatrix
    n_incomplete: int
    notes: tuple[str, ...]

    @classmethod
    def of(
        cls,
        traits: tuple[str, ...],
        nulls: Sequence[ScoreNull],
        block_columns: Int64Array,
        block_width: int,
        n_incomplete: int,
        notes: list[str],
    ) -> "ScreenState":
        """Lay out the columns of the nulls, in their order, for the product."""
        columns = np.hstack([null.product_columns() for null in nulls])
        weights = np.column_stack([null.weight for null in nulls])
        return cls(
            traits,
            block_columns,
            mask_words(block_columns, block_width),
            tuple(nulls),
            ThinMatrix.of(columns, packed_bytes(block_width)),
            ThinMatrix.of(weights, packed_bytes(block_width), SQUARE),
            n_incomplete,
            tuple(notes),
        )

    @property
    def n_by_trait(self) -> list[int]:
        """Complete samples of each trait."""
        return [null.n for null in self.nulls]


def check_choices(model: Any, corrections: tuple[str | None, ...]) -> None:
    """Check the choices that all these models have, in place; ``corrections`` are those that there are.

    Raises
    ------
    ValueError
        One is not what it should be.
    """
    name = type(model).__name__
    object.__setattr__(model, "traits", checks.names(model.traits, "traits"))
    object.__setattr__(model, "covariates", checks.names_or_formula(model.covariates, "covariates"))
    if not model.traits:
        raise ValueError(f"{name} needs at least one trait: {name}(traits=['y'])")
    checks.choice(model.test, "test", ("score", "wald", "lrt"))
    if model.correction == "none":
        object.__setattr__(model, "correction", None)
    checks.choice(model.correction, "correction", corrections)
    checks.choice(model.missing, "missing", ("complete", "mean"))
    checks.number(model.correct_below, "correct_below", "a p-value", 0, 1)
    checks.number(model.min_mac, "min_mac", "a count of alleles", 0)


def choices_of(model: Any) -> Choices:
    """The choices of a checked model."""
    return Choices(
        model.test, model.correction, float(model.correct_below), model.missing == "mean", float(model.min_mac)
    )


def test_block(choices: Choices, state: ScreenState, block: Block) -> BlockResult:
    """Test every variant of the block against every trait: V x T rows."""
    flipped = minor_is_ref(block, state.cohort_columns, state.cohort_mask)
    product, squares = state.matrix.times(block, flipped), state.squares.times(block, flipped)
    by_trait = []
    at = 0
    for trait, null in enumerate(state.nulls):
        width = null.width
        part = np.ascontiguousarray(product[:, at : at + width])
        by_trait.append(_test_trait(choices, null, block, flipped, part, np.ascontiguousarray(squares[:, trait])))
        at += width
    return assembled(state.traits, by_trait)


test_block.__test__ = False  # type: ignore[attr-defined]  # its name is not a test's


def _test_trait(
    choices: Choices, null: ScoreNull, block: Block, flipped: BoolArray, product: Float64Array, squares: Float64Array
) -> dict[str, Array]:
    """All columns of one trait, (V,) each."""
    own = genotype_sums(block, flipped, null.columns, null.mask)
    rows = Rows.empty(own.n.size)
    usable = rows.fail_unusable(unusable(own, null.n_covariates, choices.min_mac), null.failure)
    weak = _score(choices, null, own, product, squares, rows, usable)
    _refine(choices, null, block, flipped, own, rows, weak, usable)
    extra = null.extra_columns(own, rows)
    return {**rows.finished(own, flipped, null.n, choices.impute), **extra}


def _score(
    choices: Choices, null: ScoreNull, own: GenotypeSums, product: Float64Array, squares: Float64Array, rows: Rows,
    usable: BoolArray,
) -> BoolArray:  # fmt: skip
    """Score tests from the product; where float32 sums or one Newton step of the null are not enough."""
    if null.failure is not None:
        return np.zeros(usable.size, dtype=bool)
    U, information, weakest = null.score(own, product, squares, choices.impute)
    # Against the uncentred squares: an allele rare here may be the major one of the cohort.
    weak = ~(information > WEAK_SHARE * squares) | (weakest < WEAK_DIRECTION) | ~(information > 0)
    at = np.flatnonzero(usable)
    with np.errstate(invalid="ignore", divide="ignore"):
        error = np.sqrt(null.dispersion / information[at])
        step = U[at] / information[at]
        rows.put(at, "score", step, error, step / error)
    rows.dispersion[at] = null.dispersion
    if not choices.impute:
        rows.method[usable & (own.n < null.n)] = METHOD["score_approx"]
    return np.asarray(usable & (weak | ~(choices.impute | null.one_step_is_enough(own))))


def null_notes(design: Any, trait: str, null: Any, kept: BoolArray) -> list[str]:
    """What was left out of a null model, and that there is none; ``null`` has n and failure."""
    notes = [
        f"covariate {design.covariates[column]} dropped for {trait}: among its {null.n:,} complete samples it is "
        "constant or a combination of the covariates before it"
        for column in np.flatnonzero(~kept)
    ]
    if null.failure is not None:
        notes.append(f"{trait} has no null model ({null.failure}): its rows have no estimate")
    return notes


def _refine(
    choices: Choices,
    null: ScoreNull,
    block: Block,
    flipped: BoolArray,
    own: GenotypeSums,
    rows: Rows,
    weak: BoolArray,
    usable: BoolArray,
) -> None:
    """Everything beyond the product, in place."""
    few = usable & (null.failure is None and null.little_information(own, choices.impute))
    skewed = usable & ~few & null.skewed(own)
    if choices.test != "score":
        _refit(choices, null, block, flipped, rows, np.flatnonzero(weak & skewed), "score", keep=False)
        U = _scores_of(rows)
        ratio = null.little_expected(own) if choices.test == "wald" else np.zeros(usable.size, dtype=bool)
        _refit(choices, null, block, flipped, rows, np.flatnonzero(usable & ~ratio), choices.test, keep=False)
        _refit(choices, null, block, flipped, rows, np.flatnonzero(usable & ratio), "lrt", keep=False)
        _few(choices, null, block, flipped, own, rows, np.flatnonzero(few & np.isfinite(rows.neg_log_10_p)))
        _unskewed(choices, null, block, flipped, rows, np.flatnonzero(skewed & np.isfinite(rows.neg_log_10_p)), U)
        return
    _refit(choices, null, block, flipped, rows, np.flatnonzero(weak), "score", keep=False)
    U = _scores_of(rows)
    with np.errstate(invalid="ignore"):
        small = few & (rows.neg_log_10_p >= -np.log10(max(choices.correct_below, EVERY_SMALL_P)))
    _refit(choices, null, block, flipped, rows, np.flatnonzero(small), "lrt", keep=True)
    _few(choices, null, block, flipped, own, rows, np.flatnonzero(small & np.isfinite(rows.neg_log_10_p)))
    correction = choices.correction
    if correction == "auto":
        correction = "spa" if null.overdispersed else "lrt"
    below = np.zeros(usable.size, dtype=bool)
    if choices.correct_below > 0:
        with np.errstate(invalid="ignore"):
            below = usable & ~few & (rows.neg_log_10_p >= -np.log10(choices.correct_below))
    if correction == "spa":
        _saddlepoint(choices, null, block, flipped, rows, np.flatnonzero(below))
        skewed &= ~below
    elif correction is not None:
        ratio = below & null.little_expected(own) & (correction == "wald")
        _refit(choices, null, block, flipped, rows, np.flatnonzero(below & ~ratio), correction, keep=True)
        _refit(choices, null, block, flipped, rows, np.flatnonzero(ratio), "lrt", keep=True)
    elif not choices.impute:
        approximate = below & (own.n < null.n) & ~weak
        _refit(choices, null, block, flipped, rows, np.flatnonzero(approximate), "score", keep=False)
    with np.errstate(invalid="ignore"):
        small = skewed & (rows.neg_log_10_p >= -np.log10(EVERY_SMALL_P))
    _unskewed(choices, null, block, flipped, rows, np.flatnonzero(small), U)


def _scores_of(rows: Rows) -> Float64Array:
    """U (V,) of rows that are score tests still: beta is U / I, its variance phi / I."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(rows.beta * rows.dispersion / rows.model_error**2)


def _unskewed(
    choices: Choices, null: ScoreNull, block: Block, flipped: BoolArray, rows: Rows, variants: Int64Array, U: Float64Array
) -> None:  # fmt: skip
    """A score too skewed for a normal or a t: the estimates that are there with the saddlepoint's p, whatever was asked for."""
    for first, last in chunks(variants.size, null.n):
        some = variants[first:last]
        logp = null.tails(minor_counts(block, flipped, some, null.columns), U[some], choices.impute)
        rows.put_p(some[np.isfinite(logp)], "spa", logp[np.isfinite(logp)])
        rows.fail(some[np.isnan(logp)], "skewed_score")


def _few(
    choices: Choices, null: ScoreNull, block: Block, flipped: BoolArray, own: GenotypeSums, rows: Rows, variants: Int64Array
) -> None:  # fmt: skip
    """Few events or carriers: the estimates that are there, with the p of their own law; a row without one has neither."""
    for first, last in chunks(variants.size, null.n):
        some = variants[first:last]
        calls = minor_counts(block, flipped, some, null.columns)
        logp, exact = null.tails_of_few(calls, own.tested_mac[some], choices.impute)
        for picked, method in ((exact, "exact"), (~exact, "spa")):
            found = picked & np.isfinite(logp)
            rows.put_p(some[found], method, logp[found])
        rows.fail(some[np.isnan(logp)], FEW_EVENTS)


def _refit(
    choices: Choices, null: ScoreNull, block: Block, flipped: BoolArray, rows: Rows, variants: Int64Array, what: str,
    keep: bool,
) -> None:  # fmt: skip
    """Fit some rows on dense calls, a chunk at a time; with ``keep`` one that fails stays what it was, with a code."""
    for first, last in chunks(variants.size, null.n):
        some = variants[first:last]
        G = minor_counts(block, flipped, some, null.columns)
        fits = null.refit(G, np.full(some.size, _ASKED[what]), choices.impute)
        _put(rows, some, fits, np.flatnonzero(fits.status == kernel.FINE), what, null.student)
        away = np.flatnonzero(fits.status == kernel.RUNAWAY)
        if what == "lrt" or keep:
            _put(rows, some, fits, away, "lrt", null.student)
            at = some[away]
            # A ratio at its bound is no chi-squared: no event where m are expected has the chance exp(-m), and p is of two such sides.
            bound = np.maximum(0.5 * rows.statistic[at] ** 2 - np.log(2.0), 0.0) / np.log(10.0)
            rows.put_p(at, "lrt", np.minimum(rows.neg_log_10_p[at], bound))
            rows.caution(at, "separated")
        else:
            rows.fail(some[away], "not_converged")
        rows.caution(some[fits.dropped & (fits.status == kernel.FINE)], "covariate_collinear")
        for status, code in _FAILED.items():
            failed = some[fits.status == status]
            if keep:
                rows.caution(failed, "refit_not_converged")
            else:
                rows.fail(failed, code)


def _saddlepoint(
    choices: Choices, null: ScoreNull, block: Block, flipped: BoolArray, rows: Rows, variants: Int64Array
) -> None:
    """Maximum likelihood estimates with the saddlepoint p of their score tests; without a maximum a row has neither."""
    U = _scores_of(rows)[variants]
    # Without a few samples of large residuals the row's null is another, and the trait's residuals are not its own.
    alike = np.abs(np.log(rows.dispersion[variants] / null.dispersion)) < np.log(OTHER_DISPERSION)
    _refit(choices, null, block, flipped, rows, variants, "lrt", keep=True)
    rows.fail(variants[rows.code[variants] == CODE["refit_not_converged"]], "refit_not_converged")
    for first, last in chunks(variants.size, null.n):
        some = variants[first:last]
        logp = null.tails(minor_counts(block, flipped, some, null.columns), U[first:last], choices.impute)
        estimated = np.isfinite(rows.beta[some])
        found = np.isfinite(logp) & alike[first:last] & estimated
        rows.put_p(some[found], "spa", logp[found])
        # A separated row says so first: its beta is no maximum.
        rows.caution(some[~found & estimated & (rows.code[some] != CODE["separated"])], "tail_failed")


def _put(rows: Rows, variants: Int64Array, fits: Fits, picked: Int64Array, method: str, student: bool) -> None:
    some = Fits(fits.numbers[picked], np.full(picked.size, kernel.FINE), np.zeros(picked.size, np.bool_))
    rows.put_fits(variants[picked], method, some, {}, student=student and method != "score")
