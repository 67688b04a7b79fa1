"""Rare dosages in Cox models with many events: p by the saddlepoint of martingale residuals."""

import numpy as np
import polars as pl
import pytest
import statsmodels.api as sm
from memory_store import MemoryStore
from oracles import empirical_cgf as oracle

import genassoc as ga
from genassoc.data.block import DosageBlock
from genassoc.models.base import METHODS

N, V = 300, 60


@pytest.fixture(scope="module")
def drawn():
    """A table with 200 events or so, and dosages with few carriers in effect; the first variant acts."""
    rng = np.random.default_rng(5)
    x = rng.normal(size=N)
    dosages = np.round(
        np.where(rng.random((V, N)) < 0.02, rng.beta(2.0, 1.0, (V, N)), rng.uniform(0, 0.004, (V, N))), 3
    )
    dosages[0, :12] = 0.999
    failed = rng.exponential(np.exp(-0.5 * x - 2.5 * dosages[0]))
    censored = rng.exponential(3.0, N)
    table = pl.DataFrame(
        {
            "IID": [f"s{i}" for i in range(N)],
            "x": x,
            "T": np.minimum(failed, censored),
            "E": (failed <= censored).astype(int),
        }
    )
    return table, dosages


def rows_of(table, dosages, **choices):
    cohort = ga.Cohort.align(MemoryStore(np.zeros(dosages.shape, np.uint8), table["IID"].to_list()), table)
    model = ga.Cox("T", "E", ["x"], min_mac=0, **choices)
    block = DosageBlock.from_dosages(dosages, steps=1000)
    columns = model.block(model.prepare(cohort), block).columns
    return {name: np.asarray(columns[name])[:, 0] for name in ("neg_log_10_p_value", "method", "beta")}


def chances(c, x):
    """Gamma regression with a log link, by statsmodels."""
    fit = sm.GLM(c, sm.add_constant(x), sm.families.Gamma(sm.families.links.Log())).fit(tol=1e-12)
    return np.minimum(fit.mu, 1.0)


def expected_p(table, g):
    """-log10 p by martingale residuals and plain sums; times are not tied."""
    time, event, x = (table[name].to_numpy() for name in ("T", "E", "x"))
    risk = np.exp(x * sm.PHReg(time, x, status=event).fit().params[0])
    hazard = event / np.array([risk[time >= t].sum() for t in time])
    r = event - risk * np.array([hazard[time <= t].sum() for t in time])
    w = chances(event - r, x)
    X = sm.add_constant(x)
    left = g - X @ np.linalg.solve(X.T @ (w[:, None] * X), X.T @ (w * g))
    e = r / np.sqrt(w)
    e = (e - e.mean()) * np.sqrt(N / (N - 2))
    who = np.zeros(N, np.int64)
    return oracle.empirical_neg_log_p(g @ r, left * np.sqrt(w), who, 0.0, e, who) / np.log(10)


def test_p_is_that_of_the_residuals(drawn):
    table, dosages = drawn
    rows = rows_of(table, dosages)
    spa = np.flatnonzero([METHODS[m] == "spa" for m in rows["method"]])
    assert 0 in spa and rows["neg_log_10_p_value"][0] > 2  # twelve carriers of a hazard twelve times as high are found
    for v in spa[:6]:
        # The table's cubic and the residual variance of those who do not carry the allele leave a few ten-thousandths.
        assert rows["neg_log_10_p_value"][v] == pytest.approx(expected_p(table, dosages[v]), rel=2e-3)


def test_the_other_allele_and_other_company_change_nothing(drawn):
    table, dosages = drawn
    rows, swapped = rows_of(table, dosages), rows_of(table, 2.0 - dosages)
    # 2 - d is exact in thousandths; sums of d and of 2 - d differ by rounding.
    np.testing.assert_allclose(rows["neg_log_10_p_value"], swapped["neg_log_10_p_value"], rtol=1e-9)
    alone = rows_of(table, dosages[:1])
    assert {name: values[0] for name, values in rows.items()} == {name: values[0] for name, values in alone.items()}


def test_missing_dosages_are_left_out_or_take_the_mean(drawn):
    table, dosages = drawn
    gaps = dosages.copy()
    gaps[0, 200:] = np.where(np.random.default_rng(1).random(N - 200) < 0.1, np.nan, gaps[0, 200:])
    for missing in ("complete", "mean"):
        found = rows_of(table, gaps[:1], missing=missing)
        assert METHODS[found["method"][0]] == "spa"
        seen = ~np.isnan(gaps[0])
        g = np.where(seen, gaps[0], np.nanmean(gaps[0]))
        part, g = (table, g) if missing == "mean" else (table, np.where(seen, gaps[0], 0.0))
        # Of 10 in 300 samples that hardly carry the allele little changes, whichever way they are missing.
        assert found["neg_log_10_p_value"][0] == pytest.approx(expected_p(part, g), rel=0.05)


@pytest.mark.parametrize("strata", [(), ("s",)])
def test_small_p_are_not_too_many(strata):
    rng = np.random.default_rng(8)
    found, tests = 0, 0
    for _ in range(4):
        table = pl.DataFrame(
            {"IID": [f"s{i}" for i in range(N)], "x": rng.normal(size=N), "s": np.arange(N) % 3, "T": rng.exponential(size=N),
             "E": (rng.random(N) < 0.9).astype(int)}
        )  # fmt: skip
        dosages = np.round(rng.beta(0.005, 0.5, (800, N)) * 2, 3)
        rows = rows_of(table, dosages[(dosages.sum(axis=1) > 4)], strata=strata)
        found += int((rows["neg_log_10_p_value"] > 2).sum())
        tests += rows["method"].size
    # Tests of a cohort hang together but little: three standard errors of a binomial count. Firth's test found 1.5 times as many.
    assert tests > 1000 and found < 0.01 * tests + 3 * np.sqrt(0.01 * tests)
