"""Columns of sets against plain loops: every code, either allele, sets that share variants, and one without any."""

import numpy as np
import pytest
from oracles import burdens as oracle

from genassoc.data.block import GenotypeBlock
from genassoc.kernels.genotypes import burdens as kernel

pytestmark = pytest.mark.kernel
POINTERS, MEMBERS = np.array([0, 3, 3, 5, 9]), np.array([0, 2, 4, 1, 2, 0, 1, 3, 4])


@pytest.fixture(params=[70, 64])
def calls(request):
    rng = np.random.default_rng(2)
    codes = rng.choice(4, size=(5, request.param), p=(0.55, 0.2, 0.15, 0.1)).astype(np.uint8)
    words = GenotypeBlock.from_codes(codes).packed.view(np.uint64)
    return words, np.array([False, True, False, True, False]), request.param


def test_most_copies(calls):
    words, flipped, _ = calls
    found, expected = (np.full((4, words.shape[1]), 7, np.uint64) for _ in range(2))
    kernel.most_copies(words, flipped, POINTERS, MEMBERS, found)
    oracle.most_copies(words, flipped, POINTERS, MEMBERS, expected)
    assert (found == expected).all()


def test_weighted_sums(calls):
    words, flipped, n = calls
    rng = np.random.default_rng(3)
    means, weights = rng.random(5), rng.random(9)
    found, expected = np.full((4, n), 7.0), np.full((4, n), 7.0)
    kernel.weighted_sums(words, flipped, means, POINTERS, MEMBERS, weights, found)
    oracle.weighted_sums(words, flipped, means, POINTERS, MEMBERS, weights, expected)
    assert (found == expected).all()  # the same additions in the same order
