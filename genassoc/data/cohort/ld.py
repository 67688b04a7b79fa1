"""r2 of one variant with others of a cohort, from its own store: counted in planes of bits."""

import numpy as np

from genassoc.data.cohort.cohort import Cohort
from genassoc.data.store.store import GenotypeStore
from genassoc.kernels.genotypes.planes import to_planes
from genassoc.shapes import BoolArray, Float64Array, Int64Array, UInt64Array

_WORDS = 2**21  # of a plane at a time: 16 MB


def sample_mask(cohort: Cohort) -> UInt64Array:
    """The cohort's samples in planes of the cohort's blocks: a bit each, (P,)."""
    words = -(-cohort.block_width // 64)
    bits = np.zeros(64 * words, np.uint8)
    bits[cohort.block_columns] = 1
    return np.packbits(bits, bitorder="little").view(np.uint64)


def r2_with(cohort: Cohort, number: int, others: Int64Array) -> Float64Array:
    """Squared correlation of a variant's calls (0, 1, 2 copies) with those of others, over samples that are observed in both.

    Of dosages the calls are the copies that they are within a tenth of, as `Cohort.read` gives them.

    Parameters
    ----------
    cohort : Cohort
        Its samples count.
    number : int
        Of the variant in the store.
    others : int64 array (V,)
        Numbers in the store, in any order; -1: not there.

    Returns
    -------
    float64 array (V,)
        NaN where a variant is not there, or one of the two is the same in all samples.
    """
    r2 = np.full(others.size, np.nan)
    if not isinstance(cohort.store, GenotypeStore) or number < 0:
        return r2
    mask = sample_mask(cohort)
    lead = _planes(cohort, number, number + 1, np.array([0]), mask)
    step = max(1, min(int(cohort.store.block_variants), _WORDS // max(mask.size, 1)))
    order = np.argsort(others, kind="stable")
    known = order[np.searchsorted(others[order], 0) :]
    numbers = others[known]
    for _, start, stop in cohort.store.contig_runs():
        for first in range(start, stop, step):
            end = min(first + step, stop)
            low, high = np.searchsorted(numbers, [first, end])
            if high > low:
                r2[known[low:high]] = _r2(lead, _planes(cohort, first, end, numbers[low:high] - first, mask))
    return r2


_Planes = tuple[UInt64Array, UInt64Array, UInt64Array]


def _planes(cohort: Cohort, start: int, stop: int, which: Int64Array, mask: UInt64Array) -> _Planes:
    """Extremes (0 or 2 copies), doubles (2) and observed of some of the variants start to stop, (V, P) each."""
    packed = cohort.read(start, stop).packed[which]
    words = np.ascontiguousarray(packed).view(np.uint64)
    carrier, double, observed = (np.empty((words.shape[0], mask.size), np.uint64) for _ in range(3))
    to_planes(words, carrier, double, observed)
    for plane in (carrier, double, observed):
        plane &= mask
    return (observed & ~carrier) | double, double, observed


def _r2(one: _Planes, others: _Planes) -> Float64Array:
    """With ``y = x - 1`` of the one and ``z`` of another: n sum(yz) - sum(y) sum(z), squared, over the product of the variances."""

    def count(plane: UInt64Array) -> Float64Array:
        return np.bitwise_count(plane).sum(axis=1, dtype=np.int64).astype(np.float64)

    extreme, double, observed = one
    extremes, doubles, seen = others
    both = count(extremes & extreme)
    apart = count(extremes & extreme & (doubles ^ double))
    n, yy, zz = count(seen & observed), count(seen & extreme), count(extremes & observed)
    y, z = 2 * count(seen & double) - yy, 2 * count(doubles & observed) - zz
    variances = (n * yy - y * y) * (n * zz - z * z)  # whole numbers: 0 where one does not vary
    varies: BoolArray = variances > 0
    covariance = n * (both - 2 * apart) - y * z
    return np.where(varies, covariance * covariance / np.where(varies, variances, 1.0), np.nan)
