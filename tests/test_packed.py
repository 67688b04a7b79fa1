"""The two-bit layout against its slow twins."""

import numpy as np
import pytest
from oracles import packed as oracle

from genassoc.kernels.genotypes import mosaic, packed
from genassoc.shapes import packed_bytes

pytestmark = pytest.mark.kernel

# About the edges of bytes (4 samples) and of words (32).
WIDTHS = [1, 3, 4, 5, 31, 32, 33, 64, 70]


def calls(n_samples, n_variants=5, seed=0):
    return np.random.default_rng(seed + n_samples).integers(0, 4, (n_variants, n_samples)).astype(np.uint8)


def packed_of(codes):
    out = np.empty((len(codes), packed_bytes(codes.shape[1])), dtype=np.uint8)
    packed.pack(codes, out)
    return out


@pytest.mark.parametrize("width", WIDTHS)
def test_pack_and_unpack(width):
    codes = calls(width)
    rows = packed_of(codes)
    assert rows.shape[1] % 8 == 0
    np.testing.assert_array_equal(rows, oracle.pack(codes, rows.shape[1]))
    back = np.empty_like(codes)
    packed.unpack(rows, back)
    np.testing.assert_array_equal(back, codes)
    np.testing.assert_array_equal(oracle.unpack(rows, width), codes)
    # what lies beyond the last sample is "not observed"
    assert (oracle.unpack(rows, 4 * rows.shape[1])[:, width:] == 3).all()


@pytest.mark.parametrize("width", WIDTHS)
def test_gather(width):
    codes = calls(width)
    columns = np.random.default_rng(width).permutation(width)[: (width + 1) // 2].astype(np.int64)
    out = np.empty((len(codes), packed_bytes(columns.size)), dtype=np.uint8)
    packed.gather(packed_of(codes), columns, out)
    np.testing.assert_array_equal(out, oracle.pack(oracle.gather(codes, columns), out.shape[1]))


@pytest.mark.parametrize("width", WIDTHS)
def test_carriers_and_hidden_calls(width):
    codes = calls(width)
    rng = np.random.default_rng(width)
    carriers = [sorted(rng.integers(0, 2 * width, size).tolist()) for size in (0, 1, 2, 5, 2 * width)]
    first = np.cumsum([0, *map(len, carriers)])
    rows = packed_of(codes)
    mosaic.set_carriers(first, np.concatenate(carriers).astype(np.int32), width, rows)
    expected = oracle.set_carriers(codes, carriers)
    np.testing.assert_array_equal(rows, oracle.pack(expected, rows.shape[1]))
    hidden = [(0, 0), (2, width - 1), (2, width - 1), (4, width // 2)]
    mosaic.hide_calls(np.array([v for v, _ in hidden]), np.array([i for _, i in hidden]), rows)
    np.testing.assert_array_equal(rows, oracle.pack(oracle.hide_calls(expected, hidden), rows.shape[1]))


@pytest.mark.parametrize("width", WIDTHS)
def test_decode_rows(width):
    codes = calls(width)
    columns = np.random.default_rng(width).permutation(width)[: (width + 1) // 2].astype(np.int64)
    flipped, variants = np.array([False, True, False, True, True]), np.array([4, 0, 3])
    out = np.empty((3, columns.size))
    packed.decode_rows(packed_of(codes), flipped, variants, columns, out)
    np.testing.assert_array_equal(out, oracle.decode_rows(codes, flipped, variants, columns))
