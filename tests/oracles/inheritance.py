"""Slow obvious twins of `genassoc.kernels.genotypes.inheritance`: position by position."""

import numpy as np


def source_at(meioses, h, position):
    """What haplotype h was copied from at a position: asked of the parent, and so on up to a founder."""
    if meioses.parent[h] < 0:
        return int(meioses.founder[h])
    before = sum(int(x) < position for x in meioses.crossovers[meioses.first[h] : meioses.last[h]])
    side = (int(meioses.phase[h]) + before) % 2
    return source_at(meioses, 2 * int(meioses.parent[h]) + side, position)


def drop_genes(meioses, positions):
    """Sources (positions, H)."""
    return np.array([[source_at(meioses, h, p) for h in range(len(meioses.parent))] for p in positions])


def copy_segments(positions, alleles, ends, sources, at):
    """Alleles (V, H): the first segment from ``at`` on that does not end before the position."""
    out = np.zeros((len(positions), len(at)), dtype=np.uint8)
    for v, position in enumerate(positions):
        for h, k in enumerate(at):
            while ends[k] < position:
                k += 1
            out[v, h] = alleles[v, sources[k]]
    return out
