"""Calls of the ALTs of a record, each two bits, joined to the alleles of each sample, and taken apart again."""

from genassoc.kernels import jit
from genassoc.shapes import Array, BoolArray, Int64Array, UInt8Array

MISSING, FILL = -1, -2  # an allele that is not observed; the second allele of a haploid call (VCF Zarr's codes)


@jit
def join_alleles(
    first: Int64Array, packed: UInt8Array, haploid: UInt8Array, halves: BoolArray, alleles: Array, conflicts: Int64Array
) -> None:
    """Set the two alleles of each call: 0 is REF, k the k-th ALT, the smaller first.

    Parameters
    ----------
    first : int64 array (L + 1,)
        Where the rows of each record begin, and V.
    packed : uint8 array (V, B)
    haploid : uint8 array (V, ceil(N / 8))
        Bits of haploid calls; no columns where there are none.
    halves : bool array (L,)
        Whether a mark beside code 1 or 3 is of a half call: code 1 where its allele is ALT, 3 where it is not.
    alleles : int16 array (L, N, 2)
        Filled: `MISSING` where not observed, `FILL` the second of a haploid call.
    conflicts : int64 array (L,)
        Filled: calls of which some ALTs are observed and others not, or which have more alleles than copies: set to missing.
    """
    L, N = alleles.shape[:2]
    some_haploid = haploid.shape[1] > 0
    for record in range(L):
        conflicts[record] = 0
        start, stop = first[record], first[record + 1]
        for i in range(N):
            shift, byte = 2 * (i & 3), i >> 2
            # one bit suffices for a call: rows of a record have the same
            single = some_haploid and ((haploid[start, i >> 3] >> (i & 7)) & 1) == 1
            ploidy = 1 if single else 2
            missing, copies, half = 0, 0, 0
            low, high = 0, 0
            for v in range(start, stop):
                code = (packed[v, byte] >> shift) & 3
                if code == 3:
                    missing += 1
                elif single and code == 1 and halves[record]:
                    half = v - start + 1
                else:
                    n = (code + 1) >> 1 if single else int(code)  # a haploid ALT is 2
                    for _ in range(n):
                        if copies == 0:
                            high = v - start + 1
                        else:
                            low, high = high, v - start + 1
                        copies += 1
            if single and halves[record] and missing + (1 if half > 0 else 0) == stop - start:
                # 0/. or ./k
                alleles[record, i, 0] = MISSING if half > 0 else 0
                alleles[record, i, 1] = half if half > 0 else MISSING
            elif missing == 0 and copies <= ploidy and half == 0:
                alleles[record, i, 0] = high if single else low
                alleles[record, i, 1] = FILL if single else high
            else:
                conflicts[record] += 0 if missing == stop - start else 1
                alleles[record, i, 0] = MISSING
                alleles[record, i, 1] = FILL if single else MISSING
