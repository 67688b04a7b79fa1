"""Linear regression on both indicators of a genotype, from sums, with missing calls downdated.

Heterozygotes h and homozygotes r of ALT never overlap, so that ``h'r`` is 0 and the two hardly correlate: copies
(h + 2 r) and h, the columns that PLINK 2 fits, nearly coincide where homozygotes are rare.
"""

import math

import numpy as np

from genassoc.kernels import jit
from genassoc.shapes import Float64Array, Int64Array, UInt8Array

HET, HOM, VAR_HET, COVARIANCE, VAR_HOM, F = 0, 1, 2, 3, 4, 5
N_NUMBERS = 6

# Below these shares differences of float64 sums do not hold five digits: the row is fitted on its complete cases.
ILL_DIRECTION = 1e-7
ILL_SHARE = 1e-8


@jit
def _solve(L: Float64Array, b: Float64Array, x: Float64Array) -> float:
    """``L x = b`` of lower L (C, C); the squared length of x."""
    length = 0.0
    for i in range(b.size):
        rest = b[i]
        for m in range(i):
            rest -= L[i, m] * x[m]
        x[i] = rest / L[i, i]
        length += x[i] * x[i]
    return length


@jit
def _factor(A: Float64Array, L: Float64Array) -> float:
    """Cholesky factor of A (C, C), the identity less what is missing, into L; the least pivot (at or below 0: none)."""
    weakest = 1.0
    for j in range(A.shape[0]):
        pivot = A[j, j]
        for m in range(j):
            pivot -= L[j, m] * L[j, m]
        weakest = min(weakest, pivot)
        if pivot <= 0.0:
            return weakest
        L[j, j] = math.sqrt(pivot)
        for i in range(j + 1, A.shape[0]):
            entry = A[i, j]
            for m in range(j):
                entry -= L[i, m] * L[j, m]
            L[i, j] = entry / L[j, j]
    return weakest


@jit
def genotypic_rows(
    counts: Int64Array,
    sums: Float64Array,
    pointers: Int64Array,
    indices: Int64Array,
    Q: Float64Array,
    R: Float64Array,
    rss: Float64Array,
    n_all: int,
    numbers: Float64Array,
    ill: UInt8Array,
) -> None:
    """Effects of h and r on every trait, their covariance, and the F statistic of both together.

    On the n observed samples, with M the projection off the covariates: ``I = [h'Mh h'Mr; r'Mh r'Mr]``, ``U = [h'My r'My]``,
    ``beta = I^-1 U``, ``rss_1 = y'My - U'beta``, covariance ``I^-1 rss_1 / df``, ``F = (U'beta / 2) / (rss_1 / df)``,
    ``df = n - C - 2``.

    Parameters
    ----------
    counts : int64 array (V, 4)
        Samples with code 0, 1, 2, 3.
    sums : float64 array (2, V, C + T)
        h and r times the covariates and the residuals.
    pointers, indices : int64 arrays
        Samples whose call is missing, a run a variant.
    Q : float64 array (N, C)
        Orthonormal covariates; R (N, T) residuals on them, rss (T,) their squared lengths.
    n_all : int
        Samples before calls are missing.
    numbers : float64 array (V, T, N_NUMBERS)
        Filled; NaN where the row is ill or df is below 1.
    ill : uint8 array (V, T)
        Filled: whether differences cancel, so that the row is to be fitted on its complete cases.
    """
    V, T = counts.shape[0], R.shape[1]
    C = Q.shape[1]
    A, L = np.empty((C, C)), np.zeros((C, C))
    by, uy, uh, ur = np.empty(C), np.empty(C), np.empty(C), np.empty(C)
    for v in range(V):
        for t in range(T):
            ill[v, t] = 0
            for k in range(N_NUMBERS):
                numbers[v, t, k] = np.nan
        missing = indices[pointers[v] : pointers[v + 1]]
        df = n_all - missing.size - C - 2
        if df < 1:
            continue
        for i in range(C):
            for j in range(i + 1):
                total = 1.0 if i == j else 0.0
                for m in missing:
                    total -= Q[m, i] * Q[m, j]
                A[i, j] = total
        weakest = _factor(A, L)
        if weakest < ILL_DIRECTION:
            for t in range(T):
                ill[v, t] = 1
            continue
        n_het, n_hom = float(counts[v, 1]), float(counts[v, 2])
        hh = n_het - _solve(L, sums[0, v, :C], uh)
        rr = n_hom - _solve(L, sums[1, v, :C], ur)
        hr = -(uh * ur).sum()
        determinant = hh * rr - hr * hr
        cancels = hh <= ILL_SHARE * n_het or rr <= ILL_SHARE * n_hom or determinant <= ILL_SHARE * hh * rr
        for t in range(T):
            yy = rss[t]
            by[:] = 0.0
            for m in missing:
                yy -= R[m, t] * R[m, t]
                for c in range(C):
                    by[c] -= Q[m, c] * R[m, t]
            before = yy
            yy -= _solve(L, by, uy)
            Uh = sums[0, v, C + t] - (uh * uy).sum()
            Ur = sums[1, v, C + t] - (ur * uy).sum()
            if cancels or not yy > ILL_SHARE * before:
                ill[v, t] = 1
                continue
            b_het = (rr * Uh - hr * Ur) / determinant
            b_hom = (hh * Ur - hr * Uh) / determinant
            gain = Uh * b_het + Ur * b_hom
            left = yy - gain
            if not left > ILL_SHARE * yy:
                ill[v, t] = 1
                continue
            variance = left / df
            numbers[v, t, HET], numbers[v, t, HOM] = b_het, b_hom
            numbers[v, t, VAR_HET] = variance * rr / determinant
            numbers[v, t, COVARIANCE] = -variance * hr / determinant
            numbers[v, t, VAR_HOM] = variance * hh / determinant
            numbers[v, t, F] = 0.5 * max(gain, 0.0) / variance
