"""What a family of models brings to the screen: a trait fitted on the covariates, its score, fits of rows, laws of few events.

Which test is made of which rows, and what follows where it does not hold, a family declares as a `Ladder` of steps;
`genassoc.models.scan.screen` climbs it. The ladder here is that of counts and levels.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np

from genassoc.data.block import Block
from genassoc.kernels.genotypes.counts import mask_words
from genassoc.kernels.likelihoods import rows as kernel
from genassoc.kernels.likelihoods.rows import Fits, Scores
from genassoc.models.base import CODE
from genassoc.models.scan.information import sum_missing
from genassoc.models.scan.product import minor_counts
from genassoc.models.scan.rows import Rows
from genassoc.models.scan.sums import AlleleCounts, GenotypeSums
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array, UInt64Array
from genassoc.stats.information import FEW_EVENTS
from genassoc.stats.tails import neg_log_10_p_t, neg_log_10_p_z

WEAK_DIRECTION = 0.05  # as in kernels/genotypes/linear.py: below these float32 sums do not hold five digits
WEAK_SHARE = 0.02
EVERY_SMALL_P = 0.05  # rows of few events have their own law below it, whatever is asked for
REFIT_ABOVE_MISSING = 0.01  # share of calls missing beyond which one Newton step of the null is not enough
REFIT_DIFFERENTIAL = 6.63  # chi-squared (p = 0.01) of missingness against the outcome
EXACT_BELOW_MAC = 10  # minor alleles below which rows are tested exactly: Firth exceeds its level (docs/calibration.md, docs/models/cox.md)
EXACT_BELOW_EXPECTED = 2.0  # minor alleles expected in the smaller group, or among the events, likewise
# Approximate Firth keeps the covariates' coefficients as the null has them. Where the estimate is beyond this log ratio and the minor
# allele is this frequent (copies a sample; of a binary trait in cases or in controls), they move, and the full model is fitted.
FULL_ABOVE_BETA = 1.0
FULL_ABOVE_COPIES = 0.1
# A row whose corrected p would be below ``correct_below`` has a score p below this many times that, by the minor alleles expected in the
# smaller group (or among the events) from which it holds: so are under 1e-4 of rows on the wrong side (docs/calibration.md).
MARGINS = ((50.0, 1.1), (10.0, 1.2), (EXACT_BELOW_EXPECTED, 1.8), (0.0, 6.0))


@dataclass(frozen=True)
class Samples:
    """One trait's complete cases.

    Attributes
    ----------
    n : int
    columns : int64 array (n,)
        Columns of a block.
    mask : uint64 array (W,)
        The same as packed words.
    weight, offset : float64 arrays (n,)
        Sampling weights of mean 1, all 1 without them; what is added to the linear predictor, all 0 without it.
    events : int64 array
        Columns of the cases, or of who has the event; empty of an outcome that has none. ``event_mask`` (W,) are the same.
    failure : str or None
        Why there is no null model; its rows carry it as their code.
    """

    n: int
    columns: Int64Array
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
            mask=mask_words(columns, block_width),
            weight=np.ones(n) if weight is None else weight,
            offset=np.zeros(n) if offset is None else offset,
            events=events,
            event_mask=mask_words(events, block_width),
            failure=failure,
        )


@dataclass(frozen=True)
class Choices:
    """What is done, every default resolved.

    Attributes
    ----------
    test : str
        "score", "wald" or "lrt".
    correction : str or None
        The test of rows whose first test has p below ``correct_below``; the family says which there are.
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
    """-log10 p (R,) by a law of its own, NaN where it fails; where that is exact, else a saddlepoint's; intervals where ``bounded``."""

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
    """One trait in one block, and what is being made of it.

    Attributes
    ----------
    own : GenotypeSums
        Of the trait's samples; ``of_events`` (AlleleCounts) of those with the event, where the family counts them.
    rows : Rows
        Being filled.
    usable : bool array (V,)
        Rows that can have an estimate.
    scores : Scores or None
        From the product; ``squares`` (V,) are sums of weighted g^2.
    U, dispersion : float64 arrays (V,)
        Of the first score tests, exact where those were done row by row.
    shape : float64 array (V,)
        The parameter that a family's fits have beside the mean; the null's until `Family.fit` fills it.
    common, rare : bool arrays (V,)
        Rows that the first test sends on: to a correction, and to the tests of rare variants and few events.
    """

    choices: Choices
    block: Block
    flipped: BoolArray
    own: GenotypeSums
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
        """Rows (V,) whose score float32 sums do not hold: little is left of the sums, or of a direction of the covariates."""
        assert self.scores is not None
        information, weakest = self.scores.information, self.scores.weakest
        # Against the uncentred squares: an allele rare here may be the major one of the cohort.
        weak = ~(information > WEAK_SHARE * self.squares) | (weakest < WEAK_DIRECTION) | ~(information > 0)
        return np.asarray(self.usable & weak)

    @property
    def estimated(self) -> BoolArray:
        """Rows (V,) with an estimate; one that lost a covariate to missing calls is corrected as any other."""
        return self.usable & np.isin(self.rows.code, (CODE[None], CODE["covariate_collinear"]))

    def has_code(self, code: str) -> BoolArray:
        """Rows (V,) with a code."""
        return self.usable & np.asarray(self.rows.code == CODE[code])

    def p_below(self, p: Float64Array | float) -> BoolArray:
        """Rows (V,) whose p is not above ``p``, which is above 0 somewhere."""
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(self.rows.neg_log_10_p >= -np.log10(p))

    def calls(self, variants: Int64Array, columns: Int64Array) -> Float64Array:
        """Copies of the minor allele of some variants in some samples, NaN where not observed: (R, n)."""
        return minor_counts(self.block, self.flipped, variants, columns)

    def tested_alleles(self) -> tuple[Float64Array, Float64Array]:
        """Copies among those with the event and among all, of the allele that is rarer in the trait's samples: (V,) each."""
        own, events = self.own, self.events
        tested = np.where(self.flipped, 2 * own.n - own.sum_g, own.sum_g)
        is_rarer = tested <= own.n
        of_events = np.where(is_rarer, events.coded, 2 * events.n - events.coded)
        return of_events, np.where(is_rarer, tested, 2 * own.n - tested)


class Asked(NamedTuple):
    """Some variants (R,) and the test asked of them; ``keep``: a fit that fails leaves its row as it was."""

    test: str
    variants: Int64Array
    keep: bool

    @property
    def numbers(self) -> Int64Array:
        """The test as the kernels know it, for every variant."""
        return np.full(self.variants.size, ASKED[self.test])


class Law(NamedTuple):
    """Whose p replaces that of the estimates that are there.

    Where it fails a row has ``code`` and no estimate; with ``keep`` the estimate stays, with the code as a caution.
    """

    name: str
    code: str
    keep: bool = False


class Again(NamedTuple):
    """What is asked of the rows that a step could not finish; ``where`` is given its variants and their statuses (R,)."""

    test: str
    where: Callable[[Int64Array, Int64Array], BoolArray]


class Step(NamedTuple):
    """A test of some rows.

    Attributes
    ----------
    test : str or None
        Asked of `Family.fit`; None leaves the estimates that are there.
    where : function
        Of which rows (V,), asked when the step is reached.
    again : Again, optional
    law : Law, optional
        Of the rows of the step that have a p.
    keep : bool
        A row whose fit fails stays what it was, with a code.
    code : str, optional
        Of every failed fit, in place of the family's words for its status.
    """

    test: str | None
    where: Callable[[], BoolArray]
    again: Again | None = None
    law: Law | None = None
    keep: bool = False
    code: str | None = None


class Ladder(NamedTuple):
    """The first test of all rows; which common and which rare rows (V,) it sends on, asked when it is done; what is done of those."""

    first: tuple[Step, ...]
    sent_on: Callable[[], tuple[BoolArray, BoolArray]]
    after: tuple[Step, ...]


# What the kernels know the tests as.
ASKED = {
    "score": kernel.SCORE, "wald": kernel.WALD, "lrt": kernel.LRT, "firth": kernel.FIRTH, "firth_approx": kernel.FIRTH_APPROX,
    "firth_plink2": kernel.FIRTH_PLINK2, "wald_plink2": kernel.WALD_PLINK2, "spa": kernel.SPA, "exact": kernel.EXACT,
}  # fmt: skip
# Names of the rows that a test makes, where they differ from the test's.
ROW_METHODS = {"firth_plink2": "firth", "wald_plink2": "wald", "spa_firth": "spa"}
FEW = Law("few", FEW_EVENTS)
SKEWED = Law("skewed", "skewed_score")


@dataclass(frozen=True)
class Family(ABC):
    """One trait fitted on the covariates, on its own complete cases.

    Attributes
    ----------
    samples : Samples
    n_covariates : int
        With the intercept.
    """

    samples: Samples
    n_covariates: int

    # Words of the kernels' statuses. A RUNAWAY row whose fit has a p of its own has that, with the word as a caution.
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
    def n(self) -> int:
        """Samples."""
        return self.samples.n

    @property
    def columns(self) -> Int64Array:
        """Their columns of a block (n,)."""
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
        """What is added to the linear predictor (n,)."""
        return self.samples.offset

    @property
    def dispersion(self) -> float:
        """Variance in units of the model's."""
        return 1.0

    @property
    def shape(self) -> float:
        """The parameter beside the mean, where the family has one."""
        return np.nan

    @property
    def student(self) -> bool:
        """Whether statistics of refitted rows but score tests are Student's t."""
        return False

    def product_columns(self) -> Float64Array:
        """What the genotypes are multiplied with, (N, width)."""
        raise TypeError(f"{type(self).__name__} has no product")

    def product_weight(self) -> Float64Array:
        """What the squares of genotypes are summed with, (N,)."""
        raise TypeError(f"{type(self).__name__} has no product")

    def score(self, own: GenotypeSums, product: Float64Array, squares: Float64Array, impute: bool) -> Scores:
        """The scores of every variant from its row of the product (V, width)."""
        raise TypeError(f"{type(self).__name__} has no product")

    @abstractmethod
    def fit(self, task: Task, asked: Asked) -> Fits:
        """Some rows on their dense calls."""

    def law(self, name: str, task: Task, variants: Int64Array) -> Tails:
        """The p of some variants by a law of the name's."""
        raise TypeError(f"{type(self).__name__} has no law {name!r}")

    def no_estimate(self, events: AlleleCounts | None, impute: bool) -> list[tuple[BoolArray, str]]:
        """More reasons (V,) for rows without an estimate, and their codes."""
        return []

    def finished(self, task: Task) -> dict[str, Array]:
        """The columns (V,) of the results, with those of this family."""
        return task.rows.finished(task.own, task.flipped, self.n, task.choices.impute)

    # What the ladder of counts and levels asks.

    def one_step_is_enough(self, task: Task) -> BoolArray:
        """Rows (V,) where few calls are missing, of samples like the others: one Newton step of the null corrects for them."""
        raise TypeError(f"{type(self).__name__} does not say where one step is enough")

    @property
    def overdispersed(self) -> bool:
        """Whether the outcome varies more than its model says, so that its residuals have to say how."""
        return False

    def skewed(self, own: GenotypeSums) -> BoolArray:
        """Rows (V,) whose score is skewed by its residuals' law, so that only the law "spa" holds its level."""
        return np.zeros(own.n.size, dtype=bool)

    def little_information(self, own: GenotypeSums, impute: bool) -> BoolArray:
        """Rows (V,) with too few events or carriers for the model's tests: the law "few" is their p."""
        return np.zeros(own.n.size, dtype=bool)

    def little_expected(self, own: GenotypeSums) -> BoolArray:
        """Rows (V,) with so few events expected among the carriers that a Wald test of them does not hold its level."""
        return np.zeros(own.n.size, dtype=bool)

    def unsure(self, task: Task) -> BoolArray:
        """Rows (V,) whose score the product does not give."""
        if task.choices.impute:
            return task.weak
        return np.asarray(task.weak | (task.usable & ~self.one_step_is_enough(task)))

    def ladder(self, task: Task) -> Ladder:
        """Which test is made of which rows; here that of a score, a likelihood ratio or a Wald test, with laws of few events."""
        choices, own = task.choices, task.own
        fitted = self.failure is None
        few = task.usable & self.little_information(own, choices.impute) if fitted else task.none
        skewed = task.usable & ~few & self.skewed(own)
        unsure = self.unsure(task) if fitted else task.none
        ratio = self.little_expected(own) if "wald" in (choices.test, choices.correction) else task.none
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
                after.append(Step("score", lambda: task.common & (own.n < self.n) & ~unsure))
            after.append(Step(None, lambda: skewed & small(), law=SKEWED))

        def sent_on() -> tuple[BoolArray, BoolArray]:
            below = task.usable & ~few & task.p_below(choices.correct_below) if choices.correct_below > 0 else task.none
            return below, few & task.p_below(max(choices.correct_below, EVERY_SMALL_P))

        return Ladder((Step("score", lambda: unsure),), sent_on, tuple(after))


def trigger(correct_below: float, expected: Float64Array, tested_mac: Float64Array) -> Float64Array:
    """p of the first test below which a row is corrected (V,): wider where events or carriers are few."""
    factors = np.select([expected >= least for least, _ in MARGINS], [factor for _, factor in MARGINS], MARGINS[-1][1])
    factors[tested_mac < EXACT_BELOW_MAC] = MARGINS[-1][1]
    return np.minimum(correct_below * factors, 1.0)


def missing_at_random(own: GenotypeSums, n: int, residual: Float64Array, weight: Float64Array) -> BoolArray:
    """Rows (V,) with few of n calls missing, of samples whose scores, ``residual`` (N,) of variance ``weight`` (N,), are like the others'."""
    excess, variance = sum_missing(own, residual), sum_missing(own, weight)
    differential = excess * excess > REFIT_DIFFERENTIAL * variance
    return np.asarray(((n - own.n) <= REFIT_ABOVE_MISSING * n) & ~differential)


def missing_alike(own: GenotypeSums, n: int, n_marked: int, marked: Int64Array) -> BoolArray:
    """Rows (V,) with few calls missing, as many in cases (or events) as elsewhere.

    ``n`` samples have the trait, ``n_marked`` of them are cases; ``marked`` (V,) are cases whose call is observed.
    """
    missing = n - own.n
    with np.errstate(invalid="ignore", divide="ignore"):
        share = missing / n
        expected = n_marked * share
        variance = expected * (1 - share) * (1 - n_marked / n)
        excess = n_marked - marked - expected
        differential = np.where((missing > 0) & (variance > 0), excess**2 / variance, 0.0)
    return np.asarray((share <= REFIT_ABOVE_MISSING) & (differential <= REFIT_DIFFERENTIAL))


def bounded_ratios(fits: Fits, asked: Asked, student: bool) -> Fits:
    """Give rows whose estimate is infinite the p of their likelihood ratio, in place; a Wald test of all rows has none.

    A ratio at its bound is no chi-squared: no event where m are expected has the chance exp(-m), and p is of two such sides.
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
