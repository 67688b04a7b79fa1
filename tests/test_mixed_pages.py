"""The Python of docs/models/mixed.md and docs/structure/heritability.md, from top to bottom, on a small cohort of families."""

import polars as pl
import pytest
import related_cohort
from pages import run_page


@pytest.mark.integration
@pytest.mark.parametrize("page, n", [("models/mixed.md", 2), ("structure/heritability.md", 2)])
def test_the_page_runs(page, n, tmp_path, monkeypatch):
    made = related_cohort.draw(n_families=30)
    store, table = made.written(tmp_path)
    store.rename(tmp_path / "cohort.zarr")
    names = pl.read_csv(table, separator="\t", null_values="NA").rename({"q": "ldl", "x": "age"})
    names.with_columns(t2d=(pl.col("h") > 2.5).cast(pl.Int64)).write_csv(tmp_path / "phenotypes.tsv", separator="\t")
    monkeypatch.chdir(tmp_path)
    known = run_page(page, n)
    if "table" in known:
        assert known["table"]["h2_liability"].is_not_null().to_list() == [False, True]
        assert known["fast"]["method"].to_list() == ["he_randomised"]
    else:
        assert known["given"].table["method"].drop_nulls().unique().to_list() == ["lrt_f"]
        assert known["results"].table["beta"].is_not_null().any()
