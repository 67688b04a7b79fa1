"""BGZF (SAM specification, section 4.1): where blocks lie, and the checksum of what several inflate to."""

import numpy as np

from genassoc.kernels import jit, native
from genassoc.kernels.text.little_endian import number_at
from genassoc.shapes import Int64Array, UInt8Array

_HEADER = 18  # bytes that bgzip writes before the data of a block
_TRAILER = 8  # CRC and length behind it
_POLYNOMIAL = np.uint32(0xEDB88320)  # of CRC-32, its lowest power in the highest bit
_ONE, _TOP = np.uint32(1), np.uint32(1 << 31)


@native
def find_blocks(data: UInt8Array, begin: int, ends: Int64Array, sizes: Int64Array) -> int:
    """Find neighbouring blocks that are whole and have the header that bgzip writes.

    Parameters
    ----------
    data : uint8 (bytes,)
    begin : int
        Where the first block begins.
    ends, sizes : int64 (blocks,)
        Filled: where each ends, what it says that it inflates to. As many are looked for as there is room for.

    Returns
    -------
    int
        How many were found before the first that is cut, or has another header.
    """
    at, L = begin, data.shape[0]
    for b in range(ends.shape[0]):
        # magic, deflate, an extra field of 6 bytes that is BC of 2 bytes
        if at + _HEADER > L or number_at(data, at, 4) != 0x04088B1F or number_at(data, at + 10, 6) != 0x000243420006:
            return b
        end = at + number_at(data, at + 16, 2) + 1
        if end > L or end < at + _HEADER + _TRAILER:
            return b
        ends[b] = end
        sizes[b] = number_at(data, end - 4, 4)
        at = end
    return ends.shape[0]


@jit
def _product(a: np.uint32, b: np.uint32) -> np.uint32:
    """a times b, polynomials modulo that of CRC-32."""
    product, bit = np.uint32(0), _TOP
    while bit != np.uint32(0):
        if a & bit:
            product ^= b
        bit >>= _ONE
        b = np.uint32((b >> _ONE) ^ (_POLYNOMIAL if b & _ONE else np.uint32(0)))
    return product


@native
def joined_checksum(data: UInt8Array, ends: Int64Array, sizes: Int64Array) -> int:
    """CRC-32 of what blocks inflate to, one after another, from the CRC-32 that each says.

    Parameters
    ----------
    data : uint8 (bytes,)
    ends, sizes : int64 (blocks,)
        From `find_blocks`.
    """
    joined, shift, shifted_by = np.uint32(0), _TOP, 0
    for b in range(ends.shape[0]):
        if sizes[b] != shifted_by:  # x^(8 size): CRC(AB) = CRC(A) x^(8 |B|) + CRC(B)
            shift, square, left = _TOP, np.uint32(1 << 23), sizes[b]
            while left > 0:
                if left & 1:
                    shift = np.uint32(_product(square, shift))
                square = np.uint32(_product(square, square))
                left >>= 1
            shifted_by = sizes[b]
        joined = np.uint32(_product(shift, joined) ^ np.uint32(number_at(data, ends[b] - _TRAILER, 4)))
    return int(np.int64(joined))
