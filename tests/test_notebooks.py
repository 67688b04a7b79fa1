"""The notebooks run from top to bottom, as scripts, in an empty folder, and find what they say."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

PROJECT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.py"))


def run_script(script: Path, folder: Path) -> None:
    environment = {
        **os.environ,
        "MPLBACKEND": "Agg",
        "PYTHONPATH": os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")]),
    }
    done = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning:__main__", str(script)],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


@pytest.mark.integration
def test_first_gwas(tmp_path):
    run_script(PROJECT / "notebooks" / "01_first_gwas.py", tmp_path)
    rows = pl.read_parquet(tmp_path / "first_gwas" / "ldl.parquet")
    # what the text promises of 2,000 samples: effects that pass 5e-8
    assert rows["neg_log_10_p_value"].max() > 7.3
    assert (tmp_path / "first_gwas" / "ldl.parquet.provenance.json").exists()


@pytest.mark.integration
@pytest.mark.slow  # 50 s with cold kernels; its steps are tested by the pages of docs too
def test_case_control(tmp_path):
    run_script(PROJECT / "notebooks" / "02_case_control.py", tmp_path)
    folder = tmp_path / "case_control"
    rows = pl.read_parquet(folder / "disease.parquet")
    # What the text promises: both planted variants on top, the common one by Firth, the rare one (20 alleles, a fifth of one
    # expected in cases: -log10 p 4.9) by the exact test; exact tests of the rare ones; nothing by the score alone.
    assert rows["neg_log_10_p_value"].max() > 7.3
    strong = rows.filter(pl.col("neg_log_10_p_value") > 4.5)
    assert strong["mac"].min() < 50 and set(strong["method"]) == {"firth_approx", "exact"}
    assert rows.filter(pl.col("mac") < 10, pl.col("code").is_null())["method"].unique().to_list() == ["exact"]
    assert (folder / "disease.tsv.gz").exists() and (folder / "disease.tsv.gz-meta.yaml").exists()


@pytest.mark.integration
def test_on_a_cluster(tmp_path):
    run_script(PROJECT / "notebooks" / "05_on_a_cluster.py", tmp_path)
    folder = tmp_path / "on_a_cluster"
    # what the text promises: the same bytes from processes, threads and a job array, and hits to look at
    assert len({(folder / f"{name}.parquet").read_bytes() for name in ("dask", "threads", "array")}) == 1
    assert pl.read_parquet(folder / "dask.parquet")["neg_log_10_p_value"].max() > 7.3


@pytest.mark.integration
@pytest.mark.slow  # 60 s with cold kernels
def test_clinical_trial(tmp_path):
    run_script(PROJECT / "notebooks" / "03_clinical_trial.py", tmp_path)
    # What the text says of each endpoint follows from its own rule: 0.05 over all different tests that have a p.
    tables = {
        name: pl.read_csv(tmp_path / "clinical_trial" / f"{name}.tsv.gz", separator="\t", null_values="NA")
        for name in ("LDL_response", "muscle_pain", "cardiac_event")
    }
    n_tests = sum(table.filter(pl.col("test") != "add")["neg_log_10_p_value"].count() for table in tables.values())
    line = math.log10(n_tests / 0.05)
    between = {
        name: table.filter(pl.col("test") == "add:E").sort("neg_log_10_p_value", descending=True, nulls_last=True)[0]
        for name, table in tables.items()
    }
    found = {name: row["neg_log_10_p_value"].item() > line for name, row in between.items()}
    assert found == {"LDL_response": True, "muscle_pain": False, "cardiac_event": True}
    on_drug = tables["muscle_pain"].filter(
        pl.col("variant_id") == between["muscle_pain"]["variant_id"].item(), pl.col("test") == "add|E=statin"
    )
    assert on_drug["neg_log_10_p_value"].item() > line
    assert [row["variant_id"].item() for row in between.values()] == [
        "8_71870792_G_A", "13_34282141_G_T", "7_79460363_G_A"
    ]  # fmt: skip


@pytest.mark.integration
@pytest.mark.slow  # each of its steps is tested by the pages of docs/structure too
def test_relatives_and_ancestry(tmp_path):
    run_script(PROJECT / "notebooks" / "04_relatives_and_ancestry.py", tmp_path)
    folder = tmp_path / "relatives_and_ancestry"
    rows = {name: pl.read_parquet(folder / f"{name}.parquet") for name in ("plain", "calibrated", "exact")}
    null = {name: table.filter(pl.col("chromosome").is_in(["2", "4", "6"])) for name, table in rows.items()}
    median = {name: table["neg_log_10_p_value"].median() / 0.30103 for name, table in null.items()}
    # What the text promises of 4,800 variants without an effect: the plain scan finds too much, the others do not. The median of so many
    # independent tests has a standard error of 0.02.
    assert median["plain"] > 1.08 > max(median["calibrated"], median["exact"])
    assert rows["calibrated"].filter(~pl.col("chromosome").is_in(["2", "4", "6"]))["neg_log_10_p_value"].max() > 7.3


@pytest.mark.integration
@pytest.mark.slow  # 40 s with cold kernels; tests/test_gene_sets.py and the pages of docs/genes run its steps
def test_genes(tmp_path):
    run_script(PROJECT / "notebooks" / "06_genes.py", tmp_path)
    first, second = (pl.read_parquet(tmp_path / "genes" / f"{name}.parquet") for name in ("first", "second"))
    # What the text promises: the unevenly sequenced gene (the second of them) comes out, and not without its unequal variants; the planted burdens
    # and the one whose variants go both ways stay, and nothing else; the synonymous mask has nothing above a line for 2,000 tests.
    top = {
        name: set(rows.filter(pl.col("neg_log_10_p_value") > 4.6)["set_id"])
        for name, rows in (("first", first), ("second", second))
    }
    assert "GENE0002" in top["first"] and "GENE0002" not in top["second"]
    assert {"GENE0195", "GENE0116", "GENE0167"} == top["second"]
    for rows in (first, second):
        control = rows.filter(pl.col("mask") == "synonymous")["neg_log_10_p_value"].drop_nulls()
        assert control.max() < 4.6
        # of some 700 correlated tests: twice the expected share is four standard errors
        assert (control > 1.30103).mean() < 0.1


def test_notebooks_are_numbered():
    names = ["first_gwas", "case_control", "clinical_trial", "relatives_and_ancestry", "on_a_cluster", "genes"]
    assert [path.stem for path in NOTEBOOKS] == [f"{number:02}_{name}" for number, name in enumerate(names, start=1)]


@pytest.mark.parametrize("script", NOTEBOOKS, ids=lambda path: path.name)
def test_notebook_beside_script_is_executed_and_the_same(script):
    notebook = script.with_suffix(".ipynb")
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = ["".join(cell["source"]).strip() for cell in cells if cell["cell_type"] == "code"]
    assert code == [text for kind, text in cells_of(script) if kind == "code"]
    assert all(cell["execution_count"] for cell in cells if cell["cell_type"] == "code")
    assert not any(output["output_type"] == "error" for cell in cells for output in cell.get("outputs", []))


def cells_of(script: Path) -> list[tuple[str, str]]:
    """Cells of a script in the percent format: (kind, text)."""
    body = script.read_text(encoding="utf-8").split("# ---\n", 2)[2]
    cells = []
    for piece in body.split("# %%")[1:]:
        first, _, text = piece.partition("\n")
        cells.append(("markdown" if "[markdown]" in first else "code", text.strip()))
    return cells
