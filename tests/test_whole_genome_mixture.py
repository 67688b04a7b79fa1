"""prior="mixture" through `fit_whole_genome`: against variant by variant updates, the same bytes everywhere, traits that are no normals."""

import numpy as np
import polars as pl
import pytest
from oracles import mixture as oracle
from oracles import whole_genome as dense
from scipy.stats import norm
from test_whole_genome import CONTIGS, N, draw_codes, draw_table, model_of, store_of

import genassoc as ga
from genassoc.analyses.whole_genome import mixture
from genassoc.analyses.whole_genome.folds import Folds, drawn
from genassoc.analyses.whole_genome.responses import Bernoulli

CHROMOSOMES = np.array([name for name in CONTIGS if name != "X"])


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    codes = draw_codes()
    return ga.Cohort.align(store_of(tmp_path_factory.mktemp("mixture"), codes), draw_table(codes))


def mixed(*traits, **choices):
    return model_of(*traits, prior="mixture", **choices)


@pytest.fixture(scope="module")
def fitted(cohort):
    return ga.fit_whole_genome(cohort, mixed("y", "gaps", "half"))


def test_predictions_are_those_of_variant_by_variant_updates(cohort, fitted):
    """Of the prior that was chosen, fold by fold, from genotypes and residuals made anew in float64."""
    codes, table = draw_codes(), draw_table(draw_codes())
    X = np.column_stack([np.ones(N), table["sex"], table["age"]])
    y = dense.project(X, table["y"].to_numpy())
    y /= np.sqrt(y @ y / (N - 3))
    genotypes, chromosomes = [], []
    for row, name in zip(codes, CONTIGS):
        found = dense.standardise(row[None], X)
        if name != "X" and found.shape[1]:
            genotypes.append(found[:, 0])
            chromosomes.append(name)
    genotypes, chromosomes = np.array(genotypes), np.array(chromosomes)
    said = fitted.summary.filter(pl.col("trait") == "y").row(0, named=True)
    assert 0.01 <= said["h2"] <= 0.95
    total = len(genotypes)
    larger = (1 - said["small"]) * said["h2"] / (said["share"] * total)
    smaller = said["small"] * said["h2"] / ((1 - said["share"]) * total) if said["share"] < 1 else 0.0
    order, folds = drawn(N, said["n_folds"], 1, [])
    without = {name: np.zeros(N) for name in ("1", "2", "3", "X")}
    for a, b in folds.segments:
        held = order[a:b]
        train = np.setdiff1d(np.arange(N), held)
        prior = (said["share"], larger, smaller, 1 - said["h2"])
        effects = oracle.effects_of_others(genotypes, y, train, *prior, 400)
        for name, values in without.items():
            others = chromosomes != name
            values[held] = effects[others] @ genotypes[others][:, held]
    for name, expected in without.items():
        expected *= said["slope"]
        # ours stop when a sweep moves predictions by 3e-4 of a standard deviation; what is left to go is some such steps
        np.testing.assert_allclose(fitted.loco("y", name), expected, rtol=0, atol=5e-3)


def test_chi_squared_of_variants_without_effect_is_one(cohort):
    """Traits of chromosomes 2 and 3, tested on 1: predictions that have seen a sample's own outcome make logistic tests conservative."""
    rng = np.random.default_rng(8)
    codes = draw_codes()[90:195]
    dosage = np.where(codes == 3, 0, codes).astype(float)
    traits = [f"n{t}" for t in range(12)]
    liability = dosage.T @ rng.standard_normal((105, 12))
    liability += liability.std(axis=0) * rng.standard_normal((N, 12))
    drawn_traits = (liability > np.median(liability, axis=0)).astype(int)
    drawn_cohort = cohort.with_covariates(
        pl.DataFrame({"IID": [f"S{i}" for i in range(N)], **dict(zip(traits, drawn_traits.T))})
    )
    found = ga.fit_whole_genome(drawn_cohort, mixed(*traits, outcome="binary"))
    rows = ga.associate(drawn_cohort, ga.Logistic(traits, ["sex", "age"]), offsets=found).table
    p = rows.filter(pl.col("chromosome").cast(pl.String) == "1")["neg_log_10_p_value"].drop_nulls().to_numpy()
    chi_squared = (norm.isf(10.0**-p / 2) ** 2).mean()
    assert (
        0.88 < chi_squared < 1.12
    )  # 12 traits, some 18 runs of variants; of predictions that have seen them 0.75 to 0.81


def test_the_same_bytes_on_any_executor_and_after_a_stop(cohort, fitted, tmp_path):
    model, work = mixed("y", "gaps", "half"), tmp_path / "mixture.work"
    for executor in (ga.Serial(), ga.Threads(3)):
        found = ga.fit_whole_genome(cohort, model, executor=executor, work=work)
        for trait in fitted.traits:
            assert found.contributions[trait].tobytes() == fitted.contributions[trait].tobytes()
    parts = sorted(work.rglob("part-*.parquet"))
    parts[-1].unlink()
    again = ga.fit_whole_genome(cohort, model, work=work)
    assert again.contributions["half"].tobytes() == fitted.contributions["half"].tobytes()
    assert len(parts) == len(sorted(work.rglob("part-*.parquet")))


def test_a_trait_alone_has_the_same_bytes(cohort, fitted):
    alone = ga.fit_whole_genome(cohort, mixed("y"))
    assert alone.contributions["y"].tobytes() == fitted.contributions["y"].tobytes()


def test_predictions_enter_models(cohort, fitted):
    res = ga.associate(cohort, ga.Linear(["y", "half"], ["sex", "age"]), offsets=fitted)
    assert res.table.height == 2 * len(CONTIGS)


def test_effects_that_still_move_are_said(cohort, monkeypatch):
    monkeypatch.setattr(mixture, "MAX_SWEEPS", 2)
    found = ga.fit_whole_genome(cohort, mixed("y"), executor=ga.Serial())
    assert any("y: effects were still moving after 2 sweeps" in note for note in found.notes)


def test_binary_traits_and_times(cohort):
    """Predictions are on the scale of the model's linear predictor, and of more use than none."""
    binary = ga.fit_whole_genome(cohort, mixed("disease", outcome="binary"))
    y = draw_table(draw_codes())["disease"].to_numpy()
    assert np.corrcoef(binary.loco("disease"), y)[0, 1] > 0.1  # of 120 samples, each predicted from 96 others
    ga.associate(cohort, ga.Logistic(["disease"], ["sex", "age"]), offsets=binary)


def test_the_slope_is_that_of_a_model_of_the_prediction():
    rng = np.random.default_rng(2)
    x = rng.standard_normal(400)
    y = (rng.random(400) < 1 / (1 + np.exp(1 - 1.6 * x))).astype(float)
    has = np.ones(400, bool)
    response = Bernoulli(y, np.full(400, np.log(y.mean() / (1 - y.mean()))), has)
    found = mixture.slope_of(mixture.Trait(response, has), x)
    a, b = 0.0, 1.0  # Newton's
    for _ in range(30):
        p = 1 / (1 + np.exp(-a - b * x))
        X, w = np.column_stack([np.ones(400), x]), p * (1 - p)
        a, b = np.array([a, b]) + np.linalg.solve((X.T * w) @ X, X.T @ (y - p))
    assert found == pytest.approx(b, abs=1e-4)  # steps end below 1e-6, and get a third shorter each time
    assert mixture.slope_of(mixture.Trait(response, has), -x) == 0.0
    assert mixture.slope_of(mixture.Trait(response, has), x / 100) == 3.0


def test_variants_that_the_covariates_explain_are_recorded(cohort, fitted):
    ridge = ga.fit_whole_genome(cohort, model_of("y"))
    assert "explained by the covariates" in ridge.left_out["reason"].to_list()
    assert fitted.left_out.equals(ridge.left_out)


def test_few_cases_are_dealt_to_folds(cohort):
    rare = pl.DataFrame({"IID": [f"S{i}" for i in range(N)], "rare": [1] * 30 + [0] * 90})
    found = ga.fit_whole_genome(cohort.with_covariates(rare), mixed("rare", outcome="binary"))
    assert found.summary["n_folds"].item() == 5  # ridge leaves out one sample at a time


def test_a_fold_is_held_out_whole():
    few = mixture.folds_of(Folds(np.array([0, 50, 100])), 100, 1)
    np.testing.assert_array_equal(few.sum(axis=0), 1)
    np.testing.assert_array_equal(mixture.judges(few), few)
    many = mixture.folds_of(Folds(np.arange(6) * 4000), 20_000, 1)
    assert many.shape == (5, 20_000)
    judging = mixture.judges(many)
    assert judging.shape == (1, 20_000) and judging[0, :4000].all() and not judging[0, 4000:].any()
    alone = mixture.folds_of(Folds(np.array([0, 100]), leave_one_out=True), 100, 1)
    assert alone.shape == (5, 100)
    np.testing.assert_array_equal(alone.sum(axis=0), 1)
