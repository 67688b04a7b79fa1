"""From the product of genotypes and residuals to linear regression, exactly, with missing calls downdated."""

import numpy as np

from genassoc.kernels import jit
from genassoc.shapes import BoolArray, Float64Array, Int64Array, UInt8Array, UInt64Array

FINE = 0
COLLINEAR = 1
N_TOO_SMALL = 2
COVARIATE_COLLINEAR = 3
PERFECT_FIT = 4
NO_RESIDUAL_VARIANCE = 5

# A direction of the covariates is lost when less than this share of its squared length remains on the samples left.
LOST_DIRECTION = 1e-9
# g counts as a combination of the covariates below this share of its variance (R's lm: 1e-7 of the length).
COLLINEAR_SHARE = 1e-12
# Below these shares float32 sums (relative error about 1e-6) do not hold five digits: the row is summed again in float64.
WEAK_DIRECTION = 0.05
WEAK_SHARE = 0.02
# Below this share of the observed samples' squared residuals, their mean and covariates outweigh what is tested.
WEAK_RESIDUAL = 0.5
# Below these shares float64 differences do not hold five digits: the row is fitted afresh on its complete cases.
ILL_DIRECTION = 1e-7
ILL_SHARE = 1e-8
CERTAINLY_LOST = 1e-13  # rounding of the downdate; above it a lost direction is decided by the fresh fit
WEAK, ILL = 1, 2


@jit
def list_missing(words: UInt64Array, mask: UInt64Array, pointers: Int64Array, indices: Int64Array) -> None:
    """List the selected samples whose call is not observed, one run of ``indices`` a variant.

    ``words`` (V, W), ``mask`` (W,) as in `genassoc.kernels.counts`; ``pointers`` (V + 1,) says where each run starts
    (from the counts).
    """
    V, W = words.shape
    low = np.uint64(0x5555555555555555)
    one = np.uint64(1)
    for v in range(V):
        at = pointers[v]
        if pointers[v + 1] == at:
            continue
        # code 3 has both bits set
        for w in range(W):
            missing = words[v, w] & (words[v, w] >> one) & low & mask[w]
            if missing == 0:
                continue
            for i in range(32):
                if (missing >> np.uint64(2 * i)) & one:
                    indices[at] = 32 * w + i
                    at += 1


@jit
def sum_in_float64(
    packed: UInt8Array, flipped: BoolArray, variants: Int64Array, columns: Float64Array, out: Float64Array
) -> None:
    """Set ``out[j, :] = sum_i g[variants[j], i] * columns[i, :]`` in float64; missing calls count nothing."""
    K = columns.shape[1]
    N = columns.shape[0]
    for j in range(variants.size):
        v = variants[j]
        for k in range(K):
            out[j, k] = 0.0
        for i in range(N):
            code = (packed[v, i >> 2] >> (2 * (i & 3))) & 3
            if code == 3:
                continue
            g = 2 - code if flipped[v] else code
            if g != 0:
                for k in range(K):
                    out[j, k] += g * columns[i, k]


@jit
def sum_dense(values: Float64Array, columns: Float64Array, out: Float64Array) -> None:
    """Set ``out[v, :] = sum_i values[v, i] * columns[i, :]`` for dosages (V, N), sample after sample."""
    V, N = values.shape
    K = columns.shape[1]
    for v in range(V):
        for k in range(K):
            out[v, k] = 0.0
        for i in range(N):
            g = values[v, i]
            if g != 0.0:
                for k in range(K):
                    out[v, k] += g * columns[i, k]


@jit
def _factor(A: Float64Array, L: Float64Array) -> tuple[int, float, float]:
    """Cholesky factor of A (C, C) into L, skipping lost directions; the rank, the weakest pivot kept, the largest lost."""
    C = A.shape[0]
    rank = 0
    weakest = 1.0
    lost = 0.0
    for j in range(C):
        pivot = A[j, j]
        for m in range(j):
            pivot -= L[j, m] * L[j, m]
        if pivot <= LOST_DIRECTION:
            lost = max(lost, pivot)
            for i in range(C):
                L[i, j] = 0.0
            continue
        rank += 1
        weakest = min(weakest, pivot)
        root = np.sqrt(pivot)
        L[j, j] = root
        for i in range(j + 1, C):
            entry = A[i, j]
            for m in range(j):
                entry -= L[i, m] * L[j, m]
            L[i, j] = entry / root
    return rank, weakest, lost


@jit
def _solve_lower(L: Float64Array, b: Float64Array, x: Float64Array) -> None:
    """Solve ``L x = b``; a lost direction (zero diagonal) takes no part."""
    for i in range(b.size):
        x[i] = 0.0
        if L[i, i] > 0.0:
            rest = b[i]
            for m in range(i):
                rest -= L[i, m] * x[m]
            x[i] = rest / L[i, i]


@jit
def _dot(a: Float64Array, b: Float64Array) -> float:
    total = 0.0
    for i in range(a.size):
        total += a[i] * b[i]
    return total


@jit
def finish(
    n: Int64Array,
    sum_g: Float64Array,
    sum_g2: Float64Array,
    gQ: Float64Array,
    gR: Float64Array,
    pointers: Int64Array,
    indices: Int64Array,
    Q: Float64Array,
    R: Float64Array,
    rss: Float64Array,
    n_pattern: int,
    impute: bool,
    beta: Float64Array,
    standard_error: Float64Array,
    t: Float64Array,
    df: Float64Array,
    code: UInt8Array,
    weak: UInt8Array,
) -> None:
    """Linear regression of T residualised traits on every variant, each on its own complete cases.

    With S the samples observed (k are not), Q (N, C) orthonormal covariates and r residuals of all n_pattern samples:

        A = Q_S'Q_S = I - sum_missing q q'      b = Q_S'r_S = -sum_missing q r      RSS_S = RSS - sum_missing r^2
        I = g'g - a'A^-1 a                      U = g'r - a'A^-1 b                  RSS_0 = RSS_S - b'A^-1 b
        beta = U / I        RSS_1 = RSS_0 - U^2 / I        SE^2 = RSS_1 / (df I)    df = n - rank - 1

    O(k C^2) a variant in place of O(n C^2). With ``impute`` the missing calls take the mean of the observed ones.

    Parameters
    ----------
    n, sum_g, sum_g2 : arrays (V,)
        Samples observed, sum and sum of squares of g among them.
    gQ, gR : float64 arrays (V, C), (V, T)
        ``Q'g`` (all of it, the constant's column included) and ``R'g`` over the observed samples.
    pointers, indices : int64 arrays
        Samples of the pattern whose call is missing, from `list_missing`.
    Q, R : float64 arrays (N, C), (N, T)
        Zero outside the pattern.
    beta, standard_error, t, df, code, weak : arrays (V, T)
        Filled. ``weak`` is `WEAK` where float32 sums do not hold five digits, `ILL` where float64 sums do not
        either, else 0.
    """
    V, C = gQ.shape
    T = gR.shape[1]
    A = np.empty((C, C))
    L = np.zeros((C, C))
    a = np.empty(C)
    b = np.empty(C)
    z = np.empty(C)
    w = np.empty(C)
    for v in range(V):
        k = pointers[v + 1] - pointers[v]
        samples = n[v]
        squares = sum_g2[v]
        total = sum_g[v]
        mean = total / samples if samples > 0 else 0.0
        for c in range(C):
            a[c] = gQ[v, c]
        rank = C
        weakest = 1.0
        lost = 0.0
        downdate = k > 0 and not impute
        if k > 0 and impute:
            for m in range(pointers[v], pointers[v + 1]):
                for c in range(C):
                    a[c] += mean * Q[indices[m], c]
            squares += k * mean * mean
            total += k * mean
            samples = n_pattern
        if downdate:
            for i in range(C):
                for j in range(i + 1):
                    A[i, j] = 1.0 if i == j else 0.0
            for m in range(pointers[v], pointers[v + 1]):
                s = indices[m]
                for i in range(C):
                    for j in range(i + 1):
                        A[i, j] -= Q[s, i] * Q[s, j]
            rank, weakest, lost = _factor(A, L)
            _solve_lower(L, a, z)
            information = squares - _dot(z, z)
        else:
            information = squares - _dot(a, a)
        centred = squares - total * mean
        freedom = samples - rank - 1
        for trait in range(T):
            beta[v, trait] = np.nan
            standard_error[v, trait] = np.nan
            t[v, trait] = np.nan
            df[v, trait] = freedom
            # Against the uncentred squares: an allele rare here may be the major one of the cohort.
            level = WEAK if rank < C or weakest < WEAK_DIRECTION or information < WEAK_SHARE * squares else 0
            if weakest < ILL_DIRECTION or lost > CERTAINLY_LOST or information < ILL_SHARE * centred:
                level = ILL
            weak[v, trait] = level
            if freedom < 1:
                code[v, trait] = N_TOO_SMALL
                continue
            if rss[trait] <= 0.0:
                code[v, trait] = NO_RESIDUAL_VARIANCE
                continue
            if information <= COLLINEAR_SHARE * centred or information <= 0.0:
                code[v, trait] = COLLINEAR
                continue
            score = gR[v, trait]
            residual = rss[trait]
            if k > 0:
                if impute:
                    for m in range(pointers[v], pointers[v + 1]):
                        score += mean * R[indices[m], trait]
                else:
                    for c in range(C):
                        b[c] = 0.0
                    for m in range(pointers[v], pointers[v + 1]):
                        s = indices[m]
                        r = R[s, trait]
                        residual -= r * r
                        for c in range(C):
                            b[c] -= Q[s, c] * r
                    _solve_lower(L, b, w)
                    score -= _dot(z, w)
                    before = residual
                    residual -= _dot(w, w)
                    if residual < ILL_SHARE * rss[trait]:
                        weak[v, trait] = ILL
                    elif residual < WEAK_RESIDUAL * before:
                        weak[v, trait] = max(level, WEAK)
            left = residual - score * score / information
            beta[v, trait] = score / information
            # Nothing left beyond rounding of the residuals' own sum: there is no standard error.
            if left < ILL_SHARE * residual:
                weak[v, trait] = ILL
            if left <= 1e-13 * rss[trait]:
                code[v, trait] = PERFECT_FIT
                continue
            standard_error[v, trait] = np.sqrt(left / (freedom * information))
            t[v, trait] = beta[v, trait] / standard_error[v, trait]
            code[v, trait] = FINE if rank == C else COVARIATE_COLLINEAR
            # The residual is a difference of float32-made sums: a near-perfect fit is summed again.
            if left * information < WEAK_SHARE * residual * centred:
                weak[v, trait] = max(weak[v, trait], WEAK)
