"""The null models of proportional odds: one a trait, thresholds and covariates laid out for the product."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from genassoc.data.phenotypes.design import Design
from genassoc.kernels.laws import level_law
from genassoc.kernels.likelihoods import logistic_score, ordinal, ordinal_score, ordinal_terms, ordinal_tiles
from genassoc.kernels.likelihoods import rows as kernel
from genassoc.kernels.likelihoods.newton import climb_of
from genassoc.kernels.likelihoods.ordinal_terms import Levels
from genassoc.kernels.likelihoods.rows import Fits, Product, Scores
from genassoc.models.scan.family import Asked, Family, Samples, Tails, Task, bounded_ratios
from genassoc.models.scan.information import EventSizes, missing_at_random, sum_missing
from genassoc.models.scan.screen import ScreenState, null_notes
from genassoc.models.scan.set_null import SetNull, polished
from genassoc.models.scan.sums import GenotypeSums
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array
from genassoc.stats.information import (
    LEAST_CARRIERS_OF_LEVELS,
    LEAST_OF_LEVELS,
    effective_size,
    few_note,
    squared_scores,
)
from genassoc.stats.linalg import orthonormal_basis

LEVEL_LOST = 0.1  # share of a level's samples beyond which one Newton step is not enough


@dataclass(frozen=True, kw_only=True)
class NullOrdinal(Family):
    """One trait of ordered levels fitted on the covariates, on its own complete cases.

    Attributes
    ----------
    weight, residual : float64 arrays (N,)
        What a sample weighs in its linear predictor, and its score there; zero for other samples.
    level : int64 array (n,)
        0 to K - 1, each with a sample.
    counts : int64 array (K,)
        Samples a level.
    X : float64 array (n, C)
        Orthonormal covariates, the constant first.
    parameters : float64 array (P,)
        K - 1 thresholds, then the coefficients of the covariates beside the constant.
    factor : float64 array (P, P)
        Lower factor L of their expected information.
    block_D : float64 array (N, C - 1)
        Covariates beside the constant; zero for other samples.
    block_level : int64 array (N,)
    AQ : float64 array (N, P)
        Information of a sample's linear predictor with the parameters, times L^-T.
    """

    weight: Float64Array
    residual: Float64Array
    level: Int64Array
    counts: Int64Array
    X: Float64Array
    parameters: Float64Array
    factor: Float64Array
    block_D: Float64Array
    block_level: Int64Array
    AQ: Float64Array

    @property
    def levels(self) -> Levels:
        """The levels, in the form the kernels take."""
        return Levels(self.level, self.counts.size - 1, self.offset)

    def product_columns(self) -> Float64Array:
        """AQ, then the residual: (N, P + 1)."""
        return np.column_stack([self.AQ, self.residual])

    def product_weight(self) -> Float64Array:
        """The weights."""
        return self.weight

    def score(self, genotypes: GenotypeSums, product: Float64Array, squares: Float64Array, impute: bool) -> Scores:
        """U, its information and the weakest direction (V,) of every variant."""
        V, P = genotypes.n.size, self.AQ.shape[1]
        scores = Scores.empty(V)
        sums = Product(np.ascontiguousarray(product[:, :P]), np.ascontiguousarray(product[:, P]), squares)
        if impute:
            mean = genotypes.sum_g / np.maximum(genotypes.n, 1)
            null = logistic_score.NullScores(self.AQ, self.AQ, self.weight, self.residual)
            logistic_score.score_with_missing(sums, genotypes.missing, null, mean, True, scores)
        else:
            offset = np.zeros(self.block_level.size)
            offset[self.columns] = self.offset
            levels = Levels(self.block_level, self.counts.size - 1, offset)
            ordinal_score.score_with_missing(
                sums, genotypes.missing, self.block_D, levels, self.parameters, self.factor, scores
            )
        return scores

    def set_null(self, trait: int) -> SetNull:
        """Scores and weights, thresholds and covariates taken away by their expected information."""
        residual, weight, AQ, strata = self.residual, self.weight, self.AQ, None
        if self.failure is None:

            def derivatives(parameters: Float64Array) -> tuple[Float64Array, Float64Array]:
                at = _Information.of(self.X, self.levels, parameters)
                return at.gradient, at.J

            best = polished(self.parameters, derivatives)
            at = _Information.of(self.X, self.levels, best)
            residual, weight, AQ = (np.zeros_like(wide) for wide in (residual, weight, AQ))
            residual[self.columns], weight[self.columns] = at.residual, at.weight
            AQ[self.columns] = np.linalg.solve(np.linalg.cholesky(at.J), at.cross.T).T
            strata = np.zeros((1, weight.size))
            strata[0, self.columns] = self.X[:, 1:] @ best[self.levels.M :] + self.offset
        below = np.cumsum(self.counts)
        most = int(np.minimum(below, below[-1] - below).max(initial=0))
        return SetNull.of(
            (trait,),
            self.columns,
            AQ,
            residual[:, None],
            weight,
            n_informative=most,
            failure=self.failure,
            strata=strata,
        )

    def fit(self, task: Task, asked: Asked) -> Fits:
        """Fit some rows on their unpacked calls."""
        G = task.calls(asked.variants, self.columns)
        fits = Fits.empty(asked.variants.size)
        ordinal.analyse_rows(G, asked.numbers, self.X, self.levels, self.parameters, task.choices.impute, fits)
        return bounded_ratios(fits, asked, False)

    def little_information(self, genotypes: GenotypeSums, impute: bool) -> BoolArray:
        """Rows (V,) with few samples outside the commonest level, or few carriers, who may all have the same level."""
        events = EventSizes(squared_scores(self.residual))
        return events.few(genotypes, impute, LEAST_OF_LEVELS) | (genotypes.rare_mac < LEAST_CARRIERS_OF_LEVELS)

    def law(self, name: str, task: Task, variants: Int64Array) -> Tails:
        """The exact distribution of the carriers' levels where carriers are few; else a saddlepoint of all samples."""
        D, found, whole = (
            np.ascontiguousarray(self.X[:, 1:]),
            np.empty(variants.size),
            np.zeros(variants.size, np.bool_),
        )
        few = task.genotypes.rare_mac[variants] < LEAST_CARRIERS_OF_LEVELS
        G = task.calls(variants, self.columns)
        level_law.level_rows(G, D, self.levels, self.parameters, task.choices.impute, few, found, whole)
        return Tails.of(found / np.log(10.0), whole)

    def one_step_is_enough(self, task: Task) -> BoolArray:
        """Also not where a level loses a tenth of its samples: thresholds are logarithms of the counts of levels."""
        enough = missing_at_random(task.genotypes, self.n, self.residual, self.weight)
        for k, count in enumerate(self.counts):
            of_level = np.zeros(self.weight.size)
            of_level[self.columns[self.level == k]] = 1.0
            enough &= sum_missing(task.genotypes, of_level) <= LEVEL_LOST * count
        return enough

    def finished(self, task: Task) -> dict[str, Array]:
        """The columns of all families, and the test of proportional odds of fitted rows where there are two thresholds or more."""
        return super().finished(task) | {"po_neg_log_10_p_value": task.rows.trend}


class _Information(NamedTuple):
    """Of P parameters: the samples' scores and weights in their linear predictors (n,), the gradient (P,), its expected
    information J (P, P), and that of a linear predictor with the parameters (n, P).
    """

    residual: Float64Array
    weight: Float64Array
    gradient: Float64Array
    J: Float64Array
    cross: Float64Array

    @classmethod
    def of(cls, X: Float64Array, levels: Levels, parameters: Float64Array) -> "_Information":
        n, P, D = len(X), parameters.size, np.ascontiguousarray(X[:, 1:])
        r, w, J, gradient = np.empty(n), np.empty(n), np.empty((P, P)), np.empty(P)
        cross = np.empty((n, levels.M))
        ordinal_terms.accumulate(D, levels, parameters, True, J, gradient, r, w)
        ordinal_terms.threshold_weights(D, levels, parameters, cross)
        return cls(r, w, gradient, J, np.column_stack([-cross, w[:, None] * D]))


def prepare(design: Design, block_columns: Int64Array, block_width: int) -> ScreenState[NullOrdinal]:
    """Fit the null of every trait of an ordinal design, each on its own complete cases."""
    notes = [f"covariate dropped: {dropped}" for dropped in design.dropped_covariates]
    nulls = []
    for trait, name in enumerate(design.traits):
        observed = ~np.isnan(design.y[:, trait]) & design.complete
        null, kept = fit_null(design, trait, observed, block_columns, block_width)
        nulls.append(null)
        notes += level_notes(design, trait, design.y[observed, trait])
        if null.failure is None:
            effective = effective_size(squared_scores(null.residual)[0])
            notes += few_note(
                name,
                effective,
                LEAST_OF_LEVELS,
                "p below 0.05 come from the saddlepoint of the distribution of its levels, method 'spa'",
            )
        notes += null_notes(design.covariates, name, null.n, kept, null.failure)
    return ScreenState.of(design.traits, nulls, block_columns, block_width, int((~design.complete).sum()), notes)


def level_notes(design: Design, trait: int, levels: Float64Array) -> list[str]:
    """Samples of each level of a trait, and the levels without any; ``levels`` (n,) are numbers from 0."""
    name, names = design.traits[trait], design.coding[trait].split(" < ")
    present, counts = np.unique(levels.astype(np.int64), return_counts=True)
    found = ", ".join(f"{names[k]} {n:,}" for k, n in zip(present, counts))
    notes = [f"{name}: {design.coding[trait]}; samples a level: {found}"]
    empty = [level for k, level in enumerate(names) if k not in present]
    if empty:
        notes.append(f"{name}: no sample is {' or '.join(empty)}; its other levels are compared")
    return notes


def fit_null(
    design: Design, trait: int, observed: BoolArray, block_columns: Int64Array, block_width: int
) -> tuple[NullOrdinal, BoolArray]:
    """The null model of one trait, and which covariates are independent among its samples."""
    basis = orthonormal_basis(design.X[observed])
    X = np.ascontiguousarray(basis.Q)
    n, C = X.shape
    columns = block_columns[observed]
    present, level, counts = np.unique(design.y[observed, trait], return_inverse=True, return_counts=True)
    level = level.astype(np.int64)
    M = max(present.size - 1, 0)
    P = M + C - 1
    failure = "one_outcome" if M < 1 else ("n_too_small" if n <= P else None)
    parameters, L = np.zeros(P), np.eye(P)
    weight, residual, AQ = np.zeros(block_width), np.zeros(block_width), np.zeros((block_width, P))
    D, offset = np.ascontiguousarray(X[:, 1:]), np.ascontiguousarray(design.offset[observed, trait])
    if failure is None:
        levels = Levels(level, M, offset)
        ordinal.start_thresholds(level, M, parameters[:M])
        samples = ordinal_tiles.laid_out(D, level, offset, np.ones(n), M)
        state, _, _ = ordinal_tiles.fit(samples, P, 0, parameters, climb_of(np.zeros((P, P))))
        if state != kernel.FINE:
            failure = "null_not_converged"
        else:
            found = _Information.of(X, levels, parameters)
            L[:] = np.linalg.cholesky(found.J)
            AQ[columns] = np.linalg.solve(L, found.cross.T).T
            weight[columns], residual[columns] = found.weight, found.residual
    block_D, block_level = np.zeros((block_width, C - 1)), np.zeros(block_width, np.int64)
    block_D[columns], block_level[columns] = D, level
    null = NullOrdinal(
        samples=Samples.of(columns, block_width, offset=offset, failure=failure), n_covariates=C, weight=weight, residual=residual, level=level,
        counts=counts.astype(np.int64), X=X, parameters=parameters, factor=L, block_D=block_D, block_level=block_level, AQ=AQ,
    )  # fmt: skip
    return null, basis.kept
