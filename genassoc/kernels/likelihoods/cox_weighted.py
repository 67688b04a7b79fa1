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
from genassoc.kernels.lanes.arranged import Covariates, arranged, set_column, vectors
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.lanes.tiles import collect, combine, tile_width
from genassoc.kernels.lanes.vector import DOUBLES, add_scaled
from genassoc.kernels.lanes.vector64 import TILE
from genassoc.kernels.laws.sandwich import COLLINEAR_BELOW, WaldFits, sandwich_covariance
from genassoc.kernels.likelihoods.bernoulli import exp_minus_abs
from genassoc.kernels.likelihoods.cholesky import solve_lower, solve_upper
from genassoc.kernels.likelihoods.cox_sums import RiskSets, RiskSums, gather, mean_tile, risk_sums, suffix_sums
from genassoc.kernels.likelihoods.logistic_tiles import add_tile, sums_size
from genassoc.kernels.likelihoods.newton import UNDER_WAY, ascend, climb_of
from genassoc.kernels.likelihoods.rows import (
    COLLINEAR,
    FINE,
    MAX_ITERATIONS,
    NOT_CONVERGED,
    ONE_OUTCOME,
    SAFELY_LEFT_OUT,
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


class Weighted(NamedTuple):
    """Samples with P columns that are laid out; one that takes no part is at risk at no time."""

    X: Covariates
    sets: RiskSets
    offset: Float64Array
    prior: Float64Array


@jit
def _exponentials(samples: Weighted, beta: Float64Array, w: Float64Array) -> float:
    """Fill w with ``v exp(eta - largest)`` of who is at risk, 0 of others; the weighted sum of the deaths' ``eta - largest``."""
    sets, prior, n = samples.sets, samples.prior, w.size
    width = tile_width(beta.size)
    factors, eta, scaled, x = np.zeros(width), np.empty(TILE), np.empty(TILE), np.empty(TILE)
    put(factors, 0, beta)
    largest, total = -np.inf, 0.0
    for start in range(0, n, TILE):
        size = min(TILE, n - start)
        put(eta, 0, samples.offset[start : start + size])
        combine(samples.X.tiles, start * width, factors, 0, width, eta)
        for i in range(size):
            w[start + i] = eta[i]
            if sets.last[start + i] > sets.first[start + i]:
                largest = max(largest, eta[i])
    for start in range(0, n, TILE):
        size = min(TILE, n - start)
        for i in range(size):
            eta[i] = w[start + i] - largest
            if sets.event[start + i] and sets.last[start + i] > sets.first[start + i]:
                total += prior[start + i] * eta[i]
        exp_minus_abs(eta, scaled, x, size)
        for i in range(size):
            at_risk = sets.last[start + i] > sets.first[start + i]
            w[start + i] = prior[start + i] * x[i] if at_risk else 0.0
    return total


@jit
def evaluate_weighted(
    samples: Weighted, beta: Float64Array, sums: RiskSums, gradient: Float64Array, J: Float64Array
) -> float:
    """The weighted log partial likelihood at beta (P,); fills w = v exp(eta) up to a factor (of the sums), gradient and information."""
    X, sets, prior = samples.X, samples.sets, samples.prior
    n, P, K = prior.size, beta.size, sets.ends.size
    W, width = vectors(P), tile_width(P)
    total = _exponentials(samples, beta, sums.w)
    gather(X.rows, W, sets, sums)
    death_weight, rates = np.zeros(K), np.zeros(sums.means.size // max(W, 1))
    for i in range(n):
        if sets.event[i] and sets.last[i] > sets.first[i]:
            death_weight[sets.last[i] - 1] += prior[i]
    hazard, tied, means = sums.hazard, sums.tied, sums.means
    means[:] = 0.0
    hazard[0] = 0.0
    term = 0
    for k in range(K):
        m = sums.deaths[k]
        hazard[k + 1], tied[k] = hazard[k], 0.0
        for tie in range(m):
            part = tie / m if sets.efron else 0.0
            den, own = sums.s0[k] - part * sums.d0[k], death_weight[k] / m
            total -= own * math.log(den)
            hazard[k + 1] += own / den
            tied[k] += part * own / den
            for c in range(0, W, DOUBLES):
                add_scaled(means, term * W + c, sums.s1, k * W + c, 1.0 / den)
                if part != 0.0:
                    add_scaled(means, term * W + c, sums.d1, k * W + c, -part / den)
            rates[min(term, rates.size - 1)] = own
            term += 1
    lanes = np.zeros(sums_size(width))
    weight, residual, tile = np.zeros(TILE), np.zeros(TILE), np.zeros(width * TILE)
    for start in range(0, n, TILE):
        weight[:] = 0.0
        residual[:] = 0.0
        for i in range(min(TILE, n - start)):
            at = start + i
            if sets.last[at] > sets.first[at]:
                exposure = hazard[sets.last[at]] - hazard[sets.first[at]]
                died = 0.0
                if sets.event[at]:
                    exposure -= tied[sets.last[at] - 1]
                    died = prior[at]
                weight[i] = sums.w[at] * exposure
                residual[i] = died - weight[i]
        add_tile(X.tiles, start * width, width, 0, 0, weight, residual, lanes)
    residual[:] = 0.0
    for first in range(0, rates.size, TILE):
        size = mean_tile(means, first, P, tile)
        weight[:] = 0.0
        for e in range(size):
            weight[e] = -rates[first + e]
        add_tile(tile, 0, width, 0, 0, weight, residual, lanes)
    collect(lanes, width, J, gradient)
    return total


@jit
def weighted_likelihood(
    samples: CoxSamples, beta: Float64Array, w: Float64Array, gradient: Float64Array, J: Float64Array
) -> float:
    """The weighted log partial likelihood of X (n, P) without a constant at beta (P,).

    Fills w = v exp(eta) up to a factor, gradient (P,) and information (P, P).
    """
    sums = risk_sums(samples.sets, beta.size)
    laid_out = Weighted(arranged(samples.X), samples.sets, samples.offset, samples.prior)
    total = evaluate_weighted(laid_out, beta, sums, gradient, J)
    put(w, 0, sums.w)
    return float(total)


@jit
def fit(samples: CoxSamples, watch: int, beta: Float64Array, w: Float64Array, L: Float64Array) -> tuple[int, int]:
    """Maximise the weighted likelihood by Newton's steps, halved until it does not fall; status and iterations.

    X (n, P) is without a constant. ``watch``: of so many last coefficients, say RUNAWAY where one grows without end. w (n,) and L (P, P), the
    factor of the information, are filled at the estimate.
    """
    sums = risk_sums(samples.sets, beta.size)
    laid_out = Weighted(arranged(samples.X), samples.sets, samples.offset, samples.prior)
    status, iterations = _maximise(laid_out, watch, beta, sums, L)
    put(w, 0, sums.w)
    return status, iterations


@jit
def _maximise(samples: Weighted, watch: int, beta: Float64Array, sums: RiskSums, L: Float64Array) -> tuple[int, int]:
    """`fit` of columns that are laid out; the sums are those at the estimate."""
    climb = climb_of(L)
    for iteration in range(MAX_ITERATIONS):
        objective = evaluate_weighted(samples, beta, sums, climb.gradient, climb.J)
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
    X, whole = samples.X, samples.sets
    R, D, n = H.shape
    C = X.shape[1]
    wide = np.zeros((n, C - 1 + D))
    for i in range(n):
        put(wide[i], 0, X[i, 1:])
    shared, values = arranged(wide), np.empty(n)
    sets = RiskSets(whole.event.copy(), whole.first, whole.last.copy(), whole.ends, whole.efron)
    for r in range(R):
        observed, left_out = 0, 0.0
        for i in range(n):
            missing = math.isnan(H[r, 0, i])
            sets.event[i] = whole.event[i] and not missing
            sets.last[i] = whole.first[i] if missing else whole.last[i]
            observed += not missing
            for c in range(C if missing else 0):
                left_out += X[i, c] * X[i, c]
        fits.dropped[r] = False
        if not sets.event.any():
            fits.status[r] = ONE_OUTCOME
            continue
        laid, P = shared, C - 1 + D
        if left_out >= SAFELY_LEFT_OUT:
            who = np.flatnonzero(~np.isnan(H[r, 0]))
            kept, _, fits.dropped[r] = independent_columns(X[who], np.zeros(C))
            if fits.dropped[r]:
                P = kept.shape[1] - 1 + D
                own = np.zeros((n, P))
                for j in range(who.size):
                    put(own[who[j]], 0, kept[j, 1:])
                laid = arranged(own)
        beta = np.zeros(P)
        if not fits.dropped[r]:
            put(beta, 0, samples.start)
        for d in range(D):
            mean = 0.0
            for i in range(n):
                mean += 0.0 if math.isnan(H[r, 0, i]) else H[r, d, i]
            mean /= observed
            for i in range(n):
                values[i] = 0.0 if math.isnan(H[r, 0, i]) else H[r, d, i] - mean
            set_column(laid, P - 1 - d, values)
        row = Weighted(laid, sets, samples.offset, samples.prior)
        fits.status[r] = _one_row(row, observed, beta, contrasts, fits, r)


@jit
def _one_row(
    samples: Weighted, observed: int, beta: Float64Array, contrasts: Float64Array, fits: WaldFits, row: int
) -> int:
    """What `wald_rows` does of one variant, its tested columns the last, whose fit begins at beta; the status."""
    n, P, n_tested = samples.prior.size, beta.size, fits.theta.shape[1]
    width = tile_width(P)
    sums, L = risk_sums(samples.sets, P), np.zeros((P, P))
    state, iterations = _maximise(samples, n_tested, beta, sums, L)
    if state != FINE:
        return state
    w = sums.w
    # The columns that J^-1 makes of D for each tested one.
    padded = (n + TILE - 1) // TILE * TILE
    Z, half, along, unit = np.zeros((n_tested, padded)), np.empty(P), np.zeros(width), np.zeros(P)
    for d in range(n_tested):
        unit[:] = 0.0
        unit[P - 1 - d] = 1.0
        solve_lower(L, unit, half, P)
        solve_upper(L, half, along[:P], P)
        for start in range(0, n, TILE):
            combine(samples.X.tiles, start * width, along, 0, width, Z[d, start : start + TILE])
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
    if not sandwich_covariance(U, E, contrasts, float(max(observed - P, 1)), fits.covariance[row], fits.freedom[row]):
        return COLLINEAR
    for d in range(n_tested):
        fits.theta[row, d] = beta[P - 1 - d]
    fits.iterations[row] = iterations
    return FINE
