"""The relationship matrix of few samples, whole: then all its eigenvalues are found, by one decomposition."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from genassoc.analyses.components.standardisation import Standardisation, tiles
from genassoc.data.block import Block
from genassoc.data.cohort.cohort import Cohort
from genassoc.shapes import Float64Array, Int64Array


@dataclass(frozen=True)
class CrossProducts:
    """``X'X`` of standardised genotypes X, summed over variants.

    Attributes
    ----------
    matrix : float64 array (n, n)
    """

    matrix: Float64Array


@dataclass(frozen=True)
class _State:
    columns: Int64Array
    standardisation: Standardisation


@dataclass(frozen=True)
class Relationship:
    """One pass that sums ``X'X`` of the samples of the fit."""

    passes: ClassVar[tuple[str, ...]] = ("relationship",)

    standardisation: Standardisation

    @property
    def sums(self) -> type[CrossProducts]:
        """`CrossProducts`."""
        return CrossProducts

    def prepare(self, cohort: Cohort, before: CrossProducts | None = None) -> _State:
        """Where the samples of the fit are."""
        return _State(cohort.block_columns, self.standardisation)

    def block(self, state: _State, block: Block) -> CrossProducts:
        """Of a block: products of a tile in float32, their sums in float64."""
        matrix = np.zeros((state.columns.size, state.columns.size))
        for tile in tiles(state.standardisation, block):
            dense = tile.dense[:, state.columns]
            matrix += dense.T @ dense
        return CrossProducts(matrix)

    def combine(self, one: CrossProducts, other: CrossProducts) -> CrossProducts:
        """Sums over the variants of both."""
        return CrossProducts(one.matrix + other.matrix)

    def eigen(self, sums: CrossProducts) -> tuple[Float64Array, Float64Array]:
        """Eigenvalues of ``K = X'X / M``, descending (n,), and their vectors (n, n)."""
        values, vectors = np.linalg.eigh(sums.matrix / self.standardisation.n_variants)
        return values[::-1], vectors[:, ::-1]
