"""Apply a function to every block of a store, on an executor."""

from collections.abc import Callable
from typing import Any

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.forks import check_not_forked
from genassoc.engine.executors import Executor, Threads
from genassoc.engine.plan import Plan, Task
from genassoc.engine.run import in_order
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
    # dosages take eight times the memory of calls
    step = plan.block_variants if not cohort.has_dosages else cohort.store.working_variants

    def do(task: Task) -> list[Any]:
        return [function(start, stop) for start, stop in task.blocks(step)]

    made = in_order(do, plan.tasks, executor or Threads(), progress or Silent(), label=label)
    return [value for values in made for value in values]
