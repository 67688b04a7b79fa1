"""Poisson regression against plain oracles, statsmodels and hail's numbers, and its invariants."""

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from glm_cohort import MemoryCohort, calls, run
from oracles import empirical_cgf
from oracles import glm as oracle
from real_data import real_data
from scipy.stats import norm, t
from small_cohort import bits

import genassoc as ga
from genassoc.errors import PhenotypeError
from genassoc.models.base import CODES
from genassoc.models.poisson import family as poisson_null

# float32 sums against a float64 fit (statistics.md); rows done one by one are float64, Newton's last step 1e-6 SE.
SCREEN, NEWTON = 1e-5, 2e-6


def data(seed, n=400, V=24, missing=0.0, exposure=False, effect=0.4, heavy=True):
    rng = np.random.default_rng(seed)
    codes = calls(rng, n, V, missing)
    x, z = rng.standard_normal(n), rng.standard_normal(n) + 50
    time = rng.uniform(0.5, 4, n) if exposure else np.ones(n)
    rate = time * np.exp(0.3 * x + effect * np.minimum(codes[0], 2))
    y = rng.poisson(rate * (rng.gamma(2, 0.5, n) if heavy else 1.0)).astype(float)
    y[rng.random(n) < 0.03] = np.nan
    return codes, {"y": y, "x": x, "z": z} | ({"time": time} if exposure else {})


def parts(codes, columns, v):
    keep = (codes[v] < 3) & ~np.isnan(columns["y"])
    X = np.column_stack([np.ones(keep.sum()), columns["x"][keep], columns["z"][keep] - 50])
    offset = np.log(columns["time"][keep]) if "time" in columns else np.zeros(keep.sum())
    return X, columns["y"][keep], codes[v][keep].astype(float), offset


@pytest.mark.parametrize("exposure", [False, True])
@pytest.mark.parametrize("dispersion", ["quasi", "poisson"])
def test_score_of_all_variants(exposure, dispersion):
    codes, columns = data(1, exposure=exposure)
    model = ga.Poisson("y", ["x", "z"], "time" if exposure else None, dispersion, correction=None)
    found = run(model, MemoryCohort(**columns), codes)
    for v in range(len(codes)):
        X, y, g, offset = parts(codes, columns, v)
        beta, error, z = oracle.analyse_rows("poisson", X, y, g, "score", offset, quasi=dispersion == "quasi")
        assert found["method"][v, 0] == "score" and found["code"][v, 0] is None
        assert abs(found["statistic"][v, 0] - z) <= 2 * SCREEN * max(1, abs(z))
        assert abs(found["standard_error"][v, 0] / error - 1) <= SCREEN
        assert abs(found["beta"][v, 0] - beta) <= 2 * SCREEN * max(abs(beta), error)
        logp = -(norm.logsf(abs(z)) + np.log(2)) / np.log(10)
        assert abs(found["neg_log_10_p_value"][v, 0] - logp) <= 1e-4 * max(1, logp)
        assert found["n_events"][v, 0] == y.sum() and found["n"][v, 0] == y.size


@pytest.mark.parametrize("dispersion", ["quasi", "poisson"])
@pytest.mark.parametrize("test", ["wald", "lrt"])
def test_refits_are_statsmodels(dispersion, test):
    codes, columns = data(2, V=12, missing=0.01, exposure=True)
    found = run(ga.Poisson("y", ["x", "z"], "time", dispersion, test=test), MemoryCohort(**columns), codes)
    for v in range(len(codes)):
        X, y, g, offset = parts(codes, columns, v)
        family = sm.families.Poisson()
        scale = "X2" if dispersion == "quasi" else None
        full = sm.GLM(y, np.column_stack([X, g]), family, offset=offset).fit(scale=scale, tol=1e-13, use_t=bool(scale))
        null = sm.GLM(y, X, family, offset=offset).fit(tol=1e-13)
        statistic = full.tvalues[-1]
        if test == "lrt":
            gain = null.deviance - sm.GLM(y, np.column_stack([X, g]), family, offset=offset).fit(tol=1e-13).deviance
            statistic = np.sign(full.params[-1]) * np.sqrt(gain / full.scale)
        # z where the variance is known, t where it is estimated, as R's summary and anova(test = "F")
        log_tail = t.logsf(abs(statistic), full.df_resid) if scale else norm.logsf(abs(statistic))
        assert found["method"][v, 0] == test
        np.testing.assert_allclose(found["beta"][v, 0], full.params[-1], rtol=0, atol=NEWTON * full.bse[-1])
        np.testing.assert_allclose(found["standard_error_model"][v, 0], full.bse[-1], rtol=NEWTON)
        # a gain is a difference of two deviances of this size
        assert abs(found["statistic"][v, 0] - statistic) <= NEWTON * max(1, abs(statistic))
        np.testing.assert_allclose(found["dispersion"][v, 0], full.scale, rtol=NEWTON)
        np.testing.assert_allclose(
            found["neg_log_10_p_value"][v, 0], -(log_tail + np.log(2)) / np.log(10), rtol=1e-5, atol=1e-5
        )
        if test == "wald" and scale:
            low, high = full.conf_int()[-1]
            np.testing.assert_allclose([found["ci_lower"][v, 0], found["ci_upper"][v, 0]], [low, high], atol=1e-5)


def test_rows_below_the_bound_are_refitted_and_say_so():
    codes, columns = data(3, V=60, effect=0.5)
    found = run(ga.Poisson("y", ["x", "z"], correction="lrt"), MemoryCohort(**columns), codes)
    screen = run(ga.Poisson("y", ["x", "z"], correction=None), MemoryCohort(**columns), codes)
    below = screen["neg_log_10_p_value"][:, 0] >= -np.log10(0.05)
    assert found["method"][below, 0].tolist() == ["lrt"] * below.sum() and below[0] and 1 < below.sum() < 20
    assert (found["method"][~below, 0] == "score").all()
    for v in np.flatnonzero(below):
        beta, _, statistic = oracle.analyse_rows("poisson", *parts(codes, columns, v)[:3], "lrt", quasi=True)
        assert found["statistic"][v, 0] == pytest.approx(statistic, rel=NEWTON)
        assert found["beta"][v, 0] / found["standard_error"][v, 0] == pytest.approx(statistic, rel=NEWTON)
        assert found["beta"][v, 0] == pytest.approx(beta, rel=NEWTON)


def test_overdispersed_counts_take_their_tails_from_the_residuals():
    codes, columns = data(3, V=60, effect=0.5)
    found = run(ga.Poisson("y", ["x", "z"]), MemoryCohort(**columns), codes)
    lrt = run(ga.Poisson("y", ["x", "z"], correction="lrt"), MemoryCohort(**columns), codes)
    screen = run(ga.Poisson("y", ["x", "z"], correction=None), MemoryCohort(**columns), codes)
    below = screen["neg_log_10_p_value"][:, 0] >= -np.log10(0.05)
    assert (found["method"][below, 0] == "spa").all() and (found["method"][~below, 0] == "score").all()
    null = found["state"].nulls[0]
    Q, W = null.Q[null.columns], null.weight[null.columns]
    e = null.residual[null.columns] / np.sqrt(W * null.spread)
    for b in range(null.bins.max() + 1):
        e[null.bins == b] -= e[null.bins == b].mean()
    e *= np.sqrt(null.n / (null.n - 3))
    for v in np.flatnonzero(below):
        g = codes[v][null.columns].astype(float)
        g = 2 - g if g.mean() > 1 else g
        U = g @ null.residual[null.columns]
        logp = empirical_cgf.empirical_rows(g, U, Q, W, null.bins, e, null.spread) / np.log(10)
        # the table's second derivative is linear between its points; U is of float32 sums
        assert found["neg_log_10_p_value"][v, 0] == pytest.approx(logp, rel=1e-3)
    # estimates are those of the maximum; their error is that of the p
    np.testing.assert_array_equal(found["beta"], lrt["beta"])
    np.testing.assert_array_equal(found["standard_error_model"], lrt["standard_error_model"])
    z, b = found["statistic"][below, 0], found["beta"][below, 0]
    np.testing.assert_allclose(found["standard_error"][below, 0], b / z, rtol=1e-12)
    np.testing.assert_allclose(-(norm.logsf(abs(z)) + np.log(2)) / np.log(10), found["neg_log_10_p_value"][below, 0])
    # Poisson's own variance is taken at its word
    plain = run(ga.Poisson("y", ["x", "z"], dispersion="poisson"), MemoryCohort(**columns), codes)
    assert "spa" not in plain["method"] and "lrt" in plain["method"]
    asked = run(ga.Poisson("y", ["x", "z"], dispersion="poisson", correction="spa"), MemoryCohort(**columns), codes)
    assert "spa" in asked["method"]


def test_missing_calls():
    codes, columns = data(4, n=3000, V=40, missing=0.001)
    codes[1, np.flatnonzero(columns["y"] >= 6)[:15]] = 3  # missing where counts are high: one step is not enough
    found = run(ga.Poisson("y", ["x", "z"], correction=None, correct_below=0), MemoryCohort(**columns), codes)
    assert {"score", "score_approx"} == set(found["method"][:, 0]) and found["method"][1, 0] == "score"
    for v in range(len(codes)):
        X, y, g, offset = parts(codes, columns, v)
        z = oracle.analyse_rows("poisson", X, y, g, "score", offset, quasi=True)[2]
        # One Newton step and the dispersion of all samples, up to 1 % of calls missing at random.
        allowed = 2 * SCREEN if found["method"][v, 0] == "score" else 6e-3
        assert abs(found["statistic"][v, 0] - z) <= allowed * max(1, abs(z))


def test_missing_calls_take_the_mean():
    codes, columns = data(5, missing=0.02)
    columns["y"] = np.nan_to_num(columns["y"])
    found = run(ga.Poisson("y", ["x"], missing="mean", correction=None), MemoryCohort(**columns), codes)
    for v in range(len(codes)):
        seen = codes[v] < 3
        g = np.where(seen, codes[v], codes[v][seen].mean())
        z = oracle.analyse_rows(
            "poisson", np.column_stack([np.ones(len(g)), columns["x"]]), columns["y"], g, "score", quasi=True
        )[2]
        assert abs(found["statistic"][v, 0] - z) <= 2 * SCREEN * max(1, abs(z))


def test_carriers_without_an_event_have_the_ratio_of_the_limit():
    rng = np.random.default_rng(6)
    y = rng.poisson(3, 400).astype(float)
    codes = calls(rng, 400, 3)
    codes[1] = 0
    codes[1, np.flatnonzero(y == 0)[:12]] = 1
    model = ga.Poisson("y", dispersion="poisson")
    found = run(model, MemoryCohort(y=y), codes)
    assert found["code"][1, 0] == "separated" and found["method"][1, 0] == "lrt"
    # Without covariates: the 12 carriers have mean 0, all others their own mean.
    others = y.sum() / 388
    gain = y.sum() * np.log(others / y.mean())
    # At that bound the ratio is no chi-squared: its tail is exp(-gain), on either side.
    logp = (gain - np.log(2)) / np.log(10)
    assert found["neg_log_10_p_value"][1, 0] == pytest.approx(logp, rel=1e-6)
    assert logp <= -np.log10(np.exp(-12 * y.mean())) and found["statistic"][1, 0] < 0
    wald = run(ga.Poisson("y", dispersion="poisson", test="wald"), MemoryCohort(y=y), codes)
    assert wald["code"][1, 0] == "not_converged" and np.isnan(wald["beta"][1, 0])


def test_codes():
    codes, columns = data(7, V=5)
    codes[0], codes[1] = 0, 1
    codes[2] = 0
    codes[2, :3] = 1
    found = run(ga.Poisson("y", ["x"]), MemoryCohort(**columns), codes)
    assert found["code"][:3, 0].tolist() == ["monomorphic", "constant_genotype", "too_few_carriers"]
    columns["g3"] = codes[3].astype(float)
    found = run(ga.Poisson("y", ["x", "g3"]), MemoryCohort(**columns), codes)
    assert found["code"][3, 0] == "collinear" and np.isnan(found["beta"][3, 0])


def test_alleles_swapped_and_company():
    codes, columns = data(8, V=30, missing=0.01)
    columns["other"] = np.where(np.arange(len(columns["y"])) % 7 == 0, np.nan, np.arange(len(columns["y"])) % 4)
    cohort = MemoryCohort(**columns)
    alone, both = run(ga.Poisson("y", ["x"]), cohort, codes), run(ga.Poisson(["other", "y"], ["x"]), cohort, codes)
    swapped = run(ga.Poisson("y", ["x"]), cohort, np.where(codes < 3, 2 - codes, 3).astype(np.uint8))
    first = run(ga.Poisson("y", ["x"]), cohort, codes[:11])
    for name in set(alone) - {"state", "method", "code"}:
        assert alone[name][:, 0].tobytes() == np.ascontiguousarray(both[name][:, 1]).tobytes(), name
        assert alone[name][:11].tobytes() == first[name].tobytes(), name
    np.testing.assert_allclose(swapped["beta"], -alone["beta"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(swapped["neg_log_10_p_value"], alone["neg_log_10_p_value"], rtol=1e-4, atol=1e-5)


def test_what_is_no_count_or_exposure_is_refused_with_the_values():
    for bad, words in (([1.5], "1.5 in row 3"), ([-1.0], "-1 in row 3")):
        y = np.array([0, 1, *bad, 2, 3.0])
        with pytest.raises(PhenotypeError, match=words):
            MemoryCohort(y=y).design(["y"], kind="count")
    cohort = MemoryCohort(y=np.arange(5.0), time=np.array([1, 2, 0, -3, np.nan]))
    with pytest.raises(PhenotypeError, match=r"not above 0: 0 in row 3 \(sample s2\); 2 such values"):
        ga.Poisson("y", exposure="time").prepare(cohort)
    with pytest.raises(PhenotypeError, match="timme"):
        ga.Poisson("y", exposure="timme").prepare(cohort)
    with pytest.raises(ValueError, match="dispersion is one of"):
        ga.Poisson("y", dispersion="none")


def test_a_missing_exposure_leaves_the_sample_out():
    _, columns = data(9, exposure=True)
    columns["time"][:7] = np.nan
    cohort = MemoryCohort(**columns)
    state = ga.Poisson("y", ["x"], exposure="time").prepare(cohort)
    assert state.n_by_trait == [int((~np.isnan(columns["y"][7:])).sum())]
    assert "7 samples lack the exposure and are left out" in state.notes


@pytest.mark.parametrize(
    "case", ["test_poission_regression_wald_test", "test_poisson_regression_lrt", "test_poisson_regression_score_test"]
)
def test_hail_asserts_the_same(tmp_path, case, monkeypatch):
    folder = real_data("hail")
    # Ten samples have few events: rows would be exact, and hail's are of large samples.
    for bound in ("LEAST_OF_COUNTS", "LEAST_OF_WALD"):
        monkeypatch.setattr(poisson_null, bound, 0.0)
    expected = pl.read_csv(folder / "EXPECTED_statgen.tsv", separator="\t").filter(pl.col("hail_test") == case)
    assert expected.height >= 9
    covariates = pl.read_csv(folder / "regressionLogistic.cov", separator="\t")
    y = pl.read_csv(folder / "regressionPoisson.pheno", separator="\t", null_values=["-1"])
    store = ga.convert(folder / "regressionLogistic.vcf", tmp_path / "s.zarr")
    table = covariates.join(y, on="Sample", how="left")
    cohort = ga.Cohort.align(store, table, sample_id="Sample", min_overlap=0.1)
    test = next(name for name in ("wald", "lrt", "score") if name in case)
    # hail gives missing calls the mean of the samples analysed.
    choices = {"dispersion": "poisson", "correction": None, "missing": "mean", "min_mac": 0}
    model = ga.Poisson("count", ["Cov1", "Cov2"], test=test, **choices)
    columns = model.block(model.prepare(cohort), cohort.read(0, cohort.n_variants)).columns
    for _, variant, field, value, tolerance, _ in expected.iter_rows():
        v = int(variant.removeprefix("pos=")) - 1
        row = {name: values[v, 0] for name, values in columns.items()}
        if field == "constant/uninformative":
            assert CODES[int(row["code"])] in ("monomorphic", "constant_genotype", "collinear")
            assert np.isnan(row["neg_log_10_p_value"])
            continue
        found = {
            "beta": row["beta"],
            "standard_error": row["standard_error_model"],
            "z_stat": row["statistic"],
            "chi_sq_stat": row["statistic"] ** 2,
            "p_value": 10.0 ** -row["neg_log_10_p_value"],
        }[field]
        # what hail allows itself, and Newton's last step
        assert abs(found - float(value)) <= float(tolerance.removeprefix("abs=")) + 2e-6 * max(1, abs(float(value)))


def test_the_whole_path_gives_the_same_bits_whatever_the_threads(tmp_path):
    made = ga.simulate_cohort(300, 400, 2, seed=3, missing_rate=0.01)
    from genassoc.formats.vcf.writer import write_vcf

    write_vcf(tmp_path / "c.vcf.gz", made.sample_ids, made.contigs, made.blocks())
    rng = np.random.default_rng(1)
    extra = [pl.Series("attacks", rng.poisson(2, 300)), pl.Series("years", rng.uniform(1, 5, 300))]
    cohort = ga.Cohort.align(
        ga.convert(tmp_path / "c.vcf.gz", tmp_path / "c.zarr"), made.phenotypes.with_columns(extra)
    )
    model = ga.Poisson("attacks", ["age", "sex"], exposure="years")
    one, two = (ga.associate(cohort, model, executor=e).table for e in (ga.Serial(), ga.Threads(2)))
    assert bits(one) == bits(two)
    assert one.height == 400 and {"n_events", "dispersion"} <= set(one.columns)
    assert set(one["method"].drop_nulls()) == {"score", "score_approx", "spa"}


def test_saddlepoint_of_huge_counts_is_that_of_its_oracle():
    """Residuals of a million: the table of their cumulant generating function is made for their size."""
    rng = np.random.default_rng(12)
    n = 300
    codes = rng.binomial(2, 0.2, (6, n)).astype(np.uint8)
    y = np.round(1e6 * np.exp(rng.normal(0, 1, n)))
    found = run(ga.Poisson("y", (), correction="spa", correct_below=1.0, min_mac=1), MemoryCohort(y=y), codes)
    W = np.full(n, y.mean())
    residual = (y - y.mean()) / np.sqrt(W) * np.sqrt(n / (n - 1))
    for v in range(len(codes)):
        g = codes[v].astype(float)
        own = empirical_cgf.empirical_rows(
            g, (g - g.mean()) @ (y - y.mean()), np.full((n, 1), 1 / np.sqrt(W.sum())), W, np.zeros(n, int), residual
        )
        if found["method"][v, 0] == "spa":
            assert abs(found["neg_log_10_p_value"][v, 0] - own / np.log(10)) <= 1e-4 * max(1, own)
    assert (found["method"] == "spa").any()


def test_a_covariate_that_tells_the_spread_is_heard():
    """A level of larger spread and the same mean, where most carriers are: the residuals' variance is that of the level."""
    rng = np.random.default_rng(21)
    n, V = 1200, 400
    wide = np.arange(n) % 5 == 0
    y = np.where(wide, rng.negative_binomial(0.3, 0.3 / 3.3, n), rng.poisson(3.0, n)).astype(float)
    codes = rng.binomial(2, np.where(wide, 0.06, 0.002), (V, n)).astype(np.uint8)
    x = rng.standard_normal(n)
    found = run(ga.Poisson("y", ["site", "x"]), MemoryCohort(y=y, x=x, site=wide * 1.0), codes)
    null = found["state"].nulls[0]
    assert null.spread[wide].min() > 3 * null.spread[~wide].max() and null.overdispersed
    assert null.spread.mean() == pytest.approx(1.0, abs=0.02)  # x, which tells nothing, is a slope of it too
    p = 10.0 ** -found["neg_log_10_p_value"][:, 0]
    for alpha in (0.05, 0.01):
        assert (p <= alpha).sum() <= alpha * V + 3 * np.sqrt(alpha * V)
    # without such a covariate there is one spread
    alone = ga.Poisson("y", ["x"]).prepare(MemoryCohort(y=y[~wide], x=x[~wide])).nulls[0]
    assert (alone.spread == 1.0).all()


def test_rows_without_the_sample_that_makes_the_trait_overdispersed_take_no_tails_from_it():
    rng = np.random.default_rng(8)
    n = 200
    codes = np.repeat(rng.binomial(2, 0.2, n).astype(np.uint8)[None], 2, axis=0)
    y, x = rng.poisson(3.0, n).astype(float), rng.standard_normal(n)
    y[7], x[7] = 1e6, 2.0
    codes[1, 7] = 3
    found = run(ga.Poisson("y", ["x"], correct_below=1.0), MemoryCohort(y=y, x=x), codes)
    assert found["code"][1, 0] == "tail_failed" and found["method"][1, 0] == "lrt"
    keep = np.arange(n) != 7
    alone = run(
        ga.Poisson("y", ["x"], correct_below=1.0, correction="lrt"), MemoryCohort(y=y[keep], x=x[keep]), codes[:1, keep]
    )
    assert abs(found["neg_log_10_p_value"][1, 0] - alone["neg_log_10_p_value"][0, 0]) < 1e-6


def test_rows_whose_refit_failed_have_no_saddlepoint_p(monkeypatch):
    """Counts from 0 to 1e6 in forty samples: with some variants no maximum is found in float64."""
    # else these few clumps have their exact law, and likelihood ratios the saddlepoint's p
    monkeypatch.setattr(poisson_null, "LEAST_OF_COUNTS", 0.0)
    monkeypatch.setattr(poisson_null, "SKEWED", np.inf)
    rng = np.random.default_rng(1)
    n, V = 40, 120
    codes = rng.binomial(2, 0.2, (V, n)).astype(np.uint8)
    y = np.where(rng.random(n) < 0.8, 0.0, np.round(np.exp(rng.normal(5, 5, n))))
    x = rng.standard_normal(n)
    cohort, choices = MemoryCohort(y=y, x=x), {"correct_below": 1.0, "min_mac": 1}
    for dispersion in ("poisson", "quasi"):
        plain = run(ga.Poisson("y", ["x"], dispersion=dispersion, correction="lrt", **choices), cohort, codes)
        found = run(ga.Poisson("y", ["x"], dispersion=dispersion, correction="spa", **choices), cohort, codes)
        failed = plain["code"][:, 0] == "refit_not_converged"
        assert failed.any() and not failed.all()
        assert (plain["method"][failed, 0] == "score").all()
        assert (found["code"][failed, 0] == "refit_not_converged").all() and not found["method"][failed, 0].any()
        for name in ("beta", "standard_error", "neg_log_10_p_value", "statistic", "ci_lower", "dispersion"):
            assert np.isnan(found[name][failed, 0]).all(), name
        # what a separated row says of its estimate stays, whatever became of its tail
        separated = plain["code"][:, 0] == "separated"
        assert (found["code"][separated, 0] == "separated").all() and (found["n_events"][:, 0] > 0).all()


def test_several_columns_of_overdispersed_counts_carry_a_code():
    from every_model import draw
    from every_model import run as run_model

    sample = draw()
    calm = sample.table.with_columns(even=np.random.default_rng(3).poisson(2.0, sample.table.height))
    cohort = ga.Cohort.align(sample.cohort().store, calm)

    def codes(trait, **choices):
        chosen = ga.Poisson(trait, ["x"], **choices)
        rows, _ = run_model(chosen, cohort, sample.block())
        tested = np.isfinite(rows["neg_log_10_p_value"])
        assert tested.any()
        return set(rows["code"][tested]), " ".join(chosen.prepare(cohort).notes)

    for choices in (
        {"genetic_model": "genotypic"},
        {"interaction": "arm"},
        {"interaction": "arm", "dispersion": "poisson"},
    ):
        found, notes = codes("relapses", **choices)
        assert None not in found and "overdispersed" in found, choices
        assert "NegativeBinomial" in notes
        found, notes = codes("even", **choices)
        assert "overdispersed" not in found and None in found and "NegativeBinomial" not in notes
    assert "overdispersed" not in codes("relapses", interaction="arm", variance="robust")[0]
    assert "overdispersed" not in codes("relapses")[0]
