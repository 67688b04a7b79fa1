"""An offset is a column whose coefficient is held at 1: null models, screens, refits and laws of few events of every family."""

import numpy as np
import pytest
import statsmodels.api as sm
from glm_cohort import MemoryCohort, calls, run
from oracles import cox as cox_oracle
from oracles import logistic as logistic_oracle
from statsmodels.discrete.conditional_models import ConditionalLogit
from statsmodels.duration.hazard_regression import PHReg
from statsmodels.miscmodels.ordinal_model import OrderedModel

import genassoc as ga
from genassoc.data.phenotypes.offsets import Offsets

N = 400
# Newton's method stops when the step left is a millionth of a standard error, in the null and in the row.
NEWTON = 1e-5
MODELS = {
    "logistic": (ga.Logistic, ("d", ["x"]), {}),
    "matched": (ga.Logistic, ("d", ["x"]), {"matched": "set"}),
    "poisson": (ga.Poisson, ("c", ["x"]), {"exposure": "years"}),
    "ordinal": (ga.Ordinal, ("y", ["x"]), {}),
    "cox": (ga.Cox, ("time", "event", ["x"]), {}),
}
ALIKE = ("beta", "standard_error", "statistic", "neg_log_10_p_value", "ci_lower", "ci_upper")


def with_offset(offset, columns):
    """A cohort with the same offset (N,) of every trait."""
    cohort, traits = MemoryCohort(**columns), ("d", "c", "y", "event")
    cohort.offsets = Offsets(traits, {"": np.repeat(offset[:, None], len(traits), axis=1)}, {})
    return cohort


def data(seed, missing=0.0, V=16, rare=6):
    """Codes (V + rare, N), the last with few carriers; an offset; outcomes that it says much of."""
    rng = np.random.default_rng(seed)
    x, offset = rng.normal(size=N), rng.normal(size=N)
    codes = calls(rng, N, V + rare, missing, low=0.2)
    codes[V:] = 0
    for v in range(V, V + rare):
        codes[v, rng.choice(N, 7, replace=False)] = 1
    eta = 0.3 * x + offset + 0.5 * (codes[0] == 2)
    columns = {
        "x": x, "d": (rng.random(N) < 1 / (1 + np.exp(1 - eta))) * 1, "years": rng.uniform(0.5, 2, N),
        "set": np.repeat([f"s{s}" for s in range(N // 4)], 4), "y": np.searchsorted([-1.0, 0.5, 2.0], eta + rng.logistic(size=N)),
        "time": np.ceil(10 * rng.exponential(np.exp(-eta))), "event": (rng.random(N) < 0.7) * 1,
    }  # fmt: skip
    columns["c"] = rng.poisson(columns["years"] * np.exp(eta - 0.5))
    return codes, offset, columns


@pytest.mark.parametrize(
    "family, choices",
    [
        *((family, {"test": test}) for family in MODELS for test in ("score", "lrt")),
        *(("logistic", {"correction": correction, "correct_below": 1.0}) for correction in ("firth", "spa")),
        ("logistic", {"like": "plink2"}),
        ("cox", {"correction": "spa", "correct_below": 1.0}),
        ("poisson", {"correction": "spa", "correct_below": 1.0}),
    ],
)
def test_an_offset_that_a_covariate_can_be_changes_nothing(family, choices):
    """The covariate's coefficient takes it up: every test is of the same rows, with and without missing calls."""
    make, positions, own = MODELS[family]
    for missing in (0.0, 0.01):
        codes, _, columns = data(3, missing)
        model = make(*positions, **own, **choices)
        plain = run(model, with_offset(np.zeros(N), columns), codes)
        shifted = run(model, with_offset(0.7 * columns["x"] + 0.3, columns), codes)
        assert (
            plain["method"].tolist() == shifted["method"].tolist()
            and plain["code"].tolist() == shifted["code"].tolist()
        )
        assert np.isfinite(plain["beta"]).sum() > 10
        for name in ALIKE:
            scale = np.maximum(np.abs(plain[name]), plain["standard_error"] if name != "statistic" else 1.0)
            with np.errstate(invalid="ignore"):
                np.testing.assert_allclose(
                    shifted[name] / scale, plain[name] / scale, atol=10 * NEWTON, rtol=0, err_msg=name
                )


def ratio(family, columns, offset, g):
    """The signed root of the likelihood ratio of g, by statsmodels."""
    x, y = columns["x"], {"poisson": columns["c"], "ordinal": columns["y"]}.get(family, columns["d"])
    fits = []
    for H in (np.empty((N, 0)), g[:, None]):
        X = np.column_stack([x, H])
        if family == "logistic":
            fit = sm.GLM(y, sm.add_constant(X), sm.families.Binomial(), offset=offset).fit(tol=1e-13)
        elif family == "poisson":
            exposed = offset + np.log(columns["years"])
            fit = sm.GLM(y, sm.add_constant(X), sm.families.Poisson(), offset=exposed).fit(tol=1e-13)
        elif family == "ordinal":
            fit = OrderedModel(y, X, offset=offset, distr="logit").fit(method="bfgs", gtol=1e-9, maxiter=500, disp=0)
        elif family == "matched":
            fit = ConditionalLogit(y, X, groups=columns["set"], offset=offset).fit(disp=0, gtol=1e-10)
        else:
            fit = PHReg(columns["time"], X, status=columns["event"], offset=offset, ties="efron").fit(disp=0)
        fits.append(fit)
    beta = fits[1].params[1] if family == "ordinal" else fits[1].params[-1]
    return np.copysign(np.sqrt(max(2 * (fits[1].llf - fits[0].llf), 0.0)), beta)


@pytest.mark.parametrize("family", MODELS)
def test_likelihood_ratios_with_an_offset(family):
    make, positions, own = MODELS[family]
    codes, offset, columns = data(4)
    if family == "poisson":
        own = own | {"dispersion": "poisson"}
    model = make(*positions, **own, test="lrt", correction=None)
    found = run(model, with_offset(offset, columns), codes)
    plain = run(model, with_offset(np.zeros(N), columns), codes)
    for v in range(6):
        expected = ratio(family, columns, offset, codes[v].astype(float))
        # statsmodels' optimisers leave about 1e-7 of a log likelihood: its root is 3e-4 where that is nothing
        assert found["statistic"][v, 0] == pytest.approx(
            expected, abs=2e-3 if family in ("ordinal", "matched") else 1e-4
        )
    assert np.nanmax(np.abs(found["statistic"] - plain["statistic"])) > 0.3


@pytest.mark.parametrize("family", ["logistic", "poisson"])
def test_scores_with_an_offset(family):
    make, positions, own = MODELS[family]
    own = own | ({"dispersion": "poisson"} if family == "poisson" else {})
    codes, offset, columns = data(5)
    found = run(make(*positions, **own, correction=None), with_offset(offset, columns), codes)
    y = columns["c" if family == "poisson" else "d"]
    given = offset + (np.log(columns["years"]) if family == "poisson" else 0.0)
    link = sm.families.Poisson() if family == "poisson" else sm.families.Binomial()
    X = sm.add_constant(columns["x"])
    mu = sm.GLM(y, X, link, offset=given).fit(tol=1e-13).fittedvalues
    w = mu if family == "poisson" else mu * (1 - mu)
    for v in range(16):
        g = codes[v].astype(float)
        left = g - X @ np.linalg.solve(X.T @ (w[:, None] * X), X.T @ (w * g))
        z = left @ (y - mu) / np.sqrt((w * left) @ left)
        assert found["statistic"][v, 0] == pytest.approx(z, abs=2e-5 * max(1, abs(z)))  # sums are of float32


@pytest.mark.parametrize("what", ["firth", "firth_approx"])
@pytest.mark.parametrize("family, oracle", [("logistic", logistic_oracle), ("cox", cox_oracle)])
def test_firth_with_an_offset(family, oracle, what):
    make, positions, own = MODELS[family]
    codes, offset, columns = data(6, V=6)
    found = run(make(*positions, **own, correction=what, correct_below=1.0), with_offset(offset, columns), codes[:6])
    x, G = columns["x"], codes[:6].astype(float)
    if family == "logistic":
        expected = oracle.analyse_rows(sm.add_constant(x), columns["d"], G, what, offset)
    else:
        expected = oracle.analyse_rows(x[:, None], G, columns["time"], columns["event"], what, offset=offset)
    tested = (
        found["method"][:, 0] == what
    )  # the approximation is made again in full where an estimate moves the covariates
    assert tested.sum() >= 4
    for v in np.flatnonzero(tested):
        np.testing.assert_allclose([found["beta"][v, 0], found["statistic"][v, 0]], expected[v], rtol=1e-4, atol=1e-5)
