"""What rules ask of dosages beside their sums: whether they are whole, how many samples carry them in effect, and copies of haploids.

The effective number of carriers of g, centred at its mean, is ``(sum (g - m)^2)^2 / sum (g - m)^4``: of a rare allele that is called with
certainty the number of its carriers; of one that is imputed poorly the number of samples that make its variance, however many have a little
of it. Steps are whole numbers, so that sums do not depend on their order.
"""

import numpy as np

from genassoc.kernels import jit
from genassoc.kernels.genotypes.dosages import OBSERVED, STEPS, FixedPoint
from genassoc.shapes import BoolArray, Float64Array, Int64Array, UInt8Array

FINE = 2048  # two copies in steps of at most so many: fourth powers of 4,096 samples fit 63 bits, and a step is a thousandth of a copy
CHUNK = 4096


@jit
def whole_rows(dosages: FixedPoint, selected: BoolArray, whole: BoolArray) -> None:
    """Whether every dosage of selected samples (N,) that is observed is 0, 1 or 2 copies, in whole (V,)."""
    V, N = dosages.values.shape
    one, missing = int(dosages.scale), int(dosages.missing)
    for v in range(V):
        row = dosages.values[v]
        whole[v] = True
        for i in range(N):
            x = int(np.int64(row[i]))
            if selected[i] and x != missing and x != 0 and x != one and x != 2 * one:
                whole[v] = False
                break


@jit
def effective_carriers(dosages: FixedPoint, selected: BoolArray, sums: Int64Array, carriers: Float64Array) -> None:
    """The effective number of carriers among selected samples.

    Parameters
    ----------
    dosages : FixedPoint
    selected : bool array (N,)
    sums : int64 array (V, N_SUMS)
        Of these samples, from `genassoc.kernels.genotypes.dosages.sum_dosages`.
    carriers : float64 array (V,)
        Filled; 0 where all have the same dosage.
    """
    V, N = dosages.values.shape
    missing, shift = int(dosages.missing), 0
    while (2 * int(dosages.scale)) >> shift > FINE:
        shift += 1
    half = (1 << shift) >> 1
    for v in range(V):
        row, n = dosages.values[v], sums[v, OBSERVED]
        middle = (2 * sums[v, STEPS] + n) // (2 * n) if n > 0 else 0
        first, second, fourth = 0, 0.0, 0.0
        for start in range(0, N, CHUNK):
            squares, fourths = 0, 0
            values, chosen = row[start : start + CHUNK], selected[start : start + CHUNK]
            for i in range(values.size):
                x = int(np.int64(values[i]))
                there = chosen[i] and x != missing
                d = (x - middle + half) >> shift if there else 0
                first += d
                # Masks say that products are of 32 bits, which the processor has in vectors.
                size = abs(d) & 0xFFFF
                square = (size * size) & 0xFFFFFFFF
                squares += square
                fourths += square * square
            second += float(squares)
            fourth += float(fourths)
        # The middle is whole, and off the mean by less than a step.
        second -= float(first) * float(first) / max(n, 1)
        carriers[v] = second * second / fourth if fourth > 0.0 and second > 0.0 else 0.0


@jit
def sum_haploid(dosages: FixedPoint, haploid: UInt8Array, selected: BoolArray, sums: Int64Array) -> None:
    """Selected samples observed that are marked as haploid (V, H), and the sum of their steps, into sums (V, 2)."""
    V, N = dosages.values.shape
    missing = int(dosages.missing)
    for v in range(V):
        observed, steps = 0, 0
        row, marks = dosages.values[v], haploid[v]
        for i in range(N):
            x = int(np.int64(row[i]))
            if selected[i] and x != missing and (int(marks[i >> 3]) >> (i & 7)) & 1:
                observed += 1
                steps += x
        sums[v, 0], sums[v, 1] = observed, steps
