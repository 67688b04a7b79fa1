"""A row of a linear mixed model, by plain dense algebra: covariates and genotype beside each other in the eigenbasis of the relationships.

Written apart from the rows it checks: no contrasts, no kernels, no derivatives. Every value of the likelihood is a generalised least squares
of the trait on all columns; the maximum is looked for among values.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from genassoc.refit.fits import DenseFit, Influences, Likelihood, NotFittedError, Outcome, beside, independent
from genassoc.refit.tails import neg_log_10_p
from genassoc.shapes import Float64Array

MOST = 4_000  # samples: a decomposition of more takes longer than an audit should
_ELSEWHERE = "a mixed model is fitted with the relationships of its samples"
_POINTS = np.linspace(np.log(1e-5), np.log(1e5), 41)


class Mixed(Likelihood):
    """What the audit has to know of mixed models; their fits are `mixed_test`'s."""

    methods: ClassVar[tuple[str, ...]] = ("wald", "lrt", "lrt_f")
    closed_form: ClassVar[bool] = True

    @classmethod
    def of(cls, D: Float64Array, outcome: Outcome, choices: Mapping[str, object]) -> Self:
        """There is none without relationships."""
        raise NotFittedError(_ELSEWHERE)

    def evaluate(self, beta: Float64Array) -> tuple[float, Float64Array, Float64Array]:
        """There is none without relationships."""
        raise NotFittedError(_ELSEWHERE)

    def influences(self, beta: Float64Array, inverse: Float64Array, k: int, power: int) -> Influences:
        """There are none."""
        raise NotFittedError(_ELSEWHERE)


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
    fit = _Fit(relations, y, np.column_stack([Q, beside(Q, g[:, None])]))
    A, b, squares = fit.weighted(_least(fit.reml))
    df = fit.n - b.size
    beta = float(b[-1]) * fit.unit
    error = float(np.sqrt(squares / df * np.linalg.inv(A)[-1, -1])) * fit.unit
    if method == "wald":
        return DenseFit(beta, error, neg_log_10_p((beta / error) ** 2, 1, float(df)), error, float(df))
    null = _Fit(relations, y, Q)
    twice = max(null.likelihood(_least(null.likelihood)) - fit.likelihood(_least(fit.likelihood)), 0.0)
    if method == "lrt_f":
        twice = df * np.expm1(twice / fit.n)
        p = neg_log_10_p(twice, 1, float(df))
        of_t = float(df)
    else:
        p, of_t = neg_log_10_p(twice, 1), np.inf
    return DenseFit(beta, abs(beta) / np.sqrt(twice) if twice > 0 else error, p, error, of_t)


def whitening(relations: Relations, y: Float64Array, D: Float64Array) -> Float64Array:
    """The matrix (n, n) that makes errors independent and alike, at the maximum of REML of y (n,) on the columns D (n, P)."""
    u = _least(_Fit(relations, y, independent(D)).reml)
    return np.asarray(relations.vectors.T / np.sqrt(np.exp(u) * relations.values + 1.0)[:, None])


class _Fit:
    """A trait y (n,) on columns (n, P), in the eigenbasis of the relationships, by ln of the ratio of variances."""

    def __init__(self, relations: Relations, y: Float64Array, columns: Float64Array) -> None:
        centred = y - y.mean()
        self.unit = float(np.sqrt((centred**2).mean())) or 1.0
        self.values, self.n = relations.values, y.size
        self.D, self.turned = relations.vectors.T @ columns, relations.vectors.T @ (centred / self.unit)

    def weighted(self, u: float) -> tuple[Float64Array, Float64Array, float]:
        """Information, coefficients and weighted squares of residuals."""
        w = 1.0 / (np.exp(u) * self.values + 1.0)
        A = self.D.T @ (w[:, None] * self.D)
        b = np.linalg.solve(A, self.D.T @ (w * self.turned))
        r = self.turned - self.D @ b
        return A, b, float(r @ (w * r))

    def reml(self, u: float) -> float:
        """Minus twice the log likelihood of the error contrasts, but for a constant."""
        A, b, squares = self.weighted(u)
        logs = np.log1p(np.exp(u) * self.values).sum() + np.linalg.slogdet(A)[1]
        return float(logs + (self.n - b.size) * np.log(squares))

    def likelihood(self, u: float) -> float:
        """Minus twice the log likelihood, but for a constant."""
        return float(np.log1p(np.exp(u) * self.values).sum() + self.n * np.log(self.weighted(u)[2]))


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
