"""Calls as lists of carriers and of missing samples, beside the plain twin."""

import numpy as np
import pytest
from oracles import listed as plain

from genassoc.data.block import GenotypeBlock
from genassoc.kernels.genotypes.counts import mask_words
from genassoc.kernels.genotypes.listed import Calls, list_calls, list_rows


def as_rows(calls):
    """The lists of each row."""
    ends = [np.concatenate([[0], end]) for end in (calls.carriers_end, calls.missing_end)]
    return [
        (calls.carriers[k:k_end], calls.copies[k:k_end], calls.missing[m:m_end])
        for k, k_end, m, m_end in zip(ends[0], ends[0][1:], ends[1], ends[1][1:])
    ]


def same(found, expected):
    assert len(found) == len(expected)
    for one, two in zip(found, expected):
        for a, b in zip(one, two):
            np.testing.assert_array_equal(a, b)


@pytest.mark.kernel
@pytest.mark.parametrize("N", [5, 70])
def test_packed_calls(N):
    rng = np.random.default_rng(N)
    codes = rng.choice(4, (4, N), p=[0.6, 0.2, 0.1, 0.1]).astype(np.uint8)
    codes[2] = 0  # nobody carries ALT, everybody REF
    block, flipped = GenotypeBlock.from_codes(codes), np.array([False, True, False, True])
    columns, variants = np.flatnonzero(rng.random(N) < 0.7), np.array([0, 1, 2])
    place = np.full(N, -1)
    place[columns] = np.arange(columns.size)
    calls = Calls.empty(3, columns.size)
    list_calls(block.packed.view(np.uint64), flipped, variants, mask_words(columns, N), place, calls)
    same(as_rows(calls), plain.list_calls(codes, flipped, variants, columns))


@pytest.mark.kernel
def test_dosages():
    G = np.array([[0.0, np.nan, 0.25, 2.0], [0.0, 0.0, 0.0, 0.0], [np.nan, np.nan, 1.0, np.nan]])
    calls = Calls.empty(3, 4)
    list_rows(G, calls)
    same(as_rows(calls), plain.list_rows(G))
