"""docs/pipelines/slurm_cluster.py on a real SLURM; skipped, saying so, where no SLURM answers."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small_cohort import associate, make_files

import genassoc as ga

PROJECT = Path(__file__).resolve().parents[1]
SCRIPT = PROJECT / "docs/pipelines/slurm_cluster.py"
pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed (pip install genassoc[hpc])")

GWAS = """
[input]
store = "{store}"
phenotypes = "{phenotypes}"

[model]
kind = "linear"
traits = ["ldl", "ldl_before", "ldl_change"]
covariates = ["age", "sex", "PC1:PC4"]

[variants]
maf = 0.002

[output]
path = "slurm.parquet"
"""


@pytest.fixture
def slurm():
    """Skip unless a SLURM takes jobs here: `slurm-local start` makes one (needs root)."""
    if shutil.which("sinfo") is None:
        pytest.skip("SLURM is not installed here")
    try:
        found = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True, timeout=10, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip("SLURM does not answer here")
    if not {"idle", "mixed", "allocated"} & set(found.stdout.split()):
        pytest.skip(f"SLURM has no node that is up: {(found.stdout + found.stderr).strip()}")


def example(folder, *arguments):
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, SCRIPT, "gwas.toml", "--interface", "lo", "--walltime", "00:10:00", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=240, check=False
    )


@pytest.mark.integration
@pytest.mark.slow
def test_the_example_gives_the_same_bytes(slurm, tmp_path):
    files = make_files(tmp_path)
    reference = associate(ga.open_store(files.store), files.phenotypes, tmp_path / "serial.parquet", ga.Serial())
    (tmp_path / "gwas.toml").write_text(GWAS.format(store=files.store, phenotypes=files.phenotypes))
    # The one-node SLURM of the tests knows no memory: it refuses jobs that ask for some.
    done = example(tmp_path, "--jobs", "2", "--cores", "1", "--memory", "1GB", "--skip-directive=--mem")
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "slurm.parquet").read_bytes() == reference
    assert "slurm.parquet" in done.stdout


@pytest.mark.integration
@pytest.mark.slow
def test_jobs_that_slurm_refuses(slurm, tmp_path):
    (tmp_path / "gwas.toml").write_text(GWAS.format(store="absent.zarr", phenotypes="absent.tsv"))
    done = example(tmp_path, "--jobs", "1", "--cores", "1", "--memory", "900TB")
    assert done.returncode == 1
    assert "SLURM has taken none of the jobs" in done.stderr and "#SBATCH --mem=" in done.stderr


@pytest.mark.parametrize(
    ("walltime", "expected"),
    [("04:00:00", 14_400), ("00:10:00", 600), ("30", 1800), ("30:15", 1815), ("2-0", 172_800), ("1-12:30", 131_400)],
)
def test_walltimes(walltime, expected):
    spec = importlib.util.spec_from_file_location("slurm_cluster", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.seconds(walltime) == expected
