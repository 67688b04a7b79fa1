"""The unrelated set: samples of which no two are related, as many as a greedy rule finds."""

import heapq
from dataclasses import dataclass

import numpy as np

from genassoc.shapes import BoolArray, Float64Array, Int64Array


@dataclass(frozen=True)
class UnrelatedSet:
    """Samples of which no two are related.

    Attributes
    ----------
    keep : bool array (N,)
        They. Each of the others has a relative among them.
    because : int64 array (N,)
        Of each sample left out the relative that is kept, the closest one; -1 of those kept.
    kinship : float64 array (N,)
        Its kinship; NaN of those kept.
    """

    keep: BoolArray
    because: Int64Array
    kinship: Float64Array


def unrelated_set(
    n_samples: int,
    left: Int64Array,
    right: Int64Array,
    kinship: Float64Array,
    *,
    preferred: BoolArray | None = None,
    missing_rate: Float64Array | None = None,
) -> UnrelatedSet:
    """Leave out samples until no two related ones are left.

    While some pair is left, one sample is left out: one that is not preferred before one that is; of these the one with the most
    relatives left; then the one with the larger missing rate; then the last in order. In the end samples left out of which
    no relative was kept after all come back, the last left out first; so the set cannot be enlarged. (The largest set of all
    is found in no reasonable time; in families of the usual sizes the rule finds it.)

    Parameters
    ----------
    n_samples : int
        N.
    left, right : int64 array (P,)
        Related pairs, as positions of the samples; one may be there twice.
    kinship : float64 array (P,)
        Of the pairs: says which relative is the closest.
    preferred : bool array (N,), optional
        Samples to keep rather than others, as cases.
    missing_rate : float64 array (N,), optional
        NaN where it is not known, which is taken for the largest.
    """
    apart = left != right
    left, right, kinship = left[apart], right[apart], kinship[apart]
    first, second = np.concatenate([left, right]), np.concatenate([right, left])
    order = np.lexsort((second, first))
    first, second, kin = first[order], second[order], np.concatenate([kinship, kinship])[order]
    again = np.zeros(first.size, dtype=bool)
    again[1:] = (first[1:] == first[:-1]) & (second[1:] == second[:-1])
    kin_of_pair = np.maximum.reduceat(kin, np.flatnonzero(~again)) if kin.size else kin
    first, second, kin = first[~again], second[~again], kin_of_pair
    bounds = np.searchsorted(first, np.arange(n_samples + 1))
    n_left = np.diff(bounds)
    less = np.zeros(n_samples, dtype=bool) if preferred is None else preferred
    rate = np.zeros(n_samples) if missing_rate is None else np.nan_to_num(missing_rate, nan=np.inf)
    keep = np.ones(n_samples, dtype=bool)
    # The sample to be left out next stands first; an entry whose number of relatives has fallen since is stale.
    waiting = [(bool(less[i]), -int(n_left[i]), -float(rate[i]), -int(i)) for i in np.flatnonzero(n_left)]
    heapq.heapify(waiting)
    gone: list[int] = []
    while waiting:
        _, n, _, number = heapq.heappop(waiting)
        i = -number
        if not keep[i] or n_left[i] != -n or not n_left[i]:
            continue
        keep[i] = False
        gone.append(i)
        for j in second[bounds[i] : bounds[i + 1]]:
            if keep[j]:
                n_left[j] -= 1
                if n_left[j]:
                    heapq.heappush(waiting, (bool(less[j]), -int(n_left[j]), -float(rate[j]), -int(j)))
    because, closest = np.full(n_samples, -1, np.int64), np.full(n_samples, np.nan)
    for i in reversed(gone):
        keep[i] = not keep[second[bounds[i] : bounds[i + 1]]].any()
    for i in gone:
        if not keep[i]:
            relatives, kinships = second[bounds[i] : bounds[i + 1]], kin[bounds[i] : bounds[i + 1]]
            at = np.flatnonzero(keep[relatives])
            at = at[np.argmax(kinships[at])]
            because[i], closest[i] = relatives[at], kinships[at]
    return UnrelatedSet(keep, because, closest)
