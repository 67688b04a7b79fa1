"""The product kernel: right, and in the same bits whatever is computed beside it."""

import numpy as np
import pytest
from oracles import product as oracle

from genassoc.data.block import GenotypeBlock
from genassoc.kernels.genotypes.product import TILE_VARIANTS, TILE_WORDS, product
from genassoc.kernels.lanes import vector
from genassoc.models.scan.product import ThinMatrix

LANES = vector.LANES
COUNTS = {
    "dosage of ALT": (0, 1, 2, 0),
    "its square": (0, 1, 4, 0),
}


def calls(n_samples, n_variants, seed=0):
    rng = np.random.default_rng([seed, n_samples, n_variants])
    codes = rng.choice(4, (n_variants, n_samples), p=[0.6, 0.2, 0.15, 0.05]).astype(np.uint8)
    return codes, rng.random(n_variants) < 0.5, rng.standard_normal((n_samples, LANES)).astype(np.float32)


def times(codes, flipped, M, values=(0, 1, 2, 0)):
    block = GenotypeBlock.from_codes(codes)
    padded = np.zeros((4 * block.packed.shape[1], LANES), dtype=np.float32)
    padded[: len(M), : M.shape[1]] = M
    out = np.full((len(codes), LANES), np.nan)
    product(
        block.packed.view(np.uint64),
        flipped,
        np.arange(len(codes)),
        padded.ravel(),
        np.array(values, dtype=np.float32),
        out,
    )
    return out


@pytest.mark.kernel
@pytest.mark.parametrize("n_samples", [1, 33, 70])
@pytest.mark.parametrize("values", COUNTS.values(), ids=COUNTS)
def test_agrees_with_plain_sums(n_samples, values):
    codes, flipped, M = calls(n_samples, 3)
    expected = oracle.product(codes, flipped, M, values)
    # fewer than 32 float32 additions in a row, each within 2^-24 of sums no larger than 4 sum |M|
    tolerance = 32 * 2.0**-24 * 4 * np.abs(M).sum(axis=0)
    assert (np.abs(times(codes, flipped, M, values) - expected) <= tolerance).all()


@pytest.mark.kernel
def test_of_some_variants_and_of_more_columns_than_a_vector_holds():
    codes, flipped, M = calls(40, 4)
    block = GenotypeBlock.from_codes(codes)
    padded = np.zeros((4 * block.packed.shape[1], 2 * LANES), dtype=np.float32)
    padded[:40] = np.hstack([M, M[:, ::-1]])
    out = np.full((4, 2 * LANES), np.nan)
    which = np.array([3, 1])
    product(block.packed.view(np.uint64), flipped, which, padded.ravel(), np.array((0, 1, 2, 0), np.float32), out)
    expected = times(codes, flipped, M)[which]
    assert out[which].tobytes() == np.hstack([expected, expected[:, ::-1]]).tobytes()
    assert np.isnan(out[[0, 2]]).all()


@pytest.mark.kernel
def test_bits_are_those_of_the_order_promised():
    codes, flipped, M = calls(70, 3)
    padded = np.full((3, 96), 3, dtype=np.uint8)
    padded[:, :70] = codes
    values = np.array([0, 1, 2, 0], dtype=np.float32)
    column = np.zeros(96, dtype=np.float32)
    column[:70] = M[:, 5]
    expected = oracle.product_in_order(padded, flipped, column, values, 8 * TILE_WORDS)
    assert times(codes, flipped, M)[:, 5].tobytes() == expected.tobytes()


def test_bits_are_those_of_the_order_promised_across_tiles():
    n_samples = 32 * TILE_WORDS + 160  # more than one tile of samples; whole words, so nothing is padded
    codes, flipped, M = calls(n_samples, 2)
    values = np.array([0, 1, 2, 0], dtype=np.float32)
    expected = oracle.product_in_order(codes, flipped, M[:, 3], values, 8 * TILE_WORDS)
    assert times(codes, flipped, M)[:, 3].tobytes() == expected.tobytes()


def test_bits_do_not_depend_on_company():
    codes, flipped, M = calls(3000, TILE_VARIANTS + 5)
    whole = times(codes, flipped, M)
    for v in (0, 1, TILE_VARIANTS - 1, TILE_VARIANTS, TILE_VARIANTS + 4):
        alone = times(codes[v : v + 1], flipped[v : v + 1], M)
        assert alone.tobytes() == whole[v : v + 1].tobytes()
    for k in (0, 7, LANES - 1):
        column = times(codes[:9], flipped[:9], M[:, k : k + 1])[:, 0]
        assert column.tobytes() == whole[:9, k].tobytes()  # another lane, other neighbours


def test_bits_do_not_depend_on_the_number_of_columns():
    codes, flipped, _ = calls(500, 20)
    block = GenotypeBlock.from_codes(codes)
    columns = np.random.default_rng(1).standard_normal((500, 40))
    whole = ThinMatrix.of(columns, block.packed.shape[1]).times(block, flipped)
    for k in (0, 15, 16, 39):
        alone = ThinMatrix.of(columns[:, k : k + 1], block.packed.shape[1]).times(block, flipped)
        assert alone.tobytes() == np.ascontiguousarray(whole[:, k : k + 1]).tobytes()


def test_whole_numbers_are_exact():
    # sums of whole numbers below 2^24 are exact in float32: 3,000 samples x 2 copies x 9 within a tile are
    codes, flipped, _ = calls(3000, 40)
    M = np.random.default_rng(2).integers(-9, 10, (3000, LANES)).astype(np.float32)
    counted = np.where(codes == 3, 0, np.where(flipped[:, None], 2 - codes.astype(int), codes))
    np.testing.assert_array_equal(times(codes, flipped, M), counted @ M.astype(np.int64))


@pytest.mark.kernel
def test_vector_operations_are_their_plain_twins():
    """The same bits, also at an address that no vector register likes."""
    from numba import njit

    def four(total, table):
        vector.add_four_rows(total, 3, table, 1, 18, 50, 35)

    def extend(table, column):
        vector.extend_row(table, 40, 7, column, 5, np.float32(1.7))

    rng = np.random.default_rng(3)
    table = rng.standard_normal(80).astype(np.float32)
    column = rng.standard_normal(40).astype(np.float32)
    for plain, first, second in ((four, column, table), (extend, table, column)):
        expected, compiled = first.copy(), first.copy()
        plain(expected, second)
        assert not np.array_equal(expected, first)
        njit(plain)(compiled, second)
        assert compiled.tobytes() == expected.tobytes()


@pytest.mark.kernel
def test_operations_on_eight_float64_are_their_plain_twins():
    from numba import njit

    def scaled(total, other):
        vector.add_scaled(total, 3, other, 5, 1.7)

    def scaled_float32(total, other):
        vector.add_scaled(total, 3, narrow, 5, -0.3)

    def product(total, other):
        vector.subtract_product(total, 1, other, 7, other, 2)

    def lanes(total, other):
        vector.scale_lanes(total, 2, other, 9)

    def roots(total, other):
        vector.invert_roots(total, 4, 0.1)

    rng = np.random.default_rng(4)
    first, second = rng.standard_normal(20), rng.standard_normal(20)
    narrow = second.astype(np.float32)
    for plain in (scaled, scaled_float32, product, lanes, roots):
        expected, compiled = first.copy(), first.copy()
        plain(expected, second)
        assert not np.array_equal(expected, first)
        njit(plain)(compiled, second)
        assert compiled.tobytes() == expected.tobytes(), plain.__name__
