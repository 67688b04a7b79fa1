"""The ridge prior: all variants have small effects. Blocks are regressed with several penalties; their predictions are regressed again.

Mbatchou et al. (2021, Nat. Genet. 53, 1097, supplement): level 0 of REGENIE's step 1 fits, of each block, a ridge regression with each of
five penalties, ``M (1 - h2) / h2`` for M variants in all blocks, and predicts each sample by fits without its fold; level 1 regresses the
trait on the B x R predictions, standardised, with a penalty that cross-validation chooses. Predictions of a chromosome are those of its
blocks' columns.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from genassoc.analyses.whole_genome.choices import H2_GRID
from genassoc.analyses.whole_genome.frame import Fitted, Frame, Runner, SampleGroup, TraitFailure, TraitFit, scattered
from genassoc.analyses.whole_genome.genotypes import code_counts, standardised, varies
from genassoc.analyses.whole_genome.level1 import standardise_columns
from genassoc.analyses.whole_genome.outcomes import OUTCOMES
from genassoc.data.block import Block, GenotypeBlock, places_of
from genassoc.errors import PhenotypeError
from genassoc.shapes import Array, Float32Array, Float64Array, Int64Array

if TYPE_CHECKING:
    from genassoc.data.cohort.cohort import Cohort

R = len(H2_GRID)
# Cholesky factors in float32 lose about 6e-8 times the condition number, at most V n / penalty: beyond this, float64.
_MOST_CONDITION = 1e6
_CHUNK = 256 * 2**20  # bytes of an array that is held beside the block


@dataclass(frozen=True)
class BlockPredictions:
    """What level 0 gives of one block.

    Attributes
    ----------
    values : float32 array
        Predictions of each group, traits, penalties and samples, (T, R, n) laid out flat, group after group.
    explained : int64 array
        Variants of the store that the covariates explain in the first group: they take no part.
    """

    values: Float32Array
    explained: Int64Array


@dataclass(frozen=True, eq=False)
class RidgeBlocks:
    """Level 0: the ridge regressions of a block, of all traits."""

    frame: Frame
    passes: ClassVar[tuple[str, ...]] = ("ridge of blocks",)

    @property
    def sums(self) -> type[BlockPredictions]:
        """`BlockPredictions`."""
        return BlockPredictions

    def prepare(self, cohort: "Cohort", before: BlockPredictions | None = None) -> Frame:
        """The frame."""
        return self.frame

    def block(self, state: Frame, block: Block) -> BlockPredictions:
        """Predictions of one block."""
        assert isinstance(block, GenotypeBlock)
        keep = varies(code_counts(block, state.columns))
        block = block if keep.all() else block.take(keep)
        penalties = penalties_of(state.n_variants)
        values = np.empty(sum(R * len(group.nulls) * group.n for group in state.groups), dtype=np.float32)
        at, explained = 0, np.zeros(0, dtype=np.int64)
        for number, group in enumerate(state.groups):
            G, empty = standardised(block, group)
            if number == 0:
                explained = places_of(block).numbers[empty]
            size = R * len(group.nulls) * group.n
            out = values[at : at + size].reshape(len(group.nulls), R, group.n)
            predict = predict_leave_one_out if group.folds.leave_one_out else predict_folds
            predict(G[~empty], group, penalties, out)
            at += size
        return BlockPredictions(values, explained)

    def combine(self, one: BlockPredictions, other: BlockPredictions) -> BlockPredictions:
        """Those of one block after those of the other."""
        return BlockPredictions(
            np.concatenate([one.values, other.values]), np.concatenate([one.explained, other.explained])
        )

    def __getstate__(self) -> dict[str, object]:
        """For a worker, which gets the frame as its state."""
        return {"frame": None}


def penalties_of(n: int, factor: float = 1.0) -> Float64Array:
    """``n (1 - h2) / h2`` of each of `H2_GRID`, of n predictors of variance 1; ascending h2."""
    return np.array([factor * n * (1.0 - h2) / h2 for h2 in H2_GRID])


def predict_folds(G: Float32Array, group: SampleGroup, penalties: Float64Array, out: Float32Array) -> None:
    """Predictions of each fold's samples by ridge regressions on all others: ``out`` (T, R, n) of genotypes G (V, n)."""
    from scipy.linalg import cho_factor, cho_solve

    segments = group.folds.segments
    V = G.shape[0]
    kind = np.float64 if V * group.n / penalties.min() > _MOST_CONDITION else np.float32
    grams = [G[:, a:b] @ G[:, a:b].T for a, b in segments]  # numpy takes syrk: half the products
    products = [G[:, a:b] @ group.working[a:b] for a, b in segments]
    gram, product = _sum(grams, kind), _sum(products, kind)
    diagonal = np.diag_indices(V)
    for (a, b), gram_k, product_k in zip(segments, grams, products):
        others, target = gram - gram_k, product - product_k
        beta = np.empty((R, V, target.shape[1]), dtype=np.float32)
        for j, penalty in enumerate(penalties):
            penalised = others.copy()
            penalised[diagonal] += kind(penalty)
            factor = cho_factor(penalised.T, lower=True, overwrite_a=True, check_finite=False)  # symmetric: no copy
            beta[j] = cho_solve(factor, target, check_finite=False)
        T = target.shape[1]
        flat = beta.transpose(2, 0, 1).reshape(T * R, V)
        out[:, :, a:b] = (flat @ G[:, a:b]).reshape(T, R, b - a)


def predict_leave_one_out(G: Float32Array, group: SampleGroup, penalties: Float64Array, out: Float32Array) -> None:
    """Predictions of each sample by ridge regressions on all others, by leverages: ``(fit - leverage y) / (1 - leverage)``."""
    V, n = G.shape
    values, vectors = np.linalg.eigh(_gram64(G))
    values = np.maximum(values, 0.0)
    working = group.working.astype(np.float64)
    weights = vectors.T @ (G @ group.working).astype(np.float64)  # (V, T)
    shrunk = 1.0 / (values[:, None] + penalties)  # (V, R)
    step = max(1, _CHUNK // (8 * max(V, 1)))
    for a in range(0, n, step):
        b = min(a + step, n)
        Z = vectors.T @ G[:, a:b].astype(np.float64)
        leverage = shrunk.T @ Z**2  # (R, b - a)
        for t in range(working.shape[1]):
            fit = (weights[:, t, None] * shrunk).T @ Z
            out[t, :, a:b] = (fit - leverage * working[a:b, t]) / (1.0 - leverage)


def _gram64(G: Float32Array) -> Float64Array:
    return (G @ G.T).astype(np.float64)


def _sum(parts: list[Float32Array], kind: type) -> Array:
    """Sums of float32 arrays, in the precision asked for."""
    total: Array = parts[0].astype(kind)
    for part in parts[1:]:
        total += part
    return total


class Ridge:
    """The prior `RidgeBlocks` belongs to."""

    name: ClassVar[str] = "ridge"

    def fit(self, frame: Frame, run: Runner) -> Fitted:
        """Fit all traits of a frame; see `genassoc.analyses.whole_genome.frame`."""
        blocks: list[Float32Array] = []
        explained = [np.zeros(0, dtype=np.int64)]
        for found in run(RidgeBlocks(frame)):
            blocks.append(found.values)
            explained.append(found.explained)
        fits: list[tuple[SampleGroup, TraitFit]] = []
        failures: list[TraitFailure] = []
        for group, fit in level1_of(frame, blocks):
            if isinstance(fit, TraitFailure):
                failures.append(fit)
            else:
                fits.append((group, fit))
        left_out = {"explained by the covariates": np.concatenate(explained)}
        return Fitted(tuple(fits), tuple(failures), left_out)


def level1_of(frame: Frame, blocks: list[Float32Array]) -> Iterator[tuple[SampleGroup, TraitFit | TraitFailure]]:
    """Level 1 of each trait, from the predictions of all blocks."""
    outcome = OUTCOMES[frame.choices.outcome]
    chromosomes = chromosome_columns(frame)
    penalties = penalties_of(R * len(blocks), outcome.penalty_factor)
    at = 0
    for group in frame.groups:
        for null in group.nulls:
            X = np.empty((group.n, R * len(blocks)), dtype=np.float32)
            for number, values in enumerate(blocks):
                X[:, number * R : (number + 1) * R] = values[at : at + R * group.n].reshape(R, group.n).T
            at += R * group.n
            X = X if null.observed.all() else X[null.observed]
            standardise_columns(X)
            try:
                fit = outcome.level1(null.of_observed(), X, group.folds.among(null.observed), penalties, chromosomes)
                yield (
                    group,
                    TraitFit(fit.name, scattered(fit.contributions, null.observed), fit.chosen, fit.table, fit.notes),
                )
            except (PhenotypeError, np.linalg.LinAlgError) as error:
                yield group, TraitFailure(null.name, str(error))


def chromosome_columns(frame: Frame) -> list[slice]:
    """Columns of level 1 of each chromosome's blocks, which stand side by side."""
    of = np.array([block.chromosome for block in frame.blocks])
    return [
        slice(R * int(np.searchsorted(of, h)), R * int(np.searchsorted(of, h, "right")))
        for h in range(len(frame.chromosomes))
    ]
