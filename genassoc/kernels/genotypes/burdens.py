"""Variants of a set made one column: the most minor alleles of any of them, or their weighted sum."""

import numpy as np

from genassoc.kernels import jit
from genassoc.shapes import BoolArray, Float64Array, Int64Array, UInt64Array

_ONE, _THREE = np.uint64(1), np.uint64(3)
_LOW = np.uint64(0x5555555555555555)


@jit
def most_copies(
    words: UInt64Array, flipped: BoolArray, pointers: Int64Array, members: Int64Array, out: UInt64Array
) -> None:
    """Of each set the most minor alleles that a sample has of any variant, a call that is missing counted as none.

    Parameters
    ----------
    words : uint64 array (V, W)
        Calls, 32 a word.
    flipped : bool array (V,)
        Where REF is the minor allele.
    pointers : int64 array (S + 1,)
        Set s has the variants ``members[pointers[s]:pointers[s + 1]]``.
    members : int64 array
    out : uint64 array (S, W)
        Codes 0, 1, 2.
    """
    W = words.shape[1]
    for s in range(pointers.size - 1):
        for w in range(W):
            out[s, w] = np.uint64(0)
        for k in range(pointers[s], pointers[s + 1]):
            v = members[k]
            if flipped[v]:
                for w in range(W):
                    one, two = words[v, w] & _LOW, (words[v, w] >> _ONE) & _LOW
                    # None of ALT is two of REF.
                    of_ref = ~(one | two) & _LOW
                    had = out[s, w]
                    twice = ((had >> _ONE) & _LOW) | of_ref
                    once = ((had & _LOW) | (one & ~two)) & ~twice
                    out[s, w] = (twice << _ONE) | once
            else:
                for w in range(W):
                    word = words[v, w]
                    one, two = word & _LOW, (word >> _ONE) & _LOW
                    had = out[s, w]
                    twice = ((had >> _ONE) & _LOW) | (two & ~one)
                    once = ((had & _LOW) | (one & ~two)) & ~twice
                    out[s, w] = (twice << _ONE) | once


@jit
def weighted_sums(
    words: UInt64Array,
    flipped: BoolArray,
    means: Float64Array,
    pointers: Int64Array,
    members: Int64Array,
    weights: Float64Array,
    out: Float64Array,
) -> None:
    """Of each set the sum of weight times minor alleles, a call that is missing counted as the mean.

    Parameters
    ----------
    words, flipped, pointers, members
        As of `most_copies`.
    means : float64 array (V,)
        Minor alleles of a sample that is observed, on average.
    weights : float64 array
        One a member.
    out : float64 array (S, N)
    """
    N = out.shape[1]
    for s in range(pointers.size - 1):
        for i in range(N):
            out[s, i] = 0.0
        for k in range(pointers[s], pointers[s + 1]):
            v, weight = members[k], weights[k]
            turned = flipped[v]
            for w in range(words.shape[1]):
                word = words[v, w]
                if word == np.uint64(0) and not turned:
                    continue
                first = 32 * w
                for slot in range(min(32, N - first)):
                    code = int((word >> np.uint64(2 * slot)) & _THREE)
                    if code == 3:
                        out[s, first + slot] += weight * means[v]
                    elif turned:
                        out[s, first + slot] += weight * (2.0 - code)
                    elif code != 0:
                        out[s, first + slot] += weight * code
