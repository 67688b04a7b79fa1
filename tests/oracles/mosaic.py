"""Slow obvious twins of `genassoc.kernels.genotypes.mosaic` and `genassoc.kernels.text.vcf_text`."""

import math

import numpy as np


def founder_haplotypes(noise, correlation, direction, threshold):
    V, H = noise.shape
    per_population = H // threshold.shape[1]
    alleles = np.zeros((V, H), dtype=np.uint8)
    for h in range(H):
        latent = 0.0
        for v in range(V):
            latent = correlation[v] * latent + math.sqrt(1 - correlation[v] ** 2) * noise[v, h]
            alleles[v, h] = direction[v] * latent < threshold[v, h // per_population]
    return alleles


def draw_mosaic(positions, founders, gaps, choices, ancestry):
    """Codes (V, N): every haplotype written out as a list of segments, then looked up."""
    V, H = founders.shape
    N, P = ancestry.shape
    per_population = H // P
    codes = np.zeros((V, N), dtype=np.uint8)
    for h in range(2 * N):
        ends = np.cumsum(gaps[h].astype(float))
        for v in range(V):
            m = min(int(np.sum(ends < positions[v])), gaps.shape[1] - 1)
            bounds = [0.0, *ancestry[h // 2]]
            u = float(choices[h, m])
            p = next(k for k in range(P) if u < bounds[k + 1] or k == P - 1)
            within = min(int((u - bounds[p]) / (bounds[p + 1] - bounds[p]) * per_population), per_population - 1)
            codes[v, h // 2] += founders[v, p * per_population + within]
    return codes


def vcf_line(prefix, codes, haploid):
    calls = {0: ("0/0", "0"), 1: ("0/1", "1"), 2: ("1/1", "1"), 3: ("./.", ".")}
    return "\t".join([prefix, *(calls[int(c)][int(h)] for c, h in zip(codes, haploid))]) + "\n"
