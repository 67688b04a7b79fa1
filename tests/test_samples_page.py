"""The Python of docs/structure/samples.md, from top to bottom, on a simulated cohort."""

import numpy as np
import polars as pl
import pytest
from pages import run_page

import genassoc as ga


@pytest.mark.integration
def test_the_page_runs(tmp_path, monkeypatch, capsys):
    made = ga.simulate_families(
        200, 1000, families=0.0, fst=(0.0, 0.05), x_variants=400, y_variants=40, min_frequency=0.1, seed=4
    )
    made.write_store(tmp_path / "cohort.zarr")
    rng = np.random.default_rng(1)
    table = made.phenotypes.with_columns(
        sex=pl.when(pl.int_range(pl.len()) == 0).then(3 - pl.col("sex")).otherwise("sex"),
        population=made.samples["population"],
        **{f"PC{k}": pl.Series(rng.normal(size=200)) for k in range(1, 5)},
    )
    table.write_csv(tmp_path / "phenotypes.tsv", separator="\t")
    monkeypatch.chdir(tmp_path)
    names = run_page("structure/samples.md", 5)
    assert "1 sex_conflict" in capsys.readouterr().out
    assert names["cohort"].ledger.filter(pl.col("reason") == "sex_conflict").height == 1
    assert names["certain"].n_samples <= names["cohort"].n_samples < 200
    assert (tmp_path / "heterozygosity.png").stat().st_size > 5000
    assert set(names["relatives"]["relationship"]) == {"full_siblings", "parent_offspring", "duplicates"}
    assert names["simulated"].n_variants == 2500
