"""Cox regression of D tested columns, many variants in one call: score, Wald and likelihood ratio tests, Firth's penalty.

Covariates are laid out once for all variants; a sample whose call is missing keeps its place and is at risk at no time, so that
nothing is copied. Every variant begins at the null of its own samples, whose score and information give the score test, and the first
step of the fit. Contrasts are tested by likelihood ratios on rotated columns (`genassoc.models.scan.tested.Tested.rotations`): the
maximum without a contrast is sought from where the full fit, by its information, expects it.
"""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.lanes.arranged import Covariates, arranged, set_column
from genassoc.kernels.lanes.copies import put
from genassoc.kernels.laws.sandwich import WaldFits
from genassoc.kernels.likelihoods.cholesky import solve_lower, solve_upper
from genassoc.kernels.likelihoods.cox import maximise
from genassoc.kernels.likelihoods.cox_sums import RiskSets, risk_sums
from genassoc.kernels.likelihoods.newton import BEST, HALVINGS, Climb, FitOptions, climb_of
from genassoc.kernels.likelihoods.rows import (
    COLLINEAR,
    FINE,
    FIRTH,
    LRT,
    NOT_CONVERGED,
    ONE_OUTCOME,
    SCORE,
    STEP_TOLERANCE,
)
from genassoc.shapes import Float64Array

# Squared length of the null's last step, in standard errors, at which its score is taken: what is left of the covariates' score is
# projected out, and moves z by less than a ten-thousandth. Of several columns, whose score tests only say what needs no fit.
NULL_TOLERANCE = 1e-6
# A column of whose information less than this share is left beside those before it may be a combination of them.
SURELY_INDEPENDENT = 1e-7
# Iterations beyond which an estimate may be one that runs away.
SURELY_FINITE = 10


class CoxTrait(NamedTuple):
    """Samples of one endpoint.

    Attributes
    ----------
    X : float64 array (n, C)
        Orthonormal covariates without the constant.
    sets : RiskSets
    offset : float64 array (n,)
    start : float64 array (C,)
        The null's coefficients.
    """

    X: Float64Array
    sets: RiskSets
    offset: Float64Array
    start: Float64Array


@jit
def _at_risk(calls: Float64Array, whole: RiskSets, sets: RiskSets) -> None:
    """Take samples without a call out of the risk sets."""
    for i in range(calls.size):
        missing = math.isnan(calls[i])
        sets.event[i] = whole.event[i] and not missing
        sets.last[i] = whole.first[i] if missing else whole.last[i]


@jit
def _centred(H: Float64Array, columns: Float64Array) -> None:
    """Tested columns (D, n) less their means over the samples observed, 0 for others."""
    for d in range(H.shape[0]):
        total, n = 0.0, 0
        for i in range(H.shape[1]):
            if not math.isnan(H[d, i]):
                total += H[d, i]
                n += 1
        mean = total / max(n, 1)
        for i in range(H.shape[1]):
            columns[d, i] = 0.0 if math.isnan(H[d, i]) else H[d, i] - mean


@jit
def _along(L: Float64Array, direction: Float64Array, out: Float64Array) -> None:
    """``J^-1 (0, direction)`` (P,) for a direction (D,) of the tested coefficients, the last; L is the factor of J."""
    P, D = out.size, direction.size
    right, half = np.zeros(P), np.empty(P)
    put(right, P - D, direction)
    solve_lower(L, right, half, P)
    solve_upper(L, half, out, P)


@jit
def _covariance(L: Float64Array, covariance: Float64Array) -> None:
    """The block of the tested coefficients, the last, of J^-1."""
    P, D = L.shape[0], covariance.shape[0]
    unit, column = np.zeros(D), np.empty(P)
    for d in range(D):
        unit[:] = 0.0
        unit[d] = 1.0
        _along(L, unit, column)
        put(covariance[d], 0, column[P - D :])


@jit
def _independent(climb: Climb) -> bool:
    """Whether every column keeps some of its information beside those before it."""
    for j in range(climb.J.shape[0]):
        if not climb.L[j, j] ** 2 > SURELY_INDEPENDENT * climb.J[j, j]:
            return False
    return True


@jit
def _step(climb: Climb, step: Float64Array) -> None:
    """Newton's step of all coefficients."""
    half = np.empty(step.size)
    solve_lower(climb.L, climb.gradient, half, step.size)
    solve_upper(climb.L, half, step, step.size)


@jit
def _begin_stage(stage: int, trait: CoxTrait, climb: Climb, penalised: bool, beta: Float64Array) -> None:
    """Where the null begins, and the fit of all coefficients: one step from the null, of which a penalty takes only the covariates."""
    C = trait.start.size
    if stage == 0:
        put(beta, 0, trait.start)
        beta[C:] = 0.0
    elif not penalised:
        _step(climb, climb.step)
        for j in range(beta.size):
            beta[j] += climb.step[j]


@jit
def _hold_contrast(
    X: Covariates, columns: Float64Array, M: Float64Array, best: Float64Array, L: Float64Array, beta: Float64Array
) -> None:
    """Rotate the tested columns (D, n) by M, and begin where the last of them is 0: the projection of the maximum, L its information's factor."""
    D, P = M.shape[0], beta.size
    C = P - D
    turned, along = np.empty(columns.shape[1]), np.empty(P)
    for d in range(D):
        turned[:] = 0.0
        for e in range(D):
            for i in range(turned.size):
                turned[i] += M[e, d] * columns[e, i]
        set_column(X, C + d, turned)
    contrast = M[:, D - 1].copy()
    _along(L, contrast, along)
    held, length = 0.0, 0.0
    for e in range(D):
        held += contrast[e] * best[C + e]
        length += contrast[e] * along[C + e]
    for j in range(C):
        beta[j] = best[j] - along[j] * held / length
    for d in range(D):
        beta[C + d] = 0.0
        for e in range(D if d < D - 1 else 0):
            beta[C + d] += M[e, d] * (best[C + e] - along[C + e] * held / length)


@jit
def fit_rows(
    H: Float64Array, trait: CoxTrait, test: int, rotations: Float64Array, fits: WaldFits, gains: Float64Array
) -> None:
    """Test D columns of every variant on the samples that are observed.

    Parameters
    ----------
    H : float64 array (R, D, n)
        Tested columns, NaN where not observed.
    trait : CoxTrait
    test : int
        SCORE, WALD, LRT or FIRTH.
    rotations : float64 array (K, D, D)
        Of LRT and FIRTH: the contrasts' orthonormal rotations M, a contrast being the last coefficient of ``H M``.
    fits : WaldFits
        Filled; of SCORE with Newton's step from the null. A row whose status is not FINE is not done.
    gains : float64 array (R, K + 1)
        Filled for LRT and FIRTH: twice what the (penalised) log likelihood gains by each contrast, and by all columns.
    """
    R, D, n = H.shape
    C, K = trait.X.shape[1], rotations.shape[0]
    P = C + D
    wide = np.zeros((n, P))
    for i in range(n):
        put(wide[i], 0, trait.X[i])
    X, whole = arranged(wide), trait.sets
    sets = RiskSets(whole.event.copy(), whole.first, whole.last.copy(), whole.ends, whole.efron)
    sums = risk_sums(whole, P)
    columns, beta, best, L_best = np.empty((D, n)), np.empty(P), np.empty(P), np.empty((P, P))
    climb = climb_of(np.zeros((P, P)))
    for r in range(R):
        fits.dropped[r] = False
        _at_risk(H[r, 0], whole, sets)
        if not sets.event.any():
            fits.status[r] = ONE_OUTCOME
            continue
        _centred(H[r], columns)
        for d in range(D):
            set_column(X, C + d, columns[d])
        full, at_null = 0.0, 0.0
        # The null, all coefficients, each contrast held at 0, and of a penalty all columns.
        for stage in range(2 + (K + 1 if test == LRT or test == FIRTH else 0)):
            k = stage - 2
            if k == K and test != FIRTH:
                continue
            if stage == 1 and test == SCORE:
                continue
            if stage < 2:
                _begin_stage(stage, trait, climb, test == FIRTH, beta)
            elif k < K:
                _hold_contrast(X, columns, rotations[k], best, L_best, beta)
            else:
                _begin_stage(0, trait, climb, True, beta)
            n_free = P if stage == 1 else (C + D - 1 if stage > 1 and k < K else C)
            tolerance = NULL_TOLERANCE if stage == 0 and D > 1 and test != LRT else STEP_TOLERANCE
            climb.stand[BEST], climb.stand[HALVINGS] = -np.inf, 0.0
            climb.step[:] = 0.0
            options = FitOptions(test == FIRTH and stage > 0, False, n_free)
            status, iterations = maximise(X, trait.offset, sets, options, tolerance, beta, sums, climb)
            fits.status[r] = status
            if status == FINE and stage > 0 and iterations > SURELY_FINITE and test != FIRTH:
                fits.status[r] = NOT_CONVERGED
            if stage < 2 and status == FINE and not _independent(climb):
                fits.status[r] = COLLINEAR
            if fits.status[r] != FINE:
                break
            if stage == 0:
                at_null = climb.stand[BEST]
                if test == SCORE:
                    _step(climb, climb.step)
                    put(fits.theta[r], 0, climb.step[C:])
                    _covariance(climb.L, fits.covariance[r])
            elif stage == 1:
                full = climb.stand[BEST]
                put(best, 0, beta)
                put(fits.theta[r], 0, beta[C:])
                for j in range(P):
                    put(L_best[j], 0, climb.L[j])
                _covariance(climb.L, fits.covariance[r])
                fits.objective[r], fits.dispersion[r] = full, 1.0
                fits.iterations[r] = iterations + (0 if test == FIRTH else 1)
                gains[r, K] = max(0.0, 2.0 * (full - at_null))
            else:
                gains[r, k] = max(0.0, 2.0 * (full - climb.stand[BEST]))
        fits.freedom[r, :] = np.inf
