"""Slow obvious twins of `genassoc.kernels.genotypes.product` and `genassoc.kernels.lanes.vector`."""

import numpy as np


def product(codes, flipped, M, values):
    """``out[v, k] = sum_i values[code v, i] * M[i, k]`` in float64; 0 and 2 swap where ``flipped``."""
    V, N = codes.shape
    out = np.zeros((V, M.shape[1]))
    for v in range(V):
        for i in range(N):
            code = int(codes[v, i])
            if flipped[v] and code != 3:
                code = 2 - code
            for k in range(M.shape[1]):
                out[v, k] += float(values[code]) * float(M[i, k])
    return out


def product_in_order(codes, flipped, M, values, tile_bytes):
    """The same in float32 and in the order that the kernel promises, for one column: its very bits.

    Within a byte the calls one after the other, four bytes as (a + b) + (c + d), a tile of ``tile_bytes`` in
    float32, tiles in float64. Codes (V, 4 * B) and M (4 * B,) are padded to whole bytes.
    """
    zero = np.float32(0)
    out = np.zeros(len(codes))
    n_bytes = codes.shape[1] // 4
    for v, row in enumerate(codes):
        swapped = [2 - c if flipped[v] and c != 3 else c for c in row.astype(int)]
        for tile in range(0, n_bytes, tile_bytes):
            total = zero
            for first in range(tile, min(n_bytes, tile + tile_bytes), 4):
                sums = []
                for byte in range(first, first + 4):
                    four = zero
                    for i in range(4 * byte, 4 * byte + 4):
                        four = four + values[swapped[i]] * M[i]
                    sums.append(four)
                total = total + ((sums[0] + sums[1]) + (sums[2] + sums[3]))
            out[v] += float(total)
    return out
