"""Sums over missing calls: every sample once, whatever the batches, the patterns and the calls of before."""

import numpy as np
import pytest
from oracles import missing_calls as oracle

from genassoc.kernels.genotypes import missing_calls as kernel
from genassoc.kernels.lanes.vector import DOUBLES
from genassoc.kernels.lanes.vector_outer import add_outer, add_to_rows, prefetch


def padded(values):
    """Columns filled up with zeros to a multiple of eight."""
    return np.pad(values, ((0, 0), (0, -values.shape[1] % DOUBLES)))


def cohort(N, C, T, P, share, seed=1):
    rng = np.random.default_rng(seed)
    lacks = rng.random((N, P)) < share
    pointers = np.r_[0, np.cumsum(lacks.sum(axis=1))]
    patterns = np.concatenate([np.flatnonzero(row) for row in lacks] + [np.zeros(0, int)])
    return lacks, pointers, patterns, rng.standard_normal((N, C)), rng.standard_normal((N, T))


@pytest.mark.kernel
@pytest.mark.parametrize(("N", "C", "T", "P"), [(40, 1, 1, 1), (60, 9, 9, 3)])
def test_sums_of_one_variant_after_another(N, C, T, P):
    check_sums(N, C, T, P)


def test_more_samples_than_a_batch():
    check_sums(4000, 13, 50, 20)


def check_sums(N, C, T, P, share=0.2):
    lacks, pointers, patterns, Q, R = cohort(N, C, T, P, share)
    wide, tall = padded(Q), padded(R)
    D, groups = wide.shape[1], tall.shape[1] // DOUBLES
    room = kernel.room_for(C, D, P, tall.shape[1])
    rng = np.random.default_rng(2)
    for n in (N // 2, 1, 4, 0, 7):  # the first of 4,000 takes two batches
        samples = np.sort(rng.choice(N, n, replace=False))
        kernel.sum_missing(samples, kernel.Lacking(pointers, patterns), wide.ravel(), tall.ravel(), C, room)
        expected = oracle.sum_missing(samples, lacks, Q, R)
        lower = np.tril_indices(C)
        close = {"rtol": 1e-12, "atol": 1e-12}  # thousands of float64 terms of order one, in another order
        np.testing.assert_allclose(room.every.reshape(C, D)[lower], expected[0][lower], **close)
        assert room.touched.tolist() == lacks[samples].any(axis=0).tolist()
        assert room.lost.tolist() == lacks[samples].sum(axis=0).tolist()
        for p in range(P):
            np.testing.assert_allclose(room.lacking.reshape(P, C, D)[p][lower], expected[1][p][lower], **close)
        sums = room.residuals.reshape(groups, C + 1, DOUBLES).transpose(1, 0, 2).reshape(C + 1, -1)
        np.testing.assert_allclose(sums[:C, :T], expected[2], **close)
        np.testing.assert_allclose(-sums[C, :T], expected[3], **close)
        assert not sums[:, T:].any()


@pytest.mark.kernel
def test_sums_where_nobody_lacks_a_trait():
    check_sums(60, 9, 9, 1, share=0.0)


def test_samples_that_lack_a_trait_are_counted():
    lacks, pointers, patterns, _, _ = cohort(40, 1, 1, 3, 0.4)
    room = kernel.room_for(1, DOUBLES, 3, DOUBLES)
    for samples in (np.array([1, 5, 6, 30]), np.arange(0)):
        kernel.count_missing(samples, kernel.Lacking(pointers, patterns), room)
        assert room.lost.tolist() == lacks[samples].sum(axis=0).tolist()


@pytest.mark.kernel
def test_covariates_alone():
    lacks, pointers, patterns, Q, _ = cohort(50, 5, 1, 3, 0.3)
    wide = padded(Q)
    room = kernel.room_for(5, DOUBLES, 3, DOUBLES)
    for samples in (np.arange(0, 50, 3), np.array([4])):
        kernel.sum_missing_covariates(samples, kernel.Lacking(pointers, patterns), wide.ravel(), DOUBLES, room)
        one, each = oracle.sum_missing_covariates(samples, lacks, Q)
        assert room.lost.tolist() == lacks[samples].sum(axis=0).tolist()
        np.testing.assert_allclose(room.every[:5], one, atol=1e-13)  # seventeen terms of order one
        np.testing.assert_allclose(room.lacking.reshape(3, -1)[:, :5], each, atol=1e-13)


def test_compiled_operations_are_their_plain_twins():
    from numba import njit

    def outer(total, factors, rows):
        prefetch(rows, 30)
        add_outer(total, 2, 9, 1, 4, factors, 0, 5, 11, 2, rows, 3, 30, 17, 9)

    def to_rows(total, factors, rows):
        add_to_rows(total, 1, 24, which, 1, 4, rows, 3, factors, 2)
        add_to_rows(total, 5, 8, which, 0, 2, rows, 20, factors, 7)

    rng = np.random.default_rng(0)
    which = np.array([4, 0, 1, 0])
    total, factors, rows = rng.standard_normal(140), rng.standard_normal(30), rng.standard_normal(50)
    for operation in (outer, to_rows):
        expected, compiled = total.copy(), total.copy()
        operation(expected, factors, rows)
        njit(operation)(compiled, factors, rows)
        assert not np.array_equal(expected, total)
        assert compiled.tobytes() == expected.tobytes()
