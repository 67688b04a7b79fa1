"""Counts and ordered levels with an interaction, genotypes and robust variances: statsmodels, plain oracles, R, the null."""

import shutil
import subprocess

import numpy as np
import pytest
import statsmodels.api as sm
from glm_cohort import MemoryCohort, calls, run
from oracles import ordinal_weighted as level_oracle
from oracles import weighted as oracle
from scipy.stats import chi2, f, norm, t
from statsmodels.miscmodels.ordinal_model import OrderedModel

import genassoc as ga

# Newton's method stops when the step left is a millionth of a standard error.
NEWTON = 2e-6
TESTS = ("add", "add:E", "joint_2df", "add|E=0", "add|E=1")
CONTRASTS = np.array([[1, 0], [0, 1], [0, 0], [1, 0], [1, 1]], dtype=float)


def data(seed, n=400, V=6, missing=0.02):
    rng = np.random.default_rng(seed)
    codes = calls(rng, n, V, missing, low=0.2)
    x, arm = rng.normal(size=n), rng.permutation(np.arange(n) % 2)
    g = np.where(codes[0] < 3, codes[0], 0)
    eta = 0.5 + 0.3 * x + 0.2 * arm + 0.1 * g
    spread = rng.gamma(2.0, 0.5, n)  # counts vary more than Poisson's
    columns = {
        "x": x, "arm": arm, "time": rng.uniform(0.5, 3, n), "c": rng.poisson(np.exp(eta) * spread),
        "y": np.searchsorted([-0.8, 0.4, 1.6], eta + rng.logistic(size=n)), "one": np.ones(n), "w": rng.uniform(0.3, 3, n),
    }  # fmt: skip
    return codes, columns


def at(codes, columns, v):
    """Of a row: who is observed, and g there."""
    keep = codes[v] < 3
    return {name: values[keep] for name, values in columns.items()}, codes[v][keep].astype(float)


def of_two(found, v, tests):
    """Columns of a row by test."""
    K = len(tests)
    return {
        name: found[name][v, :K]
        for name in ("beta", "standard_error", "statistic", "neg_log_10_p_value", "method", "code")
    }


@pytest.mark.parametrize("dispersion", ["quasi", "poisson"])
def test_poisson_interaction_is_statsmodels_glm(dispersion):
    codes, columns = data(1)
    model = ga.Poisson("c", ["x"], "time", dispersion=dispersion, interaction="arm", test="wald")
    found = run(model, MemoryCohort(**columns), codes)
    for v in range(len(codes)):
        own, g = at(codes, columns, v)
        D = np.column_stack([np.ones(g.size), own["x"], own["arm"], g, g * own["arm"]])
        fit = sm.GLM(own["c"], D, sm.families.Poisson(), offset=np.log(own["time"])).fit(
            scale="X2" if dispersion == "quasi" else None, tol=1e-14
        )
        row = of_two(found, v, TESTS)
        errors = np.sqrt(np.diag(CONTRASTS @ fit.cov_params()[3:, 3:] @ CONTRASTS.T))
        one = CONTRASTS.any(axis=1)
        np.testing.assert_allclose((row["beta"] - CONTRASTS @ fit.params[3:])[one] / errors[one], 0, atol=NEWTON)
        np.testing.assert_allclose(row["standard_error"][one], errors[one], rtol=1e-6)
        total = fit.params[3:] @ np.linalg.solve(fit.cov_params()[3:, 3:], fit.params[3:])
        assert row["statistic"][2] == pytest.approx(total, rel=1e-5)
        df = g.size - 5
        joint = f.sf(total / 2, 2, df) if dispersion == "quasi" else chi2.sf(total, 2)
        single = 2 * (t.sf(abs(fit.tvalues[4]), df) if dispersion == "quasi" else norm.sf(abs(fit.tvalues[4])))
        np.testing.assert_allclose(10 ** -row["neg_log_10_p_value"][[1, 2]], [single, joint], rtol=1e-4)
        assert set(row["method"]) == {"wald"} and set(row["code"]) == {
            "overdispersed"
        }  # g and the arm spread the counts
        assert found["n_events"][v, 0] == own["c"].sum() and found["n"][v, 0] == g.size
        if dispersion == "quasi":
            assert found["degrees_of_freedom"][v, 0] == df
    assert ("degrees_of_freedom" in found) == (dispersion == "quasi")


@pytest.mark.parametrize("family", ["poisson", "ordinal"])
def test_genotypic_rows_are_likelihood_ratios(family):
    codes, columns = data(2)
    model = {
        "poisson": ga.Poisson("c", ["x"], "time", dispersion="poisson", genetic_model="genotypic", test="lrt"),
        "ordinal": ga.Ordinal("y", ["x"], genetic_model="genotypic", test="lrt"),
    }[family]
    found = run(model, MemoryCohort(**columns), codes)
    for v in range(len(codes)):
        own, g = at(codes, columns, v)
        H = [g, 1.0 * (g == 1)]

        def height(*tested, own=own):
            if family == "ordinal":
                X = np.column_stack([own["x"], *tested])
                fit = OrderedModel(own["y"], X, distr="logit").fit(method="bfgs", gtol=1e-9, maxiter=500, disp=0)
                return fit.llf, fit.params[1:3]
            X = np.column_stack([np.ones(own["x"].size), own["x"], *tested])
            fit = sm.GLM(own["c"], X, sm.families.Poisson(), offset=np.log(own["time"])).fit(tol=1e-14)
            return fit.llf, fit.params[2:4]

        top, theta = height(*H)
        gains = [2 * (top - height(H[1])[0]), 2 * (top - height(H[0])[0]), 2 * (top - height()[0])]
        row = of_two(found, v, ("add", "domdev", "geno_2df"))
        # BFGS leaves about 1e-6 of a likelihood
        np.testing.assert_allclose(row["beta"][:2], theta, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose([*row["statistic"][:2] ** 2, row["statistic"][2]], gains, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(10 ** -row["neg_log_10_p_value"], [chi2.sf(gains[0], 1), chi2.sf(gains[1], 1), chi2.sf(gains[2], 2)], rtol=1e-3)  # fmt: skip
        assert set(row["method"]) == {"lrt"}


def test_hits_of_an_interaction_have_likelihood_ratios():
    codes, columns = data(3)
    for model in (
        ga.Poisson("c", ["x"], interaction="arm", correct_below=1.0),
        ga.Ordinal("y", ["x"], interaction="arm", correct_below=1.0),
    ):
        corrected = run(model, MemoryCohort(**columns), codes)
        wald = run(type(model)(model.traits, ["x"], interaction="arm", test="wald"), MemoryCohort(**columns), codes)
        asked = run(type(model)(model.traits, ["x"], interaction="arm", test="lrt"), MemoryCohort(**columns), codes)
        assert set(corrected["method"].ravel()) == {"lrt"} and set(wald["method"].ravel()) == {"wald"}
        for name in ("beta", "standard_error", "neg_log_10_p_value"):
            np.testing.assert_array_equal(corrected[name], asked[name])
        # of a likelihood near a parabola they agree
        np.testing.assert_allclose(corrected["neg_log_10_p_value"], wald["neg_log_10_p_value"], rtol=0.1, atol=0.05)


@pytest.mark.parametrize("variance, power", [("robust", 1), ("hc0", 0)])
@pytest.mark.parametrize("E", [None, "arm"])
def test_robust_rows_are_those_of_weights_of_one(variance, power, E):
    codes, columns = data(4)
    cohort = MemoryCohort(**columns)
    for make, trait in ((ga.Poisson, "c"), (ga.Ordinal, "y")):
        robust = run(make(trait, ["x"], variance=variance, interaction=E), cohort, codes)
        ones = run(make(trait, ["x"], weights="one", variance=variance, interaction=E), cohort, codes)
        for name in ("beta", "standard_error", "neg_log_10_p_value", "degrees_of_freedom"):
            np.testing.assert_array_equal(robust[name], ones[name])
    own, g = at(codes, columns, 1)
    D = np.column_stack([np.ones(g.size), own["x"], g])
    fit = sm.GLM(own["c"], D, sm.families.Poisson()).fit(cov_type="HC0", tol=1e-14)
    _, error, z, df = oracle.wald_rows("poisson", D[:, :2], own["c"], g, power=power)
    found = run(ga.Poisson("c", ["x"], variance=variance), cohort, codes[1:2])
    assert error == pytest.approx(fit.bse[2], rel=1e-6) or power
    assert found["standard_error"][0, 0] == pytest.approx(error, rel=1e-5)
    assert found["neg_log_10_p_value"][0, 0] == pytest.approx(-np.log10(2 * t.sf(abs(z), df)), rel=1e-4, abs=1e-6)
    levels = run(ga.Ordinal("y", ["x"], variance=variance), cohort, codes[1:2])
    expected = level_oracle.wald_rows(own["x"][:, None], own["y"], g, np.ones(g.size), power)
    assert levels["standard_error"][0, 0] == pytest.approx(expected[1], rel=1e-4)


def test_weights_and_an_interaction_of_levels():
    """In one arm the contrast of that arm is the additive row of its samples, of weights of one and a covariate with levels of its own."""
    codes, columns = data(5, missing=0.0)
    columns["x"] = np.zeros(400)
    found = run(ga.Ordinal("y", interaction="arm", weights="w"), MemoryCohort(**columns), codes)
    assert found["method"][0, 0] == "wald_hc3" and found["beta"].shape == (6, 5)
    np.testing.assert_allclose(found["beta"][:, 0] + found["beta"][:, 1], found["beta"][:, 4], rtol=1e-12)
    arms = found["beta"][:, 4]
    inside = columns["arm"] == 1
    alone = run(
        ga.Ordinal("y", weights="w"), MemoryCohort(**{name: values[inside] for name, values in columns.items()}), codes[:, inside]
    )  # fmt: skip
    # thresholds are common to both arms here and its own there
    np.testing.assert_allclose(arms, alone["beta"][:, 0], atol=0.1)


def test_polr_of_r():
    """Standard errors of an interaction of levels are those of R's MASS::polr."""
    if shutil.which("Rscript") is None:
        pytest.skip("R is not installed")
    codes, columns = data(6, V=1, missing=0.0)
    found = run(ga.Ordinal("y", ["x"], interaction="arm", test="wald"), MemoryCohort(**columns), codes)
    columns["g"] = codes[0]
    lines = [f"{name}=c({','.join(repr(float(value)) for value in columns[name])})" for name in ("x", "arm", "g", "y")]
    code = f"""suppressMessages(library(MASS)); d <- data.frame({",".join(lines)})
    fit <- polr(factor(y) ~ x + arm + g + g:arm, data=d, Hess=TRUE, control=list(reltol=1e-14))
    cat(sprintf("%.12g", c(coef(fit)[3:4], sqrt(diag(vcov(fit)))[3:4])))"""
    run_r = subprocess.run(["Rscript", "-"], input=code, capture_output=True, text=True, check=False)
    if run_r.returncode:
        pytest.skip("R has no MASS")
    b, d, b_error, d_error = map(float, run_r.stdout.split())
    # polr's optimiser stops at a relative 1e-7 or so of the deviance
    np.testing.assert_allclose(found["beta"][0, :2], [b, d], rtol=1e-3)
    np.testing.assert_allclose(found["standard_error"][0, :2], [b_error, d_error], rtol=1e-4)


@pytest.mark.parametrize("family", ["poisson", "ordinal"])
def test_few_events_and_few_carriers_have_a_code(family):
    codes, columns = data(7, V=3, missing=0.0)
    codes[1] = 0
    codes[1, np.flatnonzero(columns["arm"] == 1)[:30]] = 1  # carriers in one arm
    columns["c"] = np.where(np.arange(400) < 25, 1, 0)
    columns["y"] = np.where(np.arange(400) < 25, 1, 0)
    make = {"poisson": lambda **k: ga.Poisson("c", ["x"], **k), "ordinal": lambda **k: ga.Ordinal("y", ["x"], **k)}[
        family
    ]
    found = run(make(interaction="arm"), MemoryCohort(**columns), codes)
    assert found["code"][1, 0] == "too_few_carriers" and found["code"][0, 0] == "few_events"
    assert run(make(genetic_model="genotypic"), MemoryCohort(**columns), codes)["code"][0, 0] == "few_events"


def test_rows_alone_in_company_and_of_swapped_alleles():
    codes, columns = data(8)
    columns["c2"], columns["y2"] = columns["c"][::-1].copy(), columns["y"][::-1].copy()
    cohort = MemoryCohort(**columns)
    swapped = np.where(codes < 3, 2 - codes, 3).astype(np.uint8)
    for make, traits in ((ga.Poisson, ("c", "c2")), (ga.Ordinal, ("y", "y2"))):
        for choices in (
            {"interaction": "arm"},
            {"genetic_model": "genotypic"},
            {"variance": "robust", "interaction": "arm"},
        ):
            both = run(make(traits, ["x"], **choices), cohort, codes)
            alone = run(make(traits[:1], ["x"], **choices), cohort, codes)
            K = alone["beta"].shape[1]
            part = run(make(traits[:1], ["x"], **choices), cohort, codes[:1])
            turned = run(make(traits[:1], ["x"], **choices), cohort, swapped)
            for name in ("beta", "standard_error", "statistic", "neg_log_10_p_value"):
                assert both[name][:, :K].tobytes() == alone[name].tobytes()
                assert part[name].tobytes() == alone[name][:1].tobytes()
            one = ~np.isnan(alone["beta"][0])
            signs = np.array([-1.0, 1.0, 1.0]) if "genetic_model" in choices else np.full(K, -1.0)
            np.testing.assert_allclose(turned["beta"][:, one], (alone["beta"] * signs)[:, one], rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(turned["neg_log_10_p_value"], alone["neg_log_10_p_value"], rtol=1e-4, atol=1e-5)
