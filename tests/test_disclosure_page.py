"""The Python and the commands of docs/disclosure.md, from top to bottom."""

import re
import shlex

import polars as pl
import pytest
from endpoint_cohort import make
from pages import DOCS, run_page

PAGE = DOCS / "disclosure.md"


@pytest.mark.integration
def test_the_page_runs(tmp_path, monkeypatch, genassoc):
    make(tmp_path)
    monkeypatch.chdir(tmp_path)
    names = run_page("disclosure.md", 3)
    assert pl.read_parquet("ours.parquet")["withheld"].is_not_null().any()
    assert names["found"].policy.name == "ukb" and names["quality"].samples.height == 2
    lines = re.findall(r"^genassoc .*$", PAGE.read_text(encoding="utf-8"), re.M)
    assert len(lines) == 3
    for line in lines:
        code, _, errors = genassoc(*shlex.split(line)[1:])
        assert code == 0, (line, errors)
    assert {path.name for path in tmp_path.glob("t2d*")} >= {
        "t2d.snds.tsv.gz",
        "t2d.snds.tsv.gz.withheld.txt",
        "t2d.html",
    }
