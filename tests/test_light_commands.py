"""What a command imports: heavy libraries only where it needs them, so that each starts as fast as it can.

Counted in processes of their own, by `sys.modules` at the end. Nothing is timed.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_cohort import make_files

PROJECT = Path(__file__).parents[1]
PROGRAM = """
import json, sys
from genassoc.cli import main
sys.argv = ["genassoc", *json.loads(sys.argv[1])]
try:
    main()
except SystemExit as end:
    code = end.code or 0
print(json.dumps({"code": code, "modules": sorted(sys.modules)}))
"""
# Of no use to any of these commands: tables for people, formats of others, an object store's client, plots, other ways to run.
NEVER = {
    "pandas", "zarr", "numcodecs", "fsspec", "scipy.special", "scipy.stats", "scipy.interpolate", "statsmodels",
    "matplotlib", "formulaic", "dask", "distributed", "allel", "pydantic", "typer", "rich", "pyarrow",
    "genassoc.explanation.explain", "genassoc.explanation.references", "genassoc.plots",
}  # fmt: skip
COMPILER = {"numba", "llvmlite"}
TABLES = COMPILER


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("cohort"))


def imported(*arguments: object, code: int = 0) -> set[str]:
    """The modules of a process that ran a command."""
    path = os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])
    command = [sys.executable, "-c", PROGRAM, json.dumps([str(argument) for argument in arguments])]
    done = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["code"] == code, done.stderr
    return set(found["modules"])


ASSOC = {
    "linear": ["--trait", "ldl"],
    "logistic": ["--trait", "t2d"],
    "cox": ["--time", "years", "--event", "cardiac_event"],
}


@pytest.mark.integration
@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="numba is not what runs then")
@pytest.mark.parametrize("model", ASSOC)
def test_an_association(files, tmp_path, model):
    options = ["--model", model, *ASSOC[model], "--covar", "age,sex,PC1:PC4", "--sample-id", "IID"]
    modules = imported("assoc", files.store, files.phenotypes, *options, "--out", tmp_path / "o.parquet")
    assert modules & NEVER == set()
    assert "numba" in modules  # the control: what is loaded is seen


@pytest.mark.integration
def test_what_computes_nothing_imports_no_compiler(files, tmp_path):
    assoc = [
        "assoc",
        files.store,
        files.phenotypes,
        "--model",
        "linear",
        "--trait",
        "ldl",
        "--out",
        tmp_path / "o.parquet",
    ]
    assert imported("--version") & (NEVER | TABLES | {"numpy", "polars"}) == set()
    assert imported("--help") & (NEVER | TABLES | {"numpy", "polars"}) == set()
    assert imported("info", files.store) & (NEVER | TABLES) == set()
    assert imported(*assoc, "--print-toml") & (NEVER | TABLES) == set()
    assert imported("assoc", "--model", "linear", code=2) & (NEVER | TABLES) == set()
    assert imported(*assoc, "--dispersion", "quasi", code=2) & (NEVER | TABLES) == set()
