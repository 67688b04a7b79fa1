"""Cox regression with sampling weights: lifelines' robust fits, every risk set spelt out, and a case-cohort sample."""

import numpy as np
import polars as pl
import pytest
from glm_cohort import MemoryCohort, calls, run
from lifelines import CoxPHFitter
from oracles import cox_weighted as oracle
from scipy.stats import t

import genassoc as ga
from genassoc.kernels.laws import sandwich
from genassoc.kernels.likelihoods import cox_sums, cox_weighted, rows
from genassoc.stats.risk_sets import risk_sets

# Newton's method stops when the step left is a millionth of a standard error.
NEWTON = 2e-6


def data(seed, n=300, V=10, missing=0.0, ties=False):
    rng = np.random.default_rng(seed)
    codes = calls(rng, n, V, missing)
    x = rng.standard_normal(n)
    time = rng.exponential(np.exp(-0.4 * x - 0.4 * np.minimum(codes[0], 2)))
    end = rng.exponential(1.0, n)
    time, event = np.minimum(time, end), (time <= end) * 1.0
    return codes, {
        "time": np.ceil(time * 8) if ties else time, "event": event, "x": x,
        "w": np.where(event == 1, 1.0, 4.0) * rng.uniform(0.8, 1.2, n), "site": rng.integers(0, 3, n),
        "entry": np.where(rng.random(n) < 0.3, 0.2, 0.0) * (0.0 if ties else time),
    }  # fmt: skip


def test_rows_are_lifelines_robust():
    codes, columns = data(1, missing=0.02)
    found = run(ga.Cox("time", "event", ["x"], weights="w"), MemoryCohort(**columns), codes)
    for v in range(len(codes)):
        keep = codes[v] < 3
        table = pl.DataFrame({k: columns[k][keep] for k in ("time", "event", "x", "w")}).with_columns(
            g=codes[v][keep] * 1.0
        )
        fit = CoxPHFitter().fit(
            table.to_pandas(), "time", "event", weights_col="w", robust=True, fit_options={"precision": 1e-12}
        )
        beta, error = fit.params_["g"], fit.standard_errors_["g"]
        assert found["method"][v, 0] == "wald_robust" and found["n"][v, 0] == keep.sum()
        assert abs(found["beta"][v, 0] - beta) <= NEWTON * error
        assert found["standard_error"][v, 0] == pytest.approx(error, rel=1e-5)  # lifelines' own last step
        df = found["degrees_of_freedom"][v, 0]
        assert 2 < df < keep.sum()  # carriers, fewer where their weights differ
        logp = -(t.logsf(abs(beta / error), df) + np.log(2)) / np.log(10)
        assert found["neg_log_10_p_value"][v, 0] == pytest.approx(logp, rel=1e-4)


def test_robust_without_weights_is_lifelines_robust():
    codes, columns = data(4, missing=0.02)
    found = run(ga.Cox("time", "event", ["x"], variance="robust"), MemoryCohort(**columns), codes)
    for v in range(len(codes)):
        keep = codes[v] < 3
        table = pl.DataFrame({k: columns[k][keep] for k in ("time", "event", "x")}).with_columns(g=codes[v][keep] * 1.0)
        fit = CoxPHFitter().fit(table.to_pandas(), "time", "event", robust=True, fit_options={"precision": 1e-12})
        assert found["method"][v, 0] == "wald_robust"
        assert abs(found["beta"][v, 0] - fit.params_["g"]) <= NEWTON * fit.standard_errors_["g"]
        assert found["standard_error"][v, 0] == pytest.approx(fit.standard_errors_["g"], rel=1e-5)  # as above


def test_what_a_robust_variance_does_not_go_with():
    for choice in ({"test": "lrt"}, {"correction": "firth"}, {"genetic_model": "genotypic"}):
        with pytest.raises(ValueError, match="variance='robust'"):
            ga.Cox("time", "event", ["x"], variance="robust", **choice)
    with pytest.raises(ValueError, match="weights are sampling weights"):
        ga.Cox("time", "event", ["x"], variance="model", weights="w")


@pytest.mark.parametrize("ties", ["efron", "breslow"])
def test_ties_strata_and_late_entry(ties):
    codes, columns = data(2, missing=0.02, ties=True)
    late = np.random.default_rng(2).random(300) < 0.3
    columns["entry"] = np.where(late, np.maximum(columns["time"] - 2, 0), 0.0)
    model = ga.Cox("time", "event", ["x"], entry="entry", strata="site", ties=ties, weights="w")
    found = run(model, MemoryCohort(**columns), codes)
    for v in range(len(codes)):
        g = np.where(codes[v] < 3, codes[v], np.nan)
        beta, error, z = oracle.wald_rows(
            columns["x"][:, None], columns["w"], g, columns["time"], columns["event"] == 1, columns["entry"],
            columns["site"], ties == "efron",
        )  # fmt: skip
        assert abs(found["beta"][v, 0] - beta) <= NEWTON * error
        assert found["standard_error"][v, 0] == pytest.approx(error, rel=NEWTON)
        assert found["statistic"][v, 0] == pytest.approx(z, rel=NEWTON, abs=NEWTON)


def test_equal_weights_have_the_maximum_of_no_weights():
    codes, columns = data(3, ties=True)
    columns["w"][:] = 2.5
    cohort = MemoryCohort(**columns)
    ours = run(ga.Cox("time", "event", ["x"], weights="w"), cohort, codes)
    plain = run(ga.Cox("time", "event", ["x"], test="wald", correction=None), cohort, codes)
    np.testing.assert_allclose(ours["beta"], plain["beta"], rtol=1e-5, atol=1e-6)
    for name in ("n", "n_events", "mac", "effect_allele_frequency_events"):
        np.testing.assert_allclose(ours[name], plain[name])


def test_a_case_cohort_sample_estimates_the_cohort():
    """All events and a tenth of the others of 12,000: effects of the full cohort, with intervals that hold it."""
    rng = np.random.default_rng(4)
    n = 12_000
    codes, columns = data(5, n=n, V=20)
    columns["event"] *= rng.random(n) < 0.15
    full = run(ga.Cox("time", "event", ["x"], weights="one"), MemoryCohort(**columns, one=np.ones(n)), codes)
    keep = (columns["event"] == 1) | (rng.random(n) < 0.1)
    sampled = {name: values[keep] for name, values in columns.items()}
    sampled["w"] = np.where(sampled["event"] == 1, 1.0, 10.0)
    part = run(ga.Cox("time", "event", ["x"], weights="w"), MemoryCohort(**sampled), codes[:, keep])
    inside = (part["ci_lower"] <= full["beta"]) & (full["beta"] <= part["ci_upper"])
    assert inside.mean() >= 0.9  # 20 intervals of 95 %, of an estimate that shares the events
    assert part["ci_lower"][0, 0] > 0
    unweighted = run(
        ga.Cox("time", "event", ["x"], weights="one"), MemoryCohort(**sampled, one=np.ones(keep.sum())), codes[:, keep]
    )
    assert abs(part["beta"][0, 0] - full["beta"][0, 0]) < abs(unweighted["beta"][0, 0] - full["beta"][0, 0])


def test_rows_without_an_estimate_and_choices_refused():
    codes, columns = data(6, V=4)
    codes[1] = 0
    codes[1, np.flatnonzero(columns["event"] == 0)[:30]] = 1
    codes[2] = np.where(columns["event"] == 1, 3, codes[2])
    columns["w"][:2] = [np.nan, 0]
    cohort = MemoryCohort(**columns)
    found = run(ga.Cox("time", "event", ["x"], weights="w"), cohort, codes)
    assert found["code"][1:3, 0].tolist() == ["no_carrier_events", "no_events"]
    assert found["state"].n_by_trait == [298] and found["state"].n_incomplete == 2
    assert any("(Kish)" in note for note in found["state"].notes)
    for choices, message in (
        ({"test": "lrt"}, "not chi-squared"),
        ({"correction": "firth"}, "Leave correction='firth' out"),
        ({"genetic_model": "genotypic"}, "one column of genotypes"),
        ({"weights": ["a", "b"]}, "weights is the name"),
    ):
        with pytest.raises(ValueError, match=message):
            ga.Cox("time", "event", ["x"], **{"weights": "w", **choices})


def test_null_is_not_found_where_carriers_are_few():
    rng = np.random.default_rng(7)
    _, columns = data(7, n=700)
    for frequency in (0.01, 0.3):
        codes = rng.binomial(2, frequency, (800, 700)).astype(np.uint8)
        found = run(ga.Cox("time", "event", ["x"], weights="w"), MemoryCohort(**columns), codes)
        p = 10.0 ** -found["neg_log_10_p_value"][:, 0]
        p = p[~np.isnan(p)]
        for level in (0.05, 0.01):
            # three binomial standard deviations
            assert (p < level).mean() <= level + 3 * np.sqrt(level * (1 - level) / p.size)
            assert frequency < 0.1 or (p < level).mean() >= 0.5 * level


@pytest.mark.kernel
@pytest.mark.parametrize("efron", [True, False])
def test_wald_rows(efron):
    rng = np.random.default_rng(8)
    n = 24
    stratum = np.repeat([0, 1], n // 2)
    time, event = np.ceil(rng.exponential(3, n)), rng.random(n) < 0.6
    event[0] = True
    entry, prior = np.where(rng.random(n) < 0.2, time - 1, -np.inf), rng.uniform(0.5, 3, n)
    x = rng.normal(size=n)
    for s in (0, 1):
        x[stratum == s] -= x[stratum == s].mean()
    X = np.column_stack([np.full(n, n**-0.5), x / np.linalg.norm(x)])
    g = rng.binomial(2, 0.5, n).astype(float)
    lost = g.copy()
    lost[[3, 15]] = np.nan
    sets, _ = risk_sets(time, event, entry, stratum, efron)
    assert isinstance(sets, cox_sums.RiskSets)
    own = time, event, entry, stratum, efron
    D, beta = np.column_stack([x, g]), np.array([0.3, -0.4])
    gradient, J, w = np.empty(2), np.empty((2, 2)), np.empty(n)
    none = np.zeros(n)
    total = cox_weighted.weighted_likelihood(cox_weighted.CoxSamples(D, sets, none, prior, beta), beta, w, gradient, J)
    expected = oracle.weighted_likelihood(D, prior, beta, *own)
    np.testing.assert_allclose(total, expected[0], rtol=1e-10)
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-9, atol=1e-10)
    np.testing.assert_allclose(J, expected[2], rtol=1e-9, atol=1e-10)
    out, squares = np.empty(n), np.empty(n)
    cox_weighted.influences(np.ascontiguousarray(D[:, 1]), prior, w, sets, out, squares)
    np.testing.assert_allclose(out, oracle.influences(D, prior, beta, *own)[:, 1], rtol=1e-9, atol=1e-10)
    assert (squares >= 0).all()
    start = np.zeros(1)
    samples = cox_weighted.CoxSamples(np.ascontiguousarray(X[:, 1:]), sets, none, prior, start)
    cox_weighted.fit(samples, 0, start, w, np.zeros((1, 1)))
    np.testing.assert_allclose(start, oracle.fit(X[:, 1:], prior, *own), rtol=NEWTON, atol=NEWTON)
    never = np.where(event, 0.0, 1.0) * (np.arange(n) % 2)
    G = np.array([g, lost, X[:, 1], never, np.where(event, np.nan, g)])
    fits, only = sandwich.room(5, 1, 1), np.ones((1, 1))
    cox_weighted.wald_rows(G[:, None], cox_weighted.CoxSamples(X, sets, none, prior, start), only, fits)
    assert fits.status.tolist() == [rows.FINE, rows.FINE, rows.COLLINEAR, rows.RUNAWAY, rows.ONE_OUTCOME]
    for row, values in enumerate((g, lost)):
        beta, error = fits.theta[row, 0], fits.covariance[row, 0, 0] ** 0.5
        expected = oracle.wald_rows(x[:, None], prior, values, *own)
        np.testing.assert_allclose([beta, error, beta / error], expected, rtol=NEWTON, atol=NEWTON)
