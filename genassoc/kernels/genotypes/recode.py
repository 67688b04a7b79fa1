"""Recoding packed calls a word at a time: indicators of a genetic model, calls that no haploid sample can have.

Rows are ``packed.view(np.uint64)``: the low bits of 32 two-bit slots are ``word & 0x5555...``, the high bits one place
to the left of them. Masks are `genassoc.kernels.genotypes.counts.mask_words`. Plain numpy: a few passes over the words.
"""

import numpy as np

from genassoc.shapes import UInt64Array

_ONE = np.uint64(1)
_LOW = np.uint64(0x5555555555555555)


def _bits(words: UInt64Array) -> tuple[UInt64Array, UInt64Array]:
    """Low and high bit of every slot, both in the place of the low one."""
    return words & _LOW, (words >> _ONE) & _LOW


def dominant(words: UInt64Array) -> UInt64Array:
    """Codes 0, 1, 2, 3 become 0, 2, 2, 3: words (V, W)."""
    low, high = _bits(words)
    return np.asarray((low & high) | ((low | high) << _ONE))


def recessive(words: UInt64Array) -> UInt64Array:
    """Codes 0, 1, 2, 3 become 0, 0, 2, 3: words (V, W)."""
    low, high = _bits(words)
    return np.asarray((low & high) | (high << _ONE))


def hetonly(words: UInt64Array) -> UInt64Array:
    """Codes 0, 1, 2, 3 become 0, 2, 0, 3: words (V, W)."""
    low, high = _bits(words)
    return np.asarray((low & high) | (low << _ONE))


def heterozygotes(words: UInt64Array, mask: UInt64Array) -> UInt64Array:
    """Slots with code 1 among the samples of mask (W,): their low bits, words (V, W)."""
    low, high = _bits(words)
    return np.asarray(low & ~high & mask)


def observed(words: UInt64Array, mask: UInt64Array) -> UInt64Array:
    """Slots with a call among the samples of mask (W,): their low bits, words (V, W)."""
    low, high = _bits(words)
    return np.asarray(~(low & high) & mask)


def not_observed(words: UInt64Array, slots: UInt64Array) -> UInt64Array:
    """``words`` (V, W) with code 3 in ``slots`` (low bits; (V, W) or a mask (W,))."""
    return np.asarray(words | slots | (slots << _ONE))


def halved(words: UInt64Array, mask: UInt64Array) -> UInt64Array:
    """Code 2 becomes 1 in the samples of mask (W,): words (V, W)."""
    low, high = _bits(words)
    two = high & ~low & mask
    return np.asarray(words ^ (two | (two << _ONE)))
