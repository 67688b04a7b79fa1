"""The pages that a new user reads first, run word by word on the demo's own files; and that no error, code or method lacks its line."""

import inspect
import re
import shlex
from pathlib import Path

import polars as pl
import pytest
from pages import DOCS, run_page

import genassoc as ga
from genassoc import errors
from genassoc.models.base import CODES, METHODS


def rows_of(page):
    """The names in the first column of the tables of a page."""
    cells = re.findall(r"^\| (`[^|]+) \|", (DOCS / page).read_text(encoding="utf-8"), re.M)
    return [name for cell in cells for name in re.findall(r"`(\w+)`", cell)]


def commands(text):
    """The commands of genassoc in blocks and tables of a page."""
    blocks = [
        line
        for block in re.findall(r"```bash\n(.*?)```", text, re.S)
        for line in block.replace("\\\n", " ").splitlines()
    ]
    return [line for line in blocks + re.findall(r"\| `(genassoc [^`]+)` \|", text) if line.startswith("genassoc ")]


@pytest.fixture
def beside_demo(demo_files, tmp_path, monkeypatch):
    """A folder of its own with the demo's files in genassoc-demo, as a reader has it."""
    (tmp_path / "genassoc-demo").symlink_to(demo_files)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.integration
def test_quickstart(beside_demo, genassoc, capsys):
    names = run_page("quickstart.md", 1)
    assert names["results"].table.height > 1000 and (beside_demo / "manhattan.png").stat().st_size > 10_000
    assert "dropped" in capsys.readouterr().out  # the ledger
    Path("ldl.parquet").unlink()
    lines = commands((DOCS / "quickstart.md").read_text(encoding="utf-8"))
    assert lines.pop(0) == "genassoc demo" and len(lines) == 3
    for line in lines:
        code, _, said = genassoc(*shlex.split(line)[1:])
        assert code == 0, (line, said)
    by_command = pl.read_parquet("ldl.parquet")
    assert by_command["neg_log_10_p_value"].equals(names["results"].table["neg_log_10_p_value"])
    block = re.search(r"```python\n(.*?)```", (DOCS / "quickstart.md").read_text(encoding="utf-8"), re.S)[1]
    assert len([line for line in block.splitlines() if line]) <= 12


@pytest.mark.integration
def test_gallery(beside_demo):
    run_page("gallery.md", 12)
    shown = re.findall(r"\]\(gallery/(\w+\.png)\)", (DOCS / "gallery.md").read_text(encoding="utf-8"))
    assert len(shown) == 11
    assert all((beside_demo / name).exists() and (DOCS / "gallery" / name).exists() for name in shown)


@pytest.mark.integration
def test_concepts(beside_demo):
    names = run_page("concepts.md", 1)
    assert names["results"].provenance["variants"]["kept"] == names["results"].table.height


@pytest.mark.integration
def test_which_model(beside_demo, demo_files, genassoc, monkeypatch):
    """Each command of the table, with few of the variants."""
    monkeypatch.chdir(demo_files)
    lines = commands((DOCS / "which_model.md").read_text(encoding="utf-8"))
    assert len(lines) == 8
    for line in lines:
        line = re.sub(r"--out (\S+)", rf"--out {beside_demo}/\1", line)
        code, _, said = genassoc(*shlex.split(line)[1:], "--maf", "0.1", "--region", "22")
        assert code == 0, (line, said)
        table = pl.read_parquet(shlex.split(line)[-1])
        assert table["neg_log_10_p_value"].is_not_null().mean() > 0.9, line


def test_every_code_and_method_has_a_line():
    listed = rows_of("codes.md")
    text = (DOCS / "codes.md").read_text(encoding="utf-8")
    codes, methods = text.split("\n## Methods\n")
    assert [name for name in CODES if name and f"| `{name}` |" not in codes] == []
    assert [
        name for name in METHODS if name and f"`{name}`" not in "".join(re.findall(r"^\| .*? \|", methods, re.M))
    ] == []
    assert set(listed) - {"method", "code"} == {name for name in (*CODES, *METHODS) if name}  # and none that is gone
    assert all(line.count(" | ") == 3 for line in codes.splitlines() if line.startswith("| `") and "`code`" not in line)


def test_every_error_has_a_line():
    kinds = {name for name, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__}
    public = {name for name in ga.__all__ if name.endswith(("Error", "Warning"))}
    assert set(rows_of("errors.md")) == kinds | public


def test_blocks_of_errors_and_codes(beside_demo, demo_files, capsys):
    table = pl.read_csv(demo_files / "phenotypes.tsv", separator="\t", null_values="NA")
    table.with_columns(IID="other_" + pl.col("IID")).write_csv("another_study.tsv", separator="\t")
    store = ga.open_store(demo_files / "cohort.zarr")
    res = ga.Results.read(demo_files / "t2d.parquet")
    run_page("errors.md", 1, store=store, ga=ga)
    assert "0 of 600 genotyped samples" in capsys.readouterr().out
    run_page("codes.md", 1, res=res)
