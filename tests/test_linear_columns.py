"""Kernels of linear regression on two columns against their oracles, compiled and as plain Python."""

import numpy as np
import pytest
from oracles import linear_columns as oracle

from genassoc.kernels.genotypes.missing_calls import Missing
from genassoc.kernels.likelihoods import linear_columns as kernel

pytestmark = pytest.mark.kernel
# float64 sums of a few dozen samples: rounding of 1e-16 times a condition number of some hundreds.
CLOSE = 1e-10


def drawn(n=37, V=4, T=2, seed=1):
    rng = np.random.default_rng(seed)
    G = rng.binomial(2, 0.4, (V, n)).astype(float)
    G[1:, ::9] = np.nan
    E = rng.permutation(np.arange(n) % 2).astype(float)
    X = np.column_stack([np.ones(n), E, rng.standard_normal(n)])
    Q = np.linalg.qr(X)[0]
    Y = rng.standard_normal((n, T)) * (1 + E)[:, None]
    return G, E, X, np.ascontiguousarray(Q), np.ascontiguousarray(Y - Q @ (Q.T @ Y)), Y


def empty_fits(V, T):
    return kernel.PairFits(np.empty((V, T, kernel.N_NUMBERS)), np.empty(V), np.empty((V, T), np.int64))


def missing_of(G):
    runs = [np.flatnonzero(np.isnan(row)) for row in G]
    return Missing(np.concatenate([[0], np.cumsum([run.size for run in runs])]), np.concatenate(runs))


def expected(G, E, X, y, robust):
    g = np.nan_to_num(G)
    theta, covariance, F, df = oracle.from_calls(G, np.column_stack([g, g * E]), X, y, robust)
    return [*theta, covariance[0, 0], covariance[0, 1], covariance[1, 1], F], df


@pytest.mark.parametrize("robust", [True, False])
def test_from_calls(robust):
    G, E, X, Q, R, Y = drawn()
    V, T = len(G), Y.shape[1]
    fits = empty_fits(V, T)
    kernel.from_calls(G, E, np.full(V, robust), kernel.Traits(Q, R, (R**2).sum(axis=0)), fits)
    assert (fits.status == kernel.FINE).all()
    for v in range(V):
        for t in range(T):
            row, df = expected(G[v], E, X, Y[:, t], robust)
            assert fits.freedom[v] == df
            np.testing.assert_allclose(fits.numbers[v, t], row, rtol=CLOSE)


def test_from_sums():
    G, E, X, Q, R, Y = drawn()
    V, T = len(G), Y.shape[1]
    g, fits = np.nan_to_num(G), empty_fits(V, T)
    squares = np.column_stack([(g**2).sum(axis=1), g**2 @ E, g**2 @ E**2])
    sums = kernel.PairSums((~np.isnan(G)).sum(axis=1), squares, g @ Q, (g * E) @ Q, g @ R, (g * E) @ R)
    kernel.from_sums(sums, missing_of(G), kernel.Traits(Q, R, (R**2).sum(axis=0)), fits)
    # With a few dozen samples nothing is cancelled to less than a fiftieth.
    assert np.isin(fits.status, [kernel.FINE, kernel.WEAK]).all()
    for v in range(V):
        for t in range(T):
            row, df = expected(G[v], E, X, Y[:, t], False)
            assert fits.freedom[v] == df
            np.testing.assert_allclose(fits.numbers[v, t], row, rtol=CLOSE)


def test_both_indicators_are_copies_and_heterozygotes():
    G, _, X, Q, R, Y = drawn(n=47)
    V, T = len(G), Y.shape[1]
    h, r, fits = (G == 1.0).astype(float), (G == 2.0).astype(float), empty_fits(V, T)
    squares = np.column_stack([h.sum(axis=1), np.zeros(V), r.sum(axis=1)])
    sums = kernel.PairSums((~np.isnan(G)).sum(axis=1), squares, h @ Q, r @ Q, h @ R, r @ R)
    kernel.from_sums(sums, missing_of(G), kernel.Traits(Q, R, (R**2).sum(axis=0)), fits)
    assert np.isin(fits.status, [kernel.FINE, kernel.WEAK]).all()
    codes = np.where(np.isnan(G), 3, G).astype(int)
    for v in range(V):
        for t in range(T):
            beta, error, F, df = oracle.genotypic_rows(codes[v], X, Y[:, t])
            het, hom, var_het, cov, var_hom, of_both = fits.numbers[v, t]
            assert fits.freedom[v] == df
            np.testing.assert_allclose([hom / 2, het - hom / 2, of_both], [*beta, F], rtol=CLOSE, atol=1e-12)
            np.testing.assert_allclose(np.sqrt([var_hom / 4, var_het - cov + var_hom / 4]), error, rtol=CLOSE)


def test_what_cannot_be_fitted():
    G, E, _, Q, R, _ = drawn()
    traits = kernel.Traits(Q, R, (R**2).sum(axis=0))
    G[0] = 1.0 - E  # a combination of the intercept and E
    fits = empty_fits(4, 2)
    kernel.from_calls(G, E, np.zeros(4, bool), traits, fits)
    assert (fits.status[0] == kernel.ILL).all() and np.isnan(fits.numbers[0]).all()
    assert (fits.status[1:] == kernel.FINE).all()
    G[1] = np.nan
    G[1, :5] = [0.0, 1.0, 2.0, 1.0, 0.0]
    kernel.from_calls(G, E, np.zeros(4, bool), traits, fits)
    assert (fits.status[1] == kernel.N_TOO_SMALL).all()
    G[2] = 0.0
    carriers = [np.flatnonzero(E == 0)[1], *np.flatnonzero(E == 1)[:3]]
    G[2, carriers] = 1.0  # the only carrier of its arm fits itself
    kernel.from_calls(G, E, np.ones(4, bool), traits, fits)
    assert (fits.status[2] == kernel.LEVERAGE).all()
