"""docs/plots.md, run on the files of a small demo."""

from pages import run_page

import genassoc as ga


def test_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ga.demo("genassoc-demo", n_samples=300, n_variants=2500, say=lambda text: None)
    names = run_page("plots.md", 5)
    assert names["text"].startswith("<svg ") and "<title>" in names["text"]
    assert (tmp_path / "qq.pdf").stat().st_size > 5000
    assert names["loci"].columns[:3] == ["trait", "test", "locus"]
