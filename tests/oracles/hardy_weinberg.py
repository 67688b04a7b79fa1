"""The exact test of Hardy-Weinberg proportions in rational numbers: no rounding, no tolerance for ties."""

from fractions import Fraction
from math import factorial


def hardy_weinberg(n_hom_ref, n_het, n_hom_alt):
    """Exact (p, mid-p) as fractions, for one variant with at least one observed call."""
    n = n_hom_ref + n_het + n_hom_alt
    ref = 2 * n_hom_ref + n_het
    probability = {}
    for het in range(ref % 2, min(ref, 2 * n - ref) + 1, 2):
        hom_ref = (ref - het) // 2
        hom_alt = n - het - hom_ref
        ways = factorial(hom_ref) * factorial(het) * factorial(hom_alt)
        probability[het] = Fraction(2**het, ways)
    total = sum(probability.values())
    observed = probability[n_het]
    less = sum(value for value in probability.values() if value < observed)
    tied = sum(value for value in probability.values() if value == observed)
    return (less + tied) / total, (less + tied / 2) / total
