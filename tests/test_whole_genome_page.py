"""The Python of docs/structure/whole_genome.md, from top to bottom, on a small simulated cohort."""

import pytest
from pages import run_page
from small_cohort import make_files


@pytest.mark.integration
def test_the_page_runs(tmp_path, monkeypatch, capsys):
    make_files(tmp_path, n_samples=200, n_variants=900)
    monkeypatch.chdir(tmp_path)
    names = run_page("structure/whole_genome.md", 4)
    assert names["fit"].summary["n_folds"].item() == 4
    assert names["binary"].traits == ("t2d", "muscle_pain")
    assert names["paths"][-1].name == "step1_pred.list"
    assert names["again"].table.height == names["res"].table.height
