"""A process forked from one where polars had run says so at once; one forked before, or spawned, works."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from small_cohort import make_files

PROJECT = Path(__file__).resolve().parents[1]
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork"),
]
PROGRAM = """
import multiprocessing, sys, hashlib
import genassoc as ga
import polars as pl

def work(what):
    cohort = ga.Cohort.align(ga.open_store(sys.argv[1]), sys.argv[2])
    return ga.associate(cohort, ga.Linear(traits=["ldl"]), executor=ga.Threads(2), audit=0).table.height

def calls(at):
    return hashlib.sha256(STORE.read(at, at + 100).packed.tobytes()).hexdigest()

def attempt(verb):
    try:
        return str(verb())
    except ga.GenassocError as error:
        return f"{type(error).__name__}: {error}"

def verbs(_):
    asked = [
        lambda: work(0), lambda: ga.open_store(sys.argv[1]), lambda: STORE.variants(), lambda: ga.convert(sys.argv[3], sys.argv[1] + "2"),
        lambda: ga.variant_qc(COHORT), lambda: ga.associate(COHORT, ga.Linear(traits=["ldl"])), lambda: RESULTS.table,
        lambda: ga.Results.read("x.parquet"), lambda: ga.simulate_cohort(10, 10, 1), lambda: ga.adjust(RESULTS, "bh"),
        lambda: COHORT.keep_samples(pl.col("age") > 50), lambda: COHORT.with_covariates(pl.DataFrame({"IID": ["a"], "z": [1.0]})),
        lambda: repr(COHORT), lambda: ga.Results(TABLE).write("x.regenie", "regenie"), lambda: COHORT.ledger, lambda: COHORT.design(["ldl"]),
        lambda: ga.endpoints.years_between(pl.DataFrame({"a": ["2020-01-01"], "b": ["2021-01-01"]}), "a", "b"),
    ]
    return [attempt(verb) for verb in asked]

if __name__ == "__main__":
    fork, spawn = multiprocessing.get_context("fork"), multiprocessing.get_context("spawn")
    STORE = ga.open_store(sys.argv[1])
    with fork.Pool(1) as pool:  # nothing has run yet
        print("before", pool.map(work, [0]))
    COHORT = ga.Cohort.align(STORE, sys.argv[2])
    RESULTS = ga.associate(COHORT, ga.Linear(traits=["ldl"]), executor=ga.Threads(2), audit=0)
    TABLE = RESULTS.scan().collect()
    with fork.Pool(2) as pool:
        print("calls", pool.map(calls, [0, 500]) == [calls(0), calls(500)])
        for said in pool.map(verbs, [0])[0]:
            print("after", said)
    with spawn.Pool(1) as pool:
        print("spawned", pool.map(work, [0]))
"""


def test_a_forked_process_never_waits_for_ever(tmp_path):
    files = make_files(tmp_path, 60, 700)
    (tmp_path / "program.py").write_text(PROGRAM)
    path = os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])
    # The whole takes ten seconds; it hung without the check.
    run = subprocess.run(
        [sys.executable, str(tmp_path / "program.py"), str(files.store), str(files.phenotypes), str(files.vcf)],
        env={**os.environ, "PYTHONPATH": path}, cwd=tmp_path, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert (
        lines[0].startswith("before [")
        and lines[1] == "calls True"
        and lines[-1] == lines[0].replace("before", "spawned")
    )
    after = [line for line in lines if line.startswith("after")]
    assert len(after) == 17
    for said in after:
        assert said.startswith("after GenassocError: this process was forked") and "spawn" in said
