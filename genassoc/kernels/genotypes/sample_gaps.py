"""What each sample lacks because its call is not observed: sums over the few calls that are missing."""

import numpy as np

from genassoc.kernels import jit
from genassoc.shapes import Int64Array, UInt64Array

_ONE = np.uint64(1)
_PAIRS = np.uint64(0x5555555555555555)


@jit
def sum_where_missing(words: UInt64Array, weights: Int64Array, sums: Int64Array) -> None:
    """Add to each sample the weights of the variants in which it is not observed.

    Parameters
    ----------
    words : uint64 array (V, W)
        Packed calls (`genassoc.kernels.genotypes.packed`).
    weights : int64 array (V, K)
    sums : int64 array (N, K)
        Added to.
    """
    V, W = words.shape
    N, K = sums.shape
    # sums[i] += weights[v] where code[v, i] == 3
    for v in range(V):
        for w in range(W):
            missing = words[v, w] & (words[v, w] >> _ONE) & _PAIRS
            i = 32 * w  # samples of a word
            while missing != np.uint64(0) and i < N:
                if missing & _ONE:
                    for k in range(K):
                        sums[i, k] += weights[v, k]
                missing >>= np.uint64(2)
                i += 1
