"""An analysis of whole sets of variants as a job: a task reads its sets, neighbouring ones together."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from genassoc.data.analysis import SetAnalysis, State
from genassoc.data.block import GenotypeBlock
from genassoc.data.cohort.kinds import sets_by_kind
from genassoc.data.cohort.ploidy import half_calls, refused_calls
from genassoc.data.result_table import RESULT_SCHEMA
from genassoc.engine.association import AssociationJob, result_rows
from genassoc.engine.job import Counts, TaskOutput
from genassoc.engine.plan import Task
from genassoc.shapes import Int64Array

if TYPE_CHECKING:
    from genassoc.models.base import BlockResult

_AT = "\0set"  # a column that no table has


def sites(variants: pl.DataFrame, size: int) -> pl.DataFrame:
    """A table with one row for each record, from that of its alleles, ``size`` to a record: ALTs joined by commas, as VCF writes them."""
    of_set = pl.int_range(pl.len()) // size
    return (
        variants.with_columns(of_set.alias(_AT))
        .group_by(_AT, maintain_order=True)
        .agg(pl.exclude("effect_allele").first(), pl.col("effect_allele").str.join(","))
        .select(variants.columns)
    )


@dataclass(frozen=True)
class WholeSets(AssociationJob[State]):
    """A job whose tasks own whole sets of variants and read them, neighbouring ones together.

    Attributes
    ----------
    members : tuple of int64 arrays
        The variants of each set, as given to `Plan.by_set`.
    """

    members: tuple[Int64Array, ...] = ()

    def _read(self, task: Task) -> Iterator[tuple[range, GenotypeBlock | None, Int64Array, Counts]]:
        """Run after run of the task's sets: those variants that are selected (None: none is), their numbers, and counts of all."""
        for first, last in self._pieces(task):
            numbers = np.unique(np.concatenate(self.members[first:last]))
            yield range(first, last), *self._selected(numbers, task.contig)

    def _pieces(self, task: Task) -> Iterator[tuple[int, int]]:
        """Runs (first, last) of the task's sets whose variants fit into one block; a set larger than a block is a run by itself."""
        first, stop = task.first_set, task.first_set + task.n_sets
        while first < stop:
            start, end, last = self.members[first][0], self.members[first][-1], first + 1
            while last < stop and max(end, self.members[last][-1]) - start < self.block_variants:
                end = max(end, self.members[last][-1])
                last += 1
            yield first, last
            first = last

    def _selected(self, numbers: Int64Array, contig: str) -> tuple[GenotypeBlock | None, Int64Array, Counts]:
        """Those of some variants (ascending numbers) that are selected: their block, their numbers, and counts of kept and dropped variants."""
        start, stop = int(numbers[0]), int(numbers[-1]) + 1
        at = numbers - start
        if not self.cohort.selected_without_genotypes(start, stop)[at].any():
            return None, numbers[:0], Counts(numbers.size, 0, 0, {"the selection": numbers.size})
        calls = self.cohort.read(start, stop, dosages=True)
        keep, dropped = self.cohort.select_variants(start, stop, calls)
        reasons: dict[str, int] = {}
        wanted = np.isin(np.flatnonzero(~keep), at)
        for reason, n in dropped.filter(pl.Series(wanted)).group_by("reason").len().iter_rows():
            reasons[str(reason)] = n
        by_contig = {reason: {contig: n} for reason, n in reasons.items()}
        half = half_calls(calls.take(np.isin(np.arange(stop - start), at)), contig)
        kept = numbers[keep[at]]
        counts = Counts(numbers.size, kept.size, 0, reasons, half, by_contig)
        if not kept.size:
            return None, kept, counts
        chosen = np.zeros(stop - start, dtype=bool)
        chosen[kept - start] = True
        block = calls.take(chosen)
        return block, kept, counts + Counts(refused=refused_calls(block))


@dataclass(frozen=True)
class SetJob(WholeSets[State]):
    """One analysis of sets of variants; a set has one row for each trait, whatever its size.

    Attributes
    ----------
    described : callable
        Makes the table of sets from that of their variants and the size of a set.
    """

    analysis: SetAnalysis[State, "BlockResult"]
    described: Callable[[pl.DataFrame, int], pl.DataFrame] = sites

    def do(self, state: State, task: Task) -> TaskOutput:
        """Rows of the task's sets, in the order of the sets, and counts of their variants."""
        frames: list[pl.DataFrame] = []
        counts = Counts()
        for sets, block, kept, tally in self._read(task):
            counts += tally
            if block is not None:
                frames += self._rows(state, block, kept, sets)
        if not frames:
            return TaskOutput(pl.DataFrame(schema=RESULT_SCHEMA), counts)
        rows = pl.concat(frames).sort(_AT, maintain_order=True).drop(_AT)
        return TaskOutput(rows, counts)

    def _rows(self, state: State, block: GenotypeBlock, kept: Int64Array, sets: range) -> list[pl.DataFrame]:
        """Rows of a run of sets, sets of one size together; ``kept`` (V,) are the numbers of the block's variants."""
        by_size: dict[int, list[tuple[int, Int64Array]]] = {}
        for number in sets:
            at = np.flatnonzero(np.isin(kept, self.members[number]))
            if at.size:
                by_size.setdefault(at.size, []).append((number, at))
        start, stop = int(kept[0]), int(kept[-1]) + 1
        variants = self.cohort.store.variants(start, stop)[kept - start]
        frames = []
        for size, members in by_size.items():
            at = np.concatenate([places for _, places in members])
            numbers = np.array([number for number, _ in members])
            table = self.described(variants[at], size)
            for sets_of_kind, of_kind in sets_by_kind(block.take(at), size):
                rows = result_rows(table[sets_of_kind], self.analysis.sets(state, of_kind, size))
                at_set = np.repeat(numbers[sets_of_kind], rows.height // sets_of_kind.size)
                frames.append(rows.with_columns(pl.Series(_AT, at_set)))
        return frames
