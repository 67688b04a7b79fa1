"""prior="mixture" through `fit_whole_genome`: against variant by variant updates, the same bytes everywhere, traits that are no normals."""

import numpy as np
import polars as pl
import pytest
from oracles import mixture as oracle
from oracles import whole_genome as dense
from test_whole_genome import CONTIGS, N, draw_codes, draw_table, model_of, store_of

import genassoc as ga
from genassoc.analyses.whole_genome import mixture

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
    """Of the prior that was chosen, without each chromosome, from genotypes and residuals made anew in float64."""
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
    h2 = np.clip(said["h2"], 0.01, 0.95)
    total = len(genotypes)
    larger = (1 - said["small"]) * h2 / (said["share"] * total)
    smaller = said["small"] * h2 / ((1 - said["share"]) * total) if said["share"] < 1 else 0.0
    for chromosome in ("1", "2", "3"):
        others = genotypes[chromosomes != chromosome]
        effects = oracle.effects_by_variant(others, y, said["share"], larger, smaller, 1 - h2, 400)
        # ours stop when a sweep moves predictions by 3e-4 of a standard deviation; what is left to go is some such steps
        np.testing.assert_allclose(fitted.loco("y", chromosome), effects @ others, rtol=0, atol=5e-3)


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
    assert np.corrcoef(binary.loco("disease"), y)[0, 1] > 0.3
    ga.associate(cohort, ga.Logistic(["disease"], ["sex", "age"]), offsets=binary)


def test_contributions_hold_predictions_made_anew():
    rng = np.random.default_rng(0)
    loco = rng.standard_normal((4, 9))
    parts = mixture.as_contributions(loco, loco[0])
    np.testing.assert_allclose(parts.sum(axis=0) - parts, loco, rtol=0, atol=1e-14)  # float64
    np.testing.assert_array_equal(mixture.as_contributions(loco[:1], loco[1]), loco[1:2])


def test_folds_that_are_held_out():
    from genassoc.analyses.whole_genome.folds import Folds

    few = mixture.held_out(Folds(np.array([0, 50, 100])), 100, 1)
    np.testing.assert_array_equal(few.sum(axis=0), 1)
    many = mixture.held_out(Folds(np.arange(6) * 4000), 20_000, 1)
    assert many.shape == (1, 20_000) and many[0, :4000].all() and not many[0, 4000:].any()
    alone = mixture.held_out(Folds(np.array([0, 100]), leave_one_out=True), 100, 1)
    assert alone.shape == (5, 100)
    np.testing.assert_array_equal(alone.sum(axis=0), 1)
