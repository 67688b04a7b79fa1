"""Test configuration: the tests folder is importable; a fixture that runs commands."""

import os
import sys
from pathlib import Path

import pytest

# As the engine pins it: blocks that a test computes by itself have the same bits in any company, and workers do not fight for cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

sys.path.insert(0, str(Path(__file__).parent))

# Files that take minutes begin first: a worker that begins one last leaves the others idle.
LONG = (
    "test_kernels_bounds.py",
    "test_residual_law.py",
    "test_notebooks.py",
    "test_speed_benchmarks.py",
    "test_kernels_plain.py",
)


def pytest_collection_modifyitems(items):
    """The files of `LONG` in front; all others in their order."""
    items.sort(key=lambda item: item.path.name not in LONG)


@pytest.fixture
def genassoc(capsys, monkeypatch):
    """Run a command in this process: exit code, standard output, standard error."""
    from genassoc.cli import commands as cli

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["genassoc", *map(str, arguments)])
        monkeypatch.delenv("GENASSOC_TRACEBACK", raising=False)
        code = 0
        try:
            cli.main()
        except SystemExit as left:
            code = left.code or 0
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return run
