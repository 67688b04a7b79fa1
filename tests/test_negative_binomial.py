"""Negative binomial regression against plain oracles, statsmodels and R's numbers, and its invariants."""

import warnings

import numpy as np
import pytest
from glm_cohort import MemoryCohort, calls, run
from oracles import negative_binomial as oracle
from scipy.stats import norm
from statsmodels.discrete.discrete_model import NegativeBinomial as Statsmodels

import genassoc as ga
from genassoc.errors import PhenotypeError

# float32 sums against a float64 fit (statistics.md); rows done one by one are float64, Newton's last step 1e-6 SE.
SCREEN, NEWTON = 1e-5, 2e-6


def data(seed, n=400, V=16, missing=0.0, effect=0.4, alpha=0.5):
    rng = np.random.default_rng(seed)
    codes = calls(rng, n, V, missing)
    x, z = rng.standard_normal(n), rng.standard_normal(n) + 50
    time = rng.uniform(0.5, 4, n)
    rate = time * np.exp(0.3 * x + effect * np.minimum(codes[0], 2))
    y = rng.poisson(rate * (rng.gamma(1 / alpha, alpha, n) if alpha else 1.0)).astype(float)
    y[rng.random(n) < 0.03] = np.nan
    return codes, {"y": y, "x": x, "z": z, "time": time}


def parts(codes, columns, v):
    keep = (codes[v] < 3) & ~np.isnan(columns["y"])
    X = np.column_stack([np.ones(keep.sum()), columns["x"][keep], columns["z"][keep] - 50])
    return X, columns["y"][keep], codes[v][keep].astype(float), np.log(columns["time"][keep])


def model(**choices):
    return ga.NegativeBinomial("y", ["x", "z"], "time", **choices)


def statsmodels(D, y, offset, **how):
    """Its fit at the very maximum: its own start, then Newton's method."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        near = Statsmodels(y, D, offset=offset).fit(disp=0, maxiter=500)
        return Statsmodels(y, D, offset=offset).fit(near.params, method="newton", disp=0, maxiter=100, tol=1e-13, **how)


def test_score_of_all_variants():
    codes, columns = data(1)
    found = run(model(correction=None), MemoryCohort(**columns), codes)
    for v in range(len(codes)):
        X, y, g, offset = parts(codes, columns, v)
        beta, error, z, alpha = oracle.analyse_rows(X, y, g, "score", offset)
        assert found["method"][v, 0] == "score" and found["code"][v, 0] is None
        assert abs(found["statistic"][v, 0] - z) <= 2 * SCREEN * max(1, abs(z))
        assert abs(found["standard_error"][v, 0] / error - 1) <= SCREEN
        assert abs(found["beta"][v, 0] - beta) <= 2 * SCREEN * max(abs(beta), error)
        logp = -(norm.logsf(abs(z)) + np.log(2)) / np.log(10)
        assert abs(found["neg_log_10_p_value"][v, 0] - logp) <= 1e-4 * max(1, logp)
        assert found["n_events"][v, 0] == y.sum() and found["alpha"][v, 0] == pytest.approx(alpha, rel=NEWTON)


@pytest.mark.parametrize("test", ["wald", "lrt"])
def test_refits_are_statsmodels(test):
    codes, columns = data(2, V=10, missing=0.01)
    found = run(model(test=test), MemoryCohort(**columns), codes)
    for v in range(len(codes)):
        X, y, g, offset = parts(codes, columns, v)
        full, null = statsmodels(np.column_stack([X, g]), y, offset), statsmodels(X, y, offset)
        beta, error = full.params[3], full.bse[3]
        statistic = beta / error if test == "wald" else np.sign(beta) * np.sqrt(2 * (full.llf - null.llf))
        assert found["method"][v, 0] == test
        np.testing.assert_allclose(found["beta"][v, 0], beta, rtol=0, atol=NEWTON * error)
        np.testing.assert_allclose(found["standard_error_model"][v, 0], error, rtol=NEWTON)
        np.testing.assert_allclose(found["alpha"][v, 0], full.params[4], rtol=NEWTON)
        # a gain is a difference of two log likelihoods of hundreds
        assert abs(found["statistic"][v, 0] - statistic) <= 5 * NEWTON * max(1, abs(statistic))
        logp = -(norm.logsf(abs(statistic)) + np.log(2)) / np.log(10)
        np.testing.assert_allclose(found["neg_log_10_p_value"][v, 0], logp, rtol=2e-5, atol=2e-5)


# R 4, MASS 7.3: i <- 0:119; x <- sin(i * 1.3); g <- (i * 7) %% 3; time <- 0.5 + (i %% 5) / 4
# y <- floor(exp(0.4 * x + 0.25 * g + log(time) + 1.1 * sin(i * 2.7)) * (1 + (i * i) %% 7 / 4))
# fit <- glm.nb(y ~ x + g + offset(log(time)), control = glm.control(epsilon = 1e-14, maxit = 200)); null: y ~ x + offset(log(time))
# coef(summary(fit))["g", ]; c(1 / fit$theta, logLik(fit), logLik(null))
R = {
    "beta": 0.292448426231179, "error": 0.131488096217019, "alpha": 0.827082690333923, "full": -226.821136862228,
    "null": -229.290675833131,
}  # fmt: skip


def test_r_has_the_same_estimate_and_likelihood_and_a_conditional_error():
    i = np.arange(120)
    x, g, time = np.sin(i * 1.3), (i * 7) % 3, 0.5 + (i % 5) / 4
    y = np.floor(np.exp(0.4 * x + 0.25 * g + np.log(time) + 1.1 * np.sin(i * 2.7)) * (1 + (i * i) % 7 / 4))
    cohort, codes = MemoryCohort(y=y, x=x, time=time), g.astype(np.uint8)[None]
    wald, lrt = (run(ga.NegativeBinomial("y", ["x"], "time", test=test), cohort, codes) for test in ("wald", "lrt"))
    # theta of glm.nb stops at 1e-8 or so
    assert wald["beta"][0, 0] == pytest.approx(R["beta"], rel=1e-6)
    assert wald["alpha"][0, 0] == pytest.approx(R["alpha"], rel=1e-6)
    assert lrt["statistic"][0, 0] ** 2 == pytest.approx(2 * (R["full"] - R["null"]), rel=1e-6)
    # R takes alpha for known and the information for its expectation: here 1 % apart (docs/models/negative_binomial.md)
    assert wald["standard_error"][0, 0] != pytest.approx(R["error"], rel=1e-3)
    assert wald["standard_error"][0, 0] == pytest.approx(R["error"], rel=0.05)


def test_rows_below_the_bound_have_the_saddlepoint_of_their_law():
    codes, columns = data(3, V=30, effect=0.5)
    found, lrt = (run(model(**how), MemoryCohort(**columns), codes) for how in ({}, {"correction": "lrt"}))
    screen = run(model(correction=None), MemoryCohort(**columns), codes)
    below = screen["neg_log_10_p_value"][:, 0] >= -np.log10(0.05)
    assert below[0] and 1 <= below.sum() < 15
    assert (found["method"][below, 0] == "spa").all() and (found["method"][~below, 0] == "score").all()
    assert (lrt["method"][below, 0] == "lrt").all()
    # estimates are those of the maximum; their error is that of the p
    np.testing.assert_array_equal(found["beta"], lrt["beta"])
    np.testing.assert_array_equal(found["alpha"], lrt["alpha"])
    z, b = found["statistic"][below, 0], found["beta"][below, 0]
    np.testing.assert_allclose(found["standard_error"][below, 0], b / z, rtol=1e-12)
    np.testing.assert_allclose(-(norm.logsf(abs(z)) + np.log(2)) / np.log(10), found["neg_log_10_p_value"][below, 0])


def test_counts_that_vary_no_more_than_poisson_are_poisson_and_say_so():
    codes, columns = data(4, alpha=0)
    columns["y"] = np.round(columns["time"] * np.exp(0.3 * columns["x"])) + np.arange(400) % 2
    found = run(model(), MemoryCohort(**columns), codes)
    assert "alpha 0: no more variance than Poisson's" in " ".join(found["state"].notes)
    assert (found["alpha"] == 0).all()
    poisson = ga.Poisson("y", ["x", "z"], "time", dispersion="poisson", correction="lrt")
    other = run(poisson, MemoryCohort(**columns), codes)
    for name in ("beta", "standard_error", "neg_log_10_p_value"):
        np.testing.assert_allclose(found[name], other[name], rtol=2e-6, atol=2e-6)
    # alpha of a row may be 0 where its trait's is not: a hit explains all of it
    rng = np.random.default_rng(1)
    g = (np.arange(300) % 3).astype(np.uint8)
    y = np.where(g == 2, 12.0, 2.0) + rng.integers(0, 2, 300)
    found = run(ga.NegativeBinomial("y", test="wald"), MemoryCohort(y=y), g[None])
    assert found["state"].nulls[0].shape > 0.3 and found["alpha"][0, 0] == 0.0 and found["code"][0, 0] is None


def test_few_events_have_no_estimate_and_say_why():
    codes, columns = data(5)
    columns["y"] = np.where(np.arange(400) < 20, 1.0, 0.0)
    found = run(model(test="lrt"), MemoryCohort(**columns), codes)
    assert (found["code"] == "few_events").all() and np.isnan(found["beta"]).all()
    assert "the dispersion is unknown" in " ".join(found["state"].notes)


def test_missing_calls_take_the_mean():
    codes, columns = data(6, missing=0.02)
    columns["y"] = np.nan_to_num(columns["y"])
    found = run(ga.NegativeBinomial("y", ["x"], missing="mean", correction=None), MemoryCohort(**columns), codes)
    for v in range(len(codes)):
        seen = codes[v] < 3
        g = np.where(seen, codes[v], codes[v][seen].mean())
        z = oracle.analyse_rows(np.column_stack([np.ones(len(g)), columns["x"]]), columns["y"], g, "score")[2]
        assert abs(found["statistic"][v, 0] - z) <= 2 * SCREEN * max(1, abs(z))


def test_codes_and_refusals():
    codes, columns = data(7, V=5)
    codes[0], codes[1] = 0, 1
    codes[2] = 0
    codes[2, :3] = 1
    columns["g3"] = codes[3].astype(float)
    found = run(ga.NegativeBinomial("y", ["x", "g3"]), MemoryCohort(**columns), codes)
    assert found["code"][:4, 0].tolist() == ["monomorphic", "constant_genotype", "too_few_carriers", "collinear"]
    columns["y"][0] = 2e6
    with pytest.raises(PhenotypeError, match="counts up to 2,000,000"):
        ga.NegativeBinomial("y").prepare(MemoryCohort(**columns))
    with pytest.raises(ValueError, match="correction is one of"):
        ga.NegativeBinomial("y", correction="firth")


def test_a_missing_exposure_leaves_the_sample_out():
    _, columns = data(9)
    columns["time"][:7] = np.nan
    cohort = MemoryCohort(**columns)
    state = model().prepare(cohort)
    assert state.n_by_trait == [int((~np.isnan(columns["y"][7:])).sum())] and state.n_incomplete == 7


def test_carriers_without_an_event_have_a_ratio_and_no_wald_test():
    rng = np.random.default_rng(10)
    y = rng.poisson(3 * rng.gamma(2, 0.5, 400)).astype(float)
    codes = calls(rng, 400, 2)
    codes[1] = 0
    codes[1, np.flatnonzero(y == 0)[:12]] = 1
    found = run(ga.NegativeBinomial("y", test="lrt"), MemoryCohort(y=y), codes)
    assert found["code"][1, 0] == "separated" and found["statistic"][1, 0] < -3
    corrected = run(ga.NegativeBinomial("y"), MemoryCohort(y=y), codes)
    assert corrected["code"][1, 0] == "separated" and corrected["method"][1, 0] == "spa"
