"""Plans by sets: whole sets whoever runs them, in the fingerprint, read back from a stranger's file; never cut by a cap."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import count_cohort as counts
import numpy as np
import polars as pl
import pytest

from genassoc.engine import plan as plans
from genassoc.engine.budget import fit
from genassoc.engine.executors import Executor, Serial, Threads
from genassoc.engine.job import Counts, TaskOutput
from genassoc.engine.parts import WorkFolder
from genassoc.engine.plan import Plan, Task
from genassoc.engine.rehearsal import MIN_BLOCK, Needs
from genassoc.engine.run import run_part, run_to_file
from genassoc.errors import PlanError
from genassoc.progress import Silent

GENES = [
    np.arange(first, first + n)
    for first, n in ((3, 40), (10, 100), (60, 9), (300, 1), (690, 10), (700, 200), (1003, 3), (1400, 100))
]
SCATTERED = [np.array([0, 5, 650]), *GENES[:-1], np.array([1450, 1452, 1499])]


@dataclass(frozen=True)
class SetCounts:
    """A job: of each set its variants, and the copies of ALT in them."""

    sets: Sequence[np.ndarray]
    codes: np.ndarray
    seconds: float = 0.0

    def prepare(self) -> None:
        return None

    def do(self, state: None, task: Task) -> TaskOutput:
        time.sleep(self.seconds)
        rows = []
        for number in range(task.first_set, task.first_set + task.n_sets):
            members = self.sets[number]
            assert task.start <= members[0] and members[-1] < task.stop  # the span that the task says it reads
            codes = self.codes[members]
            rows.append((number, len(members), int(codes[codes < 3].sum())))
        frame = pl.DataFrame(rows, schema={"set": pl.Int64, "n": pl.Int64, "copies": pl.Int64}, orient="row")
        return TaskOutput(frame, Counts(read=int(frame["n"].sum()), kept=int(frame["n"].sum())))

    def label(self, task: Task) -> str:
        return f"counting {task.contig}:{task.start}-{task.stop}"


def job(seconds: float = 0.0) -> SetCounts:
    return SetCounts(SCATTERED, np.random.default_rng(3).integers(0, 4, (1500, 37)), seconds)


def plan(block_variants: int = 64, **choices: Any) -> Plan:
    return Plan.by_set(SCATTERED, counts.RUNS, block_variants, "abc", **{"cut": block_variants, **choices})


@pytest.mark.parametrize("block_variants", [1, 64, 128, 5000])
def test_a_task_owns_whole_sets_of_one_contig(block_variants: int) -> None:
    made = plan(block_variants)
    owned = [number for task in made.tasks for number in range(task.first_set, task.first_set + task.n_sets)]
    assert owned == list(range(len(SCATTERED)))
    assert made.largest_set == 200 and made.block_variants == max(block_variants, 200)
    for task in made.tasks:
        first, last = next((first, last) for contig, first, last in counts.RUNS if contig == task.contig)
        members = np.concatenate(SCATTERED[task.first_set : task.first_set + task.n_sets])
        assert (task.start, task.stop) == (members.min(), members.max() + 1)
        assert first <= task.start and task.stop <= last
        assert task.n_sets == 1 or members.size <= block_variants
    if block_variants == 5000:
        assert [task.contig for task in made.tasks] == ["1", "2", "X"]


def test_few_tasks_where_there_are_many_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "MAX_TASKS", 5)
    made = Plan.by_set([np.array([v]) for v in range(1500)], counts.RUNS, 1)
    assert len(made.tasks) <= 5 + 2  # a contig may end with a small one


def test_what_is_in_which_set_is_in_the_fingerprint() -> None:
    other = [*SCATTERED[:-1], np.array([1450, 1453, 1499])]
    one_more = [*SCATTERED[:3], SCATTERED[3][:5], *SCATTERED[3:]]
    prints = {Plan.by_set(sets, counts.RUNS, 64, "abc").fingerprint for sets in (SCATTERED, other, one_more)}
    prints |= {Plan.by_set(SCATTERED, counts.RUNS, 64, "abd").fingerprint, "abc"}
    assert len(prints) == 5
    assert plan(64).fingerprint == plan(128).fingerprint  # how they are grouped decides no number


def test_what_is_no_set_is_refused_by_its_number() -> None:
    def refused(words: str, *sets: list[int]) -> None:
        with pytest.raises(PlanError, match=words):
            Plan.by_set([np.array(members, dtype=np.int64) for members in sets], counts.RUNS, 64)

    refused("no set of variants")
    refused("set 1 holds no variant", [1], [])
    refused("set 0 are not ascending", [3, 3])
    refused("set 1 begins with variant 2", [5], [2, 9])
    refused("set 0 begins on chromosome 1 and ends on another", [699, 700])
    refused("set 0 holds variant 1500, which is not in the store", [1500])


# A file that may be a stranger's ------------------------------------------------------------------------------------


def test_a_plan_of_sets_survives_json() -> None:
    made = plan(n_parts=3, settings={"toml": "[input]"})
    assert Plan.from_json(made.to_json()) == made
    assert '"n_sets"' not in Plan.by_block(counts.RUNS, 64).to_json()
    with pytest.raises(PlanError, match="version 3"):
        Plan.from_json(made.to_json().replace('"version": 5', '"version": 3'))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: c["tasks"].pop(1), "index"),
        (lambda c: c["tasks"][1].update(first_set=7), "task 1 does not begin with set 2"),
        (lambda c: c["tasks"][1].update(n_sets=0), "n_sets"),
        (lambda c: c["tasks"][1].update(n_sets="1"), "n_sets"),
        (lambda c: c["tasks"][1].pop("first_set"), "first_set"),
        (lambda c: c.update(largest_set=0), "largest_set"),
        (lambda c: c.update(largest_set=10**9), "largest_set"),
        (lambda c: c.pop("largest_set"), "largest_set"),
        (lambda c: c.update(tasks=[]), "no task"),
        (lambda c: c.update(version=4), "overlap"),  # taken for a plan of variants
    ],
)
def test_a_changed_plan_is_refused(change: Any, words: str) -> None:
    content = json.loads(plan().to_json())
    change(content)
    with pytest.raises(PlanError, match=words):
        Plan.from_json(json.dumps(content))


def test_the_tasks_of_a_changed_plan_are_told_apart() -> None:
    made = plan()
    fewer = replace(made.tasks[0], n_sets=made.tasks[0].n_sets)
    assert replace(made, tasks=(fewer, *made.tasks[1:])).stretches() == made.stretches()
    moved = replace(made.tasks[-1], stop=1490)
    assert replace(made, tasks=(*made.tasks[:-1], moved)).stretches() != made.stretches()
    assert plan(5000).stretches() != made.stretches()


# Running -------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("sets") / "out.parquet"
    run_to_file(job(), plan(), Serial(), out, Silent())
    table = pl.read_parquet(out)
    assert table["set"].to_list() == list(range(len(SCATTERED))) and table["n"].to_list() == [len(s) for s in SCATTERED]
    return out.read_bytes()


@pytest.mark.parametrize("executor", [Threads(1), Threads(3)], ids=repr)
@pytest.mark.parametrize("block_variants", [1, 128, 5000])
def test_the_same_bytes_however_sets_are_grouped(
    executor: Executor, block_variants: int, reference: bytes, tmp_path: Path
) -> None:
    run_to_file(job(), plan(block_variants, cut=64), executor, tmp_path / "out.parquet", Silent())
    assert (tmp_path / "out.parquet").read_bytes() == reference


def test_parts_of_a_job_array_and_a_rerun(reference: bytes, tmp_path: Path) -> None:
    work = WorkFolder(tmp_path / "out.parquet.work")
    work.open(plan(n_parts=3))
    for part in (2, 0):
        run_part(job(), work, part, Serial(), Silent())
    assert 0 < work.status().n_done < work.status().n_tasks
    other = replace(work.plan().tasks[0], n_sets=3)
    assert work.part_counts(work.plan(), other) is None  # of other sets
    run_to_file(job(), plan(n_parts=3), Threads(2), tmp_path / "out.parquet", Silent())
    assert (tmp_path / "out.parquet").read_bytes() == reference


@pytest.mark.integration
def test_killed_and_restarted(reference: bytes, tmp_path: Path) -> None:
    out, work = tmp_path / "out.parquet", tmp_path / "out.parquet.work"
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]),
    }
    with subprocess.Popen([sys.executable, __file__, str(out)], env=environment) as process:
        deadline = time.monotonic() + 60
        while len(list(work.glob("part-*.parquet"))) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    assert not out.exists() and len(list(work.glob("part-*.parquet"))) >= 2
    run_to_file(job(), plan(), Serial(), out, Silent())
    assert out.read_bytes() == reference


def test_a_cap_on_memory_cuts_no_set() -> None:
    made = plan()
    assert made.finer(1) is made
    needs = Needs(process=2**20, chunk=2**16, variant=2**14, rows_per_variant=1)
    least = needs.total(1, 200, 200)
    chosen = fit(needs, least, 8, made.block_variants, 200, whole=made.largest_set)
    assert (chosen.n_threads, chosen.block_variants, chosen.task_variants) == (1, 200, 200)
    with pytest.raises(PlanError, match=rf"largest set has 200 variants.*{least:,} bytes.*never\s+cut"):
        fit(needs, least - 1, 8, made.block_variants, 200, whole=made.largest_set)
    assert fit(needs, least - 1, 8, 200, 200).block_variants < 200  # a run of variants would be cut
    assert MIN_BLOCK < 200


if __name__ == "__main__":
    run_to_file(job(0.3), plan(), Serial(), sys.argv[1], Silent())
