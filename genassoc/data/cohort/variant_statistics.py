"""Counts of a block's calls in the cohort's samples, and the statistics of quality control."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from genassoc.data.block import X_OUTSIDE_PAR, GenotypeBlock
from genassoc.kernels.genotypes import counts as count_kernels
from genassoc.shapes import Array, Int64Array, UInt64Array
from genassoc.stats.hardy_weinberg import hardy_weinberg

FEMALE = 2


@dataclass(frozen=True, eq=False)
class SampleMasks:
    """The cohort's samples in packed words, made once.

    Attributes
    ----------
    columns : int64 array (N,)
        Their columns in the blocks.
    everyone : uint64 array (W,)
    females : uint64 array (W,) or None
        None when sex is not known.
    not_females : uint64 array (W,) or None
    n_not_females : int
    """

    columns: Int64Array
    everyone: UInt64Array
    females: UInt64Array | None
    not_females: UInt64Array | None
    n_not_females: int

    @classmethod
    def build(cls, columns: Int64Array, width: int, sex: Array | None) -> "SampleMasks":
        """Masks of samples at ``columns`` (N,) of blocks of ``width`` samples; ``sex`` (N,) or None."""
        everyone = count_kernels.mask_words(columns, width)
        if sex is None:
            return cls(columns, everyone, None, None, 0)
        females = count_kernels.mask_words(columns[sex == FEMALE], width)
        others = columns[sex != FEMALE]
        return cls(columns, everyone, females, count_kernels.mask_words(others, width), others.size)


def variant_statistics(block: GenotypeBlock, kinds: Array, masks: SampleMasks, *, hwe: bool) -> pl.DataFrame:
    """Frequencies, missing rate, genotype counts and Hardy-Weinberg p of each variant of a block.

    Parameters
    ----------
    block : GenotypeBlock
        V variants.
    kinds : object array of str (V,)
        The chromosome of each, as `genassoc.data.cohort.contigs.Contigs` knows it: "X", "Y", "MT", or others.
    masks : SampleMasks
        The samples that count.
    hwe : bool
        Whether to add hwe_p and hwe_midp (exact).

    Returns
    -------
    polars DataFrame (V rows)
        af, maf, mac, missing_rate, n, n_hom_ref, n_het, n_hom_alt. Haploid calls are one copy in af, maf
        and mac, and homozygous in the counts. On Y, where sex is known, females do not count in
        missing_rate. af and maf are null where no call is observed.

    Notes
    -----
    Hardy-Weinberg is of diploid calls; on X outside PAR of females, null when sex is not known; null on Y and MT.
    """
    counts = code_counts(block, masks.everyone)
    haploid = haploid_counts(block, masks.everyone)
    table = _frequencies(counts, haploid, _missing_rate(block, counts, kinds, masks))
    if not hwe:
        return table
    return _with_hardy_weinberg(table, *_hardy_weinberg(block, _diploid(counts, haploid), kinds, masks))


def autosomal_statistics(counts: Int64Array, haploid: Int64Array) -> pl.DataFrame:
    """The columns of `variant_statistics` for variants on autosomes, from counts.

    Parameters
    ----------
    counts : int64 array (V, 4)
        Samples with code 0, 1, 2, 3.
    haploid : int64 array (V, 2)
        Those of them with a haploid call of REF and of ALT.
    """
    diploid = _diploid(counts, haploid)
    table = _frequencies(counts, haploid, counts[:, 3] / np.maximum(counts.sum(axis=1), 1))
    return _with_hardy_weinberg(table, *hardy_weinberg(diploid[:, 0], diploid[:, 1], diploid[:, 2]))


def _frequencies(counts: Int64Array, haploid: Int64Array, missing_rate: Array) -> pl.DataFrame:
    haploid_ref, haploid_alt = haploid[:, 0], haploid[:, 1]
    n = counts[:, :3].sum(axis=1)
    copies = counts[:, 1] + 2 * counts[:, 2] - haploid_alt
    alleles = 2 * n - haploid_ref - haploid_alt
    mac = np.minimum(copies, alleles - copies)
    observed = pl.Series(alleles > 0)
    return pl.DataFrame(
        {
            "af": copies / np.maximum(alleles, 1),
            "maf": mac / np.maximum(alleles, 1),
            "mac": mac,
            "missing_rate": missing_rate,
            "n": n,
            "n_hom_ref": counts[:, 0],
            "n_het": counts[:, 1],
            "n_hom_alt": counts[:, 2],
        }
    ).with_columns(pl.when(observed).then(pl.col("af", "maf")))


def _diploid(counts: Int64Array, haploid: Int64Array) -> Int64Array:
    """Diploid calls of each genotype (V, 3)."""
    return counts[:, :3] - np.column_stack([haploid[:, 0], np.zeros_like(haploid[:, 0]), haploid[:, 1]])


def _with_hardy_weinberg(table: pl.DataFrame, p: Array, midp: Array) -> pl.DataFrame:
    return table.with_columns(pl.Series("hwe_p", p).fill_nan(None), pl.Series("hwe_midp", midp).fill_nan(None))


def _words(block: GenotypeBlock) -> UInt64Array:
    return np.ascontiguousarray(block.packed).view(np.uint64)


def code_counts(block: GenotypeBlock, mask: UInt64Array) -> Int64Array:
    """Samples of the mask with code 0, 1, 2, 3: (V, 4)."""
    counts = np.zeros((block.n_variants, 4), dtype=np.int64)
    count_kernels.count_codes(_words(block), mask, counts)
    return counts


def haploid_counts(block: GenotypeBlock, mask: UInt64Array) -> Int64Array:
    """Haploid calls of REF and of ALT among the samples of the mask: (V, 2)."""
    counts = np.zeros((block.n_variants, 2), dtype=np.int64)
    if block.haploid is not None:
        count_kernels.count_haploid(_words(block), block.haploid, mask, counts)
    return counts


def _missing_rate(block: GenotypeBlock, counts: Int64Array, kinds: Array, masks: SampleMasks) -> Array:
    """Share of calls not observed (V,); on Y, of the samples that may have a call."""
    rate = np.asarray(counts[:, 3] / max(masks.columns.size, 1))
    on_y = kinds == "Y"
    if masks.not_females is not None and masks.n_not_females and on_y.any():
        rate[on_y] = code_counts(block, masks.not_females)[on_y, 3] / masks.n_not_females
    return rate


def _hardy_weinberg(block: GenotypeBlock, diploid: Int64Array, kinds: Array, masks: SampleMasks) -> tuple[Array, Array]:
    """Exact p and mid-p (V,), NaN where the test does not apply."""
    diploid = diploid.copy()
    on_x = kinds == "X"
    if block.places is not None and masks.females is not None:
        on_x &= block.places.ploidy == X_OUTSIDE_PAR
    applies = ~np.isin(kinds.astype(str), ["Y", "MT"])
    if masks.females is None:
        applies &= ~on_x
    elif on_x.any():
        diploid[on_x] = code_counts(block, masks.females)[on_x, :3]
    p = np.full(block.n_variants, np.nan)
    midp = np.full(block.n_variants, np.nan)
    tested = diploid[applies]
    p[applies], midp[applies] = hardy_weinberg(tested[:, 0], tested[:, 1], tested[:, 2])
    return p, midp
