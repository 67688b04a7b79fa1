"""Counts of a block's calls in the cohort's samples, and the statistics of quality control."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from genassoc.data.block import X_OUTSIDE_PAR, GenotypeBlock
from genassoc.data.cohort.dosage_statistics import best_genotypes, sums_of, with_dosages
from genassoc.kernels.genotypes import counts as count_kernels
from genassoc.shapes import Array, BoolArray, Int64Array, UInt64Array
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
    female_columns : int64 array or None
        None when sex is not known.
    females : uint64 array (W,) or None
    not_females : uint64 array (W,) or None
    n_not_females : int
    """

    columns: Int64Array
    everyone: UInt64Array
    female_columns: Int64Array | None
    females: UInt64Array | None
    not_females: UInt64Array | None
    n_not_females: int

    @classmethod
    def build(cls, columns: Int64Array, width: int, sex: Array | None) -> "SampleMasks":
        """Masks of samples at ``columns`` (N,) of blocks of ``width`` samples; ``sex`` (N,) or None."""
        everyone = count_kernels.mask_words(columns, width)
        if sex is None:
            return cls(columns, everyone, None, None, None, 0)
        females, others = columns[sex == FEMALE], columns[sex != FEMALE]
        words = count_kernels.mask_words(females, width)
        return cls(columns, everyone, females, words, count_kernels.mask_words(others, width), others.size)


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
        Where the block has dosages: in rows of dosages af, maf, mac, missing_rate and n are of the dosages, the counts of the
        calls within a tenth of a copy; and has_dosages, r2, info of all rows (`genassoc.data.cohort.dosage_statistics`).

    Notes
    -----
    Hardy-Weinberg is of diploid calls; on X outside PAR of females, null when sex is not known; null on Y and MT. In rows of
    dosages it is of the most probable genotypes, null where their probabilities are not known.
    """
    counts = code_counts(block, masks.everyone)
    haploid = haploid_counts(block, masks.everyone)
    table = _frequencies(counts, haploid, _missing_rate(block, counts, kinds, masks))
    diploid = _diploid(counts, haploid)
    if block.dosages is None:
        return _with_hardy_weinberg(table, *_hardy_weinberg(block, diploid, kinds, masks)) if hwe else table
    steps, sums = block.dosages.steps, sums_of(block, masks.columns)
    on_y = (kinds == "Y") & (masks.not_females is not None) & (masks.n_not_females > 0)
    table = with_dosages(table, sums, steps, np.where(on_y, masks.n_not_females, masks.columns.size))
    if not hwe:
        return table
    of_females = None if masks.female_columns is None else best_genotypes(sums_of(block, masks.female_columns))[0]
    best = Best.of(sums, steps, of_females)
    return _with_hardy_weinberg(table, *_hardy_weinberg(block, diploid, kinds, masks, best))


@dataclass(frozen=True, eq=False)
class Best:
    """Most probable genotypes in rows of dosages: which rows these are (V,), diploid samples by genotype (V, 3), those of females, and where they are known (V,)."""

    rows: BoolArray
    counts: Int64Array
    of_females: Int64Array
    known: BoolArray

    @classmethod
    def of(cls, sums: Int64Array, steps: Array, of_females: Int64Array | None = None) -> "Best":
        """From sums over the samples, and counts of females."""
        counts, known = best_genotypes(sums)
        return cls(np.asarray(steps) > 0, counts, counts if of_females is None else of_females, known)


def autosomal_statistics(
    counts: Int64Array, haploid: Int64Array, sums: Int64Array | None = None, steps: Array | None = None
) -> pl.DataFrame:
    """The columns of `variant_statistics` for variants on autosomes, from counts.

    Parameters
    ----------
    counts : int64 array (V, 4)
        Samples with code 0, 1, 2, 3.
    haploid : int64 array (V, 2)
        Those of them with a haploid call of REF and of ALT.
    sums, steps : int64 array (V, 11), uint16 array (V,), or None
        Of dosages, where the store has some.
    """
    diploid = _diploid(counts, haploid)
    n_samples = counts.sum(axis=1)
    table = _frequencies(counts, haploid, counts[:, 3] / np.maximum(n_samples, 1))
    if sums is not None and steps is not None:
        table = with_dosages(table, sums, steps, n_samples)
        best = Best.of(sums, steps)
        diploid = np.where(best.rows[:, None], best.counts, diploid)
        p, midp = hardy_weinberg(diploid[:, 0], diploid[:, 1], diploid[:, 2])
        unknown = best.rows & ~best.known
        return _with_hardy_weinberg(table, np.where(unknown, np.nan, p), np.where(unknown, np.nan, midp))
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


def _hardy_weinberg(
    block: GenotypeBlock, diploid: Int64Array, kinds: Array, masks: SampleMasks, best: Best | None = None
) -> tuple[Array, Array]:
    """Exact p and mid-p (V,), NaN where the test does not apply."""
    diploid = diploid.copy() if best is None else np.where(best.rows[:, None], best.counts, diploid)
    on_x = kinds == "X"
    if block.places is not None and masks.females is not None:
        on_x &= block.places.ploidy == X_OUTSIDE_PAR
    applies = ~np.isin(kinds.astype(str), ["Y", "MT"])
    if masks.females is None:
        applies &= ~on_x
    elif on_x.any():
        of_females = code_counts(block, masks.females)[:, :3]
        if best is not None:
            of_females = np.where(best.rows[:, None], best.of_females, of_females)
        diploid[on_x] = of_females[on_x]
    if best is not None:
        applies &= ~best.rows | best.known
    p = np.full(block.n_variants, np.nan)
    midp = np.full(block.n_variants, np.nan)
    tested = diploid[applies]
    p[applies], midp[applies] = hardy_weinberg(tested[:, 0], tested[:, 1], tested[:, 2])
    return p, midp
