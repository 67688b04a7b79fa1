"""Slow twin of `genassoc.kernels.genotypes.standardised`."""

import numpy as np


def decode_by_table(codes, table):
    """Numbers (V, N) of codes (V, N): each variant's own of each code."""
    return np.array([[table[v, code] for code in row] for v, row in enumerate(codes)], np.float32)
