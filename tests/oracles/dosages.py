"""Slow obvious twins of `genassoc.kernels.genotypes.dosages`, of dosages (V, N) with NaN where not observed."""

import math
from fractions import Fraction

import numpy as np


def minor(dosages, flipped):
    """Dosages of the allele counted."""
    return np.where(np.asarray(flipped)[:, None], 2.0 - dosages, dosages)


def sum_dosages(values, missing, selected):
    """Rows of how many are observed, their sum, sum of squares, least and largest, as Python's whole numbers."""
    rows = []
    for row in values:
        there = [int(x) for x, chosen in zip(row, selected) if chosen and x != missing]
        rows.append(
            [len(there), sum(there), sum(x * x for x in there), min(there, default=missing), max(there, default=-1)]
        )
    return rows


def list_not_observed(values, missing, selected):
    """The samples selected that are missing, a list a variant."""
    return [[i for i, x in enumerate(row) if selected[i] and x == missing] for row in values]


def whole_rows(values, scale, missing, selected):
    """Whether all selected dosages observed are 0, 1 or 2, a bool a variant."""
    return [all(x == missing or x in (0, scale, 2 * scale) for x, s in zip(row, selected) if s) for row in values]


def effective_carriers(dosages, selected):
    """``(sum c^2)^2 / sum c^4`` of centred dosages, a number a variant; 0 of constant ones."""
    found = []
    for row in dosages[:, selected]:
        seen = row[~np.isnan(row)]
        c = seen - seen.mean() if seen.size else seen
        found.append(0.0 if not seen.size or np.ptp(seen) == 0 else (c**2).sum() ** 2 / (c**4).sum())
    return found


def sum_haploid(values, missing, haploid, selected):
    """Haploid samples selected and observed, and the sum of their steps; ``haploid`` is a bool (V, N)."""
    there = haploid & selected & (values != missing)
    return [[int(who.sum()), int(row[who].astype(np.int64).sum())] for row, who in zip(values, there)]


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


def decode_dosages(dosages, flipped, variants, samples):
    """Some variants and samples."""
    return minor(dosages, flipped)[np.ix_(variants, samples)]


def dosage_product(dosages, flipped, columns, square):
    """``g @ columns``, or of g^2: every sum exact before it is rounded once."""
    g = np.nan_to_num(minor(dosages, flipped))
    g = g * g if square else g
    return np.array([[math.fsum(row * column) for column in columns.T] for row in g])


def hard_calls(values, steps):
    """Codes (D, N): the copy nearest to each dosage where it is within a tenth of one, else 3."""
    rows = []
    for row, one in zip(values, steps):
        codes = []
        for x in map(int, row):
            copies = [c for c in (0, 1, 2) if 10 * abs(x - c * int(one)) <= int(one)]
            codes.append(copies[0] if copies and x != 65535 else 3)
        rows.append(codes)
    return rows
