"""Rows of an interaction whose variances are sandwiches: every variant is fitted on g and g e, tested by Wald tests.

With Satterthwaite's degrees of freedom the contrasts are Student's t, and both at once Hotelling's: see `genassoc.kernels.laws.sandwich`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from genassoc.data.block import Block
from genassoc.data.phenotypes.modifier import Modifier, check_main_effect, read_modifier, with_main_effect
from genassoc.kernels.likelihoods import interaction_logistic as pairs
from genassoc.kernels.likelihoods import rows as status
from genassoc.models.base import CODES, METHODS, BlockResult
from genassoc.models.scan.genotypic import neg_log_10_p_f2
from genassoc.models.scan.information import EventSizes
from genassoc.models.scan.interaction import RefitState, Terms, as_rows, for_tests, terms_of, tests_of, too_few
from genassoc.models.scan.pair_rows import PairRows
from genassoc.models.scan.product import minor_counts
from genassoc.models.scan.rows import chunks, unusable
from genassoc.models.scan.sums import GenotypeSums, minor_is_ref
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array
from genassoc.stats.information import FEW_EVENTS, LEAST_OF_ARM
from genassoc.stats.tails import neg_log_10_p_t, t_quantile_975


@dataclass(frozen=True)
class PairTest:
    """How the rows of a model are tested.

    Attributes
    ----------
    method, joint : str
        Of the contrasts, and of "joint_2df"; an "f_" method's statistic is F, another's Wald's chi-squared.
    student : bool
        Statistics are t (and F) with the degrees of freedom of the fit; else z (and chi-squared).
    hotelling : bool
        The degrees of freedom are Satterthwaite's, and those of "joint_2df" Hotelling's.
    failed : mapping of int to str
        Codes of the fit's statuses.
    """

    method: str
    joint: str
    student: bool
    hotelling: bool
    failed: Mapping[int, str]


@dataclass(frozen=True)
class PairFits:
    """R variants fitted: numbers (R, N_NUMBERS), degrees of freedom (R, K), status and dropped (R,); see the kernels."""

    numbers: Float64Array
    freedom: Float64Array
    status: Int64Array
    dropped: BoolArray

    @classmethod
    def empty(cls, R: int, K: int) -> "PairFits":
        """Room for a kernel to fill."""
        numbers, freedom = np.empty((R, pairs.N_NUMBERS)), np.empty((R, K))
        return cls(numbers, freedom, np.zeros(R, np.int64), np.zeros(R, np.bool_))


# Fits dense calls (R, n) of the minor allele.
Fitter = Callable[[Float64Array], PairFits]


@dataclass
class SandwichRows(PairRows):
    """`PairRows` with degrees of freedom (V, K), and how they are tested."""

    freedom: Float64Array = field(init=False)
    test: PairTest = field(init=False)

    def __post_init__(self) -> None:
        self.freedom = np.full(self.beta.shape, np.nan)

    def put(self, at: Int64Array, fits: PairFits) -> None:
        """What was fitted of some variants, and the codes of those that were not."""
        fine = fits.status == status.FINE
        done, numbers = at[fine], fits.numbers[fine]
        covariance = numbers[:, [[pairs.VAR_G, pairs.COVARIANCE], [pairs.COVARIANCE, pairs.VAR_GE]]]
        iterations = numbers[:, pairs.ITERATIONS].astype(np.int64)
        method = METHODS.index(self.test.method)
        self.put_wald(done, numbers[:, [pairs.G, pairs.GE]], covariance, iterations, method)
        self.freedom[done] = fits.freedom[fine]
        self.code[at[fits.dropped & fine]] = CODES.index("covariate_collinear")
        for failed, code in self.test.failed.items():
            self.fail(at[fits.status == failed], CODES.index(code))

    def neg_log_10_p(self) -> Float64Array:
        """-log10 p of every test (V, K)."""
        if not self.test.student:
            return super().neg_log_10_p()
        joint = self.terms.joint
        logp, df = neg_log_10_p_t(self.statistic, self.freedom), self.freedom[:, joint]
        F = 0.5 * self.statistic[:, joint]
        logp[:, joint] = neg_log_10_p_f2(F * df / (df + 1.0) if self.test.hotelling else F, df)
        return logp

    def half_intervals(self) -> Float64Array:
        """Half of the 95 % intervals (V, K)."""
        return t_quantile_975(self.freedom) * self.error if self.test.student else super().half_intervals()

    def finished(self, flipped: BoolArray) -> dict[str, Array]:
        """Columns (V, K) of ALT."""
        columns, joint = super().finished(flipped), self.terms.joint
        del columns["standard_error_model"]  # the model's is no part of these fits
        columns["method"][columns["method"][:, joint] > 0, joint] = METHODS.index(self.test.joint)
        if self.test.joint.startswith("f_"):
            columns["statistic"][:, joint] *= 0.5
        if self.test.student:
            columns["degrees_of_freedom"] = np.where(np.isnan(self.error[:, :1]), np.nan, self.freedom)
        return columns


def with_interaction(model: Any, cohort: Any) -> tuple[Any, tuple[str, ...]]:
    """The model with the main effect of its interaction's covariate among the covariates, and a note where it joined them."""
    if getattr(model, "interaction", None) is None:
        return model, ()
    covariates, joined = with_main_effect(cohort.phenotypes, model.covariates, model.interaction)
    return replace(model, covariates=covariates), joined


def modifier_of(model: Any, cohort: Any, X: Float64Array, complete: BoolArray) -> Modifier | None:
    """E of an interaction, checked against covariates X (N, C); ``complete`` (N,) have them all, and a weight."""
    if getattr(model, "interaction", None) is None:
        return None
    modifier = read_modifier(cohort.phenotypes, cohort.rows, model.interaction, complete)
    check_main_effect(modifier, X, complete)
    return modifier


def with_terms(
    state: Any,
    modifier: Modifier | None,
    joined: tuple[str, ...],
    block_width: int,
    events: list[BoolArray | None],
    both_outcomes: bool = False,
) -> Any:
    """The state of a model with an interaction; without one the state itself. ``events`` of each trait's samples."""
    if modifier is None:
        return state
    terms = tuple(
        terms_of(modifier, state.cohort_columns, null.columns, block_width, event, both_outcomes)
        for null, event in zip(state.nulls, events)
    )
    noted = replace(state, notes=(*state.notes, *joined, *modifier.notes))
    return RefitState(noted, tests_of(modifier), terms)


def few_in_parts(
    sizes: Float64Array, terms: Terms, columns: Int64Array, own: GenotypeSums, impute: bool, block: Block
) -> BoolArray:
    """Rows (V,) with too few events of a side, in an arm or, of a number E, in what says its slope.

    ``sizes`` (S, n) are what the events of a trait's samples, ``columns`` of the block, weigh.
    """
    parts = [terms.e == 0.0, terms.e == 1.0] if len(terms.arms) > 1 else [np.ones(terms.e.size), terms.e**2]
    sides = [side * part for side in sizes for part in parts]
    if not sides:
        return np.zeros(own.n.size, dtype=bool)
    return EventSizes.of(np.stack(sides), columns, block.n_samples).few(own, impute, LEAST_OF_ARM)


def fitted_rows(
    test: PairTest, fit: Fitter, null: Any, terms: Terms, own: GenotypeSums, min_mac: float, few: BoolArray, block: Block,
    flipped: BoolArray,
) -> dict[str, Array]:  # fmt: skip
    """Columns (V, K) of one trait, but for counts and frequencies; ``null`` has columns, n_covariates and failure.

    ``few`` (V,) are rows with too few events.
    """
    rows = SandwichRows.empty(terms, own.n.size)
    rows.test = test
    usable = np.ones(own.n.size, dtype=bool)
    for bad, code in (
        *unusable(own, null.n_covariates, min_mac),
        (own.n <= null.n_covariates + 2, "n_too_small"),
        (too_few(block, terms), "too_few_carriers"),
        (few, FEW_EVENTS),
        (np.full(own.n.size, null.failure is not None), null.failure),
    ):
        rows.fail(usable & bad, CODES.index(code))
        usable &= ~bad
    variants = np.flatnonzero(usable)
    for first, last in chunks(variants.size, null.n):
        some = variants[first:last]
        rows.put(some, fit(minor_counts(block, flipped, some, null.columns)))
    return rows.finished(flipped)


def pair_block(
    state: RefitState, of_trait: Callable[[Any, Terms, BoolArray], dict[str, Array]], block: Block
) -> BlockResult:
    """V x T x K rows; ``of_trait`` makes the columns (V, K) of a null and its terms, given which alleles are flipped."""
    flipped = minor_is_ref(block, state.model.cohort_columns, state.model.cohort_mask)
    by_trait = [of_trait(null, terms, flipped) for null, terms in zip(state.nulls, state.terms)]
    columns = {name: np.stack([rows[name] for rows in by_trait], axis=1) for name in by_trait[0]}
    return as_rows(state.traits, state.tests, columns, {"method": METHODS, "code": CODES})


def shared_counts(own: GenotypeSums, n: int, impute: bool, K: int) -> dict[str, Array]:
    """Counts and frequencies (V, K); ``n`` samples have the trait."""
    counted = {
        "effect_allele_frequency": own.frequency,
        "mac": own.mac,
        "missing_rate": 1.0 - own.n / max(n, 1),
        "n": np.full(own.n.size, n) if impute else own.n,
    }
    return {name: for_tests(values, K) for name, values in counted.items()}
