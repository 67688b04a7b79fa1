"""Sizes of memory, what the system grants, and a cap that holds: peak memory of real processes."""

import gzip
import io
import os
import platform
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import polars as pl
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import dask_work
import measure
from small_cohort import COVARIATES, TRAITS, make_files

import genassoc as ga
from genassoc.data import memory
from genassoc.data.block import GenotypeBlock
from genassoc.data.store.writer import write_store
from genassoc.engine import budget, cost, resources
from genassoc.engine.plan import Plan
from genassoc.formats import bgzf, convert_memory
from genassoc.formats.bgzf_writer import BgzfWriter
from genassoc.formats.convert_memory import MEMORY_IN_FLIGHT, ConversionSizes
from genassoc.formats.vcf.writer import write_vcf
from genassoc.verbs import job_arrays, preflight, runs
from genassoc.verbs.config import Config
from genassoc.verbs.options import RunOptions

MIB = 2**20


# code that is given back ---------------------------------------------------------------------------------------


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="pages are given back on Linux")
def test_the_code_of_libraries_is_given_back_and_found_again():
    def of_code():
        return sum(n for _, n in memory._code_of_libraries(Path("/proc/self/smaps").read_text()))

    frame = pl.DataFrame({"x": [3, 1, 2]})
    assert frame.sort("x")["x"].to_list() == [1, 2, 3]
    assert of_code() > 2**20  # polars' alone is more
    before = memory.resident_memory()
    memory.settle()
    assert memory.resident_memory() < before - 2**20
    assert frame.sort("x")["x"].to_list() == [1, 2, 3]


def test_code_that_was_written_to_or_is_locked_stays():
    said = (
        "7f0000000000-7f0000400000 r-xp 00000000 fe:00 1   /lib/{}\nSize:  4096 kB\nRss:  2048 kB\n"
        "Private_Dirty:  {} kB\nAnonymous:  {} kB\nLocked:  {} kB\nVmFlags: rd ex\n"
    )
    kept = [said.format("a.so", *held) for held in ((4, 0, 0), (0, 4, 0), (0, 0, 4))]
    assert list(memory._code_of_libraries("".join(kept) + said.format("a.txt", 0, 0, 0))) == []
    assert list(memory._code_of_libraries(said.format("a.so.1", 0, 0, 0))) == [(0x7F0000000000, 2**22)]


# memory that is used again -----------------------------------------------------------------------------------

_REUSE = """if True:
    import resource
    import numpy as np
    from genassoc.data.memory import reuse_freed_memory

    def faults():
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(50):
            np.ones(2**18)  # 2 MB: 512 pages
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    found = [faults(), reuse_freed_memory(), faults(), reuse_freed_memory(False), faults()]
    print(*map(int, found))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="thresholds are glibc's")
def test_freed_memory_is_used_again_where_dask_s_nannies_have_it_given_back():
    def found(**variables):
        environment = {**dask_work.ENVIRONMENT, **variables}
        done = subprocess.run(
            [sys.executable, "-c", _REUSE], env=environment, capture_output=True, text=True, check=True
        )
        return [int(word) for word in done.stdout.split()]

    before, was_set, within, was_unset, after = found(MALLOC_TRIM_THRESHOLD_="65536")
    assert (was_set, was_unset) == (1, 1)
    assert within < 0.1 * before and after > 0.9 * before > 20_000
    before, was_set, within, was_unset, after = found(MALLOC_TRIM_THRESHOLD_="100000")  # somebody's own choice
    assert (was_set, was_unset) == (0, 0) and min(before, within, after) > 20_000


@pytest.mark.parametrize("environment", [{}, {"MALLOC_TRIM_THRESHOLD_": "65536", "MALLOC_MMAP_THRESHOLD_": "131072"}])
def test_allocators_that_people_have_set_or_nobody_are_left_alone(environment):
    assert not memory.reuse_freed_memory(True, environment)
    assert not memory.reuse_freed_memory(False, environment)


# sizes and grants --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [
        ("4GiB", 4 * 2**30),
        ("4G", 4 * 2**30),
        ("4GB", 4 * 10**9),
        ("1.5 m", 1572864),
        ("500", 500),
        (7, 7),
        ("2tb", 2 * 10**12),
    ],
)
def test_sizes(text, n_bytes):
    assert memory.parse_memory(text) == n_bytes


@pytest.mark.parametrize("text", ["", "lots", "-4G", "4 GG", "0", "4,5G", "1" * 400])
def test_what_is_no_size(text):
    with pytest.raises(ga.PlanError, match="no size of memory"):
        memory.parse_memory(text)


@pytest.mark.parametrize("n_bytes", [MIB, 5 * MIB, 700 * MIB, 3 * 2**30])
def test_sizes_are_shown_as_they_are_read(n_bytes):
    assert memory.parse_memory(memory.show_memory(n_bytes)) == n_bytes


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"SLURM_MEM_PER_NODE": "64"}, 64 * MIB),
        ({"SLURM_MEM_PER_NODE": "0"}, None),  # the whole node
        ({"SLURM_MEM_PER_CPU": "30", "SLURM_CPUS_PER_TASK": "2"}, 60 * MIB),
        ({"SLURM_MEM_PER_CPU": "30", "SLURM_CPUS_ON_NODE": "3"}, 90 * MIB),
        ({}, None),
    ],
)
def test_what_slurm_grants(environment, expected, tmp_path):
    grant = resources.granted_memory(environment, tmp_path, tmp_path / "absent")
    if expected is None:
        assert grant is None or grant.source == "this machine"
    else:
        assert (grant.n_bytes, grant.source) == (expected, "SLURM")


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        ("0::/job/step\n", {"job/memory.max": "70000000\n", "job/step/memory.max": "max\n"}, 70_000_000),
        ("0::/job\n", {"memory.max": "60000000", "job/memory.high": "50000000"}, 50_000_000),
        ("5:cpu:/x\n4:memory:/job\n", {"memory/job/memory.limit_in_bytes": "40000000"}, 40_000_000),
        ("4:memory:/job\n", {"memory/job/memory.limit_in_bytes": str(2**63 - 4096)}, None),
    ],
)
def test_limits_of_cgroups(membership, files, expected, tmp_path):
    (tmp_path / "membership").write_text(membership)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    grant = resources.granted_memory({}, tmp_path, tmp_path / "membership")
    if expected is None:
        assert grant is None or grant.source == "this machine"
    else:
        assert (grant.n_bytes, grant.source) == (expected, "the container's limit")


# sizes that fit ----------------------------------------------------------------------------------------------

NEEDS = budget.Needs(process=300 * MIB, chunk=16 * MIB, variant=50_000.0, rows_per_variant=4, share_reading=0.1)


@pytest.mark.parametrize("cap", [450, 600, 1000, 4000])
@pytest.mark.parametrize("recut", [True, False])
def test_what_fits_is_below_the_cap_and_no_bigger_than_wanted(cap, recut):
    chosen = budget.fit(NEEDS, cap * MIB, 8, 1024, 1024, recut)
    assert chosen.n_bytes == NEEDS.total(chosen.n_threads, chosen.block_variants, chosen.task_variants) <= cap * MIB
    assert 1 <= chosen.n_threads <= 8 and budget.MIN_BLOCK <= chosen.block_variants <= 1024
    assert chosen.task_variants == (chosen.block_variants if recut else 1024)


def test_more_memory_is_never_slower():
    speeds = []
    for cap in range(420, 2000, 60):
        chosen = budget.fit(NEEDS, cap * MIB, 8, 1024, 1024)
        speeds.append(chosen.n_threads / (1 + NEEDS.share_reading * (1024 / chosen.block_variants - 1)))
    assert speeds == sorted(speeds) and speeds[-1] == 8


def test_a_refusal_says_what_would_fit():
    with pytest.raises(ga.PlanError, match="is too little") as refusal:
        budget.fit(NEEDS, 310 * MIB, 8, 1024, 1024)
    would = str(refusal.value).split("at least --memory ")[1].split(",")[0]
    assert budget.fit(NEEDS, memory.parse_memory(would), 8, 1024, 1024).n_threads >= 1


def test_tasks_cut_finer_hold_the_same_variants():
    plan = Plan.by_block([("1", 0, 250), ("2", 250, 300)], 100, "f", n_parts=3, settings={"a": 1})
    finer = plan.finer(16)
    assert [task.index for task in finer.tasks] == list(range(len(finer.tasks)))
    assert [i for task in finer.tasks for i in range(task.start, task.stop)] == list(range(300))
    assert max(task.n_variants for task in finer.tasks) == 16 and finer.block_variants == 16
    assert {task.contig for task in finer.tasks if task.start >= 250} == {"2"}
    assert (finer.fingerprint, finer.n_parts, finer.settings) == (plan.fingerprint, 3, {"a": 1})
    assert plan.finer(100) is plan


def test_a_gate_waits_for_those_at_work(monkeypatch):
    held = {"bytes": 0}
    monkeypatch.setattr(budget, "resident_memory", lambda: held["bytes"])
    gate = budget.Gate(cap=100, each=40)
    entered: list[int] = []

    def task(number):
        with gate:
            entered.append(number)
            held["bytes"] += 40
            time.sleep(0.05)
            at_once.append(gate._running)
            held["bytes"] -= 40

    at_once: list[int] = []
    results = list(ga.Threads(4).map(task, range(8)))
    assert len(results) == len(entered) == 8
    assert max(at_once) <= 3  # the third may enter before the second's memory shows


# whole runs --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("cohort"))


@pytest.fixture
def config(files, tmp_path):
    tables = {
        "input": {"store": str(files.store), "phenotypes": str(files.phenotypes)},
        "model": {"kind": "linear", "traits": list(TRAITS), "covariates": list(COVARIATES)},
        "output": {"path": str(tmp_path / "run.parquet")},
    }
    return Config.of(tables, "test", tmp_path)


def test_the_same_bytes_with_a_cap_and_without(config, tmp_path):
    runs.run_config(config)
    expected = (tmp_path / "run.parquet").read_bytes()
    results = runs.run_config(config, RunOptions(memory="8GiB", executor=ga.Serial(), restart=True))
    assert (tmp_path / "run.parquet").read_bytes() == expected
    assert any("at most of 8.0GiB" in note for note in results.provenance["notes"])
    plan = job_arrays.make_plan(config, tmp_path / "work", 2, RunOptions(memory="8GiB"))
    assert plan.settings["memory"] == 8 * 2**30
    for part in range(2):
        job_arrays.do_part(tmp_path / "work", part)
    job_arrays.merge_parts(tmp_path / "work", tmp_path / "merged.parquet")
    assert (tmp_path / "merged.parquet").read_bytes() == expected


def test_too_small_a_cap_is_refused_before_any_work(config, tmp_path):
    for refused in (
        lambda: runs.run_config(config, RunOptions(memory="20MiB")),
        lambda: job_arrays.make_plan(config, tmp_path / "work", 2, RunOptions(memory="20MiB")),
    ):
        with pytest.raises(ga.PlanError, match=r"too little.*at least"):
            refused()
    assert not (tmp_path / "run.parquet").exists() and not (tmp_path / "run.parquet.work").exists()
    assert not list((tmp_path / "work").glob("part-*"))


def test_check_says_memory_time_and_size_and_refuses(config, tmp_path, monkeypatch):
    (tmp_path / "gwas.toml").write_text(config.to_toml())
    text = "\n".join(preflight.check(tmp_path / "gwas.toml", 2).lines)
    assert "memory: " in text and "time: about" in text and "results: about" in text and "ask the queue for" in text
    found = preflight.check(tmp_path / "gwas.toml", 2, "20MiB")
    assert any("too little" in problem for problem in found.problems)
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(cost.shutil, "disk_usage", lambda folder: usage)
    found = preflight.check(tmp_path / "gwas.toml", 2)
    assert any("no space left on the disk" in problem for problem in found.problems)


def test_a_grant_that_is_too_small_takes_threads_away(config, monkeypatch):
    held = memory.resident_memory()
    small = resources.Grant(held + 400 * MIB, "SLURM")
    monkeypatch.setattr(budget, "granted_memory", lambda: small)
    results = runs.run_config(config, RunOptions(executor=ga.Threads(64)))
    assert any("of 64 threads, since SLURM allows" in note for note in results.provenance["notes"])


def big_store(folder: Path, n_samples: int = 40_000, n_variants: int = 9600) -> tuple[Path, Path]:
    """A store with six blocks of 16 MB, and ten traits."""
    rng = np.random.default_rng(3)
    names = [f"s{i}" for i in range(n_samples)]
    table = {"IID": names} | {f"t{j}": rng.standard_normal(n_samples).astype(np.float32) for j in range(10)}
    pl.DataFrame(table).write_csv(folder / "phenotypes.tsv", separator="\t")

    def blocks():
        for _ in range(0, n_variants, 100):
            codes = np.zeros((100, n_samples), np.uint8)
            for row in codes:
                row[rng.integers(0, n_samples, 2000)] = 1
            yield GenotypeBlock.from_codes(codes)

    variants = pl.DataFrame(
        {
            "chromosome": ["1"] * n_variants, "base_pair_location": range(1, n_variants + 1),
            "effect_allele": ["A"] * n_variants, "other_allele": ["G"] * n_variants,
        }
    )  # fmt: skip
    write_store(folder / "big.zarr", names, blocks(), variants)
    return folder / "big.zarr", folder / "phenotypes.tsv"


def _environment() -> dict[str, str]:
    """This project before what is installed."""
    project = Path(__file__).resolve().parents[1]
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(project), os.environ.get("PYTHONPATH", "")])}


def peak_of(command: list[str], folder: Path, code: int = 0) -> tuple[int, str]:
    """Run a command; the largest VmHWM seen of it, and what it said."""
    with (
        (folder / "said").open("w") as said,
        subprocess.Popen(command, env=_environment(), stderr=said, stdout=said) as process,
    ):
        peak = 0
        while process.poll() is None:
            for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
                if line.startswith("VmHWM:"):
                    peak = max(peak, 1024 * int(line.split()[1]))
            time.sleep(0.01)
    text = (folder / "said").read_text()
    assert process.returncode == code, text
    return peak, text


def small_cap(command: list[str], folder: Path) -> int:
    """Little more than the least that the program takes on this machine, by its own refusals, from 50 MiB on.

    The room above it, 40 MiB, is for what differs from start to start.
    """
    asked = "50MiB"
    for _ in range(3):  # the first refusal may come before all is known
        run = subprocess.run([*command, "--memory", asked], env=_environment(), capture_output=True, text=True)
        if run.returncode == 0:
            break
        asked = re.search(r"(?:at least --memory|take the run to) ([\d.]+[KMGT]iB)", run.stderr)[1]
    return memory.parse_memory(asked) + 40 * MIB


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_check_tells_the_peak(tmp_path):
    """Within a tenth, two sizes, two models, one and two threads: what threads hold at once and which pages are in memory differs from run to run by 5 %."""
    off = {}
    for n_samples in (1_000, 10_000):
        folder = tmp_path / str(n_samples)
        folder.mkdir()
        store, phenotypes = big_store(folder, n_samples, 4800)
        table = pl.read_csv(phenotypes, separator="\t").with_columns((pl.col("t0") > 1.0).cast(pl.Int64).alias("case"))
        table.write_csv(phenotypes, separator="\t")
        for model, trait in (("linear", "t0"), ("logistic", "case")):
            command = [sys.executable, "-m", "genassoc"]
            asked = [
                "assoc", str(store), str(phenotypes), "--model", model, "--trait", trait,
                "--out", str(folder / f"{model}.parquet"), "--force",
            ]  # fmt: skip
            toml = subprocess.run([*command, *asked, "--print-toml"], capture_output=True, text=True, check=True).stdout
            (folder / "gwas.toml").write_text(toml)
            peak_of([*command, *asked], folder)  # kernels are compiled
            (folder / f"{model}.parquet").unlink()
            for threads in ("1", "2"):
                _, said = peak_of([*command, "check", str(folder / "gwas.toml"), "--threads", threads], folder)
                told = re.search(r"memory at the peak: about ([\d.]+[KMG]iB)", said)
                peak, _ = peak_of([*command, *asked, "--threads", threads], folder)
                (folder / f"{model}.parquet").unlink()
                off[n_samples, model, threads] = memory.parse_memory(told[1]) / peak - 1
    print({key: f"{value:+.1%}" for key, value in off.items()})
    assert max(map(abs, off.values())) < 0.10, off


@pytest.mark.integration
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_the_cap_holds(tmp_path):
    """Many threads and ten traits want more than the cap, and get fewer; the peak stays below it."""
    store, phenotypes = big_store(tmp_path)
    traits = ",".join(f"t{j}" for j in range(10))
    command = [
        sys.executable, "-m", "genassoc", "assoc", str(store), str(phenotypes), "--model", "linear", "--trait", traits,
        "--threads", "32", "--out",
    ]  # fmt: skip
    cap = small_cap([*command, str(tmp_path / "none.parquet")], tmp_path)
    free, _ = peak_of([*command, str(tmp_path / "free.parquet")], tmp_path)
    capped, said = peak_of([*command, str(tmp_path / "capped.parquet"), "--memory", str(cap)], tmp_path)
    assert capped < cap, said
    # the cap binds, whatever the machine's libraries take
    assert re.search(r"of [\d.]+[MG]iB, with \d+ threads of 32", said), said
    assert (tmp_path / "capped.parquet").read_bytes() == (tmp_path / "free.parquet").read_bytes()
    print(f"peak {free / MIB:.0f} MiB without a cap, {capped / MIB:.0f} MiB under {cap / MIB:.0f} MiB")


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_the_cap_holds_in_workers(tmp_path):
    """A worker of many threads wants more than the cap and stays below it; so does the driver. The bytes are those of threads."""
    store, phenotypes = big_store(tmp_path, n_variants=19_200)
    traits = ",".join(f"t{j}" for j in range(10))
    command = [
        sys.executable, "-m", "genassoc", "assoc", str(store), str(phenotypes), "--model", "linear", "--trait", traits,
        "--audit", "0", "--out",
    ]  # fmt: skip
    peaks = {}
    for name, more in (("free", []), ("capped", ["--memory", "560MiB"])):
        with dask_work.processes(tmp_path, n_workers=1, n_threads=32) as (address, started):
            out = str(tmp_path / f"{name}.parquet")
            driver, said = peak_of([*command, out, "--dask", address, *more], tmp_path)
            peaks[name] = driver, measure.memory({started[1].pid})
        (tmp_path / "scheduler.json").unlink()
    print({name: [f"{peak / MIB:.0f} MiB" for peak in found] for name, found in peaks.items()})
    # 560 MiB: 80 more than the least that a worker took anywhere; the cap binds, since fewer threads are said than there are.
    assert max(peaks["capped"]) < 560 * MIB, said
    assert "of 560MiB, with" in said and "threads of 32" in said and "in each worker" in said
    assert (tmp_path / "capped.parquet").read_bytes() == (tmp_path / "free.parquet").read_bytes()


# conversions -------------------------------------------------------------------------------------------------


def test_a_conversion_takes_what_fits(monkeypatch):
    monkeypatch.setattr(
        convert_memory, "resident_memory", lambda: 300 * MIB
    )  # this process's depends on what was tested before
    sizes = [ConversionSizes.fit(f"{mib}MiB", 20_000, 8) for mib in range(900, 2500, 200)]
    assert [s.threads for s in sizes] == sorted(s.threads for s in sizes) and sizes[-1].threads == 8
    assert sizes[-1].ahead and sizes[-1].in_flight <= MEMORY_IN_FLIGHT
    assert ConversionSizes.fit(None, 20_000, 8) == ConversionSizes(8)


@pytest.mark.parametrize("n_bytes", [2**20, 2**29 + 1, int(1.05 * 2**30), int(1.14 * 2**30), 7 * 2**30 + 12345, 2**40])
def test_what_is_said_to_be_enough_is(n_bytes):
    said = memory.enough_memory(n_bytes)
    assert 1.02 * n_bytes <= memory.parse_memory(said) <= 1.02 * n_bytes + 0.11 * 2**30, said


def test_a_conversion_that_cannot_fit_is_refused(files, tmp_path):
    with pytest.raises(ga.PlanError, match=r"--memory 100MiB is too little to convert 300 samples") as refusal:
        ga.convert(files.vcf, tmp_path / "x.zarr", memory="100MiB")
    assert list(tmp_path.iterdir()) == []
    would = str(refusal.value).split("at least --memory ")[1].rstrip(".")
    ga.convert(files.vcf, tmp_path / "x.zarr", memory=would)
    ga.convert(files.vcf, tmp_path / "y.zarr")
    assert tree_of(tmp_path / "x.zarr") == tree_of(tmp_path / "y.zarr")


def tree_of(folder: Path) -> dict[str, bytes]:
    """Every file of a folder and its bytes."""
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


@pytest.mark.integration
@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="peak memory is read from /proc")
def test_the_cap_of_a_conversion_holds(tmp_path):
    """Shards of 134 MB: without a cap chunks of two of them and the text are in memory; with one, fewer."""
    made = ga.simulate_cohort(20_000, 600, 1, seed=4, min_frequency=0.001)
    write_vcf(tmp_path / "some.vcf.gz", made.sample_ids, made.contigs, made.blocks(), index=False)
    text = gzip.decompress((tmp_path / "some.vcf.gz").read_bytes())
    start = text.index(b"\n", text.index(b"#CHROM")) + 1
    blocks = []
    for part in (text[:start], text[start:]):
        file = io.BytesIO()
        writer = BgzfWriter(file)
        writer.write(part)
        writer.close()
        blocks.append(file.getvalue().removesuffix(bgzf.EOF_BLOCK))
    (tmp_path / "c.vcf.gz").write_bytes(
        blocks[0] + 100 * blocks[1] + bgzf.EOF_BLOCK
    )  # the same records again and again
    command = [sys.executable, "-m", "genassoc", "convert", str(tmp_path / "c.vcf.gz")]
    cap = small_cap([*command, str(tmp_path / "none.zarr"), "--threads", "4"], tmp_path)
    free, _ = peak_of([*command, str(tmp_path / "free.zarr"), "--threads", "4"], tmp_path)
    capped, said = peak_of([*command, str(tmp_path / "capped.zarr"), "--threads", "4", "--memory", str(cap)], tmp_path)
    print(f"peak {free / MIB:.0f} MiB without a cap, {capped / MIB:.0f} MiB under {cap / MIB:.0f} MiB")
    assert capped < cap, said
    # The cap binds: fewer chunks of the next shard wait while one is written. Rows are held by chunk, so that it is less than a shard
    # of 134 MB, and differs from run to run.
    assert free - capped > 16 * MIB, said
    assert tree_of(tmp_path / "capped.zarr") == tree_of(tmp_path / "free.zarr")
