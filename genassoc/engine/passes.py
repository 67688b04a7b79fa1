"""Sums over all variants, in one or several passes over the genotypes: each pass is a run, and the next starts from its sums.

Sums are kept in memory, or in a work folder from which a killed run can be resumed::

    grm.work/
      pass-1-means/        a work folder (`genassoc.engine.parts`): the sums of each task as a part
      pass-2-variances/

Sums are combined in the order of the tasks, whichever worker made them and when. So sums of whole numbers do not depend on how the
genotypes are cut into tasks; sums of floats have the same bits whenever the plan is the same.
"""

import hashlib
import math
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any, Generic, cast

import numpy as np
import polars as pl

from genassoc.data.analysis import IteratedAnalysis, State, SummedAnalysis, Sums
from genassoc.data.block import GenotypeBlock, Places, places_of
from genassoc.engine.association import for_blocks, read_selected
from genassoc.engine.executors import Executor, single_threaded_blas
from genassoc.engine.job import Counts, TaskOutput
from genassoc.engine.parts import WorkFolder
from genassoc.engine.plan import Plan, Task
from genassoc.engine.run import in_order, run
from genassoc.errors import GenassocError, PlanError
from genassoc.progress import Progress
from genassoc.shapes import Array

if TYPE_CHECKING:
    from genassoc.data.cohort.cohort import Cohort

_SCHEMA: dict[str, Any] = {"name": pl.String, "dtype": pl.String, "shape": pl.List(pl.Int64), "content": pl.Binary}


@dataclass
class KeptBlocks:
    """Blocks of selected variants that stay in memory from one pass to the next, two bits a call, as many as a limit allows.

    Later passes then neither read, nor decompress, nor select again. What is kept changes no number. Another process begins with none.

    Attributes
    ----------
    limit : int
        Bytes.
    """

    limit: int
    held: int = 0
    _blocks: dict[tuple[int, int], tuple[GenotypeBlock | None, Counts]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def selected(self, cohort: "Cohort", start: int, stop: int, contig: str) -> tuple[GenotypeBlock | None, Counts]:
        """The selected variants from start to stop and what became of the others, as `read_selected` gives them."""
        found = self._blocks.get((start, stop))
        if found is None:
            block, _, counts = read_selected(cohort, start, stop, contig)
            found = block, counts
            size = 0 if block is None else block.packed.nbytes
            with self._lock:
                if self.held + size <= self.limit and (start, stop) not in self._blocks:
                    self._blocks[start, stop] = found
                    self.held += size
        return found

    def __reduce__(self) -> tuple[type["KeptBlocks"], tuple[int]]:
        return KeptBlocks, (self.limit,)


@dataclass(frozen=True)
class SumsJob(Generic[State, Sums]):
    """One pass of an analysis as a job: the sums of a task, as a table of its arrays.

    Attributes
    ----------
    cohort : Cohort
    analysis : SummedAnalysis
    plan : Plan
        Of this pass (`Plan.of_pass`).
    before : optional
        The combined sums of the previous pass.
    kept : KeptBlocks
        Blocks that need not be read again.
    """

    cohort: "Cohort"
    analysis: SummedAnalysis[State, Sums]
    plan: Plan
    before: Sums | None = None
    kept: KeptBlocks = field(default_factory=lambda: KeptBlocks(0))

    def prepare(self) -> State:
        """The analysis' state for this pass."""
        return self.analysis.prepare(self.cohort, self.before)

    def sums(self, state: State, task: Task) -> tuple[Sums | None, Counts]:
        """Sums and counts of the task's variants; None where all were dropped."""
        total: Sums | None = None
        counts = Counts()
        for start, stop in task.blocks(self.plan.block_variants):
            block, tally = self.kept.selected(self.cohort, start, stop, task.contig)
            counts += tally
            if block is not None:
                one = self.analysis.block(state, block)
                total = one if total is None else self.analysis.combine(total, one)
        return total, counts

    def do(self, state: State, task: Task) -> TaskOutput:
        """See `genassoc.engine.job.Job.do`."""
        total, counts = self.sums(state, task)
        return TaskOutput(packed(total) if total is not None else pl.DataFrame(schema=_SCHEMA), counts)

    def label(self, task: Task) -> str:
        """The pass and the variants, as "means 1:0-4095"."""
        return f"{self.plan.pass_name} {task.contig}:{task.start}-{task.stop - 1}"

    def __getstate__(self) -> dict[str, object]:
        """What is sent to a worker, which receives the state separately."""
        return {**self.__dict__, "cohort": for_blocks(self.cohort), "before": None}


@dataclass(frozen=True)
class WholeTaskJob(SumsJob[State, Sums]):
    """One pass of an analysis that takes the selected variants of a task together, in one block, however many others lie between them."""

    def sums(self, state: State, task: Task) -> tuple[Sums | None, Counts]:
        """What the task's variants give, and their counts; None where all were dropped."""
        block, counts = read_task(self.cohort, task, self.plan.block_variants)
        return (None if block is None else self.analysis.block(state, block)), counts


def read_task(
    cohort: "Cohort", task: Task, block_variants: int, kept: KeptBlocks | None = None
) -> tuple[GenotypeBlock | None, Counts]:
    """The selected variants of a task, of an autosome, in one block (None where none is), and what became of all; ``block_variants`` are read at a time."""
    kept = kept or KeptBlocks(0)
    blocks: list[GenotypeBlock] = []
    counts = Counts()
    for start, stop in task.blocks(block_variants):
        block, tally = kept.selected(cohort, start, stop, task.contig)
        counts += tally
        if block is not None:
            blocks.append(block)
    if len(blocks) < 2:
        return (blocks[0] if blocks else None), counts
    packed_calls = np.concatenate([block.packed for block in blocks])
    numbers = np.concatenate([places_of(block).numbers for block in blocks])
    first = blocks[0]
    places = Places.autosomal(numbers)
    return GenotypeBlock(packed_calls, first.n_samples, first.start, places=places, contig=first.contig), counts


def run_passes(
    analysis: SummedAnalysis[State, Sums],
    cohort: "Cohort",
    plan: Plan,
    executor: Executor,
    progress: Progress,
    work: WorkFolder | None = None,
    *,
    kept: KeptBlocks | None = None,
) -> Sums:
    """All passes of an analysis, one after another.

    Parameters
    ----------
    plan : Plan
        Of all variants; its fingerprint covers everything on which the numbers depend. Each pass has its own plan, derived from this
        one, whose fingerprint also covers the sums of the previous pass.
    work : WorkFolder, optional
        Where the sums of passes are kept, so that a killed run can be resumed; the caller holds its lock and removes it. Without a
        folder sums are kept in memory.
    kept : KeptBlocks, optional
        Where blocks stay in memory between passes, of this analysis and of others on the same cohort, in the same blocks. By default none do.

    Returns
    -------
    The sums of the last pass; of an `IteratedAnalysis` those that are enough.

    Raises
    ------
    GenassocError
        If no variant is left; or if a task fails, with the task named.
    """
    before: Sums | None = None
    for number in range(len(analysis.passes)):
        job = _job_of(analysis, cohort, plan, number, before, kept)
        before = _combined(analysis, pieces_of(job, executor, progress, work), cohort, before)
        if _settled(analysis, before):
            break
    assert before is not None
    return before


def run_pass_part(
    analysis: SummedAnalysis[State, Sums],
    cohort: "Cohort",
    plan: Plan,
    number: int,
    part: int,
    executor: Executor,
    progress: Progress,
    work: WorkFolder,
) -> None:
    """Part ``part`` (from 0) of pass ``number`` (from 0) of a job array; `run_passes` with the folder then has nothing left to do.

    Raises
    ------
    PlanError
        If there is no such part or pass, or an earlier pass is not finished, or is enough.
    """
    if not 0 <= number < len(analysis.passes) or not 0 <= part < plan.n_parts:
        raise PlanError(
            f"there is no part {part} of pass {number}: passes are 0 to {len(analysis.passes) - 1}, parts 0 to {plan.n_parts - 1}."
        )
    before: Sums | None = None
    for earlier in range(number):
        job = _job_of(analysis, cohort, plan, earlier, before)
        folder = work.of_pass(job.plan)
        if (
            not folder.path.is_dir()
            or folder.plan().fingerprint != job.plan.fingerprint
            or folder.missing(job.plan, thorough=True)
        ):
            raise PlanError(
                f"pass {earlier} ({analysis.passes[earlier]}) is not finished in {work.path}, and pass {number} starts from "
                "its sums: do its parts first."
            )
        before = _combined(analysis, _on_disk(job, folder), cohort, before)
        if _settled(analysis, before):
            raise PlanError(f"pass {earlier} ({analysis.passes[earlier]}) is enough: there is no pass {number} to do.")
    job = _job_of(analysis, cohort, plan, number, before)
    _run_in(work, job, executor, progress, job.plan.groups()[part])


def run_pieces(
    analysis: SummedAnalysis[State, Sums],
    cohort: "Cohort",
    plan: Plan,
    executor: Executor,
    progress: Progress,
    work: WorkFolder | None = None,
    *,
    number: int = 0,
    before: Sums | None = None,
) -> Iterator[Sums]:
    """One pass of an analysis that takes each task as one block: what each gave, in the order of the tasks, not added up.

    Parameters
    ----------
    analysis, cohort, plan, executor, progress, work
        See `run_passes`. A task in which no variant is selected gives nothing.
    number : int
        The pass: passes of one folder have numbers of their own.
    before : optional
        What the analysis is prepared with; it enters the fingerprint of the pass.
    """
    job = _whole_tasks(analysis, cohort, plan, number, before)
    yield from pieces_of(job, executor, progress, work)


def pieces_of(
    job: SumsJob[State, Sums], executor: Executor, progress: Progress, work: WorkFolder | None
) -> Iterator[Sums]:
    """What each task of a job gave, in their order, not added up."""
    if work is None:
        yield from _in_memory(job, executor, progress)
        return
    yield from _on_disk(job, _run_in(work, job, executor, progress))


def _run_in(
    work: WorkFolder,
    job: SumsJob[State, Sums],
    executor: Executor,
    progress: Progress,
    tasks: Sequence[Task] | None = None,
) -> WorkFolder:
    """Do the tasks of a pass, or some of them, that have no part yet: the folder of the pass."""
    folder = work.of_pass(job.plan)
    folder.open(job.plan)
    run(job, job.plan, executor, folder, progress, tasks, label=_label(job))
    return folder


def run_pieces_part(
    analysis: SummedAnalysis[State, Sums],
    cohort: "Cohort",
    plan: Plan,
    part: tuple[int, int],
    executor: Executor,
    progress: Progress,
    work: WorkFolder,
    *,
    number: int = 0,
) -> None:
    """Part i of n, ``part`` (i from 0), of the pass that `run_pieces` makes; it then finds these tasks done."""
    job = _whole_tasks(analysis, cohort, plan, number, None)
    _run_in(work, job, executor, progress, job.plan.groups(part[1])[part[0]])


def _whole_tasks(
    analysis: SummedAnalysis[State, Sums], cohort: "Cohort", plan: Plan, number: int, before: Sums | None
) -> WholeTaskJob[State, Sums]:
    identity = "" if before is None else digest_of(before)
    return WholeTaskJob(cohort, analysis, plan.of_pass(number, analysis.passes[0], identity), before)


def _job_of(
    analysis: SummedAnalysis[State, Sums],
    cohort: "Cohort",
    plan: Plan,
    number: int,
    before: Sums | None,
    kept: KeptBlocks | None = None,
) -> SumsJob[State, Sums]:
    of_pass = plan.of_pass(number, analysis.passes[number], "" if before is None else digest_of(before))
    return SumsJob(cohort, analysis, of_pass, before, kept or KeptBlocks(0))


def _settled(analysis: SummedAnalysis[State, Sums], sums: Sums) -> bool:
    """Whether an analysis that goes on until it has enough has it."""
    return isinstance(analysis, IteratedAnalysis) and analysis.settled(sums)


def _label(job: SumsJob[State, Sums]) -> str:
    """What the user sees of a pass: "means (pass 1 of 2)"."""
    plan, n = job.plan, len(job.analysis.passes)
    at_most = "at most " if isinstance(job.analysis, IteratedAnalysis) else ""
    return f"{plan.pass_name} (pass {plan.pass_number + 1} of {at_most}{n})" if n > 1 else plan.pass_name


def _in_memory(job: SumsJob[State, Sums], executor: Executor, progress: Progress) -> Iterator[Sums]:
    """The sums of the tasks, in the order of the tasks."""
    with single_threaded_blas():
        state = job.prepare()

        def do(task: Task) -> Sums | None:
            return job.sums(state, task)[0]

        for sums in in_order(do, job.plan.tasks, executor, progress, label=_label(job)):
            if sums is not None:
                yield sums


def _on_disk(job: SumsJob[State, Sums], folder: WorkFolder) -> Iterator[Sums]:
    """The sums of the parts of a finished pass, in the order of the tasks."""
    for task in job.plan.tasks:
        table = folder.part_rows(job.plan, task)
        if table.height:
            yield unpacked(table, job.analysis.sums)


def _combined(
    analysis: SummedAnalysis[State, Sums], parts: Iterable[Sums], cohort: "Cohort", before: Sums | None
) -> Sums:
    """The sums of a pass, of its parts in order; joined to those of the passes ``before``, where the analysis does so."""
    total: Sums | None = None
    for one in parts:
        total = one if total is None else analysis.combine(total, one)
    if total is None:
        raise GenassocError(f"no variant is left: {'; '.join(cohort.selection.describe()) or 'the store is empty'}.")
    return analysis.joined(before, total) if isinstance(analysis, IteratedAnalysis) else total


# Sums on a disk ------------------------------------------------------------------------------------------------------


def _arrays(sums: object) -> Mapping[str, Array]:
    """The arrays of a frozen dataclass of arrays."""
    return {field.name: np.ascontiguousarray(getattr(sums, field.name)) for field in fields(cast("type", sums))}


def digest_of(sums: object) -> str:
    """Short hash of sums: names, types, shapes and all bits."""
    digest = hashlib.sha256()
    for name, array in _arrays(sums).items():
        digest.update(f"{name} {array.dtype.str} {array.shape} ".encode() + array.tobytes())
    return digest.hexdigest()[:16]


def packed(sums: object) -> pl.DataFrame:
    """Sums as a table, one row an array: name, dtype, shape, content."""
    arrays = _arrays(sums)
    return pl.DataFrame(
        {
            "name": list(arrays),
            "dtype": [array.dtype.str for array in arrays.values()],
            "shape": [list(array.shape) for array in arrays.values()],
            "content": [array.tobytes() for array in arrays.values()],
        },
        schema=_SCHEMA,
    )


def unpacked(table: pl.DataFrame, kind: type[Sums]) -> Sums:
    """The sums that `packed` made a table of, as the class ``kind``.

    Raises
    ------
    PlanError
        If the table belongs to another analysis, or was edited.
    """
    arrays: dict[str, Array] = {}
    for name, dtype, shape, content in table.select(list(_SCHEMA)).iter_rows():
        numbers = np.dtype(dtype) if dtype[1:2] in tuple("biuf") else None  # numbers and truth values: no objects
        if numbers is None or any(n < 0 for n in shape) or math.prod(shape) * numbers.itemsize != len(content):
            raise PlanError(
                f"a part holds '{name}' of {dtype} {shape} in {len(content):,} bytes, which is no array: remove it and run again."
            )
        arrays[name] = np.frombuffer(content, numbers).reshape(shape).copy()
    if set(arrays) != {field.name for field in fields(cast("type", kind))}:
        raise PlanError(
            f"a part holds {', '.join(arrays)}, which are not the sums of {kind.__name__}: remove it and run again."
        )
    return kind(**arrays)
