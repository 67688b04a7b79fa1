"""Cox regression with weights and an offset, one variant at a time: Wald tests of D columns with the variance of Lin and Wei.

With weights v, and risk sets and ties as in `genassoc.kernels.likelihoods.cox`, the m deaths at a time weigh vbar on average (as R's coxph) ::

    log L = sum_deaths v_i eta_i - sum_kl vbar_k log den_kl        den_kl = sum_i v_i a_ikl exp(eta_i)

A sample adds ``v_i u_i`` to the score, u_i its x less the risk set's mean over its martingale (Lin & Wei 1989,
doi:10.1080/01621459.1989.10478874; of sampling weights Binder 1992, doi:10.1093/biomet/79.1.139), and

    var beta = J^-1 [sum_i v_i^2 u_i u_i'] J^-1

Of a case-cohort sample, cases weigh 1 and the others one over the chance of the subcohort (Barlow 1994, doi:10.2307/2533444).
"""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.laws.sandwich import (
    COLLINEAR_BELOW,
    WaldFits,
    observed,
    put_columns,
    sandwich_covariance,
)
from genassoc.kernels.likelihoods.cholesky import solve_lower, solve_upper
from genassoc.kernels.likelihoods.cox_sums import RiskSets, suffix_sums
from genassoc.kernels.likelihoods.newton import UNDER_WAY, ascend, climb_of
from genassoc.kernels.likelihoods.rows import (
    COLLINEAR,
    FINE,
    MAX_ITERATIONS,
    NOT_CONVERGED,
    ONE_OUTCOME,
    independent_columns,
)
from genassoc.shapes import Float64Array


class CoxSamples(NamedTuple):
    """Samples of one endpoint.

    Attributes
    ----------
    X : float64 array (n, C)
        Orthonormal covariates, a constant first (it is no part of the model).
    sets : RiskSets
    offset, prior : float64 arrays (n,)
        What is added to the log hazard, and weights.
    start : float64 array (C - 1,)
        The null's coefficients.
    """

    X: Float64Array
    sets: RiskSets
    offset: Float64Array
    prior: Float64Array
    start: Float64Array


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
    samples: CoxSamples, beta: Float64Array, w: Float64Array, gradient: Float64Array, J: Float64Array
) -> float:
    """The weighted log partial likelihood of X (n, P) without a constant at beta (P,).

    Fills w = v exp(eta) up to a factor, gradient (P,) and information (P, P).
    """
    D, prior, sets = samples.X, samples.prior, samples.sets
    n, P = D.shape
    K = sets.ends.size
    gradient[:] = 0.0
    J[:, :] = 0.0
    largest, total = -np.inf, 0.0
    for i in range(n):
        w[i] = samples.offset[i]
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
def fit(samples: CoxSamples, watch: int, beta: Float64Array, w: Float64Array, L: Float64Array) -> tuple[int, int]:
    """Maximise the weighted likelihood by Newton's steps, halved until it does not fall; status and iterations.

    X (n, P) is without a constant. ``watch``: of so many last coefficients, say RUNAWAY where one grows without end. w (n,) and L (P, P), the
    factor of the information, are filled at the estimate.
    """
    climb = climb_of(L)
    for iteration in range(MAX_ITERATIONS):
        objective = weighted_likelihood(samples, beta, w, climb.gradient, climb.J)
        status = ascend(iteration, objective, climb, watch, beta)
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
def wald_rows(H: Float64Array, samples: CoxSamples, contrasts: Float64Array, fits: WaldFits) -> None:
    """Fit covariates and the tested columns of every variant on the samples that are observed.

    Parameters
    ----------
    H : float64 array (R, D, n)
        Tested columns in the endpoint's samples, g the first; NaN where not observed.
    samples : CoxSamples
    contrasts : float64 array (K, D)
        Zeros mean all coefficients at once.
    fits : WaldFits
        Filled; the status is FINE, NOT_CONVERGED, COLLINEAR, ONE_OUTCOME (no event), RUNAWAY (a coefficient is not finite).
    """
    X, sets, n_tested = samples.X, samples.sets, H.shape[1]
    for r in range(H.shape[0]):
        who = observed(H[r])
        part = RiskSets(sets.event[who], sets.first[who], sets.last[who], sets.ends, sets.efron)
        fits.dropped[r] = False
        kept, first = X[who], samples.start.copy()
        if who.size < X.shape[0]:
            kept, _, fits.dropped[r] = independent_columns(kept, np.zeros(X.shape[1]))
            if fits.dropped[r]:
                first = np.zeros(kept.shape[1] - 1)
        if not part.event.any():
            fits.status[r] = ONE_OUTCOME
            continue
        C = kept.shape[1] - 1
        D, beta = np.empty((who.size, C + n_tested)), np.zeros(C + n_tested)
        for i in range(who.size):
            for c in range(C):
                D[i, c] = kept[i, c + 1]
        put_columns(H[r], who, True, D)
        put(beta, 0, first)
        own = CoxSamples(D, part, samples.offset[who], samples.prior[who], beta)
        fits.status[r] = _one_row(own, contrasts, fits, r)


@jit
def _one_row(samples: CoxSamples, contrasts: Float64Array, fits: WaldFits, row: int) -> int:
    """What `wald_rows` does of one variant, its tested columns the last of X, on samples that are all observed; the status."""
    D, beta = samples.X, samples.start
    n, P = D.shape
    n_tested = fits.theta.shape[1]
    w, L = np.empty(n), np.zeros((P, P))
    state, iterations = fit(samples, n_tested, beta, w, L)
    if state != FINE:
        return state
    # The columns that J^-1 makes of D for each tested one.
    Z, half, along, unit = np.zeros((n_tested, n)), np.empty(P), np.empty(P), np.zeros(P)
    for d in range(n_tested):
        unit[:] = 0.0
        unit[P - 1 - d] = 1.0
        solve_lower(L, unit, half, P)
        solve_upper(L, half, along, P)
        for i in range(n):
            for j in range(P):
                Z[d, i] += D[i, j] * along[j]
    U, E = np.empty((n, n_tested)), np.empty((n, n_tested * (n_tested + 1) // 2))
    z, own, expected = np.empty(n), np.empty(n), np.empty(n)
    at = 0
    for j in range(n_tested):
        for k in range(j + 1):
            # Of two columns' sum comes the expected product of the two: (s + t)^2 = s^2 + 2 s t + t^2.
            for i in range(n):
                z[i] = Z[j, i] if j == k else Z[j, i] + Z[k, i]
            influences(z, samples.prior, w, samples.sets, own, expected)
            for i in range(n):
                E[i, at] = expected[i]
                if j == k:
                    U[i, j] = own[i]
            at += 1
    for i in range(n):
        at = 0
        for j in range(n_tested):
            for k in range(j):
                E[i, at] = 0.5 * (E[i, at] - E[i, j * (j + 3) // 2] - E[i, k * (k + 3) // 2])
                at += 1
            at += 1
    for j in range(P - n_tested, P):
        total = 0.0
        for a in range(j + 1):
            total += L[j, a] ** 2
        if L[j, j] ** 2 <= COLLINEAR_BELOW * total:
            return COLLINEAR
    if not sandwich_covariance(U, E, contrasts, float(max(n - P, 1)), fits.covariance[row], fits.freedom[row]):
        return COLLINEAR
    for d in range(n_tested):
        fits.theta[row, d] = beta[P - 1 - d]
    fits.iterations[row] = iterations
    return FINE
