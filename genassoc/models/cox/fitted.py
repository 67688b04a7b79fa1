"""Cox regression whose rows are all fitted: an interaction g x E, the genotypic model, weights, Lin's and Wei's variance.

Without a sandwich: Wald or likelihood ratio tests, then for rows below ``correct_below``, and those without a maximum (monotone
likelihood), likelihood ratio tests under Firth's penalty. Case-cohort and other unequal samples, and equal ones whose hazards
may not be proportional, have Wald tests with Lin's and Wei's variance; without weights all samples weigh 1.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from genassoc.data.block import Block
from genassoc.data.phenotypes.weights import read_weights
from genassoc.errors import PhenotypeError
from genassoc.kernels.laws import few_events
from genassoc.kernels.laws.sandwich import WaldFits, room
from genassoc.kernels.likelihoods import cox as kernel
from genassoc.kernels.likelihoods import cox_columns, cox_weighted
from genassoc.kernels.likelihoods import rows as status
from genassoc.kernels.likelihoods.cox_sums import RiskSets, risk_sums
from genassoc.kernels.likelihoods.newton import FitOptions
from genassoc.models.cox.family import NullCox
from genassoc.models.cox.family import prepare as prepare_nulls
from genassoc.models.scan.family import Samples
from genassoc.models.scan.sums import GenotypeSums, allele_counts, frequency
from genassoc.models.scan.tested import Tested, modifier_of, with_interaction
from genassoc.models.scan.wald import (
    CODES,
    Asked,
    Case,
    Effects,
    FittedState,
    Maximum,
    RowFamily,
)
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array
from genassoc.stats.information import EXACT_LAW, LEAST_OF_SANDWICH, effective_size, few_note, whole_sizes
from genassoc.stats.linalg import orthonormal_basis
from genassoc.stats.risk_sets import risk_sets, within_strata

_COLLINEAR = 1e-14  # of a squared length, as R's lm: 1e-7 of the length


@dataclass(frozen=True)
class CoxRows(RowFamily):
    """One endpoint, sorted by stratum and time.

    Attributes
    ----------
    Q : float64 array (n, C)
        Orthonormal covariates, centred in each stratum, a constant first (no part of the model).
    sets : RiskSets
    start : float64 array (C - 1,)
        Coefficients of the null.
    """

    retries: ClassVar[bool] = True

    Q: Float64Array
    sets: RiskSets
    start: Float64Array

    @classmethod
    def of(cls, null: NullCox) -> "CoxRows":
        """Made from the screen's null model."""
        return cls(null.samples, null.Q.shape[1] - 1, null.Q, null.sets, null.start)

    @property
    def expected(self) -> Float64Array:
        """The event, (1, n): cells of those without it do not limit a test."""
        return self.sets.event[None].astype(np.float64)

    def score_tests(self, H: Float64Array, tested: Tested) -> WaldFits | None:
        """Newton's step from the null of every row's own samples, and its covariance."""
        return self._fitted(H, tested, status.SCORE)[0]

    def wald(self, H: Float64Array, tested: Tested, variance: int) -> WaldFits | None:
        """Fit rows on columns H (R, D, n); what may be infinite or collinear is left to its `Case`."""
        return self._fitted(H, tested, status.WALD)[0]

    def ratios(self, H: Float64Array, tested: Tested, test: str, asked: Asked) -> tuple[WaldFits, Float64Array] | None:
        """Fits of columns H (R, D, n), penalised where ``test`` is "firth", and twice the gains over the tests' nulls (R, K)."""
        fits, found = self._fitted(H, tested, status.FIRTH if test == "firth" else status.LRT)
        return fits, tested.of_tests(found)

    def _fitted(self, H: Float64Array, tested: Tested, test: int) -> tuple[WaldFits, Float64Array]:
        """What `cox_columns.fit_rows` does of columns H (R, D, n), and the gains of contrasts and of all columns."""
        D, K = tested.n_columns, len(tested.rotations)
        fits, gains = room(H.shape[0], D, len(tested.tests)), np.full((H.shape[0], K + 1), np.nan)
        trait = cox_columns.CoxTrait(np.ascontiguousarray(self.Q[:, 1:]), self.sets, self.offset, self.start)
        rotations = np.array([M for _, M in tested.rotations]).reshape(K, D, D)
        cox_columns.fit_rows(np.ascontiguousarray(H), trait, test, rotations, fits, gains)
        return fits, gains

    def case(self, H: Float64Array, tested: Tested) -> Case:
        """The complete cases of columns (D, n)."""
        at, sets = ~np.isnan(H[0]), self.sets
        if at.all():
            X, start, kept, offset = self.Q[:, 1:], self.start, True, self.offset
        else:
            basis = orthonormal_basis(self.Q[at])
            X, kept, offset = basis.Q[:, 1:], bool(basis.kept.all()), self.offset[at]
            start, H = np.zeros(X.shape[1]), H[:, at]
            sets = RiskSets(sets.event[at], sets.first[at], sets.last[at], sets.ends, sets.efron)
        columns = H.T
        return CoxCase(columns - columns.mean(axis=0), kept, X, sets, offset, start)

    def reasons(self, genotypes: GenotypeSums, block: Block, impute: bool) -> list[tuple[BoolArray, str]]:
        """Rows in which no observed sample has the event."""
        events = allele_counts(block, self.samples.events, self.samples.event_mask)
        return [((events.n == 0) & (not impute), "no_events")]

    def counts(self, genotypes: GenotypeSums, block: Block, impute: bool) -> dict[str, Array]:
        """Frequencies and counts of those with the event."""
        events = allele_counts(block, self.samples.events, self.samples.event_mask)
        return {
            "effect_allele_frequency_events": frequency(events.allele_count, events.n_alleles),
            "n_events": np.full(genotypes.n.size, int(self.sets.event.sum())) if impute else events.n,
        }


@dataclass(frozen=True, eq=False)
class CoxCase(Case):
    """One variant's complete cases.

    Attributes
    ----------
    H : float64 array (n, D)
        Tested columns, centred (which no partial likelihood sees).
    X : float64 array (n, P)
        Covariates, no constant.
    sets : RiskSets
    offset : float64 array (n,)
    start : float64 array (P,)
    """

    H: Float64Array
    all_covariates: bool
    X: Float64Array
    sets: RiskSets
    offset: Float64Array
    start: Float64Array

    def unfit(self, asked: Asked, test: str) -> str | None:
        """Why there is no fit, known before it."""
        if not self.sets.event.any():
            return "no_events"
        left = self.H
        for _ in range(2):
            left = left - self.X @ (self.X.T @ left)
        lengths = (self.H**2).sum(axis=0)
        return "collinear" if (np.diag(np.linalg.qr(left)[1]) ** 2 <= _COLLINEAR * lengths).any() else None

    def maximum(self, H: Float64Array, n_free: int, test: str, asked: Asked) -> Maximum | None:
        """The maximum in the first ``n_free`` coefficients of H (n, D), the others 0; ``test`` "firth" penalises."""
        D = np.ascontiguousarray(np.hstack([self.X, H]))
        P, C = D.shape[1], self.X.shape[1]
        beta, L = np.zeros(P), np.zeros((P, P))
        beta[:C] = self.start
        sums = risk_sums(self.sets, P)
        found, objective, iterations = kernel.fit(
            D, self.offset, self.sets, FitOptions(test == "firth", False, C + n_free), beta, sums, L
        )  # fmt: skip
        if found != status.FINE:
            return None
        lower = np.tril(L)
        covariance = np.asarray(np.linalg.inv(lower @ lower.T)[C:, C:], dtype=np.float64)
        return Maximum(float(objective), beta[C:], covariance, int(iterations))


@dataclass(frozen=True)
class SandwichCoxRows(CoxRows):
    """One endpoint with weights of mean 1, or of 1 for all, whose variance is Lin's and Wei's."""

    codes: ClassVar[Mapping[int, str]] = {
        **CODES, status.ONE_OUTCOME: "no_events", status.RUNAWAY: "no_carrier_events"
    }  # fmt: skip
    has_law: ClassVar[bool] = True
    retries: ClassVar[bool] = False

    def score_tests(self, H: Float64Array, tested: Tested) -> WaldFits | None:
        """None: every row is fitted."""
        return None

    def ratios(self, H: Float64Array, tested: Tested, test: str, asked: Asked) -> tuple[WaldFits, Float64Array] | None:
        """None: a weighted likelihood has no ratio test."""
        return None

    @property
    def sizes(self) -> Float64Array:
        """The weights of the events, (1, n)."""
        return np.where(self.sets.event, self.weight, 0.0)[None]

    def method(self, variance: int) -> tuple[str, str]:
        """Lin's and Wei's."""
        return "wald_robust", "wald_robust"

    def wald(self, H: Float64Array, tested: Tested, variance: int) -> WaldFits:
        """Fit rows on columns H (R, D, n)."""
        fits = room(H.shape[0], tested.n_columns, len(tested.tests))
        samples = cox_weighted.CoxSamples(self.Q, self.sets, self.offset, self.weight, self.start)
        cox_weighted.wald_rows(np.ascontiguousarray(H), samples, tested.contrasts, fits)
        return fits

    def law_of_events(self, calls: Float64Array, impute: bool) -> Float64Array:
        """-log10 p (R,) by the exact distribution of few events, each of which falls on one of the samples at risk at its time."""
        eta = self.offset + self.Q[:, 1:] @ self.start
        risk = self.weight * np.exp(eta - eta.max(initial=-np.inf))
        found, there = np.empty(calls.shape[0]), np.zeros(calls.shape[0], np.bool_)
        few_events.hazard_rows(calls, risk, whole_sizes(self.sizes[0]), self.sets, impute, found, there)
        return np.where(there, found / np.log(10.0), np.nan)


def prepare(model: Any, cohort: Any) -> FittedState:
    """Fit the null models of all endpoints of a `Cox`, E among the covariates."""
    if model.is_sandwich:
        return _prepare_sandwich(model, cohort)
    columns, width = np.asarray(cohort.block_columns), int(cohort.block_width)
    model, joined = with_interaction(model, cohort)
    design = model.design(cohort.phenotypes, cohort.rows, cohort.offsets)
    modifier = modifier_of(model, cohort, design.covariates.X, design.complete)
    effects = Effects.of(model, modifier, joined)
    return fitted_state(effects, design, columns, width, model.ties == "efron")


def fitted_state(effects: Effects, design: Any, columns: Int64Array, width: int, efron: bool = True) -> FittedState:
    """The state that blocks need, from a `SurvivalDesign` that has the main effect of E."""
    state = prepare_nulls(design, columns, width, efron)
    rows = [CoxRows.of(null) for null in state.nulls]
    return effects.state(state.traits, rows, columns, width, design.complete, state.notes, events_of)


def events_of(row: RowFamily) -> BoolArray | None:
    """Which of its samples (n,) have the event."""
    return row.sets.event if isinstance(row, CoxRows) else None


def _prepare_sandwich(model: Any, cohort: Any) -> FittedState:
    """Fit the null models of all endpoints, each on its own complete cases with a weight."""
    columns, width = np.asarray(cohort.block_columns), int(cohort.block_width)
    model, joined = with_interaction(model, cohort)
    design = model.design(cohort.phenotypes, cohort.rows, cohort.offsets)
    weights = None if model.weights is None else read_weights(cohort.phenotypes, cohort.rows, model.weights)
    complete, values = design.complete, np.ones(design.complete.size)
    if weights is not None:
        if weights.name in cohort.phenotypes.resolve([*model.time, *model.event], "time or event"):
            raise PhenotypeError(
                f"{cohort.phenotypes.source}: '{weights.name}' is asked for as a time or event and as the sampling weight: name "
                "one column for each"
            )
        complete, values = complete & weights.there, weights.values
        if not complete.any():
            raise PhenotypeError(
                f"{cohort.phenotypes.source}: no sample has a sampling weight '{weights.name}' above 0 and all covariates"
            )
    modifier = modifier_of(model, cohort, design.covariates.X, complete)
    notes = [f"covariate dropped: {dropped}" for dropped in design.covariates.dropped_covariates]
    notes += [*design.notes, *(() if weights is None else weights.notes)]
    nulls = []
    for k, endpoint in enumerate(design.endpoints):
        observed = complete & ~np.isnan(endpoint.time)
        null, kept = fit_null(design, k, observed, values, columns, width, model.ties == "efron")
        nulls.append(null)
        name, n_events = endpoint.name, int(null.sets.event.sum())
        notes.append(f"{name}: {endpoint.coding}; {n_events:,} events among {null.n:,} samples")
        if null.failure is None:
            notes += few_note(name, effective_size(null.sizes[0]), LEAST_OF_SANDWICH, EXACT_LAW)
        notes += [f"{name}: {lacking}" for lacking in endpoint.lacking]
        if weights is not None:
            notes.append(weights.line(name, observed))
        notes += [
            f"covariate {design.covariates.covariates[column]} dropped for {name}: among its {null.n:,} complete samples it is "
            "constant (in every stratum) or a combination of the covariates before it"
            for column in np.flatnonzero(~kept)
        ]
        if null.failure is not None:
            notes.append(f"{name} has no null model ({null.failure}): its rows have no estimate")
    names = [endpoint.name for endpoint in design.endpoints]
    effects = Effects.of(model, modifier, joined)
    return effects.state(names, nulls, columns, width, complete, notes, events_of)


def fit_null(
    design: Any, k: int, observed: BoolArray, weights: Float64Array, block_columns: Int64Array, block_width: int,
    efron: bool,
) -> tuple[SandwichCoxRows, BoolArray]:  # fmt: skip
    """The null model of the k-th endpoint, and which covariates are independent within strata; ``weights`` (N,)."""
    endpoint = design.endpoints[k]
    who = np.flatnonzero(observed)
    who = who[np.lexsort((endpoint.time[who], design.stratum[who]))]
    event, stratum = endpoint.event[who] == 1, design.stratum[who]
    sets, _ = risk_sets(endpoint.time[who], event, design.entry[who], stratum, efron)
    basis = orthonormal_basis(within_strata(design.covariates.X[who], stratum))
    Q = np.ascontiguousarray(basis.Q)
    n, C = Q.shape
    weight = weights[who] / weights[who].mean() if n else np.empty(0)
    start, offset = np.zeros(C - 1), np.ascontiguousarray(design.offset[who, k])
    failure = "too_few_events" if int(event.sum()) < C or n <= C else None
    if failure is None and C > 1:
        null = cox_weighted.CoxSamples(np.ascontiguousarray(Q[:, 1:]), sets, offset, weight, start)
        state, _ = cox_weighted.fit(null, 0, start, np.empty(n), np.zeros((C - 1, C - 1)))
        failure = None if state == status.FINE else "null_not_converged"
    samples = Samples.of(
        block_columns[who], block_width, offset=offset, weight=weight, is_event=event, failure=failure
    )  # fmt: skip
    return SandwichCoxRows(samples, C - 1, Q, sets, start), basis.kept
