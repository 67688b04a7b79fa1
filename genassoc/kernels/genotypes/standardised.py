"""Packed calls as dense float32 columns that BLAS multiplies: each code of a variant becomes the number that a table says."""

from genassoc.kernels import jit
from genassoc.shapes import Float32Array, UInt8Array


@jit
def decode_by_table(packed: UInt8Array, table: Float32Array, out: Float32Array) -> None:
    """Replace each call by the number its variant has for it.

    Parameters
    ----------
    packed : uint8 array (V, B)
        Packed calls (`genassoc.kernels.genotypes.packed`).
    table : float32 array (V, 4)
        What codes 0, 1, 2 and 3 (not observed) become: of a centred and scaled dosage ``(code - mean) / sd``, and 0, the mean, of the last.
    out : float32 array (V, N)
        Overwritten.
    """
    V, N = out.shape
    for v in range(V):
        whole = N // 4
        for b in range(whole):
            byte = packed[v, b]
            out[v, 4 * b] = table[v, byte & 3]
            out[v, 4 * b + 1] = table[v, (byte >> 2) & 3]
            out[v, 4 * b + 2] = table[v, (byte >> 4) & 3]
            out[v, 4 * b + 3] = table[v, byte >> 6]
        for i in range(4 * whole, N):
            out[v, i] = table[v, (packed[v, i >> 2] >> (2 * (i & 3))) & 3]
