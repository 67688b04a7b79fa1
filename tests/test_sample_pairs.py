"""Counts of pairs of samples, against products of indicators: all numbers of missing calls, chunks that end within a word."""

import numpy as np
import pytest
from oracles import sample_pairs as oracle

from genassoc.data.block import GenotypeBlock
from genassoc.kernels.genotypes import sample_pairs as kernels

S = kernels.TILE_SAMPLES


def tile(n_samples, n_variants, missing, seed):
    """Codes (V, S), the samples behind the last not observed, and their words."""
    rng = np.random.default_rng(seed)
    codes = np.full((n_variants, S), 3, np.uint8)
    codes[:, :n_samples] = rng.integers(0, 3, (n_variants, n_samples))
    codes[rng.random(codes.shape) < missing] = 3
    return codes, GenotypeBlock.from_codes(codes).packed.view(np.uint64)


@pytest.mark.kernel
def test_planes_are_the_codes_sample_by_sample():
    codes, words = tile(250, 70, 0.3, 1)
    planes = kernels.planes_of_chunk()
    kernels.to_sample_planes(words, planes)
    assert planes.n_words[0] == 2
    for found, expected in zip((planes.het, planes.ref, planes.alt, planes.missing), oracle.to_sample_planes(codes)):
        bits = np.unpackbits(found[:, :2].copy().view(np.uint8), axis=1, bitorder="little")
        np.testing.assert_array_equal(bits[:, :70], expected)
    for i in (0, 13, 255):
        np.testing.assert_array_equal(planes.lists[i, : planes.n_listed[i]], np.flatnonzero(codes[:, i] == 3))
    flags = (codes == 1) | (codes == 3) << np.uint8(1)
    np.testing.assert_array_equal(
        planes.flags[:70], GenotypeBlock.from_codes(flags.astype(np.uint8)).packed.view(np.uint64)
    )


@pytest.mark.kernel
@pytest.mark.parametrize("missing", [0.0, 0.02, 0.6])
def test_counts_are_those_of_the_definition_by_lists_and_by_planes(missing):
    pieces = [(64, False), (7, True)]  # variants of a chunk, and whether missing calls are counted by planes
    shared = kernels.shared_of_tiles()
    left, right = kernels.planes_of_chunk(), kernels.planes_of_chunk()
    both = []
    for seed, (n_variants, dense) in enumerate(pieces):
        (codes, words), (codes_2, words_2) = (
            tile(256, n_variants, missing, seed),
            tile(199, n_variants, missing, 9 + seed),
        )
        both.append((codes, codes_2))
        kernels.to_sample_planes(words, left)
        kernels.to_sample_planes(words_2, right)
        kernels.add_shared(left, right, shared)
        if dense:
            kernels.add_missing_dense(left, right, shared)
            shared.n_behind[0] += -n_variants % 64
        else:
            kernels.add_missing_listed(left.flags, right.lists, right.n_listed, shared.of_left)
            kernels.add_missing_listed(right.flags, left.lists, left.n_listed, shared.of_right)
    codes, codes_2 = (np.concatenate(parts) for parts in zip(*both))
    totals = np.array([[(one == code).sum(axis=0) for code in (1, 3)] for one in (codes, codes_2)], dtype=np.int64)
    counts = np.empty((5, S, S), np.int64)
    kernels.settle_counts(shared, totals, len(codes), counts)
    np.testing.assert_array_equal(counts, oracle.settle_counts(codes, codes_2))


@pytest.mark.kernel
@pytest.mark.parametrize("above_diagonal", [False, True])
@pytest.mark.parametrize("least", [0.1, -np.inf])
def test_related_pairs_are_those_of_the_definition(above_diagonal, least):
    codes = np.random.default_rng(3).integers(0, 4, (40, 30)).astype(np.uint8)
    codes[:, 4] = 3  # nothing observed
    codes[codes[:, 5] == 1, 5] = 0  # no heterozygous call
    counts = np.ascontiguousarray(oracle.settle_counts(codes, codes))
    found, kinship = np.empty((900, 2), np.int64), np.empty(900)
    n = kernels.find_related(counts, least, above_diagonal, found, kinship)
    expected = oracle.find_related(counts, least, above_diagonal)
    assert [(i, j) for i, j, _ in expected] == [tuple(pair) for pair in found[:n].tolist()]
    # the same three operations on whole numbers
    np.testing.assert_array_equal(kinship[:n], [phi for *_, phi in expected])


def test_counters_carry_beyond_a_chunk():
    """A list of all variants, put in often: the counters of 32 levels, eight rows at a time and one by one."""
    flags = np.full((kernels.CHUNK_VARIANTS, kernels.TILE_WORDS), 0xFFFFFFFFFFFFFFFF, np.uint64)
    lists = np.tile(np.arange(kernels.CHUNK_VARIANTS, dtype=np.uint16), (S, 1))
    shared = kernels.shared_of_tiles()
    kernels.add_missing_listed(flags, lists, np.full(S, kernels.CHUNK_VARIANTS - 3), shared.of_left)
    kernels.add_missing_listed(flags, lists, np.full(S, 11), shared.of_left)
    counts = np.empty((5, S, S), np.int64)
    kernels.settle_counts(shared, np.zeros((2, 2, S), np.int64), 0, counts)
    assert (counts[0] == kernels.CHUNK_VARIANTS + 8).all()
    assert (counts[3] == -(kernels.CHUNK_VARIANTS + 8)).all()
