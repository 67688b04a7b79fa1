"""Sums over few samples: right, and in the same bits whatever is computed beside them."""

import numpy as np
import pytest
from oracles import carriers as oracle

from genassoc.data.block import GenotypeBlock
from genassoc.kernels.genotypes import carriers as kernel
from genassoc.kernels.genotypes.counts import mask_words
from genassoc.kernels.genotypes.missing_calls import Lacking
from genassoc.kernels.lanes.vector import DOUBLES, LANES
from genassoc.models.scan.product import RARE, ThinMatrix

VALUES = {"dosage": (0, 1, 2, 0), "square": (0, 1, 4, 0)}


def calls(n_samples, n_variants, seed=0):
    rng = np.random.default_rng([seed, n_samples])
    codes = rng.choice(4, (n_variants, n_samples), p=[0.7, 0.15, 0.1, 0.05]).astype(np.uint8)
    return codes, rng.random(n_variants) < 0.5, rng


def words(codes):
    return GenotypeBlock.from_codes(codes).packed.view(np.uint64)


@pytest.mark.kernel
@pytest.mark.parametrize("n_samples", [1, 33, 70])
def test_carriers_are_those_of_the_allele_counted(n_samples):
    codes, flipped, _ = calls(n_samples, 4)
    packed = words(codes)
    for v in range(4):
        marks = [int(kernel.carriers(word, bool(flipped[v]))) for word in packed[v]]
        found = [(marks[i // 32] >> (2 * (i % 32))) & 1 for i in range(32 * len(marks))]
        assert found[:n_samples] == oracle.carriers(codes, flipped)[v].astype(int).tolist()
        assert not any(found[n_samples:])  # padding carries nothing
    assert GenotypeBlock.from_codes(codes).carriers(flipped).tolist() == oracle.count_carriers(codes, flipped).tolist()


@pytest.mark.kernel
@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_sums_of_carriers(values):
    codes, flipped, rng = calls(70, 4)
    M = rng.standard_normal((96, 2 * LANES)).astype(np.float32)
    out = np.full((4, 2 * LANES), np.nan)
    which = np.array([3, 1])
    kernel.sum_carriers(words(codes), flipped, which, M.ravel(), np.array(values, np.float32), out)
    expected = oracle.sum_carriers(codes, flipped, M[:70], values)
    # some thirty float64 additions of numbers below 20
    np.testing.assert_allclose(out[which], expected[which], rtol=0, atol=1e-13)
    assert np.isnan(out[[0, 2]]).all()


@pytest.mark.kernel
@pytest.mark.parametrize("D", [DOUBLES, 3 * DOUBLES])
def test_sums_of_carriers_that_lack_a_trait(D):
    check_lacking(70, 3, D, 3, 0.3, [2, 0])


def test_sums_that_lack_a_trait_across_tiles_of_samples():
    check_lacking(32 * kernel.TILE_WORDS + 50, 2, 2 * DOUBLES, kernel.TILE_WORDS, 0.1, [0, 1])


def check_lacking(n, P, D, tile, share, which):
    codes, flipped, rng = calls(n, 3)
    codes[0, : n // 2], flipped[0] = 0, False  # whole words without a carrier
    lacking = rng.random((n, P)) < share
    lacking[:, -1] &= n > 100
    Q = rng.standard_normal((n, D))
    patterns = np.concatenate([np.flatnonzero(row) for row in lacking])
    lacks = Lacking(np.concatenate([[0], np.cumsum(lacking.sum(axis=1))]), patterns)
    mask = mask_words(np.flatnonzero(lacking.any(axis=1)), n)
    out = np.full((3, P * D), np.nan)
    kernel.sum_lacking(words(codes), flipped, np.array(which), tile, mask, lacks, Q.ravel(), out)
    expected = oracle.sum_lacking(codes, flipped, lacking, Q)[which]
    found = out.reshape(3, P, D)[which]
    # thousands of terms of order one at most
    np.testing.assert_allclose(found[:, :, 1:], expected[:, :, 1:], rtol=0, atol=1e-11)
    copies = oracle.copies_lacking(codes, flipped, lacking, kernel.TWO_COPIES)[which]
    assert found[:, :, 0].tolist() == copies.tolist()
    assert np.isnan(out[np.setdiff1d(np.arange(3), which)]).all()


def test_the_product_of_rare_and_common_variants_is_one_and_the_same_in_any_company():
    n = 2000
    rng = np.random.default_rng(5)
    n_carriers = np.array([0, 1, 5, n // RARE - 1, n // RARE, n // RARE + 1, n // 10, n // 2, n])
    codes = np.zeros((n_carriers.size, n), np.uint8)
    for row, k in zip(codes, n_carriers):
        row[rng.choice(n, k, replace=False)] = rng.choice([1, 2], k)
    flipped = np.zeros(len(codes), bool)
    both = np.concatenate([codes, 2 - codes])  # the same genotypes counted from the other allele
    flips = np.concatenate([flipped, ~flipped])
    columns = rng.standard_normal((n, 20))
    matrix = ThinMatrix.of(columns, words(codes).shape[1] * 8)
    whole = matrix.times(GenotypeBlock.from_codes(both), flips)
    assert whole[: len(codes)].tobytes() == whole[len(codes) :].tobytes()
    expected = codes.astype(float) @ columns
    # float32 columns and tiles of 256 samples: 2^-24 of sums of that many terms
    np.testing.assert_allclose(whole[: len(codes)], expected, rtol=0, atol=2e-3)
    rare = n_carriers * RARE <= n
    assert rare.sum() == 5
    # float64 sums of float32 columns
    rounded = codes.astype(float) @ columns.astype(np.float32).astype(float)
    np.testing.assert_allclose(whole[: len(codes)][rare], rounded[rare], rtol=0, atol=1e-12)
    for v in range(len(both)):
        alone = matrix.times(GenotypeBlock.from_codes(both[v : v + 1]), flips[v : v + 1])
        assert alone.tobytes() == whole[v : v + 1].tobytes()
