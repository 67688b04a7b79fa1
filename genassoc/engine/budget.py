"""A cap on memory that holds: how many threads, blocks of what size, tasks of how many rows; or a refusal that says what would fit.

What a run holds is the process itself (program, phenotypes, null models: measured once they are fitted), what the first
block brings along (compiled kernels, the writer of parts) and, for each thread, the chunk it decompresses, the block it works
on and the rows of its task. A rehearsal measures one block; a gate watches the process while it runs.
"""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from genassoc.engine.executors import Executor, Serial, Threads, single_threaded_blas
from genassoc.engine.plan import Plan, Task
from genassoc.engine.resources import granted_memory, parse_memory, resident_memory, show_memory
from genassoc.errors import PlanError
from genassoc.provenance import peak_memory_bytes
from genassoc.shapes import packed_bytes

if TYPE_CHECKING:
    from genassoc.engine.association import AssociationJob

# Bytes, measured on linear and logistic runs of 60,000 and 400,000 samples (docs/hpc.md); they bound from above.
FIRST_BLOCK = 150 * 2**20  # compiled kernels and the pools of libraries: once, with the first block of a process
WRITER = 80 * 2**20  # pyarrow's parquet writer, and the pieces of parts while they are merged: once
THREAD = 24 * 2**20  # an arena of the allocator, whatever is in it
CHUNK_COPIES = 3  # of a stored chunk: compressed, decompressed, joined
BLOCK_COPIES = 3  # of the packed block: selection, working copies, slack of the allocator
ROW_BYTES = 480  # of a row of results: as arrays, polars and Arrow columns, and as parquet
MARGIN = 1.25  # on what a rehearsal measured: blocks differ
SHARE_READING = 0.2  # of a block's time, where none was measured
MIN_BLOCK = 16
_SAMPLING_SECONDS = 0.002


@dataclass(frozen=True)
class Needs:
    """What a run holds, in bytes, and where its time goes.

    Attributes
    ----------
    process : int
        Whatever runs: program, phenotypes, null models, first block's baggage.
    chunk : int
        One stored chunk, packed.
    variant : float
        Each variant of the block read at a time, in a thread.
    rows_per_variant : int
        Rows of results of a variant.
    share_reading : float
        Of a whole block's time: what smaller blocks repeat, since they decompress whole chunks.
    """

    process: int
    chunk: int
    variant: float
    rows_per_variant: int
    share_reading: float = SHARE_READING

    def thread(self, block_variants: int, task_variants: int) -> int:
        """Bytes of one thread."""
        rows = task_variants * self.rows_per_variant * ROW_BYTES
        return int(THREAD + CHUNK_COPIES * self.chunk + block_variants * self.variant + rows)

    def total(self, n_threads: int, block_variants: int, task_variants: int) -> int:
        """Bytes of the process with that many threads at work."""
        return self.process + n_threads * self.thread(block_variants, task_variants)


@dataclass(frozen=True)
class Fit:
    """Sizes that stay below a cap, and the bytes that they are expected to take."""

    n_threads: int
    block_variants: int
    task_variants: int
    n_bytes: int


@dataclass(frozen=True)
class Rehearsal:
    """One block, read and computed.

    Attributes
    ----------
    n_variants : int
        Its variants.
    seconds, reading_seconds : float
        By the clock, in one thread; of them for reading.
    n_bytes : int
        What its thread held at most, beyond what was held before, as far as it was seen.
    """

    n_variants: int
    seconds: float
    reading_seconds: float
    n_bytes: int


def estimated_needs(job: "AssociationJob", plan: Plan, rows_per_variant: int) -> Needs:
    """Needs of a job whose null models are fitted, without a rehearsal."""
    cohort = job.cohort
    variant = BLOCK_COPIES * packed_bytes(cohort.block_width)
    chunk = int(cohort.store.block_variants) * packed_bytes(int(cohort.store.n_samples))
    return Needs(resident_memory() + FIRST_BLOCK + WRITER, chunk, variant, rows_per_variant)


def rehearse(job: "AssociationJob", plan: Plan, rows_per_variant: int) -> tuple[Needs, Rehearsal]:
    """Read and compute a few variants, so that kernels are compiled and loaded; then one block, timed and measured."""
    pieces = [(task, *piece) for task in plan.tasks for piece in task.blocks(plan.block_variants)]
    task, start, stop = max(pieces, key=lambda piece: piece[2] - piece[1])
    before = resident_memory()
    with single_threaded_blas():
        job.do(job.state, Task(0, start, min(stop, start + MIN_BLOCK), task.contig))
        with _watched() as seen:
            clock = time.perf_counter()
            job.cohort.read(start, stop)
            reading = time.perf_counter() - clock
            clock = time.perf_counter()
            job.do(job.state, Task(0, start, stop, task.contig))
            seconds = time.perf_counter() - clock
    measured = Rehearsal(stop - start, seconds, min(reading, seconds), max(seen) - before)
    return measured_needs(job, plan, rows_per_variant, measured, before), measured


def measured_needs(job: "AssociationJob", plan: Plan, rows_per_variant: int, measured: Rehearsal, before: int) -> Needs:
    """`estimated_needs`, raised to what a rehearsal that began with ``before`` bytes has shown."""
    give_back_freed_memory()
    needs = estimated_needs(job, plan, rows_per_variant)
    # Freed memory is used again: what was seen is too little for a second thread, so it only ever raises the estimate.
    held = MARGIN * measured.n_bytes - FIRST_BLOCK - THREAD - CHUNK_COPIES * needs.chunk
    return replace(
        needs,
        process=resident_memory() + WRITER,
        variant=max(needs.variant, held / measured.n_variants),
        share_reading=measured.reading_seconds / max(measured.seconds, 1e-9),
    )


@contextlib.contextmanager
def _watched() -> Iterator[list[int]]:
    """Bytes held, looked at every two milliseconds while the block lasts."""
    seen = [resident_memory()]
    over = threading.Event()

    def look() -> None:
        while not over.wait(_SAMPLING_SECONDS):
            seen.append(resident_memory())

    watcher = threading.Thread(target=look, name="genassoc-memory", daemon=True)
    watcher.start()
    try:
        yield seen
    finally:
        over.set()
        watcher.join()
        seen.append(resident_memory())


def fit(needs: Needs, cap: int, n_threads: int, block_variants: int, task_variants: int, recut: bool = True) -> Fit:
    """The fastest choice of threads and sizes that stays below ``cap``.

    Parameters
    ----------
    cap : int
        Bytes.
    n_threads, block_variants, task_variants : int
        The most that is wanted.
    recut : bool
        Whether tasks may be smaller than ``task_variants``.

    Raises
    ------
    PlanError
        One thread with the smallest blocks does not fit; says what would.
    """
    best: tuple[float, Fit] | None = None
    block = block_variants
    while True:
        task = min(task_variants, block) if recut else task_variants
        each = needs.thread(block, task)
        threads = min(n_threads, max(0, cap - needs.process) // each)
        # Each block of a chunk decompresses all of it.
        speed = threads / (1 + needs.share_reading * (block_variants / block - 1))
        if threads and (best is None or speed > best[0]):
            best = speed, Fit(threads, block, task, needs.total(threads, block, task))
        if block <= MIN_BLOCK:
            break
        block = max(MIN_BLOCK, block // 2)
    if best is None:
        least = needs.total(1, MIN_BLOCK, min(task_variants, MIN_BLOCK) if recut else task_variants)
        raise PlanError(
            f"--memory {show_memory(cap)} is too little: the program, the phenotypes and the null models take "
            f"{show_memory(needs.process)}, and one thread with the smallest blocks "
            f"{show_memory(least - needs.process)} more. Give at least --memory {show_memory(1.02 * least)}, or test fewer "
            "traits at a time." + ("" if recut else " A new plan with --memory has smaller tasks.")
        )
    return best[1]


def check_before_fitting(cohort: Any, model: Any, memory: str | int | None) -> None:
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


class Gate:
    """Lets a task begin when it fits: while memory is short and others are at work, it waits for them.

    Parameters
    ----------
    cap, each : int
        Bytes of the process, and of one task.
    """

    def __init__(self, cap: int, each: int) -> None:
        self.cap, self.each = cap, each
        self._running = 0
        self._changed = threading.Condition()

    def __enter__(self) -> None:
        with self._changed:
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


def give_back_freed_memory() -> None:
    """Have the allocators return what is free to the system, where they can."""
    import ctypes

    import pyarrow as pa

    pa.default_memory_pool().release_unused()
    with contextlib.suppress(OSError, AttributeError):  # glibc alone
        ctypes.CDLL(None).malloc_trim(0)


@dataclass(frozen=True)
class GatedJob:
    """A job whose tasks wait at a gate; all else is the job's own."""

    job: "AssociationJob"
    gate: Gate

    @property
    def state(self) -> Any:
        """The job's."""
        return self.job.state

    def prepare(self) -> Any:
        """See `Job.prepare`."""
        return self.job.prepare()

    def do(self, state: Any, task: Task) -> Any:
        """See `Job.do`."""
        with self.gate:
            return self.job.do(state, task)

    def label(self, task: Task) -> str:
        """See `Job.label`."""
        return self.job.label(task)


@dataclass(frozen=True)
class Fitted:
    """A run that fits: job, plan and executor, and what was changed for it, in words."""

    job: Any
    plan: Plan
    executor: Executor
    notes: tuple[str, ...] = ()


def fitted(
    job: "AssociationJob",
    plan: Plan,
    executor: Executor | None,
    memory: str | int | None,
    rows_per_variant: int,
    *,
    recut: bool = True,
) -> Fitted:
    """Threads, blocks and tasks that keep a run below a cap.

    Parameters
    ----------
    job, plan
        Null models are fitted.
    executor : Executor, optional
        `Threads` (the default) and `Serial` obey the cap; others run in processes that have their own.
    memory : str or int, optional
        The cap. Without one, what the system grants this process bounds the number of threads.
    recut : bool
        Whether the plan's tasks may be cut anew.

    Raises
    ------
    PlanError
        What was asked for does not fit (says what would), or the executor is not of this process.
    """
    executor = executor or Threads()
    if not isinstance(executor, Threads | Serial):
        if memory is not None:
            raise PlanError(
                f"a cap on memory is for threads of this process; the workers of {executor} have their own: "
                "give it to them (--memory-limit of 'dask worker', memory= of a SLURMCluster)."
            )
        return Fitted(job, plan, executor)
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
            f"least --memory {show_memory(1.02 * max(peak, needs.total(1, MIN_BLOCK, MIN_BLOCK)))}, or test fewer traits at a "
            "time."
        )
    chosen = fit(needs, cap, wanted, plan.block_variants, largest, recut)
    each = needs.thread(chosen.block_variants, chosen.task_variants)
    gated = GatedJob(replace(job, block_variants=chosen.block_variants), Gate(cap, each))
    words = describe_fit(chosen, cap, wanted, plan.block_variants)
    cut = plan.finer(chosen.task_variants) if recut else plan
    return Fitted(gated, cut, _like(executor, chosen.n_threads), (words,))


def _within_grant(
    job: "AssociationJob", plan: Plan, executor: Executor, wanted: int, largest: int, rows_per_variant: int
) -> Fitted:
    """Fewer threads where what is granted is known to be too little; an estimate, so it refuses nothing."""
    grant = granted_memory()
    if grant is None:
        return Fitted(job, plan, executor)
    needs = estimated_needs(job, plan, rows_per_variant)
    threads = max(1, min(wanted, (grant.n_bytes - needs.process) // needs.thread(plan.block_variants, largest)))
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
