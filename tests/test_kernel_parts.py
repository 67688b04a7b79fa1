"""A kernel that kernels call is made once, inside them; one that Python calls too works either way."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from genassoc.formats.vcf.writer import write_vcf
from genassoc.simulate import simulate_cohort

PROJECT = Path(__file__).parents[1]
pytestmark = pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")

ROOM = """
import numpy as np
from genassoc.kernels import jit

@jit
def share(values, at, n):
    if n < 0:
        raise ValueError("a negative number of values")
    return values[at] / n

@jit
def shares(values, n):
    return share(values, 0, n) + share(values, values.size - 1, n) + share(values, n, 4)
"""
PROGRAM = """
import numpy as np, room
values = np.arange(1.0, 5.0)
print(room.shares(values, 2))
for n in (-1, 0):
    try:
        print(room.shares(values, n))
    except ValueError as error:
        print(type(error).__name__, error)
made, alone = len(room.share.parts.made), len(room.share.overloads)
stats = room.shares.stats
print(made, alone, sum(stats.cache_hits.values()), sum(stats.cache_misses.values()))
print(room.share(values, 1, 2), len(room.share.overloads))
"""
SAID = ["3.25", "ValueError a negative number of values", "inf"]


def start(tmp_path: Path, program: str) -> subprocess.Popen[str]:
    (tmp_path / "__init__.py").touch()  # the cache looks for the room a file stands in
    (tmp_path / "room.py").write_text(ROOM)
    path = os.pathsep.join([str(PROJECT), str(tmp_path), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "GENASSOC_CACHE_DIR": str(tmp_path / "cache")}
    return subprocess.Popen(
        [sys.executable, "-c", program], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def lines(process: subprocess.Popen[str]) -> list[str]:
    out, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    return out.splitlines()


def test_a_part_is_made_once_and_errors_pass_through_it(tmp_path):
    first = lines(start(tmp_path, PROGRAM))
    # One part for the literal 0, a variable and a literal 4; none compiled for Python before Python called it.
    assert first == [*SAID, "1 0 0 1", "1.0 1"]
    # From the cache nothing is made, and the parts' errors are still known.
    assert lines(start(tmp_path, PROGRAM)) == [*SAID, "0 0 1 0", "1.0 1"]


def test_processes_that_compile_the_same_at_once_do_not_disturb_each_other(tmp_path):
    for process in [start(tmp_path, PROGRAM) for _ in range(2)]:
        assert lines(process)[:3] == SAID
    assert lines(start(tmp_path, PROGRAM))[3] == "0 0 1 0"


DEFAULT_RUN = """
import sys
from genassoc.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
twice, compiled = [], 0
for name, module in list(sys.modules.items()):
    if name.startswith("genassoc.kernels."):
        for kernel in vars(module).values():
            if getattr(kernel, "__module__", "") == name and hasattr(kernel, "parts") and hasattr(kernel, "overloads"):
                compiled += len(kernel.overloads)
                if len(kernel.overloads) > 1 or len(kernel.parts.made) > 1:
                    twice.append(f"{name}.{kernel.__name__}")
print("compiled", compiled, "twice:", *twice)
"""


@pytest.mark.slow  # twenty seconds: everything a logistic run compiles
def test_a_default_logistic_run_compiles_nothing_twice(tmp_path):
    cohort = simulate_cohort(400, 1500, seed=1)
    write_vcf(tmp_path / "cohort.vcf.gz", cohort.sample_ids, cohort.contigs, cohort.blocks(), index=True)
    cohort.phenotypes.write_csv(tmp_path / "pheno.tsv", separator="\t", null_value="NA")
    command = ["assoc", str(tmp_path / "cohort.vcf.gz"), str(tmp_path / "pheno.tsv"), "--model", "logistic"]
    command += ["--trait", "t2d", "--covar", "age,sex,PC1:PC4", "--out", str(tmp_path / "out.parquet")]
    last = lines(start(tmp_path, f"import sys; sys.argv[1:] = {command!r}\n{DEFAULT_RUN}"))[-1].split()
    assert last[0] == "compiled" and int(last[1]) >= 12
    assert last[3:] == []
