"""Numbers as decimal text, digit by digit."""

from genassoc.kernels import jit
from genassoc.shapes import UInt8Array

_ZERO, _DOT = 48, 46


@jit
def put_whole(text: UInt8Array, at: int, number: int) -> int:
    """Write a whole number that is not negative; the place behind it."""
    digits, left = 1, number // 10
    while left > 0:
        digits += 1
        left //= 10
    left = number
    for k in range(digits - 1, -1, -1):
        text[at + k] = _ZERO + left % 10
        left //= 10
    return at + digits


@jit
def put_fraction(text: UInt8Array, at: int, parts: int, unit: int) -> int:
    """Write a point and parts / unit, a power of ten, without zeros at the end; nothing of 0. The place behind it."""
    if parts > 0:
        text[at] = _DOT
        at += 1
        left = parts
        while left > 0:
            unit //= 10
            text[at] = _ZERO + left // unit
            left %= unit
            at += 1
    return at
