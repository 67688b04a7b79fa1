"""Linear regression on two columns of genotypes, from sums or from the calls of every sample.

The columns are g and g e, e a covariate, or h and r, who is heterozygous and who has two copies of ALT: these hardly correlate where
homozygotes are rare, where copies (h + 2 r) and h nearly coincide. With Q an orthonormal basis of the covariates and H the two
columns, least squares of a residual y ::

    S = H'H - (Q'H)'(Q'H)        s = H'y        theta = S^-1 s        RSS = y'y - s'theta        df = n - C - 2

Samples whose call is missing are taken out of Q'Q, Q'y and y'y, exactly. HC3 (MacKinnon & White 1985,
doi:10.1016/0304-4076(85)90158-7), with U what Q leaves of H and h the leverages of all columns ::

    var theta = S^-1 [sum_i u_i u_i' e_i^2 / (1 - h_i)^2] S^-1        h_i = q_i'q_i + u_i'S^-1 u_i
"""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.genotypes.missing_calls import Missing
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.likelihoods.linear_rows import ILL_DIRECTION, ILL_SHARE, WEAK_DIRECTION, WEAK_RESIDUAL, WEAK_SHARE
from genassoc.shapes import BoolArray, Float64Array, Int64Array

# What came out. WEAK: float32 sums do not hold five digits. ILL: nor do differences of float64 ones.
FINE, WEAK, ILL, N_TOO_SMALL, LEVERAGE = 0, 1, 2, 3, 4
# Columns of the numbers of a row: coefficients of both columns, their covariances, F of both.
FIRST, SECOND, VAR_FIRST, COVARIANCE, VAR_SECOND, F = 0, 1, 2, 3, 4, 5
N_NUMBERS = 6
# Share of a squared length that a fit leaves where nothing but rounding is left.
PERFECT = 1e-10
TINY = 1e-300  # in place of 0 where something is divided
LEAST_SLACK = 1e-8  # of 1 - h: below it a sample's residual is rounding


class PairSums(NamedTuple):
    """Sums of V variants over the samples whose call is observed.

    Attributes
    ----------
    n : int64 array (V,)
    squares : float64 array (V, 3)
        Of the first column, of the product of both, of the second.
    first_Q, second_Q : float64 arrays (V, C)
        Times the covariates.
    first_R, second_R : float64 arrays (V, T)
        Times the residuals.
    """

    n: Int64Array
    squares: Float64Array
    first_Q: Float64Array
    second_Q: Float64Array
    first_R: Float64Array
    second_R: Float64Array


class Traits(NamedTuple):
    """Orthonormal covariates Q (N, C), residuals R (N, T) orthogonal to them, and the sums of squares rss (T,) of these."""

    Q: Float64Array
    R: Float64Array
    rss: Float64Array


class PairFits(NamedTuple):
    """Rows of V variants: numbers (V, T, N_NUMBERS), freedom (V,) and status (V, T)."""

    numbers: Float64Array
    freedom: Float64Array
    status: Int64Array


class _Information(NamedTuple):
    """S, symmetric."""

    S00: float
    S01: float
    S11: float


class _Room(NamedTuple):
    """Of one variant: the factor L (C, C) of Q'Q, Q'H whitened in a and x, Q'y in b (C,); of the samples H (n, 2), W (n, C), leverages."""

    L: Float64Array
    a: Float64Array
    x: Float64Array
    b: Float64Array
    H: Float64Array
    W: Float64Array
    lever: Float64Array


@jit
def _room_for(n: int, C: int) -> _Room:
    return _Room(
        np.zeros((C, C)), np.empty(C), np.empty(C), np.empty(C), np.empty((n, 2)), np.empty((n, C)), np.empty(n)
    )  # fmt: skip


@jit
def _factor(A: Float64Array, C: int) -> float:
    """Cholesky factor of A (C, C) in place, lower; its smallest squared pivot."""
    weakest = 1.0
    for j in range(C):
        for m in range(j):
            A[j, j] -= A[j, m] * A[j, m]
        weakest = min(weakest, A[j, j])
        if not A[j, j] > ILL_DIRECTION:
            return A[j, j]
        A[j, j] = math.sqrt(A[j, j])
        for i in range(j + 1, C):
            for m in range(j):
                A[i, j] -= A[i, m] * A[j, m]
            A[i, j] /= A[j, j]
    return weakest


@jit
def _whiten(L: Float64Array, C: int, x: Float64Array) -> None:
    """``L^-1 x`` in place."""
    for i in range(C):
        for m in range(i):
            x[i] -= L[i, m] * x[m]
        x[i] /= L[i, i]


@jit
def _take_out(samples: Int64Array, Q: Float64Array, L: Float64Array) -> float:
    """L becomes the factor of I less q q' of the samples; its smallest squared pivot."""
    C = Q.shape[1]
    for i in range(C):
        for j in range(C):
            L[i, j] = 1.0 if i == j else 0.0
    for sample in samples:
        for i in range(C):
            for j in range(i + 1):
                L[i, j] -= Q[sample, i] * Q[sample, j]
    return _factor(L, C)


@jit
def _residual_of(samples: Int64Array, traits: Traits, t: int, L: Float64Array, b: Float64Array) -> tuple[float, float]:
    """Sum of squares of a residual over the others, before and after the covariates' b = L^-1 Q'y, which is filled."""
    b[:] = 0.0
    before = traits.rss[t]
    for sample in samples:
        y = traits.R[sample, t]
        before -= y * y
        for c in range(b.size):
            b[c] -= traits.Q[sample, c] * y
    if samples.size:
        _whiten(L, b.size, b)
    after = before
    for c in range(b.size):
        after -= b[c] * b[c]
    return before, after


@jit
def _solve(S: _Information, s0: float, s1: float, rr: float, df: float, numbers: Float64Array) -> bool:
    """Estimates, the model's covariances and F; whether more than rounding is left of the residuals."""
    determinant = S.S00 * S.S11 - S.S01 * S.S01
    b, d = (S.S11 * s0 - S.S01 * s1) / determinant, (S.S00 * s1 - S.S01 * s0) / determinant
    explained = b * s0 + d * s1
    left = rr - explained
    variance = left / df
    numbers[FIRST], numbers[SECOND] = b, d
    numbers[VAR_FIRST], numbers[VAR_SECOND] = variance * S.S11 / determinant, variance * S.S00 / determinant
    numbers[COVARIANCE] = -variance * S.S01 / determinant
    numbers[F] = max(explained, 0.0) / 2.0 / max(variance, TINY)
    return left > PERFECT * rr


@jit
def from_sums(sums: PairSums, missing: Missing, traits: Traits, fits: PairFits) -> None:
    """Regress T residuals on two columns from sums over the samples whose call is observed; ``fits``: FINE, WEAK, ILL or N_TOO_SMALL."""
    V, C = sums.first_Q.shape
    T = traits.R.shape[1]
    L, a, x, b = np.zeros((C, C)), np.empty(C), np.empty(C), np.empty(C)
    for v in range(V):
        samples = missing.indices[missing.pointers[v] : missing.pointers[v + 1]]
        df = float(sums.n[v] - C - 2)
        fits.freedom[v] = df
        worst = FINE
        put(a, 0, sums.first_Q[v])
        put(x, 0, sums.second_Q[v])
        if samples.size and df >= 1.0:
            weakest = _take_out(samples, traits.Q, L)
            if weakest > ILL_DIRECTION:
                worst = WEAK if weakest < WEAK_DIRECTION else FINE
                _whiten(L, C, a)
                _whiten(L, C, x)
            else:
                worst = ILL
        S00, S01, S11 = sums.squares[v, 0], sums.squares[v, 1], sums.squares[v, 2]
        for c in range(C):
            S00 -= a[c] * a[c]
            S01 -= a[c] * x[c]
            S11 -= x[c] * x[c]
        left0 = S00 / max(sums.squares[v, 0], TINY)
        left1 = (S11 - S01 * S01 / S00) / max(sums.squares[v, 2], TINY) if S00 > 0.0 else 0.0
        if not min(left0, left1) > ILL_SHARE:
            worst = ILL
        elif min(left0, left1) < WEAK_SHARE:
            worst = max(worst, WEAK)
        for t in range(T):
            for k in range(N_NUMBERS):
                fits.numbers[v, t, k] = np.nan
            if df < 1.0 or worst == ILL:
                fits.status[v, t] = N_TOO_SMALL if df < 1.0 else ILL
                continue
            before, after = _residual_of(samples, traits, t, L, b)
            s0, s1 = sums.first_R[v, t], sums.second_R[v, t]
            for c in range(C):
                s0 -= a[c] * b[c]
                s1 -= x[c] * b[c]
            level = max(worst, WEAK) if after < WEAK_RESIDUAL * before else worst
            fine = _solve(_Information(S00, S01, S11), s0, s1, after, df, fits.numbers[v, t])
            fits.status[v, t] = level if fine else ILL


@jit
def from_calls(calls: Float64Array, e: Float64Array, robust: BoolArray, traits: Traits, fits: PairFits) -> None:
    """Regress T residuals on g and g e, every sum in float64.

    Parameters
    ----------
    calls : float64 array (V, n)
        Copies in the samples of the traits, NaN where not observed.
    e : float64 array (n,)
    robust : bool array (V,)
        Rows whose covariances are HC3's, and whose F is theirs.
    traits : Traits
        Of these n samples.
    fits : PairFits
        Filled; LEVERAGE where HC3 is not defined: a sample fits itself.
    """
    V, n = calls.shape
    C, T = traits.Q.shape[1], traits.R.shape[1]
    room, missing = _room_for(n, C), np.empty(n, np.int64)
    L, a, x, b, H = room.L, room.a, room.x, room.b, room.H
    for v in range(V):
        n_missing = 0
        a[:] = 0.0
        x[:] = 0.0
        S00, S01, S11 = 0.0, 0.0, 0.0
        for i in range(n):
            g = calls[v, i]
            if math.isnan(g):
                missing[n_missing] = i
                n_missing += 1
                g = 0.0
            ge = g * e[i]
            H[i, 0], H[i, 1] = g, ge
            S00 += g * g
            S01 += g * ge
            S11 += ge * ge
            for c in range(C):
                a[c] += g * traits.Q[i, c]
                x[c] += ge * traits.Q[i, c]
        samples = missing[:n_missing]
        df = float(n - n_missing - C - 2)
        fits.freedom[v] = df
        ill = False
        if n_missing and df >= 1.0:
            ill = not _take_out(samples, traits.Q, L) > ILL_DIRECTION
            if not ill:
                _whiten(L, C, a)
                _whiten(L, C, x)
        plain0, plain1 = S00, S11
        for c in range(C):
            S00 -= a[c] * a[c]
            S01 -= a[c] * x[c]
            S11 -= x[c] * x[c]
        ill = ill or not S00 > ILL_SHARE * plain0 or not S11 - S01 * S01 / S00 > ILL_SHARE * plain1
        S = _Information(S00, S01, S11)
        usable = df >= 1.0 and not ill
        if usable and robust[v]:
            _leverages(calls[v], traits.Q, n_missing > 0, S, room)
        for t in range(T):
            for k in range(N_NUMBERS):
                fits.numbers[v, t, k] = np.nan
            if not usable:
                fits.status[v, t] = N_TOO_SMALL if df < 1.0 else ILL
                continue
            _, after = _residual_of(samples, traits, t, L, b)
            s0, s1 = 0.0, 0.0
            for i in range(n):
                s0 += H[i, 0] * traits.R[i, t]
                s1 += H[i, 1] * traits.R[i, t]
            # H is U by now where the row is robust: orthogonal to what b takes off.
            if not robust[v]:
                for c in range(C):
                    s0 -= a[c] * b[c]
                    s1 -= x[c] * b[c]
            fine = _solve(S, s0, s1, after, df, fits.numbers[v, t])
            fits.status[v, t] = FINE if fine else ILL
            if fine and robust[v]:
                sound = _sandwich(calls[v], traits.R, t, S, room, fits.numbers[v, t])
                fits.status[v, t] = FINE if sound else LEVERAGE


@jit
def _leverages(calls: Float64Array, Q: Float64Array, downdated: bool, S: _Information, room: _Room) -> None:
    """H becomes what the covariates leave of it, W the covariates orthonormal among the samples observed; and leverages."""
    n, C = Q.shape
    H, W = room.H, room.W
    determinant = S.S00 * S.S11 - S.S01 * S.S01
    for i in range(n):
        for c in range(C):
            W[i, c] = Q[i, c]
        if downdated:
            _whiten(room.L, C, W[i])
        h, u0, u1 = 0.0, H[i, 0], H[i, 1]
        for c in range(C):
            h += W[i, c] * W[i, c]
            u0 -= room.a[c] * W[i, c]
            u1 -= room.x[c] * W[i, c]
        observed = 0.0 if math.isnan(calls[i]) else 1.0
        u0, u1 = observed * u0, observed * u1
        H[i, 0], H[i, 1] = u0, u1
        room.lever[i] = h + (S.S11 * u0 * u0 - 2.0 * S.S01 * u0 * u1 + S.S00 * u1 * u1) / determinant


@jit
def _sandwich(
    calls: Float64Array, R: Float64Array, t: int, S: _Information, room: _Room, numbers: Float64Array
) -> bool:
    """HC3 covariances and their F in place of the model's; whether no sample has a leverage of 1."""
    m00, m01, m11, least = 0.0, 0.0, 0.0, 1.0
    U = room.H
    for i in range(calls.size):
        if math.isnan(calls[i]):
            continue
        r = R[i, t] - numbers[FIRST] * U[i, 0] - numbers[SECOND] * U[i, 1]
        for c in range(room.b.size):
            r -= room.b[c] * room.W[i, c]
        slack = 1.0 - room.lever[i]
        least = min(least, slack)
        r = r / max(slack, LEAST_SLACK)
        m00 += U[i, 0] * U[i, 0] * r * r
        m01 += U[i, 0] * U[i, 1] * r * r
        m11 += U[i, 1] * U[i, 1] * r * r
    determinant = S.S00 * S.S11 - S.S01 * S.S01
    i00, i01, i11 = S.S11 / determinant, -S.S01 / determinant, S.S00 / determinant
    v00 = i00 * i00 * m00 + 2.0 * i00 * i01 * m01 + i01 * i01 * m11
    v01 = i00 * i01 * m00 + (i00 * i11 + i01 * i01) * m01 + i01 * i11 * m11
    v11 = i01 * i01 * m00 + 2.0 * i01 * i11 * m01 + i11 * i11 * m11
    numbers[VAR_FIRST], numbers[COVARIANCE], numbers[VAR_SECOND] = v00, v01, v11
    beta, change = numbers[FIRST], numbers[SECOND]
    spread = v00 * v11 - v01 * v01
    numbers[F] = 0.5 * (v11 * beta * beta - 2.0 * v01 * beta * change + v00 * change * change) / max(spread, TINY)
    return least > LEAST_SLACK
