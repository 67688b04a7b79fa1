"""A cap on memory that holds: how many threads, blocks of what size, tasks of how many rows; or a refusal that says what would fit.

What a run holds is the process itself (program, phenotypes, null models: measured once they are fitted), what the first
block brings along (compiled kernels, the writer of parts) and, for each thread, the chunk it unpacks, the block it works on and the
rows of its task. A rehearsal (`genassoc.engine.rehearsal`) measures one block; a gate watches the process while it
runs.
"""

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Generic, Protocol

from genassoc.data.analysis import State
from genassoc.data.memory import enough_memory, give_back_freed_memory, parse_memory, resident_memory, show_memory
from genassoc.engine.executors import Executor, Serial, Threads
from genassoc.engine.job import Job, TaskOutput
from genassoc.engine.plan import Plan, Task
from genassoc.engine.rehearsal import (
    FIRST_BLOCK,
    MIN_BLOCK,
    WRITER,
    Needs,
    estimated_needs,
    later_bytes,
    pickled_bytes,
    rehearse,
)
from genassoc.engine.resources import granted_memory
from genassoc.errors import PlanError
from genassoc.provenance import peak_memory_bytes

if TYPE_CHECKING:
    from genassoc.engine.association import AssociationJob


@dataclass(frozen=True)
class Fit:
    """Sizes that stay below a cap, and the bytes that they are expected to take."""

    n_threads: int
    block_variants: int
    task_variants: int
    n_bytes: int


def fit(
    needs: Needs,
    cap: int,
    n_threads: int,
    block_variants: int,
    task_variants: int,
    recut: bool = True,
    *,
    whole: int = 0,
) -> Fit:
    """The fastest choice of threads and sizes that stays below ``cap``.

    Parameters
    ----------
    cap : int
        Bytes.
    n_threads, block_variants, task_variants : int
        The most that is wanted.
    recut : bool
        Whether tasks may be smaller than ``task_variants``.
    whole : int
        Variants of the largest set, where tasks own sets: they are held at once.

    Raises
    ------
    PlanError
        One thread with the smallest blocks does not fit; says what would.
    """
    best: tuple[float, Fit] | None = None
    block, smallest = max(block_variants, whole), max(MIN_BLOCK, whole)
    recut = recut and not whole
    while True:
        task = min(task_variants, block) if recut else task_variants
        each = needs.thread(block, task)
        threads = min(n_threads, max(0, cap - needs.process) // each) if needs.process + needs.after <= cap else 0
        # Each block of a chunk decompresses all of it.
        speed = threads / (1 + needs.share_reading * (block_variants / block - 1))
        if threads and (best is None or speed > best[0]):
            best = speed, Fit(threads, block, task, needs.total(threads, block, task))
        if block <= smallest:
            break
        block = max(smallest, block // 2)
    if best is None:
        least = needs.total(1, smallest, min(task_variants, MIN_BLOCK) if recut else task_variants)
        if whole:
            raise PlanError(
                f"--memory {show_memory(cap)} is too little: the largest set has {whole:,} variants, which are held at once, and with "
                f"the program, the phenotypes and the null models they take {show_memory(least)} ({least:,} bytes). A set is never "
                f"cut: give at least --memory {enough_memory(least)}, or leave variants or the set out."
            )
        raise PlanError(
            f"--memory {show_memory(cap)} is too little: the program, the phenotypes and the null models take "
            f"{show_memory(needs.process)}, and one thread with the smallest blocks "
            f"{show_memory(least - needs.process)} more. Give at least --memory {enough_memory(least)}, or test fewer "
            "traits at a time." + ("" if recut else " A new plan with --memory has smaller tasks.")
        )
    return best[1]


def check_before_fitting(cohort: "Sized", model: object, memory: str | int | None) -> None:
    """Refuse, before the null models are fitted, a cap that their input alone would not fit; None is no cap.

    Raises
    ------
    PlanError
        Says what would fit.
    """
    if memory is None:
        return
    cap = parse_memory(memory)
    traits = len(getattr(model, "traits", ()) or ()) or 1
    covariates = getattr(model, "covariates", ())
    columns = traits + 1 + (1 if isinstance(covariates, str) else len(covariates))
    least = resident_memory() + 2 * 8 * columns * int(cohort.block_width) + FIRST_BLOCK + WRITER
    if least > cap:
        raise PlanError(
            f"--memory {show_memory(cap)} is too little: the program and the phenotypes hold "
            f"{show_memory(resident_memory())}, and {cohort.block_width:,} samples x {columns} columns of traits and "
            f"covariates take the run to {show_memory(least)} at least. Give more, or test fewer traits at a time."
        )


class Sized(Protocol):
    """What has samples in its blocks: a cohort."""

    @property
    def block_width(self) -> int:
        """How many."""


class Gate:
    """Lets a task begin when it fits: while memory is short and others are at work, it waits for them.

    Parameters
    ----------
    cap, each : int
        Bytes of the process, and of one task.
    most : int, optional
        Tasks at once, whatever memory there is: fewer than the threads of a worker of Dask's.
    """

    def __init__(self, cap: int, each: int, most: int | None = None) -> None:
        self.cap, self.each, self.most = cap, each, most
        self._running = 0
        self._changed = threading.Condition()

    def __reduce__(self) -> tuple[object, ...]:
        return (Gate, (self.cap, self.each, self.most))  # a gate of its own in each process

    def __enter__(self) -> None:
        with self._changed:
            while self.most is not None and self._running >= self.most:
                self._changed.wait(1.0)
            # What threads that are idle have freed stays in their arenas, and those at work may not hold yet what they will.
            if resident_memory() + (self._running + 1) * self.each > self.cap:
                give_back_freed_memory()
            while self._running and resident_memory() + self.each > self.cap:
                give_back_freed_memory()
                if resident_memory() + self.each <= self.cap:
                    break
                self._changed.wait(1.0)
            self._running += 1

    def __exit__(self, *error: object) -> None:
        with self._changed:
            self._running -= 1
            self._changed.notify_all()


@dataclass(frozen=True)
class GatedJob(Generic[State]):
    """A job whose tasks wait at a gate; all else is the job's own."""

    job: "AssociationJob[State]"
    gate: Gate

    @property
    def state(self) -> State:
        """The job's."""
        return self.job.state

    def prepare(self) -> State:
        """See `Job.prepare`."""
        return self.job.prepare()

    def do(self, state: State, task: Task) -> TaskOutput:
        """See `Job.do`."""
        with self.gate:
            return self.job.do(state, task)

    def label(self, task: Task) -> str:
        """See `Job.label`."""
        return self.job.label(task)


@dataclass(frozen=True)
class Fitted(Generic[State]):
    """A run that fits: job, plan and executor, and what was changed for it, in words."""

    job: Job[State]
    plan: Plan
    executor: Executor
    notes: tuple[str, ...] = ()


def fitted(
    job: "AssociationJob[State]",
    plan: Plan,
    executor: Executor | None,
    memory: str | int | None,
    rows_per_variant: int,
    *,
    recut: bool = True,
) -> Fitted[State]:
    """Threads, blocks and tasks that keep a run below a cap.

    Parameters
    ----------
    job, plan
        Null models are fitted.
    executor : Executor, optional
        `Threads` by default.
    memory : str or int, optional
        The cap of each process: this one's, and of each worker that the executor has. Without one, what the system grants
        this process bounds the number of threads; workers have what limits they were started with.
    recut : bool
        Whether the plan's tasks may be cut anew.

    Raises
    ------
    PlanError
        What was asked for does not fit (says what would), or it is not known what memory the executor's processes have.
    """
    executor = executor or Threads()
    if not isinstance(executor, Threads | Serial):
        if memory is None:
            return Fitted(job, plan, executor)
        return _fitted_workers(job, plan, executor, parse_memory(memory), rows_per_variant, recut)
    wanted = executor.n if isinstance(executor, Threads) else 1
    largest = max(task.n_variants for task in plan.tasks)
    if memory is None:
        return _within_grant(job, plan, executor, wanted, largest, rows_per_variant)
    cap = parse_memory(memory)
    needs, _ = rehearse(job, plan, rows_per_variant)
    peak = peak_memory_bytes() or 0
    if peak > cap:
        raise PlanError(
            f"--memory {show_memory(cap)} is too little: fitting the null models alone took {show_memory(peak)}. Give at "
            f"least --memory {enough_memory(max(peak, needs.total(1, MIN_BLOCK, MIN_BLOCK)))}, or test fewer traits at a "
            "time."
        )
    at_once = min(job.block_variants, largest)
    chosen = fit(needs, cap, wanted, at_once, largest, recut, whole=plan.largest_set)
    each = needs.thread(chosen.block_variants, chosen.task_variants)
    gated = GatedJob(replace(job, block_variants=chosen.block_variants), Gate(cap, each))
    words = describe_fit(chosen, cap, wanted, at_once)
    cut = plan.finer(chosen.task_variants) if recut else plan
    return Fitted(gated, cut, _like(executor, chosen.n_threads), (words,))


def _fitted_workers(
    job: "AssociationJob[State]", plan: Plan, executor: Executor, cap: int, rows_per_variant: int, recut: bool
) -> Fitted[State]:
    """The same for the processes of a cluster: blocks, tasks, and how many of them a worker does at once."""
    if not hasattr(executor, "workers"):
        raise PlanError(f"a cap on memory cannot be given to the processes of {executor}: limit them where they start.")
    needs, _ = rehearse(job, plan, rows_per_variant)
    state = pickled_bytes(job.state)
    workers = executor.workers()
    # A worker reads the null models as bytes before it makes arrays of them; so does this process, to write them.
    needs = replace(needs, process=workers.n_bytes + 2 * state + later_bytes(job) + FIRST_BLOCK + WRITER)
    here = max(peak_memory_bytes() or 0, resident_memory() + 2 * state)
    if here > cap:
        raise PlanError(
            f"--memory {show_memory(cap)} is too little for this process, which fits the null models and hands them out: "
            f"give at least --memory {enough_memory(max(here, needs.total(1, MIN_BLOCK, MIN_BLOCK)))}, or test fewer "
            "traits at a time."
        )
    largest = max(task.n_variants for task in plan.tasks)
    at_once = min(job.block_variants, largest)
    chosen = fit(needs, cap, workers.n_threads, at_once, largest, recut, whole=plan.largest_set)
    each = needs.thread(chosen.block_variants, chosen.task_variants)
    gate = Gate(cap, each, chosen.n_threads)
    words = describe_fit(chosen, cap, workers.n_threads, at_once)
    cut = plan.finer(chosen.task_variants) if recut else plan
    gated = GatedJob(replace(job, block_variants=chosen.block_variants), gate)
    return Fitted(gated, cut, executor, (f"{words} in each worker",))


def _within_grant(
    job: "AssociationJob[State]", plan: Plan, executor: Executor, wanted: int, largest: int, rows_per_variant: int
) -> Fitted[State]:
    """Fewer threads where what is granted is known to be too little; an estimate, so it refuses nothing."""
    grant = granted_memory()
    if grant is None:
        return Fitted(job, plan, executor)
    needs = estimated_needs(job, plan, rows_per_variant)
    threads = max(
        1, min(wanted, (grant.n_bytes - needs.process) // needs.thread(min(job.block_variants, largest), largest))
    )
    if threads == wanted:
        return Fitted(job, plan, executor)
    note = (
        f"{threads} of {wanted} threads, since {grant.source} allows {show_memory(grant.n_bytes)} of memory; --memory "
        "chooses smaller blocks instead"
    )
    return Fitted(job, plan, _like(executor, threads), (note,))


def _like(executor: Executor, n_threads: int) -> Executor:
    return executor if isinstance(executor, Serial) else Threads(n_threads)


def describe_fit(chosen: Fit, cap: int, wanted: int, block_variants: int) -> str:
    """What a cap makes of a run, in words."""
    text = f"memory: {show_memory(chosen.n_bytes)} at most of {show_memory(cap)}, with {chosen.n_threads} threads"
    if chosen.n_threads < wanted:
        text += f" of {wanted}"
    if chosen.block_variants < block_variants:
        text += f" and blocks of {chosen.block_variants:,} variants instead of {block_variants:,}"
    return text
