"""Dosages in fixed point: kernels against slow twins, and the same bits whatever is computed beside them."""

import numpy as np
import pytest
from oracles import dosage_genotypes as genotypes_oracle
from oracles import dosage_moments as moments_oracle
from oracles import dosages as oracle
from oracles import nearest_calls as nearest_oracle

from genassoc.data.block import DosageBlock, GenotypeBlock
from genassoc.kernels.genotypes import dosage_genotypes as genotypes
from genassoc.kernels.genotypes import dosage_moments as moments
from genassoc.kernels.genotypes import dosages as kernel
from genassoc.kernels.genotypes.nearest_calls import hard_calls
from genassoc.shapes import packed_bytes

RNG = np.random.default_rng(11)
# A tile and a bit of samples, a vector and a bit of variants; neither a multiple of what is taken at once.
V, N = 11, kernel.TILE_SAMPLES + 7


def made(dtype):
    """A block with observed, missing, extreme and constant dosages."""
    scale = {1: 127, 2: 32767, 4: 2**20}[np.dtype(dtype).itemsize]
    values = RNG.integers(0, 2 * scale + 1, (V, N))
    values[RNG.random((V, N)) < 0.1] = np.iinfo(dtype).max
    values[0], values[1], values[2, :4] = np.iinfo(dtype).max, scale, [0, scale, 2 * scale, scale // 2]
    return DosageBlock(values.astype(dtype))


@pytest.mark.kernel
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32])
def test_kernels_are_their_twins(dtype):
    block = made(dtype)
    selected, flipped = RNG.random(N) < 0.8, RNG.random(V) < 0.5
    sums = np.empty((V, kernel.N_SUMS), np.int64)
    kernel.sum_dosages(block.fixed_point, selected, sums)
    assert sums.tolist() == oracle.sum_dosages(block.values, block.not_observed, selected)

    runs = oracle.list_not_observed(block.values, block.not_observed, selected)
    pointers = np.cumsum([0, *map(len, runs)])
    indices = np.full(pointers[-1], -1)
    kernel.list_not_observed(block.fixed_point, selected, pointers, indices)
    assert indices.tolist() == [sample for run in runs for sample in run]

    whole, carriers = np.empty(V, bool), np.empty(V)
    moments.whole_rows(block.fixed_point, selected, whole)
    assert whole.tolist() == moments_oracle.whole_rows(block.values, block.scale, block.not_observed, selected)
    moments.effective_carriers(block.fixed_point, selected, sums, carriers)
    # Steps are of a thousandth of a copy there.
    np.testing.assert_allclose(carriers, moments_oracle.effective_carriers(block.dosages(), selected), rtol=2e-3)

    marked, haploid = RNG.random((V, N)) < 0.3, np.empty((V, 2), np.int64)
    packed = np.packbits(marked, axis=1, bitorder="little")
    moments.sum_haploid(block.fixed_point, packed, selected, haploid)
    assert haploid.tolist() == moments_oracle.sum_haploid(block.values, block.not_observed, marked, selected)

    unknown, nobody, out = np.empty((0, N), dtype), np.empty((0, 0), np.uint8), np.empty((V, N), dtype)
    least = np.maximum(block.values.astype(np.int64) - block.scale, 0)
    two = (least + RNG.random((V, N)) * (block.values // 2 - least)).astype(dtype)
    for which, name in ((genotypes.ONE_COPY, "one"), (genotypes.TWO_COPIES, "two"), (genotypes.ANY_COPY, "any")):
        for known, marks in ((two, nobody), (unknown, nobody), (unknown, packed)):
            genotypes.twice_probabilities(block.fixed_point, known, marks, which, out)
            given = (two if known.size else None, marked if marks.size else None)
            expected = genotypes_oracle.twice_probabilities(block.values, block.scale, block.not_observed, *given, name)
            np.testing.assert_array_equal(out, expected)

    variants, samples = np.array([3, 0, V - 1]), RNG.permutation(N)[:20]
    rows = np.empty((3, 20))
    kernel.decode_dosages(block.fixed_point, flipped, variants, samples, rows)
    np.testing.assert_array_equal(rows, oracle.decode_dosages(block.dosages(), flipped, variants, samples))

    columns = RNG.standard_normal((N, 3))
    for square in (False, True):
        out = np.full((V, 3), np.nan)
        kernel.dosage_product(block.fixed_point, flipped, columns, square, out)
        expected = oracle.dosage_product(block.dosages(), flipped, columns, square)
        # float64 sums of N terms of size 4: 1e-16 of their lengths.
        np.testing.assert_allclose(out, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.kernel
def test_hard_calls_are_within_a_tenth_of_a_copy():
    steps = np.array([255, 1000, 16384, 32767, 10], np.uint16)
    values = np.stack([RNG.integers(0, 2 * one + 1, 37) for one in steps.astype(int)]).astype(np.uint16)
    values[:, :10] = [
        [
            0,
            one // 10,
            one // 10 + 1,
            one - one // 10,
            one,
            2 * one,
            2 * one - one // 10,
            65535,
            *(min(2 * one + one // 10 + k, 65534) for k in (0, 1)),
        ]
        for one in steps.astype(int)
    ]
    packed = np.empty((steps.size, packed_bytes(37)), np.uint8)
    hard_calls(values, steps, packed)
    np.testing.assert_array_equal(GenotypeBlock(packed, 37).codes(), nearest_oracle.hard_calls(values, steps))


def test_a_product_has_the_same_bits_alone_and_in_company():
    block, flipped, columns = made(np.uint16), RNG.random(V) < 0.5, RNG.standard_normal((N, 9))
    whole = np.empty((V, 9))
    kernel.dosage_product(block.fixed_point, flipped, columns, False, whole)
    for v in range(V):
        for chosen in ([4], [0, 8, 4]):
            alone = np.empty((1, len(chosen)))
            some = np.ascontiguousarray(columns[:, chosen])
            kernel.dosage_product(block.take(np.arange(V) == v).fixed_point, flipped[[v]], some, False, alone)
            assert alone.tobytes() == whole[[v]][:, chosen].tobytes()
