"""Likelihood ratio tests of contrasts of D tested columns in logistic regression, plain and under Firth's penalty, many rows at once.

Every maximum is Newton's, as `genassoc.kernels.likelihoods.logistic.fit` has it, from the same start, eight samples at a time. The null of
a contrast holds the last of the columns ``H M`` at 0 (M a rotation); its search starts where the curvature at the whole maximum
says that it is, and ends a step early, that step's gain added. Rows with surprises come back NOT_CONVERGED.
"""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.lanes.tiles import collect, combine, tile_width
from genassoc.kernels.lanes.vector64 import FOUR, TILE, add_combination
from genassoc.kernels.laws.sandwich import WaldFits
from genassoc.kernels.likelihoods.bernoulli import exp_minus_abs
from genassoc.kernels.likelihoods.cholesky import cholesky
from genassoc.kernels.likelihoods.logistic import (
    MAX_HALVINGS,
    MAX_STEP,
    PENALISED_ITERATIONS,
    PLAIN_ITERATIONS,
    STEP_TOLERANCE,
)
from genassoc.kernels.likelihoods.logistic_columns import LogisticSamples
from genassoc.kernels.likelihoods.logistic_tiles import add_tile, sums_size
from genassoc.kernels.likelihoods.newton import BEST, FELL, UNDER_WAY, Climb, climb_of, judge, newton_step, step_on
from genassoc.kernels.likelihoods.nulls import Tests, covariance_of_tested, n_nulls, null_of, start_null
from genassoc.kernels.likelihoods.rows import COLLINEAR, FINE, NOT_CONVERGED, RUNAWAY
from genassoc.shapes import Float64Array

# A null whose next step is this short (its squared length in standard errors) gains half of that by it, to a thousandth of a
# thousandth; under the penalty, whose steps are no Newton's of it, the same is true of one ten times as short.
NEXT_STEP, NEXT_PENALISED_STEP = 1e-9, 1e-10
# What is left of the squares of a column (or a covariate) by those before it: below, rows are for a slower look.
SAFE_COLUMN, SAFE_COVARIATE = 1e-5, 1e-3


class Rules(NamedTuple):
    """How rows are fitted.

    Attributes
    ----------
    penalised : bool
        Under Firth's penalty, that of all columns.
    genotypes : bool
        The columns are copies and heterozygotes: a genotype without cases or without controls has no maximum.
    """

    penalised: bool
    genotypes: bool


class _Samples(NamedTuple):
    """Samples padded to whole tiles: P columns one after another in each tile; outcome, 1 where one takes part, offset; weights, residuals."""

    T: Float64Array
    y: Float64Array
    keep: Float64Array
    offset: Float64Array
    w: Float64Array
    r: Float64Array
    curved: Float64Array


class _Room(NamedTuple):
    """Room for a tile (TILE,), the lanes' sums, factors of columns, and the rows of the inverse factor."""

    eta: Float64Array
    scaled: Float64Array
    x: Float64Array
    linear: Float64Array
    product: Float64Array
    lanes: Float64Array
    factors: Float64Array
    M: Float64Array
    F: Float64Array


@jit
def _evaluate(samples: _Samples, beta: Float64Array, J: Float64Array, gradient: Float64Array, room: _Room) -> float:
    """The log likelihood at beta (P,); fills w, r, the information and the gradient."""
    width = room.factors.size
    put(room.factors, 0, beta)
    room.lanes[:] = 0.0
    eta, x, linear, product = room.eta, room.x, room.linear, room.product
    linear[:] = 0.0
    total = 0.0
    for t in range(samples.keep.size // TILE):
        at = t * TILE
        for i in range(TILE):
            eta[i] = samples.offset[at + i]
        combine(samples.T, at * width, room.factors, 0, width, eta)
        exp_minus_abs(eta, room.scaled, x, TILE)
        for i in range(TILE):
            small, used = x[i], samples.keep[at + i]
            share = 1.0 / (1.0 + small)
            mu = share if eta[i] >= 0.0 else small * share
            samples.w[at + i] = used * small * share * share
            samples.r[at + i] = used * (samples.y[at + i] - mu)
            linear[i] += used * (samples.y[at + i] * eta[i] - max(eta[i], 0.0))
            product[i] = (product[i] if t % 512 > 0 else 1.0) * (1.0 + used * small)
        if t % 512 == 511:
            for i in range(TILE):
                total -= math.log(product[i])
        add_tile(samples.T, at * width, width, 0, at, samples.w, samples.r, room.lanes)
    if (samples.keep.size // TILE) % 512 > 0:
        for i in range(TILE):
            total -= math.log(product[i])
    collect(room.lanes, width, J, gradient)
    for i in range(TILE):
        total += linear[i]
    return total


@jit
def _penalise(samples: _Samples, L: Float64Array, J: Float64Array, gradient: Float64Array, room: _Room) -> None:
    """Firth's score, and ``D' diag((1 + h) w) D`` into J, from the factor L (P, P) of the information."""
    P, width = gradient.size, room.factors.size
    M, value, size = room.M, room.eta, room.x
    M[:] = 0.0
    for j in range(P):
        for k in range(j, P):
            entry = 1.0 if k == j else 0.0
            for m in range(j, k):
                entry -= L[k, m] * M[m * width + j]
            M[k * width + j] = entry / L[k, k]
    room.lanes[:] = 0.0
    for t in range(samples.keep.size // TILE):
        at = t * TILE
        size[:] = 0.0
        for j in range(P):
            value[:] = 0.0
            for k in range(0, j + 1, FOUR):
                add_combination(samples.T, (at * width) + k * TILE, M, j * width + k, value, 0)
            for i in range(TILE):
                size[i] += value[i] * value[i]
        for i in range(TILE):
            h = samples.w[at + i] * size[i]
            # mu = y - r; a sample left out has no w and no r
            samples.r[at + i] += h * (0.5 - (samples.y[at + i] - samples.r[at + i]))
            samples.curved[at + i] = (1.0 + h) * samples.w[at + i]
        add_tile(samples.T, at * width, width, 0, at, samples.curved, samples.r, room.lanes)
    collect(room.lanes, width, J, gradient)


@jit
def _longest_change(samples: _Samples, step: Float64Array, n_free: int, room: _Room) -> float:
    """The largest change of any sample's log odds by a step in the first coefficients."""
    width, longest = room.factors.size, 0.0
    room.factors[:] = 0.0
    put(room.factors, 0, step[:n_free])
    for t in range(samples.keep.size // TILE):
        room.eta[:] = 0.0
        combine(samples.T, t * TILE * width, room.factors, 0, width, room.eta)
        for i in range(TILE):
            longest = max(longest, samples.keep[t * TILE + i] * abs(room.eta[i]))
    return longest


@jit
def _maximise(
    samples: _Samples, penalised: bool, n_free: int, short: float, beta: Float64Array, climb: Climb, room: _Room
) -> tuple[int, float, int]:  # fmt: skip
    """Maximise in the first coefficients, until the next step is shorter than ``short``; status, objective, iterations.

    The climb's J and L are those of the information at the end.
    """
    P = beta.size
    curved, F = np.empty((P, P)), room.F.reshape(P, P)
    free = P if penalised else n_free  # the penalty is that of all coefficients
    climb.stand[BEST] = -np.inf
    climb.stand[1] = 0.0
    climb.step[:] = 0.0
    for iteration in range(PENALISED_ITERATIONS if penalised else PLAIN_ITERATIONS):
        objective = _evaluate(samples, beta, climb.J, climb.gradient, room)
        log_determinant = cholesky(climb.J, climb.L, free)
        if penalised:
            objective += 0.5 * log_determinant
        status = judge(iteration, objective, math.isnan(log_determinant), MAX_HALVINGS, climb, beta)
        if status == FELL:
            continue
        if status != UNDER_WAY:
            return status, climb.stand[BEST], iteration
        if penalised:
            _penalise(samples, climb.L, curved, climb.gradient, room)
            if math.isnan(cholesky(curved, F, n_free)):
                return COLLINEAR, objective, iteration
        else:
            F[:, :] = climb.L
        gain = newton_step(F, climb.gradient[:n_free], climb.step[:n_free], climb.scratch)
        if gain < short:
            return FINE, objective + (0.5 * gain if short > STEP_TOLERANCE else 0.0), iteration
        if penalised:
            longest = _longest_change(samples, climb.step, n_free, room)
            if longest > MAX_STEP:
                climb.step[:n_free] *= MAX_STEP / longest
        climb.step[n_free:] = 0.0
        step_on(climb, beta)
    return NOT_CONVERGED, climb.stand[BEST], PLAIN_ITERATIONS


@jit
def _put_columns(H: Float64Array, M: Float64Array, first: int, width: int, samples: _Samples) -> None:
    """The columns ``H M`` (D, n) from place ``first`` of the tiles; 0 where not observed."""
    D, n = H.shape
    for i in range(n):
        base = (i // TILE) * width * TILE + i % TILE
        for d in range(D):
            value = 0.0
            if samples.keep[i] > 0.0:
                for e in range(D):
                    value += H[e, i] * M[e, d]
            samples.T[base + (first + d) * TILE] = value


@jit
def _observe(H: Float64Array, y: Float64Array, genotypes: bool, keep: Float64Array) -> tuple[int, float, bool]:
    """Mark who is observed; how many, how many cases, and whether every genotype has cases and controls."""
    n, cases = 0, 0.0
    counts = np.zeros((3, 2), np.int64)
    for i in range(y.size):
        observed = not math.isnan(H[0, i])
        keep[i] = 1.0 if observed else 0.0
        if observed:
            n += 1
            cases += y[i]
            if genotypes:
                counts[int(H[0, i]), int(y[i])] += 1
    apart = False
    for k in range(3):
        apart = apart or ((counts[k, 0] == 0) != (counts[k, 1] == 0))
    return n, cases, apart


@jit
def _safe(samples: _Samples, C: int, climb: Climb) -> bool:
    """Whether no covariate and no tested column is near a combination of those before it, by the first weights."""
    J, L = climb.J, climb.L
    P = J.shape[0]
    if math.isnan(cholesky(J, L, P)):
        return False
    weight, kept = 0.0, 0.0
    for i in range(samples.w.size):
        weight += samples.w[i]
        kept += samples.keep[i]
    for c in range(C):
        if not L[c, c] * L[c, c] > SAFE_COVARIATE * weight / kept:
            return False
    for d in range(C, P):
        # About its mean: the first covariate is the constant.
        if not L[d, d] * L[d, d] > SAFE_COLUMN * (J[d, d] - J[d, 0] * J[d, 0] / J[0, 0]):
            return False
    return True


@jit
def ratio_rows(
    H: Float64Array, samples: LogisticSamples, tests: Tests, rules: Rules, fits: WaldFits, gains: Float64Array
) -> None:
    """Fit rows without surprises, and the nulls of their tests.

    Parameters
    ----------
    H : float64 array (R, D, n)
        Tested columns in the trait's samples; NaN where not observed.
    samples : LogisticSamples
    tests : Tests
    rules : Rules
    fits : WaldFits
        Filled where the status is FINE. RUNAWAY: a genotype has no cases or no controls. Others are NOT_CONVERGED.
    gains : float64 array (R, K)
        Filled with twice the gains of (penalised) log likelihood over the nulls.
    """
    X = samples.X
    n, C = X.shape
    D = H.shape[1]
    P = C + D
    width, padded = tile_width(P), (n + TILE - 1) // TILE * TILE
    one = _Samples(
        np.zeros(padded * width), np.zeros(padded), np.zeros(padded), np.zeros(padded), np.zeros(padded), np.zeros(padded), np.zeros(padded)
    )  # fmt: skip
    for i in range(n):
        one.y[i], one.offset[i] = samples.y[i], samples.offset[i]
        for c in range(C):
            one.T[(i // TILE) * width * TILE + i % TILE + c * TILE] = X[i, c]
    room = _Room(
        np.zeros(TILE), np.zeros(TILE), np.zeros(TILE), np.zeros(TILE), np.zeros(TILE), np.zeros(sums_size(width)), np.zeros(width),
        np.zeros(P * width), np.zeros(P * P),
    )  # fmt: skip
    climb, plain = climb_of(np.zeros((P, P))), np.eye(D)
    beta, full, J, L = np.zeros(P), np.zeros(P), np.zeros((P, P)), np.zeros((P, P))
    short = NEXT_PENALISED_STEP if rules.penalised else NEXT_STEP
    for row in range(H.shape[0]):
        fits.status[row] = NOT_CONVERGED
        n_seen, cases, apart = _observe(H[row], samples.y, rules.genotypes, one.keep)
        if n_seen <= P or not 0.0 < cases < n_seen:
            continue
        _put_columns(H[row], plain, C, width, one)
        share = cases / n_seen
        full[:] = 0.0
        full[0] = math.log(share / (1.0 - share)) / X[0, 0]
        _evaluate(one, full, climb.J, climb.gradient, room)
        if not _safe(one, C, climb):
            continue
        if apart and not rules.penalised:
            fits.status[row] = RUNAWAY
            continue
        status, objective, iterations = _maximise(one, rules.penalised, P, STEP_TOLERANCE, full, climb, room)
        if status != FINE:
            continue
        J[:, :] = climb.J
        covariance_of_tested(climb.L, 1.0, fits.covariance[row])
        fits.objective[row], fits.iterations[row], fits.freedom[row] = objective, iterations, np.inf
        fits.theta[row] = full[C:]
        fine = True
        for k in range(n_nulls(tests)):
            number, M, free = null_of(tests, k, D)
            if D > 1:
                _put_columns(H[row], M, C, width, one)
            start_null(J, L, M, full, C + free, beta)
            if free == 0 and n_seen == n and not rules.penalised:
                put(beta, 0, samples.start)
            status, at_null, _ = _maximise(one, rules.penalised, C + free, short, beta, climb, room)
            if status != FINE:
                fine = False
                break
            gains[row, number] = max(0.0, 2.0 * (objective - at_null))
        if fine:
            fits.status[row] = FINE
