"""Slow twins of `genassoc.kernels.genotypes.pgen`: one call at a time."""

import math


def pack_copies(copies, columns):
    """Codes (V, N) of copies of ALT: 3 where not 0, 1 or 2."""
    return [[int(row[c]) if row[c] in (0, 1, 2) else 3 for c in columns] for row in copies]


def dosage_steps(dosages, columns):
    """(Steps (D, N) of 1/16384 copy, 65535 where there is none; how many dosages are none of 0 to 2 nor negative)."""
    rows, bad = [], 0
    for row in dosages:
        steps = []
        for c in columns:
            x = float(row[c])
            sound = not math.isnan(x) and x <= 2
            bad += not sound
            steps.append(round(x * 16384) if sound and x >= 0 else 65535)
        rows.append(steps)
    return rows, bad


def copies_of(codes):
    """Copies of ALT, -9 where not observed."""
    return [[-9 if code == 3 else int(code) for code in row] for row in codes]
