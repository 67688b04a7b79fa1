"""The hard calls of dosages in fixed point: without a division or a branch a sample."""

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.text.vector_bytes import WORD, word_at
from genassoc.shapes import UInt8Array, UInt16Array

_CODE = np.arange(4, dtype=np.uint8)
_LAST = 65534  # 65535 is a dosage that is not observed, and a hair above two copies of 32767 steps


@jit
def nearest_calls(values: UInt16Array, one: int, codes: UInt8Array) -> None:
    """The copies that dosages are within a tenth of (as PLINK 2), 3 where they are of none.

    Parameters
    ----------
    values : uint16 array (N,)
        Steps; 65535 where not observed.
    one : int
        Steps of a copy, up to 32767.
    codes : uint8 array (N or more,)
        The first N are filled.
    """
    # |x - copies one| <= one / 10: x is whole, so one may be divided first
    tenth = np.uint16(one // 10)
    single, single_end = np.uint16(one - one // 10), np.uint16(one + one // 10)
    double, double_end = np.uint16(2 * one - one // 10), np.uint16(min(2 * one + one // 10, _LAST))
    for i in range(values.shape[0]):
        x = values[i]
        zero = _CODE[3] if x <= tenth else _CODE[0]
        first = _CODE[2] if (x >= single) & (x <= single_end) else _CODE[0]
        second = _CODE[1] if (x >= double) & (x <= double_end) else _CODE[0]
        codes[i] = _CODE[3] ^ (zero | first | second)


@jit
def pack_nearest(values: UInt16Array, one: int, codes: UInt8Array, packed: UInt8Array) -> None:
    """Pack the `nearest_calls` of a row.

    Parameters
    ----------
    values, one
    codes : uint8 array (C,)
        Room for a call a byte, N rounded up to 32.
    packed : uint8 array (C / 4,)
        Filled: two bits a call (`genassoc.kernels.genotypes.packed`), the padding 3.
    """
    nearest_calls(values, one, codes)
    for i in range(values.shape[0], codes.shape[0]):
        codes[i] = 3
    for w in range(codes.shape[0] // WORD):
        # eight calls in eight bytes move together: by 6, 12 and 24 bits
        word = word_at(codes, WORD * w)
        word = (word | (word >> np.uint64(6))) & np.uint64(0x000F000F000F000F)
        word = (word | (word >> np.uint64(12))) & np.uint64(0x000000FF000000FF)
        word = word | (word >> np.uint64(24))
        packed[2 * w] = np.uint8(word & np.uint64(255))
        packed[2 * w + 1] = np.uint8((word >> np.uint64(8)) & np.uint64(255))


@jit
def hard_calls(values: UInt16Array, steps: UInt16Array, packed: UInt8Array) -> None:
    """Pack the copy nearest to each dosage, if it is within a tenth of one, else "not observed".

    Parameters
    ----------
    values : uint16 array (D, N)
        Steps; 65535 where not observed.
    steps : uint16 array (D,)
        Steps of one copy.
    packed : uint8 array (D, B)
        Filled as by `pack_nearest`.
    """
    codes = np.empty(4 * packed.shape[1], np.uint8)
    for d in range(values.shape[0]):
        pack_nearest(values[d], int(steps[d]), codes, packed[d])
