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
from genassoc.engine.passes import KeptBlocks, SumsJob, pieces_of, read_task
from genassoc.engine.plan import Plan, Task
from genassoc.progress import Progress

if TYPE_CHECKING:
    from genassoc.data.cohort.cohort import Cohort

_KEPT = 2**30  # bytes of packed calls that a process keeps between readings, for all its batches


@dataclass(frozen=True)
class RereadingJob(SumsJob[State, Sums]):
    """The batches as tasks.

    Attributes
    ----------
    genotypes : Plan
        The blocks, each a task of this plan; ``plan`` is that of the batches.
    """

    genotypes: Plan | None = None

    def sums(self, state: State, task: Task) -> tuple[Sums | None, Counts]:
        """What the batch gives."""
        analysis: Any = self.analysis
        return analysis.batch(state, task.start, self.blocks), Counts()

    def blocks(self) -> Iterator[GenotypeBlock]:
        """All blocks that have a selected variant; of few bytes they are read once."""
        assert self.genotypes is not None
        for task in self.genotypes.tasks:
            block = read_task(self.cohort, task, self.genotypes.block_variants, self.kept)[0]
            if block is not None:
                yield block

    def label(self, task: Task) -> str:
        """The batch."""
        return f"{self.plan.pass_name} {task.start + 1}"


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
    of_batches: Any = analysis  # sums of batches in place of blocks
    job: Any = RereadingJob(cohort, of_batches, plan, kept=KeptBlocks(_KEPT), genotypes=genotypes)
    yield from pieces_of(job, executor, progress, work)
