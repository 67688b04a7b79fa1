"""What a run will cost, before the queue: one block is read and computed, and the rest follows from it."""

import errno
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from genassoc.data.output import output_error
from genassoc.engine.budget import Fit, Needs, Rehearsal, describe_fit, fit, rehearse
from genassoc.engine.plan import Plan
from genassoc.engine.resources import granted_memory, parse_memory, show_memory

if TYPE_CHECKING:
    from genassoc.engine.association import AssociationJob

PARQUET_ROW_BYTES = 70  # of a row in a results parquet, measured on real cohorts
PART_ROW_BYTES = 100  # of a row in a part, which is compressed for speed


@dataclass(frozen=True)
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
    n_threads : int
        As wanted.
    """

    plan: Plan
    rows: int
    needs: Needs
    measured: Rehearsal
    fit: Fit
    cap: int
    asked: bool
    n_threads: int

    @property
    def core_seconds(self) -> float:
        """Seconds of one thread for all variants, at the speed of the block that was computed."""
        again = 1 + self.needs.share_reading * (self.plan.block_variants / self.fit.block_variants - 1)
        return self.measured.seconds / self.measured.n_variants * self.plan.n_variants * again

    @property
    def output_bytes(self) -> int:
        """Of the results as parquet."""
        return self.rows * PARQUET_ROW_BYTES

    def lines(self) -> list[str]:
        """For people."""
        plan, threads = self.plan, self.fit.n_threads
        traits = self.needs.rows_per_variant
        parts = f", in {plan.n_parts} parts: {_clock(self.core_seconds / threads / plan.n_parts)} each" * (
            plan.n_parts > 1
        )
        each = self.measured.seconds / self.measured.n_variants * 1e3
        return [
            f"{plan.n_variants:,} variants x {traits} rows each = {self.rows:,} rows at most, in {len(plan.tasks)} tasks",
            describe_fit(self.fit, self.cap, self.n_threads, plan.block_variants)
            + ("" if self.asked else f"; ask the queue for {show_memory(1.1 * self.fit.n_bytes)}"),
            f"time: about {_clock(self.core_seconds / threads)} with {threads} threads{parts} "
            f"({each:.2f} ms a variant, of {self.measured.n_variants:,} read and computed now)",
            f"results: about {self.output_bytes / 1e6:,.1f} MB as parquet, and {self.rows * PART_ROW_BYTES / 1e6:,.1f} MB "
            "of parts until they are merged",
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
    job: "AssociationJob", plan: Plan, rows_per_variant: int, n_threads: int, memory: str | int | None = None
) -> Cost:
    """Compute one block, and say what the plan will cost.

    Parameters
    ----------
    memory : str or int, optional
        A worker's cap; what the system grants this process by default.

    Raises
    ------
    PlanError
        It cannot fit (says what would).
    """
    needs, measured = rehearse(job, plan, rows_per_variant)
    largest = max(task.n_variants for task in plan.tasks)
    grant = granted_memory()
    # Where nothing is known of the system, nothing is refused.
    cap = parse_memory(memory) if memory is not None else grant.n_bytes if grant else 2**62
    chosen = fit(needs, cap, n_threads, plan.block_variants, largest)
    rows = plan.n_variants * rows_per_variant
    return Cost(plan, rows, needs, measured, chosen, cap, memory is not None, n_threads)


def _clock(seconds: float) -> str:
    """A duration for people."""
    if seconds < 90:
        return f"{max(seconds, 1):.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
