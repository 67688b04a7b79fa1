"""Slow obvious twins of `genassoc.kernels.genotypes.dosages`, of dosages (V, N) with NaN where not observed."""

import math

import numpy as np


def minor(dosages, flipped):
    """Dosages of the allele counted."""
    return np.where(np.asarray(flipped)[:, None], 2.0 - dosages, dosages)


def sum_dosages(values, missing, selected):
    """Rows of how many are observed, their sum, sum of squares, least and largest, as Python's whole numbers."""
    rows = []
    for row in values:
        there = [int(x) for x, chosen in zip(row, selected) if chosen and x != missing]
        rows.append(
            [len(there), sum(there), sum(x * x for x in there), min(there, default=missing), max(there, default=-1)]
        )
    return rows


def list_not_observed(values, missing, selected):
    """The samples selected that are missing, a list a variant."""
    return [[i for i, x in enumerate(row) if selected[i] and x == missing] for row in values]


def decode_dosages(dosages, flipped, variants, samples):
    """Some variants and samples."""
    return minor(dosages, flipped)[np.ix_(variants, samples)]


def dosage_product(dosages, flipped, columns, square):
    """``g @ columns``, or of g^2: every sum exact before it is rounded once."""
    g = np.nan_to_num(minor(dosages, flipped))
    g = g * g if square else g
    return np.array([[math.fsum(row * column) for column in columns.T] for row in g])
