"""Permutation p of linear regression against outcomes permuted and fitted one by one, and its invariants."""

import numpy as np
import polars as pl
import pytest
from oracles.freedman_lane import permutation_p
from small_cohort import bits, make_files, rewrite_store

import genassoc as ga
from genassoc.models.linear.permutation import Permuted, sample_keys
from genassoc.models.scan.genome import Scan
from genassoc.verbs import permutation

N = 19  # permutations


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("cohort"), n_samples=120, n_variants=60)


@pytest.fixture(scope="module")
def frame(files):
    """Phenotypes with one trait that a variant moves a lot, and one that lacks a third of the samples."""
    store = ga.open_store(files.store)
    table = pl.read_csv(files.phenotypes, separator="\t", null_values="NA")
    codes = store.read(0, store.n_variants).codes().astype(float)
    codes[codes == 3] = np.nan
    strong = int(np.argmax(np.nanvar(codes, axis=1)))
    rng = np.random.default_rng(5)
    moved = 2 * np.nan_to_num(codes[strong]) + rng.normal(0, 1, table.height)
    sparse = np.where(rng.random(table.height) < 0.33, np.nan, rng.normal(0, 1, table.height))
    return table.with_columns(moved=moved, sparse=pl.Series(sparse).fill_nan(None)), codes, strong


def cohort_of(files, frame):
    return ga.Cohort.align(files.store, frame[0])


@pytest.mark.parametrize("trait", ["ldl", "sparse"])
def test_against_permuted_outcomes(files, frame, trait):
    table, codes, _ = frame
    cohort = cohort_of(files, frame)
    rows = ga.permute(cohort, ga.Linear(trait, ["age"]), N, seed=4).table
    tested = rows["beta"].is_not_null().to_numpy()
    y = table[trait].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    X = np.column_stack([np.ones(y.size), table["age"].to_numpy()])
    keys = [sample_keys(4, b, y.size) for b in range(N)]
    observed, permuted = permutation_p(y, X, codes, keys, tested)
    assert tested.sum() > 25
    for name, greatest in (("p_permutation", permuted), ("p_family_wise", np.nanmax(permuted, axis=1)[:, None])):
        found = rows[name].to_numpy()
        assert np.isnan(found[~tested]).all()
        # Statistics that agree to five digits may be taken for equal: p lies between the strict and the lenient count.
        slack = 1e-4 * np.maximum(observed, 1)
        low = (1 + (greatest > observed + slack).sum(axis=0)) / (N + 1)
        high = (1 + (greatest > observed - slack).sum(axis=0)) / (N + 1)
        assert np.all((low <= found + 1e-12)[tested] & (found <= high + 1e-12)[tested])
        assert np.mean((low == high)[tested]) > 0.9  # the bounds say something


def test_permuted_statistics_hold_five_digits(files, frame):
    table, codes, _ = frame
    cohort = cohort_of(files, frame)
    scan = Scan(Permuted.of(ga.Linear(["ldl", "sparse"], ["age"]), 4, 3, 5))
    found = scan.block(scan.prepare(cohort), cohort.read(0, cohort.n_variants)).columns
    for t, trait in enumerate(["ldl", "sparse"]):
        y = table[trait].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        X = np.column_stack([np.ones(y.size), table["age"].to_numpy()])
        tested = ~np.isnan(found["statistic"][:, t])
        keys = [sample_keys(4, b, y.size) for b in range(3, 8)]
        expected = permutation_p(y, X, codes, keys, tested)[1]
        own = np.abs(found["statistic_permuted"].reshape(-1, 2, 5)[tested, t].T)
        # float32 sums: 1e-5 of a standard error (docs/models/linear.md)
        np.testing.assert_allclose(own, expected[:, tested], rtol=2e-5, atol=2e-5)


def test_same_bits_in_any_blocks_threads_and_batches(files, frame, tmp_path, monkeypatch):
    model = ga.Linear(["ldl", "sparse"], ["age"])
    first = ga.permute(cohort_of(files, frame), model, N, seed=1).table
    other = ga.Cohort.align(rewrite_store(files.store, tmp_path / "small.zarr", 16), frame[0])
    monkeypatch.setattr(permutation, "_COLUMNS", 14)
    assert bits(ga.permute(other, model, N, seed=1, executor=ga.Serial()).table) == bits(first)
    assert bits(ga.permute(other, model, N, seed=2, executor=ga.Serial()).table) != bits(first)


def test_traits_alone_and_together(files, frame):
    cohort = cohort_of(files, frame)
    both = ga.permute(cohort, ga.Linear(["moved", "sparse"]), N, seed=1, across=()).table
    for trait in ("moved", "sparse"):
        alone = ga.permute(cohort, ga.Linear(trait), N, seed=1).table
        assert bits(both.filter(pl.col("trait") == trait)) == bits(alone)
    family = ga.permute(cohort, ga.Linear(["moved", "sparse"]), N, seed=1)
    assert (family.table["p_family_wise"].fill_null(1) >= both["p_family_wise"].fill_null(1)).all()
    assert family.provenance["permutation"]["n"] == N


def test_signal_is_found_and_family_wise_p_is_the_larger(files, frame, tmp_path):
    made = ga.permute(cohort_of(files, frame), ga.Linear("moved"), 49, seed=1, out=tmp_path / "p.tsv.gz")
    rows = ga.Results.read(tmp_path / "p.tsv.gz").table
    assert rows["p_family_wise"][frame[2]] == 1 / 50
    there = rows.filter(pl.col("beta").is_not_null())
    assert (there["p_family_wise"] >= there["p_permutation"]).all()
    assert there["p_permutation"].null_count() == 0 and made.path == tmp_path / "p.tsv.gz"


@pytest.mark.parametrize("choices", [{"genetic_model": "dominant"}, {"like": "regenie"}, {"rank_normalise": True}])
def test_other_models_are_permuted_as_themselves(files, frame, choices):
    cohort = cohort_of(files, frame)
    rows = ga.permute(cohort, ga.Linear("ldl", ["age"], **choices), N, seed=3).table
    plain = ga.associate(cohort, ga.Linear("ldl", ["age"], **choices)).table
    assert bits(rows.drop("p_permutation", "p_family_wise")) == bits(plain)
    there = rows.filter(pl.col("beta").is_not_null())
    # permutation and theory rank the variants alike: rank correlation of unrelated numbers is within 0.5
    assert there.select(pl.corr("p_permutation", "neg_log_10_p_value", method="spearman")).item() < -0.8


@pytest.mark.parametrize(
    "model, choices, error, message",
    [
        (ga.Logistic("t2d"), {}, TypeError, "not Logistic"),
        (ga.Linear("ldl", genetic_model="genotypic"), {}, ValueError, "several rows"),
        (ga.Linear("ldl"), {"n": 0}, ValueError, "n is a whole number"),
        (ga.Linear("ldl"), {"seed": -1}, ValueError, "seed is a whole number"),
        (ga.Linear("ldl"), {"across": "test"}, ValueError, "across is"),
    ],
)
def test_what_cannot_be_permuted(files, frame, model, choices, error, message):
    with pytest.raises(error, match=message):
        ga.permute(cohort_of(files, frame), model, **{"n": N, "seed": 1, **choices})
