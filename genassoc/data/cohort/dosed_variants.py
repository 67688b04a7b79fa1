"""What is to be said where calls were taken for variants that have dosages."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from genassoc.shapes import Int64Array

if TYPE_CHECKING:
    from genassoc.data.cohort.cohort import Cohort


def dosage_notes(cohort: "Cohort", numbers: Int64Array, which: str = "of the variants") -> list[str]:
    """A note that some variants of the store, ascending ``numbers``, have dosages; none where no one has. ``which`` says which variants these are."""
    if not cohort.has_dosages:
        return []
    block, n = cohort.store.block_variants, 0
    for start in range(0, cohort.n_variants, block):
        stop = min(start + block, cohort.n_variants)
        chosen = numbers[np.searchsorted(numbers, start) : np.searchsorted(numbers, stop)] - start
        if chosen.size:
            n += int(np.count_nonzero(cohort.store.dosage_steps(start, stop)[chosen]))
    words = "have dosages: calls were taken for these, dosages within a tenth of a copy, the others as not observed"
    return [f"{n:,} {which} {words}"] if n else []


def variants_on(cohort: "Cohort", chosen: Callable[[str], bool]) -> Int64Array:
    """Numbers of the store's variants on the contigs for which ``chosen`` holds, ascending."""
    runs = [
        np.arange(first, last, dtype=np.int64) for contig, first, last in cohort.store.contig_runs() if chosen(contig)
    ]
    return np.sort(np.concatenate([np.zeros(0, np.int64), *runs]))
