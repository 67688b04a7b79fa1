"""The Python of docs/genes/running.md, from top to bottom."""

from pages import run_page


def test_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run_page("genes/running.md", 3)
    table = names["results"].table
    assert set(table["test"]) == {"burden", "skat", "skato", "acatv", "acato"} and set(
        table["max_maf"].drop_nulls()
    ) == {0.01, 0.05}
    assert names["trial"].table["test"][1] == "burden:E"
