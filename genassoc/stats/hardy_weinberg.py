"""Exact test of Hardy-Weinberg proportions for arrays of genotype counts."""

import numpy as np
from numpy.typing import ArrayLike

from genassoc.kernels.laws import hardy_weinberg as kernels
from genassoc.shapes import Float64Array


def hardy_weinberg(n_hom_ref: ArrayLike, n_het: ArrayLike, n_hom_alt: ArrayLike) -> tuple[Float64Array, Float64Array]:
    """Exact p and mid-p of Hardy-Weinberg proportions.

    Parameters
    ----------
    n_hom_ref, n_het, n_hom_alt : integer arrays of one shape
        Numbers of samples with 0, 1, 2 copies of ALT. For X, those of females.

    Returns
    -------
    p : float64 array
        Probability, given the alleles, of a number of heterozygotes as likely as the one observed or less.
        1 for a monomorphic variant, NaN where nothing is observed, 0 below about 1e-308.
    midp : float64 array
        The same with outcomes as likely as the observed one counted by half: closer to its nominal size for
        rare alleles. 0.5 for a monomorphic variant.

    Raises
    ------
    ValueError
        If a count is negative or not an integer, or the shapes differ.

    Notes
    -----
    Wigginton, Cutler & Abecasis 2005, doi:10.1086/429864; mid-p: Graffelman & Moreno 2013,
    doi:10.1515/sagmb-2012-0039.
    """
    given = [np.asarray(count) for count in (n_hom_ref, n_het, n_hom_alt)]
    if any(count.dtype.kind not in "iu" for count in given):
        raise ValueError("genotype counts must be whole numbers, of an integer dtype")
    counts = [np.ascontiguousarray(count, dtype=np.int64) for count in given]
    shape = np.shape(n_het)
    if any(count.shape != counts[1].shape for count in counts):
        raise ValueError("genotype counts differ in shape: " + ", ".join(str(count.shape) for count in counts))
    if any((count < 0).any() for count in counts):
        raise ValueError("a genotype count is negative; counts are numbers of samples")
    p, midp = np.empty(counts[1].size), np.empty(counts[1].size)
    hom_ref, het, hom_alt = (count.reshape(-1) for count in counts)
    kernels.hardy_weinberg(hom_ref, het, hom_alt, p, midp)
    return p.reshape(shape), midp.reshape(shape)
