"""Faults of real processes and real disks: killed at points drawn at random, a full disk, a flipped bit, two drivers."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from small_cohort import TRAITS, make_files, rewrite_store

import genassoc as ga
from genassoc.data import schema
from genassoc.engine.parts import WorkFolder

PROJECT = Path(__file__).resolve().parents[1]
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])}
DIE = Path(__file__).with_name("die_at_event.py")
N_KILLS = 10


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("cohort"), 200, 1800)


@pytest.fixture(scope="module")
def store(files, tmp_path_factory):
    return rewrite_store(files.store, tmp_path_factory.mktemp("blocks") / "small.zarr", 48).path


@pytest.fixture
def toml(files, store, tmp_path):
    text = f"""
[input]
store = "{store}"
phenotypes = "{files.phenotypes}"
[model]
kind = "linear"
traits = {list(TRAITS)}
covariates = ["age", "sex", "PC1:PC4"]
[output]
path = "{tmp_path}/run.parquet"
"""
    (tmp_path / "gwas.toml").write_text(text)
    return tmp_path / "gwas.toml"


@pytest.fixture
def reference(toml, tmp_path):
    """The bytes of a run that nothing happened to."""
    ga.run(toml, executor=ga.Serial())
    out = tmp_path / "run.parquet"
    content = out.read_bytes()
    out.unlink()
    return content


def dying(folder, number, *command):
    done = subprocess.run(
        [sys.executable, DIE, str(folder), str(number), *map(str, command)],
        env=ENVIRONMENT, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    return done.returncode


def sound_parts(work: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in work.glob("part-*.parquet")}


@pytest.mark.integration
@pytest.mark.slow
def test_threads_killed_at_ten_points(toml, reference, tmp_path):
    """Each rerun keeps the finished parts as they are, and the last one ends with the bytes of an undisturbed run."""
    rng = random.Random(11)
    work = tmp_path / "run.parquet.work"
    kept: dict[str, bytes] = {}
    for _ in range(N_KILLS):
        assert dying(work, rng.randint(10, 26), "run", toml, "--threads", 2) == -9
        assert not (tmp_path / "run.parquet").exists()
        now = sound_parts(work)
        assert kept.items() <= now.items(), "a finished part was lost or changed"
        kept = now
    assert kept
    assert dying(work, 0, "run", toml, "--threads", 2) == 0
    assert (tmp_path / "run.parquet").read_bytes() == reference
    assert not work.exists()


@pytest.mark.integration
@pytest.mark.slow
def test_a_job_array_killed_at_ten_points(toml, reference, tmp_path, genassoc):
    """Seven parts, ten kills; parts in any order, some of them twice."""
    rng = random.Random(12)
    work = tmp_path / "work"
    assert genassoc("plan", toml, work, "--parts", 7)[0] == 0
    for kill in range(N_KILLS):
        assert dying(work, rng.randint(8, 20), "part", work, kill % 7, "--threads", 1) == -9
    before = sound_parts(work)
    assert before
    for part in [6, 0, 3, 3, 1, 5, 4, 2]:
        assert genassoc("part", work, part)[0] == 0
    assert before.items() <= sound_parts(work).items()
    assert genassoc("merge", work, tmp_path / "merged.parquet")[0] == 0
    assert (tmp_path / "merged.parquet").read_bytes() == reference


def test_a_flipped_bit_is_named(files, store, toml, tmp_path, genassoc):
    """Array, chunk, rows and file; the rest is computed, and the run carries on when the store is whole again."""
    file = store / schema.GENOTYPES / "c" / "2" / "0"
    kept = file.read_bytes()
    damaged = bytearray(kept)
    damaged[len(damaged) // 2] ^= 4
    try:
        file.write_bytes(damaged)
        # The look for relatives would read the damaged chunk before any part is computed.
        code, _, error = genassoc("run", toml, "--threads", 1, "--no-relatedness")
        assert code == 1 and "Traceback" not in error
        for words in ("is damaged", f"{schema.GENOTYPES}, chunk", "rows", f"{schema.GENOTYPES}/c/2/0"):
            assert words in error, error
        assert sound_parts(tmp_path / "run.parquet.work")
    finally:
        file.write_bytes(kept)
    assert genassoc("run", toml)[0] == 0


@pytest.fixture
def small_disk(tmp_path):
    """A file system of a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("a small disk cannot be mounted here (needs root)")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_under_a_job_array(small_disk, toml, reference, tmp_path, genassoc):
    work = small_disk / "work"
    assert genassoc("plan", toml, work, "--parts", 2)[0] == 0
    free = os.statvfs(small_disk)
    filler = small_disk / "filler"
    filler.write_bytes(bytes(max(0, free.f_bavail * free.f_frsize - 60_000)))
    codes = [genassoc("part", work, part) for part in (0, 1)]
    assert any(code == 1 and "no space left on the disk" in error for code, _, error in codes), codes
    assert all("Traceback" not in error for _, _, error in codes)
    done = sound_parts(work)
    assert done and not list(work.glob("wip_*"))
    filler.unlink()
    for part in (0, 1):
        assert genassoc("part", work, part)[0] == 0
    assert done.items() <= sound_parts(work).items()
    assert genassoc("merge", work, tmp_path / "merged.parquet")[0] == 0
    assert (tmp_path / "merged.parquet").read_bytes() == reference


def test_a_full_disk_under_a_conversion(small_disk, files, tmp_path, genassoc):
    (small_disk / "filler").write_bytes(bytes(2**20 - 40_000))
    code, _, error = genassoc("convert", files.vcf, small_disk / "c.zarr")
    assert code == 1 and "the disk is full" in error and "Traceback" not in error
    assert not (small_disk / "c.zarr").exists()
    (small_disk / "filler").unlink()
    assert genassoc("convert", files.vcf, small_disk / "c.zarr")[0] == 0
    assert ga.open_store(small_disk / "c.zarr").fingerprint == ga.open_store(files.store).fingerprint


def test_a_second_driver_is_refused_by_name(toml, tmp_path, genassoc):
    work = WorkFolder(tmp_path / "run.parquet.work")
    work.ensure()
    with work.lock():
        code, _, error = genassoc("run", toml)
        assert code == 1 and f"process {os.getpid()}" in error and "another run is using" in error
    assert genassoc("run", toml)[0] == 0
