"""Cox regression with an interaction g x E: every row fitted with g in the null of its interaction.

Wald tests, then for rows below ``correct_below``, and those without a maximum (monotone likelihood), likelihood ratio
tests under Firth's penalty.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from genassoc.data.block import Block
from genassoc.data.modifier import Modifier, check_main_effect, read_modifier, with_main_effect
from genassoc.kernels import cox as kernel
from genassoc.kernels.cox_sums import RiskSets, risk_sums
from genassoc.kernels.logistic import CONVERGED
from genassoc.methods.base import BlockResult
from genassoc.methods.columns import minor_counts
from genassoc.methods.cox_null import NullCox
from genassoc.methods.cox_null import prepare as prepare_nulls
from genassoc.methods.cox_rows import CODES, METHODS, Choices
from genassoc.methods.interaction import RefitState, Terms, as_rows, for_tests, terms_of, tests_of, too_few
from genassoc.methods.pair_rows import OneFit, PairFit, PairRows, ratio_tests
from genassoc.methods.rows import chunks
from genassoc.methods.sums import allele_counts, frequency, genotype_sums, minor_is_ref
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array
from genassoc.stats.linalg import orthonormal_basis

_COLLINEAR = 1e-14  # of a squared length, as R's lm: 1e-7 of the length
_FLOATS = (
    "beta", "standard_error", "ci_lower", "ci_upper", "effect_allele_frequency", "neg_log_10_p_value", "mac",
    "missing_rate", "statistic", "effect_allele_frequency_events", "standard_error_model",
)  # fmt: skip
_COUNTS = ("n", "n_events", "iterations")


def prepare(model: Any, cohort: Any) -> RefitState:
    """Fit the null models, E among the covariates."""
    columns, width = np.asarray(cohort.block_columns), int(cohort.block_width)
    covariates, joined = with_main_effect(cohort.phenotypes, model.covariates, model.interaction)
    design = replace(model, covariates=covariates).design(cohort.phenotypes, cohort.rows)
    modifier = read_modifier(cohort.phenotypes, cohort.rows, model.interaction, design.complete)
    check_main_effect(modifier, design.covariates.X, design.complete)
    state = state_of(design, modifier, columns, width, model.ties == "efron")
    return replace(state, model=replace(state.model, notes=(*state.notes, *joined, *modifier.notes)))


def state_of(design: Any, modifier: Modifier, columns: Int64Array, width: int, efron: bool = True) -> RefitState:
    """What blocks need of a `SurvivalDesign` that has the main effect of E."""
    state = prepare_nulls(design, columns, width, efron)
    terms = tuple(terms_of(modifier, columns, null.columns, width, null.sets.event) for null in state.nulls)
    return RefitState(state, tests_of(modifier), terms)


def test_block(choices: Choices, state: RefitState, block: Block) -> BlockResult:
    """V x T x K rows, K tests; ``choices.test`` is "wald" or "lrt", ``correction`` "firth" or None."""
    flipped = minor_is_ref(block, state.model.cohort_columns, state.model.cohort_mask)
    shape = (block.n_variants, len(state.traits), len(state.tests))
    columns: dict[str, Array] = {name: np.full(shape, np.nan) for name in _FLOATS}
    columns |= {name: np.zeros(shape, np.int64) for name in _COUNTS}
    columns |= {name: np.zeros(shape, np.uint8) for name in ("method", "code")}
    for trait, (null, terms) in enumerate(zip(state.nulls, state.terms)):
        for name, values in _of_endpoint(choices, null, terms, block, flipped).items():
            columns[name][:, trait] = values
    return as_rows(state.traits, state.tests, columns, {"method": METHODS, "code": CODES})


test_block.__test__ = False  # type: ignore[attr-defined]  # its name is not a test's


def _of_endpoint(choices: Choices, null: NullCox, terms: Terms, block: Block, flipped: BoolArray) -> dict[str, Array]:
    """All columns (V, K) of one endpoint."""
    own = genotype_sums(block, flipped, null.columns, null.mask)
    events = allele_counts(block, null.columns[null.sets.event], null.event_mask)
    rows = PairRows.empty(terms, own.n.size)
    usable = np.ones(own.n.size, dtype=bool)
    for bad, code in (
        (own.n == 0, "n_too_small"),
        (own.constant & (own.mac > 0), "constant_genotype"),
        (own.constant, "monomorphic"),
        (own.n <= null.Q.shape[1] + 1, "n_too_small"),
        ((own.tested_mac < choices.min_mac) | too_few(block, terms), "too_few_carriers"),
        ((events.n == 0) & (not choices.impute), "no_events"),
        (np.full(own.n.size, null.failure is not None), null.failure),
    ):
        rows.fail(usable & bad, CODES.index(code))
        usable &= ~bad
    variants = np.flatnonzero(usable)
    for first, last in chunks(variants.size, null.n):
        calls = minor_counts(block, flipped, variants[first:last], null.columns)
        for v, row in zip(variants[first:last], calls):
            _fill(choices, _Survival.of(null, terms, row, choices.impute), terms, int(v), rows)
    n = np.full(own.n.size, null.n) if choices.impute else own.n
    n_events = np.full(own.n.size, null.n_events) if choices.impute else events.n
    counted = {
        "effect_allele_frequency": own.frequency,
        "effect_allele_frequency_events": frequency(events.allele_count, events.n_alleles),
        "mac": own.mac,
        "missing_rate": 1.0 - own.n / max(null.n, 1),
        "n": n,
        "n_events": n_events,
    }
    K = len(terms.tests)
    return rows.finished(flipped) | {name: for_tests(values, K) for name, values in counted.items()}


@dataclass(frozen=True)
class _Survival:
    """One variant's complete cases.

    Attributes
    ----------
    X : float64 array (n, P)
        Covariates, no constant.
    H : float64 array (n, 2)
        g and g e, centred (which no partial likelihood sees).
    sets : RiskSets
    start : float64 array (P,)
    all_covariates : bool
    """

    X: Float64Array
    H: Float64Array
    sets: RiskSets
    start: Float64Array
    all_covariates: bool

    @classmethod
    def of(cls, null: NullCox, terms: Terms, calls: Float64Array, impute: bool) -> "_Survival":
        """Those of calls (n,), NaN where not observed."""
        observed = ~np.isnan(calls)
        g = np.where(observed, calls, calls[observed].mean())
        e, sets = terms.e, null.sets
        if impute or observed.all():
            X, start, all_covariates = null.Q[:, 1:], null.start, True
        else:
            basis = orthonormal_basis(null.Q[observed])
            X, all_covariates = basis.Q[:, 1:], bool(basis.kept.all())
            start, g, e = np.zeros(X.shape[1]), g[observed], e[observed]
            sets = RiskSets(sets.event[observed], sets.first[observed], sets.last[observed], sets.ends, sets.efron)
        H = np.column_stack([g, g * e])
        return cls(X, H - H.mean(axis=0), sets, start, all_covariates)

    def collinear(self) -> bool:
        """Whether a column of H is a combination of covariates and the other."""
        left = self.H
        for _ in range(2):
            left = left - self.X @ (self.X.T @ left)
        lengths = (self.H**2).sum(axis=0)
        return bool((np.diag(np.linalg.qr(left)[1]) ** 2 <= _COLLINEAR * lengths).any())

    def maximum(
        self, H: Float64Array, penalised: bool, n_free: int
    ) -> tuple[float, Float64Array, Float64Array, int] | None:
        """Objective, coefficients, factor of the information, iterations; None where there is no maximum."""
        D = np.ascontiguousarray(np.hstack([self.X, H]))
        n, P = D.shape
        beta, L = np.zeros(P), np.zeros((P, P))
        beta[: self.start.size] = self.start
        sums = risk_sums(self.sets, P)
        status, objective, iterations = kernel.fit(
            D, np.zeros(n), self.sets, penalised, False, n_free, beta, sums, L
        )  # fmt: skip
        return (float(objective), beta, np.tril(L), int(iterations)) if status == CONVERGED else None


def _fill(choices: Choices, case: _Survival, terms: Terms, v: int, rows: PairRows) -> None:
    """Tests of one variant."""
    if not case.sets.event.any() or case.collinear():
        rows.fail(v, CODES.index("collinear" if case.sets.event.any() else "no_events"))
        return
    fine = _test(case, terms, v, choices.test, rows)
    below = fine and bool((rows.neg_log_10_p_of(v) > -np.log10(choices.correct_below)).any())
    # All tests of a variant are of one fit: any of them below asks for the penalised one.
    if choices.correction is not None and (below or not fine):
        fine = _test(case, terms, v, "firth", rows)
    if not fine:
        rows.fail(v, CODES.index("not_converged"))
    elif not case.all_covariates:
        rows.code[v] = CODES.index("covariate_collinear")


def _test(case: _Survival, terms: Terms, v: int, test: str, rows: PairRows) -> bool:
    """Estimates and tests of one variant by "wald", "lrt" or "firth"; whether all maxima are there."""
    penalised, P = test == "firth", case.X.shape[1]
    found = case.maximum(case.H, penalised, P + 2)
    if found is None:
        return False
    objective, beta, L, iterations = found
    covariance = np.asarray(np.linalg.inv(L @ L.T)[P:, P:], dtype=np.float64)
    pair = PairFit(beta[P:], covariance, iterations)
    if test == "wald":
        rows.put_wald(np.array([v]), pair.theta[None], pair.covariance[None], iterations, METHODS.index(test))
        return True

    def objective_at(H: Float64Array, n_free: int) -> float | None:
        restricted = case.maximum(H, penalised, n_free)
        return None if restricted is None else restricted[0]

    gains = ratio_tests(objective_at, case.H, P, terms, OneFit(pair, objective))
    if gains is None:
        return False
    rows.put_ratio(v, pair, gains, METHODS.index(test))
    return True
