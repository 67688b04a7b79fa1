"""The tail of a sum of coefficients times exchangeable residuals, so many standard errors out: its shape, whatever its variance.

As `genassoc.kernels.laws.residual_law`, for tests whose standard error is their own model's: what is asked is how much likelier than a normal's
a statistic of this size is, where few residuals with heavy tails make it up.
"""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.laws.residual_law import N_BINS, cgf_of, gather, log_normal_upper, log_sum, log_upper_tail
from genassoc.shapes import Float64Array

LAW, NORMAL = 0, 1
N_TAILS = 2


@jit
def shape_rows(
    coefficients: Float64Array, atoms: Float64Array, weights: Float64Array, lost: float, statistic: Float64Array, tails: Float64Array
) -> None:  # fmt: skip
    """-ln of the two-sided p of rows by the law of their residuals, at their statistics.

    Parameters
    ----------
    coefficients : float64 array (R, n)
        Of each sample's residual in the score of a row.
    atoms, weights : float64 arrays (m,)
        Residuals in ascending order, of mean 0, and their probabilities.
    lost : float
        Variance of the residuals that the atoms do not have.
    statistic : float64 array (R,)
        In standard errors.
    tails : float64 array (R, N_TAILS)
        Overwritten: -ln p by the law, NaN where its integral does not end; and -ln p of a normal.
    """
    means, counts = np.empty(N_BINS + 1), np.empty(N_BINS + 1)
    variance = lost
    for j in range(atoms.size):
        variance += weights[j] * atoms[j] * atoms[j]
    for row in range(coefficients.shape[0]):
        size = abs(statistic[row])
        tails[row, NORMAL] = -math.log(2.0) - log_normal_upper(size)
        tails[row, LAW] = tails[row, NORMAL]
        groups, rest = gather(coefficients[row], variance, means, counts)
        if groups == 0 or size == 0.0:
            continue
        if lost > 0.0:
            for k in range(groups):
                rest += counts[k] * means[k] * means[k] * lost
        _, _, whole = cgf_of(0.0, means[:groups], counts[:groups], rest, atoms, weights)
        u = size * math.sqrt(whole)
        same = log_upper_tail(u, means[:groups], counts[:groups], rest, atoms, weights)
        for k in range(groups):
            means[k] = -means[k]
        opposite = log_upper_tail(u, means[:groups], counts[:groups], rest, atoms, weights)
        # Which of the two is of the side observed does not matter to their sum.
        either = -log_sum(same, opposite)
        tails[row, LAW] = 0.0 if either < 0.0 else either  # NaN stays
