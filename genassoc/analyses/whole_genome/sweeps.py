"""Effects of all variants on a trait under a mixture of two normals, by sweeps over chunks of variants.

One sweep reads the genotypes once. In a chunk the score of its variants is made of the residuals, one product for all columns of a trait; the
effects are updated in turn on the chunk's Gram matrix (`genassoc.kernels.structure.mixture`); one more product carries what they moved to the
predictions of the samples. So does variational Bayes in BOLT-LMM (Loh et al. 2015, doi:10.1038/ng.3190), variant by variant, and in LDAK-KVIK
(Hof & Speed 2025), chunk by chunk.

A column is the trait under one choice of the prior, in one set of training samples. Products are made trait by trait, so that a trait's effects
have the same bits in any company.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from genassoc.analyses.whole_genome.responses import Response
from genassoc.kernels.structure.mixture import MixturePriors, sweep
from genassoc.shapes import BoolArray, Float32Array, Float64Array, Int64Array

MAX_SWEEPS = 300


@dataclass(frozen=True)
class Chunk:
    """Neighbouring variants of one chromosome: ``start <= i < stop`` of those that are fitted."""

    start: int
    stop: int
    chromosome: str


class Genotypes(Protocol):
    """The variants of a whole-genome regression as standardised numbers, chunk by chunk.

    Attributes
    ----------
    chunks : sequence of Chunk
    n_samples : int
        N.
    """

    @property
    def chunks(self) -> Sequence[Chunk]: ...

    @property
    def n_samples(self) -> int: ...

    def read(self, number: int) -> Float32Array:
        """Variants of a chunk (V, N), each of mean 0 and variance 1 over the samples."""


@dataclass(frozen=True)
class Basis:
    """An orthonormal basis of the covariates in all samples, and what takes them out of a trait in its own samples.

    Attributes
    ----------
    Q : float64 array (N, C)
    mask : float64 array (N,)
        1 where the sample has the trait.
    inverse : float64 array (C, C)
        ``(Q' M Q)^-1``, M the trait's samples.
    """

    Q: Float64Array
    mask: Float64Array
    inverse: Float64Array

    @classmethod
    def of(cls, Q: Float64Array, has: BoolArray) -> "Basis":
        """The basis in the samples that have the trait, bool (N,)."""
        own = Q[has]
        return cls(Q, has.astype(np.float64), np.linalg.pinv(own.T @ own, hermitian=True))

    def rest(self, values: Float64Array) -> Float64Array:
        """What covariates leave of rows (C, N) in the trait's samples, 0 elsewhere."""
        own = values * self.mask
        return own - ((own @ self.Q) @ self.inverse @ self.Q.T) * self.mask


@dataclass
class Fit:
    """A trait in C columns on its way to rest.

    Attributes
    ----------
    response : Response
        Score and curvature of the trait at predictions.
    basis : Basis
    train : bool array (C, N)
        The samples that each column learns from.
    priors : MixturePriors
    left_out : tuple of str or None
        Chromosome without effects, of each column.
    tolerance : float
        A column is at rest when a sweep moves its predictions by less: the root mean square, in standard deviations of the residual.
    """

    response: Response
    basis: Basis
    train: BoolArray
    priors: MixturePriors
    left_out: tuple[str | None, ...]
    tolerance: float
    n_variants: int

    def __post_init__(self) -> None:
        C, N = self.train.shape
        self.effects = np.zeros((C, self.n_variants), np.float32)
        self.predictions = np.zeros((C, N))
        self.sweeps = np.zeros(C, np.int64)
        self.moved = np.full(C, np.inf)
        self.converged = np.zeros(C, bool)
        self._begin()

    @property
    def at_rest(self) -> bool:
        """Whether nothing is left to do."""
        return bool(self.converged.all())

    def _begin(self) -> None:
        """The columns still under way, and where they start the sweep."""
        self._active = np.flatnonzero(~self.converged)
        self._before = self.predictions[self._active]
        self._score()

    def _score(self) -> None:
        a = self._active
        score = self.response.score(self.predictions[a], self.train[a])
        self._residuals = self.basis.rest(score).astype(np.float32)

    def chunk(self, chunk: Chunk, X: Float32Array, gram: Float32Array) -> None:
        """Update the effects of a chunk, X (V, N), in all columns under way."""
        some = np.array([self.left_out[c] != chunk.chromosome for c in self._active], bool)
        if not some.any():
            return
        a = self._active[some]
        product = (self._residuals[some] @ X.T).astype(np.float64)
        effects = np.ascontiguousarray(self.effects[a, chunk.start : chunk.stop])
        change = np.empty_like(effects)
        sweep(gram, product, MixturePriors(*(field[a] for field in self._priors())), effects, change)
        self.effects[a, chunk.start : chunk.stop] = effects
        self.predictions[a] += self.basis.rest((change @ X).astype(np.float64))
        self._score()

    def _priors(self) -> MixturePriors:
        return self.priors

    def end(self) -> None:
        """Close a sweep: what moved less than the tolerance is at rest."""
        a = self._active
        moved = np.sqrt(((self.predictions[a] - self._before) ** 2).sum(axis=1) / self.basis.mask.sum())
        self.moved[a] = moved * np.sqrt(self.response.curvature / self.priors.noise[a])
        self.sweeps[a] += 1
        self.converged[a] = self.moved[a] < self.tolerance
        self._begin()


def grams(genotypes: Genotypes, Q: Float64Array) -> list[Float32Array]:
    """``X X'`` of each chunk (V, V), covariates taken out, in all samples; float32."""
    found = []
    for number in range(len(genotypes.chunks)):
        X = genotypes.read(number)
        found.append(gram_of(X, Q))
    return found


def gram_of(X: Float32Array, Q: Float64Array) -> Float32Array:
    """``X (1 - Q Q') X'`` of X (V, N)."""
    along = X @ Q.astype(np.float32)
    return np.ascontiguousarray(X @ X.T - along @ along.T)


def run_sweeps(
    genotypes: Genotypes, matrices: Sequence[Float32Array], fits: Sequence[Fit], most: int = MAX_SWEEPS
) -> None:
    """Sweep until all columns of all traits are at rest, or ``most`` times; genotypes are decoded once for all traits."""
    for _ in range(most):
        moving = [fit for fit in fits if not fit.at_rest]
        if not moving:
            return
        for number, chunk in enumerate(genotypes.chunks):
            X = genotypes.read(number)
            for fit in moving:
                fit.chunk(chunk, X, matrices[number])
        for fit in moving:
            fit.end()


def predictions_by_chromosome(genotypes: Genotypes, effects: Float32Array) -> dict[str, Float64Array]:
    """What the effects (C, V of all) of each chromosome predict, (C, N)."""
    found: dict[str, Float64Array] = {}
    for number, chunk in enumerate(genotypes.chunks):
        part = effects[:, chunk.start : chunk.stop] @ genotypes.read(number)
        if chunk.chromosome in found:
            found[chunk.chromosome] += part
        else:
            found[chunk.chromosome] = part.astype(np.float64)
    return found


def spread(shares: Float64Array, small: Float64Array, h2: float, per_variant: float) -> tuple[Float64Array, Float64Array]:
    """Variances of both normals: the effects' variances sum to h2 over variants, and the second normal has ``small`` of it."""
    larger = (1.0 - small) * h2 / (shares * per_variant)
    rest = (1.0 - shares) * per_variant
    smaller = np.divide(small * h2, rest, out=np.zeros_like(rest), where=rest > 0)
    return larger, smaller
