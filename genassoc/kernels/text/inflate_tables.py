"""Decoding tables of deflate's codes (RFC 1951, 3.2).

A table is indexed by the next bits of the stream (the first bit lowest). Its entries, uint32:

====================  ==========================================================================
bits 0 to 5           bits to consume: those of the code and the extra bits behind it
bits 8 to 11          bits of the code alone
bits 13, 14, 15       end of the block; link to a second table; any of both, or no code at all
bits 16 to 30         the literal, the least length or distance, or where the second table begins
bit 31                a literal
====================  ==========================================================================
"""

import numpy as np

from genassoc.kernels import jit
from genassoc.shapes import Int64Array, UInt8Array, UInt32Array

PRECODE, LITERALS, DISTANCES = 0, 1, 2  # the three codes of a block
LONGEST = 15  # bits of a code
FIRST_BITS = np.array([7, 10, 8])  # bits that a code's first table is indexed by, at most
# where each code's table begins: there are at most half as many second tables as symbols
TABLE_BEGINS = np.array([0, 1 << 7, (1 << 7) + (1 << 10) + (144 << 5)])
TABLE_SIZE = int(TABLE_BEGINS[DISTANCES]) + (1 << 8) + (16 << 7)
LENGTHS_OF_PRECODE = 320  # where its code lengths stand, behind those of literals and distances
N_LENGTHS = LENGTHS_OF_PRECODE + 19
ROOM_SIZE = 2 * (LONGEST + 2) + 320

END, LINK, SPECIAL, LITERAL = 1 << 13, 1 << 14, 1 << 15, 1 << 31


def _ranges(first: int, extra_bits: list[int]) -> list[int]:
    """Entries of ranges that follow one another: the least value, and how many bits say which above it."""
    entries = []
    for bits in extra_bits:
        entries.append(first << 16 | bits)
        first += 1 << bits
    return entries


def _entries() -> UInt32Array:
    """Entries of every symbol of the three codes, without the bits of their codes: (3, 320); RFC 1951, 3.2.5."""
    table = np.full((3, 320), SPECIAL, dtype=np.uint32)
    table[PRECODE, :19] = [symbol << 16 for symbol in range(19)]
    table[LITERALS, :256] = [LITERAL | symbol << 16 for symbol in range(256)]
    table[LITERALS, 256] = SPECIAL | END
    table[LITERALS, 257:285] = _ranges(3, [0] * 4 + [bits for bits in range(6) for _ in range(4)])
    table[LITERALS, 285] = 258 << 16
    table[DISTANCES, :30] = _ranges(1, [0, 0] + [bits for bits in range(14) for _ in range(2)])
    return table


ENTRIES = _entries()


@jit
def build_table(kind: int, lengths: UInt8Array, first: int, n: int, tables: UInt32Array, room: Int64Array) -> int:
    """Decoding table of one of the three codes, whose ``n`` lengths begin at ``first``; bits of its index, or -1.

    The code must be complete; one code of one bit, or none at all, is let through (RFC 1951, 3.2.7).
    """
    table = tables[TABLE_BEGINS[kind] :]
    most = FIRST_BITS[kind]
    count, begin, order = room[: LONGEST + 1], room[LONGEST + 1 : 2 * LONGEST + 3], room[2 * (LONGEST + 2) :]
    for length in range(LONGEST + 1):
        count[length] = 0
    for s in range(first, first + n):
        if lengths[s] > 0:
            count[lengths[s]] += 1
    n_used = int(np.int64(0))
    space = int(np.int64(0))
    longest = int(np.int64(1))
    for length in range(1, LONGEST + 1):
        begin[length] = n_used
        n_used += count[length]
        space += count[length] << (LONGEST - length)
        if count[length] > 0:
            longest = length
    if space != 1 << LONGEST and not (n_used == 0 or (n_used == 1 and longest == 1)):
        return -1
    # symbols in the order of their codes: by length, then by number
    for s in range(n):
        length = lengths[first + s]
        if length > 0:
            order[begin[length]] = s
            begin[length] += 1
    width = min(most, longest)
    if n_used < 2:
        table[0] = table[1] = SPECIAL
    code = int(np.int64(0))  # the first bit lowest
    k = int(np.int64(0))
    size = int(np.int64(1))
    for length in range(1, width + 1):
        # what is known by fewer bits holds whatever the next bit is
        for i in range(size):
            table[size + i] = table[i]
        size *= 2
        for _ in range(count[length]):
            table[code] = ENTRIES[kind, order[k]] + np.uint32(length << 8 | length)
            code = _next_code(code, length)
            k += 1
    seconds = size - (1 << (LONGEST - most))
    prefix = int(np.int64(-1))
    while k < n_used:
        length = int(np.int64(lengths[first + order[k]]))
        if code & (size - 1) != prefix:
            prefix = code & (size - 1)
            seconds += 1 << (LONGEST - most)
            table[prefix] = np.uint32(seconds << 16 | SPECIAL | LINK | width)
        rest = length - width
        entry = ENTRIES[kind, order[k]] + np.uint32(rest << 8 | rest)
        for i in range(code >> width, 1 << (LONGEST - most), 1 << rest):
            table[seconds + i] = entry
        code = _next_code(code, length)
        k += 1
    return width


@jit
def _next_code(code: int, length: int) -> int:
    """The code behind one of ``length`` bits: one more, counted from the bit that comes first, which is the highest."""
    bit = 1 << (length - 1)
    while code & bit:
        code ^= bit
        bit >>= 1
    return code | bit
