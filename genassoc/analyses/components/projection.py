"""Loadings of the variants, and scores of samples that took no part in the fit.

A sample whose calls are all observed has the score ``x'W``, of its standardised genotypes x and the loadings W (M, k). One that lacks
calls, or variants, has that of the least squares fit of its observed calls to the loadings (EIGENSOFT's ``lsqproject``): its calls are not
taken for the mean, which would draw it to the origin. It is drawn there only as far as the samples of the fit are, on average, by their own
missing calls.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from genassoc.analyses.components.standardisation import Standardisation, Tile, tiles
from genassoc.data.block import Block
from genassoc.data.cohort.cohort import Cohort
from genassoc.shapes import Float32Array, Float64Array, Int64Array

_AT_ONCE = 4096  # samples whose k x k systems are solved together
_LEAST_INFORMATION = 0.01  # of observed calls, as a share of the fit's: with less, scores are noise


@dataclass(frozen=True)
class Projected:
    """Sums over variants.

    Attributes
    ----------
    rows : int64 array (V,)
        Which of the M variants were read, ascending.
    loadings : float64 array (V, k)
        Of these.
    scores : float64 array (k, n)
        Sums of standardised genotypes times loadings, of the samples projected.
    lacking : float64 array (k * k, n)
        Sums of products of loadings over the variants that each sample lacks.
    observed : int64 array (n,)
        Variants observed in each.
    """

    rows: Int64Array
    loadings: Float64Array
    scores: Float64Array
    lacking: Float64Array
    observed: Int64Array

    @classmethod
    def empty(cls, k: int, n: int) -> "Projected":
        """No variant read yet."""
        return cls(
            np.empty(0, dtype=np.int64), np.empty((0, k)), np.zeros((k, n)), np.zeros((k * k, n)), np.zeros(n, dtype=np.int64)
        )  # fmt: skip

    def plus(self, other: "Projected") -> "Projected":
        """With the variants that follow."""
        return Projected(
            np.concatenate([self.rows, other.rows]),
            np.concatenate([self.loadings, other.loadings]),
            self.scores + other.scores,
            self.lacking + other.lacking,
            self.observed + other.observed,
        )

    def solved(self, fitted: Float64Array) -> Float64Array:
        """Scores (n, k) by least squares, before shrinkage is made good.

        ``fitted`` (k, k) is `information` of all variants of the fit. NaN where a sample has too few calls for its scores to be told apart.
        """
        k, n = self.scores.shape
        read = self.loadings.T @ self.loadings
        scale = np.sqrt(np.diag(fitted))
        scores = np.full((n, k), np.nan)
        for first in range(0, n, _AT_ONCE):
            some = slice(first, first + _AT_ONCE)
            gram = (read - self.lacking[:, some].T.reshape(-1, k, k)) / scale / scale[:, None]
            known = (self.observed[some] >= k) & (np.linalg.eigvalsh(gram)[:, 0] > _LEAST_INFORMATION)
            right = (self.scores[:, some].T / scale)[known]
            solved = np.linalg.solve(gram[known], right[:, :, None])[:, :, 0] / scale
            scores[first + np.flatnonzero(known)] = solved @ fitted
        return scores


def information(loadings: Float64Array, call_rate: Float64Array) -> Float64Array:
    """``W' diag(call rate) W`` (k, k): what the calls of an average sample of the fit tell of its scores."""
    return np.asarray((loadings * call_rate[:, None]).T @ loadings)


@dataclass(frozen=True)
class _State:
    columns: Int64Array
    standardisation: Standardisation
    thin: Float32Array


@dataclass(frozen=True)
class Loadings:
    """One pass that gives the loadings of all variants and projects the samples that took no part in the fit.

    Attributes
    ----------
    standardisation : Standardisation
    vectors : float64 array (n, k)
        Scores of the samples of the fit.
    eigenvalues : float64 array (k,)
    fitted : int64 array (n,)
        Places of the samples of the fit among the cohort's.
    projected : int64 array
        Places of the others.
    """

    passes: ClassVar[tuple[str, ...]] = ("loadings",)

    standardisation: Standardisation
    vectors: Float64Array
    eigenvalues: Float64Array
    fitted: Int64Array
    projected: Int64Array

    @property
    def sums(self) -> type[Projected]:
        """`Projected`."""
        return Projected

    def prepare(self, cohort: Cohort, before: Projected | None = None) -> _State:
        """Scores over eigenvalues at the samples' places in the blocks, zero for those that are not of the fit."""
        columns = cohort.block_columns
        thin = np.zeros((cohort.block_width, self.vectors.shape[1]), dtype=np.float32)
        thin[columns[self.fitted]] = self.vectors / (self.eigenvalues * self.standardisation.n_variants)
        return _State(columns[self.projected], self.standardisation, thin)

    def block(self, state: _State, block: Block) -> Projected:
        """Loadings of a block's variants, ``X v / (M lambda)``, and what the samples that are projected have of them."""
        total = Projected.empty(state.thin.shape[1], state.columns.size)
        for tile in tiles(state.standardisation, block):
            total = total.plus(_projected(tile, tile.dense @ state.thin, state.columns))
        return total

    def combine(self, one: Projected, other: Projected) -> Projected:
        """The variants of both."""
        return one.plus(other)


@dataclass(frozen=True)
class Projection:
    """One pass that projects samples with loadings that are known.

    Attributes
    ----------
    standardisation : Standardisation
        Of variants that the cohort shares with the fit, by their numbers in the cohort's store.
    loadings : float64 array (V, k)
        Of these.
    """

    passes: ClassVar[tuple[str, ...]] = ("projection",)

    standardisation: Standardisation
    loadings: Float64Array

    @property
    def sums(self) -> type[Projected]:
        """`Projected`."""
        return Projected

    def prepare(self, cohort: Cohort, before: Projected | None = None) -> _State:
        """The loadings, as BLAS takes them."""
        return _State(cohort.block_columns, self.standardisation, self.loadings.astype(np.float32))

    def block(self, state: _State, block: Block) -> Projected:
        """What the samples have of a block's variants."""
        total = Projected.empty(state.thin.shape[1], state.columns.size)
        for tile in tiles(state.standardisation, block):
            total = total.plus(_projected(tile, state.thin[tile.rows], state.columns))
        return total

    def combine(self, one: Projected, other: Projected) -> Projected:
        """The variants of both."""
        return one.plus(other)


def _projected(tile: Tile, loadings: Float32Array, columns: Int64Array) -> Projected:
    """What samples ``columns`` have of a tile, whose loadings are (V, k)."""
    k = loadings.shape[1]
    wide = loadings.astype(np.float64)
    total = Projected.empty(k, columns.size)
    if not columns.size:
        return Projected(tile.rows, wide, total.scores, total.lacking, total.observed)
    scores = (loadings.T @ tile.dense[:, columns]).astype(np.float64)
    missing = tile.missing(columns)
    observed = np.full(columns.size, tile.rows.size, dtype=np.int64)
    if missing is None:
        return Projected(tile.rows, wide, scores, total.lacking, observed)
    outer = (loadings[:, :, None] * loadings[:, None, :]).reshape(-1, k * k)
    lacking = (outer.T @ missing).astype(np.float64)
    return Projected(tile.rows, wide, scores, lacking, observed - missing.sum(axis=0).astype(np.int64))
