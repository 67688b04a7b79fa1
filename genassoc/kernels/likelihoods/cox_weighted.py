"""Cox regression with sampling weights, one variant at a time: Wald tests with the variance of Lin and Wei.

With weights v, and risk sets and ties as in `genassoc.kernels.likelihoods.cox`, the m deaths at a time weigh vbar on average (as R's coxph) ::

    log L = sum_deaths v_i eta_i - sum_kl vbar_k log den_kl        den_kl = sum_i v_i a_ikl exp(eta_i)

A sample adds ``v_i u_i`` to the score, u_i its x less the risk set's mean over its martingale (Lin & Wei 1989,
doi:10.1080/01621459.1989.10478874; of sampling weights Binder 1992, doi:10.1093/biomet/79.1.139), and

    var beta = J^-1 [sum_i v_i^2 u_i u_i'] J^-1

Of a case-cohort sample, cases weigh 1 and the others one over the chance of the subcohort (Barlow 1994, doi:10.2307/2533444).
"""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.likelihoods.cox_sums import RiskSets, suffix_sums
from genassoc.kernels.likelihoods.logistic import solve_upper
from genassoc.kernels.likelihoods.newton import UNDER_WAY, advance, at_start
from genassoc.kernels.likelihoods.rows import (
    BETA,
    COLLINEAR,
    DF,
    DISPERSION,
    FINE,
    ITERATIONS,
    MAX_ITERATIONS,
    MODEL_SE,
    N_NUMBERS,
    NOT_CONVERGED,
    ONE_OUTCOME,
    STATISTIC,
    independent_columns,
    observed_calls,
)
from genassoc.shapes import BoolArray, Float64Array, Int64Array


@jit
def risk_set_sums(X: Float64Array, w: Float64Array, sets: RiskSets, s: Float64Array, d: Float64Array) -> None:
    """Fill sums of w (first column) and w x over the risk sets and over the deaths at each event time, (K, 1 + P)."""
    n, P = X.shape
    s[:, :] = 0.0
    d[:, :] = 0.0
    for i in range(n):
        if sets.last[i] <= sets.first[i]:
            continue
        k, before = sets.last[i] - 1, sets.first[i] - 1
        late = before >= 0 and not sets.ends[before]
        for j in range(P + 1):
            x = w[i] if j == 0 else w[i] * X[i, j - 1]
            s[k, j] += x
            if sets.event[i]:
                d[k, j] += x
            if late:
                s[before, j] -= x
    suffix_sums(s, sets.ends)


@jit
def weighted_likelihood(
    D: Float64Array, prior: Float64Array, beta: Float64Array, sets: RiskSets, w: Float64Array, gradient: Float64Array,
    J: Float64Array,
) -> float:  # fmt: skip
    """The weighted log partial likelihood; fills w = v exp(eta) up to a factor, gradient (P,) and information (P, P).

    Parameters
    ----------
    D : float64 array (n, P)
    prior : float64 array (n,)
    beta : float64 array (P,)
    sets : RiskSets
    """
    n, P = D.shape
    K = sets.ends.size
    gradient[:] = 0.0
    J[:, :] = 0.0
    largest, total = -np.inf, 0.0
    for i in range(n):
        w[i] = 0.0
        for j in range(P):
            w[i] += D[i, j] * beta[j]
        if sets.last[i] > sets.first[i]:
            largest = max(largest, w[i])
    deaths, death_weight = np.zeros(K), np.zeros(K)
    for i in range(n):
        at_risk = sets.last[i] > sets.first[i]
        if at_risk and sets.event[i]:
            total += prior[i] * (w[i] - largest)
            deaths[sets.last[i] - 1] += 1.0
            death_weight[sets.last[i] - 1] += prior[i]
            for j in range(P):
                gradient[j] += prior[i] * D[i, j]
        w[i] = prior[i] * math.exp(w[i] - largest) if at_risk else 0.0
    s, d = np.empty((K, P + 1)), np.empty((K, P + 1))
    risk_set_sums(D, w, sets, s, d)
    hazard, tied, mean = np.zeros(K + 1), np.zeros(K), np.empty(P)
    for k in range(K):
        m = int(deaths[k])
        hazard[k + 1] = hazard[k]
        for tie in range(m):
            part = tie / m if sets.efron else 0.0
            den, own = s[k, 0] - part * d[k, 0], death_weight[k] / m
            total -= own * math.log(den)
            hazard[k + 1] += own / den
            tied[k] += part * own / den
            for j in range(P):
                mean[j] = (s[k, j + 1] - part * d[k, j + 1]) / den
                gradient[j] -= own * mean[j]
                for q in range(j + 1):
                    J[j, q] -= own * mean[j] * mean[q]
    for i in range(n):
        if sets.last[i] <= sets.first[i]:
            continue
        exposure = hazard[sets.last[i]] - hazard[sets.first[i]]
        if sets.event[i]:
            exposure -= tied[sets.last[i] - 1]
        for j in range(P):
            x = w[i] * exposure * D[i, j]
            for q in range(j + 1):
                J[j, q] += x * D[i, q]
    for j in range(P):
        for q in range(j):
            J[q, j] = J[j, q]
    return total


@jit
def fit(
    D: Float64Array,
    prior: Float64Array,
    sets: RiskSets,
    watch: bool,
    beta: Float64Array,
    w: Float64Array,
    L: Float64Array,
) -> tuple[int, int]:
    """Maximise the weighted likelihood by Newton's steps, halved until it does not fall; status and iterations.

    ``watch``: say RUNAWAY where the last coefficient grows without end. w (n,) and L (P, P), the factor of the information,
    are filled at the estimate.
    """
    P = D.shape[1]
    J, gradient, step, before, stand = np.empty((P, P)), np.empty(P), np.zeros(P), np.empty(P), at_start()
    for iteration in range(MAX_ITERATIONS):
        objective = weighted_likelihood(D, prior, beta, sets, w, gradient, J)
        status = advance(iteration, objective, J, gradient, watch, beta, before, step, L, stand)
        if status != UNDER_WAY:
            return status, iteration
    return NOT_CONVERGED, MAX_ITERATIONS


@jit
def influences(
    z: Float64Array, prior: Float64Array, w: Float64Array, sets: RiskSets, out: Float64Array, expected: Float64Array
) -> None:
    """What each sample adds to the weighted score of one column z (n,), and what the square of it is expected to be.

    w are the risk weights at the estimate, as `weighted_likelihood` fills them.
    """
    n, K = z.size, sets.ends.size
    X = np.empty((n, 1))
    for i in range(n):
        X[i, 0] = z[i]
    s, d = np.empty((K, 2)), np.empty((K, 2))
    risk_set_sums(X, w, sets, s, d)
    deaths, death_weight = np.zeros(K), np.zeros(K)
    for i in range(n):
        if sets.event[i] and sets.last[i] > sets.first[i]:
            deaths[sets.last[i] - 1] += 1.0
            death_weight[sets.last[i] - 1] += prior[i]
    # Running sums of the hazard, times the mean, times its square; what the deaths are spared; the mean over the ties.
    run, spared, average = np.zeros((K + 1, 3)), np.zeros((K, 3)), np.zeros(K)
    for k in range(K):
        m = int(deaths[k])
        for j in range(3):
            run[k + 1, j] = run[k, j]
        for tie in range(m):
            part = tie / m if sets.efron else 0.0
            den = s[k, 0] - part * d[k, 0]
            mean, rate = (s[k, 1] - part * d[k, 1]) / den, death_weight[k] / m / den
            average[k] += mean / m
            for j in range(3):
                run[k + 1, j] += rate
                spared[k, j] += part * rate
                rate *= mean
    for i in range(n):
        out[i] = expected[i] = 0.0
        if sets.last[i] <= sets.first[i]:
            continue
        k = sets.last[i] - 1
        a, b, c = (
            run[k + 1, 0] - run[sets.first[i], 0], run[k + 1, 1] - run[sets.first[i], 1], run[k + 1, 2] - run[sets.first[i], 2]
        )  # fmt: skip
        if sets.event[i]:
            a, b, c = a - spared[k, 0], b - spared[k, 1], c - spared[k, 2]
            out[i] = prior[i] * (z[i] - average[k])
        out[i] -= w[i] * (z[i] * a - b)
        expected[i] = prior[i] * w[i] * max(z[i] * z[i] * a - 2.0 * z[i] * b + c, 0.0)


@jit
def wald_rows(
    G: Float64Array,
    X: Float64Array,
    sets: RiskSets,
    prior: Float64Array,
    start: Float64Array,
    impute: bool,
    numbers: Float64Array,
    status: Int64Array,
    dropped: BoolArray,
) -> None:
    """Fit covariates and g of every variant on the samples whose call is observed.

    Parameters
    ----------
    G : float64 array (R, n)
        Copies of the minor allele in the endpoint's samples, NaN where not observed.
    X : float64 array (n, C)
        Orthonormal covariates, a constant first (it is no part of the model).
    sets : RiskSets
    prior : float64 array (n,)
    start : float64 array (C - 1,)
        The null's coefficients.
    impute : bool
        Missing calls take the (unweighted) mean of the observed ones.
    numbers : float64 array (R, N_NUMBERS)
        Filled: beta, its standard error, their ratio, iterations, 1, Satterthwaite's degrees of freedom.
    status : int64 array (R,)
    dropped : bool array (R,)
        Filled: whether a covariate was a combination of others among the samples observed, and left out.
    """
    n_all, C = X.shape
    for r in range(G.shape[0]):
        for k in range(N_NUMBERS):
            numbers[r, k] = np.nan
        who, g = observed_calls(G[r], impute)
        n = who.size
        part = RiskSets(sets.event[who], sets.first[who], sets.last[who], sets.ends, sets.efron)
        dropped[r] = False
        kept, first = X[who], start.copy()
        if n < n_all:
            kept, _, dropped[r] = independent_columns(kept, np.zeros(C))
            if dropped[r]:
                first = np.zeros(kept.shape[1] - 1)
        if not part.event.any():
            status[r] = ONE_OUTCOME
            continue
        P = kept.shape[1]
        D, beta = np.empty((n, P)), np.zeros(P)
        centre = g.mean()
        for i in range(n):
            put(D[i], 0, kept[i, 1:])
            D[i, P - 1] = g[i] - centre
        put(beta, 0, first)
        status[r] = _one_row(D, prior[who], part, beta, numbers[r])


@jit
def _one_row(D: Float64Array, prior: Float64Array, sets: RiskSets, beta: Float64Array, row: Float64Array) -> int:
    """What `wald_rows` does of one variant, on n samples that are all observed; the status."""
    n, P = D.shape
    w, L = np.empty(n), np.zeros((P, P))
    state, iterations = fit(D, prior, sets, True, beta, w, L)
    if state != FINE:
        return state
    # J^-1 e of the last coefficient, and the column it makes of D.
    scratch, along = np.zeros(P), np.empty(P)
    scratch[P - 1] = 1.0 / L[P - 1, P - 1]
    solve_upper(L, scratch, along, P)
    z, own, expected = np.zeros(n), np.empty(n), np.empty(n)
    for i in range(n):
        for j in range(P):
            z[i] += D[i, j] * along[j]
    influences(z, prior, w, sets, own, expected)
    meat, size, squares = 0.0, 0.0, 0.0
    for i in range(n):
        meat += own[i] * own[i]
        size += expected[i]
        squares += expected[i] * expected[i]
    if not meat > 0.0:
        return COLLINEAR
    row[BETA], row[MODEL_SE] = beta[P - 1], math.sqrt(meat)
    row[STATISTIC] = beta[P - 1] / row[MODEL_SE]
    row[ITERATIONS], row[DISPERSION] = iterations, 1.0
    row[DF] = min(max(1.0, size * size / max(squares, 1e-300) - 1.0), float(max(n - P, 1)))
    return FINE
