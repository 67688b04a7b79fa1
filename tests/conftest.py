"""Test configuration: the tests folder is importable; a fixture that runs commands."""

import itertools
import os
import sys
from pathlib import Path

import pytest

# As the engine pins it: blocks that a test computes by itself have the same bits in any company, and workers do not fight for cores.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
# Workers and the commands that tests start, hundreds of them, would each compile this package from its text: half of what a start costs.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

sys.path.insert(0, str(Path(__file__).parent))

# Files that take a minute begin first: a worker that begins one last leaves the others idle.
LONG = (
    "test_kernels_bounds.py",
    "test_memory.py",
    "test_residual_law.py",
    "test_notebooks.py",
    "test_kernels_plain.py",
    "test_refit_axes.py",
)


def in_turn(files):
    """The files of `LONG`, then one of the first half and one of the second in turn.

    Files whose names are near call the same kernels. Side by side at an empty cache, each of two workers would compile them.
    """
    long = sorted((file for file in files if file.name in LONG), key=lambda file: LONG.index(file.name))
    others = [file for file in files if file.name not in LONG]
    half = (len(others) + 1) // 2
    pairs = itertools.zip_longest(others[:half], others[half:])
    return long + [file for pair in pairs for file in pair if file is not None]


def pytest_collection_modifyitems(items):
    """Files in the order of `in_turn`, the tests of each as they stand there."""
    files = in_turn(list(dict.fromkeys(item.path for item in items)))
    place = {file: number for number, file in enumerate(files)}
    items.sort(key=lambda item: place[item.path])


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


@pytest.fixture(scope="session")
def demo_files(tmp_path_factory):
    """The folder of a small demo: its VCF, phenotypes, store, results and plots. What pages of the documentation say is run on it; it is not to be written to."""
    import genassoc as ga

    folder = tmp_path_factory.mktemp("demo") / "genassoc-demo"
    ga.demo(folder, n_samples=600, n_variants=4000, seed=20, executor=ga.Serial(), say=lambda line: None)
    return folder
