"""From the product of genotypes, covariates and residuals to linear regression, exactly: traits eight at a time.

Samples without a trait, and samples whose call is missing, are taken out of sums over all samples of the model.
"""

from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.genotypes.missing_calls import (
    Lacking,
    Missing,
    count_missing,
    room_for,
    sum_missing,
    sum_missing_covariates,
)
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.lanes.vector import DOUBLES, add_scaled, invert_roots, scale_lanes, subtract_product
from genassoc.shapes import BoolArray, Float64Array, Int64Array, UInt8Array

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
# Squares among a trait's samples below this share of those among all: what was subtracted outweighs what is left.
WEAK_PATTERN = 0.1


class Sums(NamedTuple):
    """Sums of V variants over the samples of a model with P patterns of missing phenotypes.

    Attributes
    ----------
    n : int64 array (V, P)
        Samples observed of each pattern: filled by `finish`, which visits those that are not.
    sum_g, sum_g2 : float64 arrays (V, P)
        Of each pattern: sum and sum of squares of g among its samples.
    all_g2 : float64 array (V,)
        Sum of squares of g among all samples of the model.
    product : float64 array (V, C - 1 + T)
        ``Q'g`` over all samples, without the constant, then ``R'g``.
    lacking : float64 array (V, P * D)
        ``sum_M q g``, but for the constant, from `genassoc.kernels.genotypes.carriers.sum_lacking`.
    """

    n: Int64Array
    sum_g: Float64Array
    sum_g2: Float64Array
    all_g2: Float64Array
    product: Float64Array
    lacking: Float64Array


class Residuals(NamedTuple):
    """T residualised traits and their covariates.

    Attributes
    ----------
    Q : float64 array (N, D)
        C columns, the constant first, padded with zeros to D, a multiple of 8; zero outside the model's samples.
    R : float64 array (N, T8)
        Padded with zeros to a multiple of 8.
    gram : float64 array (T8 / 8, C (C + 1) / 2 * 8)
        ``I - sum_M q q'`` of each trait, as `factor_lanes` takes it; the identity for padding.
    rss, n_of, pattern_of : arrays (T,)
        Of each trait its residuals' sum of squares, its samples, its pattern.
    lacks : Lacking
    constant : float
        The constant's value in Q.
    """

    Q: Float64Array
    R: Float64Array
    gram: Float64Array
    rss: Float64Array
    n_of: Int64Array
    pattern_of: Int64Array
    lacks: Lacking
    constant: float


class LinearFits(NamedTuple):
    """Rows (V, T); ``weak`` is `WEAK` where float32 sums do not hold five digits, `ILL` where float64 sums do not either, else 0."""

    beta: Float64Array
    standard_error: Float64Array
    t: Float64Array
    df: Float64Array
    code: UInt8Array
    weak: UInt8Array


@jit
def factor_lanes(A: Float64Array, C: int, weakest: Float64Array, lost: Float64Array, rank: Int64Array) -> None:
    """Cholesky factors of eight matrices, in place, skipping lost directions.

    Parameters
    ----------
    A : float64 array (C (C + 1) / 2 * 8,)
        Lower triangles by rows, eight matrices side by side. Afterwards the factors, with the inverse of the diagonal
        (0 for a lost direction) in place of the diagonal.
    weakest, lost : float64 arrays (8,)
        The weakest pivot kept and the largest lost.
    rank : int64 array (8,)
        Directions kept.
    """
    weakest[:] = 1.0
    lost[:] = 0.0
    rank[:] = 0
    for j in range(C):
        diagonal = (j * (j + 1) // 2 + j) * DOUBLES
        for lane in range(DOUBLES):
            pivot = A[diagonal + lane]
            if pivot > LOST_DIRECTION:
                rank[lane] += 1
                weakest[lane] = min(weakest[lane], pivot)
            else:
                lost[lane] = max(lost[lane], pivot)
        invert_roots(A, diagonal, LOST_DIRECTION)
        for i in range(j + 1, C):
            scale_lanes(A, (i * (i + 1) // 2 + j) * DOUBLES, A, diagonal)
        for i in range(j + 1, C):
            row = i * (i + 1) // 2
            for m in range(j + 1, i + 1):
                subtract_product(A, (row + m) * DOUBLES, A, (row + j) * DOUBLES, A, (m * (m + 1) // 2 + j) * DOUBLES)


@jit
def solve_lanes(A: Float64Array, C: int, x: Float64Array) -> None:
    """Solve ``L x = b`` for eight factors of `factor_lanes`, b in x (C * 8,); a lost direction takes no part."""
    for j in range(C):
        scale_lanes(x, j * DOUBLES, A, (j * (j + 1) // 2 + j) * DOUBLES)
        for i in range(j + 1, C):
            subtract_product(x, i * DOUBLES, A, (i * (i + 1) // 2 + j) * DOUBLES, x, j * DOUBLES)


@jit
def _downdate(
    A: Float64Array, C: int, D: int, every: Float64Array, lacking: Float64Array, touched: BoolArray, patterns: Int64Array,
    ones: Float64Array,
) -> None:  # fmt: skip
    """Take the samples whose call is missing, and that have the trait, out of eight Gram matrices."""
    for i in range(C):
        for j in range(i + 1):
            add_scaled(A, (i * (i + 1) // 2 + j) * DOUBLES, ones, 0, -every[i * D + j])
    for lane in range(patterns.size):
        pattern = patterns[lane]
        if touched[pattern]:
            for i in range(C):
                for j in range(i + 1):
                    A[(i * (i + 1) // 2 + j) * DOUBLES + lane] += lacking[(pattern * C + i) * D + j]


@jit
def _row(
    information: float,
    centred: float,
    score: float,
    residual: float,
    before: float,
    rss: float,
    freedom: int,
    level: int,
) -> tuple[float, float, float, int, int]:
    """beta, standard error, t, code and weakness of one row; ``before`` is RSS_S, ``residual`` RSS_0."""
    none = np.nan
    if freedom < 1:
        return none, none, none, N_TOO_SMALL, level
    if rss <= 0.0:
        return none, none, none, NO_RESIDUAL_VARIANCE, level
    if information <= COLLINEAR_SHARE * centred or information <= 0.0:
        return none, none, none, COLLINEAR, level
    if residual < ILL_SHARE * rss:
        level = ILL
    elif residual < WEAK_RESIDUAL * before:
        level = max(level, WEAK)
    left = residual - score * score / information
    beta = score / information
    # Nothing left beyond rounding of the residuals' own sum: there is no standard error.
    if left < ILL_SHARE * residual:
        level = ILL
    if left <= 1e-13 * rss:
        return beta, none, none, PERFECT_FIT, level
    error = np.sqrt(left / (freedom * information))
    # The residual is a difference of float32-made sums: a near-perfect fit is summed again.
    if left * information < WEAK_SHARE * residual * centred:
        level = max(level, WEAK)
    return beta, error, beta / error, FINE, level


@jit
def _weakness(information: float, squares: float, centred: float, weakest: float, lost: float, suspect: bool) -> int:
    """Whether float32 sums, or even float64 sums, cannot hold five digits of the information."""
    if weakest < ILL_DIRECTION or lost > CERTAINLY_LOST or information < ILL_SHARE * centred:
        return ILL
    # Against the uncentred squares: an allele rare here may be the major one of the cohort.
    return WEAK if suspect or weakest < WEAK_DIRECTION or information < WEAK_SHARE * squares else FINE


@jit
def finish(sums: Sums, missing: Missing, null: Residuals, impute: bool, fits: LinearFits) -> None:
    """Linear regression of T residualised traits on every variant, each on its own complete cases.

    Q are covariates, orthonormal over all samples of the model. A trait is missing in some of them, M; S are those with
    the trait whose call is observed (k more have the trait, no call). With r the trait's residuals, 0 outside its samples:

        A = Q_S'Q_S = I - sum_M q q' - sum_k q q'      a = Q_S'g = Q'g - sum_M q g      b = Q_S'r = -sum_k q r
        I = g'g - a'A^-1 a      U = g'r - a'A^-1 b     RSS_S = RSS - sum_k r^2          RSS_0 = RSS_S - b'A^-1 b
        beta = U / I            RSS_1 = RSS_0 - U^2 / I        SE^2 = RSS_1 / (df I)    df = n - rank - 1

    Where nobody carries the allele rows are NaN and their code is `FINE`: whoever asks knows them as constant.

    Eight traits at a time in lanes that do not mix: a trait's bits are those it has alone. With ``impute`` the missing
    calls take the mean of the observed ones. ``fits`` is filled.
    """
    lacks, R, gram, rss, n_of, pattern_of = null.lacks, null.R, null.gram, null.rss, null.n_of, null.pattern_of
    n, sum_g, sum_g2, product, lacking_g = sums.n, sums.sum_g, sums.sum_g2, sums.product, sums.lacking
    V, T = fits.beta.shape
    P, D = n.shape[1], null.Q.shape[1]
    n_in = np.zeros(P, np.int64)
    for trait in range(T):
        n_in[pattern_of[trait]] = n_of[trait]
    C = product.shape[1] - T + 1
    n_groups = gram.shape[0]
    flat_Q, flat_R = null.Q.reshape(null.Q.size), R.reshape(R.size)
    A, ones = np.empty(C * (C + 1) // 2 * DOUBLES), np.ones(DOUBLES)
    a, b = np.empty(C * DOUBLES), np.empty(C * DOUBLES)
    information, score, residual = np.empty(DOUBLES), np.empty(DOUBLES), np.empty(DOUBLES)
    squares, before, total, mean = np.empty(DOUBLES), np.empty(DOUBLES), np.empty(DOUBLES), np.empty(DOUBLES)
    weakest, lost, rank = np.empty(DOUBLES), np.empty(DOUBLES), np.empty(DOUBLES, np.int64)
    left_out = room_for(C, D, P, n_groups * DOUBLES)
    every, lacking, touched, missing_r = left_out.every, left_out.lacking, left_out.touched, left_out.residuals
    of_group = (C + 1) * DOUBLES
    # Factors of variants without a missing call, and what they say of themselves.
    whole, state = gram.copy(), np.empty((n_groups, 3, DOUBLES))
    for group in range(n_groups):
        factor_lanes(whole[group], C, weakest, lost, rank)
        put(state[group, 0], 0, weakest)
        put(state[group, 1], 0, lost)
        for lane in range(DOUBLES):
            state[group, 2, lane] = rank[lane]
    for v in range(V):
        samples = missing.indices[missing.pointers[v] : missing.pointers[v + 1]]
        varies = sums.all_g2[v] > 0.0
        if samples.size > 0:
            if not varies:
                count_missing(samples, lacks, left_out)
            elif impute:
                sum_missing_covariates(samples, lacks, flat_Q, D, left_out)
            else:
                sum_missing(samples, lacks, flat_Q, flat_R, C, left_out)
        for pattern in range(P):
            n[v, pattern] = n_in[pattern] - (samples.size - left_out.lost[pattern] if samples.size > 0 else 0)
        if not varies:
            # Nobody carries the allele: there is nothing to fit.
            for trait in range(T):
                fits.beta[v, trait] = fits.standard_error[v, trait] = fits.t[v, trait] = np.nan
                fits.df[v, trait], fits.code[v, trait], fits.weak[v, trait] = np.nan, FINE, FINE
            continue
        for group in range(n_groups):
            first = group * DOUBLES
            patterns = pattern_of[first : min(first + DOUBLES, T)]
            a[:] = 0.0
            b[:] = 0.0
            information[:] = 0.0
            score[:] = 0.0
            residual[:] = 0.0
            for lane in range(patterns.size):
                pattern = patterns[lane]
                total[lane] = sum_g[v, pattern]
                mean[lane] = total[lane] / max(n[v, pattern], 1)
                a[lane] = total[lane] * null.constant
                for c in range(1, C):
                    a[c * DOUBLES + lane] = product[v, c - 1] - lacking_g[v, pattern * D + c]
                information[lane] = sum_g2[v, pattern]
                score[lane] = product[v, C - 1 + first + lane]
                residual[lane] = rss[first + lane]
            if samples.size > 0 and not impute:
                put(A, 0, gram[group])
                _downdate(A, C, D, every, lacking, touched, patterns, ones)
                factor_lanes(A, C, weakest, lost, rank)
                for k in range(C * DOUBLES):
                    b[k] = -missing_r[group * of_group + k]
                for lane in range(DOUBLES):
                    residual[lane] += missing_r[group * of_group + C * DOUBLES + lane]
                factor = A
            else:
                factor = whole[group]
                for lane in range(DOUBLES):
                    weakest[lane], lost[lane] = state[group, 0, lane], state[group, 1, lane]
                    rank[lane] = int(state[group, 2, lane])
                for lane in range(patterns.size if samples.size > 0 else 0):
                    # The missing calls take the mean of the observed ones.
                    pattern, imputed = patterns[lane], mean[lane]
                    n_missing = n_of[first + lane] - n[v, pattern]
                    information[lane] += n_missing * imputed * imputed
                    total[lane] += n_missing * imputed
                    for c in range(C):
                        absent = lacking[pattern * C * D + c] if touched[pattern] else 0.0
                        a[c * DOUBLES + lane] += imputed * (every[c] - absent)
                    for sample in samples:
                        score[lane] += imputed * R[sample, first + lane]
            put(before, 0, residual)
            put(squares, 0, information)
            solve_lanes(factor, C, a)
            solve_lanes(factor, C, b)
            for c in range(C):
                subtract_product(information, 0, a, c * DOUBLES, a, c * DOUBLES)
                subtract_product(score, 0, a, c * DOUBLES, b, c * DOUBLES)
                subtract_product(residual, 0, b, c * DOUBLES, b, c * DOUBLES)
            for lane in range(patterns.size):
                trait, pattern, reduced = first + lane, patterns[lane], rank[lane] < C
                centred = squares[lane] - total[lane] * mean[lane]
                freedom = (n_of[trait] if impute else n[v, pattern]) - rank[lane] - 1
                few = sum_g2[v, pattern] < WEAK_PATTERN * sums.all_g2[v]
                level = _weakness(information[lane], squares[lane], centred, weakest[lane], lost[lane], reduced or few)
                row = _row(
                    information[lane], centred, score[lane], residual[lane], before[lane], rss[trait],
                    freedom, level,
                )  # fmt: skip
                fits.beta[v, trait], fits.standard_error[v, trait], fits.t[v, trait] = row[0], row[1], row[2]
                code = COVARIATE_COLLINEAR if reduced and row[3] == FINE else row[3]
                fits.df[v, trait], fits.code[v, trait], fits.weak[v, trait] = freedom, code, row[4]
