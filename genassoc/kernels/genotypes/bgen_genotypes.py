"""Genotypes of a store as BGEN's layout 2 codes them, in 8 or 16 bits: what is compressed in a variant block."""

from typing import NamedTuple

from genassoc.kernels import jit, native
from genassoc.shapes import Array, UInt8Array, UInt16Array

HEAD = 10  # bytes beside a ploidy a sample and the probabilities
_NOT_KNOWN = 65535


class RowsOut(NamedTuple):
    """Rows of a store.

    Attributes
    ----------
    packed : uint8 (V, B)
    haploid : uint8 (V, ceil(N / 8))
        No columns where nobody is haploid.
    values, homozygous : uint16 (D, N)
        Dosages, and probabilities of two copies; of the latter no row where none is known.
    steps : uint16 (D,)
    """

    packed: UInt8Array
    haploid: UInt8Array
    values: UInt16Array
    homozygous: UInt16Array
    steps: UInt16Array


@jit
def _rounded(a: int, b: int, c: int, ones: int, scale: int) -> tuple[int, int]:
    """The first two of three numbers that sum to ``scale``, in units of which ``ones`` are one: down, then up by the largest remainders."""
    first, second, third = a * ones // scale, b * ones // scale, c * ones // scale
    ra, rb, rc = a * ones - first * scale, b * ones - second * scale, c * ones - third * scale
    for _ in range(ones - first - second - third):
        if ra >= rb and ra >= rc:
            first, ra = first + 1, -1
        elif rb >= rc:
            second, rb = second + 1, -1
        else:
            rc = -1
    return first, second


@native
def put_row(rows: RowsOut, v: int, d: int, bits: int, n_samples: int, out: UInt8Array) -> int:
    """Write a record of two alleles, REF first; how many bytes it has.

    Probabilities that are not known are those of the two genotypes next to the dosage, as PLINK 2 writes them. What is in other steps
    than 2^bits - 1 is rounded as BGEN's specification says: down, and what is missing to 1 goes to the largest remainders.

    Parameters
    ----------
    rows : RowsOut
    v, d : int
        The row, and that of its dosages; -1 where it has calls only.
    bits : int
        8 or 16.
    n_samples : int
        N.
    out : uint8 (bytes,)
        Room for `HEAD` + N + 4 N bytes.
    """
    N = n_samples
    ones = (1 << bits) - 1
    some_haploid = rows.haploid.shape[1] > 0
    known = rows.homozygous.shape[0] > 0
    S = int(rows.steps[d]) if d >= 0 else 1
    least, most = 2, 1
    at = HEAD + N
    for i in range(N):
        single = some_haploid and (rows.haploid[v, i >> 3] >> (i & 7)) & 1 == 1
        scale = 2 * S if single else S
        observed = True
        a, b, c = 0, 0, 0  # probabilities of no, one and two copies, in scale
        if d < 0:
            code = int((rows.packed[v, i >> 2] >> (2 * (i & 3))) & 3)
            observed = code != 3 and not (single and code == 1)
            a, b, c = scale * int(code == 0), scale * int(code == 1), scale * int(code == 2)
        else:
            x = int(rows.values[d, i])
            two = int(rows.homozygous[d, i]) if known else _NOT_KNOWN
            observed = x != _NOT_KNOWN
            if single:
                a, c = scale - x, x
            else:
                two = max(x - S, 0) if two == _NOT_KNOWN else two
                a, b, c = S - x + two, x - 2 * two, two
        if single and observed:
            least = 1
        else:
            most = 2
        out[8 + i] = (1 if single and observed else 2) | (0 if observed else 128)
        first = second = 0
        if observed:
            first, second = _rounded(a, b, c, ones, scale)
        for value in (first, second):
            out[at] = value & 255
            at += 1
            if bits == 16:
                out[at] = value >> 8
                at += 1
            if single and observed:
                break
    for k in range(4):
        out[k] = (N >> (8 * k)) & 255
    out[4], out[5], out[6], out[7] = 2, 0, min(least, most), most
    out[8 + N], out[9 + N] = 0, bits
    return at


@native
def put_alleles(alleles: Array, K: int, out: UInt8Array) -> int:
    """Write the calls of a record of K alleles in 8 bits; how many bytes it has.

    Parameters
    ----------
    alleles : int16 (N, 2)
        The smaller first; -1 not observed, -2 the second of a haploid call.
    K : int
    out : uint8 (bytes,)
        Zeros; room for `HEAD` + N + N (K (K + 1) / 2 - 1) bytes.
    """
    N = alleles.shape[0]
    least, most = 2, 1
    at = HEAD + N
    of_two = K * (K + 1) // 2 - 1
    for i in range(N):
        low, high = int(alleles[i, 0]), int(alleles[i, 1])
        if low < 0:
            out[8 + i], most = 130, 2
            at += of_two
        elif high < 0:
            out[8 + i], least = 1, 1
            if low < K - 1:
                out[at + low] = 255
            at += K - 1
        else:
            out[8 + i], most = 2, 2
            genotype = high * (high + 1) // 2 + low
            if genotype < of_two:
                out[at + genotype] = 255
            at += of_two
    for k in range(4):
        out[k] = (N >> (8 * k)) & 255
    out[4], out[5], out[6], out[7] = K & 255, K >> 8, min(least, most), most
    out[8 + N], out[9 + N] = 0, 8
    return at
