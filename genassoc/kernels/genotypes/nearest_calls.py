"""Hard calls of dosages: the nearest copy, packed two bits a call. Without a division or a branch a sample: it runs in vectors."""

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.text.vector_bytes import WORD, word_at
from genassoc.shapes import UInt8Array, UInt16Array

CALLS_A_WORD = 32


@jit
def pack_nearest(values: UInt16Array, one: int, codes: UInt8Array, packed: UInt8Array) -> None:
    """Pack the copies that the dosages of a row are within a tenth of; "not observed" where they are of none.

    Parameters
    ----------
    values : uint16 (N,)
        Steps; 65535 where not observed.
    one : int
        Steps of a copy.
    codes : uint8 (C,)
        Room for a call a byte, N rounded up to 32.
    packed : uint8 (B,)
        Filled, the padding 3.
    """
    N = values.shape[0]
    tenth = one // 10
    for i in range(N):
        x = int(np.int64(values[i]))
        # |x - copies one| <= one / 10: x is whole, so one may be divided first
        zero, single = x <= tenth, abs(x - one) <= tenth
        double = (x >= 2 * one - tenth) & (x <= 2 * one)
        codes[i] = 3 - 3 * int(zero) - 2 * int(single) - int(double)
    for i in range(N, codes.shape[0]):
        codes[i] = 3
    for w in range(codes.shape[0] // WORD):
        # eight calls in eight bytes move together: by 6, 12 and 24 bits
        word = word_at(codes, WORD * w)
        word = (word | (word >> np.uint64(6))) & np.uint64(0x000F000F000F000F)
        word = (word | (word >> np.uint64(12))) & np.uint64(0x000000FF000000FF)
        word = word | (word >> np.uint64(24))
        packed[2 * w] = np.uint8(word & np.uint64(255))
        packed[2 * w + 1] = np.uint8((word >> np.uint64(8)) & np.uint64(255))
