"""Sampling weights: against statsmodels' weighted fits with sandwich variances, plain oracles, and under the null."""

import numpy as np
import pytest
import statsmodels.api as sm
from glm_cohort import MemoryCohort, calls, run
from oracles import weighted as oracle
from scipy.stats import t

import genassoc as ga
from genassoc.data.phenotypes.weights import read_weights, weighted_design
from genassoc.errors import PhenotypeError
from genassoc.kernels.laws import sandwich
from genassoc.kernels.likelihoods import glm, rows, weighted

# Newton's method stops when the step left is a millionth of a standard error; statsmodels' IRLS at its own 1e-12.
NEWTON = 2e-6


def data(seed, n=400, V=16, missing=0.0, effect=0.6):
    rng = np.random.default_rng(seed)
    codes = calls(rng, n, V, missing)
    x = rng.standard_normal(n)
    signal = 0.5 * x + effect * np.minimum(codes[0], 2)
    return codes, {
        "q": 100 + 5 * (signal + rng.standard_normal(n) * (1 + (codes[0] == 1))),
        "d": (signal + rng.logistic(size=n) > 1).astype(float),
        "x": x,
        "w": np.where(rng.random(n) < 0.3, 1.0, 7.5) * rng.uniform(0.8, 1.2, n),
    }


def complete(codes, columns, trait, v):
    keep = (codes[v] < 3) & ~np.isnan(columns[trait]) & ~np.isnan(columns["w"])
    D = sm.add_constant(np.column_stack([columns["x"][keep], codes[v][keep].astype(float)]))
    return D, columns[trait][keep], columns["w"][keep]


@pytest.mark.parametrize("variance, cov_type", [("auto", "HC3"), ("hc0", "HC0")])
def test_linear_is_weighted_least_squares(variance, cov_type):
    codes, columns = data(1, missing=0.02)
    columns["w"][3] = np.nan
    found = run(ga.Linear("q", ["x"], weights="w", variance=variance), MemoryCohort(**columns), codes)
    assert (
        found["method"][0, 0] == "spa" and (found["method"] == "spa").sum() <= 3
    )  # an effect: weights follow the outcome
    for v in range(len(codes)):
        D, y, w = complete(codes, columns, "q", v)
        fit = sm.WLS(y, D, weights=w).fit(cov_type=cov_type)
        assert found["n"][v, 0] == len(y)
        assert abs(found["beta"][v, 0] - fit.params[-1]) <= NEWTON * fit.bse[-1]
        assert found["standard_error_model"][v, 0] == pytest.approx(
            fit.bse[-1], rel=1e-9
        )  # least squares: no iteration
        if found["method"][v, 0] == "spa":
            assert found["standard_error"][v, 0] > fit.bse[-1]
            continue
        assert found["method"][v, 0] == f"t_{cov_type.lower()}"
        assert found["standard_error"][v, 0] == found["standard_error_model"][v, 0]
        df = oracle.wald_rows("gaussian", D[:, :2], y, D[:, 2], prior=w / w.mean(), power=1)[3]
        df = df if variance == "auto" else len(y) - 3
        assert found["degrees_of_freedom"][v, 0] == pytest.approx(df, rel=1e-6)
        logp = -(t.logsf(abs(fit.tvalues[-1]), df) + np.log(2)) / np.log(10)
        assert found["neg_log_10_p_value"][v, 0] == pytest.approx(logp, rel=1e-5)


@pytest.mark.parametrize("scale", ["as they are", "millionths"])
def test_logistic_is_a_weighted_glm(scale):
    codes, columns = data(2, missing=0.02)
    if scale == "millionths":
        columns["w"] *= 1e-6  # a sandwich does not depend on the unit of the weights
    cohort = MemoryCohort(**columns)
    found = run(ga.Logistic("d", ["x"], weights="w", variance="hc0"), cohort, codes)
    hc3 = run(ga.Logistic("d", ["x"], weights="w"), cohort, codes)
    for v in range(len(codes)):
        D, y, w = complete(codes, columns, "d", v)
        # as variance weights: statsmodels takes frequency weights for copies of a sample in the sandwich too
        fit = sm.GLM(y, D, sm.families.Binomial(), var_weights=w / w.mean()).fit(cov_type="HC0", tol=1e-13, maxiter=100)
        error = fit.bse[-1]
        assert found["method"][v, 0] == "wald_hc0" and hc3["method"][v, 0] == "wald_hc3"
        assert abs(found["beta"][v, 0] - fit.params[-1]) <= NEWTON * error
        assert found["standard_error"][v, 0] == pytest.approx(error, rel=NEWTON)
        z = fit.params[-1] / error
        assert found["statistic"][v, 0] == pytest.approx(z, rel=NEWTON, abs=NEWTON)
        df = oracle.wald_rows("binomial", D[:, :2], y, D[:, 2], prior=w / w.mean(), power=0)[3]
        assert found["neg_log_10_p_value"][v, 0] == pytest.approx(
            -(t.logsf(abs(z), df) + np.log(2)) / np.log(10), rel=1e-5
        )
        np.testing.assert_allclose(
            [hc3["beta"][v, 0], hc3["standard_error"][v, 0]],
            oracle.wald_rows("binomial", D[:, :2], y, D[:, 2], prior=w, power=1)[:2], rtol=NEWTON,
        )  # fmt: skip
        assert found["n_cases"][v, 0] == y.sum() and found["n_controls"][v, 0] == (1 - y).sum()


@pytest.mark.kernel
@pytest.mark.parametrize("family, power", [("gaussian", 1), ("binomial", 0), ("binomial", 1), ("poisson", 1)])
def test_wald_rows(family, power):
    rng = np.random.default_rng(3)
    n = 26
    X = np.linalg.qr(np.column_stack([np.ones(n), rng.normal(size=n)]))[0]
    y = {"gaussian": rng.normal(size=n), "binomial": np.arange(n) % 2 * 1.0, "poisson": rng.poisson(2, n) * 1.0}[family]
    g = rng.binomial(2, 0.4, n).astype(float)
    g[:4] = [1, 0, 2, np.nan]
    alone, one = np.zeros(n), np.zeros(n)
    alone[5] = 1.0
    one[y == 1] = np.nan if family == "binomial" else 0.0
    G = np.array([g, g, X[:, 1], alone, one])
    prior, offset = rng.uniform(0.2, 3, n), 0.3 * np.sin(np.arange(n))
    code = {"gaussian": glm.GAUSSIAN, "binomial": glm.BINOMIAL, "poisson": glm.POISSON}[family]
    fits, only = sandwich.room(5, 1, 1), np.ones((1, 1))
    samples = weighted.GlmSamples(X, y, offset, prior, np.zeros(2))
    weighted.wald_rows(glm.Family(code, 0.0, False), G[:, None], samples, power, only, fits)
    status, expected = fits.status, oracle.wald_rows(family, X, y, g, offset, prior, power)
    own = [fits.theta[0, 0], fits.covariance[0, 0, 0] ** 0.5]
    np.testing.assert_allclose([*own, own[0] / own[1]], expected[:3], rtol=NEWTON, atol=NEWTON)
    assert fits.freedom[0, 0] == pytest.approx(min(expected[3], n - 4), rel=1e-5)
    assert status[:3].tolist() == [rows.FINE, rows.FINE, rows.COLLINEAR] and not fits.dropped.any()
    if family == "gaussian":
        assert status[3] == rows.LEVERAGE  # one carrier fits itself
    if family == "binomial":
        assert status[3:].tolist() == [rows.NOT_CONVERGED, rows.ONE_OUTCOME]


def test_rows_by_allele_company_units_and_the_mean():
    codes, columns = data(4, V=12, missing=0.03)
    columns["u"] = columns["q"] * 1e-9
    cohort = MemoryCohort(**columns)
    both = run(ga.Linear(["u", "q"], ["x"], weights="w"), cohort, codes)
    alone, part = (
        run(ga.Linear("q", ["x"], weights="w"), cohort, codes),
        run(ga.Linear("q", ["x"], weights="w"), cohort, codes[:5]),
    )
    for name in ("beta", "standard_error", "neg_log_10_p_value"):
        assert both[name][:, 1].tobytes() == alone[name][:, 0].tobytes()
        assert alone[name][:5].tobytes() == part[name].tobytes()
    np.testing.assert_allclose(both["beta"][:, 0], both["beta"][:, 1] * 1e-9, rtol=1e-9)
    swapped = run(ga.Linear("q", ["x"], weights="w"), cohort, np.where(codes < 3, 2 - codes, 3).astype(np.uint8))
    np.testing.assert_allclose(swapped["beta"], -alone["beta"], rtol=1e-9)
    np.testing.assert_allclose(swapped["ci_lower"], -alone["ci_upper"], rtol=1e-9)
    mean = run(ga.Linear("q", ["x"], weights="w", missing="mean"), cohort, codes)
    for v in range(len(codes)):
        g = np.where(codes[v] < 3, codes[v], codes[v][codes[v] < 3].mean())
        X = np.column_stack([np.ones(len(g)), columns["x"]])
        beta, error, *_ = oracle.wald_rows("gaussian", X, columns["q"], g, prior=columns["w"], power=1)
        np.testing.assert_allclose([mean["beta"][v, 0], mean["standard_error"][v, 0]], [beta, error], rtol=1e-9)
        assert mean["n"][v, 0] == len(g)


def test_equal_weights_are_robust_variances():
    codes, columns = data(5, missing=0.01)
    columns["w"][:] = 3.0
    cohort = MemoryCohort(**columns)
    for make, trait in ((ga.Linear, "q"), (ga.Logistic, "d")):
        weighted_rows = run(make(trait, ["x"], weights="w"), cohort, codes)
        robust = run(make(trait, ["x"], variance="robust"), cohort, codes)
        for name in ("beta", "standard_error", "n", "mac", "effect_allele_frequency"):
            np.testing.assert_allclose(weighted_rows[name], robust[name], rtol=1e-5)  # both stop at a millionth


def test_samples_without_a_weight_are_named():
    _, columns = data(6)
    columns["w"][:3] = [np.nan, 0.0, 0.0]
    columns["x"][1] = np.nan
    cohort = MemoryCohort(**columns)
    state = ga.Linear("q", ["x"], weights="w").prepare(cohort)
    assert state.n_by_trait == [397] and state.n_incomplete == 3
    assert "1 samples lack the sampling weight w and are left out: s0" in state.notes
    assert "2 samples have the sampling weight 0 in w and are left out: s1, s2" in state.notes
    own = columns["w"][3:]
    assert any(f"(Kish) is {own.sum() ** 2 / (own**2).sum():,.0f} of 397" in note for note in state.notes)
    weights = read_weights(cohort.phenotypes, cohort.rows, "w")
    design = weighted_design(cohort.design(["q"], ["x"]), weights, cohort.phenotypes, cohort.rows)
    assert design.dropped_samples.rows() == [
        ("s0", "sampling weight w"), ("s1", "x, sampling weight w"), ("s2", "sampling weight w")
    ]  # fmt: skip


@pytest.mark.parametrize(
    "values, message",
    [
        ([-1.0, 2, 3, -2], r"negative in 2 samples: -1 in row 1 \(sample s0\), -2 in row 4 \(sample s3\)"),
        ([1.0, 2, 3, np.inf], r"infinite values, first in row 4 \(sample s3\)"),
        (["a", "b", "c", "d"], "w"),
        ([0.0, 0, np.nan, 0], "none of 4 samples has a sampling weight 'w' above 0"),
    ],
)
def test_weights_that_are_none(values, message):
    with pytest.raises(PhenotypeError, match=message):
        ga.Linear("q", weights="w").prepare(MemoryCohort(q=np.arange(4.0), w=np.array(values)))


def test_weights_are_no_trait_and_have_a_name():
    cohort = MemoryCohort(q=np.arange(5.0), w=np.arange(5.0) + 1)
    with pytest.raises(PhenotypeError, match="as a trait and as the sampling weight"):
        ga.Linear("w", weights="w").prepare(cohort)
    with pytest.raises(PhenotypeError, match="Did you mean"):
        ga.Linear("q", weights="W").prepare(cohort)
    survival = MemoryCohort(days=np.arange(5.0) + 1, death=np.array([0.0, 1, 1, 0, 1]))
    for name in ("days", "death"):  # weights of 0 would leave nobody without the event
        with pytest.raises(PhenotypeError, match="as a time or event and as the sampling weight"):
            ga.Cox("days", "death", weights=name).prepare(survival)


@pytest.mark.parametrize("wrong", [(), ["a", "b"], ["a"], 3, " "])
def test_a_column_is_named_by_a_text(wrong):
    """A list of one name too is refused, before a file is read."""
    for make in (
        lambda: ga.Linear("q", weights=wrong),
        lambda: ga.Cox("days", "death", weights=wrong),
        lambda: ga.Poisson("c", weights=wrong),
        lambda: ga.Ordinal("o", weights=wrong),
        lambda: ga.Poisson("c", exposure=wrong),
        lambda: ga.Logistic("d", matched=wrong),
    ):
        with pytest.raises(ValueError, match="is the name of one column"):
            make()


@pytest.mark.parametrize(
    "make, choices, message",
    [
        (ga.Linear, {"variance": "model"}, "need a sandwich variance"),
        (ga.Linear, {"like": "regenie"}, "neither PLINK 2 nor REGENIE"),
        (ga.Linear, {"genetic_model": "genotypic"}, "genotypic"),
        (ga.Logistic, {"test": "lrt"}, "likelihood ratios are not chi-squared"),
        (ga.Logistic, {"correction": "firth"}, "there is no correction"),
    ],
)
def test_what_does_not_go_with_weights_says_why(make, choices, message):
    with pytest.raises(ValueError, match=message):
        make("q", ["x"], weights="w", **choices)
    with pytest.raises(ValueError, match="'hc0'"):
        make("q", variance="HC1")


def test_null_is_not_found_where_carriers_are_few():
    """Cases weigh twelve times as much as controls: Huber-White alone finds a p below 0.01 in twice as many (docs)."""
    rng = np.random.default_rng(7)
    n, V = 800, 1500
    x = rng.normal(size=n)
    d = (rng.random(n) < 1 / (1 + np.exp(0.9 - 0.5 * x))).astype(float)
    columns = {"q": x + rng.normal(size=n) * (1 + d), "d": d, "x": x, "w": np.where(d == 1, 12.0, 1.0)}
    for frequency in (0.01, 0.3):
        codes = rng.binomial(2, frequency, (V, n)).astype(np.uint8)
        for model in (ga.Linear("q", ["x"], weights="w"), ga.Logistic("d", ["x"], weights="w")):
            p = 10.0 ** -run(model, MemoryCohort(**columns), codes)["neg_log_10_p_value"][:, 0]
            p = p[~np.isnan(p)]
            for level in (0.05, 0.01):
                # never more than the level by three binomial standard deviations; with many carriers not far below it
                slack = 3 * np.sqrt(level * (1 - level) / p.size)
                assert (p < level).mean() <= level + slack
                assert frequency < 0.1 or (p < level).mean() >= 0.5 * level


def test_whole_path_is_the_same_bytes_audited_and_explained(tmp_path, genassoc):
    import polars as pl

    from genassoc.formats.vcf.writer import write_vcf

    made = ga.simulate_cohort(200, 60, 1, seed=4, missing_rate=0.01)
    write_vcf(tmp_path / "c.vcf.gz", made.sample_ids, made.contigs, made.blocks())
    rng = np.random.default_rng(1)
    columns = {"w": rng.uniform(1, 9, 200), "pair": np.arange(200) // 2, "case": np.arange(200) % 2}
    table = made.phenotypes.with_columns(pl.Series(name, values) for name, values in columns.items())
    table.write_csv(tmp_path / "p.tsv", separator="\t", null_value="NA")
    ga.convert(tmp_path / "c.vcf.gz", tmp_path / "c.zarr")
    for model in (["linear", "--trait", "ldl", "--weights", "w"], ["logistic", "--trait", "case", "--matched", "pair"]):
        out = []
        for threads in ("1", "2"):
            out.append(tmp_path / f"{model[0]}{threads}.parquet")
            code, said, errors = genassoc(
                "assoc",
                tmp_path / "c.zarr",
                tmp_path / "p.tsv",
                "--model",
                *model,
                "--out",
                out[-1],
                "--threads",
                threads,
            )
            assert code == 0, errors
        assert out[0].read_bytes() == out[1].read_bytes()
        results = ga.Results.read(out[0])
        assert results.table["beta"].is_not_null().sum() > 20
        assert results.provenance["audit"]["passed"] and "fitted again densely agree" in said
        assert ga.explain(results, results.top(1)["variant_id"][0]).reproduced
    (tmp_path / "g.toml").write_text(
        '[input]\nstore = "c.zarr"\nphenotypes = "p.tsv"\n[model]\nkind = "linear"\ntraits = ["ldl"]\nweights = "nobody"\n'
        'baseline = "ldl_before"\nadjust_baseline = false\n[output]\npath = "r.parquet"\n'
    )
    code, _, errors = genassoc("check", tmp_path / "g.toml")
    assert code == 1 and "no column is named 'nobody' (asked for as a sampling weight)" in errors
    assert "adjust_baseline" not in errors


@pytest.mark.parametrize("exposure", [False, True])
@pytest.mark.parametrize("variance, cov_type", [("auto", "HC3"), ("hc0", "HC0")])
def test_poisson_is_a_weighted_glm(variance, cov_type, exposure):
    codes, columns = counts(21, missing=0.02)
    columns["w"][3], columns["time"][5] = np.nan, np.nan if exposure else 1.0
    model = ga.Poisson("c", ["x"], "time" if exposure else None, weights="w", variance=variance)
    found = run(model, MemoryCohort(**columns), codes)
    for v in range(len(codes)):
        keep = (codes[v] < 3) & ~np.isnan(columns["w"]) & ~np.isnan(columns["time"])
        D = sm.add_constant(np.column_stack([columns["x"], codes[v]])[keep])
        y, w = columns["c"][keep], columns["w"][keep] / columns["w"][keep].mean()
        offset = np.log(columns["time"][keep]) if exposure else np.zeros(len(y))
        fit = sm.GLM(y, D, sm.families.Poisson(), offset=offset, var_weights=w).fit(
            cov_type="HC0", tol=1e-13, maxiter=100
        )
        own = oracle.wald_rows("poisson", D[:, :2], y, D[:, 2], offset, w, int(variance == "auto"))
        beta, error, z, df = own
        if variance == "hc0":
            error, z = fit.bse[-1], fit.tvalues[-1]
        logp = t.logsf(abs(z), df)
        assert found["degrees_of_freedom"][v, 0] == pytest.approx(df, rel=1e-5)
        assert abs(fit.params[-1] - beta) <= NEWTON * error
        assert found["method"][v, 0] == f"wald_{cov_type.lower()}" and found["code"][v, 0] is None
        assert abs(found["beta"][v, 0] - beta) <= NEWTON * error
        assert found["standard_error"][v, 0] == pytest.approx(error, rel=NEWTON)
        assert found["statistic"][v, 0] == pytest.approx(z, rel=NEWTON, abs=NEWTON)
        assert found["neg_log_10_p_value"][v, 0] == pytest.approx(-(logp + np.log(2)) / np.log(10), rel=1e-5)
        assert found["n"][v, 0] == len(y) and found["n_events"][v, 0] == y.sum()
    names = " | ".join(found["state"].notes)
    assert "(Kish)" in names and "at most in one" in names


def counts(seed, n=400, V=10, missing=0.0):
    """Overdispersed counts over an exposure, whose weights depend on the count."""
    rng = np.random.default_rng(seed)
    codes, x, time = calls(rng, n, V, missing), rng.standard_normal(n), rng.uniform(0.5, 3, n)
    c = rng.poisson(time * np.exp(0.3 * x + 0.3 * np.minimum(codes[0], 2)) * rng.gamma(2, 0.5, n)).astype(float)
    return codes, {"c": c, "x": x, "time": time, "w": np.where(c > 2, 1.0, 6.0) * rng.uniform(0.8, 1.2, n)}


def test_weighted_counts_as_copies_by_allele_and_codes():
    """A weight of 3 is not three samples: the effect is the same, the variance is that of one."""
    codes, columns = counts(22, V=7)
    columns["w"] = np.round(columns["w"])
    cohort = MemoryCohort(**columns)
    found = run(ga.Poisson("c", ["x"], weights="w", variance="hc0"), cohort, codes)
    for v in range(len(codes)):
        D = sm.add_constant(np.column_stack([columns["x"], codes[v]]))
        fit = sm.GLM(columns["c"], D, sm.families.Poisson(), freq_weights=columns["w"]).fit(tol=1e-13, maxiter=100)
        assert abs(found["beta"][v, 0] - fit.params[-1]) <= NEWTON * fit.bse[-1]
    hc3 = run(ga.Poisson("c", ["x"], weights="w"), cohort, codes)
    swapped = run(ga.Poisson("c", ["x"], weights="w"), cohort, np.where(codes < 3, 2 - codes, 3).astype(np.uint8))
    for name in ("beta", "standard_error", "neg_log_10_p_value", "degrees_of_freedom"):
        np.testing.assert_allclose(swapped[name], (-1 if name == "beta" else 1) * hc3[name], rtol=1e-5, atol=1e-6)
    assert (hc3["standard_error"] > found["standard_error"]).all()  # by the leverages
    mean = run(ga.Poisson("c", ["x"], weights="w", missing="mean"), cohort, codes)
    np.testing.assert_array_equal(mean["beta"], hc3["beta"])  # no call is missing
    codes[1], codes[2], codes[3] = 0, 0, 0
    codes[2, :3] = 1
    codes[3, np.flatnonzero(columns["c"] == 0)[:40]] = 1  # no carrier has an event
    codes[4] = np.where(columns["c"] > 0, 3, codes[4])
    columns["g5"] = codes[5] * 1.0
    found = run(ga.Poisson("c", ["x", "g5"], weights="w"), MemoryCohort(**columns), codes)
    assert found["code"][1:6, 0].tolist() == [
        "monomorphic", "too_few_carriers", "not_converged", "one_outcome", "collinear",
    ]  # fmt: skip
    for name in ("beta", "standard_error", "statistic", "neg_log_10_p_value", "degrees_of_freedom"):
        assert np.isnan(found[name][1:6]).all() and not np.isnan(found[name][6:]).any()
    z, w = (np.arange(400) < 2) * 1.0, np.where(np.arange(400) < 2, np.nan, columns["w"])
    none = run(ga.Poisson("z", ["x"], weights="w"), MemoryCohort(x=columns["x"], z=z, w=w), codes)
    assert set(none["code"][5:, 0]) == {"one_outcome"}
    lacking = columns["time"].copy()
    lacking[:7] = np.nan
    state = ga.Poisson("c", ["x"], "late", weights="w").prepare(MemoryCohort(**columns, late=lacking))
    assert state.n_by_trait == [393] and state.n_incomplete == 7


@pytest.mark.parametrize(
    "choices, message",
    [
        ({"test": "lrt"}, "not chi-squared"),
        ({"correction": "spa"}, "there is no correction"),
        ({"correction": "lrt"}, "there is no correction"),
        ({"dispersion": "poisson"}, "takes no dispersion"),
        ({"variance": "model"}, "need a sandwich variance"),
        ({"variance": "hc3"}, "'hc0'"),
        ({"weights": ["a", "b"]}, "name of one column"),
        ({"genetic_model": "genotypic"}, "genetic_model"),
    ],
)
def test_what_does_not_go_with_weights_of_counts(choices, message):
    with pytest.raises(ValueError, match=message):
        ga.Poisson("c", ["x"], **({"weights": "w"} | choices))


def test_weighted_null_of_counts_is_not_found():
    """Overdispersed counts, high ones sampled twelve times as often: sizes with few carriers and many."""
    rng = np.random.default_rng(23)
    n, V = 800, 1500
    x = rng.standard_normal(n)
    c = rng.poisson(2 * np.exp(0.3 * x) * rng.gamma(0.7, 1 / 0.7, n)).astype(float)
    cohort = MemoryCohort(c=c, x=x, w=np.where(c > 3, 1.0, 12.0))
    for frequency in (0.01, 0.3):
        codes = rng.binomial(2, frequency, (V, n)).astype(np.uint8)
        p = 10.0 ** -run(ga.Poisson("c", ["x"], weights="w"), cohort, codes)["neg_log_10_p_value"][:, 0]
        p = p[~np.isnan(p)]
        for level in (0.05, 0.01):
            # never more than the level by three binomial standard deviations; with many carriers not far below it
            assert (p < level).mean() <= level + 3 * np.sqrt(level * (1 - level) / p.size)
            assert frequency < 0.1 or (p < level).mean() >= 0.5 * level
