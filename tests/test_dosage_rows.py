"""Kernels on rows of dosages against their slow twins."""

import numpy as np
import pytest
from oracles import dosage_rows as oracles

from genassoc.kernels.genotypes import dosage_rows as kernels
from genassoc.kernels.genotypes.dosage_rows import N_SUMS, NOT_KNOWN, StoredRows

V, N = 7, 21


def some_rows(probabilities: bool, haploid: bool) -> tuple[StoredRows, np.ndarray]:
    rng = np.random.default_rng(8)
    steps = np.array([255, 0, 1000, 32767, 4, 4, 4], np.uint16)  # four steps: genotypes equally probable
    two = rng.integers(0, steps[:, None].astype(int) + 1, (V, N))
    values = rng.integers(0, steps[:, None] - two + 1) + 2 * two
    bits = np.packbits(rng.random((V, N)) < 0.3, axis=1, bitorder="little")
    bits[5:] = 0
    values[rng.random((V, N)) < 0.2] = NOT_KNOWN
    two[(values == NOT_KNOWN) | ((rng.random((V, N)) < 0.1) & (np.arange(V) % 2 == 0)[:, None])] = NOT_KNOWN
    values[1] = two[1] = NOT_KNOWN
    none = np.zeros((0, 0), np.uint16)
    return StoredRows(
        values.astype(np.uint16),
        two.astype(np.uint16) if probabilities else none,
        bits if haploid else none.astype(np.uint8),
    ), steps


@pytest.mark.kernel
@pytest.mark.parametrize("probabilities", [False, True])
@pytest.mark.parametrize("haploid", [False, True])
def test_sums(probabilities, haploid):
    rows, steps = some_rows(probabilities, haploid)
    selected = (np.arange(N) % 3 > 0).astype(np.uint8)
    found, expected = np.full((V, N_SUMS), -1), np.full((V, N_SUMS), -1)
    kernels.sum_rows(rows, steps, selected, found)
    oracles.sum_rows(rows, steps, selected, expected)
    assert np.array_equal(found, expected)


@pytest.mark.kernel
def test_impossible_rows():
    rows, steps = some_rows(True, False)
    assert kernels.first_impossible(rows, steps) == oracles.first_impossible(rows, steps) == -1
    for change in ((3, "values", 65534 + 1 - 2), (4, "homozygous", 5), (2, "homozygous", 1001)):
        v, name, value = change
        bad = StoredRows(*(array.copy() for array in rows))
        at = int(np.argmax(bad.values[v] != NOT_KNOWN))
        getattr(bad, name)[v, at] = value
        assert kernels.first_impossible(bad, steps) == oracles.first_impossible(bad, steps)
        assert oracles.first_impossible(bad, steps) == v or name == "values"


@pytest.mark.kernel
def test_rows_with_probabilities():
    rows, _ = some_rows(True, False)
    found, expected = np.zeros(V, np.uint8), np.zeros(V, np.uint8)
    kernels.rows_with_probabilities(rows, found)
    oracles.rows_with_probabilities(rows, expected)
    assert np.array_equal(found, expected) and 0 < expected.sum() < V


@pytest.mark.kernel
def test_what_the_dosage_leaves_of_a_probability():
    rows, steps = some_rows(True, False)
    found, expected = (StoredRows(*(array.copy() for array in rows)) for _ in range(2))
    kernels.shift_homozygous(found, steps, -1)
    oracles.shift_homozygous(expected, steps, -1)
    assert np.array_equal(found.homozygous, expected.homozygous)
    known = rows.homozygous != NOT_KNOWN
    none = steps[:, None].astype(int) - rows.values + rows.homozygous
    far = np.where(rows.values > steps[:, None], none, rows.homozygous)
    assert np.array_equal(found.homozygous[known], far[known])
    kernels.shift_homozygous(found, steps, 1)
    assert np.array_equal(found.homozygous, rows.homozygous)
    found.homozygous[0] = NOT_KNOWN - 1  # of a damaged store
    kernels.shift_homozygous(found, steps, 1)
    assert found.homozygous[0].min() == NOT_KNOWN - 1
