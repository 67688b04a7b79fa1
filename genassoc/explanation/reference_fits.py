"""The same association by statsmodels: one function a kind of model, in `REFERENCES`."""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from genassoc.refit.dense import neg_log_10_p_normal, neg_log_10_p_student
from genassoc.refit.dense_sandwich import SandwichFit
from genassoc.refit.refit import refit
from genassoc.refit.row_data import RowData
from genassoc.shapes import Float64Array
from genassoc.stats.linalg import independent_columns

_LN10 = float(np.log(10.0))


@dataclass(frozen=True)
class ReferenceTest:
    """A test of one or two columns by another program.

    Attributes
    ----------
    beta, standard_error : float
        NaN for a test of two columns. The standard error is that of the information, but of a likelihood ratio |beta| / |z|.
    neg_log_10_p : float
    """

    beta: float
    standard_error: float
    neg_log_10_p: float


@dataclass(frozen=True)
class Reference:
    """What statsmodels makes of a row.

    Attributes
    ----------
    program : str
        "statsmodels OLS", ...
    tests : mapping
        ``method`` -> `ReferenceTest`.
    fit : object
        statsmodels' results of the full model, with everybody's coefficients.
    """

    program: str
    tests: Mapping[str, ReferenceTest] = field(default_factory=dict)
    fit: Any = None


@dataclass(frozen=True, eq=False)
class Columns:
    """Nuisance columns X (n, C), with the constant first where ``constant``, tested ones T (n, k), and their names."""

    X: Float64Array
    T: Float64Array
    names: tuple[str, ...]

    @classmethod
    def of(cls, row: RowData, test: str, constant: bool) -> "Columns":
        """The columns of a test; see `genassoc.refit.tested_columns`."""
        kept = independent_columns(row.X)
        kept[0] = constant
        X, names = row.X[:, kept], [row.covariates[c] for c in np.flatnonzero(kept)]
        if not constant:  # only the shape of covariates counts there; alike in size they are found sooner
            X = (X - X.mean(axis=0)) / X.std(axis=0)
        own = row.columns_of(test)
        return cls(np.column_stack([X, own.nuisance]), own.tested, (*names, *own.names))

    def full(self) -> Any:
        """All columns as a pandas table, so that statsmodels' summary has names."""
        import pandas as pd

        return pd.DataFrame(np.column_stack([self.X, self.T]), columns=list(self.names))


def least_squares(row: RowData, test: str, choices: Mapping[str, Any]) -> Reference:
    """OLS: t of one column, F of two; with HC3 too where it may be asked for."""
    import statsmodels.api as sm

    columns = Columns.of(row, test, constant=True)
    model = sm.OLS(row.y, columns.full())
    fits = {"": model.fit()}
    if _refits(choices):
        fits["_hc3"] = model.fit(cov_type="HC3", use_t=True)
    tests = {}
    for suffix, fit in fits.items():
        two = columns.T.shape[1] == 2
        df = freedom_of(row, test, f"{'f' if two else 't'}_hc3", choices) if suffix else float(fit.df_resid)
        if columns.T.shape[1] == 2:
            theta, covariance = np.asarray(fit.params)[-2:], np.asarray(fit.cov_params())[-2:, -2:]
            F = float(theta @ np.linalg.solve(covariance, theta)) / 2.0
            if suffix and df < float(fit.df_resid):
                F *= df / (df + 1.0)  # Hotelling's
            tests[f"f{suffix}"] = ReferenceTest(np.nan, np.nan, float(df / 2.0 * np.log1p(2.0 * F / df) / _LN10))
            continue
        beta, error = float(fit.params.iloc[-1]), float(fit.bse.iloc[-1])
        tests[f"t{suffix}"] = ReferenceTest(beta, error, neg_log_10_p_student(beta / error, df))
    return Reference("statsmodels OLS", tests, fits["_hc3" if choices.get("variance") == "robust" else ""])


def freedom_of(row: RowData, test: str, method: str, choices: Mapping[str, Any]) -> float:
    """Satterthwaite's degrees of freedom, which statsmodels has not."""
    found = refit(row, test, method, choices)
    assert isinstance(found, SandwichFit)
    return found.degrees_of_freedom


def _refits(choices: Mapping[str, Any]) -> bool:
    """Whether rows are fitted with g in the model: there is no score test, and the variance may be HC3's."""
    return bool(choices.get("interaction")) or choices.get("variance") == "robust"


def binomial(row: RowData, test: str, choices: Mapping[str, Any]) -> Reference:
    """GLM with the logit link."""
    import statsmodels.api as sm

    found = _glm(row, test, sm.families.Binomial(), "statsmodels GLM (binomial)", quasi=False)
    if not _refits(choices):
        return found
    tests = {name: other for name, other in found.tests.items() if name != "score"}
    if "wald" in tests:
        k = row.columns_of(test).tested.shape[1]
        params, covariance = np.asarray(found.fit.params), hc3_of_glm(found.fit)
        tests["wald_hc3"] = wald_and_ratio(params, covariance, 0.0, k, None)["wald"]
    return Reference(found.program, tests, found.fit)


def hc3_of_glm(fit: Any, weight: Float64Array | float = 1.0) -> Float64Array:
    """HC3 of a logistic regression by statsmodels' residuals and leverages: its own ``cov_type="HC3"`` of a GLM is HC0.

    ``weight`` (n,) are its variance weights, which are not in its residuals.
    """
    half = fit.model.exog @ np.asarray(fit.normalized_cov_params)
    slack = 1.0 - np.asarray(fit.get_hat_matrix_diag(observed=False))
    influence = half * (weight * np.asarray(fit.resid_response) / slack)[:, None]
    return np.asarray(influence.T @ influence)


def poisson(row: RowData, test: str, choices: Mapping[str, Any]) -> Reference:
    """GLM with the log link; ``scale="X2"`` where the variance is quasi-likelihood."""
    import statsmodels.api as sm

    quasi = choices.get("dispersion", "quasi") == "quasi"
    program = "statsmodels GLM (quasi-Poisson)" if quasi else "statsmodels GLM (Poisson)"
    return _glm(row, test, sm.families.Poisson(), program, quasi)


def _glm(row: RowData, test: str, family: Any, program: str, quasi: bool) -> Reference:
    import statsmodels.api as sm

    columns = Columns.of(row, test, constant=True)
    scale = "X2" if quasi else None
    model = sm.GLM(row.y, columns.full(), family=family, offset=row.offset)
    null = sm.GLM(row.y, columns.X, family=family, offset=row.offset).fit(scale=scale, tol=1e-12, maxiter=200)
    k = columns.T.shape[1]
    at = np.concatenate([null.params, np.zeros(k)])
    score = model.score(at, scale=1.0)
    information = -model.hessian(at, scale=1.0, observed=True)
    tests = {"score": _score(score, information, k, float(null.scale))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of separation, which shows in what comes out
        fit = model.fit(scale=scale, tol=1e-12, maxiter=100)
    if bool(fit.converged) and np.isfinite(fit.bse).all() and float(fit.bse.iloc[-1]) < 100:
        gain = model.loglike(fit.params, scale=1.0) - model.loglike(at, scale=1.0)
        covariance = np.asarray(fit.cov_params())
        tests |= wald_and_ratio(
            np.asarray(fit.params), covariance, gain / fit.scale, k, float(fit.df_resid) if quasi else None
        )
    return Reference(program, tests, fit)


def proportional_hazards(row: RowData, test: str, choices: Mapping[str, Any]) -> Reference:
    """PHReg, with strata and late entry.

    statsmodels takes a sample for at risk at the very time of its entry, R and genassoc do not: times are given to it as
    ranks, entries half a rank later, which leaves the risk sets as they should be.
    """
    from statsmodels.duration.hazard_regression import PHReg

    if not row.y.any():
        raise ValueError("nobody with a call has the event")
    columns = Columns.of(row, test, constant=False)
    assert row.time is not None and row.entry is not None
    times = np.unique(row.time)
    time = np.searchsorted(times, row.time) + 1.0
    entry = np.searchsorted(times, row.entry, side="right") + 0.5
    ties = str(choices.get("ties", "efron"))
    given: dict[str, Any] = {"status": row.y, "strata": row.stratum, "ties": ties}
    if np.isfinite(row.entry).any():
        given["entry"] = entry
    model = PHReg(time, columns.full(), **given)
    k, C = columns.T.shape[1], columns.X.shape[1]
    start = np.zeros(C)
    if C:
        start = np.asarray(PHReg(time, columns.X, **given).fit(disp=False).params)
    at = np.concatenate([start, np.zeros(k)])
    tests = {} if _refits(choices) else {"score": _score(model.score(at), -model.hessian(at), k, 1.0)}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = model.fit(disp=False)
    params, covariance = np.asarray(fit.params), np.asarray(fit.cov_params())
    if np.isfinite(params).all() and np.isfinite(covariance).all() and covariance[-1, -1] < 1e4:
        gain = model.loglike(params) - model.loglike(at)
        tests |= wald_and_ratio(params, covariance, gain, k, None)
    return Reference(f"statsmodels PHReg ({ties})", tests, fit)


def proportional_odds(row: RowData, test: str, choices: Mapping[str, Any]) -> Reference:
    """OrderedModel with the logit link; its second derivatives are by finite differences."""
    from statsmodels.miscmodels.ordinal_model import OrderedModel

    columns = Columns.of(row, test, constant=False)
    levels, C, k = row.y.astype(np.int64), columns.X.shape[1], columns.T.shape[1]
    how: dict[str, Any] = {"method": "newton", "disp": 0, "tol": 1e-12}
    model = OrderedModel(levels, np.column_stack([columns.X, columns.T]), distr="logit")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if C:
            null = np.asarray(OrderedModel(levels, columns.X, distr="logit").fit(**how).params)
        else:
            shares = np.array([(levels <= m).mean() for m in range(int(levels.max()))])
            cuts = np.log(shares / (1 - shares))
            null = np.concatenate([cuts[:1], np.log(np.diff(cuts))])  # as statsmodels keeps thresholds in order
        fit = model.fit(start_params=np.concatenate([null[:C], np.zeros(k), null[C:]]), **how)
    at = np.concatenate([null[:C], np.zeros(k), null[C:]])
    params, covariance = np.asarray(fit.params), np.asarray(fit.cov_params())
    order = [*range(C), *range(C + k, params.size), *range(C, C + k)]  # what is tested comes last
    tests: dict[str, ReferenceTest] = {}
    if np.isfinite(covariance).all() and covariance[C, C] < 1e4:
        gain = float(model.loglike(params) - model.loglike(at))
        tests = wald_and_ratio(params[order], covariance[np.ix_(order, order)], gain, k, None)
    return Reference("statsmodels OrderedModel", tests, fit)


def _score(score: Float64Array, information: Float64Array, k: int, phi: float) -> ReferenceTest:
    """Score test of the last k coefficients at the maximum of the others."""
    U, J = np.asarray(score)[-k:], np.asarray(information)
    spread = J[-k:, -k:]
    if J.shape[0] > k:
        spread = spread - J[-k:, :-k] @ np.linalg.solve(J[:-k, :-k], J[:-k, -k:])
    chi2 = float(U @ np.linalg.solve(spread, U)) / phi
    if k == 2:
        return ReferenceTest(np.nan, np.nan, chi2 / (2.0 * _LN10))
    beta, error = float(U[0] / spread[0, 0]), float(np.sqrt(phi / spread[0, 0]))
    return ReferenceTest(beta, error, neg_log_10_p_normal(beta / error))


def wald_and_ratio(
    params: Float64Array, covariance: Float64Array, gain: float, k: int, df: float | None
) -> dict[str, ReferenceTest]:
    """Wald and likelihood ratio tests of the last k coefficients; Student's t with ``df``."""
    twice = 2.0 * max(float(gain), 0.0)
    if k == 2:
        chi2 = float(params[-2:] @ np.linalg.solve(covariance[-2:, -2:], params[-2:]))
        return {
            "wald": ReferenceTest(np.nan, np.nan, chi2 / (2.0 * _LN10)),
            "lrt": ReferenceTest(np.nan, np.nan, twice / (2.0 * _LN10)),
        }
    beta, error, root = float(params[-1]), float(np.sqrt(covariance[-1, -1])), float(np.sqrt(twice))

    def tail(statistic: float) -> float:
        return neg_log_10_p_normal(statistic) if df is None else neg_log_10_p_student(statistic, df)

    own = abs(beta) / root if root > 0 else error
    return {
        "wald": ReferenceTest(beta, error, tail(beta / error)),
        "lrt": ReferenceTest(beta, own, tail(root)),
    }


REFERENCES: dict[str, Callable[[RowData, str, Mapping[str, Any]], Reference]] = {
    "linear": least_squares,
    "logistic": binomial,
    "poisson": poisson,
    "ordinal": proportional_odds,
    "cox": proportional_hazards,
}
