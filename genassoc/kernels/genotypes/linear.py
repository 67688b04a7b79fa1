"""Of packed calls: which are missing, and sums in float64 where those of the product do not hold enough digits."""

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.genotypes.counts import popcount
from genassoc.shapes import BoolArray, Float64Array, Int64Array, UInt8Array, UInt64Array


@jit
def list_missing(words: UInt64Array, mask: UInt64Array, pointers: Int64Array, indices: Int64Array) -> None:
    """List the selected samples whose call is not observed, one run of ``indices`` a variant.

    ``words`` (V, W), ``mask`` (W,) as in `genassoc.kernels.genotypes.counts`; ``pointers`` (V + 1,) says where each run starts
    (from the counts).
    """
    V, W = words.shape
    low = np.uint64(0x5555555555555555)
    one = np.uint64(1)
    for v in range(V):
        at = pointers[v]
        if pointers[v + 1] == at:
            continue
        # code 3 has both bits set
        for w in range(W):
            missing = words[v, w] & (words[v, w] >> one) & low & mask[w]
            while missing != 0:
                # the lowest bit set: the bits below it, counted
                slot = popcount((missing - one) & ~missing)
                missing &= missing - one
                indices[at] = 32 * w + (slot >> 1)
                at += 1


@jit
def sum_in_float64(
    packed: UInt8Array, flipped: BoolArray, variants: Int64Array, columns: Float64Array, out: Float64Array
) -> None:
    """Set ``out[j, :] = sum_i g[variants[j], i] * columns[i, :]`` in float64; missing calls count nothing."""
    Z = columns.shape[1]
    N = columns.shape[0]
    for j in range(variants.size):
        v = variants[j]
        for k in range(Z):
            out[j, k] = 0.0
        for i in range(N):
            code = (packed[v, i >> 2] >> (2 * (i & 3))) & 3
            if code == 3:
                continue
            g = 2 - code if flipped[v] else code
            if g != 0:
                for k in range(Z):
                    out[j, k] += g * columns[i, k]
