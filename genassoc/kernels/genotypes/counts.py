"""Counting codes in packed calls: per variant (popcounts, 32 samples at a time) and per sample.

Rows of packed calls are whole 64-bit words, so `count_codes` takes ``packed.view(np.uint64)``. On the little
endian machines we support, sample ``i`` lies in bits ``2 * (i % 32)`` of word ``i // 32``.
"""

import numpy as np

from genassoc.kernels import DISABLE_JIT, jit, native
from genassoc.shapes import SAMPLES_PER_WORD, Int64Array, UInt8Array, UInt64Array

# numba turns uint64 with a signed integer into float64: every constant of the bit arithmetic is uint64.
_ONE = np.uint64(1)
_TWO = np.uint64(2)
_FOUR = np.uint64(4)
_TOP_BYTE = np.uint64(56)
_PAIRS = np.uint64(0x5555555555555555)
_QUADS = np.uint64(0x3333333333333333)
_OCTETS = np.uint64(0x0F0F0F0F0F0F0F0F)
_BYTE_SUM = np.uint64(0x0101010101010101)


def mask_words(columns: Int64Array, width: int) -> UInt64Array:
    """Select samples in packed words: the low bit of each two-bit slot set where the sample is selected.

    Parameters
    ----------
    columns : int64 array (n,)
        Positions of the selected samples, each below ``width``, in any order.
    width : int
        Samples in the block, N.

    Returns
    -------
    uint64 array (W,)
        ``W = ceil(width / 32)``; the padding is never selected.

    Raises
    ------
    IndexError
        If a position is negative (numpy would count it from the end) or not below ``width``.
    """
    if columns.size and columns.min() < 0:
        raise IndexError(f"a sample's position is {columns.min()}; positions count from 0")
    selected = np.zeros(SAMPLES_PER_WORD * ((width + SAMPLES_PER_WORD - 1) // SAMPLES_PER_WORD), dtype=np.uint8)
    selected[:width][columns] = 1
    by_byte = selected.reshape(-1, 4)
    packed = by_byte[:, 0] | by_byte[:, 1] << 2 | by_byte[:, 2] << 4 | by_byte[:, 3] << 6
    return packed.view(np.uint64)


@jit
def popcount(x: np.uint64) -> int:
    """Number of bits set. LLVM knows this idiom and emits the processor's own popcount for it."""
    x = x - ((x >> _ONE) & _PAIRS)
    x = (x & _QUADS) + ((x >> _TWO) & _QUADS)
    x = (x + (x >> _FOUR)) & _OCTETS
    return int(np.int64((x * _BYTE_SUM) >> _TOP_BYTE))


if DISABLE_JIT:
    # numpy warns of the wrap-around that the multiplication relies on
    popcount = np.errstate(over="ignore")(popcount)


def popcount_rows(words: UInt64Array) -> Int64Array:
    """Bits set in each row of words (V, W), (V,)."""
    return np.asarray(np.bitwise_count(words).sum(axis=1, dtype=np.int64))


@native
def count_codes(words: UInt64Array, mask: UInt64Array, counts: Int64Array) -> None:
    """Number of selected samples with code 0, 1, 2, 3 in each variant.

    Parameters
    ----------
    words : uint64 array (V, W)
        Packed calls.
    mask : uint64 array (W,)
        From `mask_words`.
    counts : int64 array (V, 4)
        Output.
    """
    V, W = words.shape
    selected = 0
    for w in range(W):
        selected += popcount(mask[w])
    for v in range(V):
        low, high, both = 0, 0, 0
        for w in range(W):
            # code = 2 * high bit + low bit
            word = words[v, w]
            low_bits = word & mask[w]
            high_bits = (word >> _ONE) & mask[w]
            low += popcount(low_bits)
            high += popcount(high_bits)
            both += popcount(low_bits & high_bits)
        counts[v, 0] = selected - low - high + both
        counts[v, 1] = low - both
        counts[v, 2] = high - both
        counts[v, 3] = both


@native
def count_haploid(words: UInt64Array, haploid: UInt8Array, mask: UInt64Array, counts: Int64Array) -> None:
    """Number of selected samples with a haploid call of code 0 and of code 2 in each variant.

    Parameters
    ----------
    words : uint64 array (V, W)
        Packed calls.
    haploid : uint8 array (V, H)
        Bit ``i % 8`` of byte ``i // 8`` set where the call of sample i is haploid.
    mask : uint64 array (W,)
        From `mask_words`.
    counts : int64 array (V, 2)
        Output.
    """
    V, W = words.shape
    H = haploid.shape[1]
    for v in range(V):
        ref, alt = 0, 0
        for w in range(W):
            marks = np.uint64(0)
            for b in range(4):
                if 4 * w + b < H:
                    marks |= np.uint64(haploid[v, 4 * w + b]) << np.uint64(8 * b)
            if marks == np.uint64(0):
                continue
            # Bit i to bit 2 i: halves are drawn apart, then quarters, ...
            marks = (marks | (marks << np.uint64(16))) & np.uint64(0x0000FFFF0000FFFF)
            marks = (marks | (marks << np.uint64(8))) & np.uint64(0x00FF00FF00FF00FF)
            marks = (marks | (marks << np.uint64(4))) & np.uint64(0x0F0F0F0F0F0F0F0F)
            marks = (marks | (marks << _TWO)) & _QUADS
            marks = (marks | (marks << _ONE)) & _PAIRS & mask[w]
            low = words[v, w]
            high = low >> _ONE
            ref += popcount(marks & ~low & ~high)
            alt += popcount(marks & ~low & high)
        counts[v, 0] = ref
        counts[v, 1] = alt


@jit
def count_codes_by_sample(packed: UInt8Array, counts: Int64Array) -> None:
    """Add to each sample the number of variants in which it has code 0, 1, 2, 3.

    Parameters
    ----------
    packed : uint8 array (V, B)
        Packed calls.
    counts : int64 array (N, 4)
        Added to.
    """
    V, B = packed.shape
    N = counts.shape[0]
    # for v: for i: counts[i, code[v, i]] += 1
    # In tiles of 255 variants a byte holds a sample's count: vertical sums of bytes, which vectorise.
    low = np.zeros((4, B), dtype=np.uint8)
    high = np.zeros((4, B), dtype=np.uint8)
    both = np.zeros((4, B), dtype=np.uint8)
    for first in range(0, V, 255):
        last = min(first + 255, V)
        low[:] = 0
        high[:] = 0
        both[:] = 0
        for v in range(first, last):
            for j in range(4):
                for b in range(B):
                    slot = packed[v, b] >> np.uint8(2 * j)
                    low[j, b] += np.uint8(slot & 1)
                    high[j, b] += np.uint8((slot >> 1) & 1)
                    both[j, b] += np.uint8((slot & (slot >> 1)) & 1)
        for i in range(N):
            n_low = np.int64(low[i & 3, i >> 2])
            n_high = np.int64(high[i & 3, i >> 2])
            n_both = np.int64(both[i & 3, i >> 2])
            counts[i, 0] += (last - first) - n_low - n_high + n_both
            counts[i, 1] += n_low - n_both
            counts[i, 2] += n_high - n_both
            counts[i, 3] += n_both
