"""Slow twin of `genassoc.kernels.genotypes.chosen`."""

import numpy as np


def decode_chosen(packed, columns, table, out):
    """Unpack a row, take the samples, look each call up."""
    for v, row in enumerate(packed):
        codes = np.stack([(row >> shift) & 3 for shift in (0, 2, 4, 6)], axis=1).ravel()
        out[v] = table[v][codes[columns]]
