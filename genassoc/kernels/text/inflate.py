"""Inflating BGZF blocks (RFC 1951), made for text that repeats itself: calls of the same few bytes, over and over.

Most of what a VCF's genotypes inflate to are long copies from a few bytes before: in runs of ``0/0`` four bytes before.
General libraries copy those in steps of the distance; here they are filled in steps of 32 bytes.

Nothing is written behind the room asked for, and nothing is read behind the data, whatever the data holds. Every function says
only whether the data is sound: an inflater that words its complaints is asked to look again where it is not.
"""

from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit, native
from genassoc.kernels.text.inflate_tables import (  # fmt: skip
    DISTANCES,
    END,
    FIRST_BITS,
    LENGTHS_OF_PRECODE,
    LINK,
    LITERAL,
    LITERALS,
    LONGEST,
    N_LENGTHS,
    PRECODE,
    ROOM_SIZE,
    SPECIAL,
    TABLE_BEGINS,
    TABLE_SIZE,
    build_table,
)
from genassoc.kernels.text.vector_bytes import STEP, WORD, copy_step, copy_word, fill_step, word_at
from genassoc.shapes import Int64Array, UInt8Array, UInt32Array

SLACK = 384  # bytes behind the last block's text that are overwritten: the longest copy (258) and a step or two
TRAILER = 8  # CRC and length behind the data of a block

_PRECODE_ORDER = np.array([16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15])


class Room(NamedTuple):
    """What `inflate_blocks` works in, for one thread at a time: `working_room`.

    Attributes
    ----------
    tables : uint32 (`TABLE_SIZE`,)
    lengths : uint8 (`N_LENGTHS`,)
    counts : int64 (`ROOM_SIZE`,)
    """

    tables: UInt32Array
    lengths: UInt8Array
    counts: Int64Array


def working_room() -> Room:
    """Room for one thread."""
    return Room(np.empty(TABLE_SIZE, np.uint32), np.empty(N_LENGTHS, np.uint8), np.empty(ROOM_SIZE, np.int64))


class Span(NamedTuple):
    """Where the text of a stream may lie in ``out``: first byte, next to write, end."""

    first: int
    to: int
    end: int


@jit
def _refill(data: UInt8Array, at: int, bits: np.uint64, left: np.uint64) -> tuple[int, np.uint64, np.uint64]:
    """Have at least 56 bits; behind the data come zeros. (Where to read next, bits, how many of them count.)"""
    while left < np.uint64(56):
        if at < data.shape[0]:
            bits |= np.uint64(data[at]) << left
        at += 1
        left += np.uint64(8)
    return at, bits, left


@jit
def _decode(
    data: UInt8Array,
    at: int,
    bits: np.uint64,
    left: np.uint64,
    tables: UInt32Array,
    widths: tuple[int, int],
    out: UInt8Array,
    span: Span,
) -> tuple[int, np.uint64, np.uint64, int]:
    """Symbols up to the end of a deflate block: (where to read next, bits, how many count, where to write next or -1).

    ``widths`` are the bits that look up a literal and a distance.
    One loop without calls: a call would count references to the arrays, which costs as much as a symbol.
    """
    literal_bits, distance_bits = widths
    begin, to, stop = span.first, span.to, span.end
    low = np.uint32(63)
    one = np.uint64(1)
    literal_mask = (one << np.uint64(literal_bits)) - one
    distance_mask = (one << np.uint64(distance_bits)) - one
    second_literal_mask = (one << np.uint64(LONGEST - FIRST_BITS[LITERALS])) - one
    second_distance_mask = (one << np.uint64(LONGEST - FIRST_BITS[DISTANCES])) - one
    literals, distances = np.uint64(TABLE_BEGINS[LITERALS]), np.uint64(TABLE_BEGINS[DISTANCES])
    last_word = data.shape[0] - WORD
    source, end, distance = to, to, 1  # what is to be copied
    while True:
        # at least 56 bits: a length and a distance take 48
        if at <= last_word:
            bits |= word_at(data, at) << left
            at += int(np.int64((np.uint64(63) - left) >> np.uint64(3)))
            left |= np.uint64(56)
        else:
            while left < np.uint64(56):
                if at < data.shape[0]:
                    bits |= np.uint64(data[at]) << left
                at += 1
                left += np.uint64(8)
        # the next symbol is looked up before the last one is copied: the processor need not wait for it behind the copy
        entry = tables[literals + (bits & literal_mask)]
        if to < end:
            # up to 95 bytes behind the copy are overwritten
            if distance >= STEP:
                copy_step(out, source, to)
                copy_step(out, source + STEP, to + STEP)
                to += 2 * STEP
                while to < end:
                    copy_step(out, to - distance, to)
                    copy_step(out, to - distance + STEP, to + STEP)
                    to += 2 * STEP
            elif distance == 4 or distance == 8 or distance == 1 or distance == 2:
                word = word_at(out, source)
                if distance == 4:
                    word = (word & np.uint64(0xFFFFFFFF)) * np.uint64(0x0000000100000001)
                elif distance == 2:
                    word = (word & np.uint64(0xFFFF)) * np.uint64(0x0001000100010001)
                elif distance == 1:
                    word = (word & np.uint64(0xFF)) * np.uint64(0x0101010101010101)
                while to < end:
                    fill_step(out, to, word)
                    fill_step(out, to + STEP, word)
                    to += 2 * STEP
            elif distance >= WORD:
                while to < end:
                    copy_word(out, to - distance, to)
                    to += WORD
            else:
                while to < end:
                    out[np.uint64(to)] = out[np.uint64(to - distance)]
                    to += 1
            to = end
        if entry & np.uint32(LITERAL | SPECIAL):
            if entry & np.uint32(LITERAL | LINK) == np.uint32(LINK):
                used = np.uint64(entry & low)
                bits >>= used
                left -= used
                entry = tables[
                    literals + np.uint64((entry >> np.uint32(16)) & np.uint32(0x7FFF)) + (bits & second_literal_mask)
                ]
            used = np.uint64(entry & low)
            if entry & np.uint32(LITERAL):
                bits >>= used
                left -= used
                out[np.uint64(to)] = np.uint8((entry >> np.uint32(16)) & np.uint32(255))
                to += 1
                end = to
                if to > stop:
                    return at, bits, left, -1
                continue
            if entry & np.uint32(END):
                return at, bits >> used, left - used, to
            if entry & np.uint32(SPECIAL):
                return at, bits, left, -1
        used = np.uint64(entry & low)
        extra = (bits & ((one << used) - one)) >> np.uint64((entry >> np.uint32(8)) & np.uint32(15))
        length = int(np.int64(entry >> np.uint32(16))) + int(np.int64(extra))
        bits >>= used
        left -= used
        entry = tables[distances + (bits & distance_mask)]
        if entry & np.uint32(SPECIAL):
            if not entry & np.uint32(LINK):
                return at, bits, left, -1
            used = np.uint64(entry & low)
            bits >>= used
            left -= used
            entry = tables[
                distances + np.uint64((entry >> np.uint32(16)) & np.uint32(0x7FFF)) + (bits & second_distance_mask)
            ]
            if entry & np.uint32(SPECIAL):
                return at, bits, left, -1
        used = np.uint64(entry & low)
        extra = (bits & ((one << used) - one)) >> np.uint64((entry >> np.uint32(8)) & np.uint32(15))
        distance = int(np.int64(entry >> np.uint32(16))) + int(np.int64(extra))
        bits >>= used
        left -= used
        source = to - distance
        end = to + length
        if source < begin or end > stop:
            return at, bits, left, -1


@jit
def _read_lengths(
    data: UInt8Array,
    at: int,
    bits: np.uint64,
    left: np.uint64,
    room: Room,
) -> tuple[int, np.uint64, np.uint64, int, int]:
    """Code lengths of a dynamic block: (where to read next, bits, how many count, literals or -1, distances)."""
    tables, lengths = room.tables, room.lengths
    at, bits, left = _refill(data, at, bits, left)
    n_literals = 257 + int(np.int64(bits & np.uint64(31)))
    n_distances = 1 + int(np.int64((bits >> np.uint64(5)) & np.uint64(31)))
    n_precode = 4 + int(np.int64((bits >> np.uint64(10)) & np.uint64(15)))
    bits >>= np.uint64(14)
    left -= np.uint64(14)
    if n_literals > 286 or n_distances > 30:
        return at, bits, left, -1, 0
    precode = int(np.int64(LENGTHS_OF_PRECODE))
    for i in range(19):
        lengths[precode + i] = 0
    for i in range(n_precode):
        at, bits, left = _refill(data, at, bits, left)
        lengths[precode + _PRECODE_ORDER[i]] = np.uint8(bits & np.uint64(7))
        bits >>= np.uint64(3)
        left -= np.uint64(3)
    kind, n = int(np.int64(PRECODE)), int(np.int64(19))
    width = build_table(kind, lengths, precode, n, tables, room.counts)
    if width < 0:
        return at, bits, left, -1, 0
    mask = (np.uint64(1) << np.uint64(width)) - np.uint64(1)
    n = n_literals + n_distances
    i = 0
    while i < n:
        at, bits, left = _refill(data, at, bits, left)
        entry = tables[bits & mask]
        if entry & np.uint32(SPECIAL):
            return at, bits, left, -1, 0
        used = np.uint64(entry & np.uint32(63))
        bits >>= used
        left -= used
        symbol = int(np.int64(entry >> np.uint32(16)))
        if symbol < 16:
            lengths[i] = symbol
            i += 1
            continue
        extra = 7 if symbol == 18 else symbol - 14
        times = (11 if symbol == 18 else 3) + int(np.int64(bits & np.uint64((1 << extra) - 1)))
        bits >>= np.uint64(extra)
        left -= np.uint64(extra)
        if i + times > n or (symbol == 16 and i == 0):
            return at, bits, left, -1, 0
        value = lengths[i - 1] if symbol == 16 else np.uint8(0)
        for j in range(i, i + times):
            lengths[j] = value
        i += times
    if lengths[256] == 0:
        return at, bits, left, -1, 0
    return at, bits, left, n_literals, n_distances


@jit
def inflate(data: UInt8Array, begin: int, stop: int, out: UInt8Array, to: int, size: int, room: Room) -> bool:
    """Inflate the deflate stream in ``data[begin:stop]`` to ``out[to : to + size]``; whether both are just filled.

    ``out`` needs `SLACK` bytes behind.
    """
    tables, lengths = room.tables, room.lengths
    at = begin
    bits = left = np.uint64(0)
    first, end = to, to + size
    final = False
    while not final:
        at, bits, left = _refill(data, at, bits, left)
        if at - int(np.int64(left >> np.uint64(3))) > stop:
            return False
        final = bits & np.uint64(1) == np.uint64(1)
        kind = int(np.int64((bits >> np.uint64(1)) & np.uint64(3)))
        bits >>= np.uint64(3)
        left -= np.uint64(3)
        if kind == 0:
            at -= int(np.int64(left >> np.uint64(3)))
            bits = left = np.uint64(0)
            if at + 4 > stop:
                return False
            n = int(np.int64(data[at])) | int(np.int64(data[at + 1])) << 8
            if (
                n ^ (int(np.int64(data[at + 2])) | int(np.int64(data[at + 3])) << 8) != 0xFFFF
                or at + 4 + n > stop
                or to + n > end
            ):
                return False
            at += 4
            for i in range(n):
                out[to + i] = data[at + i]
            at += n
            to += n
            continue
        n_literals, n_distances = 288, 32
        if kind == 1:
            for s in range(288):
                lengths[s] = 8 + int(s >= 144) - 2 * int(s >= 256) + int(s >= 280)
            for s in range(288, 320):
                lengths[s] = 5
        elif kind == 2:
            at, bits, left, n_literals, n_distances = _read_lengths(data, at, bits, left, room)
        if kind == 3 or n_literals < 0:
            return False
        widths = (int(np.int64(0)), int(np.int64(0)))
        for kind in range(LITERALS, DISTANCES + 1):
            start, n = (0, n_literals) if kind == LITERALS else (n_literals, n_distances)
            width = build_table(kind, lengths, start, n, tables, room.counts)
            if width < 0:
                return False
            widths = (widths[1], width)
        at, bits, left, to = _decode(data, at, bits, left, tables, widths, out, Span(first, to, end))
        if to < 0:
            return False
    return to == end and at - int(np.int64(left >> np.uint64(3))) == stop


@native
def inflate_blocks(
    data: UInt8Array,
    ends: Int64Array,
    out: UInt8Array,
    to: int,
    room: Room,
    stops: Int64Array,
) -> int:
    """Inflate neighbouring BGZF blocks one behind another from ``out[to]`` on; how many are sound before the first that is not.

    ``ends`` (blocks,) says where each ends in ``data``, ``stops`` (blocks,) is told where its text ends in ``out``. The
    blocks' headers must be whole, and the lengths behind their data fit ``out`` with `SLACK` to spare.
    """
    begin = 0
    for b in range(ends.shape[0]):
        end = ends[b]
        header = 12 + (int(np.int64(data[begin + 10])) | int(np.int64(data[begin + 11])) << 8)
        size = int(np.int64(0))
        for i in range(4):
            size |= int(np.int64(data[end - 4 + i])) << (8 * i)
        if begin + header + TRAILER > end or not inflate(data, begin + header, end - TRAILER, out, to, size, room):
            return b
        to += size
        stops[b] = to
        begin = end
    return ends.shape[0]
