"""Proportional odds against plain oracles, statsmodels' OrderedModel and logistic regression, and its invariants."""

import numpy as np
import pytest
from glm_cohort import MemoryCohort, calls, run
from oracles import ordinal as oracle
from oracles.proportional_odds import proportional_odds_chi2
from scipy.stats import chi2, hypergeom, norm
from small_cohort import bits
from statsmodels.miscmodels.ordinal_model import OrderedModel

import genassoc as ga
from genassoc.data.block import DosageBlock
from genassoc.errors import PhenotypeError

# float32 sums against a float64 fit (statistics.md); rows done one by one are float64, Newton's last step 1e-6 SE.
SCREEN, NEWTON = 1e-5, 2e-6


def data(seed, n=400, V=24, missing=0.0, effect=0.5, cuts=(-0.5, 1.0, 2.2)):
    rng = np.random.default_rng(seed)
    codes = calls(rng, n, V, missing)
    x, z = rng.standard_normal(n), rng.standard_normal(n) + 50
    latent = 0.5 * x + effect * np.minimum(codes[0], 2) + rng.logistic(size=n)
    y = np.searchsorted(cuts, latent).astype(float)
    y[rng.random(n) < 0.03] = np.nan
    return codes, {"y": y, "x": x, "z": z}


def parts(codes, columns, v):
    keep = (codes[v] < 3) & ~np.isnan(columns["y"])
    X = np.column_stack([columns["x"][keep], columns["z"][keep] - 50])
    return X, columns["y"][keep].astype(int), codes[v][keep].astype(float)


def test_score_of_all_variants():
    codes, columns = data(1)
    found = run(ga.Ordinal("y", ["x", "z"], correction=None), MemoryCohort(**columns), codes)
    for v in range(len(codes)):
        beta, error, z = oracle.analyse_rows(*parts(codes, columns, v), "score")
        assert found["method"][v, 0] == "score" and found["code"][v, 0] is None
        assert abs(found["statistic"][v, 0] - z) <= 2 * SCREEN * max(1, abs(z))
        assert abs(found["standard_error"][v, 0] / error - 1) <= SCREEN
        assert abs(found["beta"][v, 0] - beta) <= 2 * SCREEN * max(abs(beta), error)
        logp = -(norm.logsf(abs(z)) + np.log(2)) / np.log(10)
        assert abs(found["neg_log_10_p_value"][v, 0] - logp) <= 1e-4 * max(1, logp)


def test_refits_are_statsmodels():
    codes, columns = data(2, V=8, missing=0.01)
    cohort = MemoryCohort(**columns)
    wald, lrt = (run(ga.Ordinal("y", ["x", "z"], test=test), cohort, codes) for test in ("wald", "lrt"))
    for v in range(len(codes)):
        X, y, g = parts(codes, columns, v)
        full = OrderedModel(y, np.column_stack([X, g]), distr="logit").fit(method="newton", disp=0, tol=1e-12)
        null = OrderedModel(y, X, distr="logit").fit(method="newton", disp=0, tol=1e-12)
        beta, error = full.params[2], full.bse[2]  # of the Hessian, by finite differences: five digits
        np.testing.assert_allclose(wald["beta"][v, 0], beta, rtol=0, atol=1e-5 * error)
        np.testing.assert_allclose(wald["standard_error"][v, 0], error, rtol=2e-5)
        np.testing.assert_allclose(lrt["statistic"][v, 0] ** 2, 2 * (full.llf - null.llf), rtol=1e-5, atol=1e-6)
        assert wald["method"][v, 0] == "wald" and lrt["method"][v, 0] == "lrt"


@pytest.mark.parametrize("test", ["score", "wald", "lrt"])
def test_two_levels_are_logistic_regression(test):
    codes, columns = data(3, V=40, missing=0.004, cuts=(0.8,))
    cohort = MemoryCohort(**columns)
    choices = {"test": test, "correction": None, "correct_below": 0.05}
    ours = run(ga.Ordinal("y", ["x", "z"], **choices), cohort, codes)
    logistic = ga.Logistic("y", ["x", "z"], **choices)
    theirs = run(logistic, cohort, codes)
    assert ours["code"].tolist() == theirs["code"].tolist()
    same = ours["method"] == theirs["method"]
    assert same.mean() > 0.9  # when the null is refitted for missing calls is asked of residuals, there of cases
    for name in ("beta", "standard_error", "statistic", "neg_log_10_p_value"):
        np.testing.assert_allclose(ours[name][same], theirs[name][same], rtol=5e-5, atol=2e-5)


def test_rows_below_the_bound_are_refitted():
    codes, columns = data(4, V=60, effect=0.9)
    cohort = MemoryCohort(**columns)
    found = run(ga.Ordinal("y", ["x", "z"]), cohort, codes)
    screen = run(ga.Ordinal("y", ["x", "z"], correction=None), cohort, codes)
    below = screen["neg_log_10_p_value"][:, 0] >= -np.log10(0.05)
    assert below[0] and 1 < below.sum() < 20
    assert (found["method"][below, 0] == "lrt").all() and (found["method"][~below, 0] == "score").all()
    for v in np.flatnonzero(below):
        beta, _, statistic = oracle.analyse_rows(*parts(codes, columns, v), "lrt")
        assert found["statistic"][v, 0] == pytest.approx(statistic, rel=NEWTON)
        assert found["beta"][v, 0] == pytest.approx(beta, rel=NEWTON)
        assert found["beta"][v, 0] / found["standard_error"][v, 0] == pytest.approx(statistic, rel=NEWTON)


def test_missing_calls():
    codes, columns = data(5, n=3000, V=40, missing=0.001)
    top = np.flatnonzero(columns["y"] == 3)
    codes[1, top[:15]] = 3  # missing in the highest level: one step is not enough
    found = run(ga.Ordinal("y", ["x", "z"], correction=None, correct_below=0), MemoryCohort(**columns), codes)
    assert {"score", "score_approx"} == set(found["method"][:, 0]) and found["method"][1, 0] == "score"
    for v in range(len(codes)):
        z = oracle.analyse_rows(*parts(codes, columns, v), "score")[2]
        # One Newton step of the null, up to 1 % of calls missing at random: as for logistic regression.
        allowed = 2 * SCREEN if found["method"][v, 0] == "score" else 2e-3
        assert abs(found["statistic"][v, 0] - z) <= allowed * max(1, abs(z))


def test_a_level_lost_refits():
    codes, columns = data(6, n=2000, V=2)
    columns["y"][columns["y"] == 1] = 0
    rare = np.flatnonzero(columns["y"] == 0)[:4]
    columns["y"][rare] = 1  # four samples in the middle: their residual is next to nothing
    codes[1, rare] = 3
    found = run(ga.Ordinal("y", ["x", "z"], correction=None, correct_below=0), MemoryCohort(**columns), codes)
    assert found["method"][1, 0] == "score"
    z = oracle.analyse_rows(*parts(codes, columns, 1), "score")[2]
    assert found["statistic"][1, 0] == pytest.approx(z, rel=NEWTON)


def test_missing_calls_take_the_mean_and_dosages_are_calls():
    codes, columns = data(7, missing=0.02)
    columns["y"] = np.nan_to_num(columns["y"])
    cohort = MemoryCohort(**columns)
    found = run(ga.Ordinal("y", ["x"], missing="mean", correction=None), cohort, codes)
    for v in range(len(codes)):
        seen = codes[v] < 3
        g = np.where(seen, codes[v], codes[v][seen].mean())
        z = oracle.analyse_rows(columns["x"][:, None], columns["y"].astype(int), g, "score")[2]
        assert abs(found["statistic"][v, 0] - z) <= 2 * SCREEN * max(1, abs(z))
    dosages = DosageBlock.from_dosages(np.where(codes < 3, codes, np.nan).astype(float))
    model = ga.Ordinal("y", ["x"])
    # the same counts, summed in float64
    by_call, by_dosage = run(model, cohort, codes), run(model, cohort, dosages)
    np.testing.assert_allclose(by_dosage["statistic"], by_call["statistic"], rtol=2 * SCREEN, atol=2 * SCREEN)


def test_carriers_all_in_the_highest_level():
    rng = np.random.default_rng(8)
    y = rng.integers(0, 3, 400).astype(float)
    codes = calls(rng, 400, 2)
    codes[1] = 0
    codes[1, np.flatnonzero(y == 2)[:24]] = 1  # of fewer than 20 carriers the law is summed
    found = run(ga.Ordinal("y"), MemoryCohort(y=y), codes)
    assert found["code"][1, 0] == "separated" and found["method"][1, 0] == "lrt"
    # The limit: the carriers are certain, the others have the shares of their own.
    counts, rest = np.bincount(y.astype(int)), np.bincount(y.astype(int)) - [0, 0, 24]
    gain = (rest * np.log(rest / rest.sum())).sum() - (counts * np.log(counts / counts.sum())).sum()
    # At that bound the ratio is no chi-squared, whose p is smaller than the chance that 24 samples drawn by lot are all in that level.
    logp = found["neg_log_10_p_value"][1, 0]
    assert logp == pytest.approx((gain - np.log(2)) / np.log(10), rel=1e-5)
    chance = -hypergeom.logpmf(24, 400, counts[2], 24) / np.log(10)
    assert logp < chance < -chi2.logsf(2 * gain, 1) / np.log(10)


def test_alleles_swapped_levels_turned_and_company():
    codes, columns = data(9, V=30, missing=0.01)
    columns["turned"] = 3 - columns["y"]
    columns["other"] = np.where(np.arange(400) % 7 == 0, np.nan, np.arange(400) % 5)
    cohort = MemoryCohort(**columns)
    alone, both = run(ga.Ordinal("y", ["x"]), cohort, codes), run(ga.Ordinal(["other", "y"], ["x"]), cohort, codes)
    first = run(ga.Ordinal("y", ["x"]), cohort, codes[:11])
    for name in set(alone) - {"state", "method", "code"}:
        assert alone[name][:, 0].tobytes() == np.ascontiguousarray(both[name][:, 1]).tobytes(), name
        assert alone[name][:11].tobytes() == first[name].tobytes(), name
    swapped = run(ga.Ordinal("y", ["x"]), cohort, np.where(codes < 3, 2 - codes, 3).astype(np.uint8))
    turned = run(ga.Ordinal("turned", ["x"]), cohort, codes)
    for other in (swapped, turned):
        np.testing.assert_allclose(other["beta"], -alone["beta"], rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(other["neg_log_10_p_value"], alone["neg_log_10_p_value"], rtol=1e-4, atol=1e-5)


def test_levels_in_words_have_a_declared_order():
    rng = np.random.default_rng(10)
    words = np.array(["none", "mild", "severe"])[rng.integers(0, 3, 60)]
    cohort = MemoryCohort(y=words)
    with pytest.raises(PhenotypeError, match=r"mild \(\d+ samples\), none .* from the lowest to the highest"):
        ga.Ordinal("y").prepare(cohort)
    with pytest.raises(PhenotypeError, match="'mild', which is not among the levels none, severe"):
        ga.Ordinal("y", levels=("none", "severe")).prepare(cohort)
    design = cohort.design(["y"], kind="ordinal", levels=("none", "mild", "severe", "fatal"))
    assert (np.array(["none", "mild", "severe"])[design.y[:, 0].astype(int)] == words).all()
    state = ga.Ordinal("y", levels=("none", "mild", "severe", "fatal")).prepare(cohort)
    assert any("y: none < mild < severe < fatal; samples a level: none" in note for note in state.notes)
    assert any("no sample is fatal" in note for note in state.notes)
    numbers = MemoryCohort(y=np.array([4.0, 1, 1, 2, np.nan, 4]))
    assert numbers.design(["y"], kind="ordinal").y[:, 0][[0, 1, 3, 5]].tolist() == [2, 0, 1, 2]
    assert numbers.design(["y"], kind="ordinal", levels=("4", "2", "1")).y[:4, 0].tolist() == [0, 2, 2, 1]
    with pytest.raises(PhenotypeError, match=r"no whole numbers: 0\.5 in row 2"):
        MemoryCohort(y=np.array([0, 0.5, 1, 2])).design(["y"], kind="ordinal")
    with pytest.raises(PhenotypeError, match="more than 40 levels"):
        MemoryCohort(y=np.arange(50.0)).design(["y"], kind="ordinal")
    for wrong in ("none", ("a", "a"), ("a",)):
        with pytest.raises(ValueError, match="levels are two or more"):
            ga.Ordinal("y", levels=wrong)


def test_the_whole_path_gives_the_same_bits_whatever_the_threads(tmp_path):
    import polars as pl

    from genassoc.formats.vcf.writer import write_vcf

    made = ga.simulate_cohort(300, 400, 2, seed=4, missing_rate=0.01)
    write_vcf(tmp_path / "c.vcf.gz", made.sample_ids, made.contigs, made.blocks())
    grade = pl.Series("grade", np.random.default_rng(1).integers(0, 4, 300))
    cohort = ga.Cohort.align(
        ga.convert(tmp_path / "c.vcf.gz", tmp_path / "c.zarr"), made.phenotypes.with_columns(grade)
    )
    model = ga.Ordinal("grade", ["age", "sex"])
    one, two = (ga.associate(cohort, model, executor=e).table for e in (ga.Serial(), ga.Threads(2)))
    assert bits(one) == bits(two)
    assert one.height == 400 and set(one["method"].drop_nulls()) == {"score", "score_approx", "lrt", "exact"}


def test_proportional_odds_of_a_published_table():
    """Agresti (2007), Introduction to Categorical Data Analysis, Table 6.7: ideology of 428 Democrats and 407 Republicans.

    The table is fitted with beta 0.975 (0.129) and Pearson's chi-squared 3.66 on 3 degrees of freedom. Of two groups without
    covariates one effect at each threshold is the saturated model, whose score test is Pearson's.
    """
    counts = np.array([[80, 81, 171, 41, 55], [30, 46, 148, 84, 99]])
    y = np.repeat(np.tile(np.arange(5.0), 2), counts.ravel())
    party = np.repeat([0, 1], counts.sum(axis=1)).astype(np.uint8)
    found = run(ga.Ordinal("y", test="wald"), MemoryCohort(y=y), party[None, :])
    assert found["beta"][0, 0] == pytest.approx(0.975, abs=5e-4)  # printed digits
    assert found["standard_error"][0, 0] == pytest.approx(0.129, abs=5e-4)
    theta, beta = found["state"].nulls[0].parameters, found["beta"][0, 0]
    theta = oracle.fit(party[:, None].astype(float), y.astype(int), 4)
    expected = oracle.chances(theta[:4], np.array([0.0, theta[4]])) * counts.sum(axis=1, keepdims=True)
    pearson = ((counts - expected) ** 2 / expected).sum()
    assert pearson == pytest.approx(3.66, abs=5e-3) and beta == pytest.approx(theta[4], rel=1e-5)
    assert found["po_neg_log_10_p_value"][0, 0] == pytest.approx(-np.log10(chi2.sf(pearson, 3)), rel=1e-5)


def test_proportional_odds_of_hits():
    codes, columns = data(11, n=1500, V=40, effect=0.0, missing=0.01)
    # The first variant moves samples out of the lowest level only: the other thresholds do not see it.
    rng = np.random.default_rng(11)
    moved = (columns["y"] == 0) & (rng.random(1500) < 0.3 * (codes[0] == 1) + 0.6 * (codes[0] == 2))
    columns["y"][moved] = 1.0
    found = run(ga.Ordinal("y", ["x", "z"]), MemoryCohort(**columns), codes)
    fitted = found["method"][:, 0] == "lrt"
    assert fitted[0] and 0 < fitted.sum() < 15
    assert np.isnan(found["po_neg_log_10_p_value"][~fitted, 0]).all()
    assert found["po_neg_log_10_p_value"][0, 0] > 4
    every = run(ga.Ordinal("y", ["x", "z"], test="wald"), MemoryCohort(**columns), codes)
    for v in range(6):
        X, y, g = parts(codes, columns, v)
        D = np.column_stack([X, g])
        statistic = proportional_odds_chi2(D, y, oracle.fit(D, y, 3), 3)
        logp = -chi2.logsf(statistic, 2) / np.log(10)
        assert every["po_neg_log_10_p_value"][v, 0] == pytest.approx(logp, rel=1e-4, abs=1e-5)  # Newton's last step
    two = run(ga.Ordinal("two", test="lrt"), MemoryCohort(two=(columns["y"] > 1) * 1.0), codes[:3])
    assert np.isnan(two["po_neg_log_10_p_value"]).all()


def test_proportional_odds_hold_under_the_null():
    rng = np.random.default_rng(12)
    codes = calls(rng, 600, 800, low=0.1)
    x = rng.standard_normal(600)
    y = np.searchsorted((-0.5, 1.0, 2.2), 0.5 * x + rng.logistic(size=600)).astype(float)
    p = 10.0 ** -run(ga.Ordinal("y", ["x"], test="wald"), MemoryCohort(y=y, x=x), codes)["po_neg_log_10_p_value"][:, 0]
    for level in (0.5, 0.05):
        # three binomial standard deviations
        assert abs((p < level).mean() - level) < 3 * np.sqrt(level * (1 - level) / p.size)
