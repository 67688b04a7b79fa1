"""Calls given one by one (row, sample, code), put into packed rows."""

from genassoc.kernels import jit
from genassoc.shapes import BoolArray, Int64Array, UInt8Array


@jit
def put_calls(packed: UInt8Array, rows: Int64Array, columns: Int64Array, codes: UInt8Array) -> int:
    """Put calls into ``packed`` (V, B), in which 3 is a call that is not there yet.

    Parameters
    ----------
    packed : uint8 array (V, B)
        Changed.
    rows, columns : int64 arrays (K,)
    codes : uint8 array (K,)
        0, 1, 2.

    Returns
    -------
    int
        The first of the calls, from 1, that was there already with another code; 0 if none was.
    """
    wrong = 0
    for k in range(rows.size):
        v, byte, shift = rows[k], columns[k] >> 2, 2 * (columns[k] & 3)
        held = (packed[v, byte] >> shift) & 3
        if held != 3 and held != codes[k] and wrong == 0:
            wrong = k + 1
        packed[v, byte] = (packed[v, byte] & (255 ^ (3 << shift))) | (int(codes[k]) << shift)
    return wrong


@jit
def fill_reference(packed: UInt8Array, reference: BoolArray, n_samples: int) -> None:
    """Set the calls that are not there to 0 in the rows where ``reference`` (V,) says so; the padding stays."""
    for v in range(packed.shape[0]):
        if reference[v]:
            for i in range(n_samples):
                byte, shift = i >> 2, 2 * (i & 3)
                if (packed[v, byte] >> shift) & 3 == 3:
                    packed[v, byte] = packed[v, byte] & (255 ^ (3 << shift))


@jit
def clear_calls(packed: UInt8Array, rows: Int64Array, columns: Int64Array) -> None:
    """Set calls to 3, not observed."""
    for k in range(rows.size):
        packed[rows[k], columns[k] >> 2] = packed[rows[k], columns[k] >> 2] | (3 << (2 * (columns[k] & 3)))
