"""The same association by statsmodels: one function a kind of fit, in `REFERENCES`, by the name in a family's `About`.

Weights, offsets, tested columns and sandwich variances are values of each. What statsmodels has not (weights in Cox's model and in ordered
levels, the score residuals of Efron's ties) is left out or said in ``program``: those rows stand beside plain numpy. Satterthwaite's
degrees of freedom, which it has not, are those of `genassoc.refit`.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from genassoc.refit.fits import NotFittedError, within_sets
from genassoc.refit.mixed import whitening
from genassoc.refit.refit import refit
from genassoc.refit.row_data import RowData
from genassoc.refit.tails import neg_log_10_p
from genassoc.shapes import Float64Array
from genassoc.stats.linalg import independent_columns

_MOST_STEPS = 200_000  # of statsmodels' recursion over the samples of all sets, in Python: some seconds


@dataclass(frozen=True)
class ReferenceTest:
    """A test of one or several columns by another program.

    Attributes
    ----------
    beta, standard_error : float
        NaN for a test of several columns. The standard error is that of the information, but of a likelihood ratio |beta| / |z|.
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


def _asks_sandwich(row: RowData, choices: Mapping[str, Any]) -> tuple[str, ...]:
    """Sandwich variances that are shown: of weights both, of models fitted with g in them HC3, of "hc0" that too."""
    if row.weighted or choices.get("variance") == "hc0":
        return ("hc3", "hc0")
    return ("hc3",) if choices.get("interaction") or choices.get("variance") == "robust" else ()


def _shown(row: RowData, choices: Mapping[str, Any]) -> str:
    """The variance of the fit that is shown with all covariates."""
    if choices.get("variance") == "hc0":
        return "hc0"
    return "hc3" if row.weighted or choices.get("variance") == "robust" else ""


def _freedom(row: RowData, test: str, method: str, choices: Mapping[str, Any]) -> float:
    return refit(row, test, method, choices).degrees_of_freedom


def _wald(theta: Any, covariance: Any, k: int, df: float = np.inf, hotelling: bool = False) -> ReferenceTest:
    """Wald's test of the last k coefficients; ``hotelling``: with the degrees of freedom of a sandwich."""
    theta, covariance = np.asarray(theta)[-k:], np.asarray(covariance)[-k:, -k:]
    Q = float(theta @ np.linalg.solve(covariance, theta))
    logp = neg_log_10_p(Q * df / (df + k - 1.0) if hotelling and np.isfinite(df) else Q, k, df)
    if k > 1:
        return ReferenceTest(np.nan, np.nan, logp)
    return ReferenceTest(float(theta[0]), float(np.sqrt(covariance[0, 0])), logp)


def _ratio(theta: Any, covariance: Any, gain: float, k: int, df: float = np.inf) -> ReferenceTest:
    """The likelihood ratio test of the last k coefficients; ``gain`` in log likelihood, over the dispersion."""
    twice = 2.0 * max(float(gain), 0.0)
    logp = neg_log_10_p(twice, k, df)
    if k > 1:
        return ReferenceTest(np.nan, np.nan, logp)
    beta, error = float(np.asarray(theta)[-1]), float(np.sqrt(np.asarray(covariance)[-1, -1]))
    return ReferenceTest(beta, abs(beta) / np.sqrt(twice) if twice > 0.0 else error, logp)


def _score(score: Float64Array, information: Float64Array, k: int, phi: float) -> ReferenceTest:
    """The score test of the last k coefficients at the maximum of the others."""
    U, J = np.asarray(score)[-k:], np.asarray(information)
    spread = J[-k:, -k:]
    if J.shape[0] > k:
        spread = spread - J[-k:, :-k] @ np.linalg.solve(J[:-k, :-k], J[:-k, -k:])
    logp = neg_log_10_p(float(U @ np.linalg.solve(spread, U)) / phi, k)
    if k > 1:
        return ReferenceTest(np.nan, np.nan, logp)
    return ReferenceTest(float(U[0] / spread[0, 0]), float(np.sqrt(phi / spread[0, 0])), logp)


# one function a kind of fit -------------------------------------------------------------------------------------------------


def least_squares(row: RowData, test: str, choices: Mapping[str, Any]) -> Reference:
    """OLS or WLS: t of one column, F of several; HC3 and HC0 too where they may be asked for."""
    import statsmodels.api as sm

    columns = Columns.of(row, test, constant=True)
    k, y = columns.T.shape[1], row.y - row.offset
    model = sm.WLS(y, columns.full(), weights=row.weight) if row.weighted else sm.OLS(y, columns.full())
    fits = {"": model.fit()}
    fits |= {name: model.fit(cov_type=name.upper(), use_t=True) for name in _asks_sandwich(row, choices)}
    tests = {}
    for name, fit in fits.items():
        method = f"{'t' if k == 1 else 'f'}_{name}".rstrip("_")
        if not name and row.weighted:
            continue  # it takes a weight for so many samples
        most = float(fit.df_resid)
        df = _freedom(row, test, method, choices) if name else most
        tests[method] = _wald(fit.params, fit.cov_params(), k, df, hotelling=df < most)
    return Reference(f"statsmodels {'WLS' if row.weighted else 'OLS'}", tests, fits[_shown(row, choices)])


def binomial(row: RowData, test: str, choices: Mapping[str, Any]) -> Reference:
    """GLM with the logit link."""
    import statsmodels.api as sm

    return generalised_linear(row, test, choices, sm.families.Binomial(), "statsmodels GLM (binomial)")


def poisson(row: RowData, test: str, choices: Mapping[str, Any]) -> Reference:
    """GLM with the log link; ``scale="X2"`` where the variance is quasi-likelihood."""
    import statsmodels.api as sm

    quasi = choices.get("dispersion", "quasi") == "quasi"
    program = "statsmodels GLM (quasi-Poisson)" if quasi else "statsmodels GLM (Poisson)"
    return generalised_linear(row, test, choices, sm.families.Poisson(), program, quasi)


def negative_binomial(row: RowData, test: str, choices: Mapping[str, object]) -> Reference:
    """NegativeBinomial (nb2): alpha by maximum likelihood, errors of the joint information; it has no weights."""
    from statsmodels.discrete.discrete_model import NegativeBinomial

    program = "statsmodels NegativeBinomial (nb2)"
    if row.weighted:
        return Reference("none (statsmodels has no weights in its negative binomial)")
    columns = Columns.of(row, test, constant=True)
    k = columns.T.shape[1]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of alpha at its boundary, and of separation, which show in what comes out
        null = NegativeBinomial(row.y, columns.X, offset=row.offset).fit(disp=0, maxiter=500)
        null = NegativeBinomial(row.y, columns.X, offset=row.offset).fit(
            null.params, method="newton", disp=0, tol=1e-12
        )
        model = NegativeBinomial(row.y, columns.full(), offset=row.offset)
        at = np.concatenate([null.params[:-1], np.zeros(k), null.params[-1:]])
        fits = {"": model.fit(at, method="newton", disp=0, maxiter=200, tol=1e-12)}
        if "hc0" in _asks_sandwich(row, choices):
            fits["hc0"] = model.fit(at, method="newton", disp=0, maxiter=200, tol=1e-12, cov_type="HC0")
    fit = fits.get(_shown(row, choices), fits[""])
    C = columns.X.shape[1]
    covariances = {name: np.asarray(each.cov_params())[C : C + k, C : C + k] for name, each in fits.items()}
    if not (
        fit.mle_retvals["converged"] and np.isfinite(covariances[""]).all() and 0.0 < covariances[""][-1, -1] < 1e4
    ):
        return Reference(program, {}, fit)
    theta = np.asarray(fit.params)[C : C + k]
    tests = {"wald": _wald(theta, covariances[""], k), "lrt": _ratio(theta, covariances[""], fit.llf - null.llf, k)}
    if "hc0" in fits:
        df = _freedom(row, test, "wald_hc0", choices)
        tests["wald_hc0"] = _wald(theta, covariances["hc0"], k, df, hotelling=True)
    return Reference(program, tests, fit)


def generalised_linear(
    row: RowData, test: str, choices: Mapping[str, Any], family: Any, program: str, quasi: bool = False
) -> Reference:
    """Any GLM; sampling weights are its variance weights: frequency weights would be copies of a sample in the sandwich too."""
    import statsmodels.api as sm

    columns = Columns.of(row, test, constant=True)
    k, weight = columns.T.shape[1], row.weight / row.weight.mean()
    given = {"family": family, "offset": row.offset, "var_weights": weight}
    how: dict[str, Any] = {"scale": "X2" if quasi else None, "tol": 1e-12}
    model = sm.GLM(row.y, columns.full(), **given)
    null = sm.GLM(row.y, columns.X, **given).fit(maxiter=200, **how)
    at = np.concatenate([null.params, np.zeros(k)])
    tests: dict[str, ReferenceTest] = {}
    if not row.weighted and not choices.get("interaction"):
        score, hessian = model.score(at, scale=1.0), model.hessian(at, scale=1.0, observed=True)
        tests["score"] = _score(score, -hessian, k, float(null.scale))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of separation, which shows in what comes out
        fit = model.fit(maxiter=100, **how)
    if not (bool(fit.converged) and np.isfinite(fit.bse).all() and float(fit.bse.iloc[-1]) < 100):
        return Reference(program, tests, fit)
    if not row.weighted:
        gain = model.loglike(fit.params, scale=1.0) - model.loglike(at, scale=1.0)
        df = float(fit.df_resid) if quasi else np.inf
        tests["wald"] = _wald(fit.params, fit.cov_params(), k, df)
        tests["lrt"] = _ratio(fit.params, fit.cov_params(), gain / fit.scale, k, df)
    for name in _asks_sandwich(row, choices):
        sandwich = model.fit(maxiter=100, tol=1e-12, cov_type="HC0")
        covariance = hc3_of_glm(sandwich, weight) if name == "hc3" else sandwich.cov_params()
        df = _freedom(row, test, f"wald_{name}", choices)
        tests[f"wald_{name}"] = _wald(fit.params, covariance, k, df, hotelling=True)
        fit = sandwich if name == _shown(row, choices) else fit
    return Reference(program, tests, fit)


def hc3_of_glm(fit: Any, weight: Float64Array | float = 1.0) -> Float64Array:
    """HC3 of a GLM by statsmodels' residuals and leverages: its own ``cov_type="HC3"`` of a GLM is HC0.

    ``weight`` (n,) are its variance weights, which are not in its residuals.
    """
    half = fit.model.exog @ np.asarray(fit.normalized_cov_params)
    slack = 1.0 - np.asarray(fit.get_hat_matrix_diag(observed=False))
    influence = half * (weight * np.asarray(fit.resid_response) / slack)[:, None]
    return np.asarray(influence.T @ influence)


def proportional_hazards(row: RowData, test: str, choices: Mapping[str, Any]) -> Reference:
    """PHReg, with strata and late entry; no weights. Lin's and Wei's variance where its score residuals are of the likelihood (Breslow's ties, or none).

    statsmodels takes a sample for at risk at the very time of its entry, R and genassoc do not: times are given to it as
    ranks, entries half a rank later, which leaves the risk sets as they should be.
    """
    from statsmodels.duration.hazard_regression import PHReg

    if row.weighted:
        return Reference("none (statsmodels has no weights in Cox's model)")
    if not row.y.any():
        raise ValueError("nobody with a call has the event")
    columns = Columns.of(row, test, constant=False)
    assert row.time is not None and row.entry is not None and row.stratum is not None
    time = np.searchsorted(np.unique(row.time), row.time) + 1.0
    ties = str(choices.get("ties", "efron"))
    given: dict[str, Any] = {"status": row.y, "strata": row.stratum, "ties": ties}
    if row.offset.any():
        given["offset"] = row.offset
    if np.isfinite(row.entry).any():
        given["entry"] = np.searchsorted(np.unique(row.time), row.entry, side="right") + 0.5
    model = PHReg(time, columns.full(), **given)
    k, C = columns.T.shape[1], columns.X.shape[1]
    start = np.asarray(PHReg(time, columns.X, **given).fit(disp=False).params) if C else np.zeros(0)
    at = np.concatenate([start, np.zeros(k)])
    tests: dict[str, ReferenceTest] = {}
    if not choices.get("interaction"):
        tests["score"] = _score(model.score(at), -model.hessian(at), k, 1.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fit = model.fit(disp=False)
    program, params, covariance = f"statsmodels PHReg ({ties})", np.asarray(fit.params), np.asarray(fit.cov_params())
    if not (np.isfinite(params).all() and np.isfinite(covariance).all() and covariance[-1, -1] < 1e4):
        return Reference(program, tests, fit)
    tests["wald"] = _wald(params, covariance, k)
    tests["lrt"] = _ratio(params, covariance, model.loglike(params) - model.loglike(at), k)
    deaths = np.column_stack([row.time, row.stratum])[row.y == 1]
    tied = np.unique(deaths, axis=0).shape[0] < deaths.shape[0]
    if choices.get("variance") == "robust" and not (tied and ties == "efron"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            residuals = np.nan_to_num(model.score_residuals(params))  # NaN of who left before the first event
        influence = residuals @ np.linalg.inv(-model.hessian(params))
        df = _freedom(row, test, "wald_robust", choices)
        tests["wald_robust"] = _wald(params, influence.T @ influence, k, df, hotelling=True)
    return Reference(program, tests, fit)


def proportional_odds(row: RowData, test: str, choices: Mapping[str, Any]) -> Reference:
    """OrderedModel with the logit link; its second derivatives are by finite differences. No weights, no sandwich but HC0."""
    from statsmodels.miscmodels.ordinal_model import OrderedModel

    if row.weighted:
        return Reference("none (statsmodels has no weights in its OrderedModel)")
    columns = Columns.of(row, test, constant=False)
    levels, C, k = row.y.astype(np.int64), columns.X.shape[1], columns.T.shape[1]
    how: dict[str, Any] = {"method": "newton", "disp": 0, "tol": 1e-12}
    given: dict[str, Any] = {"distr": "logit", **({"offset": row.offset} if row.offset.any() else {})}
    model = OrderedModel(levels, np.column_stack([columns.X, columns.T]), **given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if C:
            null = np.asarray(OrderedModel(levels, columns.X, **given).fit(**how).params)
        else:
            shares = np.array([(levels <= m).mean() for m in range(int(levels.max()))])
            cuts = np.log(shares / (1 - shares))
            null = np.concatenate([cuts[:1], np.log(np.diff(cuts))])  # as statsmodels keeps thresholds in order
        at = np.concatenate([null[:C], np.zeros(k), null[C:]])
        fit = model.fit(start_params=at, **how)
    params, covariance = np.asarray(fit.params), np.asarray(fit.cov_params())
    order = [*range(C), *range(C + k, params.size), *range(C, C + k)]  # what is tested comes last
    program, tests = "statsmodels OrderedModel", {}
    if np.isfinite(covariance).all() and covariance[C, C] < 1e4:
        theta, own = params[order], covariance[np.ix_(order, order)]
        tests["wald"] = _wald(theta, own, k)
        tests["lrt"] = _ratio(theta, own, float(model.loglike(params) - model.loglike(at)), k)
        if "hc0" in _asks_sandwich(row, choices):
            influence = model.score_obs(params)[:, order] @ own
            df = _freedom(row, test, "wald_hc0", choices)
            tests["wald_hc0"] = _wald(theta, influence.T @ influence, k, df, hotelling=True)
    return Reference(program, tests, fit)


def conditional_logistic(row: RowData, test: str, choices: Mapping[str, Any]) -> Reference:
    """ConditionalLogit; its own maximum holds three digits of a standard error, so that Newton's step follows with its own score.

    Its second derivatives are by finite differences: five digits. A recursion in Python, it is left out where sets are many or large.
    """
    from statsmodels.discrete.conditional_models import ConditionalLogit

    assert row.stratum is not None
    _, which, size = np.unique(row.stratum, return_inverse=True, return_counts=True)
    cases = np.bincount(which, row.y)
    if float((size * np.minimum(cases, size - cases)).sum()) > _MOST_STEPS:
        return Reference("none (statsmodels ConditionalLogit would take minutes for these sets)")
    kept = independent_columns(np.column_stack([np.ones(row.n), within_sets(row.X[:, 1:], row.stratum)]))
    kept[0] = True
    names = tuple(name for name, keep in zip(row.covariates, kept) if keep)
    columns = Columns.of(replace(row, X=row.X[:, kept], covariates=names), test, constant=False)

    k, given = columns.T.shape[1], {"offset": row.offset} if row.offset.any() else {}

    def fitted(exog: Any) -> tuple[Any, Float64Array, Float64Array, float]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sets that say nothing, which it drops, and of separation
            model = ConditionalLogit(row.y, exog, groups=which, **given)
            fit = model.fit(method="bfgs", disp=0)
        at = np.asarray(fit.params)
        for _ in range(2):
            at = at - np.linalg.solve(model.hessian(at), model.score(at))
        return fit, at, np.linalg.inv(-model.hessian(at)), float(model.loglike(at))

    fit, at, covariance, best = fitted(columns.full())
    null = fitted(columns.X)[3] if columns.X.shape[1] else float(fit.model.loglike(np.zeros(k)))
    tests: Mapping[str, ReferenceTest] = {}
    if np.isfinite(covariance).all() and 0.0 < covariance[-1, -1] < 1e4:
        tests = {"wald": _wald(at, covariance, k), "lrt": _ratio(at, covariance, best - null, k)}
    return Reference("statsmodels ConditionalLogit", tests, fit)


def mixed(row: RowData, test: str, choices: Mapping[str, object]) -> Reference:
    """Generalised least squares of the whitened trait: statsmodels has no model of given relationships, but its OLS at our ratio of variances."""
    import pandas as pd
    import statsmodels.api as sm

    assert row.relations is not None
    columns = Columns.of(row, test, constant=True)
    full = columns.full()
    try:
        whitened = whitening(row.relations, row.y - row.offset, full.to_numpy())
    except NotFittedError as error:
        return Reference(f"none ({error})")
    D = pd.DataFrame(whitened @ full.to_numpy(), columns=full.columns)
    fit = sm.OLS(whitened @ (row.y - row.offset), D).fit()
    tests = {"wald": _wald(fit.params, fit.cov_params(), 1, float(fit.df_resid))}
    return Reference("statsmodels OLS, whitened at the ratio of variances of a dense fit", tests, fit)


REFERENCES: dict[str, Callable[[RowData, str, Mapping[str, Any]], Reference]] = {
    fit.__name__: fit
    for fit in (
        least_squares,
        binomial,
        conditional_logistic,
        poisson,
        negative_binomial,
        proportional_odds,
        proportional_hazards,
        mixed,
    )
}
