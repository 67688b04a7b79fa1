"""Calls as arrays of other libraries, for exploring: scikit-allel and Dask."""

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from genassoc.data.block import copies_of
from genassoc.data.cohort.cohort import Cohort
from genassoc.data.cohort.kinds import by_kind
from genassoc.shapes import Int64Array
from genassoc.verbs.arguments import check_cohort

if TYPE_CHECKING:
    import allel
    import dask.array


def selected_variants(cohort: Cohort, start: int, stop: int) -> Int64Array:
    """Numbers of the variants from start to stop that the cohort keeps; reads genotypes only where a filter needs them."""
    if cohort.selection.selects_all:
        return np.arange(start, stop)
    numbers = [np.zeros(0, np.int64)]
    for first in range(start, stop, cohort.store.block_variants):
        last = min(first + cohort.store.block_variants, stop)
        keep = cohort.selected_without_genotypes(first, last)
        if keep.any() and cohort.selection.on_genotypes:
            keep = cohort.select_variants(first, last, cohort.read(first, last, dosages=True))[0]
        numbers.append(first + np.flatnonzero(keep))
    return np.concatenate(numbers)


def to_allel(cohort: Cohort, start: int = 0, stop: int | None = None) -> "allel.GenotypeArray":
    """Calls as scikit-allel's ``GenotypeArray`` (V, N, 2), unphased, -1 not observed.

    Of the variants start to stop of the store those that the cohort keeps, as `keep_variants` has selected. A phase is not
    kept in the store: a heterozygote is 0, 1. A haploid call is the allele and -1. Of dosages it is the copies within a tenth,
    else not observed.
    """
    import allel

    check_cohort(cohort, "to_allel(cohort)")
    stop = cohort.n_variants if stop is None else stop
    block = cohort.read(start, stop)
    at = selected_variants(cohort, start, stop) - start
    codes = block.codes()[at][:, cohort.block_columns]
    alleles = np.array([[0, 0], [0, 1], [1, 1], [-1, -1]], dtype=np.int8)[codes]
    if block.haploid is not None:
        marks = np.unpackbits(block.haploid[at], axis=1, bitorder="little", count=block.n_samples)
        alleles[marks[:, cohort.block_columns].astype(bool), 1] = -1
    return allel.GenotypeArray(alleles)


def to_dask(cohort: Cohort) -> "dask.array.Array":
    """Copies of ALT as a Dask array (variants, samples) of int8, -1 not observed, a chunk a block. For exploring.

    Where the store has dosages, of float32, dosages as they are, NaN not observed.

    The variants are those that the cohort keeps; filters on genotypes are counted now, in one pass.
    """
    import dask
    import dask.array as da

    check_cohort(cohort, "to_dask(cohort)")

    def codes(start: int, stop: int, at: Int64Array) -> NDArray[np.int8]:
        calls = cohort.read(start, stop).codes()[at][:, cohort.block_columns].astype(np.int8)
        calls[calls == 3] = -1
        return calls

    def dosages(start: int, stop: int, at: Int64Array) -> NDArray[np.float32]:
        copies = np.empty((at.size, cohort.n_samples), np.float32)
        for rows, block in by_kind(cohort.read(start, stop, dosages=True).take(at)):
            copies[rows] = copies_of(block)[:, cohort.block_columns]
        return copies

    step = cohort.store.block_variants
    kind = np.float32 if cohort.has_dosages else np.int8
    read = dosages if cohort.has_dosages else codes
    pieces = []
    for start in range(0, cohort.n_variants, step):
        stop = min(start + step, cohort.n_variants)
        at = selected_variants(cohort, start, stop) - start
        if at.size:
            piece = dask.delayed(read, name=f"calls-{cohort.fingerprint}-{start}")(start, stop, at)
            pieces.append(da.from_delayed(piece, shape=(at.size, cohort.n_samples), dtype=kind))
    if not pieces:
        return da.zeros((0, cohort.n_samples), dtype=kind)
    return da.concatenate(pieces, axis=0)
