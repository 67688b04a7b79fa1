"""Slow twins of `genassoc.kernels.genotypes.planes`."""

import numpy as np


def to_planes(codes):
    """Planes (V, P) of codes (V, N), bit by bit."""
    V, N = codes.shape
    carrier, double, observed = (np.zeros((V, -(-N // 64)), np.uint64) for _ in range(3))
    for v in range(V):
        for i in range(N):
            bit = np.uint64(1) << np.uint64(i % 64)
            if codes[v, i] in (1, 2):
                carrier[v, i // 64] |= bit
            if codes[v, i] == 2:
                double[v, i // 64] |= bit
            if codes[v, i] != 3:
                observed[v, i // 64] |= bit
    return carrier, double, observed
