"""The tiny kernel tests again, in another process: as plain Python here, compiled with bounds checks in test_kernels_bounds.

Compiled code does not raise at an index out of bounds; plain Python wraps a negative one and overflows where
numba widens. Each run sees what the other does not.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent


@pytest.mark.integration
@pytest.mark.slow  # 50 s: the same tests run compiled in each call
def test_kernel_tests_pass_as_plain_python(tmp_path):
    run_kernel_tests("NUMBA_DISABLE_JIT", tmp_path)


def run_kernel_tests(switch: str, tmp_path: Path, marked: str = "kernel") -> None:
    """Every test so marked, in a process with this switch of numba's on."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    # Bounds checks are compiled in: such code must not get into the cache of the code without.
    environment |= {switch: "1", "GENASSOC_CACHE_DIR": str(tmp_path / "cache"), "PYTHONPATH": _python_path()}
    environment.setdefault("GENASSOC_FUZZ_SECONDS", "8")
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-m",
            marked,
            "-p",
            "no:cacheprovider",
            "-n",
            "0",  # beside other tests already
            "--basetemp",
            str(tmp_path / "tests"),
            str(TESTS),
        ],
        env=environment,
        cwd=TESTS.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-5000:] + run.stderr[-2000:]
    assert " passed" in run.stdout


def _python_path() -> str:
    """The project first, then what this process was given."""
    return os.pathsep.join([str(TESTS.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
