"""Scores of the variants of a set and their covariance, by who carries something: cost proportional to carriers.

The carriers of a block's variants are listed once. Of a set of m variants, with w what a sample weighs, M (N, C) what the covariates
take away and r the residuals of T traits ::

    U = r' G'        V = G diag(w) G' - (G M) (G M)'

A sample adds to V only for the pairs of variants that it carries: its earlier variants of the set are a linked list, which the next one
walks. Every sum runs over the samples in their order, pairs in the order of the variants: bits depend on the variants and the
trait alone, not on what else is in the block, the set, or among the traits.
"""

import math
from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.genotypes.counts import popcount
from genassoc.shapes import (
    BoolArray,
    Float64Array,
    Int32Array,
    Int64Array,
    UInt8Array,
    UInt64Array,
)

_ONE = np.uint64(1)
_LOW = np.uint64(0x5555555555555555)
SCANNED = 64  # words, 2,048 samples: passed over by vector instructions where nobody carries anything
CARRIER = 0.5  # copies from which a sample counts as a carrier: of dosages, those nearer to one copy than to none
# Columns of the counts of a variant: samples observed, true copies, carriers; copies and carriers among those with the event; the mean.
OBSERVED, ALLELES, CARRIERS, EVENT_ALLELES, EVENT_CARRIERS, MEAN = 0, 1, 2, 3, 4, 5
N_COUNTS = 6
# What `SampleColumns.status` says of a sample.
ABSENT, PRESENT, WITH_EVENT = 0, 1, 2


class Entries(NamedTuple):
    """Who carries the alleles counted of V variants, and whose call is missing; samples ascend in each variant.

    Attributes
    ----------
    pointers : int64 array (V + 1,)
        Where each variant's entries begin.
    samples : int32 array (E,)
        The sample's column doubled, and one more where one copy of the chromosome is all there is and counts as two.
    copies : float64 array (E,)
        What the sample counts, NaN where not observed.
    """

    pointers: Int64Array
    samples: Int32Array
    copies: Float64Array


class SampleColumns(NamedTuple):
    """What a null model says of the N samples of a block; zero for those that it has not.

    Attributes
    ----------
    status : uint8 array (N,)
        `ABSENT`, `PRESENT` or `WITH_EVENT`.
    n : int
        Samples present.
    weight : float64 array (N,)
    thin : float64 array (N, K)
        M, then the residuals of the traits.
    """

    status: UInt8Array
    n: int
    weight: Float64Array
    thin: Float64Array


class SetSums(NamedTuple):
    """Sums of a set of m variants.

    Attributes
    ----------
    product : float64 array (m, K)
        ``G thin``.
    V : float64 array (m, m)
        ``G diag(w) G'``, then what is taken away from it.
    counts : float64 array (m, N_COUNTS)
    """

    product: Float64Array
    V: Float64Array
    counts: Float64Array


@jit
def _marked(word: np.uint64, flipped: bool) -> np.uint64:
    """The low bit of each slot set where the call is not two copies of the other allele: a carrier, or missing."""
    high = word >> _ONE
    return ((~high | word) & _LOW) if flipped else ((word | high) & _LOW)


@jit
def _any_marked(words: UInt64Array, mask: UInt64Array, flipped: bool) -> bool:
    """Whether any of some words has an entry among the samples of the mask."""
    seen = np.uint64(0)
    for w in range(words.size):
        seen |= _marked(words[w], flipped) & mask[w]
    return seen != 0


@jit
def count_entries(words: UInt64Array, flipped: BoolArray, mask: UInt64Array, counts: Int64Array) -> None:
    """Entries of each variant (V,) of packed words (V, W) among the samples of a mask (W,)."""
    V, W = words.shape
    for v in range(V):
        n = 0
        for w in range(W):
            n += popcount(_marked(words[v, w], flipped[v]) & mask[w])
        counts[v] = n


@jit
def list_entries(
    words: UInt64Array, flipped: BoolArray, mask: UInt64Array, haploid: UInt8Array, single: BoolArray, entries: Entries
) -> None:
    """List the entries of packed calls.

    Parameters
    ----------
    words : uint64 array (V, W)
    flipped : bool array (V,)
        Where REF is counted.
    mask : uint64 array (W,)
        Samples, as from `genassoc.kernels.genotypes.counts.mask_words`.
    haploid : uint8 array (V, H)
        Bit ``i % 8`` of byte ``i // 8`` set where the call of sample i is haploid; H is 0 where none is.
    single : bool array (N,), or (0,)
        Samples whose codes are 0 and 1, there being one copy.
    entries : Entries
        ``pointers`` as `count_entries` has them; the rest is filled.
    """
    V, W = words.shape
    H = haploid.shape[1]
    for v in range(V):
        n = entries.pointers[v]
        for first in range(0, W, SCANNED):
            stop = min(W, first + SCANNED)
            if not _any_marked(words[v, first:stop], mask[first:stop], flipped[v]):
                continue
            for w in range(first, stop):
                word = words[v, w]
                left = _marked(word, flipped[v]) & mask[w]
                while left != 0:
                    # the lowest bit set: the bits below it, counted
                    slot = popcount((left - _ONE) & ~left)
                    left &= left - _ONE
                    i = 32 * w + (slot >> 1)
                    code = int((word >> np.uint64(slot)) & np.uint64(3))
                    alone = single.size > 0 and single[i]
                    copies = math.nan
                    if code != 3:
                        copies = float(code)
                        if flipped[v]:
                            copies = (1.0 if alone else 2.0) - copies
                    doubled = 0
                    if not alone and (i >> 3) < H:
                        doubled = (int(haploid[v, i >> 3]) >> (i & 7)) & 1
                    entries.samples[n] = 2 * i + doubled
                    entries.copies[n] = copies
                    n += 1


@jit
def count_row_entries(G: Float64Array, counts: Int64Array) -> None:
    """Entries of rows G (R, n), NaN where not observed: (R,)."""
    for r in range(G.shape[0]):
        n = 0
        for i in range(G.shape[1]):
            if math.isnan(G[r, i]) or G[r, i] > 0.0:
                n += 1
        counts[r] = n


@jit
def list_row_entries(
    G: Float64Array, columns: Int64Array, haploid: UInt8Array, single: BoolArray, entries: Entries
) -> None:
    """List the entries of rows G (R, n) of the samples ``columns`` (n,), which ascend; the rest as of `list_entries`."""
    H = haploid.shape[1]
    for r in range(G.shape[0]):
        n = entries.pointers[r]
        for k in range(G.shape[1]):
            if math.isnan(G[r, k]) or G[r, k] > 0.0:
                i = columns[k]
                doubled = 0
                if not (single.size > 0 and single[i]) and (i >> 3) < H:
                    doubled = (int(haploid[r, i >> 3]) >> (i & 7)) & 1
                entries.samples[n] = 2 * i + doubled
                entries.copies[n] = G[r, k]
                n += 1


@jit
def _count_variant(entries: Entries, v: int, null: SampleColumns, counts: Float64Array) -> None:
    """Fill the counts (N_COUNTS,) of a variant among the samples of a null model."""
    status = null.status
    missing, total = 0, 0.0
    alleles, carriers, event_alleles, event_carriers = 0.0, 0, 0.0, 0
    for e in range(entries.pointers[v], entries.pointers[v + 1]):
        kind = status[entries.samples[e] >> 1]
        if kind == ABSENT:
            continue
        g = entries.copies[e]
        if math.isnan(g):
            missing += 1
            continue
        total += g
        own = 0.5 * g if entries.samples[e] & 1 else g
        carries = 1 if g >= CARRIER else 0
        alleles += own
        carriers += carries
        if kind == WITH_EVENT:
            event_alleles += own
            event_carriers += carries
    observed = null.n - missing
    counts[OBSERVED], counts[ALLELES], counts[CARRIERS] = observed, alleles, carriers
    counts[EVENT_ALLELES], counts[EVENT_CARRIERS] = event_alleles, event_carriers
    counts[MEAN] = total / observed if observed > 0 else 0.0


@jit
def sum_set(
    entries: Entries,
    variants: Int64Array,
    null: SampleColumns,
    C: int,
    last_of: Int64Array,
    sums: SetSums,
) -> None:
    """Fill the sums of a set; a missing call counts the mean of those observed.

    Parameters
    ----------
    entries : Entries
    variants : int64 array (m,)
        Which of the entries' variants, each once.
    null : SampleColumns
    C : int
        Columns of M.
    last_of : int64 array (N,)
        Zeros; returned so.
    sums : SetSums
        Overwritten.
    """
    thin, weight, status = null.thin, null.weight, null.status
    product, V, m, K = sums.product, sums.V, variants.size, thin.shape[1]
    n_entries = 0
    for a in range(m):
        n_entries += entries.pointers[variants[a] + 1] - entries.pointers[variants[a]]
    owner, copies, before = (
        np.empty(n_entries + 1, np.int64),
        np.empty(n_entries + 1),
        np.empty(n_entries + 1, np.int64),
    )
    at = 0
    product[:, :] = 0.0
    V[:, :] = 0.0
    for a in range(m):
        v = variants[a]
        _count_variant(entries, v, null, sums.counts[a])
        mean = sums.counts[a, MEAN]
        for e in range(entries.pointers[v], entries.pointers[v + 1]):
            i = entries.samples[e] >> 1
            if status[i] == ABSENT:
                continue
            g = entries.copies[e]
            if math.isnan(g):
                g = mean
            for k in range(K):
                product[a, k] += g * thin[i, k]
            x = weight[i] * g
            V[a, a] += x * g
            # V[a, b] += w_i g_ai g_bi of all earlier b that i carries
            earlier = last_of[i]
            while earlier > 0:
                V[a, owner[earlier]] += x * copies[earlier]
                earlier = before[earlier]
            at += 1
            owner[at], copies[at], before[at] = a, g, last_of[i]
            last_of[i] = at
    for a in range(m):
        v = variants[a]
        for e in range(entries.pointers[v], entries.pointers[v + 1]):
            last_of[entries.samples[e] >> 1] = 0
    for a in range(m):
        for b in range(a + 1):
            taken = 0.0
            for k in range(C):
                taken += product[a, k] * product[b, k]
            V[a, b] -= taken
            V[b, a] = V[a, b]


@jit
def count_any(entries: Entries, variants: Int64Array, status: UInt8Array, seen: BoolArray, counts: Int64Array) -> None:
    """Samples, and samples with the event, that carry any of some variants: into ``counts`` (2,).

    ``status`` (N,) as of `SampleColumns`; ``seen`` (N,) is False, and returned so.
    """
    counts[:] = 0
    for v in variants:
        for e in range(entries.pointers[v], entries.pointers[v + 1]):
            i = entries.samples[e] >> 1
            if seen[i] or status[i] == ABSENT or not entries.copies[e] >= CARRIER:
                continue
            seen[i] = True
            counts[0] += 1
            if status[i] == WITH_EVENT:
                counts[1] += 1
    for v in variants:
        for e in range(entries.pointers[v], entries.pointers[v + 1]):
            seen[entries.samples[e] >> 1] = False
