"""Slow twins of `genassoc.kernels.genotypes.recode`, on codes (V, N); ``chosen`` (N,) are booleans."""

import numpy as np

TABLES = {"dominant": [0, 2, 2, 3], "recessive": [0, 0, 2, 3], "hetonly": [0, 2, 0, 3]}


def dominant(codes):
    return np.array(TABLES["dominant"])[codes]


def recessive(codes):
    return np.array(TABLES["recessive"])[codes]


def hetonly(codes):
    return np.array(TABLES["hetonly"])[codes]


def heterozygotes(codes, chosen):
    return (codes == 1) & chosen


def observed(codes, chosen):
    return (codes != 3) & chosen


def not_observed(codes, slots):
    return np.where(slots, 3, codes)


def halved(codes, chosen):
    return np.where((codes == 2) & chosen, 1, codes)
