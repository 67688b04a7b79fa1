"""What every model needs of a block's own genotypes: exact counts and sums, and which calls are missing."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, fields, replace
from typing import Any

import numpy as np

from genassoc.data.block import Block, DosageBlock, GenotypeBlock
from genassoc.kernels.genotypes import dosages as kernel
from genassoc.kernels.genotypes.counts import count_codes, count_haploid
from genassoc.kernels.genotypes.dosage_moments import effective_carriers, sum_haploid
from genassoc.kernels.genotypes.linear import list_missing
from genassoc.kernels.likelihoods.rows import Missing
from genassoc.shapes import BoolArray, Float64Array, Int64Array, UInt64Array


@dataclass(frozen=True)
class GenotypeSums:
    """Sums over some samples; g counts the minor allele of the cohort.

    Side by side for the patterns or traits of a model they are (V, P) or (V, T); what is said of (V,) holds of each column.

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
    carriers : float64 array (V,)
        Of dosages, the effective number of carriers of g (`genassoc.kernels.genotypes.dosage_moments`), where asked for; else infinite.
    """

    n: Int64Array
    allele_count: Float64Array
    n_alleles: Int64Array
    sum_g: Float64Array
    sum_g2: Float64Array
    constant: BoolArray
    pointers: Int64Array
    indices: Int64Array
    _: KW_ONLY
    carriers: Float64Array

    @property
    def mac(self) -> Float64Array:
        """True copies of the rarer allele among the samples observed, (V,)."""
        return np.minimum(self.allele_count, self.n_alleles - self.allele_count)

    @property
    def tested_mac(self) -> Float64Array:
        """As `mac`, but of what is tested where that is rarer, as carriers of two copies are: (V,)."""
        return np.minimum(self.mac, np.minimum(self.sum_g, 2 * self.n - self.sum_g))

    @property
    def rare_mac(self) -> Float64Array:
        """As `tested_mac`, for rules of what is rare; of dosages at most the effective number of carriers, (V,)."""
        return np.minimum(self.tested_mac, self.carriers)

    @property
    def frequency(self) -> Float64Array:
        """Frequency of ALT among the samples observed, (V,); NaN where there are none."""
        return frequency(self.allele_count, self.n_alleles)

    @property
    def missing(self) -> Missing:
        """Whose calls are missing, as kernels take it."""
        return Missing(self.pointers, self.indices)

    @classmethod
    def side_by_side(cls, of_patterns: "Sequence[GenotypeSums]") -> "GenotypeSums":
        """Those of P patterns as (V, P); the missing calls listed are the first one's."""
        columns: Any = {name: np.stack([getattr(one, name) for one in of_patterns], axis=1) for name in _SUMS}
        return replace(of_patterns[0], **columns)

    def of_traits(self, pattern_of: Int64Array) -> "GenotypeSums":
        """Of (V, P) those of traits (V, T), whose patterns are ``pattern_of`` (T,)."""
        columns: Any = {name: getattr(self, name)[:, pattern_of] for name in _SUMS}
        return replace(self, **columns)

    def of_trait(self, t: int) -> "GenotypeSums":
        """Of (V, T) those of one trait (V,); of (V, 1) those of all."""
        column = t if self.n.shape[1] > 1 else 0
        columns: Any = {name: getattr(self, name)[:, column] for name in _SUMS}
        return replace(self, **columns)

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
            carriers=self.carriers[variants],
        )


_SUMS = tuple(name.name for name in fields(GenotypeSums) if name.name not in ("pointers", "indices"))


def frequency(allele_count: Float64Array, n_alleles: Int64Array) -> Float64Array:
    """Copies of ALT over copies of either allele; NaN without samples."""
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(allele_count / n_alleles)


def genotype_sums(
    block: Block, flipped: BoolArray, columns: Int64Array, mask: UInt64Array, *, list_calls: bool = True, carriers: bool = False
) -> GenotypeSums:  # fmt: skip
    """Sums over the samples ``columns`` (n,), which are ``mask`` as packed words.

    ``list_calls``: list missing ones too; ``carriers``: of dosages, how many carriers there are in effect.
    """
    if isinstance(block, DosageBlock):
        return _dosage_sums(block, flipped, columns, list_calls, carriers)
    return _call_sums(block, flipped, columns, mask, list_calls)


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
        sums = _step_sums(block, columns)
        return AlleleCounts(
            sums[:, kernel.OBSERVED], *_true_dosages(block, sums, columns), sums[:, kernel.STEPS] / block.scale
        )
    counts = code_counts(block, columns, mask)
    return AlleleCounts(counts[:, :3].sum(axis=1), *_true_copies(block, counts, columns, mask), _copies(counts))


def _copies(counts: Int64Array) -> Float64Array:
    return (counts[:, 1] + 2 * counts[:, 2]).astype(np.float64)


def code_counts(block: GenotypeBlock, columns: Int64Array, mask: UInt64Array) -> Int64Array:
    """Samples with code 0, 1, 2, 3 among ``columns`` (n,), which are ``mask``: (V, 4)."""
    if columns.size == block.n_samples:
        return block.counts
    counts = np.empty((block.n_variants, 4), dtype=np.int64)
    count_codes(block.packed.view(np.uint64), mask, counts)
    return counts


def _true_copies(
    block: GenotypeBlock, counts: Int64Array, columns: Int64Array, mask: UInt64Array
) -> tuple[Float64Array, Int64Array]:
    """Copies of ALT and of either allele among some samples, (V,) each; ``counts`` are of the block's codes."""
    calls = block if block.genuine is None else block.genuine
    if block.genuine is not None:
        counts = code_counts(calls, columns, mask)
    copies, n_alleles = _copies(counts), 2 * counts[:, :3].sum(axis=1)
    if calls.haploid is None:
        return copies, n_alleles
    haploid = np.empty((block.n_variants, 2), dtype=np.int64)
    count_haploid(calls.packed.view(np.uint64), calls.haploid, mask, haploid)
    return copies - haploid[:, 1], n_alleles - haploid.sum(axis=1)


def _call_sums(
    block: GenotypeBlock, flipped: BoolArray, columns: Int64Array, mask: UInt64Array, list_calls: bool
) -> GenotypeSums:
    counts = code_counts(block, columns, mask)
    n = counts[:, :3].sum(axis=1)
    two = np.where(flipped, counts[:, 0], counts[:, 2])
    het = counts[:, 1]
    pointers = np.concatenate([[0], np.cumsum(counts[:, 3] if list_calls else 0 * n)])
    indices = np.empty(pointers[-1], dtype=np.int64)
    if indices.size:
        list_missing(block.packed.view(np.uint64), mask, pointers, indices)
    return GenotypeSums(
        n,
        *_true_copies(block, counts, columns, mask),
        (het + 2 * two).astype(np.float64),
        (het + 4 * two).astype(np.float64),
        (counts[:, :3] == n[:, None]).any(axis=1),
        pointers,
        indices,
        carriers=np.full(n.size, np.inf),
    )


def _step_sums(block: DosageBlock, columns: Int64Array) -> Int64Array:
    """Sums (V, N_SUMS) over the samples ``columns`` (n,), in steps of the fixed point."""
    if columns.size == block.n_samples:
        return block.sums
    sums = np.empty((block.n_variants, kernel.N_SUMS), np.int64)
    kernel.sum_dosages(block.fixed_point, _selected(block, columns), sums)
    return sums


def _selected(block: DosageBlock, columns: Int64Array) -> BoolArray:
    selected = np.zeros(block.n_samples, np.bool_)
    selected[columns] = True
    return selected


def _true_dosages(block: DosageBlock, sums: Int64Array, columns: Int64Array) -> tuple[Float64Array, Int64Array]:
    """Copies of ALT and of either allele among some samples, (V,) each; ``sums`` are of the block's dosages."""
    true = block if block.genuine is None else block.genuine
    if block.genuine is not None:
        sums = _step_sums(true, columns)
    steps, n_alleles = sums[:, kernel.STEPS].astype(np.float64), 2 * sums[:, kernel.OBSERVED]
    if true.haploid is None:
        return steps / true.scale, n_alleles
    haploid = np.empty((true.n_variants, 2), np.int64)
    sum_haploid(true.fixed_point, np.ascontiguousarray(true.haploid), _selected(true, columns), haploid)
    return (steps - 0.5 * haploid[:, 1]) / true.scale, n_alleles - haploid[:, 0]


def carriers_in_effect(block: DosageBlock, columns: Int64Array, sums: Int64Array | None = None) -> Float64Array:
    """The effective number of carriers of dosages (V,) among the samples ``columns`` (n,)."""
    found = np.empty(block.n_variants)
    sums = _step_sums(block, columns) if sums is None else sums
    effective_carriers(block.fixed_point, _selected(block, columns), sums, found)
    return found


def _dosage_sums(
    block: DosageBlock, flipped: BoolArray, columns: Int64Array, list_calls: bool, carriers: bool
) -> GenotypeSums:
    sums = _step_sums(block, columns)
    n, steps, squares = sums[:, kernel.OBSERVED], sums[:, kernel.STEPS], sums[:, kernel.SQUARES]
    two = 2 * block.scale  # a flipped dosage is two copies less its steps; whole numbers, so exact
    pointers = np.concatenate([[0], np.cumsum(columns.size - n if list_calls else 0 * n)])
    indices = np.empty(pointers[-1], dtype=np.int64)
    if indices.size:
        kernel.list_not_observed(block.fixed_point, _selected(block, columns), pointers, indices)
    return GenotypeSums(
        n,
        *_true_dosages(block, sums, columns),
        np.where(flipped, two * n - steps, steps) / block.scale,
        np.where(flipped, two * (two * n - 2 * steps) + squares, squares) / block.scale**2,
        np.asarray(sums[:, kernel.MOST] <= sums[:, kernel.LEAST]),
        pointers,
        indices,
        carriers=carriers_in_effect(block, columns, sums)
        if carriers and not block.of_predictor
        else np.full(n.size, np.inf),
    )


def minor_is_ref(block: Block, columns: Int64Array, mask: UInt64Array) -> BoolArray:
    """Where REF is the rarer allele among the cohort's samples (not a trait's: bits must not depend on it), (V,)."""
    if isinstance(block, DosageBlock):
        sums = _step_sums(block, columns)
        return np.asarray(sums[:, kernel.STEPS] > block.scale * sums[:, kernel.OBSERVED])
    counts = code_counts(block, columns, mask)
    return np.asarray(counts[:, 2] > counts[:, 0])
