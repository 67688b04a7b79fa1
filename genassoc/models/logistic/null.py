"""The null models of logistic regression: one a trait, its weights and residuals laid out for the product."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from genassoc.kernels.genotypes.counts import mask_words
from genassoc.kernels.laws.exact_rare import MOST_CASES, CaseCountTable
from genassoc.kernels.likelihoods import logistic as kernel
from genassoc.models.scan.product import SQUARE, ThinMatrix
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array, UInt64Array, packed_bytes
from genassoc.stats.exact_rare import case_count_table
from genassoc.stats.linalg import orthonormal_basis
from genassoc.stats.logistic_series import NullSeries, null_series

# Fitted probabilities this near 0 or 1 come of a covariate that tells cases from controls by itself.
CERTAIN = 1e-7


@dataclass(frozen=True)
class NullLogistic:
    """One binary trait fitted on the covariates, on its own complete cases.

    Attributes
    ----------
    n, n_cases : int
    columns : int64 array (n,)
        Columns of its samples in a block.
    mask, case_mask : uint64 arrays (W,)
        Its samples, and the cases among them, as packed words.
    y, offset : float64 arrays (n,)
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
    at : int
        First of its columns (WQ, then the residual) in the thin matrix.
    series : NullSeries
        Derivatives of the log likelihood at the two nulls, for variants with missing calls.
    rarer : CaseCountTable or None
        The law of the number of samples with the rarer outcome, for exact tests; None where a fitted probability is 0 or 1.
    separated : tuple of str
        Covariates of which a level, or a side of a threshold, holds cases only or controls only.
    failure : str or None
        Why there is no null model; its rows carry it as their code.
    """

    n: int
    n_cases: int
    columns: Int64Array
    mask: UInt64Array
    case_mask: UInt64Array
    y: Float64Array
    offset: Float64Array
    X: Float64Array
    start: Float64Array
    penalised_start: Float64Array
    mu: Float64Array
    penalised_eta: Float64Array
    Q: Float64Array
    WQ: Float64Array
    weight: Float64Array
    residual: Float64Array
    at: int
    series: NullSeries
    rarer: CaseCountTable | None
    separated: tuple[str, ...]
    failure: str | None

    @property
    def controls_are_rarer(self) -> bool:
        """Whether fewer samples are controls than cases: which outcome is called the case is no part of an exact test."""
        return 2 * self.n_cases > self.n

    def of_rarer(self) -> tuple[Float64Array, Float64Array]:
        """Null probabilities and outcomes (n,), 1 of the rarer one."""
        return (1.0 - self.mu, 1.0 - self.y) if self.controls_are_rarer else (self.mu, self.y)


@dataclass(frozen=True)
class LogisticState:
    """What all blocks share; ``notes`` says, for people, codings, dropped and separated covariates."""

    traits: tuple[str, ...]
    cohort_columns: Int64Array
    cohort_mask: UInt64Array
    nulls: tuple[NullLogistic, ...]
    matrix: ThinMatrix
    squares: ThinMatrix
    n_incomplete: int
    notes: tuple[str, ...]

    @property
    def n_by_trait(self) -> list[int]:
        """Complete samples of each trait."""
        return [null.n for null in self.nulls]


def prepare(design: Any, block_columns: Int64Array, block_width: int) -> LogisticState:
    """Fit the null of every trait of a binary design, each on its own complete cases."""
    nulls: list[NullLogistic] = []
    notes = [f"covariate dropped: {dropped}" for dropped in design.dropped_covariates]
    at = 0
    for trait, name in enumerate(design.traits):
        observed = ~np.isnan(design.y[:, trait]) & design.complete
        null, kept = fit_null(design, trait, observed, block_columns, block_width, at)
        nulls.append(null)
        at += null.WQ.shape[1] + 1
        notes += _notes(design, name, null, kept, design.coding[trait])
    matrix = ThinMatrix.of(
        np.hstack([part for null in nulls for part in (null.WQ, null.residual[:, None])]), packed_bytes(block_width)
    )
    squares = ThinMatrix.of(np.column_stack([null.weight for null in nulls]), packed_bytes(block_width), SQUARE)
    return LogisticState(
        design.traits,
        block_columns,
        mask_words(block_columns, block_width),
        tuple(nulls),
        matrix,
        squares,
        int((~design.complete).sum()),
        tuple(notes),
    )


def fit_null(
    design: Any, trait: int, observed: BoolArray, block_columns: Int64Array, block_width: int, at: int
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
        eta, w, leverage, L = np.empty(n), np.empty(n), np.zeros(n), np.zeros((C, C))
        state, _, _ = kernel.fit(X, y, offset, True, False, C, penalised, eta, mu, w, leverage, L)
        if state != kernel.CONVERGED:
            failure = "null_not_converged"
        penalised_eta = eta.copy()
        state, _, _ = kernel.fit(X, y, offset, False, True, C, start, eta, mu, w, leverage, L)
        if state != kernel.CONVERGED:
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
    masks = mask_words(columns, block_width), mask_words(columns[y == 1], block_width)
    series = null_series(X, y if failure is None else y[:0], offset, (start, penalised))
    null = NullLogistic(
        n, n_cases, columns, *masks, y, offset, X, start, penalised, mu, penalised_eta, Q, WQ, weight, residual, at, series,
        rarer, separated, failure,
    )  # fmt: skip
    return null, basis.kept


def _notes(design: Any, name: str, null: NullLogistic, kept: BoolArray, coding: str) -> list[str]:
    notes = [f"{name}: {coding}; {null.n_cases:,} cases, {null.n - null.n_cases:,} controls"]
    for column in np.flatnonzero(~kept):
        notes.append(
            f"covariate {design.covariates[column]} dropped for {name}: among its {null.n:,} complete samples it is "
            "constant or a combination of the covariates before it"
        )
    if null.failure is not None:
        notes.append(f"{name} has no null model ({null.failure}): its rows have no estimate")
    elif null.mu.size and (null.mu.min() < CERTAIN or null.mu.max() > 1.0 - CERTAIN):
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
