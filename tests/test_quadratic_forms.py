"""Tails of quadratic forms against mpmath, closed forms and chi-squared."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import quadratic_forms as oracle
from oracles.tails import neg_log_10_p_chi2 as chi2_tail

from genassoc.kernels.laws import quadratic_forms as kernels
from genassoc.stats.quadratic_forms import NO_SHIFTS, neg_log_10_p_quadratic

# Statistics over the mean of Q.
MULTIPLES = np.array([1e-3, 0.1, 0.5, 0.9, 1.0, 1.1, 2.0, 5.0, 20.0, 100.0])
# The error that is asked for is 1e-6 of p above 1e-4 and 1 % beyond; -ln p is held to a millionth of p everywhere.
LN_ERROR = 1e-8

SPECTRA = {
    "four": [1.0, 0.5, 0.3, 0.1],
    "orders of magnitude": [3.0, 1e-3, 1e-5],
    "close pairs": [1.0, 0.999, 0.5, 0.4999, 1e-3],
    "alike": [0.92, 0.88, 0.71, 0.69, 0.51],
}


def _statistics(eigenvalues):
    """From the left end to p of about 1e-300."""
    return np.sort(np.r_[MULTIPLES * np.sum(eigenvalues), 1380.0 * np.max(eigenvalues)])


def _ln_p(q, eigenvalues):
    neg_log_10_p, methods = neg_log_10_p_quadratic(q, eigenvalues)
    assert (methods == "inversion").all()
    return -math.log(10.0) * neg_log_10_p


@pytest.mark.parametrize("name", SPECTRA)
def test_real_integrals_along_the_cuts(name):
    eigenvalues = np.array(SPECTRA[name])
    q = _statistics(eigenvalues)
    expected = np.empty(q.size)
    oracle.ln_tails(q, eigenvalues, expected)
    assert expected[-1] < -680  # p below 1e-295
    np.testing.assert_allclose(_ln_p(q, eigenvalues), expected, rtol=0, atol=LN_ERROR)


def test_pairs_of_equal_eigenvalues_in_closed_form():
    means = np.array([2.0, 1.7, 1.1, 0.6, 0.59, 0.03])
    q = _statistics(np.repeat(means / 2, 2))
    expected = [float(oracle.ln_tail_of_pairs(x, means)) for x in q]
    np.testing.assert_allclose(_ln_p(q, np.repeat(means / 2, 2)), expected, rtol=0, atol=LN_ERROR)


@pytest.mark.parametrize("m", [1, 2, 3, 10, 2000])
def test_equal_eigenvalues_are_chi_squared(m):
    q = MULTIPLES[:9] * m
    expected = [float(-chi2_tail(x, m) * math.log(10.0)) for x in q]
    np.testing.assert_allclose(_ln_p(0.3 * q, np.full(m, 0.3)), expected, rtol=1e-10, atol=LN_ERROR)


def test_one_large_and_two_thousand_small_ones():
    # The small ones are as good as their mean, 2, with a standard deviation of 0.06 where one of them is a thousandth.
    # So is their law convolved with that of the large one: by Simpson's rule over the root of the large one's chi-squared.
    small = 1e-3
    q = np.array([1.9, 2.0, 2.1, 2.4, 3.0, 6.0, 30.0])
    x = np.linspace(0.0, 10.0, 40_001)
    simpson = np.full(x.size, 2.0)
    simpson[1::2], simpson[[0, -1]] = 4.0, 1.0
    density = np.sqrt(2.0 / math.pi) * np.exp(-0.5 * x * x) * simpson * (x[1] - x[0]) / 3.0
    from scipy.stats import chi2

    expected = [math.log(np.sum(density * chi2.sf((value - x * x) / small, 2000))) for value in q]
    np.testing.assert_allclose(_ln_p(q, np.r_[1.0, np.full(2000, small)]), expected, rtol=0, atol=1e-7)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.floats(-7.0, 0.0), st.integers(1, 60)), min_size=1, max_size=5),
    st.floats(-8.0, 3.0),
)
def test_never_nan_never_negative_and_falling(groups, exponent):
    eigenvalues = np.concatenate([np.full(n, 10.0**size) for size, n in groups])
    q = eigenvalues.sum() * np.sort(np.r_[10.0**exponent, np.geomspace(1e-6, 300.0, 12)])
    neg_log_10_p, methods = neg_log_10_p_quadratic(q, eigenvalues)
    assert (methods == "inversion").all()
    assert np.isfinite(neg_log_10_p).all() and (neg_log_10_p >= 0.0).all()
    assert (np.diff(neg_log_10_p) >= -1e-10 * neg_log_10_p[1:]).all()  # the sums agree to the square of 1e-6


def test_ends():
    q = np.array([0.0, -1.0, np.nan, np.inf, 1e-310])
    neg_log_10_p, _ = neg_log_10_p_quadratic(q, [1.0, 2.0])
    np.testing.assert_array_equal(neg_log_10_p, [0.0, 0.0, np.nan, np.inf, 0.0])
    # Nothing has variance: the statistic cannot be positive.
    np.testing.assert_array_equal(neg_log_10_p_quadratic([0.0, 1.0], [0.0, -1e-20])[0], [0.0, np.nan])
    np.testing.assert_array_equal(neg_log_10_p_quadratic([3.0], [1.0, 1e-17, -1e-17])[0], _neg([3.0], [1.0]))


def _neg(q, eigenvalues, **options):
    return neg_log_10_p_quadratic(q, eigenvalues, **options)[0]


def test_a_row_does_not_depend_on_its_company():
    eigenvalues = np.array(SPECTRA["four"])
    q = _statistics(eigenvalues)
    together = _neg(q, eigenvalues)
    np.testing.assert_array_equal([_neg([x], eigenvalues[::-1])[0] for x in q], together)


def test_approximations_are_near():
    eigenvalues = np.array(SPECTRA["alike"])
    q = eigenvalues.sum() * np.array([0.2, 0.999, 1.0, 1.001, 2.0, 4.0, 40.0])
    right = _neg(q, eigenvalues)
    # Kuonen's far tail is off by Stirling's error of Gamma(1/2), an eighth of p; Liu's matches kurtosis, so not the far tail.
    np.testing.assert_allclose(_neg(q, eigenvalues, method="kuonen"), right, rtol=0, atol=0.06)
    np.testing.assert_allclose(_neg(q, eigenvalues, method="liu")[:6], right[:6], rtol=0, atol=0.03)
    assert _neg(q, eigenvalues, method="liu")[6] > right[6] + 1.0


def test_where_sums_do_not_converge(monkeypatch):
    from genassoc.stats import quadratic_forms

    class Failing:
        saddlepoint, cumulant_slopes = kernels.saddlepoint, kernels.cumulant_slopes

        @staticmethod
        def ln_tails(q, eigenvalues, shifts, out):
            kernels.ln_tails(q, eigenvalues, shifts, out)
            out[1] = np.nan

    q = np.array([2.0, 3.0])
    right, formula = _neg(q, SPECTRA["four"]), _neg(q, SPECTRA["four"], method="kuonen")
    monkeypatch.setattr(quadratic_forms, "kernels", Failing)
    found, methods = neg_log_10_p_quadratic(q, SPECTRA["four"])
    np.testing.assert_array_equal(methods, ["inversion", "kuonen"])
    np.testing.assert_array_equal(found, [right[0], formula[1]])


def test_what_is_refused():
    with pytest.raises(ValueError, match="finite"):
        neg_log_10_p_quadratic([1.0], [1.0, np.nan])
    with pytest.raises(ValueError, match="none of"):
        neg_log_10_p_quadratic([1.0], [1.0], method="davis")


@pytest.mark.parametrize("distance", [0.5, 30.0])
def test_shifted_means_are_noncentral_chi_squared(distance):
    from scipy.stats import ncx2

    q = np.array([0.05, 2.0, 8.0, 40.0, 150.0])
    found = np.empty(q.size)
    kernels.ln_tails(q, np.ones(3), np.full(3, distance / 3.0), found)
    # scipy's own error is about 1e-9 where its p is small.
    np.testing.assert_allclose(np.exp(found), ncx2.sf(q, 3, distance), rtol=1e-7)


@pytest.mark.kernel
def test_kernel_parts():
    eigenvalues = np.array([1.0, 0.4, 0.05])
    for q in (0.05, 1.2, 1.45, 9.0):
        s = kernels.saddlepoint(q, eigenvalues, NO_SHIFTS)
        slopes = kernels.cumulant_slopes(s, eigenvalues, NO_SHIFTS)
        np.testing.assert_allclose(slopes, oracle.cumulant_slopes(s, eigenvalues), rtol=1e-12)
        exact = oracle.saddlepoint(q, eigenvalues)
        assert (
            abs(s - exact) * math.sqrt(slopes[1]) < 2e-3
        )  # found to a thousandth of a standard deviation of the tilted law
    q = np.array([0.2, 3.0, 40.0])
    out, expected = np.empty(3), np.empty(3)
    kernels.ln_tails(q, eigenvalues, NO_SHIFTS, out)
    oracle.ln_tails(q, eigenvalues, expected)
    np.testing.assert_allclose(out, expected, rtol=0, atol=LN_ERROR)
