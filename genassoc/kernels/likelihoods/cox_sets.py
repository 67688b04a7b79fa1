"""The covariance of Cox scores of a set of variants, by carriers: what the means of the risk sets take away.

With terms kl of the partial likelihood as in `genassoc.kernels.likelihoods.cox_sums`, the information of variants a and b is ::

    V_ab = sum_i c_i g_ai g_bi - sum_kl mean_kl(a) mean_kl(b) - ...        mean_kl(g) = sum_i a_ikl w_i g_i / den_kl

Between the times at which carriers of the set enter, leave or have the event, the sums over those at risk do not change: such a stretch
of event times is one cell, of which three sums of terms are needed ::

    squares  sum_l 1 / den_kl^2        tied  sum_l (l / m) / den_kl^2        twice  sum_l (l / m)^2 / den_kl^2

Event times of carriers are cells of their own, for there the dead count ``1 - l / m`` in the l-th term (Efron), 1 of Breslow's.
No sum runs over more than one stratum, nor is one the difference of sums over earlier times that are larger: hazards may differ by
many orders of magnitude. Bits depend on the set as a whole.
"""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.genotypes.set_scores import ABSENT, MEAN, WITH_EVENT, Entries, SetSums
from genassoc.shapes import Float64Array, Int64Array, UInt8Array


class RiskCells(NamedTuple):
    """The risk sets of a null model, of the N samples of a block and K event times.

    Attributes
    ----------
    first, last : int64 arrays (N,)
        The run of event times at which each sample is at risk; empty for those at risk of nothing, and for others.
    risk : float64 array (N,)
        exp(eta) up to a factor.
    squares, tied, twice : float64 arrays (K,)
        Sums of the terms of each time.
    stratum : int64 array (K,)
        The stratum of each time.
    """

    first: Int64Array
    last: Int64Array
    risk: Float64Array
    squares: Float64Array
    tied: Float64Array
    twice: Float64Array
    stratum: Int64Array


@jit
def _mark(entries: Entries, variants: Int64Array, status: UInt8Array, cells: RiskCells, place: Int64Array) -> int:
    """Mark in ``place`` (K + 1,) where cells begin or end; how many marks there are."""
    n = 0
    for v in variants:
        for e in range(entries.pointers[v], entries.pointers[v + 1]):
            i = entries.samples[e] >> 1
            if status[i] == ABSENT or cells.last[i] <= cells.first[i]:
                continue
            first, last = cells.first[i], cells.last[i]
            n += 2 - place[first] - place[last]
            place[first], place[last] = 1, 1
            if status[i] == WITH_EVENT:
                n += 1 - place[last - 1]
                place[last - 1] = 1
    return n


@jit
def subtract_means(
    entries: Entries, variants: Int64Array, status: UInt8Array, cells: RiskCells, place: Int64Array, sums: SetSums
) -> None:
    """Take ``sum_kl mean_kl(a) mean_kl(b)`` from V of a set.

    Parameters
    ----------
    entries : Entries
    variants : int64 array (m,)
    status : uint8 array (N,)
    cells : RiskCells
    place : int64 array (K + 1,)
        Zeros; returned so.
    sums : SetSums
        As `genassoc.kernels.genotypes.set_scores.sum_set` leaves them: ``V`` is changed, of ``counts`` the means are used.
    """
    m, V = variants.size, sums.V
    P = _mark(entries, variants, status, cells, place)
    if P == 0:
        return
    marks, mass = np.empty(P, np.int64), np.zeros(P)
    p = 0
    for k in range(place.size):
        if place[k]:
            marks[p] = k
            place[k] = p
            p += 1
        if p > 0 and k < cells.squares.size:
            mass[p - 1] += cells.squares[k]
    at_risk, died = np.empty(P), np.empty(P)  # of the cell that begins at each mark
    before, through, spared = np.empty(P), np.empty(P), np.empty(P)  # integrals to its beginning and end
    for b in range(m):
        v, mean = variants[b], sums.counts[b, MEAN]
        at_risk[:] = 0.0
        died[:] = 0.0
        for e in range(entries.pointers[v], entries.pointers[v + 1]):
            i = entries.samples[e] >> 1
            if status[i] == ABSENT or cells.last[i] <= cells.first[i]:
                continue
            x = cells.risk[i] * (mean if math.isnan(entries.copies[e]) else entries.copies[e])
            first, last = cells.first[i], cells.last[i]
            # Who leaves at a mark is at risk in the cell before it.
            at_risk[place[last] - 1] += x
            if place[first] > 0 and cells.stratum[marks[place[first] - 1]] == cells.stratum[first]:
                at_risk[place[first] - 1] -= x
            if status[i] == WITH_EVENT:
                died[place[last - 1]] += x
        for p in range(P - 2, -1, -1):
            if marks[p + 1] < cells.stratum.size and cells.stratum[marks[p]] == cells.stratum[marks[p + 1]]:
                at_risk[p] += at_risk[p + 1]
        for p in range(P - 1):
            k = marks[p]
            gain, spare = at_risk[p] * mass[p], 0.0
            if marks[p + 1] == k + 1:
                gain -= died[p] * cells.tied[k]
                spare = at_risk[p] * cells.tied[k] - died[p] * cells.twice[k]
            before[p] = 0.0
            if p > 0 and cells.stratum[marks[p - 1]] == cells.stratum[k]:
                before[p] = through[p - 1]
            through[p] = before[p] + gain
            spared[p] = spare
        for a in range(b, m):
            u, own = variants[a], sums.counts[a, MEAN]
            taken = 0.0
            for e in range(entries.pointers[u], entries.pointers[u + 1]):
                i = entries.samples[e] >> 1
                if status[i] == ABSENT or cells.last[i] <= cells.first[i]:
                    continue
                total = through[place[cells.last[i]] - 1] - before[place[cells.first[i]]]
                if status[i] == WITH_EVENT:
                    total -= spared[place[cells.last[i] - 1]]
                taken += cells.risk[i] * (own if math.isnan(entries.copies[e]) else entries.copies[e]) * total
            V[a, b] -= taken
            if a != b:
                V[b, a] = V[a, b]
    for p in range(P):
        place[marks[p]] = 0
