"""The Python of docs/structure/pca.md, from top to bottom, on simulated families of two populations."""

import numpy as np
import polars as pl
import pytest
from pages import run_page

import genassoc as ga


@pytest.mark.integration
@pytest.mark.filterwarnings("ignore")  # of kinship from few variants; the page has many
def test_the_page_runs(tmp_path, monkeypatch, capsys):
    rng = np.random.default_rng(1)
    for name, seed in (("cohort", 4), ("clinic", 4)):
        made = ga.simulate_families(160, 1500, fst=(0.0, 0.1), min_frequency=0.05, seed=seed)
        made.write_store(tmp_path / f"{name}.zarr")
        table = made.phenotypes.with_columns(
            ldl=pl.Series(rng.normal(size=160)), age=pl.Series(rng.integers(20, 80, 160))
        )
        phenotypes = "phenotypes" if name == "cohort" else name
        table.select("IID", "ldl", "age", "sex").write_csv(tmp_path / f"{phenotypes}.tsv", separator="\t")
    monkeypatch.chdir(tmp_path)
    names = run_page("structure/pca.md", 3)
    assert "variance explained" in capsys.readouterr().out
    pcs = names["pcs"]
    assert 0 < pcs.fitted.sum() < 160
    assert pcs.above_noise >= 1
    assert names["results"].table.height > 1000
    assert (tmp_path / "clinics.png").stat().st_size > 5000
    # the clinic has the same people: those that were projected have the same scores again
    again = names["projected"].scores.drop("sample_id").to_numpy()[~pcs.fitted]
    np.testing.assert_allclose(again, pcs.scores.drop("sample_id").to_numpy()[~pcs.fitted], atol=1e-5)
