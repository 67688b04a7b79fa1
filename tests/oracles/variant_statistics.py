"""Slow obvious twin of `genassoc.data.cohort.variant_statistics`: one call at a time, in plain Python."""

from fractions import Fraction
from math import comb


def variant_statistics(codes, haploid):
    """Statistics of one variant: ``codes`` of the samples (3 is not observed), ``haploid`` bools."""
    copies = alleles = 0
    counts = [0, 0, 0, 0]
    for code, single in zip(codes, haploid):
        counts[code] += 1
        if code != 3:
            copies += code // 2 if single else int(code)
            alleles += 1 if single else 2
    return {
        "af": float(Fraction(copies, alleles)) if alleles else None,
        "maf": float(Fraction(min(copies, alleles - copies), alleles)) if alleles else None,
        "mac": min(copies, alleles - copies),
        "missing_rate": counts[3] / len(codes),
        "n": counts[0] + counts[1] + counts[2],
        "n_hom_ref": counts[0],
        "n_het": counts[1],
        "n_hom_alt": counts[2],
    }


def hardy_weinberg(n_hom_ref, n_het, n_hom_alt):
    """Exact p from the definition, in exact arithmetic; None where nothing is observed."""
    n = n_hom_ref + n_het + n_hom_alt
    if n == 0:
        return None
    alt = n_het + 2 * n_hom_alt
    weights = {}
    for het in range(alt % 2, min(alt, 2 * n - alt) + 1, 2):
        hom_alt = (alt - het) // 2
        weights[het] = comb(n, hom_alt) * comb(n - hom_alt, het) * 2**het
    total = sum(weights.values())
    return float(Fraction(sum(w for w in weights.values() if w <= weights[n_het]), total))
