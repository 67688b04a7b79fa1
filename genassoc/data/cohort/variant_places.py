"""Where variants, or predictors, that a table names stand in a store."""

import numpy as np
import polars as pl

from genassoc.data.cohort.predictors import PredictorStore
from genassoc.data.store.store import GenotypeStore
from genassoc.shapes import Int64Array

_KEY = ("chromosome", "base_pair_location", "other_allele", "effect_allele")
_VARIANTS = 65_536  # read at a time


def row_numbers(store: GenotypeStore | PredictorStore, rows: pl.DataFrame) -> tuple[Int64Array, Int64Array]:
    """`variant_numbers` of rows of results; of predictors by their names, which are their ``variant_id``."""
    if not isinstance(store, PredictorStore):
        return variant_numbers(store, rows)
    at = {name: number for number, name in enumerate(store.names)}
    numbers = np.array([at.get(name, -1) for name in rows["variant_id"]], dtype=np.int64)
    return numbers, (numbers >= 0).astype(np.int64)


def allele_numbers(store: GenotypeStore | PredictorStore, rows: pl.DataFrame) -> tuple[list[Int64Array], Int64Array]:
    """Numbers in the store of each row's ALTs, of which a row has several where they are tested at once: "C,G".

    Returns
    -------
    numbers : list of int64 arrays
        Ascending; with -1 where one is not there.
    counts : int64 array (rows,)
        How often a row's ALTs are there: 0 where one is not, above 1 where one is there more than once.
    """
    alleles = (
        rows.with_row_index("_row")
        .with_columns(pl.col("effect_allele").cast(pl.String).str.split(","))
        .explode("effect_allele")
    )
    numbers, counts = row_numbers(store, alleles)
    row = alleles["_row"].to_numpy()
    each = [row == at for at in range(rows.height)]
    times = [int(counts[here].max()) if counts[here].all() else 0 for here in each]
    return [np.sort(numbers[here]) for here in each], np.array(times, dtype=np.int64)


def variant_numbers(store: GenotypeStore, rows: pl.DataFrame) -> tuple[Int64Array, Int64Array]:
    """Number in the store of each row's variant, -1 where it has none, of duplicates the first; and how many there are.

    Only positions between the first and the last of a chromosome's rows are read, where the chromosome is sorted.

    Parameters
    ----------
    store : GenotypeStore
    rows : DataFrame
        chromosome, base_pair_location, other_allele, effect_allele.

    Returns
    -------
    numbers, counts : int64 arrays (rows,)
    """
    wanted = rows.select(*_KEY).with_columns(pl.col("base_pair_location").cast(pl.Int64)).with_row_index("row")
    numbers, counts = np.full(rows.height, -1, dtype=np.int64), np.zeros(rows.height, dtype=np.int64)
    for contig, start, stop in store.contig_runs():
        here = wanted.filter(pl.col("chromosome") == contig)
        if not here.height:
            continue
        for first in range(start, stop, _VARIANTS):
            last = min(first + _VARIANTS, stop)
            if not _may_hold(store, here["base_pair_location"], first, last):
                continue
            variants = store.variants(first, last).select(*_KEY).with_row_index("at")
            variants = variants.with_columns(pl.col("base_pair_location").cast(pl.Int64))
            matched = here.join(variants, on=list(_KEY), how="inner").sort("at", descending=True)
            at, number = matched["row"].to_numpy(), first + matched["at"].to_numpy().astype(np.int64)
            np.add.at(counts, at, 1)
            new = numbers[at] < 0
            numbers[at[new]] = number[new]  # of duplicates the last one written wins: the first in the store
    return numbers, counts


def _may_hold(store: GenotypeStore, positions: pl.Series, first: int, last: int) -> bool:
    """Whether a stretch may hold one of the positions; stretches of an unsorted chromosome are all read."""
    edges = pl.concat([store.variants(first, first + 1), store.variants(last - 1, last)])["base_pair_location"]
    low, high = int(edges[0]), int(edges[1])
    return low > high or bool(positions.is_between(low, high).any())
