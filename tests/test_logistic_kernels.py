"""The kernels of logistic regression on shapes so small that they run as plain Python too."""

import numpy as np
import pytest
from oracles import exact_rare as exact_oracle
from oracles import logistic as oracle
from oracles import saddlepoint as saddlepoint_oracle

from genassoc.kernels.likelihoods import logistic, logistic_rows, logistic_score
from genassoc.kernels.likelihoods import rows as kernel_rows
from genassoc.kernels.likelihoods.newton import FitOptions
from genassoc.kernels.likelihoods.rows import Fits, Missing, Product, Scores, Trait
from genassoc.stats.exact_rare import case_count_table

pytestmark = pytest.mark.kernel

# The oracle's general optimiser stops at 1e-10 of its coefficients; the objective, flat there, leaves 1e-6 of them.
OPTIMISER = 3e-6
# Newton stops when the step left is a millionth of a standard error.
NEWTON = 2e-6

N = 24


def small(seed, missing=0):
    """Orthonormal covariates X (N, 2), y, minor alleles g with some calls missing; no separation."""
    rng = np.random.default_rng(seed)
    X = np.linalg.qr(np.column_stack([np.ones(N), rng.normal(size=N)]))[0]
    y = (np.arange(N) % 3 == 0).astype(float)
    g = rng.binomial(2, 0.4, N).astype(float)
    g[:4] = [1, 0, 1, 2]
    g[rng.choice(np.arange(4, N), missing, replace=False)] = np.nan
    return X, y, g


def fitted(D, y, offset=None, penalised=False, runaway=False, n_free=None):
    n, P = D.shape
    beta, L, at = np.zeros(P), np.zeros((P, P)), logistic.fitted_of(n)
    trait = Trait(y, np.zeros(n) if offset is None else offset, np.ones(n))
    options = FitOptions(penalised, runaway, P if n_free is None else n_free)
    status, objective, iterations = logistic.fit(D, trait, options, beta, at, L)
    return status, objective, iterations, beta, L, at.mu, at.leverage


@pytest.mark.parametrize("penalised", [False, True])
def test_fit(penalised):
    X, y, g = small(1)
    D = np.column_stack([X, g])
    offset = 0.3 * np.sin(np.arange(N))
    for n_free in (3, 2):
        status, objective, iterations, beta, L, mu, leverage = fitted(D, y, offset, penalised, n_free=n_free)
        expected, best = oracle.fit(D, y, offset, penalised, held=3 - n_free)
        assert status == kernel_rows.FINE and 2 <= iterations < 15
        np.testing.assert_allclose(beta, expected, rtol=OPTIMISER, atol=10 * OPTIMISER)  # their standard errors are 3
        assert objective == pytest.approx(best, rel=1e-9)
        m, w = oracle.weights(D, beta, offset)
        np.testing.assert_allclose(mu, m, rtol=1e-12)
        np.testing.assert_allclose(np.tril(L) @ np.tril(L).T, D.T @ (w[:, None] * D), rtol=1e-9, atol=1e-12)
        if penalised:
            assert leverage.sum() == pytest.approx(3, rel=1e-9)  # the trace of a projection


def test_fit_of_what_separates():
    X, y, _ = small(2)
    D = np.column_stack([X, y])
    assert fitted(D, y)[0] == kernel_rows.NOT_CONVERGED
    status, _, _, beta, *_ = fitted(D, y, penalised=True)
    assert status == kernel_rows.FINE and 2 < beta[2] < 10
    alone = np.zeros(N)
    alone[0] = 1  # a covariate of one case: its coefficient runs away, the others' are those without its sample
    status, _, _, beta, *_ = fitted(np.column_stack([X, alone]), y, runaway=True)
    assert status == kernel_rows.FINE and beta[2] > 8
    np.testing.assert_allclose(beta[:2], oracle.newton(X[1:], y[1:]), rtol=1e-3, atol=1e-3)
    assert fitted(np.column_stack([X, X[:, 1]]), y)[0] == kernel_rows.COLLINEAR


@pytest.mark.parametrize("size", [0.0, 0.4])
def test_fit_as_r_takes_errors_from_the_step_before(size):
    X, y, g = small(3)
    D = np.column_stack([X, g])
    beta, at, L = np.zeros(3), logistic.fitted_of(N), np.zeros((3, 3))
    trait = Trait(y, size * np.sin(np.arange(N)), np.ones(N))
    status, iterations = logistic.fit_as_r(D, trait, beta, at, L)
    expected, errors, steps = oracle.fit_as_r(D, y, trait.offset)
    assert status == kernel_rows.FINE and iterations == steps
    np.testing.assert_allclose(beta, expected, rtol=1e-9)
    assert 1 / L[2, 2] == pytest.approx(errors[2], rel=1e-9)
    assert 1 / L[2, 2] != pytest.approx(oracle.wald(X, y, g, trait.offset)[1], rel=1e-9)
    collinear = np.column_stack([X, X[:, 1]])
    assert logistic.fit_as_r(collinear, trait, beta, at, L)[0] == kernel_rows.NOT_CONVERGED


def test_residualise():
    X, _, g = small(4)
    w = np.linspace(0.05, 0.25, N)
    L, out = np.zeros((2, 2)), np.empty(N)
    full, spread = logistic.residualise(X, w, g, L, out)
    expected = oracle.residualise(X, w, g)
    assert full and spread == pytest.approx(expected @ (w * expected), rel=1e-12)
    np.testing.assert_allclose(out, expected, rtol=1e-10, atol=1e-12)
    assert not logistic.residualise(np.column_stack([X[:, 0], X[:, 0]]), w, g, L, out)[0]


def rows_of(what, G, X, y, *, sparse=False, saddlepoint=False, impute=False, offset=None):
    R = len(G)
    offset, fits = np.zeros(N) if offset is None else offset, Fits.empty(R)
    starts = np.stack([oracle.newton(X, y, offset), oracle.fit(X, y, offset, penalised=True)[0]])
    asked = logistic_rows.Asked(np.full(R, what), np.full(R, sparse), np.full(R, saddlepoint))
    logistic_rows.analyse_rows(G, asked, X, Trait(y, offset, np.ones(N)), starts, impute, fits)
    return fits


ASKED = {
    "score": kernel_rows.SCORE,
    "wald": kernel_rows.WALD,
    "lrt": kernel_rows.LRT,
    "firth": kernel_rows.FIRTH,
    "firth_approx": kernel_rows.FIRTH_APPROX,
    "firth_sparse": kernel_rows.FIRTH_APPROX,
    "firth_plink2": kernel_rows.FIRTH_PLINK2,
}


@pytest.mark.parametrize("size", [0.0, 0.4])
@pytest.mark.parametrize("what", ASKED)
def test_rows_with_missing_calls(what, size):
    X, y, complete = small(5)
    G = np.stack([complete, small(5, missing=3)[2]])
    offset = size * np.sin(np.arange(N))
    numbers, status, dropped = rows_of(ASKED[what], G, X, y, sparse=what == "firth_sparse", offset=offset)
    assert (status == kernel_rows.FINE).all() and not dropped.any()
    expected = oracle.analyse_rows(X, y, G, what, offset)
    np.testing.assert_allclose(numbers[:, kernel_rows.BETA], expected[:, 0], rtol=NEWTON, atol=OPTIMISER)
    np.testing.assert_allclose(numbers[:, kernel_rows.STATISTIC], expected[:, 1], rtol=NEWTON, atol=OPTIMISER)


def test_rows_as_plink2_fits_them():
    X, y, g = small(6)
    numbers, status, _ = rows_of(kernel_rows.WALD_PLINK2, g[None], X, y)
    beta, errors, _ = oracle.fit_as_r(np.column_stack([X, g]), y)
    assert status[0] == kernel_rows.FINE
    assert numbers[0, kernel_rows.BETA] == pytest.approx(beta[2], rel=1e-9)
    assert numbers[0, kernel_rows.MODEL_SE] == pytest.approx(errors[2], rel=1e-9)


def test_rows_with_the_mean_in_place_of_missing_calls():
    X, y, g = small(7, missing=4)
    numbers, *_ = rows_of(kernel_rows.WALD, g[None], X, y, impute=True)
    beta, error = oracle.wald(X, y, np.where(np.isnan(g), np.nanmean(g), g))
    assert numbers[0, kernel_rows.BETA] == pytest.approx(beta, rel=NEWTON, abs=NEWTON)
    assert numbers[0, kernel_rows.MODEL_SE] == pytest.approx(error, rel=NEWTON)


@pytest.mark.parametrize("n_carriers", [3, 18])
def test_saddlepoint_of_carriers_alone_and_of_all(n_carriers):
    X, y, _ = small(8)
    g = np.zeros(N)
    g[:n_carriers] = 1
    numbers, status, _ = rows_of(kernel_rows.SCORE, g[None], X, y, saddlepoint=True)
    mu, w = oracle.weights(X, oracle.newton(X, y))
    rest = oracle.residualise(X, w, g)
    exact = g > 0 if n_carriers < N / 2 else np.ones(N, bool)
    variance = float((w * rest**2)[~exact].sum())
    expected = saddlepoint_oracle.spa_neg_log_p(rest @ (y - mu), rest[exact], mu[exact], variance)
    assert status[0] == kernel_rows.FINE
    assert numbers[0, kernel_rows.NEG_LOG_P] == pytest.approx(expected, rel=1e-6)


def test_rows_that_cannot_be_done():
    X, y, g = small(9)
    controls_only = np.where(y == 1, np.nan, g)
    copy = np.round(4 * (X[:, 1] > np.median(X[:, 1]))) / 2
    Z = np.linalg.qr(np.column_stack([np.ones(N), copy]))[0]
    G = np.stack([controls_only, copy, y, g])
    numbers, status, dropped = rows_of(kernel_rows.WALD, G, Z, y)
    assert status.tolist() == [
        kernel_rows.ONE_OUTCOME, kernel_rows.COLLINEAR, kernel_rows.NOT_CONVERGED, kernel_rows.FINE,
    ]  # fmt: skip
    assert np.isnan(numbers[:2, kernel_rows.BETA]).all()
    # Calls missing in all samples of one level: the covariate is a constant among the others, and left out.
    one_level = np.where(copy > 0, np.nan, g)
    numbers, status, dropped = rows_of(kernel_rows.WALD, one_level[None], Z, y)
    keep = copy == 0
    beta, error = oracle.wald(np.ones((keep.sum(), 1)), y[keep], g[keep])
    assert dropped[0] and status[0] == kernel_rows.FINE
    assert numbers[0, kernel_rows.BETA] == pytest.approx(beta, rel=NEWTON, abs=NEWTON)
    assert numbers[0, kernel_rows.MODEL_SE] == pytest.approx(error, rel=NEWTON)


@pytest.mark.parametrize("impute", [False, True])
def test_score_with_missing(impute):
    X, y, _ = small(10)
    G = np.stack([small(10, missing=k)[2] for k in (0, 1, 5)])
    mu, w = oracle.weights(X, oracle.newton(X, y))
    Q = np.linalg.solve(np.linalg.cholesky(X.T @ (w[:, None] * X)), X.T).T.copy()
    WQ, r, filled = w[:, None] * Q, y - mu, np.nan_to_num(G)
    missing = [np.flatnonzero(np.isnan(row)) for row in G]
    product = Product(filled @ WQ, filled @ r, filled**2 @ w)
    calls = Missing(np.cumsum([0, *map(len, missing)]), np.concatenate(missing))
    null, scores = logistic_score.NullScores(WQ, Q, w, r), Scores.empty(3)
    logistic_score.score_with_missing(product, calls, null, np.nanmean(G, axis=1), impute, scores)
    U, information, weakest = scores
    means = np.nanmean(G, axis=1)
    for v, row in enumerate(G):
        if impute:
            expected = oracle.score(X, y, np.where(np.isnan(row), means[v], row))
        else:
            expected = oracle.score_with_missing(X, y, row)
        np.testing.assert_allclose((U[v], information[v]), expected, rtol=1e-9, atol=1e-9)
    assert weakest[0] == 1.0 and (impute or 0 < weakest[2] < weakest[1] < 1)


def test_score_with_missing_in_all_samples_of_a_covariate():
    X, y, g = small(11)
    level = np.zeros(N)
    level[:2] = 1
    X = np.column_stack([np.ones(N), level])
    w = np.full(N, 0.2)
    Q = np.linalg.solve(np.linalg.cholesky(X.T @ (w[:, None] * X)), X.T).T.copy()
    g = np.where(level > 0, np.nan, g)
    filled = np.nan_to_num(g)[None]
    product = Product(filled @ (w[:, None] * Q), filled @ (y - 0.3), filled**2 @ w)
    null, scores = logistic_score.NullScores(w[:, None] * Q, Q, w, y - 0.3), Scores.empty(1)
    calls = Missing(np.array([0, 2]), np.array([0, 1]))
    logistic_score.score_with_missing(product, calls, null, np.array([1.0]), False, scores)
    weakest = scores.weakest
    assert weakest[0] < 1e-9  # the caller refits such rows


def test_exact_rows():
    X, y, _ = small(12)
    mu, _ = oracle.weights(X, oracle.newton(X, y))
    G = np.zeros((3, N))
    G[0, [0, 3, 7]] = 1
    G[1, [0, 3, 7]] = [2, 1, 1]
    G[1, [5, 6]] = np.nan
    G[2, [1, 2]] = 1
    found, done = np.empty((3, 4)), np.zeros(3, np.bool_)
    logistic_score.exact_rows(G, mu, y, case_count_table(mu, int(y.sum())), found, done)
    assert done.all()
    for v, row in enumerate(G):
        carriers, others = row > 0, row == 0
        cases = int(y[~np.isnan(row)].sum())
        expected, _ = exact_oracle.exact_rare_test(row[carriers], mu[carriers], y[carriers], mu[others], cases)
        assert found[v, 0] == pytest.approx(expected, rel=1e-9, abs=1e-12)
