"""Slow twin of `genassoc.kernels.laws.shape_law`: tails of sums of drawn residuals, by drawing."""

import numpy as np
from scipy.stats import norm


def shape_rows(coefficients, atoms, weights, lost, statistic, tails, seed=1, draws=400_000):
    """-ln p by as many draws of every sample's residual, over the standard deviation of the sum; and of a normal."""
    rng = np.random.default_rng(seed)
    variance = float(weights @ atoms**2) + lost
    for row, a in enumerate(coefficients):
        total = np.zeros(draws)
        for value in a:
            drawn = rng.choice(atoms, draws, p=weights)
            total += value * (drawn + (rng.normal(0.0, np.sqrt(lost), draws) if lost > 0 else 0.0))
        size = abs(statistic[row]) * np.sqrt(variance * float(a @ a))
        with np.errstate(divide="ignore"):
            tails[row, 0] = -np.log((np.abs(total) >= size).mean())
        tails[row, 1] = -np.log(2.0 * norm.sf(abs(statistic[row])))
