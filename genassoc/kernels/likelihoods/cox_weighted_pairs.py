"""Cox regression with sampling weights on g and g e, one variant at a time: Wald tests with the variance of Lin and Wei.

The likelihood and what samples add to its score are those of `genassoc.kernels.likelihoods.cox_weighted`.
"""

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.laws.sandwich import pair_variance
from genassoc.kernels.likelihoods.cox_sums import RiskSets
from genassoc.kernels.likelihoods.cox_weighted import fit, influences
from genassoc.kernels.likelihoods.interaction_logistic import GE, ITERATIONS, G
from genassoc.kernels.likelihoods.logistic import solve_lower, solve_upper
from genassoc.kernels.likelihoods.rows import (
    COLLINEAR,
    FINE,
    ONE_OUTCOME,
    RUNAWAY,
    RUNAWAY_STEP,
    independent_columns,
    observed_calls,
)
from genassoc.shapes import BoolArray, Float64Array, Int64Array

COLLINEAR_BELOW = 1e-12  # of a column's information: what the columns before it leave


@jit
def wald_pairs(
    calls: Float64Array,
    e: Float64Array,
    X: Float64Array,
    sets: RiskSets,
    prior: Float64Array,
    start: Float64Array,
    impute: bool,
    contrasts: Float64Array,
    numbers: Float64Array,
    freedom: Float64Array,
    status: Int64Array,
    dropped: BoolArray,
) -> None:
    """Fit covariates, g and g e of every variant on the samples whose call is observed.

    Parameters
    ----------
    calls : float64 array (R, n)
        Copies of the minor allele in the endpoint's samples, NaN where not observed.
    e, prior : float64 arrays (n,)
    X : float64 array (n, C)
        Orthonormal covariates, a constant first (it is no part of the model).
    sets : RiskSets
    start : float64 array (C - 1,)
        The null's coefficients.
    impute : bool
        Missing calls take the (unweighted) mean of the observed ones.
    contrasts : float64 array (K, 2)
        See `genassoc.kernels.laws.sandwich.pair_variance`.
    numbers : float64 array (R, N_NUMBERS)
        Filled as of `genassoc.kernels.likelihoods.interaction_logistic`.
    freedom : float64 array (R, K)
        Filled: degrees of freedom of every contrast.
    status : int64 array (R,)
        FINE, NOT_CONVERGED, COLLINEAR, ONE_OUTCOME (no event), RUNAWAY (a coefficient is not finite).
    dropped : bool array (R,)
        Filled: whether a covariate was a combination of others among the samples observed, and left out.
    """
    n_all, C = X.shape
    for r in range(calls.shape[0]):
        numbers[r] = np.nan
        freedom[r] = np.nan
        who, g = observed_calls(calls[r], impute)
        part = RiskSets(sets.event[who], sets.first[who], sets.last[who], sets.ends, sets.efron)
        dropped[r] = False
        kept, first = X[who], start.copy()
        if who.size < n_all:
            kept, _, dropped[r] = independent_columns(kept, np.zeros(C))
            if dropped[r]:
                first = np.zeros(kept.shape[1] - 1)
        if not part.event.any():
            status[r] = ONE_OUTCOME
            continue
        P = kept.shape[1] + 1
        D, beta, mean, mean_ge = np.empty((who.size, P)), np.zeros(P), 0.0, 0.0
        for i in range(who.size):
            mean += g[i] / who.size
            mean_ge += g[i] * e[who[i]] / who.size
        for i in range(who.size):
            for j in range(P - 2):
                D[i, j] = kept[i, j + 1]
            D[i, P - 2] = g[i] * e[who[i]] - mean_ge
            D[i, P - 1] = g[i] - mean
        put(beta, 0, first)
        status[r] = _one_row(D, prior[who], part, beta, contrasts, numbers[r], freedom[r])


@jit
def _one_row(
    D: Float64Array,
    prior: Float64Array,
    sets: RiskSets,
    beta: Float64Array,
    contrasts: Float64Array,
    row: Float64Array,
    freedom: Float64Array,
) -> int:
    """What `wald_pairs` does of one variant, on n samples that are all observed; the status."""
    n, P = D.shape
    w, L = np.empty(n), np.zeros((P, P))
    state, iterations = fit(D, prior, sets, True, beta, w, L)
    if state != FINE:
        return state
    # The columns that J^-1 makes of D for g and for g e; of their sum come the products of the two.
    Z, half, along, unit = np.zeros((3, n)), np.empty(P), np.empty(P), np.zeros(P)
    for k in range(2):
        unit[:] = 0.0
        unit[P - 1 - k] = 1.0
        solve_lower(L, unit, half, P)
        solve_upper(L, half, along, P)
        for i in range(n):
            for j in range(P):
                Z[k, i] += D[i, j] * along[j]
    for i in range(n):
        Z[2, i] = Z[0, i] + Z[1, i]
    own, expected = np.empty((3, n)), np.empty((3, n))
    for k in range(3):
        influences(Z[k], prior, w, sets, own[k], expected[k])
    # The scores' sums are Newton's next step: of a coefficient that runs away it is no small one.
    for k in range(2):
        step = 0.0
        for i in range(n):
            step += own[k, i]
        if abs(step) > RUNAWAY_STEP:
            return RUNAWAY
    for j in range(P - 2, P):
        total = 0.0
        for a in range(j + 1):
            total += L[j, a] ** 2
        if L[j, j] ** 2 <= COLLINEAR_BELOW * total:
            return COLLINEAR
    U, E = np.empty((n, 2)), np.empty((n, 3))
    for i in range(n):
        U[i, 0], U[i, 1] = own[0, i], own[1, i]
        E[i, 0], E[i, 2] = expected[0, i], expected[1, i]
        E[i, 1] = 0.5 * (expected[2, i] - expected[0, i] - expected[1, i])
    if not pair_variance(U, E, contrasts, float(max(n - P, 1)), row, freedom):
        return COLLINEAR
    row[G], row[GE], row[ITERATIONS] = beta[P - 1], beta[P - 2], iterations
    return FINE
