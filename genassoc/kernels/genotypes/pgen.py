"""What Pgenlib gives of a PGEN, bytes and floats, to packed calls and to steps of dosages; and back."""

import numpy as np

from genassoc.kernels import native
from genassoc.shapes import Array, Int64Array, UInt8Array, UInt16Array

STEPS = 16384  # of a copy: what PGEN keeps


@native
def pack_copies(copies: Array, columns: Int64Array, in_order: bool, packed: UInt8Array) -> None:
    """Pack copies of ALT.

    Parameters
    ----------
    copies : int8 (V, 4 B)
        0, 1, 2 or -9; 3 in what lies beyond the file's samples.
    columns : int64 (N,)
        The column of each sample in ``copies``.
    in_order : bool
        Whether these are 0, 1, 2, ... and ``copies`` has no more samples.
    packed : uint8 (V, B)
        Filled: two bits a call, the padding 3.
    """
    V, B = packed.shape
    N = columns.shape[0]
    for v in range(V):
        if in_order:
            # The low two bits of -9 are 3: of eight bytes two bits each, joined.
            words = copies[v].view(np.uint64)
            out = packed[v].view(np.uint16)
            for w in range(out.shape[0]):
                x = words[w] & np.uint64(0x0303030303030303)
                x = (x | (x >> np.uint64(6))) & np.uint64(0x000F000F000F000F)
                x = (x | (x >> np.uint64(12))) & np.uint64(0x000000FF000000FF)
                out[w] = np.uint16((x | (x >> np.uint64(24))) & np.uint64(0xFFFF))
        else:
            for b in range(B):
                byte = 0
                for j in range(4):
                    i = 4 * b + j
                    byte |= (int(copies[v, columns[i]]) & 3 if i < N else 3) << (2 * j)
                packed[v, b] = byte


@native
def dosage_steps(dosages: Array, columns: Int64Array, in_order: bool, values: UInt16Array) -> int:
    """Steps of dosages, 65535 where there is none; how many are out of 0 to 2.

    Parameters
    ----------
    dosages : float32 (D, any)
        Whole steps / `STEPS`, or below 0.
    columns : int64 (N,)
        The column of each sample in ``dosages``.
    in_order : bool
        Whether these are 0, 1, 2, ...
    values : uint16 (D, N)
        Filled.
    """
    D, N = values.shape
    bad = 0
    for d in range(D):
        row, out = dosages[d], values[d]
        for i in range(N):
            x = row[i] if in_order else row[columns[i]]
            missing = x < np.float32(0.0)
            sound = missing or x <= np.float32(2.0)  # not so where x is no number
            bad += 0 if sound else 1
            steps = np.int32(x * np.float32(16384.0) + np.float32(0.5)) if sound and not missing else np.int32(65535)
            out[i] = np.uint16(steps)
    return bad


@native
def copies_of(packed: UInt8Array, copies: Array) -> None:
    """Copies of ALT of packed calls (V, B) as int8 (V, N), -9 where not observed."""
    V, N = copies.shape
    for v in range(V):
        for i in range(N):
            code = (int(packed[v, i >> 2]) >> (2 * (i & 3))) & 3
            copies[v, i] = code if code < 3 else -9
