"""Simulated haplotypes: founders with linkage disequilibrium, samples as mosaics of them (Li, Stephens 2003).

All randomness comes in as arrays; nothing here draws a number, so the same arrays give the same bytes.
"""

from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.shapes import Float32Array, Float64Array, Int32Array, Int64Array, UInt8Array


@jit
def founder_haplotypes(
    noise: Float32Array,
    correlation: Float32Array,
    direction: Float32Array,
    threshold: Float32Array,
    latent: Float32Array,
    alleles: UInt8Array,
) -> None:
    """Alleles (V, H) of founder haplotypes: a latent normal walks along the chromosome, cut at a threshold.

    ``noise`` (V, H) is standard normal, ``correlation`` (V) that of the latent value with the previous
    variant's, ``direction`` (V) is 1 or -1, ``threshold`` (V, P) the normal quantile of the allele's
    frequency in each population; founders of population p are columns ``p * H / P`` onwards. ``latent`` (H)
    is scratch and carries the walk from one call to the next.
    """
    V, H = noise.shape
    per_population = H // threshold.shape[1]
    for v in range(V):
        kept = correlation[v]
        fresh = np.sqrt(np.float32(1.0) - kept * kept)
        for h in range(H):
            # latent = r latent + sqrt(1 - r^2) noise; allele = [s latent < threshold]
            latent[h] = kept * latent[h] + fresh * noise[v, h]
            alleles[v, h] = 1 if direction[v] * latent[h] < threshold[v, h // per_population] else 0


class Segments(NamedTuple):
    """Where each of 2 N haplotypes stands, so that a chromosome can be drawn in several calls.

    Attributes
    ----------
    gaps : float32 array (2 N, M)
        Lengths in base pairs of the copied segments; the last goes on to the chromosome's end.
    choices : float32 array (2 N, M)
        Uniform in [0, 1): which founder a segment copies.
    segment, end, founder : arrays (2 N,)
        The segment, where it ends, whom it copies; they start from -1, 0 and 0.
    """

    gaps: Float32Array
    choices: Float32Array
    segment: Int32Array
    end: Float64Array
    founder: Int32Array


@jit
def draw_mosaic(
    positions: Int64Array, founders: UInt8Array, ancestry: Float64Array, segments: Segments, packed: UInt8Array
) -> None:
    """Packed genotypes (V, B) of samples whose haplotypes copy one founder at a time.

    Parameters
    ----------
    positions : (V,), increasing
    founders : (V, H), alleles 0 or 1 of the founders at these variants
    ancestry : (N, P), cumulative proportions of the populations in a sample's genome, the last one 1
    segments : Segments, moved on
    packed : (V, B), output; haplotypes 2 i and 2 i + 1 are sample i's
    """
    gaps, choices, founder = segments.gaps, segments.choices, segments.founder
    segment, segment_end = segments.segment, segments.end
    V = positions.shape[0]
    N, P = ancestry.shape
    last = gaps.shape[1] - 1
    per_population = founders.shape[1] // P
    for v in range(V):
        here = positions[v]
        for h in range(2 * N):
            while here > segment_end[h] and segment[h] < last:
                m = segment[h] + 1
                segment[h] = m
                segment_end[h] += gaps[h, m]
                population = 0
                below = 0.0
                while population < P - 1 and choices[h, m] >= ancestry[h // 2, population]:
                    below = ancestry[h // 2, population]
                    population += 1
                width = ancestry[h // 2, population] - below
                # what is left of the uniform after choosing the population chooses the founder within it
                within = int((choices[h, m] - below) / width * per_population)
                founder[h] = population * per_population + max(0, min(within, per_population - 1))
        for b in range(packed.shape[1]):
            byte = 0
            for j in range(4):
                i = 4 * b + j
                if i < N:
                    copies = np.int64(founders[v, founder[2 * i]]) + np.int64(founders[v, founder[2 * i + 1]])
                    byte |= int(copies << (2 * j))
                else:
                    byte |= 3 << (2 * j)  # padding
            packed[v, b] = byte


@jit
def set_carriers(first: Int64Array, haplotypes: Int32Array, n_samples: int, packed: UInt8Array) -> None:
    """Rewrite rows of ``packed`` (V, B) as recent mutations: only the named haplotypes carry ALT.

    Row v's carriers are ``haplotypes[first[v]:first[v + 1]]``, sorted; repeats count once; a row without
    carriers is left alone.
    """
    for v in range(packed.shape[0]):
        start, stop = first[v], first[v + 1]
        if start == stop:
            continue
        for b in range(packed.shape[1]):
            packed[v, b] = 0
        for i in range(n_samples, 4 * packed.shape[1]):
            packed[v, i >> 2] |= np.uint8(3 << (2 * (i & 3)))
        for k in range(start, stop):
            if k > start and haplotypes[k] == haplotypes[k - 1]:
                continue
            i = haplotypes[k] // 2
            shift = 2 * (i & 3)
            # codes add up to 2 at most (two haplotypes a sample), so adding never carries into the neighbour
            packed[v, i >> 2] += np.uint8(1 << shift)


@jit
def hide_calls(rows: Int64Array, samples: Int64Array, packed: UInt8Array) -> None:
    """Make calls (rows[k], samples[k]) of ``packed`` (V, B) "not observed"."""
    for k in range(rows.shape[0]):
        i = samples[k]
        packed[rows[k], i >> 2] |= np.uint8(3 << (2 * (i & 3)))
