"""Slow obvious twins of `genassoc.kernels.genotypes.missing_calls`, with a mask of samples that lack each pattern."""

import numpy as np


def sum_missing(samples, lacks, Q, R):
    """``sum q q'`` over samples, over those that lack each pattern, ``sum q r`` and ``sum r^2``, one term at a time."""
    C, T = Q.shape[1], R.shape[1]
    every, lacking = np.zeros((C, C)), np.zeros((lacks.shape[1], C, C))
    products, squares = np.zeros((C, T)), np.zeros(T)
    for sample in samples:
        q, r = Q[sample], R[sample]
        every += np.outer(q, q)
        products += np.outer(q, r)
        squares += r * r
        for p in np.flatnonzero(lacks[sample]):
            lacking[p] += np.outer(q, q)
    return every, lacking, products, squares


def sum_missing_covariates(samples, lacks, Q):
    """``sum q`` over samples, and over those that lack each pattern."""
    return Q[samples].sum(axis=0), np.stack([Q[[s for s in samples if lack[s]]].sum(axis=0) for lack in lacks.T])
