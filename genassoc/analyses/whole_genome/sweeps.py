"""Effects of all variants on a trait under a mixture of two normals, by sweeps over chunks of variants.

One sweep reads the genotypes once. In a chunk the score of its variants is made of the residuals, one product for all columns of a trait; the
effects are updated in turn on the chunk's Gram matrix (`genassoc.kernels.structure.mixture`); one more product carries what they moved to the
predictions of the samples. So does variational Bayes in BOLT-LMM (Loh et al. 2015, doi:10.1038/ng.3190), variant by variant, and in LDAK-KVIK
(Hof & Speed 2025), chunk by chunk.

A column is the trait under one choice of the prior, in one set of training samples. Products are made trait by trait, so that a trait's effects
have the same bits in any company.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from genassoc.analyses.whole_genome.responses import Response
from genassoc.kernels.structure.mixture import MixturePriors, sweep
from genassoc.shapes import BoolArray, Float32Array, Float64Array, Int64Array


@dataclass(frozen=True)
class Chunk:
    """Neighbouring variants of one chromosome: ``start <= i < stop`` of those that are fitted."""

    number: int
    start: int
    stop: int
    chromosome: int


class Genotypes(Protocol):
    """The variants of a whole-genome regression as standardised numbers; each iteration goes through all chunks, in order.

    Attributes
    ----------
    n_variants, n_samples : int
    """

    @property
    def n_variants(self) -> int:
        """Of all chunks."""

    @property
    def n_samples(self) -> int:
        """N."""

    def __iter__(self) -> Iterator[tuple[Chunk, Float32Array]]:
        """Chunks, and their variants (V, N): each of mean 0 and variance 1 over the samples, 0 where it takes no part."""


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
        return cls(Q, has.astype(np.float64), np.asarray(np.linalg.pinv(own.T @ own, hermitian=True), np.float64))

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
    tolerance : float
        A column is at rest when a sweep moves its predictions by less: the root mean square, in standard deviations of the residual.
    """

    response: Response
    basis: Basis
    train: BoolArray
    priors: MixturePriors
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

    def start_from(self, effects: Float32Array, predictions: Float64Array) -> None:
        """Begin the first columns at effects (C or fewer, V of all) and what they predict (C or fewer, N)."""
        self.effects[: len(effects)] = effects
        self.predictions[: len(effects)] = predictions
        self._begin()

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
        a = self._active
        product = (self._residuals @ X.T).astype(np.float64)
        effects = np.ascontiguousarray(self.effects[a, chunk.start : chunk.stop])
        change = np.empty_like(effects)
        sweep(gram, product, MixturePriors(*(field[a] for field in self.priors)), effects, change)
        self.effects[a, chunk.start : chunk.stop] = effects
        self.predictions[a] += self.basis.rest((change @ X).astype(np.float64))
        self._score()

    def end(self) -> None:
        """Close a sweep: what moved less than the tolerance is at rest."""
        a = self._active
        moved = np.sqrt(((self.predictions[a] - self._before) ** 2).sum(axis=1) / self.basis.mask.sum())
        self.moved[a] = moved * np.sqrt(self.response.curvature / self.priors.noise[a])
        self.sweeps[a] += 1
        self.converged[a] = self.moved[a] < self.tolerance
        self._begin()


def gram_of(X: Float32Array, Q: Float64Array) -> Float32Array:
    """``X (1 - Q Q') X'`` of X (V, N)."""
    along = X @ Q.astype(np.float32)
    return np.ascontiguousarray(X @ X.T - along @ along.T)


def run_sweeps(genotypes: Genotypes, matrices: Sequence[Float32Array], fits: Sequence[Fit], most: int) -> None:
    """Sweep until all columns of all traits are at rest, or ``most`` times; genotypes are decoded once for all traits."""
    for _ in range(most):
        moving = [fit for fit in fits if not fit.at_rest]
        if not moving:
            return
        for chunk, X in genotypes:
            for fit in moving:
                fit.chunk(chunk, X, matrices[chunk.number])
        for fit in moving:
            fit.end()


def out_of_fold(genotypes: Genotypes, fits: Sequence[Fit], fold: Int64Array, n_chromosomes: int) -> Float64Array:
    """What each of H chromosomes adds to the prediction of each sample by the column of its fold (N,): (T, H, N)."""
    found = np.zeros((len(fits), n_chromosomes, genotypes.n_samples))
    samples = np.arange(genotypes.n_samples)
    for chunk, X in genotypes:
        for t, fit in enumerate(fits):
            predicted = fit.basis.rest((fit.effects[:, chunk.start : chunk.stop] @ X).astype(np.float64))
            found[t, chunk.chromosome] += predicted[fold, samples]
    return found


def spread(
    shares: Float64Array, small: Float64Array, h2: float, per_variant: float
) -> tuple[Float64Array, Float64Array]:
    """Variances of both normals: the effects' variances sum to h2 over variants, and the second normal has ``small`` of it."""
    larger = (1.0 - small) * h2 / (shares * per_variant)
    rest = (1.0 - shares) * per_variant
    smaller = np.divide(small * h2, rest, out=np.zeros_like(rest), where=rest > 0)
    return larger, smaller
