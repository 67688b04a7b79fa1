"""One logistic regression on g and g e at a time, on its own complete cases: plain, under Firth's penalty, as PLINK 2."""

from dataclasses import dataclass

import numpy as np

from genassoc.kernels.likelihoods import interaction_logistic as pairs
from genassoc.kernels.likelihoods import logistic as kernel
from genassoc.kernels.likelihoods.cholesky import information
from genassoc.kernels.likelihoods.newton import FitOptions
from genassoc.kernels.likelihoods.rows import FINE, Trait
from genassoc.models.logistic.null import NullLogistic, ran_away
from genassoc.models.scan.interaction import Terms
from genassoc.models.scan.pair_rows import OneFit, PairFit
from genassoc.shapes import Float64Array
from genassoc.stats.linalg import orthonormal_basis

_COLLINEAR = 1e-14  # of a squared length, as R's lm: 1e-7 of the length


@dataclass(frozen=True)
class Cases:
    """One variant's complete cases.

    Attributes
    ----------
    X : float64 array (n, C)
        Covariates, orthonormal among them.
    H : float64 array (n, D)
        g, or g and g e.
    y, offset : float64 arrays (n,)
    all_covariates : bool
        Whether none of them is a combination of the others here.
    """

    X: Float64Array
    H: Float64Array
    y: Float64Array
    offset: Float64Array
    all_covariates: bool

    @classmethod
    def of(cls, null: NullLogistic, terms: Terms, calls: Float64Array) -> "Cases":
        """Those of calls (n,), NaN where not observed."""
        at = ~np.isnan(calls)
        basis = orthonormal_basis(null.X[at])
        g = calls[at]
        H = np.column_stack([g, g * terms.e[at]]) if terms.with_e else g[:, None]
        return cls(np.ascontiguousarray(basis.Q), H, null.y[at], null.offset[at], bool(basis.kept.all()))

    def separated(self) -> bool:
        """Whether cases, or controls, are without one of the alleles, as PLINK 2 asks; the same whichever is ALT."""
        absent = (copies.sum() in (0.0, 2.0 * copies.size) for copies in (self.H[self.y == k, 0] for k in (0, 1)))
        return any(absent)

    def collinear(self) -> bool:
        """Whether a column of H is a combination of covariates and the other."""
        left = self.H - self.H.mean(axis=0)
        lengths = (left**2).sum(axis=0)
        for _ in range(2):
            left = left - self.X @ (self.X.T @ left)
        return bool((np.diag(np.linalg.qr(left)[1]) ** 2 <= _COLLINEAR * lengths).any())


@dataclass(frozen=True)
class Fitting:
    """What is fitted: "wald" and "lrt" without a penalty, "firth" with; HC3's covariance; PLINK 2's stopping rule and errors."""

    test: str
    robust: bool
    as_plink: bool


def fit_one(case: Cases, fitting: Fitting) -> tuple[str | None, OneFit | None]:
    """The code of a row, and its fit where there is one."""
    C, D = case.X.shape[1], case.H.shape[1]
    if case.y.size <= C + D:
        return "n_too_small", None
    if case.y.min() == case.y.max():
        return "one_outcome", None
    if case.collinear():
        return "collinear", None
    penalised = fitting.test == "firth"
    if fitting.as_plink and not penalised and case.separated():
        return "separation", None
    found = maximum(case, case.H, penalised, C + D, fitting.as_plink)
    if found is None:
        return "not_converged", None
    objective, beta, L, w, iterations = found
    covariance = np.asarray(np.linalg.inv(L @ L.T)[C:, C:], dtype=np.float64)
    if fitting.robust:
        robust = hc3(case, beta, L, w)
        if robust is None:
            return "leverage_of_one", None
        covariance = robust
    fit = OneFit(PairFit(beta[C:], covariance, iterations), objective)
    if fitting.as_plink and not penalised and ran_away(beta[C:], beta[C:] / np.sqrt(np.diag(covariance))).any():
        return "separation", None
    return None if case.all_covariates else "covariate_collinear", fit


def maximum(
    case: Cases, H: Float64Array, penalised: bool, n_free: int, as_plink: bool = False
) -> tuple[float, Float64Array, Float64Array, Float64Array, int] | None:
    """Objective, coefficients, factor of the information, weights and iterations; None where there is no maximum.

    Coefficients from ``n_free`` on stay 0.
    """
    D = np.ascontiguousarray(np.hstack([case.X, H]))
    n, P = D.shape
    share = float(case.y.mean())
    beta, L = np.zeros(P), np.zeros((P, P))
    beta[0] = np.log(share / (1 - share)) * np.sqrt(n)  # the constant's column is 1 / sqrt(n)
    y, offset = np.ascontiguousarray(case.y), np.ascontiguousarray(case.offset)
    fitted, trait = kernel.fitted_of(n), Trait(y, offset, np.ones(n))
    w = fitted.w
    if as_plink and not penalised:
        status, iterations = kernel.fit_as_r(D, trait, beta, fitted, L)
        return None if status != FINE else (np.nan, beta, np.tril(L), w, int(iterations))
    options = FitOptions(penalised, False, n_free)
    status, objective, iterations = kernel.fit(D, trait, options, beta, fitted, L)
    if status != FINE:
        return None
    if as_plink:
        # PLINK 2's standard errors under Firth's penalty are of X' diag((1 + h) w) X.
        J = np.empty((P, P))
        information(D, (1.0 + fitted.leverage) * fitted.w, J)
        L[:] = np.linalg.cholesky(J)
    return float(objective), beta, np.tril(L), w, int(iterations)


def hc3(case: Cases, beta: Float64Array, L: Float64Array, w: Float64Array) -> Float64Array | None:
    """HC3 covariance (D, D) of the coefficients of H; None where a sample has a leverage of 1."""
    D = np.hstack([case.X, case.H])
    eta = D @ beta + case.offset
    V = np.linalg.solve(L, D.T).T
    slack = 1.0 - w * (V**2).sum(axis=1)
    if slack.min() <= pairs.LEAST_SLACK:
        return None
    residual = (case.y - 1.0 / (1.0 + np.exp(-eta))) / slack
    influence = np.linalg.solve(L.T, V.T).T[:, case.X.shape[1] :] * residual[:, None]
    return np.asarray(influence.T @ influence)
