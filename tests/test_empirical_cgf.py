"""The saddlepoint of empirical residuals against plain sums, every outcome, and its size in overdispersed counts."""

import itertools

import numpy as np
import pytest
from oracles import empirical_cgf as oracle
from scipy.stats import norm

from genassoc.kernels.laws import empirical_cgf as kernel

# A cubic through points 5 % apart leaves 1e-8 of H; a p's logarithm is a few H.
TABLE = 1e-6


def residuals(seed, n=30, n_bins=2):
    """Skewed residuals (n,) of mean 0 in each bin, and the bins."""
    rng = np.random.default_rng(seed)
    bins = np.arange(n) % n_bins
    values = rng.gamma(0.5, 1.0 + bins)
    for b in range(n_bins):
        values[bins == b] -= values[bins == b].mean()
    return values, bins


def tabulated(values, bins):
    table, cumulants = np.empty((bins.max() + 1, kernel.N_POINTS, 3)), np.empty((bins.max() + 1, 2))
    kernel.tabulate(values, bins, table, cumulants)
    return table, cumulants


@pytest.mark.kernel
def test_table():
    values, bins = residuals(1, 8, 2)
    table, cumulants = tabulated(values, bins)
    expected, moments = oracle.tabulate(values, bins)
    # logarithms of sums of a few terms; second derivatives are differences of squares
    np.testing.assert_allclose(table[:, :, :2], expected[:, :, :2], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(table[:, :, 2], expected[:, :, 2], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(cumulants, moments, rtol=1e-12)
    for k in (0, 100, kernel.HALF, kernel.N_POINTS - 1):
        assert kernel.point(k) == pytest.approx(oracle.point(k))
    for s in (-40.0, -1.7, -0.2, 1e-4, 0.33, 2.9, 60.0):
        found, wanted = kernel.cgf_at(s, table[1]), oracle.cgf_at(s, values[bins == 1])
        assert found[0] == pytest.approx(wanted[0], rel=TABLE, abs=1e-12)
        assert found[1] == pytest.approx(wanted[1], rel=1e-4, abs=1e-6)  # a derivative of the cubic: one order less
        assert found[2] == pytest.approx(wanted[2], rel=1e-2, abs=1e-6)  # linear between points
    # past the end of the table: a line of the largest residual's slope
    far = 2 * kernel.point(kernel.N_POINTS - 1)
    assert kernel.cgf_at(far, table[0])[:2] == pytest.approx(oracle.cgf_at(far, values[bins == 0])[:2], rel=1e-9)


@pytest.mark.kernel
@pytest.mark.parametrize("rest", [0.4, 20.0])
def test_tails(rest):
    values, bins = residuals(2)
    table, cumulants = tabulated(values, bins)
    a, who = np.array([0.9, 1.0, 1.9, 0.2, -0.1]), np.array([0, 1, 1, 0, 1])
    spread = np.sqrt(rest + a**2 @ cumulants[who, 0])
    for z in (-3.0, -0.5, 0.02, 1.5, 4.0):
        found = kernel.empirical_neg_log_p(z * spread, a, who, rest, table, cumulants)
        # the second derivative is interpolated, 1e-4 of it, and enters with half its logarithm
        assert found == pytest.approx(oracle.empirical_neg_log_p(z * spread, a, who, rest, values, bins), rel=5e-4)
    variance, third = spread**2, a**3 @ cumulants[who, 1]
    tail = kernel.log_tail(2.0, a, who, rest, table, variance, third / variance**1.5)
    assert tail == pytest.approx(oracle.log_tail(2.0, a, who, rest, values, bins), rel=5e-4)
    assert kernel.empirical_neg_log_p(0.0, a, who, rest, table, cumulants) == 0.0
    assert np.isnan(kernel.empirical_neg_log_p(1.0, 0 * a, who, 0.0, table, cumulants))
    assert np.isnan(kernel.empirical_neg_log_p(np.nan, a, who, rest, table, cumulants))


@pytest.mark.kernel
@pytest.mark.parametrize("missing", [0, 3])
@pytest.mark.parametrize("common", [False, True])
def test_rows(missing, common):
    rng = np.random.default_rng(3)
    values, bins = residuals(4, 24)
    table, cumulants = tabulated(values, bins)
    W, X = rng.uniform(0.5, 3, 24), np.column_stack([np.ones(24), rng.normal(size=24)])
    Q = np.ascontiguousarray(np.linalg.solve(np.linalg.cholesky(X.T @ (W[:, None] * X)), X.T).T)
    G = rng.binomial(2, 0.6 if common else 0.1, (2, 24)).astype(float)
    G[:, :missing] = np.nan
    found = np.empty(2)
    U, wide = np.array([3.0, -2.0]), rng.uniform(0.5, 2.0, 24)
    kernel.empirical_rows(G, U, Q, W, kernel.Residuals(wide, bins, table, cumulants), False, found)
    for row in range(2):
        assert found[row] == pytest.approx(oracle.empirical_rows(G[row], U[row], Q, W, bins, values, wide), rel=5e-4)
    filled = np.where(np.isnan(G), np.nanmean(G, axis=1)[:, None], G)
    whole = np.empty(2)
    kernel.empirical_rows(G, U, Q, W, kernel.Residuals(wide, bins, table, cumulants), True, found)
    kernel.empirical_rows(filled, U, Q, W, kernel.Residuals(wide, bins, table, cumulants), True, whole)
    if common:  # else who lacks a call is one of the others in the first
        np.testing.assert_allclose(found, whole, rtol=1e-12)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("seed", [6, 7])
def test_few_carriers_against_every_outcome(seed):
    """Four carriers of 40 residuals: all 40^4 outcomes."""
    values, bins = residuals(seed, 40, 1)
    values *= 1.0 / values.std()
    table, cumulants = tabulated(values, bins)
    sums = np.array([sum(draw) for draw in itertools.product(values, repeat=2)])
    four = np.sort((sums[:, None] + sums[None, :]).ravel())
    for share in (0.05, 0.01, 1e-3, 1e-4):
        u = four[-int(share * four.size)]
        exact = (four >= u).mean() + (four <= -u).mean()
        found = np.exp(-kernel.empirical_neg_log_p(u, np.ones(4), np.zeros(4, np.int64), 0.0, table, cumulants))
        # a smooth curve through a staircase of few large residuals
        assert 0.8 * exact < found < 1.5 * exact, share
    # where a normal is out by an order of magnitude and more
    assert 2 * norm.sf(u / 2) < 0.1 * exact
    # beyond all outcomes there is no tail
    assert np.isnan(
        kernel.empirical_neg_log_p(1.01 * four[-1], np.ones(4), np.zeros(4, np.int64), 0.0, table, cumulants)
    )
