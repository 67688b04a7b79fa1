"""The null models of Poisson regression: one a trait, its weights and residuals laid out for the product."""

from dataclasses import dataclass, replace

import numpy as np

from genassoc.data.phenotypes.design import Design
from genassoc.kernels.laws import empirical_cgf, few_events
from genassoc.kernels.likelihoods import glm
from genassoc.kernels.likelihoods import rows as kernel
from genassoc.kernels.likelihoods.rows import Fits, Trait
from genassoc.models.scan.family import (
    Asked,
    Samples,
    Tails,
    Task,
    WeightedNull,
    bounded_ratios,
)
from genassoc.models.scan.information import EventSizes, missing_at_random, sum_missing
from genassoc.models.scan.residual_table import tabulated
from genassoc.models.scan.screen import ScreenState, null_notes
from genassoc.models.scan.set_null import SetNull
from genassoc.models.scan.sums import GenotypeSums
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array
from genassoc.stats.information import EXACT_LAW, LEAST_OF_COUNTS, LEAST_OF_WALD, effective_size, few_note, whole_sizes
from genassoc.stats.linalg import orthonormal_basis
from genassoc.stats.tails import neg_log_10_p_chi2

# Skewness of the score of overdispersed counts beyond which its tests find too much (docs/models/poisson.md).
SKEWED = 0.4
OVERDISPERSED = 1.1
OTHER_DISPERSION = (
    1.25  # a row's dispersion over its trait's beyond which the trait's residuals do not have the row's tails
)
# Covariates tell the variance of residuals where a test says so, of so many samples a covariate, by factors of at most so much.
SPREAD_P, SPREAD_SAMPLES, SPREAD_MOST, SPREAD_STEPS = 0.01, 20, 20.0, 50


@dataclass(frozen=True, kw_only=True)
class NullPoisson(WeightedNull):
    """One count fitted on the covariates, on its own complete cases.

    Attributes
    ----------
    weight, residual : float64 arrays (N,)
        What a sample weighs in its linear predictor, and its score there; zero for other samples.
    phi : float
        Variance in units of the model's.
    y : float64 array (n,)
        Counts; the samples' offset has the logarithm of the exposure.
    X : float64 array (n, C)
        Orthonormal covariates, the constant first.
    start : float64 array (C,)
        Coefficients.
    Q, WQ : float64 arrays (N, C)
        Covariates orthonormal in the weights W = mu, and W times them; zero for other samples.
    events : float64 array (N,)
        y, zero for other samples.
    quasi : bool
        Whether the dispersion is Pearson's; else 1.
    skewness : float
        Of Pearson's residuals.
    bins : int64 array (n,)
        Samples of like means.
    table, cumulants : float64 arrays
        Of the residuals in each bin, divided by ``scale``; see `genassoc.kernels.laws.empirical_cgf.tabulate`.
    scale : float
        Root of the residuals' mean square: the table's points are for residuals of about 1.
    spread : float64 array (n,)
        Variance of Pearson's residuals as the covariates tell it, in units of the dispersion; ones where they do not.
    """

    phi: float
    y: Float64Array
    X: Float64Array
    start: Float64Array
    events: Float64Array
    quasi: bool
    skewness: float
    bins: Int64Array
    table: Float64Array
    cumulants: Float64Array
    scale: float
    spread: Float64Array

    @property
    def dispersion(self) -> float:
        """The variance over that of the model."""
        return self.phi

    @property
    def student(self) -> bool:
        """Whether the model has a dispersion: statistics are then Student's t."""
        return self.quasi

    @property
    def overdispersed(self) -> bool:
        """Whether the counts vary more than Poisson counts, in all samples or depending on a covariate, and the model has a dispersion."""
        return self.quasi and (self.dispersion > OVERDISPERSED or bool(self.spread.min() < self.spread.max()))

    def linear_predictor(self) -> tuple[Float64Array, Float64Array]:
        """Covariates and coefficients."""
        return self.X, self.start

    def scores_at(self, eta: Float64Array) -> tuple[Float64Array, Float64Array]:
        """y - mu, and mu."""
        mu = np.exp(eta)
        return self.y - mu, mu

    def dispersion_at(self, residual: Float64Array, weight: Float64Array) -> float:
        """Pearson's, where the variance has one."""
        if not self.quasi:
            return 1.0
        return float((residual**2 / np.maximum(weight, np.finfo(float).tiny)).sum()) / (self.n - self.n_covariates)

    def fit(self, task: Task, asked: Asked) -> Fits:
        """Fit some rows on their unpacked calls; t statistics with a dispersion."""
        G = task.calls(asked.variants, self.columns)
        fits = Fits.empty(asked.variants.size)
        family, trait = (
            glm.Family(glm.POISSON, 0.0, self.quasi),
            Trait(self.y, self.samples.offset, self.samples.weight),
        )
        glm.analyse_rows(family, G, asked.numbers, self.X, trait, self.start, task.choices.impute, fits)
        return bounded_ratios(fits, asked, self.quasi)

    def one_step_is_enough(self, task: Task) -> BoolArray:
        """Rows (V,) with few missing calls, unrelated to the outcome."""
        return missing_at_random(task.genotypes, self.n, self.residual, self.phi * self.weight)

    def skewed(self, genotypes: GenotypeSums) -> BoolArray:
        """Rows (V,) of overdispersed counts with few carriers; of dosages of any counts.

        The ratio of few whole copies has few values, and so finds too little; that of dosages has all values, and finds too much.
        """
        soft = np.isfinite(genotypes.carriers)
        if not self.overdispersed and not soft.any():
            return np.zeros(genotypes.n.size, dtype=bool)
        p = genotypes.rare_mac / np.maximum(2 * genotypes.n, 1)
        with np.errstate(invalid="ignore", divide="ignore"):
            # The skewness of a sum of n terms, each a residual times a centred binomial(2, p), is that of a term over the root of n.
            skewness = self.skewness * (1 - 2 * p) / np.sqrt(2 * genotypes.n * p * (1 - p))
            return np.asarray((skewness > SKEWED) & (soft | self.overdispersed))

    def little_information(self, genotypes: GenotypeSums, impute: bool) -> BoolArray:
        """Events are counted by their clumps: a sample with many of them is one."""
        return EventSizes(self.events[None]).few(genotypes, impute, LEAST_OF_COUNTS)

    def little_expected(self, genotypes: GenotypeSums) -> BoolArray:
        """Judged by the trait's mean: with few events expected a Wald statistic is not normal, while a likelihood ratio nearly is chi-squared."""
        return np.asarray(genotypes.rare_mac * self.y.mean() < LEAST_OF_WALD)

    def set_null(self, trait: int) -> SetNull:
        """Told how many samples have an event: one with many of them is one."""
        return replace(super().set_null(trait), n_informative=int(np.count_nonzero(self.y)))

    def law(self, name: str, task: Task, variants: Int64Array) -> Tails:
        """Few events: their exact distribution, given their number in each sample; else a saddlepoint of the residuals."""
        G, impute = task.calls(variants, self.columns), task.choices.impute
        found = np.empty(variants.size)
        if name == "few":
            there = np.zeros(variants.size, np.bool_)
            few_events.event_rows(G, self.weight[self.columns], whole_sizes(self.y), impute, found, there)
            return Tails.of(np.where(there, found / np.log(10.0), np.nan), True)
        residuals = empirical_cgf.Residuals(self.spread, self.bins, self.table, self.cumulants)
        Q, weight = self.Q[self.columns], self.weight[self.columns]
        empirical_cgf.empirical_rows(G, task.U[variants] / self.scale, Q, weight, residuals, impute, found)
        if name == "spa":
            # Without a few samples of large residuals the row's null is another, and the trait's residuals are not its own.
            other = ~(np.abs(np.log(task.dispersion[variants] / self.phi)) < np.log(OTHER_DISPERSION))
            found[other] = np.nan
        return Tails.of(found / np.log(10.0), False)

    def finished(self, task: Task) -> dict[str, Array]:
        """The columns of all families, the events of the row's samples, and the dispersion of its test."""
        n_events = self.events.sum() - sum_missing(task.genotypes, self.events)
        return super().finished(task) | {"n_events": n_events.astype(np.int64), "dispersion": task.rows.dispersion}


def prepare(
    design: Design, exposure: Float64Array | None, block_columns: Int64Array, block_width: int, quasi: bool
) -> ScreenState[NullPoisson]:
    """Fit the null of every trait of a design of counts, each on its own complete cases.

    Parameters
    ----------
    design : Design
    exposure : float64 array (N,), optional
        Above 0, NaN where missing.
    """
    notes = [f"covariate dropped: {dropped}" for dropped in design.dropped_covariates]
    complete = design.complete
    if exposure is not None:
        complete = complete & ~np.isnan(exposure)
        lacking = int((design.complete & ~complete).sum())
        notes += [f"{lacking:,} samples lack the exposure and are left out"] if lacking else []
    nulls = []
    for trait, name in enumerate(design.traits):
        observed = ~np.isnan(design.y[:, trait]) & complete
        offset = np.ascontiguousarray(design.offset[observed, trait])
        if exposure is not None:
            offset = offset + np.log(exposure[observed])
        null, kept = fit_null(design, trait, observed, offset, block_columns, block_width, quasi)
        nulls.append(null)
        notes += _notes(design, name, null, kept)
    return ScreenState.of(design.traits, nulls, block_columns, block_width, int((~complete).sum()), notes)


def fit_null(
    design: Design,
    trait: int,
    observed: BoolArray,
    offset: Float64Array,
    block_columns: Int64Array,
    block_width: int,
    quasi: bool,
) -> tuple[NullPoisson, BoolArray]:
    """The null model of one trait, and which covariates are independent among its samples."""
    basis = orthonormal_basis(design.X[observed])
    X, y = np.ascontiguousarray(basis.Q), np.ascontiguousarray(design.y[observed, trait])
    n, C = X.shape
    columns = block_columns[observed]
    failure = "n_too_small" if n <= C else ("one_outcome" if y.sum() == 0 else None)
    start, dispersion, skewness = np.zeros(C), 1.0, 0.0
    bins, table, cumulants = np.zeros(n, np.int64), np.zeros((0, 0, 0)), np.zeros((0, 0))
    scale, spread = 1.0, np.ones(n)
    Q, WQ = np.zeros((block_width, C)), np.zeros((block_width, C))
    weight, residual, events = np.zeros(block_width), np.zeros(block_width), np.zeros(block_width)
    events[columns] = y
    if failure is None:
        start[0] = np.log(y.sum() / np.exp(offset).sum()) * np.sqrt(n)  # the constant's column is 1 / sqrt(n)
        outcome, fitted, L = Trait(y, offset, np.ones(n)), glm.fitted_of(n), np.zeros((C, C))
        state, _, _ = glm.maximise(glm.Family(glm.POISSON, 0.0, quasi), X, outcome, 0, start, fitted, L)
        mu, w = fitted.mu, fitted.w
        if state != kernel.FINE:
            failure = "null_not_converged"
        else:
            orthonormal = np.linalg.solve(L, X.T).T
            Q[columns], WQ[columns] = orthonormal, w[:, None] * orthonormal
            weight[columns], residual[columns] = w, y - mu
            if quasi:
                dispersion = float(glm.pearson_dispersion(fitted, C))
                failure = None if dispersion > 0.0 else "no_variance"
            pearson = (y - mu) / np.sqrt(np.maximum(mu, np.finfo(float).tiny))
            unit = pearson / max(np.abs(pearson).max(), np.finfo(float).tiny)  # cubes of it do not overflow
            skewness = float((unit**3).mean() / max((unit**2).mean() ** 1.5, np.finfo(float).tiny))
            spread = spread_of(pearson, X)
            bins, table, cumulants, scale = tabulated(pearson / np.sqrt(spread), mu, C)
    null = NullPoisson(
        samples=Samples.of(columns, block_width, offset=offset, failure=failure), n_covariates=C, weight=weight, residual=residual,
        phi=dispersion, y=y, X=X, start=start, Q=Q, WQ=WQ, events=events, quasi=quasi, skewness=skewness, bins=bins, table=table,
        cumulants=cumulants, scale=scale, spread=spread,
    )  # fmt: skip
    return null, basis.kept


def spread_of(pearson: Float64Array, X: Float64Array) -> Float64Array:
    """Variance (n,) of Pearson's residuals in units of their mean square, where covariates X (n, C) tell it; else ones.

    Koenker's test (1981, doi:10.1016/0304-4076(81)90062-2) says whether they do; how is a regression of the squares with a log link, as of
    gamma variables (Smyth 1989): of a covariate with levels the mean square in each of them.
    """
    n, C = X.shape
    flat = np.ones(n)
    if C < 2 or n < SPREAD_SAMPLES * C:
        return flat
    squares = pearson * pearson
    squares = squares / squares.mean()
    about = squares - 1.0
    fitted = X @ (X.T @ about)
    total = float(about @ about)
    if not total > 0.0 or float(neg_log_10_p_chi2(n * float(fitted @ fitted) / total, C - 1.0)) < -np.log10(SPREAD_P):
        return flat
    eta = np.zeros(n)
    for _ in range(SPREAD_STEPS):
        step = X @ (X.T @ (squares / np.exp(eta) - 1.0))
        eta = eta + np.clip(step, -1.0, 1.0)
        if float(np.abs(step).max()) < 1e-8:
            break
    eta = np.clip(eta, -np.log(SPREAD_MOST), np.log(SPREAD_MOST))
    return np.asarray(np.exp(eta))


def _notes(design: Design, name: str, null: NullPoisson, kept: BoolArray) -> list[str]:
    total = int(null.y.sum())
    note = f"{name}: {total:,} events in {null.n:,} samples ({null.y.max(initial=0):g} at most in one)"
    if null.quasi and null.failure is None:
        note += f"; dispersion {null.phi:.3g}"
    few = [] if null.failure is not None else few_note(name, effective_size(null.y), LEAST_OF_COUNTS, EXACT_LAW)
    return [note, *few, *null_notes(design.covariates, name, null.n, kept, null.failure)]
