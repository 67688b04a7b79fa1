"""The null models of Cox regression: one an endpoint, laid out for the product, the screen and the refits."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np

from genassoc.data.block import DosageBlock
from genassoc.data.phenotypes.survival import Endpoint, SurvivalDesign
from genassoc.kernels.laws import few_events
from genassoc.kernels.laws.sandwich import room
from genassoc.kernels.likelihoods import cox, cox_columns, cox_rows, cox_screen
from genassoc.kernels.likelihoods import rows as kernel
from genassoc.kernels.likelihoods.cox_clock import Times
from genassoc.kernels.likelihoods.cox_screen import times_means
from genassoc.kernels.likelihoods.cox_sums import RiskSets, RiskSums, risk_sums, suffix_sums
from genassoc.kernels.likelihoods.newton import FitOptions
from genassoc.kernels.likelihoods.rows import Fits, Scores
from genassoc.models.cox.residuals import MartingaleResiduals
from genassoc.models.cox.set_terms import NullFit, set_null_of
from genassoc.models.scan.family import (
    EXACT_BELOW_EXPECTED,
    EXACT_BELOW_MAC,
    FULL_ABOVE_BETA,
    FULL_ABOVE_COPIES,
    WEAK_SHARE,
    Again,
    Asked,
    Family,
    Ladder,
    Law,
    Samples,
    Step,
    Tails,
    Task,
    trigger,
)
from genassoc.models.scan.information import missing_alike
from genassoc.models.scan.product import impute_means, rare_counts
from genassoc.models.scan.screen import ScreenState
from genassoc.models.scan.set_null import SetNull
from genassoc.models.scan.sums import AlleleCounts, GenotypeSums, frequency
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array, UInt64Array
from genassoc.stats.information import LEAST_OF_SANDWICH
from genassoc.stats.linalg import orthonormal_basis
from genassoc.stats.risk_sets import risk_sets, within_strata
from genassoc.stats.tails import z_from_neg_log_10_p

EXACT_BELOW = 0.05  # rows whose p may be below it are not left at the screen
SCREEN_SLACK = 0.99  # of chi-squared: float32 sums and the iterated eigenvalues, 1e-5 and 1e-3
# Where calls are missing, U is one Newton step from the truth and the bounds are approximate: exact from p = 0.1 on.
CHI2_MISSING = 2.705543454095404
FIRTH_IN_FULL = 1e-4  # below it the approximate Firth test is done again on all coefficients
SPA_LEAST_MAC = 20
RESIDUALS_MOST_STRATA = 50
RESIDUALS_BELOW_MAC = 20  # carriers in effect, of dosages that are not whole and many events (docs/decisions/0061)
# Eigenfunctions of the risk sets that the screen takes away beside the strata: what is left of g'Mg is then small.
EIGENFUNCTIONS = 6
MOST_STRATA = 20  # with columns of their own in the product; of more strata every row is computed exactly
DENSE_BELOW = 40  # samples below which all eigenvalues are computed
# Change of the eigenvalues at which their iteration stops: of the information a ten-thousandth.
EIGEN_TOLERANCE = 1e-4
ROUNDS = 60


@dataclass(frozen=True, kw_only=True)
class NullCox(Family):
    """One endpoint fitted on the covariates, on its own complete cases, sorted by stratum and time.

    Attributes
    ----------
    Q : float64 array (n, C)
        Orthonormal covariates, centred in each stratum, a constant first (no part of the model).
    sets : RiskSets
    start : float64 array (C - 1,)
        Coefficients of the null.
    cross : float64 array (n, C - 1)
        ``J_Xg = cross' g``.
    L : float64 array (C - 1, C - 1)
        Factor of the covariates' information J_XX.
    times : Times
        Of which the time function of the test of proportional hazards is made.
    thin : float64 array (N, J + C)
        Columns of the product: eigenfunctions times the weights (J), ``cross L^-T`` (C - 1), martingale residuals.
    moves : float64 array (N, J + C - 1)
        What a sample adds to the null's scores in those directions; see `genassoc.kernels.likelihoods.cox_screen.screen`.
    weight : float64 array (N,)
        Events expected of each sample.
    share : float64 array (J,)
        The eigenvalues; ``rest`` bounds the others.
    """

    counts_events: ClassVar[bool] = True
    first_method: ClassVar[str] = "score_approx"
    codes: ClassVar[dict[int, str]] = Family.codes | {
        kernel.ONE_OUTCOME: "no_events",
        kernel.RUNAWAY: "no_carrier_events",
        kernel.TAIL_FAILED: "tail_failed",
    }

    Q: Float64Array
    sets: RiskSets
    start: Float64Array
    cross: Float64Array
    L: Float64Array
    times: Times
    thin: Float64Array
    moves: Float64Array
    weight: Float64Array
    share: Float64Array
    rest: float

    @property
    def n_events(self) -> int:
        """Samples with the event."""
        return self.samples.events.size

    @property
    def event_mask(self) -> UInt64Array:
        """The same as packed words (W,)."""
        return self.samples.event_mask

    @property
    def _by_residuals(self) -> bool:
        """Whether events are many and strata few enough for the residuals' law, which has a column for each stratum."""
        return self.n_events >= LEAST_OF_SANDWICH and int(self.sets.ends.sum()) <= RESIDUALS_MOST_STRATA

    @cached_property
    def residuals(self) -> MartingaleResiduals | None:
        """The residuals' law, made when a row first asks for it."""
        return MartingaleResiduals.of(self.sets, self.weight[self.columns], self.Q[:, 1:], self.offset)

    def product_columns(self) -> Float64Array:
        """``thin``."""
        return self.thin

    def product_weight(self) -> Float64Array:
        """The events expected."""
        return self.weight

    def score(self, genotypes: GenotypeSums, product: Float64Array, squares: Float64Array, impute: bool) -> Scores:
        """U, and the largest and the smallest information that it can have (V,)."""
        V = genotypes.n.size
        scores, mean = Scores.empty(V), genotypes.sum_g / np.maximum(genotypes.n, 1)
        basis = cox_screen.Basis(self.thin, self.moves, self.weight, self.share, self.rest)
        cox_screen.screen(product, squares, genotypes.missing, basis, mean, impute, scores)
        return scores

    def set_null(self, trait: int) -> SetNull:
        """Martingale residuals and the events expected; the means of the risk sets, and the covariates, taken away."""
        if self.failure is not None:
            zero = np.zeros((self.weight.size, 1))
            return SetNull.of(
                (trait,), self.columns, zero, zero, zero[:, 0], events=self.samples.events, failure=self.failure
            )
        X = np.ascontiguousarray(self.Q[:, 1:])
        own = (X, self.offset, self.start, self.sets, self.columns, self.samples.events, self.weight.size)
        return set_null_of(NullFit(*own), trait)

    def no_estimate(self, events: AlleleCounts | None, impute: bool) -> list[tuple[BoolArray, str]]:
        """Rows (V,) in which no observed sample has the event."""
        assert events is not None
        return [((events.n == 0) & (not impute), "no_events")]

    def unsure(self, task: Task) -> BoolArray:
        """Rows (V,) whose exact p may be below `EXACT_BELOW` (or where they are corrected), or that the product cannot give."""
        choices, genotypes = task.choices, task.genotypes
        if task.scores is None:
            return task.none
        U, information, least = task.scores
        cut = z_from_neg_log_10_p(-np.log10(np.maximum(EXACT_BELOW, self._trigger(task)))) ** 2
        weak = ~(information > WEAK_SHARE * task.squares)
        with np.errstate(invalid="ignore", divide="ignore"):
            largest = np.where(least > 0, U**2 / least, np.inf)
            chi2 = U**2 / information
        matter = weak | ~(largest < SCREEN_SLACK * cut)
        if not choices.impute:
            matter |= ~missing_alike(genotypes, self.n, self.n_events, task.events.n)
            matter |= (genotypes.n < self.n) & (chi2 >= np.minimum(CHI2_MISSING, 0.7 * cut))
        return np.asarray(task.usable & matter)

    def ladder(self, task: Task) -> Ladder:
        """Score tests, computed exactly where p may be small and corrected below the trigger; or Wald or likelihood ratio tests. Few events: exact tests."""
        choices, usable = task.choices, task.usable
        few = np.asarray((task.genotypes.rare_mac < EXACT_BELOW_MAC) | (self._expected(task) < EXACT_BELOW_EXPECTED))
        if self._by_residuals:  # of dosages Firth's test finds too much for longer
            few |= (task.genotypes.rare_mac < RESIDUALS_BELOW_MAC) & ~_whole(task)
        scores = choices.test == "score"
        many = task.genotypes.rare_mac >= SPA_LEAST_MAC if choices.correction == "spa" else task.none
        first = Step(choices.test, (lambda: self.unsure(task)) if scores else (lambda: usable))
        if choices.correction is None or (scores and choices.correct_below <= 0):
            return Ladder((first,), lambda: (task.none, task.none), ())

        def in_vain() -> BoolArray:
            """Rows without a maximum, or without a carrier that has the event."""
            return (usable & (task.tested_alleles()[0] == 0)) | task.has_code("not_converged")

        def sent_on() -> tuple[BoolArray, BoolArray]:
            below = task.none
            if choices.correct_below > 0:
                below = task.estimated & task.p_below(self._trigger(task))
            if scores:
                rare = below & few & ~many
                return below & ~rare, rare
            again = in_vain()
            return (again | (below if choices.correction == "firth" else task.none)) & ~few, few & (below | again)

        after = self._few_events(task)
        if not scores or choices.correction == "firth":
            after = (*after, Step("firth", lambda: task.common))
        else:
            in_full = Again("firth", lambda variants, status: self._in_full(task, variants, status))
            spa = Step("spa", lambda: task.common & many, Again("firth", _has_no_maximum))
            after = (spa, *after, Step("firth_approx", lambda: task.common & ~many, in_full))
        return Ladder((first,), sent_on, after)

    def _few_events(self, task: Task) -> tuple[Step, ...]:
        """Firth's estimate with an exact p: of the calls observed or, for dosages that are not whole numbers, of the few events; of more the residuals' saddlepoint."""
        whole = _whole(task)
        firth = Again("firth", lambda _, status: np.asarray(status != kernel.FINE))
        by_events = self.n_events < LEAST_OF_SANDWICH
        law = Law("few" if by_events else "residuals", "tail_failed") if by_events or self._by_residuals else None
        return (
            Step("exact", lambda: task.rare & whole, firth),
            Step("firth_approx", lambda: task.rare & ~whole, firth, law),
        )

    def _in_full(self, task: Task, variants: Int64Array, status: Int64Array) -> BoolArray:
        """Which rows (R,) with an approximate estimate are fitted again by the full model."""
        # The approximation's likelihood can rise without end where the full model's does not, or its estimate move the covariates.
        genotypes, rows = task.genotypes, task.rows
        with np.errstate(invalid="ignore"):
            full = _has_no_maximum(variants, status) | task.p_below(FIRTH_IN_FULL)[variants]
            frequent = genotypes.tested_mac[variants] > FULL_ABOVE_COPIES * genotypes.n[variants]
            full |= frequent & (np.abs(rows.beta[variants]) > FULL_ABOVE_BETA)
        return np.asarray(full)

    def _expected(self, task: Task) -> Float64Array:
        """Minor alleles expected among the events (V,)."""
        return np.asarray(task.genotypes.rare_mac * self.n_events / max(self.n, 1))

    def _trigger(self, task: Task) -> Float64Array:
        """p of the first test below which a row is corrected (V,)."""
        if task.choices.correction is None:
            return np.full(task.genotypes.n.size, task.choices.correct_below)
        return trigger(task.choices.correct_below, self._expected(task), task.genotypes.rare_mac)

    def fit(self, task: Task, asked: Asked) -> Fits:
        """Fit some rows on their unpacked calls."""
        choices, variants = task.choices, asked.variants
        R, exact = variants.size, asked.test == "exact"
        G = task.calls(variants, self.columns)
        if exact:
            G = rare_counts(task.block, task.flipped, variants, self.columns, np.zeros(R, np.bool_))
        # Of a score only what is not corrected afterwards is a final row: the test of proportional hazards is of those.
        trend = asked.test != "score" or choices.correction is None
        fits, impute, undone = Fits.empty(R), choices.impute and not exact, np.ones(R, np.bool_)
        if not trend:
            if impute:
                impute_means(G)
            undone = self._scored(G, fits)
        if undone.any():
            null, rest = (
                cox_rows.CoxNull(self.offset, self.start, self.cross, self.L, self.times),
                Fits.empty(undone.sum()),
            )
            numbers = asked.numbers[undone]
            cox_rows.analyse_rows(
                G[undone], numbers, np.full(numbers.size, trend), self.Q, self.sets, null, impute, rest
            )
            for own, found in zip(fits, rest):
                own[undone] = found
        fits.numbers[:, kernel.DF] = 1.0  # of the trend
        if asked.test == "wald" and choices.correction is None:
            none = task.tested_alleles()[0][variants] == 0
            fits.status[none & (fits.status == kernel.NOT_CONVERGED)] = kernel.RUNAWAY
        return fits

    def _scored(self, G: Float64Array, fits: Fits) -> BoolArray:
        """Fill score tests of calls (R, n), each at the null of its own samples; rows that need another look (R,)."""
        R = G.shape[0]
        steps, X = room(R, 1, 1), np.ascontiguousarray(self.Q[:, 1:])
        trait = cox_columns.CoxTrait(X, self.sets, self.offset, self.start)
        cox_columns.fit_rows(G[:, None], trait, kernel.SCORE, np.empty((0, 1, 1)), steps, np.empty((R, 1)))
        beta, error = steps.theta[:, 0], np.sqrt(steps.covariance[:, 0, 0])
        columns = [kernel.BETA, kernel.MODEL_SE, kernel.STATISTIC, kernel.ITERATIONS]
        fits.numbers[:, columns] = np.column_stack([beta, error, beta / error, np.zeros(R)])
        return np.asarray(steps.status != kernel.FINE)

    def law(self, name: str, task: Task, variants: Int64Array) -> Tails:
        """p from the exact distribution of few events, each of which falls on one of the samples at risk at its time; of more by the residuals."""
        if name == "residuals":
            G, residuals = task.calls(variants, self.columns), self.residuals
            found = np.full(variants.size, np.nan)
            if residuals is not None:
                found = residuals.neg_log_p(G, task.choices.impute)
            return Tails.of(found / np.log(10.0), False)
        eta = self.Q[:, 1:] @ self.start + self.offset
        risk, sizes = np.exp(eta - eta.max(initial=-np.inf)), np.where(self.sets.event, 1.0, 0.0)
        found, there = np.empty(variants.size), np.zeros(variants.size, np.bool_)
        G = task.calls(variants, self.columns)
        few_events.hazard_rows(G, risk, sizes, self.sets, task.choices.impute, found, there)
        return Tails.of(np.where(there, found / np.log(10.0), np.nan), True)

    def finished(self, task: Task) -> dict[str, Array]:
        """With frequencies and counts of events, and the test of proportional hazards of rows below ``correct_below``."""
        columns, correct_below = super().finished(task), task.choices.correct_below
        past = task.p_below(correct_below) if correct_below > 0 else np.isposinf(task.rows.neg_log_10_p)
        iterations, events = columns.pop("iterations"), task.events
        return {
            "effect_allele_frequency_events": frequency(events.allele_count, events.n_alleles),
            **columns,
            "ph_neg_log_10_p_value": np.where(past, task.rows.trend, np.nan),
            "n_events": np.full(events.n.size, self.n_events) if task.choices.impute else events.n,
            "iterations": iterations,
        }


def _whole(task: Task) -> BoolArray:
    """Rows (V,) of whole copies."""
    return task.block.whole() if isinstance(task.block, DosageBlock) else np.ones(task.usable.size, np.bool_)


def _has_no_maximum(_: Int64Array, status: Int64Array) -> BoolArray:
    return np.asarray(status == kernel.NOT_CONVERGED)


def prepare(
    design: SurvivalDesign, block_columns: Int64Array, block_width: int, efron: bool = True, by_rank: bool = False
) -> ScreenState[NullCox]:
    """Fit the null of every endpoint of a `SurvivalDesign`, each on its own complete cases."""
    nulls: list[NullCox] = []
    notes = [f"covariate dropped: {dropped}" for dropped in design.covariates.dropped_covariates]
    notes += design.notes
    for at, endpoint in enumerate(design.endpoints):
        observed = design.complete & ~np.isnan(endpoint.time)
        null, kept = fit_null(design, at, observed, block_columns, block_width, efron, by_rank)
        nulls.append(null)
        notes += _notes(design, endpoint, null, kept, observed)
    names = tuple(endpoint.name for endpoint in design.endpoints)
    return ScreenState.of(names, nulls, block_columns, block_width, int((~design.complete).sum()), notes)


def fit_null(
    design: SurvivalDesign,
    at: int,
    observed: BoolArray,
    block_columns: Int64Array,
    block_width: int,
    efron: bool = True,
    by_rank: bool = False,
) -> tuple[NullCox, BoolArray]:
    """The null model of one endpoint, the ``at``-th, and which covariates are independent within strata among its samples."""
    endpoint = design.endpoints[at]
    who = np.flatnonzero(observed)
    who = who[np.lexsort((endpoint.time[who], design.stratum[who]))]
    time, event, stratum = endpoint.time[who], endpoint.event[who] == 1, design.stratum[who]
    sets, times = risk_sets(time, event, design.entry[who], stratum, efron)
    basis = orthonormal_basis(within_strata(design.covariates.X[who], stratum))
    X = np.ascontiguousarray(basis.Q)
    n, C = X.shape
    own_X = np.ascontiguousarray(X[:, 1:])
    offset = np.ascontiguousarray(design.offset[who, at])
    start, L = np.zeros(C - 1), np.zeros((C - 1, C - 1))
    sums = risk_sums(sets, C - 1)
    failure = "too_few_events" if int(event.sum()) < C or n <= C else None
    if failure is None:
        state, _, _ = cox.fit(own_X, offset, sets, FitOptions(False, True, C - 1), start, sums, L)
        failure = None if state == kernel.FINE else "null_not_converged"
    columns = block_columns[who]
    weight = np.zeros(block_width)
    if failure is None:
        share, rest, v = _eigenfunctions(sets, sums, stratum)
        thin, moves, cross = _columns(own_X, event, sets, sums, L, share, v)
        weight[columns] = sums.expected
    else:
        share, rest = np.ones(1), 1.0
        thin, moves, cross = np.zeros((n, C + 1)), np.zeros((n, C)), np.zeros((n, C - 1))
    wide, wide_moves = np.zeros((block_width, thin.shape[1])), np.zeros((block_width, moves.shape[1]))
    wide[columns], wide_moves[columns] = thin, moves
    null = NullCox(
        samples=Samples.of(columns, block_width, offset=offset, is_event=event, failure=failure), n_covariates=C, Q=X, sets=sets, start=start,
        cross=cross, L=L, times=_times(time, design.entry[who], times, by_rank), thin=wide, moves=wide_moves, weight=weight,
        share=share, rest=rest,
    )  # fmt: skip
    return null, basis.kept


def _times(time: Float64Array, entry: Float64Array, event_times: Float64Array, by_rank: bool) -> Times:
    """Times of samples (n,) and of the events (K,), as numbers among the samples' distinct times."""
    distinct = np.unique(time)
    return Times(
        np.searchsorted(distinct, time),
        np.searchsorted(distinct, entry, side="right"),
        np.searchsorted(distinct, event_times),
        distinct.size,
        by_rank,
    )


def _components(sets: RiskSets, stratum: Int64Array) -> Int64Array:
    """Number of each sample's component: strata, cut where nobody is at risk both before and after; -1 at risk of nothing."""
    K = sets.ends.size
    # A sample spans the gap between event times k and k + 1 where first <= k and last >= k + 2.
    change = np.zeros(K + 1, np.int64)
    spanning = sets.last - sets.first >= 2
    np.add.at(change, sets.first[spanning], 1)
    np.add.at(change, sets.last[spanning] - 1, -1)
    cut = (np.cumsum(change)[:K] == 0) | sets.ends
    number = np.concatenate([[0], np.cumsum(cut)])
    return np.where(sets.last > sets.first, number[sets.first], -1)


def _eigenfunctions(sets: RiskSets, sums: RiskSums, stratum: Int64Array) -> tuple[Float64Array, float, Float64Array]:
    """Largest eigenvalues of the means' operator, a bound of the others, and functions v (n, J) orthonormal in the weights.

    Strata (and stretches of time that nobody spans) are eigenfunctions with eigenvalue 1. The others are iterated together,
    a block of them: strata alike have equal eigenvalues, of which Lanczos' method would see one.
    """
    c = sums.expected
    root = np.sqrt(c)
    inverse = np.where(c > 0, 1.0 / np.where(c > 0, root, 1.0), 0.0)
    component = _components(sets, stratum)
    found = np.unique(component[component >= 0])
    if found.size > MOST_STRATA:
        return np.zeros(1), 1.0, np.zeros((c.size, 1))
    plain = [root * (component == number) for number in found]
    known = np.column_stack([u / np.sqrt(u @ u) for u in plain])

    def apply(U: Float64Array) -> Float64Array:
        out = np.empty(U.shape)
        for j in range(U.shape[1]):
            column = np.empty(c.size)
            times_means(np.ascontiguousarray(inverse * U[:, j]), sets, sums, column)
            out[:, j] = inverse * column
        return out - known @ (known.T @ out)

    if c.size <= DENSE_BELOW:
        values, vectors = np.linalg.eigh(apply(np.eye(c.size)))
        values, vectors, wrong = values[::-1], vectors[:, ::-1], 0.0
    else:
        values, vectors, wrong = _largest(apply, c)
    take = min(EIGENFUNCTIONS, values.size - 1)
    rest = min(1.0, max(0.0, float(values[take])) + wrong)
    share = np.concatenate([np.ones(known.shape[1]), np.clip(values[:take], 0.0, 1.0)])
    return share, rest, inverse[:, None] * np.column_stack([known, vectors[:, :take]])


def _largest(
    apply: Callable[[Float64Array], Float64Array], c: Float64Array
) -> tuple[Float64Array, Float64Array, float]:
    """Largest eigenvalues and vectors of a symmetric operator by subspace iteration; how far the first dropped may be off."""
    width = EIGENFUNCTIONS + 6
    # Without censoring, polynomials of the expected events are the eigenfunctions; the rest is noise, always the same.
    scaled = c / max(float(c.max()), 1e-300) * 2.0 - 1.0
    smooth = np.polynomial.chebyshev.chebvander(scaled, width // 2)
    noise = np.random.default_rng(1972).standard_normal((c.size, width - smooth.shape[1]))
    basis = np.sqrt(c)[:, None] * np.column_stack([smooth, noise])
    before = np.zeros(width)
    for _ in range(ROUNDS):
        basis = np.linalg.qr(basis)[0]
        image = apply(basis)
        values, rotation = np.linalg.eigh(basis.T @ image)
        values, rotation = values[::-1], rotation[:, ::-1]
        if np.abs(values - before)[: EIGENFUNCTIONS + 1].max() < EIGEN_TOLERANCE:
            break
        before, basis = values, image
    vectors = basis @ rotation
    residual = image @ rotation[:, EIGENFUNCTIONS] - values[EIGENFUNCTIONS] * vectors[:, EIGENFUNCTIONS]
    return values, vectors, float(np.sqrt(residual @ residual))


def _columns(
    X: Float64Array,
    event: BoolArray,
    sets: RiskSets,
    sums: RiskSums,
    L: Float64Array,
    share: Float64Array,
    v: Float64Array,
) -> tuple[Float64Array, Float64Array, Float64Array]:
    """The product's columns (n, J + C), the moves (n, J + C - 1), and ``cross`` (n, C - 1)."""
    c, residual = sums.expected, event - sums.expected
    n, P = X.shape
    cross, score = np.empty((n, P)), np.empty((n, P))
    for j in range(P):
        means = np.empty(n)
        times_means(np.ascontiguousarray(X[:, j]), sets, sums, means)
        cross[:, j] = c * X[:, j] - means
        # A sample's share of the covariates' score: its x less the risk set's mean, over its martingale.
        score[:, j] = X[:, j] * residual - _mean_at_event(X[:, j], event, sets, sums) + means
    scaled = np.linalg.solve(L, np.column_stack([cross.T, score.T])) if P else np.zeros((0, 2 * n))
    constant = np.where(share == 1.0, 1.0, 0.0)
    thin = np.column_stack([c[:, None] * v, scaled[:, :n].T, residual])
    moves = np.column_stack([constant * v * residual[:, None], scaled[:, n:].T])
    return thin, moves, cross


def _mean_at_event(x: Float64Array, event: BoolArray, sets: RiskSets, sums: RiskSums) -> Float64Array:
    """Mean of x in the risk set of each sample's event, over the terms of its ties; 0 of samples without one."""
    K = sets.ends.size
    s, d = np.zeros((K, 1)), np.zeros(K)
    at_risk = sets.last > sets.first
    np.add.at(s[:, 0], sets.last[at_risk] - 1, (sums.w * x)[at_risk])
    late = at_risk & (sets.first > 0) & ~sets.ends[np.maximum(sets.first - 1, 0)]
    np.subtract.at(s[:, 0], sets.first[late] - 1, (sums.w * x)[late])
    np.add.at(d, sets.last[event] - 1, (sums.w * x)[event])
    suffix_sums(s, sets.ends)
    k = np.repeat(np.arange(K), sums.deaths)
    tie = np.arange(k.size) - np.repeat(np.cumsum(sums.deaths) - sums.deaths, sums.deaths)
    part = tie / sums.deaths[k] if sets.efron else np.zeros(k.size)
    terms = (s[k, 0] - part * d[k]) / (sums.s0[k] - part * sums.d0[k])
    mean = np.bincount(k, terms, minlength=K) / np.maximum(sums.deaths, 1)
    return np.where(event, mean[np.maximum(sets.last - 1, 0)], 0.0)


def _notes(
    design: SurvivalDesign, endpoint: Endpoint, null: NullCox, kept: BoolArray, observed: BoolArray
) -> list[str]:
    name = endpoint.name
    strata = np.unique(design.stratum[observed]).size
    notes = [
        f"{name}: {endpoint.coding}; {null.n_events:,} events among {null.n:,} samples"
        + (f" in {strata:,} strata" if len(design.strata) > 1 else "")
        + (
            f"; {endpoint.n_competing:,} events of other causes are censored at their time"
            if endpoint.n_competing
            else ""
        )
    ]
    notes += [f"{name}: {lacking}" for lacking in endpoint.lacking]
    never = int((null.sets.last <= null.sets.first).sum())
    if never:
        notes.append(
            f"{name}: {never:,} samples are at risk at no event and say nothing (censored early, or entered late)"
        )
    for column in np.flatnonzero(~kept):
        notes.append(
            f"covariate {design.covariates.covariates[column]} dropped for {name}: among its {null.n:,} complete samples "
            "it is constant (in every stratum) or a combination of the covariates before it"
        )
    if null.failure is not None:
        notes.append(f"{name} has no null model ({null.failure}): its rows have no estimate")
    elif null.rest > 0.9:
        notes.append(
            f"{name}: the risk sets are too small for the screen; every row is computed exactly, which takes longer"
        )
    return notes
