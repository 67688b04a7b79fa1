"""Proportional odds with sampling weights: plain oracles, statsmodels, weighted logistic regression, the null."""

import numpy as np
import pytest
from glm_cohort import MemoryCohort, calls, run
from oracles import ordinal_weighted as oracle
from scipy.stats import t
from statsmodels.miscmodels.ordinal_model import OrderedModel

import genassoc as ga
from genassoc.kernels.laws import sandwich
from genassoc.kernels.likelihoods import ordinal_tiles, ordinal_weighted, rows
from genassoc.kernels.likelihoods.newton import climb_of

# Newton's method stops when the step left is a millionth of a standard error; the oracle's second derivatives are differences.
NEWTON, DIFFERENCES = 2e-6, 2e-5


def wald(G, samples, variance, fits):
    """Wald tests of one column of each row."""
    tests = ordinal_weighted.Tests(rows.WALD, variance, np.ones((1, 1)), np.empty((0, 1, 1)))
    ordinal_weighted.fit_rows(G[:, None], samples, tests, fits, np.empty((len(G), 1)))


@pytest.mark.kernel
@pytest.mark.parametrize("power", [0, 1])
def test_wald_rows(power):
    rng = np.random.default_rng(1)
    n = 40
    x, prior = rng.normal(size=n), rng.uniform(0.2, 3, n)
    X = np.linalg.qr(np.column_stack([np.ones(n), x]))[0]
    X *= np.sign(X[0, 0])
    level = np.searchsorted([-0.8, 0.3, 1.2], x + rng.logistic(size=n))
    g = rng.binomial(2, 0.4, n).astype(float)
    lost = g.copy()
    lost[[3, 7]] = np.nan
    without = np.where(level == 3, np.nan, g)  # a level is lost
    top = (level == 3) * 1.0  # all carriers in the highest level
    G = np.array([g, lost, without, X[:, 1], top, np.where(level == 1, g, np.nan)])
    start = oracle.fit(X[:, 1:], level, prior, 3)
    mine = np.concatenate([np.array([-1.0, 0.0, 1.0]), np.zeros(1)])
    ordinal_weighted.start_thresholds(level, prior, 3, mine[:3])
    np.testing.assert_allclose(mine[:3], oracle.start_thresholds(level, prior, 3), rtol=1e-12)
    none = np.zeros(n)

    def samples(columns, parameters):
        return ordinal_weighted.OrdinalSamples(np.ascontiguousarray(columns), level, 4, none, prior, parameters)

    def laid_out(columns):
        return ordinal_tiles.laid_out(np.ascontiguousarray(columns), level, none, prior, 3)

    assert ordinal_tiles.fit(laid_out(X[:, 1:]), 4, 0, mine, climb_of(np.zeros((4, 4))))[0] == rows.FINE
    np.testing.assert_allclose(mine, start, rtol=0, atol=NEWTON * 3)
    J, gradient = np.empty((5, 5)), np.empty(5)
    D, at = np.column_stack([x, g]), np.array([-0.7, 0.2, 1.0, 0.4, -0.3])
    total = ordinal_tiles.likelihood(laid_out(D), at, J, gradient)
    expected = oracle.accumulate(D, level, prior, at, 3)
    np.testing.assert_allclose(total, expected[0], rtol=1e-12)
    np.testing.assert_allclose(J, expected[1], rtol=DIFFERENCES, atol=1e-7)
    np.testing.assert_allclose(gradient, expected[2], rtol=1e-10, atol=1e-12)
    fits = sandwich.room(6, 1, 1)
    wald(G, samples(X, start), power, fits)
    unfit = [rows.COLLINEAR, rows.NOT_CONVERGED, rows.ONE_OUTCOME]
    assert fits.status.tolist() == [rows.FINE] * 3 + unfit and np.isnan(fits.theta[3:]).all() and not fits.dropped.any()
    for row, values in enumerate((g, lost, without)):
        beta, error, z, df = oracle.wald_rows(X[:, 1:], level, values, prior, power)
        assert abs(fits.theta[row, 0] - beta) <= NEWTON * error
        np.testing.assert_allclose(
            [fits.covariance[row, 0, 0] ** 0.5, fits.freedom[row, 0]], [error, df], rtol=DIFFERENCES
        )
        assert fits.theta[row, 0] / error == pytest.approx(z, rel=DIFFERENCES, abs=DIFFERENCES)


@pytest.mark.kernel
def test_several_columns():
    """The score of two columns at the null in its expected information, and likelihood ratios of each and of both."""
    rng = np.random.default_rng(6)
    n, M = 60, 2
    x, e = rng.normal(size=(2, n))
    X = np.linalg.qr(np.column_stack([np.ones(n), x]))[0]
    level, g = np.arange(n) % 3, rng.binomial(2, 0.4, n).astype(float)
    H = np.array([[g, g * e]])
    H[0, :, 5] = np.nan
    keep, ones = ~np.isnan(H[0, 0]), np.ones(n)
    D = np.column_stack([X[:, 1], H[0].T])[keep]
    D[:, 1:] -= D[:, 1:].mean(axis=0)
    start = oracle.fit(X[:, 1:], level, ones, M)
    samples = ordinal_weighted.OrdinalSamples(X, level, M + 1, np.zeros(n), ones, start)
    rotations = np.array([[[0.0, 1.0], [1.0, 0.0]], [[1.0, 0.0], [0.0, 1.0]]])
    found = {}
    for test in (rows.SCORE, rows.LRT):
        fits, gains = sandwich.room(1, 2, 3), np.full((1, 3), np.nan)
        tests = ordinal_weighted.Tests(test, sandwich.MODEL, np.zeros((3, 2)), rotations)
        ordinal_weighted.fit_rows(H, samples, tests, fits, gains)
        assert fits.status[0] == rows.FINE
        found[test] = fits.theta[0], fits.covariance[0], gains[0]

    def maximum(columns):
        at = oracle.fit(columns, level[keep], ones[keep], M)
        return at, oracle.accumulate(columns, level[keep], ones[keep], at, M)[0]

    at = np.append(maximum(D[:, :1])[0], [0.0, 0.0])
    J = oracle.expected_informations(D, at, M).sum(axis=0)
    gradient = oracle.accumulate(D, level[keep], ones[keep], at, M)[2]
    theta, covariance, _ = found[rows.SCORE]
    np.testing.assert_allclose(theta, np.linalg.solve(J, gradient)[3:], rtol=NEWTON, atol=NEWTON)
    np.testing.assert_allclose(covariance, np.linalg.inv(J)[3:, 3:], rtol=NEWTON)
    full, objective = maximum(D)
    held = [maximum(D[:, columns])[1] for columns in ([0, 2], [0, 1], [0])]
    np.testing.assert_allclose(found[rows.LRT][0], full[3:], rtol=NEWTON, atol=NEWTON)
    np.testing.assert_allclose(found[rows.LRT][2], 2.0 * (objective - np.array(held)), rtol=1e-6, atol=1e-9)


def data(seed, n=300, V=10, missing=0.0, effect=0.5, cuts=(-0.5, 1.0, 2.2)):
    rng = np.random.default_rng(seed)
    codes, x = calls(rng, n, V, missing), rng.standard_normal(n)
    y = np.searchsorted(cuts, 0.5 * x + effect * np.minimum(codes[0], 2) + rng.logistic(size=n)).astype(float)
    y[rng.random(n) < 0.03] = np.nan
    return codes, {"y": y, "x": x, "w": np.where(y > 1, 1.0, 5.0) * rng.uniform(0.8, 1.2, n)}


@pytest.mark.parametrize("variance", ["auto", "hc0"])
def test_rows_are_those_of_the_oracle(variance):
    codes, columns = data(2, V=6, missing=0.02)
    columns["w"][4] = np.nan
    found = run(ga.Ordinal("y", ["x"], weights="w", variance=variance), MemoryCohort(**columns), codes)
    for v in range(len(codes)):
        keep = (codes[v] < 3) & ~np.isnan(columns["y"]) & ~np.isnan(columns["w"])
        beta, error, z, df = oracle.wald_rows(
            columns["x"][keep, None], columns["y"][keep].astype(int), codes[v][keep] * 1.0, columns["w"][keep],
            int(variance == "auto"),
        )  # fmt: skip
        logp = t.logsf(abs(z), df)
        assert found["method"][v, 0] == ("wald_hc3" if variance == "auto" else "wald_hc0")
        assert abs(found["beta"][v, 0] - beta) <= NEWTON * error
        assert found["standard_error"][v, 0] == pytest.approx(error, rel=DIFFERENCES)
        assert found["neg_log_10_p_value"][v, 0] == pytest.approx(-(logp + np.log(2)) / np.log(10), rel=1e-4)
        assert found["degrees_of_freedom"][v, 0] == pytest.approx(df, rel=DIFFERENCES)
        assert found["n"][v, 0] == keep.sum()


def test_equal_weights_have_statsmodels_maximum_and_its_robust_variance():
    codes, columns = data(3, V=4)
    columns["w"][:] = 2.5
    found = run(ga.Ordinal("y", ["x"], weights="w", variance="hc0"), MemoryCohort(**columns), codes)
    for v in range(len(codes)):
        keep = ~np.isnan(columns["y"])
        D = np.column_stack([columns["x"], codes[v]])[keep]
        model = OrderedModel(columns["y"][keep].astype(int), D, distr="logit")
        fit = model.fit(method="newton", disp=0, tol=1e-12)
        scores = model.score_obs(fit.params)  # by finite differences, as its second derivatives: four digits
        bread = np.linalg.inv(model.hessian(fit.params))
        error = np.sqrt((bread @ scores.T @ scores @ bread)[1, 1])
        assert abs(found["beta"][v, 0] - fit.params[1]) <= 1e-5 * error
        assert found["standard_error"][v, 0] == pytest.approx(error, rel=1e-4)


@pytest.mark.parametrize("variance", ["auto", "hc0"])
def test_two_levels_are_weighted_logistic_regression(variance):
    codes, columns = data(4, missing=0.02, cuts=(0.3,))
    cohort = MemoryCohort(**columns)
    ours = run(ga.Ordinal("y", ["x"], weights="w", variance=variance), cohort, codes)
    logistic = run(ga.Logistic("y", ["x"], weights="w", variance=variance), cohort, codes)
    for name in ("beta", "standard_error", "statistic", "neg_log_10_p_value", "degrees_of_freedom", "ci_lower", "n"):
        if name in logistic:
            np.testing.assert_allclose(ours[name], logistic[name], rtol=1e-5, atol=1e-5)


def test_rows_by_allele_company_unit_and_order():
    codes, columns = data(5, missing=0.03)
    columns["kilo"], columns["up"], columns["other"] = columns["w"] * 1000, 3 - columns["y"], columns["y"] // 2
    cohort = MemoryCohort(**columns)
    both = run(ga.Ordinal(["other", "y"], ["x"], weights="w"), cohort, codes)
    alone, part = (run(ga.Ordinal("y", ["x"], weights="w"), cohort, c) for c in (codes, codes[:4]))
    heavy = run(ga.Ordinal("y", ["x"], weights="kilo"), cohort, codes)
    upside_down = run(ga.Ordinal("up", ["x"], weights="w"), cohort, codes)
    swapped = run(ga.Ordinal("y", ["x"], weights="w"), cohort, np.where(codes < 3, 2 - codes, 3).astype(np.uint8))
    for name in ("beta", "standard_error", "neg_log_10_p_value", "degrees_of_freedom"):
        sign = -1.0 if name == "beta" else 1.0
        assert np.ascontiguousarray(both[name][:, 1]).tobytes() == alone[name][:, 0].tobytes()
        assert alone[name][:4].tobytes() == part[name].tobytes()
        np.testing.assert_allclose(heavy[name], alone[name], rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(swapped[name], sign * alone[name], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(upside_down[name], sign * alone[name], rtol=1e-5, atol=1e-6)


def test_codes_notes_and_words():
    codes, columns = data(6, V=8)
    columns["word"] = np.array(["none", "mild", "severe", "severe"])[np.nan_to_num(columns["y"]).astype(int)]
    codes[0], codes[1], codes[3], codes[4] = 0, 0, 0, 0
    codes[1, :3] = 1
    codes[3, np.flatnonzero(columns["y"] == 3)] = 1  # all carriers in the highest level
    columns["g4"] = (np.arange(300) % 3 == 0) * 1.0
    codes[4] = columns["g4"]
    codes[5] = np.where(columns["y"] == 1, codes[5], 3)
    cohort = MemoryCohort(**columns)
    found = run(ga.Ordinal("y", ["x", "g4"], weights="w"), cohort, codes)
    assert found["code"][[0, 1, 3, 4, 5], 0].tolist() == [
        "monomorphic", "too_few_carriers", "not_converged", "collinear", "one_outcome",
    ]  # fmt: skip
    bad = np.isin(np.arange(8), [0, 1, 3, 4, 5])
    for name in ("beta", "standard_error", "statistic", "neg_log_10_p_value", "degrees_of_freedom"):
        assert np.isnan(found[name][bad]).all() and not np.isnan(found[name][~bad]).any()
    words = run(ga.Ordinal("word", ["x"], levels=("none", "mild", "severe"), weights="w"), cohort, codes)
    notes = " | ".join(words["state"].notes)
    assert "none < mild < severe" in notes and "(Kish)" in notes and "samples a level" in notes
    columns["w"][:3] = [np.nan, 0, 0]
    state = ga.Ordinal("word", ["x"], levels=("none", "mild", "severe"), weights="w").prepare(MemoryCohort(**columns))
    assert state.n_by_trait == [297] and state.n_incomplete == 3
    for choices, message in (
        ({"test": "lrt"}, "not chi-squared"),
        ({"variance": "model"}, "need a sandwich variance"),
        ({"genetic_model": "genotypic"}, "genetic_model"),
    ):
        with pytest.raises(ValueError, match=message):
            ga.Ordinal("y", ["x"], **({"weights": "w"} | choices))


@pytest.mark.kernel
def test_a_sample_that_fits_itself():
    n = 12
    x, level = np.linspace(-1, 1, n), np.arange(n) % 3
    X = np.column_stack([np.full(n, n**-0.5), x / np.linalg.norm(x)])
    g, prior, start = np.zeros((1, n)), np.ones(n), np.array([-0.7, 0.7, 0.0])
    g[0, 4] = 1.0  # one carrier, in the middle level
    samples = ordinal_weighted.OrdinalSamples(X, level, 3, np.zeros(n), prior, start)
    fits = sandwich.room(1, 1, 1)
    wald(g, samples, sandwich.HC3, fits)
    assert fits.status[0] == rows.LEVERAGE
    wald(g, samples, sandwich.HC0, fits)
    assert fits.status[0] == rows.FINE


def test_null_is_not_found_where_carriers_are_few():
    """High grades sampled twelve times as often: sizes with few carriers and many."""
    rng = np.random.default_rng(7)
    n, V = 800, 1500
    x = rng.standard_normal(n)
    y = np.searchsorted([0.0, 1.5, 3.0], 0.5 * x + rng.logistic(size=n)).astype(float)
    cohort = MemoryCohort(y=y, x=x, w=np.where(y > 1, 1.0, 12.0))
    for frequency in (0.01, 0.3):
        codes = rng.binomial(2, frequency, (V, n)).astype(np.uint8)
        p = 10.0 ** -run(ga.Ordinal("y", ["x"], weights="w"), cohort, codes)["neg_log_10_p_value"][:, 0]
        p = p[~np.isnan(p)]
        for level in (0.05, 0.01):
            # never more than the level by three binomial standard deviations; with many carriers not far below it
            assert (p < level).mean() <= level + 3 * np.sqrt(level * (1 - level) / p.size)
            assert frequency < 0.1 or (p < level).mean() >= 0.5 * level
