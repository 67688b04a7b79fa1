"""Linear mixed models of rotated genotypes: the ratio of variances that each row has at its own maximum, and Wald's numbers there.

y = X b + g beta + u + e, u ~ N(0, s2 ratio K), e ~ N(0, s2). Error contrasts that X does not enter, turned so that K is diagonal among them, leave
eta = gamma beta + e, e_i ~ N(0, s2 (ratio d_i + 1)): covariates are gone, exactly (Patterson & Thompson 1971; Kang et al. 2008,
doi:10.1534/genetics.107.080101). The maximum is found as GEMMA finds it (Zhou & Stephens 2012, doi:10.1038/ng.2310): the derivative on a grid of
ln ratio, Newton's method between points where its sign changes, the highest maximum where there are several.
"""

from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.shapes import Float64Array, UInt8Array

FINE, COLLINEAR, PERFECT = 0, 1, 2
# What is written of a row.
BETA, SE, LN_RATIO, GAIN = 0, 1, 2, 3
N_NUMBERS = 4
# gamma is rounding where less than this share of the squares of g is left by the covariates (R's lm: 1e-7 of the length).
COLLINEAR_SHARE = 1e-12
PERFECT_SHARE = 1e-20  # of the squares of eta: what g leaves is rounding
_TOLERANCE = 1e-9  # of ln ratio, after a step that squares the error
_STEPS = 60


class Contrasts(NamedTuple):
    """A trait in the basis in which its covariance is diagonal, and its sums on the grid.

    Attributes
    ----------
    d : float64 array (M,)
        Eigenvalues of K among the contrasts; M samples less covariates.
    eta : float64 array (M,)
        The trait.
    all_d : float64 array (N,)
        Eigenvalues of K in all samples, for maximum likelihood; empty for REML.
    grid : float64 array (K,)
        Of ln ratio, ascending.
    of_eta : float64 array (4, K)
        At each point, with w = 1 / (ratio d + 1): sums of w eta^2 and of w^2 eta^2; of w and of w^2 (over ``all_d`` for maximum likelihood).
    start : float
        ln ratio of the null, where Newton's method begins if it can.
    null : float
        The null's maximum, by `log_likelihood`.
    """

    d: Float64Array
    eta: Float64Array
    all_d: Float64Array
    grid: Float64Array
    of_eta: Float64Array
    start: float
    null: float


@jit
def slope(
    q: float, traces: tuple[float, float], a: tuple[float, float], b: tuple[float, float], c: tuple[float, float]
) -> float:
    """The derivative of twice the log likelihood by ln ratio.

    ``traces`` (of P or of H^-1, and of its square), sums of w gamma^2, w gamma eta, w eta^2 and of the same with w^2; ``q`` degrees of freedom.
    """
    beta = b[0] / a[0]
    P = c[0] - beta * b[0]
    PP = c[1] - 2.0 * beta * b[1] + beta * beta * a[1]
    # d/dlnr = -(q - tr P) + q (y'Py - y'PPy) / y'Py
    return traces[0] - q * PP / P


@jit
def sums(gamma: Float64Array, eta: Float64Array, d: Float64Array, ratio: float, out: Float64Array) -> None:
    """Sums of w^k gamma^2, w^k gamma eta, w^k eta^2, k = 1, 2, 3, and of w, w^2 into out (11,)."""
    a1 = a2 = a3 = b1 = b2 = b3 = c1 = c2 = c3 = t1 = t2 = 0.0
    for i in range(d.size):
        w = 1.0 / (ratio * d[i] + 1.0)
        wg, we = w * gamma[i], w * eta[i]
        a1 += wg * gamma[i]
        b1 += wg * eta[i]
        c1 += we * eta[i]
        a2 += wg * wg
        b2 += wg * we
        c2 += we * we
        a3 += w * wg * wg
        b3 += w * wg * we
        c3 += w * we * we
        t1 += w
        t2 += w * w
    out[0], out[1], out[2] = a1, a2, a3
    out[3], out[4], out[5] = b1, b2, b3
    out[6], out[7], out[8] = c1, c2, c3
    out[9], out[10] = t1, t2


@jit
def log_likelihood(gamma_sum: float, residual: float, d: Float64Array, ratio: float, q: float) -> float:
    """The log likelihood but for a constant: REML where ``gamma_sum`` is g'H^-1 g among contrasts, maximum likelihood where it is 1."""
    total = 0.0
    for i in range(d.size):
        total += np.log(ratio * d[i] + 1.0)
    return -0.5 * (total + np.log(gamma_sum) + q * np.log(residual))


@jit
def _at(
    gamma: Float64Array, row: Contrasts, u: float, q: float, is_reml: bool, out: Float64Array
) -> tuple[float, float]:
    """The derivative of twice the log likelihood by ln ratio, and its own derivative; sums into out (11,)."""
    ratio = np.exp(u)
    sums(gamma, row.eta, row.d, ratio, out)
    a1, a2, a3 = out[0], out[1], out[2]
    b1, b2, b3 = out[3], out[4], out[5]
    beta = b1 / a1
    P = out[6] - beta * b1
    PP = out[7] - 2.0 * beta * b2 + beta * beta * a2
    left = b2 - beta * a2
    PPP = out[8] - 2.0 * beta * b3 + beta * beta * a3 - left * left / a1
    if is_reml:
        tr, tr2 = out[9] - a2 / a1, out[10] - 2.0 * a3 / a1 + (a2 / a1) * (a2 / a1)
    else:
        tr = tr2 = 0.0
        for i in range(row.all_d.size):
            w = 1.0 / (ratio * row.all_d[i] + 1.0)
            tr += w
            tr2 += w * w
    share = PP / P
    # d tr/dlnr = tr2 - tr;  d (PP/P)/dlnr = 2 PPP/P - PP/P - (PP/P)^2, since dP/dlnr = PP - P
    return tr - q * share, tr2 - tr - q * (2.0 * PPP / P - share - share * share)


@jit
def _root(
    gamma: Float64Array, row: Contrasts, bounds: tuple[float, float], q: float, is_reml: bool, out: Float64Array
) -> float:
    """Where the derivative is zero between two values of ln ratio, at the first of which it is positive."""
    low, high = bounds
    u = row.start if low < row.start < high else 0.5 * (low + high)
    for _ in range(_STEPS):
        f, curvature = _at(gamma, row, u, q, is_reml, out)
        if f > 0.0:
            low = u
        else:
            high = u
        following = u - f / curvature
        if not (curvature < 0.0 and low <= following <= high):
            following = 0.5 * (low + high)
        moved = abs(following - u)
        u = following
        # Newton's error after a step is of the order of the step's square.
        if moved * moved < _TOLERANCE or high - low < _TOLERANCE:
            break
    return u


@jit
def _highest(
    gamma: Float64Array, row: Contrasts, of_gamma: Float64Array, of_both: Float64Array, is_reml: bool, out: Float64Array
) -> tuple[float, float]:
    """ln ratio of the highest maximum and the log likelihood there (but for a constant); sums at it into out (11,).

    ``of_gamma``, ``of_both`` (2 K,): sums of w gamma^2 and w gamma eta on the grid, then with w^2.
    """
    K, M = row.grid.size, row.d.size
    q = float(M - 1) if is_reml else float(row.all_d.size)
    best, best_u = -np.inf, row.grid[0]
    before = 1.0
    for k in range(K + 1):
        now = -1.0
        if k < K:
            a, b = (of_gamma[k], of_gamma[K + k]), (of_both[k], of_both[K + k])
            tr = row.of_eta[2, k] - (a[1] / a[0] if is_reml else 0.0)
            now = slope(q, (tr, 0.0), a, b, (row.of_eta[0, k], row.of_eta[1, k]))
        if before > 0.0 and not now > 0.0:
            u = row.grid[min(k, K - 1)]  # at the lower end, or the upper one, where no point between is higher
            if 0 < k < K:
                u = _root(gamma, row, (row.grid[k - 1], row.grid[k]), q, is_reml, out)
            ratio = np.exp(u)
            sums(gamma, row.eta, row.d, ratio, out)
            left = out[6] - out[3] * out[3] / out[0]
            if is_reml:
                found = log_likelihood(out[0], left, row.d, ratio, q)
            else:
                found = log_likelihood(1.0, left, row.all_d, ratio, q)
            if found > best:
                best, best_u = found, u
        before = now
    sums(gamma, row.eta, row.d, np.exp(best_u), out)
    return best_u, best


@jit
def mixed_rows(
    gammas: Float64Array, squares: Float64Array, of_gamma: Float64Array, of_both: Float64Array, reml: Contrasts, ml: Contrasts,
    numbers: Float64Array, status: UInt8Array,
) -> None:  # fmt: skip
    """Estimates of one trait for V rotated variants, each at its own maximum.

    Parameters
    ----------
    gammas : float64 array (V, M)
        Genotypes among the contrasts.
    squares : float64 array (V,)
        Of the genotypes less their mean: of which gamma may be nothing.
    of_gamma, of_both : float64 arrays (V, 2 K)
        Sums of w gamma^2, and of w gamma eta, on the grid; then with w^2.
    reml, ml : Contrasts
        For the estimates; and for the likelihood ratio, which is not asked for where its ``all_d`` is empty.
    numbers : float64 array (V, N_NUMBERS)
        Overwritten: beta, its standard error, ln ratio, and twice the gain in log likelihood (NaN where not asked for).
    status : uint8 array (V,)
        Overwritten.
    """
    out = np.empty(11)
    total = 0.0
    for i in range(reml.eta.size):
        total += reml.eta[i] * reml.eta[i]
    for v in range(gammas.shape[0]):
        numbers[v] = np.nan
        gamma = gammas[v]
        length = 0.0
        for i in range(gamma.size):
            length += gamma[i] * gamma[i]
        if not length > COLLINEAR_SHARE * squares[v]:
            status[v] = COLLINEAR
            continue
        u, _ = _highest(gamma, reml, of_gamma[v], of_both[v], True, out)
        left = out[6] - out[3] * out[3] / out[0]
        if not left > PERFECT_SHARE * total:
            status[v] = PERFECT
            continue
        # s2 = y'Py / (n - C - 1); Var(beta) = s2 / g'H^-1 g among contrasts
        numbers[v, BETA] = out[3] / out[0]
        numbers[v, SE] = np.sqrt(left / (reml.d.size - 1) / out[0])
        numbers[v, LN_RATIO] = u
        if ml.all_d.size:
            _, found = _highest(gamma, ml, of_gamma[v], of_both[v], False, out)
            numbers[v, GAIN] = max(2.0 * (found - ml.null), 0.0)
        status[v] = FINE
