"""Scores of the variants of a set and their covariance under a null model, by carriers alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from genassoc.data.block import Block, DosageBlock
from genassoc.kernels.genotypes import set_scores as kernel
from genassoc.kernels.genotypes.dosages import decode_dosages
from genassoc.kernels.likelihoods.cox_sets import subtract_means
from genassoc.models.scan.set_null import SetNull
from genassoc.models.scan.sums import minor_is_ref
from genassoc.shapes import Array, BoolArray, Float64Array, Int64Array, UInt64Array

DECODED = 1 << 22  # dosages that are in memory as float64 at once: 32 MB


@dataclass(frozen=True)
class Carriers:
    """Who carries the alleles counted of V variants, and whose call is missing: listed once, for all sets, masks and traits.

    Attributes
    ----------
    entries : Entries
        Among the cohort's samples.
    flipped : bool array (V,)
        Where REF is counted, being the rarer allele in the cohort.
    width : int
        Samples of a block, N.
    """

    entries: kernel.Entries
    flipped: BoolArray
    width: int

    @property
    def n_variants(self) -> int:
        """V."""
        return int(self.flipped.size)

    @classmethod
    def of(cls, block: Block, columns: Int64Array, mask: UInt64Array, flipped: BoolArray | None = None) -> "Carriers":
        """Of a block as the model takes it (on X recoded), among the cohort's samples ``columns`` (n,), which are ``mask``.

        ``flipped`` (V,) says where REF is counted: where it is the rarer allele, if nothing is said.
        """
        if flipped is None:
            flipped = minor_is_ref(block, columns, mask)
        V, N = block.n_variants, block.n_samples
        haploid = np.zeros((V, 0), np.uint8) if block.haploid is None else np.ascontiguousarray(block.haploid)
        single = np.zeros(0, np.bool_) if block.single is None else block.single
        counts = np.zeros(V, np.int64)
        if isinstance(block, DosageBlock):
            return cls(_of_dosages(block, np.sort(columns), flipped, haploid, single), flipped, N)
        words = np.ascontiguousarray(block.packed).view(np.uint64)
        kernel.count_entries(words, flipped, mask, counts)
        entries = _room(counts)
        kernel.list_entries(words, flipped, mask, haploid, single, entries)
        return cls(entries, flipped, N)

    @classmethod
    def joined(cls, parts: Sequence["Carriers"]) -> "Carriers":
        """Those of several blocks of the same samples, one after another."""
        if len(parts) == 1:
            return parts[0]
        ends = np.concatenate([[0], *(np.diff(part.entries.pointers) for part in parts)])
        entries = kernel.Entries(
            np.cumsum(ends),
            np.concatenate([part.entries.samples for part in parts]),
            np.concatenate([part.entries.copies for part in parts]),
        )
        return cls(entries, np.concatenate([part.flipped for part in parts]), parts[0].width)


def _room(counts: Int64Array) -> kernel.Entries:
    """Room for so many entries of each variant (V,)."""
    pointers = np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])
    return kernel.Entries(pointers, np.empty(pointers[-1], np.int32), np.empty(pointers[-1]))


def _of_dosages(
    block: DosageBlock, columns: Int64Array, flipped: BoolArray, haploid: Array, single: BoolArray
) -> kernel.Entries:
    V, n = block.n_variants, columns.size
    step = max(1, DECODED // max(n, 1))
    found = []
    for first in range(0, V, step):
        some = np.arange(first, min(V, first + step))
        G = np.empty((some.size, n))
        decode_dosages(block.fixed_point, flipped, some, columns, G)
        if single.size:
            # who has one copy has what is left of one, not of two
            G -= np.outer(flipped[some], single[columns])
        counts = np.zeros(some.size, np.int64)
        kernel.count_row_entries(G, counts)
        entries = _room(counts)
        kernel.list_row_entries(G, columns, np.ascontiguousarray(haploid[some]), single, entries)
        found.append(entries)
    if len(found) == 1:
        return found[0]
    ends = np.concatenate([np.zeros(1, np.int64), *(np.diff(part.pointers) for part in found)])
    return kernel.Entries(
        np.cumsum(ends),
        np.concatenate([np.empty(0, np.int32), *(part.samples for part in found)]),
        np.concatenate([np.empty(0), *(part.copies for part in found)]),
    )


@dataclass(frozen=True, kw_only=True)
class SetScores:
    """Scores of m variants under a null model of T_p traits, of the alleles that are rarer in the cohort.

    Attributes
    ----------
    U : float64 array (T_p, m)
        NaN for a trait without variance.
    V : float64 array (m, m)
        Covariance of U over ``scale``: of trait t it is ``scale[t] V``.
    scale : float64 array (T_p,)
    flipped : bool array (m,)
        Where the allele is REF: the effect of ALT is minus what is said here.
    n_observed : int64 array (m,)
        Samples of the null whose call is observed.
    n_imputed : int64 array (m,)
        Those whose call is missing, and takes the mean.
    mean : float64 array (m,)
        Of the calls observed.
    mac, event_mac : float64 arrays (m,)
        True copies among the samples observed, and among those with the event: a haploid call is one.
    n_carriers, event_carriers : int64 arrays (m,)
        Samples that carry a copy; of dosages, half a copy at least.
    """

    U: Float64Array
    V: Float64Array
    scale: Float64Array
    flipped: BoolArray
    n_observed: Int64Array
    n_imputed: Int64Array
    mean: Float64Array
    mac: Float64Array
    event_mac: Float64Array
    n_carriers: Int64Array
    event_carriers: Int64Array

    def take(self, which: BoolArray | Int64Array) -> "SetScores":
        """Those of some variants, as of a mask."""
        at = np.flatnonzero(which) if which.dtype == np.bool_ else which
        return SetScores(
            U=self.U[:, at], V=self.V[np.ix_(at, at)], scale=self.scale, flipped=self.flipped[at],
            n_observed=self.n_observed[at], n_imputed=self.n_imputed[at], mean=self.mean[at], mac=self.mac[at],
            event_mac=self.event_mac[at], n_carriers=self.n_carriers[at], event_carriers=self.event_carriers[at],
        )  # fmt: skip


def set_scores(null: SetNull, carriers: Carriers, variants: Int64Array | None = None) -> SetScores:
    """Scores of some of the variants listed (m,), ascending, or of all; missing calls take the mean of the null's samples."""
    if variants is None:
        variants = np.arange(carriers.n_variants)
    m, K = variants.size, null.thin.shape[1]
    sums = kernel.SetSums(np.empty((m, K)), np.empty((m, m)), np.empty((m, kernel.N_COUNTS)))
    kernel.sum_set(carriers.entries, variants, null.samples, null.n_cross, np.zeros(null.width, np.int64), sums)
    if null.hazards is not None:
        place = np.zeros(null.hazards.squares.size + 1, np.int64)
        subtract_means(carriers.entries, variants, null.status, null.hazards, place, sums)
    counts = sums.counts
    whole = counts[:, [kernel.OBSERVED, kernel.CARRIERS, kernel.EVENT_CARRIERS]].astype(np.int64)
    return SetScores(
        U=null.scale[:, None] * sums.product[:, null.n_cross :].T,
        V=sums.V,
        scale=null.scale,
        flipped=carriers.flipped[variants],
        n_observed=whole[:, 0],
        n_imputed=null.n - whole[:, 0],
        mean=counts[:, kernel.MEAN].copy(),
        mac=counts[:, kernel.ALLELES].copy(),
        event_mac=counts[:, kernel.EVENT_ALLELES].copy(),
        n_carriers=whole[:, 1],
        event_carriers=whole[:, 2],
    )


def carriers_of_any(null: SetNull, carriers: Carriers, variants: Int64Array) -> tuple[int, int]:
    """Samples of the null that carry any of some variants, and how many of them have the event."""
    counts = np.zeros(2, np.int64)
    kernel.count_any(carriers.entries, variants, null.status, np.zeros(null.width, np.bool_), counts)
    return int(counts[0]), int(counts[1])
