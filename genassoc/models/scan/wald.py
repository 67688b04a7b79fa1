"""Models that fit every row: Wald tests of D tested columns and K contrasts of their coefficients, likelihood ratios, Firth's penalty.

A family implements `RowFamily`: how many rows are fitted at once, and how one row is maximised on its own complete cases.
This file has what is the same for all families: which rows have an estimate, which are tested again, and which test replaces which.
With Satterthwaite's degrees of freedom, a contrast has a t test and all coefficients at once Hotelling's: see
`genassoc.kernels.laws.sandwich`.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np

from genassoc.data.block import Block
from genassoc.data.phenotypes.modifier import Modifier
from genassoc.kernels.genotypes.counts import mask_words
from genassoc.kernels.laws.sandwich import HC0, HC3, MODEL, WaldFits
from genassoc.kernels.likelihoods import rows as status
from genassoc.models.base import BlockResult
from genassoc.models.scan.family import OfSamples, Samples
from genassoc.models.scan.information import EventSizes
from genassoc.models.scan.joint_screen import SCREENED, ProductScreen, Scoring, Screen
from genassoc.models.scan.joint_tests import put_ratios, put_wald
from genassoc.models.scan.product import impute_means
from genassoc.models.scan.rows import Rows, assembled, chunks, unusable
from genassoc.models.scan.sums import GenotypeSums, genotype_sums, minor_is_ref
from genassoc.models.scan.tested import GENOTYPIC, Classes, Tested, tested_calls, tested_with, too_few
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array, UInt64Array
from genassoc.stats.information import FEW_EVENTS, LEAST_OF_ARM, LEAST_OF_SANDWICH
from genassoc.stats.tails import neg_log_10_p_f

CODES: Mapping[int, str] = {
    status.NOT_CONVERGED: "not_converged",
    status.COLLINEAR: "collinear",
    status.ONE_OUTCOME: "one_outcome",
    status.RUNAWAY: "not_converged",
    status.LEVERAGE: "leverage_of_one",
    status.NO_VARIANCE: "no_variance",
}


@dataclass(frozen=True)
class Asked:
    """The tests and rules of a run, every default resolved.

    Attributes
    ----------
    test : str
        "wald" or "lrt".
    variance : int
        HC0, HC3, MODEL or QUASI, of `genassoc.kernels.laws.sandwich`.
    correction : str or None
        "lrt" or "firth": the test that replaces the first one where its p is below ``correct_below``; "firth" also where there is no
        maximum, "firth_fallback" only there.
    correct_below : float
    impute : bool
        Missing calls take the mean of the observed ones.
    min_mac : float
    gate : bool
        Whether rows with few carriers or events are left without an estimate.
    like : str or None
        "plink2": its stopping rule, standard errors and tests.
    by_joint : bool
        Whether only the p of the joint test is compared with ``correct_below``; else that of any test.
    screens : bool
        Whether variants of several tested columns have score tests first, and are fitted where these say so.
    """

    test: str
    variance: int
    correction: str | None
    correct_below: float
    impute: bool
    min_mac: float
    _: KW_ONLY
    gate: bool = True
    like: str | None = None
    by_joint: bool = False
    screens: bool = False

    @property
    def is_sandwich(self) -> bool:
        """Whether variances are sandwiches."""
        return self.variance in (HC0, HC3)


def asked_of_screened(model: Any) -> Asked:
    """How every row of a model is fitted whose additive rows are screened by the score test.

    The model's defaults are those of the screen. Here Wald tests take the place of the score test, and likelihood ratio tests that of
    the correction. The genotypic model, and several alleles at once, have likelihood ratio tests unless Wald tests are asked for.
    """
    impute, least = bool(model.imputes), float(model.min_mac)
    if model.is_sandwich:
        return Asked("wald", HC0 if model.variance == "hc0" else HC3, None, 0.0, impute, least)
    several = model.genetic_model == "genotypic" or model.alleles == "joint"
    ratio = model.test == "lrt" or (several and model.test == "score")
    correction = None if model.correction in (None, "wald") or model.test == "wald" else "lrt"
    return Asked(
        "lrt" if ratio else "wald", MODEL, None if ratio else correction, float(model.correct_below), impute, least,
        screens=model.test == "score",
    )  # fmt: skip


class Maximum(NamedTuple):
    """Where a likelihood (with its penalty) is largest: its value, coefficients (D,), covariance (D, D), iterations, dispersion."""

    objective: float
    theta: Float64Array
    covariance: Float64Array
    iterations: int
    dispersion: float = 1.0
    freedom: float = np.inf


class Case(ABC):
    """One variant's complete cases.

    Attributes
    ----------
    H : float64 array (n, D)
        The tested columns.
    all_covariates : bool
        Whether none of the covariates is a combination of the others here.
    """

    H: Float64Array
    all_covariates: bool

    @abstractmethod
    def unfit(self, asked: Asked, test: str) -> str | None:
        """The code if it is known without a further fit that there is no maximum."""

    @abstractmethod
    def maximum(self, H: Float64Array, n_free: int, test: str, asked: Asked) -> Maximum | None:
        """The maximum over the first ``n_free`` coefficients of H (n, D), the others held at 0; penalised where ``test`` is "firth". None if there is none."""

    def ran_away(self, fit: Maximum, asked: Asked) -> bool:
        """Whether the estimate diverges."""
        return False


# Fits columns (1, D, n), none of them missing, with one test of all.
OneRow = Callable[[Float64Array], WaldFits]


@dataclass(frozen=True, eq=False)
class KernelCase(Case):
    """Complete cases that a kernel fits: ``fit`` takes columns (1, D, n), and ``codes`` gives the code of each of its statuses."""

    H: Float64Array
    all_covariates: bool
    fit: OneRow
    codes: Mapping[int, str]

    @cached_property
    def whole(self) -> WaldFits:
        """The fit on all columns."""
        return self.fit(np.ascontiguousarray(self.H.T)[None])

    def unfit(self, asked: Asked, test: str) -> str | None:
        """The code of the fit on all columns, if it failed."""
        return self.codes.get(int(self.whole.status[0]))

    def maximum(self, H: Float64Array, n_free: int, test: str, asked: Asked) -> Maximum | None:
        """The maximum over the first ``n_free`` coefficients of H (n, D); the other columns are left out."""
        fits = (
            self.whole
            if H is self.H and n_free == H.shape[1]
            else self.fit(np.ascontiguousarray(H[:, :n_free].T)[None])
        )
        if fits.status[0] != status.FINE:
            return None
        return Maximum(
            float(fits.objective[0]), fits.theta[0], fits.covariance[0], int(fits.iterations[0]),
            float(fits.dispersion[0]), float(fits.freedom[0, 0]),
        )  # fmt: skip


@dataclass(frozen=True)
class RowFamily(OfSamples, ABC):
    """One trait of a family whose rows are fitted one by one, on its own complete cases.

    Attributes
    ----------
    samples : Samples
    n_parameters : int
        Parameters beside the tested coefficients.
    """

    codes: ClassVar[Mapping[int, str]] = CODES
    least_events: ClassVar[float] = 0.0  # effective events that tests with the model's variance need
    retries: ClassVar[bool] = False  # whether a row that `wald` could not fit is fitted again as a `Case`
    has_law: ClassVar[bool] = False  # whether there is `law_of_events`

    samples: Samples
    n_parameters: int

    @property
    def weight(self) -> Float64Array:
        """Sampling weights of mean 1 (n,), all 1 without them."""
        return self.samples.weight

    @property
    def n_covariates(self) -> int:
        """Coefficients beside those tested, the intercept among them where there is one."""
        return self.n_parameters

    @abstractmethod
    def wald(self, H: Float64Array, tested: Tested, variance: int) -> WaldFits | None:
        """Fit rows on columns H (R, D, n), NaN where not observed. None: the family fits each row as a `Case`."""

    @abstractmethod
    def case(self, H: Float64Array, tested: Tested) -> Case:
        """The complete cases of columns (D, n)."""

    def ratios(
        self, H: Float64Array, tested: Tested, test: str, asked: Asked
    ) -> tuple[WaldFits, Float64Array] | None:  # fmt: skip
        """Fits of rows on columns H (R, D, n) by "lrt" or "firth", and twice the gains over the tests' nulls (R, K). None: each is a `Case`.

        So are those that are not FINE, but for "lrt" ones that are RUNAWAY, which have no maximum.
        """
        return None

    @abstractmethod
    def counts(self, genotypes: GenotypeSums, block: Block, impute: bool) -> dict[str, Array]:
        """Columns (V,) of counts and frequencies that the family adds to the common ones."""

    def score_tests(self, H: Float64Array, tested: Tested) -> WaldFits | None:
        """Score tests of all columns H (R, D, n) at the null of the samples observed: one Newton step, its covariance there. None: every row is fitted."""
        return None

    def product_screen(self, tested: Tested) -> ProductScreen | None:
        """What gives the same from a block's product."""
        return None

    @property
    def expected(self) -> Float64Array:
        """What is expected of each of S outcomes in the samples, (S, n); of counts, their information."""
        return self.sizes

    def method(self, variance: int) -> tuple[str, str]:
        """Names of the Wald tests of a contrast and of all coefficients."""
        name = {HC0: "wald_hc0", HC3: "wald_hc3"}.get(variance, "wald")
        return name, name

    @property
    def sizes(self) -> Float64Array:
        """The weights of the events, (S, n), of each of S kinds (cases and controls are two); S = 0 for a quantitative trait."""
        return np.zeros((0, self.n))

    def reasons(self, genotypes: GenotypeSums, block: Block, impute: bool) -> list[tuple[BoolArray, str]]:
        """Rows (V,) without an estimate for the family's own reasons, and their codes."""
        return []

    def student(self, variance: int) -> bool:
        """Whether tests are Student's t, and F, with degrees of freedom; else z and chi-squared."""
        return variance != MODEL

    def law_of_events(self, calls: Float64Array, impute: bool) -> Float64Array:
        """-log10 p (R,) of dense calls by the exact law of few events, NaN where it fails."""
        raise TypeError(f"{type(self).__name__} has no exact law")

    def withheld(self, columns: dict[str, Array], carriers: Float64Array) -> dict[str, Array]:
        """Columns (R, 1) of tests of all coefficients, without those that the outcome's law does not allow; ``carriers`` (R,) of the rarest."""
        return columns

    def finished(
        self, columns: dict[str, Array], asked: Asked, tested: Tested, genotypes: GenotypeSums, block: Block, flipped: BoolArray
    ) -> dict[str, Array]:  # fmt: skip
        """Columns (V, K) in the trait's units, after the family's own corrections."""
        return columns


@dataclass(frozen=True)
class FittedState:
    """The null models and tested columns that all blocks share; ``notes`` tells the user of codings, weights, E and what was dropped."""

    traits: tuple[str, ...]
    cohort_columns: Int64Array
    cohort_mask: UInt64Array
    nulls: tuple[RowFamily, ...]
    tested: tuple[Tested, ...]
    screens: tuple[Screen | None, ...]
    n_incomplete: int
    notes: tuple[str, ...]

    @property
    def n_by_trait(self) -> list[int]:
        """Complete samples of each trait."""
        return [null.n for null in self.nulls]


@dataclass(frozen=True)
class Effects:
    """What is tested in every trait: the genotypic model, or g with a modifier or without.

    Attributes
    ----------
    genotypic : bool
    modifier : Modifier or None
    joined : tuple of str
        A note if E was added to the covariates.
    screens : bool
        Whether variants have score tests of all tested columns first.
    """

    genotypic: bool
    modifier: Modifier | None
    joined: tuple[str, ...] = ()
    screens: bool = False

    @classmethod
    def of(cls, model: Any, modifier: Modifier | None, joined: tuple[str, ...]) -> "Effects":
        """What a model asks for."""
        return cls(model.genetic_model == "genotypic", modifier, joined, model.asked().screens)

    def state(
        self,
        traits: Sequence[str],
        nulls: Sequence[RowFamily],
        cohort_columns: Int64Array,
        block_width: int,
        complete: BoolArray,
        notes: Sequence[str],
        events: Callable[[RowFamily], BoolArray | None] = lambda null: None,
        both_outcomes: bool = False,
    ) -> FittedState:
        """The state from null models; ``events`` returns which samples (n,) of a null model have the event."""
        tested = [
            GENOTYPIC
            if self.genotypic
            else tested_with(
                self.modifier, cohort_columns, null.columns, block_width, events(null), both_outcomes
            )
            for null in nulls
        ]  # fmt: skip
        several = self.screens and any(of_trait.n_columns > 1 for of_trait in tested)
        said = (*notes, *((SCREENED,) if several else ()), *self.joined)
        said = (*said, *(self.modifier.notes if self.modifier is not None else ()))
        mask = mask_words(cohort_columns, block_width)
        screens = tuple(Screen.of(null, of_trait) if self.screens else None for null, of_trait in zip(nulls, tested))
        return FittedState(
            tuple(traits), cohort_columns, mask, tuple(nulls), tuple(tested), screens, int((~complete).sum()), said
        )


def test_block(asked: Asked, state: FittedState, block: Block) -> BlockResult:
    """V x T x K rows, K tests."""
    # Swapping the alleles changes the sign of g's effect but not of h's: the genotypic model always counts ALT.
    counts_alt = state.tested[0].heterozygotes if state.tested else False
    minor_ref = minor_is_ref(block, state.cohort_columns, state.cohort_mask)
    flipped = np.zeros(block.n_variants, dtype=bool) if counts_alt else minor_ref
    by_trait = [
        _of_trait(asked, (null, tested, screen), block, flipped, minor_ref)
        for null, tested, screen in zip(state.nulls, state.tested, state.screens)
    ]
    return assembled(state.traits, by_trait, state.tested[0].tests)


test_block.__test__ = False  # type: ignore[attr-defined]  # its name is not a test's


def _of_trait(
    asked: Asked, of: tuple[RowFamily, Tested, Screen | None], block: Block, flipped: BoolArray, minor_ref: BoolArray
) -> dict[str, Array]:
    """All columns of one trait, (V,) or (V, K); ``minor_ref`` (V,) where REF is the minor allele of the cohort."""
    null, tested, screen = of
    genotypes = genotype_sums(block, flipped, null.columns, null.mask)
    rows = Rows.empty(genotypes.n.size, len(tested.tests))
    few = too_few_events(asked, null, tested, genotypes, block)
    one = tested.n_columns == 1 and tested.joint < 0
    exact = few if one and null.has_law else np.zeros(genotypes.n.size, dtype=bool)
    usable = rows.fail_unusable(_reasons(asked, null, tested, genotypes, block, few & ~exact), null.failure)
    scoring, settled, by_calls = None, np.zeros_like(usable), np.zeros_like(usable)
    if screen is not None and asked.screens and null.failure is None and tested.n_columns > 1:
        scoring = Scoring(tested, asked.correct_below, screen.cells.smallest(block, null.columns, null.mask), rows)
        by_calls = usable & scoring.large_enough
        if screen.product is not None:
            found = screen.product.scores(block, minor_ref, genotypes, asked.impute)
            settled, by_calls = scoring.from_product(by_calls, found, minor_ref & ~flipped)
    variants = np.flatnonzero(usable & ~settled)
    # Several columns are computed, in chunks that stay in the cache; a single column is the calls themselves.
    size = null.n * (1 if one else 4 * tested.n_columns)
    for first, last in chunks(variants.size, size):
        some = variants[first:last]
        calls, one_copy = tested_calls(tested, block, flipped, some, null.columns)
        if asked.impute:
            impute_means(calls)
        H = tested.columns(calls, one_copy)
        if scoring is not None:
            fitted = ~scoring.from_columns(null.score_tests, some, H, by_calls[some])
            some, H = some[fitted], H[fitted]
        fit_rows(asked, null, tested, some, H, rows)
        if exact.any():
            _test_exactly(asked, null, some[exact[some]], calls[exact[some]], rows)
    student = null.student(asked.variance)
    # These fits do not compute the model's standard error.
    without = ("standard_error_model",) if asked.is_sandwich and student else ()
    columns = rows.finished(genotypes, flipped, null.n, asked.impute, without)
    if student:
        columns["degrees_of_freedom"] = np.where(np.isnan(rows.statistic), np.nan, rows.df)
    columns, counts = (
        null.finished(columns, asked, tested, genotypes, block, flipped),
        null.counts(genotypes, block, asked.impute),
    )
    if student:
        return columns | counts
    # The same order of columns as a screen's.
    shares = {name: values for name, values in counts.items() if values.dtype.kind == "f"}
    iterations = columns.pop("iterations")
    return shares | columns | counts | {"iterations": iterations}


def _reasons(
    asked: Asked, null: RowFamily, tested: Tested, genotypes: GenotypeSums, block: Block, few: BoolArray
) -> list[tuple[BoolArray, str]]:
    """Rows (V,) without an estimate and their codes, of which the first is taken; ``few`` (V,) have too few events for a test."""
    n_coefficients = null.n_parameters + tested.n_columns
    if tested.heterozygotes:
        reasons = Classes.of(block, null.columns, null.mask).without_estimate(
            genotypes.mac, asked.min_mac, n_coefficients
        )
    else:
        reasons = [
            *unusable(genotypes, null.n_parameters, asked.min_mac),
            (genotypes.n <= n_coefficients, "n_too_small"),
        ]
    if tested.with_e and asked.gate:
        reasons.append((too_few(block, tested), "too_few_carriers"))
    return [*reasons, (few, FEW_EVENTS), *null.reasons(genotypes, block, asked.impute)]


def too_few_events(asked: Asked, null: RowFamily, tested: Tested, genotypes: GenotypeSums, block: Block) -> BoolArray:
    """Rows (V,) with too few events for the chosen variance; of an interaction, with too few in an arm."""
    least = LEAST_OF_SANDWICH if asked.is_sandwich else null.least_events
    sizes = null.sizes
    if not asked.gate or null.failure is not None or not sizes.size or not least > 0.0:
        return np.zeros(genotypes.n.size, dtype=bool)
    if tested.with_e:
        # In each arm; if E is a number, in all samples and weighted by e^2, which carries the slope.
        e = tested.e
        parts = [e == 0.0, e == 1.0] if len(tested.arms) > 1 else [np.ones(e.size), e**2]
        sizes, least = np.stack([side * part for side in sizes for part in parts]), LEAST_OF_ARM
    return EventSizes.of(sizes, null.columns, block.n_samples).few(genotypes, asked.impute, least)


def _test_exactly(asked: Asked, null: RowFamily, variants: Int64Array, calls: Float64Array, rows: Rows) -> None:
    """Replace the p of rows with few events by that of their exact distribution; estimates stay."""
    there = np.isfinite(rows.neg_log_10_p[variants, 0])
    if not there.any():
        return
    at, logp = variants[there], null.law_of_events(calls[there], asked.impute)
    known = np.isfinite(logp)
    rows.put_p(at[known], "exact", logp[known, None])
    rows.fail(at[~known], FEW_EVENTS)


def fit_rows(asked: Asked, null: RowFamily, tested: Tested, some: Int64Array, H: Float64Array, rows: Rows) -> None:
    """Fill the rows of some variants, given their tested columns H (R, D, n)."""
    undone, unfitted = np.ones(some.size, dtype=bool), np.zeros(some.size, dtype=bool)
    if asked.test == "wald" and asked.like is None:
        fits = null.wald(H, tested, asked.variance)
        if fits is not None:
            undone = (fits.status != status.FINE) if null.retries else np.zeros(some.size, dtype=bool)
            _put_fits(asked, null, tested, some, fits, rows)
    elif asked.test == "lrt":
        put, unfitted = _put_at_once(asked, (null, tested), some, H, "lrt", rows)
        undone = ~(put | unfitted)
    again = "lrt" if asked.correction == "lrt" else "firth"
    for r in np.flatnonzero(undone):
        # One case for both tests: what it knows of its columns is found once.
        case, v = null.case(H[r], tested), int(some[r])
        code = _put_case(asked, case, (null, tested), v, asked.test, rows)
        failed = np.array([code in ("not_converged", "separation")])
        if asked.correction is not None and _tested_again(asked, tested, rows.neg_log_10_p[v : v + 1], failed)[0]:
            _put_case(asked, case, (null, tested), v, again, rows)
    if asked.correction is None or undone.all():
        return
    at_once = np.flatnonzero(~undone)
    wanted = at_once[_tested_again(asked, tested, rows.neg_log_10_p[some[at_once]], unfitted[at_once])]
    put, _ = _put_at_once(asked, (null, tested), some[wanted], H[wanted], again, rows)
    for r in wanted[~put]:
        _put_case(asked, null.case(H[r], tested), (null, tested), int(some[r]), again, rows)


def _put_at_once(
    asked: Asked, of: tuple[RowFamily, Tested], some: Int64Array, H: Float64Array, test: str, rows: Rows
) -> tuple[BoolArray, BoolArray]:
    """Ratio tests of many variants by the family's kernel: which rows are put (R,), and which have no maximum, whose code is put."""
    null, tested = of
    found = null.ratios(H, tested, test, asked) if some.size and asked.like is None else None
    if found is None:
        return np.zeros(some.size, dtype=bool), np.zeros(some.size, dtype=bool)
    fits, gains = found
    fine, apart = fits.status == status.FINE, fits.status == status.RUNAWAY
    at = some[fine]
    put_ratios(rows, at, tested, (fits.theta[fine], fits.covariance[fine], fits.freedom[fine]), gains[fine], test)
    rows.iterations[at], rows.dispersion[at] = fits.iterations[fine, None], fits.dispersion[fine, None]
    rows.caution(at[fits.dropped[fine]], "covariate_collinear")
    rows.fail(some[apart], "separation")
    return fine, apart


def _tested_again(asked: Asked, tested: Tested, neg_log_10_p: Float64Array, unfitted: BoolArray) -> BoolArray:
    """Rows (R,) that the correction tests again, given their tests (R, K) and which have no maximum (R,)."""
    if asked.correction == "firth_fallback":
        return unfitted
    with np.errstate(invalid="ignore", divide="ignore"):
        below = neg_log_10_p >= -np.log10(asked.correct_below)
    # All tests of a variant come from one fit: if p of any is below the threshold, all are corrected.
    wanted = below[:, tested.joint] if asked.by_joint else below.any(axis=1)
    return np.asarray(wanted if asked.correction == "lrt" else wanted | unfitted)


def _put_fits(asked: Asked, null: RowFamily, tested: Tested, some: Int64Array, fits: WaldFits, rows: Rows) -> None:
    """Wald tests of the rows that were fitted, and the codes of the others."""
    fine = fits.status == status.FINE
    at = some[fine]
    name, joint = null.method(asked.variance)
    put_wald(
        rows,
        at,
        tested,
        (fits.theta[fine], fits.covariance[fine], fits.freedom[fine]),
        (name, joint),
        asked.is_sandwich,
    )
    rows.iterations[at] = fits.iterations[fine, None]
    rows.dispersion[at] = fits.dispersion[fine, None]
    rows.caution(at[fits.dropped[fine]], "covariate_collinear")
    for failed, code in null.codes.items():
        rows.fail(some[fits.status == failed], code)


def _put_case(asked: Asked, case: Case, of: tuple[RowFamily, Tested], v: int, test: str, rows: Rows) -> str | None:
    """Fit one variant on its own complete cases by "wald", "lrt" or "firth", and put its tests; the code where there is no fit."""
    null, tested = of
    code = case.unfit(asked, test)
    fit = None if code is not None else case.maximum(case.H, tested.n_columns, test, asked)
    if code is None and fit is None:
        code = "not_converged"
    elif fit is not None and np.isnan(fit.covariance).any():
        code = "leverage_of_one"
    elif fit is not None and case.ran_away(fit, asked):
        code = "separation"
    gains = None
    plink2 = asked.like == "plink2"
    ratio = test == "lrt" or (test == "firth" and not plink2)
    if code is None and fit is not None and ratio:
        gains = ratio_gains(asked, case, tested, fit, test)
        code = "not_converged" if gains is None else None
    if code is not None or fit is None:
        rows.fail(np.array([v]), str(code))
        return code
    at = np.array([v])
    if gains is not None:
        freedom = np.full((1, len(tested.tests)), fit.freedom)
        put_ratios(rows, at, tested, (fit.theta[None], fit.covariance[None], freedom), gains[None], test)
    else:
        freedom = np.full((1, len(tested.tests)), fit.freedom)
        names = ("firth", "firth") if test == "firth" else null.method(asked.variance)
        put_wald(rows, at, tested, (fit.theta[None], fit.covariance[None], freedom), names, False)
        if plink2 and tested.heterozygotes:
            # PLINK 2 reads the joint Wald statistic as F with 2 and n degrees of freedom.
            F = 0.5 * rows.statistic[at, tested.joint]
            n = np.array([float(case.H.shape[0])])
            rows.put_joint(at, tested.joint, names[1], F, neg_log_10_p_f(F, 2, n))
    rows.iterations[at], rows.dispersion[at] = fit.iterations, fit.dispersion
    if not case.all_covariates:
        rows.caution(at, "covariate_collinear")
    return None


def ratio_gains(asked: Asked, case: Case, tested: Tested, fit: Maximum, test: str) -> Float64Array | None:
    """Twice the gains of (penalised) log likelihood over every test's null (K,), over the dispersion; None where one has no maximum.

    A contrast's null has one coefficient less; the joint test's has none.
    """
    D = tested.n_columns
    nulls = [(k, case.H @ M, D - 1) for k, M in tested.rotations]
    if tested.joint >= 0:
        nulls.append((tested.joint, case.H, 0))
    gains = np.full(len(tested.tests), np.nan)
    for k, columns, n_free in nulls:
        at_null = case.maximum(columns, n_free, test, asked)
        if at_null is None:
            return None
        gains[k] = max(0.0, 2.0 * (fit.objective - at_null.objective) / fit.dispersion)
    return gains
