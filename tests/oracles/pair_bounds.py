"""Slow twin of `genassoc.kernels.genotypes.pair_bounds`."""

import numpy as np


def bound_pairs(values: np.ndarray, homozygous: np.ndarray, steps: np.ndarray) -> np.ndarray:
    """Probabilities of two copies, in steps, between what dosages allow."""
    out = homozygous.copy()
    for v, one in enumerate(steps.tolist()):
        for i, (x, two) in enumerate(zip(values[v].tolist(), homozygous[v].tolist())):
            if one:
                out[v, i] = 65535 if 65535 in (x, two) else min(max(two, x - one), x // 2)
    return out
