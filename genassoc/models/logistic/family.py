"""The null models of logistic regression: one a trait, its weights and residuals laid out for the product."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from genassoc.data.phenotypes.design import Design
from genassoc.kernels.laws import exact_rare, few_events
from genassoc.kernels.laws.exact_rare import MOST_CASES, CaseCountTable
from genassoc.kernels.likelihoods import logistic, logistic_rows, logistic_score
from genassoc.kernels.likelihoods import rows as kernel
from genassoc.kernels.likelihoods.logistic_firth import FirthNull, analyse_complete_rows
from genassoc.kernels.likelihoods.logistic_null_series import NullSeries
from genassoc.kernels.likelihoods.logistic_refit import refit_rows
from genassoc.kernels.likelihoods.logistic_series import series_rows
from genassoc.kernels.likelihoods.logistic_wald import wald_rows
from genassoc.kernels.likelihoods.newton import FitOptions
from genassoc.kernels.likelihoods.rows import Fits, Trait
from genassoc.models.scan.family import (
    ASKED,
    EXACT_BELOW_EXPECTED,
    EXACT_BELOW_MAC,
    FULL_ABOVE_BETA,
    FULL_ABOVE_COPIES,
    Again,
    Asked,
    Family,
    Ladder,
    Law,
    Samples,
    Step,
    Tails,
    Task,
    WeightedNull,
    trigger,
)
from genassoc.models.scan.information import missing_alike
from genassoc.models.scan.product import impute_means, listed_counts, rare_counts
from genassoc.models.scan.screen import ScreenState, null_notes
from genassoc.models.scan.sums import frequency
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array, UInt64Array
from genassoc.stats.exact_rare import case_count_table
from genassoc.stats.information import LEAST_OF_SANDWICH
from genassoc.stats.linalg import orthonormal_basis
from genassoc.stats.logistic_series import null_series
from genassoc.stats.tails import z_from_neg_log_10_p

# Fitted probabilities this near 0 or 1 mean that a covariate separates cases from controls.
CERTAIN = 1e-7
SPARSE_BELOW_MAC = 50  # REGENIE's sparse penalty
# Tests that use the trait's null model; the others fit covariates and genotype together.
_FROM_NULL = ("score", "firth_approx")
# Tests fitted eight samples at a time at first; only rows that fail there need the scalar fit.
_IN_TILES = (kernel.WALD, kernel.WALD_PLINK2, kernel.FIRTH, kernel.FIRTH_PLINK2)
RUNAWAY_BETA, RUNAWAY_Z = 10.0, 0.5  # log odds above, and Wald's z below which, a fit has no maximum


@dataclass(frozen=True, kw_only=True)
class NullLogistic(WeightedNull):
    """One binary trait fitted on the covariates, on its own complete cases.

    Attributes
    ----------
    y : float64 array (n,)
    X : float64 array (n, C)
        Orthonormal covariates, the constant first.
    start, penalised_start : float64 arrays (C,)
        Coefficients of the null without and with Firth's penalty.
    mu, penalised_eta : float64 arrays (n,)
        Fitted probabilities; log odds of the null with Firth's penalty.
    Q, WQ : float64 arrays (N, C)
        Covariates orthonormal in the weights W = mu (1 - mu), and W times them; zero for other samples.
    weight, residual : float64 arrays (N,)
        W and y - mu, zero for other samples.
    series : NullSeries
        Derivatives of the log likelihood at the two nulls, for variants with missing calls.
    rarer : CaseCountTable or None
        The law of the number of samples with the rarer outcome, for exact tests; None where a fitted probability is 0 or 1.
    separated : tuple of str
        Covariates of which a level, or a side of a threshold, holds cases only or controls only.
    """

    counts_events: ClassVar[bool] = True
    codes: ClassVar[dict[int, str]] = Family.codes | {kernel.RUNAWAY: "separation", kernel.TAIL_FAILED: "spa_failed"}

    y: Float64Array
    X: Float64Array
    start: Float64Array
    penalised_start: Float64Array
    mu: Float64Array
    penalised_eta: Float64Array
    series: NullSeries
    rarer: CaseCountTable | None
    separated: tuple[str, ...]

    @property
    def n_cases(self) -> int:
        """Samples that are cases."""
        return self.samples.events.size

    @property
    def case_mask(self) -> UInt64Array:
        """The cases as packed words (W,)."""
        return self.samples.event_mask

    @property
    def controls_are_rarer(self) -> bool:
        """Whether fewer samples are controls than cases: which outcome is called the case is no part of an exact test."""
        return 2 * self.n_cases > self.n

    @property
    def trait(self) -> Trait:
        """The outcome, in the form the kernels take."""
        return Trait(self.y, self.offset, self.samples.weight)

    def linear_predictor(self) -> tuple[Float64Array, Float64Array]:
        """Covariates and coefficients."""
        return self.X, self.start

    def scores_at(self, eta: Float64Array) -> tuple[Float64Array, Float64Array]:
        """y - mu, and mu (1 - mu)."""
        mu = 0.5 * (1.0 + np.tanh(0.5 * eta))
        return self.y - mu, mu * (1.0 - mu)

    def of_firth(self) -> FirthNull:
        """The null model, in the form `genassoc.kernels.likelihoods.logistic_firth` takes."""
        Q, WQ, weight = self.Q[self.columns], self.WQ[self.columns], self.weight[self.columns]
        return FirthNull(Q, WQ, self.y, self.mu, weight, self.penalised_eta)

    def of_rarer(self) -> tuple[Float64Array, Float64Array]:
        """Null probabilities and outcomes (n,), 1 of the rarer one."""
        return (1.0 - self.mu, 1.0 - self.y) if self.controls_are_rarer else (self.mu, self.y)

    def ladder(self, task: Task) -> Ladder:
        """Score, Wald or likelihood ratio tests; Firth's or the saddlepoint below the trigger; rare variants exactly."""
        choices, usable = task.choices, task.usable
        fallback, plink = choices.correction == "firth_fallback", choices.like == "plink2"
        whole = choices.correction in ("firth", "firth_fallback") and choices.correct_below >= 1.0
        firth, wald = ("firth_plink2", "wald_plink2") if plink else ("firth", "wald")
        after = () if choices.correction is None or fallback else self._corrections(task)

        def sent_on() -> tuple[BoolArray, BoolArray]:
            below, rare = task.none, task.none
            if choices.correct_below > 0:
                # A row whose Wald estimate diverged is corrected, too.
                below = (task.estimated & task.p_below(self._trigger(task))) | task.has_code("not_converged")
            if choices.like is None and self.rarer is not None:
                rare = task.estimated & (task.genotypes.rare_mac < EXACT_BELOW_MAC)
                rare |= below & (self._expected(task) < EXACT_BELOW_EXPECTED)
            return below & ~rare, rare

        if choices.test == "score":
            return Ladder((Step("score", lambda: self.unsure(task)),), sent_on, after)
        if whole:
            return Ladder((Step(firth, lambda: usable),), sent_on, ())
        at_once = usable & (self._no_dosage(task) | bool(self.separated)) if fallback else task.none
        again = Again(firth, lambda _, status: np.isin(status, (kernel.NOT_CONVERGED, kernel.RUNAWAY)))
        test = Step(wald if choices.test == "wald" else "lrt", lambda: usable & ~at_once, again if fallback else None)
        return Ladder((Step(firth, lambda: at_once), test), sent_on, after)

    def _corrections(self, task: Task) -> tuple[Step, ...]:
        """The tests of rows to be corrected, and of rare variants, after the first test."""

        def moved(variants: Int64Array, _: Int64Array) -> BoolArray:
            return self._moves_covariates(task, variants)

        def in_vain(variants: Int64Array, status: Int64Array) -> BoolArray:
            # The approximation's likelihood can rise without end where the full model's does not.
            return np.asarray((status == kernel.NOT_CONVERGED) | self._moves_covariates(task, variants))

        def failed(variants: Int64Array, status: Int64Array) -> BoolArray:
            # With few samples the approximation can fail where the full model does not.
            return np.asarray((status != kernel.FINE) | self._moves_covariates(task, variants))

        corrected = {
            "spa": Step("spa", lambda: task.common, Again("spa_firth", moved)),
            "firth": Step("firth", lambda: task.common),
            "firth_approx": Step("firth_approx", lambda: task.common, Again("firth", in_vain)),
        }[task.choices.correction or ""]
        estimate = "firth" if task.choices.correction == "firth" else "firth_approx"
        return (corrected, Step(estimate, lambda: task.rare, Again("firth", failed), law=Law("exact", "spa_failed")))

    def unsure(self, task: Task) -> BoolArray:
        """Rows (V,) whose score the product does not give, or whose null is refitted because they may be corrected."""
        if task.choices.impute or task.scores is None:
            return task.weak if task.scores is not None else task.none
        unsure = ~missing_alike(task.genotypes, self.n, self.n_cases, task.events.n)
        if task.choices.correct_below > 0:
            unsure |= task.p_below(self._trigger(task)) & (task.genotypes.n < self.n)
        return task.weak | (task.usable & unsure)

    def _expected(self, task: Task) -> Float64Array:
        """Minor alleles expected in the smaller group (V,)."""
        return np.asarray(task.genotypes.rare_mac * (min(self.n_cases, self.n - self.n_cases) / max(self.n, 1)))

    def _trigger(self, task: Task) -> Float64Array:
        """p of the first test below which a row is corrected (V,): larger where events or carriers are few; exactly ``correct_below`` under ``like``."""
        if task.choices.like is not None:
            return np.full(task.genotypes.n.size, task.choices.correct_below)
        return trigger(task.choices.correct_below, self._expected(task), task.genotypes.rare_mac)

    def _no_dosage(self, task: Task) -> BoolArray:
        """Rows (V,) that PLINK 2 gives to Firth at once: one of the two tested alleles (or states) is absent in cases, or in controls."""
        genotypes, cases = task.genotypes, task.events
        tested = np.where(task.flipped, 2 * genotypes.n - genotypes.sum_g, genotypes.sum_g)
        absent = np.zeros(genotypes.n.size, np.bool_)
        for n, coded in ((cases.n, cases.coded), (genotypes.n - cases.n, tested - cases.coded)):
            absent |= (coded == 0) | (coded == 2 * n)
        return absent

    def _moves_covariates(self, task: Task, variants: Int64Array) -> BoolArray:
        """Rows (R,) whose covariates' coefficients the full model would move from the null's; under REGENIE's rules none."""
        genotypes, cases = task.genotypes, task.events
        if task.choices.like == "regenie":
            return np.zeros(variants.size, np.bool_)
        among_cases, among_all = task.tested_alleles()
        with np.errstate(invalid="ignore", divide="ignore"):
            most = np.fmax(among_cases / cases.n, (among_all - among_cases) / (genotypes.n - cases.n))
            far = (np.abs(task.rows.beta) > FULL_ABOVE_BETA) & (most > FULL_ABOVE_COPIES)
        return np.asarray(far[variants])

    def fit(self, task: Task, asked: Asked) -> Fits:
        """Fit some rows on their unpacked calls; "spa" is the saddlepoint's p of the estimate of the approximate Firth test."""
        choices, variants = task.choices, asked.variants
        saddlepoint = asked.test in ("spa", "spa_firth")
        estimate = {"spa": "score" if choices.like == "regenie" else "firth_approx", "spa_firth": "firth"}.get(
            asked.test, asked.test
        )
        sparse = (task.genotypes.tested_mac[variants] < SPARSE_BELOW_MAC) & (choices.like == "regenie")
        if estimate in _FROM_NULL and not (saddlepoint or choices.impute or sparse.any()):
            fits = self._refit(task, variants, ASKED[estimate])
        else:
            calls = task.calls(variants, self.columns)
            asked_of = np.full(variants.size, ASKED[estimate])
            fits = analyse_dense(self, calls, asked_of, sparse, saddlepoint, choices.impute)
        numbers, status = fits.numbers, fits.status
        if choices.like is not None:
            numbers[:, kernel.LOWER : kernel.UPPER + 1] = np.nan
        if saddlepoint and choices.like == "regenie":
            z = z_from_neg_log_10_p(numbers[:, kernel.NEG_LOG_P] / np.log(10.0))
            numbers[:, kernel.BETA] = np.copysign(z, numbers[:, kernel.BETA]) * numbers[:, kernel.MODEL_SE]
        if asked.test in ("wald", "lrt", "wald_plink2"):
            gives_up = choices.like == "plink2" and choices.correction is None
            if gives_up or choices.correction == "firth_fallback":
                away = ran_away(numbers[:, kernel.BETA], numbers[:, kernel.STATISTIC])
                status[(status == kernel.FINE) & away] = kernel.RUNAWAY
            if gives_up:
                status[self._no_dosage(task)[variants]] = kernel.RUNAWAY
        return fits

    def _refit(self, task: Task, variants: Int64Array, asked: int) -> Fits:
        """Score tests or approximate Firth (R,): from the null's series, and on unpacked calls where that does not serve."""
        R = variants.size
        fits, done = Fits.empty(R), np.zeros(R, np.bool_)
        calls = listed_counts(task.block, task.flipped, variants, self.columns, self.mask)
        firth = np.full(R, asked == kernel.FIRTH_APPROX)
        series_rows(calls, firth, self.X, self.trait, self.series, fits.numbers, done)
        left = np.flatnonzero(~done)
        if left.size:
            G = task.calls(variants[left], self.columns)
            part = analyse_dense(self, G, np.full(left.size, asked), np.zeros(left.size, np.bool_), False, False)
            for values, fitted in zip(fits, part):
                values[left] = fitted
        return fits

    def law(self, name: str, task: Task, variants: Int64Array) -> Tails:
        """The exact test of the calls observed, given the number of samples with the rarer outcome."""
        assert self.rarer is not None
        mu, y = self.of_rarer()
        found, done = np.empty((variants.size, 4)), np.zeros(variants.size, np.bool_)
        # The allele that is rare in this trait's samples may be the cohort's major one.
        common = np.asarray(task.genotypes.sum_g[variants] > task.genotypes.n[variants])
        G = rare_counts(task.block, task.flipped, variants, self.columns, common)
        logistic_score.exact_rows(G, mu, y, self.rarer, found, done)
        # Count the rarer allele of these samples among those with the rarer outcome.
        sign = np.where(common != self.controls_are_rarer, -1.0, 1.0)
        ends = sign[:, None] * found[:, [exact_rare.EXACT_LOWER, exact_rare.EXACT_UPPER]]
        logp, exact = found[:, exact_rare.EXACT_P], done.copy()
        rest = np.flatnonzero(~done)
        if rest.size:
            logp[rest], exact[rest] = self._unrounded(G[rest], mu / (1.0 - mu), y, task.choices.impute)
        return Tails(logp / np.log(10.0), exact, done, ends.min(axis=1), ends.max(axis=1))

    def _unrounded(
        self, G: Float64Array, odds: Float64Array, y: Float64Array, impute: bool
    ) -> tuple[Float64Array, bool]:
        """-ln p (R,) of rare variants whose dosages G (R, n) are not whole numbers: exact with few events, with more a saddlepoint."""
        R = len(G)
        if y.sum() >= LEAST_OF_SANDWICH:
            asked = np.full(R, kernel.SCORE)
            fits = analyse_dense(self, G, asked, np.zeros(R, np.bool_), True, impute)
            return np.where(fits.status == kernel.FINE, fits.numbers[:, kernel.NEG_LOG_P], np.nan), False
        neg_log_p, there = np.empty(R), np.zeros(R, np.bool_)
        few_events.event_rows(G, odds, y, impute, neg_log_p, there)
        return np.where(there, neg_log_p, np.nan), True

    def finished(self, task: Task) -> dict[str, Array]:
        """With frequencies and counts by case status."""
        genotypes, cases, impute = task.genotypes, task.events, task.choices.impute
        if task.choices.like == "regenie":
            task.rows.error = task.rows.model_error
        columns = super().finished(task)
        iterations = columns.pop("iterations")
        n_cases = np.full(genotypes.n.size, self.n_cases) if impute else cases.n
        return {
            "effect_allele_frequency_cases": frequency(cases.allele_count, cases.n_alleles),
            "effect_allele_frequency_controls": frequency(
                genotypes.allele_count - cases.allele_count, genotypes.n_alleles - cases.n_alleles
            ),
            **columns,
            "n_cases": n_cases,
            "n_controls": columns["n"] - n_cases,
            "iterations": iterations,
        }


def ran_away(beta: Float64Array, z: Float64Array) -> BoolArray:
    """Which fits PLINK 2's rule takes for diverging: the estimate is large and its standard error larger still."""
    with np.errstate(invalid="ignore"):
        return np.asarray((np.abs(beta) > RUNAWAY_BETA) & (np.abs(z) < RUNAWAY_Z))


def prepare(design: Design, block_columns: Int64Array, block_width: int) -> ScreenState[NullLogistic]:
    """Fit the null of every trait of a binary design, each on its own complete cases."""
    nulls: list[NullLogistic] = []
    notes = [f"covariate dropped: {dropped}" for dropped in design.dropped_covariates]
    for trait, name in enumerate(design.traits):
        observed = ~np.isnan(design.y[:, trait]) & design.complete
        null, kept = fit_null(design, trait, observed, block_columns, block_width)
        nulls.append(null)
        notes += _notes(design, name, null, kept, design.coding[trait])
    return ScreenState.of(design.traits, nulls, block_columns, block_width, int((~design.complete).sum()), notes)


def fit_null(
    design: Design, trait: int, observed: BoolArray, block_columns: Int64Array, block_width: int
) -> tuple[NullLogistic, BoolArray]:
    """The null model of one trait, and which covariates are independent among its samples."""
    basis = orthonormal_basis(design.X[observed])
    X, y = np.ascontiguousarray(basis.Q), np.ascontiguousarray(design.y[observed, trait])
    n, C = X.shape
    columns = block_columns[observed]
    n_cases = int(y.sum())
    offset = np.ascontiguousarray(design.offset[observed, trait])
    failure = "n_too_small" if n <= C or n_cases in (0, n) else None
    start, penalised = np.zeros(C), np.zeros(C)
    mu, penalised_eta = np.full(n, n_cases / max(n, 1)), np.zeros(n)
    Q, WQ = np.zeros((block_width, C)), np.zeros((block_width, C))
    weight, residual = np.zeros(block_width), np.zeros(block_width)
    if failure is None:
        share = n_cases / n
        start[0] = np.log(share / (1 - share)) * np.sqrt(n)  # the constant's column is 1 / sqrt(n)
        penalised[0] = start[0]
        outcome, eta, w, L = Trait(y, offset, np.ones(n)), np.empty(n), np.empty(n), np.zeros((C, C))
        fitted = logistic.Fitted(eta, mu, w, np.zeros(n))
        state, _, _ = logistic.fit(X, outcome, FitOptions(True, False, C), penalised, fitted, L)
        if state != kernel.FINE:
            failure = "null_not_converged"
        penalised_eta = eta.copy()
        state, _, _ = logistic.fit(X, outcome, FitOptions(False, True, C), start, fitted, L)
        if state != kernel.FINE:
            failure = "null_not_converged"
        else:
            orthonormal = np.linalg.solve(L, X.T).T
            Q[columns], WQ[columns] = orthonormal, w[:, None] * orthonormal
            weight[columns], residual[columns] = w, y - mu
    certain = failure is not None or mu.min() <= 0.0 or mu.max() >= 1.0
    rarer_mu = 1.0 - mu if 2 * n_cases > n else mu
    rarer = None if certain else case_count_table(rarer_mu, min(n_cases, n - n_cases), MOST_CASES)
    tells = failure is None and n > 0 and (mu.min() < CERTAIN or mu.max() > 1.0 - CERTAIN)
    separated = tuple(separated_covariates(design.X[observed], y, design.covariates)) if tells else ()
    series = null_series(X, y if failure is None else y[:0], offset, (start, penalised))
    null = NullLogistic(
        samples=Samples.of(columns, block_width, offset=offset, is_event=y == 1, failure=failure), n_covariates=C, y=y, X=X,
        start=start, penalised_start=penalised, mu=mu, penalised_eta=penalised_eta, Q=Q, WQ=WQ, weight=weight,
        residual=residual, series=series, rarer=rarer, separated=separated,
    )  # fmt: skip
    return null, basis.kept


def _notes(design: Design, name: str, null: NullLogistic, kept: BoolArray, coding: str) -> list[str]:
    notes = [f"{name}: {coding}; {null.n_cases:,} cases, {null.n - null.n_cases:,} controls"]
    notes += null_notes(design.covariates, name, null.n, kept, null.failure)
    if null.failure is None and null.mu.size and (null.mu.min() < CERTAIN or null.mu.max() > 1.0 - CERTAIN):
        notes.append(
            f"{', '.join(null.separated) or 'a combination of covariates'} tells cases of {name} from controls by itself: its "
            "effect is not finite, and the samples it separates carry no information on the variants"
        )
    return notes


def separated_covariates(X: Float64Array, y: Array, names: tuple[str, ...]) -> list[str]:
    """Covariates of X (n, C) of which a level, or one side of a threshold, holds only cases or only controls."""
    found = []
    for c in range(1, X.shape[1]):
        values = np.unique(X[:, c])
        cases, controls = X[y == 1, c], X[y == 0, c]
        if values.size == 2:
            alone = any(np.unique(y[X[:, c] == value]).size == 1 for value in values)
        else:
            alone = cases.min() >= controls.max() or controls.min() >= cases.max()
        if alone:
            found.append(names[c])
    return found


def analyse_dense(
    null: NullLogistic, G: Float64Array, asked: Int64Array, sparse: BoolArray, saddlepoint: bool, impute: bool
) -> Fits:
    """Make the requested test of each variant.

    Parameters
    ----------
    null : NullLogistic
        Of n samples.
    G : float64 array (R, n)
        Copies of the minor allele, NaN where not observed; overwritten with means where ``impute``.
    asked, sparse : arrays (R,)
        As for `genassoc.kernels.likelihoods.logistic_rows.analyse_rows`.
    saddlepoint, impute : bool
        Whether the score's p by the saddlepoint is wanted besides; whether missing calls take the mean.

    Returns
    -------
    Fits
    """
    R = len(G)
    fits = Fits.empty(R)
    if impute:
        impute_means(G)
    complete = ~np.isnan(G).any(axis=1) & np.isin(asked, [ASKED[test] for test in _FROM_NULL])
    plain = ~sparse & (not saddlepoint)
    left = ~_fit_in_tiles(null, G, np.where(plain & ~complete, asked, -1), fits.numbers)
    for some, refit in ((np.flatnonzero(complete & left), False), (np.flatnonzero(~complete & left), True)):
        if not some.size:
            continue
        calls = G if some.size == R else G[some]
        part, spa = Fits.empty(some.size), np.full(some.size, saddlepoint)
        if refit:
            wanted = logistic_rows.Asked(asked[some], sparse[some], spa)
            logistic_rows.analyse_rows(calls, wanted, null.X, null.trait, null.series.start, impute, part)
        else:
            analyse_complete_rows(
                calls, asked[some] == kernel.FIRTH_APPROX, sparse[some], spa if saddlepoint else None, null.of_firth(),
                part.numbers, part.status,
            )  # fmt: skip
        for values, genotypes in zip(fits, part):
            values[some] = genotypes
    return fits


def _fit_in_tiles(null: NullLogistic, G: Float64Array, asked: Int64Array, numbers: Float64Array) -> BoolArray:
    """Fit rows without surprises into ``numbers``, -1 asking nothing; which rows are done, (R,)."""
    done = np.zeros(asked.size, np.bool_)
    for some, wald in (
        (np.flatnonzero(np.isin(asked, _IN_TILES)), True),
        (np.flatnonzero(np.isin(asked, [ASKED[test] for test in _FROM_NULL])), False),
    ):
        if not some.size:
            continue
        out, fitted = np.full((some.size, kernel.N_NUMBERS), np.nan), np.zeros(some.size, np.bool_)
        calls = G if some.size == asked.size else G[some]
        if wald:
            wald_rows(calls, asked[some], null.X, null.trait, null.series.start, out, fitted)
        else:
            firth = asked[some] == kernel.FIRTH_APPROX
            refit_rows(calls, firth, null.X, null.trait, null.series.start, out, fitted)
        numbers[some], done[some] = out, fitted
    return done
