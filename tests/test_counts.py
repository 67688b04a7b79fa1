"""Counts of packed calls against loops over the codes."""

import numpy as np
import pytest
from oracles import counts as oracle

from genassoc.data.block import GenotypeBlock
from genassoc.kernels.genotypes import counts as kernels

# Around the edges of a byte (4 samples) and of a word (32 samples).
WIDTHS = [1, 3, 4, 5, 31, 32, 33, 70]


def _random_codes(n_variants, n_samples, seed=1):
    return np.random.default_rng(seed).integers(0, 4, (n_variants, n_samples)).astype(np.uint8)


def _random_columns(n_samples, seed=2):
    rng = np.random.default_rng(seed)
    return rng.permutation(n_samples)[: rng.integers(0, n_samples + 1)].astype(np.int64)


@pytest.mark.kernel
@pytest.mark.parametrize("width", WIDTHS)
def test_mask_words_selects_exactly_the_columns(width):
    columns = _random_columns(width)
    words = kernels.mask_words(columns, width)
    assert words.dtype == np.uint64 and words.shape == ((width + 31) // 32,)
    bits = [(int(words[i // 32]) >> (2 * (i % 32))) & 3 for i in range(32 * len(words))]
    assert bits == [int(i in set(columns.tolist())) for i in range(32 * len(words))]


@pytest.mark.parametrize("column", [33, -1])
def test_mask_words_refuses_a_column_outside_the_block(column):
    with pytest.raises(IndexError):
        kernels.mask_words(np.array([0, column]), 33)


@pytest.mark.kernel
@pytest.mark.parametrize("value", [0, 1, 0xFF, 0x5555555555555555, 2**63, 2**64 - 1])
def test_popcount(value):
    assert kernels.popcount(np.uint64(value)) == value.bit_count()


@pytest.mark.kernel
@pytest.mark.parametrize("width", WIDTHS)
def test_count_codes(width):
    codes = _random_codes(3, width)
    words = GenotypeBlock.from_codes(codes).packed.view(np.uint64)
    for columns in (np.arange(width), _random_columns(width), np.array([], dtype=np.int64)):
        counts = np.full((3, 4), -1, dtype=np.int64)
        kernels.count_codes(words, kernels.mask_words(columns, width), counts)
        np.testing.assert_array_equal(counts, oracle.count_codes(codes, columns))


@pytest.mark.kernel
@pytest.mark.parametrize("width", WIDTHS)
def test_count_codes_by_sample_adds_to_what_is_there(width):
    codes = _random_codes(5, width)
    counts = np.ones((width, 4), dtype=np.int64)
    kernels.count_codes_by_sample(GenotypeBlock.from_codes(codes).packed, counts)
    np.testing.assert_array_equal(counts, 1 + oracle.count_codes_by_sample(codes))


def test_count_codes_by_sample_of_more_variants_than_a_byte_counts():
    # Sums are held in bytes for 255 variants at a time: constant codes reach the limit.
    codes = np.repeat(np.array([[0, 1, 2, 3, 3]], dtype=np.uint8), 600, axis=0)
    counts = np.zeros((5, 4), dtype=np.int64)
    kernels.count_codes_by_sample(GenotypeBlock.from_codes(codes).packed, counts)
    np.testing.assert_array_equal(counts, 600 * np.eye(4, dtype=np.int64)[[0, 1, 2, 3, 3]])
