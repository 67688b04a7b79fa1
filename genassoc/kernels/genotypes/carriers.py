"""Sums over the few samples that matter: carriers of a rare allele, carriers that lack a trait.

Packed words are scanned 32 calls at a time; a word without such a sample costs a few instructions, so that a sum
costs in proportion to its samples. Every sum runs over the samples in their order, in float64: its bits depend on the
variant alone.
"""

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.genotypes.counts import popcount
from genassoc.kernels.lanes.vector import DOUBLES, LANES, add_scaled
from genassoc.shapes import BoolArray, Float32Array, Float64Array, Int64Array, UInt64Array

_ONE = np.uint64(1)
_LOW = np.uint64(0x5555555555555555)
TILE_WORDS = 128  # 4,096 samples: their rows of sixteen float64 take 512 KB, in the second-level cache


@jit
def carriers(word: np.uint64, flipped: bool) -> np.uint64:
    """Mark in the low bit of each slot who carries the allele counted: codes 1 and 2, or 0 and 1 where flipped."""
    high = word >> _ONE
    return (~high & _LOW) if flipped else ((word ^ high) & _LOW)


@jit
def count_carriers(words: UInt64Array, flipped: BoolArray, counts: Int64Array) -> None:
    """Carriers of the allele counted among all samples of each variant: words (V, W), flipped and counts (V,)."""
    V, W = words.shape
    for v in range(V):
        n = 0
        for w in range(W):
            n += popcount(carriers(words[v, w], flipped[v]))
        counts[v] = n


@jit
def sum_carriers(
    words: UInt64Array,
    flipped: BoolArray,
    variants: Int64Array,
    M: Float32Array,
    values: Float32Array,
    out: Float64Array,
) -> None:
    """Set ``out[v, :] = sum_i values[G[v, i]] * M[i, :]`` for some variants, visiting their carriers alone.

    As `genassoc.kernels.genotypes.product.product`, of ``words`` (V, W), for values that are 0 for codes 0 and 3.
    """
    W = words.shape[1]
    one, two = np.float64(values[1]), np.float64(values[2])
    total = np.empty(LANES)
    for j in range(variants.size):
        v = variants[j]
        total[:] = 0.0
        for w in range(W):
            word = words[v, w]
            left = carriers(word, flipped[v])
            while left != 0:
                # the lowest bit set: the bits below it, counted
                slot = popcount((left - _ONE) & ~left)
                left &= left - _ONE
                at = (32 * w + (slot >> 1)) * LANES
                factor = one if (word >> np.uint64(slot)) & _ONE else two
                add_scaled(total, 0, M, at, factor)
                add_scaled(total, DOUBLES, M, at + DOUBLES, factor)
        for k in range(LANES):
            out[v, k] = total[k]


@jit
def sum_lacking(
    words: UInt64Array,
    flipped: BoolArray,
    mask: UInt64Array,
    pointers: Int64Array,
    patterns: Int64Array,
    Q: Float64Array,
    out: Float64Array,
) -> None:
    """Sum covariates over the carriers that lack a trait: ``out[v, p, :] = sum_i g[v, i] * Q[i, :]``, i lacking p.

    Parameters
    ----------
    words : uint64 array (V, W)
        Packed calls.
    flipped : bool array (V,)
        Where g counts REF.
    mask : uint64 array (W,)
        Samples that lack any trait, as from `genassoc.kernels.genotypes.counts.mask_words`.
    pointers, patterns : int64 arrays (N + 1,), (n,)
        The patterns that each sample lacks, a run of ``patterns`` a sample.
    Q : float64 array (N * D,)
        D values a sample, D a multiple of 8.
    out : float64 array (V, P * D)
        Overwritten.
    """
    V, W = words.shape
    D = Q.size // (pointers.size - 1)
    for v in range(V):
        out[v, :] = 0.0
    for first in range(0, W, TILE_WORDS):
        for v in range(V):
            sums = out[v]
            for w in range(first, min(W, first + TILE_WORDS)):
                word = words[v, w]
                left = carriers(word, flipped[v]) & mask[w]
                while left != 0:
                    slot = popcount((left - _ONE) & ~left)
                    left &= left - _ONE
                    sample = 32 * w + (slot >> 1)
                    g = 1.0 if (word >> np.uint64(slot)) & _ONE else 2.0
                    for m in range(pointers[sample], pointers[sample + 1]):
                        for d in range(0, D, DOUBLES):
                            add_scaled(sums, patterns[m] * D + d, Q, sample * D + d, g)
