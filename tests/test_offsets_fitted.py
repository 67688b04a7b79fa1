"""An offset is a column whose coefficient is held at 1: weights, robust variances, interactions, against statsmodels and oracles."""

import numpy as np
import pytest
import statsmodels.api as sm
from glm_cohort import MemoryCohort, calls, run
from oracles import cox_weighted as cox_oracle
from oracles import weighted as oracle
from statsmodels.miscmodels.ordinal_model import OrderedModel

import genassoc as ga
from genassoc.data.phenotypes.offsets import Offsets

N = 400
NEWTON = 2e-6  # Newton's method stops when the step left is a millionth of a standard error


def with_offset(offset, **columns):
    """A cohort with the same offset (N,) of every trait."""
    cohort, traits = MemoryCohort(**columns), tuple(name for name in columns if name not in ("x", "arm", "w", "time"))
    cohort.offsets = Offsets(traits, {"": np.repeat(offset[:, None], len(traits), axis=1)}, {})
    return cohort


def data(seed):
    rng = np.random.default_rng(seed)
    x, arm, offset = rng.normal(size=N), rng.permutation(np.arange(N) % 2), rng.normal(size=N)
    eta = 0.2 * x + 0.3 * arm + offset
    columns = {
        "x": x, "arm": arm, "w": rng.uniform(0.4, 3, N), "q": eta + rng.normal(size=N),
        "d": (rng.random(N) < 1 / (1 + np.exp(-eta))) * 1, "c": rng.poisson(np.exp(eta)),
        "y": np.searchsorted([-1.0, 0.5], eta + rng.logistic(size=N)),
        "time": np.ceil(10 * rng.exponential(np.exp(-eta))), "event": (rng.random(N) < 0.7) * 1,
    }  # fmt: skip
    return calls(rng, N, 3, low=0.3), offset, columns


@pytest.mark.parametrize("weights", [None, "w"])
@pytest.mark.parametrize("E", [None, "arm"])
@pytest.mark.parametrize(
    "make, trait, family", [(ga.Logistic, "d", "binomial"), (ga.Poisson, "c", "poisson"), (ga.Linear, "q", "gaussian")]
)
def test_generalised_linear_models(make, trait, family, E, weights):
    codes, offset, columns = data(1)
    choices = {"weights": weights} if weights else {"variance": "hc0"}
    found = run(make(trait, ["x", "arm"], interaction=E, **choices), with_offset(offset, **columns), codes)
    prior = columns["w"] / columns["w"].mean() if weights else np.ones(N)
    X = np.column_stack([np.ones(N), columns["x"], columns["arm"]])
    for v in range(len(codes)):
        g = codes[v].astype(float)
        H = np.column_stack([g, g * columns["arm"]])[:, : 2 if E else 1]
        y = columns[trait].astype(float)
        theta, covariance, _ = oracle.wald_columns(
            family, X, y, H, np.eye(H.shape[1]), offset, prior, 1 if weights else 0
        )
        errors = np.sqrt(np.diag(covariance))
        np.testing.assert_allclose((found["beta"][v, : H.shape[1]] - theta) / errors, 0, atol=NEWTON)
        np.testing.assert_allclose(found["standard_error"][v, : H.shape[1]], errors, rtol=1e-5)
        link = {
            "binomial": sm.families.Binomial(),
            "poisson": sm.families.Poisson(),
            "gaussian": sm.families.Gaussian(),
        }[family]
        fit = sm.GLM(y, np.column_stack([X, H]), link, offset=offset, var_weights=prior).fit(cov_type="HC0", tol=1e-13)
        np.testing.assert_allclose(found["beta"][v, : H.shape[1]], fit.params[3:], rtol=1e-5, atol=1e-6)
        if not weights:
            np.testing.assert_allclose(found["standard_error"][v, : H.shape[1]], fit.bse[3:], rtol=1e-5)


@pytest.mark.parametrize(
    "choices", [{"interaction": "arm"}, {"genetic_model": "genotypic"}, {"interaction": "arm", "test": "lrt"}]
)
@pytest.mark.parametrize("make, trait", [(ga.Logistic, "d"), (ga.Poisson, "c"), (ga.Ordinal, "y"), (ga.Cox, "event")])
def test_a_constant_offset_is_none_and_another_is_not(make, trait, choices):
    """Added to all samples, an offset is in the intercept (or nowhere, of Cox's likelihood); one that explains the trait moves rows."""
    codes, offset, columns = data(2)
    model = make("time", trait, ["x", "arm"], **choices) if make is ga.Cox else make(trait, ["x", "arm"], **choices)
    plain = run(model, with_offset(np.zeros(N), **columns), codes)
    shifted = run(model, with_offset(np.full(N, 0.7), **columns), codes)
    moved = run(model, with_offset(offset, **columns), codes)
    # both stop within a millionth of a standard error
    np.testing.assert_allclose(shifted["beta"], plain["beta"], atol=1e-5, rtol=1e-5)
    np.testing.assert_allclose(shifted["neg_log_10_p_value"], plain["neg_log_10_p_value"], atol=1e-5, rtol=1e-5)
    assert np.nanmax(np.abs(moved["beta"] - plain["beta"]) / plain["standard_error"]) > 0.1


@pytest.mark.parametrize("weights", [None, "w"])
def test_cox_with_lin_and_wei(weights):
    codes, offset, columns = data(3)
    choices = {"weights": weights} if weights else {"variance": "robust"}
    found = run(ga.Cox("time", "event", ["x"], **choices), with_offset(offset, **columns), codes)
    prior = columns["w"] / columns["w"].mean() if weights else np.ones(N)
    g = codes[0].astype(float)
    D = np.column_stack([columns["x"], g])
    own = prior, np.array([0.0, 0.0]), columns["time"], columns["event"] == 1, np.full(N, -np.inf), np.zeros(N, int)
    beta = np.zeros(2)
    for _ in range(30):
        _, U, J, scores = cox_oracle.weighted_likelihood(D, own[0], beta, *own[2:], True, offset)
        beta = beta + np.linalg.solve(J, U)
    _, _, J, scores = cox_oracle.weighted_likelihood(D, own[0], beta, *own[2:], True, offset)
    error = np.sqrt(((scores @ np.linalg.inv(J)[-1]) ** 2).sum())
    assert found["beta"][0, 0] == pytest.approx(beta[1], abs=NEWTON * error)
    assert found["standard_error"][0, 0] == pytest.approx(error, rel=1e-5)


@pytest.mark.parametrize("variance", ["model", "hc0"])
def test_levels_with_an_offset(variance):
    codes, offset, columns = data(4)
    model = ga.Ordinal("y", ["x"], interaction="arm", test="wald", variance=variance)
    found = run(model, with_offset(offset, **columns), codes[:1])
    g = codes[0].astype(float)
    D = np.column_stack([columns["x"], columns["arm"], g, g * columns["arm"]])
    fit = OrderedModel(columns["y"], D, offset=offset, distr="logit").fit(
        method="bfgs", gtol=1e-10, maxiter=500, disp=0
    )
    # BFGS leaves about 1e-6 of a likelihood
    np.testing.assert_allclose(found["beta"][0, :2], fit.params[2:4], rtol=1e-3, atol=1e-4)
    if variance == "model":
        np.testing.assert_allclose(found["standard_error"][0, :2], fit.bse[2:4], rtol=1e-3)
