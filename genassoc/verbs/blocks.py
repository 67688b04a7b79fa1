"""Apply a function to every block of a store, on an executor."""

from collections.abc import Callable
from typing import Any

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.forks import check_not_forked
from genassoc.engine.executors import Executor, Threads
from genassoc.engine.plan import Plan, Task
from genassoc.progress import Progress, Silent


def over_blocks(
    cohort: Cohort,
    function: Callable[[int, int], Any],
    executor: Executor | None,
    progress: Progress | None,
    label: str,
) -> list[Any]:
    """``function(start, stop)`` of every block of the store on an executor, in store order."""
    check_not_forked()
    plan = Plan.by_block(cohort.store.contig_runs(), cohort.store.block_variants)
    progress = progress or Silent()
    # dosages take eight times the memory of calls
    step = plan.block_variants if not cohort.has_dosages else cohort.store.working_variants
    by_task: dict[int, Any] = {}

    def do(task: Task) -> tuple[Task, Any]:
        return task, [function(start, stop) for start, stop in task.blocks(step)]

    progress.begin(label, plan.n_variants, "variants")
    try:
        for task, values in (executor or Threads()).map(do, plan.tasks):
            by_task[task.index] = values
            progress.advance(task.n_variants)
    finally:
        progress.end()
    return [value for index in sorted(by_task) for value in by_task[index]]
