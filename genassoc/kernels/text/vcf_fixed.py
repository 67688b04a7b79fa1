"""Calls of four bytes, ``a / b tab``, to packed rows: sixteen calls, 64 bytes of text, one 32-bit word of the row a step."""

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.text.vector_text import WIDTH, call_masks, ones
from genassoc.shapes import UInt8Array

CALLS = WIDTH // 4  # a step

# Where each part of a call stands in 64 bytes: bit 4 j is the first allele of call j.
_ALLELES = np.uint64(0x5555555555555555)
_SEPARATORS = np.uint64(0x2222222222222222)
_TABS = np.uint64(0x8888888888888888)
_FIRST = np.uint64(0x1111111111111111)
_ALL = np.uint64(0xFFFFFFFFFFFFFFFF)


@jit
def two_bits_of_four(bits: np.uint64) -> np.uint32:
    """The lower two bits of each of sixteen groups of four, joined: ``0010 0001`` is ``1001``. The upper two must be 0."""
    two = np.uint64(2)
    four = np.uint64(4)
    eight = np.uint64(8)
    sixteen = np.uint64(16)
    bits = (bits | (bits >> two)) & np.uint64(0x0F0F0F0F0F0F0F0F)
    bits = (bits | (bits >> four)) & np.uint64(0x00FF00FF00FF00FF)
    bits = (bits | (bits >> eight)) & np.uint64(0x0000FFFF0000FFFF)
    return np.uint32((bits | (bits >> sixteen)) & np.uint64(0x00000000FFFFFFFF))


@jit
def pack_fixed(
    text: UInt8Array, at: int, n_calls: int, n_alternates: int, k: int, packed: UInt8Array
) -> tuple[bool, int]:
    """Pack ALT ``k`` of ``n_calls`` calls from ``at`` into one row (B,); (all sound, calls with one allele of two ``.``).

    ``code = 3 if either allele is '.' else (a == k) + (b == k)``. The last call's fourth byte is not looked at: a line
    may end there. At most nine ALTs. Where a call is no ``a/b`` or ``a|b`` the row is worth nothing.
    """
    row = packed.view(np.uint32)
    steps = (n_calls - 1) // CALLS
    top = np.uint8(n_alternates)
    wanted = np.uint8(k)
    one = np.uint64(1)
    two = np.uint64(2)
    found = _ALL
    n_half = 0
    for w in range(steps):
        allele, separator, tab, counted, absent = call_masks(text, at + WIDTH * w, top, wanted)
        found &= (allele & _ALLELES) | (separator & _SEPARATORS) | (tab & _TABS)
        a = counted & _FIRST
        b = (counted >> two) & _FIRST
        a_absent = absent & _FIRST
        b_absent = (absent >> two) & _FIRST
        missing = a_absent | b_absent
        n_half += ones(a_absent ^ b_absent)
        # 0, 1 or 2 as two bits; or 3
        low = (a ^ b) | missing
        high = (a & b) | missing
        row[w] = two_bits_of_four(low | (high << one))
    sound = found == _ALL
    for w in range(steps, row.shape[0]):
        word = np.uint32(0)
        for j in range(CALLS):
            i = w * CALLS + j
            code = 3
            if i < n_calls:
                code, half, call_sound = _one_call(text, at + 4 * i, i == n_calls - 1, n_alternates, k)
                n_half += half
                sound = sound and call_sound
            word |= np.uint32(code) << np.uint32(2 * j)
        row[w] = word
    return sound, n_half


@jit
def _one_call(text: UInt8Array, at: int, is_last: bool, n_alternates: int, k: int) -> tuple[int, int, bool]:
    """One call of four bytes: (code, 1 if one allele of two is ``.``, whether it is sound)."""
    a = int(text[at]) - 48
    b = int(text[at + 2]) - 48
    sound = (text[at + 1] == 47 or text[at + 1] == 124) and (is_last or text[at + 3] == 9)
    a_absent = a == -2
    b_absent = b == -2
    sound = sound and (a_absent or (a >= 0 and a <= n_alternates)) and (b_absent or (b >= 0 and b <= n_alternates))
    if a_absent or b_absent:
        return 3, int(a_absent != b_absent), sound
    return int(a == k) + int(b == k), 0, sound
