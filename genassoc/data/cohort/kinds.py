"""Rows of dosages of a cohort: read beside the calls, as sex and ploidy let them be, and cut into blocks of one kind for analyses."""

from dataclasses import replace

import numpy as np

from genassoc.data.block import (
    AUTOSOMAL,
    MOST_STEPS,
    NO_DOSAGE,
    Block,
    DosageBlock,
    DosageRows,
    GenotypeBlock,
    places_of,
)
from genassoc.data.cohort.contigs import Y
from genassoc.data.cohort.ploidy import FEMALE, PloidyRules
from genassoc.kernels.genotypes.dosage_rows import StoredRows, rows_with_probabilities
from genassoc.shapes import BoolArray, Int64Array, UInt8Array, UInt16Array

_NO_BITS = np.zeros((0, 0), np.uint8)


def without_refused(block: GenotypeBlock, has_dosage: BoolArray) -> GenotypeBlock:
    """A block whose rows of dosages (``has_dosage``, (V,)) count no refused calls: their calls are what dosages are nearest to.

    A dosage between the copies of a haploid sample is an uncertain one, and no impossible call.
    """
    if block.places is None or not (block.places.refused.any() and has_dosage.any()):
        return block
    refused = block.places.refused.copy()
    refused[has_dosage] = 0
    return replace(block, places=replace(block.places, refused=refused))


def with_dosages(block: GenotypeBlock, rows: DosageRows, rules: PloidyRules) -> GenotypeBlock:
    """A block of calls with the dosages of its rows: those of females on Y are not observed, and counted as refused."""
    has = rows.steps > 0
    females = rules.columns_of(FEMALE)
    if not females.size or block.places is None:
        return replace(block, dosages=rows)
    on_y = np.zeros(block.n_variants, bool)
    for kind, first, last in rules.kinds(block.start, block.start + block.n_variants):
        on_y[first - block.start : last - block.start] |= kind == Y
    at = np.flatnonzero(on_y & has & (block.places.ploidy != AUTOSOMAL))
    if not at.size:
        return replace(block, dosages=rows)
    mine = (np.cumsum(has) - 1)[at]
    refused, values = block.places.refused.copy(), rows.values.copy()
    of_females = np.ix_(mine, females)
    refused[at, 1] = (values[of_females] != NO_DOSAGE).sum(axis=1)
    values[of_females] = NO_DOSAGE
    homozygous = None if rows.homozygous is None else rows.homozygous.copy()
    if homozygous is not None:
        homozygous[of_females] = NO_DOSAGE
    return replace(
        block, places=replace(block.places, refused=refused), dosages=DosageRows(rows.steps, values, homozygous)
    )


def stored_rows(rows: DosageRows, haploid: UInt8Array | None = None) -> StoredRows:
    """Rows of dosages as kernels take them; ``haploid`` (D, H) are marks of the same rows."""
    none = np.zeros((0, 0), np.uint16)
    return StoredRows(
        np.ascontiguousarray(rows.values),
        none if rows.homozygous is None else np.ascontiguousarray(rows.homozygous),
        _NO_BITS if haploid is None else np.ascontiguousarray(haploid),
    )


def by_kind(block: Block) -> list[tuple[Int64Array, Block]]:
    """A block cut into one of calls, and one of dosages for all rows of equal steps whose probabilities are all known, or not.

    Returns
    -------
    list of (rows, block)
        ``rows`` are ascending numbers of rows of ``block``; each is in one of the blocks. A row is in the same kind of block whatever
        others there are.
    """
    everything = np.arange(block.n_variants, dtype=np.int64)
    if isinstance(block, DosageBlock) or block.dosages is None:
        return [(everything, block)]
    rows = block.dosages
    calls = replace(block, dosages=None)
    if not rows.values.shape[0]:
        return [(everything, calls)]
    parts: list[tuple[Int64Array, Block]] = []
    of_calls = everything[rows.steps == 0]
    if of_calls.size:
        parts.append((of_calls, calls.take(of_calls)))
    with_dosage = everything[rows.steps > 0]
    steps, known = rows.steps[with_dosage], _known(rows)
    for kind in np.unique(np.column_stack([steps, known]), axis=0):
        mine = np.flatnonzero((steps == kind[0]) & (known == kind[1]))
        parts.append((with_dosage[mine], _dosages(calls, rows, with_dosage[mine], mine, bool(kind[1]))))
    return parts


def _known(rows: DosageRows) -> UInt16Array:
    """Of each row with dosages, whether the probabilities of all its samples are known, (D,)."""
    known = np.zeros(len(rows.values), np.uint8)
    if rows.homozygous is not None:
        rows_with_probabilities(stored_rows(rows), known)
    return known.astype(np.uint16)


def _dosages(block: GenotypeBlock, rows: DosageRows, at: Int64Array, mine: Int64Array, known: bool) -> DosageBlock:
    """The rows ``mine`` of the dosages, which are the rows ``at`` of the block."""
    whole = mine.size == len(rows.values)
    haploid = None if block.haploid is None else block.haploid[at]
    homozygous = rows.homozygous if known else None
    return DosageBlock(
        rows.values if whole else rows.values[mine],
        block.start,
        places=places_of(block).take(at),
        contig=block.contig,
        steps=int(rows.steps[at[0]]),
        homozygous=homozygous if whole or homozygous is None else homozygous[mine],
        haploid=haploid if haploid is not None and haploid.any() else None,
    )


def sets_by_kind(block: Block, size: int) -> list[tuple[Int64Array, Block]]:
    """As `by_kind`, of sets of ``size`` neighbouring rows, which stay together: numbers of sets, and the block of their rows.

    A set with dosages is one of dosages: its calls are whole copies. Where its rows have different steps, all have `MOST_STEPS`.
    """
    n_sets = block.n_variants // size
    everything = np.arange(n_sets, dtype=np.int64)
    if isinstance(block, DosageBlock) or block.dosages is None:
        return [(everything, block)]
    rows = block.dosages
    if not len(rows.values):
        return [(everything, replace(block, dosages=None))]
    steps = rows.steps.reshape(n_sets, size).astype(np.int64)
    most = steps.max(axis=1)
    equal = ((steps == most[:, None]) | (steps == 0)).all(axis=1)
    scale = np.where(equal, most, MOST_STEPS)
    known = np.ones(block.n_variants, np.int64)
    known[rows.steps > 0] = _known(rows)
    kinds = np.column_stack([scale, np.where(most > 0, known.reshape(n_sets, size).min(axis=1), 0)])
    parts: list[tuple[Int64Array, Block]] = []
    for kind in np.unique(kinds, axis=0):
        sets = everything[(kinds == kind).all(axis=1)]
        mine = block.take((sets[:, None] * size + np.arange(size)).reshape(-1))
        parts.append(
            (sets, replace(mine, dosages=None) if kind[0] == 0 else _as_dosages(mine, int(kind[0]), bool(kind[1])))
        )
    return parts


def together(block: Block) -> Block:
    """All rows of a block in one of one kind: of calls, or of dosages where any row has some."""
    return sets_by_kind(block, block.n_variants)[0][1]


def _as_dosages(block: GenotypeBlock, steps: int, known: bool) -> DosageBlock:
    """All rows of a block as dosages in ``steps`` of a copy; probabilities where these are known of all."""
    rows = block.dosages
    assert rows is not None
    has = rows.steps > 0
    shape = (block.n_variants, block.n_samples)
    values = np.empty(shape, np.uint16)
    homozygous = np.empty(shape, np.uint16) if known else None
    calls = block.take(~has).codes()
    values[~has] = np.array([0, steps, 2 * steps, NO_DOSAGE], np.uint16)[calls]
    values[has] = _rescaled(rows.values, rows.steps[has], steps)
    if homozygous is not None:
        homozygous[~has] = np.array([0, 0, steps, NO_DOSAGE], np.uint16)[calls]
        if rows.homozygous is not None:
            homozygous[has] = np.minimum(_rescaled(rows.homozygous, rows.steps[has], steps), values[has] // 2)
            homozygous[has] = np.where(values[has] == NO_DOSAGE, NO_DOSAGE, homozygous[has])
    return DosageBlock(
        values,
        block.start,
        places=places_of(block),
        contig=block.contig,
        steps=steps,
        homozygous=homozygous,
        haploid=block.haploid,
    )


def _rescaled(values: UInt16Array, steps: UInt16Array, to: int) -> UInt16Array:
    """Values (D, N) of ``steps`` (D,) in other steps."""
    if (steps == to).all():
        return values
    scaled = np.rint(values * (to / steps.astype(np.float64))[:, None])
    return np.where(values == NO_DOSAGE, NO_DOSAGE, scaled).astype(np.uint16)
