"""Statistics of rows of dosages: frequencies and counts of expected copies, quality of imputation, genotypes that are most probable."""

import numpy as np
import polars as pl

from genassoc.data.block import GenotypeBlock
from genassoc.data.cohort.kinds import stored_rows
from genassoc.kernels.genotypes.dosage_rows import BEST_ALT, BEST_REF, KNOWN, N_SUMS, OBSERVED, sum_rows
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array
from genassoc.stats.imputation import DosageMoments, impute_info, mach_r2


def sums_of(block: GenotypeBlock, columns: Int64Array) -> Int64Array:
    """Sums (V, 11) over the samples at ``columns`` of a block's rows of dosages; zeros in rows of calls."""
    sums = np.zeros((block.n_variants, N_SUMS), np.int64)
    rows = block.dosages
    if rows is None or not len(rows.values):
        return sums
    has = rows.steps > 0
    selected = np.zeros(block.n_samples, np.uint8)
    selected[columns] = 1
    of_rows = np.zeros((int(has.sum()), N_SUMS), np.int64)
    sum_rows(
        stored_rows(rows, None if block.haploid is None else block.haploid[has]), rows.steps[has], selected, of_rows
    )
    sums[has] = of_rows
    return sums


def quality_of(sums: Int64Array, steps: Array) -> pl.DataFrame:
    """r2 (MaCH) and info (IMPUTE) of V variants from their sums; null in rows of calls, and where they have no meaning."""
    moments = DosageMoments.of(sums, steps)
    nothing = np.asarray(steps) == 0
    columns: dict[str, Float64Array] = {"r2": mach_r2(moments), "info": impute_info(moments)}
    for values in columns.values():
        values[nothing] = np.nan
    return pl.DataFrame(columns).fill_nan(None)


def with_dosages(table: pl.DataFrame, sums: Int64Array, steps: Array, n_samples: Int64Array) -> pl.DataFrame:
    """Statistics of calls, in which rows of dosages are of the dosages; with ``has_dosages``, ``r2`` and ``info`` behind them.

    Parameters
    ----------
    table : DataFrame
        Of `genassoc.data.cohort.variant_statistics.variant_statistics`: V rows.
    sums : int64 array (V, 11)
    steps : uint16 array (V,)
    n_samples : int64 array (V,)
        Samples that may have a dosage: all, on Y those who are not female.
    """
    has = np.asarray(steps) > 0
    moments = DosageMoments.of(sums, steps)
    p = moments.frequency
    mac = np.minimum(moments.copies, moments.alleles - moments.copies)
    n = sums[:, OBSERVED]
    ours = {
        "af": p,
        "maf": np.where(np.isnan(p), np.nan, np.maximum(mac, 0.0) / np.maximum(moments.alleles, 1)),
        "mac": np.maximum(mac, 0.0),
        "missing_rate": 1.0 - n / np.maximum(n_samples, 1),
        "n": n,
    }
    chosen = pl.Series(has)
    columns = []
    for name, values in ours.items():
        mine = pl.Series(name, values)
        theirs = table[name].cast(mine.dtype)
        columns.append(
            pl.select(
                pl.when(chosen)
                .then(mine.fill_nan(None) if mine.dtype.is_float() else mine)
                .otherwise(theirs)
                .alias(name)
            ).to_series()
        )
    return table.with_columns(columns).with_columns(has_dosages=chosen).hstack(quality_of(sums, steps))


def best_genotypes(sums: Int64Array) -> tuple[Int64Array, BoolArray]:
    """Diploid samples by the most probable genotype (V, 3), and where all probabilities are known (V,)."""
    known = (sums[:, KNOWN] == sums[:, OBSERVED]) & (sums[:, OBSERVED] > 0)
    return sums[:, BEST_REF : BEST_ALT + 1], known
