"""Firth's regression of a rare variant: carriers one by one, all other samples along a polynomial.

With g residualised on the covariates, ``d = g - X gamma``, a sample that carries nothing moves by ``-beta X gamma`` alone: a
little, so that a few derivatives of the likelihood along it say all about those samples, however many.
"""

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.likelihoods.logistic_firth import N_SUMS, MovingSamples, firth_beside
from genassoc.kernels.likelihoods.rows import FINE
from genassoc.shapes import Float64Array

# Missing calls, and carriers, are visited one at a time: worth it while they are few.
ONE_IN = 16


@jit
def firth_of_rare(d: Float64Array, eta: Float64Array, y: Float64Array, calls: Float64Array, row: Float64Array) -> bool:
    """`genassoc.kernels.likelihoods.logistic_firth.firth_one` of a variant that few samples carry; whether few do, and it is found.

    Parameters
    ----------
    d : float64 array (n,)
        g beside the covariates, 0 where not observed.
    eta, y, calls : float64 arrays (n,)
        Log odds of the null, outcome, copies (NaN or 0 where not observed).
    row : float64 array (N_NUMBERS,)
        Filled where it is.
    """
    k = 0
    for i in range(calls.size):
        k += 1 if calls[i] > 0.0 else 0
    if k * ONE_IN >= calls.size:
        return False
    base, own, outcome, others = np.empty(k), np.empty(k), np.empty(k), d.copy()
    at = 0
    for i in range(calls.size):
        if calls[i] > 0.0:
            base[at], own[at], outcome[at] = eta[i], d[i], y[i]
            others[i] = 0.0
            at += 1
    rest, carriers = MovingSamples(others, y, eta), MovingSamples(own, outcome, base)
    return firth_beside(np.zeros(N_SUMS), rest, carriers, row) == FINE
