"""SKAT-O against polar coordinates, simulation, and what must hold of any set."""

import numpy as np
import pytest
from oracles import skat_o as oracle

from genassoc.kernels.laws import contours, quadratic_forms
from genassoc.models.sets import tests as set_tests
from genassoc.models.sets.tests import RHO, score_burden, skat, skat_o

SETS = {
    "independent": np.diag([1.0, 3.0]),
    "alike": np.array([[2.0, 1.1], [1.1, 0.9]]),
    "opposed": np.array([[2.0, -1.1], [-1.1, 0.9]]),
    "unequal": np.diag([1.0, 1e-3]),
    "three": np.array([[2.0, 0.5, 0.3], [0.5, 1.0, -0.2], [0.3, -0.2, 0.4]]),
}


def _tested(U, V):
    return skat_o(np.atleast_2d(U), V, np.ones(len(np.atleast_2d(U))), np.ones(len(V)))


@pytest.mark.parametrize("name", SETS)
def test_polar_coordinates(name):
    V = SETS[name]
    m = len(V)
    # Directions of a burden, of a contrast and between, from p of about 0.7 to 1e-30.
    sides = np.array([[1.0, 1.0, 1.0], [1.0, -0.7, 0.2], [1.0, 0.1, 0.1]])[:, :m]
    U = np.concatenate(
        [
            size * sides / np.sqrt(np.einsum("ti,ij,tj->t", sides, np.linalg.inv(V), sides))[:, None]
            for size in (0.7, 3.0, 12.0)
        ]
    )
    tested = _tested(U, V)
    assert (tested.method == "inversion").all()
    n = 12_000 if m == 2 else 160
    for t in range(len(U)):
        ln_least = -np.log(10.0) * tested.statistic[t]
        expected = oracle.ln_any_passes(oracle.quantiles(ln_least, V, n=n), V, n=n)
        # The oracle's own error: kinks of the smallest q / k, seen by equal steps of the direction.
        tolerance = 1e-5 if m == 2 else 5e-3
        assert -np.log(10.0) * tested.neg_log_10_p[t] == pytest.approx(expected, rel=0, abs=tolerance)


@pytest.mark.kernel
def test_smallest_p_is_that_of_its_rho():
    V = SETS["three"]
    U = np.array([[1.5, 0.2, 0.1], [3.0, 2.0, 1.0], [2.0, -1.5, 0.5], [0.1, 0.0, 0.1]])
    tested = _tested(U, V)
    one = np.ones(len(U))
    for test, rho in ((skat, 0.0), (score_burden, 1.0)):
        alone = test(U, V, one, np.ones(3)).neg_log_10_p
        assert (alone <= tested.statistic + 1e-8).all()
        best = tested.rho == rho
        np.testing.assert_allclose(alone[best], tested.statistic[best], rtol=1e-8)
    assert set(tested.rho) <= set(RHO)
    assert (tested.neg_log_10_p <= tested.statistic).all()
    assert (tested.neg_log_10_p >= np.maximum(tested.statistic - np.log10(RHO.size), 0.0)).all()


def test_uniform_under_the_null():
    rng = np.random.default_rng(8)
    loadings = rng.normal(size=(15, 15)) * 0.15 + np.diag(rng.uniform(0.3, 1.0, 15))
    U = rng.normal(size=(2500, 15)) @ loadings.T
    p = 10.0 ** -_tested(U, loadings @ loadings.T).neg_log_10_p
    # Kolmogorov's distance of 2,500 uniform numbers is beyond 2 / sqrt(2500) once in 1,500 times.
    assert np.abs(np.sort(p) - (np.arange(2500) + 0.5) / 2500).max() < 2.0 / 50.0
    for level in (0.5, 0.1, 0.01):
        expected, deviation = 2500 * level, np.sqrt(2500 * level * (1.0 - level))
        assert abs((p < level).sum() - expected) < 3.5 * deviation


def test_sets_of_one_and_of_copies():
    # One variant, or copies of one: all rho are one test.
    for one in (np.array([1.4]), np.array([1.0, 2.0, 0.5])):
        V, U = np.outer(one, one), np.outer([3.1, 0.2], one)
        single = score_burden(U[:, :1], V[:1, :1], np.ones(2), np.ones(1)).neg_log_10_p
        np.testing.assert_allclose(_tested(U, V).neg_log_10_p, single, rtol=1e-6)
    # Opposite weights of two copies: the burden is constant, and what is left is SKAT.
    V, U = np.ones((2, 2)), np.array([[2.0, 2.0]])
    weights = np.array([1.0, -1.0])
    opposed = skat_o(U, V, np.ones(1), weights)
    np.testing.assert_allclose(opposed.neg_log_10_p, skat(U, V, np.ones(1), weights).neg_log_10_p, rtol=1e-9)


def test_signs_scale_and_company():
    V = SETS["three"]
    U = np.array([[1.5, 0.2, 0.1], [30.0, 20.0, 10.0], [2.0, -1.5, 0.5]])
    tested = _tested(U, V)
    np.testing.assert_allclose(_tested(-U, V).neg_log_10_p, tested.neg_log_10_p, rtol=1e-12)
    scales = np.array([4.0, np.nan, 1e-8])
    rescaled = skat_o(U * np.sqrt(scales)[:, None], V, scales, np.ones(3))
    np.testing.assert_array_equal(np.isnan(rescaled.neg_log_10_p), [False, True, False])
    np.testing.assert_allclose(rescaled.neg_log_10_p[[0, 2]], tested.neg_log_10_p[[0, 2]], rtol=1e-8)
    for t in range(3):
        np.testing.assert_array_equal(_tested(U[t], V).neg_log_10_p, tested.neg_log_10_p[t : t + 1])


def test_paths_are_shared_and_nothing_else():
    # What a trait gets does not depend on which paths others had laid out before it, to the last bit.
    rng = np.random.default_rng(8)
    V = np.cov(rng.normal(size=(12, 30)))
    U = rng.multivariate_normal(np.zeros(12), V, size=9) * np.array([0.1, 1, 1, 1, 1, 2, 4, 8, 30])[:, None]
    together, backwards = _tested(U, V).neg_log_10_p, _tested(U[::-1], V).neg_log_10_p[::-1]
    np.testing.assert_array_equal(backwards, together)
    np.testing.assert_array_equal([_tested(one[None], V).neg_log_10_p[0] for one in U], together)


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize(
    "eigenvalues", [[1.0] * 20, [1.0, 0.5], [1.0, 0.6, 0.3, 0.1, 0.01], [0.5**k for k in range(16)]]
)
def test_shared_paths_give_the_tails_of_paths_of_their_own(eigenvalues, shifted):
    weights = np.array(eigenvalues)
    m, agree = weights.size, 1e-3 if shifted else 1e-4
    shifts = 0.3 * weights[::-1].copy() if shifted else np.empty(0)
    room = contours.contours(contours.LEVELS if shifted else 1, m, shifts.size, agree)
    widening = contours.set_levels(weights, shifts, room) if shifted else 0.0
    for x in (0.0, 0.4, 3.0, 12.0) if shifted else (0.0,):
        for q in (weights.sum() + x * shifts.sum()) * np.geomspace(0.05, 30.0, 25):
            level = int(np.log2(1.0 + x * widening))
            found = contours.shared_tail(q, x, level, weights, shifts, room)[0]
            right = quadratic_forms.ln_tail(q, weights, x * shifts, np.empty((2, m)), 1e-7)[0]
            assert abs(found - right) < agree**2  # sums that agree to so much are right to its square
    assert (room.counts > 0).any()


def test_nothing_to_test():
    for m in (0, 3):
        tested = _tested(np.zeros((2, m)), np.zeros((m, m)))
        assert np.isnan(tested.neg_log_10_p).all() and np.isnan(tested.rho).all()
    zero = _tested(np.zeros((1, 2)), SETS["alike"])
    np.testing.assert_array_equal(zero.neg_log_10_p, [0.0])


def test_beyond_float64():
    U = 60.0 * np.sqrt(np.diag(SETS["three"]))
    tested = _tested(U, SETS["three"])
    assert np.isfinite(tested.neg_log_10_p[0]) and tested.neg_log_10_p[0] > 500.0


def test_far_beyond_float64():
    # -log10 p of 2e6: the quadrature is coarse there, and the bounds hold.
    U = 4000.0 * np.sqrt(np.diag(SETS["three"]))
    tested = _tested(U, SETS["three"])
    assert tested.statistic[0] - np.log10(RHO.size) <= tested.neg_log_10_p[0] <= tested.statistic[0]


def test_a_quantile_that_is_not_found_leaves_the_bound(monkeypatch):
    class Failing:
        ln_any_passes = set_tests.kernels.ln_any_passes

        @staticmethod
        def quantiles(q, spectra, sizes, ln_p, out):
            set_tests_quantiles(q, spectra, sizes, ln_p, out)
            out[1, 3] = np.nan

    set_tests_quantiles = set_tests.kernels.quantiles
    U = np.array([[3.0, 0.2, 0.1], [3.0, 2.0, 1.0]])
    right = _tested(U, SETS["three"])
    monkeypatch.setattr(set_tests, "kernels", Failing)
    tested = _tested(U, SETS["three"])
    np.testing.assert_array_equal(tested.method, ["inversion", "bound"])
    assert tested.neg_log_10_p[0] == right.neg_log_10_p[0]
    assert tested.neg_log_10_p[1] == pytest.approx(right.statistic[1] - np.log10(8.0), rel=1e-12)
