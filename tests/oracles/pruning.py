"""Slow twins of `genassoc.kernels.genotypes.pruning`, and pruning as its definition has it, of codes (V, N) with 3 for "not observed"."""

import numpy as np


def sums_of_planes(codes):
    """Samples observed, sum of ``x - 1`` and of its square, (V, 3)."""
    return np.array(
        [[np.sum(row != 3), np.sum(row[row != 3] - 1), np.sum((row[row != 3] - 1) ** 2)] for row in codes.astype(int)]
    )


def r2(x, y):
    """Squared correlation over the samples observed in both; 0 where one does not vary in them."""
    both = (x != 3) & (y != 3)
    x, y = x[both].astype(float), y[both].astype(float)
    if not both.any() or np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(np.corrcoef(x, y)[0, 1] ** 2)


def keep_apart(codes, places, window, threshold, order, kept=()):
    """The variants that are kept, ascending: those kept already and, first come first kept, those in LD with none of them."""
    chosen = list(kept)
    for v in order:
        if all(abs(int(places[v]) - int(places[k])) > window or r2(codes[v], codes[k]) <= threshold for k in chosen):
            chosen.append(int(v))
    return sorted(chosen)


def minor_allele_frequency(codes):
    """As fractions, exact: (V,)."""
    from fractions import Fraction

    alleles = [(int(row[row != 3].sum()), 2 * int(np.sum(row != 3))) for row in codes.astype(int)]
    return [min(Fraction(n, total), 1 - Fraction(n, total)) for n, total in alleles]


def prune(codes, places, size, reach, threshold):
    """Numbers of the variants of a contig that are kept: segment after segment, the most frequent minor allele first."""
    frequency = minor_allele_frequency(np.where((codes == 3).all(axis=1)[:, None], 0, codes))
    varies = [v for v in range(len(codes)) if len(set(codes[v][codes[v] != 3])) > 1]
    order = sorted(varies, key=lambda v: (int(places[v]) // size, -frequency[v], v))
    return keep_apart(codes, places, reach, threshold, order)
