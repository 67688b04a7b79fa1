"""Decimal numbers of VCF text in whole billionths: exact to nine decimals, rounded to the nearest beyond.

Nearly all are a digit, a point and up to six digits (``0.998``): those are read as one word of eight bytes. The rest, such as
``1e-05``, are read a byte at a time.
"""

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.text.vcf_fields import COLON, COMMA, DOT, NEWLINE, RETURN, TAB, ZERO
from genassoc.kernels.text.vector_bytes import word_at
from genassoc.kernels.text.vector_text import trailing_zeros
from genassoc.shapes import UInt8Array

BILLION = 1_000_000_000
NUMBER, NOTHING, NO_NUMBER = 0, 1, 2  # "." and nan are nothing
MOST = 4_000_000_000_000_000_000  # of billionths: larger numbers, and infinity, are this
_DIGITS = 18  # of a number that are read; 64 bits hold them

_LOW_BYTE = np.uint64(0xFF)
_ZEROS = np.uint64(0x3030303030303030)
_BEYOND_NINE = np.uint64(0x7676767676767676)
_TOP_BITS = np.uint64(0x8080808080808080)
_PAIRS = np.uint64(0x00FF00FF00FF00FF)
_QUADS = np.uint64(0x0000FFFF0000FFFF)
_TEN, _HUNDRED, _TEN_THOUSAND = np.uint64(10), np.uint64(100), np.uint64(10_000)
_ONE, _EIGHT, _SIXTEEN, _THIRTY_TWO = np.uint64(1), np.uint64(8), np.uint64(16), np.uint64(32)


@jit
def ends(c: int) -> bool:
    """Whether a byte may follow a number."""
    return c == COMMA or c == TAB or c == COLON or c == NEWLINE or c == RETURN


@jit
def read_number(text: UInt8Array, at: int) -> tuple[int, int, int]:
    """The number that starts at ``at``: (`NUMBER`, `NOTHING` or `NO_NUMBER`, billionths, offset of the first byte after it)."""
    first = int(text[at]) - ZERO
    if first >= 0 and first <= 9 and at + 9 < text.shape[0]:
        second = int(text[at + 1])
        if ends(second):
            return NUMBER, first * BILLION, at + 1
        if second == DOT:
            word = word_at(text, at)
            # without the point: up to seven digits, the first lowest
            digits = ((word & _LOW_BYTE) | ((word >> _SIXTEEN) << _EIGHT)) ^ _ZEROS
            others = ((digits + _BEYOND_NINE) | digits) & _TOP_BITS  # bytes that are no digits; the eighth is one
            n = trailing_zeros(others) >> 3
            if n > 1 and ends(int(text[at + 1 + n])):
                digits &= (_ONE << np.uint64(8 * n)) - _ONE  # what follows becomes zeros: seven decimals
                pairs = (digits * _TEN + (digits >> _EIGHT)) & _PAIRS
                quads = (pairs * _HUNDRED + (pairs >> _SIXTEEN)) & _QUADS
                value = quads * _TEN_THOUSAND + (quads >> _THIRTY_TWO)
                return NUMBER, int(np.int64(value & np.uint64(0xFFFFFFFF))) * 100, at + 1 + n
    return _read_any(text, at)


@jit
def _letter(text: UInt8Array, at: int) -> int:
    return int(text[at]) | 32


@jit
def _read_any(text: UInt8Array, at: int) -> tuple[int, int, int]:
    """As `read_number`, a byte at a time."""
    if text[at] == DOT and ends(int(text[at + 1])):
        return NOTHING, 0, at + 1
    negative = text[at] == 45
    if text[at] == 45 or text[at] == 43:
        at += 1
    if _letter(text, at) == 110:  # nan
        if _letter(text, at + 1) == 97 and _letter(text, at + 2) == 110 and ends(int(text[at + 3])):
            return NOTHING, 0, at + 3
        return NO_NUMBER, 0, at
    if _letter(text, at) == 105:  # inf, infinity
        n = 0
        while _letter(text, at + n) >= 97 and _letter(text, at + n) <= 122:
            n += 1
        if (n == 3 or n == 8) and _letter(text, at + 1) == 110 and _letter(text, at + 2) == 102:
            return NUMBER, -MOST if negative else MOST, at + n
        return NO_NUMBER, 0, at
    value, n_digits, power, any_digit, point = 0, 0, 0, False, False
    while True:
        c = int(text[at])
        if c == DOT and not point:
            point = True
        elif c >= ZERO and c <= 57:
            any_digit = True
            if n_digits < _DIGITS:
                value = 10 * value + (c - ZERO)
                n_digits += int(value > 0)
                power -= int(point)
            elif not point:
                power += 1
        else:
            break
        at += 1
    if not any_digit:
        return NO_NUMBER, 0, at
    if text[at] == 101 or text[at] == 69:  # e
        at += 1
        down = text[at] == 45
        if text[at] == 45 or text[at] == 43:
            at += 1
        if text[at] < ZERO or text[at] > 57:
            return NO_NUMBER, 0, at
        exponent = 0
        while text[at] >= ZERO and text[at] <= 57:
            if exponent < 100_000:
                exponent = 10 * exponent + (int(text[at]) - ZERO)
            at += 1
        power += -exponent if down else exponent
    value = _scaled(value, power + 9)
    return NUMBER, -value if negative else value, at


@jit
def _scaled(value: int, power: int) -> int:
    """``value * 10 ** power``, rounded to the nearest whole number; at most `MOST`."""
    while power > 0 and value > 0:
        if value > MOST // 10:
            return MOST
        value *= 10
        power -= 1
    if power < -_DIGITS:
        return 0
    divisor = 1
    while power < 0:
        divisor *= 10
        power += 1
    return (value + divisor // 2) // divisor
