"""Planes of bits, and calls decoded by a table, against loops over the codes."""

import numpy as np
import pytest
from oracles import planes as planes_oracle
from oracles import standardised as standardised_oracle

from genassoc.data.block import GenotypeBlock
from genassoc.kernels.genotypes.planes import to_planes
from genassoc.kernels.genotypes.standardised import decode_by_table


@pytest.fixture(params=[1, 3, 31, 32, 33, 64, 70, 130])
def codes(request):
    return np.random.default_rng(request.param).integers(0, 4, (3, request.param)).astype(np.uint8)


@pytest.mark.kernel
def test_planes_are_the_codes_bit_by_bit(codes):
    words = GenotypeBlock.from_codes(codes).packed.view(np.uint64)
    planes = tuple(np.full((3, (words.shape[1] + 1) // 2), 7, np.uint64) for _ in range(3))
    to_planes(words, *planes)
    for found, expected in zip(planes, planes_oracle.to_planes(codes)):
        np.testing.assert_array_equal(found, expected)


@pytest.mark.kernel
def test_each_code_becomes_the_number_of_its_variant(codes):
    table = np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)
    out = np.full(codes.shape, np.nan, np.float32)
    decode_by_table(GenotypeBlock.from_codes(codes).packed, table, out)
    np.testing.assert_array_equal(out, standardised_oracle.decode_by_table(codes, table))
