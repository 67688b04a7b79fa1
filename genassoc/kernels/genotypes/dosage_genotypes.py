"""Probabilities of genotypes from dosages: of one copy, of two, and of any.

With P(hom) they are d - 2 P(hom), P(hom) and d - P(hom). Of a dosage d alone 1 - abs(d - 1), max(d - 1, 0) and min(d, 1), as in PLINK 2:
those of the likeliest genotypes that have it. A haploid sample, whose dosage is doubled, has one copy with d / 2, and none or "two".
"""

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.genotypes.dosages import FixedPoint
from genassoc.shapes import Array, UInt8Array

ONE_COPY, TWO_COPIES, ANY_COPY = 0, 1, 2


@jit
def twice_probabilities(dosages: FixedPoint, homozygous: Array, haploid: UInt8Array, which: int, out: Array) -> None:
    """Twice a probability, in steps.

    Parameters
    ----------
    dosages : FixedPoint
    homozygous : array (V, N), or (0, N) where P(hom) is not known
        Of the type of the dosages.
    haploid : uint8 array (V, H), or (0, 0) where nobody is marked
        Used where P(hom) is not known.
    which : int
        `ONE_COPY`, `TWO_COPIES` or `ANY_COPY`.
    out : array (V, N)
        Of the type of the dosages; 0 to 2 copies, whatever was rounded, not observed where the dosage is not.
    """
    V, N = dosages.values.shape
    one, missing = int(dosages.scale), int(dosages.missing)
    known, marked = homozygous.shape[0] == V, haploid.shape[0] == V
    for v in range(V):
        row = dosages.values[v]
        for i in range(N):
            x = int(np.int64(row[i]))
            twice = 2 * int(np.int64(homozygous[v, i])) if known else 2 * max(x - one, 0)
            if marked and not known and (int(haploid[v, i >> 3]) >> (i & 7)) & 1:
                twice = x
            found = twice if which == TWO_COPIES else (2 * x - twice if which == ANY_COPY else 2 * x - 2 * twice)
            out[v, i] = missing if x == missing else min(max(found, 0), 2 * one)
