"""An offset reaches every family with every axis: what the covariates can explain changes nothing, and all else is statsmodels' offset."""

from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from every_model import CELLS, N, draw, model, name_of, run
from scipy import stats
from statsmodels.discrete.conditional_models import ConditionalLogit
from statsmodels.miscmodels.ordinal_model import OrderedModel

from genassoc.data.phenotypes.offsets import Offsets

SAMPLE = draw()
TRAITS = {
    "linear": "q",
    "mixed": "q",
    "logistic": "y",
    "matched": "y",
    "cox": "E",
    "poisson": "count",
    "negative_binomial": "relapses",
    "ordinal": "grade",
}


def with_offset(family, values):
    trait = TRAITS[family]
    return replace(SAMPLE.cohort(), offsets=Offsets((trait,), {"all": values[:, None]}, {"1": "all"}))


@pytest.mark.parametrize("cell", CELLS, ids=name_of)
def test_an_offset_that_is_a_covariate_changes_nothing(cell):
    family, axis = cell
    chosen, block = model(*cell), SAMPLE.block()
    plain, _ = run(chosen, SAMPLE.cohort(), block)
    along = 0.8 * SAMPLE.table["x"].to_numpy() + (0.0 if family == "matched" else 0.3)
    found, _ = run(chosen, with_offset(family, along), block)
    assert found.keys() == plain.keys()
    np.testing.assert_array_equal(found["code"], plain["code"])
    np.testing.assert_array_equal(found["method"], plain["method"])
    assert np.isfinite(plain["neg_log_10_p_value"]).sum() >= 8
    # The fits start elsewhere: Newton's method stops at a millionth of a standard error, Firth's approximations at 1e-4; where
    # the likelihood has no maximum the estimate is where it stopped, and only p is held.
    logp = "neg_log_10_p_value"
    np.testing.assert_allclose(found[logp], plain[logp], rtol=2e-4, atol=2e-4, equal_nan=True)
    there = np.isfinite(plain["standard_error"]) & (plain["standard_error"] < 10)
    np.testing.assert_array_equal(np.isfinite(found["beta"]), np.isfinite(plain["beta"]))
    moved = np.abs(found["beta"] - plain["beta"])[there] / plain["standard_error"][there]
    assert moved.max() < 1e-3, (axis, moved.max())


def loglik(family, columns, offset):
    """The maximum of the log likelihood of the plain model on some columns (N, C), by statsmodels."""
    table = SAMPLE.table
    y = table[TRAITS[family]].to_numpy()
    with_constant = np.column_stack([np.ones(N), columns])
    if family == "linear":
        left = sm.OLS(y - offset, with_constant).fit()
        return left.llf
    if family == "logistic":
        return sm.GLM(y, with_constant, sm.families.Binomial(), offset=offset).fit(tol=1e-12).llf
    if family == "poisson":
        whole = offset + np.log(table["years"].to_numpy())
        return sm.GLM(y, with_constant, sm.families.Poisson(), offset=whole).fit(tol=1e-12).llf
    if family == "negative_binomial":
        whole = offset + np.log(table["years"].to_numpy())
        return (
            sm.NegativeBinomial(y, with_constant, offset=whole).fit(disp=0, method="bfgs", gtol=1e-9, maxiter=500).llf
        )
    if family == "cox":
        return sm.PHReg(table["T"].to_numpy(), columns, y, offset=offset, ties="efron").fit(disp=0).llf
    if family == "ordinal":
        return (
            OrderedModel(y, columns, offset=offset, distr="logit")
            .fit(method="bfgs", disp=0, gtol=1e-8, maxiter=500)
            .llf
        )
    return (
        ConditionalLogit(y, columns, groups=table["set"].to_numpy(), offset=offset)
        .fit(disp=0, method="bfgs", gtol=1e-9)
        .llf
    )


@pytest.mark.parametrize(
    "family", [family for family in TRAITS if family != "mixed"]
)  # statsmodels has no given relationships
def test_any_offset_is_that_of_statsmodels(family):
    offset = np.random.default_rng(4).normal(0, 0.8, N)
    more = {
        "linear": {},
        "poisson": {"test": "lrt", "dispersion": "poisson"},
        "ordinal": {"test": "lrt"},
        "matched": {"test": "lrt"},
    }
    chosen = model(family, "plain", **more.get(family, {"test": "lrt", "correction": None}))
    found, _ = run(chosen, with_offset(family, offset), SAMPLE.block())
    x = SAMPLE.table["x"].to_numpy()[:, None]
    at_null = loglik(family, x, offset)
    for v in range(3):
        g = SAMPLE.codes[v].astype(float)
        gain = 2 * (loglik(family, np.column_stack([x, g]), offset) - at_null)
        if family == "linear":
            logp = -np.log10(2 * stats.t.sf(np.sqrt(np.expm1(gain / N) * (N - 3)), N - 3))
        else:
            logp = -stats.chi2.logsf(gain, 1) / np.log(10)
        assert found["neg_log_10_p_value"][v, 0] == pytest.approx(logp, rel=1e-4, abs=1e-4), v  # what bfgs leaves
