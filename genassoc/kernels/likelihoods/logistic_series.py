"""Score tests and approximate Firth of variants that few calls are missing of, from a power series of the null's likelihood.

The null without a few samples is the trait's null moved a little: its gradient and information come from the series of
all samples (`genassoc.stats.logistic_series`) less the missing samples' exact terms, so that as a rule no pass over all samples is
needed; where it moves too far for that, one to three passes end what the series began. Carriers' terms are exact, too. Firth's
estimate of a rare variant moves all other samples along one direction of the covariates, ``d = -X gamma``, where the likelihood is a
polynomial. What moves very far, or is unusual, is left to `genassoc.kernels.likelihoods.logistic_refit`.
"""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.genotypes.listed import Calls
from genassoc.kernels.lanes.vector64 import FOUR, LANES64, TILE, add_combination, add_dots
from genassoc.kernels.likelihoods.bernoulli import exp_minus_abs
from genassoc.kernels.likelihoods.cholesky import solve_lower, solve_upper
from genassoc.kernels.likelihoods.logistic_firth import N_SUMS, MovingSamples, derivatives, firth_beside, firth_one
from genassoc.kernels.likelihoods.logistic_line import ONE_IN
from genassoc.kernels.likelihoods.logistic_null_series import (
    FAILED,
    HOLDS,
    MAX_MOVE,
    ROUGH,
    Null,
    NullSeries,
    Summed,
    correct,
    expand,
    fold,
    gather,
    move_null,
    null_of,
    pair_up,
    reaches,
    squared_length,
    start_null,
    summed,
)
from genassoc.kernels.likelihoods.logistic_refit import residual_genotype
from genassoc.kernels.likelihoods.logistic_tiles import Tiles, tiled
from genassoc.kernels.likelihoods.rows import BETA, FINE, ITERATIONS, LOWER, MODEL_SE, STATISTIC, UPPER, Trait
from genassoc.shapes import BoolArray, Float64Array, Int64Array

# A genotype that covariates explain but for this share loses digits of the series.
LEAST_SHARE = 0.05
# One carrier in so many samples: an error of the null of 1e-4 standard errors is one of less than 1e-6 in what they explain.
NEXT_TO_NONE = 256
# Passes over all samples that correct the series of one null; as a rule one is enough.
MAX_CORRECTIONS = 3


class _Row(NamedTuple):
    """Calls of one variant: who carries it, with how many copies, and whose call is missing."""

    carriers: Int64Array
    copies: Float64Array
    missing: Int64Array


class _Samples(NamedTuple):
    """All samples of a trait, in rows and in tiles, and room (n,) for what a genotype moves them by and for their log odds."""

    X: Float64Array
    trait: Trait
    every: Summed
    ones: Float64Array
    d: Float64Array
    eta: Float64Array


@jit
def _row_of(calls: Calls, r: int) -> _Row:
    k, m = (calls.carriers_end[r - 1], calls.missing_end[r - 1]) if r > 0 else (0, 0)
    k_end, m_end = calls.carriers_end[r], calls.missing_end[r]
    return _Row(calls.carriers[k:k_end], calls.copies[k:k_end], calls.missing[m:m_end])


@jit
def _put_genotype(row: _Row, tiles: Tiles, there: bool) -> None:
    """The row's copies into g's column of the tiles, nobody's where missing; or, not ``there``, both as they were."""
    width = tiles.T.size // tiles.keep.size
    for s in range(row.carriers.size):
        i = row.carriers[s]
        tiles.T[((i // TILE) * width + width - 1) * TILE + i % TILE] = row.copies[s] if there else 0.0
    for s in range(row.missing.size):
        tiles.keep[row.missing[s]] = 0.0 if there else 1.0


@jit
def _sum_carriers(X: Float64Array, trait: Trait, row: _Row, beta: Float64Array, gx: Float64Array) -> float:
    """``g'(y - mu)``; fills ``g'W`` times each covariate and g, the last; from the carriers."""
    C = gx.size - 1
    U = 0.0
    for c in range(C + 1):
        gx[c] = 0.0
    for s in range(row.carriers.size):
        i, g = row.carriers[s], row.copies[s]
        eta = trait.offset[i]
        for c in range(C):
            eta += X[i, c] * beta[c]
        small = math.exp(-abs(eta))
        share = 1.0 / (1.0 + small)
        w = small * share * share
        r = trait.y[i] - (share if eta >= 0.0 else small * share)
        U += g * r
        gx[C] += g * g * w
        for c in range(C):
            gx[c] += g * w * X[i, c]
    return U


@jit
def _sum_genotype(tiles: Tiles, beta: Float64Array, gx: Float64Array) -> float:
    """The same from tiles in which g stands."""
    T, y, offset = tiles.T, tiles.y, tiles.offset
    C = gx.size - 1
    width = T.size // tiles.keep.size
    factors, sums, scores = np.zeros(width), np.zeros(width * LANES64), np.zeros(TILE)
    eta, scaled, small, gw = np.empty(TILE), np.empty(TILE), np.empty(TILE), np.empty(TILE)
    for c in range(C):
        factors[c] = beta[c]
    for t in range(tiles.keep.size // TILE):
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
    for c in range(C + 1):
        gx[c] = 0.0
        for lane in range(LANES64):
            gx[c] += sums[(c if c < C else width - 1) * LANES64 + lane]
    U = 0.0
    for i in range(TILE):
        U += scores[i]
    return U


@jit
def _polynomial(series: NullSeries, null: Null, v: Float64Array, line: Float64Array) -> None:
    """Add to the line the first four derivatives (as `derivatives` has them) of all samples' likelihood along v from the penalised null."""
    third, pairs, along = series.third[1], null.pairs, null.quartic
    C = v.size
    pair_up(v, pairs)
    fold(series.fourth[1], pairs, along)
    q = 0
    for j in range(C):
        line[1] += v[j] * null.gradient[j]
        for m in range(pairs.size):
            line[3] += v[j] * third[j, m] * pairs[m]
        for k in range(j + 1):
            line[2] += null.J[j, k] * pairs[q]
            line[3] += along[q] * (null.move[j] * v[k] + (null.move[k] * v[j] if k < j else 0.0))
            line[4] += along[q] * pairs[q]
            q += 1


@jit
def _residuals(samples: _Samples, gamma: Float64Array, beta: Float64Array) -> None:
    """What all samples that take part move by, and their log odds; 0 and the offset of the others."""
    tiles, offset, d, eta = samples.every.tiles, samples.trait.offset, samples.d, samples.eta
    residual_genotype(tiles.T, tiles.keep, samples.ones, gamma, beta, d, eta)
    for i in range(eta.size):
        eta[i] += offset[i]


@jit
def _farthest(numbers: Float64Array) -> float:
    """Of the estimate and the ends of its interval the one farthest from 0; NaN where an end was not found."""
    far = numbers[BETA]
    for side in range(LOWER, UPPER + 1):
        if not abs(numbers[side]) <= abs(far):
            far = numbers[side]
    return far


@jit
def _firth_of_few(
    samples: _Samples, series: NullSeries, null: Null, gamma: Float64Array, row: _Row, corrected: bool, numbers: Float64Array
) -> bool:  # fmt: skip
    """Approximate Firth from the carriers, and a polynomial for all others: the series', or of six derivatives; whether it holds."""
    X, trait, keep = samples.X, samples.trait, samples.every.tiles.keep
    C, m, k = gamma.size, row.missing.size, row.carriers.size
    beta, v, line, own, there = np.empty(C), np.empty(C), np.zeros(N_SUMS), np.zeros(N_SUMS), np.empty(C)
    for c in range(C):
        beta[c], v[c] = series.start[1, c] + null.move[c], -gamma[c]
    # Missing calls, then carriers.
    base, d, outcome = np.empty(m + k), np.empty(m + k), np.empty(m + k)
    for s in range(m + k):
        i = row.missing[s] if s < m else row.carriers[s - m]
        outcome[s], base[s], d[s] = trait.y[i], trait.offset[i], 0.0
        for c in range(C):
            base[s] += X[i, c] * beta[c]
            d[s] += X[i, c] * v[c]
    expand(series, 1, null)
    _polynomial(series, null, v, line)
    derivatives(MovingSamples(d, outcome, base), 0.0, own)
    for order in range(1, 5):
        line[order] -= own[order]
    for s in range(k):
        d[m + s] += row.copies[s]
    none, carriers = np.empty(0), MovingSamples(d[m:], outcome[m:], base[m:])
    rest = MovingSamples(none, none, none)
    # In a loop, not one call for each: numba compiles every call anew.
    for exactly in range(2):
        if exactly == 1:
            for s in range(m + k):
                keep[row.missing[s] if s < m else row.carriers[s - m]] = 0.0
            _residuals(samples, gamma, beta)
            for s in range(m + k):
                keep[row.missing[s] if s < m else row.carriers[s - m]] = 1.0
            rest = MovingSamples(samples.d, trait.y, samples.eta)
            line[:] = 0.0
        found = firth_beside(line, rest, carriers, numbers) == FINE
        if found and exactly == 0:
            # The series has to hold at the ends of the interval too, from where it is taken.
            far = _farthest(numbers)
            for c in range(C):
                there[c] = far * v[c] + (0.0 if corrected else null.move[c])
            found = series.reach[1] * math.sqrt(squared_length(series.information[1], there)) <= MAX_MOVE
        if found:
            return True
    return False


@jit
def _nulls_of(
    series: NullSeries, firth: bool, share: float, every: Summed, missing: Summed, nulls: tuple[Null, Null]
) -> tuple[bool, bool]:
    """Move one or both nulls to the samples observed; whether they are found, and whether the last series had to be corrected.

    The ``share`` of samples that carry the variant is the most that covariates explain of it. Where it is next to nothing Firth's fit does
    not depend on the null without the penalty; else its information is summed where the series does not hold.
    """
    corrected = False
    # In a loop, not one call for each: numba compiles every call anew. The penalised null moves as the null does.
    for p in range(2 if firth else 1):
        null = nulls[p]
        start_null(null, nulls[0].move if p == 1 else np.zeros(null.move.size))
        corrected = False
        for again in range(MAX_CORRECTIONS + 1):
            found = move_null(series, p, missing, null)
            if found == FAILED:
                return False, False
            enough = found == HOLDS or (p == 0 and firth and share * NEXT_TO_NONE < 1.0 and found >= ROUGH)
            if enough or (corrected and reaches(series, p, null)):
                break
            if again == MAX_CORRECTIONS:
                return False, False
            corrected = True
            with_gram = p == 0 or found <= ROUGH
            if not correct(series, p, with_gram, every, missing, null):
                return False, False
    return True, corrected


@jit
def series_rows(
    calls: Calls,
    firth: BoolArray,
    X: Float64Array,
    trait: Trait,
    series: NullSeries,
    numbers: Float64Array,
    done: BoolArray,
) -> None:
    """Score tests, or approximate Firth, of rows whose null is near the trait's; as `refit_rows` but for the series.

    Parameters
    ----------
    calls : Calls
        Of R variants, in the trait's samples.
    firth : bool array (R,)
        Whether approximate Firth is wanted, the score test otherwise.
    X : float64 array (n, C)
        Orthonormal covariates, the constant first.
    trait : Trait
    series : NullSeries
    numbers : float64 array (R, N_NUMBERS)
        Filled where done: beta, its standard error, the signed statistic, iterations, of Firth the interval.
    done : bool array (R,)
        Filled: False where another kernel has to do the row.
    """
    n, C = X.shape
    for r in range(firth.size):
        done[r] = False
    if not (math.isfinite(series.reach[0]) and math.isfinite(series.reach[1])):
        return
    every = summed(tiled(X, trait), C)
    tiles = every.tiles
    samples = _Samples(X, trait, every, np.ones(tiles.keep.size), np.zeros(n), np.zeros(n))
    width, n_cases = tiles.T.size // tiles.keep.size, 0.0
    for i in range(n):
        tiles.keep[i] = 1.0
        n_cases += trait.y[i]
    most = n // ONE_IN // TILE + 1
    room = Tiles(np.zeros(most * TILE * width), np.zeros(most * TILE), np.zeros(most * TILE), np.zeros(most * TILE))
    lacking = summed(room, C)
    nulls = (null_of(C), null_of(C))
    gx, gamma, z, beta = np.zeros(C + 1), np.zeros(C), np.zeros(C), np.zeros(C)
    for r in range(firth.size):
        row = _row_of(calls, r)
        m, k, cases = row.missing.size, row.carriers.size, n_cases
        for s in range(m):
            cases -= trait.y[row.missing[s]]
        if not 0.0 < cases < n - m or m * ONE_IN > n:
            continue
        missing = Summed(
            gather(X, trait, row.missing, room), lacking.weights, lacking.J, lacking.gradient, lacking.lanes
        )
        few = k * ONE_IN < n
        found, corrected = _nulls_of(series, firth[r], k / n, every, missing, nulls)
        if not found:
            continue
        for c in range(C):
            beta[c] = series.start[0, c] + nulls[0].move[c]
        if few:
            U = _sum_carriers(X, trait, row, beta, gx)
        else:
            _put_genotype(row, tiles, True)
            U = _sum_genotype(tiles, beta, gx)
        solve_lower(nulls[0].L, gx, z, C)
        solve_upper(nulls[0].L, z, gamma, C)
        spread = gx[C]
        for c in range(C):
            spread -= z[c] * z[c]
        fine = spread > LEAST_SHARE * gx[C]
        if fine and not firth[r]:
            numbers[r, BETA], numbers[r, MODEL_SE] = U / spread, 1.0 / math.sqrt(spread)
            numbers[r, STATISTIC], numbers[r, ITERATIONS] = U / math.sqrt(spread), 0.0
            done[r] = True
        elif fine:
            done[r] = few and _firth_of_few(samples, series, nulls[1], gamma, row, corrected, numbers[r])
            if not done[r]:
                if few:
                    _put_genotype(row, tiles, True)
                for c in range(C):
                    beta[c] = series.start[1, c] + nulls[1].move[c]
                _residuals(samples, gamma, beta)
                done[r] = firth_one(samples.d, trait.y, samples.eta, numbers[r]) == FINE
                if few:
                    _put_genotype(row, tiles, False)
        if not few:
            _put_genotype(row, tiles, False)
