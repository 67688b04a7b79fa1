"""Rows of dosages of a store: the sums that frequencies and imputation quality are made of, and whether they can be dosages at all."""

from typing import NamedTuple

import numpy as np

from genassoc.kernels import jit, native
from genassoc.shapes import Int64Array, UInt8Array, UInt16Array

NOT_KNOWN = 65535
# Columns of the sums, in the order of `genassoc.data.schema.DOSAGE_SUMS`.
OBSERVED, STEPS, SQUARES, HAPLOID, HAPLOID_STEPS, HAPLOID_SQUARES, KNOWN, HOMOZYGOUS, BEST_REF, BEST_HET, BEST_ALT = (
    range(11)
)
N_SUMS = 11


class StoredRows(NamedTuple):
    """Dosages of V rows x N samples as a store keeps them.

    Attributes
    ----------
    values : uint16 array (V, N)
        Copies of ALT times steps, `NOT_KNOWN` where not observed.
    homozygous : uint16 array (V, N) or (0, 0)
        Probability of two copies times steps, `NOT_KNOWN` where it is not known; no row where none is.
    haploid : uint8 array (V, ceil(N / 8)) or (0, 0)
        Bits of haploid samples, whose dosages are doubled; no row where nobody is haploid.
    """

    values: UInt16Array
    homozygous: UInt16Array
    haploid: UInt8Array


@native
def sum_rows(rows: StoredRows, steps: UInt16Array, selected: UInt8Array, sums: Int64Array) -> None:
    """Sums over the selected samples of each row: `genassoc.data.schema.DOSAGE_SUMS`; zeros where a row has calls only.

    Parameters
    ----------
    rows : StoredRows
    steps : uint16 array (V,)
        Steps of a copy, S.
    selected : uint8 array (N,)
        1 for samples that count.
    sums : int64 array (V, N_SUMS)
        Filled.
    """
    V, N = rows.values.shape
    with_probabilities = rows.homozygous.shape[0] > 0
    with_haploid = rows.haploid.shape[0] > 0
    for v in range(V):
        for k in range(N_SUMS):
            sums[v, k] = 0
        S = int(steps[v])
        if S == 0:
            continue
        observed, total, squares = 0, 0, 0
        row = rows.values[v]
        for i in range(N):
            x = int(row[i])
            there = int(selected[i]) if x != NOT_KNOWN else 0
            counted = x * there
            observed += there
            total += counted
            squares += counted * counted
        sums[v, OBSERVED], sums[v, STEPS], sums[v, SQUARES] = observed, total, squares
        known, homozygous, ref, alt = 0, 0, 0, 0
        if with_probabilities:
            two = rows.homozygous[v]
            for i in range(N):
                x, h = int(row[i]), int(two[i])
                there = int(selected[i]) if x != NOT_KNOWN and h != NOT_KNOWN else 0
                # P(1) = dosage - 2 P(2), P(0) = 1 - P(1) - P(2), in steps
                one, none = x - 2 * h, S - x + h
                known += there
                homozygous += h * there
                is_ref = there if none >= one and none >= h else 0
                ref += is_ref
                alt += there if h > one and h > none else 0
            sums[v, KNOWN] = known
        het = known - ref - alt
        if with_haploid:
            for b in range(rows.haploid.shape[1]):
                marks = int(rows.haploid[v, b])
                for k in range(8):
                    i = 8 * b + k
                    if (marks >> k) & 1 == 0 or i >= N:
                        continue
                    x = int(row[i])
                    if x == NOT_KNOWN or selected[i] == 0:
                        continue
                    sums[v, HAPLOID] += 1
                    sums[v, HAPLOID_STEPS] += x
                    sums[v, HAPLOID_SQUARES] += x * x
                    if with_probabilities and int(rows.homozygous[v, i]) != NOT_KNOWN:
                        h = int(rows.homozygous[v, i])
                        one, none = x - 2 * h, S - x + h
                        homozygous -= h
                        if none >= one and none >= h:
                            ref -= 1
                        elif h > one and h > none:
                            alt -= 1
                        else:
                            het -= 1
        if with_probabilities:
            sums[v, HOMOZYGOUS] = homozygous
            sums[v, BEST_REF], sums[v, BEST_HET], sums[v, BEST_ALT] = ref, het, alt


@native
def first_impossible(rows: StoredRows, steps: UInt16Array) -> int:
    """The first row with a dosage above two copies, with probabilities outside 0 to 1, or with dosages and no steps; -1 if none."""
    U, unknown = np.uint16, np.uint16(NOT_KNOWN)  # numbers of 16 bits throughout: a vector holds 32 of them
    V, N = rows.values.shape
    with_probabilities = rows.homozygous.shape[0] > 0
    for v in range(V):
        S = steps[v]
        row = rows.values[v]
        most, wrong = U(0), U(0)
        for i in range(N):
            most = max(most, U(0) if row[i] == unknown else row[i])
        if with_probabilities:
            two = rows.homozygous[v]
            for i in range(N):
                x, h = row[i], two[i]
                # 2 h > x, and x - h > S where it is not (the maximum: no number of 16 bits goes below 0)
                outside = (x == unknown) | (h > U(x >> U(1))) | (U(max(x, h) - h) > S)
                wrong = U(wrong | (U(1) if (h != unknown) & outside else U(0)))
        if int(most) > 2 * int(S) or wrong > 0:
            return v
    return -1


@native
def shift_homozygous(rows: StoredRows, steps: UInt16Array, sign: int) -> None:
    """Take from the probability of two ALTs what the dosage leaves of it at least (sign -1), or give it back (1).

    P(2) >= dosage - 1: what remains is P(2) where the dosage is at most one copy, and P(0) above. It is 0 in most samples, so that
    the array compresses seven times better.

    Parameters
    ----------
    rows : StoredRows
        Its ``homozygous`` is changed.
    steps : uint16 array (V,)
    sign : int
    """
    U, unknown, largest = np.uint16, np.uint16(NOT_KNOWN), np.uint16(NOT_KNOWN - 1)
    V, N = rows.values.shape
    for v in range(V):
        S = steps[v]
        row, two = rows.values[v], rows.homozygous[v]
        if sign < 0:
            for i in range(N):
                x, h = row[i], two[i]
                least = U(0) if x == unknown else U(max(x, S) - S)
                two[i] = unknown if h == unknown else U(max(h, least) - least)
        else:
            for i in range(N):
                x, h = row[i], two[i]
                least = U(0) if x == unknown else U(max(x, S) - S)
                # of a damaged store: too much, and no number that begins again at 0
                two[i] = unknown if h == unknown else U(h + min(least, U(largest - min(h, largest))))


@jit
def rows_with_probabilities(rows: StoredRows, out: UInt8Array) -> None:
    """Set out (V,) to 1 where the probabilities of all samples observed are known, to 0 elsewhere."""
    V, N = rows.values.shape
    for v in range(V):
        unknown = 0
        for i in range(N):
            unknown += 1 if rows.values[v, i] != NOT_KNOWN and rows.homozygous[v, i] == NOT_KNOWN else 0
        out[v] = 1 if unknown == 0 else 0
