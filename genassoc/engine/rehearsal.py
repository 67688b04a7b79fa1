"""One block read and computed before all others: what it holds and how long it takes says what the run will.

Bytes become `Needs`, which `genassoc.engine.budget` fits below a cap; seconds become `genassoc.engine.cost`.
"""

import contextlib
import pickle
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from genassoc.data.memory import give_back_freed_memory, resident_memory, settle
from genassoc.engine.executors import Threads, single_threaded_blas
from genassoc.engine.plan import Plan, Task
from genassoc.shapes import packed_bytes

if TYPE_CHECKING:
    from genassoc.engine.association import AssociationJob

# Bytes, measured on linear and logistic runs of 60,000 and 400,000 samples (docs/hpc.md); they bound from above.
FIRST_BLOCK = 150 * 2**20  # compiled kernels and the pools of libraries: once, with the first block of a process
WRITER = 16 * 2**20  # the pool of polars, which encodes the rows of parts: once
THREAD = 8 * 2**20  # an arena of the allocator, whatever is in it
STREAM = 2 * 2**20  # a chunk that is being unpacked: zstd's window, and what is read at a time
CHUNK_COPIES = 3  # of a stored chunk that is unpacked whole, as in an object store: compressed, decompressed, joined
DOSAGE_COPIES = 3  # of the dosages of a block, and of its probabilities: a chunk as it is unpacked, what was read, what is of one kind
BLOCK_COPIES = 3  # of the packed block: what was read, what was selected of it, and what is made of it
ROW_BYTES = 350  # of a row of results: as arrays, as a polars frame, and as parquet
AUDIT, AUDIT_SAMPLE = 48 * 2**20, 640  # of an audit: its batches of rows, and for each sample its bases and one row
MARGIN = 1.25  # on what a rehearsal measured: blocks differ
SHARE_READING = 0.2  # of a block's time, where none was measured
MIN_BLOCK = 16
_SAMPLING_SECONDS = 0.002
_PIECES_LOOKED_AT = 512


@dataclass(frozen=True)
class Needs:
    """What a run holds, in bytes, and where its time goes.

    Attributes
    ----------
    process : int
        Whatever runs: program, phenotypes, null models, first block's baggage.
    chunk : int
        What unpacking a stored chunk takes, in a thread.
    variant : float
        Each variant of the block read at a time, in a thread.
    rows_per_variant : int
        Rows of results of a variant.
    share_reading : float
        Of a whole block's time: what smaller blocks repeat, where they decompress whole chunks.
    after : int
        What follows the threads' work: an audit.
    """

    process: int
    chunk: int
    variant: float
    rows_per_variant: int
    share_reading: float = SHARE_READING
    after: int = 0

    def thread(self, block_variants: int, task_variants: int) -> int:
        """Bytes of one thread."""
        rows = task_variants * self.rows_per_variant * ROW_BYTES
        return int(THREAD + self.chunk + block_variants * self.variant + rows)

    def total(self, n_threads: int, block_variants: int, task_variants: int) -> int:
        """Bytes of the process with that many threads at work."""
        return self.process + max(n_threads * self.thread(block_variants, task_variants), self.after)


@dataclass(frozen=True)
class Workload:
    """What of a plan is really read: a region leaves most blocks alone.

    Attributes
    ----------
    n_tasks : int
        Each leaves a part behind, be it without rows.
    n_pieces : float
        Runs of variants read at a time; each decompresses a stored chunk.
    n_variants : float
        Variants in them that are selected without looking at genotypes.
    pieces : list of Task
        Some of the runs, those with the most variants first.
    """

    n_tasks: int
    n_pieces: float
    n_variants: float
    pieces: list[Task]

    @classmethod
    def of(cls, job: "AssociationJob", plan: Plan, block_variants: int | None = None) -> "Workload":
        """The workload of a plan in blocks of ``block_variants`` (the plan's by default); of many blocks some are looked at."""
        step = block_variants or plan.block_variants
        runs = [
            task if task.n_sets else Task(task.index, *piece, task.contig)
            for task in plan.tasks
            for piece in ([(task.start, task.stop)] if task.n_sets else task.blocks(step))
        ]
        every = 1 if job.cohort.selection.selects_all else -(-len(runs) // _PIECES_LOOKED_AT)
        counted = [
            (run, int(job.cohort.selected_without_genotypes(run.start, run.stop).sum())) for run in runs[::every]
        ]
        read = sorted(((run, n) for run, n in counted if n), key=lambda found: -found[1])
        scale = len(runs) / max(1, len(counted))
        n_variants = scale * sum(n for _, n in read)
        return cls(len(plan.tasks), scale * len(read), n_variants, [run for run, _ in read] or runs[:1])


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
        What its thread held at most, beyond what is held after it, as far as it was seen.
    rows : DataFrame
        Its rows of results.
    before : int
        Bytes held before: program, phenotypes and null models.
    loaded : int
        Bytes held when all kernels were loaded, or before: LLVM's code, and what linking has freed, are beside them then.
    """

    n_variants: int
    seconds: float
    reading_seconds: float
    n_bytes: int
    rows: pl.DataFrame
    before: int = 0
    loaded: int = 0

    @property
    def computing_seconds(self) -> float:
        """Of a variant, once its block is read."""
        return (self.seconds - self.reading_seconds) / self.n_variants


def rehearse(
    job: "AssociationJob", plan: Plan, rows_per_variant: int, clock: Callable[[], float] = time.perf_counter
) -> tuple[Needs, Rehearsal]:
    """Read and compute a few variants, so that kernels are compiled and loaded; then one block, timed and measured."""
    piece = Workload.of(job, plan, job.block_variants).pieces[0]
    start, stop = piece.start, piece.stop
    before = resident_memory()
    with single_threaded_blas():
        job.do(job.state, piece.head(MIN_BLOCK))
        loaded = resident_memory()
        settle()  # as a run does after its first task
        began = clock()
        job.cohort.read(start, stop, dosages=True)
        reading = clock() - began
        with watched() as seen:
            began = clock()
            output = job.do(job.state, piece)
            seconds = clock() - began
    selected = int(np.count_nonzero(job.cohort.selected_without_genotypes(start, stop)))
    give_back_freed_memory()
    # What stays, kernels that a block needed above all, is the process's.
    passing = max(0, max(seen) - resident_memory())
    measured = Rehearsal(
        max(1, selected), seconds, min(reading, seconds), passing, output.rows, before, max(before, loaded)
    )
    return measured_needs(job, plan, rows_per_variant, measured), measured


def slowdown(
    job: "AssociationJob",
    work: Workload,
    measured: Rehearsal,
    n_threads: int,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """How much longer a thread takes for its blocks when ``n_threads`` work side by side (caches, memory, hyperthreads)."""
    pieces = work.pieces[:n_threads]
    if n_threads < 2 or len(pieces) < n_threads:
        return 1.0
    alone = (
        sum(measured.reading_seconds + measured.computing_seconds * piece.n_variants for piece in pieces) / n_threads
    )
    with single_threaded_blas():
        began = clock()
        for _ in Threads(n_threads).map(lambda piece: job.do(job.state, piece).counts, pieces):
            pass
        together = clock() - began
    return max(1.0, together / max(alone, 1e-9))


def estimated_needs(job: "AssociationJob", plan: Plan, rows_per_variant: int) -> Needs:
    """Needs of a job whose null models are fitted, without a rehearsal."""
    cohort = job.cohort
    store, width = cohort.store, int(cohort.block_width)
    variant = BLOCK_COPIES * packed_bytes(width)
    streams = bool(getattr(store, "streams", False))
    chunk = STREAM if streams else CHUNK_COPIES * int(store.block_variants) * packed_bytes(int(store.n_samples))
    if cohort.has_dosages:  # chunks of dosages are unpacked whole
        of_sample = 2 * (2 if store.has_probabilities else 1)
        variant += DOSAGE_COPIES * of_sample * width
        chunk += CHUNK_COPIES * int(store.working_variants) * of_sample * int(store.n_samples)
    return Needs(
        resident_memory() + FIRST_BLOCK + WRITER + later_bytes(job),
        chunk,
        variant,
        rows_per_variant,
        0.0 if streams and not cohort.has_dosages else SHARE_READING,
    )


def later_bytes(job: "AssociationJob") -> int:
    """Bytes of null models that a process will hold beside those of the state: of other chromosomes."""
    by_contig = getattr(job.state, "by_contig", None)
    return 0 if by_contig is None else by_contig.most * pickled_bytes(job.state.elsewhere)


def pickled_bytes(value: object) -> int:
    """Bytes of a pickle, which is not kept."""
    counted = _Counted()
    pickle.dump(value, counted, protocol=5)
    return counted.n_bytes


class _Counted:
    """A file that counts what is written."""

    def __init__(self) -> None:
        self.n_bytes = 0

    def write(self, data: bytes) -> int:
        """Count."""
        n = memoryview(data).nbytes
        self.n_bytes += n
        return n


def measured_needs(job: "AssociationJob", plan: Plan, rows_per_variant: int, measured: Rehearsal) -> Needs:
    """`estimated_needs`, raised to what a rehearsal has shown."""
    needs = estimated_needs(job, plan, rows_per_variant)
    at_once = max(1, min(job.block_variants, measured.n_variants))
    held = MARGIN * measured.n_bytes - needs.chunk - measured.rows.height * ROW_BYTES
    reading = measured.reading_seconds / max(measured.seconds, 1e-9)
    return replace(
        needs,
        process=resident_memory() + WRITER + later_bytes(job),
        variant=max(needs.variant, held / at_once),
        share_reading=reading if needs.share_reading else 0.0,
    )


@contextlib.contextmanager
def watched() -> Iterator[list[int]]:
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
