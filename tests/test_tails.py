"""Log tails against 30-digit arithmetic."""

import mpmath as mp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import tails as oracle
from scipy import special

from genassoc.kernels.laws import tails as kernels
from genassoc.stats import tails

# The z tail is a handful of library calls, each right to about 1 in 1e15; the others add a sum or a continued
# fraction of tens of terms. 1e-13 leaves room for other C libraries.
RTOL = 1e-13

Z = [1e-8, 1e-3, 0.1, 0.5, 0.7, 0.71, 1, 2, -3, 5, 8.3, 14, 14.2, 30, 37, 40, 100, 1000]
# On both sides of every switch: continued fraction or expansion (df 30), small or large xi, near one or not.
T = [1e-6, 0.1, 0.24, 0.25, 1, 3, 5.5, -8, 40, 1000]
DF = [0.5, 1, 2, 3, 7.25, 29.9, 30, 31, 486, 5e5, 1e6]
X = [1e-6, 0.01, 0.5, 1, 3, 10, 30, 100, 1000, 1e4, 1e6]


@pytest.mark.kernel
def test_z():
    expected = [float(oracle.neg_log_10_p_z(z)) for z in Z]
    np.testing.assert_allclose(tails.neg_log_10_p_z(Z), expected, rtol=RTOL)


@pytest.mark.kernel
@pytest.mark.parametrize("df", [1, 3, 30, 486])
def test_t_at_a_few_values(df):
    values = [0.25, 4.0, 40.0]
    expected = [float(oracle.neg_log_10_p_t(t, df)) for t in values]
    np.testing.assert_allclose(tails.neg_log_10_p_t(values, df), expected, rtol=RTOL)


@pytest.mark.parametrize("df", DF)
def test_t(df):
    expected = [float(oracle.neg_log_10_p_t(t, df)) for t in T]
    np.testing.assert_allclose(tails.neg_log_10_p_t(T, df), expected, rtol=RTOL)


@pytest.mark.parametrize("df", [1, 2, 3, 500, 1e6])
def test_t_of_a_hundred_thousand(df):
    expected = float(oracle.neg_log_10_p_t(1e5, df))
    assert float(tails.neg_log_10_p_t(1e5, df)) == pytest.approx(expected, rel=RTOL)


def test_t_of_one_degree_is_cauchy():
    # p = (2 / pi) atan(1 / t), exactly; t^2 overflows on the way.
    t = np.array([1e3, 1e100, 1e200, 1e300])
    np.testing.assert_allclose(tails.neg_log_10_p_t(t, 1), -np.log10(2 / np.pi * np.arctan(1 / t)), rtol=RTOL)


@settings(max_examples=200, deadline=None)
@given(st.floats(-60, 60), st.floats(0.5, 1e6))
def test_t_against_scipy_where_p_does_not_underflow(t, df):
    p = special.betaincc(0.5, df / 2, t * t / (df + t * t))
    if p > 1e-290:
        # Absolute: scipy's p loses df * 1e-16 in raising 1 - t^2 / (df + t^2) to the power df / 2.
        assert float(tails.neg_log_10_p_t(t, df)) == pytest.approx(-np.log10(p), rel=1e-11, abs=3e-10)


def test_t_is_continuous_where_the_method_changes():
    # Neighbours on both sides of a switch differ by what the slope allows: d(-log10 p) / -log10 p is at most
    # about 2 dt / t, here 4e-14.
    for df, xi in ((486.0, kernels._EXPANSION_XI), (486.0, kernels._NEAR_ONE / 242.75)):
        t = np.sqrt(df * np.expm1(xi))
        below, above = tails.neg_log_10_p_t([t * (1 - 1e-14), t * (1 + 1e-14)], df)
        assert below == pytest.approx(above, rel=RTOL)
    df = kernels._EXPANSION_DF
    for t in (0.5, 3.0):
        below, above = tails.neg_log_10_p_t(t, [np.nextafter(df, 0), df])
        assert below == pytest.approx(above, rel=RTOL)


def test_t_becomes_z():
    z = np.array([0.3, 2.0, 40.0])
    expected = tails.neg_log_10_p_z(z)
    np.testing.assert_array_equal(tails.neg_log_10_p_t(z, np.inf), expected)
    # They differ by (z^4 + z^2) / (4 df) in ln p: 6e-15 of it at df = 1e20.
    np.testing.assert_allclose(tails.neg_log_10_p_t(z, 1e20), expected, rtol=RTOL)
    np.testing.assert_allclose(tails.neg_log_10_p_t(z, 1e300), expected, rtol=RTOL)


@pytest.mark.kernel
@pytest.mark.parametrize("df", [0.5, 1, 2, 3, 4, 10, 39, 40, 41, 100, 1000])
def test_chi2(df):
    expected = [float(oracle.neg_log_10_p_chi2(x, df)) for x in X]
    # The mpmath value loses its 30 digits below 1e-20, hence the absolute part.
    np.testing.assert_allclose(tails.neg_log_10_p_chi2(X, df), expected, rtol=RTOL, atol=1e-20)


def test_chi2_of_one_degree_is_the_square_of_z():
    z = np.linspace(0, 50, 101)
    np.testing.assert_allclose(tails.neg_log_10_p_chi2(z * z, 1), tails.neg_log_10_p_z(z), rtol=RTOL)


@pytest.mark.kernel
def test_nan_infinity_and_zero():
    inf, nan = np.inf, np.nan
    statistic = [nan, inf, -inf, 0.0, -0.0]
    np.testing.assert_array_equal(tails.neg_log_10_p_z(statistic), [nan, inf, inf, 0, 0])
    for df in (1, 5, 500, inf):
        np.testing.assert_array_equal(tails.neg_log_10_p_t(statistic, df), [nan, inf, inf, 0, 0])
    for df in (1, 2, 5, 500):
        np.testing.assert_array_equal(tails.neg_log_10_p_chi2([nan, inf, -1, 0.0], df), [nan, inf, 0, 0])
    for df in (0, -1, nan, -inf):
        np.testing.assert_array_equal(tails.neg_log_10_p_t([1.0, inf], df), [nan, nan])
        np.testing.assert_array_equal(tails.neg_log_10_p_chi2([1.0, inf], df), [nan, nan])


def test_shapes_broadcast():
    t = np.linspace(-5, 5, 6).reshape(2, 3)
    df = np.array([[3.0], [300.0]])
    by_element = [[float(tails.neg_log_10_p_t(t[i, j], df[i, 0])) for j in range(3)] for i in range(2)]
    np.testing.assert_array_equal(tails.neg_log_10_p_t(t, df), by_element)
    np.testing.assert_array_equal(tails.neg_log_10_p_t(t.T, df.T), np.transpose(by_element))
    assert tails.neg_log_10_p_t(t[:0], 3).shape == (0, 3)
    assert tails.neg_log_10_p_z(2.0).shape == ()
    assert tails.neg_log_10_p_chi2(t[:, ::2], 3).shape == (2, 2)


def test_z_from_p_inverts():
    z = np.concatenate([np.geomspace(1e-9, 1, 50), np.linspace(0.5, 3, 100), np.geomspace(3, 1000, 50)])
    # scipy's ndtri_exp is right to 1e-12 at z = 1000 and better below.
    np.testing.assert_allclose(tails.z_from_neg_log_10_p(tails.neg_log_10_p_z(z)), z, rtol=2e-12)
    np.testing.assert_array_equal(tails.z_from_neg_log_10_p([0.0, np.inf, np.nan, -1.0]), [0, np.inf, np.nan, np.nan])


def test_t_quantile():
    df = np.array([[2.0, 3.0, 486.0], [5e5, 2.0, np.inf]])
    quantile = tails.t_quantile_975(df)
    # scipy's quantile is right to 2e-11; what uses it is a confidence limit.
    np.testing.assert_allclose(tails.neg_log_10_p_t(quantile, df), -np.log10(0.05), rtol=1e-10)
    np.testing.assert_array_equal(tails.t_quantile_975([0.0, -1.0, np.nan]), [np.nan] * 3)
    assert float(tails.t_quantile_975(1)) == pytest.approx(12.706204736432095, rel=1e-10)  # tan(0.475 pi)


def test_expansion_coefficients():
    # (u / sinh u)^(1/2) at a point, from its Taylor series: the eleventh term is 3e-15 of it at u = 0.5.
    u = mp.mpf("0.25")
    series = sum(mp.mpf(c) * u ** (2 * n) for n, c in enumerate(kernels._ROOT_SINH.tolist()))
    assert float(series) == pytest.approx(float(mp.sqrt(u / mp.sinh(u))), rel=1e-15)
