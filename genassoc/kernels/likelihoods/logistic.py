"""Logistic regression of one variant at a time: Newton's method, with and without Firth's penalty.

All of it in float64, on the samples whose call is observed. `genassoc.kernels.likelihoods.logistic_rows` walks the variants.
"""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.shapes import Float64Array

CONVERGED = 0
NOT_CONVERGED = 1
SINGULAR = 2

MAX_ITERATIONS = 80
PENALISED_ITERATIONS = 500  # under the penalty: steps are short where g tells cases from controls by itself
PLAIN_ITERATIONS = 25  # without a penalty: after more, a coefficient is running away (R's glm, PLINK 2)
MAX_HALVINGS = 12
MAX_STEP = 2.0  # of any sample's log odds, under the penalty
# A Newton step whose squared length in standard errors is below this moves no digit that is promised.
STEP_TOLERANCE = 1e-12
# The log likelihood is flat: a separated direction runs away at no gain (R's glm stops at 1e-8).
FLAT = 1e-10


@jit
def _log_likelihood(eta: Float64Array, y: Float64Array, mu: Float64Array, w: Float64Array) -> float:
    """Sum of ``y eta - log(1 + exp(eta))``; fills mu = 1 / (1 + exp(-eta)) and w = mu (1 - mu)."""
    total = 0.0
    for i in range(y.size):
        e = eta[i]
        # exp of minus the absolute value: nothing overflows, and mu and 1 - mu keep their digits
        x = math.exp(-abs(e))
        share = 1.0 / (1.0 + x)
        mu[i] = share if e >= 0.0 else x * share
        w[i] = x * share * share
        total += y[i] * e - max(e, 0.0) - math.log1p(x)
    return total


@jit
def information(D: Float64Array, w: Float64Array, J: Float64Array) -> None:
    """``J = D' diag(w) D`` of D (N, P), lower triangle and its mirror."""
    N, P = D.shape
    for j in range(P):
        for k in range(P):
            J[j, k] = 0.0
    for i in range(N):
        for j in range(P):
            x = w[i] * D[i, j]
            for k in range(j + 1):
                J[j, k] += x * D[i, k]
    for j in range(P):
        for k in range(j):
            J[k, j] = J[j, k]


@jit
def cholesky(J: Float64Array, L: Float64Array, P: int) -> float:
    """Lower factor of the leading (P, P) of J into L; the log determinant, or NaN where J is singular."""
    log_determinant = 0.0
    for j in range(P):
        pivot = J[j, j]
        for m in range(j):
            pivot -= L[j, m] * L[j, m]
        # Relative to the entry it came from: what is left is rounding.
        if not pivot > 1e-14 * J[j, j] or J[j, j] <= 0.0:
            return np.nan
        root = math.sqrt(pivot)
        log_determinant += 2.0 * math.log(root)
        L[j, j] = root
        for i in range(j + 1, P):
            entry = J[i, j]
            for m in range(j):
                entry -= L[i, m] * L[j, m]
            L[i, j] = entry / root
    return log_determinant


@jit
def solve_lower(L: Float64Array, b: Float64Array, x: Float64Array, P: int) -> None:
    """``L x = b``."""
    for i in range(P):
        rest = b[i]
        for m in range(i):
            rest -= L[i, m] * x[m]
        x[i] = rest / L[i, i]


@jit
def solve_upper(L: Float64Array, b: Float64Array, x: Float64Array, P: int) -> None:
    """``L' x = b``."""
    for i in range(P - 1, -1, -1):
        rest = b[i]
        for m in range(i + 1, P):
            rest -= L[m, i] * x[m]
        x[i] = rest / L[i, i]


@jit
def fit(
    D: Float64Array,
    y: Float64Array,
    offset: Float64Array,
    penalised: bool,
    runaway: bool,
    n_free: int,
    beta: Float64Array,
    eta: Float64Array,
    mu: Float64Array,
    w: Float64Array,
    leverage: Float64Array,
    L: Float64Array,
) -> tuple[int, float, int]:
    """Maximise the log likelihood, plus ``log det(D'WD) / 2`` where penalised (Firth 1993; Heinze & Schemper 2002).

    Newton's steps ``(D' diag((1 + h) w) D)^-1 U*``, ``U* = D'(y - mu + h (1/2 - mu))`` with h the leverages (0 without
    the penalty), halved until the objective does not fall.

    Parameters
    ----------
    D : float64 array (N, P)
    y, offset : float64 arrays (N,)
    penalised : bool
    runaway : bool
        A coefficient that runs away at no gain (a separated covariate) counts as converged: the samples it fits
        perfectly have no weight left.
    n_free : int
        Coefficients ``n_free`` to P stay as they are; the penalty is that of all P (the restricted fit of a
        penalised likelihood ratio test).
    beta : float64 array (P,)
        Start in, estimate out.
    eta, mu, w, leverage : float64 arrays (N,)
        Filled at the estimate (``leverage`` where penalised).
    L : float64 array (P, P)
        Filled with the factor of D'WD at the estimate.

    Returns
    -------
    status, objective, iterations
    """
    N, P = D.shape
    J = np.empty((P, P))
    F = np.zeros((P, P))
    curved = np.empty(N if penalised else 0)
    before = np.empty(P)
    step = np.zeros(P)
    gradient = np.empty(P)
    scratch = np.empty(P)
    best = -np.inf
    halvings = 0
    limit = PENALISED_ITERATIONS if penalised else (MAX_ITERATIONS if runaway else PLAIN_ITERATIONS)
    for iteration in range(limit):
        for i in range(N):
            e = offset[i]
            for j in range(P):
                e += D[i, j] * beta[j]
            eta[i] = e
        objective = _log_likelihood(eta, y, mu, w)
        information(D, w, J)
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
        flat = runaway and iteration > 0 and objective - best < FLAT * (0.05 + abs(objective))
        best = objective
        halvings = 0
        _gradient(D, y, mu, w, penalised, L, leverage, gradient, scratch)
        if penalised:
            # The penalty's curvature, as logistf and PLINK 2 take it into the step: D' diag((1 + h) w) D.
            for i in range(N):
                curved[i] = (1.0 + leverage[i]) * w[i]
            information(D, curved, J)
        if math.isnan(cholesky(J, F, n_free)):
            return SINGULAR, best, iteration
        solve_lower(F, gradient, scratch, n_free)
        decrement = 0.0
        for j in range(n_free):
            decrement += scratch[j] * scratch[j]
        solve_upper(F, scratch, step, n_free)
        if decrement < STEP_TOLERANCE or (flat and decrement < 1e-6):
            return CONVERGED, objective, iteration
        if penalised:
            # As logistf's maxstep: from a rare disease's null Newton's first step leads to log odds in the hundreds,
            # where no weight is left to come back with, or where a false maximum lies.
            longest = 0.0
            for i in range(N):
                change = 0.0
                for j in range(n_free):
                    change += D[i, j] * step[j]
                longest = max(longest, abs(change))
            if longest > MAX_STEP:
                for j in range(n_free):
                    step[j] *= MAX_STEP / longest
        for j in range(P):
            before[j] = beta[j]
        for j in range(n_free):
            beta[j] += step[j]
    return NOT_CONVERGED, best, limit


@jit
def fit_as_r(
    D: Float64Array,
    y: Float64Array,
    beta: Float64Array,
    eta: Float64Array,
    mu: Float64Array,
    w: Float64Array,
    L: Float64Array,
) -> tuple[int, int]:
    """Iteratively reweighted least squares as R's ``glm.fit``, and with it PLINK 2, starts and stops it.

    From ``mu = (y + 1/2) / 2``, at most 25 iterations, until the log likelihood changes by less than 1e-8 (0.05 + |l|).
    L (P, P) is the factor of the information in the last working weights, one step before the estimate: standard errors
    from it differ from those at the estimate by up to one part in a thousand.
    """
    N, P = D.shape
    J = np.empty((P, P))
    right, scratch = np.empty(P), np.empty(P)
    for i in range(N):
        eta[i] = math.log(3.0) if y[i] > 0.5 else -math.log(3.0)
    before = _log_likelihood(eta, y, mu, w)
    for iteration in range(1, 26):
        information(D, w, J)
        if math.isnan(cholesky(J, L, P)):
            return NOT_CONVERGED, iteration
        for j in range(P):
            right[j] = 0.0
        for i in range(N):
            # w z, z = eta + (y - mu) / w the working response
            working = w[i] * eta[i] + y[i] - mu[i]
            for j in range(P):
                right[j] += D[i, j] * working
        solve_lower(L, right, scratch, P)
        solve_upper(L, scratch, beta, P)
        for i in range(N):
            e = 0.0
            for j in range(P):
                e += D[i, j] * beta[j]
            eta[i] = e
        objective = _log_likelihood(eta, y, mu, w)
        if math.isnan(objective):
            return NOT_CONVERGED, iteration
        if abs(objective - before) < 1e-8 * (0.05 + abs(objective)):
            return CONVERGED, iteration
        before = objective
    return NOT_CONVERGED, 25


@jit
def _gradient(
    D: Float64Array,
    y: Float64Array,
    mu: Float64Array,
    w: Float64Array,
    penalised: bool,
    L: Float64Array,
    leverage: Float64Array,
    gradient: Float64Array,
    scratch: Float64Array,
) -> None:
    """``D'(y - mu + h (1/2 - mu))``; h_i = w_i d_i' J^-1 d_i, zero without the penalty."""
    N, P = D.shape
    for j in range(P):
        gradient[j] = 0.0
    for i in range(N):
        residual = y[i] - mu[i]
        if penalised:
            solve_lower(L, D[i], scratch, P)
            h = 0.0
            for j in range(P):
                h += scratch[j] * scratch[j]
            leverage[i] = w[i] * h
            residual += leverage[i] * (0.5 - mu[i])
        for j in range(P):
            gradient[j] += residual * D[i, j]


@jit
def residualise(
    X: Float64Array, w: Float64Array, g: Float64Array, L: Float64Array, out: Float64Array
) -> tuple[bool, float]:
    """``out = g - X (X'WX)^-1 X'Wg``; fills L. Whether X'WX has full rank, and ``sum w out^2``."""
    N, C = X.shape
    J = np.empty((C, C))
    b = np.zeros(C)
    z = np.empty(C)
    information(X, w, J)
    if math.isnan(cholesky(J, L, C)):
        return False, np.nan
    for i in range(N):
        x = w[i] * g[i]
        for c in range(C):
            b[c] += x * X[i, c]
    solve_lower(L, b, z, C)
    solve_upper(L, z, b, C)
    total = 0.0
    for i in range(N):
        fitted = 0.0
        for c in range(C):
            fitted += X[i, c] * b[c]
        out[i] = g[i] - fitted
        total += w[i] * out[i] * out[i]
    return True, total
