"""The Python and the commands of docs/genes/index.md, from top to bottom, on a simulated cohort with genes."""

import re
import shlex

import polars as pl
import pytest
from pages import DOCS, run_page

import genassoc as ga
from genassoc.formats.vcf.writer import write_vcf

PAGE = DOCS / "genes" / "index.md"


@pytest.fixture
def files(tmp_path, monkeypatch):
    made = ga.simulate_genes(600, 12, 10, n_cases=60, n_chromosomes=2, missing_rate=0.001, seed=2)
    monkeypatch.chdir(tmp_path)
    made.write_sets(tmp_path)
    write_vcf("cohort.vcf.gz", made.sample_ids, made.contigs, made.blocks(), fields=made.info_fields)


@pytest.mark.integration
def test_the_page_runs(files, genassoc):
    lines = re.findall(r"^genassoc .*$", PAGE.read_text(encoding="utf-8"), re.M)
    assert len(lines) == 3
    for line in lines:
        code, _, errors = genassoc(*shlex.split(line)[1:])
        assert code == 0, (line, errors)
    rows = {name: pl.read_parquet(f"{name}.parquet") for name in ("disease", "event")}
    assert set(rows["disease"]["test"]) == {"burden", "skat", "skato", "acatv", "acato"}
    assert set(rows["event"]["test"]) == {"burden", "skat"}
    names = run_page("genes/index.md", 4)
    keys = ["set_id", "mask", "max_maf", "trait", "test"]
    # the page's two ways give the same rows
    both = names["results"].table.join(rows["disease"], on=keys, nulls_equal=True, suffix="_command")
    assert both.height == rows["disease"].height > 100
    assert both["neg_log_10_p_value"].equals(both["neg_log_10_p_value_command"])
    assert {test for test in names["by_arm"].table["test"] if ":" in test}


def test_pages_that_are_named_are_there():
    for link in re.findall(r"\]\(([^)#]+)", PAGE.read_text(encoding="utf-8")):
        assert (PAGE.parent / link).resolve().exists(), link
