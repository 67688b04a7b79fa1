"""Filesets of PLINK 1, written by an independent slow twin; PLINK 2's are made of them by plink2 where it is installed."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from oracles import bed as oracle


def random_codes(n_variants: int, n_samples: int, seed: int = 0) -> np.ndarray:
    return (
        np.random.default_rng(seed)
        .choice([0, 1, 2, 3], (n_variants, n_samples), p=[0.6, 0.25, 0.1, 0.05])
        .astype(np.uint8)
    )


def write_fileset(prefix: Path, codes, variants=None, samples=None) -> Path:
    """The .bed of codes (V, N); ``variants`` are lines of the .bim, ``samples`` of the .fam."""
    n_variants, n_samples = codes.shape
    variants = variants or [f"{1 + v * 2 // n_variants}\trs{v}\t0\t{1000 + 10 * v}\tC\tA" for v in range(n_variants)]
    samples = samples or [f"F{i}\tS{i}\t0\t0\t{1 + i % 2}\t-9" for i in range(n_samples)]
    prefix.with_suffix(".bim").write_text("".join(line + "\n" for line in variants))
    prefix.with_suffix(".fam").write_text("".join(line + "\n" for line in samples))
    path = prefix.with_suffix(".bed")
    path.write_bytes(b"\x6c\x1b\x01" + b"".join(oracle.to_bed(codes)))
    return path


def plink2(*arguments) -> None:
    """Run plink2; the test is skipped where it is not installed."""
    program = shutil.which("plink2")
    if program is None:
        pytest.skip("plink2 is not installed")
    run = subprocess.run([program, "--silent", *map(str, arguments)], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
