"""Adjusted p against statsmodels, past where p underflows, by family, and streamed from files."""

import numpy as np
import polars as pl
import pytest
from statsmodels.stats.multitest import multipletests

import genassoc as ga
from genassoc.stats.multiplicity import METHODS, adjusted_neg_log_10_p


def results(n=400, seed=1):
    rng = np.random.default_rng(seed)
    p = np.where(rng.random(n) < 0.1, rng.random(n) ** 20, rng.random(n))
    p[5:9] = p[4]  # ties
    table = pl.DataFrame(
        {
            "chromosome": ["1"] * n,
            "base_pair_location": np.arange(n),
            "effect_allele": ["G"] * n,
            "other_allele": ["A"] * n,
            "trait": ["ldl", "ldl", "hdl", "hdl"] * (n // 4),
            "test": ["add", "dom"] * (n // 2),
            "neg_log_10_p_value": -np.log10(p),
        }
    )
    holes = pl.int_range(n) % 17 == 3
    return table.with_columns(
        neg_log_10_p_value=pl.when(holes).then(None).otherwise("neg_log_10_p_value"),
    )


def expected(table, method):
    logs = table["neg_log_10_p_value"].drop_nulls().to_numpy()
    return multipletests(10.0**-logs, method=method)[1]


@pytest.mark.parametrize("method", METHODS)
def test_one_family(method):
    table = results()
    made = ga.adjust(ga.Results(table), method).table
    found = made[f"neg_log_10_p_{method}"]
    assert found.is_null().to_list() == table["neg_log_10_p_value"].is_null().to_list()
    # a logarithm and its power: 1e-12 is 30 roundings of a p of 1e-20
    np.testing.assert_allclose(10.0 ** -found.drop_nulls().to_numpy(), expected(table, method), rtol=1e-12)
    assert made.drop(f"neg_log_10_p_{method}").equals(table)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "across, keys", [(("test",), ["trait"]), (("trait",), ["test"]), ((), ["trait", "test"])]
)  # fmt: skip
def test_families(method, across, keys):
    made = ga.adjust(ga.Results(results()), method, across=across)
    checked = 0
    for _, family in made.table.group_by(keys):
        found = family[f"neg_log_10_p_{method}"].drop_nulls().to_numpy()
        np.testing.assert_allclose(10.0**-found, expected(family, method), rtol=1e-12)
        checked += found.size
    assert checked == made.table["neg_log_10_p_value"].count()
    assert sum(made.provenance["adjusted"][0]["tests_by_family"].values()) == checked


@pytest.mark.parametrize("method", METHODS)
def test_p_that_underflow(method):
    logs = np.array([5000.0, 400.0, 350.0, 1.0, np.nan])
    found = adjusted_neg_log_10_p(logs, method)
    price = {"bonferroni": 4.0, "fdr_bh": 4.0, "fdr_by": 4.0 * (1 + 1 / 2 + 1 / 3 + 1 / 4)}[method]
    ranks = np.ones(4) if method == "bonferroni" else np.arange(1, 5)
    np.testing.assert_allclose(found[:3], logs[:3] + np.log10(ranks[:3]) - np.log10(price), rtol=1e-14)
    assert np.isnan(found[4]) and found[3] >= 0


def test_no_tests_at_all():
    assert np.isnan(adjusted_neg_log_10_p(np.full(3, np.nan), "fdr_bh")).all()
    assert adjusted_neg_log_10_p(np.zeros(0), "fdr_by").size == 0


@pytest.mark.parametrize("suffix", [".parquet", ".tsv.gz"])
def test_files_stream_to_the_same_numbers(tmp_path, suffix, monkeypatch):
    path = tmp_path / f"r{suffix}"
    ga.Results(results(), {"notes": ["kept"]}).write(path)
    monkeypatch.setattr("genassoc.data.result_table.ROW_GROUP", 64)  # several pieces
    memory = ga.adjust(ga.Results(results()), "fdr_bh").table["neg_log_10_p_fdr_bh"]
    temporary = ga.adjust(ga.Results.read(path), "fdr_bh")
    written = ga.adjust(ga.Results.read(path), "fdr_bh", out=tmp_path / f"adjusted{suffix}")
    for made in (temporary, written, ga.Results.read(tmp_path / f"adjusted{suffix}")):
        assert made.table["neg_log_10_p_fdr_bh"].equals(memory)
        assert made.provenance["notes"] == ["kept"]


def test_twice_with_two_methods(tmp_path):
    once = ga.adjust(ga.Results(results()), "bonferroni")
    twice = ga.adjust(once, "fdr_bh", across=())
    assert {"neg_log_10_p_bonferroni", "neg_log_10_p_fdr_bh"} <= set(twice.table.columns)
    assert [made["method"] for made in twice.provenance["adjusted"]] == ["bonferroni", "fdr_bh"]
    with pytest.raises(ga.OutputError, match="already"):
        ga.adjust(once, "bonferroni")


def test_wrong_choices(tmp_path):
    made = ga.Results(results())
    with pytest.raises(ValueError, match="'fdr_by'"):
        ga.adjust(made, "holm")
    with pytest.raises(ValueError, match="'chromosome'"):
        ga.adjust(made, across=("chromosome",))
    made.write(tmp_path / "r.parquet")
    with pytest.raises(ga.OutputError, match="is what is read"):
        ga.adjust(ga.Results.read(tmp_path / "r.parquet"), out=tmp_path / "r.parquet")
