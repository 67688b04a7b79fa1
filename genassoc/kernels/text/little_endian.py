"""Numbers in bytes, the least byte first."""

import numpy as np

from genassoc.kernels import jit
from genassoc.shapes import UInt8Array


@jit
def number_at(data: UInt8Array, at: int, n_bytes: int) -> int:
    """A little-endian number."""
    value = 0
    for k in range(n_bytes):
        value |= int(np.int64(data[at + k])) << (8 * k)
    return value
