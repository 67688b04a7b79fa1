"""Slow twins of `genassoc.kernels.genotypes.sample_pairs`: counts of pairs by products of indicators."""

import numpy as np


def to_sample_planes(codes):
    """Indicators (4, N, V) of codes (V, N): heterozygous, two REF, two ALT, not observed."""
    return np.stack([code == codes.T for code in (1, 0, 2, 3)])


def settle_counts(left, right):
    """Counts (5, N, M) of codes (V, N) and (V, M): observed in both, het-het, IBS0, het-hom, hom-het."""
    het, ref, alt, missing = (plane.astype(np.int64) for plane in to_sample_planes(left))
    het_2, ref_2, alt_2, missing_2 = (plane.astype(np.int64) for plane in to_sample_planes(right))
    return np.stack(
        [
            (1 - missing) @ (1 - missing_2).T,
            het @ het_2.T,
            ref @ alt_2.T + alt @ ref_2.T,
            het @ (ref_2 + alt_2).T,
            (ref + alt) @ het_2.T,
        ]
    )


def find_related(counts, least, above_diagonal):
    """Pairs (i, j) and their kinship, from its definition: 1/2 - sum((x - y)^2) / (4 min(het, het))."""
    n, both, ibs0, left, right = counts
    found = []
    for i in range(n.shape[0]):
        for j in range(i + 1 if above_diagonal else 0, n.shape[1]):
            if n[i, j] == 0:
                continue
            squares = 4 * ibs0[i, j] + left[i, j] + right[i, j]
            het = min(both[i, j] + left[i, j], both[i, j] + right[i, j])
            kinship = 0.5 - squares / (4 * het) if het else np.nan
            if least == -np.inf or kinship >= least:
                found.append((i, j, kinship))
    return found
