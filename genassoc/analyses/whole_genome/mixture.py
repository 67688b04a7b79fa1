"""The mixture prior of a whole-genome regression: heritability, choice of the prior on held-out samples, predictions by chromosome.

Heritability comes first, by Haseman and Elston's regression with random probes (Wu & Sankararaman 2018, doi:10.1093/bioinformatics/bty253):
one pass, in which the Gram matrices are made too. The share of variants with the larger normal and the part of the heritability that
the smaller one has are then chosen on a grid, as in BOLT-LMM, by what effects learned without some samples predict of these; the infinitesimal prior is
one point of the grid. The chosen prior is fitted in all samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genassoc.analyses.whole_genome.responses import Normal, Response
from genassoc.analyses.whole_genome.sweeps import (
    Basis,
    Fit,
    Genotypes,
    gram_of,
    predictions_by_chromosome,
    run_sweeps,
    spread,
)
from genassoc.kernels.structure.mixture import MixturePriors
from genassoc.shapes import BoolArray, Float32Array, Float64Array, Int64Array

SHARES = (0.5, 0.2, 0.05, 0.02, 0.005, 0.001)
SMALL = (0.5, 0.3, 0.1)  # of the heritability, in the smaller normal
PROBES = 50
LEAST_H2, MOST_H2 = 0.01, 0.95


@dataclass(frozen=True)
class Moments:
    """What one pass gives: Gram matrices and the heritabilities.

    Attributes
    ----------
    grams : list of float32 arrays (V, V)
    per_variant : float
        Sum over variants of their variance once covariates are out: M of the relationship matrix ``X'X / M``.
    h2, standard_error : float64 arrays (T,)
    """

    grams: list[Float32Array]
    per_variant: float
    h2: Float64Array
    standard_error: Float64Array


@dataclass(frozen=True)
class Trait:
    """A trait as it is fitted: response, the samples that have it, bool (N,), and their folds, int (N,)."""

    response: Response
    has: BoolArray
    folds: Int64Array


@dataclass(frozen=True)
class MixtureFit:
    """What was fitted of a trait.

    Attributes
    ----------
    h2, h2_standard_error : float
    share, small : float
    gain : float64 array (grid,)
        Log likelihood that each prior of the grid gained in held-out samples, to second order.
    sweeps : int
    converged : bool
    by_chromosome : dict of float64 arrays (N,)
    """

    h2: float
    h2_standard_error: float
    share: float
    small: float
    gain: Float64Array
    sweeps: int
    converged: bool
    by_chromosome: dict[str, Float64Array]

    def leaving_out(self, chromosome: str | None) -> Float64Array:
        """Predictions (N,) by all chromosomes but one."""
        return np.sum([part for name, part in self.by_chromosome.items() if name != chromosome], axis=0)


def grid() -> tuple[Float64Array, Float64Array]:
    """Shares and parts of all priors that are tried; the last is the infinitesimal one."""
    pairs = [(share, small) for share in SHARES for small in SMALL] + [(1.0, 0.0)]
    return np.array([p for p, _ in pairs]), np.array([s for _, s in pairs])


def moments(genotypes: Genotypes, Q: Float64Array, traits: Sequence[Trait], seed: int, probes: int = PROBES) -> Moments:
    """Gram matrices and heritabilities, in one pass."""
    N = genotypes.n_samples
    Z = np.random.default_rng([seed, 1]).integers(0, 2, (probes, N)) * 2.0 - 1.0
    Z -= (Z @ Q) @ Q.T
    bases = [Basis.of(Q, trait.has) for trait in traits]
    Y = np.array([basis.rest(trait.response.null[None])[0] for basis, trait in zip(bases, traits)])
    n = np.array([trait.has.sum() for trait in traits], np.float64)
    Y *= np.sqrt(n / (Y * Y).sum(axis=1))[:, None]
    KZ, quadratic, found, total = np.zeros((probes, N)), np.zeros(len(traits)), [], 0.0
    of_Z, of_Y = Z.astype(np.float32), Y.astype(np.float32)
    for number in range(len(genotypes.chunks)):
        X = genotypes.read(number)
        KZ += (of_Z @ X.T) @ X
        for t in range(len(traits)):
            quadratic[t] += float(((X @ of_Y[t]) ** 2).sum(dtype=np.float64))
        found.append(gram_of(X, Q))
        total += float(np.trace(found[-1], dtype=np.float64))
    rank = N - Q.shape[1]
    M = total / rank
    KZ = KZ / M
    KZ -= (KZ @ Q) @ Q.T
    D = float(((KZ - Z) ** 2).sum() / (Z * Z).sum() * rank)
    within = D * (n / N) ** 2
    raw = (quadratic / M - n) / within
    return Moments(found, M, np.clip(raw, LEAST_H2, MOST_H2), np.sqrt(2.0 / within))


def _priors(
    response: Response, h2: float, per_variant: float, shares: Float64Array, small: Float64Array, part: Float64Array
) -> MixturePriors:
    """Priors of columns, on the scale of the response: a heritability of its score, over its curvature."""
    w = response.curvature
    larger, smaller = spread(shares, small, h2 / w, per_variant)
    noise = np.full(shares.size, 1.0 - h2 if isinstance(response, Normal) else 1.0)
    return MixturePriors(shares, larger, smaller, noise, part * w)


def gain(trait: Trait, predictions: Float64Array, held: BoolArray) -> Float64Array:
    """Log likelihood that predictions (C, N) gain in held-out samples, to second order at the null."""
    null, w = trait.response.null, trait.response.curvature
    return np.where(held, null * predictions - 0.5 * w * predictions**2, 0.0).sum(axis=1)


def choose(
    genotypes: Genotypes,
    found: Moments,
    Q: Float64Array,
    traits: Sequence[Trait],
    n_folds: int,
    tolerance: float = 2e-3,
) -> list[Float64Array]:
    """The gain of each prior of the grid, for each trait, over ``n_folds`` folds held out."""
    shares, small = grid()
    G = shares.size
    fits, held = [], []
    for t, trait in enumerate(traits):
        out = np.repeat(np.array([trait.folds == f for f in range(n_folds)]), G, axis=0) & trait.has
        train = trait.has & ~out
        part = train.sum(axis=1) / genotypes.n_samples
        priors = _priors(
            trait.response, found.h2[t], found.per_variant, np.tile(shares, n_folds), np.tile(small, n_folds), part
        )
        basis = Basis.of(Q, trait.has)
        fits.append(
            Fit(trait.response, basis, train, priors, (None,) * len(train), tolerance, genotypes.chunks[-1].stop)
        )
        held.append(out)
    run_sweeps(genotypes, found.grams, fits)
    return [
        gain(trait, fit.predictions, out).reshape(n_folds, G).sum(axis=0)
        for trait, fit, out in zip(traits, fits, held)
    ]


def fit_all(
    genotypes: Genotypes,
    found: Moments,
    Q: Float64Array,
    trait: Trait,
    h2: float,
    shares: Float64Array,
    small: Float64Array,
    left_out: tuple[str | None, ...],
    tolerance: float = 3e-4,
) -> Fit:
    """A trait in all its samples under some priors."""
    train = np.repeat(trait.has[None], shares.size, axis=0)
    part = np.full(shares.size, trait.has.sum() / genotypes.n_samples)
    priors = _priors(trait.response, h2, found.per_variant, shares, small, part)
    fit = Fit(trait.response, Basis.of(Q, trait.has), train, priors, left_out, tolerance, genotypes.chunks[-1].stop)
    run_sweeps(genotypes, found.grams, [fit])
    return fit
