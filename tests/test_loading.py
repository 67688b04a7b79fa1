"""Kernels whose machine code is loaded without numba."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from vcf_texts import random_vcf, write_bgzf

PROJECT = Path(__file__).resolve().parents[1]

ROOM = '''
from typing import NamedTuple
import numpy as np
from genassoc.kernels import jit, native

class Pair(NamedTuple):
    values: np.ndarray
    plus: int

@jit
def _more(value, plus, twice):
    return value + plus + (plus if twice else 0)

@native
def total(pair: Pair, twice: bool, out: np.ndarray) -> int:
    """Sum."""
    found = 0
    for i in range(pair.values.shape[0]):
        for j in range(pair.values.shape[1]):
            found += _more(pair.values[i, j], pair.plus, twice)
    out[0] = found
    return found

@native
def owns(values):
    """Needs memory of its own."""
    return np.zeros(values.shape[0], np.int64)[0]
'''
CALL = '''
import sys, numpy as np, room
values, out = np.arange(6).reshape(2, 3), np.zeros(1, np.int64)
print(room.total(room.Pair(values, 1), True, out), out[0], room.total(room.Pair(values, -1), False, out))
print("numba" in sys.modules)
print(room.total(room.Pair(values[:, ::2], 1), True, out))
if len(sys.argv) > 1:
    try:
        room.owns(values)
    except TypeError as error:
        print(error)
'''  # fmt: skip


def python(tmp_path, code, *arguments):
    environment = os.environ | {
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{PROJECT}",
        "GENASSOC_CACHE_DIR": str(tmp_path / "cache"),
    }
    environment.pop("NUMBA_DISABLE_JIT", None)
    done = subprocess.run([sys.executable, "-c", code, *arguments], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.integration
def test_a_kernel_is_compiled_once_and_then_called_without_numba(tmp_path):
    (tmp_path / "room.py").write_text(ROOM)
    first, second = python(tmp_path, CALL, "owning"), python(tmp_path, CALL)
    assert first[0] == second[0] == "27 27 9"
    assert (first[1], second[1]) == ("True", "False")
    assert first[2] == second[2] == "18"  # not in C order: numba's to call
    assert "which is not there without numba" in first[3]


@pytest.mark.integration
def test_a_conversion_needs_no_heavy_library(tmp_path):
    """Once its kernels are compiled: each of these takes a tenth to half a second, and tens of megabytes, to import."""
    vcf = write_bgzf(tmp_path / "a.vcf.gz", random_vcf(1, 21, 80))
    convert = f"import sys; from genassoc.formats.convert import convert; convert({str(vcf)!r}, sys.argv[1])"
    heavy = "; print(sorted({'numba', 'polars', 'zarr', 'pyarrow', 'scipy', 'pandas'} & set(sys.modules)))"
    environment = {name: value for name, value in os.environ.items() if name != "NUMBA_DISABLE_JIT"}
    for out in ("first.zarr", "second.zarr"):
        command = [sys.executable, "-c", convert + heavy, str(tmp_path / out)]
        done = subprocess.run(command, env=environment | {"PYTHONPATH": str(PROJECT)}, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert (tmp_path / "first.zarr" / "pieces.txt").read_bytes() == (
        tmp_path / "second.zarr" / "pieces.txt"
    ).read_bytes()
