"""Interactions with sandwich variances, of Cox models and of sampling weights: lifelines, statsmodels, plain oracles, the null."""

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from glm_cohort import MemoryCohort, calls, run
from lifelines import CoxPHFitter
from oracles import cox_weighted as cox_oracle
from oracles import weighted as glm_oracle
from scipy.stats import binom, f, t
from statsmodels.duration.hazard_regression import PHReg

import genassoc as ga
from genassoc.models.scan import wald

# Newton's method stops when the step left is a millionth of a standard error; lifelines and statsmodels at their own.
NEWTON, THEIRS = 2e-6, 1e-5
N = 260
TESTS = ("add", "add:E", "joint_2df", "add|E=control", "add|E=drug")


@pytest.fixture(autouse=True)
def events_enough(monkeypatch):
    """The numbers of fits to samples of a few hundred; who has a p of them is a question of its own, asked below."""
    monkeypatch.setattr(wald, "LEAST_OF_ARM", 0.0)


def survival(seed, V=5, missing=0.02, ties=False, n=N):
    """Two arms of hazards that are not proportional, an effect of the first variant in one of them."""
    rng = np.random.default_rng(seed)
    codes = calls(rng, n, V, missing, low=0.2)
    drug, x = rng.permutation(n) < n // 2, rng.standard_normal(n)
    rate = np.exp(-0.3 * x - 0.4 * drug * np.minimum(codes[0], 2))
    time, end = rng.weibull(np.where(drug, 2.0, 0.8)) / rate, rng.exponential(1.5, n)
    time, event = np.minimum(time, end), (time <= end) * 1.0
    return codes, {
        "time": np.ceil(time * 6) if ties else time, "event": event, "x": x, "arm": np.where(drug, "drug", "control"),
        "w": np.where(event == 1, 1.0, 4.0) * rng.uniform(0.8, 1.2, n), "site": rng.integers(0, 3, n),
        "age": 50 + 10 * rng.standard_normal(n), "dose": 1.0 + drug,
    }  # fmt: skip


def number(columns, E):
    """E as a number."""
    return (columns["arm"] == "drug") * 1.0 if E == "arm" else columns[E]


def cox(columns, codes, E="arm", **choices):
    model = ga.Cox("time", "event", ["x"], interaction=E, **({"variance": "robust"} | choices))
    return run(model, MemoryCohort(**columns), codes)


def check(found, v, tests, theta, covariance, freedom, joint="chi2", rel=THEIRS):
    """All rows of a variant against coefficients of g and g E, their covariance, and degrees of freedom (K,), None for z."""
    assert ("degrees_of_freedom" in found) == (freedom is not None)
    for k, test in enumerate(tests):
        df = 1e12 if freedom is None else freedom[k]
        assert freedom is None or found["degrees_of_freedom"][v, k] == pytest.approx(df, rel=1e-4)
        if test == "joint_2df":
            Q = theta @ np.linalg.solve(covariance, theta)
            assert found["statistic"][v, k] == pytest.approx(Q if joint == "chi2" else Q / 2, rel=1e-4, abs=1e-6)
            assert np.isnan(found["beta"][v, k]) and np.isnan(found["standard_error"][v, k])
            # Hotelling's: with eta = df + 1 degrees, (eta - 1) / (2 eta) Q is F on 2 and eta - 1
            own = -f.logsf(Q / 2 * df / (df + 1), 2, df) / np.log(10)
        else:
            contrast = np.array({"add": [1, 0], "add:E": [0, 1], "add|E=control": [1, 0], "add|E=drug": [1, 1]}[test])
            beta, error = contrast @ theta, np.sqrt(contrast @ covariance @ contrast)
            assert abs(found["beta"][v, k] - beta) <= rel * error
            assert found["standard_error"][v, k] == pytest.approx(error, rel=rel)
            ends, half = [found["ci_lower"][v, k], found["ci_upper"][v, k]], t.isf(0.025, df) * error
            np.testing.assert_allclose(ends, [beta - half, beta + half], rtol=1e-4, atol=1e-5 * error)
            own = -(t.logsf(abs(beta / error), df) + np.log(2)) / np.log(10)
        assert found["neg_log_10_p_value"][v, k] == pytest.approx(own, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("weights", [None, "w"])
def test_cox_rows_are_lifelines_robust(weights):
    codes, columns = survival(1, V=3)
    found = cox(columns, codes, weights=weights, variance="robust")
    assert set(found["method"].ravel()) == {"wald_robust"}
    drug = number(columns, "arm")
    for v in range(len(codes)):
        keep, fits = codes[v] < 3, []
        for arm in (drug, 1 - drug):  # coded both ways: the effect in each arm and its standard error
            own = {name: columns[name][keep] for name in ("time", "event", "x", *([weights] if weights else []))}
            table = pl.DataFrame({**own, "arm": arm[keep], "g": codes[v][keep] * 1.0, "ge": codes[v][keep] * arm[keep]})
            fits.append(
                CoxPHFitter().fit(
                    table.to_pandas(), "time", "event", weights_col=weights, robust=True,
                    fit_options={"precision": 1e-12},
                )
            )  # fmt: skip
        in_control, in_drug = (fit.standard_errors_["g"] for fit in fits)
        change = fits[0].standard_errors_["ge"]
        shared = (in_drug**2 - in_control**2 - change**2) / 2
        covariance = np.array([[in_control**2, shared], [shared, change**2]])
        prior = columns["w"] if weights else np.ones(N)
        g = np.where(keep, codes[v], np.nan)
        freedom = cox_oracle.wald_columns(
            np.column_stack([columns["x"], drug]), prior / prior.mean(), np.column_stack([g, g * drug]), [[1, 0], [0, 1], [0, 0], [1, 0], [1, 1]],
            columns["time"], columns["event"] == 1, np.full(N, -np.inf), np.zeros(N, int),
        )[2]  # fmt: skip
        check(found, v, TESTS, np.array([fits[0].params_["g"], fits[0].params_["ge"]]), covariance, freedom, rel=2e-5)
        assert found["n"][v, 0] == keep.sum() and found["n_events"][v, 0] == columns["event"][keep].sum()


def test_cox_rows_are_statsmodels_clusters_of_one():
    """statsmodels' variance of clusters, each a sample, is Lin's and Wei's: Breslow's ties, no weights."""
    codes, columns = survival(2, V=3, ties=True)
    found = cox(columns, codes, ties="breslow")
    drug = number(columns, "arm")
    for v in range(len(codes)):
        keep = codes[v] < 3
        D = np.column_stack([codes[v], codes[v] * drug, columns["x"], drug])[keep].astype(float)
        fit = PHReg(columns["time"][keep], D, status=columns["event"][keep], ties="breslow").fit(
            groups=np.arange(keep.sum()), method="newton", tol=1e-12, disp=0
        )
        theta, covariance = fit.params[:2], fit.cov_params()[:2, :2]
        check(found, v, TESTS, theta, covariance, found["degrees_of_freedom"][v])


@pytest.mark.parametrize("ties", ["efron", "breslow"])
@pytest.mark.parametrize("E", ["arm", "age"])
def test_cox_strata_late_entry_ties_and_numbers(ties, E):
    codes, columns = survival(3, ties=True, V=4)
    late = np.random.default_rng(3).random(N) < 0.3
    columns["entry"] = np.where(late, np.maximum(columns["time"] - 2, 0), 0.0)
    found = cox(columns, codes, E, weights="w", variance="auto", entry="entry", strata="site", ties=ties)
    e, X = number(columns, E), [columns["x"], number(columns, E)]
    tests = TESTS if E == "arm" else TESTS[:3]
    for v in range(len(codes)):
        g = np.where(codes[v] < 3, codes[v], np.nan)
        scale = e.std() if E == "age" else 1.0
        theta, covariance, freedom = cox_oracle.wald_columns(
            # around its mean, and in its units afterwards: the oracle's Newton loses digits far from 0
            np.column_stack([X[0], (X[1] - e.mean()) / scale]), columns["w"] / columns["w"].mean(),
            np.column_stack([g, g * ((e - e.mean()) / scale if E == "age" else e)]),
            [[1, -e.mean() / scale], [0, 1 / scale], [0, 0]] if E == "age" else [[1, 0], [0, 1], [0, 0], [1, 0], [1, 1]],
            columns["time"], columns["event"] == 1, columns["entry"], columns["site"], ties == "efron",
        )  # fmt: skip
        if E == "age":
            back = np.array([[1, -e.mean() / scale], [0, 1 / scale]])
            theta, covariance = back @ theta, back @ covariance @ back.T
        check(found, v, tests, theta, covariance, freedom)


def test_cox_arms_recoded_alleles_swapped_and_units():
    codes, columns = survival(4, missing=0.01)
    found = cox(columns, codes)
    # the other arm is E = 0: each arm's row is the same, the change has the other sign
    columns["other"] = np.where(columns["arm"] == "drug", 0, 1)
    recoded = cox(columns, codes, "other")
    swapped = cox(columns, np.where(codes < 3, 2 - codes, 3).astype(np.uint8))
    for name in ("beta", "standard_error", "neg_log_10_p_value", "degrees_of_freedom"):
        sign = -1.0 if name == "beta" else 1.0
        np.testing.assert_allclose(recoded[name][:, [3, 4]], found[name][:, [4, 3]], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(recoded[name][:, 1], sign * found[name][:, 1], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(swapped[name], sign * found[name], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(recoded["statistic"][:, 2], found["statistic"][:, 2], rtol=1e-5)
    np.testing.assert_allclose(swapped["ci_lower"], -found["ci_upper"], rtol=1e-5, atol=1e-6)
    # 1 and 2 in place of 0 and 1: nobody has E = 0, the rest is the same
    doses = cox(columns, codes, "dose")
    np.testing.assert_allclose(doses["beta"][:, 1:], found["beta"][:, 1:], rtol=1e-5, atol=1e-6)
    in_days, centred = dict(columns), dict(columns)
    in_days["age"], centred["age"] = columns["age"] * 365.25 + 1000, columns["age"] - 50
    years, days, centred = (cox(own, codes, "age") for own in (columns, in_days, centred))
    for name in ("statistic", "neg_log_10_p_value", "degrees_of_freedom"):
        np.testing.assert_allclose(years[name][:, 1:], days[name][:, 1:], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(years[name][:, 1:], centred[name][:, 1:], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(days["beta"][:, 1] * 365.25, years["beta"][:, 1], rtol=1e-5, atol=1e-8)
    # at the mean age: the effect of g there
    at_50 = years["beta"][:, 0] + 50 * years["beta"][:, 1]
    np.testing.assert_allclose(centred["beta"][:, 0], at_50, rtol=1e-4, atol=1e-5)


def test_rows_by_company_mean_and_genetic_model():
    codes, columns = survival(5, missing=0.03)
    columns["death"] = np.where(np.arange(N) % 9 == 0, np.nan, 1.0 - columns["event"])
    cohort = MemoryCohort(**columns)
    choices = {"covariates": ["x"], "variance": "robust", "interaction": "arm"}
    both = run(ga.Cox("time", ["death", "event"], **choices), cohort, codes)
    alone, part = (run(ga.Cox("time", "event", **choices), cohort, c) for c in (codes, codes[:3]))
    for name in ("beta", "standard_error", "neg_log_10_p_value", "degrees_of_freedom", "n"):
        assert np.ascontiguousarray(both[name][:, 5:]).tobytes() == alone[name].tobytes()
        assert alone[name][:3].tobytes() == part[name].tobytes()
    model = ga.Cox("time", "event", genetic_model="dominant", **choices)
    assert model.block(model.prepare(cohort), _block(codes)).labels["test"][:4] == (
        "dom", "dom:E", "joint_2df", "dom|E=control",
    )  # fmt: skip
    mean = run(ga.Cox("time", "event", missing="mean", **choices), cohort, codes)
    drug = number(columns, "arm")
    for v in range(len(codes)):
        g = np.where(codes[v] < 3, codes[v], codes[v][codes[v] < 3].mean())
        theta, covariance, freedom = cox_oracle.wald_columns(
            np.column_stack([columns["x"], drug]), np.ones(N), np.column_stack([g, g * drug]), [[1, 0], [0, 1], [0, 0], [1, 0], [1, 1]],
            columns["time"], columns["event"] == 1, np.full(N, -np.inf), np.zeros(N, int),
        )  # fmt: skip
        check(mean, v, TESTS, theta, covariance, freedom)
        assert mean["n"][v, 0] == N and mean["n_events"][v, 0] == columns["event"].sum()


def _block(codes):
    from genassoc.data.block import GenotypeBlock

    return GenotypeBlock.from_codes(codes)


def test_cox_gate_and_codes():
    codes, columns = survival(6, V=8, missing=0.0)
    drug = np.flatnonzero(columns["arm"] == "drug")
    event = columns["event"] == 1
    codes[0], codes[1], codes[2] = 0, 1, 0
    codes[2, np.flatnonzero(columns["arm"] == "control")[:60]] = 1  # ten carriers in each arm are asked for
    codes[2, drug[:9]] = 1
    codes[3] = 0
    codes[3, np.r_[np.flatnonzero(columns["arm"] == "control")[:60], drug[:60]]] = 1
    codes[3, drug[event[drug]]] = 0  # carriers in the arm, none of them with the event
    codes[4] = np.where(event, 3, codes[4])
    columns["g5"] = codes[5] * 1.0
    model = ga.Cox("time", "event", ["x", "g5"], interaction="arm", variance="robust")
    found = run(model, MemoryCohort(**columns), codes)
    assert found["code"][:6, 0].tolist() == [
        "monomorphic", "constant_genotype", "too_few_carriers", "no_carrier_events", "no_events", "collinear",
    ]  # fmt: skip
    for name in ("beta", "standard_error", "statistic", "neg_log_10_p_value", "degrees_of_freedom", "ci_lower"):
        assert np.isnan(found[name][:6]).all()
    assert not found["method"][:6].any() and (found["code"] == found["code"][:, :1]).all()
    few = dict(columns)
    few["event"] = np.where(np.arange(N) % 30 == 0, columns["event"], 0.0)
    rare = run(ga.Cox("time", "event", ["x"], interaction="arm", variance="robust"), MemoryCohort(**few), codes)
    assert (rare["code"][3, 0], rare["code"][6, 0]) == ("too_few_carriers", "too_few_carriers")


def test_what_cox_says_and_refuses():
    _, columns = survival(7)
    columns["w"][:3] = [np.nan, 0, 0]
    state = ga.Cox("time", "event", ["x"], interaction="arm", weights="w").prepare(MemoryCohort(**columns))
    assert state.n_by_trait == [N - 3] and state.n_incomplete == 3
    notes = " | ".join(state.notes)
    assert "arm joined the covariates" in notes and "(Kish)" in notes and "two values: control" in notes
    for choice in ({"test": "lrt"}, {"correction": "firth"}, {"genetic_model": "genotypic"}):
        with pytest.raises(ValueError, match=r"variance='robust'|interaction"):
            ga.Cox("time", "event", ["x"], variance="robust", interaction="arm", **choice)
    with pytest.raises(ga.PhenotypeError, match="main effect"):
        ga.Cox("time", "event", "x:age", interaction="age", variance="robust").prepare(MemoryCohort(**columns))


def test_cox_null_of_the_interaction_is_not_found():
    """Main effects, hazards that cross: robust tests of the change hold their level in arms of unequal size."""
    rng = np.random.default_rng(8)
    n, V = 500, 1200
    codes = rng.binomial(2, rng.uniform(0.08, 0.5, V)[:, None], (V, n)).astype(np.uint8)
    drug, x = rng.random(n) < 0.3, rng.standard_normal(n)
    time, end = rng.weibull(np.where(drug, 2.5, 0.7)) * np.exp(0.3 * x), rng.exponential(1.5, n)
    columns = {
        "time": np.minimum(time, end), "event": (time <= end) * 1.0, "x": x, "arm": np.where(drug, "drug", "control"),
        "w": np.where(time <= end, 1.0, 5.0),
    }  # fmt: skip
    for choices in ({"variance": "robust"}, {"variance": "auto", "weights": "w"}):
        p = 10.0 ** -cox(columns, codes, **choices)["neg_log_10_p_value"]
        assert (~np.isnan(p)).all(axis=1).mean() > 0.9
        for k in range(5):
            own = p[~np.isnan(p[:, k]), k]
            for level in (0.05, 0.01):
                # one in 10,000 of such tests would find more
                low, high = binom.ppf([0.0001, 0.9999], own.size, level)
                assert (own <= level).sum() <= high, (choices, TESTS[k], level)
                assert level < 0.05 or (own <= level).sum() >= 0.5 * low, (choices, TESTS[k])


def test_the_whole_path_is_the_same_bytes_and_fitted_again(tmp_path, genassoc):
    from genassoc.formats.vcf.writer import write_vcf

    made = ga.simulate_cohort(300, 40, 1, seed=4, missing_rate=0.01)
    write_vcf(tmp_path / "c.vcf.gz", made.sample_ids, made.contigs, made.blocks())
    rng = np.random.default_rng(1)
    columns = {
        "arm": rng.choice(["drug", "control"], 300), "days": rng.exponential(90, 300), "death": rng.integers(0, 2, 300),
        "visits": rng.poisson(3, 300), "grade": rng.integers(0, 3, 300), "w": rng.uniform(1, 5, 300),
    }  # fmt: skip
    table = made.phenotypes.with_columns(pl.Series(name, values) for name, values in columns.items())
    table.write_csv(tmp_path / "p.tsv", separator="\t", null_value="NA")
    ga.convert(tmp_path / "c.vcf.gz", tmp_path / "c.zarr")
    weighted = ["--weights", "w", "--interaction", "arm"]
    for model, rows, methods in (
        (
            ["cox", "--time", "days", "--event", "death", "--interaction", "arm", "--variance", "robust"],
            5,
            {"wald_robust"},
        ),
        (["linear", "--trait", "ldl", *weighted], 5, {"t_hc3", "f_hc3"}),
        (["poisson", "--trait", "visits", "--weights", "w"], 1, {"wald_hc3"}),
        (["ordinal", "--trait", "grade", "--weights", "w", "--variance", "hc0"], 1, {"wald_hc0"}),
    ):
        outs = [tmp_path / f"{model[0]}{threads}.parquet" for threads in (1, 2)]
        for out, threads in zip(outs, ("1", "2")):
            code, said, errors = genassoc(
                "assoc", tmp_path / "c.zarr", tmp_path / "p.tsv", "--model", *model, "--out", out, "--threads", threads
            )
            assert code == 0, errors
        assert outs[0].read_bytes() == outs[1].read_bytes()
        results = ga.Results.read(outs[0])
        assert results.table.height == 40 * rows and set(results.table["method"].drop_nulls()) == methods
        assert "fitted again densely agree" in results.provenance["audit"]["line"] and "audit" in said
        shown = ga.explain(results, results.table["variant_id"][0])
        assert shown is not None


CONTRASTS = [[1, 0], [0, 1], [0, 0], [1, 0], [1, 1]]


def outcomes(seed, n=400, V=6, missing=0.02):
    """Two arms of unequal variance, weights, a quantity and a disease, an effect of the first variant in one arm."""
    rng = np.random.default_rng(seed)
    codes = calls(rng, n, V, missing, low=0.25)
    drug, x = rng.permutation(n) < n // 2, rng.standard_normal(n)
    signal = 0.5 * x + 0.5 * drug * np.minimum(codes[0], 2)
    return codes, {
        "q": 100 + 5 * (signal + rng.standard_normal(n) * (1 + drug)),
        "d": (signal + rng.logistic(size=n) > 0.5) * 1.0, "x": x, "arm": np.where(drug, "drug", "control"),
        "w": np.where(rng.random(n) < 0.3, 1.0, 7.5) * rng.uniform(0.8, 1.2, n), "age": rng.normal(50, 10, n),
    }  # fmt: skip


def complete(codes, columns, trait, v, E):
    keep = (codes[v] < 3) & ~np.isnan(columns[trait]) & ~np.isnan(columns["w"])
    e, g = number(columns, E)[keep], codes[v][keep] * 1.0
    return np.column_stack([np.ones(len(g)), columns["x"][keep], e]), columns[trait][keep], g, e, columns["w"][keep]


@pytest.mark.parametrize("E", ["arm", "age"])
@pytest.mark.parametrize("variance, cov_type", [("auto", "HC3"), ("hc0", "HC0")])
def test_linear_is_weighted_least_squares(variance, cov_type, E):
    codes, columns = outcomes(11)
    columns["w"][3] = np.nan
    model = ga.Linear("q", ["x"], weights="w", variance=variance, interaction=E)
    found = run(model, MemoryCohort(**columns), codes)
    tests = TESTS if E == "arm" else TESTS[:3]
    name = cov_type.lower()
    assert set(found["method"].ravel()) == {f"t_{name}", f"f_{name}"} and set(found["method"][:, 2]) == {f"f_{name}"}
    for v in range(len(codes)):
        X, y, g, e, w = complete(codes, columns, "q", v, E)
        fit = sm.WLS(y, np.column_stack([X, g, g * e]), weights=w).fit(cov_type=cov_type)
        mean, scale = (e.mean(), e.std()) if E == "age" else (0.0, 1.0)
        contrasts = CONTRASTS if E == "arm" else [[1, -mean / scale], [0, 1 / scale], [0, 0]]
        power = int(variance == "auto")
        freedom = glm_oracle.wald_columns(
            "gaussian", X, y, np.column_stack([g, g * (e - mean) / scale]), contrasts, 0.0, w, power
        )[2]
        # F of contrasts of digits far from 0: statsmodels' inverse loses some for ages
        check(found, v, tests, fit.params[3:], fit.cov_params()[3:, 3:], freedom, "F", 1e-7)
        assert found["n"][v, 0] == len(y)


@pytest.mark.parametrize("variance", ["auto", "hc0"])
def test_logistic_is_a_weighted_glm(variance):
    codes, columns = outcomes(12)
    model = ga.Logistic("d", ["x"], weights="w", variance=variance, interaction="arm")
    found = run(model, MemoryCohort(**columns), codes)
    assert set(found["method"].ravel()) == {"wald_hc3" if variance == "auto" else "wald_hc0"}
    for v in range(len(codes)):
        X, y, g, e, w = complete(codes, columns, "d", v, "arm")
        theta, covariance, freedom = glm_oracle.wald_columns(
            "binomial", X, y, np.column_stack([g, g * e]), CONTRASTS, 0.0, w / w.mean(), int(variance == "auto")
        )
        if variance == "hc0":
            fit = sm.GLM(y, np.column_stack([X, g, g * e]), sm.families.Binomial(), var_weights=w / w.mean()).fit(
                cov_type="HC0", tol=1e-13, maxiter=100
            )
            theta, covariance = fit.params[3:], fit.cov_params()[3:, 3:]
        check(found, v, TESTS, theta, covariance, freedom)
        assert found["n_cases"][v, 4] == y.sum() and found["n_controls"][v, 2] == (1 - y).sum()


def test_equal_weights_are_the_robust_interactions():
    codes, columns = outcomes(13)
    columns["w"][:] = 3.0
    cohort = MemoryCohort(**columns)
    for make, trait in ((ga.Linear, "q"), (ga.Logistic, "d")):
        weighted = run(make(trait, ["x"], weights="w", interaction="arm"), cohort, codes)
        robust = run(make(trait, ["x"], variance="robust", interaction="arm"), cohort, codes)
        for name in ("beta", "standard_error", "statistic", "n", "mac", "effect_allele_frequency"):
            np.testing.assert_allclose(weighted[name], robust[name], rtol=1e-5, atol=1e-6)


def test_weighted_rows_by_allele_company_units_and_arms():
    codes, columns = outcomes(14, missing=0.03)
    columns["u"] = columns["q"] * 1e-9
    columns["other"] = np.where(columns["arm"] == "drug", 0, 1)
    columns["kilo"] = columns["w"] * 1000
    cohort, choices = MemoryCohort(**columns), {"covariates": ["x"], "weights": "w", "interaction": "arm"}
    both = run(ga.Linear(["u", "q"], **choices), cohort, codes)
    alone, part = (run(ga.Linear("q", **choices), cohort, c) for c in (codes, codes[:2]))
    swapped = run(ga.Linear("q", **choices), cohort, np.where(codes < 3, 2 - codes, 3).astype(np.uint8))
    recoded = run(ga.Linear("q", **(choices | {"interaction": "other"})), cohort, codes)
    heavy = run(ga.Linear("q", **(choices | {"weights": "kilo"})), cohort, codes)
    for name in ("beta", "standard_error", "neg_log_10_p_value", "degrees_of_freedom"):
        sign = -1.0 if name == "beta" else 1.0
        assert np.ascontiguousarray(both[name][:, 5:]).tobytes() == alone[name].tobytes()
        assert alone[name][:2].tobytes() == part[name].tobytes()
        np.testing.assert_allclose(swapped[name], sign * alone[name], rtol=1e-8)
        np.testing.assert_allclose(heavy[name], alone[name], rtol=1e-8)
        np.testing.assert_allclose(recoded[name][:, [3, 4]], alone[name][:, [4, 3]], rtol=1e-8)
        np.testing.assert_allclose(recoded[name][:, 1], sign * alone[name][:, 1], rtol=1e-8)
    np.testing.assert_allclose(both["beta"][:, :5], both["beta"][:, 5:] * 1e-9, rtol=1e-8)


def test_weighted_codes_notes_and_a_baseline():
    codes, columns = outcomes(15, V=6, missing=0.0)
    drug, case = columns["arm"] == "drug", columns["d"] == 1
    codes[0], codes[1], codes[2], codes[3] = 0, 0, 0, 0
    codes[1, np.flatnonzero(~drug)[:60]] = 1
    codes[1, np.flatnonzero(drug)[:9]] = 1  # nine carriers
    codes[2, np.flatnonzero(~drug)[:60]] = 1
    codes[2, np.flatnonzero(drug & ~case)[:40]] = 1  # no case among the carriers of an arm
    columns["g3"] = (np.arange(400) % 3 == 0) * 1.0
    codes[3] = columns["g3"]
    columns["before"] = columns["q"] - 3 + columns["x"]
    cohort, choices = MemoryCohort(**columns), {"covariates": ["x", "g3"], "weights": "w", "interaction": "arm"}
    for model, third in ((ga.Linear("q", **choices), None), (ga.Logistic("d", **choices), "not_converged")):
        found = run(model, cohort, codes)
        assert found["code"][:4, 0].tolist() == ["monomorphic", "too_few_carriers", third, "collinear"]
        bad = np.array([0, 1, 3] + [2] * (third is not None))
        for name in ("beta", "standard_error", "statistic", "neg_log_10_p_value", "degrees_of_freedom", "ci_lower"):
            assert np.isnan(found[name][bad]).all()
        assert not found["method"][bad].any() and not np.isnan(found["neg_log_10_p_value"][4:]).any()
        assert any("(Kish)" in note for note in found["state"].notes)
        assert any("two values: control" in note for note in found["state"].notes)
    change = run(ga.Linear("q", baseline="before", **choices), cohort, codes[4:])
    columns["change"] = columns["q"] - columns["before"]
    choices["covariates"] = ["x", "g3", "before"]
    plain = run(ga.Linear("change", **choices), MemoryCohort(**columns), codes[4:])
    np.testing.assert_allclose(change["beta"], plain["beta"], rtol=1e-8)
    for wrong in ({"variance": "model"}, {"like": "regenie"}, {"genetic_model": "genotypic"}):
        with pytest.raises(ValueError, match=r"weights|interaction"):
            ga.Linear("q", **choices, **wrong)
    for wrong in ({"test": "lrt"}, {"correction": "firth"}):
        with pytest.raises(ValueError, match="weights"):
            ga.Logistic("d", **choices, **wrong)


def test_weighted_null_of_the_interaction_is_not_found():
    """Cases and one arm weigh more, the arms differ in variance: sizes of every test, few carriers and many."""
    rng = np.random.default_rng(16)
    n, V = 500, 1200
    codes = rng.binomial(2, rng.uniform(0.05, 0.5, V)[:, None], (V, n)).astype(np.uint8)
    drug, x = rng.random(n) < 0.4, rng.standard_normal(n)
    d = (rng.random(n) < 1 / (1 + np.exp(0.5 - 0.5 * x))) * 1.0
    columns = {
        "q": x + rng.standard_normal(n) * (1 + 2 * drug), "d": d, "x": x, "arm": np.where(drug, "drug", "control"),
        "w": np.where(d == 1, 6.0, 1.0) * rng.uniform(0.5, 2, n),
    }  # fmt: skip
    for make, trait in ((ga.Linear, "q"), (ga.Logistic, "d")):
        found = run(make(trait, ["x"], weights="w", interaction="arm"), MemoryCohort(**columns), codes)
        p = 10.0 ** -found["neg_log_10_p_value"]
        for k in range(5):
            own = p[~np.isnan(p[:, k]), k]
            for level in (0.05, 0.01):
                # one in 10,000 of such tests would find more
                low, high = binom.ppf([0.0001, 0.9999], own.size, level)
                assert (own <= level).sum() <= high, (trait, TESTS[k], level)
                assert level < 0.05 or (own <= level).sum() >= 0.5 * low, (trait, TESTS[k])


@pytest.mark.parametrize("E", ["arm", "age"])
def test_few_events_of_an_arm_or_of_a_slope_have_a_code(monkeypatch, E):
    """Twenty events in one arm, or one sample far from all others in E; the code is the same for all variants and rows."""
    codes, columns = outcomes(31, missing=0.0)
    rng = np.random.default_rng(31)
    control = np.flatnonzero(columns["arm"] == "control")
    columns["d"] = np.zeros(400)
    columns["d"][columns["arm"] == "drug"] = rng.random(200) < 0.5
    columns["d"][rng.choice(control, 40, replace=False)] = 1.0
    if E == "age":
        columns["age"][np.flatnonzero(columns["d"])[0]] = 5000.0
    columns["time"] = rng.exponential(size=400) + 0.1
    cohort = MemoryCohort(**columns)
    models = (
        ga.Logistic("d", ["x"], variance="robust", interaction=E),
        ga.Cox("time", "d", ["x"], variance="robust", interaction=E),
    )
    for least, coded in ((50.0, True), (5.0, E == "age")):
        monkeypatch.setattr(wald, "LEAST_OF_ARM", least)
        for model in models:
            found = run(model, cohort, codes)
            assert ((found["code"] == "few_events") == coded).all()
            assert np.isnan(found["neg_log_10_p_value"]).all() == coded
    # the model's variance has its own gate
    monkeypatch.setattr(wald, "LEAST_OF_ARM", 50.0)
    plain = run(ga.Logistic("d", ["x"], interaction="arm"), cohort, codes)
    assert "few_events" not in plain["code"]
