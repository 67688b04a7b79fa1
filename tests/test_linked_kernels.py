"""A kernel in the cache is linked in a new process, without what numba would need to compile it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
# Arrays in, an array made inside the kernel (numba's run-time system), and another kernel called.
PROGRAM = """
import sys
import numpy as np
from genassoc.kernels.laws import empirical_cgf as cgf
table, found = np.empty((1, cgf.N_POINTS, 3)), np.empty((1, 2))
cgf.tabulate(np.array([-1.0, 1.0]), np.zeros(2, dtype=np.int64), table, found)
stats = cgf.tabulate.stats
print(found.ravel().tolist(), sum(stats.cache_hits.values()), sum(stats.cache_misses.values()), "scipy.linalg" in sys.modules)
"""


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")
def test_a_cached_kernel_needs_no_compiler(tmp_path):
    path = os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "GENASSOC_CACHE_DIR": str(tmp_path)}
    runs = [
        subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=True)
        for _ in range(2)
    ]
    first, second = (run.stdout.split("] ") for run in runs)
    assert first[0] == second[0] == "[1.0, 0.0"
    assert first[1].split() == ["0", "1", "True"]  # compiled: the control that the tables do bring scipy.linalg
    assert second[1].split() == ["1", "0", "False"]


# A part of the kernel is numba's own: `sum` is written in numba.np.arraymath, which imports the tables.
SUMMED = """
import sys
import numpy as np
from genassoc.kernels import jit

@jit
def total(x):
    return x.sum()

if __name__ == "__main__":
    found = total(np.arange(4.0))
    again = total(np.arange(4))  # other types: compiled, or kept as well
    print(found, again, sum(total.stats.cache_hits.values()), "numba.np.arraymath" in sys.modules)
"""


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled")
def test_modules_of_numba_that_a_kept_kernel_names_are_not_imported(tmp_path):
    program = tmp_path / "summed.py"
    program.write_text(SUMMED)
    path = os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])
    environment = {**os.environ, "PYTHONPATH": path, "GENASSOC_CACHE_DIR": str(tmp_path / "kernels")}
    said = [
        subprocess.run(
            [sys.executable, str(program)], env=environment, capture_output=True, text=True, check=True
        ).stdout
        for _ in range(2)
    ]
    assert [one.split() for one in said] == [["6.0", "6", "0", "True"], ["6.0", "6", "2", "False"]]
