"""Sums over the few samples that matter: carriers of a rare allele, carriers that lack a trait.

Packed words are scanned `SCANNED` at a time by vector instructions; where none of them has such a sample nothing more is
done, so that a sum costs in proportion to its samples but for reading the words once. Every sum runs over the samples in
their order, in float64: its bits depend on the variant alone.
"""

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.genotypes.counts import popcount
from genassoc.kernels.genotypes.missing_calls import Lacking
from genassoc.kernels.lanes.vector import DOUBLES
from genassoc.kernels.lanes.vector_outer import add_listed, add_to_rows
from genassoc.shapes import BoolArray, Float32Array, Float64Array, Int64Array, UInt32Array, UInt64Array

_ONE = np.uint64(1)
_LOW = np.uint64(0x5555555555555555)
SCANNED = 64  # words: 2,048 samples
TILE_WORDS = 128  # 4,096 samples: their rows of sixteen float64 take 512 KB, in the second-level cache
# In the sums of copies: what a sample with two copies counts besides, so that one sum holds both; exact to 8 million samples.
TWO_COPIES = float(2**30)


@jit
def carriers(word: np.uint64, flipped: bool) -> np.uint64:
    """Mark in the low bit of each slot who carries the allele counted: codes 1 and 2, or 0 and 1 where flipped."""
    high = word >> _ONE
    return (~high & _LOW) if flipped else ((word ^ high) & _LOW)


@jit
def _has_carriers(words: UInt64Array, mask: UInt64Array, flipped: bool) -> bool:
    """Whether any of some words of a variant has a carrier that the mask selects."""
    seen = np.uint64(0)
    for w in range(words.size):
        seen |= carriers(words[w], flipped) & mask[w]
    return seen != 0


@jit
def _list_carriers(words: UInt64Array, everyone: UInt64Array, flipped: bool, found: UInt32Array) -> int:
    """List a variant's carriers: the sample's number doubled, and one more where it has two copies. How many there are."""
    n = 0
    for first in range(0, words.size, SCANNED):
        stop = min(words.size, first + SCANNED)
        if not _has_carriers(words[first:stop], everyone[first:stop], flipped):
            continue
        for w in range(first, stop):
            word = words[w]
            left = carriers(word, flipped)
            while left != 0:
                # the lowest bit set: the bits below it, counted
                slot = popcount((left - _ONE) & ~left)
                left &= left - _ONE
                two = int(~(word >> np.uint64(slot)) & _ONE)
                found[n] = 64 * w + slot + two  # the slot's low bit is bit 2 i of a word
                n += 1
    return n


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

    As `genassoc.kernels.genotypes.product.product`.
    """
    W, Z = words.shape[1], out.shape[1]
    one, two = np.float64(values[1]), np.float64(values[2])
    found, everyone, total = np.empty(32 * W, np.uint32), np.full(W, ~np.uint64(0)), np.empty(Z)
    for v in variants:
        n = _list_carriers(words[v], everyone, flipped[v], found)
        total[:] = 0.0
        add_listed(total, M, Z, found, n, one, two)
        for k in range(Z):
            out[v, k] = total[k]


@jit
def sum_lacking(
    words: UInt64Array,
    flipped: BoolArray,
    variants: Int64Array,
    tile: int,
    mask: UInt64Array,
    lacks: Lacking,
    Q: Float64Array,
    out: Float64Array,
) -> None:
    """Sum covariates over the carriers that lack a trait: ``out[v, p, :] = sum_i g[v, i] * Q[i, :]``, i lacking p.

    In place of the first covariate, the constant, stands ``sum_i g[v, i]``, and `TWO_COPIES` for each with two copies.

    Parameters
    ----------
    words : uint64 array (V, W)
        Packed calls.
    flipped : bool array (V,)
        Where g counts REF.
    variants : int64 array (n,)
        Which.
    tile : int
        Words of all variants that are scanned before the next: few where rows of Q are used again, all where carriers are rare.
    mask : uint64 array (W,)
        Samples that lack any trait, as from `genassoc.kernels.genotypes.counts.mask_words`.
    lacks : Lacking
    Q : float64 array (N * D,)
        D values a sample, D a multiple of 8.
    out : float64 array (V, P * D)
        Rows of these variants are overwritten.
    """
    V, W = words.shape
    pointers, patterns = lacks.pointers, lacks.patterns
    D, width = Q.size // (pointers.size - 1), out.shape[1]
    sums = out.reshape(V * width)
    # Of one copy and of two, looked up: a branch would be foretold wrongly too often.
    factors = np.ones(4 * DOUBLES)
    for k in range(2 * DOUBLES):
        factors[2 * DOUBLES + k] = 2.0 if k > 0 else 2.0 + TWO_COPIES
    for v in variants:
        out[v, :] = 0.0
    for start in range(0, W, tile):
        for v in variants:
            row = words[v]
            for first in range(start, min(W, start + tile), SCANNED):
                stop = min(W, start + tile, first + SCANNED)
                if not _has_carriers(row[first:stop], mask[first:stop], flipped[v]):
                    continue
                for w in range(first, stop):
                    word = row[w]
                    left = carriers(word, flipped[v]) & mask[w]
                    while left != 0:
                        slot = popcount((left - _ONE) & ~left)
                        left &= left - _ONE
                        sample = 32 * w + (slot >> 1)
                        two = int(~(word >> np.uint64(slot)) & _ONE)
                        add_to_rows(
                            sums, v * width, D, patterns, pointers[sample], pointers[sample + 1], Q, sample * D,
                            factors, two * 2 * DOUBLES,
                        )  # fmt: skip
