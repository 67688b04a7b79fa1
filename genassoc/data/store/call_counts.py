"""Counts of the calls of every variant among all samples of a store: made while it is written, kept beside the calls.

Quality control of whole stores is then a matter of six numbers a variant, where reading and unpacking the calls was most
of its cost. Counts of some samples are made from the calls, as ever.
"""

from typing import TYPE_CHECKING

import numpy as np

from genassoc.kernels.genotypes.counts import count_codes, count_haploid, mask_words
from genassoc.shapes import Int32Array, UInt8Array

if TYPE_CHECKING:
    import polars as pl

    from genassoc.data.cohort.cohort import Cohort


def count_calls(packed: UInt8Array, haploid: UInt8Array | None, n_samples: int) -> Int32Array:
    """Count the calls of V variants.

    Parameters
    ----------
    packed : uint8 array (V, B)
    haploid : uint8 array (V, ceil(N / 8)) or None
    n_samples : int
        N: the padding is not counted.

    Returns
    -------
    int32 array (V, 6)
        In the order of `schema.CALL_COUNTS`.
    """
    everyone = mask_words(np.arange(n_samples), n_samples)
    codes, of_haploid = (np.zeros((len(packed), n), dtype=np.int64) for n in (4, 2))
    words = np.ascontiguousarray(packed).view(np.uint64)
    count_codes(words, everyone, codes)
    if haploid is not None:
        count_haploid(words, haploid, everyone, of_haploid)
    return np.hstack([codes, of_haploid]).astype(np.int32)


def stored_statistics(cohort: "Cohort", start: int, stop: int) -> "pl.DataFrame | None":
    """The statistics of `Cohort.variant_statistics` of the variants start to stop, from the counts that the store keeps.

    None where the calls must be read: the store has no counts, the cohort lacks samples of the store or selects variants by
    their genotypes, or the variants lie on X, Y or MT, where what counts depends on sex and place.

    Raises
    ------
    StoreError
        The counts are damaged.
    """
    from genassoc.data.cohort.variant_statistics import autosomal_statistics

    some_samples = cohort.n_samples != cohort.store.n_samples
    if some_samples or cohort.selection.on_genotypes or cohort.ploidy.kinds(start, stop):
        return None
    counts = cohort.store.call_counts(start, stop)
    if counts is None:
        return None
    wide = counts.astype(np.int64)
    sums = cohort.store.dosage_sums(start, stop)
    steps = None if sums is None else cohort.store.dosage_steps(start, stop)
    return autosomal_statistics(wide[:, :4], wide[:, 4:], sums, steps)
