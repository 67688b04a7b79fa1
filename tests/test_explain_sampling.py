"""Weights, matched sets, robust variances and predictors: rows audited and explained; what was changed is caught and named."""

import warnings

import numpy as np
import polars as pl
import pytest
from endpoint_cohort import COVARIATES, make

import genassoc as ga
from genassoc.data.block import GenotypeBlock
from genassoc.explanation.audit import audit
from genassoc.explanation.explain import explain
from genassoc.explanation.groups import groups_of
from genassoc.formats.vcf.writer import write_vcf
from genassoc.results import Results, read_provenance

MODELS = {
    "linear": ga.Linear(["ldl"], COVARIATES, weights="w"),
    "linear hc0": ga.Linear(["ldl"], COVARIATES, weights="w", variance="hc0", missing="mean", rank_normalise=True),
    "change": ga.Linear(["ldl"], COVARIATES, variance="hc0", baseline="ldl_before"),
    "logistic": ga.Logistic(["t2d"], COVARIATES, weights="w"),
    "logistic hc0": ga.Logistic(["t2d"], COVARIATES, variance="hc0", genetic_model="dominant"),
    "cox": ga.Cox("days", "death", COVARIATES, weights="w", strata="site", entry="entry"),
    "cox robust": ga.Cox("days", "death", COVARIATES, variance="robust"),
    "cox breslow": ga.Cox("days", "death", COVARIATES, variance="robust", ties="breslow", missing="mean"),
    "matched": ga.Logistic(["t2d", "rare"], ["age", "PC1"], matched="trio", correct_below=0.3),
    "matched wald": ga.Logistic(["t2d"], ["age", "PC1"], matched="trio", test="wald", missing="mean"),
}
METHODS = {
    "linear": {"t_hc3"},
    "linear hc0": {"t_hc0", "spa"},
    "change": {"t_hc0", "spa"},
    "logistic": {"exact"},  # of fewer than 50 cases
    "logistic hc0": {"exact"},
    "cox": {"wald_robust"},
    "cox robust": {"wald_robust"},
    "cox breslow": {"wald_robust"},
    "matched": {"score", "lrt", "exact"},
    "matched wald": {"wald"},
}
# What stands beside the row, and whether statsmodels has the row's own test.
BESIDE = {
    "linear": ({"t_hc3", "t_hc0"}, True),
    "linear hc0": ({"t_hc3", "spa"}, False),  # and the residuals' own law
    "change": ({"t", "t_hc3", "spa"}, False),
    "logistic": ({"wald_hc3", "wald_hc0"}, False),  # the law of few events stands beside plain numpy
    "logistic hc0": ({"wald", "lrt", "firth", "wald_hc3", "wald_hc0"}, False),
    "cox": ({"wald_robust"}, False),  # no weights in statsmodels' Cox
    "cox robust": ({"wald_robust", "score", "wald", "lrt", "firth"}, False),  # its residuals are Breslow's
    "cox breslow": ({"wald_robust", "score", "wald", "lrt", "firth"}, True),
    "matched": ({"score", "wald", "lrt"}, None),
    "matched wald": ({"score", "wald", "lrt"}, True),
}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    """Weights that differ sixfold, of two samples none; sets of two and three, some without a case."""
    files = make(tmp_path_factory.mktemp("sampling"), n_samples=300, n_variants=150)
    table = pl.read_csv(files.phenotypes, separator="\t", null_values="NA")
    rng, n = np.random.default_rng(2), table.height
    w = np.where(rng.random(n) < 0.4, 1.0, 6.0) * rng.uniform(0.8, 1.2, n)
    w[:2], w[5] = np.nan, 0.0
    sets = rng.permutation(np.repeat(np.arange(n), rng.integers(2, 6, n))[:n])
    table = table.with_columns(w=pl.Series(w).fill_nan(None), trio=pl.Series(sets))
    files.phenotypes.write_text(table.write_csv(separator="\t", null_value="NA"))
    return ga.Cohort.align(files.store, files.phenotypes, sex="sex")


@pytest.fixture(scope="module")
def runs(cohort):
    """Results of every model, each computed once and audited."""
    made = {}
    for name, model in MODELS.items():
        with warnings.catch_warnings():
            warnings.simplefilter("error", ga.AuditWarning)
            made[name] = ga.associate(cohort, model, audit=80)
    return made


@pytest.mark.parametrize("name", MODELS)
def test_the_audit_fits_every_row_again(runs, name):
    found = runs[name].provenance["audit"]
    assert found["passed"] and found["rows"] >= 40, found["line"]
    assert set(found["by_method"]) == METHODS[name]
    for method, largest in found["by_method"].items():
        # least squares take no iteration; Newton's steps stop at a millionth of a standard error
        bound = 1e-9 if method.startswith("t_") else 1e-5
        if method == "spa":  # of the residuals: the row bins the carriers' coefficients, its twin does not
            assert largest["beta"] <= 1e-9
            bound = 0.03
        assert largest["beta"] <= bound and largest["neg_log_10_p_value"] <= bound
        assert largest["standard_error"] is None or largest["standard_error"] <= bound
    # Exact p of matched sets under missing="mean" is of the calls observed, which a row's data do not tell.
    assert set(found["not_compared"]) <= {"have code separation", "by exact have no dense twin"}


@pytest.mark.parametrize("name", ["linear", "logistic", "cox", "cox robust", "matched"])
@pytest.mark.parametrize(
    "column, factor", [("beta", 1 + 2e-4), ("standard_error", 0.9998), ("neg_log_10_p_value", 1.002)]
)
def test_a_changed_row_is_caught_and_named(runs, cohort, name, column, factor):
    run = runs[name]
    fine = run.table.filter(pl.col("code").is_null() & pl.col("neg_log_10_p_value").is_not_null())
    row = fine.sort("neg_log_10_p_value", descending=True).row(3, named=True)
    here = (pl.col("variant_id") == row["variant_id"]) & (pl.col("trait") == row["trait"])
    table = run.table.with_columns(pl.when(here).then(pl.col(column) * factor).otherwise(pl.col(column)).alias(column))
    found = audit(Results(table, run.provenance), cohort, run.provenance["parameters"]["model"], 30)
    assert found.beyond["variant_id"].to_list() == [row["variant_id"]]
    assert row["variant_id"] in found.warning() and "DO NOT AGREE" in found.line()


@pytest.mark.parametrize("name, choice", [("linear", "weights"), ("cox", "weights"), ("matched", "matched")])
def test_rows_of_another_sampling_do_not_pass(runs, cohort, name, choice):
    """The audit reads weights and sets itself: rows computed without them are not these rows."""
    run = runs[name]
    choices = {**run.provenance["parameters"]["model"], choice: None}
    if name != "matched":
        choices["variance"] = "hc0" if name == "linear" else "robust"
        methods = {"t_hc3": "t_hc0"}
        run = Results(run.table.with_columns(pl.col("method").replace(methods)), run.provenance)
    assert audit(run, cohort, choices, 20).beyond.height >= 15


# explained ------------------------------------------------------------------------------------------------------------


def pick(results, trait):
    common = results.table.filter((pl.col("trait") == trait) & pl.col("beta").is_not_null() & (pl.col("mac") > 40))
    return common.sort("neg_log_10_p_value", descending=True)["variant_id"][0]


@pytest.mark.parametrize("name", MODELS)
def test_every_test_agrees_with_another_program(runs, name, tmp_path):
    results = runs[name]
    trait = results.traits[0]
    found = explain(results, pick(results, trait), trait=trait)
    expected, by_statsmodels = BESIDE[name]
    assert found.reproduced and found.table["made_the_row"].sum() == 1
    assert expected <= set(found.table["method"])
    compared = found.table.filter(~pl.col("method").is_in(["spa", "score_approx"]))
    assert compared["reference"].is_not_null().all()
    # Firth's penalty stops at 1e-6; screens are float32 products; ConditionalLogit's second derivatives are by differences
    for column, bound in (("beta", 1e-5), ("standard_error", 1e-5), ("neg_log_10_p_value", 1e-4)):
        assert compared[f"difference_{column}"].abs().max() <= bound, compared
    made = found.table.filter("made_the_row")["reference"][0]
    if by_statsmodels is not None:
        assert ("statsmodels" in made) == by_statsmodels
    else:
        assert found.table.filter(pl.col("method") == "wald")["reference"][0] == "statsmodels ConditionalLogit"
    assert found.write(tmp_path)[-1].stat().st_size > 8000


def test_weights_are_told_and_counted(runs, cohort):
    found = explain(runs["linear"], pick(runs["linear"], "ldl"))
    own = cohort.phenotypes.table[cohort.rows].filter(
        pl.all_horizontal(pl.col("ldl", "age", "sex", "PC1", "PC2", "w").is_not_null()) & (pl.col("w") > 0)
    )
    assert found.counts["n"].sum() == own.height
    assert found.counts["n_weighted"].sum() == pytest.approx(own["w"].sum())
    mean = (found.counts["n_weighted"] * found.counts["mean_weighted"]).sum() / own["w"].sum()
    assert mean == pytest.approx((own["w"] * own["ldl"]).sum() / own["w"].sum())
    assert "one over the probability that it was sampled" in found.text and "(Kish)" in found.text
    assert f"{found.row['degrees_of_freedom']:,.1f} degrees of freedom" in found.text
    shares = explain(runs["logistic"], pick(runs["logistic"], "t2d")).counts
    assert {"n_weighted", "share_weighted"} <= set(shares.columns)
    cox = explain(runs["cox"], pick(runs["cox"], "death"))
    assert {"n_weighted", "rate_weighted"} <= set(cox.counts.columns) and "Lin and Wei" in cox.text
    robust = explain(runs["cox robust"], pick(runs["cox robust"], "death"))
    assert "an average over the follow-up" in robust.text and "n_weighted" not in robust.counts.columns


def test_sets_are_told_and_counted(runs, cohort):
    found = explain(runs["matched"], pick(runs["matched"], "t2d"), trait="t2d")
    own = cohort.phenotypes.table[cohort.rows].filter(pl.all_horizontal(pl.col("t2d", "age", "PC1").is_not_null()))
    cases = pl.col("t2d") == own["t2d"].max()
    told = own.filter(cases.any().over("trio") & (~cases).any().over("trio"))
    assert found.counts["n"].sum() == told.height
    assert found.counts["n_cases"].sum() == told.select(cases.sum()).item()
    assert found.counts["n_cases_expected"].sum() == pytest.approx(found.counts["n_cases"].sum())
    called = told.filter(pl.Series(~np.isnan(found.data.copies)))
    says = called.filter(cases.any().over("trio") & (~cases).any().over("trio"))["trio"].n_unique()
    assert f"in {says:,} matched sets (trio)" in found.text and "controls of its own set only" in found.text


# predictors -----------------------------------------------------------------------------------------------------------

OF_PREDICTORS = {
    "linear": ga.Linear(["ldl", "hdl"], ["age"]),
    "weights": ga.Linear(["ldl"], ["age"], weights="w", missing="mean"),
    "interaction": ga.Linear(["ldl"], ["age"], interaction="arm", variance="robust"),
    "logistic": ga.Logistic(["t2d"], ["age"], correct_below=0.5),
    "arm": ga.Logistic(["t2d"], ["age"], interaction="arm"),
    "matched": ga.Logistic(["t2d"], ["age"], matched="four", correct_below=0.5),
    "poisson": ga.Poisson(["attacks"], ["age"]),
    "ordinal": ga.Ordinal(["grade"], ["age"]),
    "cox": ga.Cox("days", "dead", ["age"], test="wald"),
    "cox robust": ga.Cox("days", "dead", ["age"], variance="robust"),
}


@pytest.fixture(scope="module")
def tables():
    """Phenotypes, and predictors of many scales in another order of samples."""
    rng, n = np.random.default_rng(6), 320
    ids = [f"s{i}" for i in range(n)]
    score = rng.choice([0, 0.25, 0.5, 1, 1.5, 2], n)
    large = rng.normal(5e6, 3e5, n)
    large[rng.random(n) < 0.1] = np.nan
    phenotypes = pl.DataFrame(
        {
            "IID": ids, "age": rng.uniform(20, 80, n), "ldl": 0.4 * score + rng.normal(size=n), "hdl": rng.normal(size=n),
            "t2d": (rng.random(n) < 0.4).astype(int), "days": np.ceil(rng.exponential(40, n)), "attacks": rng.poisson(2.0, n),
            "dead": (rng.random(n) < 0.5).astype(int), "grade": rng.integers(0, 3, n), "arm": rng.integers(0, 2, n),
            "w": rng.uniform(1, 5, n), "four": np.arange(n) // 4,
        }
    )  # fmt: skip
    noise = {f"x{i}": rng.normal(size=n) for i in range(12)}
    predictors = pl.DataFrame(
        {
            "IID": ids, "score": score, "hla": rng.binomial(2, 0.1, n), "burden": rng.gamma(2.0, 1e-4, n),
            "large": pl.Series(large).fill_nan(None), "same": [1.5] * n, **noise,
        }
    )  # fmt: skip
    return phenotypes, predictors.sample(fraction=1.0, shuffle=True, seed=1)


@pytest.mark.parametrize("name", OF_PREDICTORS)
def test_predictors_are_audited_and_explained(tables, name):
    model = OF_PREDICTORS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("error", ga.AuditWarning)
        results = ga.associate_predictors(*tables, model, audit=40)
    found = results.provenance["audit"]
    assert found["passed"] and found["rows"] >= 15, found["line"]
    # a predictor is rounded to 2.4e-7 of its range, and the audit takes its own values
    assert all(largest["beta"] is None or largest["beta"] <= 5e-6 for largest in found["by_method"].values())
    for predictor in ("score", "large", "burden", "hla"):
        explained = explain(results, predictor, trait=results.traits[0])
        assert explained.reproduced and explained.row["variant_id"] == predictor
        compared = explained.table.filter(~pl.col("method").is_in(["spa", "score_approx"]))
        assert compared["reference"].is_not_null().all() and compared["difference_beta"].abs().max() <= 1e-5
        assert compared["difference_neg_log_10_p_value"].abs().max() <= 1e-4
    text = explained.text
    assert "each additional unit of hla" in text and "predictor" in text
    assert not any(word in text for word in ("allele", "variant", "genotype ", "copy", "copies", "None", "genome"))
    assert explained.counts["level"].to_list()[:3] == ["0", "1", "2"]
    assert explained.figure() is not None


def test_a_wrong_unit_of_a_predictor_is_caught(tables):
    run = ga.associate_predictors(*tables, OF_PREDICTORS["linear"])
    here = (pl.col("variant_id") == "score") & (pl.col("trait") == "ldl")
    wrong = run.table.with_columns(
        pl.when(here).then(pl.col(name) * 2.25).otherwise(pl.col(name)).alias(name)
        for name in ("beta", "standard_error")
    )
    found = audit(Results(wrong, run.provenance), run.cohort, run.provenance["parameters"]["model"], 20)
    assert found.beyond["variant_id"].to_list() == ["score"] and "score, ldl" in found.warning()


def test_levels_and_thirds(tables):
    results = ga.associate_predictors(*tables, OF_PREDICTORS["linear"])
    score = explain(results, "score", trait="ldl")
    own = tables[0].join(tables[1], on="IID")
    assert score.counts["level"].to_list() == ["0", "0.25", "0.5", "1", "1.5", "2"]
    assert score.counts["median_value"].to_list() == [0, 0.25, 0.5, 1, 1.5, 2]
    means = own.group_by("score").agg(pl.col("ldl").mean()).sort("score")["ldl"]
    assert score.counts["mean"].to_list() == pytest.approx(means.to_list())
    large = explain(results, "large", trait="ldl", by="arm")
    assert large.counts.filter(pl.col("arm") == "0")["level"].str.extract(r"^(\w+)").to_list() == [
        "lowest", "middle", "upper", "missing"
    ]  # fmt: skip
    assert (
        large.counts["n"].sum() == own.height
        and large.counts.filter(level="missing")["n"].sum() == own["large"].null_count()
    )
    assert groups_of(large.data, large.row).present == [0, 1, 2]
    same = explain(results, "same", trait="ldl")
    assert "code 'constant_predictor'" in same.text and same.table.height == 0
    with pytest.raises(ga.GenassocError, match="no row of 'scores'"):
        explain(results, "scores")


def test_predictors_from_files(tables, tmp_path, genassoc):
    for table, name in zip(tables, ("people", "predictors")):
        table.write_csv(tmp_path / f"{name}.tsv", separator="\t", null_value="NA")
    people, predictors, out = tmp_path / "people.tsv", tmp_path / "predictors.tsv", tmp_path / "r.parquet"
    ga.associate_predictors(people, predictors, OF_PREDICTORS["logistic"], columns=["score", "large"], out=out, audit=5)
    assert read_provenance(out)["audit"]["rows"] == 2
    found = explain(Results.read(out), "score")
    assert found.reproduced and found.row["trait"] == "t2d"
    code, said, errors = genassoc("explain", out, "score", "--out", tmp_path / "told")
    assert code == 0 and "each additional unit of score" in said, errors
    assert not any(f'"{name}"' in (tmp_path / "r.parquet.provenance.json").read_text() for name in tables[0]["IID"])

    wrong = pl.read_csv(predictors, separator="\t", infer_schema=False).with_columns(score=pl.lit("1"))
    wrong.write_csv(predictors, separator="\t")
    with pytest.raises(ga.InputError, match=r"predictors.tsv are no longer what .* values have changed"):
        explain(Results.read(out), "score")
    predictors.unlink()
    with pytest.raises(ga.InputError, match=r"the predictors .* are no longer there"):
        explain(Results.read(out), "score")
    with pytest.raises(ga.InputError, match="predictors were given as a table in memory"):
        ga.associate_predictors(people, tables[1], OF_PREDICTORS["logistic"], out=out, overwrite=True)
        explain(Results.read(out), "score")


def test_predictors_beside_a_cohort(cohort, tmp_path):
    """Its samples are chosen again as they were; the cohort itself may be given too."""
    chosen = cohort.keep_samples(pl.col("age") > 40)
    rng = np.random.default_rng(0)
    values = {"IID": [str(name) for name in cohort.sample_ids], "p": rng.normal(size=cohort.n_samples)}
    pl.DataFrame(values).write_csv(tmp_path / "p.tsv", separator="\t")
    out = tmp_path / "r.parquet"
    ga.associate_predictors(chosen, tmp_path / "p.tsv", ga.Linear(["ldl"], ["age"]), out=out)
    found = explain(Results.read(out), "p", by="statin")
    assert found.reproduced and found.data.n < cohort.n_samples
    assert explain(Results.read(out), "p", cohort=chosen).reproduced
    with pytest.raises(ga.InputError, match="not the cohort"):
        explain(Results.read(out), "p", cohort=cohort)


# rows without an estimate --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("covariates", [[], ["x"]])
def test_a_variant_that_no_sample_with_the_event_is_called_for(tmp_path, covariates):
    """statsmodels has no stratum left, and fails in its own ways."""
    rng, n = np.random.default_rng(4), 60
    event = np.arange(n) % 3 == 0
    codes = rng.binomial(2, 0.4, (2, n)).astype(np.uint8)
    codes[0, event] = 3
    names = [f"s{i}" for i in range(n)]
    place = {"chromosome": ["1", "1"], "base_pair_location": [10, 20], "rsid": ["rs1", "rs2"]}
    sites = pl.DataFrame({**place, "other_allele": ["A", "C"], "effect_allele": ["G", "T"]})
    write_vcf(tmp_path / "a.vcf.gz", names, {"1": None}, [(sites, GenotypeBlock.from_codes(codes))])
    store = ga.convert(tmp_path / "a.vcf.gz", tmp_path / "a.zarr")
    table = pl.DataFrame({"IID": names, "days": rng.exponential(9, n), "death": event * 1, "x": rng.normal(size=n)})
    cohort = ga.Cohort.align(store, table)
    for variance in ("model", "robust"):
        results = ga.associate(cohort, ga.Cox("days", "death", covariates, variance=variance, min_mac=0))
        found = explain(results, "rs1", cohort=cohort)
        assert found.row["code"] == "no_events" and found.fit is None and "no_events" in found.text
        assert explain(results, "rs2", cohort=cohort).fit is not None
