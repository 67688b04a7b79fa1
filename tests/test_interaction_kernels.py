"""Kernels of interactions against their oracles, compiled and as plain Python."""

import numpy as np
import pytest
from oracles import logistic_columns as logistic_oracle

from genassoc.kernels.laws import sandwich
from genassoc.kernels.likelihoods import logistic_columns as logistic
from genassoc.kernels.likelihoods import rows

pytestmark = pytest.mark.kernel


def drawn(n=37, V=4, T=2, seed=1):
    rng = np.random.default_rng(seed)
    G = rng.binomial(2, 0.4, (V, n)).astype(float)
    G[1:, ::9] = np.nan
    E = rng.permutation(np.arange(n) % 2).astype(float)
    X = np.column_stack([np.ones(n), E, rng.standard_normal(n)])
    Q = np.linalg.qr(X)[0]
    Y = rng.standard_normal((n, T)) * (1 + E)[:, None]
    return G, E, X, np.ascontiguousarray(Q), np.ascontiguousarray(Y - Q @ (Q.T @ Y)), Y


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
