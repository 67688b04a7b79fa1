"""What a run will cost, before the queue: one block is read and computed, and the rest follows from it.

Its time has three stages: until the null models are fitted (measured by who fitted them), the variants (from the block), and
what follows them: merging, auditing (measured on rows of the block by `genassoc.explanation.audit`) and summing up.
"""

import errno
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genassoc.data.memory import parse_memory, show_memory
from genassoc.data.output import output_error
from genassoc.engine.budget import Fit, describe_fit, fit
from genassoc.engine.plan import Plan
from genassoc.engine.rehearsal import ROW_BYTES, THREAD, WRITER, Needs, Rehearsal, Workload, rehearse, slowdown
from genassoc.engine.resources import granted_memory

if TYPE_CHECKING:
    from genassoc.engine.association import AssociationJob

PARQUET_ROW_BYTES = 70  # of a row in a results parquet, measured on real cohorts
PART_ROW_BYTES = 100  # of a row in a part, which is compressed for speed
START_SECONDS = 1.3  # python, imports, opening a store
PART_SECONDS = 0.012  # a part of few rows, written and synced: 0.006 on a local disk, 0.05 on a busy one
MERGED_SECONDS = 1.2e-6  # a row: written to its part, read again, checked, compressed
SUMMED_SECONDS = 5e-8  # a row of results for each trait that is summed up on the terminal
TRAITS_SUMMED = 20


@dataclass(frozen=True)
class Timing:
    """Seconds by the clock of a run's stages; ``variants`` with the threads of one process.

    Attributes
    ----------
    start, variants, merge, audit : float
    audited : int
        Rows that the audit fits again.
    """

    start: float
    variants: float
    merge: float
    audit: float
    audited: int

    @property
    def total(self) -> float:
        """All of a run in one process."""
        return self.start + self.variants + self.merge + self.audit

    def part(self, n_parts: int) -> float:
        """One of ``n_parts`` jobs of an array, each of which starts anew."""
        return self.start + self.variants / n_parts

    @property
    def after_parts(self) -> float:
        """Merging what an array of jobs has left, which reads the phenotypes again."""
        return self.start + self.merge + self.audit


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one worker takes, and how long all of it.

    Attributes
    ----------
    plan : Plan
    rows : int
        Rows of results at most.
    needs : Needs
    measured : Rehearsal
        The block that was computed.
    fit : Fit
        What each worker does under the cap.
    cap : int
        Bytes a worker may hold: what was asked for, or what the system grants.
    asked : bool
        Whether the cap was asked for.
    n_threads, block_variants : int
        As wanted.
    work : Workload
        Blocks and variants that are read.
    slowdown : float
        Of a thread beside the others.
    start : float
        Seconds to read the phenotypes and to fit the null models.
    audit : tuple of (float, int)
        Seconds, and rows fitted again.
    program : int
        Bytes that the process held before it read the phenotypes.
    auditing : int
        Bytes that the audit holds.
    """

    plan: Plan
    rows: int
    needs: Needs
    measured: Rehearsal
    fit: Fit
    cap: int
    asked: bool
    n_threads: int
    block_variants: int
    work: Workload
    slowdown: float = 1.0
    start: float = 0.0
    audit: tuple[float, int] = (0.0, 0)
    program: int = 0
    auditing: int = 0

    @property
    def core_seconds(self) -> float:
        """Seconds of one thread for all variants, at the speed of the block that was computed."""
        computing = self.measured.computing_seconds * self.work.n_variants
        return self.measured.reading_seconds * self.work.n_pieces + computing

    @property
    def timing(self) -> Timing:
        """By the clock, stage by stage."""
        rehearsed = self.measured.seconds + self.measured.reading_seconds if self.asked else 0.0
        variants = self.core_seconds * self.slowdown + PART_SECONDS * self.work.n_tasks
        each = self.needs.rows_per_variant
        merge = self.work.n_variants * each * (MERGED_SECONDS + SUMMED_SECONDS * min(each, TRAITS_SUMMED))
        # Less than a task for each thread leaves threads idle.
        threads = min(self.fit.n_threads, max(1.0, self.work.n_pieces))
        return Timing(START_SECONDS + self.start + rehearsed, variants / threads, merge, *self.audit)

    @property
    def peak(self) -> int:
        """Bytes that the run will hold: while variants are tested, or while rows are audited, when the threads hold nothing.

        Threads are not at their peaks together: of those beside the first half a peak is counted. `Fit.n_bytes` is the bound.
        """
        fit = self.fit
        threads = (1 + fit.n_threads) / 2 * self.needs.thread(fit.block_variants, fit.task_variants)
        return self.needs.process + int(max(threads, self.auditing))

    def holders(self) -> dict[str, int]:
        """Bytes by what holds them, in words."""
        needs, measured, fit = self.needs, self.measured, self.fit
        rows = fit.n_threads * fit.task_variants * needs.rows_per_variant * ROW_BYTES
        blocks = int(fit.n_threads * fit.block_variants * needs.variant)
        return {
            "program": self.program,
            "phenotypes, null models and their kernels": max(0, measured.before - self.program),
            "loaded with the first block": max(0, needs.process - WRITER - measured.before),
            f"blocks of {fit.block_variants:,} variants": blocks,
            "unpacking the store": fit.n_threads * needs.chunk,
            "memory pools of the threads": fit.n_threads * THREAD,
            "rows waiting to be written": rows,
            "writing": WRITER,
            "auditing (after blocks and rows)": self.auditing,
        }

    @property
    def output_bytes(self) -> int:
        """Of the results as parquet."""
        return self.rows * PARQUET_ROW_BYTES

    def lines(self) -> list[str]:
        """For people."""
        plan, traits = self.plan, self.needs.rows_per_variant
        return [
            f"{plan.n_variants:,} variants x {traits} rows each = {self.rows:,} rows at most, in {self.work.n_tasks} tasks",
            describe_fit(self.fit, self.cap, self.n_threads, self.block_variants)
            + ("" if self.asked else f"; ask the queue for {show_memory(1.1 * self.peak)}"),
            f"memory at the peak: about {show_memory(self.peak)}: {', '.join(f'{show_memory(n)} {what}' for what, n in self.holders().items() if n >= 2**19)}",
            *self._time_lines(),
            f"results: about {self.output_bytes / 1e6:,.1f} MB as parquet, and {self.rows * PART_ROW_BYTES / 1e6:,.1f} MB "
            "of parts until they are merged",
        ]

    def _time_lines(self) -> list[str]:
        """How long, and which stage how long."""
        timing, threads = self.timing, self.fit.n_threads
        each = self.core_seconds * self.slowdown / max(self.work.n_variants, 1) * 1e3
        variants = f"({each:.2f} ms a variant and thread, from {self.measured.n_variants:,} read and computed now)"
        merge = f"{_clock(timing.merge)} to merge and sum up"
        audit = f", {_clock(timing.audit)} to audit {timing.audited} rows" * (timing.audited > 0)
        if self.plan.n_parts > 1:
            return [
                f"time: about {_clock(timing.part(self.plan.n_parts))} a part with {threads} threads {variants}, "
                f"{_clock(timing.start)} of them to start; then about {_clock(timing.after_parts)} for 'genassoc merge'{audit}"
            ]
        return [
            f"time: about {_clock(timing.total)} with {threads} threads: {_clock(timing.start)} to start, "
            f"{_clock(timing.variants)} for the variants {variants}, {merge}{audit}"
        ]

    def check_space(self, folder: Path) -> None:
        """Refuse a disk that cannot hold parts and results.

        Raises
        ------
        OutputError
            Less is free in ``folder`` than both take together.
        """
        wanted = self.rows * (PARQUET_ROW_BYTES + PART_ROW_BYTES)
        free = shutil.disk_usage(folder).free
        if wanted > free:
            said = f"parts and results take about {show_memory(wanted)}, and {show_memory(free)} are free"
            raise output_error(OSError(errno.ENOSPC, said), folder, f"{said[0].upper()}{said[1:]}.")


def cost_of(
    job: "AssociationJob",
    plan: Plan,
    rows_per_variant: int,
    n_threads: int,
    memory: str | int | None = None,
    *,
    start: float = 0.0,
    program: int = 0,
    clock: Callable[[], float] = time.perf_counter,
) -> Cost:
    """Compute one block, and say what the plan will cost, without an audit.

    Parameters
    ----------
    memory : str or int, optional
        A worker's cap; what the system grants this process by default.
    start : float
        Seconds that reading the phenotypes and fitting the null models took.
    program : int
        Bytes that the process held before.
    clock : callable
        Seconds from anywhere.

    Raises
    ------
    PlanError
        It cannot fit (says what would).
    """
    needs, measured = rehearse(job, plan, rows_per_variant, clock)
    largest = max(task.n_variants for task in plan.tasks)
    grant = granted_memory()
    # Where nothing is known of the system, nothing is refused.
    cap = parse_memory(memory) if memory is not None else grant.n_bytes if grant else 2**62
    at_once = min(job.block_variants, largest)
    chosen = fit(needs, cap, n_threads, at_once, largest, whole=plan.largest_set)
    cut = plan.finer(chosen.task_variants) if memory is not None else plan
    work = Workload.of(job, cut, chosen.block_variants)
    beside = slowdown(job, work, measured, chosen.n_threads, clock)
    rows = plan.n_variants * rows_per_variant
    return Cost(
        plan=plan, rows=rows, needs=needs, measured=measured, fit=chosen, cap=cap, asked=memory is not None,
        n_threads=n_threads, block_variants=at_once, work=work, slowdown=beside, start=start, program=program,
    )  # fmt: skip


def _clock(seconds: float) -> str:
    """A duration for people."""
    if seconds < 0.5:
        return "less than 1 s"
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
