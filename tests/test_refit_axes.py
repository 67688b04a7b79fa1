"""Every axis of every family fitted again: right rows agree, a wrong one is found, statsmodels stands beside; offsets and k columns too."""

import warnings
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from endpoint_cohort import COVARIATES, make

import genassoc as ga
from genassoc.data.cohort.offset_tables import with_offsets
from genassoc.explanation.audit import audit
from genassoc.explanation.explain import explain
from genassoc.explanation.references import REFERENCES
from genassoc.models.about import about_of
from genassoc.models.scan import wald
from genassoc.refit.refit import refit
from genassoc.refit.row_data import RowSource
from genassoc.results import Results

POISSON = {"covariates": COVARIATES, "exposure": "years"}
COX = {"covariates": COVARIATES, "strata": "site", "entry": "entry"}
MODELS = {
    "poisson weights": ga.Poisson(["attacks"], weights="w", **POISSON),
    "poisson weights hc0": ga.Poisson(["attacks"], weights="w", variance="hc0", missing="mean", **POISSON),
    "ordinal weights": ga.Ordinal(["grade"], COVARIATES, weights="w"),
    "ordinal weights hc0": ga.Ordinal(["grade"], COVARIATES, weights="w", variance="hc0", genetic_model="dominant"),
    "all cases sampled": ga.Logistic(["t2d"], COVARIATES, weights="all_cases"),  # whole weights, 1 of all cases
    "poisson arm": ga.Poisson(["attacks"], interaction="statin", correct_below=0.3, **POISSON),
    "poisson alone arm": ga.Poisson(["attacks"], interaction="age", dispersion="poisson", correction=None, **POISSON),
    "poisson robust": ga.Poisson(["attacks"], variance="robust", **POISSON),
    "poisson weights arm": ga.Poisson(["attacks"], weights="w", interaction="statin", **POISSON),
    "poisson genotypic": ga.Poisson(["attacks"], genetic_model="genotypic", **POISSON),
    "relapses": ga.NegativeBinomial(["relapses"], correction="lrt", correct_below=0.3, min_mac=12, **POISSON),
    "relapses weights": ga.NegativeBinomial(["relapses"], weights="w", **POISSON),
    "relapses hc0": ga.NegativeBinomial(["relapses"], variance="hc0", missing="mean", **POISSON),
    "relapses robust": ga.NegativeBinomial(["relapses"], variance="robust", **POISSON),
    "relapses arm": ga.NegativeBinomial(["relapses"], interaction="statin", correct_below=0.3, **POISSON),
    "relapses genotypic": ga.NegativeBinomial(["relapses"], genetic_model="genotypic", **POISSON),
    "ordinal arm": ga.Ordinal(["grade"], COVARIATES, interaction="statin", correct_below=0.3),
    "ordinal robust": ga.Ordinal(["grade"], COVARIATES, variance="robust"),
    "ordinal hc0 arm": ga.Ordinal(["grade"], COVARIATES, variance="hc0", interaction="statin"),
    "ordinal weights age": ga.Ordinal(["grade"], COVARIATES, weights="w", interaction="age"),
    "ordinal genotypic": ga.Ordinal(["grade"], COVARIATES, genetic_model="genotypic", test="wald"),
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
    "all cases sampled": ({"exact"}, False),
    "poisson arm": ({"wald", "lrt"}, True),
    "poisson alone arm": ({"wald"}, True),
    "poisson robust": ({"wald_hc3"}, True),
    "poisson weights arm": ({"wald_hc3"}, True),
    "poisson genotypic": ({"lrt"}, True),
    "relapses": ({"score", "lrt"}, True),
    "relapses weights": ({"wald_hc3"}, False),  # no weights in its NegativeBinomial
    "relapses hc0": ({"wald_hc0"}, True),
    "relapses robust": ({"wald_hc3"}, False),  # a jackknife of two numbers a sample has no other program
    "relapses arm": ({"wald", "lrt"}, True),
    "relapses genotypic": ({"lrt"}, True),
    "ordinal arm": ({"wald", "lrt"}, True),
    "ordinal robust": ({"wald_hc3"}, False),  # HC3 of two edges has no other program
    "ordinal hc0 arm": ({"wald_hc0"}, True),
    "ordinal weights age": ({"wald_hc3"}, False),
    "ordinal genotypic": ({"wald"}, True),
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
    monkeypatch.setattr(wald, "LEAST_OF_ARM", 0.0)


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    files = make(tmp_path_factory.mktemp("axes"), n_samples=320, n_variants=60)
    table = pl.read_csv(files.phenotypes, separator="\t", null_values="NA")
    rng, n = np.random.default_rng(5), table.height
    w = np.where(rng.random(n) < 0.4, 1.0, 4.0) * rng.uniform(0.8, 1.2, n)
    table = table.with_columns(
        w=pl.Series(w), attacks=pl.Series(rng.poisson(2.0, n)),
        relapses=pl.Series(np.random.default_rng(6).negative_binomial(1.5, 0.4, n)), four=pl.Series(np.arange(n) // 4),
        all_cases=np.where(table["t2d"] == table["t2d"].max(), 1, 1 + 2 * (np.arange(n) % 3)),
    )  # fmt: skip
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
    assert (found.compared["deviation_beta"].max() or 0.0) <= 1e-5
    for column, factor in (("beta", 1 + 2e-4), ("standard_error", 0.9998), ("neg_log_10_p_value", 1.002)):
        tested = pl.col("code").is_null() | (pl.col("code") == "overdispersed")
        fine = results.table.with_row_index().filter(pl.col(column).is_not_null() & tested)
        at = fine.sort("neg_log_10_p_value", descending=True)["index"][3]
        here = pl.int_range(pl.len()) == at
        wrong = results.table.with_columns(pl.when(here).then(pl.col(column) * factor).otherwise(column).alias(column))
        beyond = audited(cohort, results, wrong).beyond
        row = wrong.row(at, named=True)
        assert beyond.select("variant_id", "test").rows() == [(row["variant_id"], row["test"])], column


# statsmodels' OrderedModel takes its derivatives by differences, many seconds a fit: one test of one model is enough here, and
# slow at that; test_explain has another.
SLOW = {"ordinal arm", "ordinal robust", "ordinal hc0 arm", "ordinal genotypic"}


@pytest.mark.parametrize(
    "name",
    [name for name in MODELS if name not in SLOW] + [pytest.param("ordinal arm", marks=pytest.mark.slow)],
)
def test_each_is_explained_beside_another_program(cohort, runs, name):
    results = runs(name)
    rows = results.table.filter(pl.col("neg_log_10_p_value").is_not_null() & (pl.col("mac") > 60))
    variant = rows.sort("neg_log_10_p_value", descending=True)["variant_id"][0]
    for test in rows.filter(pl.col("variant_id") == variant)["test"][: 1 if name in SLOW else 3]:
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
        assert "one over the probability that it was sampled" in found.text


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


# offsets --------------------------------------------------------------------------------------------------------------

WITH_OFFSETS = {
    "linear": ga.Linear(["ldl"], COVARIATES),
    "linear ranks": ga.Linear(["ldl"], COVARIATES, rank_normalise=True, missing="mean"),
    "logistic": ga.Logistic(["t2d"], COVARIATES),
    "linear arm": ga.Linear(["ldl"], COVARIATES, interaction="statin"),
    "poisson": ga.Poisson(["attacks"], correct_below=0.3, correction="lrt", **POISSON),
    "ordinal weights": ga.Ordinal(["grade"], COVARIATES, weights="w"),
    "cox robust": ga.Cox("days", "death", COVARIATES, variance="robust", ties="breslow"),
}


def predictions(cohort, trait, seed):
    """A table of predictions of a trait."""
    rng = np.random.default_rng(seed)
    return pl.DataFrame({"IID": list(cohort.sample_ids), trait: rng.normal(0, 0.7, cohort.n_samples)})


@pytest.mark.parametrize("name", WITH_OFFSETS)
def test_offsets_by_chromosome_are_fitted_again(cohort, name):
    """The audit and the explanation take each chromosome's own prediction; rows of another are wrong ones."""
    model = WITH_OFFSETS[name]
    (trait,) = model.traits
    names = cohort.store.variants()["chromosome"].unique(maintain_order=True)
    tables = {chromosome: predictions(cohort, trait, seed) for seed, chromosome in enumerate(names)}
    results = ga.associate(cohort, model, offsets=tables)
    found = audited(results.cohort, results)
    assert found.passed and found.compared.height >= 20, found.line()
    first, second, *rest = found.compared["chromosome"].unique(maintain_order=True)
    variant = results.table.filter((pl.col("mac") > 60) & pl.col("beta").is_not_null())["variant_id"][-1]
    explained = explain(results, variant)
    compared = explained.table.filter(~pl.col("method").is_in(["spa", "exact", "score_approx"]))
    assert explained.reproduced and compared["reference"].is_not_null().all()
    # a method that only statsmodels has stands without a difference
    assert compared["difference_beta"].drop_nulls().abs().max() <= 1e-5 and explained.data.offset.any()
    # the predictions of two chromosomes exchanged, and none at all
    other = {**tables, first: tables[second], second: tables[first]}
    for wrong in (with_offsets(cohort, other, [trait], model.outcome), cohort):
        beyond = audited(wrong, results).beyond
        assert {first, second} <= set(beyond["chromosome"]) and beyond.height >= 10
        assert (wrong is cohort) or not set(rest) & set(beyond["chromosome"])


DENSE = {
    "linear": ({"kind": "linear", "traits": ["ldl"]}, "t"),
    "logistic": ({"kind": "logistic", "traits": ["t2d"]}, "lrt"),
    "poisson": ({"kind": "poisson", "traits": ["attacks"], "exposure": "years"}, "wald"),
    "relapses": ({"kind": "negative_binomial", "traits": ["relapses"], "exposure": "years"}, "wald"),
    "poisson weights": ({"kind": "poisson", "traits": ["attacks"], "weights": "w"}, "wald_hc3"),
    "logistic weights": ({"kind": "logistic", "traits": ["t2d"], "weights": "w"}, "wald_hc0"),
    "ordinal": ({"kind": "ordinal", "traits": ["grade"]}, "lrt"),
    "cox": ({"kind": "cox", "time": ["days"], "event": ["death"], "strata": ["site"]}, "wald"),
    "cox robust": ({"kind": "cox", "time": ["days"], "event": ["death"], "variance": "robust", "ties": "breslow"}, "wald_robust"),
    "matched": ({"kind": "logistic", "traits": ["t2d"], "matched": "four"}, "wald"),
}  # fmt: skip


@pytest.mark.parametrize("name", DENSE)
def test_an_offset_of_every_family_is_statsmodels(cohort, name):
    """The dense twin beside statsmodels' own `offset`, of one column and of g and g E at once."""
    choices, method = DENSE[name]
    choices = {"covariates": ["age", "PC1"], **choices}
    trait = (choices.get("traits") or choices["event"])[0]
    kind = about_of(choices).outcome
    other = with_offsets(cohort, predictions(cohort, trait, 3), [trait], kind)
    number = int(np.argmax([(codes < 3).all() * (codes == 1).sum() for codes in cohort.read(0, 60).codes()]))
    without = refit(RowSource(cohort, choices).row(number, trait), "add", method, choices)
    row = RowSource(other, choices).row(number, trait)
    fitted = refit(row, "add", method, choices)
    assert abs(fitted.beta - without.beta) > 0.01 * without.standard_error  # an offset that is left out is seen
    reference = REFERENCES[row.about.reference](row, "add", choices).tests[method]
    # ConditionalLogit's second derivatives are differences: five digits
    bound = 1e-4 if name == "matched" else 1e-6
    assert fitted.beta == pytest.approx(reference.beta, rel=bound)
    assert fitted.standard_error == pytest.approx(reference.standard_error, rel=bound)
    assert fitted.neg_log_10_p == pytest.approx(reference.neg_log_10_p, rel=10 * bound)


@pytest.mark.parametrize(
    "name", [name for name in DENSE if name != "ordinal"] + [pytest.param("ordinal", marks=pytest.mark.slow)]
)
def test_several_columns_of_every_family_are_statsmodels(cohort, name):
    """k columns at once: a k-df test by its statistic, the same in any basis of the columns."""
    choices, method = DENSE[name]
    choices = {"covariates": ["age", "PC1"], **choices}
    trait = (choices.get("traits") or choices["event"])[0]
    order = np.argsort([-(codes == 1).sum() for codes in cohort.read(0, 60).codes()])[:3]
    source = RowSource(cohort, choices)
    rows = [source.row(int(number), trait, observed_only=False) for number in order]
    G = np.column_stack([row.G[:, 0] for row in rows])
    row = replace(rows[0], G=G).take(np.isfinite(G).all(axis=1))
    method = method.replace("t", "f", 1) if method.startswith("t") else method
    fitted = refit(row, "alleles_3df", method, choices)
    mixed = replace(row, G=row.G @ np.array([[1.0, 1, 0], [0, 1, 2], [1, 0, 1]]))
    assert np.isnan(fitted.beta)
    assert refit(mixed, "alleles_3df", method, choices).neg_log_10_p == pytest.approx(fitted.neg_log_10_p, rel=1e-6)
    reference = REFERENCES[row.about.reference](row, "alleles_3df", choices).tests[method]
    assert fitted.neg_log_10_p == pytest.approx(reference.neg_log_10_p, rel=1e-3 if name == "matched" else 1e-5)
