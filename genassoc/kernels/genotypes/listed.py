"""Calls of some variants as lists: who carries the allele counted, and whose call is missing.

Rows that are refitted need little else, and a rare variant's list is short: a row of packed words is scanned 32 calls at a time.
"""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.genotypes.carriers import carriers
from genassoc.kernels.genotypes.counts import popcount
from genassoc.shapes import BoolArray, Float64Array, Int64Array, UInt64Array

_ONE = np.uint64(1)
_LOW = np.uint64(0x5555555555555555)


class Calls(NamedTuple):
    """Calls of R variants in n samples.

    Attributes
    ----------
    carriers : int64 array
        Samples that carry the allele counted, in their order: those of row r from ``carriers_end[r - 1]`` to ``carriers_end[r]``.
    copies : float64 array
        How many copies (or what dosage) each of them has.
    missing : int64 array
        Samples whose call is missing, likewise.
    carriers_end, missing_end : int64 arrays (R,)
    """

    carriers: Int64Array
    copies: Float64Array
    missing: Int64Array
    carriers_end: Int64Array
    missing_end: Int64Array

    @classmethod
    def empty(cls, R: int, n: int) -> "Calls":
        """Room for R variants in n samples, of which as much is used as is needed."""
        carriers, missing = np.empty(R * n, np.int64), np.empty(R * n, np.int64)
        return cls(carriers, np.empty(R * n), missing, np.zeros(R, np.int64), np.zeros(R, np.int64))


@jit
def list_calls(
    words: UInt64Array, flipped: BoolArray, variants: Int64Array, mask: UInt64Array, place: Int64Array, calls: Calls
) -> None:
    """List the calls of packed variants among some samples.

    Parameters
    ----------
    words : uint64 array (V, W)
    flipped : bool array (V,)
        Where REF is counted.
    variants : int64 array (R,)
    mask : uint64 array (W,)
        The samples, as from `genassoc.kernels.genotypes.counts.mask_words`.
    place : int64 array (N,)
        The number of each sample of the block among these.
    calls : Calls
        Filled.
    """
    k = m = 0
    for r in range(variants.size):
        v = variants[r]
        for w in range(words.shape[1]):
            word = words[v, w]
            left = carriers(word, flipped[v]) & mask[w]
            while left != 0:
                # the lowest bit set: the bits below it, counted
                slot = popcount((left - _ONE) & ~left)
                left &= left - _ONE
                calls.carriers[k] = place[32 * w + (slot >> 1)]
                calls.copies[k] = 1.0 if (word >> np.uint64(slot)) & _ONE else 2.0
                k += 1
            left = word & (word >> _ONE) & _LOW & mask[w]  # code 3 has both bits set
            while left != 0:
                slot = popcount((left - _ONE) & ~left)
                left &= left - _ONE
                calls.missing[m] = place[32 * w + (slot >> 1)]
                m += 1
        calls.carriers_end[r], calls.missing_end[r] = k, m


@jit
def list_rows(G: Float64Array, calls: Calls) -> None:
    """List calls or dosages G (R, n), NaN where not observed."""
    k = m = 0
    for r in range(G.shape[0]):
        for i in range(G.shape[1]):
            if math.isnan(G[r, i]):
                calls.missing[m] = i
                m += 1
            elif G[r, i] > 0.0:
                calls.carriers[k], calls.copies[k] = i, G[r, i]
                k += 1
        calls.carriers_end[r], calls.missing_end[r] = k, m
