"""Records of the VCF that have several ALTs: the store keeps a row for each ALT, and which record it is of."""

import numpy as np

from genassoc.data.cohort.cohort import Cohort
from genassoc.errors import PlanError
from genassoc.shapes import Int64Array

_VARIANTS = 2**20  # whose records are looked at at a time


def multi_allelic_records(cohort: Cohort) -> tuple[Int64Array, ...]:
    """The variants of each record with several ALTs, in store order.

    Raises
    ------
    PlanError
        There is none.
    """
    records = np.concatenate(
        [
            cohort.store.records(start, min(start + _VARIANTS, cohort.n_variants))
            for start in range(0, cohort.n_variants, _VARIANTS)
        ]
    )
    first = np.flatnonzero(np.diff(records, prepend=records[0] - 1))
    size = np.diff(first, append=records.size)
    found = tuple(np.arange(a, a + n) for a, n in zip(first[size > 1], size[size > 1]))
    if not found:
        raise PlanError(
            "alleles='joint' tests records with several ALTs, and the store has none: those that were split before they were converted "
            "(bcftools norm -m -) are records of one ALT each; join them first (bcftools norm -m +)."
        )
    return found
