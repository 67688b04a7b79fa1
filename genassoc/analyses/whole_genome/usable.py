"""Which variants a whole-genome regression uses, found in a pass over the genotypes; and the blocks that they make."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from genassoc.analyses.whole_genome.frame import BlockSpan
from genassoc.analyses.whole_genome.genotypes import code_counts, varies
from genassoc.data.block import Block, GenotypeBlock, places_of
from genassoc.shapes import Int64Array

if TYPE_CHECKING:
    from genassoc.data.cohort.cohort import Cohort


@dataclass(frozen=True)
class Variation:
    """Variants by their numbers in the store, ascending.

    Attributes
    ----------
    varying : int64 array
        Selected, and of two genotypes or more among the samples.
    constant : int64 array
        Selected, and of one genotype, or not observed at all.
    """

    varying: Int64Array
    constant: Int64Array


@dataclass(frozen=True, eq=False)
class UsableVariants:
    """Sorts the selected variants into those that vary among ``columns`` (int64 (n,)) and those that do not."""

    columns: Int64Array
    passes: ClassVar[tuple[str, ...]] = ("choosing variants",)

    @property
    def sums(self) -> type[Variation]:
        """`Variation`."""
        return Variation

    def prepare(self, cohort: "Cohort", before: Variation | None = None) -> Int64Array:
        """The columns."""
        return self.columns

    def block(self, state: Int64Array, block: Block) -> Variation:
        """Those of one block."""
        assert isinstance(block, GenotypeBlock)
        varying, numbers = varies(code_counts(block, state)), places_of(block).numbers
        return Variation(numbers[varying], numbers[~varying])

    def combine(self, one: Variation, other: Variation) -> Variation:
        """Of both; they follow one another."""
        return Variation(np.concatenate([one.varying, other.varying]), np.concatenate([one.constant, other.constant]))


def block_spans(
    varying: Int64Array, runs: Sequence[tuple[str, int, int]], chromosome_of: dict[str, int], block_size: int
) -> tuple[BlockSpan, ...]:
    """Blocks of ``block_size`` variants, fewer at the end of a run.

    Parameters
    ----------
    varying : int64 array
        Variants that are used, ascending.
    runs : sequence of (contig, start, stop)
        Of the store; of contigs that have no place in ``chromosome_of`` no block is made.
    """
    blocks: list[BlockSpan] = []
    for contig, start, stop in runs:
        if contig not in chromosome_of:
            continue
        first, last = np.searchsorted(varying, [start, stop])
        for at in range(int(first), int(last), block_size):
            end = min(at + block_size, int(last))
            span = int(varying[at]), int(varying[end - 1]) + 1
            blocks.append(BlockSpan(contig, chromosome_of[contig], *span, end - at))
    return tuple(blocks)
