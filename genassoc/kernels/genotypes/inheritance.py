"""Genes dropped through pedigrees: haplotypes as runs of what they were copied from (MacCluer et al. 1986).

All randomness comes in as arrays; nothing here draws a number, so the same arrays give the same bytes.
"""

from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.shapes import Int32Array, Int64Array, UInt8Array

END = np.iinfo(np.int32).max  # of the last segment of a haplotype: beyond any chromosome


class Meioses(NamedTuple):
    """How each of H haplotypes came from a parent.

    Attributes
    ----------
    parent : int64 array (H,)
        The person whose haplotypes ``2 parent`` and ``2 parent + 1`` were recombined, whose own were made before; -1 of a founder.
    founder : int32 array (H,)
        What a founder's haplotype is a copy of, all along.
    phase : uint8 array (H,)
        Which of the parent's haplotypes (0, 1) it starts with.
    first, last : int64 arrays (H,)
        Its crossovers are ``crossovers[first:last]``.
    crossovers : int32 array
        Positions, ascending within a haplotype: what lies behind one is of the parent's other haplotype.
    """

    parent: Int64Array
    founder: Int32Array
    phase: UInt8Array
    first: Int64Array
    last: Int64Array
    crossovers: Int32Array


class Lines(NamedTuple):
    """Segments of H haplotypes.

    Attributes
    ----------
    first : int64 array (H,)
        Where the segments of each begin.
    ends : int32 array
        Last position of each segment, ascending within a haplotype; that of its last one is `END`.
    sources : int32 array
        What each segment was copied from.
    """

    first: Int64Array
    ends: Int32Array
    sources: Int32Array


@jit
def drop_genes(meioses: Meioses, lines: Lines) -> None:
    """Fill ``lines`` with the segments of every haplotype; ``lines.first`` leaves room for all that may come."""
    ends, sources = lines.ends, lines.sources
    for h in range(meioses.parent.shape[0]):
        out = lines.first[h]
        parent = meioses.parent[h]
        if parent < 0:
            ends[out] = END
            sources[out] = meioses.founder[h]
            continue
        side = np.int64(meioses.phase[h])
        begun = out
        done = np.int64(0)  # positions up to here are copied
        for c in range(meioses.first[h], meioses.last[h] + 1):
            stop = np.int64(END) if c == meioses.last[h] else np.int64(meioses.crossovers[c])
            if stop > done:
                k = lines.first[2 * parent + side]
                while ends[k] <= done:
                    k += 1
                while True:
                    end = min(np.int64(ends[k]), stop)
                    if out > begun and sources[out - 1] == sources[k]:
                        ends[out - 1] = end
                    else:
                        ends[out] = end
                        sources[out] = sources[k]
                        out += 1
                    if ends[k] >= stop:
                        break
                    k += 1
                done = stop
            side = 1 - side


@jit
def copy_segments(
    positions: Int64Array, alleles: UInt8Array, ends: Int32Array, sources: Int32Array, at: Int64Array, out: UInt8Array
) -> None:
    """Alleles (V, H) of haplotypes that are segments of others, whose alleles are ``alleles`` (V, sources).

    ``ends`` and ``sources`` are those of `Lines`. ``at`` (H,) is the segment where each haplotype stands, moved on from call to call;
    ``positions`` (V,) ascend.
    """
    V, H = out.shape
    for v in range(V):
        here = positions[v]
        for h in range(H):
            k = at[h]
            if ends[k] < here:
                while ends[k] < here:
                    k += 1
                at[h] = k
            out[v, h] = alleles[v, sources[k]]
