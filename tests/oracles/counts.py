"""Slow obvious twins of `genassoc.kernels.genotypes.counts`, on codes (V, N), one a byte."""

import numpy as np


def count_codes(codes, columns):
    """Number of the samples ``columns`` with code 0, 1, 2, 3 in each variant, (V, 4)."""
    counts = np.zeros((len(codes), 4), dtype=np.int64)
    for v, row in enumerate(codes):
        for column in columns:
            counts[v, row[column]] += 1
    return counts


def count_codes_by_sample(codes):
    """Number of variants in which each sample has code 0, 1, 2, 3, (N, 4)."""
    counts = np.zeros((codes.shape[1], 4), dtype=np.int64)
    for row in codes:
        for i, code in enumerate(row):
            counts[i, code] += 1
    return counts


def count_haploid(codes, haploid, columns):
    """Number of the samples ``columns`` with a haploid call of code 0 and of code 2 in each variant, (V, 2)."""
    counts = np.zeros((len(codes), 2), dtype=np.int64)
    for v, row in enumerate(codes):
        for column in columns:
            if haploid[v, column] and row[column] in (0, 2):
                counts[v, row[column] // 2] += 1
    return counts
