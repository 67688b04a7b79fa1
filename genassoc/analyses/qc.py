"""Quality of variants and samples: counts, frequencies, missing rates, Hardy-Weinberg, heterozygosity."""

from dataclasses import dataclass

import numpy as np

from genassoc.data.block import GenotypeBlock
from genassoc.data.schema import HET, HOM_ALT, HOM_REF, NOT_OBSERVED
from genassoc.kernels.genotypes import counts as counts_kernels
from genassoc.shapes import Float64Array, Int64Array
from genassoc.stats.hardy_weinberg import hardy_weinberg


@dataclass(frozen=True)
class VariantQuality:
    """What is known of V variants from their genotype counts.

    Attributes
    ----------
    n : int64 array (V,)
        Samples observed.
    n_hom_ref, n_het, n_hom_alt, n_missing : int64 arrays (V,)
        Samples with 0, 1, 2 copies of ALT and not observed; they add up to the samples selected.
    af, maf : float64 arrays (V,)
        Frequency of ALT and of the minor allele among the observed; NaN where nothing is observed.
    mac : int64 array (V,)
        Copies of the minor allele.
    missing_rate : float64 array (V,)
        ``n_missing`` over the samples selected; NaN if none is.
    hwe_p, hwe_midp : float64 arrays (V,)
        Exact test of Hardy-Weinberg proportions, of females only where they were given; NaN where none is
        observed.
    """

    n: Int64Array
    n_hom_ref: Int64Array
    n_het: Int64Array
    n_hom_alt: Int64Array
    n_missing: Int64Array
    af: Float64Array
    maf: Float64Array
    mac: Int64Array
    missing_rate: Float64Array
    hwe_p: Float64Array
    hwe_midp: Float64Array


def variant_quality(block: GenotypeBlock, columns: Int64Array, females: Int64Array | None = None) -> VariantQuality:
    """Count and test the variants of a block.

    Parameters
    ----------
    block : GenotypeBlock
        V variants x N samples.
    columns : int64 array
        Positions of the samples to count, in any order.
    females : int64 array, optional
        Positions of those to test for Hardy-Weinberg proportions instead of ``columns``: the females among
        them, for variants of X.

    Returns
    -------
    VariantQuality
        Arrays of length V.
    """
    selections = [columns] if females is None else [columns, females]
    masks = np.stack([counts_kernels.mask_words(selection, block.n_samples) for selection in selections])
    counts = np.empty((block.n_variants, len(selections), 4), dtype=np.int64)
    counts_kernels.count_codes_by_mask(_words(block), masks, counts)
    tested = counts[:, -1]
    return variant_quality_from_counts(counts[:, 0], tested)


def variant_quality_from_counts(counts: Int64Array, tested: Int64Array | None = None) -> VariantQuality:
    """Derive everything from the counts of codes 0, 1, 2, 3.

    Parameters
    ----------
    counts : int64 array (V, 4)
        Of the samples selected.
    tested : int64 array (V, 4), optional
        Of the samples in which Hardy-Weinberg proportions are tested; ``counts`` by default.
    """
    tested = counts if tested is None else tested
    hom_ref, het, hom_alt, missing = (
        np.ascontiguousarray(counts[:, code]) for code in (HOM_REF, HET, HOM_ALT, NOT_OBSERVED)
    )
    n = hom_ref + het + hom_alt
    alt = het + 2 * hom_alt
    af = _rate(alt, 2 * n)
    mac = np.minimum(alt, 2 * n - alt)
    hwe_p, hwe_midp = hardy_weinberg(tested[:, HOM_REF], tested[:, HET], tested[:, HOM_ALT])
    return VariantQuality(
        n=n,
        n_hom_ref=hom_ref,
        n_het=het,
        n_hom_alt=hom_alt,
        n_missing=missing,
        af=af,
        maf=_rate(mac, 2 * n),
        mac=mac,
        missing_rate=_rate(missing, n + missing),
        hwe_p=hwe_p,
        hwe_midp=hwe_midp,
    )


@dataclass(frozen=True)
class SampleQuality:
    """Counts of each sample's calls, added up over blocks; whole numbers, so in any order.

    Attributes
    ----------
    counts : int64 array (N, 4)
        Variants in which the sample has code 0, 1, 2, 3. `add` and `merge` change it in place.
    """

    counts: Int64Array

    @classmethod
    def empty(cls, n_samples: int) -> "SampleQuality":
        """No variant seen yet."""
        return cls(np.zeros((n_samples, 4), dtype=np.int64))

    def add(self, block: GenotypeBlock) -> None:
        """Count one more block of the same samples."""
        self._check_samples(block.n_samples)
        counts_kernels.count_codes_by_sample(np.ascontiguousarray(block.packed), self.counts)

    def merge(self, other: "SampleQuality") -> None:
        """Add what was counted elsewhere, of other variants of the same samples."""
        self._check_samples(len(other.counts))
        self.counts[:] += other.counts

    @property
    def n(self) -> Int64Array:
        """Variants observed in each sample, (N,)."""
        return np.asarray(self.counts[:, :NOT_OBSERVED].sum(axis=1))

    @property
    def missing_rate(self) -> Float64Array:
        """Variants not observed over all variants, (N,); NaN before the first."""
        return _rate(self.counts[:, NOT_OBSERVED], self.counts.sum(axis=1))

    @property
    def heterozygosity(self) -> Float64Array:
        """Heterozygous calls over observed calls, (N,); NaN where nothing is observed."""
        return _rate(self.counts[:, HET], self.n)

    def _check_samples(self, n_samples: int) -> None:
        if n_samples != len(self.counts):
            raise ValueError(f"counting {len(self.counts)} samples, but these calls are of {n_samples}")


def _words(block: GenotypeBlock) -> "np.ndarray[tuple[int, int], np.dtype[np.uint64]]":
    return np.ascontiguousarray(block.packed).view(np.uint64)


def _rate(part: Int64Array, whole: Int64Array) -> Float64Array:
    rate = np.full(whole.shape, np.nan)
    np.divide(part, whole, out=rate, where=whole > 0)
    return rate
