"""Slow obvious twins of `genassoc.kernels.genotypes.listed`."""

import numpy as np


def list_rows(G):
    """Of each row of G (R, n): samples that carry anything, what they carry, samples whose call is missing."""
    return [(np.flatnonzero(g > 0), g[g > 0], np.flatnonzero(np.isnan(g))) for g in G]


def list_calls(codes, flipped, variants, columns):
    """The same of codes (V, N) of some variants and samples, REF counted where flipped."""
    g = np.where(codes == 3, np.nan, np.where(np.asarray(flipped)[:, None], 2.0 - codes, 1.0 * codes))
    return list_rows(g[np.ix_(variants, columns)])
