"""Slow obvious twins of `genassoc.kernels.genotypes.carriers`, of codes (V, N) in place of packed words."""

import math

import numpy as np


def counted(codes, flipped):
    """Copies of the allele counted, (V, N); a missing call has none."""
    g = np.where(np.asarray(flipped)[:, None], 2 - codes.astype(int), codes.astype(int))
    return np.where(codes == 3, 0, g)


def carriers(codes, flipped):
    """Who carries the allele counted, (V, N)."""
    return counted(codes, flipped) > 0


def count_carriers(codes, flipped):
    """How many do, (V,)."""
    return carriers(codes, flipped).sum(axis=1)


def sum_carriers(codes, flipped, M, values):
    """``sum_i values[code] * M[i, :]`` with codes 0 and 2 swapped where flipped: every sum exact before it is rounded."""
    weights = np.asarray(values, float)[np.where(codes == 3, 3, counted(codes, flipped))]
    return np.array([[math.fsum(row * column) for column in M.astype(float).T] for row in weights])


def sum_lacking(codes, flipped, lacking, Q):
    """``sum_i g[v, i] * Q[i, :]`` over the samples that lack pattern p, lacking (N, P): (V, P, D)."""
    g = counted(codes, flipped)
    return np.stack(
        [sum_carriers(np.where(lacks, g, 0), np.zeros(len(g), bool), Q, (0, 1, 2, 0)) for lacks in lacking.T], 1
    )


def copies_lacking(codes, flipped, lacking, two_copies):
    """Copies that the samples without pattern p carry, and ``two_copies`` more for each who has two: (V, P)."""
    g = counted(codes, flipped)
    return (g + np.where(g == 2, two_copies, 0)) @ lacking
