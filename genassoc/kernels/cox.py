"""Cox's partial likelihood: its value, gradient and information in one scan of the risk sets, and its maximum.

Samples at risk at an event time t are those with ``entry < t <= time`` of the event's stratum. The distinct event times
of all strata are numbered 0 to K - 1, stratum by stratum and upwards within one, so that every sample is at risk in one
run ``first <= k < last`` of them, and sums over risk sets are running sums. With m deaths tied at a time, Efron's
likelihood (1977) has m terms, in the l-th of which (l = 0 .. m - 1) the tied deaths count ``1 - l / m``; Breslow's has
m times the term l = 0 ::

    log L = sum_deaths eta_i - sum_kl log den_kl        den_kl = sum_i a_ikl exp(eta_i)        p_ikl = a_ikl exp(eta_i) / den_kl
    U     = sum_deaths x_i - sum_kl mean_kl             mean_kl = sum_i p_ikl x_i
    J     = sum_i c_i x_i x_i' - sum_kl mean_kl mean_kl'           c_i = sum_kl p_ikl, the events expected of sample i

Firth's penalty (Heinze & Schemper 2001, doi:10.1111/j.0006-341X.2001.00114.x) adds ``log det J / 2``.
"""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.logistic import (
    CONVERGED,
    FLAT,
    MAX_HALVINGS,
    MAX_ITERATIONS,
    MAX_STEP,
    NOT_CONVERGED,
    SINGULAR,
    STEP_TOLERANCE,
    cholesky,
    solve_lower,
    solve_upper,
)
from genassoc.shapes import BoolArray, Float64Array, Int64Array

LONGEST = 30.0  # of any sample's log hazard in one step: further, exp leaves no digits to come back with


class RiskSets(NamedTuple):
    """Who is at risk when.

    Attributes
    ----------
    event : bool array (n,)
        Samples that have the event; it is the last one they are at risk of, ``last - 1``.
    first, last : int64 arrays (n,)
        The run of event times at which each sample is at risk; empty where it is at risk at none.
    ends : bool array (K,)
        Event times that are the last of their stratum.
    efron : bool
        Efron's ties, else Breslow's.
    """

    event: BoolArray
    first: Int64Array
    last: Int64Array
    ends: BoolArray
    efron: bool


class RiskSums(NamedTuple):
    """Sums over the risk sets at one estimate.

    Attributes
    ----------
    s0, d0 : float64 arrays (K,)
        Sum of exp(eta) over the risk set, and over the deaths at that time.
    s1, d1 : float64 arrays (K, P)
        The same of exp(eta) x.
    deaths : int64 array (K,)
    hazard : float64 array (K + 1,)
        Sum over the times before of ``sum_l 1 / den_kl``.
    tied : float64 array (K,)
        ``sum_l (l / m) / den_kl``, what the deaths at that time are spared.
    w, expected : float64 arrays (n,)
        exp(eta) up to a factor, and c.
    """

    s0: Float64Array
    d0: Float64Array
    s1: Float64Array
    d1: Float64Array
    deaths: Int64Array
    hazard: Float64Array
    tied: Float64Array
    w: Float64Array
    expected: Float64Array


@jit
def risk_sums(n: int, K: int, P: int) -> RiskSums:
    """Room for the sums of n samples, K event times and P covariates."""
    return RiskSums(
        np.empty(K), np.empty(K), np.empty((K, P)), np.empty((K, P)), np.empty(K, np.int64), np.empty(K + 1),
        np.empty(K), np.empty(n), np.empty(n),
    )  # fmt: skip


@jit
def suffix_sums(values: Float64Array, ends: BoolArray) -> None:
    """Running sums of values (K, P) from each stratum's last event time backwards, in place."""
    K, P = values.shape
    for k in range(K - 2, -1, -1):
        if not ends[k]:
            for j in range(P):
                values[k, j] += values[k + 1, j]


@jit
def _exponentials(D: Float64Array, offset: Float64Array, beta: Float64Array, sets: RiskSets, w: Float64Array) -> float:
    """Fills w with ``exp(eta - largest)`` of who is at risk, 0 of others; the sum of the deaths' ``eta - largest``."""
    n, P = D.shape
    largest = -np.inf
    for i in range(n):
        e = offset[i]
        for j in range(P):
            e += D[i, j] * beta[j]
        w[i] = e
        if sets.last[i] > sets.first[i] and e > largest:
            largest = e
    total = 0.0
    for i in range(n):
        if sets.last[i] > sets.first[i]:
            if sets.event[i]:
                total += w[i] - largest
            w[i] = math.exp(w[i] - largest)
        else:
            w[i] = 0.0
    return total


@jit
def _gather(D: Float64Array, sets: RiskSets, sums: RiskSums, gradient: Float64Array) -> None:
    """Fill s0, s1, d0, d1 and deaths of w; add the deaths' x to the gradient."""
    n, P = D.shape
    s0, s1, d0, d1, w = sums.s0, sums.s1, sums.d0, sums.d1, sums.w
    s0[:] = 0.0
    d0[:] = 0.0
    s1[:] = 0.0
    d1[:] = 0.0
    sums.deaths[:] = 0
    for i in range(n):
        if sets.last[i] <= sets.first[i]:
            continue
        k, before, x = sets.last[i] - 1, sets.first[i] - 1, w[i]
        s0[k] += x
        for j in range(P):
            s1[k, j] += x * D[i, j]
        if sets.event[i]:
            sums.deaths[k] += 1
            d0[k] += x
            for j in range(P):
                d1[k, j] += x * D[i, j]
                gradient[j] += D[i, j]
        if before >= 0 and not sets.ends[before]:
            # Entered late: not at risk at the earlier times of the stratum.
            s0[before] -= x
            for j in range(P):
                s1[before, j] -= x * D[i, j]
    for k in range(s0.size - 2, -1, -1):
        if not sets.ends[k]:
            s0[k] += s0[k + 1]
    suffix_sums(s1, sets.ends)


@jit
def partial_likelihood(
    D: Float64Array,
    offset: Float64Array,
    beta: Float64Array,
    sets: RiskSets,
    sums: RiskSums,
    gradient: Float64Array,
    J: Float64Array,
) -> float:
    """The log partial likelihood at beta; fills the sums, the gradient (P,) and the information J (P, P).

    Parameters
    ----------
    D : float64 array (n, P)
        Covariates; the closer to centred, the fewer digits J loses.
    offset : float64 array (n,)
        Part of eta that is given.
    """
    n, P = D.shape
    gradient[:] = 0.0
    J[:] = 0.0
    total = _exponentials(D, offset, beta, sets, sums.w)
    _gather(D, sets, sums, gradient)
    mean = np.empty(P)
    sums.hazard[0] = 0.0
    for k in range(sets.ends.size):
        m = sums.deaths[k]
        rate, tied = 0.0, 0.0
        for tie in range(m):
            part = tie / m if sets.efron else 0.0
            den = sums.s0[k] - part * sums.d0[k]
            total -= math.log(den)
            rate += 1.0 / den
            tied += part / den
            for j in range(P):
                mean[j] = (sums.s1[k, j] - part * sums.d1[k, j]) / den
                gradient[j] -= mean[j]
                for q in range(j + 1):
                    J[j, q] -= mean[j] * mean[q]
        sums.hazard[k + 1] = sums.hazard[k] + rate
        sums.tied[k] = tied
    for i in range(n):
        c = 0.0
        if sets.last[i] > sets.first[i]:
            exposure = sums.hazard[sets.last[i]] - sums.hazard[sets.first[i]]
            if sets.event[i]:
                exposure -= sums.tied[sets.last[i] - 1]
            c = sums.w[i] * exposure
            for j in range(P):
                x = c * D[i, j]
                for q in range(j + 1):
                    J[j, q] += x * D[i, q]
        sums.expected[i] = c
    for j in range(P):
        for q in range(j):
            J[q, j] = J[j, q]
    return total


@jit
def add_firth_gradient(
    D: Float64Array, sets: RiskSets, sums: RiskSums, L: Float64Array, gradient: Float64Array
) -> None:
    """Add half the derivative of ``log det J`` to the gradient; L is the factor of J, the sums those of `partial_likelihood`.

    The derivative of J is the third central moment of the risk sets, so that with ``A = J^-1`` and ``q_i = x_i'A x_i`` ::

        tr(A dJ / dbeta) = sum_i c_i q_i x_i - sum_kl mean_kl E_kl[q] - 2 sum_i x_i (A x_i)'G_i + 2 sum_kl mean_kl (mean_kl'A mean_kl)

    with ``G_i = sum_kl p_ikl mean_kl``, a running sum over the event times: no more than the order of one scan.
    """
    n, P = D.shape
    K = sets.ends.size
    q, half, solved = np.empty(n), np.empty(P), np.empty((n, P))
    sq, dq = np.zeros((K, 1)), np.zeros(K)
    for i in range(n):
        q[i] = 0.0
        if sets.last[i] <= sets.first[i]:
            continue
        solve_lower(L, D[i], half, P)
        solve_upper(L, half, solved[i], P)
        for j in range(P):
            q[i] += half[j] * half[j]
        k, before = sets.last[i] - 1, sets.first[i] - 1
        sq[k, 0] += sums.w[i] * q[i]
        if sets.event[i]:
            dq[k] += sums.w[i] * q[i]
        if before >= 0 and not sets.ends[before]:
            sq[before, 0] -= sums.w[i] * q[i]
    suffix_sums(sq, sets.ends)
    prefix, spared = np.zeros((K + 1, P)), np.zeros((K, P))
    mean = np.empty(P)
    for k in range(K):
        m = sums.deaths[k]
        for j in range(P):
            prefix[k + 1, j] = prefix[k, j]
        for tie in range(m):
            part = tie / m if sets.efron else 0.0
            den = sums.s0[k] - part * sums.d0[k]
            for j in range(P):
                mean[j] = (sums.s1[k, j] - part * sums.d1[k, j]) / den
                prefix[k + 1, j] += mean[j] / den
                spared[k, j] += part * mean[j] / den
            solve_lower(L, mean, half, P)
            size = 0.0
            for j in range(P):
                size += half[j] * half[j]
            mean_q = (sq[k, 0] - part * dq[k]) / den
            for j in range(P):
                gradient[j] += mean[j] * (size - 0.5 * mean_q)
    for i in range(n):
        if sets.last[i] <= sets.first[i]:
            continue
        along = 0.0
        for j in range(P):
            G = prefix[sets.last[i], j] - prefix[sets.first[i], j]
            if sets.event[i]:
                G -= spared[sets.last[i] - 1, j]
            along += solved[i, j] * G
        factor = 0.5 * sums.expected[i] * q[i] - sums.w[i] * along
        for j in range(P):
            gradient[j] += factor * D[i, j]


@jit
def fit(
    D: Float64Array,
    offset: Float64Array,
    sets: RiskSets,
    penalised: bool,
    runaway: bool,
    n_free: int,
    beta: Float64Array,
    sums: RiskSums,
    L: Float64Array,
) -> tuple[int, float, int]:
    """Maximise the log partial likelihood by Newton's method, steps halved until it does not fall.

    Parameters
    ----------
    D, offset : float64 arrays (n, P), (n,)
    penalised : bool
        Add Firth's penalty, that of all P coefficients.
    runaway : bool
        A coefficient that runs away at no gain (monotone likelihood) counts as converged.
    n_free : int
        Coefficients ``n_free`` to P stay as they are.
    beta : float64 array (P,)
        Start in, estimate out.
    sums, L
        Filled at the estimate; L (P, P) is the factor of the information.

    Returns
    -------
    status, objective, iterations
        The status is one of `genassoc.kernels.logistic`: CONVERGED, NOT_CONVERGED, SINGULAR.
    """
    P = D.shape[1]
    J, F = np.empty((P, P)), np.zeros((P, P))
    before, step, gradient, scratch = np.empty(P), np.zeros(P), np.empty(P), np.empty(P)
    best, halvings = -np.inf, 0
    # Without a penalty a coefficient that takes longer runs away (R's coxph allows 20).
    limit = MAX_ITERATIONS if penalised or runaway else 25
    for iteration in range(limit):
        objective = partial_likelihood(D, offset, beta, sets, sums, gradient, J)
        log_determinant = cholesky(J, L, P)
        if penalised:
            objective += 0.5 * log_determinant
        if math.isnan(log_determinant) and iteration == 0:
            return SINGULAR, np.nan, iteration
        fell = not objective >= best - 1e-10 * (1.0 + abs(best))
        if iteration > 0 and (fell or math.isnan(log_determinant)):
            halvings += 1
            if halvings > MAX_HALVINGS:
                return NOT_CONVERGED, best, iteration
            for j in range(P):
                step[j] *= 0.5
                beta[j] = before[j] + step[j]
            continue
        flat = iteration > 0 and objective - best < FLAT * (0.05 + abs(objective))
        best, halvings = objective, 0
        if penalised:
            add_firth_gradient(D, sets, sums, L, gradient)
        if math.isnan(cholesky(J, F, n_free)):
            return SINGULAR, best, iteration
        solve_lower(F, gradient, scratch, n_free)
        decrement = 0.0
        for j in range(n_free):
            decrement += scratch[j] * scratch[j]
        if decrement < STEP_TOLERANCE or (runaway and flat and decrement < 1e-6):
            return CONVERGED, objective, iteration
        solve_upper(F, scratch, step, n_free)
        _limit_step(D, step, n_free, MAX_STEP if penalised else LONGEST)
        for j in range(P):
            before[j] = beta[j]
        for j in range(n_free):
            beta[j] += step[j]
    return NOT_CONVERGED, best, limit


@jit
def _limit_step(D: Float64Array, step: Float64Array, n_free: int, most: float) -> None:
    """Shorten a step that changes a sample's log hazard by more than ``most``."""
    longest = 0.0
    for i in range(D.shape[0]):
        change = 0.0
        for j in range(n_free):
            change += D[i, j] * step[j]
        longest = max(longest, abs(change))
    if longest > most:
        for j in range(n_free):
            step[j] *= most / longest
