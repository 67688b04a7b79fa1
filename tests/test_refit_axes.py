"""Every axis of every family fitted again: right rows agree, a wrong one is found, statsmodels stands beside; offsets and k columns too."""

import warnings

import numpy as np
import polars as pl
import pytest
from endpoint_cohort import COVARIATES, make

import genassoc as ga
from genassoc.explanation import explain
from genassoc.explanation.audit import audit
from genassoc.models.scan import sandwich_pairs
from genassoc.results import Results

POISSON = {"covariates": COVARIATES, "exposure": "years"}
COX = {"covariates": COVARIATES, "strata": "site", "entry": "entry"}
MODELS = {
    "poisson weights": ga.Poisson(["attacks"], weights="w", **POISSON),
    "poisson weights hc0": ga.Poisson(["attacks"], weights="w", variance="hc0", missing="mean", **POISSON),
    "ordinal weights": ga.Ordinal(["grade"], COVARIATES, weights="w"),
    "ordinal weights hc0": ga.Ordinal(["grade"], COVARIATES, weights="w", variance="hc0", genetic_model="dominant"),
    "linear weights arm": ga.Linear(["ldl"], COVARIATES, weights="w", interaction="statin"),
    "linear hc0 age": ga.Linear(["ldl"], COVARIATES, variance="hc0", interaction="age"),
    "logistic weights arm": ga.Logistic(["t2d"], COVARIATES, weights="w", interaction="statin"),
    "logistic hc0 arm": ga.Logistic(["t2d"], COVARIATES, variance="hc0", interaction="statin", missing="mean"),
    "cox weights arm": ga.Cox("days", "death", weights="w", interaction="statin", **COX),
    "cox robust arm": ga.Cox("days", "death", COVARIATES, variance="robust", interaction="statin", ties="breslow"),
}
# Methods of the rows, and whether statsmodels has the row's own test.
METHODS = {
    "poisson weights": ({"wald_hc3"}, True),
    "poisson weights hc0": ({"wald_hc0"}, True),
    "ordinal weights": ({"wald_hc3"}, False),  # no weights in statsmodels' OrderedModel
    "ordinal weights hc0": ({"wald_hc0"}, False),
    "linear weights arm": ({"t_hc3", "f_hc3"}, True),
    "linear hc0 age": ({"t_hc0", "f_hc0"}, True),
    "logistic weights arm": ({"wald_hc3"}, True),
    "logistic hc0 arm": ({"wald_hc0"}, True),
    "cox weights arm": ({"wald_robust"}, False),  # nor in its PHReg
    "cox robust arm": ({"wald_robust"}, True),
}


@pytest.fixture(autouse=True)
def events_enough(monkeypatch):
    """Arms of these few cases have no sandwich variance; here their numbers are asked for."""
    monkeypatch.setattr(sandwich_pairs, "LEAST_OF_ARM", 0.0)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    files = make(tmp_path_factory.mktemp("axes"), n_samples=320, n_variants=60)
    table = pl.read_csv(files.phenotypes, separator="\t", null_values="NA")
    rng, n = np.random.default_rng(5), table.height
    w = np.where(rng.random(n) < 0.4, 1.0, 4.0) * rng.uniform(0.8, 1.2, n)
    table = table.with_columns(w=pl.Series(w), attacks=pl.Series(rng.poisson(2.0, n)))
    files.phenotypes.write_text(table.write_csv(separator="\t", null_value="NA"))
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


def audited(cohort, results, table=None):
    table = results.table if table is None else table
    return audit(Results(table, results.provenance), cohort, results.provenance["parameters"]["model"], 10_000)


@pytest.mark.parametrize("name", MODELS)
def test_right_rows_agree_and_a_wrong_one_is_found(cohort, runs, name):
    results = runs(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = audited(cohort, results)
    assert found.passed and found.compared.height >= 30, found.line()
    assert METHODS[name][0] <= set(found.compared["method"])
    assert not any("no dense twin" in reason for reason in found.not_compared), found.line()
    # Newton's steps stop at a millionth of a standard error in rows and here.
    worst = found.compared.select(pl.max_horizontal("deviation_beta", "deviation_standard_error").max()).item()
    assert worst <= 1e-5
    for column, factor in (("beta", 1 + 2e-4), ("standard_error", 0.9998), ("neg_log_10_p_value", 1.002)):
        fine = results.table.with_row_index().filter(pl.col(column).is_not_null() & pl.col("code").is_null())
        at = fine.sort("neg_log_10_p_value", descending=True)["index"][3]
        here = pl.int_range(pl.len()) == at
        wrong = results.table.with_columns(pl.when(here).then(pl.col(column) * factor).otherwise(column).alias(column))
        beyond = audited(cohort, results, wrong).beyond
        row = wrong.row(at, named=True)
        assert beyond.select("variant_id", "test").rows() == [(row["variant_id"], row["test"])], column


@pytest.mark.parametrize("name", MODELS)
def test_each_is_explained_beside_another_program(cohort, runs, name):
    results = runs(name)
    rows = results.table.filter(pl.col("neg_log_10_p_value").is_not_null() & (pl.col("mac") > 60))
    variant = rows.sort("neg_log_10_p_value", descending=True)["variant_id"][0]
    for test in rows.filter(pl.col("variant_id") == variant)["test"][:3]:
        found = explain(results, variant, test=test)
        made = found.table.filter("made_the_row")
        assert found.reproduced and made.height == 1
        assert ("statsmodels" in made["reference"][0]) == METHODS[name][1], made
        compared = found.table.filter(~pl.col("method").is_in(["spa", "exact"]) & pl.col("reference").is_not_null())
        for column, bound in (("beta", 1e-5), ("standard_error", 2e-5), ("neg_log_10_p_value", 1e-4)):
            largest = compared[f"difference_{column}"].abs().max()
            assert largest is None or largest <= bound, compared
    assert found.figure() is not None and "None" not in found.text
    if results.provenance["parameters"]["model"].get("weights"):
        assert found.counts["n_weighted"].sum() == pytest.approx(found.data.weight.sum())
        assert "one over the chance that each was taken" in found.text


def test_weighted_counts_are_of_the_people_they_stand_for(cohort, runs):
    results = runs("poisson weights")
    found = explain(results, results.table.filter(pl.col("mac") > 60)["variant_id"][0])
    own = cohort.phenotypes.table[cohort.rows[found.data.samples]]
    events, years = (own["w"] * own["attacks"]).sum(), (own["w"] * own["years"]).sum()
    rates, n = found.counts["rate_weighted"], found.counts["n_weighted"]
    assert (rates.min() <= events / years <= rates.max()) and n.sum() == pytest.approx(own["w"].sum())
    results = runs("ordinal weights")
    counts = explain(results, results.table.filter(pl.col("mac") > 60)["variant_id"][0]).counts
    shares = [name for name in counts.columns if name.startswith("share_of_level")]
    np.testing.assert_allclose(counts.select(pl.sum_horizontal(shares)).to_series(), 1.0)


def test_what_is_not_fitted_again_is_named(cohort, runs, monkeypatch):
    """A choice that the model has and its refit has not: rows and counts are shown, and the choice is named."""
    from dataclasses import replace

    from genassoc.models.poisson import about

    results = runs("poisson weights")
    monkeypatch.setattr(about, "ABOUT", replace(about.ABOUT, choices=("dispersion",)))
    variant = results.table.filter(pl.col("mac") > 60)["variant_id"][0]
    found = explain(results, variant)
    assert found.reproduced and found.fit is None and found.table["reference"].is_null().all()
    assert "exposure='years' is a choice that genassoc's model has and its refit does not" in found.text
    assert found.counts["n"].sum() > 0
    said = audited(cohort, results)
    assert said.compared.height == 0 and "exposure='years'" in said.line()
