"""Predictors that are not variants against statsmodels: any scale, missing values, samples in any order."""

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from small_cohort import bits, make_files

import genassoc as ga

# Estimates come from sums whose bar against a dense float64 fit is 1e-5 (docs/models/linear.md); rounding a predictor
# to 2.4e-7 of its range is far inside it.
RELATIVE = 1e-5


def tables(n=300, seed=8):
    """Phenotypes; predictors of many scales, in another order and with samples of their own."""
    rng = np.random.default_rng(seed)
    ids = [f"s{i}" for i in range(n)]
    score = rng.choice([0, 0.25, 0.5, 1, 1.5, 2, 2.25], n)
    hla = rng.binomial(2, 0.1, n)
    burden = rng.gamma(2.0, 1e-4, n)
    large = rng.normal(5e6, 3e5, n)
    large[rng.random(n) < 0.2] = np.nan
    age = rng.uniform(20, 80, n)
    ldl = 0.3 * score + 2000 * burden + 0.02 * age + rng.normal(0, 1, n)
    ldl[rng.random(n) < 0.1] = np.nan
    phenotypes = pl.DataFrame(
        {"IID": ids, "age": age, "ldl": pl.Series(ldl).fill_nan(None), "hdl": rng.normal(0, 1, n)}
    )
    predictors = pl.DataFrame(
        {"IID": ids, "cyp2d6_score": score, "hla_b5701": hla, "burden": burden, "large": large, "same": [1.5] * n}
    )
    others = predictors[:40].with_columns(IID=pl.lit("x") + pl.col("IID"))
    return phenotypes, pl.concat([others, predictors.sample(fraction=1.0, shuffle=True, seed=1)])


NAMES = ["cyp2d6_score", "hla_b5701", "burden", "large"]


@pytest.mark.parametrize("trait", ["ldl", "hdl"])
def test_against_statsmodels(trait):
    phenotypes, predictors = tables()
    rows = ga.associate_predictors(phenotypes, predictors, ga.Linear(["ldl", "hdl"], ["age"])).table
    joined = phenotypes.join(predictors, on="IID", how="left", maintain_order="left")
    for name in NAMES:
        columns = joined.select(trait, "age", name).fill_nan(None).drop_nulls().cast(pl.Float64).to_numpy()
        fit = sm.OLS(columns[:, 0], sm.add_constant(columns[:, 1:])).fit()
        row = rows.filter((pl.col("variant_id") == name) & (pl.col("trait") == trait)).row(0, named=True)
        beta, error = fit.params[-1], fit.bse[-1]
        assert row["n"] == len(columns)
        assert abs(row["beta"] - beta) <= RELATIVE * max(abs(beta), error)
        assert abs(row["standard_error"] - error) <= RELATIVE * error
        low, high = fit.conf_int()[-1]
        assert abs(row["ci_lower"] - low) <= 3 * RELATIVE * max(abs(beta), error)
        assert abs(row["ci_upper"] - high) <= 3 * RELATIVE * max(abs(beta), error)
        assert abs(row["neg_log_10_p_value"] + np.log10(fit.pvalues[-1])) <= 1e-4 * max(1, row["neg_log_10_p_value"])
        assert row["effect_allele"] is None and row["chromosome"] is None and row["mac"] is None


def test_scale_and_sign_do_not_matter():
    phenotypes, predictors = tables()
    turned = predictors.with_columns(burden=-1e6 * pl.col("burden") + 3)
    model = ga.Linear("ldl", ["age"])
    first, second = (
        ga.associate_predictors(phenotypes, table, model, columns=["burden"]).table.row(0, named=True)
        for table in (predictors, turned)
    )
    assert second["beta"] == pytest.approx(-first["beta"] / 1e6, rel=RELATIVE)
    assert second["statistic"] == pytest.approx(-first["statistic"], rel=RELATIVE)


def test_constant_predictor_has_a_code():
    phenotypes, predictors = tables()
    row = ga.associate_predictors(phenotypes, predictors, ga.Linear("hdl"), columns=["same"]).table.row(0, named=True)
    assert row["code"] == "constant_predictor" and row["beta"] is None


def test_columns_do_not_touch_each_other_and_files_hold_the_same(tmp_path):
    phenotypes, predictors = tables()
    model = ga.Linear("ldl", ["age"])
    every = ga.associate_predictors(phenotypes, predictors, model, out=tmp_path / "p.parquet").table
    assert every["variant_id"].to_list() == [*NAMES, "same"]
    predictors.write_csv(tmp_path / "p.tsv", separator="\t", null_value="NA")
    for name in NAMES:
        alone = ga.associate_predictors(phenotypes, predictors, model, columns=[name]).table
        assert bits(every.filter(pl.col("variant_id") == name)) == bits(alone)
    again = ga.associate_predictors(phenotypes, tmp_path / "p.tsv", model)
    assert bits(again.table) == bits(every)
    assert again.provenance["predictors"]["source"].endswith("p.tsv")


def test_a_cohort_gives_its_samples_and_copies_of_a_variant_give_its_row(tmp_path):
    files = make_files(tmp_path, n_samples=120, n_variants=30)
    store = ga.open_store(files.store)
    codes = store.read(0, store.n_variants).codes().astype(float)
    codes[codes == 3] = np.nan
    cohort = ga.Cohort.align(files.store, files.phenotypes).keep_samples(pl.col("age") > 40)
    model = ga.Linear("ldl", ["age", "sex"])
    rows = ga.associate(cohort, model).table
    v = int(np.argmax(rows["mac"].fill_null(0).to_numpy()))
    table = pl.DataFrame({"IID": [str(name) for name in store.sample_ids], "copies": codes[v]})
    made = ga.associate_predictors(cohort, table, model).table.row(0, named=True)
    expected = rows.row(v, named=True)
    assert 20 < made["n"] == expected["n"] < 120
    assert abs(made["beta"] - expected["beta"]) <= RELATIVE * max(abs(expected["beta"]), expected["standard_error"])
    assert abs(made["standard_error"] - expected["standard_error"]) <= RELATIVE * expected["standard_error"]


@pytest.mark.parametrize(
    "changes, model, error, message",
    [
        ({"burden": "high"}, ga.Linear("ldl"), ga.PhenotypeError, "burden"),
        ({"burden": None}, ga.Linear("ldl"), ga.PhenotypeError, "missing in every sample"),
        ({"IID": "nobody"}, ga.Linear("ldl"), ga.PhenotypeError, "more than once"),
        ({}, "Logistic", TypeError, "the model is one such as"),
        ({}, ga.Linear("ldl", genetic_model="dominant"), ValueError, "recode the predictor"),
    ],
)
def test_what_cannot_be_a_predictor(changes, model, error, message):
    phenotypes, predictors = tables()
    with pytest.raises(error, match=message):
        made = predictors.with_columns(**{name: pl.lit(value) for name, value in changes.items()})
        ga.associate_predictors(phenotypes, made, model)


def test_other_people_are_refused():
    phenotypes, predictors = tables()
    with pytest.raises(ga.SampleMismatchError):
        ga.associate_predictors(phenotypes, predictors.with_columns(IID=pl.lit("q") + pl.col("IID")), ga.Linear("ldl"))
