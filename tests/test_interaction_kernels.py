"""Kernels of interactions against their oracles, compiled and as plain Python."""

import numpy as np
import pytest
from oracles import interaction as oracle
from oracles import logistic_columns as logistic_oracle

from genassoc.kernels.laws import sandwich
from genassoc.kernels.likelihoods import interaction as kernel
from genassoc.kernels.likelihoods import logistic_columns as logistic
from genassoc.kernels.likelihoods import rows

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


def expected(G, E, X, y, two, robust):
    g = np.nan_to_num(G)
    H = np.column_stack([g, g * E]) if two else g[:, None]
    theta, covariance, F, df = oracle.from_calls(G, H, X, y, robust)
    if not two:
        return [theta[0], 0.0, covariance[0, 0], F], df
    return [*theta, covariance[0, 0], covariance[0, 1], covariance[1, 1], F], df


@pytest.mark.parametrize("two", [True, False])
@pytest.mark.parametrize("robust", [True, False])
def test_from_calls(two, robust):
    G, E, X, Q, R, Y = drawn()
    V, T = len(G), Y.shape[1]
    numbers, freedom, status = np.empty((V, T, kernel.N_NUMBERS)), np.empty(V), np.empty((V, T), np.int64)
    kernel.from_calls(G, E, two, np.full(V, robust), Q, R, (R**2).sum(axis=0), numbers, freedom, status)
    assert (status == kernel.FINE).all()
    which = range(kernel.N_NUMBERS) if two else [kernel.G, kernel.GE, kernel.VAR_G, kernel.F]
    for v in range(V):
        for t in range(T):
            row, df = expected(G[v], E, X, Y[:, t], two, robust)
            assert freedom[v] == df
            np.testing.assert_allclose(numbers[v, t, list(which)], row, rtol=CLOSE)


def test_from_sums():
    G, E, X, Q, R, Y = drawn()
    V, T = len(G), Y.shape[1]
    g = np.nan_to_num(G)
    missing = [np.flatnonzero(np.isnan(row)) for row in G]
    pointers = np.concatenate([[0], np.cumsum([m.size for m in missing])])
    numbers, freedom, status = np.empty((V, T, kernel.N_NUMBERS)), np.empty(V), np.empty((V, T), np.int64)
    squares = np.column_stack([(g**2).sum(axis=1), g**2 @ E, g**2 @ E**2])
    kernel.from_sums(
        (~np.isnan(G)).sum(axis=1), squares, g @ Q, (g * E) @ Q, g @ R, (g * E) @ R, pointers, np.concatenate(missing), Q,
        R, (R**2).sum(axis=0), numbers, freedom, status,
    )  # fmt: skip
    # With a few dozen samples nothing is cancelled to less than a fiftieth.
    assert np.isin(status, [kernel.FINE, kernel.WEAK]).all()
    for v in range(V):
        for t in range(T):
            row, df = expected(G[v], E, X, Y[:, t], True, False)
            assert freedom[v] == df
            np.testing.assert_allclose(numbers[v, t], row, rtol=CLOSE)


def test_what_cannot_be_fitted():
    G, E, _, Q, R, _ = drawn()
    G[0] = 1.0 - E  # a combination of the intercept and E
    numbers, freedom, status = np.empty((4, 2, kernel.N_NUMBERS)), np.empty(4), np.empty((4, 2), np.int64)
    kernel.from_calls(G, E, True, np.zeros(4, bool), Q, R, (R**2).sum(axis=0), numbers, freedom, status)
    assert (status[0] == kernel.ILL).all() and np.isnan(numbers[0]).all() and (status[1:] == kernel.FINE).all()
    G[1] = np.nan
    G[1, :5] = [0.0, 1.0, 2.0, 1.0, 0.0]
    kernel.from_calls(G, E, True, np.zeros(4, bool), Q, R, (R**2).sum(axis=0), numbers, freedom, status)
    assert (status[1] == kernel.N_TOO_SMALL).all()
    G[2] = 0.0
    G[2, 3] = 1.0  # a single carrier fits itself
    kernel.from_calls(G, E, False, np.ones(4, bool), Q, R, (R**2).sum(axis=0), numbers, freedom, status)
    assert (status[2] == kernel.LEVERAGE).all()


@pytest.mark.parametrize("n_tested", [1, 2, 3])
@pytest.mark.parametrize("robust", [True, False])
def test_wald_rows(n_tested, robust):
    G, E, X, Q, _, _ = drawn(n=83, seed=3)
    rng = np.random.default_rng(4)
    y = (rng.random(83) < 0.45).astype(float)
    H = np.ascontiguousarray(np.stack([G, G * E, G * rng.normal(size=83)], axis=1)[:, :n_tested])
    fits = sandwich.room(len(G), n_tested, 1)
    logistic.wald_rows(H, logistic.LogisticSamples(Q, y, np.zeros(83), np.zeros(3)), robust, fits)
    assert (fits.status == rows.FINE).all() and np.isinf(fits.freedom).all()
    for v in range(len(G)):
        theta, covariance = logistic_oracle.wald_rows(G[v], np.nan_to_num(H[v]).T, X, y, robust)
        # Newton stops before a step of less than 1e-6 standard errors.
        assert (np.abs(fits.theta[v] - theta) <= 1.1e-6 * np.sqrt(np.diag(covariance))).all()
        np.testing.assert_allclose(fits.covariance[v], covariance, rtol=1e-5, atol=1e-8)


def test_rows_with_surprises_are_left():
    G, E, _, Q, _, _ = drawn(n=83, seed=3)
    y = (np.nan_to_num(G[0]) > 0).astype(float)  # separated by the first variant
    G[1] = E
    fits = sandwich.room(4, 2, 1)
    H = np.ascontiguousarray(np.stack([G, G * E], axis=1))
    logistic.wald_rows(H, logistic.LogisticSamples(Q, y, np.zeros(83), np.zeros(3)), False, fits)
    assert fits.status.tolist() == [rows.NOT_CONVERGED] * 2 + [rows.FINE] * 2
