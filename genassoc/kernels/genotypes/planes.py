"""Calls as planes of bits: one plane says who carries ALT, one who carries it twice, one who is observed.

Of two-bit calls, of which a word holds 32 samples, planes make words of 64. What pairs of variants or of samples have in common is then a
popcount of ANDs: sums of dosages ``x = carrier + double`` are ``sum(x y) = |cc'| + |cd'| + |dc'| + |dd'|``.
"""

import numpy as np

from genassoc.kernels import jit
from genassoc.shapes import UInt64Array

# numba turns uint64 with a signed integer into float64: every constant of the bit arithmetic is uint64.
_ONE, _TWO, _FOUR, _EIGHT, _SIXTEEN, _HALF = (np.uint64(n) for n in (1, 2, 4, 8, 16, 32))
_BITS = np.uint64(0x5555555555555555)
_PAIRS, _QUADS = np.uint64(0x3333333333333333), np.uint64(0x0F0F0F0F0F0F0F0F)
_OCTETS, _WORDS, _LOW = np.uint64(0x00FF00FF00FF00FF), np.uint64(0x0000FFFF0000FFFF), np.uint64(0x00000000FFFFFFFF)


@jit
def even_bits(x: np.uint64) -> np.uint64:
    """Bits 0, 2, 4, ... of a word, closed up to its low half."""
    x = x & _BITS
    x = (x | (x >> _ONE)) & _PAIRS
    x = (x | (x >> _TWO)) & _QUADS
    x = (x | (x >> _FOUR)) & _OCTETS
    x = (x | (x >> _EIGHT)) & _WORDS
    return (x | (x >> _SIXTEEN)) & _LOW


@jit
def to_planes(words: UInt64Array, carrier: UInt64Array, double: UInt64Array, observed: UInt64Array) -> None:
    """Planes of packed calls.

    Parameters
    ----------
    words : uint64 array (V, W)
        Packed calls (`genassoc.kernels.genotypes.packed`); padding is "not observed", as are samples to be left out.
    carrier, double, observed : uint64 array (V, P)
        ``P = (W + 1) // 2``; overwritten. Sample i is bit ``i % 64`` of word ``i // 64``: set where the call is 1 or 2, where it is 2, where
        it is any of 0, 1, 2.
    """
    V, W = words.shape
    for v in range(V):
        for p in range(carrier.shape[1]):
            one, two, known = np.uint64(0), np.uint64(0), np.uint64(0)
            for half in range(2):
                w = 2 * p + half
                if w < W:
                    low, high = even_bits(words[v, w]), even_bits(words[v, w] >> _ONE)
                    missing = low & high
                    low, high = low ^ missing, high ^ missing
                    shift = _HALF if half == 1 else np.uint64(0)
                    one |= (low | high) << shift
                    two |= high << shift
                    known |= (missing ^ _LOW) << shift
            carrier[v, p], double[v, p], observed[v, p] = one, two, known
