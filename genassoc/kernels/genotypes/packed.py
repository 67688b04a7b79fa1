"""The two-bit layout: the only code that knows it.

Sample ``i`` of a variant lies in bits ``2 * (i % 4)`` of byte ``i // 4``. Codes 0, 1, 2 count ALT; 3 is "not
observed". A row is padded with 3 to whole 64-bit words, so that it can be read 32 calls at a time.
"""

import numpy as np

from genassoc.kernels import jit
from genassoc.shapes import BoolArray, Float64Array, Int64Array, UInt8Array


@jit
def pack(codes: UInt8Array, packed: UInt8Array) -> None:
    """Pack codes (V, N), one a byte, into ``packed`` (V, B)."""
    V, N = codes.shape
    B = packed.shape[1]
    for v in range(V):
        for b in range(B):
            byte = 0
            for j in range(4):
                i = 4 * b + j
                code = codes[v, i] if i < N else 3
                byte |= (code & 3) << (2 * j)
            packed[v, b] = byte


@jit
def unpack(packed: UInt8Array, codes: UInt8Array) -> None:
    """Unpack ``packed`` (V, B) into codes (V, N), one a byte."""
    V, N = codes.shape
    for v in range(V):
        for i in range(N):
            codes[v, i] = (packed[v, i >> 2] >> (2 * (i & 3))) & 3


@jit
def gather(packed: UInt8Array, columns: Int64Array, out: UInt8Array) -> None:
    """Repack the samples ``columns`` (N,) of ``packed`` (V, B) into ``out`` (V, B of N samples)."""
    V, B = out.shape
    N = columns.size
    for v in range(V):
        for b in range(B):
            byte = 0
            for j in range(4):
                i = 4 * b + j
                code = 3
                if i < N:
                    source = columns[i]
                    code = (packed[v, source >> 2] >> (2 * (source & 3))) & 3
                byte |= code << (2 * j)
            out[v, b] = byte


@jit
def decode_rows(
    packed: UInt8Array, flipped: BoolArray, variants: Int64Array, columns: Int64Array, out: Float64Array
) -> None:
    """Copies of the minor allele of some variants and samples as float64, NaN where not observed.

    ``out`` (R, n) for ``variants`` (R,) and ``columns`` (n,); ``flipped`` (V,) says where REF is the minor allele.
    """
    for r in range(variants.size):
        v = variants[r]
        for i in range(columns.size):
            sample = columns[i]
            code = (packed[v, sample >> 2] >> (2 * (sample & 3))) & 3
            if code == 3:
                out[r, i] = np.nan
            else:
                out[r, i] = 2.0 - code if flipped[v] else 1.0 * code
