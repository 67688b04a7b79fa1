"""Ridge regressions of outcomes that are no normals, at level 1: one Hessian a fold, Newton's steps with it, the likelihood itself to judge them.

The Hessian is that of the null, ``X' C X`` with the variances C of the scores, factored once for each penalty, and made anew where steps become short too
slowly; scores are exact in every step, so that only the number of steps depends on it, not where they end. Steps are halved until the penalised
likelihood does not fall. A penalty so small that coefficients are not found is one that is not chosen.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np

from genassoc.analyses.whole_genome.choices import H2_GRID
from genassoc.analyses.whole_genome.folds import Folds
from genassoc.analyses.whole_genome.frame import TraitFit
from genassoc.errors import PhenotypeError
from genassoc.shapes import BoolArray, Float32Array, Float64Array

MOST_STEPS, MOST_HALVINGS = 200, 12
# Of a linear predictor's change, in its own units: a ten-thousandth of a log hazard.
TOLERANCE = 1e-4
SLOW = 0.5  # of the step before: a step that is longer gets a new Hessian


class State(NamedTuple):
    """A log likelihood at a linear predictor (n,): its value, its derivative by each sample's, and the variance of that."""

    value: float
    score: Float64Array
    variance: Float64Array


class Likelihood(Protocol):
    """The log likelihood of a trait in some samples, of which ``eta`` is what is added to the null's linear predictor."""

    def at(self, eta: Float64Array) -> State:
        """Value and derivatives."""

    def of(self, samples: BoolArray) -> "Likelihood":
        """That of some of the samples, bool (n,)."""


def maximise(
    likelihood: Likelihood, X: Float32Array, penalty: float, solve: Callable[[Float64Array], Float64Array]
) -> tuple[Float64Array, State]:
    """Coefficients (P,) that maximise ``log likelihood - penalty b'b / 2``, and the state there.

    Raises
    ------
    PhenotypeError
        They are not found.
    """
    beta = np.zeros(X.shape[1])
    eta = np.zeros(X.shape[0])
    state = likelihood.at(eta)
    best, before = state.value, np.inf
    for _ in range(MOST_STEPS):
        gradient = X.T.astype(np.float64) @ state.score if X.size < 2**22 else _product(X, state.score)
        step = solve(gradient - penalty * beta)
        moved = (X @ step.astype(np.float32)).astype(np.float64)
        length = float(np.abs(moved).max(initial=0.0))
        if length < TOLERANCE:
            return beta, state
        part = 1.0
        for _ in range(MOST_HALVINGS):
            tried, there = beta + part * step, likelihood.at(eta + part * moved)
            value = there.value - 0.5 * penalty * float(tried @ tried)
            if value >= best - 1e-9 * (1.0 + abs(best)):
                break
            part *= 0.5
        else:
            return beta, state  # rounding leaves nothing to gain
        beta, eta, state, best = tried, eta + part * moved, there, value
        if length > SLOW * before or part < 1.0:
            solve = _solver(_hessian(X, state.variance), penalty)
        before = length
    raise PhenotypeError(f"the regression on the predictions of blocks takes more than {MOST_STEPS} steps")


def _product(X: Float32Array, values: Float64Array) -> Float64Array:
    """``X' values`` of X (n, P), added up in float64."""
    total = np.zeros(X.shape[1])
    for at in range(0, X.shape[0], 8192):
        total += X[at : at + 8192].T @ values[at : at + 8192].astype(np.float32)
    return total


def _hessian(X: Float32Array, variance: Float64Array) -> Float64Array:
    """``X' C X``."""
    total = np.zeros((X.shape[1], X.shape[1]))
    for at in range(0, X.shape[0], 8192):
        part = X[at : at + 8192] * np.sqrt(variance[at : at + 8192, None]).astype(np.float32)
        total += part.T @ part
    return total


def _solver(hessian: Float64Array, penalty: float) -> Callable[[Float64Array], Float64Array]:
    from scipy.linalg import cho_factor, cho_solve

    penalised = hessian.copy()
    penalised[np.diag_indices_from(penalised)] += penalty
    factor = cho_factor(penalised, lower=True, overwrite_a=True, check_finite=False)
    return lambda b: np.asarray(cho_solve(factor, b, check_finite=False))


def cross_validated(
    name: str,
    likelihood: Likelihood,
    X: Float32Array,
    folds: Folds,
    penalties: Float64Array,
    chromosomes: Sequence[slice],
) -> TraitFit:
    """Level 1 of a trait: coefficients of each fold's other samples, at the penalty that these predict best.

    What a penalty gives is the log likelihood of all samples, less that of the others, at the coefficients of the others, summed over folds
    (Verweij and van Houwelingen 1993, doi:10.1002/sim.4780122407): of a likelihood that is a sum over samples, that of the fold.
    """
    if folds.leave_one_out:
        return _leave_one_out(name, likelihood, X, penalties, chromosomes)
    n, L = X.shape[0], penalties.size
    gained = np.zeros(L)
    start = likelihood.at(np.zeros(n)).value
    found: list[list[Float64Array]] = []
    for a, b in folds.segments:
        others = np.ones(n, bool)
        others[a:b] = False
        theirs, own = likelihood.of(others), X[others]
        at_zero = theirs.at(np.zeros(own.shape[0]))
        hessian = _hessian(own, at_zero.variance)
        of_fold = []
        for j, penalty in enumerate(penalties):
            try:
                beta, state = maximise(theirs, own, float(penalty), _solver(hessian, float(penalty)))
            except PhenotypeError:
                gained[j] = -np.inf
                of_fold.append(np.zeros(X.shape[1]))
                continue
            gained[j] += likelihood.at((X @ beta.astype(np.float32)).astype(np.float64)).value - state.value
            gained[j] -= start - at_zero.value
            of_fold.append(beta)
        found.append(of_fold)
    best = _best(name, gained)
    contributions = np.empty((len(chromosomes), n))
    for (a, b), of_fold in zip(folds.segments, found):
        for h, columns in enumerate(chromosomes):
            contributions[h, a:b] = X[a:b, columns] @ of_fold[best][columns].astype(np.float32)
    table = _table(gained)
    return TraitFit(name, contributions, table[best], table)


def _leave_one_out(
    name: str, likelihood: Likelihood, X: Float32Array, penalties: Float64Array, chromosomes: Sequence[slice]
) -> TraitFit:
    """Each sample from all others, by one step from the fit of all: ``b - H^-1 x r / (1 - c x'H^-1 x)``.

    Of a partial likelihood, what a sample does to the risk sets of others is left out of account.
    """
    n = X.shape[0]
    start = likelihood.at(np.zeros(n))
    gained, fits = np.zeros(penalties.size), []
    hessian = _hessian(X, start.variance)
    wide = X.astype(np.float64)
    for j, penalty in enumerate(penalties):
        try:
            beta, state = maximise(likelihood, X, float(penalty), _solver(hessian, float(penalty)))
        except PhenotypeError:
            gained[j] = -np.inf
            fits.append((np.zeros(X.shape[1]), np.zeros(wide.shape), np.zeros(n)))
            continue
        inverse = _solver(_hessian(X, state.variance), float(penalty))(wide.T).T  # (n, P)
        leverage = (wide * inverse).sum(axis=1)
        step = state.score / np.maximum(1.0 - state.variance * leverage, 1e-6)
        gained[j] = likelihood.at(wide @ beta - leverage * step).value - start.value
        fits.append((beta, inverse, step))
    best = _best(name, gained)
    beta, inverse, step = fits[best]
    contributions = np.stack(
        [wide[:, c] @ beta[c] - (wide[:, c] * inverse[:, c]).sum(axis=1) * step for c in chromosomes]
    )
    table = _table(gained)
    return TraitFit(name, contributions, table[best], table)


def _best(name: str, gained: Float64Array) -> int:
    """The penalty that gained most.

    Raises
    ------
    PhenotypeError
        None has coefficients.
    """
    if not np.isfinite(gained).any():
        raise PhenotypeError(f"{name}: the regression on the predictions of blocks has no maximum with any penalty")
    return int(np.argmax(np.where(np.isnan(gained), -np.inf, gained)))


def _table(gained: Float64Array) -> tuple[dict[str, float], ...]:
    return tuple({"h2": h2, "log_likelihood_gained": float(one)} for h2, one in zip(H2_GRID, gained))
