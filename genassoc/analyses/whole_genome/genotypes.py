"""Genotypes of a block as a regression takes them: mean-imputed, without what the covariates explain, of variance 1."""

from typing import NamedTuple

import numpy as np

from genassoc.analyses.whole_genome.frame import SampleGroup
from genassoc.data.block import GenotypeBlock
from genassoc.kernels.genotypes.chosen import decode_chosen
from genassoc.kernels.genotypes.counts import count_codes, mask_words
from genassoc.shapes import BoolArray, Float32Array, Int64Array

# What the covariates leave of a variant, over its own sum of squares: below it the rest is rounding of float32.
COLLINEAR = 1e-5
_ROWS = 64  # of a product that is subtracted at a time: it stays in cache


class Standardised(NamedTuple):
    """Genotypes of samples in fold order.

    Attributes
    ----------
    G : float32 array (V, n)
        Residuals on the covariates, of variance 1 over n - C; zeros where ``empty``.
    empty : bool array (V,)
        Variants that do not vary among the samples, or that the covariates explain.
    """

    G: Float32Array
    empty: BoolArray


def code_counts(block: GenotypeBlock, columns: Int64Array) -> Int64Array:
    """Samples with code 0, 1, 2, 3 among ``columns``, (V, 4)."""
    counts = np.empty((block.n_variants, 4), dtype=np.int64)
    mask = mask_words(np.sort(columns), block.n_samples)
    count_codes(np.ascontiguousarray(block.packed).view(np.uint64), mask, counts)
    return counts


def varies(counts: Int64Array) -> BoolArray:
    """Variants of which two genotypes or more are observed."""
    return np.count_nonzero(counts[:, :3], axis=1) > 1


def standardised(block: GenotypeBlock, group: SampleGroup) -> Standardised:
    """The block's genotypes among the samples of a group; see `Standardised`."""
    counts = code_counts(block, group.columns).astype(np.float64)
    observed = counts[:, :3].sum(axis=1)
    mean = (counts[:, 1] + 2.0 * counts[:, 2]) / np.maximum(observed, 1.0)
    table = np.zeros((block.n_variants, 4), dtype=np.float32)
    table[:, :3] = np.arange(3.0) - mean[:, None]  # a missing call takes the mean, which is 0 here
    G = np.empty((block.n_variants, group.n), dtype=np.float32)
    decode_chosen(np.ascontiguousarray(block.packed), group.columns, table, G)
    before = (counts[:, :3] * table[:, :3].astype(np.float64) ** 2).sum(axis=1)
    weights = G @ group.Q
    for at in range(0, block.n_variants, _ROWS):
        rows = slice(at, at + _ROWS)
        G[rows] -= weights[rows] @ group.Q.T
    # |G - G Q Q'|^2 = |G|^2 - |G Q|^2, of which the first is exact: of counts
    after = before - (weights.astype(np.float64) ** 2).sum(axis=1)
    empty = ~varies(counts.astype(np.int64)) | (after <= COLLINEAR * before)
    sd = np.sqrt(np.where(empty, 1.0, after) / max(group.n - group.Q.shape[1], 1))
    G *= np.where(empty, 0.0, 1.0 / sd).astype(np.float32)[:, None]
    return Standardised(G, empty)
