"""The same association by statsmodels where samples are weighted or matched, or the variance is a sandwich.

statsmodels has no weights in Cox's model, and its residuals there are Breslow's: with Efron's ties these rows stand beside plain numpy.
"""

import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from genassoc.explanation.reference_fits import (
    Columns,
    Reference,
    ReferenceTest,
    binomial,
    freedom_of,
    hc3_of_glm,
    least_squares,
    proportional_hazards,
    wald_and_ratio,
)
from genassoc.refit.dense import neg_log_10_p_student
from genassoc.refit.dense_conditional import within_sets
from genassoc.refit.row_data import RowData
from genassoc.shapes import Float64Array
from genassoc.stats.linalg import independent_columns

_MOST_STEPS = 200_000  # of statsmodels' recursion over the samples of all sets, in Python: some seconds
Fit = Callable[[RowData, str, Mapping[str, Any]], Reference]


def sampled_reference(row: RowData, choices: Mapping[str, Any]) -> Fit | None:
    """What fits a row with weights, sets or a sandwich variance that the plain references do not have; None where none is needed."""
    if row.is_matched:
        return conditional_logistic
    if row.modifier is not None:
        return None  # these are of one column
    if row.kind == "cox" and (row.weight is not None or choices.get("variance") == "robust"):
        return robust_hazards
    if row.weight is None and choices.get("variance") != "hc0":
        return None
    return {"linear": weighted_least_squares, "logistic": weighted_binomial}.get(row.kind)


def weighted_least_squares(row: RowData, test: str, choices: Mapping[str, Any]) -> Reference:
    """WLS with HC3 and HC0; without weights OLS, its own variance too. Degrees of freedom of weighted HC3 are ours."""
    import statsmodels.api as sm

    tests: dict[str, ReferenceTest] = {}
    program = "statsmodels OLS"
    if row.weight is None:
        tests = dict(least_squares(row, test, {**choices, "variance": "robust"}).tests)
    else:
        program = "statsmodels WLS"
    weight = np.ones(row.n) if row.weight is None else row.weight
    model = sm.WLS(row.y, Columns.of(row, test, constant=True).full(), weights=weight)
    fits = {name: model.fit(cov_type=name.upper(), use_t=True) for name in ("hc3", "hc0")}
    for name, fit in fits.items():
        method = f"t_{name}"
        if method not in tests:
            beta, error = float(fit.params.iloc[-1]), float(fit.bse.iloc[-1])
            df = float(fit.df_resid) if name == "hc0" else freedom_of(row, test, method, choices)
            tests[method] = ReferenceTest(beta, error, neg_log_10_p_student(beta / error, df))
    return Reference(program, tests, fits["hc0" if choices.get("variance") == "hc0" else "hc3"])


def weighted_binomial(row: RowData, test: str, choices: Mapping[str, Any]) -> Reference:
    """GLM with weights as variance weights, HC3 and HC0; without weights the Wald and likelihood ratio tests too.

    Its frequency weights would be copies of a sample in the sandwich too. Degrees of freedom of weighted HC3 are ours.
    """
    import statsmodels.api as sm

    tests: dict[str, ReferenceTest] = {}
    if row.weight is None:
        tests = dict(binomial(row, test, {**choices, "variance": "robust"}).tests)
    weight = np.ones(row.n) if row.weight is None else row.weight / row.weight.mean()
    columns = Columns.of(row, test, constant=True)
    model = sm.GLM(row.y, columns.full(), family=sm.families.Binomial(), var_weights=weight)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of separation, which shows in what comes out
        fit = model.fit(tol=1e-12, maxiter=100, cov_type="HC0")
    beta, error = float(fit.params.iloc[-1]), float(fit.bse.iloc[-1])
    if bool(fit.converged) and np.isfinite(error):
        tests["wald_hc0"] = ReferenceTest(
            beta, error, neg_log_10_p_student(beta / error, freedom_of(row, test, "wald_hc0", choices))
        )
        if "wald_hc3" not in tests:
            hc3 = float(np.sqrt(hc3_of_glm(fit, weight)[-1, -1]))
            df = freedom_of(row, test, "wald_hc3", choices)
            tests["wald_hc3"] = ReferenceTest(beta, hc3, neg_log_10_p_student(beta / hc3, df))
    return Reference("statsmodels GLM (binomial)", tests, fit)


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

    def fitted(exog: Any) -> tuple[Any, Float64Array, Float64Array, float]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of sets that say nothing, which it drops, and of separation
            model = ConditionalLogit(row.y, exog, groups=which)
            fit = model.fit(method="bfgs", disp=0)
        at = np.asarray(fit.params)
        for _ in range(2):
            at = at - np.linalg.solve(model.hessian(at), model.score(at))
        return fit, at, np.linalg.inv(-model.hessian(at)), float(model.loglike(at))

    fit, at, covariance, best = fitted(columns.full())
    null = fitted(columns.X)[3] if columns.X.shape[1] else float(fit.model.loglike(np.zeros(1)))
    tests: Mapping[str, ReferenceTest] = {}
    if np.isfinite(covariance).all() and 0.0 < covariance[-1, -1] < 1e4:
        tests = wald_and_ratio(at, covariance, best - null, 1, None)
    return Reference("statsmodels ConditionalLogit", tests, fit)


def robust_hazards(row: RowData, test: str, choices: Mapping[str, Any]) -> Reference:
    """PHReg with its score residuals, where these are of the likelihood (Breslow's ties, or none); no weights."""
    if row.weight is not None:
        return Reference("none (statsmodels has no weights in Cox's model)")
    found = proportional_hazards(row, test, {**choices, "variance": None})
    deaths = np.column_stack([row.time, row.stratum])[row.y == 1]  # type: ignore[list-item]  # of "cox" they are there
    tied = np.unique(deaths, axis=0).shape[0] < deaths.shape[0]
    if "wald" not in found.tests or (tied and choices.get("ties", "efron") == "efron"):
        return found
    at = np.asarray(found.fit.params)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        residuals = np.nan_to_num(found.fit.model.score_residuals(at))  # NaN of who left before the first event
    influence = residuals @ np.linalg.inv(-found.fit.model.hessian(at))[:, -1]
    beta, error = float(at[-1]), float(np.sqrt(influence @ influence))
    logp = neg_log_10_p_student(beta / error, freedom_of(row, test, "wald_robust", choices))
    return Reference(found.program, {**found.tests, "wald_robust": ReferenceTest(beta, error, logp)}, found.fit)
