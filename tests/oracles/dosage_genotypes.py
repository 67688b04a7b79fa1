"""The slow obvious twin of `genassoc.kernels.genotypes.dosage_genotypes`, in fractions."""

from fractions import Fraction

import numpy as np


def twice_probabilities(values, scale, missing, homozygous, haploid, which):
    """Twice the probability of "one" copy, of "two", or of "any", in steps; P(hom) known, or what the dosage leaves."""
    out = np.empty_like(values)
    for v, i in np.ndindex(values.shape):
        d = Fraction(int(values[v, i]), scale)
        two = max(d - 1, Fraction(0))
        if homozygous is not None:
            two = Fraction(int(homozygous[v, i]), scale)
        elif haploid is not None and haploid[v, i]:
            two = d / 2
        chance = {"one": d - 2 * two, "two": two, "any": d - two}[which]
        steps = 2 * scale * min(max(chance, Fraction(0)), Fraction(1))
        assert steps.denominator == 1
        out[v, i] = missing if values[v, i] == missing else int(steps)
    return out
