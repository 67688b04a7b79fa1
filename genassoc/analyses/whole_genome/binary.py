"""Binary traits: blocks are fitted to residuals of 0 and 1, and level 1 is a logistic ridge regression with the covariates' fit as offset.

As REGENIE's step 1: the penalty of level 1 is ``3 / pi^2`` times that of a quantitative trait, h2 being of the liability; it is chosen by
the log likelihood of samples that were left out.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from genassoc.analyses.whole_genome.choices import H2_GRID, WholeGenomeRegression
from genassoc.analyses.whole_genome.folds import Folds
from genassoc.analyses.whole_genome.frame import TraitFit, TraitNull
from genassoc.analyses.whole_genome.level1 import by_chromosome, gram_of
from genassoc.analyses.whole_genome.quantitative import residuals
from genassoc.data.phenotypes.offsets import Unit
from genassoc.errors import PhenotypeError
from genassoc.shapes import Float32Array, Float64Array, Int64Array
from genassoc.stats.linalg import orthonormal_basis

if TYPE_CHECKING:
    from genassoc.data.cohort.cohort import Cohort

_EDGE = 1e-5  # probabilities nearer to 0 or 1 count as that near, as REGENIE's
_NEWTON_STEPS = 100
_TOLERANCE = 1e-6  # of the gradient, over the number of samples' root: far below what a prediction of six digits shows
_SLOW = 0.3  # steps that leave more of the gradient than this get a new Hessian matrix
_PROBABILITY_NOTE = "cases and controls are separated by the covariates: their null model has no finite estimate"


def probability(eta: Float64Array) -> Float64Array:
    """Of being a case, from the linear predictor."""
    from scipy.special import expit

    return np.asarray(expit(eta))


def null_predictor(y: Float64Array, X: Float64Array, trait: str) -> Float64Array:
    """Linear predictor (n,) of logistic regression of y (n,), 0 and 1, on X (n, C) alone.

    Raises
    ------
    PhenotypeError
        There is no finite estimate.
    """
    Q = orthonormal_basis(X).Q * np.sqrt(y.size)
    beta = np.zeros(Q.shape[1])
    beta[0] = np.log(y.mean() / (1.0 - y.mean()))
    for _ in range(_NEWTON_STEPS):
        p = probability(Q @ beta)
        w = p * (1.0 - p)
        try:
            step = np.linalg.solve((Q.T * w) @ Q, Q.T @ (y - p))
        except np.linalg.LinAlgError:
            break
        beta += step * min(1.0, 5.0 / max(float(np.abs(step).max()), 1e-300))
        if np.abs(step).max() < 1e-10:
            return np.asarray(Q @ beta)
        if np.abs(beta).max() > 100.0:
            break
    raise PhenotypeError(f"'{trait}': {_PROBABILITY_NOTE}. Leave a covariate out, or merge its rare levels")


class Binary:
    """A trait of cases and controls."""

    name: ClassVar[str] = "binary"
    unit: ClassVar[Unit] = "trait"
    penalty_factor: ClassVar[float] = 3.0 / np.pi**2

    def null(self, cohort: "Cohort", choices: WholeGenomeRegression, trait: str) -> TraitNull:
        """See `genassoc.analyses.whole_genome.frame.Outcome.null`."""
        design = cohort.design((trait,), choices.covariates, kind="binary")
        y = design.y[:, 0]
        observed = ~np.isnan(y) & design.complete
        working, eta = np.zeros(y.size), np.zeros(y.size)
        working[observed], scale = residuals(y[observed], design.X[observed], trait)
        eta[observed] = null_predictor(y[observed], design.X[observed], trait)
        strata: Int64Array = np.where(observed, np.nan_to_num(y), -1).astype(np.int64)
        notes = tuple(f"{trait}: {coding}" for coding in design.coding if coding)
        return TraitNull(
            name=trait, observed=observed, response=y[:, None], eta=eta, working=working, scale=scale, strata=strata,
            n_covariates=design.X.shape[1], notes=notes,
        )  # fmt: skip

    def level1(
        self, null: TraitNull, X: Float32Array, folds: Folds, penalties: Float64Array, chromosomes: Sequence[slice]
    ) -> TraitFit:
        """See `genassoc.analyses.whole_genome.frame.Outcome.level1`."""
        y, offset = null.response[:, 0], null.eta
        if folds.leave_one_out:
            return _leave_one_out(null.name, y, offset, X, penalties, chromosomes)
        fitted = np.empty((penalties.size, y.size))
        coefficients = np.empty((penalties.size, folds.n_folds, X.shape[1]))
        for k, (a, b) in enumerate(folds.segments):
            included = np.ones(y.size)
            included[a:b] = 0.0
            ridge = LogisticRidge(X, y, offset, included)
            beta = np.zeros(X.shape[1])
            for j, penalty in enumerate(penalties):
                beta = ridge.fit(penalty, beta, null.name)
                coefficients[j, k] = beta
                fitted[j, a:b] = offset[a:b] + X[a:b] @ beta.astype(np.float32)
        table = tuple(judged(y, eta, h2) for eta, h2 in zip(fitted, H2_GRID))
        best = int(np.argmin([row["neg_log_likelihood"] for row in table]))
        return TraitFit(null.name, by_chromosome(X, folds, list(coefficients[best]), chromosomes), table[best], table)


def judged(y: Float64Array, eta: Float64Array, h2: float) -> dict[str, float]:
    """What a penalty gives: of probabilities the squared correlation with the trait, the squared error and the log likelihood, a sample."""
    p = np.clip(probability(eta), _EDGE, 1.0 - _EDGE)
    loss = -np.mean(y * np.log(p) + (1.0 - y) * np.log1p(-p))
    r2 = np.corrcoef(y, p)[0, 1] ** 2 if p.std() > 0 else 0.0
    return {"h2": h2, "r2": float(r2), "mse": float(np.mean((y - p) ** 2)), "neg_log_likelihood": float(loss)}


class LogisticRidge:
    """Ridge logistic regression of y (n,) on X (n, P) with an offset (n,), of the samples whose ``included`` (n,) is 1.

    Newton's steps with a Hessian matrix that is kept while they are quick: most of the work is making one. Steps that do not lower the
    penalised deviance are halved.
    """

    def __init__(self, X: Float32Array, y: Float64Array, offset: Float64Array, included: Float64Array) -> None:
        self.X, self.y, self.offset, self.included = X, y, offset, included
        self.gram = self._gram(offset)

    def _gram(self, eta: Float64Array) -> Float64Array:
        p = probability(eta)
        w = np.maximum(p * (1.0 - p), _EDGE) * self.included
        return gram_of(self.X * np.sqrt(w).astype(np.float32)[:, None])

    def predictor(self, beta: Float64Array) -> Float64Array:
        """The linear predictor (n,)."""
        return self.offset + (self.X @ beta.astype(np.float32)).astype(np.float64)

    def _deviance(self, eta: Float64Array, beta: Float64Array, penalty: float) -> float:
        loss = np.logaddexp(0.0, eta) - self.y * eta
        return float(self.included @ loss + 0.5 * penalty * beta @ beta)

    def fit(self, penalty: float, start: Float64Array, trait: str) -> Float64Array:
        """Coefficients (P,) of a penalty, from a start.

        Raises
        ------
        PhenotypeError
            Newton's method does not arrive.
        """
        from scipy.linalg import cho_factor, cho_solve

        beta, eta = start.copy(), self.predictor(start)
        deviance = self._deviance(eta, beta, penalty)
        ridge = np.diag(np.full(beta.size, penalty))
        factor = cho_factor(self.gram + ridge, lower=True, check_finite=False)
        aim = _TOLERANCE * np.sqrt(self.included.sum())
        before = np.inf
        for _ in range(_NEWTON_STEPS):
            left = (self.included * (self.y - probability(eta))).astype(np.float32)
            gradient = (self.X.T @ left).astype(np.float64) - penalty * beta
            size = float(np.abs(gradient).max(initial=0.0))
            if size < max(aim, 1e-4):
                return beta
            if size > _SLOW * before:
                self.gram = self._gram(eta)
                factor = cho_factor(self.gram + ridge, lower=True, check_finite=False)
            before = size
            step = cho_solve(factor, gradient)
            for _ in range(30):
                tried = beta + step
                eta_tried = self.predictor(tried)
                found = self._deviance(eta_tried, tried, penalty)
                if found <= deviance + 1e-7 * abs(deviance):
                    break
                step *= 0.5
            beta, eta, deviance = tried, eta_tried, found
        raise PhenotypeError(f"'{trait}': the logistic ridge regression of level 1 does not converge")


def _leave_one_out(
    name: str,
    y: Float64Array,
    offset: Float64Array,
    X: Float32Array,
    penalties: Float64Array,
    chromosomes: Sequence[slice],
) -> TraitFit:
    """Each sample from all others, to one step of Newton's method from the fit of all: REGENIE's approximation."""
    ridge = LogisticRidge(X, y, offset, np.ones(y.size))
    beta = np.zeros(X.shape[1])
    table, without_each = [], []
    for penalty, h2 in zip(penalties, H2_GRID):
        beta = ridge.fit(penalty, beta, name)
        without = _without_each(ridge, beta, penalty)
        without_each.append(without)
        eta = offset + np.einsum("ip,ip->i", X, without)
        table.append(judged(y, eta, h2))
    best = int(np.argmin([row["neg_log_likelihood"] for row in table]))
    without = without_each[best]
    contributions = np.stack([np.einsum("ip,ip->i", X[:, c], without[:, c]) for c in chromosomes])
    return TraitFit(name, contributions, table[best], tuple(table))


def _without_each(ridge: LogisticRidge, beta: Float64Array, penalty: float) -> Float64Array:
    """Coefficients (n, P) without each sample: ``beta - H^-1 x (y - p) / (1 - w x' H^-1 x)``."""
    from scipy.linalg import cho_factor, cho_solve

    p = probability(ridge.predictor(beta))
    w = np.maximum(p * (1.0 - p), _EDGE)
    X = ridge.X.astype(np.float64)
    H = (X.T * w) @ X + penalty * np.eye(beta.size)
    inverse_x = cho_solve(cho_factor(H, lower=True), X.T).T
    leverage = w * np.einsum("ip,ip->i", X, inverse_x)
    return np.asarray(beta - inverse_x * ((ridge.y - p) / (1.0 - leverage))[:, None])
