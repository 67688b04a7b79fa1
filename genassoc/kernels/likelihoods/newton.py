"""Newton's method with halved steps, as every model's row-by-row kernel does it: what is between two evaluations."""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.likelihoods.cholesky import cholesky, solve_lower, solve_upper
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

UNDER_WAY, FELL = -1, -2  # beside the statuses of `genassoc.kernels.likelihoods.rows`
# Where a maximisation stands: the best objective so far, and how often the step from it was halved.
BEST, HALVINGS = 0, 1
# An objective that is less by no more than this share of itself (and of 1) has not fallen: rounding.
ROUNDING = 1e-10


class FitOptions(NamedTuple):
    """What is maximised.

    Attributes
    ----------
    penalised : bool
        Firth's penalty is added, that of all coefficients.
    runaway : bool
        A coefficient that runs away at no gain (a separated covariate, a monotone likelihood) counts as converged.
    n_free : int
        Coefficients from ``n_free`` on stay as they are.
    """

    penalised: bool
    runaway: bool
    n_free: int


class Climb(NamedTuple):
    """A maximisation over P coefficients, under way.

    Attributes
    ----------
    J, L : float64 arrays (P, P)
        The information where the coefficients are, and its lower factor.
    gradient, step, before, scratch : float64 arrays (P,)
        The slope there; the step to there, or the next one; the last point that was kept; room.
    stand : float64 array (2,)
        BEST and HALVINGS; the best objective is NaN where there is none.
    """

    J: Float64Array
    L: Float64Array
    gradient: Float64Array
    step: Float64Array
    before: Float64Array
    scratch: Float64Array
    stand: Float64Array


@jit
def climb_of(L: Float64Array) -> Climb:
    """A maximisation before its first evaluation; L (P, P) is to be the factor."""
    P = L.shape[0]
    return Climb(np.empty((P, P)), L, np.empty(P), np.zeros(P), np.empty(P), np.empty(P), at_start())


@jit
def at_start() -> Float64Array:
    """Where a maximisation stands before its first evaluation."""
    stand = np.zeros(2)
    stand[BEST] = -np.inf
    return stand


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
def judge(
    iteration: int, objective: float, singular: bool, most_halvings: int, climb: Climb, beta: Float64Array
) -> int:
    """Whether the step to beta (P,) is kept; where the objective fell, or the information became singular, half of it is gone back.

    Returns
    -------
    status
        UNDER_WAY: the step is kept. FELL: evaluate again, nearer to the last point. Else what the maximisation ends with.
    """
    stand, step = climb.stand, climb.step
    if singular and iteration == 0:
        stand[BEST] = np.nan
        return COLLINEAR
    if iteration > 0 and (singular or not objective >= stand[BEST] - ROUNDING * (1.0 + abs(stand[BEST]))):
        stand[HALVINGS] += 1
        if stand[HALVINGS] > most_halvings:
            return NOT_CONVERGED
        for j in range(beta.size):
            step[j] *= 0.5
            beta[j] = climb.before[j] + step[j]
        return FELL
    stand[BEST], stand[HALVINGS] = objective, 0
    return UNDER_WAY


@jit
def step_on(climb: Climb, beta: Float64Array) -> None:
    """Go the step from beta (P,)."""
    for j in range(beta.size):
        climb.before[j] = beta[j]
        beta[j] += climb.step[j]


@jit
def ascend(iteration: int, objective: float, climb: Climb, watch: int, beta: Float64Array) -> int:
    """Move beta (P,) by what was found there: a Newton step on, or half of the last step back where the objective fell.

    Parameters
    ----------
    iteration : int
        From 0.
    objective : float
        At beta, as are the climb's J and gradient. What is singular after the first evaluation counts as a fall.
    watch : int
        Say RUNAWAY where one of so many last coefficients grows without end; any other that does counts as converged.

    Returns
    -------
    status
        UNDER_WAY: evaluate again; else what the fit ends with, beta staying where it is.
    """
    P = beta.size
    singular = math.isnan(cholesky(climb.J, climb.L, P))
    status = judge(iteration, objective, singular, MAX_HALVINGS, climb, beta)
    if status == FELL:
        return UNDER_WAY
    if status != UNDER_WAY:
        return status
    if newton_step(climb.L, climb.gradient, climb.step, climb.scratch) < STEP_TOLERANCE:
        for j in range(P - watch, P):
            if abs(climb.step[j]) > RUNAWAY_STEP:
                return RUNAWAY
        return FINE
    step_on(climb, beta)
    return UNDER_WAY
