"""Which variants principal components are fitted on: autosomal, common enough, outside regions of long-range LD; and what was left out."""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from genassoc.analyses.components.standardisation import Standardisation
from genassoc.data.block import GenotypeBlock
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.dosed_variants import dosage_notes
from genassoc.data.cohort.long_range_ld import known_build, outside_long_range_ld
from genassoc.data.cohort.variant_selection import VariantSelection
from genassoc.data.schema import NOT_OBSERVED
from genassoc.engine.executors import Executor
from genassoc.engine.plan import Plan, Task
from genassoc.errors import GenassocError
from genassoc.kernels.genotypes.counts import count_codes, mask_words
from genassoc.progress import Progress
from genassoc.shapes import BoolArray, Float64Array, Int64Array, UInt64Array
from genassoc.verbs.blocks import over_blocks

# Tasks of a pass: each leaves sums of samples times columns behind, which cost as much as 2,000 variants to keep on a disk; 64 of them keep a
# cluster busy, and more would fill the disk.
_TASK_VARIANTS, _FEWEST_TASKS, _MOST_TASKS = 20_000, 8, 64

ELSEWHERE, LONG_RANGE, RARE, CONSTANT = (
    "not on an autosome", "in regions of long-range LD", "rarer than the least maf", "without variation among the samples of the fit",
)  # fmt: skip
FILTERED = "left out by the cohort's filters"


@dataclass(frozen=True)
class FittedVariants:
    """The variants of a fit.

    Attributes
    ----------
    numbers : int64 array (M,)
        In the store, ascending.
    counts : int64 array (M, 4)
        Samples of the fit with code 0, 1, 2, 3.
    dropped : dict of str to int
        Reason -> variants.
    notes : tuple of str
    """

    numbers: Int64Array
    counts: Int64Array
    dropped: dict[str, int]
    notes: tuple[str, ...]

    @property
    def standardisation(self) -> Standardisation:
        """What their calls become."""
        return Standardisation.of_counts(self.numbers, self.counts)

    @property
    def call_rate(self) -> Float64Array:
        """Share of the samples of the fit in which each is observed, (M,)."""
        return np.asarray(self.counts[:, :NOT_OBSERVED].sum(axis=1) / self.counts.sum(axis=1))

    def of(self, cohort: Cohort) -> Cohort:
        """The cohort with these variants and no other condition on them."""
        return only(cohort, self.numbers)


def only(cohort: Cohort, numbers: Int64Array) -> Cohort:
    """The cohort with variants of these numbers, in place of its own selection."""
    mask = np.zeros(cohort.n_variants, dtype=bool)
    mask[numbers] = True
    return replace(cohort, selection=VariantSelection(mask=mask))


def plan_of(cohort: Cohort, numbers: Int64Array, mark: str) -> Plan:
    """Tasks over the stretches of the store that hold these variants, cut at its blocks: the same on every executor."""
    block = cohort.store.block_variants
    runs = [(contig, start, stop) for contig, start, stop in cohort.store.contig_runs() if stop > start]
    held = [(c, a, b) for c, a, b in runs if np.searchsorted(numbers, a) < np.searchsorted(numbers, b)]
    total = sum(b - a for _, a, b in held)
    least = -(-total // min(max(total // _TASK_VARIANTS, _FEWEST_TASKS), _MOST_TASKS))
    tasks: list[Task] = []
    for piece in Plan.by_block(held, block).tasks:
        last = tasks[-1] if tasks else None
        if last is not None and last.stop == piece.start and last.n_variants < least:
            same = last.contig == piece.contig
            tasks[-1] = replace(
                last,
                stop=piece.stop,
                contig=last.contig if same else f"{last.contig.split(' to ')[0]} to {piece.contig}",
            )
        else:
            tasks.append(replace(piece, index=len(tasks)))
    return Plan(tuple(tasks), mark, block)


def variants_to_fit(
    cohort: Cohort,
    *,
    min_maf: float,
    long_range_ld: bool | None,
    build: str | None,
    executor: Executor | None,
    progress: Progress | None,
) -> FittedVariants:
    """The variants of a cohort, all of whose samples are fitted, that components are fitted on.

    Raises
    ------
    InputError
        Regions of long-range LD are to be left out, and the build is not known.
    GenassocError
        None is left; says what left them out.
    """
    outside, notes = _outside(cohort, long_range_ld, build)
    autosomal = np.zeros(cohort.n_variants, dtype=bool)
    for contig, first, last in cohort.store.contig_runs():
        autosomal[first:last] = cohort.contigs.autosomal(contig)
    free = replace(
        outside, selection=VariantSelection(predicates=outside.selection.predicates[len(cohort.selection.predicates) :])
    )
    words = mask_words(cohort.block_columns, cohort.block_width)
    from_store = cohort.n_samples == cohort.store.n_samples and not cohort.selection.on_genotypes

    def one(start: int, stop: int) -> tuple[Int64Array, Int64Array, dict[str, int]]:
        here = autosomal[start:stop]
        dropped = {ELSEWHERE: int((~here).sum())}
        near = here & ~free.selected_without_genotypes(start, stop)
        dropped[LONG_RANGE] = int(near.sum())
        chosen = here & ~near & cohort.selected_without_genotypes(start, stop)
        none = np.empty(0, dtype=np.int64), np.empty((0, 4), dtype=np.int64)
        if not chosen.any():
            dropped[FILTERED] = int((here & ~near).sum())
            return *none, dropped
        known = cohort.store.call_counts(start, stop) if from_store and not cohort.ploidy.kinds(start, stop) else None
        if known is not None:
            counts = known[:, :4].astype(np.int64)
        else:
            block = cohort.read(start, stop)
            counts = _counts(block, words)
            chosen &= _filtered(cohort, start, stop, block)
        dropped[FILTERED] = int((here & ~near & ~chosen).sum())
        numbers, counts = np.flatnonzero(chosen) + start, counts[chosen]
        observed = counts[:, :NOT_OBSERVED].sum(axis=1)
        af = (counts[:, 1] + 2 * counts[:, 2]) / np.maximum(2 * observed, 1)
        constant = (observed == 0) | (af <= 0.0) | (af >= 1.0)
        rare = ~constant & (np.minimum(af, 1.0 - af) < min_maf)
        dropped |= {RARE: int(rare.sum()), CONSTANT: int(constant.sum())}
        keep = ~rare & ~constant
        return numbers[keep], counts[keep], dropped

    parts = over_blocks(cohort, one, executor, progress, "counting alleles")
    total = {
        reason: sum(part[2].get(reason, 0) for part in parts)
        for reason in (ELSEWHERE, LONG_RANGE, FILTERED, RARE, CONSTANT)
    }
    total = {reason: n for reason, n in total.items() if n}
    numbers = np.concatenate([part[0] for part in parts])
    if not numbers.size:
        raise GenassocError(
            "no variant is left to fit principal components on: "
            + ("; ".join(f"{n:,} {reason}" for reason, n in total.items()) or "the store is empty")
        )
    return FittedVariants(
        numbers, np.concatenate([part[1] for part in parts]), total, (*notes, *dosage_notes(cohort, numbers))
    )


def _counts(block: GenotypeBlock, words: UInt64Array) -> Int64Array:
    """Codes of the samples that ``words`` select, (V, 4)."""
    counts = np.empty((block.n_variants, 4), dtype=np.int64)
    count_codes(np.ascontiguousarray(block.packed).view(np.uint64), words, counts)
    return counts


def _filtered(cohort: Cohort, start: int, stop: int, block: GenotypeBlock) -> BoolArray:
    if not cohort.selection.on_genotypes:
        return np.ones(stop - start, dtype=bool)
    if cohort.has_dosages:
        block = cohort.read(start, stop, dosages=True)
    return cohort.select_variants(start, stop, block)[0]


def _outside(cohort: Cohort, long_range_ld: bool | None, build: str | None) -> tuple[Cohort, list[str]]:
    """The cohort without regions of long-range LD, where they are left out, and what is to be known of it."""
    if long_range_ld:
        return cohort, ["regions of long-range LD took part, as asked"]
    if long_range_ld is None and (cohort.contigs.many or known_build(cohort, build) is None):
        why = "the chromosomes are not those of man" if cohort.contigs.many else "the build of the genome is not known"
        return cohort, [
            f"regions of long-range LD took part: {why}; components may describe an inversion or the HLA (give build= to leave "
            "these regions out)"
        ]
    outside: pl.Expr = outside_long_range_ld(cohort, build)
    return cohort.keep_variants(outside), [f"regions of long-range LD left out: those of {known_build(cohort, build)}"]
