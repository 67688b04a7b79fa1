"""Plan, run, parts: any cut, any threads, killed and resumed: the same bytes. Disk faults in words."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import count_cohort as counts
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from count_cohort import CountAnalysis, make_cohort, make_job, make_plan, scan

from genassoc.data import output, result_table
from genassoc.data.result_table import RESULT_SCHEMA
from genassoc.engine import lock as locks
from genassoc.engine import parts
from genassoc.engine import plan as plans
from genassoc.engine.executors import Executor, Serial, Threads
from genassoc.engine.parts import WorkFolder, merge
from genassoc.engine.plan import Plan, Task, fingerprint
from genassoc.engine.run import run, run_part, run_to_file
from genassoc.errors import GenassocError, OutputError, PlanError
from genassoc.progress import Silent

TESTS = Path(__file__).parent


# --- the plan -----------------------------------------------------------------------------------


@pytest.mark.parametrize("block_variants", [1, 7, 64, 100, 4096])
@pytest.mark.parametrize("rows_per_variant", [1, 3])
def test_tasks_cover_every_variant_once_and_keep_to_contigs_and_blocks(
    block_variants: int, rows_per_variant: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plans, "MAX_TASK_ROWS", 90)
    plan = Plan.by_block(counts.RUNS, block_variants, rows_per_variant=rows_per_variant)
    covered = np.concatenate([np.arange(task.start, task.stop) for task in plan.tasks])
    np.testing.assert_array_equal(covered, np.arange(1500))
    assert [task.index for task in plan.tasks] == list(range(len(plan.tasks)))
    for task in plan.tasks:
        assert any(
            contig == task.contig and first <= task.start < task.stop <= last for contig, first, last in counts.RUNS
        )
        assert task.n_variants * rows_per_variant <= 90
        assert task.start // block_variants == (task.stop - 1) // block_variants


def test_many_blocks_share_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "MAX_TASKS", 5)
    plan = Plan.by_block([("1", 0, 1000)], 16)
    assert len(plan.tasks) == 5
    assert all(task.start % 16 == 0 for task in plan.tasks)
    assert list(plan.tasks[0].blocks(plan.block_variants))[:2] == [(0, 16), (16, 32)]


def test_a_task_is_cut_at_the_stores_chunks() -> None:
    assert list(Task(0, 5, 37, "1").blocks(16)) == [(5, 16), (16, 32), (32, 37)]


def test_plan_survives_json() -> None:
    plan = Plan.by_block(counts.RUNS, 64, "abc", n_parts=3, settings={"toml": "[input]"})
    assert Plan.from_json(plan.to_json()) == plan
    for text in [
        "",
        "{}",
        '{"format": "other"}',
        plan.to_json().replace(f'"version": {plans.PLAN_VERSION}', '"version": 2'),
    ]:
        with pytest.raises(PlanError):
            Plan.from_json(text)


def test_plan_refuses_what_makes_no_sense() -> None:
    with pytest.raises(PlanError, match="no variant"):
        Plan.by_block([("1", 0, 0)], 64)
    with pytest.raises(PlanError, match="overlap"):
        Plan.by_block([("1", 0, 10), ("2", 5, 12)], 64)
    with pytest.raises(PlanError, match="at least 1"):
        Plan.by_block(counts.RUNS, 0)


@pytest.mark.parametrize("n_parts", [1, 2, 5, 24, 100])
def test_groups_are_contiguous_and_balanced(n_parts: int) -> None:
    plan = Plan.by_block(counts.RUNS, 64)
    groups = plan.groups(n_parts)
    assert len(groups) == n_parts
    assert [task for group in groups for task in group] == list(plan.tasks)
    # No group is further from its share than a task: each border lies within half a task of where it should.
    assert all(abs(sum(t.n_variants for t in group) - 1500 / n_parts) <= 64 for group in groups)


def test_fingerprint_tells_ingredients_apart() -> None:
    base = fingerprint(store="a", model={"trait": "t", "maf": 0.01})
    assert base == fingerprint(model={"maf": 0.01, "trait": "t"}, store="a")
    assert base != fingerprint(store="b", model={"trait": "t", "maf": 0.01})
    assert base != fingerprint(store="a", model={"trait": "t", "maf": 0.02})


# --- the rows -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The bytes of a serial run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("reference")
    found = {}
    for suffix in result_table.SUFFIXES:
        scan(folder / f"r{suffix}")
        found[suffix] = (folder / f"r{suffix}").read_bytes()
    return found


def test_rows_are_those_of_a_slow_loop(tmp_path: Path) -> None:
    merged = scan(tmp_path / "r.parquet")
    table = pl.read_parquet(merged.path)
    assert table.columns == [*RESULT_SCHEMA, "n_cases"]
    cohort = make_cohort()
    codes = cohort.store.codes
    expected = []
    variants = cohort.store.variants(0, 1500).rows(named=True)
    dropped = {"first sample not observed": 0, "monomorphic": 0}
    for i, variant in enumerate(variants):
        calls = [int(c) for c in codes[i] if c != 3]
        if codes[i, 0] == 3:
            dropped["first sample not observed"] += 1
            continue
        if len(set(calls)) == 1:
            dropped["monomorphic"] += 1
            continue
        for trait in ["height", "weight"]:
            name = f"{variant['chromosome']}_{10 * i + 1}_A_{variant['effect_allele']}"
            few = trait == "weight" and sum(calls) < 10
            rsid = None if variant["rsid"] == "." else variant["rsid"]
            expected.append((name, rsid, trait, len(calls), float(sum(calls)), "n_too_small" if few else None))
    assert table.select("variant_id", "rsid", "trait", "n", "mac", "code").rows() == expected
    assert table.filter(pl.col("code").is_not_null())["neg_log_10_p_value"].null_count() == table["code"].count()
    assert table["standard_error"].null_count() == table.height  # the analysis gives none
    counts = merged.counts
    assert (counts.read, counts.kept, counts.rows, counts.dropped) == (1500, len(expected) // 2, len(expected), dropped)
    assert {reason: sum(found.values()) for reason, found in counts.dropped_by_contig.items()} == dropped


def test_a_run_without_any_variant_is_an_error_that_leaves_nothing(tmp_path: Path) -> None:
    cohort = make_cohort()
    cohort.store.codes[:] = 1  # all dropped: monomorphic
    plan = make_plan(cohort)
    with pytest.raises(GenassocError, match="1,500 read, monomorphic left out 1,500"):
        run_to_file(make_job(cohort, plan), plan, Serial(), tmp_path / "r.tsv", Silent())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("block_variants", [64, 100])
def test_blocks_without_a_selected_variant_are_not_read(block_variants: int, tmp_path: Path) -> None:
    cohort = make_cohort(block_variants)
    cohort.first, cohort.last = 130, 250
    plan = make_plan(cohort)
    merged = run_to_file(make_job(cohort, plan), plan, Serial(), tmp_path / "r.parquet", Silent())
    assert cohort.reads == {64: [(128, 192), (192, 256)], 100: [(128, 192), (192, 200), (200, 256)]}[block_variants]
    assert merged.counts.read == 1500 and merged.counts.dropped["not selected"] == 1380
    assert pl.read_parquet(merged.path)["base_pair_location"].is_between(1301, 2491).all()


# --- the same bytes -----------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", result_table.SUFFIXES)
@pytest.mark.parametrize(
    "block_variants,executor", [(1500, Serial()), (16, Threads(1)), (33, Threads(2)), (64, Threads(4))]
)
def test_bytes_do_not_tell_block_size_or_threads(
    suffix: str, block_variants: int, executor: Executor, reference: dict[str, bytes], tmp_path: Path
) -> None:
    scan(tmp_path / f"r{suffix}", block_variants, executor)
    assert (tmp_path / f"r{suffix}").read_bytes() == reference[suffix]
    assert [entry.name for entry in tmp_path.iterdir()] == [f"r{suffix}"]


def test_a_row_group_is_the_rows_of_a_task(reference: dict[str, bytes]) -> None:
    plan = make_plan(make_cohort())
    groups = pq.ParquetFile(io.BytesIO(reference[".parquet"])).metadata
    assert groups.num_row_groups == len(plan.tasks) == 26
    places = pl.read_parquet(io.BytesIO(reference[".parquet"]))["base_pair_location"] // 10
    first = 0
    for number, task in enumerate(plan.tasks):
        rows = groups.row_group(number).num_rows
        assert places.slice(first, rows).is_between(task.start, task.stop - 1).all()
        first += rows


@pytest.mark.parametrize("suffix", [".parquet", ".tsv.gz"])
@pytest.mark.parametrize(
    "most", [pytest.param(1, marks=pytest.mark.slow), 16, 50]
)  # 1: a part for each of 1,500 variants
def test_tasks_cut_finer_than_row_groups(most: int, suffix: str, reference: dict[str, bytes], tmp_path: Path) -> None:
    cohort = make_cohort()
    plan = make_plan(cohort)
    finer = plan.finer(most)
    assert [[task.start for task in tasks] for tasks in plan.row_groups()] == [[task.start] for task in plan.tasks]
    assert [tasks[0].start for tasks in finer.row_groups()] == [task.start for task in plan.tasks]
    run_to_file(make_job(cohort, finer), finer, Threads(2), tmp_path / f"r{suffix}", Silent())
    assert (tmp_path / f"r{suffix}").read_bytes() == reference[suffix]


def test_the_work_folder_of_an_earlier_version_is_refused_in_words(reference: dict[str, bytes], tmp_path: Path) -> None:
    cohort = make_cohort()
    plan = make_plan(cohort)
    work = WorkFolder.beside(tmp_path / "r.parquet")
    work.open(plan)
    file = work.path / "plan.json"
    file.write_text(plan.to_json().replace(f'"version": {plans.PLAN_VERSION}', '"version": 2'))
    with pytest.raises(
        PlanError, match=r"r.parquet.work/plan.json: the plan has version 2; this genassoc reads version 4"
    ):
        run_to_file(make_job(cohort, plan), plan, Serial(), tmp_path / "r.parquet", Silent())
    assert file.exists()
    run_to_file(make_job(cohort, plan), plan, Serial(), tmp_path / "r.parquet", Silent(), restart=True)
    assert (tmp_path / "r.parquet").read_bytes() == reference[".parquet"]


def test_formats_hold_the_same_rows(tmp_path: Path) -> None:
    for suffix in result_table.SUFFIXES:
        scan(tmp_path / f"r{suffix}")
    table = pl.read_parquet(tmp_path / "r.parquet")
    for suffix in result_table.SUFFIXES[1:]:
        assert result_table.scan_table(tmp_path / f"r{suffix}").collect().equals(table)


def _driver(out: Path, block: int, threads: int, seconds: float) -> subprocess.Popen[bytes]:
    command = [
        sys.executable,
        str(TESTS / "count_cohort.py"),
        str(out),
        str(block),
        str(threads),
        str(seconds),
    ]
    paths = os.pathsep.join([str(TESTS.parent), os.environ.get("PYTHONPATH", "")])
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": paths})


def _kill_after(driver: subprocess.Popen[bytes], work: Path, n_parts: int) -> None:
    """SIGKILL as soon as ``n_parts`` parts are there."""
    deadline = time.monotonic() + 60
    while len(list(work.glob("part-*"))) < n_parts:
        assert driver.poll() is None, "the driver ended before it could be killed"
        assert time.monotonic() < deadline, "the driver made no parts"
        time.sleep(0.005)
    driver.send_signal(signal.SIGKILL)
    driver.wait()


@pytest.mark.integration
def test_killed_and_resumed_gives_the_same_bytes(reference: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "r.parquet"
    work = WorkFolder.beside(out)
    _kill_after(_driver(out, 64, 2, 0.1), work.path, 4)
    assert not out.exists()
    kept = {path.name: path.stat().st_mtime_ns for path in work.path.glob("part-*")}
    assert 4 <= len(kept) < 26
    _kill_after(_driver(out, 64, 1, 0.1), work.path, len(kept) + 2)
    for name, time_written in kept.items():
        assert (work.path / name).stat().st_mtime_ns == time_written  # not computed again
    (work.path / f"wip_part-00025.parquet.{output.host_name()}.{2**22 - 1}.00ff").write_bytes(b"half")
    scan(out, 64, Threads(2))
    assert out.read_bytes() == reference[".parquet"]
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.integration
def test_resumed_with_another_block_size(reference: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "r.tsv"
    _kill_after(_driver(out, 64, 1, 0.1), WorkFolder.beside(out).path, 3)
    scan(out, 100)
    assert out.read_bytes() == reference[".tsv"]


# --- the loop -----------------------------------------------------------------------------------


class Recorded:
    """Progress that remembers."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, float]] = []

    def begin(self, label: str, total: float | None, unit: str) -> None:
        self.calls.append(("begin", total or 0))

    def advance(self, amount: float) -> None:
        self.calls.append(("advance", amount))

    def end(self) -> None:
        self.calls.append(("end", 0))


@pytest.mark.parametrize("executor", [Serial(), Threads(3)], ids=repr)
def test_a_fault_names_its_variants_and_keeps_the_rest(executor: Executor, tmp_path: Path) -> None:
    cohort, out, progress = make_cohort(), tmp_path / "r.parquet", Recorded()
    plan = make_plan(cohort)
    job = make_job(cohort, plan, CountAnalysis(fail_at=650))
    with pytest.raises(ZeroDivisionError) as caught:
        run_to_file(job, plan, executor, out, progress)
    assert any("variants 640 to 699" in note and "chromosome 1" in note for note in caught.value.__notes__)
    assert progress.calls[0] == ("begin", 1500) and progress.calls[-1] == ("end", 0)
    assert not out.exists()
    work = WorkFolder.beside(out)
    status = work.status()
    assert 0 < status.n_done < status.n_tasks and not status.complete and not status.damaged
    assert not list(work.path.glob("wip_*")) and not (work.path / locks.LOCK_NAME).exists()
    cohort.reads.clear()
    run_to_file(make_job(cohort, plan), plan, executor, out, progress)
    assert len(cohort.reads) == status.n_tasks - status.n_done
    done = [amount for kind, amount in progress.calls[-len(cohort.reads) - 2 :] if kind == "advance"]
    assert sum(done) == 1500 and done[0] == status.n_variants_done


def test_an_interruption_leaves_a_folder_to_take_up(reference: dict[str, bytes], tmp_path: Path) -> None:
    class Interrupted(Recorded):
        def advance(self, amount: float) -> None:
            super().advance(amount)
            if len(self.calls) == 5:
                raise KeyboardInterrupt

    out = tmp_path / "r.parquet"
    cohort = make_cohort()
    plan = make_plan(cohort)
    with pytest.raises(KeyboardInterrupt):
        run_to_file(make_job(cohort, plan), plan, Threads(2), out, Interrupted())
    assert WorkFolder.beside(out).status().n_done >= 4
    scan(out)
    assert out.read_bytes() == reference[".parquet"]


def test_a_fault_before_the_first_part_leaves_nothing(tmp_path: Path) -> None:
    cohort = make_cohort()
    plan = make_plan(cohort)
    with pytest.raises(ZeroDivisionError):
        run_to_file(make_job(cohort, plan, CountAnalysis(fail_at=0)), plan, Serial(), tmp_path / "r.tsv", Silent())
    assert list(tmp_path.iterdir()) == []


# --- the work folder ----------------------------------------------------------------------------


@pytest.fixture
def done(tmp_path: Path) -> tuple[WorkFolder, Plan]:
    """A work folder with all its parts."""
    cohort = make_cohort()
    plan = make_plan(cohort, n_parts=4)
    work = WorkFolder(tmp_path / "work")
    work.open(plan)
    run(make_job(cohort, plan), plan, Serial(), work, Silent())
    return work, plan


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    path.write_bytes(bytes(content))


@pytest.mark.parametrize("damage", [_truncate, _flip, lambda path: path.write_bytes(b""), Path.unlink])
def test_damaged_parts_are_computed_again(
    damage: object, done: tuple[WorkFolder, Plan], reference: dict[str, bytes], tmp_path: Path
) -> None:
    work, plan = done
    damage(work.part_path(plan.tasks[3]))  # type: ignore[operator]
    assert work.missing(plan, thorough=True) == [plan.tasks[3]]
    cohort = make_cohort()
    run(make_job(cohort, plan), plan, Serial(), work, Silent())
    assert cohort.reads == [(plan.tasks[3].start, plan.tasks[3].stop)]
    merge(work, plan, tmp_path / "r.parquet")
    assert (tmp_path / "r.parquet").read_bytes() == reference[".parquet"]


def test_damage_found_while_merging_leaves_no_output(done: tuple[WorkFolder, Plan], tmp_path: Path) -> None:
    work, plan = done
    _flip(work.part_path(plan.tasks[3]))
    with pytest.raises(PlanError, match=r"part-00003.parquet was damaged"):
        merge(work, plan, tmp_path / "r.parquet")
    assert [entry.name for entry in tmp_path.iterdir()] == ["work"]
    with pytest.raises(PlanError, match=r"1 of 26 tasks have no finished part .*\(tasks 3\)"):
        merge(work, plan, tmp_path / "r.parquet")


def test_a_part_that_is_exchanged_after_its_check_is_not_read(
    done: tuple[WorkFolder, Plan], reference: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, plan = done
    check, exchanged = parts._is_signed, []

    def then_exchanged(file: io.BufferedReader, signed: str) -> bool:
        """Checked; another part takes the name by a rename, as a worker's would."""
        other = work.path / "wip_other"
        other.write_bytes(work.part_path(plan.tasks[0]).read_bytes())
        other.replace(file.name)
        exchanged.append(file.name)
        return check(file, signed)

    monkeypatch.setattr(parts, "_is_signed", then_exchanged)
    merge(work, plan, tmp_path / "r.parquet")
    assert len(exchanged) == len(plan.tasks)
    assert (tmp_path / "r.parquet").read_bytes() == reference[".parquet"]


def test_what_a_killed_merge_left_is_swept_and_nothing_else(done: tuple[WorkFolder, Plan], tmp_path: Path) -> None:
    work, plan = done
    dead = 2**22 - 1  # no such process: beyond the largest number of Linux
    ours = tmp_path / f"wip_r.tsv.{output.host_name()}.{dead}.00ff"
    others = [
        tmp_path / f"wip_r.tsv.{output.host_name()}.{os.getpid()}.00ff",  # a living writer's
        tmp_path / f"wip_r.tsv.elsewhere.{dead}.00ff",
        tmp_path / f"wip_other.tsv.{output.host_name()}.{dead}.00ff",
        tmp_path / "wip_notes.txt",
    ]
    for path in (ours, *others):
        path.write_bytes(b"half")
    merge(work, plan, tmp_path / "r.tsv")
    assert not ours.exists() and all(path.exists() for path in others)


def test_job_array_parts_in_any_order_and_twice(reference: dict[str, bytes], tmp_path: Path) -> None:
    cohort = make_cohort()
    plan = make_plan(cohort, n_parts=4)
    work = WorkFolder(tmp_path / "work")
    assert not work.open(plan)
    assert work.status().parts == ((0, 6), (0, 7), (0, 7), (0, 6))
    for part in [2, 0, 2]:
        run_part(make_job(cohort, plan), WorkFolder(work.path), part, Serial(), Silent())
    assert work.status().missing_parts == (1, 3)
    with pytest.raises(PlanError, match="13 of 26"):
        merge(work, work.plan(), tmp_path / "r.parquet")
    for part in [3, 1]:
        run_part(make_job(cohort, plan), work, part, Threads(2), Silent())
    assert work.status().complete
    assert work.open(plan)
    merge(work, work.plan(), tmp_path / "r.parquet")
    assert (tmp_path / "r.parquet").read_bytes() == reference[".parquet"]
    with pytest.raises(PlanError, match="parts 0 to 3; there is no part 4"):
        run_part(make_job(cohort, plan), work, 4, Serial(), Silent())


def test_a_part_computed_twice_is_the_same_file(done: tuple[WorkFolder, Plan]) -> None:
    work, plan = done
    task = plan.tasks[5]
    before = work.part_path(task).read_bytes()
    work.write_part(plan, task, make_job(make_cohort(), plan).do(np.linspace(-1.0, 1.0, counts.N_SAMPLES), task))
    assert work.part_path(task).read_bytes() == before


def test_the_work_of_another_run_is_refused(done: tuple[WorkFolder, Plan]) -> None:
    work, plan = done
    other = Plan(plan.tasks, "other", plan.block_variants)
    with pytest.raises(PlanError, match="another run"):
        work.open(other)
    assert work.status(plan).complete
    assert not work.open(other, restart=True)
    assert work.status().n_done == 0
    assert work.missing(plan) == list(plan.tasks)


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear reader")
    for restart in (False, True):
        with pytest.raises(PlanError, match="not empty"):
            WorkFolder(tmp_path).open(make_plan(make_cohort()), restart)
    assert (tmp_path / "letter.txt").exists()
    with pytest.raises(PlanError, match="no work folder"):
        WorkFolder(tmp_path).plan()


# --- two drivers --------------------------------------------------------------------------------


def test_a_second_driver_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "r.parquet"
    work = WorkFolder.beside(out)
    work.ensure()
    with work.lock():
        with pytest.raises(PlanError, match=rf"another run is using .*process {os.getpid()} on"):
            scan(out)
        assert (work.path / locks.LOCK_NAME).exists()
    scan(out)
    assert list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
    "owner",
    [
        {"pid": 2**22 - 1},  # no such process: beyond the largest number of Linux
        {"pid": os.getpid(), "started": "before"},  # the number was used again
        {"host": "elsewhere", "pid": 1},  # silent for an hour
        None,  # died while writing the lock
    ],
)
def test_a_dead_drivers_lock_is_taken(owner: dict[str, object] | None, tmp_path: Path) -> None:
    path = tmp_path / locks.LOCK_NAME
    content = {"host": output.host_name(), "started": "", "token": "x", **(owner or {})}
    path.write_text("" if owner is None else json.dumps(content))
    an_hour_ago = time.time() - 3600
    os.utime(path, (an_hour_ago, an_hour_ago))
    with locks.DriverLock(tmp_path):
        assert json.loads(path.read_text())["pid"] == os.getpid()
    assert list(tmp_path.iterdir()) == []


def test_a_living_drivers_lock_on_another_machine_is_kept(tmp_path: Path) -> None:
    path = tmp_path / locks.LOCK_NAME
    path.write_text(json.dumps({"host": "elsewhere", "pid": 1, "token": "x"}))
    with pytest.raises(PlanError, match="process 1 on elsewhere"):
        locks.DriverLock(tmp_path).acquire()
    assert [entry.name for entry in tmp_path.iterdir()] == [locks.LOCK_NAME]


def test_the_lock_is_renewed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "HEARTBEAT_SECONDS", 0.01)
    path = tmp_path / locks.LOCK_NAME
    with locks.DriverLock(tmp_path):
        os.utime(path, (0, 0))
        deadline = time.monotonic() + 10
        while path.stat().st_mtime == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)


# --- disks --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["r.csv", "r", ".parquet", "r.gz"])
def test_an_unknown_suffix_is_refused_before_any_work(name: str, tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"\.parquet, \.tsv, \.tsv\.gz, \.txt\.gz"):
        scan(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "folder,reason",
    [("absent", "does not exist"), ("file", "is a file, not a folder"), ("/proc", "/proc/r.parquet")],
)
def test_a_folder_that_cannot_be_written(folder: str, reason: str, tmp_path: Path) -> None:
    if folder == "/proc" and not Path("/proc").exists():
        pytest.skip("there is no /proc here")
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=reason):
        scan(tmp_path / folder / "r.parquet")
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_an_output_that_is_a_folder(tmp_path: Path) -> None:
    (tmp_path / "r.parquet").mkdir()
    with pytest.raises(OutputError, match="it is a folder"):
        scan(tmp_path / "r.parquet")


@contextlib.contextmanager
def _files_of_at_most(n_bytes: int) -> Iterator[None]:
    """The operating system refuses to let a file of this process grow further: EFBIG."""
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("suffix", result_table.SUFFIXES)
def test_a_refused_write_while_merging_keeps_the_parts(
    suffix: str, done: tuple[WorkFolder, Plan], reference: dict[str, bytes], tmp_path: Path
) -> None:
    work, plan = done
    out = tmp_path / f"r{suffix}"
    out.write_text("the results of last week")
    with (
        _files_of_at_most(20_000),
        pytest.raises(OutputError, match=r"largest size .* finished parts are kept in"),
    ):
        merge(work, plan, out)
    assert out.read_text() == "the results of last week"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [out.name, "work"]
    merge(work, plan, out)
    assert out.read_bytes() == reference[suffix]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    if not mounted:
        pytest.skip("a small disk cannot be mounted here (needs root)")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_keeps_the_parts_and_a_rerun_goes_on(
    small_disk: Path, reference: dict[str, bytes], tmp_path: Path
) -> None:
    filler = small_disk / "filler"
    filler.write_bytes(bytes(120_000))
    with pytest.raises(OutputError, match=r"no space left on the disk.*kept in .*r\.parquet\.work"):
        scan(small_disk / "r.parquet", 64, Threads(2))
    assert not (small_disk / "r.parquet").exists()
    assert not list(small_disk.rglob("wip_*"))
    assert WorkFolder.beside(small_disk / "r.parquet").status().n_done > 0
    filler.unlink()
    subprocess.run(["mount", "-o", "remount,size=4m", str(small_disk)], check=True)
    scan(small_disk / "r.parquet", 64)
    assert (small_disk / "r.parquet").read_bytes() == reference[".parquet"]


def test_a_full_disk_in_words(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(output.os, "fsync", full)
    with (
        pytest.raises(OutputError, match=r"cannot write .*x\.bin: no space left on the disk; free some space"),
        output.replacing(tmp_path / "x.bin") as file,
    ):
        file.write(b"x")
    assert list(tmp_path.iterdir()) == []


def test_two_writers_of_one_file(tmp_path: Path) -> None:
    path = tmp_path / "x.bin"
    with output.replacing(path) as first:
        first.write(b"first")
        with output.replacing(path) as second:
            second.write(b"second")
        assert path.read_bytes() == b"second"
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]
