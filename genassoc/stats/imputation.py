"""Quality of imputation from sums over samples: MaCH's r2 of dosages, IMPUTE's INFO of probabilities of genotypes."""

from dataclasses import dataclass

import numpy as np

from genassoc.kernels.genotypes import dosage_rows as columns
from genassoc.shapes import Array, Float64Array, Int64Array


@dataclass(frozen=True)
class DosageMoments:
    """Moments of the dosages of V variants, haploid samples by what they have: one copy.

    Attributes
    ----------
    n : int64 array (V,)
        Samples with a dosage.
    alleles : int64 array (V,)
        Their copies of the chromosome: two, or one of a haploid sample.
    copies : float64 array (V,)
        Copies of ALT expected.
    squares : float64 array (V,)
        Sum over samples of the square of the copies expected.
    deviations : float64 array (V,)
        Sum over samples of the square of the copies expected less the mean, which is `frequency` for each copy of the chromosome.
    uncertain : float64 array (V,)
        Sum over samples of the variance of the copies, NaN where probabilities of genotypes are not known of all.
    """

    n: Int64Array
    alleles: Int64Array
    copies: Float64Array
    squares: Float64Array
    deviations: Float64Array
    uncertain: Float64Array

    @classmethod
    def of(cls, sums: Int64Array, steps: Array) -> "DosageMoments":
        """From the sums (V, 11) of `genassoc.kernels.genotypes.dosage_rows.sum_rows` and steps of a copy (V,).

        Dosages of haploid samples are doubled in the sums.
        """
        S = np.maximum(np.asarray(steps, dtype=np.float64), 1.0)
        n, haploid = sums[:, columns.OBSERVED], sums[:, columns.HAPLOID]
        halves, quarters = sums[:, columns.HAPLOID_STEPS] / 2, sums[:, columns.HAPLOID_SQUARES] / 4
        diploid = (sums[:, columns.STEPS] - sums[:, columns.HAPLOID_STEPS]) / S
        diploid_squares = (sums[:, columns.SQUARES] - sums[:, columns.HAPLOID_SQUARES]) / S**2
        copies, squares = diploid + halves / S, diploid_squares + quarters / S**2
        # E g^2 is P(1) + 4 P(2) = dosage + 2 P(2), of a haploid P(1)
        second = diploid + 2 * sums[:, columns.HOMOZYGOUS] / S + halves / S
        known = (sums[:, columns.KNOWN] == n) & (n > 0)
        p = copies / np.maximum(2 * n - haploid, 1)
        # sum (g - p m)^2 with m copies a sample: sum g^2 - 2 p sum g m + p^2 sum m^2
        deviations = squares - 2 * p * (2 * diploid + halves / S) + p**2 * (4 * (n - haploid) + haploid)
        uncertain = np.where(known, second - squares, np.nan)
        return cls(n, 2 * n - haploid, copies, squares, np.maximum(deviations, 0.0), uncertain)

    @property
    def frequency(self) -> Float64Array:
        """Of ALT, NaN where nothing is observed."""
        return np.where(self.alleles > 0, self.copies / np.maximum(self.alleles, 1), np.nan)

    @property
    def expected_variance(self) -> Float64Array:
        """Sum over samples of the variance of genotypes in Hardy-Weinberg proportions, NaN where ALT has no variance."""
        p = self.frequency
        # dosages that are all 0 or all 2 are so to the step: nothing is rounded in their sums
        variance = self.alleles * p * (1 - p)
        return np.where(variance > 0, variance, np.nan)


def mach_r2(moments: DosageMoments) -> Float64Array:
    """Variance of the dosages over that of genotypes in Hardy-Weinberg proportions, (V,): may be above 1; NaN where ALT has no variance.

    Notes
    -----
    Li, Willer, Ding, Scheet & Abecasis 2010, doi:10.1002/gepi.20533. A haploid sample counts with its one copy, whose variance is
    p (1 - p): sum of (copies - p ploidy)^2 over p (1 - p) sum of ploidy.
    """
    return moments.deviations / moments.expected_variance


def impute_info(moments: DosageMoments) -> Float64Array:
    """One minus the mean variance of genotypes given the data over that without them, (V,); NaN without probabilities or variance.

    Notes
    -----
    Marchini & Howie 2010, doi:10.1038/nrg2796, supplement 3.2 (as SNPTEST and qctool compute it); samples whose genotype is
    missing do not count.
    """
    return 1.0 - moments.uncertain / moments.expected_variance
