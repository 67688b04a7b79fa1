"""The Python of docs/structure/whole_genome.md, from top to bottom, on a small simulated cohort."""

import re
from pathlib import Path

import pytest
from small_cohort import make_files

PAGE = Path(__file__).parents[1] / "docs" / "structure" / "whole_genome.md"


@pytest.mark.integration
def test_the_page_runs(tmp_path, monkeypatch, capsys):
    make_files(tmp_path, n_samples=200, n_variants=900)
    monkeypatch.chdir(tmp_path)
    names = {}
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert len(blocks) == 4
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    assert names["fit"].summary["n_folds"].item() == 4
    assert names["binary"].traits == ("t2d", "muscle_pain")
    assert names["paths"][-1].name == "step1_pred.list"
    assert names["again"].table.height == names["res"].table.height
