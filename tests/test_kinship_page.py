"""The Python of docs/structure/kinship.md, from top to bottom, on a cohort with families."""

import polars as pl
import pytest
from pages import run_page

import genassoc as ga


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore::genassoc.errors.KinshipWarning")
def test_the_page_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    traits = {"t2d": ga.SimulatedTrait(kind="binary", cases=0.3)}
    made = ga.simulate_families(
        200, 3000, seed=2, families={"siblings": 12, "trios": 8, "duplicates": 2}, fst=(0.05, 0.05), shares=(0.5, 0.5), admixed=0.5,
        min_frequency=0.05, traits=traits,
    )  # fmt: skip
    made.write_store("cohort.zarr")
    made.phenotypes.write_csv("phenotypes.tsv", separator="\t")
    names = run_page("structure/kinship.md", 4)
    assert "related to" in capsys.readouterr().out
    assert (tmp_path / "kinship.png").stat().st_size > 10_000
    kin, unrelated, both = names["kin"], names["unrelated"], names["both"]
    assert kin.filter(pl.col("relationship") == "duplicate").height == 2
    assert unrelated.n_samples < 180
    assert both["kinship_adjusted"].is_finite().all()
