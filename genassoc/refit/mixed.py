"""A row of a linear mixed model, by plain dense algebra: covariates and genotype beside each other in the eigenbasis of the relationships.

Written apart from the rows it checks: no contrasts, no kernels, no derivatives. Every value of the likelihood is a generalised least squares
of the trait on all columns; the maximum is looked for among values.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from genassoc.refit.fits import DenseFit, Likelihood, NotFittedError, beside, independent
from genassoc.refit.tails import neg_log_10_p
from genassoc.shapes import Float64Array

MOST = 4_000  # samples: a decomposition of more takes longer than an audit should
_POINTS = np.linspace(np.log(1e-5), np.log(1e5), 41)


class Mixed(Likelihood):
    """What the audit has to know of mixed models; their fits are `mixed_test`'s."""

    methods: ClassVar[tuple[str, ...]] = ("wald", "lrt")
    closed_form: ClassVar[bool] = True


@dataclass(frozen=True, eq=False)
class Relations:
    """Relationships of the n samples of a trait.

    Attributes
    ----------
    values : float64 array (n,)
        Eigenvalues of the matrix, centred and scaled to a mean diagonal of 1; none below 0.
    vectors : float64 array (n, n)
        Eigenvectors, as columns.
    """

    values: Float64Array
    vectors: Float64Array

    @classmethod
    def of(cls, K: Float64Array) -> "Relations":
        """Those of a matrix (n, n)."""
        n = len(K)
        centre = np.eye(n) - 1.0 / n
        centred = centre @ K @ centre
        values, vectors = np.linalg.eigh(centred * (n / np.trace(centred)))
        return cls(np.maximum(values, 0.0), vectors)


def check_size(n: int) -> None:
    """Refuse to decompose the relationships of more samples than an audit has time for.

    Raises
    ------
    NotFittedError
    """
    if n > MOST:
        raise NotFittedError(
            f"the relationships of {n:,} samples would be decomposed once more, which is done up to {MOST:,}"
        )


def mixed_test(relations: Relations, y: Float64Array, X: Float64Array, g: Float64Array, method: str) -> DenseFit:
    """The test of g (n,) beside X (n, C), which has the intercept, in a trait y (n,)."""
    Q = independent(X)
    D = relations.vectors.T @ np.column_stack([Q, beside(Q, g[:, None])])
    left = y - Q @ (Q.T @ y)
    unit = float(np.sqrt((left**2).mean()))
    turned, n = relations.vectors.T @ (left / unit), y.size

    def weighted(u: float, columns: Float64Array) -> tuple[Float64Array, Float64Array, float]:
        w = 1.0 / (np.exp(u) * relations.values + 1.0)
        A = columns.T @ (w[:, None] * columns)
        b = np.linalg.solve(A, columns.T @ (w * turned))
        r = turned - columns @ b
        return A, b, float(r @ (w * r))

    def reml(u: float) -> float:
        A, _, squares = weighted(u, D)
        logs = np.log1p(np.exp(u) * relations.values).sum() + np.linalg.slogdet(A)[1]
        return float(logs + (n - D.shape[1]) * np.log(squares))

    def likelihood(u: float, columns: Float64Array) -> float:
        return float(np.log1p(np.exp(u) * relations.values).sum() + n * np.log(weighted(u, columns)[2]))

    A, b, squares = weighted(_least(reml), D)
    df = n - D.shape[1]
    beta = float(b[-1]) * unit
    error = float(np.sqrt(squares / df * np.linalg.inv(A)[-1, -1])) * unit
    if method == "wald":
        return DenseFit(beta, error, neg_log_10_p((beta / error) ** 2, 1, float(df)), error, float(df))
    null = D[:, :-1]
    at, at_null = _least(lambda u: likelihood(u, D)), _least(lambda u: likelihood(u, null))
    twice = max(likelihood(at_null, null) - likelihood(at, D), 0.0)
    return DenseFit(beta, abs(beta) / np.sqrt(twice) if twice > 0 else error, neg_log_10_p(twice, 1), error)


def _least(function: Callable[[float], float]) -> float:
    """Where a function of ln ratio is least: the lowest of its valleys between points."""
    from scipy.optimize import minimize_scalar

    values = np.array([function(u) for u in _POINTS])
    best, at = float(values.min()), float(_POINTS[values.argmin()])
    for k in range(1, _POINTS.size - 1):
        if values[k] <= values[k - 1] and values[k] <= values[k + 1]:
            found = minimize_scalar(
                function, bounds=(_POINTS[k - 1], _POINTS[k + 1]), method="bounded", options={"xatol": 1e-9}
            )
            if found.fun < best:
                best, at = float(found.fun), float(found.x)
    return at
