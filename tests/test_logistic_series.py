"""Rows from the power series of the null's likelihood: beside numerical derivatives, the plain twin and the scalar rows."""

import numpy as np
import pytest
from oracles import logistic as plain
from test_logistic_wald import data, scalar_rows

from genassoc.kernels.genotypes.listed import Calls, list_rows
from genassoc.kernels.likelihoods import rows as kernel_rows
from genassoc.kernels.likelihoods.logistic_series import series_rows
from genassoc.kernels.likelihoods.rows import Trait
from genassoc.stats.logistic_series import null_series

# What the series leaves out, at the bounds of the kernel (measured: 3e-6 standard errors), and the twin's own last step.
TOLERANCE = 1e-5


def cohort(seed, N, C, n_missing):
    rng = np.random.default_rng(seed)
    X = np.linalg.qr(np.column_stack([np.ones(N), rng.normal(size=(N, C - 1))]))[0]
    X *= np.sign(X[0, 0])
    y = (rng.random(N) < 0.3).astype(float)
    G = np.stack([rng.binomial(2, f, N) for f in (0.01, 0.05, 0.4)]).astype(float)
    for g in G:
        g[rng.choice(N, n_missing, replace=False)] = np.nan
    return X, y, G


def run(X, y, G, firth, nulls, offset=None):
    numbers, done = np.full((len(G), kernel_rows.N_NUMBERS), np.nan), np.zeros(len(G), np.bool_)
    offset = np.zeros(len(y)) if offset is None else offset
    calls = Calls.empty(*G.shape)
    list_rows(G, calls)
    trait, series = Trait(y, offset, np.ones(len(y))), null_series(X, y, offset, nulls)
    series_rows(calls, np.full(len(G), firth), X, trait, series, numbers, done)
    return numbers, done


def nulls_of(X, y, offset=0.0):
    return plain.newton(X, y, offset), plain.fit(X, y, offset, penalised=True)[0]


def test_derivatives_beside_differences():
    X, y, _ = cohort(1, 300, 3, 1)
    b = plain.newton(X, y)
    s = null_series(X, y, np.zeros(300), (b, b))
    move = np.array([0.4, -0.3, 0.2])
    h = 1e-4

    def information(t):
        mu = 1 / (1 + np.exp(-X @ (b + t * move)))
        return X.T @ (X * (mu * (1 - mu))[:, None])

    # Central differences of step h: errors of h^2, and of rounding over h^2.
    first = (information(h) - information(-h)) / (2 * h)
    second = (information(1e-2) - 2 * information(0) + information(-1e-2)) / 1e-4
    lower = np.tril_indices(3)
    np.testing.assert_allclose(move @ s.third[0], first[lower], rtol=1e-6, atol=1e-9)
    pairs = np.where(lower[0] == lower[1], 1.0, 2.0) * move[lower[0]] * move[lower[1]]
    np.testing.assert_allclose(pairs @ s.fourth[0], second[lower], rtol=1e-3, atol=1e-7)
    assert (np.abs(X @ move) <= s.reach[0] * np.sqrt(move @ s.information[0] @ move) * (1 + 1e-12)).all()


@pytest.mark.kernel
@pytest.mark.parametrize("size", [0.0, 0.3])
@pytest.mark.parametrize("firth", [False, True])
def test_rows_beside_the_plain_twin(firth, size):
    X, y, G = cohort(2, 700, 2, 2)
    offset = size * np.sin(np.arange(700))
    numbers, done = run(X, y, G, firth, nulls_of(X, y, offset), offset)
    assert done.all()
    expected = plain.analyse_rows(X, y, G, "firth_approx" if firth else "score", offset)
    errors = numbers[:, kernel_rows.MODEL_SE]
    assert (np.abs(numbers[:, kernel_rows.BETA] - expected[:, 0]) <= TOLERANCE * errors).all()
    np.testing.assert_allclose(numbers[:, kernel_rows.STATISTIC], expected[:, 1], rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("firth", [False, True])
@pytest.mark.parametrize("share", [0.01, 0.3])
@pytest.mark.parametrize("missing", [0.0, 0.005, 0.05])
def test_as_the_scalar_rows_from_rare_to_common(firth, share, missing):
    X, y, _ = data(2, 3000, 13, share)
    rng = np.random.default_rng(3)
    G = np.stack([rng.binomial(2, frequency, 3000) for frequency in (0.001, 0.01, 0.03, 0.1, 0.5)]).astype(float)
    G[rng.random(G.shape) < missing] = np.nan
    start = plain.newton(X, y)
    numbers, done = run(X, y, G, firth, (start, start))
    asked = np.full(len(G), kernel_rows.FIRTH_APPROX if firth else kernel_rows.SCORE)
    expected, status, _ = scalar_rows(G, asked, X, y, np.zeros(3000), (start, start))
    # 30 cases, 13 covariates and a twentieth of all calls missing may be beyond any series; without missing calls none is needed.
    assert (status == kernel_rows.FINE).all() and (done.all() or (share == 0.01 and missing > 0.0))
    errors = expected[done, kernel_rows.MODEL_SE]
    columns = [kernel_rows.BETA, *([kernel_rows.LOWER, kernel_rows.UPPER] if firth else [])]
    # Ends of intervals are found to a hundred thousandth of a standard error.
    assert (np.abs(numbers[done] - expected[done])[:, columns] <= 2 * TOLERANCE * errors[:, None]).all()
    np.testing.assert_allclose(numbers[done, kernel_rows.MODEL_SE], errors, rtol=TOLERANCE)


@pytest.mark.kernel
def test_rows_that_move_far_are_left():
    X, y, G = cohort(3, 300, 2, 2)
    controls_only = np.where(y == 1, np.nan, G[2])
    many = np.where(np.arange(300) < 100, np.nan, G[2])
    covariate = np.where(np.isnan(G[2]), np.nan, 2.0 * (X[:, 1] > 0))
    _, done = run(X, y, np.stack([controls_only, many, G[2]]), False, nulls_of(X, y))
    assert done.tolist() == [False, False, True]
    twice = np.column_stack([X[:, 0], (covariate > 0) - (covariate > 0).mean()])
    twice[:, 1] /= np.linalg.norm(twice[:, 1])
    _, done = run(twice, y, covariate[None], False, nulls_of(twice, y))
    assert not done.any()


def test_many_covariates_have_no_series():
    X, y, G = cohort(4, 500, 22, 2)
    start = plain.newton(X, y)
    assert not run(X, y, G, False, (start, start))[1].any()


def test_the_same_bits_in_any_company():
    X, y, G = cohort(5, 2000, 4, 5)
    nulls = (plain.newton(X, y), plain.newton(X, y))
    together, done = run(X, y, G, True, nulls)
    assert done.any()
    for row in range(3):
        np.testing.assert_array_equal(run(X, y, G[row : row + 1], True, nulls)[0][0], together[row])


def test_rare_rows_of_few_samples_keep_six_digits():
    """One missing call in fifty moves the null beyond its series: standard errors need the information where it ends, not the series'."""
    X, y, _ = data(2, 489, 7, 0.2)
    rng = np.random.default_rng(4)
    G = rng.binomial(2, rng.uniform(0.004, 0.02, 200)[:, None], (200, 489)).astype(float)
    G[rng.random(G.shape) < 0.02] = np.nan
    G = G[np.nansum(G, axis=1) > 2]
    nulls = nulls_of(X, y)
    numbers, done = run(X, y, G, True, nulls)
    expected, status, _ = scalar_rows(G, np.full(len(G), kernel_rows.FIRTH_APPROX), X, y, np.zeros(489), nulls)
    done &= status == kernel_rows.FINE
    assert done.mean() > 0.5
    errors = expected[done, kernel_rows.MODEL_SE]
    away = (np.abs(numbers[done] - expected[done]) / errors[:, None]).max(axis=0)
    # Measured 4e-7 and 2e-6; with the series' information 4e-6 and 9e-5: where few carry, the likelihood is flat at an interval's end.
    assert away[[kernel_rows.BETA, kernel_rows.MODEL_SE]].max() < 1.5e-6
    assert away[[kernel_rows.LOWER, kernel_rows.UPPER]].max() < TOLERANCE
