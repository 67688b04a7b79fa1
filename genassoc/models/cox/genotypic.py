"""The genotypic model of Cox regression: every row fitted with copies and heterozygotes, on its complete cases."""

import numpy as np

from genassoc.data.block import Block, GenotypeBlock
from genassoc.kernels.genotypes.counts import count_codes
from genassoc.models.base import CODES, METHODS, BlockResult
from genassoc.models.cox.interaction import counts
from genassoc.models.cox.null import NullCox
from genassoc.models.cox.pairs import Survival, fill
from genassoc.models.scan.family import Choices
from genassoc.models.scan.genotypic import TESTS, Classes, as_rows, stacked, with_genotypes
from genassoc.models.scan.interaction import Terms
from genassoc.models.scan.pair_rows import PairRows
from genassoc.models.scan.product import minor_counts
from genassoc.models.scan.rows import chunks
from genassoc.models.scan.screen import State
from genassoc.models.scan.sums import allele_counts, genotype_sums
from genassoc.shapes import Array

_TERMS = Terms(np.empty(0), TESTS, np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]), (), 0)


def test_block(choices: Choices, state: State, block: Block) -> BlockResult:
    """V x T x 3 rows; ``choices.test`` is "wald" or "lrt", ``correction`` "firth" or None.

    Raises
    ------
    TypeError
        The block holds dosages: a genotype is not known there.
    """
    calls = with_genotypes(block)
    columns = stacked([_of_endpoint(choices, null, calls) for null in state.nulls])
    return as_rows(state.traits, columns, {"method": METHODS, "code": CODES})


test_block.__test__ = False  # type: ignore[attr-defined]  # its name is not a test's


def _of_endpoint(choices: Choices, null: NullCox, block: GenotypeBlock) -> dict[str, Array]:
    """The three rows of each variant for one endpoint: columns (V, 3)."""
    V = block.n_variants
    straight = np.zeros(V, dtype=bool)  # of ALT: copies and heterozygotes are no mirror images
    own = genotype_sums(block, straight, null.columns, null.mask)
    events = allele_counts(block, null.columns[null.sets.event], null.event_mask)
    classes = np.empty((V, 4), np.int64)
    count_codes(block.packed.view(np.uint64), null.mask, classes)
    rows, usable = PairRows.empty(_TERMS, V), np.ones(V, dtype=bool)
    for bad, code in (
        *Classes(classes).without_estimate(own.mac, choices.min_mac, null.Q.shape[1] + 1),
        (events.n == 0, "no_events"),
        (np.full(V, null.failure is not None), null.failure),
    ):
        rows.fail(usable & bad, CODES.index(code))
        usable &= ~bad
    variants = np.flatnonzero(usable)
    for first, last in chunks(variants.size, null.n):
        some = variants[first:last]
        for v, g in zip(some, minor_counts(block, straight, some, null.columns)):
            het = np.where(np.isnan(g), np.nan, g == 1)
            fill(choices, Survival.of(null, np.column_stack([g, het]), False), _TERMS, int(v), rows)
    return rows.finished(straight) | counts(choices, null, own, events, len(TESTS))
