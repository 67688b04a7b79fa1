"""The exact test of Hardy-Weinberg proportions (Wigginton, Cutler & Abecasis 2005, doi:10.1086/429864).

Given the copies of both alleles, ``P(het)`` is proportional to ``2^het / (hom_rare! het! hom_common!)``.
Probabilities are carried relative to the most likely outcome's, so nothing overflows, and what underflows is
below 1e-308 of it.
"""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.shapes import Float64Array, Int64Array

# Two outcomes tie when their probabilities differ by less than this factor. The products below round twice a
# step and leave the range of float64 within about 10,000 steps for a million samples, so rounding moves a
# probability by at most 3e-12. Outcomes that truly differ by less than 1e-10 are counted as ties: the p is
# too large by at most the observed outcome's probability, never too small.
_TIE = 1.0 + 1e-10
_NEGLIGIBLE = 1e-18  # of a sum: the terms that follow fall faster than a geometric series and cannot change it


@jit
def step_ratio(het: int, step: int, rare: int, common: int) -> float:
    """``P(het + step) / P(het)`` for a step of 2 or -2 heterozygotes; 0 past the ends of the range."""
    hom_rare = 0.5 * (rare - het)
    hom_common = 0.5 * (common - het)
    if step > 0:
        return 4.0 * hom_rare * hom_common / ((het + 2.0) * (het + 1.0))
    return het * (het - 1.0) / (4.0 * (hom_rare + 1.0) * (hom_common + 1.0))


@jit
def relative_probability(het: int, mode: int, rare: int, common: int) -> float:
    """``P(het) / P(mode)``; 0 where it underflows."""
    step = 2 if het > mode else -2
    probability = 1.0
    while mode != het and probability > 0.0:
        probability *= step_ratio(mode, step, rare, common)
        mode += step
    return probability


@jit
def add_side(mode: int, step: int, rare: int, common: int, observed: float, sums: Float64Array) -> None:
    """Add the outcomes on one side of the mode to sums (3,): less likely than observed, as likely, more."""
    het = mode
    probability = 1.0
    less = 0.0
    while True:
        probability *= step_ratio(het, step, rare, common)
        het += step
        if probability * _TIE < observed:
            less += probability
            if probability <= _NEGLIGIBLE * less:
                break
        elif probability <= observed * _TIE:
            sums[1] += probability
        else:
            sums[2] += probability
    sums[0] += less


@jit
def hardy_weinberg(
    n_hom_ref: Int64Array, n_het: Int64Array, n_hom_alt: Int64Array, p: Float64Array, midp: Float64Array
) -> None:
    """Exact p and mid-p of genotype counts (V,), into p (V,) and midp (V,); NaN where all counts are zero."""
    sums = np.empty(3)
    for v in range(n_het.size):
        het = n_het[v]
        rare = 2 * min(n_hom_ref[v], n_hom_alt[v]) + het
        common = 2 * max(n_hom_ref[v], n_hom_alt[v]) + het
        if common == 0:
            p[v] = math.nan
            midp[v] = math.nan
            continue
        # The likeliest number of heterozygotes is within a step or two of its expectation.
        mode = rare * common // (rare + common)
        mode += (mode ^ rare) & 1
        observed = relative_probability(het, mode, rare, common)
        if observed == 0.0:  # p is below 1e-308 or so
            p[v] = 0.0
            midp[v] = 0.0
            continue
        # p = sum of P(k) over k with P(k) <= P(het);  mid-p counts those as likely as het by half
        sums[0] = 1.0 if _TIE < observed else 0.0
        sums[2] = 1.0 if observed * _TIE < 1.0 else 0.0
        sums[1] = 1.0 - sums[0] - sums[2]
        add_side(mode, -2, rare, common, observed, sums)
        add_side(mode, 2, rare, common, observed, sums)
        total = sums[0] + sums[1] + sums[2]
        p[v] = (sums[0] + sums[1]) / total
        midp[v] = (sums[0] + 0.5 * sums[1]) / total
