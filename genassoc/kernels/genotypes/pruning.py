"""Which variants of a stretch are kept, so that no two near one another are in LD: r2 of calls by popcounts."""

from typing import NamedTuple

from genassoc.kernels import jit
from genassoc.kernels.genotypes.counts import popcount
from genassoc.shapes import BoolArray, Int64Array, UInt64Array


class PairPlanes(NamedTuple):
    """Calls of V variants as dosages about one copy, ``y = x - 1``: planes of bits of P words, and their sums.

    Attributes
    ----------
    extreme : uint64 array (V, P)
        Set where the call is 0 or 2 (``y`` is -1 or 1).
    double : uint64 array (V, P)
        Set where it is 2.
    observed : uint64 array (V, P)
    complete : bool array (V,)
        Whether every sample that is looked at is observed.
    sums : int64 array (V, 3)
        Samples observed, sum of ``y``, sum of ``y`` squared.
    """

    extreme: UInt64Array
    double: UInt64Array
    observed: UInt64Array
    complete: BoolArray
    sums: Int64Array


class Stretch(NamedTuple):
    """Where the V variants stand, and what is asked of them.

    Attributes
    ----------
    places : int64 array (V,)
        Ascending: positions, or numbers of variants.
    window : int
        Variants whose places differ by at most this are compared.
    threshold : float
        Largest r2 of two that are kept.
    """

    places: Int64Array
    window: int
    threshold: float


@jit
def sums_of_planes(planes: PairPlanes) -> None:
    """Set ``planes.sums`` from the other planes."""
    V, P = planes.extreme.shape
    for v in range(V):
        n, ones, squares = 0, 0, 0
        for p in range(P):
            n += popcount(planes.observed[v, p])
            ones += popcount(planes.double[v, p])
            squares += popcount(planes.extreme[v, p])
        planes.sums[v, 0], planes.sums[v, 1], planes.sums[v, 2] = n, 2 * ones - squares, squares


@jit
def in_ld(planes: PairPlanes, i: int, j: int, threshold: float) -> bool:
    """Whether the r2 of two variants, over the samples observed in both, is above a threshold.

    ``sum(y z)`` is the samples with two extremes less twice those in which they differ. Where one does not vary, r2 is not defined, and
    this is false.
    """
    P = planes.extreme.shape[1]
    both, apart = 0, 0
    for p in range(P):
        extremes = planes.extreme[i, p] & planes.extreme[j, p]
        both += popcount(extremes)
        apart += popcount(extremes & (planes.double[i, p] ^ planes.double[j, p]))
    n, y, yy = planes.sums[i, 0], planes.sums[i, 1], planes.sums[i, 2]
    z, zz = planes.sums[j, 1], planes.sums[j, 2]
    if not planes.complete[j]:  # only samples in which j is observed
        n, ones, yy = 0, 0, 0
        for p in range(P):
            n += popcount(planes.observed[i, p] & planes.observed[j, p])
            ones += popcount(planes.double[i, p] & planes.observed[j, p])
            yy += popcount(planes.extreme[i, p] & planes.observed[j, p])
        y = 2 * ones - yy
    elif not planes.complete[i]:
        n = planes.sums[i, 0]
    if not planes.complete[i]:
        ones, zz = 0, 0
        for p in range(P):
            ones += popcount(planes.double[j, p] & planes.observed[i, p])
            zz += popcount(planes.extreme[j, p] & planes.observed[i, p])
        z = 2 * ones - zz
    # n^2 times covariance and variances: whole numbers, exact in doubles for 90 million samples
    covariance = float(n * (both - 2 * apart) - y * z)
    return covariance * covariance > threshold * float(n * yy - y * y) * float(n * zz - z * z)


@jit
def keep_apart(planes: PairPlanes, stretch: Stretch, order: Int64Array, kept: Int64Array, n_kept: int) -> int:
    """Decide on variants one after another: each is kept unless one that is kept, within the window, is in LD with it.

    Parameters
    ----------
    planes : PairPlanes
    stretch : Stretch
    order : int64 array (O,)
        The variants to decide on, first come first kept.
    kept : int64 array (V,)
        The first ``n_kept`` are those kept already, ascending; those that are kept now are put among them.
    n_kept : int

    Returns
    -------
    int
        How many are kept then.
    """
    places, window = stretch.places, stretch.window
    for o in range(order.size):
        v = order[o]
        low, high = 0, n_kept
        while low < high:
            middle = (low + high) // 2
            if kept[middle] < v:
                low = middle + 1
            else:
                high = middle
        # the nearest first: LD falls with distance, and the first in LD decides
        left, right, free = low - 1, low, True
        while free:
            before = places[v] - places[kept[left]] if left >= 0 else window + 1
            after = places[kept[right]] - places[v] if right < n_kept else window + 1
            if before > window and after > window:
                break
            if before <= after:
                free = not in_ld(planes, v, kept[left], stretch.threshold)
                left -= 1
            else:
                free = not in_ld(planes, v, kept[right], stretch.threshold)
                right += 1
        if free:
            for k in range(n_kept, low, -1):
                kept[k] = kept[k - 1]
            kept[low] = v
            n_kept += 1
    return n_kept
