"""Cox regression on two columns of genotypes, one variant at a time: Wald, likelihood ratio and Firth's tests."""

from dataclasses import dataclass

import numpy as np

from genassoc.kernels.likelihoods import cox as kernel
from genassoc.kernels.likelihoods.cox_sums import RiskSets, risk_sums
from genassoc.kernels.likelihoods.newton import FitOptions
from genassoc.kernels.likelihoods.rows import FINE
from genassoc.models.base import CODES, METHODS
from genassoc.models.cox.null import NullCox
from genassoc.models.scan.family import Choices
from genassoc.models.scan.interaction import Terms
from genassoc.models.scan.pair_rows import OneFit, PairFit, PairRows, ratio_tests
from genassoc.shapes import Float64Array
from genassoc.stats.linalg import orthonormal_basis

_COLLINEAR = 1e-14  # of a squared length, as R's lm: 1e-7 of the length


@dataclass(frozen=True)
class Survival:
    """One variant's complete cases.

    Attributes
    ----------
    X : float64 array (n, P)
        Covariates, no constant.
    H : float64 array (n, 2)
        Columns of genotypes, centred (which no partial likelihood sees).
    sets : RiskSets
    start : float64 array (P,)
    all_covariates : bool
    """

    X: Float64Array
    H: Float64Array
    sets: RiskSets
    start: Float64Array
    all_covariates: bool

    @classmethod
    def of(cls, null: NullCox, H: Float64Array, impute: bool) -> "Survival":
        """Those of columns H (n, 2) of the endpoint's samples, NaN where not observed; with ``impute`` there is no NaN."""
        observed, sets = ~np.isnan(H[:, 0]), null.sets
        if impute or observed.all():
            X, start, all_covariates = null.Q[:, 1:], null.start, True
        else:
            basis = orthonormal_basis(null.Q[observed])
            X, all_covariates = basis.Q[:, 1:], bool(basis.kept.all())
            start, H = np.zeros(X.shape[1]), H[observed]
            sets = RiskSets(sets.event[observed], sets.first[observed], sets.last[observed], sets.ends, sets.efron)
        return cls(X, H - H.mean(axis=0), sets, start, all_covariates)

    def collinear(self) -> bool:
        """Whether a column of H is a combination of covariates and the other."""
        left = self.H
        for _ in range(2):
            left = left - self.X @ (self.X.T @ left)
        lengths = (self.H**2).sum(axis=0)
        return bool((np.diag(np.linalg.qr(left)[1]) ** 2 <= _COLLINEAR * lengths).any())

    def maximum(
        self, H: Float64Array, penalised: bool, n_free: int
    ) -> tuple[float, Float64Array, Float64Array, int] | None:
        """Objective, coefficients, factor of the information, iterations; None where there is no maximum."""
        D = np.ascontiguousarray(np.hstack([self.X, H]))
        n, P = D.shape
        beta, L = np.zeros(P), np.zeros((P, P))
        beta[: self.start.size] = self.start
        sums = risk_sums(self.sets, P)
        status, objective, iterations = kernel.fit(
            D, np.zeros(n), self.sets, FitOptions(penalised, False, n_free), beta, sums, L
        )  # fmt: skip
        return (float(objective), beta, np.tril(L), int(iterations)) if status == FINE else None


def fill(choices: Choices, case: Survival, terms: Terms, v: int, rows: PairRows) -> None:
    """Fill the tests of one variant: ``choices.test`` is "wald" or "lrt", ``correction`` "firth" or None."""
    if not case.sets.event.any() or case.collinear():
        rows.fail(v, CODES.index("collinear" if case.sets.event.any() else "no_events"))
        return
    fine = _test(case, terms, v, choices.test, rows)
    below = fine and bool((rows.neg_log_10_p_of(v) > -np.log10(choices.correct_below)).any())
    # All tests of a variant are of one fit: any of them below asks for the penalised one.
    if choices.correction is not None and (below or not fine):
        fine = _test(case, terms, v, "firth", rows)
    if not fine:
        rows.fail(v, CODES.index("not_converged"))
    elif not case.all_covariates:
        rows.code[v] = CODES.index("covariate_collinear")


def _test(case: Survival, terms: Terms, v: int, test: str, rows: PairRows) -> bool:
    """Estimates and tests of one variant by "wald", "lrt" or "firth"; whether all maxima are there."""
    penalised, P = test == "firth", case.X.shape[1]
    found = case.maximum(case.H, penalised, P + 2)
    if found is None:
        return False
    objective, beta, L, iterations = found
    covariance = np.asarray(np.linalg.inv(L @ L.T)[P:, P:], dtype=np.float64)
    pair = PairFit(beta[P:], covariance, iterations)
    if test == "wald":
        rows.put_wald(np.array([v]), pair.theta[None], pair.covariance[None], iterations, METHODS.index(test))
        return True

    def objective_at(H: Float64Array, n_free: int) -> float | None:
        restricted = case.maximum(H, penalised, n_free)
        return None if restricted is None else restricted[0]

    gains = ratio_tests(objective_at, case.H, P, terms, OneFit(pair, objective))
    if gains is None:
        return False
    rows.put_ratio(v, pair, gains, METHODS.index(test))
    return True
