"""Where the variant blocks of a BGEN lie in a buffer, and what they inflate to.

Every length is read only where it lies within the buffer, and used only where what it measures does.
"""

from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit, native
from genassoc.kernels.text.inflate import Room, inflate
from genassoc.kernels.text.little_endian import number_at
from genassoc.shapes import Int64Array, UInt8Array

# Columns of a block's place: offsets in the buffer; of the second identifier, the rsid and the contig begin and end; the first allele's
# length; the genotypes as they lie in the file.
BEGIN, VARID, VARID_END, RSID, RSID_END, CONTIG, CONTIG_END, POSITION, N_ALLELES, ALLELES, DATA, DATA_END, SIZE = range(
    13
)
N_BLOCK = 13
# Why the walk stopped: the buffer ends, there is no room for more, or a block is malformed.
MORE, FULL, OTHER_SAMPLES, NO_ALLELES, TOO_SHORT, CONTROL, EMPTY_ALLELE, NO_CONTIG = range(8)
NONE, ZLIB, ZSTD = 0, 1, 2  # compression of genotypes
LAYOUT_1_BYTES = 6  # a sample
_ADLER = 65521
_ADLER_BYTES = 5552  # sums of so many bytes fit 32 bits, as in zlib
ZLIB_HEADER, ZLIB_TRAILER = 2, 4


class Coding(NamedTuple):
    """How the genotypes of a BGEN lie in its blocks.

    Attributes
    ----------
    layout : int
        1 or 2.
    compression : int
    n_samples : int
        Of the file.
    """

    layout: int
    compression: int
    n_samples: int


@jit
def _has_control(data: UInt8Array, begin: int, end: int) -> bool:
    """Whether text has a byte that no identifier has: a tab, a line feed."""
    for k in range(begin, end):
        if data[k] < 32 or data[k] == 127:
            return True
    return False


@native
def find_variants(data: UInt8Array, begin: int, coding: Coding, places: Int64Array, stopped: Int64Array) -> int:
    """Find neighbouring variant blocks that are whole.

    Parameters
    ----------
    data : uint8 (bytes,)
    begin : int
        Where the first begins.
    coding : Coding
    places : int64 (blocks, `N_BLOCK`)
        Filled; as many are looked for as there is room for.
    stopped : int64 (2,)
        Filled: why no more were found, and for `MORE` where the next block ends as far as it is known.

    Returns
    -------
    int
        How many were found.
    """
    L = data.shape[0]
    at = begin
    stopped[0], stopped[1] = FULL, 0
    for b in range(places.shape[0]):
        place = places[b]
        place[BEGIN] = at
        to = at
        if coding.layout == 1:
            to += 4
            if to <= L and number_at(data, at, 4) != coding.n_samples:
                stopped[0] = OTHER_SAMPLES
                return b
        for column in range(VARID, CONTIG + 1, 2):
            if to + 2 > L:
                stopped[0], stopped[1] = MORE, to + 2
                return b
            length = number_at(data, to, 2)
            to += 2
            place[column] = to
            to += length
            place[column + 1] = to
        fixed = 6 if coding.layout == 2 else 4
        if to + fixed > L:
            stopped[0], stopped[1] = MORE, to + fixed
            return b
        place[POSITION] = number_at(data, to, 4)
        K = number_at(data, to + 4, 2) if coding.layout == 2 else 2
        to += fixed
        place[N_ALLELES], place[ALLELES] = K, to
        if K == 0:
            stopped[0] = NO_ALLELES
            return b
        for _ in range(K):
            if to + 4 > L:
                stopped[0], stopped[1] = MORE, to + 4
                return b
            length = number_at(data, to, 4)
            if length == 0:
                stopped[0] = EMPTY_ALLELE
                return b
            if to + 4 + length <= L and _has_control(data, to + 4, to + 4 + length):
                stopped[0] = CONTROL
                return b
            to += 4 + length
        size = LAYOUT_1_BYTES * coding.n_samples
        n = size
        if coding.layout == 2 or coding.compression != NONE:
            if to + 4 > L:
                stopped[0], stopped[1] = MORE, to + 4
                return b
            n = number_at(data, to, 4)
            to += 4
            if coding.layout == 2 and coding.compression != NONE:
                if n < 4:
                    stopped[0] = TOO_SHORT
                    return b
                if to + 4 > L:
                    stopped[0], stopped[1] = MORE, to + 4
                    return b
                size = number_at(data, to, 4)
                to += 4
                n -= 4
            elif coding.layout == 2:
                size = n
        place[DATA], place[DATA_END], place[SIZE] = to, to + n, size
        to += n
        if to > L:
            stopped[0], stopped[1] = MORE, to
            return b
        for column in range(VARID, CONTIG + 1, 2):
            if _has_control(data, place[column], place[column + 1]):
                stopped[0] = CONTROL
                return b
        if place[CONTIG] == place[CONTIG_END]:
            stopped[0] = NO_CONTIG
            return b
        at = to
    return int(places.shape[0])


@jit
def _adler(data: UInt8Array, begin: int, end: int) -> int:
    """Adler-32 (RFC 1950) of some bytes."""
    low, high = 1, 0
    at = begin
    while at < end:
        n = min(_ADLER_BYTES, end - at)
        piece = data[at : at + n]
        sum_bytes, weighted = 0, 0
        for i in range(n):
            byte = int(np.int64(piece[i]))
            sum_bytes += byte
            weighted += (n - i) * byte
        high = (high + n * low + weighted) % _ADLER
        low = (low + sum_bytes) % _ADLER
        at += n
    return (high << 16) | low


@native
def inflate_streams(data: UInt8Array, places: Int64Array, out: UInt8Array, begins: Int64Array, room: Room) -> int:
    """Inflate the zlib streams of blocks; how many are sound before the first that is not.

    Parameters
    ----------
    data : uint8 (bytes,)
    places : int64 (blocks, `N_BLOCK`)
        From `find_variants`.
    out : uint8 (bytes,)
        Filled, with `genassoc.kernels.text.inflate.SLACK` bytes to spare behind.
    begins : int64 (blocks,)
        Where each one's bytes begin in ``out``.
    room : Room
    """
    for b in range(places.shape[0]):
        begin, end, size, to = places[b, DATA], places[b, DATA_END], places[b, SIZE], begins[b]
        if end - begin < ZLIB_HEADER + ZLIB_TRAILER:
            return b
        method = number_at(data, begin, 1)
        check = 256 * method + number_at(data, begin + 1, 1)
        # deflate, a window of 32 kB at most, no dictionary, and the header's own check
        if method & 15 != 8 or method >> 4 > 7 or check & 32 or check % 31:
            return b
        if not inflate(data, begin + ZLIB_HEADER, end - ZLIB_TRAILER, out, to, size, room):
            return b
        stated = 0
        for k in range(ZLIB_TRAILER):
            stated = 256 * stated + number_at(data, end - ZLIB_TRAILER + k, 1)
        if _adler(out, to, to + size) != stated:
            return b
    return int(places.shape[0])
