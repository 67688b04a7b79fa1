"""LD pruning: variants of which no two near one another are correlated."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl

from genassoc.analyses.pruning import (
    IN_LD,
    NO_VARIATION,
    NOT_OBSERVED,
    Piece,
    Pruning,
    Window,
    prune_contig,
)
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.contigs import shown
from genassoc.data.cohort.dosed_variants import dosage_notes
from genassoc.data.cohort.kept_variants import KeptVariants
from genassoc.data.cohort.ld import sample_mask
from genassoc.data.cohort.long_range_ld import outside_long_range_ld
from genassoc.data.cohort.variant_lists import write_variants
from genassoc.data.cohort.variants import maf_above, missing_below
from genassoc.data.forks import check_not_forked
from genassoc.data.output import check_outputs
from genassoc.engine.association import for_blocks, read_selected
from genassoc.engine.executors import Executor, Threads
from genassoc.engine.job import Counts, TaskOutput
from genassoc.engine.parts import WorkFolder
from genassoc.engine.plan import MANY_CONTIGS, Plan, Task, fingerprint
from genassoc.engine.run import in_order, run
from genassoc.errors import GenassocError, InputError
from genassoc.progress import Progress, Silent
from genassoc.shapes import UInt64Array
from genassoc.verbs.arguments import check_cohort, check_executor
from genassoc.verbs.stores import chosen_of_store

_LABEL = "pruning"
_REASONS = {
    IN_LD: "in LD with one that is kept",
    NO_VARIATION: "the same in all samples",
    NOT_OBSERVED: "observed in no sample",
}


@dataclass(frozen=True)
class _PruneJob:
    """Pruning as a job: a task is a contig, and gives the numbers of the variants that are kept."""

    cohort: Cohort
    asked: Pruning

    def prepare(self) -> UInt64Array:
        return sample_mask(self.cohort)

    def do(self, state: UInt64Array, task: Task) -> TaskOutput:
        kept, counts = [], Counts()
        for contig, start, stop in self.cohort.store.contig_runs():
            if start < task.start or stop > task.stop:
                continue
            tallies: list[Counts] = []
            found = prune_contig(self._pieces(contig, start, stop, tallies), state, self.asked)
            kept.append(found.numbers)
            counts += Counts(rows=found.numbers.size, kept=found.numbers.size, dropped=found.dropped)
            for tally in tallies:
                counts += Counts(read=tally.read, dropped=tally.dropped)
        return TaskOutput(pl.DataFrame({"number": np.concatenate(kept)}), counts)

    def _pieces(self, contig: str, start: int, stop: int, tallies: list[Counts]) -> Iterator[Piece]:
        """The selected variants of a contig, block after block."""
        last, n = -1, 0
        step = self.cohort.store.block_variants
        for first, end in Task(0, start, stop, contig).blocks(step):
            block, keep, tally = read_selected(self.cohort, first, end, contig)
            tallies.append(tally)
            if block is None:
                continue
            numbers = first + np.flatnonzero(keep)
            places = np.arange(n, n + numbers.size)
            n += numbers.size
            if not self.asked.window.of_variants:
                places = self.cohort.store.variants(first, end)["base_pair_location"].to_numpy().astype(np.int64)[keep]
                back = np.flatnonzero(np.diff(places, prepend=last) < 0)
                if back.size:
                    raise InputError(
                        f"variant {numbers[back[0]]} of {contig} at {places[back[0]]:,} stands behind one at a later "
                        "position, so that a window of bases cannot be moved along it: sort the file and convert it again, or give a window "
                        'of variants, as window="500"'
                    )
                last = int(places[-1])
            yield Piece(block, numbers, places)

    def label(self, task: Task) -> str:
        return f"pruning {shown(task.contig)}"

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "cohort": for_blocks(self.cohort)}


def ld_prune(
    cohort: Cohort,
    r2: float = 0.1,
    window: str | int = "1000kb",
    *,
    all_chromosomes: bool = False,
    long_range_ld: bool = True,
    build: str | None = None,
    work: str | Path | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> KeptVariants:
    """Variants of which no two within a window have an r2 above a threshold.

    r2 is the squared correlation of the dosages 0, 1, 2 of the cohort's samples, over those that are observed in both variants. No two
    variants that are kept, within the window, have one above ``r2``; and each that is dropped for LD has one that is kept, within the
    window, with which it has. Of a pair the variant with the more frequent minor allele is kept, the first of equals, but that
    one kept in an earlier segment of the window's length stays. The set is the same whatever the executor and the size of the store's blocks.

    Parameters
    ----------
    cohort : Cohort
        Its samples count: for founders alone, select them first (``cohort.keep_samples``). Variants too: those its filters leave.
    r2 : float
        Largest r2 of two that are kept.
    window : str or int
        "1000kb", "1Mb", "50000bp": two that are at most so far apart are compared; or "500": those among 500 that follow one another.
    all_chromosomes : bool
        X, Y and MT too, where they are counted as the autosomes are; by default autosomes (and contigs of no known chromosome) alone.
    long_range_ld : bool
        Whether regions of long-range LD take part; False leaves them out, as for principal components.
    build : str, optional
        Of the genome, for these regions; by default what the cohort or its store knows.
    work : path, optional
        A folder that keeps finished contigs, so that a killed run carries on from them.
    executor, progress : optional

    Returns
    -------
    KeptVariants
        What `Cohort.keep_variants` takes; ``.table()`` names the variants.

    Raises
    ------
    PlanError
        ``r2`` or ``window`` is none.
    InputError
        Positions of a contig are not ascending; or the build is not known, where regions are to be left out.
    GenassocError
        No variant is left.
    """
    check_not_forked()
    check_cohort(cohort, "ld_prune(cohort)")
    check_executor(executor)
    asked = Pruning(r2, Window.parse(window))
    label = f"r2 at most {asked.r2:g} within {asked.window}"
    if not long_range_ld:
        outside = outside_long_range_ld(cohort, build)
        cohort, label = cohort.keep_variants(outside), f"{label}, {outside.meta.output_name()}"
    runs = [run for run in cohort.store.contig_runs() if run[2] > run[1]]
    taken = [run for run in runs if all_chromosomes or cohort.contigs.autosomal(run[0])]
    elsewhere = sum(stop - start for _, start, stop in runs) - sum(stop - start for _, start, stop in taken)
    if not taken:
        raise GenassocError(
            "no variant of an autosome is there to prune"
            + (": all_chromosomes=True takes X, Y and MT too" if elsewhere else "")
        )
    names = [name for name, _, _ in taken]
    apart = next((name for name in names if names.count(name) > 1), None) if len(set(names)) < len(names) else None
    if apart is not None:
        raise InputError(
            f"the variants of {apart} do not stand together in the store, so that those near one another are not all found: sort the "
            "file and convert it again"
        )
    job = _PruneJob(cohort, asked)
    plan = _plan(cohort, asked, taken)
    kept, counts = _done(job, plan, executor or Threads(), progress or Silent(), work)
    mask = np.zeros(cohort.n_variants, dtype=bool)
    mask[kept] = True
    if not kept.size:
        raise GenassocError(
            f"no variant is left to prune: {'; '.join(f'{n:,} {_REASONS.get(reason, reason)}' for reason, n in counts.dropped.items() if n)}"
        )
    others = {reason: n for reason, n in counts.dropped.items() if n and reason not in _REASONS}
    dropped = {words: counts.dropped.get(reason, 0) for reason, words in _REASONS.items()} | others
    if elsewhere:
        dropped["not on an autosome"] = elsewhere
    return KeptVariants(
        cohort.store, mask, label, dropped, tuple(dosage_notes(cohort, np.flatnonzero(mask), "of the variants kept"))
    )


def _plan(cohort: Cohort, asked: Pruning, taken: list[tuple[str, int, int]]) -> Plan:
    """A task a contig; of very many contigs, as in a draft assembly, neighbours make one."""
    least = sum(stop - start for _, start, stop in taken) // MANY_CONTIGS if len(taken) > MANY_CONTIGS else 0
    tasks: list[Task] = []
    for contig, start, stop in taken:
        if tasks and tasks[-1].stop == start and tasks[-1].n_variants < least:
            first = tasks.pop()
            tasks.append(Task(first.index, first.start, stop, first.contig))
        else:
            tasks.append(Task(len(tasks), start, stop, contig))
    mark = fingerprint(analysis="ld_prune", cohort=cohort.fingerprint, asked=asked)
    return Plan(tuple(tasks), mark, cohort.store.block_variants)


def _done(
    job: _PruneJob, plan: Plan, executor: Executor, progress: Progress, work: str | Path | None
) -> tuple[np.ndarray, Counts]:
    """Numbers of the variants that are kept, ascending, and what became of the others."""
    if work is None:
        state = job.prepare()
        made = [*in_order(lambda task: job.do(state, task), plan.tasks, executor, progress, label=_LABEL)]
        return np.concatenate([output.rows["number"].to_numpy() for output in made]), sum(
            (output.counts for output in made), Counts()
        )
    folder = WorkFolder(work)
    folder.ensure()
    with folder.lock():
        folder.open(plan)
        run(job, plan, executor, folder, progress, label=_LABEL)
        kept = [folder.part_rows(plan, task)["number"].to_numpy() for task in plan.tasks]
        counts = sum(folder.counts(plan).values(), Counts())
        folder.remove()
    return np.concatenate(kept), counts


def prune_to_file(
    store: Path,
    out: Path,
    *,
    r2: float,
    window: str,
    variants: Path | None = None,
    keep: Path | None = None,
    maf: float | None = None,
    missing_rate: float | None = None,
    all_chromosomes: bool = False,
    long_range_ld: bool = True,
    build: str | None = None,
    restart: bool = False,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> KeptVariants:
    """`ld_prune` of a store's samples, or those of a list, into a file; a killed run is taken up from ``<out>.work``."""
    check_outputs([out], [path for path in (store, variants, keep) if path is not None])
    cohort = chosen_of_store(store, variants=variants, keep=keep)
    for predicate in ([] if maf is None else [maf_above(maf)]) + (
        [] if missing_rate is None else [missing_below(missing_rate)]
    ):
        cohort = cohort.keep_variants(predicate)
    work = WorkFolder.beside(out)
    if restart:
        work.remove()
    found = ld_prune(
        cohort, r2, window, all_chromosomes=all_chromosomes, long_range_ld=long_range_ld, build=build, work=work.path,
        executor=executor, progress=progress,
    )  # fmt: skip
    write_variants(out, found)
    return replace(found, notes=(*cohort.notes, *found.notes))  # what there is to say of the lists
