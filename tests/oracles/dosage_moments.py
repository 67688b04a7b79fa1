"""Slow obvious twins of `genassoc.kernels.genotypes.dosage_moments`."""

import numpy as np


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
