"""Laws of set statistics by listing every outcome of the carriers."""

import itertools
import math

import numpy as np


def set_points(means, doses):
    """The carriers' outcomes of each column (2^n, n) multiplied out: counts T (R, m) and the chance of each row (R,).

    ``means`` and ``doses`` are lists of arrays, one a column, of carriers that differ between columns.
    """
    counts, chances = [], []
    for mean, dose in zip(means, doses, strict=True):
        law = {}
        for y in itertools.product((0, 1), repeat=len(mean)):
            T = sum(d for d, case in zip(dose, y, strict=True) if case)
            law[T] = law.get(T, 0.0) + math.prod(p if case else 1 - p for p, case in zip(mean, y, strict=True))
        counts.append(sorted(law))
        chances.append([law[T] for T in sorted(law)])
    T = np.array(list(itertools.product(*counts)), dtype=float)
    return T, np.array([math.prod(row) for row in itertools.product(*chances)])


def tails(values, chance):
    """P(value >= each of the values)."""
    return np.array([chance[values >= x * (1 - 1e-12) - 1e-15].sum() for x in values])


def set_tails(U, chance, weights, rho):
    """p of Q, of S, and of the least p over rho, of every outcome (R,) each."""
    Q, S = ((weights * U) ** 2).sum(axis=1), U @ weights
    p = np.stack([tails((1 - r) * Q + r * S * S, chance) for r in rho], axis=1)
    least = p.min(axis=1)
    return p[:, 0], p[:, -1], tails(-least, chance)


def same_carriers(columns):
    """The unit of each column, numbered as they first appear."""
    seen = {}
    return [seen.setdefault(column, len(seen)) for column in columns]
