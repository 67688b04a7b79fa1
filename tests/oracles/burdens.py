"""Sets as columns, sample by sample."""

import numpy as np


def calls_of(words, v, n):
    """Codes of a variant."""
    return [(int(words[v, i // 32]) >> (2 * (i % 32))) & 3 for i in range(n)]


def minor(code, flipped):
    """Minor alleles of a call; None where it is missing."""
    return None if code == 3 else (2 - code if flipped else code)


def most_copies(words, flipped, pointers, members, out):
    """The most minor alleles of any variant, a missing call counted as none."""
    n = 32 * words.shape[1]
    out[:] = 0
    for s in range(len(pointers) - 1):
        most = np.zeros(n, dtype=int)
        for v in members[pointers[s] : pointers[s + 1]]:
            copies = [minor(code, flipped[v]) or 0 for code in calls_of(words, v, n)]
            most = np.maximum(most, copies)
        for i, copies in enumerate(most):
            out[s, i // 32] |= np.uint64(int(copies) << (2 * (i % 32)))


def weighted_sums(words, flipped, means, pointers, members, weights, out):
    """The sum of weight times minor alleles, a missing call counted as the mean."""
    n = out.shape[1]
    out[:] = 0.0
    for s in range(len(pointers) - 1):
        for k in range(pointers[s], pointers[s + 1]):
            v = members[k]
            for i, code in enumerate(calls_of(words, v, n)):
                copies = minor(code, flipped[v])
                out[s, i] += weights[k] * (means[v] if copies is None else copies)
