"""Quality by case status: missing calls, depth, with tests of their difference, against scipy and a plain count."""

import numpy as np
import polars as pl
import pytest
from memory_store import MemoryStore, snv_table
from scipy.stats import fisher_exact, mannwhitneyu
from small_cohort import make_files

import genassoc as ga
from genassoc.errors import InputError
from genassoc.stats import two_groups


def test_fisher_is_scipys():
    rng = np.random.default_rng(1)
    n_a, n_b = rng.integers(1, 60, 200), rng.integers(1, 300, 200)
    a, b = rng.integers(0, n_a + 1), rng.integers(0, n_b // 3 + 1)
    found = two_groups.fisher(a, b, n_a, n_b)
    for k in range(200):
        p = fisher_exact([[a[k], n_a[k] - a[k]], [b[k], n_b[k] - b[k]]])[1]
        # sums of logarithms of factorials below 1e3 lose about 1e-13
        assert found[k] == pytest.approx(-np.log10(min(p, 1.0)), rel=1e-9, abs=1e-11)
    assert np.isnan(two_groups.fisher(*(np.array([n]) for n in (0, 3, 0, 9))))[0]


def test_of_many_missing_calls_chi_squared_is_near(monkeypatch):
    counts = [np.array([n]) for n in (1200, 2050, 20_000, 40_000)]
    exact = two_groups.fisher(*counts)
    monkeypatch.setattr(two_groups, "MOST_POINTS", 100)
    assert two_groups.fisher(*counts) == pytest.approx(exact, rel=0.02)  # the discreteness of counts of a thousand


@pytest.fixture(scope="module")
def cohort():
    rng = np.random.default_rng(8)
    n, case = 400, np.arange(400) < 100
    codes = rng.choice(4, (45, n), p=[0.6, 0.25, 0.1, 0.05]).astype(np.uint8)
    codes[3, case & (rng.random(n) < 0.4)] = 3
    sex = rng.integers(1, 3, n)
    codes[40:, sex == 2] = 3
    table = pl.DataFrame({"IID": [f"s{i}" for i in range(n)], "t2d": case.astype(int), "sex": sex, "dp": 30.0 - 6.0 * case + rng.normal(size=n)})  # fmt: skip
    store = MemoryStore(codes, table["IID"].to_list(), pl.concat([snv_table(40), snv_table(5, "Y")]))
    return ga.Cohort.align(store, table, sample_id="IID", sex="sex"), codes, case, sex


def test_missing_calls_and_depth_by_case_status(cohort):
    cohort, codes, case, sex = cohort
    found = ga.case_quality(cohort, "t2d", depth="dp", executor=ga.Serial())
    for v, row in enumerate(found.variants.iter_rows(named=True)):
        may = sex == 1 if v >= 40 else np.ones(400, bool)
        lost = (codes[v] == 3) | ((v >= 40) & (codes[v] == 1))  # a haploid sample has no heterozygous call
        table = [[int((lost & may & who).sum()), int((~lost & may & who).sum())] for who in (case, ~case)]
        for name, (a, b) in zip(("cases", "controls"), table):
            assert row[f"missing_rate_{name}"] == pytest.approx(a / (a + b))
        assert row["missing_neg_log_10_p"] == pytest.approx(-np.log10(fisher_exact(table)[1]), rel=1e-9, abs=1e-11)
    (depth,) = found.samples.filter(measure="dp").iter_rows(named=True)
    dp = cohort.phenotypes.table["dp"].to_numpy()
    assert depth["median_cases"] == pytest.approx(np.median(dp[case])) and depth["n_controls"] == 300
    assert depth["neg_log_10_p_value"] == pytest.approx(-np.log10(mannwhitneyu(dp[case], dp[~case]).pvalue))
    lines = "\n".join(found.lines())
    assert "in 1 of 45 variants the rates differ" in lines and "dp of a sample: median 24" in lines
    ax = ga.plots.case_status(found.variants)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["alike: 44", "p below 1e-5: 1"]
    with pytest.raises(InputError, match="missing_rate_cases"):
        ga.plots.case_status(pl.DataFrame({"missing_rate": [0.1]}))


def test_the_command(tmp_path, genassoc):
    files = make_files(tmp_path, n_samples=200, n_variants=200)
    table = pl.read_csv(files.phenotypes, separator="\t", null_values="NA")
    table.with_columns(case=pl.Series([i % 4 == 0 for i in range(table.height)]).cast(pl.Int64), dp=pl.Series(np.linspace(20, 40, table.height))).write_csv(tmp_path / "p.tsv", separator="\t")  # fmt: skip
    common = ["qc", files.store, "--pheno", tmp_path / "p.tsv", "--out", tmp_path / "qc.tsv"]
    code, said, errors = genassoc(*common, "--cases", "case", "--depth", "dp")
    assert code == 0, errors
    assert "calls are missing in" in said and "dp of a sample" in said
    assert {"missing_rate_cases", "missing_rate_controls", "missing_neg_log_10_p"} <= set(
        pl.read_csv(tmp_path / "qc.tsv", separator="\t").columns
    )
    code, _, errors = genassoc(*common, "--depth", "dp")
    assert code == 2 and "--cases" in errors
