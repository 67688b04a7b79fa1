"""Analyses that read all genotypes many times, for a few items at once: traits whose effects are found by sweeps over variants.

A task is a batch of items in place of a run of variants; whoever does it reads the blocks again and again. So tasks are done side by side, left in parts
and resumed like any others.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from genassoc.data.analysis import RereadingAnalysis, State, Sums
from genassoc.data.block import GenotypeBlock
from genassoc.engine.executors import Executor
from genassoc.engine.job import Counts
from genassoc.engine.parts import WorkFolder
from genassoc.engine.passes import SumsJob, pieces_of, read_task
from genassoc.engine.plan import Plan, Task
from genassoc.progress import Progress

if TYPE_CHECKING:
    from genassoc.data.cohort.cohort import Cohort

_KEPT = 2**30  # bytes of packed calls that a process keeps between readings


@dataclass(frozen=True)
class RereadingJob(SumsJob[State, Sums]):
    """The batches as tasks.

    Attributes
    ----------
    genotypes : Plan
        The blocks, each a task of this plan; ``plan`` is that of the batches.
    """

    genotypes: Plan | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "read_blocks", {})

    def sums(self, state: State, task: Task) -> tuple[Sums | None, Counts]:
        """What the batch gives."""
        analysis: Any = self.analysis
        return analysis.batch(state, task.start, self.blocks), Counts()

    def blocks(self) -> Iterator[GenotypeBlock]:
        """All blocks that have a selected variant; of few bytes they are read once."""
        assert self.genotypes is not None
        kept: dict[int, GenotypeBlock] = self.read_blocks  # type: ignore[attr-defined]
        for task in self.genotypes.tasks:
            block = kept.get(task.index)
            if block is None:
                block = read_task(self.cohort, task, self.genotypes.block_variants)[0]
                if block is None:
                    continue
                if (block.packed.nbytes + 1) * len(self.genotypes.tasks) <= _KEPT:
                    kept[task.index] = block
            yield block

    def label(self, task: Task) -> str:
        """The batch."""
        return f"{self.plan.pass_name} {task.start + 1}"

    def __getstate__(self) -> dict[str, object]:
        """For a worker, which reads for itself."""
        return {**super().__getstate__(), "read_blocks": {}}


def run_batches(
    analysis: RereadingAnalysis[State, Sums],
    cohort: "Cohort",
    genotypes: Plan,
    executor: Executor,
    progress: Progress,
    work: WorkFolder | None = None,
    *,
    number: int = 0,
) -> Iterator[Sums]:
    """What each batch gave, in their order.

    Parameters
    ----------
    genotypes : Plan
        Of the blocks; its fingerprint covers everything on which the numbers depend.
    number : int
        Of the pass, in the folder.
    """
    tasks = tuple(Task(i, i, i + 1, "batch") for i in range(len(analysis.batches())))
    plan = replace(genotypes, tasks=tasks, block_variants=1, lines=(1, 1)).of_pass(number, analysis.passes[0], "")
    job: Any = RereadingJob(cohort, analysis, plan, genotypes=genotypes)  # type: ignore[arg-type]
    yield from pieces_of(job, executor, progress, work)
