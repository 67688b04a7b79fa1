"""Kernels of interactions against their oracles, compiled and as plain Python."""

import numpy as np
import pytest
from oracles import interaction_logistic as logistic_oracle

from genassoc.kernels.likelihoods import interaction_logistic as logistic

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


@pytest.mark.parametrize("two", [True, False])
@pytest.mark.parametrize("robust", [True, False])
def test_wald_pairs(two, robust):
    G, E, X, Q, _, _ = drawn(n=83, seed=3)
    y = (np.random.default_rng(4).random(83) < 0.45).astype(float)
    V = len(G)
    numbers, done = np.empty((V, logistic.N_NUMBERS)), np.zeros(V, bool)
    logistic.wald_pairs(G, E, two, robust, Q, y, np.zeros(83), np.zeros(3), numbers, done)
    assert done.all()
    for v in range(V):
        g = np.nan_to_num(G[v])
        H = np.column_stack([g, g * E]) if two else g[:, None]
        theta, covariance = logistic_oracle.wald_pairs(G[v], H, X, y, robust)
        pairs = np.array([[logistic.VAR_G, logistic.COVARIANCE], [logistic.COVARIANCE, logistic.VAR_GE]])
        k = H.shape[1]
        # Newton stops before a step of less than 1e-6 standard errors.
        apart = np.abs(numbers[v, [logistic.G, logistic.GE][:k]] - theta)
        assert (apart <= 1.1e-6 * np.sqrt(np.diag(covariance))).all()
        np.testing.assert_allclose(numbers[v, pairs[:k, :k]], covariance, rtol=1e-5, atol=1e-8)


def test_rows_with_surprises_are_left():
    G, E, _, Q, _, _ = drawn(n=83, seed=3)
    y = (np.nan_to_num(G[0]) > 0).astype(float)  # separated by the first variant
    numbers, done = np.empty((4, logistic.N_NUMBERS)), np.zeros(4, bool)
    G[1] = E
    logistic.wald_pairs(G, E, True, False, Q, y, np.zeros(83), np.zeros(3), numbers, done)
    assert not done[0] and not done[1] and done[2:].all()
