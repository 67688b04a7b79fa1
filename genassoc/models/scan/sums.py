"""What every model needs of a block's own genotypes: exact counts and sums, and which calls are missing."""

from dataclasses import dataclass

import numpy as np

from genassoc.data.block import Block, DosageBlock, GenotypeBlock
from genassoc.kernels.genotypes.counts import count_codes, count_haploid
from genassoc.kernels.genotypes.linear import list_missing
from genassoc.kernels.likelihoods.rows import Missing
from genassoc.shapes import BoolArray, Float64Array, Int64Array, UInt64Array


@dataclass(frozen=True)
class GenotypeSums:
    """Sums over some samples; g counts the minor allele of the cohort.

    Attributes
    ----------
    n : int64 array (V,)
        Samples observed.
    allele_count : float64 array (V,)
        True copies of ALT among them: a haploid call is one copy, whatever g makes of it.
    n_alleles : int64 array (V,)
        True copies of either allele.
    sum_g, sum_g2 : float64 arrays (V,)
        Sum of g and of its squares: whole numbers, or whole steps of a fixed point, so exact.
    constant : bool array (V,)
        Whether g is the same in all of them.
    pointers, indices : int64 arrays
        Samples (columns of the block) whose call is missing, one run of ``indices`` a variant.
    """

    n: Int64Array
    allele_count: Float64Array
    n_alleles: Int64Array
    sum_g: Float64Array
    sum_g2: Float64Array
    constant: BoolArray
    pointers: Int64Array
    indices: Int64Array

    @property
    def mac(self) -> Float64Array:
        """True copies of the rarer allele among the samples observed, (V,)."""
        return np.minimum(self.allele_count, self.n_alleles - self.allele_count)

    @property
    def tested_mac(self) -> Float64Array:
        """As `mac`, but of what is tested where that is rarer, as carriers of two copies are: (V,)."""
        return np.minimum(self.mac, np.minimum(self.sum_g, 2 * self.n - self.sum_g))

    @property
    def frequency(self) -> Float64Array:
        """Frequency of ALT among the samples observed, (V,); NaN where there are none."""
        return frequency(self.allele_count, self.n_alleles)

    @property
    def missing(self) -> Missing:
        """Whose calls are missing, as kernels take it."""
        return Missing(self.pointers, self.indices)

    def take(self, variants: Int64Array) -> "GenotypeSums":
        """Those of some variants."""
        runs = [self.indices[self.pointers[v] : self.pointers[v + 1]] for v in variants]
        return GenotypeSums(
            self.n[variants],
            self.allele_count[variants],
            self.n_alleles[variants],
            self.sum_g[variants],
            self.sum_g2[variants],
            self.constant[variants],
            np.concatenate([[0], np.cumsum([run.size for run in runs], dtype=np.int64)]),
            np.concatenate([self.indices[:0], *runs]),
        )


def frequency(allele_count: Float64Array, n_alleles: Int64Array) -> Float64Array:
    """Copies of ALT over copies of either allele; NaN without samples."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(allele_count / n_alleles)


def genotype_sums(
    block: Block, flipped: BoolArray, columns: Int64Array, mask: UInt64Array, *, list_calls: bool = True
) -> GenotypeSums:
    """Sums over the samples ``columns`` (n,), which are ``mask`` as packed words; ``list_calls``: list missing ones too."""
    if isinstance(block, DosageBlock):
        return _dosage_sums(block, flipped, columns)
    return _call_sums(block, flipped, mask, list_calls)


@dataclass(frozen=True)
class AlleleCounts:
    """Counts over some samples, as `GenotypeSums` has them; ``coded`` (V,) is the sum of what is tested, of ALT."""

    n: Int64Array
    allele_count: Float64Array
    n_alleles: Int64Array
    coded: Float64Array


def allele_counts(block: Block, columns: Int64Array, mask: UInt64Array) -> AlleleCounts:
    """Samples observed and copies of ALT among ``columns`` (n,), which are ``mask``."""
    if isinstance(block, DosageBlock):
        observed, steps = _steps(block, columns)
        _, genuine = (observed, steps) if block.genuine is None else _steps(block.genuine, columns)
        n = observed.sum(axis=1)
        return AlleleCounts(n, genuine.sum(axis=1) / block.scale, 2 * n, steps.sum(axis=1) / block.scale)
    counts = _code_counts(block, mask)
    return AlleleCounts(counts[:, :3].sum(axis=1), *_true_copies(block, counts, mask), _copies(counts))


def _copies(counts: Int64Array) -> Float64Array:
    return (counts[:, 1] + 2 * counts[:, 2]).astype(np.float64)


def _code_counts(block: GenotypeBlock, mask: UInt64Array) -> Int64Array:
    """Samples of the mask with code 0, 1, 2, 3: (V, 4)."""
    counts = np.empty((block.n_variants, 4), dtype=np.int64)
    count_codes(block.packed.view(np.uint64), mask, counts)
    return counts


def _true_copies(block: GenotypeBlock, counts: Int64Array, mask: UInt64Array) -> tuple[Float64Array, Int64Array]:
    """Copies of ALT and of either allele among the samples of the mask, (V,) each; ``counts`` are of the block's codes."""
    calls = block if block.genuine is None else block.genuine
    if block.genuine is not None:
        counts = _code_counts(calls, mask)
    copies, n_alleles = _copies(counts), 2 * counts[:, :3].sum(axis=1)
    if calls.haploid is None:
        return copies, n_alleles
    haploid = np.empty((block.n_variants, 2), dtype=np.int64)
    count_haploid(calls.packed.view(np.uint64), calls.haploid, mask, haploid)
    return copies - haploid[:, 1], n_alleles - haploid.sum(axis=1)


def _call_sums(block: GenotypeBlock, flipped: BoolArray, mask: UInt64Array, list_calls: bool) -> GenotypeSums:
    counts = _code_counts(block, mask)
    n = counts[:, :3].sum(axis=1)
    two = np.where(flipped, counts[:, 0], counts[:, 2])
    het = counts[:, 1]
    pointers = np.concatenate([[0], np.cumsum(counts[:, 3] if list_calls else 0 * n)])
    indices = np.empty(pointers[-1], dtype=np.int64)
    list_missing(block.packed.view(np.uint64), mask, pointers, indices)
    return GenotypeSums(
        n,
        *_true_copies(block, counts, mask),
        (het + 2 * two).astype(np.float64),
        (het + 4 * two).astype(np.float64),
        (counts[:, :3] == n[:, None]).any(axis=1),
        pointers,
        indices,
    )


def _steps(block: DosageBlock, columns: Int64Array) -> tuple[BoolArray, Int64Array]:
    """Where a dosage is observed, and its steps of the fixed point, 0 where it is not: (V, n) each."""
    values = block.values[:, columns].astype(np.int64)
    observed = np.asarray(values != block.not_observed)
    return observed, np.where(observed, values, 0)


def _dosage_sums(block: DosageBlock, flipped: BoolArray, columns: Int64Array) -> GenotypeSums:
    observed, values = _steps(block, columns)
    genuine = values if block.genuine is None else _steps(block.genuine, columns)[1]
    n = observed.sum(axis=1)
    steps = np.where(observed & flipped[:, None], 2 * block.scale - values, values)
    high = np.where(observed, values, -1).max(axis=1, initial=-1)
    low = np.where(observed, values, block.not_observed).min(axis=1, initial=block.not_observed)
    return GenotypeSums(
        n,
        genuine.sum(axis=1) / block.scale,
        2 * n,
        steps.sum(axis=1) / block.scale,
        (steps * steps).sum(axis=1) / block.scale**2,
        np.asarray(high <= low),
        np.concatenate([[0], np.cumsum((~observed).sum(axis=1))]),
        columns[np.nonzero(~observed)[1]],
    )


def minor_is_ref(block: Block, columns: Int64Array, mask: UInt64Array) -> BoolArray:
    """Where REF is the rarer allele among the cohort's samples (not a trait's: bits must not depend on it), (V,)."""
    if isinstance(block, DosageBlock):
        dosages = block.dosages()[:, columns]
        n = (~np.isnan(dosages)).sum(axis=1)
        return np.asarray(np.nansum(dosages, axis=1) > n)
    counts = np.empty((block.n_variants, 4), dtype=np.int64)
    count_codes(block.packed.view(np.uint64), mask, counts)
    return np.asarray(counts[:, 2] > counts[:, 0])
