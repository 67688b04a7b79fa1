"""Offsets of linear models: ranks, less the offset, less the covariates; the same bits as of the difference itself."""

import dataclasses

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from memory_store import MemoryStore

import genassoc as ga
from genassoc.data.cohort.offset_tables import with_offsets
from genassoc.models.linear.null import normal_scores

N, V = 220, 24
MODELS = {
    "plain": {},
    "mean": {"missing": "mean"},
    "plink2": {"like": "plink2"},
    "regenie": {"like": "regenie"},
    "ranks": {"rank_normalise": True},
    "dominant": {"genetic_model": "dominant"},
    "genotypic": {"genetic_model": "genotypic"},
    "interaction": {"interaction": "arm"},
    "change": {"baseline": "before"},
    "weights": {"weights": "w"},
    "robust": {"variance": "robust"},
    "hc0 in arms": {"variance": "hc0", "interaction": "arm"},
    "change in arms": {"baseline": "before", "interaction": "arm"},
}


@pytest.fixture(scope="module")
def made():
    """A cohort without offsets, its phenotypes, its codes, and predictions of a trait that some samples lack."""
    rng = np.random.default_rng(8)
    codes = rng.binomial(2, rng.uniform(0.1, 0.6, (V, 1)), (V, N)).astype(np.uint8)
    codes[rng.random(codes.shape) < 0.02] = 3
    # Eighths: a difference of them is exact, so that what has an offset and what is the difference are the same numbers.
    in_eighths = np.round(rng.normal(0, 1, (4, N)) * 8) / 8
    polygenic, y, before = in_eighths[0], in_eighths[0] + in_eighths[1] + 4, in_eighths[2]
    y[::11] = np.nan
    ids = [f"s{i}" for i in range(N)]
    ranked = np.full(N, np.nan)
    ranked[~np.isnan(y)] = normal_scores(y[~np.isnan(y)])
    table = pl.DataFrame(
        {
            "IID": ids, "y": y, "age": rng.normal(50, 9, N), "arm": rng.permutation(np.arange(N) % 2), "before": before,
            "w": rng.uniform(0.5, 2, N),
            "less": y - polygenic, "ranked": ranked - polygenic,
        }
    ).with_columns(pl.col("y", "less", "ranked").fill_nan(None))  # fmt: skip
    return ga.Cohort.align(MemoryStore(codes, ids), table), table, codes, pl.DataFrame({"IID": ids, "y": polygenic})


def rows(cohort, model, table=None):
    if table is not None:
        cohort = with_offsets(cohort, table, model.traits, model.outcome)
    state = model.prepare(cohort)
    return model.block(state, cohort.read(0, V)).columns


@pytest.mark.parametrize("name", MODELS)
def test_an_offset_is_taken_off_the_trait_as_it_is_analysed(made, name):
    cohort, _, _, predictions = made
    model = ga.Linear(["y"], ["age", "arm"], min_mac=0, **MODELS[name])
    ranks = model.rank_normalise
    difference = dataclasses.replace(model, traits=("ranked" if ranks else "less",), rank_normalise=False)
    offset, plain = rows(cohort, model, predictions), rows(cohort, difference)
    for column, values in offset.items():
        assert values.tobytes() == plain[column].tobytes(), column
    assert np.isfinite(offset["beta"]).any()
    assert not np.array_equal(offset["beta"], rows(cohort, model)["beta"], equal_nan=True)


@pytest.mark.parametrize("ranks", [False, True])
def test_beside_least_squares_with_an_offset(made, ranks):
    cohort, table, codes, predictions = made
    model = ga.Linear(["y"], ["age", "arm"], min_mac=0, like="plink2", rank_normalise=ranks)
    found = rows(cohort, model, predictions)
    y = table["y"].to_numpy().astype(float)
    if ranks:
        y[~np.isnan(y)] = normal_scores(y[~np.isnan(y)])
    for v in range(V):
        at = (codes[v] < 3) & ~np.isnan(y)
        X = np.column_stack([np.ones(N), table["age"], table["arm"], codes[v]])[at]
        fit = sm.OLS((y - predictions["y"].to_numpy())[at], X).fit()
        # 1e-5 of a standard error: the bar of float32 products
        assert abs(found["beta"][v, 0] - fit.params[3]) < 1e-5 * fit.bse[3]
        assert found["standard_error"][v, 0] == pytest.approx(fit.bse[3], rel=1e-5)
        assert found["neg_log_10_p_value"][v, 0] == pytest.approx(-np.log10(fit.pvalues[3]), rel=1e-4, abs=1e-5)
