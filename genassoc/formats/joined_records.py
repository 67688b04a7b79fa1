"""Rows of one ALT each joined to records again, for formats whose records have several."""

from dataclasses import dataclass

import numpy as np

from genassoc.errors import OutputError
from genassoc.formats.writing import ExportRows
from genassoc.kernels.genotypes.alleles import join_alleles
from genassoc.shapes import Array, Int64Array

MOST_ALTS = 32_767  # of a record, in 16 bits


@dataclass(frozen=True, eq=False)
class JoinedRecords:
    """L records of V rows.

    Attributes
    ----------
    first : int64 (L + 1,)
        Where the rows of each record begin, and V.
    alleles : int16 (L, N, 2)
        0 REF, k the k-th ALT, the smaller first; -1 not observed; -2 the second of a haploid call.
    apart : int
        Records whose rows are records of their own here: their calls are not those of one genotype.
    unclear : int
        Calls that are not observed here, since some of their record's dosages are near no copy.
    """

    first: Int64Array
    alleles: Array
    apart: int
    unclear: int

    @classmethod
    def plain(cls, rows: ExportRows) -> "JoinedRecords":
        """Rows that are records, without their alleles: who writes packed calls as they are needs none."""
        return cls(np.arange(len(rows) + 1), np.empty((len(rows), 0, 2), np.int16), 0, 0)


def joined(rows: ExportRows, n_samples: int) -> JoinedRecords:
    """Join the rows of each record.

    A record whose rows contradict each other in a sample (one ALT observed and another not, more alleles than copies: they were
    changed since they were read) stays apart, so that no call is lost. Where all its rows have dosages these say what is
    known, and the call is not observed.
    """
    first = rows.records()
    if np.diff(first).max(initial=0) > MOST_ALTS:
        at = int(np.argmax(np.diff(first)))
        row = rows.table.row(int(first[at]), named=True)
        raise OutputError(
            f"{row['chromosome']}:{row['base_pair_location']}: a record of {np.diff(first)[at]:,} ALTs; at most {MOST_ALTS:,} are written."
        )
    alleles, conflicts = _alleles(rows, first, n_samples)
    fuzzy = np.zeros(len(rows), bool) if rows.dosages is None else rows.dosages.steps > 0
    all_fuzzy = np.logical_and.reduceat(fuzzy, first[:-1]) if len(rows) else np.zeros(0, bool)
    unclear = int(conflicts[all_fuzzy].sum())
    apart = (conflicts > 0) & ~all_fuzzy
    if apart.any():
        keep = np.repeat(apart, np.diff(first))  # rows of them each begin a record
        keep[first[:-1]] = True
        first = np.append(np.flatnonzero(keep), len(rows)).astype(np.int64)
        alleles, _ = _alleles(rows, first, n_samples)
    return JoinedRecords(first, alleles, int(apart.sum()), unclear)


def _alleles(rows: ExportRows, first: Int64Array, n_samples: int) -> tuple[Array, Int64Array]:
    L = first.size - 1
    packed, haploid = (rows.packed, rows.haploid) if rows.kept is None else rows.kept
    haploid = np.zeros((len(rows), 0), np.uint8) if haploid is None else haploid
    halves = np.zeros(L, bool)
    if rows.kept is not None:  # rows of dosages have no half calls
        calls = np.ones(len(rows), bool) if rows.dosages is None else rows.dosages.steps == 0
        halves = np.logical_and.reduceat(calls, first[:-1])
    alleles = np.empty((L, n_samples, 2), np.int16)
    conflicts = np.zeros(L, np.int64)
    join_alleles(first, np.ascontiguousarray(packed), np.ascontiguousarray(haploid), halves, alleles, conflicts)
    return alleles, conflicts
