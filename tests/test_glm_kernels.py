"""The kernels of Poisson regression and proportional odds on shapes so small that they run as plain Python too."""

import numpy as np
import pytest
from oracles import glm as oracle
from oracles import ordinal as ordinal_oracle
from oracles import proportional_odds as proportional_oracle

from genassoc.kernels.likelihoods import (
    glm,
    ordinal,
    ordinal_score,
    ordinal_terms,
    ordinal_tiles,
    proportional_odds,
    rows,
)
from genassoc.kernels.likelihoods.newton import climb_of

pytestmark = pytest.mark.kernel

# Newton stops when the step left is a millionth of a standard error.
NEWTON = 2e-6
N = 26
FAMILIES = {"gaussian": glm.GAUSSIAN, "binomial": glm.BINOMIAL, "poisson": glm.POISSON}
ASKED = {"score": rows.SCORE, "wald": rows.WALD, "lrt": rows.LRT}


def small(seed, family="poisson", missing=0):
    """Orthonormal covariates X (N, 2), y, minor alleles g with some calls missing, offset, prior weights."""
    rng = np.random.default_rng(seed)
    X = np.linalg.qr(np.column_stack([np.ones(N), rng.normal(size=N)]))[0]
    g = rng.binomial(2, 0.4, N).astype(float)
    g[:4] = [1, 0, 1, 2]
    y = {
        "gaussian": rng.normal(size=N),
        "binomial": rng.integers(0, 2, N) * 1.0,
        "poisson": rng.poisson(1.5, N) * 1.0,
    }
    g[rng.choice(np.arange(4, N), missing, replace=False)] = np.nan
    return X, y[family], g, 0.3 * np.sin(np.arange(N)), rng.uniform(0.5, 2, N)


@pytest.mark.parametrize("family", FAMILIES)
def test_fit(family):
    X, y, g, offset, prior = small(1, family)
    D = np.column_stack([X, g])
    beta, at, L = np.zeros(3), glm.fitted_of(N), np.zeros((3, 3))
    kind, trait = glm.Family(FAMILIES[family], 0.0, False), rows.Trait(y, offset, prior)
    status, objective, iterations = glm.maximise(kind, D, trait, 1, beta, at, L)
    mu = at.mu
    expected, means, weights = oracle.fit(family, D, y, offset, prior)
    assert status == rows.FINE and 1 <= iterations < 12
    np.testing.assert_allclose(beta, expected, rtol=NEWTON, atol=NEWTON)
    np.testing.assert_allclose(mu, means, rtol=NEWTON, atol=NEWTON)
    np.testing.assert_allclose(np.tril(L) @ np.tril(L).T, D.T @ (weights[:, None] * D), rtol=1e-5, atol=1e-9)
    assert objective == pytest.approx(oracle.log_likelihood(family, D, y, beta, offset, prior), rel=1e-12)
    found = glm.pearson_dispersion(at, 3)
    assert found == pytest.approx(oracle.pearson_dispersion(family, y, mu, 3, prior), rel=1e-12)
    assert np.isnan(glm.pearson_dispersion(at, N))


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("missing", [0, 4])
def test_analyse_rows(family, missing):
    X, y, g, offset, prior = small(2, family, missing)
    G = np.array([g, g, g])
    beta = oracle.fit(family, X, y, offset, prior)[0]
    for quasi in (False, True):
        fits, kind = rows.Fits.empty(3), glm.Family(FAMILIES[family], 0.0, quasi)
        asked, trait = np.array(list(ASKED.values())), rows.Trait(y, offset, prior)
        glm.analyse_rows(kind, G, asked, X, trait, beta, False, fits)
        numbers, status, dropped = fits
        assert (status == rows.FINE).all() and not dropped.any()
        expected = [oracle.analyse_rows(family, X, y, g, what, offset, prior, quasi) for what in ASKED]
        np.testing.assert_allclose(numbers[:, :3], expected, rtol=NEWTON, atol=NEWTON)
        np.testing.assert_array_equal(numbers[1:, rows.DF], N - missing - 3)


def test_rows_without_an_estimate():
    X, y, g, *_ = small(3)
    zero = g.copy()
    zero[y == 0] = np.nan  # then all counts left are positive; fine
    none = g.copy()
    none[y > 0] = np.nan
    carriers = np.where(y == 0, 1.0, 0.0) * (np.arange(N) % 2)
    G = np.array([none, X[:, 1], carriers, carriers, zero])
    asked = np.array([rows.SCORE, rows.SCORE, rows.WALD, rows.LRT, rows.LRT])
    fits, start = rows.Fits.empty(5), oracle.fit("poisson", X, y)[0]
    trait = rows.Trait(y, np.zeros(N), np.ones(N))
    glm.analyse_rows(glm.Family(glm.POISSON, 0.0, False), G, asked, X, trait, start, False, fits)
    numbers, status, _ = fits
    assert status.tolist() == [rows.ONE_OUTCOME, rows.COLLINEAR, rows.RUNAWAY, rows.RUNAWAY, rows.FINE]
    # The likelihood ratio of an infinite coefficient: the carriers fitted perfectly, the others alone.
    others = carriers == 0
    beta = oracle.fit("poisson", X, y)[0]
    limit = oracle.fit("poisson", X[others], y[others])[0]
    gain = oracle.log_likelihood("poisson", X[others], y[others], limit) - oracle.log_likelihood("poisson", X, y, beta)
    np.testing.assert_allclose(numbers[2:4, rows.STATISTIC], -np.sqrt(2 * gain), rtol=1e-6)
    U, information = oracle.score_with_missing("poisson", X, y, carriers)
    np.testing.assert_allclose(numbers[2:4, rows.BETA], U / information, rtol=NEWTON)


def ordinal_small(seed, missing=0, K=4):
    X, _, g, *_ = small(seed, missing=missing)
    rng = np.random.default_rng(seed)
    level = np.clip(rng.integers(0, K, N) + (np.nan_to_num(g) == 2), 0, K - 1)
    level[:K] = np.arange(K)
    return X, level.astype(np.int64), g


def levels_of(level, M):
    return ordinal_terms.Levels(level, M, np.zeros(level.size))


@pytest.mark.parametrize("expected", [True, False])
def test_accumulate(expected):
    X, level, g = ordinal_small(4)
    D = np.column_stack([X[:, 1], g])
    parameters = np.array([-1.2, 0.1, 1.3, 0.4, -0.2])
    J, u, r, w = np.empty((5, 5)), np.empty(5), np.empty(N), np.empty(N)
    total = ordinal_terms.accumulate(D, levels_of(level, 3), parameters, expected, J, u, r, w)
    ll, information, score = ordinal_oracle.accumulate(D, level, parameters, 3, expected)
    assert total == pytest.approx(ll, rel=1e-12)
    np.testing.assert_allclose(u, score, rtol=1e-9, atol=1e-10)
    # the observed one by central differences: 1e-5 squared, and rounding over 1e-5
    np.testing.assert_allclose(J, information, rtol=1e-10 if expected else 1e-6, atol=1e-10 if expected else 1e-7)
    if expected:
        cross = np.empty((N, 3))
        ordinal_terms.threshold_weights(D, levels_of(level, 3), parameters, cross)
        np.testing.assert_allclose(cross, ordinal_oracle.threshold_weights(D, parameters, 3), rtol=1e-10)
        np.testing.assert_allclose(cross.sum(axis=1), w, rtol=1e-12)
    # Far out in the tails chances keep their digits.
    far = ordinal_terms.accumulate(
        D[:1], levels_of(np.array([1]), 3), np.array([-40.0, -39.0, 50.0, 0, 0]), expected, J, u, r, w
    )
    assert far == pytest.approx(-39 + np.log1p(-np.exp(-1)), rel=1e-12)
    far = ordinal_terms.accumulate(
        D[:1], levels_of(np.array([2]), 3), np.array([-50.0, 39.0, 40.0, 0, 0]), expected, J, u, r, w
    )
    assert far == pytest.approx(-39 + np.log1p(-np.exp(-1)), rel=1e-12)


@pytest.mark.parametrize("expected", [True, False])
def test_tiles_accumulate_the_same(expected):
    rng = np.random.default_rng(12)
    n = 300  # two whole tiles and a part
    D, level, offset = rng.normal(size=(n, 5)), rng.integers(0, 4, n), rng.normal(size=n)
    parameters = np.array([-1.2, 0.1, 1.3, 0.4, -0.2, 0.3, 0.0, 1.0])
    prior = np.ones(n)
    prior[::7] = 0.0  # they take no part
    J, gradient, w, own = np.empty((8, 8)), np.empty(8), np.empty(n), np.empty((8, 8))
    some = prior > 0
    levels = ordinal_terms.Levels(level[some], 3, offset[some])
    r = np.empty((2, some.sum()))
    total = ordinal_terms.accumulate(D[some], levels, parameters, expected, J, gradient, *r)
    samples = ordinal_tiles.laid_out(D, level, offset, prior, 3)
    if expected:
        ordinal_tiles.expected_information(samples, parameters, own, w)
        np.testing.assert_allclose(w[some], r[1], rtol=1e-11)
    else:
        slopes = np.empty(8)
        assert ordinal_tiles.likelihood(samples, parameters, own, slopes) == pytest.approx(total, rel=1e-12)
        np.testing.assert_allclose(slopes, gradient, rtol=1e-11, atol=1e-12)
        two = samples._replace(prior=2.0 * prior)  # weights
        assert ordinal_tiles.likelihood(two, parameters, J, slopes) == pytest.approx(2.0 * total, rel=1e-12)
        np.testing.assert_allclose(slopes, 2.0 * gradient, rtol=1e-11, atol=1e-12)
        J /= 2.0
    np.testing.assert_allclose(own, J, rtol=1e-11, atol=1e-12)  # sums of 300 in another order


def test_ordinal_fit():
    X, level, g = ordinal_small(5)
    D = np.column_stack([X[:, 1], g])
    parameters = np.zeros(5)
    ordinal.start_thresholds(level, 3, parameters[:3])
    np.testing.assert_allclose(parameters[:3], ordinal_oracle.start_thresholds(level, 3), rtol=1e-12)
    samples = ordinal_tiles.laid_out(D, level, np.zeros(N), np.ones(N), 3)
    status, objective, _ = ordinal_tiles.fit(samples, 5, 1, parameters, climb_of(np.zeros((5, 5))))
    expected = ordinal_oracle.fit(D, level, 3)
    assert status == rows.FINE
    np.testing.assert_allclose(parameters, expected, rtol=NEWTON, atol=NEWTON)
    assert objective == pytest.approx(ordinal_oracle.log_likelihood(D, level, expected, 3), rel=1e-9)


def test_an_offset_is_a_column_whose_coefficient_is_held():
    """At the maximum over all columns nothing is gained by moving one: with it held there the others stay where they are."""
    X, level, g = ordinal_small(5)
    D = np.column_stack([X[:, 1], g])
    parameters, none, ones = np.zeros(5), np.zeros(N), np.ones(N)
    ordinal.start_thresholds(level, 3, parameters[:3])
    whole = ordinal_tiles.laid_out(D, level, none, ones, 3)
    _, objective, _ = ordinal_tiles.fit(whole, 5, 1, parameters, climb_of(np.zeros((5, 5))))
    held = ordinal_terms.Levels(level, 3, D[:, 0] * parameters[3])
    start, fits = np.array([-1.0, 0.0, 1.0]), rows.Fits.empty(1)
    ordinal.analyse_rows(g[None], np.array([rows.WALD]), X[:, :1].copy(), held, start, False, fits)
    numbers, status, _ = fits
    assert status[0] == rows.FINE and numbers[0, rows.BETA] == pytest.approx(parameters[4], rel=NEWTON)
    alone = np.array([-1.0, 0.0, 1.0, 0.0])
    part = ordinal_tiles.laid_out(D[:, 1:].copy(), level, held.offset, ones, 3)
    _, same, _ = ordinal_tiles.fit(part, 4, 1, alone, climb_of(np.zeros((4, 4))))
    assert same == pytest.approx(objective, rel=1e-12)
    # eta is known up to the thresholds: half a log odds added to both is nothing
    shifted, at = held._replace(offset=held.offset + 0.5), alone + np.array([0.5, 0.5, 0.5, 0.0])
    chi2 = [proportional_odds.proportional_odds_chi2(D[:, 1:].copy(), *pair) for pair in ((held, alone), (shifted, at))]
    cross = np.empty((2, N, 3))
    ordinal_terms.threshold_weights(D[:, 1:].copy(), held, alone, cross[0])
    ordinal_terms.threshold_weights(D[:, 1:].copy(), shifted, at, cross[1])
    assert chi2[1] == pytest.approx(chi2[0], rel=1e-9)
    np.testing.assert_allclose(cross[1], cross[0], rtol=1e-10)


@pytest.mark.parametrize("missing", [0, 4])
def test_ordinal_rows(missing):
    X, level, g = ordinal_small(6, missing)
    G = np.array([g, g, g])
    fits, asked = rows.Fits.empty(3), np.array(list(ASKED.values()))
    start = ordinal_oracle.fit(X[:, 1:], level, 3)
    ordinal.analyse_rows(G, asked, X, levels_of(level, 3), start, False, fits)
    numbers, status, _ = fits
    assert (status == rows.FINE).all()
    expected = [ordinal_oracle.analyse_rows(X[:, 1:], level, g, what) for what in ASKED]
    np.testing.assert_allclose(numbers[:, :3], expected, rtol=NEWTON, atol=NEWTON)


def test_proportional_odds():
    X, level, g = ordinal_small(9)
    D = np.column_stack([X[:, 1], g])
    parameters = ordinal_oracle.fit(D, level, 3)
    expected = proportional_oracle.proportional_odds_chi2(D, level, parameters, 3)
    assert 0.01 < expected < 50
    assert proportional_odds.proportional_odds_chi2(D, levels_of(level, 3), parameters) == pytest.approx(
        expected, rel=1e-9
    )
    assert np.isnan(proportional_odds.proportional_odds_chi2(D, levels_of(np.minimum(level, 1), 1), parameters[2:]))


def test_ordinal_rows_without_an_estimate():
    X, level, g = ordinal_small(7)
    one = np.where(level == 2, g, np.nan)
    two = np.where(level >= 2, g, np.nan)  # two levels left: renumbered
    top = ((level == 3) & (np.arange(N) % 2 == 0)).astype(float)
    G, asked = np.array([one, two, top, X[:, 1]]), np.array([rows.SCORE, rows.SCORE, rows.WALD, rows.SCORE])
    fits = rows.Fits.empty(4)
    ordinal.analyse_rows(G, asked, X, levels_of(level, 3), ordinal_oracle.fit(X[:, 1:], level, 3), False, fits)
    numbers, status, _ = fits
    assert status.tolist() == [rows.ONE_OUTCOME, rows.FINE, rows.RUNAWAY, rows.COLLINEAR]
    expected = ordinal_oracle.analyse_rows(X[:, 1:], level, two, "score")
    np.testing.assert_allclose(numbers[1, :3], expected, rtol=NEWTON, atol=NEWTON)
    assert numbers[2, rows.STATISTIC] > 1


def test_ordinal_score_with_missing():
    X, level, _ = ordinal_small(8)
    rng = np.random.default_rng(8)
    G = rng.binomial(2, 0.4, (3, N)).astype(float)
    G[2] = np.nan
    G[1, rng.choice(N, 3, replace=False)] = np.nan
    parameters = ordinal_oracle.fit(X[:, 1:], level, 3)
    J, u, r, w = np.empty((4, 4)), np.empty(4), np.empty(N), np.empty(N)
    ordinal_terms.accumulate(X[:, 1:].copy(), levels_of(level, 3), parameters, True, J, u, r, w)
    cross = np.empty((N, 3))
    ordinal_terms.threshold_weights(X[:, 1:].copy(), levels_of(level, 3), parameters, cross)
    L = np.linalg.cholesky(J)
    AQ = np.linalg.solve(L, np.column_stack([-cross, w[:, None] * X[:, 1:]]).T).T
    g = np.nan_to_num(G)
    missing = np.isnan(G)
    pointers, indices = np.concatenate([[0], np.cumsum(missing.sum(axis=1))]), np.nonzero(missing)[1]
    scores, product = rows.Scores.empty(3), rows.Product(g @ AQ, g @ r, g**2 @ w)
    levels, calls = levels_of(level, 3), rows.Missing(pointers, indices)
    ordinal_score.score_with_missing(product, calls, X[:, 1:].copy(), levels, parameters, L, scores)
    U, information, weakest = scores
    for v in range(2):
        expected = ordinal_oracle.score_with_missing(X[:, 1:], level, G[v], 3)
        np.testing.assert_allclose([U[v], information[v]], expected, rtol=1e-9, atol=1e-9)
    assert weakest[0] == 1 and weakest[1] > 0.5 and weakest[2] < 1e-9  # no one is left
