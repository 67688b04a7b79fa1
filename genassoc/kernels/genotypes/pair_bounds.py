"""Probabilities of two copies that were rounded apart from their dosages, brought between what these allow."""

import numpy as np

from genassoc.kernels import native
from genassoc.shapes import UInt16Array

_NOT_KNOWN = np.uint16(65535)


@native
def bound_pairs(values: UInt16Array, homozygous: UInt16Array, steps: UInt16Array) -> None:
    """Bring P(two copies) between dosage - 1 and half of the dosage, in steps; unknown where the dosage is.

    Parameters
    ----------
    values : uint16 (V, N)
        Copies times steps, 65535 where not observed.
    homozygous : uint16 (V, N)
        Changed.
    steps : uint16 (V,)
        Steps of a copy; rows of 0 stay.
    """
    U = np.uint16
    for v in range(values.shape[0]):
        one = steps[v]
        if one == 0:
            continue
        row, pairs = values[v], homozygous[v]
        for i in range(row.size):
            x, two = row[i], pairs[i]
            least = U(max(x, one) - one)
            bounded = min(max(two, least), U(x >> U(1)))
            pairs[i] = _NOT_KNOWN if (x == _NOT_KNOWN) | (two == _NOT_KNOWN) else bounded
