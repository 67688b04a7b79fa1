"""Quantitative traits: residuals on the covariates, and a linear ridge regression of them on the predictors of all blocks."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from genassoc.analyses.whole_genome.choices import H2_GRID, WholeGenomeRegression
from genassoc.analyses.whole_genome.folds import Folds
from genassoc.analyses.whole_genome.frame import TraitFit, TraitNull
from genassoc.analyses.whole_genome.level1 import by_chromosome, gram_of, solve_ridge
from genassoc.data.phenotypes.offsets import Unit
from genassoc.errors import PhenotypeError
from genassoc.shapes import BoolArray, Float32Array, Float64Array
from genassoc.stats.linalg import orthonormal_basis
from genassoc.stats.ranks import normal_scores

if TYPE_CHECKING:
    from genassoc.data.cohort.cohort import Cohort


def residuals(y: Float64Array, X: Float64Array, trait: str) -> tuple[Float64Array, float]:
    """Residuals of y (n,) on X (n, C) over their standard deviation (n - C degrees of freedom), and that deviation.

    Raises
    ------
    PhenotypeError
        Nothing is left of it.
    """
    Q = orthonormal_basis(X).Q
    unit = np.abs(y).max(initial=0.0) or 1.0  # squares neither overflow nor vanish
    centred = y / unit - (y / unit).mean()
    left = centred - Q @ (Q.T @ centred)
    left -= Q @ (Q.T @ left)
    squares = float(left @ left)
    if y.size <= Q.shape[1] or squares <= 1e-20 * float(centred @ centred):
        raise PhenotypeError(
            f"the covariates explain the trait '{trait}' in full: nothing is left for genotypes to predict"
        )
    scale = float(np.sqrt(squares / (y.size - Q.shape[1])))
    return left / scale, scale * unit


class Quantitative:
    """A trait that is a number."""

    name: ClassVar[str] = "quantitative"
    unit: ClassVar[Unit] = "residual_sd"
    penalty_factor: ClassVar[float] = 1.0

    def null(self, cohort: "Cohort", choices: WholeGenomeRegression, trait: str) -> TraitNull:
        """See `genassoc.analyses.whole_genome.frame.Outcome.null`."""
        design = cohort.design((trait,), choices.covariates)
        y = design.y[:, 0]
        observed: BoolArray = ~np.isnan(y) & design.complete
        values = normal_scores(y[observed]) if choices.rank_normalise else y[observed]
        working = np.zeros(y.size)
        working[observed], scale = residuals(values, design.X[observed], trait)
        response = np.column_stack([working, y])
        return TraitNull(
            name=trait, observed=observed, response=response, eta=np.zeros(y.size), working=working, scale=scale, strata=None,
            n_covariates=design.X.shape[1],
        )  # fmt: skip

    def level1(
        self, null: TraitNull, X: Float32Array, folds: Folds, penalties: Float64Array, chromosomes: Sequence[slice]
    ) -> TraitFit:
        """See `genassoc.analyses.whole_genome.frame.Outcome.level1`."""
        y = null.response[:, 0]
        if folds.leave_one_out:
            return _leave_one_out(null.name, y, X, penalties, chromosomes)
        grams = [gram_of(X[a:b]) for a, b in folds.segments]
        products = [X[a:b].T.astype(np.float64) @ y[a:b] for a, b in folds.segments]
        gram, product = sum(grams), sum(products)
        predicted = np.empty((penalties.size, y.size))
        coefficients = []
        for k, (a, b) in enumerate(folds.segments):
            beta = solve_ridge(gram - grams[k], product - products[k], penalties)
            predicted[:, a:b] = (X[a:b] @ beta.astype(np.float32)).T
            coefficients.append(beta)
        table = tuple(_judged(y, one, h2) for one, h2 in zip(predicted, H2_GRID))
        best = int(np.argmin([row["mse"] for row in table]))
        return TraitFit(
            null.name,
            by_chromosome(X, folds, [beta[:, best] for beta in coefficients], chromosomes),
            table[best],
            table,
        )


def _judged(y: Float64Array, predicted: Float64Array, h2: float) -> dict[str, float]:
    """What a penalty gives: the squared correlation of prediction and trait, and the mean squared error."""
    spread = float(predicted.std())
    r2 = float(np.corrcoef(y, predicted)[0, 1] ** 2) if spread > 0 else 0.0
    return {"h2": h2, "r2": r2, "mse": float(np.mean((y - predicted) ** 2))}


def _leave_one_out(
    name: str, y: Float64Array, X: Float32Array, penalties: Float64Array, chromosomes: Sequence[slice]
) -> TraitFit:
    """Each sample from all others, by the leverages: ``(fit - leverage y) / (1 - leverage)``."""
    gram, product = gram_of(X), X.T.astype(np.float64) @ y
    values, vectors = np.linalg.eigh(gram)
    values = np.maximum(values, 0.0)
    Z = X.astype(np.float64) @ vectors
    weights = vectors.T @ product
    table = []
    for penalty, h2 in zip(penalties, H2_GRID):
        shrunk = 1.0 / (values + penalty)
        leverage = (Z**2) @ shrunk
        table.append(_judged(y, (Z @ (weights * shrunk) - leverage * y) / (1.0 - leverage), h2))
    best = int(np.argmin([row["mse"] for row in table]))
    shrunk = 1.0 / (values + penalties[best])
    inverse_x = (Z * shrunk) @ vectors.T  # (n, P): (X'X + penalty)^-1 x_i
    beta = vectors @ (weights * shrunk)
    leverage = (Z**2) @ shrunk
    without = beta - inverse_x * ((y - X @ beta) / (1.0 - leverage))[:, None]
    contributions = np.stack([(X[:, c] * without[:, c]).sum(axis=1) for c in chromosomes])
    return TraitFit(name, contributions, table[best], tuple(table))
