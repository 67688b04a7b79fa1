"""Rows of interactions and of HC3 variances refitted: the audit beside statsmodels, explanations, risks by arm, pictures."""

import json
import warnings

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from endpoint_cohort import COVARIATES, make
from statsmodels.duration.hazard_regression import PHReg

import genassoc as ga
from genassoc.explanation.arms import thirds
from genassoc.explanation.audit import audit
from genassoc.explanation.explain import explain
from genassoc.models.about import about_of
from genassoc.models.scan import wald
from genassoc.refit.fits import NotFittedError
from genassoc.refit.refit import can_refit, refit
from genassoc.refit.row_data import RowSource
from genassoc.results import Results
from genassoc.stats.absolute import absolute_effects
from genassoc.verbs.run_record import describe

MODELS = {
    "linear": ga.Linear(["ldl", "ldl_before"], COVARIATES, interaction="statin"),
    "linear hc3": ga.Linear(["ldl"], COVARIATES, interaction="age", variance="robust"),
    "hc3 alone": ga.Linear(["ldl"], COVARIATES, variance="robust"),
    "change": ga.Linear(["ldl"], COVARIATES, interaction="statin", baseline="ldl_before", missing="mean"),
    "like regenie": ga.Linear(["ldl"], COVARIATES, interaction="statin", like="regenie"),
    "logistic": ga.Logistic(["t2d"], COVARIATES, interaction="statin", correct_below=0.2),
    "logistic age": ga.Logistic(["t2d"], COVARIATES, interaction="age", correction=None),
    "dominant lrt": ga.Logistic(
        ["t2d"], COVARIATES, interaction="statin", test="lrt", correction=None, genetic_model="dominant"
    ),
    "logistic hc3": ga.Logistic(["t2d"], COVARIATES, interaction="statin", variance="robust"),
    "like plink2": ga.Logistic(["t2d"], COVARIATES, interaction="statin", like="plink2"),
    "genotypic": ga.Logistic(["t2d"], COVARIATES, genetic_model="genotypic", correct_below=0.2),
    "genotypic like plink2": ga.Logistic(["t2d"], COVARIATES, genetic_model="genotypic", like="plink2"),
    "cox": ga.Cox("days", "death", COVARIATES, entry="entry", strata="site", interaction="statin", correct_below=0.1),
    "cox lrt": ga.Cox("days", "death", COVARIATES, interaction="statin", test="lrt", correction=None),
}
METHODS = {
    "linear": {"t", "f"},
    "linear hc3": {"t_hc3", "f_hc3"},
    "hc3 alone": {"t_hc3"},
    "logistic": {"wald", "firth"},
    "logistic hc3": {"wald_hc3"},
    "like plink2": {"wald", "firth"},
    "genotypic": {"lrt", "firth"},
    "genotypic like plink2": {"wald", "firth"},
    "cox": {"wald", "firth"},
    "cox lrt": {"lrt"},
}


@pytest.fixture(autouse=True)
def events_enough(monkeypatch):
    """Arms of these few cases have no sandwich variance; here their numbers are asked for."""
    monkeypatch.setattr(wald, "LEAST_OF_ARM", 0.0)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    files = make(tmp_path_factory.mktemp("interaction"), n_samples=400, n_variants=60)
    return ga.Cohort.align(files.store, files.phenotypes, sex="sex")


@pytest.fixture(scope="module")
def runs(cohort):
    """Results of every model, made when first asked for."""
    made: dict[str, Results] = {}

    def of(name):
        if name not in made:
            made[name] = ga.associate(cohort, MODELS[name])
        return made[name]

    return of


def pick(results, trait, test=None):
    """A variant with an estimate and many carriers, its p among the smallest."""
    rows = results.table.filter((pl.col("trait") == trait) & pl.col("beta").is_not_null())
    if test is not None:
        rows = rows.filter(pl.col("test") == test)
    return rows.sort("mac", "neg_log_10_p_value", descending=True)["variant_id"][0]


@pytest.mark.parametrize("name", MODELS)
def test_the_audit_fits_every_row_again(cohort, runs, name):
    results = runs(name)
    found = audit(results, cohort, describe(cohort, MODELS[name])["model"], 10_000)
    assert found.passed, found.line()
    tests = set(results.table.filter(pl.col("neg_log_10_p_value").is_not_null())["test"])
    assert set(found.compared["test"]) == tests
    assert METHODS.get(name, set()) <= set(found.compared["method"])
    assert sum(found.not_compared.values()) == 0
    assert found.compared.height >= 40


@pytest.mark.parametrize("test", ["add", "add:E", "joint_2df", "add|E=statin"])
def test_a_changed_row_of_an_interaction_is_caught(cohort, runs, test):
    results = runs("logistic")
    here = (pl.col("test") == test) & pl.col("neg_log_10_p_value").is_not_null()
    column = "neg_log_10_p_value" if test == "joint_2df" else "beta"
    table = results.table.with_columns(
        pl.when(here).then(pl.col(column) + 0.02).otherwise(pl.col(column)).alias(column)
    )
    found = audit(Results(table, results.provenance), cohort, results.provenance["parameters"]["model"], 10_000)
    assert set(found.beyond["test"]) == {test}
    assert found.beyond.height == table.filter(here).height


def direct(cohort, data, kind, names):
    """Covariates as a matrix read from the table itself, and g, E, of the samples of a row."""
    table = cohort.phenotypes.table[cohort.rows[data.samples]]
    columns = [np.ones(data.n)] if kind != "cox" else []
    columns += [table[name].cast(pl.Float64).to_numpy() for name in names]
    E = (table["statin"] == "statin").cast(pl.Float64).to_numpy()
    return np.column_stack(columns), data.copies, E


CONTRAST = {"add": (1.0, 0.0), "add:E": (0.0, 1.0), "add|E=placebo": (1.0, 0.0), "add|E=statin": (1.0, 1.0)}


def test_dense_fits_are_statsmodels_of_a_design_made_by_hand(cohort):
    names = ["age", "sex", "PC1", "PC2"]
    for kind, choices in (
        ("linear", {"kind": "linear", "traits": ["ldl"], "covariates": names, "interaction": "statin"}),
        ("logistic", {"kind": "logistic", "traits": ["t2d"], "covariates": names, "interaction": "statin"}),
        ("cox", {"kind": "cox", "time": ["days"], "event": ["death"], "covariates": names, "interaction": "statin"}),
    ):
        trait = {"linear": "ldl", "logistic": "t2d", "cox": "death"}[kind]
        number = int(np.argmax([v.sum() * (v < 3).all() for v in cohort.read(0, cohort.n_variants).codes()]))
        data = RowSource(cohort, choices).row(number, trait)
        X, g, E = direct(cohort, data, kind, names)
        D = np.column_stack([g, g * E, X, E])
        if kind == "linear":
            fit = sm.OLS(data.y, D).fit()
        elif kind == "logistic":
            fit = sm.Logit(data.y, D).fit(disp=0, tol=1e-13, maxiter=200)
        else:
            fit = PHReg(data.time, (D - D.mean(axis=0)) / D.std(axis=0), data.y, ties="efron").fit()
        scale = D.std(axis=0)[:2] if kind == "cox" else np.ones(2)
        theta, covariance = fit.params[:2] / scale, fit.cov_params()[:2, :2] / np.outer(scale, scale)
        method = "t" if kind == "linear" else "wald"
        for test, contrast in CONTRAST.items():
            c = np.array(contrast)
            found = refit(data, test, method, choices)
            # Two fits of float64, each stopped by its own rule at 1e-8 of a step or less.
            np.testing.assert_allclose(found.beta, c @ theta, rtol=1e-6, atol=1e-8)
            np.testing.assert_allclose(found.standard_error, np.sqrt(c @ covariance @ c), rtol=1e-6)
        joint = refit(data, "joint_2df", "f" if kind == "linear" else "wald", choices)
        chi2 = theta @ np.linalg.solve(covariance, theta)
        expected = -np.log10(np.exp(-chi2 / 2))
        if kind == "linear":
            expected = -np.log10(float(fit.f_test(np.eye(2, D.shape[1])).pvalue))
        np.testing.assert_allclose(joint.neg_log_10_p, expected, rtol=1e-6)


def test_what_separates_is_not_fitted(cohort):
    choices = {"kind": "logistic", "traits": ["t2d"], "covariates": ["age"], "interaction": "statin"}
    data = RowSource(cohort, choices).row(0, "t2d")
    g = (np.arange(data.n) % 4 == 0).astype(float)
    y = np.where((data.modifier.values == 1) & (g == 1), 1.0, data.y)  # every carrier on statin is a case
    made = type(data)(**{**vars(data), "y": y, "G": g[:, None], "copies": g})
    for test in ("add:E", "joint_2df", "add|E=statin"):
        with pytest.raises(NotFittedError, match=r"separated|singular"):
            refit(made, test, "wald", choices)
        assert np.isfinite(refit(made, test, "firth", choices).neg_log_10_p)
    assert np.isfinite(refit(made, "add", "wald", choices).beta)


def test_rows_that_can_be_refitted():
    choices = {"kind": "cox", "interaction": "statin", "genetic_model": "dominant"}
    cox, linear = about_of(choices), about_of({"kind": "linear"})
    assert can_refit(cox, "dom|E=a:b", "wald", choices) and can_refit(cox, "joint_2df", "firth", choices)
    assert not can_refit(cox, "add:E", "wald", choices) and not can_refit(cox, "dom:E", "exact", choices)
    assert not can_refit(linear, "add:E", "t", {"kind": "linear"})


# explained -------------------------------------------------------------------------------------------------------------

# In standard errors and -log10 p: from float32 sums 1e-5 and 1e-4; rows fitted one by one stop at a millionth of a standard error.
BOUNDS = {"linear": (1e-5, 1e-4), "like plink2": (1e-3, 1e-3), "genotypic like plink2": (1e-3, 1e-3)}
EXPLAINED = {
    "linear": {"t": "OLS", "t_hc3": "OLS"},
    "linear hc3": {"t": "OLS", "t_hc3": "OLS"},
    "hc3 alone": {"t": "OLS", "t_hc3": "OLS"},
    "logistic": {"wald": "GLM", "lrt": "GLM", "firth": "numpy", "wald_hc3": "GLM"},
    "logistic hc3": {"wald": "GLM", "lrt": "GLM", "firth": "numpy", "wald_hc3": "GLM"},
    "dominant lrt": {"wald": "GLM", "lrt": "GLM", "firth": "numpy", "wald_hc3": "GLM"},
    "cox": {"wald": "PHReg", "lrt": "PHReg", "firth": "numpy", "wald_robust": "numpy"},  # its residuals are Breslow's
}


@pytest.mark.parametrize("name", EXPLAINED)
def test_every_test_stands_beside_another_program(runs, name):
    results = runs(name)
    trait = results.traits[0]
    variant = pick(results, trait)
    tests = results.table.filter((pl.col("variant_id") == variant) & (pl.col("trait") == trait))["test"].to_list()
    for test in tests if name in ("logistic", "linear") else tests[:2]:
        found = explain(results, variant, trait=trait, test=test)
        programs = dict(found.table.select("method", "reference").iter_rows())
        assert found.reproduced and found.table["made_the_row"].sum() == 1
        expected = EXPLAINED[name] if test != "joint_2df" else {}
        assert set(programs) == set(expected) or not expected
        assert all(expected[method] in programs[method] for method in expected)
        effect, logp = BOUNDS.get(name, (1e-5, 1e-4))
        for column, bound in (("beta", effect), ("standard_error", effect), ("neg_log_10_p_value", logp)):
            largest = found.table[f"difference_{column}"].abs().max()
            assert largest is None or largest <= bound, (test, column, found.table)
        assert (found.effects is None) == (name == "hc3 alone")
        if found.effects is not None:
            assert found.effects["test"].to_list() == tests
    assert found.figure() is not None


def test_a_difference_is_what_is_explained_first(runs, tmp_path):
    results = runs("logistic")
    variant = pick(results, "t2d")
    found = explain(results, variant)
    assert found.row["test"] == "add:E" and found.by == "statin"
    assert set(found.counts["statin"]) == {"placebo", "statin"}
    called = found.counts.filter(pl.col("copies").is_not_null())
    assert called["n"].sum() == found.row["n"] and called["n_cases"].sum() == found.row["n_cases"]
    ratio = np.exp(found.row["beta"])
    assert f"where statin = statin, {ratio:.4g} times" in found.text and "where statin = placebo" in found.text
    assert "The effect by arm: statin = placebo: odds ratio" in found.text and "In risks of t2d" in found.text
    assert "the variant's effect did not depend on statin" in found.text
    assert "RERI" in repr(found) and found._repr_html_().count("<table") == 4
    saved = {path.name.removeprefix(f"{variant}.t2d.") for path in found.write(tmp_path)}
    assert saved == {"txt", "tests.tsv", "counts.tsv", "effects.tsv", "absolute.tsv", "png"}
    titles = [ax.get_title() for ax in found.figure().axes]
    assert [title.splitlines()[0] for title in titles] == ["statin = placebo", "statin = statin"]
    assert all("odds ratio" in title and "95 %" in title for title in titles)
    joint = explain(results, variant, test="joint_2df").text
    assert "whatever statin: there is one p" in joint and "that is tested by add:E" in joint
    arm = explain(results, variant, test="add|E=statin").text
    assert "where statin = statin, each additional copy of" in arm


def test_risks_by_arm_are_those_of_statsmodels_fit(cohort, runs):
    for name in ("logistic", "logistic hc3"):
        results = runs(name)
        found = explain(results, pick(results, "t2d"))
        data = found.data.take(~np.isnan(found.data.copies))
        X, g, E = direct(cohort, data, "logistic", ["age", "sex", "PC1", "PC2"])
        D = np.column_stack([X, g, E, g * E])
        fit = sm.Logit(data.y, D).fit(disp=0, tol=1e-13, maxiter=200)
        covariance = fit.cov_params()
        if name == "logistic hc3":
            mu = fit.predict()
            half = D * ((data.y - mu) / (1 - mu * (1 - mu) * np.einsum("ij,jk,ik->i", D, covariance, D)))[:, None]
            covariance = covariance @ (half.T @ half) @ covariance
        P = D.shape[1]
        expected = absolute_effects(fit.params, covariance, D, g=P - 3, e=P - 2, ge=P - 1)
        table = found.absolute.table
        assert table["genotype"].to_list() == list(found.genotypes)
        # Two Newton fits, and leverages with weights of the last step but one.
        for ours, theirs in zip(table.iter_rows(named=True), expected.arms):
            assert ours["risk_placebo"] == pytest.approx(theirs.untreated.value, rel=1e-6)
            assert ours["risk_statin"] == pytest.approx(theirs.treated.value, rel=1e-6)
            assert ours["risk_difference_lower"] == pytest.approx(theirs.difference.ci_lower, rel=1e-5)
            assert ours["number_needed"] == pytest.approx(theirs.number_needed.value, rel=1e-5)
            assert ours["through_infinity"] == theirs.number_needed.through_infinity
            assert 0 <= ours["risk_statin_lower"] <= ours["risk_statin_upper"] <= 1
        assert found.absolute.reri.value == pytest.approx(expected.reri.value, rel=1e-5)
        assert found.absolute.reri.standard_error == pytest.approx(expected.reri.standard_error, rel=1e-5)
        assert f"RERI {expected.reri.value:.3g}" in found.text


def test_where_risks_are_not_given(cohort, runs):
    assert explain(runs("linear"), pick(runs("linear"), "ldl"), trait="ldl").absolute is None
    assert explain(runs("logistic age"), pick(runs("logistic age"), "t2d")).absolute is None
    model = ga.Logistic(["t2d"], "age + C(sex) + statin + statin:age", interaction="statin")
    results = ga.associate(cohort, model)
    found = explain(results, pick(results, "t2d"))
    assert found.absolute is None and "risks by arm are not given: statin is in the covariate" in found.text
    dominant = explain(runs("dominant lrt"), pick(runs("dominant lrt"), "t2d"))
    assert dominant.absolute.table["genotype"].to_list() == ["not carrier", "carrier"]


def test_an_interaction_with_a_number_is_shown_by_its_thirds(runs):
    results = runs("logistic age")
    found = explain(results, pick(results, "t2d"))
    arms = found.counts["age"].unique(maintain_order=True).to_list()
    assert [arm.split(" (")[0] for arm in arms] == ["lowest third", "middle third", "upper third"]
    sizes = found.counts.group_by("age").agg(pl.col("n").sum())["n"]
    assert sizes.max() - sizes.min() < 0.2 * sizes.sum()
    assert "for each additional unit of age" in found.text and len(found.figure().axes) == 3
    assert (
        thirds(np.arange(9.0)).tolist()
        == ["lowest third (to 2)"] * 3 + ["middle third (to 5)"] * 3 + ["upper third (above 5)"] * 3
    )


def test_a_row_without_an_estimate_has_counts_and_a_picture(cohort, runs):
    results = runs("logistic")
    few = results.table.filter(pl.col("code") == "too_few_carriers")["variant_id"][0]
    found = explain(results, few)
    assert "no estimate: code 'too_few_carriers'" in found.text and found.absolute is None
    assert found.counts["n"].sum() > 0 and "no estimate" in found.figure().axes[0].get_title()


def test_few_carriers_in_an_arm_are_told(cohort):
    rng = np.random.default_rng(2)
    table = cohort.phenotypes.table.with_columns(
        arm=pl.Series(rng.random(cohort.phenotypes.table.height) < 0.4).cast(pl.Int64)
    )
    other = ga.Cohort.align(cohort.store, table, sample_id="IID")
    results = ga.associate(other, ga.Logistic(["t2d"], ["age"], interaction="arm", correction=None))
    rows = results.table.filter((pl.col("test") == "add:E") & pl.col("beta").is_not_null())
    told = [explain(results, variant).text for variant in rows.sort("mac")["variant_id"][:4]]
    assert any("carriers with arm = 1 are cases" in text or "samples with arm = 1 carry" in text for text in told)


def test_provenance_of_the_audit(cohort):
    with warnings.catch_warnings():
        warnings.simplefilter("error", ga.AuditWarning)
        results = ga.associate(cohort, MODELS["cox"], audit=40)
    record = json.loads(json.dumps(results.provenance["audit"]))
    assert record["passed"] and record["rows"] == 40 and "no dense twin" not in record["line"]


def test_command(cohort, tmp_path, genassoc):
    """From a results file: the difference, risks by arm and files of both."""
    path = tmp_path / "phenotypes.tsv"
    path.write_text(cohort.phenotypes.table.write_csv(separator="\t", null_value="NA"))
    flags = ["--model", "logistic", "--trait", "t2d", "--covar", "age,sex", "--interaction", "statin", "--threads", 1]
    out = tmp_path / "t2d.parquet"
    code, said, errors = genassoc("assoc", cohort.store.path, path, "--sample-id", "IID", *flags, "--out", out)
    assert code == 0 and "fitted again densely agree" in said, errors
    variant = pick(Results.read(out), "t2d")
    code, said, errors = genassoc("explain", out, variant, "--out", tmp_path / "x")
    assert code == 0, errors
    assert "In risks of t2d" in said and "number needed to treat" in said and "where statin = placebo" in said
    assert len(list((tmp_path / "x").iterdir())) == 6
    code, said, errors = genassoc("explain", out, variant, "--test", "add|E=statin")
    assert code == 0 and "where statin = statin, each additional copy" in said, errors
