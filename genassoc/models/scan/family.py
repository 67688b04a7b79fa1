"""What a family of models implements for the screen: the null model of a trait, its score, fits of rows, tests for few events.

A family declares as a `Ladder`, a sequence of steps, which rows get which test, and which test replaces one that does not hold its
level; `genassoc.models.scan.screen` does these steps. The ladder in this file serves counts and ordered levels.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from genassoc.data.block import Block
from genassoc.kernels.genotypes.counts import mask_words
from genassoc.kernels.likelihoods import logistic_score
from genassoc.kernels.likelihoods import rows as kernel
from genassoc.kernels.likelihoods.rows import Fits, Product, Scores
from genassoc.models.base import CODE
from genassoc.models.scan.product import minor_counts
from genassoc.models.scan.rows import Rows
from genassoc.models.scan.set_null import SetNull, no_set_null, weighted_terms
from genassoc.models.scan.sums import AlleleCounts, GenotypeSums
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array, UInt64Array
from genassoc.stats.information import FEW_EVENTS
from genassoc.stats.tails import neg_log_10_p_t, neg_log_10_p_z

WEAK_DIRECTION = 0.05  # as in kernels/genotypes/linear.py: below these float32 sums do not hold five digits
WEAK_SHARE = 0.02
EVERY_SMALL_P = 0.05  # rows of few events have their own law below it, whatever is asked for
EXACT_BELOW_MAC = 10  # minor alleles below which rows are tested exactly: Firth exceeds its level (docs/calibration.md, docs/models/cox.md)
EXACT_BELOW_EXPECTED = 2.0  # minor alleles expected in the smaller group, or among the events, likewise
# Approximate Firth keeps the covariates' coefficients as the null has them. Where the estimate is beyond this log ratio and the minor
# allele is this frequent (copies a sample; of a binary trait in cases or in controls), they move, and the full model is fitted.
FULL_ABOVE_BETA = 1.0
FULL_ABOVE_COPIES = 0.1
# (minor alleles expected in the smaller group or among the events, factor): from so many on, a row is corrected if its score p is below
# ``correct_below`` times the factor. Fewer than 1e-4 of rows are then on the wrong side of the threshold (docs/calibration.md).
MARGINS = ((50.0, 1.1), (10.0, 1.2), (EXACT_BELOW_EXPECTED, 1.8), (0.0, 6.0))


@dataclass(frozen=True, kw_only=True)
class Samples:
    """One trait's complete cases.

    Attributes
    ----------
    n : int
    columns : int64 array (n,)
        Columns of a block, of ``width`` samples.
    mask : uint64 array (W,)
        The same as packed words.
    weight, offset : float64 arrays (n,)
        Sampling weights of mean 1 (all 1 where there are none); the offset of the linear predictor (all 0 where there is none).
    events : int64 array
        Columns of the cases, or of the samples with the event; empty where the outcome has neither. ``event_mask`` (W,): the same as
        packed words.
    failure : str or None
        The code of all rows of the trait, where it has no null model.
    """

    n: int
    columns: Int64Array
    width: int
    mask: UInt64Array
    weight: Float64Array
    offset: Float64Array
    events: Int64Array
    event_mask: UInt64Array
    failure: str | None

    @classmethod
    def of(
        cls,
        columns: Int64Array,
        block_width: int,
        *,
        offset: Float64Array | None = None,
        weight: Float64Array | None = None,
        is_event: BoolArray | None = None,
        failure: str | None = None,
    ) -> "Samples":
        """The samples ``columns`` (n,) of blocks of ``block_width`` samples."""
        n = columns.size
        events = columns[np.zeros(n, dtype=bool) if is_event is None else is_event]
        return cls(
            n=n,
            columns=columns,
            width=block_width,
            mask=mask_words(columns, block_width),
            weight=np.ones(n) if weight is None else weight,
            offset=np.zeros(n) if offset is None else offset,
            events=events,
            event_mask=mask_words(events, block_width),
            failure=failure,
        )


@dataclass(frozen=True)
class Choices:
    """The tests and rules of a run, every default resolved.

    Attributes
    ----------
    test : str
        "score", "wald" or "lrt".
    correction : str or None
        The test that replaces the first one where its p is below ``correct_below``; each family has its corrections.
    correct_below : float
    impute : bool
        Missing calls take the mean of the observed ones.
    min_mac : float
    like : str or None
        The program whose rules are followed.
    """

    test: str
    correction: str | None
    correct_below: float
    impute: bool
    min_mac: float
    like: str | None = None


class Tails(NamedTuple):
    """Tail probabilities of R rows from the distribution of their statistic.

    ``neg_log_10_p`` (R,) is NaN where they could not be computed; ``exact`` (R,) says whether p is exact or a saddlepoint
    approximation; rows with ``bounded`` have an interval from ``lower`` to ``upper``.
    """

    neg_log_10_p: Float64Array
    exact: BoolArray
    bounded: BoolArray
    lower: Float64Array
    upper: Float64Array

    @classmethod
    def of(cls, neg_log_10_p: Float64Array, exact: BoolArray | bool) -> "Tails":
        """Without intervals."""
        R = neg_log_10_p.size
        empty = np.full(R, np.nan)
        return cls(neg_log_10_p, np.broadcast_to(np.asarray(exact), R), np.zeros(R, np.bool_), empty, empty)


@dataclass(frozen=True, kw_only=True)
class Task:
    """One trait in one block: its genotype counts, and the rows that are being filled.

    Attributes
    ----------
    genotypes : GenotypeSums
        Of the trait's samples. ``of_events`` (AlleleCounts): of the samples with the event, where the family counts them.
    rows : Rows
        The results, filled step by step.
    usable : bool array (V,)
        Rows that can have an estimate.
    scores : Scores or None
        From the product; ``squares`` (V,) are sums of weighted g^2.
    U, dispersion : float64 arrays (V,)
        Of the score tests; exact where these were computed row by row rather than from the product.
    shape : float64 array (V,)
        The family's parameter beside the mean, if it has one: that of the null model until `Family.fit` fills in the row's.
    common, rare : bool arrays (V,)
        Rows that are tested again after the first test: by a correction, or by a test for rare variants and few events.
    """

    choices: Choices
    block: Block
    flipped: BoolArray
    genotypes: GenotypeSums
    of_events: AlleleCounts | None
    rows: Rows
    usable: BoolArray
    scores: Scores | None
    squares: Float64Array
    U: Float64Array
    dispersion: Float64Array
    shape: Float64Array
    common: BoolArray
    rare: BoolArray

    @property
    def events(self) -> AlleleCounts:
        """Counts among the cases, or who has the event."""
        assert self.of_events is not None
        return self.of_events

    @property
    def none(self) -> BoolArray:
        """No row (V,)."""
        return np.zeros(self.usable.size, dtype=bool)

    @property
    def weak(self) -> BoolArray:
        """Rows (V,) whose score has lost its digits in float32: the information, or a direction of the covariates, nearly cancels."""
        assert self.scores is not None
        information, weakest = self.scores.information, self.scores.weakest
        # Against the uncentred squares: an allele rare here may be the major one of the cohort.
        weak = ~(information > WEAK_SHARE * self.squares) | (weakest < WEAK_DIRECTION) | ~(information > 0)
        return np.asarray(self.usable & weak)

    @property
    def estimated(self) -> BoolArray:
        """Rows (V,) with an estimate, also those in which missing calls made a covariate collinear."""
        return self.usable & np.isin(self.rows.code, (CODE[None], CODE["covariate_collinear"]))

    def has_code(self, code: str) -> BoolArray:
        """Rows (V,) with a code."""
        return self.usable & np.asarray(self.rows.code == CODE[code])

    def p_below(self, p: Float64Array | float) -> BoolArray:
        """Rows (V,) whose p is at most ``p`` (a number, or one for each row)."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.rows.neg_log_10_p >= -np.log10(p))

    def calls(self, variants: Int64Array, columns: Int64Array) -> Float64Array:
        """Copies of the minor allele of some variants in some samples, NaN where not observed: (R, n)."""
        return minor_counts(self.block, self.flipped, variants, columns)

    def tested_alleles(self) -> tuple[Float64Array, Float64Array]:
        """Copies among those with the event and among all, of the allele that is rarer in the trait's samples: (V,) each."""
        genotypes, events = self.genotypes, self.events
        tested = np.where(self.flipped, 2 * genotypes.n - genotypes.sum_g, genotypes.sum_g)
        is_rarer = tested <= genotypes.n
        of_events = np.where(is_rarer, events.coded, 2 * events.n - events.coded)
        return of_events, np.where(is_rarer, tested, 2 * genotypes.n - tested)


class Asked(NamedTuple):
    """Some variants (R,) and the test to make; with ``keep`` a row whose fit fails keeps its earlier result."""

    test: str
    variants: Int64Array
    keep: bool

    @property
    def numbers(self) -> Int64Array:
        """The test as the kernels know it, for every variant."""
        return np.full(self.variants.size, ASKED[self.test])


class Law(NamedTuple):
    """A distribution of the score or of the events, whose p replaces that of the rows' present test; estimates stay.

    Where it gives no p, a row has ``code`` and no estimate; with ``keep`` the estimate stays, and the code is a caution.
    """

    name: str
    code: str
    keep: bool = False


class Again(NamedTuple):
    """The second test of a step; ``where`` chooses its rows from the variants of the first test and their statuses (R,)."""

    test: str
    where: Callable[[Int64Array, Int64Array], BoolArray]


class Step(NamedTuple):
    """A test of some rows.

    Attributes
    ----------
    test : str or None
        What `Family.fit` does; None keeps the estimates as they are.
    where : function
        Returns the rows (V,) to test; called when the step is reached.
    again : Again, optional
        A second test of some of these rows.
    law : Law, optional
        Where the p of these rows comes from, if they have one by now.
    keep : bool
        A row whose fit fails keeps its earlier result, and has a code.
    code : str, optional
        The code of every failed fit, in place of the family's code for its status.
    """

    test: str | None
    where: Callable[[], BoolArray]
    again: Again | None = None
    law: Law | None = None
    keep: bool = False
    code: str | None = None


class Ladder(NamedTuple):
    """The tests of a family: ``first``, those of all rows; ``sent_on``, which common and which rare rows (V,) are tested again,
    called once the first tests are done; ``after``, the tests of these.
    """

    first: tuple[Step, ...]
    sent_on: Callable[[], tuple[BoolArray, BoolArray]]
    after: tuple[Step, ...]


# The kernels' number of each test.
ASKED = {
    "score": kernel.SCORE, "wald": kernel.WALD, "lrt": kernel.LRT, "firth": kernel.FIRTH, "firth_approx": kernel.FIRTH_APPROX,
    "firth_plink2": kernel.FIRTH_PLINK2, "wald_plink2": kernel.WALD_PLINK2, "spa": kernel.SPA, "exact": kernel.EXACT,
}  # fmt: skip
# The `method` of a test's rows, where its name is another.
ROW_METHODS = {"firth_plink2": "firth", "wald_plink2": "wald", "spa_firth": "spa"}
FEW = Law("few", FEW_EVENTS)
SKEWED = Law("skewed", "skewed_score")


class OfSamples:
    """What every null model says of its trait's samples."""

    samples: Samples

    @property
    def n(self) -> int:
        """Samples."""
        return self.samples.n

    @property
    def columns(self) -> Int64Array:
        """The samples' columns of a block (n,)."""
        return self.samples.columns

    @property
    def mask(self) -> UInt64Array:
        """The same as packed words (W,)."""
        return self.samples.mask

    @property
    def failure(self) -> str | None:
        """Why there is no null model."""
        return self.samples.failure

    @property
    def offset(self) -> Float64Array:
        """The offset of the linear predictor (n,)."""
        return self.samples.offset


@dataclass(frozen=True)
class Family(OfSamples, ABC):
    """One trait fitted on the covariates, on its own complete cases.

    Attributes
    ----------
    samples : Samples
    n_covariates : int
        With the intercept.
    """

    samples: Samples
    n_covariates: int

    # The code of each status of the kernels. A RUNAWAY row whose fit still gives a p keeps it, and the code is a caution.
    codes: ClassVar[dict[int, str]] = {
        kernel.NOT_CONVERGED: "not_converged",
        kernel.NULL_NOT_CONVERGED: "null_not_converged",
        kernel.COLLINEAR: "collinear",
        kernel.ONE_OUTCOME: "one_outcome",
        kernel.RUNAWAY: "separated",
    }
    has_product: ClassVar[bool] = True
    counts_events: ClassVar[bool] = False
    first_method: ClassVar[str] = "score"

    @property
    def dispersion(self) -> float:
        """The variance over that of the model: 1 without overdispersion."""
        return 1.0

    @property
    def shape(self) -> float:
        """The parameter beside the mean, where the family has one."""
        return np.nan

    @property
    def student(self) -> bool:
        """Whether Wald and likelihood ratio statistics of fitted rows follow Student's t."""
        return False

    def product_columns(self) -> Float64Array:
        """The columns by which the genotypes are multiplied, (N, width)."""
        raise TypeError(f"{type(self).__name__} has no product")

    def product_weight(self) -> Float64Array:
        """The weights of the squared genotypes in their sum, (N,)."""
        raise TypeError(f"{type(self).__name__} has no product")

    def score(self, genotypes: GenotypeSums, product: Float64Array, squares: Float64Array, impute: bool) -> Scores:
        """The scores of every variant from its row of the product (V, width)."""
        raise TypeError(f"{type(self).__name__} has no product")

    @abstractmethod
    def fit(self, task: Task, asked: Asked) -> Fits:
        """Fit some rows on their unpacked calls."""

    def law(self, name: str, task: Task, variants: Int64Array) -> Tails:
        """The p of some variants from the distribution called ``name``."""
        raise TypeError(f"{type(self).__name__} has no law {name!r}")

    def set_null(self, trait: int) -> SetNull:
        """What the null of the model's ``trait`` says of sets of variants."""
        raise no_set_null(type(self).__name__)

    def no_estimate(self, events: AlleleCounts | None, impute: bool) -> list[tuple[BoolArray, str]]:
        """More reasons (V,) for rows without an estimate, and their codes."""
        return []

    def finished(self, task: Task) -> dict[str, Array]:
        """The columns (V,) of the results, with those of this family."""
        return task.rows.finished(task.genotypes, task.flipped, self.n, task.choices.impute)

    # Questions of the ladder of counts and levels below.

    def one_step_is_enough(self, task: Task) -> BoolArray:
        """Rows (V,) with few missing calls, unrelated to the outcome: one Newton step of the null corrects for them."""
        raise TypeError(f"{type(self).__name__} does not say where one step is enough")

    @property
    def overdispersed(self) -> bool:
        """Whether the outcome varies more than its model says, so that p-values are taken from the residuals' distribution."""
        return False

    def skewed(self, genotypes: GenotypeSums) -> BoolArray:
        """Rows (V,) whose score is so skewed that only the saddlepoint (the law "spa") holds its level."""
        return np.zeros(genotypes.n.size, dtype=bool)

    def little_information(self, genotypes: GenotypeSums, impute: bool) -> BoolArray:
        """Rows (V,) with too few events or carriers for the model's tests: their p comes from the law "few"."""
        return np.zeros(genotypes.n.size, dtype=bool)

    def little_expected(self, genotypes: GenotypeSums) -> BoolArray:
        """Rows (V,) with so few events expected among the carriers that a Wald test of them does not hold its level."""
        return np.zeros(genotypes.n.size, dtype=bool)

    def unsure(self, task: Task) -> BoolArray:
        """Rows (V,) whose score the product does not give."""
        if task.choices.impute:
            return task.weak
        return np.asarray(task.weak | (task.usable & ~self.one_step_is_enough(task)))

    def ladder(self, task: Task) -> Ladder:
        """Which rows get which test. Here, for counts and levels: score, likelihood ratio or Wald tests, and exact p for few events."""
        choices, genotypes = task.choices, task.genotypes
        fitted = self.failure is None
        few = task.usable & self.little_information(genotypes, choices.impute) if fitted else task.none
        skewed = task.usable & ~few & self.skewed(genotypes)
        unsure = self.unsure(task) if fitted else task.none
        ratio = self.little_expected(genotypes) if "wald" in (choices.test, choices.correction) else task.none
        if choices.test != "score":
            return Ladder(
                (
                    Step("score", lambda: unsure & skewed),
                    Step(choices.test, lambda: task.usable & ~ratio),
                    Step("lrt", lambda: task.usable & ratio),
                ),
                lambda: (task.none, few),
                (Step(None, lambda: task.rare, law=FEW), Step(None, lambda: skewed, law=SKEWED)),
            )
        correction = choices.correction
        if correction == "auto":
            correction = "spa" if self.overdispersed else "lrt"

        def small() -> BoolArray:
            return task.p_below(EVERY_SMALL_P)

        after = [Step("lrt", lambda: task.rare, keep=True, law=FEW)]
        if correction == "spa":
            # Maximum likelihood estimates with the saddlepoint p of their score tests; without a maximum a row has neither.
            law = Law("spa", "tail_failed", keep=True)
            after.append(Step("lrt", lambda: task.common, law=law, code="refit_not_converged"))
            after.append(Step(None, lambda: skewed & ~task.common & small(), law=SKEWED))
        else:
            if correction is not None:
                after.append(Step(correction, lambda: task.common & ~ratio, keep=True))
                after.append(Step("lrt", lambda: task.common & ratio, keep=True))
            elif not choices.impute:
                after.append(Step("score", lambda: task.common & (genotypes.n < self.n) & ~unsure))
            after.append(Step(None, lambda: skewed & small(), law=SKEWED))

        def sent_on() -> tuple[BoolArray, BoolArray]:
            below = task.usable & ~few & task.p_below(choices.correct_below) if choices.correct_below > 0 else task.none
            return below, few & task.p_below(max(choices.correct_below, EVERY_SMALL_P))

        return Ladder((Step("score", lambda: unsure),), sent_on, tuple(after))


def trigger(correct_below: float, expected: Float64Array, tested_mac: Float64Array) -> Float64Array:
    """The p of the first test below which a row is corrected (V,): larger where events or carriers are few."""
    factors = np.select([expected >= least for least, _ in MARGINS], [factor for _, factor in MARGINS], MARGINS[-1][1])
    factors[tested_mac < EXACT_BELOW_MAC] = MARGINS[-1][1]
    return np.minimum(correct_below * factors, 1.0)


def bounded_ratios(fits: Fits, asked: Asked, student: bool) -> Fits:
    """Give rows whose estimate is infinite the p of their likelihood ratio, in place; as rows of a Wald test they have no p.

    At this bound the ratio does not follow chi-squared: where m events are expected the chance of none is exp(-m), and p is at least
    twice that.
    """
    away = fits.status == kernel.RUNAWAY
    if asked.test != "lrt" and not asked.keep:
        fits.status[away] = kernel.NOT_CONVERGED
        return fits
    numbers = fits.numbers[away]
    statistic = numbers[:, kernel.STATISTIC]
    logp = neg_log_10_p_t(statistic, numbers[:, kernel.DF]) if student else neg_log_10_p_z(statistic)
    bound = np.maximum(0.5 * statistic**2 - np.log(2.0), 0.0) / np.log(10.0)
    fits.numbers[away, kernel.NEG_LOG_P] = np.minimum(logp, bound) * np.log(10.0)
    return fits


@dataclass(frozen=True, kw_only=True)
class WeightedNull(Family):
    """A null model whose score test is that of least squares in weights: one linear predictor, coefficients that mix with nothing else.

    Attributes
    ----------
    Q, WQ : float64 arrays (N, C)
        Covariates orthonormal in the weights, and the weights times them; zero for samples without the trait.
    weight, residual : float64 arrays (N,)
        The information in a sample's linear predictor, and its score there; zero likewise.
    """

    Q: Float64Array
    WQ: Float64Array
    weight: Float64Array
    residual: Float64Array

    def product_columns(self) -> Float64Array:
        """WQ, then the residual: (N, C + 1)."""
        return np.column_stack([self.WQ, self.residual])

    def product_weight(self) -> Float64Array:
        """The weights."""
        return self.weight

    def score(self, genotypes: GenotypeSums, product: Float64Array, squares: Float64Array, impute: bool) -> Scores:
        """U, its information and the weakest direction (V,) of every variant."""
        V, C = genotypes.n.size, self.n_covariates
        scores, mean = Scores.empty(V), genotypes.sum_g / np.maximum(genotypes.n, 1)
        sums = Product(np.ascontiguousarray(product[:, :C]), np.ascontiguousarray(product[:, C]), squares)
        null = logistic_score.NullScores(self.WQ, self.Q, self.weight, self.residual)
        logistic_score.score_with_missing(sums, genotypes.missing, null, mean, impute, scores)
        return scores

    @abstractmethod
    def linear_predictor(self) -> tuple[Float64Array, Float64Array]:
        """Covariates X (n, C) and their coefficients (C,)."""

    @abstractmethod
    def scores_at(self, eta: Float64Array) -> tuple[Float64Array, Float64Array]:
        """The samples' scores in their linear predictors (n,), and what they weigh there."""

    def dispersion_at(self, residual: Float64Array, weight: Float64Array) -> float:
        """The dispersion, of the samples' scores and weights (n,)."""
        return self.dispersion

    @property
    def n_informative(self) -> int | None:
        """As of `SetNull`; None: what the events say."""
        return None

    @property
    def alpha(self) -> float:
        """As of `SetNull`."""
        return 0.0

    def set_null(self, trait: int) -> SetNull:
        """Scores and weights over the dispersion, the covariates taken away."""
        wide, dispersion = [self.residual, self.weight, self.WQ], self.dispersion
        own = None if self.failure else weighted_terms(*self.linear_predictor(), self.offset, self.scores_at)
        if own is not None:
            dispersion, wide = self.dispersion_at(own[0], own[1]), [np.zeros_like(part) for part in wide]
            for part, values in zip(wide, own):
                part[self.columns] = values
        return SetNull.of(
            (trait,), self.columns, wide[2], wide[0][:, None], wide[1], scale=np.array([1.0 / dispersion]),
            events=self.samples.events, n_informative=self.n_informative, alpha=self.alpha, failure=self.failure,
            strata=wide[1][None],
        )  # fmt: skip
