"""Products of the relationship matrix with thin matrices, a pass each, until the leading eigenvectors are found."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from genassoc.analyses.components.standardisation import Standardisation, tiles
from genassoc.analyses.components.subspace import Ritz, first_block, next_block, ritz
from genassoc.data.block import Block
from genassoc.data.cohort.cohort import Cohort
from genassoc.shapes import Float32Array, Float64Array, Int64Array
from genassoc.stats.components import Spectrum

_EXTRA = 6  # columns beyond the components: the gap behind the last one counts, and widths are whole registers of BLAS
_WIDTH = 16
_SETTLED = 1e-4  # sine of the angle to the eigenvectors' space, of the components above noise
_NOISE = 0.03  # residual over eigenvalue of the others, which no gap holds apart


@dataclass(frozen=True)
class Products:
    """Sums of a pass, and what is kept of those before.

    Attributes
    ----------
    latest : float64 array (L, n)
        M times K times the pass's block, turned; none once they are joined.
    basis : float32 array (n, J)
        Blocks of all passes; none until they are joined.
    products : float64 array (n, J)
        K times the basis.
    """

    latest: Float64Array
    basis: Float32Array
    products: Float64Array


@dataclass(frozen=True)
class _State:
    """Of a pass: its block of columns (N, L), zero for samples that are not of the fit, and where these are (n,)."""

    thin: Float32Array
    columns: Int64Array
    standardisation: Standardisation


@dataclass(frozen=True)
class LeadingComponents:
    """Passes that multiply the relationship matrix ``K = X'X / M`` of standardised genotypes X (M, n) with blocks of columns.

    Attributes
    ----------
    standardisation : Standardisation
        Of the M variants of the cohort that is worked on.
    n : int
        Samples of the fit.
    k : int
        Components wanted.
    total : float
        Trace of K.
    seed : int
    most_passes : int
    """

    standardisation: Standardisation
    n: int
    k: int
    total: float
    seed: int = 1
    most_passes: int = 20
    _last: "list[tuple[Products, Ritz, Float32Array]]" = field(default_factory=list, compare=False, repr=False)

    @cached_property
    def passes(self) -> tuple[str, ...]:
        """As many as there may be."""
        return tuple(f"products {number + 1}" for number in range(self.most_passes))

    @property
    def columns(self) -> int:
        """L: columns of a block."""
        return min(self.n, _WIDTH * -(-(self.k + _EXTRA) // _WIDTH))

    @property
    def sums(self) -> type[Products]:
        """`Products`."""
        return Products

    def _next(self, before: Products | None) -> Float32Array:
        if before is None:
            return first_block(self.n, self.columns, self.seed)
        return self._known(before)[1]

    def _known(self, sums: Products) -> tuple[Ritz, Float32Array]:
        """Approximations and next block of joined sums: asked for several times between two passes, made once."""
        if not self._last or self._last[0][0] is not sums:
            found = ritz(sums.basis, sums.products, self.columns, self.columns)
            self._last[:] = [(sums, found, next_block(sums.basis, found, self.columns))]
        return self._last[0][1:]

    def ritz(self, sums: Products) -> Ritz:
        """The approximations in the space of joined sums: of the components and of those beyond, as many as a block has columns."""
        return self._known(sums)[0]

    def __getstate__(self) -> dict[str, object]:
        """What a worker needs: no approximations."""
        return {**self.__dict__, "_last": []}

    def spectrum(self, found: Ritz) -> Spectrum:
        """What is known of all eigenvalues."""
        return Spectrum.of_quadrature(found.values, found.weights, min(self.k, found.values.size), self.n, self.total)

    def prepare(self, cohort: Cohort, before: Products | None = None) -> _State:
        """The pass's block of columns, at the samples' places in the blocks of genotypes."""
        block = self._next(before)
        thin = np.zeros((cohort.block_width, block.shape[1]), dtype=np.float32)
        thin[cohort.block_columns] = block
        return _State(thin, cohort.block_columns, self.standardisation)

    def block(self, state: _State, block: Block) -> Products:
        """``X'X`` of a block of genotypes times the columns: products of a tile in float32, their sums in float64."""
        latest = np.zeros((state.thin.shape[1], state.thin.shape[0]))
        for tile in tiles(state.standardisation, block):
            scores = tile.dense @ state.thin
            latest += scores.T @ tile.dense
        return Products(latest[:, state.columns], np.empty((0, 0), dtype=np.float32), np.empty((0, 0)))

    def combine(self, one: Products, other: Products) -> Products:
        """Sums over the variants of both."""
        return Products(one.latest + other.latest, one.basis, one.products)

    def joined(self, before: Products | None, sums: Products) -> Products:
        """The space with the pass's block in it."""
        block = self._next(before)
        latest = sums.latest.T / self.standardisation.n_variants
        if before is None:
            return Products(np.empty((0, 0)), block, latest)
        return Products(np.empty((0, 0)), np.hstack([before.basis, block]), np.hstack([before.products, latest]))

    def settled(self, sums: Products) -> bool:
        """Whether the components above noise are found to a small angle, and the others to a small residual; or no pass adds to the space."""
        found = self.ritz(sums)
        if self._next(sums).shape[1] == 0:
            return True
        k = min(self.k, found.values.size)
        above = self.spectrum(found).above_noise()
        if above and found.angles()[above - 1] > _SETTLED:
            return False
        return bool((found.norms[:k] <= _NOISE * np.abs(found.values[:k])).all())
