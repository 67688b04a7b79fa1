"""Sampling weights: every row is fitted by weighted likelihood, with Wald tests on its Huber-White variance.

A weighted model estimates what the model would be in the population that the samples stand for (pseudo-likelihood: Binder
1983, doi:10.2307/1402588); what varies is who was sampled, so the variance is a sandwich whatever the outcome.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from genassoc.data.block import Block
from genassoc.data.phenotypes.left_out import without_samples
from genassoc.data.phenotypes.outcomes import exposure_values
from genassoc.data.phenotypes.weights import read_weights, weighted_design
from genassoc.kernels.genotypes.counts import mask_words
from genassoc.kernels.laws import few_events
from genassoc.kernels.likelihoods import glm
from genassoc.kernels.likelihoods import rows as status
from genassoc.kernels.likelihoods import weighted as kernel
from genassoc.kernels.likelihoods import weighted_pairs as pairs
from genassoc.kernels.likelihoods.rows import Fits
from genassoc.models.base import CODE, METHOD, BlockResult
from genassoc.models.linear.change import adjusted_for_baseline, of_change
from genassoc.models.linear.null import normal_scores
from genassoc.models.linear.residual_law import Names, ResidualLaw, Sample, correct_rows, law_notes, withhold_heavy
from genassoc.models.scan.case_columns import case_columns
from genassoc.models.scan.information import EventSizes, sum_missing
from genassoc.models.scan.interaction import RefitState, Terms, fewest_carriers, for_tests
from genassoc.models.scan.rows import assembled, unusable
from genassoc.models.scan.sandwich_pairs import (
    PairFits,
    PairTest,
    few_in_parts,
    fitted_rows,
    modifier_of,
    pair_block,
    shared_counts,
    with_interaction,
    with_terms,
)
from genassoc.models.scan.sandwich_rows import RowTest, tested_rows
from genassoc.models.scan.sums import GenotypeSums, genotype_sums, minor_is_ref
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array, UInt64Array
from genassoc.stats.information import (
    EXACT_LAW,
    LEAST_OF_SANDWICH,
    effective_size,
    few_note,
    sides_of_binary,
    whole_sizes,
)
from genassoc.stats.linalg import orthonormal_basis

_FAILED = {
    status.NOT_CONVERGED: "not_converged",
    status.COLLINEAR: "collinear",
    status.ONE_OUTCOME: "one_outcome",
    kernel.LEVERAGE: "leverage_of_one",
    pairs.NO_VARIANCE: "no_variance",
}
_FAMILIES = {"quantitative": glm.GAUSSIAN, "binary": glm.BINOMIAL, "count": glm.POISSON}
_NAMES = Names(METHOD["spa"], CODE["heavy_tails"])
EVERY_ROW_IS_FITTED = (
    "sampling weights: every row is fitted and has a Wald test; the score test and its corrections are not done"
)


@dataclass(frozen=True)
class NullWeighted:
    """One trait fitted on the covariates, on its own complete cases with a weight.

    Attributes
    ----------
    traits : int64 array (1,)
        Its number.
    n, n_covariates : int
    columns : int64 array (n,)
        Columns of its samples in a block.
    mask, case_mask : uint64 arrays (W,)
        Its samples, and the cases among them, as packed words.
    Q : float64 array (n, C)
        Orthonormal covariates, the constant first.
    y, offset, weight : float64 arrays (n,)
        The outcome (a quantity: its residual over ``scale``), a count's log exposure (else 0), and weights of mean 1.
    start : float64 array (C,)
        Coefficients of the null.
    scale : float
        Units of y.
    failure : str or None
        Why there is no null model; its rows carry it as their code.
    sizes : float64 array (S, n)
        What the events weigh, of every side of the outcome (cases first); of a quantity none.
    mean : float64 array (n,)
        The null's, of an outcome that has events.
    law : ResidualLaw or None
        Of the residuals of a quantity, each times its weight: what the score adds up, whether or not weights follow the outcome.
    """

    traits: Int64Array
    n: int
    n_covariates: int
    columns: Int64Array
    mask: UInt64Array
    case_mask: UInt64Array
    Q: Float64Array
    y: Float64Array
    offset: Float64Array
    weight: Float64Array
    start: Float64Array
    scale: float
    failure: str | None
    sizes: Float64Array
    mean: Float64Array
    law: ResidualLaw | None = None


@dataclass(frozen=True)
class WeightedState:
    """What all blocks share; ``notes`` says, for people, what was recognised and left out."""

    traits: tuple[str, ...]
    cohort_columns: Int64Array
    cohort_mask: UInt64Array
    nulls: tuple[NullWeighted, ...]
    n_incomplete: int
    notes: tuple[str, ...]

    @property
    def n_by_trait(self) -> list[int]:
        """Complete samples of each trait."""
        return [null.n for null in self.nulls]


def prepare(model: Any, cohort: Any) -> WeightedState | RefitState:
    """Fit the null models of all traits of a `Linear`, `Logistic` or `Poisson`, each on its complete cases with a weight."""
    columns, width = np.asarray(cohort.block_columns), int(cohort.block_width)
    before: Float64Array | None = None
    said: tuple[str, ...] = ()
    if getattr(model, "baseline", None) is not None:
        model, before, said = adjusted_for_baseline(model, cohort)
    model, joined = with_interaction(model, cohort)
    design = cohort.design(model.traits, model.covariates, kind=model.outcome)
    weights = None
    if model.weights is not None:
        weights = read_weights(cohort.phenotypes, cohort.rows, model.weights)
        design = weighted_design(design, weights, cohort.phenotypes, cohort.rows)
    exposure = np.ones(design.complete.size)
    if getattr(model, "exposure", None) is not None:
        exposure = exposure_values(cohort.phenotypes, model.exposure, cohort.rows)
        what = f"exposure {model.exposure}"
        design = without_samples(design, np.isnan(exposure), what, cohort.phenotypes, cohort.rows)
    modifier = modifier_of(model, cohort, design.X, design.complete)
    if before is not None:
        design = of_change(design, before, said[0])
    notes = [f"covariate dropped: {dropped}" for dropped in design.dropped_covariates]
    notes += [*said[1:], *(weights.notes if weights is not None else ())]
    if model.outcome == "count":
        notes.append(EVERY_ROW_IS_FITTED)
    nulls = []
    for trait, name in enumerate(design.traits):
        observed = ~np.isnan(design.y[:, trait]) & design.complete
        values = np.ones(design.complete.size) if weights is None else weights.values
        ranks = getattr(model, "rank_normalise", False)
        null, kept = fit_null(design, trait, observed, values, exposure, columns, width, ranks)
        if model.outcome == "quantitative" and null.failure is None:
            score, unequal = _weighted_residual(null), null.weight.min() < null.weight.max()
            law = ResidualLaw.of(score, design.X[observed], null.Q, np.eye(null.n_covariates), weighted=unequal)
            null = replace(null, law=law)
            if model.interaction is None:
                notes += law_notes(name, null.law, tuple(design.covariates))
        nulls.append(null)
        notes += _notes(design, trait, null, kept)
        if weights is not None:
            notes.append(weights.line(name, observed))
    n_incomplete = int((~design.complete).sum())
    state = WeightedState(design.traits, columns, mask_words(columns, width), tuple(nulls), n_incomplete, tuple(notes))
    binary = model.outcome == "binary"
    return with_terms(state, modifier, joined, width, [null.y == 1 if binary else None for null in nulls], binary)


def fit_null(
    design: Any,
    trait: int,
    observed: BoolArray,
    weights: Float64Array,
    exposure: Float64Array,
    block_columns: Int64Array,
    block_width: int,
    rank_normalise: bool = False,
) -> tuple[NullWeighted, BoolArray]:
    """The null model of one trait, and which covariates are independent among its samples; weights, exposure (N,)."""
    basis = orthonormal_basis(design.X[observed])
    Q, y = np.ascontiguousarray(basis.Q), np.ascontiguousarray(design.y[observed, trait])
    n, C = Q.shape
    columns = block_columns[observed]
    weight = weights[observed] / weights[observed].mean() if n else np.empty(0)
    start, scale, failure = np.zeros(C), 1.0, "n_too_small" if n <= C else None
    mean = np.zeros(n)
    cases, offset, kind = np.zeros(n, dtype=bool), np.log(exposure[observed]), design.kinds[trait]
    if kind == "quantitative" and failure is None:
        y, scale = _residual(normal_scores(y) if rank_normalise else y, Q, weight)
        failure = None if scale > 0 else "no_variance"
    elif failure is None:
        cases = (y == 1) & (kind == "binary")
        if not y.any() or (kind == "binary" and cases.all()):
            failure = "one_outcome"
        elif not _fit(_FAMILIES[kind], Q, y, offset, weight, start, mean):
            failure = "null_not_converged"
    null = NullWeighted(
        np.array([trait]), n, C, columns, mask_words(columns, block_width), mask_words(columns[cases], block_width), Q, y,
        offset, weight, start, scale, failure, _sizes(kind, y, weight), mean,
    )  # fmt: skip
    return null, basis.kept


def _weighted_residual(null: NullWeighted) -> Float64Array:
    """Residuals (n,) times their weights, of mean square 1: what is exchangeable is a sample's outcome with its weight."""
    if null.weight.min() == null.weight.max():
        return null.y
    score = null.weight * null.y
    return np.asarray(score / np.sqrt((score**2).mean()))


def _sizes(kind: str, y: Float64Array, weight: Float64Array) -> Float64Array:
    """What the events of an outcome weigh, (S, n)."""
    if kind == "quantitative":
        return np.zeros((0, y.size))
    return sides_of_binary(y, weight) if kind == "binary" else (weight * y)[None]


def _residual(y: Float64Array, Q: Float64Array, weight: Float64Array) -> tuple[Float64Array, float]:
    """What weighted least squares leaves of y, in standard deviations, and one of these; 0 where nothing is left."""
    largest = float(np.abs(y).max(initial=0.0))
    unit = 2.0 ** np.round(np.log2(largest)) if largest > 0 else 1.0  # changes no digit; squares do not overflow
    centred = y / unit - (y / unit).mean()
    WQ = weight[:, None] * Q
    left = centred - Q @ np.linalg.solve(Q.T @ WQ, WQ.T @ centred)
    left -= Q @ np.linalg.solve(Q.T @ WQ, WQ.T @ left)
    squares = float((weight * left) @ left)
    if not squares > 1e-20 * float((weight * centred) @ centred):
        return y, 0.0
    scale = np.sqrt(squares / y.size)
    return left / scale, float(scale * unit)


def _fit(
    family: int, Q: Float64Array, y: Float64Array, offset: Float64Array, weight: Float64Array, start: Float64Array,
    mean: Float64Array,
) -> bool:  # fmt: skip
    """Fill the null's coefficients and means; whether there is a maximum."""
    n, C = Q.shape
    rate = float((weight * y).sum() / (weight * np.exp(offset)).sum())
    # the constant's column is 1 / sqrt(n)
    start[0] = np.log(rate if family == glm.POISSON else rate / (1 - rate)) * np.sqrt(n)
    eta, w, L = np.empty(n), np.empty(n), np.zeros((C, C))
    state, _, _ = glm.fit(family, Q, y, offset, weight, False, start, eta, mean, w, L)
    return bool(state == status.FINE)


def _notes(design: Any, trait: int, null: NullWeighted, kept: BoolArray) -> list[str]:
    name = design.traits[trait]
    notes = []
    if design.kinds[trait] == "binary":
        n_cases = int((null.y == 1).sum())
        notes.append(f"{name}: {design.coding[trait]}; {n_cases:,} cases, {null.n - n_cases:,} controls")
    if design.kinds[trait] == "count":
        notes.append(
            f"{name}: {int(null.y.sum()):,} events in {null.n:,} samples ({null.y.max(initial=0):g} at most in one)"
        )
    if null.failure is None and null.sizes.shape[0]:
        effective = min(effective_size(side) for side in null.sizes)
        notes += few_note(name, effective, LEAST_OF_SANDWICH, EXACT_LAW)
    for column in np.flatnonzero(~kept):
        notes.append(
            f"covariate {design.covariates[column]} dropped for {name}: among its {null.n:,} complete samples it is "
            "constant or a combination of the covariates before it"
        )
    if null.failure is not None:
        notes.append(f"{name} has no null model ({null.failure}): its rows have no estimate")
    return notes


def test_block(model: Any, min_mac: float, state: WeightedState | RefitState, block: Block) -> BlockResult:
    """Test every variant of the block against every trait: V x T rows, times K of an interaction."""
    if isinstance(state, RefitState):
        return pair_block(
            state, lambda null, terms, flipped: _pairs_of_trait(model, min_mac, null, terms, block, flipped), block
        )
    flipped = minor_is_ref(block, state.cohort_columns, state.cohort_mask)
    by_trait = [_of_trait(model, min_mac, null, block, flipped) for null in state.nulls]
    return assembled(state.traits, by_trait)


test_block.__test__ = False  # type: ignore[attr-defined]  # its name is not a test's


def _of_trait(model: Any, min_mac: float, null: NullWeighted, block: Block, flipped: BoolArray) -> dict[str, Array]:
    """All columns of one trait, (V,) each."""
    own = genotype_sums(block, flipped, null.columns, null.mask, list_calls=null.sizes.shape[0] > 0)
    _, power, method = _kind(model)

    def fit(calls: Float64Array) -> Fits:
        fits = Fits.empty(calls.shape[0])
        kernel.wald_rows(
            _FAMILIES[model.outcome], calls, null.Q, null.y, null.offset, null.weight, null.start, power, model.imputes,
            fits.numbers, fits.status, fits.dropped,
        )  # fmt: skip
        return fits

    def law(calls: Float64Array) -> Float64Array:
        return _law_of_events(null, calls, model.imputes)

    test = RowTest(fit, method, student=True, failed=_FAILED, impute=model.imputes, law=law)
    reasons = [*unusable(own, null.n_covariates, min_mac), (own.n <= null.n_covariates + 1, "n_too_small")]
    few = EventSizes.of(null.sizes, null.columns, block.n_samples).few(own, model.imputes, LEAST_OF_SANDWICH)
    columns = tested_rows(test, null, own, reasons, few, block, flipped)
    if null.law is not None:
        columns["standard_error_model"] = columns["standard_error"].copy()
        score = _weighted_residual(null)
        sample = Sample(null.columns, null.Q, np.eye(null.n_covariates), score, null.law, model.imputes)
        correct_rows(columns, sample, own, block, flipped, _NAMES, rule="shape" if power == 1 else "own")
    for name in ("beta", "standard_error", "standard_error_model", "ci_lower", "ci_upper"):
        if name in columns:
            columns[name] = columns[name] * null.scale
    if model.outcome == "binary":
        columns |= _by_case(model, null, own, block)
    if model.outcome == "count":
        events = np.zeros(block.n_samples)
        events[null.columns] = null.y
        columns["n_events"] = (events.sum() - sum_missing(own, events)).astype(np.int64)
    return columns


def _law_of_events(null: NullWeighted, calls: Float64Array, impute: bool) -> Float64Array:
    """-log10 p (R,) of dense calls by the law of few events: of counts, or of the rarer of cases and controls."""
    # Of a binary outcome the side with fewer effective samples; each event falls on a sample as the weighted null has it.
    side = int(np.argmin([effective_size(side) for side in null.sizes]))
    mean = null.mean if side == 0 else 1.0 - null.mean
    sizes = whole_sizes(null.sizes[side])
    equal = null.weight.min() == null.weight.max()
    single = (
        null.sizes.shape[0] == 2 and equal
    )  # a sample has one event at most: its odds make the law, without replacement
    found, there = np.empty(calls.shape[0]), np.zeros(calls.shape[0], np.bool_)
    odds = mean / (1.0 - mean) if single else null.weight * mean
    few_events.event_rows(calls, odds, sizes, impute, found, there)
    return np.where(there, found / np.log(10.0), np.nan)


def _kind(model: Any) -> tuple[bool, int, str]:
    """Whether the model is of least squares, the power of 1 - h in the residuals, and the method's name."""
    linear, power = model.outcome == "quantitative", 0 if model.variance == "hc0" else 1
    return linear, power, f"{'t' if linear else 'wald'}_{'hc3' if power else 'hc0'}"


def _pairs_of_trait(
    model: Any, min_mac: float, null: NullWeighted, terms: Terms, block: Block, flipped: BoolArray
) -> dict[str, Array]:
    """All columns (V, K) of one trait."""
    own = genotype_sums(block, flipped, null.columns, null.mask, list_calls=null.sizes.shape[0] > 0)
    K, (linear, power, method) = len(terms.tests), _kind(model)

    def fit(calls: Float64Array) -> PairFits:
        fits = PairFits.empty(calls.shape[0], K)
        pairs.wald_pairs(
            _FAMILIES[model.outcome], calls, terms.e, null.Q, null.y, null.offset, null.weight, null.start, power,
            model.imputes, terms.contrasts, fits.numbers, fits.freedom, fits.status, fits.dropped,
        )  # fmt: skip
        return fits

    joint = method.replace("t_", "f_") if linear else method
    test = PairTest(method, joint, student=True, hotelling=True, failed=_FAILED)
    few = few_in_parts(null.sizes, terms, null.columns, own, model.imputes, block)
    columns = fitted_rows(test, fit, null, terms, own, min_mac, few, block, flipped)
    withhold_heavy(columns, null.law, fewest_carriers(block, terms), _NAMES.heavy_tails)
    for name in ("beta", "standard_error", "ci_lower", "ci_upper"):
        columns[name] = columns[name] * null.scale
    columns |= shared_counts(own, null.n, model.imputes, K)
    if model.outcome == "binary":
        counted = _by_case(model, null, own, block)
        columns |= {name: for_tests(values, K) for name, values in counted.items()}
    return columns


def _by_case(model: Any, null: NullWeighted, own: GenotypeSums, block: Block) -> dict[str, Array]:
    """Frequencies and counts by case status, (V,) each."""
    return case_columns(block, own, null.columns, null.y == 1, null.case_mask, null.n if model.imputes else None)
