"""One association explained: agreement with statsmodels, cohorts made again from the provenance, words, counts, pictures."""

import json
import shutil

import numpy as np
import polars as pl
import pytest
from endpoint_cohort import COVARIATES, MODELS, make
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

import genassoc as ga
from genassoc.explanation.explain import explain
from genassoc.explanation.rebuilt import cohort_of
from genassoc.explanation.words_cautions import _differential
from genassoc.models.about import about_of
from genassoc.refit.row_data import RowData
from genassoc.results import Results
from genassoc.stats.proportions import mean_interval, wilson_interval


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make(tmp_path_factory.mktemp("explain"))


@pytest.fixture(scope="module")
def cohort(files):
    return ga.Cohort.align(files.store, files.phenotypes, sex="sex")


@pytest.fixture(scope="module")
def results(cohort, tmp_path_factory):
    return ga.associate(cohort, ga.Linear(["ldl"], COVARIATES), out=tmp_path_factory.mktemp("r") / "ldl.parquet")


def pick(results, trait):
    """A common variant of the trait, its p among the smallest."""
    common = results.table.filter(
        (pl.col("trait") == trait) & pl.col("neg_log_10_p_value").is_not_null() & (pl.col("mac") > 60)
    )
    return common.sort("neg_log_10_p_value", descending=True)["variant_id"][0]


# Largest difference from statsmodels in standard errors of beta and in -log10 p: screens are float32 products (1e-5), rows
# fitted one by one stop at a millionth of a standard error; OrderedModel's second derivatives hold five digits.
BOUNDS = {"linear": (1e-5, 1e-4), "ordinal": (2e-5, 2e-4)}
EXPECTED = {
    "linear": {"t"},
    "change": {"t"},
    "logistic": {"score", "wald", "lrt", "firth", "firth_approx", "spa"},
    "poisson": {"score", "wald", "lrt"},
    "ordinal": {"score", "wald", "lrt"},
    "cox": {"score", "wald", "lrt", "firth", "firth_approx", "spa"},
    "like plink2": {"score", "wald", "lrt", "firth", "firth_approx", "spa"},
    "recessive": {"score", "wald", "lrt", "firth"},  # beta is so large that Firth is of the full model
    "genotypic": {"f"},
}


@pytest.mark.parametrize("name", EXPECTED)
def test_every_test_agrees_with_another_program(cohort, name, tmp_path):
    results = ga.associate(cohort, MODELS[name])
    trait = results.traits[-1]
    found = explain(results, pick(results, trait), trait=trait)
    table = found.table
    assert found.reproduced and table["made_the_row"].sum() == 1
    assert EXPECTED[name] <= set(table["method"])
    compared = table.filter(~pl.col("method").is_in(["spa", "exact", "score_approx"]))
    assert compared["reference"].is_not_null().all() and compared.height >= len(EXPECTED[name]) - 1
    effect, logp = BOUNDS.get(name, (1e-3, 1e-3) if name == "like plink2" else (1e-5, 1e-4))
    for column, bound in (("beta", effect), ("standard_error", effect), ("neg_log_10_p_value", logp)):
        difference = compared[f"difference_{column}"].abs().max()
        assert difference is None or difference <= bound, (column, table)
    plain = {"t", "f", "score", "wald", "lrt"} & EXPECTED[name]
    by_statsmodels = table.filter(pl.col("reference").str.contains("statsmodels").fill_null(False))["method"]
    assert plain - {"score"} <= set(by_statsmodels)
    assert found.fit.params is not None
    called = found.counts.filter(pl.col("copies").is_not_null())
    assert called["n"].sum() == found.row["n"]
    saved = found.write(tmp_path)
    assert [path.suffix for path in saved] == [".txt", ".tsv", ".tsv", ".png"] and saved[-1].stat().st_size > 8000


def test_counts_by_arm_are_those_of_the_table(cohort, results):
    variant = pick(results, "ldl")
    found = explain(results, variant, by="statin")
    codes = np.concatenate([cohort.read(i, i + 1).codes() for i in range(cohort.n_variants)])
    at = cohort.store.variants().with_columns(
        id=pl.concat_str("chromosome", "base_pair_location", "other_allele", "effect_allele", separator="_")
    )["id"].to_list().index(variant)  # fmt: skip
    table = cohort.phenotypes.table[cohort.rows].with_columns(code=pl.Series(codes[at, cohort.block_columns]))
    table = table.filter(pl.all_horizontal(pl.col("ldl", "age", "sex", "PC1", "PC2").is_not_null()))
    for row in found.counts.iter_rows(named=True):
        code = 3 if row["copies"] is None else row["copies"]
        part = table.filter((pl.col("statin") == row["statin"]) & (pl.col("code") == code))["ldl"]
        assert row["n"] == len(part)
        assert row["mean"] == pytest.approx(part.mean()) and row["median"] == pytest.approx(part.median())
        if len(part) > 1:
            low, high = stats.t.interval(0.95, len(part) - 1, part.mean(), part.std() / np.sqrt(len(part)))
            assert (row["mean_lower"], row["mean_upper"]) == pytest.approx((low, high))
    assert found.counts["n"].sum() == table.height
    assert len(found.figure().axes) == 2


def test_words_say_what_matters(cohort, results):
    variant = pick(results, "ldl")
    row = results.table.filter(pl.col("variant_id") == variant).row(0, named=True)
    text = explain(results, variant).text
    assert f"{row['n']:,} samples" in text and f"each additional copy of {row['effect_allele']}" in text
    assert f"{abs(row['beta']):.4g}" in text and f"{row['ci_lower']:.4g} to {row['ci_upper']:.4g}" in text
    assert f"-log10 p {row['neg_log_10_p_value']:.2f}" in text and "not the chance that" in text
    assert "gives the same row" in text and "statsmodels OLS" in text
    rare = results.table.filter(pl.col("mac").is_between(5, 9) & pl.col("beta").is_not_null())["variant_id"][0]
    assert "carry the rarer allele" in explain(results, rare).text
    none = results.table.filter(pl.col("code") == "too_few_carriers")["variant_id"][0]
    assert "no estimate" in explain(results, none).text
    logistic = ga.associate(cohort, ga.Logistic(["t2d"], COVARIATES))
    found = explain(logistic, pick(logistic, "t2d"))
    assert f"odds ratio of {np.exp(found.row['beta']):.4g}" in found.text
    assert found.row["variant_id"] in repr(found) and "<table" in found._repr_html_()


def test_missing_calls_in_cases_are_seen():
    n = 200
    y = np.repeat([0.0, 1.0], n // 2)
    copies = np.where((np.arange(n) % 5 == 0) & (y == 1), np.nan, 1.0)
    empty = np.zeros((n, 1))
    ones = np.ones(n)
    data = RowData(
        about=about_of({"kind": "logistic"}), y=y, X=empty, covariates=("intercept",), G=empty, copies=copies, offset=0 * y,
        weight=ones, exposure=ones, samples=np.arange(n), n_missing=20,
    )  # fmt: skip
    (said,) = _differential(data, ~np.isnan(copies))
    assert "missing more often in cases (20, 10.0 expected)" in said
    even = np.where(np.arange(n) % 5 == 0, np.nan, 1.0)
    assert _differential(data, ~np.isnan(even)) == []


# the cohort, made again ----------------------------------------------------------------------------------------------


@pytest.fixture
def steps(files, tmp_path):
    """Results of a cohort that was selected, and joined with a second table."""
    added = tmp_path / "more.tsv"
    table = pl.read_csv(files.phenotypes, separator="\t", null_values="NA")
    added.write_text(table.select("IID", score=pl.col("age") * 2 + pl.col("PC3")).write_csv(separator="\t"))
    phenotypes = tmp_path / "phenotypes.tsv"
    shutil.copy(files.phenotypes, phenotypes)
    cohort = ga.Cohort.align(files.store, phenotypes, sample_id="IID", sex="sex")
    cohort = cohort.keep_samples((pl.col("age") > 30) & (pl.col("site") != "c")).with_covariates(added)
    cohort = cohort.keep_variants(ga.variants.maf_above(0.05))
    ga.associate(cohort, ga.Linear(["ldl"], ("age", "score")), out=tmp_path / "r.parquet")
    return tmp_path, cohort


def test_cohort_is_made_again_from_the_provenance(steps):
    folder, cohort = steps
    again = Results.read(folder / "r.parquet")
    rebuilt = cohort_of(again)
    assert rebuilt.sample_ids.tolist() == cohort.sample_ids.tolist() and rebuilt.n_samples < cohort.store.n_samples
    found = explain(again, pick(again, "ldl"))
    assert found.reproduced and found.table["difference_beta"].abs().max() < 1e-5


def test_provenance_names_nobody(steps, cohort):
    folder, chosen = steps
    few = chosen.keep_samples([str(name) for name in chosen.sample_ids[:140]])
    ga.associate(few, ga.Linear(["ldl"]), out=folder / "few.parquet")
    for name in ("r", "few"):
        text = (folder / f"{name}.parquet.provenance.json").read_text()
        assert not any(str(sample) in text for sample in cohort.sample_ids)
    variant = pick(Results.read(folder / "few.parquet"), "ldl")
    with pytest.raises(ga.InputError, match=r"kept by 140 ids.*--config gwas.toml"):
        explain(Results.read(folder / "few.parquet"), variant)
    again = Results.read(folder / "few.parquet")
    assert explain(again, pick(again, "ldl"), cohort=few).reproduced


def test_changed_inputs_are_refused(steps):
    folder, cohort = steps
    results = Results.read(folder / "r.parquet")
    variant = pick(results, "ldl")
    path = folder / "phenotypes.tsv"
    table = pl.read_csv(path, separator="\t", infer_schema=False)
    path.write_text(table.with_columns(ldl=pl.Series(["3.21", *table["ldl"][1:]])).write_csv(separator="\t"))
    with pytest.raises(ga.InputError, match=r"phenotypes.tsv are no longer what .* values have changed"):
        explain(results, variant)
    path.unlink()
    with pytest.raises(ga.InputError, match=r"phenotypes.tsv, which .* are no longer there"):
        explain(results, variant)
    with pytest.raises(ga.InputError, match="not the cohort"):
        explain(results, variant, cohort=cohort.keep_samples(pl.col("age") > 50))
    record = json.loads((folder / "r.parquet.provenance.json").read_text())
    record["inputs"]["store"]["fingerprint"] = "0" * 8
    with pytest.raises(ga.InputError, match=r"the store .* no longer what the results were computed from"):
        explain(Results(results.path, record), variant)
    with pytest.raises(ga.InputError, match="which model made them"):
        explain(Results(results.path), variant)


def test_code_in_a_provenance_is_never_run(steps):
    folder, _ = steps
    results = Results.read(folder / "r.parquet")
    step = results.provenance["inputs"]["cohort"]["steps"][1]
    with pytest.warns():  # polars on functions in expressions
        evil = pl.col("age").map_elements(lambda x: x > 30, return_dtype=pl.Boolean).meta.serialize(format="json")
    step["expression"] = json.loads(evil)
    with pytest.raises(ga.InputError, match="Python functions"):
        explain(results, pick(results, "ldl"))


def test_a_table_in_memory_needs_its_cohort(files, tmp_path):
    table = pl.read_csv(files.phenotypes, separator="\t", null_values="NA")
    cohort = ga.Cohort.align(files.store, table, sample_id="IID")
    results = ga.associate(cohort, ga.Linear(["ldl"]), out=tmp_path / "r.parquet")
    variant = pick(results, "ldl")
    assert explain(results, variant).reproduced  # the results of this session carry it
    with pytest.raises(ga.InputError, match="table in memory"):
        explain(Results.read(tmp_path / "r.parquet"), variant)


def test_a_changed_result_is_seen(cohort, results):
    variant = pick(results, "ldl")
    here = pl.col("variant_id") == variant
    table = results.table.with_columns(
        pl.when(here).then(pl.col("beta") * 1.001).otherwise(pl.col("beta")).alias("beta")
    )
    found = explain(Results(table, results.provenance, cohort), variant)
    assert not found.reproduced and "GIVES ANOTHER ROW" in found.text
    assert found.table.filter("made_the_row")["difference_beta"].abs()[0] > 1e-3


# which row ----------------------------------------------------------------------------------------------------------


def test_the_row_that_is_meant(cohort, results):
    with pytest.raises(ga.GenassocError, match=r"no row of 'rs0'; name a variant"):
        explain(results, "rs0")
    two = ga.associate(cohort, MODELS["linear"])
    variant = pick(two, "ldl")
    with pytest.raises(ga.GenassocError, match=r"rows of 2 traits: ldl, ldl_before; choose one"):
        explain(two, variant)
    with pytest.raises(ga.GenassocError, match=r"no row of trait 'hdl'; it has ldl, ldl_before"):
        explain(two, variant, trait="hdl")
    assert explain(two, variant, trait="ldl").row["trait"] == "ldl"
    renamed = two.table.with_columns(rsid=pl.lit("rs1"))
    with pytest.raises(ga.GenassocError, match=r"'rs1' is the name of \d+ variants"):
        explain(Results(renamed, two.provenance, cohort), "rs1")
    with pytest.raises(TypeError, match="results are Results"):
        explain(two.table, variant)
    genotypic = ga.associate(cohort, MODELS["genotypic"])
    found = explain(genotypic, pick(genotypic, "ldl"))
    assert found.row["test"] == "geno_2df" and "there are add, domdev too" in found.text
    assert explain(genotypic, found.row["variant_id"], test="domdev").table["method"].to_list() == ["t"]


def test_a_model_that_is_not_understood_is_refused(cohort, results):
    record = json.loads(json.dumps(results.provenance))
    record["parameters"]["model"]["ridge"] = 3
    with pytest.raises(ga.GenassocError, match="ridge=3"):
        explain(Results(results.table, record, cohort), pick(results, "ldl"))


def test_arms_are_few(results):
    with pytest.raises(ga.GenassocError, match="at most 6"):
        explain(results, pick(results, "ldl"), by="PC1")


def test_command(steps, genassoc):
    folder, _ = steps
    variant = pick(Results.read(folder / "r.parquet"), "ldl")
    code, said, errors = genassoc("explain", folder / "r.parquet", variant, "--by", "statin", "--out", folder / "out")
    assert code == 0, errors
    assert "each additional copy of" in said and "statsmodels OLS" in said and "placebo" in said
    assert len(list((folder / "out").iterdir())) == 4
    code, _, errors = genassoc("explain", folder / "r.parquet", "rs0")
    assert code == 1 and "no row of 'rs0'" in errors and "Traceback" not in errors


def test_intervals():
    k, n = np.array([0, 1, 7, 20]), np.array([20, 20, 20, 20])
    low, high = proportion_confint(k, n, method="wilson")
    np.testing.assert_allclose(wilson_interval(k, n), (low, high), atol=1e-12)
    assert np.isnan(wilson_interval(0, 0)).all()
    values = np.array([1.0, 2.0, 4.0])
    assert mean_interval(values)[1:] == pytest.approx(stats.t.interval(0.95, 2, values.mean(), stats.sem(values)))
    assert np.isnan(mean_interval([])[0]) and np.isnan(mean_interval([3.0])[1])


def test_names_stay_what_they_are():
    assert callable(ga.explain) and callable(ga.explain)
    assert callable(ga.demo) and callable(ga.demo)  # and not the module of that name from the second time on
