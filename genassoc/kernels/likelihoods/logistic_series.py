"""Score tests and approximate Firth of variants with missing calls, from a power series of the null's likelihood.

The null without a few samples is the trait's null moved a little: its gradient and information come from the series of
all samples (`genassoc.stats.logistic_series`) less the missing samples' exact terms, so that no pass over all samples is
needed; carriers' terms are exact, too. Firth's estimate of a rare variant moves all other samples along one direction of
the covariates, ``d = -X gamma``, where the series is a polynomial. What moves far, or is unusual, is left to
`genassoc.kernels.likelihoods.logistic_refit`.
"""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.vector64 import FOUR, LANES64, TILE, add_combination, add_dots
from genassoc.kernels.likelihoods.bernoulli import exp_minus_abs
from genassoc.kernels.likelihoods.cholesky import solve_lower, solve_upper
from genassoc.kernels.likelihoods.logistic_firth import firth_one
from genassoc.kernels.likelihoods.logistic_line import ONE_IN, firth_line
from genassoc.kernels.likelihoods.logistic_null_series import (
    FAILED,
    HOLDS,
    MAX_MOVE,
    NullSeries,
    contract,
    expand,
    move_null,
    squared_length,
)
from genassoc.kernels.likelihoods.logistic_refit import residual_genotype
from genassoc.kernels.likelihoods.logistic_tiles import tiled
from genassoc.kernels.likelihoods.rows import BETA, FINE, ITERATIONS, LOWER, MODEL_SE, STATISTIC, UPPER, Trait
from genassoc.shapes import BoolArray, Float64Array, Int64Array

EIGHT = 8  # calls looked at together
# A genotype that covariates explain but for this share loses digits of the series.
LEAST_SHARE = 0.05


@jit
def _list_calls(
    calls: Float64Array, y: Float64Array, n_cases: float, T: Float64Array, keep: Float64Array, missing: Int64Array,
    carriers: Int64Array, filled: BoolArray,
) -> tuple[int, int, bool]:  # fmt: skip
    """g into its column of T; missing calls, carriers and tiles with carriers listed; whether both outcomes are left."""
    n = calls.size
    width = T.size // keep.size
    m = k = 0
    for t in range(filled.size):
        base = (t * width + width - 1) * TILE
        before = k
        start, last = t * TILE, min((t + 1) * TILE, n)
        for i in range(last - start):  # from 0, so that no index can be negative: twice as fast
            value = calls[start + i]
            absent = value != value
            T[base + i] = 0.0 if absent else value
            keep[start + i] = 0.0 if absent else 1.0
        for first in range(start, last, EIGHT):
            if first + EIGHT <= last:
                # By twos, so that no sum waits for another; a missing call makes it NaN.
                low = (calls[first] + calls[first + 1]) + (calls[first + 2] + calls[first + 3])
                high = (calls[first + 4] + calls[first + 5]) + (calls[first + 6] + calls[first + 7])
                if low + high == 0.0:
                    continue
            for i in range(first, min(first + EIGHT, last)):
                # Written always, counted where true: a branch on each call would be guessed wrong too often.
                missing[m] = carriers[k] = i
                m += 1 if calls[i] != calls[i] else 0
                k += 1 if calls[i] > 0.0 else 0
        filled[t] = k > before
    cases = n_cases
    for s in range(m):
        cases -= y[missing[s]]
    return m, k, 0.0 < cases < n - m


@jit
def _sum_genotype(
    T: Float64Array, y: Float64Array, offset: Float64Array, filled: BoolArray, factors: Float64Array, gx: Float64Array
) -> float:
    """``g'(y - mu)``; fills ``g'W`` times each column of the tiles, from the tiles that have carriers."""
    width = factors.size
    for c in range(width):
        gx[c] = 0.0
    sums, scores = np.zeros(width * LANES64), np.zeros(TILE)
    eta, scaled, small, gw = np.empty(TILE), np.empty(TILE), np.empty(TILE), np.empty(TILE)
    for t in range(filled.size):
        if not filled[t]:
            continue
        base = t * width * TILE
        for i in range(TILE):
            eta[i] = offset[t * TILE + i]
        for k in range(0, width, FOUR):
            add_combination(T, base + k * TILE, factors, k, eta, 0)
        exp_minus_abs(eta, scaled, small, TILE)
        for i in range(TILE):
            share = 1.0 / (1.0 + small[i])
            mu = share if eta[i] >= 0.0 else small[i] * share
            g = T[base + (width - 1) * TILE + i]
            scores[i] += g * (y[t * TILE + i] - mu)
            gw[i] = g * small[i] * share * share
        for k in range(0, width, FOUR):
            add_dots(gw, 0, T, base + k * TILE, sums, k * LANES64)
    for c in range(width):
        for lane in range(LANES64):
            gx[c] += sums[c * LANES64 + lane]
    U = 0.0
    for i in range(TILE):
        U += scores[i]
    return U


@jit
def _polynomial(
    gradient: Float64Array, J: Float64Array, third: Float64Array, fourth: Float64Array, A: Float64Array,
    v: Float64Array, line: Float64Array,
) -> None:  # fmt: skip
    """First four derivatives, signs of sums of d = X v, of all samples' log likelihood along v from where A is."""
    C = v.size
    B = np.zeros(C * C * C)
    contract(fourth, v, B)
    for k in range(4):
        line[k] = 0.0
    for j in range(C):
        line[0] += v[j] * gradient[j]
        for k in range(C):
            line[1] += v[j] * v[k] * J[j, k]
            for c in range(C):
                at = (j * C + k) * C + c
                vvv = v[j] * v[k] * v[c]
                line[2] += vvv * (third[j, k * C + c] + A[at])
                line[3] += vvv * B[at]


class _Null(NamedTuple):
    """Where a row's penalised null is: the move from that of all samples, its coefficients, the fourth order there, and g's on covariates."""

    move: Float64Array
    beta: Float64Array
    A: Float64Array
    gamma: Float64Array


@jit
def _firth_of_few(
    series: NullSeries, null: _Null, X: Float64Array, trait: Trait, calls: Float64Array, listed: Int64Array,
    row: Float64Array,
) -> bool:  # fmt: skip
    """Approximate Firth from the series and the listed samples, carriers and missing ones; whether it holds."""
    move, beta, A, gamma = null
    gradient0, H, third, fourth = series.gradient[1], series.information[1], series.third[1], series.fourth[1]
    C = move.size
    J, gradient, v, line = np.zeros((C, C)), np.zeros(C), np.zeros(C), np.zeros(4)
    contract(fourth, move, A)
    expand(gradient0, H, third, move, A, J, gradient)
    for c in range(C):
        v[c] = -gamma[c]
    _polynomial(gradient, J, third, fourth, A, v, line)
    base, d, g, outcome = np.zeros(listed.size), np.zeros(listed.size), np.zeros(listed.size), np.zeros(listed.size)
    for s in range(listed.size):
        i = listed[s]
        g[s], outcome[s], base[s] = calls[i], trait.y[i], trait.offset[i]
        for c in range(C):
            base[s] += X[i, c] * beta[c]
            d[s] += X[i, c] * v[c]
    if firth_line(line, base, d, g, outcome, row) != FINE:
        return False
    # The series has to hold at the ends of the interval too.
    far, there = row[BETA], np.zeros(C)
    for k in range(LOWER, UPPER + 1):
        if not abs(row[k]) <= abs(far):
            far = row[k]
    for c in range(C):
        there[c] = move[c] + far * v[c]
    return bool(series.reach[1] * math.sqrt(squared_length(H, there)) <= MAX_MOVE)


@jit
def series_rows(
    G: Float64Array,
    firth: BoolArray,
    X: Float64Array,
    trait: Trait,
    series: NullSeries,
    moves: Float64Array,
    numbers: Float64Array,
    done: BoolArray,
) -> None:
    """Score tests, or approximate Firth, of rows whose null is near the trait's; as `refit_rows` but for the series.

    Parameters
    ----------
    G : float64 array (R, n)
        Copies of the minor allele in the trait's samples, NaN where not observed.
    firth : bool array (R,)
        Whether approximate Firth is wanted, the score test otherwise.
    X : float64 array (n, C)
        Orthonormal covariates, the constant first.
    trait : Trait
    series : NullSeries
    moves : float64 array (R, 2, C)
        Filled: how far each null without the row's missing calls is from the series' start (the second for Firth alone); NaN where
        that is not known.
    numbers : float64 array (R, N_NUMBERS)
        Filled where done: beta, its standard error, the signed statistic, iterations, of Firth the interval.
    done : bool array (R,)
        Filled: False where another kernel has to do the row.
    """
    n, C = X.shape
    y, reach = trait.y, series.reach
    for row in range(G.shape[0]):
        done[row] = False
        moves[row, :, :] = np.nan
    if not (math.isfinite(reach[0]) and math.isfinite(reach[1])):
        return
    tiles = tiled(X, trait)
    T, keep, weights = tiles.T, tiles.keep, np.ones(tiles.keep.size)
    width = T.size // keep.size
    n_cases = 0.0
    for i in range(n):
        n_cases += y[i]
    missing, carriers = np.zeros(n, np.int64), np.zeros(n, np.int64)
    filled = np.zeros(keep.size // TILE, np.bool_)
    factors, gx, A, L = np.zeros(width), np.zeros(width), np.zeros(C * C * C), np.zeros((C, C))
    move, gamma, z, beta = np.zeros(C), np.zeros(C), np.zeros(C), np.zeros(C + 1)
    d, eta = np.zeros(n), np.zeros(n)
    listed = np.zeros(n, np.int64)
    for row in range(G.shape[0]):
        m, k, both = _list_calls(G[row], y, n_cases, T, keep, missing, carriers, filled)
        if not both or m * ONE_IN > n:
            continue
        fine, U, spread = True, 0.0, 0.0
        for c in range(C):
            move[c] = 0.0
        # In a loop, not one call for each: numba compiles every call anew. The penalised null moves as the null does.
        for p in range(2 if firth[row] else 1):
            found = move_null(series, p, X, trait, missing[:m], move, A, L)
            fine = fine and found == HOLDS
            if found == FAILED:
                break
            for c in range(C):
                beta[c] = series.start[p, c] + move[c]
                moves[row, p, c] = move[c]
            if p == 0 and fine:
                for c in range(C):
                    factors[c] = beta[c]
                U = _sum_genotype(T, tiles.y, tiles.offset, filled, factors, gx)
                solve_lower(L, gx, z, C)
                solve_upper(L, z, gamma, C)
                spread = gx[width - 1]
                for c in range(C):
                    spread -= z[c] * z[c]
                fine = spread > LEAST_SHARE * gx[width - 1]
        if not fine:
            continue
        if not firth[row]:
            numbers[row, BETA], numbers[row, MODEL_SE] = U / spread, 1.0 / math.sqrt(spread)
            numbers[row, STATISTIC], numbers[row, ITERATIONS] = U / math.sqrt(spread), 0.0
            done[row] = True
            continue
        if k * ONE_IN < n:
            for s in range(m + k):
                listed[s] = missing[s] if s < m else carriers[s - m]
            null = _Null(move, beta, A, gamma)
            done[row] = _firth_of_few(series, null, X, trait, G[row], listed[: m + k], numbers[row])
        if not done[row]:
            residual_genotype(T, keep, weights, gamma, beta, d, eta)
            for i in range(n):
                eta[i] += trait.offset[i]
            done[row] = firth_one(d, y, eta, numbers[row]) == FINE
