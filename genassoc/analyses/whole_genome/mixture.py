"""The mixture prior of a whole-genome regression: few variants have large effects, all others small ones.

Of each trait heritability comes first, by Haseman and Elston's regression with random probes (Wu & Sankararaman 2018,
doi:10.1093/bioinformatics/bty253). The share of variants with the larger of two normals, and the part of the heritability that the smaller one has,
are chosen on a grid by what effects learned without some samples predict of these (as in BOLT-LMM, Loh et al. 2015, doi:10.1038/ng.3190); one
normal for all variants is a point of the grid. With these the trait is fitted on the samples outside each fold, all chromosomes at once, and the
fold's samples are predicted by chromosome: no prediction has seen the outcome of its own sample.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from genassoc.analyses.whole_genome.folds import Folds
from genassoc.analyses.whole_genome.frame import Fitted, Frame, Runner, SampleGroup, TraitFailure, TraitFit, TraitNull
from genassoc.analyses.whole_genome.genotypes import code_counts, standardised, varies
from genassoc.analyses.whole_genome.responses import Normal, Response, response_of
from genassoc.analyses.whole_genome.sweeps import (
    Basis,
    Chunk,
    Fit,
    Genotypes,
    gram_of,
    out_of_fold,
    run_sweeps,
    spread,
)
from genassoc.data.block import Block, GenotypeBlock, places_of
from genassoc.kernels.structure.mixture import MixturePriors
from genassoc.shapes import BoolArray, Float32Array, Float64Array, Int64Array

if TYPE_CHECKING:
    from genassoc.data.cohort.cohort import Cohort

SHARES = (0.5, 0.2, 0.05, 0.02, 0.005, 0.001)
SMALL = (0.5, 0.3, 0.1)  # of the heritability, in the smaller normal
PROBES = 50
LEAST_H2, MOST_H2 = 0.01, 0.95
CHUNK = 256  # variants: more make larger Gram matrices, fewer make thin products
DEALT = 5  # folds where ridge leaves out one sample at a time
HELD_OUT = 3000  # samples in all from which priors are judged: of large cohorts one fold serves
# Root mean square of what a sweep moves, in residual standard deviations: at rest for judging priors, and for predictions.
WHILE_CHOOSING, AT_REST = 2e-3, 3e-4
MAX_SWEEPS = 300
MOST_SLOPE, SLOPE_STEPS = 3.0, 200
# Bytes of standardised genotypes that are kept between sweeps; of more each sweep decodes the calls again.
_KEPT = 2**30
_HELD = 2**30  # bytes of the columns of the traits that are fitted together
_TOGETHER = 4  # traits fitted together at most: others go to other workers


@dataclass(eq=False)
class GroupGenotypes:
    """The blocks of a frame in the samples of a group, in chunks; see `genassoc.analyses.whole_genome.sweeps.Genotypes`.

    Attributes
    ----------
    explained : dict
        Block -> numbers of its variants that the covariates explain, or that do not vary in the group; of blocks that were read.
    """

    frame: Frame
    group: SampleGroup
    blocks: Callable[[], Iterable[Block]]
    explained: dict[int, Int64Array] = field(default_factory=dict)
    kept: dict[int, Float32Array] = field(default_factory=dict)

    @property
    def n_variants(self) -> int:
        """Variants of all blocks."""
        return self.frame.n_variants

    @property
    def n_samples(self) -> int:
        """Samples of the group."""
        return self.group.n

    def __iter__(self) -> Iterator[tuple[Chunk, Float32Array]]:
        kept = self.kept
        keep = 4 * self.n_variants * self.n_samples <= _KEPT
        number = start = 0
        read = iter(()) if len(kept) == len(self.frame.blocks) else iter(self.blocks())
        for at, span in enumerate(self.frame.blocks):
            G = kept[at] if at in kept else self._standardised(at, next(read))
            if keep:
                kept[at] = G
            parts = -(-span.n_variants // CHUNK)
            edges = [span.n_variants * k // parts for k in range(parts + 1)]
            for a, b in pairwise(edges):
                yield Chunk(number, start + a, start + b, span.chromosome), G[a:b]
                number += 1
            start += span.n_variants

    def _standardised(self, at: int, block: Block) -> Float32Array:
        assert isinstance(block, GenotypeBlock)
        varying = varies(code_counts(block, self.frame.columns))
        block = block if varying.all() else block.take(varying)
        G, empty = standardised(block, self.group)
        self.explained[at] = places_of(block).numbers[empty]
        return G


@dataclass(frozen=True)
class Moments:
    """What one pass gives: Gram matrices and the heritabilities.

    Attributes
    ----------
    grams : list of float32 arrays (V, V)
    total : float
        Sum over variants of their variance once covariates are out: M of the relationship matrix ``X'X / M``.
    h2, standard_error : float64 arrays (T,)
        As estimated: below 0 or above 1 by chance; the standard error is that of no heritability.
    """

    grams: list[Float32Array]
    total: float
    h2: Float64Array
    standard_error: Float64Array


@dataclass(frozen=True)
class Trait:
    """A trait as it is fitted: its response, and the samples that have it, bool (N,)."""

    response: Response
    has: BoolArray


@dataclass(frozen=True, kw_only=True)
class MixtureFits:
    """What was fitted of k traits of one group of n samples.

    Attributes
    ----------
    contributions : float64 array (k, H, n)
        What each chromosome adds to the prediction of each sample, which was not among those that the effects were learned from.
    h2, h2_standard_error, share, small : float64 arrays (k,)
        Heritability of the score at the null, as estimated, and the prior that was chosen.
    slope : float64 array (k,)
        What predictions were multiplied by; see `slope_of`.
    gains : float64 array (k, grid)
        Log likelihood that each prior gained in samples held out, to second order.
    sweeps : int64 array (k, 2)
        While choosing, and fold by fold: of the column that took most.
    converged : bool array (k, 2)
    explained : int64 array
        Variants of the store that the covariates explain.
    """

    contributions: Float64Array
    h2: Float64Array
    h2_standard_error: Float64Array
    share: Float64Array
    small: Float64Array
    slope: Float64Array
    gains: Float64Array
    sweeps: Int64Array
    converged: BoolArray
    explained: Int64Array


def grid() -> tuple[Float64Array, Float64Array]:
    """Shares and parts of all priors that are tried; the last is one normal for all variants."""
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
    for _, X in genotypes:
        KZ += (of_Z @ X.T) @ X
        for t in range(len(traits)):
            quadratic[t] += float(((X @ of_Y[t]) ** 2).sum(dtype=np.float64))
        found.append(gram_of(X, Q))
        total += float(np.trace(found[-1], dtype=np.float64))
    rank = N - Q.shape[1]
    M = total / rank
    KZ = KZ / M
    KZ -= (KZ @ Q) @ Q.T
    # tr (K - 1)^2, of which the trace of K needs no probe
    spread_of_K = float(((KZ - Z) ** 2).sum() / (Z * Z).sum() * rank)
    within = spread_of_K * (n / N) ** 2
    return Moments(found, M, (quadratic / M - n) / within, np.sqrt(2.0 / within))


def priors_of(
    response: Response, h2: float, total: float, shares: Float64Array, small: Float64Array, part: Float64Array
) -> MixturePriors:
    """Priors of columns, on the scale of the response: the heritability of its score at the null, over its curvature."""
    w = response.curvature
    larger, smaller = spread(shares, small, h2 / w, total)
    noise = np.full(shares.size, 1.0 - h2 if isinstance(response, Normal) else 1.0)
    return MixturePriors(shares, larger, smaller, noise, part * w)


def gain(trait: Trait, predictions: Float64Array, held: BoolArray) -> Float64Array:
    """Log likelihood that predictions (C, N) gain in samples held out, to second order at the null."""
    null, w = trait.response.null, trait.response.curvature
    return np.where(held, null * predictions - 0.5 * w * predictions**2, 0.0).sum(axis=1)


def choose(
    genotypes: Genotypes, found: Moments, h2: Float64Array, Q: Float64Array, traits: Sequence[Trait], held: BoolArray
) -> tuple[Float64Array, list[Fit]]:
    """The gain of each prior of the grid (T, grid) over folds held out, bool (F, N)."""
    shares, small = grid()
    G, F = shares.size, len(held)
    fits = []
    for t, trait in enumerate(traits):
        out = np.repeat(held, G, axis=0) & trait.has
        train = trait.has & ~out
        part = train.sum(axis=1) / genotypes.n_samples
        priors = priors_of(trait.response, h2[t], found.total, np.tile(shares, F), np.tile(small, F), part)
        fits.append(Fit(trait.response, Basis.of(Q, trait.has), train, priors, WHILE_CHOOSING, genotypes.n_variants))
    run_sweeps(genotypes, found.grams, fits, MAX_SWEEPS)
    gains = [
        gain(trait, fit.predictions, np.repeat(held, G, axis=0) & trait.has).reshape(F, G).sum(axis=0)
        for trait, fit in zip(traits, fits)
    ]
    return np.array(gains), fits


def slope_of(trait: Trait, predictions: Float64Array) -> float:
    """The coefficient of predictions (N,), made out of fold, in the model of the trait, beside an intercept; from 0 to `MOST_SLOPE`.

    The heritability of the score says too little of the variance on the scale of log odds or log hazards, and by chance too little or too much of
    any trait. Logistic and Cox tests take the variance of the score from the prediction: one that is too flat makes them conservative.
    """
    own = np.where(trait.has, predictions, 0.0)
    w, size = trait.response.curvature, float((own * own).sum())
    if not 0.0 < size < np.inf:
        return 1.0
    slope, intercept = 1.0, 0.0
    for _ in range(SLOPE_STEPS):
        score = trait.response.score((intercept + slope * own)[None], trait.has[None])[0]
        moved = float((own * score).sum()) / (w * size)
        intercept += float(score.sum()) / (w * float(trait.has.sum()))
        slope = min(max(slope + moved, 0.0), MOST_SLOPE)
        if abs(moved) < 1e-6:
            break
    return slope


def fit_traits(
    genotypes: Genotypes, Q: Float64Array, traits: Sequence[Trait], folds: BoolArray, n_chromosomes: int, seed: int
) -> MixtureFits:
    """Fit traits of one group of samples.

    Parameters
    ----------
    genotypes : Genotypes
    Q : float64 array (N, C)
        Orthonormal basis of the covariates.
    traits : sequence of Trait
    folds : bool array (K, N)
        The samples of each fold; each sample is in one.
    """
    found = moments(genotypes, Q, traits, seed)
    h2 = np.clip(found.h2, LEAST_H2, MOST_H2)
    held = judges(folds)
    gains, chosen_on = choose(genotypes, found, h2, Q, traits, held)
    shares, small = grid()
    best = gains.argmax(axis=1)
    fits = []
    for t, trait in enumerate(traits):
        train = trait.has & ~folds
        one = np.full(len(folds), best[t])
        part = train.sum(axis=1) / genotypes.n_samples
        priors = priors_of(trait.response, h2[t], found.total, shares[one], small[one], part)
        fit = Fit(trait.response, Basis.of(Q, trait.has), train, priors, AT_REST, genotypes.n_variants)
        # A fold begins where it stood when priors were judged, if it was judged; never at effects that have seen its samples.
        of = np.arange(len(held)) * shares.size + best[t]
        fit.start_from(chosen_on[t].effects[of], chosen_on[t].predictions[of])
        fits.append(fit)
    run_sweeps(genotypes, found.grams, fits, MAX_SWEEPS)
    stages = [chosen_on, fits]
    contributions = out_of_fold(genotypes, fits, folds.argmax(axis=0), n_chromosomes)
    slopes = np.array([slope_of(trait, parts.sum(axis=0)) for trait, parts in zip(traits, contributions)])
    return MixtureFits(
        contributions=contributions * slopes[:, None, None],
        h2=found.h2,
        h2_standard_error=found.standard_error,
        share=shares[best],
        small=small[best],
        slope=slopes,
        gains=gains,
        sweeps=np.array([[stage[t].sweeps.max() for stage in stages] for t in range(len(traits))], np.int64),
        converged=np.array([[stage[t].at_rest for stage in stages] for t in range(len(traits))], bool),
        explained=np.zeros(0, np.int64),
    )


@dataclass(frozen=True, eq=False)
class MixtureTraits:
    """The mixture prior as an analysis that reads all genotypes many times, for a few traits at once."""

    frame: Frame
    passes: ClassVar[tuple[str, ...]] = ("sweeps over variants",)

    @property
    def sums(self) -> type[MixtureFits]:
        """`MixtureFits`."""
        return MixtureFits

    def batches(self) -> list[tuple[int, int, int]]:
        """Traits that are fitted together: (group, first, stop); the same whoever fits them."""
        found = []
        for g, group in enumerate(self.frame.groups):
            folds = folds_of(group.folds, group.n, self.frame.choices.seed)
            columns = len(judges(folds)) * grid()[0].size + len(folds)
            of_trait = columns * (16 * group.n + 4 * self.frame.n_variants)
            step = int(np.clip(_HELD // of_trait, 1, _TOGETHER))
            T = len(group.nulls)
            found += [(g, a, min(a + step, T)) for a in range(0, T, step)]
        return found

    def prepare(self, cohort: "Cohort", before: MixtureFits | None = None) -> Frame:
        """The frame."""
        return self.frame

    def batch(self, state: Frame, number: int, blocks: Callable[[], Iterable[Block]]) -> MixtureFits:
        """Fit one batch of traits; ``blocks()`` goes through all blocks of the frame, as often as it is called."""
        g, first, stop = MixtureTraits(state).batches()[number]
        group = state.groups[g]
        nulls = group.nulls[first:stop]
        traits = [Trait(response_of(state.choices.outcome, null), null.observed) for null in nulls]
        folds = folds_of(group.folds, group.n, state.choices.seed)
        genotypes = GroupGenotypes(state, group, blocks)
        found = fit_traits(
            genotypes, group.Q.astype(np.float64), traits, folds, len(state.chromosomes), state.choices.seed
        )
        explained = [genotypes.explained[at] for at in sorted(genotypes.explained)]
        return replace(found, explained=np.concatenate(explained))

    def __getstate__(self) -> dict[str, object]:
        """For a worker, which gets the frame as its state."""
        return {"frame": None}


def folds_of(folds: Folds, n: int, seed: int) -> BoolArray:
    """The samples of each fold, bool (K, n)."""
    bounds = folds.bounds
    order = np.arange(n)
    if folds.leave_one_out:  # a fit for each sample is too many: dealt at random
        order = np.random.default_rng([seed, 2]).permutation(n)
        bounds = np.array([n * k // DEALT for k in range(DEALT + 1)])
    found = np.zeros((bounds.size - 1, n), bool)
    for k in range(len(found)):
        found[k, order[bounds[k] : bounds[k + 1]]] = True
    return found


def judges(folds: BoolArray) -> BoolArray:
    """The first of the folds (K, n), on which priors are judged: as many as hold `HELD_OUT` samples."""
    sizes = folds.sum(axis=1)
    return folds[: int(np.searchsorted(np.cumsum(sizes), min(HELD_OUT, folds.shape[1]))) + 1]


def fits_of(frame: Frame, batches: Iterable[MixtureFits]) -> Fitted:
    """What the traits' fits say, in the frame's terms."""
    fits: list[tuple[SampleGroup, TraitFit]] = []
    failures: list[TraitFailure] = []
    explained = np.zeros(0, dtype=np.int64)
    for (g, first, _), found in zip(MixtureTraits(frame).batches(), batches):
        if g == 0:  # as ridge says it: of the samples of the first group
            explained = found.explained
        group = frame.groups[g]
        for k in range(len(found.h2)):
            null = group.nulls[first + k]
            if not np.isfinite(found.contributions[k]).all():
                reason = "the effects of its variants grow without end: give more samples, or choose prior='ridge'"
                failures.append(TraitFailure(null.name, reason))
                continue
            contributions = np.where(null.observed, found.contributions[k], np.nan)
            chosen, table, notes = _said(null, found, k)
            chosen["n_folds"] = DEALT if group.folds.leave_one_out else group.folds.n_folds
            fits.append((group, TraitFit(null.name, contributions, chosen, table, notes)))
    return Fitted(tuple(fits), tuple(failures), {"explained by the covariates": explained})


def _said(
    null: TraitNull, found: MixtureFits, k: int
) -> tuple[dict[str, float], tuple[dict[str, float], ...], tuple[str, ...]]:
    """Of a trait's fit what was chosen, the table of all priors, and notes."""
    shares, small = grid()
    used = float(np.clip(found.h2[k], LEAST_H2, MOST_H2))
    table = tuple(
        {"h2": used, "share": float(p), "small": float(s), "log_likelihood_gained": float(gained)}
        for p, s, gained in zip(shares, small, found.gains[k])
    )
    best = int(found.gains[k].argmax())
    error = float(found.h2_standard_error[k])
    chosen = {
        **table[best],
        "slope": float(found.slope[k]),
        "h2_standard_error": error,
        "sweeps": float(found.sweeps[k].sum()),
    }
    notes = []
    if used != found.h2[k]:
        notes.append(
            f"{null.name}: the heritability is estimated as {found.h2[k]:.2f} (standard error {error:.2f} where there is none); {used:g} is used"
        )
    for stage, fine in zip(("while the prior was chosen", "fold by fold"), found.converged[k]):
        if not fine:
            notes.append(
                f"{null.name}: effects were still moving after {MAX_SWEEPS} sweeps {stage}; its predictions are those of the last sweep"
            )
    return chosen, table, tuple(notes)


class Mixture:
    """The prior that `MixtureTraits` belongs to."""

    name: ClassVar[str] = "mixture"

    def fit(self, frame: Frame, run: Runner) -> Fitted:
        """Fit all traits of a frame."""
        return fits_of(frame, run.batches(MixtureTraits(frame)))
