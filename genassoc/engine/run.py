"""The one loop: the tasks that are not yet done, on any executor, each leaving its part behind."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Generic, TypeVar

from genassoc.data.analysis import State
from genassoc.data.memory import settle
from genassoc.data.output import check_writable
from genassoc.data.result_table import table_suffix
from genassoc.engine.executors import Executor, single_threaded_blas
from genassoc.engine.job import Job
from genassoc.engine.parts import EmptyRunError, Merged, WorkFolder, merge
from genassoc.engine.plan import Plan, Task
from genassoc.errors import GenassocError, PlanError
from genassoc.progress import Progress

LABEL = "testing"
Item = TypeVar("Item")
Made = TypeVar("Made")


@dataclass(frozen=True)
class _Work(Generic[State]):
    """What a worker does with a task: compute it, keep the part. Picklable; brings back no rows."""

    job: Job[State]
    state: State
    plan: Plan
    work: WorkFolder

    @property
    def shared_folder(self) -> Path:
        """Where an executor of other processes may leave this for them to read."""
        return self.work.path

    def label(self, task: Task) -> str:
        """What people are shown of a task: "linear chr7:12,000,001-12,400,000"."""
        return self.job.label(task)

    def __call__(self, task: Task) -> Task:
        try:
            self.work.write_part(self.plan, task, self.job.do(self.state, task))
        except GenassocError as error:
            raise type(error)(f"{error} (while working on {task})") from error
        except Exception as error:
            error.add_note(f"while working on {task}")
            raise
        return task


def run(
    job: Job[State],
    plan: Plan,
    executor: Executor,
    work: WorkFolder,
    progress: Progress,
    tasks: Sequence[Task] | None = None,
    *,
    label: str = LABEL,
    unit: str = "variants",
) -> None:
    """Do the tasks that have no sound part in ``work`` yet.

    Parameters
    ----------
    job : Job
        What is done.
    plan : Plan
        Its tasks; ``work`` has been opened for it.
    executor : Executor
        Who does them.
    work : WorkFolder
        Where the parts go, and where finished ones are found.
    progress : Progress
        Told of every finished task.
    tasks : sequence of Task, optional
        Only these (a job array's part).
    label : str
        What people are told that is done.
    unit : str
        What the tasks are runs of.

    Raises
    ------
    GenassocError
        What a task raised, with the task named. What has not begun is not begun; finished parts are kept.
    """
    chosen = plan.tasks if tasks is None else tasks
    pending = work.missing(plan, chosen, thorough=True)
    if not pending:
        return
    total = sum(task.n_variants for task in chosen)
    with single_threaded_blas():
        state = job.prepare()
        settle()
        progress.begin(label, total, unit)
        try:
            progress.advance(total - sum(task.n_variants for task in pending))
            # Closed on every way out, Ctrl-C between two results included: nothing goes on behind our back.
            with contextlib.closing(executor.map(_Work(job, state, plan, work), pending)) as finished:
                for n, task in enumerate(finished):
                    if n == 0:
                        settle()  # of loading kernels
                    progress.advance(task.n_variants)
        finally:
            progress.end()


def in_order(
    do: Callable[[Item], Made],
    items: Sequence[Item],
    executor: Executor,
    progress: Progress,
    *,
    label: str,
    unit: str = "variants",
    size: Callable[[Item], int] = attrgetter("n_variants"),
) -> Iterator[Made]:
    """What ``do`` gives of each item, in their order; what is ready early waits in memory, and nothing is kept on a disk.

    Parameters
    ----------
    items : sequence
        Tasks, or others whose ``size`` is told.
    label, unit : str
        What people are told that is done, and what sizes are numbers of.
    """
    waiting: dict[int, Made] = {}
    following = 0

    def numbered(at: tuple[int, Item]) -> tuple[int, Made]:
        return at[0], do(at[1])

    progress.begin(label, sum(map(size, items)), unit)
    try:
        for number, made in executor.map(numbered, tuple(enumerate(items))):
            progress.advance(size(items[number]))
            waiting[number] = made
            while following in waiting:
                yield waiting.pop(following)
                following += 1
    finally:
        progress.end()


def run_part(job: Job[State], work: WorkFolder, part: int, executor: Executor, progress: Progress) -> Plan:
    """Part ``part`` (from 0) of the job array whose plan lies in ``work``. Doing it twice is harmless.

    Raises
    ------
    PlanError
        If the plan has no such part.
    """
    plan = work.plan()
    if not 0 <= part < plan.n_parts:
        raise PlanError(f"the plan in {work.path} has parts 0 to {plan.n_parts - 1}; there is no part {part}.")
    run(job, plan, executor, work, progress, plan.groups()[part])
    return plan


def run_to_file(
    job: Job[State],
    plan: Plan,
    executor: Executor,
    out: str | Path,
    progress: Progress,
    *,
    work: WorkFolder | None = None,
    restart: bool = False,
    seal: Callable[[Merged], None] | None = None,
    for_spreadsheets: bool = False,
) -> Merged:
    """All tasks, then one table at ``out``; a killed run is taken up where it was.

    Parameters
    ----------
    work : WorkFolder, optional
        ``<out>.work`` by default; removed when ``out`` is there.
    restart : bool
        Throw away what an earlier run left.
    seal, for_spreadsheets : optional
        See `merge`.

    Raises
    ------
    OutputError
        Before any work if ``out`` cannot be written or its suffix names no format; later if the disk is full.
    PlanError
        If another run is at work on the same output, or the work folder is of another analysis.
    EmptyRunError
        If no variant is left to test; names what left them out.
    """
    out = Path(out)
    table_suffix(out)
    check_writable(out)
    work = WorkFolder.beside(out) if work is None else work
    work.ensure()
    with work.lock():
        work.open(plan, restart)
        try:
            run(job, plan, executor, work, progress)
            merged = merge(work, plan, out, seal, for_spreadsheets=for_spreadsheets, progress=progress)
        except EmptyRunError:
            work.remove()  # other filters are another run
            raise
        except BaseException:
            if not work.has_parts():
                work.remove()  # nothing to take up: leave nothing behind
            raise
        work.remove()
    return merged
