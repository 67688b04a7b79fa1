"""What Pgenlib gives of a PGEN, bytes and floats, to packed calls and to steps of dosages; and back."""

import numpy as np

from genassoc.kernels import native
from genassoc.shapes import Array, Int64Array, UInt8Array, UInt16Array

STEPS = 16384  # of a copy: what PGEN keeps


@native
def pack_copies(copies: Array, columns: Int64Array, packed: UInt8Array) -> None:
    """Pack copies of ALT.

    Parameters
    ----------
    copies : int8 (V, any)
        0, 1, 2 or below 0.
    columns : int64 (N,)
        The column of each sample in ``copies``.
    packed : uint8 (V, B)
        Filled: two bits a call, the padding 3.
    """
    V, B = packed.shape
    N = columns.shape[0]
    for v in range(V):
        for b in range(B):
            byte = 0
            for j in range(4):
                i = 4 * b + j
                code = 3
                if i < N:
                    x = int(copies[v, columns[i]])
                    code = x if x >= 0 and x <= 2 else 3
                byte |= code << (2 * j)
            packed[v, b] = byte


@native
def dosage_steps(dosages: Array, columns: Int64Array, values: UInt16Array) -> int:
    """Steps of dosages, 65535 where there is none; how many are out of 0 to 2.

    Parameters
    ----------
    dosages : float32 (D, any)
        Whole steps / `STEPS`, or below 0.
    columns : int64 (N,)
        The column of each sample in ``dosages``.
    values : uint16 (D, N)
        Filled.
    """
    D, N = values.shape
    bad = 0
    for d in range(D):
        for i in range(N):
            x = dosages[d, columns[i]]
            missing = x < np.float32(0.0)
            sound = missing or x <= np.float32(2.0)  # not so where x is no number
            bad += 0 if sound else 1
            steps = int(x * np.float32(16384.0) + np.float32(0.5)) if sound and not missing else 65535
            values[d, i] = steps
    return bad


@native
def copies_of(packed: UInt8Array, copies: Array) -> None:
    """Copies of ALT of packed calls (V, B) as int8 (V, N), -9 where not observed."""
    V, N = copies.shape
    for v in range(V):
        for i in range(N):
            code = (int(packed[v, i >> 2]) >> (2 * (i & 3))) & 3
            copies[v, i] = code if code < 3 else -9
