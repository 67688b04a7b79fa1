"""The kernels of negative binomial regression on shapes so small that they run as plain Python too."""

import numpy as np
import pytest
from oracles import negative_binomial as oracle

from genassoc.kernels.laws import negative_binomial_cgf
from genassoc.kernels.laws.sandwich import HC0, HC3, MODEL, room
from genassoc.kernels.likelihoods import negative_binomial, negative_binomial_columns, rows
from genassoc.kernels.likelihoods.weighted import GlmSamples

pytestmark = pytest.mark.kernel

# Newton stops when the step left is a millionth of a standard error; the oracle's hessian is of differences.
NEWTON, DIFFERENCES = 2e-6, 2e-6
N = 40
ASKED = {"score": rows.SCORE, "wald": rows.WALD, "lrt": rows.LRT}


def small(seed, alpha=1.0, missing=0):
    """Orthonormal covariates X (N, 2), counts y, minor alleles g with some calls missing, offset, prior weights."""
    rng = np.random.default_rng(seed)
    X = np.linalg.qr(np.column_stack([np.ones(N), rng.normal(size=N)]))[0]
    X[:, 0] = abs(X[:, 0])
    g = rng.binomial(2, 0.4, N).astype(float)
    g[:4] = [1, 0, 1, 2]
    mean = 1.5 * (rng.gamma(1 / alpha, alpha, N) if alpha > 0 else np.ones(N))
    y = rng.poisson(mean).astype(float) if alpha > 0 else np.array([1.0, 2.0] * (N // 2))
    g[rng.choice(np.arange(4, N), missing, replace=False)] = np.nan
    return X, y, g, 0.3 * np.sin(np.arange(N)) if alpha > 0 else np.zeros(N), rng.uniform(0.5, 2, N)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_maximum_is_the_oracles(seed):
    X, y, g, offset, prior = small(seed)
    D, P = np.column_stack([X, g]), 3
    beta, fitted, L = np.zeros(P), negative_binomial.fitted_of(N), np.zeros((P + 1, P + 1))
    trait = rows.Trait(y, offset, prior)
    status, objective, _ = negative_binomial.maximise(D, trait, 1, 0.0, beta, fitted, L)
    expected, alpha = oracle.fit(D, y, offset, prior)
    assert status == rows.FINE and alpha > 0.0
    assert fitted.alpha[0] == pytest.approx(alpha, rel=NEWTON)
    np.testing.assert_allclose(beta, expected, rtol=NEWTON, atol=NEWTON)
    J, order = -oracle.hessian(D, y, beta, alpha, offset, prior), [3, 0, 1, 2]  # ln alpha comes first here
    np.testing.assert_allclose(np.tril(L) @ np.tril(L).T, J[np.ix_(order, order)], rtol=1e-5, atol=1e-5)
    assert objective == pytest.approx(oracle.log_likelihood(D, y, beta, alpha, offset, prior), rel=1e-10)
    # from elsewhere to the same
    again = np.zeros(P)
    negative_binomial.maximise(D, trait, 1, 20.0, again, fitted, L)
    np.testing.assert_allclose(again, beta, rtol=NEWTON, atol=NEWTON)


@pytest.mark.parametrize("missing", [0, 4])
@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_analyse_rows(alpha, missing):
    X, y, g, offset, prior = small(4, alpha, missing)
    G, asked = np.array([g, g, g]), np.array(list(ASKED.values()))
    beta, at = oracle.fit(X, y, offset, prior)
    fits, found = rows.Fits.empty(3), np.empty(3)
    start = np.append(beta, at)
    negative_binomial.analyse_rows(G, asked, X, rows.Trait(y, offset, prior), start, False, fits, found)
    assert (fits.status == rows.FINE).all() and not fits.dropped.any()
    expected = np.array([oracle.analyse_rows(X, y, g, what, offset, prior) for what in ASKED])
    assert (expected[:, 3] > 0).all() == (alpha > 0)
    np.testing.assert_allclose(fits.numbers[:, :3], expected[:, :3], rtol=DIFFERENCES, atol=DIFFERENCES)
    np.testing.assert_allclose(found, expected[:, 3], rtol=NEWTON)


def test_rows_without_an_estimate():
    X, y, g, offset, prior = small(5)
    none, carriers = g.copy(), np.where(y == 0, 1.0, 0.0)
    none[y > 0] = np.nan
    G = np.array([none, X[:, 1] - X[:, 1].min(), carriers, carriers])
    asked = np.array([rows.SCORE, rows.SCORE, rows.WALD, rows.LRT])
    start = np.append(*oracle.fit(X, y, offset, prior))
    fits, found = rows.Fits.empty(4), np.empty(4)
    negative_binomial.analyse_rows(G, asked, X, rows.Trait(y, offset, prior), start, False, fits, found)
    assert fits.status.tolist() == [rows.ONE_OUTCOME, rows.COLLINEAR, rows.RUNAWAY, rows.RUNAWAY]
    assert np.isnan(fits.numbers[2:, rows.BETA]).sum() == 0 and (fits.numbers[2:, rows.STATISTIC] < -3).all()


@pytest.mark.parametrize("alpha", [0.0, 1e-4, 0.4, 2.0])
def test_cumulants(alpha):
    for x in (-2.0, -0.3, -1e-4, 2e-4, 0.05, 0.3):
        value, slope, curve = negative_binomial_cgf.centred_cgf(x, 0.7, alpha)
        h = 1e-4
        below, at, above = (oracle.centred_cgf(x + d, 0.7, alpha) for d in (-h, 0, h))
        # scipy's mass function at alpha 1e-4 has ten digits; a difference leaves a sixth of h^2 times K''', which is up to 6
        assert value == pytest.approx(at, rel=1e-7, abs=1e-11)
        assert slope == pytest.approx((above - below) / (2 * h), rel=1e-6, abs=5e-8)
        assert curve == pytest.approx((above - 2 * at + below) / h**2, rel=1e-4, abs=1e-5)
    if alpha > 0.1:
        assert negative_binomial_cgf.centred_cgf(np.log1p(1 / (0.7 * alpha)) + 1e-9, 0.7, alpha)[0] == np.inf


@pytest.mark.parametrize("alpha", [0.0, 0.8])
@pytest.mark.parametrize("few", [False, True])
def test_rows_of_the_law(alpha, few):
    rng = np.random.default_rng(8)
    n = 14
    X = np.column_stack([np.ones(n), rng.normal(size=n)])
    mu = rng.uniform(0.5, 2, n)
    g = np.zeros(n)
    g[:4] = 1
    g[4:11] = 0 if few else [1, 2, 1, 1, 2, 1, 1]
    g[13] = np.nan
    keep = ~np.isnan(g)
    W = (mu / (1 + alpha * mu))[keep]
    D, h = X[keep], g[keep]
    gt = h - D @ np.linalg.solve(D.T @ (W[:, None] * D), D.T @ (W * h))
    scores = np.array([0.7, -1.5, 4.0])
    found = np.empty(3)
    negative_binomial_cgf.neg_log_p_rows(np.array([g] * 3), scores, X, mu, alpha, False, found)
    part = h > 0 if few else np.ones(keep.sum(), bool)
    rest = (W * gt**2)[~part].sum()
    for u, logp in zip(scores, found):
        # the oracle's derivatives are differences
        assert logp == pytest.approx(oracle.neg_log_p(u, gt[part], mu[keep][part], alpha, rest), rel=2e-4)


@pytest.mark.parametrize("missing", [0, 4])
@pytest.mark.parametrize("variance, power", [(MODEL, None), (HC0, 0), (HC3, 1)])
def test_rows_of_two_columns(variance, power, missing):
    X, y, g, offset, prior = small(11, missing=missing)
    H = np.array([g, np.where(np.isnan(g), np.nan, np.arange(N) % 2) * g])[None]
    start = np.append(*oracle.fit(X, y, offset, prior))
    fits = room(1, 2, 3)
    contrasts = np.array([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    samples = GlmSamples(X, y, offset, prior, start)
    negative_binomial_columns.wald_rows(H, samples, variance, contrasts, fits)
    keep = ~np.isnan(g)
    theta, covariance = oracle.wald_rows(X[keep], H[0].T[keep], y[keep], offset[keep], prior[keep], power)
    assert fits.status[0] == rows.FINE
    np.testing.assert_allclose(fits.theta[0], theta, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(fits.covariance[0], covariance, rtol=1e-5, atol=1e-7)  # the oracle's are differences
    assert np.isinf(fits.freedom[0]).all() if variance == MODEL else (fits.freedom[0] < N).all()
