"""Counts of the calls of every variant among all samples of a store: made while it is written, kept beside the calls.

Quality control of whole stores is then a matter of six numbers a variant, where reading and unpacking the calls was most
of its cost. Counts of some samples are made from the calls, as ever.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from genassoc.data import schema
from genassoc.data.block import GenotypeBlock
from genassoc.data.cohort.variant_statistics import autosomal_statistics, code_counts, haploid_counts
from genassoc.kernels.genotypes.counts import mask_words
from genassoc.shapes import Int32Array, UInt8Array

if TYPE_CHECKING:
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
    block = GenotypeBlock(packed, n_samples, haploid=haploid)
    return np.hstack([code_counts(block, everyone), haploid_counts(block, everyone)]).astype(np.int32)


def counts_frame(counts: Int32Array) -> pl.DataFrame:
    """Counts (V, 6) as columns of a part's table."""
    return pl.DataFrame({name: counts[:, i] for i, name in enumerate(schema.CALL_COUNTS)})


def is_part_table(path: Path) -> bool:
    """Whether the table of a part exists and has the counts, which earlier versions did not write."""
    return path.exists() and set(schema.CALL_COUNTS) <= set(pl.scan_parquet(path, glob=False).collect_schema())


def stored_statistics(cohort: "Cohort", start: int, stop: int) -> pl.DataFrame | None:
    """The statistics of `Cohort.variant_statistics` of the variants start to stop, from the counts that the store keeps.

    None where the calls must be read: the store has no counts, the cohort lacks samples of the store or selects variants by
    their genotypes, or the variants lie on X, Y or MT, where what counts depends on sex and place.

    Raises
    ------
    StoreError
        The counts are damaged.
    """
    some_samples = cohort.n_samples != cohort.store.n_samples
    if some_samples or cohort.selection.on_genotypes or cohort.ploidy.kinds(start, stop):
        return None
    counts = cohort.store.call_counts(start, stop)
    if counts is None:
        return None
    wide = counts.astype(np.int64)
    return autosomal_statistics(wide[:, :4], wide[:, 4:])
