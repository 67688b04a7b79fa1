"""Newton's method with halved steps, as every model's row-by-row kernel does it: what is between two evaluations."""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.likelihoods.logistic import cholesky, solve_lower, solve_upper
from genassoc.kernels.likelihoods.rows import (
    COLLINEAR,
    FINE,
    MAX_HALVINGS,
    NOT_CONVERGED,
    RUNAWAY,
    RUNAWAY_STEP,
    STEP_TOLERANCE,
)
from genassoc.shapes import Float64Array

UNDER_WAY = -1  # beside the statuses of `genassoc.kernels.likelihoods.rows`
# Where a maximisation stands: the best objective so far, and how often the step from it was halved.
BEST, HALVINGS = 0, 1


@jit
def newton_step(L: Float64Array, gradient: Float64Array, step: Float64Array, scratch: Float64Array) -> float:
    """Newton's step; its squared length in standard errors, which is twice the gain it promises."""
    P = gradient.size
    solve_lower(L, gradient, scratch, P)
    decrement = 0.0
    for j in range(P):
        decrement += scratch[j] * scratch[j]
    solve_upper(L, scratch, step, P)
    return decrement


@jit
def at_start() -> Float64Array:
    """Where a maximisation stands before its first evaluation."""
    stand = np.zeros(2)
    stand[BEST] = -np.inf
    return stand


@jit
def advance(
    iteration: int,
    objective: float,
    J: Float64Array,
    gradient: Float64Array,
    watch: int,
    beta: Float64Array,
    before: Float64Array,
    step: Float64Array,
    L: Float64Array,
    stand: Float64Array,
) -> int:
    """Move beta (P,) by what was found there: a Newton step on, or half of the last step back where the objective fell.

    Parameters
    ----------
    iteration : int
        From 0.
    objective, J, gradient
        At beta; J (P, P) is the information. What is singular after the first evaluation counts as a fall.
    watch : int
        Say RUNAWAY where one of so many last coefficients grows without end; any other that does counts as converged.
    before, step : float64 arrays (P,)
        The last point that was kept, and the step from it.
    L : float64 array (P, P)
        Filled with the factor of J.
    stand : float64 array (2,)
        Of `at_start`; its best objective is NaN where there is none.

    Returns
    -------
    status
        UNDER_WAY: evaluate again; else what the fit ends with, beta staying where it is.
    """
    P = beta.size
    singular = math.isnan(cholesky(J, L, P))
    if singular and iteration == 0:
        stand[BEST] = np.nan
        return COLLINEAR
    if iteration > 0 and (singular or not objective >= stand[BEST] - 1e-10 * (1.0 + abs(stand[BEST]))):
        stand[HALVINGS] += 1
        if stand[HALVINGS] > MAX_HALVINGS:
            return NOT_CONVERGED
        for j in range(P):
            step[j] *= 0.5
            beta[j] = before[j] + step[j]
        return UNDER_WAY
    stand[BEST], stand[HALVINGS] = objective, 0
    if newton_step(L, gradient, step, np.empty(P)) < STEP_TOLERANCE:
        for j in range(P - int(watch), P):
            if abs(step[j]) > RUNAWAY_STEP:
                return RUNAWAY
        return FINE
    for j in range(P):
        before[j] = beta[j]
        beta[j] += step[j]
    return UNDER_WAY
