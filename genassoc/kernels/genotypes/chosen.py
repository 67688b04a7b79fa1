"""Calls of chosen samples, in any order, as dense float32 rows that BLAS multiplies."""

from genassoc.kernels import jit
from genassoc.shapes import Float32Array, Int64Array, UInt8Array


@jit
def decode_chosen(packed: UInt8Array, columns: Int64Array, table: Float32Array, out: Float32Array) -> None:
    """Replace each call of some samples by the number its variant has for it.

    As `genassoc.kernels.genotypes.standardised.decode_by_table` of all samples: a row of packed calls lies in the first cache, so that
    samples may be taken in any order.

    Parameters
    ----------
    packed : uint8 array (V, B)
        Packed calls (`genassoc.kernels.genotypes.packed`).
    columns : int64 array (n,)
        The samples wanted.
    table : float32 array (V, 4)
        What codes 0, 1, 2 and 3 (not observed) become.
    out : float32 array (V, n)
        Overwritten.
    """
    V, n = out.shape
    for v in range(V):
        for i in range(n):
            sample = columns[i]
            out[v, i] = table[v, (packed[v, sample >> 2] >> (2 * (sample & 3))) & 3]
