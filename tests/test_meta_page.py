"""The code of docs/genes/meta.md runs as it stands, on two halves of a cohort."""

from pathlib import Path

from meta_cohorts import rows_of, simulated
from pages import run_page

from genassoc.formats.score_statistics.tables import write_scores


def test_python_of_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    one, two = simulated("logistic").halves
    write_scores(Path("scores.parquet"), [rows_of(one, "logistic")])
    write_scores(Path("paris.parquet"), [rows_of(two, "logistic")])
    names = run_page("genes/meta.md", 2)
    assert names["result"].table.height and Path("meta.tsv").exists() and Path("meta.tsv.variants.tsv.gz").exists()
    assert names["result"].cohorts == ("Lyon", "Paris")
