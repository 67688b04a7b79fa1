"""Logistic regression with an interaction g x E, or with HC3 variances: g is in the null of its interaction.

Every row is fitted: Wald tests, then for rows below ``correct_below``, and those without a maximum, likelihood ratio
tests under Firth's penalty, the null refitted with g in it for each test.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from genassoc.data.block import Block
from genassoc.data.phenotypes.modifier import Modifier
from genassoc.kernels.laws import few_events
from genassoc.kernels.likelihoods import interaction_logistic as kernel
from genassoc.models.base import CODES, METHODS, BlockResult
from genassoc.models.linear.columns import design_with_modifier
from genassoc.models.logistic.interaction_dense import Cases, Fitting, fit_one, maximum
from genassoc.models.logistic.null import NullLogistic
from genassoc.models.logistic.null import prepare as prepare_nulls
from genassoc.models.scan.information import EventSizes
from genassoc.models.scan.interaction import RefitState, Terms, as_rows, for_tests, terms_of, tests_of, too_few
from genassoc.models.scan.pair_rows import OneFit, PairRows, ratio_tests
from genassoc.models.scan.product import minor_counts
from genassoc.models.scan.rows import chunks
from genassoc.models.scan.sandwich_pairs import few_in_parts
from genassoc.models.scan.sums import AlleleCounts, GenotypeSums, allele_counts, frequency, genotype_sums, minor_is_ref
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array
from genassoc.stats.information import EXACT_LAW, FEW_EVENTS, LEAST_OF_SANDWICH, few_note, sides_of_binary

_FLOATS = (
    "beta", "standard_error", "ci_lower", "ci_upper", "effect_allele_frequency", "neg_log_10_p_value", "mac",
    "missing_rate", "statistic", "effect_allele_frequency_cases", "effect_allele_frequency_controls",
    "standard_error_model",
)  # fmt: skip
_COUNTS = ("n", "n_cases", "n_controls", "iterations")


@dataclass(frozen=True)
class Choices:
    """What is done, every default resolved; see `genassoc.models.logistic.model.Logistic`.

    ``test`` is "wald" or "lrt", ``correction`` "firth", "firth_fallback" or None.
    """

    test: str
    correction: str | None
    correct_below: float
    impute: bool
    min_mac: float
    robust: bool
    gate: bool
    as_plink: bool


def prepare(model: Any, cohort: Any) -> RefitState:
    """Fit the null models, E among the covariates."""
    columns, width = np.asarray(cohort.block_columns), int(cohort.block_width)
    modifier: Modifier | None = None
    notes: tuple[str, ...] = ()
    if model.interaction is None:  # a robust variance of g alone
        design = cohort.design(model.traits, model.covariates, kind=model.outcome)
    else:
        design, modifier, notes = design_with_modifier(model, cohort)
    state = state_of(design, modifier, columns, width)
    if getattr(model, "variance", None) == "robust":
        for name, null in zip(state.traits, state.nulls):
            if null.failure is None:
                rarer = float(min(null.n_cases, null.n - null.n_cases))
                notes = (*notes, *few_note(name, rarer, LEAST_OF_SANDWICH, EXACT_LAW))
    return replace(state, model=replace(state.model, notes=(*state.notes, *notes)))


def state_of(design: Any, modifier: Modifier | None, columns: Int64Array, width: int) -> RefitState:
    """What blocks need of a design that has the main effect of E; without a modifier there is g alone."""
    state = prepare_nulls(design, columns, width)
    terms = tuple(
        terms_of(modifier, columns, null.columns, width, null.y == 1, both_outcomes=True) for null in state.nulls
    )
    return RefitState(state, tests_of(modifier), terms)


def test_block(choices: Choices, state: RefitState, block: Block) -> BlockResult:
    """V x T x K rows, K tests."""
    flipped = minor_is_ref(block, state.model.cohort_columns, state.model.cohort_mask)
    shape = (block.n_variants, len(state.traits), len(state.tests))
    columns: dict[str, Array] = {name: np.full(shape, np.nan) for name in _FLOATS}
    columns |= {name: np.zeros(shape, np.int64) for name in _COUNTS}
    columns |= {name: np.zeros(shape, np.uint8) for name in ("method", "code")}
    for trait, (null, terms) in enumerate(zip(state.nulls, state.terms)):
        for name, values in _of_trait(choices, null, terms, block, flipped).items():
            columns[name][:, trait] = values
    return as_rows(state.traits, state.tests, columns, {"method": METHODS, "code": CODES})


test_block.__test__ = False  # type: ignore[attr-defined]  # its name is not a test's


def _of_trait(choices: Choices, null: NullLogistic, terms: Terms, block: Block, flipped: BoolArray) -> dict[str, Array]:
    """All columns (V, K) of one trait."""
    own = genotype_sums(block, flipped, null.columns, null.mask)
    cases = allele_counts(block, null.columns[null.y == 1], null.case_mask)
    rows = PairRows.empty(terms, own.n.size)
    usable = np.ones(own.n.size, dtype=bool)
    sparse = _few_events(choices, null, terms, own, block)
    few = own.tested_mac < choices.min_mac
    if terms.with_e and choices.gate:
        few |= too_few(block, terms)
    for bad, code in (
        (own.n == 0, "n_too_small"),
        (own.constant & (own.mac > 0), "constant_genotype"),
        (own.constant, "monomorphic"),
        (own.n <= null.X.shape[1] + terms.contrasts.shape[1], "n_too_small"),
        (few, "too_few_carriers"),
        (sparse & terms.with_e, FEW_EVENTS),
        (np.full(own.n.size, null.failure is not None), null.failure),
    ):
        rows.fail(usable & bad, CODES.index(code))
        usable &= ~bad
    variants = np.flatnonzero(usable)
    for first, last in chunks(variants.size, null.n):
        some = variants[first:last]
        calls = _calls(choices, null, block, flipped, some)
        _fit_rows(choices, null, terms, some, calls, rows)
        _test_exactly(null, some[sparse[some]], calls[sparse[some]], rows)
    columns = rows.finished(flipped)
    return columns | _counts(choices, null, own, cases, len(terms.tests))


def _few_events(choices: Choices, null: NullLogistic, terms: Terms, own: GenotypeSums, block: Block) -> BoolArray:
    """Rows (V,) of a sandwich with too few cases or controls, of an interaction in an arm; of a peer's numbers none."""
    if not (choices.robust and choices.gate) or null.failure is not None:
        return np.zeros(own.n.size, dtype=bool)
    sides = sides_of_binary(null.y, np.ones(null.n))
    if terms.with_e:
        return few_in_parts(sides, terms, null.columns, own, choices.impute, block)
    return EventSizes.of(sides, null.columns, block.n_samples).few(own, choices.impute, LEAST_OF_SANDWICH)


def _test_exactly(null: NullLogistic, variants: Int64Array, calls: Float64Array, rows: PairRows) -> None:
    """Few cases or controls: the estimates that there are, with the p of the exact law of who has the rarer outcome."""
    if not variants.size:
        return
    rarer = 1.0 if 2 * null.n_cases <= null.n else 0.0
    odds = null.mu / (1.0 - null.mu)
    found, there = np.empty(variants.size), np.zeros(variants.size, np.bool_)
    few_events.event_rows(
        calls, odds if rarer else 1.0 / odds, np.where(null.y == rarer, 1.0, 0.0), False, found, there
    )  # fmt: skip
    at = variants[there & np.isfinite(rows.beta[variants, 0])]
    logp = found[there & np.isfinite(rows.beta[variants, 0])] / np.log(10.0)
    rows.put_p(at, logp, METHODS.index("exact"))
    rows.fail(variants[~there & np.isfinite(rows.beta[variants, 0])], CODES.index(FEW_EVENTS))


def _calls(
    choices: Choices, null: NullLogistic, block: Block, flipped: BoolArray, variants: Int64Array
) -> Float64Array:
    """Copies of the minor allele in the trait's samples (R, n), NaN or the mean where not observed."""
    calls = minor_counts(block, flipped, variants, null.columns)
    missing = np.isnan(calls)
    if choices.impute and missing.any():
        means = np.where(missing, 0.0, calls).sum(axis=1) / np.maximum((~missing).sum(axis=1), 1)
        np.copyto(calls, means[:, None], where=missing)
    return calls


def _fit_rows(
    choices: Choices, null: NullLogistic, terms: Terms, some: Int64Array, calls: Float64Array, rows: PairRows
) -> None:
    """Fill the rows of some variants, given their calls (R, n)."""
    R = some.size
    numbers, done = np.full((R, kernel.N_NUMBERS), np.nan), np.zeros(R, dtype=bool)
    if not choices.as_plink and choices.test == "wald":
        e = terms.e if terms.with_e else np.zeros(null.n)
        kernel.wald_pairs(
            calls, e, terms.with_e, choices.robust, null.X, null.y, null.offset, null.start, numbers, done
        )  # fmt: skip
        _put(terms, some[done], numbers[done], METHODS.index("wald_hc3" if choices.robust else "wald"), rows)
    fitting = Fitting(choices.test, choices.robust, choices.as_plink)
    unfitted = np.zeros(R, dtype=bool)
    covariates_tell = choices.correction == "firth_fallback" and bool(null.separated)
    for row in np.flatnonzero(~done):
        case = Cases.of(null, terms, calls[row])
        code, fit = ("separation", None) if covariates_tell else fit_one(case, fitting)
        if fit is None:
            rows.fail(some[row], CODES.index(code))
            unfitted[row] = code in ("not_converged", "separation")
            continue
        _put_one(fitting, terms, case, int(some[row]), fit, code, rows)
    if choices.correction is None:
        return
    below = rows.neg_log_10_p()[some] > -np.log10(choices.correct_below)
    # All tests of a variant are of one fit: any of them below asks for the penalised one.
    wanted = unfitted | (below.any(axis=1) & (choices.correction == "firth"))
    for row in np.flatnonzero(wanted):
        case = Cases.of(null, terms, calls[row])
        _put_firth(choices, terms, case, int(some[row]), rows)


def _put(terms: Terms, at: Int64Array, numbers: Float64Array, method: int, rows: PairRows) -> None:
    D = terms.contrasts.shape[1]
    pairs = np.array([[kernel.VAR_G, kernel.COVARIANCE], [kernel.COVARIANCE, kernel.VAR_GE]])[:D, :D]
    theta = numbers[:, [kernel.G, kernel.GE][:D]]
    rows.put_wald(at, theta, numbers[:, pairs], numbers[:, kernel.ITERATIONS].astype(np.int64), method)


def _put_one(
    fitting: Fitting, terms: Terms, case: Cases, v: int, fit: OneFit, code: str | None, rows: PairRows
) -> None:
    """One row that was fitted on its own complete cases: Wald tests, or likelihood ratios."""
    if fitting.test == "lrt":
        gains = _gains(case, terms, fit, penalised=False)
        if gains is None:
            rows.fail(v, CODES.index("not_converged"))
            return
        rows.put_ratio(v, fit.pair, gains, METHODS.index("lrt"))
    else:
        method = METHODS.index("wald_hc3" if fitting.robust else "wald")
        rows.put_wald(np.array([v]), fit.pair.theta[None], fit.pair.covariance[None], fit.pair.iterations, method)
    rows.code[v] = CODES.index(code)


def _gains(case: Cases, terms: Terms, fit: OneFit, penalised: bool) -> Float64Array | None:
    def objective(H: Float64Array, n_free: int) -> float | None:
        found = maximum(case, H, penalised, n_free)
        return None if found is None else found[0]

    return ratio_tests(objective, case.H, case.X.shape[1], terms, fit)


def _put_firth(choices: Choices, terms: Terms, case: Cases, v: int, rows: PairRows) -> None:
    """Firth's penalised estimates with likelihood ratio tests; with PLINK 2's Wald tests where that is asked for."""
    code, fit = fit_one(case, Fitting("firth", False, choices.as_plink))
    if fit is not None and choices.as_plink:
        pair = fit.pair
        rows.put_wald(np.array([v]), pair.theta[None], pair.covariance[None], pair.iterations, METHODS.index("firth"))
        rows.code[v] = CODES.index(code)
        return
    gains = None if fit is None else _gains(case, terms, fit, penalised=True)
    if fit is None or gains is None:
        rows.fail(v, CODES.index(code if fit is None else "not_converged"))
        return
    rows.put_ratio(v, fit.pair, gains, METHODS.index("firth"))
    rows.code[v] = CODES.index(code)


def _counts(choices: Choices, null: NullLogistic, own: Any, cases: AlleleCounts, K: int) -> dict[str, Array]:
    """Counts and frequencies (V, K), by case status too."""
    n = np.full(own.n.size, null.n) if choices.impute else own.n
    n_cases = np.full(own.n.size, null.n_cases) if choices.impute else cases.n
    controls = frequency(own.allele_count - cases.allele_count, own.n_alleles - cases.n_alleles)
    columns = {
        "effect_allele_frequency": own.frequency,
        "effect_allele_frequency_cases": frequency(cases.allele_count, cases.n_alleles),
        "effect_allele_frequency_controls": controls,
        "mac": own.mac,
        "missing_rate": 1.0 - own.n / max(null.n, 1),
        "n": n,
        "n_cases": n_cases,
        "n_controls": n - n_cases,
    }
    return {name: for_tests(values, K) for name, values in columns.items()}
